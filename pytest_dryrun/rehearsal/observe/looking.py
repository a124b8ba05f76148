"""What the migrating session and a second one are asked about a statement that has just ended.

Sources: PostgreSQL manual, "The Cumulative Statistics System" (the `pg_stat_get_xact_*` functions see only the calling
session), "pg_locks", "System Information Functions and Operators" (`pg_xact_status`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import psycopg
from psycopg.pq import TransactionStatus

# After these a transaction may still be given its isolation level, which must come before any query; none reads a row.
QUIET = frozenset(
    {
        "", "BEGIN", "START TRANSACTION", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "SET", "RESET", "SHOW",
        "SET CONSTRAINTS", "LOCK TABLE", "PREPARE TRANSACTION", "COMMIT PREPARED", "ROLLBACK PREPARED", "DISCARD",
    }
)  # fmt: skip

# Nothing here depends on the session: every name is qualified, and the savepoint keeps a failure from the migration.
_OPEN = "SAVEPOINT pytest_dryrun_look"
_CLOSE = "RELEASE SAVEPOINT pytest_dryrun_look"
_UNDO = f"ROLLBACK TO SAVEPOINT pytest_dryrun_look; {_CLOSE}"
_SUMS = """
SELECT pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text,
    pg_catalog.current_setting('event_triggers', true),
    (SELECT pg_catalog.sum(c.relfilenode::pg_catalog.int8) FROM pg_catalog.pg_class c)::pg_catalog.int8
"""
_COUNTS = """
SELECT t.oid::pg_catalog.int8, t.read, t.written, t.inserted FROM (
    SELECT c.oid, pg_catalog.pg_stat_get_xact_tuples_returned(c.oid) AS read,
        pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid)
        OPERATOR(pg_catalog.+) pg_catalog.pg_stat_get_xact_tuples_updated(c.oid)
        OPERATOR(pg_catalog.+) pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) AS written,
        pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) AS inserted
    FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
        AND c.relpersistence OPERATOR(pg_catalog.<>) 't'::pg_catalog."char"
        AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,m,i}'::pg_catalog."char"[])) t
WHERE t.read OPERATOR(pg_catalog.>) 0 OR t.written OPERATOR(pg_catalog.>) 0
"""
_FILES = """
SELECT c.oid::pg_catalog.int8, c.relfilenode::pg_catalog.int8,
    pg_catalog.pg_relation_size(c.oid, 'main') OPERATOR(pg_catalog.=) 0
FROM pg_catalog.pg_class c, ROWS FROM (
    pg_catalog.unnest(%s::pg_catalog.int8[]), pg_catalog.unnest(%s::pg_catalog.int8[])) AS known (oid, file)
WHERE c.oid::pg_catalog.int8 OPERATOR(pg_catalog.=) known.oid
    AND c.relfilenode::pg_catalog.int8 OPERATOR(pg_catalog.<>) known.file
"""
_OUTSIDE = """
SELECT extract(epoch FROM clock_timestamp())::float8,
    CASE WHEN a.state LIKE 'idle in transaction%%' THEN extract(epoch FROM a.xact_start)::text ELSE '' END,
    (SELECT coalesce(jsonb_agg(jsonb_build_array(l.relation::int8, l.mode)), '[]') FROM pg_locks l
        WHERE l.pid = a.pid AND l.locktype = 'relation' AND l.granted AND l.relation >= 16384
            AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())),
    pg_snapshot_xmax(pg_current_snapshot())::text::int8
