"""Whether others would queue behind a statement that itself has to wait for one idle reader."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import pq

from pytest_dryrun.postgres.connection import Conninfo, connect

_POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class Queue:
    """What came of one statement while an idle reader held its table open.

    `queued` tells that a plain read had to wait behind the statement. `gave_up_ms` is when the statement gave up by its
    own `lock_timeout`, None where it would have waited as long as the reader stayed. `reason` says why nothing could be
    shown.
    """

    table: str
    queued: bool
    gave_up_ms: float | None = None
    reason: str = ""


def queues_behind_reader(
    conninfo: Conninfo,
    table: str,
    statement: str,
    *,
    lock_timeout_ms: int,
    patience_s: float = 0.5,
    time_limit_s: float = 30,
) -> Queue:
    """Run one statement on the copy behind an idle reader of `table`, watch a second reader, roll everything back.

    `table` is qualified and quoted. What has not given up `patience_s` after its `lock_timeout` is cut
    off. A statement that cannot run inside a transaction shows nothing.
    """
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(_session(conninfo, time_limit_s))
        migration = stack.enter_context(_session(conninfo, time_limit_s))
        other = stack.enter_context(_session(conninfo, time_limit_s))
        control = stack.enter_context(_session(conninfo, time_limit_s))
        reader.execute("BEGIN")
        reader.execute(f"SELECT 1 FROM {table} LIMIT 0".encode())
        migration.execute("SELECT set_config('search_path', '\"$user\", public', false)")
        migration.execute("BEGIN")
        migration.execute("SELECT set_config('lock_timeout', %s, true)", (str(lock_timeout_ms),))
        started_s = time.monotonic()
        migration.pgconn.send_query(statement.encode())
        if not _waits(control, migration, until_s=started_s + patience_s):
            code = _answer(migration, until_s=started_s + patience_s)
            if code == "55P03":
                return Queue(table, queued=False, gave_up_ms=(time.monotonic() - started_s) * 1000)
            reason = (
                f"the statement failed with SQLSTATE {code}" if code else "the statement did not wait for the reader"
            )
            return Queue(table, queued=False, reason=reason)
        other.pgconn.send_query(f"SELECT 1 FROM {table} LIMIT 0".encode())
        queued = _waits(control, other, until_s=time.monotonic() + 0.1)
        code = _answer(migration, until_s=started_s + min(patience_s + lock_timeout_ms / 1000, time_limit_s))
        gave_up_ms = (time.monotonic() - started_s) * 1000 if code == "55P03" else None
        return Queue(table, queued=queued, gave_up_ms=gave_up_ms)


@contextlib.contextmanager
def _session(conninfo: Conninfo, time_limit_s: float) -> Iterator[psycopg.Connection[Any]]:
    """Open a session that is ended at the server, however busy it is."""
    session = connect(conninfo, statement_timeout_s=time_limit_s)
    try:
        yield session
    finally:
        with contextlib.closing(session):
            if session.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
                session.cancel_safe(timeout=5)
                _answer(session, until_s=time.monotonic() + 5)
            session.pgconn.exec_(b"ROLLBACK")


def _waits(control: psycopg.Connection[Any], session: psycopg.Connection[Any], *, until_s: float) -> bool:
    """Tell whether the session comes to wait for a lock, looking until then or until it has its answer."""
    while time.monotonic() < until_s:
        row = control.execute(
            "SELECT wait_event_type = 'Lock' FROM pg_stat_get_activity(%s)", (session.info.backend_pid,)
        ).fetchone()
        if row and row[0]:
            return True
        session.pgconn.consume_input()
        if not session.pgconn.is_busy():
            return False
        time.sleep(_POLL_S)
    return False


def _answer(session: psycopg.Connection[Any], *, until_s: float) -> str | None:
    """Take in the answer: the SQLSTATE of its first error, `""` where all went well, None where none came in time."""
    code = ""
    while True:
        session.pgconn.consume_input()
        while not session.pgconn.is_busy():
            result = session.pgconn.get_result()
            if result is None:
                return code
            if result.status == pq.ExecStatus.FATAL_ERROR and not code:
                code = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"XX000").decode()
        if time.monotonic() > until_s:
            return None
        time.sleep(_POLL_S)
