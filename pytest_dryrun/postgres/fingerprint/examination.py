"""What differs between two states of one table, once their sums say that something does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.model.values import Change, ChangedValue
from pytest_dryrun.postgres.fingerprint.hashing import Hashes, Value, printed
from pytest_dryrun.postgres.fingerprint.pairing import Pairing, key_text
from pytest_dryrun.postgres.fingerprint.shapes import TableShape

KEYS_SHOWN = 5
_ROWS_SHOWN = 3
_COLUMNS_SHOWN = 5
# Longer than any secret that is to be taken out of it, and far longer than what is shown in the end.
_READ_CHARACTERS = 2000
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
    """What happened to a table, to which columns (names before), and a few keys and values that show it."""

    change: Change
    columns: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    rows_lost: int = 0
    rows_changed: int = 0
    values_changed: Mapping[str, int] = field(default_factory=dict)
    samples: tuple[ChangedValue, ...] = ()


UNCHANGED = Verdict(Change.NONE)


def totals(connection: Connection, figures: Hashes, shape: TableShape) -> Sums:
    """Rows, the sum of row hashes, then the sum of each column."""
    row = connection.execute(sql.SQL("SELECT {} FROM {}").format(figures.sums(), shape.source())).fetchone()
    return tuple(int(part) for part in row or ())


def values_in(connection: Connection, shape: TableShape, columns: Sequence[str]) -> tuple[int, ...]:
    """How many values, not NULL, each column holds."""
    counts = [sql.SQL("count({})").format(sql.Identifier(column)) for column in columns]
    row = connection.execute(sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(counts), shape.source())).fetchone()
    return tuple(row or ())


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
        return _by_key(sides, pairing, both, sums) if both[0].keyed else _by_row(sides.before, pairing, sums)
    finally:
        if not sides.before.closed and not sides.before.broken:
            sides.before.execute("DROP TABLE IF EXISTS pg_temp.dryrun_before, pg_temp.dryrun_after")


def _buckets(connection: Connection, figures: Hashes, shape: TableShape) -> dict[int, Sums]:
    query = sql.SQL("SELECT {}, {} FROM {} GROUP BY 1").format(_bucket(figures), figures.sums(), shape.source())
    return {row[0]: tuple(int(part) for part in row[1:]) for row in connection.execute(query)}


def _bucket(figures: Hashes) -> sql.Composable:
    return sql.SQL("({} & {})").format(figures.row, sql.Literal(_BUCKETS - 1))


def _select(figures: Hashes, shape: TableShape, buckets: Sequence[int], label: sql.Composable | None) -> sql.Composable:
    """The hash `k` of each row in some buckets and those of its columns, an array `c`; without a key only `k`."""
    parts = [sql.SQL("{} AS k").format(figures.row)]
    if figures.keyed:
        # One array, for as many columns of hashes would fit neither a page nor beside a key.
        parts.append(sql.SQL("ARRAY[{}]::int8[] AS c").format(sql.SQL(", ").join(figures.columns)))
    if label is not None:
        parts.append(sql.SQL("{} AS label").format(label))
    return sql.SQL("SELECT {} FROM {} WHERE {} = ANY({}::int8[])").format(
        sql.SQL(", ").join(parts), shape.source(), _bucket(figures), sql.Literal(list(buckets))
    )


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
_LOST = sql.SQL("a.k IS NULL")
_CHANGED = sql.SQL("a.k IS NOT NULL AND a.c <> b.c")


def _by_key(sides: Sides, pairing: Pairing, both: tuple[Hashes, Hashes], sums: tuple[Sums, Sums]) -> Verdict:
    connection = sides.before
    differs = [
        sql.SQL("a.c[{number}] IS DISTINCT FROM b.c[{number}]").format(number=sql.Literal(number))
        for number in range(1, len(pairing.names) + 1)
    ]
    query = sql.SQL("SELECT count(*) FILTER (WHERE {}), count(*) FILTER (WHERE {}) {}")
    lost, changed = connection.execute(query.format(_LOST, _CHANGED, _JOINED)).fetchone() or (0, 0)
    values: dict[str, int] = {}
    if changed:
        counted = sql.SQL(", ").join(sql.SQL("count(*) FILTER (WHERE {})").format(part) for part in differs)
        row = connection.execute(sql.SQL("SELECT {} {} WHERE {}").format(counted, _JOINED, _CHANGED)).fetchone()
        values = {name: count for name, count in zip(pairing.names, row or (), strict=True) if count}
    if lost or changed:
        labels = _keys(connection, _LOST if lost else _CHANGED)
        return Verdict(
            Change.ROWS_LOST if lost else Change.CONTENT_CHANGED,
            tuple(values),
            tuple(label for _, label in labels),
            lost,
            changed,
            values,
            _samples(sides, pairing, both, tuple(values)) if values else (),
        )
    if sums[1][0] > sums[0][0]:
        return Verdict(Change.ROWS_ADDED)
    # Unequal sums that no row explains: not to be called equal.
    return Verdict(Change.CONTENT_CHANGED, _unequal_columns(pairing, sums))


def _keys(connection: Connection, condition: sql.Composable) -> list[tuple[int, str]]:
    """The hashes and the labels of a few rows."""
    query = sql.SQL("SELECT b.k, b.label {} WHERE {} ORDER BY length(b.label), b.label LIMIT {}")
    shown = connection.execute(query.format(_JOINED, condition, sql.Literal(KEYS_SHOWN)))
    return [(row[0], row[1]) for row in shown]


def _samples(
    sides: Sides, pairing: Pairing, both: tuple[Hashes, Hashes], columns: Sequence[str]
) -> tuple[ChangedValue, ...]:
    """The changed values of a few rows, before and after."""
    few = _keys(sides.before, _CHANGED)[:_ROWS_SHOWN]
    shown = [pairing.names.index(name) for name in columns[:_COLUMNS_SHOWN]]
    sides_shown = [
        _values_of(connection, figures, shape, [pairing.values[index][number] for index in shown], [k for k, _ in few])
        for number, (connection, figures, shape) in enumerate(
            zip((sides.before, sides.after), both, (pairing.before, pairing.after), strict=True)
        )
    ]
    found = []
    for k, label in few:
        before, after = (side.get(k, ()) for side in sides_shown)
        for name, old, new in zip(columns, before, after, strict=False):
            if old != new:
                found.append(ChangedValue(label, name, old, new))
    return tuple(found)


def _values_of(
    connection: Connection, figures: Hashes, shape: TableShape, values: Sequence[Value], rows: Sequence[int]
) -> dict[int, tuple[str | None, ...]]:
    texts = [
        sql.SQL("left({}, {})").format(printed(value.otherwise or value), sql.Literal(_READ_CHARACTERS))
        for value in values
    ]
    query = sql.SQL("SELECT {}, {} FROM {} WHERE {} = ANY({}::int8[])").format(
        figures.row, sql.SQL(", ").join(texts), shape.source(), figures.row, sql.Literal(list(rows))
    )
    return {row[0]: tuple(row[1:]) for row in connection.execute(query)}


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
        values = {columns[0]: lost} if len(columns) == 1 and lost else {}
        return Verdict(Change.CONTENT_CHANGED, columns, rows_changed=lost, values_changed=values)
    return Verdict(Change.ROWS_LOST, rows_lost=lost)


def _unequal_columns(pairing: Pairing, sums: tuple[Sums, Sums]) -> tuple[str, ...]:
    pairs = zip(pairing.names, sums[0][2:], sums[1][2:], strict=True)
    return tuple(name for name, before, after in pairs if before != after)
