"""The migrating session: one connection that sends scripts by the simple query protocol, each under a time limit.

A tool's session has the server's defaults, not the pinned settings of `postgres.connection.connect`: what a role or
database sets (`lock_timeout`, `statement_timeout`, `search_path`) is part of what is tried.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import generators, sql
from psycopg.pq import ExecStatus, TransactionStatus

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.postgres.connection import APPLICATION_NAME, Conninfo, unusable

NOTICES_KEPT = 50
NOTICE_LENGTH = 500
CANCEL_GRACE_S = 10.0
BOOKKEEPING_S = 10.0
LOCK_WAIT_S = 10.0
_COPY = {ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH}
_SYNTAX_ERROR = "42601"


class LimitReached(Exception):
    """The time limit passed; `cancelled` is False where the server would not let go."""

    def __init__(self, *, cancelled: bool) -> None:
        super().__init__(cancelled)
        self.cancelled = cancelled


class QueryFailed(Exception):
    """A command of a simple query failed: the driver's error, and how many commands before it succeeded."""

    def __init__(self, error: psycopg.Error, done: int) -> None:
        super().__init__(error, done)
        self.error = error
        self.done = done


class Session:
    """One open migrating connection, its deadline and the notices it received."""

    def __init__(self, conninfo: Conninfo, connection: psycopg.Connection[Any], *, timeout_s: float) -> None:
        self.conninfo = conninfo
        self.connection = connection
        self.timeout_s = timeout_s
        self.deadline = time.monotonic() + timeout_s
        self._notices: list[str] = []
        self._server_warnings: list[str] = []
        self._notice_count = 0
        connection.add_notice_handler(self._notice)

    @property
    def idle(self) -> bool:
        """No transaction is open."""
        return self.connection.pgconn.transaction_status == TransactionStatus.IDLE

    @property
    def in_transaction(self) -> bool:
        """A transaction is open and has not failed."""
        return self.connection.pgconn.transaction_status == TransactionStatus.INTRANS

    @property
    def notices(self) -> tuple[str, ...]:
        """The first notices, each cut, and how many more there were."""
        more = self._notice_count - len(self._notices)
        return (*self._notices, *((f"... and {more} more notices",) if more else ()))

    @property
    def server_warnings(self) -> tuple[str, ...]:
        """Those of them that the server calls warnings."""
        return tuple(self._server_warnings)

    def script(self, text: str) -> None:
        """Send a text as one simple query and wait for its end, at most until the deadline.

        Raises QueryFailed, or LimitReached after having cancelled it.
        """
        self._simple_query(text.encode(), self.deadline)

    def bookkeep(self, query: sql.Composed | sql.SQL) -> str | None:
        """Run one bookkeeping command, for which a little time is always left; return its first value as text."""
        results = self._simple_query(query.as_bytes(self.connection), time.monotonic() + BOOKKEEPING_S)
        value = results[-1].get_value(0, 0) if results and results[-1].ntuples else None
        return value.decode() if value is not None else None

    def setting(self, name: str) -> str:
        """Ask for the session's present value of a setting."""
        return self.bookkeep(sql.SQL("SELECT pg_catalog.current_setting({})").format(sql.Literal(name))) or ""

    def roll_back(self) -> None:
        """Leave whatever transaction is open; a session that is beyond that is closed."""
        if self.connection.closed or self.idle:
            return
        if self.connection.pgconn.transaction_status == TransactionStatus.ACTIVE:
            self.connection.close()
            return
        with suppress(QueryFailed, LimitReached, psycopg.Error):
            self._simple_query(b"ROLLBACK", time.monotonic() + BOOKKEEPING_S)

    def parses(self, text: str) -> bool:
        """Ask the server whether a text is exactly one command: its Parse takes neither two nor half of one.

        Errors of another kind (a table that is not there) mean that it parsed. Call it outside transactions:
        an error ends one.
        """
        pgconn = self.connection.pgconn
        pgconn.send_prepare(b"", text.encode())
        results = self._wait(time.monotonic() + BOOKKEEPING_S)
        return all(
            result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) != _SYNTAX_ERROR.encode() for result in results
        )

    def parse_alone(self, texts: list[str]) -> bool:
        """Ask the same for many texts at once, without the server looking at any table.

        A transaction that has failed answers every command with 25P02, but only after its own parser took it
        (`exec_parse_message`). It leaves errors in the server's log, so this is for disposable copies.
        """
        with suppress(QueryFailed):
            self._simple_query(b"BEGIN; SELECT 1/0", time.monotonic() + BOOKKEEPING_S)
        try:
            return all(self.parses(text) for text in texts)
        finally:
            self.roll_back()

    def _simple_query(self, query: bytes, deadline: float) -> list[psycopg.pq.abc.PGresult]:
        if time.monotonic() >= deadline:
            raise LimitReached(cancelled=True)
        pgconn = self.connection.pgconn
        try:
            pgconn.send_query(query)
            results = self._wait(deadline)
        except psycopg.Error as error:
            raise QueryFailed(error, 0) from error
        last = results[-1]
        if last.status in _COPY:
            self.connection.close()
            raise QueryFailed(
                psycopg.NotSupportedError("COPY from or to the client cannot be part of a migration"), len(results) - 1
            )
        if last.status == ExecStatus.FATAL_ERROR:
            refused = psycopg.errors.error_from_result(last, encoding="utf-8")
            if refused.sqlstate == "57014" and time.monotonic() >= deadline:
                raise LimitReached(cancelled=True) from refused
            raise QueryFailed(refused, len(results) - 1)
        return results

    def _wait(self, deadline: float) -> list[psycopg.pq.abc.PGresult]:
        """Wait in slices, so that Ctrl-C is heard; past the deadline cancel, once a second, until it ends."""
        return self.connection.wait(self._until(generators.execute(self.connection.pgconn), deadline))

    def _until(self, steps: Generator[Any, Any, Any], deadline: float) -> Generator[Any, Any, Any]:
        cancel_at = deadline
        try:
            wanted = next(steps)
            while True:
                ready = yield wanted
                now = time.monotonic()
                if now >= deadline + CANCEL_GRACE_S:
                    self.connection.close()
                    raise LimitReached(cancelled=False)
                if now >= cancel_at:
                    cancel_at = now + 1
                    with suppress(psycopg.Error):
                        self.connection.cancel_safe(timeout=2)
                wanted = steps.send(ready)
        except StopIteration as end:
            return end.value

    def _notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        self._notice_count += 1
        if len(self._notices) >= NOTICES_KEPT:
            return
        text = f"{diagnostic.severity}: {diagnostic.message_primary or ''}"[:NOTICE_LENGTH]
        self._notices.append(text)
        if diagnostic.severity_nonlocalized == "WARNING":
            self._server_warnings.append(text)


