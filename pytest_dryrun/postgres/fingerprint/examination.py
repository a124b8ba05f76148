"""What differs between two states of one table, once their sums say that something does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.model.values import Change
from pytest_dryrun.postgres.fingerprint.hashing import Hashes
from pytest_dryrun.postgres.fingerprint.pairing import Pairing, key_text
from pytest_dryrun.postgres.fingerprint.shapes import TableShape

KEYS_SHOWN = 5
_BUCKETS = 1024

Connection = psycopg.Connection[tuple[Any, ...]]
Sums = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sides:
    """A connection to either side; temporary tables are made on the one before."""

    before: Connection
    after: Connection


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happened to a table, to which columns (names before), and a few keys that show it."""

    change: Change
    columns: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


UNCHANGED = Verdict(Change.NONE)


def totals(connection: Connection, figures: Hashes, shape: TableShape) -> Sums:
    """Rows, the sum of row hashes, then the sum of each column."""
    row = connection.execute(sql.SQL("SELECT {} FROM {}").format(figures.sums(), shape.source())).fetchone()
    return tuple(int(part) for part in row or ())


def examine(sides: Sides, pairing: Pairing, both: tuple[Hashes, Hashes], sums: tuple[Sums, Sums]) -> Verdict:
    """Sort rows into buckets by key, bring the hashes of unequal buckets together and join them."""
    buckets = [
        _buckets(connection, figures, shape)
        for connection, figures, shape in zip(
            (sides.before, sides.after), both, (pairing.before, pairing.after), strict=True
        )
    ]
    unequal = sorted(
        bucket for bucket in {*buckets[0], *buckets[1]} if buckets[0].get(bucket) != buckets[1].get(bucket)
    )
    try:
        _bring_together(sides, pairing, both, unequal)
        judge = _by_key if both[0].keyed else _by_row
        return judge(sides.before, pairing, sums)
    finally:
        if not sides.before.closed and not sides.before.broken:
            sides.before.execute("DROP TABLE IF EXISTS pg_temp.dryrun_before, pg_temp.dryrun_after")


def _buckets(connection: Connection, figures: Hashes, shape: TableShape) -> dict[int, Sums]:
    query = sql.SQL("SELECT {}, {} FROM {} GROUP BY 1").format(_bucket(figures), figures.sums(), shape.source())
    return {row[0]: tuple(int(part) for part in row[1:]) for row in connection.execute(query)}


def _bucket(figures: Hashes) -> sql.Composable:
    return sql.SQL("({} & {})").format(figures.row, sql.Literal(_BUCKETS - 1))


def _select(figures: Hashes, shape: TableShape, buckets: Sequence[int], label: sql.Composable | None) -> sql.Composable:
    """The hashes `k`, `c0`, `c1`... of the rows in some buckets; without a key only `k`."""
    parts = [sql.SQL("{} AS k").format(figures.row)]
    if figures.keyed:
        parts += [sql.SQL("{} AS {}").format(part, _column(number)) for number, part in enumerate(figures.columns)]
    if label is not None:
        parts.append(sql.SQL("{} AS label").format(label))
    return sql.SQL("SELECT {} FROM {} WHERE {} = ANY({}::int8[])").format(
        sql.SQL(", ").join(parts), shape.source(), _bucket(figures), sql.Literal(list(buckets))
    )


def _column(number: int) -> sql.Composable:
    return sql.Identifier(f"c{number}")


def _bring_together(sides: Sides, pairing: Pairing, both: tuple[Hashes, Hashes], buckets: Sequence[int]) -> None:
    before, after = both
    label: sql.Composable = sql.SQL("''")
    if before.keyed:
        label = key_text([pairing.names[index] for index in pairing.key], pairing.side(0)[1])
    kept = _select(before, pairing.before, buckets, label)
    sides.before.execute(sql.SQL("CREATE TEMP TABLE dryrun_before AS {}").format(kept))
    # An empty copy of its columns, so that both sides match by construction.
    sides.before.execute("CREATE TEMP TABLE dryrun_after AS SELECT * FROM pg_temp.dryrun_before LIMIT 0")
    sides.before.execute("ALTER TABLE pg_temp.dryrun_after DROP COLUMN label")
    reading = sql.SQL("COPY ({}) TO STDOUT (FORMAT BINARY)").format(_select(after, pairing.after, buckets, None))
    writing = sql.SQL("COPY pg_temp.dryrun_after FROM STDIN (FORMAT BINARY)")
    with (
        sides.after.cursor() as sender,
        sides.before.cursor() as receiver,
        sender.copy(reading) as source,
        receiver.copy(writing) as target,
    ):
        for block in source:
            target.write(block)
    sides.before.execute("ANALYZE pg_temp.dryrun_before")
    sides.before.execute("ANALYZE pg_temp.dryrun_after")


_JOINED = sql.SQL("FROM pg_temp.dryrun_before b LEFT JOIN pg_temp.dryrun_after a ON a.k = b.k")


def _by_key(connection: Connection, pairing: Pairing, sums: tuple[Sums, Sums]) -> Verdict:
    differs = [
        sql.SQL("(a.k IS NOT NULL AND a.{} IS DISTINCT FROM b.{})").format(_column(number), _column(number))
        for number in range(len(pairing.names))
    ]
    counted = [sql.SQL("count(*) FILTER (WHERE {})").format(part) for part in (sql.SQL("a.k IS NULL"), *differs)]
    row = connection.execute(sql.SQL("SELECT {} {}").format(sql.SQL(", ").join(counted), _JOINED)).fetchone()
    lost, *changes = row or (0,)
    columns = tuple(name for name, count in zip(pairing.names, changes, strict=True) if count)
    if lost:
        return Verdict(Change.ROWS_LOST, columns, _keys(connection, sql.SQL("a.k IS NULL")))
    if columns:
        return Verdict(Change.CONTENT_CHANGED, columns, _keys(connection, sql.SQL(" OR ").join(differs)))
    if sums[1][0] > sums[0][0]:
        return Verdict(Change.ROWS_ADDED)
    # Unequal sums that no row explains: not to be called equal.
    return Verdict(Change.CONTENT_CHANGED, _unequal_columns(pairing, sums))


def _keys(connection: Connection, condition: sql.Composable) -> tuple[str, ...]:
    query = sql.SQL("SELECT label {} WHERE {} ORDER BY length(label), label LIMIT {}")
    shown = connection.execute(query.format(_JOINED, condition, sql.Literal(KEYS_SHOWN)))
    return tuple(row[0] for row in shown)


def _by_row(connection: Connection, pairing: Pairing, sums: tuple[Sums, Sums]) -> Verdict:
    row = connection.execute(
        "SELECT count(*) FROM (SELECT k FROM pg_temp.dryrun_before EXCEPT ALL SELECT k FROM pg_temp.dryrun_after) l"
    ).fetchone()
    lost = row[0] if row else 0
    if not lost and sums[1][0] > sums[0][0]:
        return Verdict(Change.ROWS_ADDED)
    columns = _unequal_columns(pairing, sums)
    # As many rows as before, and some columns kept every value: the rest of the row was rewritten.
    if sums[0][0] == sums[1][0] and len(columns) < len(pairing.names):
        return Verdict(Change.CONTENT_CHANGED, columns)
    return Verdict(Change.ROWS_LOST)


def _unequal_columns(pairing: Pairing, sums: tuple[Sums, Sums]) -> tuple[str, ...]:
    pairs = zip(pairing.names, sums[0][2:], sums[1][2:], strict=True)
    return tuple(name for name, before, after in pairs if before != after)
