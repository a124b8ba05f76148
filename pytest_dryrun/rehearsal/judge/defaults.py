"""Defaults of new columns, inserted and read back; every row is rolled back.

A rolled-back INSERT leaves one trace: sequences behind serial columns go on by one (manual: "Sequence Manipulation
Functions").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.migrations import History
from pytest_dryrun.model.scripts import Location
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.catalog import Catalog
from pytest_dryrun.rehearsal.judge.columns import NewColumn, new_columns, volatile_functions
from pytest_dryrun.rehearsal.judge.counting import finding
from pytest_dryrun.rehearsal.judge.trial import insert_row, row_values
from pytest_dryrun.sql.names import identifier

# A row of made-up values may be refused by a constraint, a type, a partition's bound or the application's own trigger.
_UNFIT = ("22", "23", "P0001")


@dataclass(frozen=True, slots=True)
class DefaultReadback:
    """What a new column's default came to. `verified` is None where no row could be made, with the reason.

    `rows` existed when it was read; `rows_null` of them hold NULL. Both are None for a table that is new. `unfit` where
    the table only refused the made-up values of the other columns, which says nothing about the default.
    """

    table: str
    column: str
    default: str
    verified: bool | None
    reason: str = ""
    rows: int | None = None
    rows_null: int | None = None
    unfit: bool = False

    @property
    def outcome(self) -> str:
        """One short line for the page."""
        if self.verified:
            return f"{self.default}, inserted and read back"
        return f"{self.default}, {'WRONG' if self.verified is False else 'not verified'}: {self.reason}"


def columns_default_readback(
    connection: psycopg.Connection[Any], before: Catalog, after: Catalog, history: History = frozenset()
) -> tuple[DefaultReadback, ...]:
    """Insert a row into each table that has a new column with a default, read the value back, and roll back.

    A row is made like one that is there: its keys fresh, the new columns left out, so that their defaults act.
    """
    fresh = [new for new in new_columns(before, after, history) if new.default is not None]
    tables = dict.fromkeys(new.table for new in fresh)
    results: list[DefaultReadback] = []
    for table in tables:
        results += _read_back(connection, after, table, [new for new in fresh if new.table == table])
    return tuple(results)


def default_findings(readbacks: Sequence[DefaultReadback]) -> tuple[Finding, ...]:
    """A default that new rows do not get is a blocker; one that old rows never got or not verified, a warning.

    That made-up values do not fit a table is a note, one for each table.
    """
    found = [*_unfit(readbacks)]
    for item in readbacks:
        evidence = {"column": item.column, "default": item.default, "rows": item.rows, "rows_null": item.rows_null}
        start = f"The default {item.default} of {item.table}, column {item.column},"
        if item.verified is False:
            said = f"{start} does not reach a new row: {item.reason} Look for a trigger or rule that sets the column."
            found.append(finding("unsafe-default", Severity.BLOCKER, said, Location(), item.table, evidence))
        elif item.verified is None and not item.unfit:
            said = f"{start} was not verified: {item.reason}"
            found.append(finding("unsafe-default", Severity.WARNING, said, Location(), item.table, evidence))
        if item.rows_null:
            said = (
                f"{start} holds for new rows only: {item.rows_null:,} of {item.rows:,} rows that were there hold "
                "NULL. Fill them in "
            )
            said += "batches, or make sure that readers expect NULL."
            found.append(finding("unsafe-default", Severity.WARNING, said, Location(), item.table, evidence))
    return tuple(found)


def _unfit(readbacks: Sequence[DefaultReadback]) -> Iterator[Finding]:
    tables = dict.fromkeys(item.table for item in readbacks if item.unfit)
    for table in tables:
        items = [item for item in readbacks if item.unfit and item.table == table]
        columns, reason = [item.column for item in items], items[0].reason
        said = f"The defaults of new columns of {table} ({', '.join(columns)}) were not tried: the table does not take "
        said += f"the values that were made up for its other columns. {reason[:1].upper()}{reason[1:]}."
        yield finding("unsafe-default", Severity.INFO, said, Location(), table, {"columns": columns})


def _read_back(
    connection: psycopg.Connection[Any], catalog: Catalog, table: str, fresh: Sequence[NewColumn]
) -> list[DefaultReadback]:
    try:
        counts = [
            _existing(connection, table, new.column.name) if new.table_before is not None else (None, None)
            for new in fresh
        ]
    except psycopg.Error as error:
        reason = f"the rows could not be read: {_said(error)}"
        return [DefaultReadback(table, new.column.name, str(new.default), None, reason) for new in fresh]
    volatile = [bool(volatile_functions(new.column)) for new in fresh]
    names, values = row_values(catalog, table)
    shown = []
    for new, changing in zip(fresh, volatile, strict=True):
        column = sql.Identifier(new.column.name)
        shown.append(sql.SQL("{}::text").format(column))
        expected = sql.SQL(f"CAST(({new.default}) AS {new.column.attributes['type']})::text")
        right = sql.SQL("{} IS NOT NULL") if changing else sql.SQL("{}::text IS NOT DISTINCT FROM {}")
        shown.append(right.format(column, expected))
    try:
        row = insert_row(connection, table, names, values, shown)
    except psycopg.Error as error:
        reason = f"no row could be made: {_said(error)}"
        unfit = (error.sqlstate or "").startswith(_UNFIT)
        return [
            DefaultReadback(table, new.column.name, str(new.default), None, reason, count[0], count[1], unfit)
            for new, count in zip(fresh, counts, strict=True)
        ]
    results = []
    for position, (new, count) in enumerate(zip(fresh, counts, strict=True)):
        if row is None:
            verdict, reason = None, "the INSERT made no row; a rule or trigger takes it."
        else:
            verdict = bool(row[2 * position + 1])
            reason = (
                "" if verdict else f"it holds {'NULL' if row[2 * position] is None else repr(row[2 * position][:200])}."
            )
        results.append(DefaultReadback(table, new.column.name, str(new.default), verdict, reason, *count))
    return results


def _said(error: psycopg.Error) -> str:
    """The server's first line; its DETAIL would show a row's values."""
    return (error.diag.message_primary or str(error)).strip()


def _existing(connection: psycopg.Connection[Any], table: str, column: str) -> tuple[int, int]:
    query = sql.SQL("SELECT count(*), count(*) - count({}) FROM {}").format(sql.Identifier(column), identifier(table))
    with connection.transaction():
        row = connection.execute(query).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)