@contextmanager
def migrating_session(conninfo: Conninfo, *, timeout_s: float) -> Iterator[Session]:
    """Open a session with the server's own settings; only a name and an upper limit for statements are ours.

    A `statement_timeout` that the role or database sets lower than the limit stays. Raises TargetUnusable.
    """
    parameters: dict[str, Any] = {"connect_timeout": "10", "application_name": APPLICATION_NAME}
    try:
        connection = psycopg.connect(
            **{**parameters, **conninfo.parameters(), "client_encoding": "UTF8"}, autocommit=True
        )
    except psycopg.OperationalError as error:
        raise unusable(conninfo, error) from error
    with connection:
        connection.prepare_threshold = None
        # A safety net for the case that this process dies; one second later than the limit that is told to the reader.
        limit_ms = int(timeout_s * 1000) + 1000
        connection.execute(
            "SELECT pg_catalog.set_config('statement_timeout', %s, false)"
            " FROM pg_catalog.pg_settings WHERE name = 'statement_timeout' AND setting::int NOT BETWEEN 1 AND %s",
            (str(limit_ms), limit_ms),
        )
        yield Session(conninfo, connection, timeout_s=timeout_s)


def take_lock(session: Session, key: int, *, whose: str) -> None:
    """Take a session-level advisory lock by the try form, for at most ten seconds; it goes with the session.

    The blocking form would leave a queued backend behind that may get the lock later (prisma issue 12999).
    """
    give_up_at = time.monotonic() + LOCK_WAIT_S
    query = sql.SQL("SELECT pg_catalog.pg_try_advisory_lock({})").format(sql.Literal(key))
    while session.bookkeep(query) != "t":
        if time.monotonic() >= give_up_at:
            holder = lock_holder(session.connection, key) or "Somebody who has just let go"
            raise TargetUnusable(
                f"{holder} holds {whose} on database {session.conninfo.dbname!r}.",
                f"Another deploy is running, or left it behind; after {LOCK_WAIT_S:.0f} s nothing was applied.",
                "Wait for it to end, or end that session with pg_terminate_backend, then run again.",
            )
        time.sleep(0.2)


def lock_holder(connection: psycopg.Connection[Any], key: int) -> str:
    """Say which other session of this database holds an advisory lock; empty where none does."""
    row = connection.execute(
        "SELECT l.pid, COALESCE(NULLIF(a.application_name, ''), 'no application name'), COALESCE(a.usename::text, '?'),"
        " COALESCE(pg_catalog.host(a.client_addr), 'local') FROM pg_catalog.pg_locks l"
        " LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid"
        " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.pid <> pg_catalog.pg_backend_pid()"
        " AND l.classid::bigint = %s AND l.objid::bigint = %s"
        " AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())",
        (key >> 32, key & 0xFFFFFFFF),
    ).fetchone()
    return f"Backend {row[0]} ({row[1]}, user {row[2]}, from {row[3]})" if row else ""
