"""What every row of a database adds up to, and whether a restore adds up to the same.

Per table: the number of rows and, per column, the sum of 64-bit hashes that bind each value to its row by the key.
So the order of rows does not matter, a changed value names its column and two swapped values are noticed.
The sums guard against accident, not against somebody who forges rows to fit; and they are only as good as one server's
hash functions: compare like with like (`version_num`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.postgres.fingerprint.hashing import Mode, shape_hashes
from pytest_dryrun.postgres.fingerprint.shapes import TableShape, Unverified, read_shapes
from pytest_dryrun.postgres.fingerprint.unmoved import Heap, Held, Instant, read_heaps, read_instant, tableoid, unmoved
from pytest_dryrun.postgres.parallel import spread
from pytest_dryrun.postgres.snapshot import join, reader, snapshot, unreadable

# Sequences of temporary schemas and of extensions stay out, as they do in a dump.
_SEQUENCES = """
SELECT n.nspname, c.relname, format('%I.%I', n.nspname, c.relname), s.seqincrement, c.oid,
       has_schema_privilege(n.oid, 'USAGE') AND has_sequence_privilege(c.oid, 'SELECT')
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relpersistence <> 't'
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname
"""


@dataclass(frozen=True, slots=True)
class TableFingerprint:
    """One table's figures. `columns`, `types` and `attnums` are by column name, in the table's order.

    `key` names the columns that identify a row; without any, `row_sum` alone binds values to rows.
    `volatile` marks an unlogged table: empty after a crash and on a standby.
    A partitioned table stands for its partitions.
    `heap` is where the rows lay when they were counted, whatever oid and attnums the table is given later; None where
    that would prove nothing.
    """

    oid: int
    schema: str
    name: str
    table: str
    rows: int
    row_sum: int
    columns: Mapping[str, int]
    types: Mapping[str, str]
    attnums: Mapping[str, int]
    key: tuple[str, ...]
    volatile: bool = False
    heap: Heap | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class SequenceState:
    """Where a sequence stands. Sequences are not transactional: no snapshot covers this."""

    schema: str
    name: str
    sequence: str
    last_value: int
    is_called: bool
    increment: int


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The figures of every table of one database at one instant, and what they do not cover.

    Without an `instant`, only hashes can tell later whether rows stayed the same.
    """

    version_num: int
    mode: Mode
    tables: tuple[TableFingerprint, ...]
    sequences: tuple[SequenceState, ...]
    not_verified: tuple[Unverified, ...]
    duration_ms: float
    instant: Instant | None = field(default=None, compare=False)


def take(
    conninfo: Conninfo,
    *,
    snapshot_id: str | None = None,
    mode: Mode = "exact",
    workers: int = 2,
    statement_timeout_s: float = 3600,
    stop: threading.Event | None = None,
) -> Fingerprint:
    """Fingerprint every table, the largest first, over `workers` connections that all see one snapshot.

    Whoever sets `stop` ends it early, with CancelledError.

    `exact` tells 1.0 from 1.00, -0 from 0 and padding of an unbounded char; `semantic` does not.
    Raises TargetUnusable for a table that cannot be read to its end, or whose rows a policy would hide.
    """
    started = time.monotonic()
    with ExitStack() as stack:
        if snapshot_id is None:
            taken = stack.enter_context(snapshot(conninfo, statement_timeout_s=statement_timeout_s))
            snapshot_id, first = taken.id, taken.connection
        else:
            [first] = _joined(stack, conninfo, snapshot_id, 1, statement_timeout_s)
        try:
            shapes, unverified = read_shapes(first)
            sequences, unread = _sequences(first)
            instant = read_instant(first)
            heaps = read_heaps(first, shapes)
        except psycopg.Error as error:
            raise unreadable("the catalog", error) from error
        wanted = [shape for shape in shapes if not shape.is_partition]
        wanted.sort(key=lambda shape: shape.size_bytes, reverse=True)
        others = min(workers, len(wanted)) - 1
        connections = [first, *_joined(stack, conninfo, snapshot_id, others, statement_timeout_s)]
        tables = spread(
            connections,
            wanted,
            lambda one, shape: _fingerprint(one, shape, mode, heaps.get(shape.oid)),
            connections,
            stop,
        )
        return Fingerprint(
            version_num=first.info.server_version,
            mode=mode,
            tables=tuple(sorted(tables, key=lambda table: (table.schema, table.name))),
            sequences=sequences,
            not_verified=unverified + unread,
            duration_ms=(time.monotonic() - started) * 1000,
            instant=instant,
        )


