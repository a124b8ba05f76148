"""What every row of a database adds up to, and whether a restore adds up to the same.

Per table: the number of rows and, per column, the sum of 64-bit hashes that bind each value to its row by the key.
So the order of rows does not matter, a changed value names its column and two swapped values are noticed.
The sums guard against accident, not against somebody who forges rows to fit; and they are only as good as one server's
hash functions: compare like with like (`version_num`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.postgres.fingerprint.hashing import Mode, shape_hashes
from pytest_dryrun.postgres.fingerprint.shapes import TableShape, Unverified, read_shapes
from pytest_dryrun.postgres.fingerprint.unmoved import Heap, Instant, read_heaps, read_instant, tableoid
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
    A partitioned table adds up its `leaves`, the partitions on this server.
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
    relkind: str = "r"
    heap: Heap | None = field(default=None, compare=False)
    leaves: tuple[TableFingerprint, ...] = ()

    @property
    def heaps(self) -> tuple[TableFingerprint, ...]:
        """The tables that hold the rows: the leaves of a partitioned table, else itself."""
        return self.leaves if self.relkind == "p" else (self,)


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
            [first] = joined(stack, conninfo, snapshot_id, 1, statement_timeout_s)
        try:
            shapes, unverified = read_shapes(first)
            sequences, unread = _sequences(first)
            instant = read_instant(first)
            heaps = read_heaps(first, shapes)
        except psycopg.Error as error:
            raise unreadable("the catalog", error) from error
        wanted = [shape for shape in shapes if shape.relkind != "p"]
        wanted.sort(key=lambda shape: shape.size_bytes, reverse=True)
        others = min(workers, len(wanted)) - 1
        connections = [first, *joined(stack, conninfo, snapshot_id, others, statement_timeout_s)]
        tables = spread(
            connections,
            wanted,
            lambda one, shape: figures(one, shape, mode, heaps.get(shape.oid)),
            connections,
            stop,
        )
        return Fingerprint(
            version_num=first.info.server_version,
            mode=mode,
            tables=_whole(shapes, tables),
            sequences=sequences,
            not_verified=unverified + unread,
            duration_ms=(time.monotonic() - started) * 1000,
            instant=instant,
        )


def _whole(shapes: Sequence[TableShape], found: Sequence[TableFingerprint]) -> tuple[TableFingerprint, ...]:
    """Every table that stands alone, by name; the leaves of a partitioned table are added up."""
    by_oid = {table.oid: table for table in found}
    whole = []
    for shape in shapes:
        if shape.root is not None:
            continue
        if shape.relkind != "p":
            whole.append(by_oid[shape.oid])
            continue
        leaves = tuple(by_oid[oid] for oid in shape.leaves)
        sums = {column.name: sum(leaf.columns[column.name] for leaf in leaves) for column in shape.columns}
        rows, row_sum = sum(leaf.rows for leaf in leaves), sum(leaf.row_sum for leaf in leaves)
        whole.append(replace(_described(shape, rows, row_sum, sums), leaves=leaves))
    return tuple(sorted(whole, key=lambda table: (table.schema, table.name)))


def identified(before: Fingerprint, shapes: Sequence[TableShape]) -> Fingerprint:
    """The same figures with the oids and attnums that the tables of these names have in another database."""
    there = {(shape.schema, shape.name): shape for shape in shapes}

    def named(table: TableFingerprint) -> TableFingerprint:
        shape = there.get((table.schema, table.name))
        leaves = tuple(named(leaf) for leaf in table.leaves)
        if shape is None:
            return replace(table, leaves=leaves)
        attnums = {column.name: column.attnum for column in shape.columns}
        return replace(table, oid=shape.oid, attnums=attnums, leaves=leaves)

    return replace(before, tables=tuple(named(table) for table in before.tables))


def sequences(connection: psycopg.Connection[tuple[Any, ...]]) -> tuple[SequenceState, ...]:
    """Where every readable sequence stands now."""
    return _sequences(connection)[0]


def joined(
    stack: ExitStack, conninfo: Conninfo, snapshot_id: str, number: int, statement_timeout_s: float
) -> list[psycopg.Connection[tuple[Any, ...]]]:
    """Further connections that see one snapshot; the stack closes them."""
    connections = []
    for _ in range(number):
        connection = stack.enter_context(closing(reader(conninfo, statement_timeout_s=statement_timeout_s)))
        join(connection, snapshot_id)
        connections.append(connection)
    return connections


def figures(
    connection: psycopg.Connection[tuple[Any, ...]], shape: TableShape, mode: Mode, heap: Heap | None = None
) -> TableFingerprint:
    """Add up one table; `heap` is where its rows are expected to lie."""
    query = sql.SQL("SELECT {}, {} FROM {}").format(tableoid(shape), shape_hashes(shape, mode).sums(), shape.source())
    try:
        row = connection.execute(query).fetchone()
    except psycopg.Error as error:
        raise unreadable(shape.table, error) from error
    read, rows, row_sum, *sums = row or (None, 0, 0)
    names = [column.name for column in shape.columns]
    figures = {name: int(total) for name, total in zip(names, sums, strict=True)}
    return replace(_described(shape, rows, int(row_sum), figures), heap=heap if read == shape.oid else None)


def _described(shape: TableShape, rows: int, row_sum: int, columns: Mapping[str, int]) -> TableFingerprint:
    return TableFingerprint(
        oid=shape.oid,
        schema=shape.schema,
        name=shape.name,
        table=shape.table,
        rows=rows,
        row_sum=row_sum,
        columns=columns,
        types={column.name: column.type for column in shape.columns},
        attnums={column.name: column.attnum for column in shape.columns},
        key=shape.keys[0] if shape.keys else (),
        volatile=shape.volatile,
        relkind=shape.relkind,
    )


def unread_figures(shape: TableShape) -> TableFingerprint:
    """What the catalog tells of a table whose rows were not read: there are -1 of them."""
    return _described(shape, -1, 0, {})


def _sequences(
    connection: psycopg.Connection[tuple[Any, ...]],
) -> tuple[tuple[SequenceState, ...], tuple[Unverified, ...]]:
    found: list[SequenceState] = []
    unread: list[Unverified] = []
    for schema, name, quoted, increment, oid, readable in connection.execute(_SEQUENCES).fetchall():
        if not readable:
            reason = "permission denied: this user may not SELECT from this sequence"
            unread.append(Unverified(oid, quoted, reason, expected=False, sequence=True))
            continue
        query = sql.SQL("SELECT last_value, is_called FROM {}").format(sql.Identifier(schema, name))
        last_value, is_called = connection.execute(query).fetchone() or (0, False)
        found.append(SequenceState(schema, name, quoted, last_value, is_called, increment))
    return tuple(found), tuple(unread)
