"""The system catalogs row by row: what differs between two databases of one server, whatever column it stands in.

A copy made from a template holds the very same rows under the very same oids, so every difference is what was done to
the copy. Nothing here knows a column by name: what a later PostgreSQL adds is read too.
Sources: the manual's chapter "System Catalogs", "CREATE DATABASE" (the template's files are copied).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.postgres.catalog.pinned import pinned
from pytest_dryrun.postgres.catalog.queries import INTERNAL_OPTION

# Rows of a catalog are hashed in this many groups; only the rows of groups that differ leave the server.
GROUPS = 512
# The first oid of what initdb did not make (src/include/access/transam.h, FirstNormalObjectId).
FIRST_USER_OID = 16384

_INTERNAL_OPTION = re.compile(rf"(?<=[{{,]){INTERNAL_OPTION}=[^,}}]*,?")

Row = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class SystemTable:
    """One table of pg_catalog with its columns and their types; `key` is its primary key, empty where it has none."""

    name: str
    oid: int
    shared: bool
    columns: tuple[str, ...]
    types: tuple[str, ...]
    key: tuple[str, ...]

    @property
    def trees(self) -> frozenset[str]:
        """The columns that hold parsed expressions."""
        return frozenset(name for name, kind in zip(self.columns, self.types, strict=True) if kind == "pg_node_tree")


class Event(StrEnum):
    """What became of one row."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class RowChange:
    """One row that differs; `columns` names what differs where it stands on both sides, in the catalog's order."""

    table: str
    event: Event
    old: Row | None
    new: Row | None
    columns: tuple[str, ...] = ()

    @property
    def row(self) -> Row:
        """The row as it is, or as it was where it is gone."""
        return self.new or self.old or {}


_TABLES = """
SELECT c.relname, c.oid::int8, c.relisshared, array_agg(a.attname::text ORDER BY a.attnum),
       array_agg(a.atttypid::regtype::text ORDER BY a.attnum),
       coalesce((SELECT array_agg(k.attname::text ORDER BY array_position(i.indkey::int2[], k.attnum))
                   FROM pg_index i JOIN pg_attribute k ON k.attrelid = i.indrelid AND k.attnum = ANY (i.indkey)
                  WHERE i.indrelid = c.oid AND i.indisprimary), '{}')
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' AND c.oid < %s
 GROUP BY c.oid ORDER BY c.relname
"""


def system_tables(connection: psycopg.Connection[Any]) -> tuple[SystemTable, ...]:
    """Every table of pg_catalog that this server has, as it describes itself."""
    rows = connection.execute(_TABLES, (FIRST_USER_OID,)).fetchall()
    return tuple(
        SystemTable(name, oid, shared, tuple(columns), tuple(types), tuple(key))
        for name, oid, shared, columns, types, key in rows
    )