FROM pg_stat_get_activity(%s) a
"""
_BEGINNING = "SELECT extract(epoch FROM clock_timestamp())::float8, pg_snapshot_xmax(pg_current_snapshot())::text::int8"
_TAKEN_BACK = """
SELECT count(*) FROM generate_series(%s::int8, %s::int8 - 1) AS xid WHERE pg_xact_status(xid::text::xid8) = 'aborted'
"""


@dataclass(frozen=True, slots=True)
class Inside:
    """What the migrating session said inside its open transaction.

    `counts` are rows read, written and of those inserted so far, by oid, what was undone again included; `files` adds
    up all file numbers, so that a change shows.
    """

    xid: str
    silenced: bool
    files: int
    counts: Mapping[int, tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class Outside:
    """What a second session sees of the migrating one: the server's clock, its open transaction and its locks.

    Transactions, and parts of them, with a number below `next_xid` may have ended; none from there on has.
    """

    clock: float
    transaction: str
    locks: tuple[tuple[int, str], ...]
    next_xid: int


class LookFailed(Exception):
    """The migrating session could not be asked; its transaction goes on as if nobody had asked."""


def can_look(session: psycopg.Connection[Any] | None) -> bool:
    """Whether a transaction is open in this session and has not failed."""
    return session is not None and session.pgconn.transaction_status == TransactionStatus.INTRANS


def look_inside(session: psycopg.Connection[Any]) -> Inside:
    """Ask the migrating session, in its open transaction; raises LookFailed."""
    try:
        cursor = session.execute(f"{_OPEN}; {_SUMS}; {_COUNTS}; {_CLOSE}")
        cursor.nextset()
        xid, triggers, files = cursor.fetchone() or ("", "on", 0)
        cursor.nextset()
        counts = {oid: (read, written, inserted) for oid, read, written, inserted in cursor.fetchall()}
    except psycopg.Error as error:
        _undo(session, error)
    return Inside(xid or "", triggers == "off", int(files or 0), counts)


def new_files(session: psycopg.Connection[Any], known: Mapping[int, int]) -> dict[int, tuple[int, bool]]:
    """The relations of `known` that have another file now, and whether it is empty; raises LookFailed.

    Asked in the migrating session while its transaction is open, since others do not see its files yet.
    """
    inside = can_look(session)
    try:
        if inside:
            session.execute(_OPEN)
        rows = session.execute(_FILES, (list(known), list(known.values()))).fetchall()
        if inside:
            session.execute(_CLOSE)
    except psycopg.Error as error:
        if not inside:
            raise
        _undo(session, error)
    return {oid: (file, empty) for oid, file, empty in rows}


def look_outside(session: psycopg.Connection[Any], pid: int) -> Outside | None:
    """Ask a session of our own about the migrating one; None where that is gone."""
    row = session.execute(_OUTSIDE, (pid,)).fetchone()
    return Outside(row[0], row[1], tuple((oid, mode) for oid, mode in row[2]), row[3]) if row else None


def beginning(session: psycopg.Connection[Any]) -> tuple[float, int]:
    """The server's clock and the first number of a transaction that has not ended, asked before a statement."""
    row = session.execute(_BEGINNING).fetchone()
    return (float(row[0]), int(row[1])) if row else (0.0, 0)


def taken_back(session: psycopg.Connection[Any], first: int, end: int) -> int:
    """How many transactions, or parts of them, with a number from `first` to below `end` were rolled back."""
    row = session.execute(_TAKEN_BACK, (first, end)).fetchone() if first < end else None
    return int(row[0]) if row else 0


def sum_of_files(session: psycopg.Connection[Any]) -> int:
    """Add up all file numbers, asked from outside."""
    row = session.execute(_SUMS).fetchone()
    return int(row[2] or 0) if row else 0


def _undo(session: psycopg.Connection[Any], error: psycopg.Error) -> NoReturn:
    if not session.broken and session.pgconn.transaction_status == TransactionStatus.INERROR:
        session.execute(_UNDO)
    raise LookFailed(str(error).splitlines()[0]) from error


def aborted(session: psycopg.Connection[Any], xids: set[str]) -> frozenset[str]:
    """Those of these transactions that were rolled back."""
    rows = session.execute(
        "SELECT xid FROM unnest(%s::text[]) AS xid WHERE pg_xact_status(xid::xid8) = 'aborted'", (sorted(xids),)
    )
    return frozenset(xid for (xid,) in rows)
