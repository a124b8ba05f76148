"""One table on both sides: its rows and values before and after."""

from __future__ import annotations

import psycopg
from psycopg import sql

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.model.values import TableComparison
from pytest_dryrun.postgres.fingerprint import TableFingerprint
from pytest_dryrun.postgres.fingerprint.examination import (
    UNCHANGED,
    Connection,
    Sides,
    Sums,
    examine,
    totals,
    values_in,
)
from pytest_dryrun.postgres.fingerprint.hashing import Hashes, hashes
from pytest_dryrun.postgres.fingerprint.pairing import Pairing, pair, without
from pytest_dryrun.postgres.fingerprint.rekeyed import rekeyed
from pytest_dryrun.postgres.fingerprint.shapes import TableShape
from pytest_dryrun.postgres.snapshot import unreadable


def count(connection: Connection, shape: TableShape) -> int:
    """How many rows a table holds."""
    try:
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(shape.source())).fetchone()
    except psycopg.Error as error:
        raise unreadable(shape.table, error) from error
    return row[0] if row else 0


def whole_member(old: TableShape) -> bool:
    """Whether more of a table is read here than what a dump carries of it, and was counted before."""
    return bool(old.extension) and not old.condition


def renamed(table: TableFingerprint, new: TableShape) -> str | None:
    """The table's name now, where it is another one."""
    return new.table if new.table != table.table else None


def compare_one(sides: Sides, table: TableFingerprint, old: TableShape, new: TableShape) -> TableComparison:
    """What became of the rows of `old` in `new`, whose columns `table` tells by their attnums.

    Raises TargetUnusable where a side cannot be read, or `old` does not hold the rows that were counted.
    """
    try:
        pairing = pair(table, old, new, sides.before)
        both, sums = _sums(sides, pairing)
        filled = _filled(sides, pairing, sums)
        if filled:
            pairing = without(pairing, filled)
            both, sums = _sums(sides, pairing)
        verdict = UNCHANGED if sums[0] == sums[1] else examine(sides, pairing, both, sums)
    except psycopg.Error as error:
        raise unreadable(table.table, error) from error
    rows_before, rows_after = sums[0][0], sums[1][0]
    if rows_before != table.rows and not whole_member(old):
        raise TargetUnusable(
            f"The copy of {table.table} holds {rows_before} rows; {table.rows} were counted in it before.",
            "Somebody changed the copy since it was proved, so what became of the table's rows is not known.",
            "Leave the disposable server alone and run again.",
        )
    now = rekeyed(sides, pairing, verdict) if rows_before == rows_after and verdict.rows_lost else {}
    return TableComparison(
        table=table.table,
        rows_before=rows_before,
        rows_after=rows_after,
        change=verdict.change,
        columns_changed=verdict.columns,
        keys=verdict.keys,
        renamed_to=renamed(table, new),
        not_verified=pairing.not_verified,
        rows_lost=verdict.rows_lost,
        rows_changed=verdict.rows_changed,
        values_changed=verdict.values_changed,
        samples=verdict.samples,
        filled=filled,
        rekeyed=now,
    )


def _sums(sides: Sides, pairing: Pairing) -> tuple[tuple[Hashes, Hashes], tuple[Sums, Sums]]:
    before, after = (hashes(*pairing.side(number), "semantic") for number in (0, 1))
    return (before, after), (
        totals(sides.before, before, pairing.before),
        totals(sides.after, after, pairing.after),
    )


def _filled(sides: Sides, pairing: Pairing, sums: tuple[Sums, Sums]) -> dict[str, int]:
    """The columns that were NULL in every row and are not now, with their values."""
    unequal = zip(pairing.names, pairing.now, sums[0][2:], sums[1][2:], strict=True)
    # The sum of no hashes is 0; that of a few may be.
    likely = [(name, now) for name, now, before, after in unequal if before == 0 != after]
    if not likely or not sums[0][0]:
        return {}
    held = values_in(sides.before, pairing.before, [name for name, _ in likely])
    empty = [names for names, count in zip(likely, held, strict=True) if count == 0]
    if not empty:
        return {}
    counts = values_in(sides.after, pairing.after, [now for _, now in empty])
    return {name: count for (name, _), count in zip(empty, counts, strict=True)}