@contextmanager
def reading(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Read under pinned settings; raises TargetUnusable where the server refuses.

    What cannot be read is never taken for equal.
    """
    try:
        with pinned(connection):
            yield
    except psycopg.Error as error:
        raise TargetUnusable(
            f"The system catalogs could not be compared: {' '.join(str(error).split())}",
            "What a migration did to them is unknown, so nothing is decided.",
            "Check that the copy's server is healthy and that its superuser may read pg_catalog.",
        ) from error


def differing_rows(
    before: psycopg.Connection[Any], after: psycopg.Connection[Any], left_out: Mapping[str, Collection[str]]
) -> tuple[RowChange, ...]:
    """Every row of the database's own catalogs that one of two databases has and the other has not, or has otherwise.

    Both are on one server and one was made from the other. `left_out` names columns that are not compared, by table; a
    table with every column left out is not read. Shared catalogs are one and the same for both.
    """
    tables = [
        table
        for table in system_tables(before)
        if not table.shared and not set(table.columns) <= set(left_out.get(table.name, ()))
    ]
    with reading(before), reading(after):
        with ThreadPoolExecutor(2) as both:
            sums = list(both.map(lambda connection: _sums(connection, tables, left_out), (before, after)))
        found: list[RowChange] = []
        for table, old, new in zip(tables, *sums, strict=True):
            groups = sorted({group for group, _ in old.items() ^ new.items()})
            if groups:
                was, now = (_rows(connection, table, groups) for connection in (before, after))
                found += paired(table, was, now, left_out.get(table.name, ()))
    return tuple(found)


def _text(column: str, kind: str) -> sql.Composable:
    """A column as text that no name can blur.

    A function as its oid, since others may have its name too; grants with the oids of roles, which may be renamed, and
    sorted, as `grantee=privilege/grantor`, with a star where the privilege may be passed on.
    """
    name = sql.Identifier(column)
    if kind == "aclitem[]":
        return sql.SQL(
            "CASE WHEN {0} IS NOT NULL THEN ARRAY(SELECT concat(a.grantee, '=', a.privilege_type,"
            " CASE WHEN a.is_grantable THEN '*' END, '/', a.grantor) FROM aclexplode({0}) a ORDER BY 1)::text END"
        ).format(name)
    through = sql.SQL("::oid") if kind.startswith("reg") else sql.SQL("")
    return name + through + sql.SQL("::text")


def _expressions(table: SystemTable, only: Collection[str]) -> sql.Composable:
    pairs = zip(table.columns, table.types, strict=True)
    return sql.SQL(", ").join(_text(column, kind) for column, kind in pairs if column in only)


def _group(table: SystemTable) -> sql.Composable:
    key = _expressions(table, table.key or table.columns)
    return sql.SQL("abs(hashtext(ROW({})::text)::int8 %% {})").format(key, sql.SQL(str(GROUPS)))


def _sums(
    connection: psycopg.Connection[Any], tables: Sequence[SystemTable], left_out: Mapping[str, Collection[str]]
) -> list[dict[int, tuple[int, str]]]:
    """Rows and the sum of their hashes for each group of each table."""
    with connection.pipeline():
        cursors = [
            connection.execute(
                sql.SQL("SELECT {}, count(*), sum(hashtextextended(ROW({})::text, 0))::text FROM {} GROUP BY 1").format(
                    _group(table),
                    _expressions(table, [name for name in table.columns if name not in left_out.get(table.name, ())]),
                    sql.Identifier("pg_catalog", table.name),
                ),
                (),
            )
            for table in tables
        ]
    return [{group: (count, total) for group, count, total in cursor.fetchall()} for cursor in cursors]


def _rows(connection: psycopg.Connection[Any], table: SystemTable, groups: Sequence[int]) -> list[Row]:
    query = sql.SQL("SELECT {} FROM {} WHERE {} = ANY (%s)").format(
        _expressions(table, table.columns), sql.Identifier("pg_catalog", table.name), _group(table)
    )
    return [_row(table, values) for values in connection.execute(query, (list(groups),))]


def _row(table: SystemTable, values: Sequence[str | None]) -> Row:
    row = dict(zip(table.columns, values, strict=True))
    if options := row.get("attoptions"):
        kept = _INTERNAL_OPTION.sub("", options).replace(",}", "}")
        row["attoptions"] = None if kept == "{}" else kept
    return row


def all_rows(connection: psycopg.Connection[Any], table: SystemTable) -> list[Row]:
    """Every row of one table, each value as text."""
    query = sql.SQL("SELECT {} FROM {}").format(
        _expressions(table, table.columns), sql.Identifier("pg_catalog", table.name)
    )
    return [_row(table, values) for values in connection.execute(query)]


def paired(
    table: SystemTable, old: Sequence[Row], new: Sequence[Row], left_out: Collection[str] = ()
) -> Iterator[RowChange]:
    """Pair rows by the catalog's key, or count whole rows where it has none, and tell what differs."""
    key = table.key or table.columns
    if not table.key:
        counts = [Counter(tuple(row[name] for name in key) for row in side) for side in (old, new)]
        for values in (counts[0] - counts[1]).elements():
            yield RowChange(table.name, Event.REMOVED, dict(zip(key, values, strict=True)), None)
        for values in (counts[1] - counts[0]).elements():
            yield RowChange(table.name, Event.ADDED, None, dict(zip(key, values, strict=True)))
        return
    known = {tuple(row[name] for name in key): row for row in old}
    now = {tuple(row[name] for name in key): row for row in new}
    for values in dict.fromkeys(chain(known, now)):
        one, two = known.get(values), now.get(values)
        if one is None:
            yield RowChange(table.name, Event.ADDED, None, two)
        elif two is None:
            yield RowChange(table.name, Event.REMOVED, one, None)
        else:
            columns = tuple(name for name in table.columns if one[name] != two[name] and name not in left_out)
            if columns:
                yield RowChange(table.name, Event.CHANGED, one, two, columns)
