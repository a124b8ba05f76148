"""Whether a table still holds the very row versions that it held, told by tuple headers instead of values.

Every transaction below a snapshot's horizon (`pg_snapshot_xmin`) had ended when the snapshot was taken. A row that is
visible later and was written below that horizon was visible then: its insert was committed, and a delete committed then
would hide it now. So where every row is that old and there are as many as then, they are the same row versions; an
UPDATE, even to the same value, writes a new one (PostgreSQL manual, "System Columns" and "pg_snapshot").

That holds on one server as long as it runs without a crash, which might give lost transaction numbers out again, and in
one database or a later copy of its files. It speaks of what SQL did: damage to files on the disk is not noticed.
No is never an answer here: what is not proved is left to the hashes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.postgres.fingerprint.shapes import TableShape
from pytest_dryrun.postgres.parallel import spread
from pytest_dryrun.postgres.snapshot import unreadable

Connection = psycopg.Connection[tuple[Any, ...]]

_PIECE_BLOCKS = 4096
_BLOCK_BYTES = 8192  # as sizes are estimated; where blocks are larger, the last pieces are empty
_MOST_TRANSACTIONS = 2**30  # numbers of 32 bits are compared: half their range, with a margin as wide again
_NUMBERS = 2**32

# Types whose values are told by their bytes alone: labels of enums, names of reg* types, attributes of composite types
# and whatever an extension prints may change while the row stays where it is.
_KINDS = frozenset(
    ("integer", "float", "text", "bool", "bpchar", "date", "numeric", "time", "timestamp", "timestamptz", "uuid")
)
_BUILTIN = """
int2 int4 int8 float4 float8 numeric money bool oid text varchar bpchar char name bytea bit varbit uuid
date time timetz timestamp timestamptz interval json jsonb xml inet cidr macaddr macaddr8 tsvector
point box line lseg path polygon circle int4range int8range numrange daterange tsrange tstzrange
"""

_MAY_ASK = """
SELECT NOT pg_is_in_recovery() AND
       (SELECT bool_and(coalesce(has_function_privilege(to_regprocedure(name), 'EXECUTE'), false))
        FROM unnest(ARRAY['pg_control_system()', 'pg_postmaster_start_time()',
                          'pg_stat_get_bgwriter_stat_reset_time()']) name)
"""
# A crash restarts a server within its start time, but throws its statistics away.
_INSTANT = """
SELECT (SELECT system_identifier FROM pg_control_system()), pg_postmaster_start_time()::text,
       pg_stat_get_bgwriter_stat_reset_time()::text, d.oid::int8, pg_snapshot_xmin(pg_current_snapshot())::text::int8
FROM pg_database d WHERE d.datname = current_database()
"""
# The modulus sends the permanent numbers, whose age is 2147483647 and says nothing, to the young ones.
_DATABASE = """
SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int8 - %s, age(d.xmin) %% 2147483647 > age(%s::xid)
FROM pg_database d WHERE d.datname = current_database()
"""
# Access method 2 is heap. What a row that is older than its column shows there stands in attmissingval.
_HEAPS = """
SELECT c.oid, c.relfilenode::int8, array_agg(a.attnum::int), array_agg(
           ROW(a.attname, a.atttypid, a.atttypmod, a.attgenerated, a.attmissingval::text)::text)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.oid = ANY(%s) AND c.relkind = 'r' AND c.relam = 2
GROUP BY c.oid HAVING NOT bool_or(a.attgenerated = 'v')
"""
_HEADERS = """
SELECT count(*), count(*) FILTER (WHERE age(xmin) % 2147483647 > (SELECT age({horizon}::xid))),
       (SELECT tableoid FROM {table} {within} LIMIT 1)
FROM {table} {within}
"""
# age() runs in the leader alone, to which parallel workers would only carry rows.
_BEGIN = "SAVEPOINT unmoved; SET LOCAL max_parallel_workers_per_gather = 0"
_END = "ROLLBACK TO SAVEPOINT unmoved"


@dataclass(frozen=True, slots=True)
class Instant:
    """A snapshot's horizon, 64 bits wide, and the run of a server and the database that it is of."""

    system_identifier: int
    started_at: str
    statistics_since: str
    database_oid: int
    horizon: int