def kept(
    conninfo: Conninfo,
    before: Fingerprint,
    *,
    copied: bool = False,
    workers: int = 2,
    statement_timeout_s: float = 3600,
) -> Mapping[int, str]:
    """Find the tables that hold exactly the rows of an earlier, exact fingerprint: their oids, and their names now.

    Tables are found by oid, columns by attnum, name and type; columns that came later are left out. A table that is
    not in the answer is not proved equal: it differs, or is shaped in a way that its figures alone cannot settle.
    Tuple headers are asked first, and what they do not settle is hashed. `copied` promises that the database is a copy
    of the one that was fingerprinted, or a copy of such a copy, made since.
    """
    if before.mode != "exact":
        raise ValueError("only exact figures prove that rows stayed the same")
    with ExitStack() as stack:
        taken = stack.enter_context(snapshot(conninfo, statement_timeout_s=statement_timeout_s))
        first = taken.connection
        if first.info.server_version // 10000 != before.version_num // 10000:
            return {}
        try:
            shapes, _ = read_shapes(first)
        except psycopg.Error as error:
            raise unreadable("the catalog", error) from error
        old = {table.oid: table for table in before.tables}
        wanted = [same for shape in shapes if shape.oid in old and (same := _as_before(old[shape.oid], shape))]
        wanted.sort(key=lambda shape: shape.size_bytes, reverse=True)
        others = min(workers, len(wanted)) - 1
        connections = [first, *_joined(stack, conninfo, taken.id, others, statement_timeout_s)]
        held = [Held(shape, heap, old[shape.oid].rows) for shape in wanted if (heap := old[shape.oid].heap)]
        settled = unmoved(connections, before.instant, held, copied=copied)
        rest = [shape for shape in wanted if shape.oid not in settled]
        found = spread(connections, rest, lambda one, shape: _fingerprint(one, shape, "exact"), connections)
    hashed = {table.oid: table.table for table in found if _figures(table) == _figures(old[table.oid])}
    return {shape.oid: shape.table for shape in wanted if shape.oid in settled} | hashed


def _as_before(table: TableFingerprint, shape: TableShape) -> TableShape | None:
    """The table with its former columns and key alone; None where one of them is gone, renamed or of another type."""
    now = {column.attnum: column for column in shape.columns}
    columns = [now.get(attnum) for attnum in table.attnums.values()]
    same = [column for column in columns if column and column.type == table.types.get(column.name)]
    if [column.name for column in same] != list(table.attnums):
        return None
    return replace(shape, columns=tuple(same), keys=(table.key,) if table.key else ())


def _figures(table: TableFingerprint) -> tuple[int, int, Mapping[str, int]]:
    return table.rows, table.row_sum, table.columns


def sequences(connection: psycopg.Connection[tuple[Any, ...]]) -> tuple[SequenceState, ...]:
    """Where every readable sequence stands now."""
    return _sequences(connection)[0]


def _joined(
    stack: ExitStack, conninfo: Conninfo, snapshot_id: str, number: int, statement_timeout_s: float
) -> list[psycopg.Connection[tuple[Any, ...]]]:
    connections = []
    for _ in range(number):
        connection = stack.enter_context(closing(reader(conninfo, statement_timeout_s=statement_timeout_s)))
        join(connection, snapshot_id)
        connections.append(connection)
    return connections


def _fingerprint(
    connection: psycopg.Connection[tuple[Any, ...]], shape: TableShape, mode: Mode, heap: Heap | None = None
) -> TableFingerprint:
    query = sql.SQL("SELECT {}, {} FROM {}").format(tableoid(shape), shape_hashes(shape, mode).sums(), shape.source())
    try:
        row = connection.execute(query).fetchone()
    except psycopg.Error as error:
        raise unreadable(shape.table, error) from error
    read, rows, row_sum, *sums = row or (None, 0, 0)
    names = [column.name for column in shape.columns]
    return TableFingerprint(
        oid=shape.oid,
        schema=shape.schema,
        name=shape.name,
        table=shape.table,
        rows=rows,
        row_sum=int(row_sum),
        columns={name: int(total) for name, total in zip(names, sums, strict=True)},
        types={column.name: column.type for column in shape.columns},
        attnums={column.name: column.attnum for column in shape.columns},
        key=shape.keys[0] if shape.keys else (),
        volatile=shape.volatile,
        heap=heap if read == shape.oid else None,
    )


def _sequences(
    connection: psycopg.Connection[tuple[Any, ...]],
) -> tuple[tuple[SequenceState, ...], tuple[Unverified, ...]]:
    found: list[SequenceState] = []
    unread: list[Unverified] = []
    for schema, name, quoted, increment, oid, readable in connection.execute(_SEQUENCES).fetchall():
        if not readable:
            reason = "permission denied: this user may not SELECT from this sequence"
            unread.append(Unverified(oid, quoted, reason, expected=False))
            continue
        query = sql.SQL("SELECT last_value, is_called FROM {}").format(sql.Identifier(schema, name))
        last_value, is_called = connection.execute(query).fetchone() or (0, False)
        found.append(SequenceState(schema, name, quoted, last_value, is_called, increment))
    return tuple(found), tuple(unread)
