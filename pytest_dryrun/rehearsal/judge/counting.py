"""Counting rows on a copy, and the finding that says what was counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.model.scripts import Location
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.rehearsal.judge.remedies.remedy import Remedy, advised
from pytest_dryrun.sql.names import identifier

FEW_KEYS = 5
# Rows, and a few of their keys; or a text that says why they could not be counted.
Counted = tuple[int, tuple[str, ...]] | str


# Whether a table, or with the second parameter one below it, is a foreign table.
_ELSEWHERE = """
WITH RECURSIVE below (oid) AS (
  SELECT pg_catalog.to_regclass(%s)::oid
  UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN below ON i.inhparent = below.oid AND %s)
SELECT EXISTS (SELECT FROM below JOIN pg_catalog.pg_class c ON c.oid = below.oid WHERE c.relkind = 'f')
"""


def finding(
    rule: str,
    severity: Severity,
    message: str,
    place: Location,
    table: str | None,
    evidence: Mapping[str, Any] | None = None,
    *,
    about: str | None = None,
    cascaded: bool = False,
    remedy: Remedy | None = None,
) -> Finding:
    """A finding at a place; `about` is the object it is about, where that is no table."""
    made = Finding(
        rule,
        severity,
        message,
        place.migration,
        place.line,
        table,
        dict(evidence or {}),
        object=about,
        cascaded=cascaded,
    )
    return advised(made, remedy) if remedy else made


def count_rows(
    connection: psycopg.Connection[Any], table: str, *columns: str, only: bool = False
) -> tuple[int, ...] | str:
    """Rows of a table, then values not NULL in each of these columns (bare); a text says why it failed.

    With `only` those of tables that inherit from it are left out. Foreign tables are not read.
    """
    counts = [sql.SQL("count(*)"), *(sql.SQL("count({})").format(sql.Identifier(column)) for column in columns)]
    source = sql.SQL("ONLY " if only else "") + identifier(table)
    query = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(counts), source)
    return _asked_here(connection, table, query, below=not only)


def is_empty(connection: psycopg.Connection[Any], table: str) -> bool:
    """Whether a table is known to hold no row. Foreign tables are not read: what they hold is not known."""
    query = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(identifier(table))
    return _asked_here(connection, table, query, below=True) == (False,)


def _asked_here(
    connection: psycopg.Connection[Any], table: str, query: sql.Composed, *, below: bool
) -> tuple[Any, ...] | str:
    """The one row that a query about a table gives; a text where it fails, or would read a foreign table."""
    try:
        with connection.transaction():
            elsewhere = connection.execute(_ELSEWHERE, (table, below)).fetchone()
            if elsewhere and elsewhere[0]:
                return "they are on another server, which is not asked"
            row = connection.execute(query).fetchone()
    except psycopg.Error as error:
        return " ".join(str(error).split())
    return tuple(row or ())


def relation(connection: psycopg.Connection[Any], table: str) -> sql.Composed:
    """A table as constraints see it: with its partitions, without tables that inherit from it."""
    query = "SELECT relkind = 'p' FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass(%s)"
    row = connection.execute(query, (table,)).fetchone()
    only = sql.SQL("") if row and row[0] else sql.SQL("ONLY ")
    return only + identifier(table)


def count_where(
    connection: psycopg.Connection[Any],
    table: str,
    condition: sql.Composable,
    columns: Sequence[str],
    *,
    alias: str = "row",
    heirs: bool = False,
    search_path: str = "",
) -> Counted:
    """Rows for which a condition holds, a few as `column=value`; a text says why they could not be counted.

    `heirs` counts the rows of tables that inherit from it too. `search_path` is for functions that need one.
    """
    pieces = [
        sql.SQL("{} || coalesce({}::text, 'NULL')").format(sql.Literal(f"{column}="), sql.Identifier(alias, column))
        for column in columns
    ]
    shown = sql.SQL(" || ', ' || ").join(pieces) if pieces else sql.SQL("'(row)'")
    try:
        with connection.transaction():
            whole = identifier(table) if heirs else relation(connection, table)
            source = sql.SQL("FROM {} AS {} WHERE {}").format(whole, sql.Identifier(alias), condition)
            if search_path:
                connection.execute("SELECT set_config('search_path', %s, true)", (search_path,))
            # Partitions are not to be left out because a check says that they hold no such row.
            connection.execute("SET LOCAL constraint_exclusion = off")
            row = connection.execute(sql.SQL("SELECT count(*) {}").format(source)).fetchone()
            rows = int(row[0]) if row else 0
            if not rows:
                return 0, ()
            few = connection.execute(
                sql.SQL("SELECT DISTINCT left({}, 200) {} LIMIT {}").format(shown, source, sql.Literal(FEW_KEYS))
            )
            return rows, tuple(sorted(str(line[0]) for line in few))
    except psycopg.Error as error:
        return " ".join(str(error).split())


def primary_key(connection: psycopg.Connection[Any], table: str) -> tuple[str, ...]:
    """The columns of a table's primary key, in its order; empty where it has none."""
    query = """
      SELECT a.attname FROM pg_catalog.pg_index i
        JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
       WHERE i.indrelid = pg_catalog.to_regclass(%s) AND i.indisprimary
       ORDER BY array_position(i.indkey::int2[], a.attnum)"""
    return tuple(str(row[0]) for row in connection.execute(query, (table,)))


def count_duplicates(
    connection: psycopg.Connection[Any], table: str, keys: Sequence[str], predicate: str = "", *, nulls_distinct: bool
) -> Counted:
    """Rows that share their key with another row, and a few such keys; NULLs are no duplicates unless declared so."""
    grouping = ", ".join(f"({key})" for key in keys)
    conditions = [f"({predicate})"] if predicate else []
    conditions += [f"({key}) IS NOT NULL" for key in keys] if nulls_distinct else []
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    shown = " || ', ' || ".join(f"coalesce(({key})::text, 'NULL')" for key in keys)
    grouped = sql.SQL(f"SELECT left({shown}, 200) AS shown, count(*) AS rows FROM ")
    rest = sql.SQL(f"{where} GROUP BY {grouping} HAVING count(*) > 1")
    query = sql.SQL(
        "WITH twice AS ({}) SELECT coalesce(sum(rows), 0), (SELECT array_agg(shown) FROM (SELECT shown FROM "
        "twice ORDER BY rows DESC, shown LIMIT 3) few) FROM twice"
    )
    try:
        with connection.transaction():
            whole = grouped + relation(connection, table) + rest
            row = connection.execute(query.format(whole)).fetchone()
    except psycopg.Error as error:
        return " ".join(str(error).split())
    return (int(row[0]), tuple(row[1] or ())) if row else (0, ())