@dataclass(frozen=True, slots=True)
class Heap:
    """Which file held a table's rows, and what made values of their bytes: each column by its attnum."""

    oid: int
    relfilenode: int
    columns: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Held:
    """A table of now, and the heap and the number of rows that it had at an earlier instant."""

    shape: TableShape
    heap: Heap
    rows: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some blocks of a table, as a rule all; without an end all that follow."""

    held: Held
    first: int = 0
    end: int | None = None


def read_instant(connection: Connection) -> Instant | None:
    """Read the horizon of the connection's snapshot; None where nothing may be told by it.

    That is on a standby, and where this user may not learn which server this is.
    """
    if connection.execute(_MAY_ASK).fetchone() != (True,):
        return None
    row = connection.execute(_INSTANT).fetchone()
    return None if row is None or None in row else Instant(*row)


def read_heaps(connection: Connection, shapes: Sequence[TableShape]) -> Mapping[int, Heap]:
    """Read the heaps of the tables whose rows are settled by their bytes, by oid.

    Left out are partitioned tables, other access methods, columns that are computed when read, and types whose values
    are told by more than their bytes.
    """
    plain = [shape.oid for shape in shapes if all(_by_bytes(column.kind) for column in shape.columns)]
    rows = connection.execute(_HEAPS, (plain,)).fetchall()
    return {oid: Heap(oid, file, dict(zip(attnums, columns, strict=True))) for oid, file, attnums, columns in rows}


def _by_bytes(kind: str) -> bool:
    schema, dot, name = kind.rpartition(".")
    return kind in _KINDS if not dot else schema == "pg_catalog" and name.removeprefix("_") in _BUILTIN.split()


def tableoid(shape: TableShape) -> sql.Composable:
    """The oid of the table that a statement really reads, where it is one table and has a row; else NULL.

    Tables are read by name, and names may change hands after the catalog was read.
    """
    if shape.relkind != "r" or shape.schema == "pg_catalog" or shape.condition:
        return sql.SQL("NULL::oid")
    # age() keeps the planner from starting parallel workers for one row.
    return sql.SQL("(SELECT tableoid FROM {} WHERE age(xmin) IS NOT NULL LIMIT 1)").format(shape.source())


def unmoved(
    connections: Sequence[Connection], then: Instant | None, tables: Sequence[Held], *, copied: bool
) -> frozenset[int]:
    """Find the tables that hold the very row versions they held at an instant; their oids.

    The connections share one snapshot. `copied` says that their database is a copy of the instant's, or a copy of such
    a copy, made since; otherwise only that database itself will do.
    Raises TargetUnusable where reading was cut off.
    """
    if then is None or not tables:
        return frozenset()
    try:
        if not _reaches(connections[0], then, copied=copied):
            return frozenset()
        now = read_heaps(connections[0], [held.shape for held in tables])
        for connection in connections:
            connection.execute(_BEGIN)
    except psycopg.Error as error:
        raise unreadable("the catalog", error) from error
    same = [held for held in tables if held.shape.oid in now and _same_file(held.heap, now[held.shape.oid])]
    moved: set[int] = set()

    def read(connection: Connection, piece: _Piece) -> tuple[int, int]:
        oid = piece.held.shape.oid
        rows = None if oid in moved else _rows(connection, piece, then)
        if rows is None:
            moved.add(oid)
        return oid, rows or 0

    counted = {held.shape.oid: 0 for held in same}
    # Reading by pieces goes past the ring of buffers that spares a server's cache: for our own servers only.
    pieces = [piece for held in same for piece in (_pieces(held) if copied else [_Piece(held)])]
    for oid, rows in spread(connections, pieces, read, connections):
        counted[oid] += rows
    try:
        for connection in connections:
            connection.execute(_END)
    except psycopg.Error as error:
        raise unreadable("the catalog", error) from error
    return frozenset(held.heap.oid for held in same if held.rows == counted[held.heap.oid]) - moved


def _reaches(connection: Connection, then: Instant, *, copied: bool) -> bool:
    """Whether the instant's horizon means anything in the database as this connection sees it."""
    now = read_instant(connection)
    server = (then.system_identifier, then.started_at, then.statistics_since)
    if now is None or server != (now.system_identifier, now.started_at, now.statistics_since):
        return False
    row = connection.execute(_DATABASE, (then.horizon, str(then.horizon % _NUMBERS))).fetchone()
    if row is None or not 0 <= row[0] < _MOST_TRANSACTIONS:
        return False
    # The database's own row in pg_database: an oid may be given out again, and a copy must be younger than the instant.
    older = bool(row[1])
    return older if now.database_oid == then.database_oid else copied and not older


def _same_file(then: Heap, now: Heap) -> bool:
    """Whether the rows lie where they lay and every former column reads them as before; new columns do not matter."""
    file = (then.oid, then.relfilenode) == (now.oid, now.relfilenode)
    return file and all(now.columns.get(attnum) == column for attnum, column in then.columns.items())


def _pieces(held: Held) -> list[_Piece]:
    """Cut a table, the last piece first: new rows are likely there, and spare a moved table's other pieces."""
    last = max(held.shape.size_bytes // _BLOCK_BYTES - 1, 0) // _PIECE_BLOCKS * _PIECE_BLOCKS
    firsts = range(0, last, _PIECE_BLOCKS)
    return [_Piece(held, last), *(_Piece(held, first, first + _PIECE_BLOCKS) for first in firsts)]


def _rows(connection: Connection, piece: _Piece, then: Instant) -> int | None:
    """Count a piece's rows; None where one of them is young, or where there are no headers to be read."""
    shape = piece.held.shape
    bounds = [(">=", piece.first)] if piece.first else []
    if piece.end is not None:
        bounds.append(("<", piece.end))
    conditions = [
        sql.SQL("ctid {} {}::tid").format(sql.SQL(operator), sql.Literal(f"({block},0)")) for operator, block in bounds
    ]
    query = sql.SQL(_HEADERS).format(
        horizon=sql.Literal(str(then.horizon % _NUMBERS)),
        table=shape.source(),
        within=sql.SQL("WHERE " if conditions else "") + sql.SQL(" AND ").join(conditions),
    )
    try:
        row = connection.execute(query).fetchone()
    except psycopg.OperationalError as error:  # cancelled, locked out, cut off
        raise unreadable(shape.table, error) from error
    except psycopg.Error:
        connection.execute(_END)
        return None
    rows, old, oid = row or (0, -1, None)
    return int(rows) if rows == old and (rows == 0 or oid == shape.oid) else None
