"""Who queues behind a statement that has to wait for one open transaction, shown on a copy that is thrown away.

A lock that is waited for keeps out whoever comes later and conflicts with it, although nobody holds it yet (PostgreSQL
manual, "Explicit Locking"). So the tables of a statement are held open by a transaction that has read them, or written
them where reading conflicts with nothing; the statement waits for it, and a reader and a writer wait for the statement.
Then the transaction is let go, and the migration goes on.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from pytest_dryrun.model.scripts import Statement
from pytest_dryrun.postgres import outside
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.rehearsal.observe.observation import STOP_READERS
from pytest_dryrun.sql.names import identifier

# A statement as migration and line, and the tables it locks, each with its mode.
Place = tuple[str, int]
Locks = Mapping[str, str]

_POLL_S = 0.005
# What waits for a lock says so at once; one that has not by then does not wait.
_QUEUED_WITHIN_S = 0.5
_HOLDER_S = 0.2
_READ = sql.SQL("SELECT 1 FROM {} LIMIT 0")
_WRITE = sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE")
# A materialized view has no writers.
_NO_TABLE = "SELECT relkind = 'm' FROM pg_class WHERE oid = to_regclass(%s)"
_BLOCKED_BY = "SELECT %s = ANY (pg_blocking_pids(%s))"
_WANTS = """
SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE l.pid = %s AND NOT l.granted AND l.locktype = 'relation'
"""


class AllShown(Exception):
    """Every statement was tried: what follows in the migrations shows nothing more."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What came of one statement while a transaction held its tables open.

    `waited` tells that the statement waited for it, `behind` who then had to wait for the statement: `readers`,
    `writers`. `reason` says why nothing could be shown.
    """

    waited: bool = False
    behind: tuple[str, ...] = ()
    reason: str = ""


class QueueWatch:
    """An Observer of a deploy to a copy: holds the tables of the given statements open, one statement after another.

    A context manager. `shown` tells what came of each; statements that never came, or came after `deadline_s` (of the
    monotonic clock), are missing there. The deploy is ended with AllShown as soon as nothing is left to be shown.
    """

    def __init__(self, superuser: Conninfo, statements: Mapping[Place, Locks], *, deadline_s: float) -> None:
        self.shown: dict[Place, Queue] = {}
        self._conninfo = superuser
        self._statements = dict(statements)
        self._deadline_s = deadline_s
        self._migrating: psycopg.Connection[Any] | None = None
        self._sessions = contextlib.ExitStack()
        self._ended = threading.Event()
        self._watching: threading.Thread | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opened:
            self._control = self._open(opened)
            self._holder = self._open(opened)
            self._sessions = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._settle()
        self._sessions.close()

    def connected(self, connection: psycopg.Connection[Any]) -> None:
        """Note the migrating session."""
        self._migrating = connection

    def follows(self, migration: str, statement: Statement) -> bool:
        """Every statement is looked at singly."""
        del migration, statement
        return False

    def before(self, migration: str, statement: Statement, *, alone: bool = False) -> None:
        """Hold the statement's tables open, and watch in a thread what happens; raises AllShown where none is left."""
        del alone
        self._settle()
        if not self._statements.keys() - self.shown.keys() or time.monotonic() > self._deadline_s:
            raise AllShown
        locks = self._statements.get((migration, statement.line))
        if locks is None or self._migrating is None:
            return
        place = (migration, statement.line)
        if reason := self._hold(locks):
            self.shown[place] = Queue(reason=reason)
            return
        self._ended.clear()
        self._watching = threading.Thread(
            target=self._watch, args=(place, locks, self._migrating.info.backend_pid), name="dryrun-queue", daemon=True
        )
        self._watching.start()

    def after(self, migration: str, statement: Statement, duration_ms: float) -> None:
        """The statement has ended: whatever is held is let go."""
        del migration, statement, duration_ms
        self._settle()

    def ended(self, migration: str) -> None:
        """Nothing is held between statements."""
        del migration

    def _open(self, stack: contextlib.ExitStack) -> psycopg.Connection[Any]:
        session = connect(self._conninfo, statement_timeout_s=10)
        stack.enter_context(contextlib.closing(session))
        return session

    def _hold(self, locks: Locks) -> str:
        """Open a transaction that has read or written every table; says why that cannot be."""
        try:
            self._holder.execute("BEGIN")
            self._holder.execute(f"SET LOCAL lock_timeout = {int(_HOLDER_S * 1000)}".encode())
            for table, mode in locks.items():
                reads = mode in STOP_READERS or self._holder.execute(_NO_TABLE, (table,)).fetchone() == (True,)
                self._holder.execute((_READ if reads else _WRITE).format(identifier(table)))
        except psycopg.Error as error:
            self._holder.rollback()
            return f"its tables could not be held open: {str(error).splitlines()[0]}"
        return ""

    def _watch(self, place: Place, locks: Locks, migrating: int) -> None:
        """Wait until the migration waits for the holder, see who queues behind it, and let the holder go."""
        try:
            self.shown[place] = self._queue(locks, migrating)
            if not self._statements.keys() - self.shown.keys():  # nothing that follows would be looked at
                outside.cancel(self._control, migrating)
        except psycopg.Error as error:
            self.shown[place] = Queue(reason=str(error).splitlines()[0])
        finally:
            if self._holder.info.transaction_status != TransactionStatus.IDLE and not self._holder.broken:
                self._holder.rollback()

    def _queue(self, locks: Locks, migrating: int) -> Queue:
        while not self._blocked(migrating, self._holder.info.backend_pid):
            if time.monotonic() > self._deadline_s:
                return Queue(reason="it had not come to wait when the time for the second pass was over")
            if self._ended.wait(_POLL_S):
                return Queue()
        wanted = self._control.execute(_WANTS, (migrating,)).fetchone()
        table = wanted[0] if wanted and wanted[0] in locks else next(iter(locks))
        questions = {"readers": _READ, "writers": _WRITE}
        behind = [who for who, text in questions.items() if self._waits(text.format(identifier(table)), migrating)]
        return Queue(waited=True, behind=tuple(behind))

    def _waits(self, question: sql.Composed, migrating: int) -> bool:
        """Ask what an application would, and tell whether it has to wait for the migration."""
        with contextlib.ExitStack() as stack:
            other = self._open(stack)
            other.execute("BEGIN")
            other.pgconn.send_query(question.as_bytes(other))
            until_s = time.monotonic() + _QUEUED_WITHIN_S
            waits = False
            while not waits and time.monotonic() < until_s:
                other.pgconn.consume_input()
                if not other.pgconn.is_busy():
                    break
                waits = self._blocked(other.info.backend_pid, migrating)
            if other.pgconn.transaction_status == TransactionStatus.ACTIVE:
                other.cancel_safe(timeout=5)
                while other.pgconn.get_result() is not None:
                    pass
            return waits

    def _blocked(self, pid: int, by: int) -> bool:
        row = self._control.execute(_BLOCKED_BY, (by, pid)).fetchone()
        return bool(row and row[0])

    def _settle(self) -> None:
        self._ended.set()
        if self._watching is not None:
            self._watching.join()
            self._watching = None
