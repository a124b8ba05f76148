"""A writer that wants the very rows a migration has locked, and so shows that they are locked and for how long.

Which rows a migration will write is not known before, and a sampled key is rarely one of them. So the writer asks for
whichever row carries the mark of the migrating transaction: in the version that others still see, an UPDATE, a DELETE
and a SELECT FOR UPDATE leave their number in `xmax` (PostgreSQL manual, "System Columns"). It asks as an UPDATE does
(FOR NO KEY UPDATE) but never waits: NOWAIT has the server refuse it (55P03), so it cannot stop the migration, take part
in a deadlock, or change a row. An INSERT of the key of a row that is being deleted waits as long as that UPDATE would.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import psycopg
from psycopg import sql

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.rehearsal.observe.observation import RowWait
from pytest_dryrun.sql.names import identifier

_INTERVAL_S = 0.01
# A search holds ROW SHARE on the table, for which an ALTER TABLE of the migration would have to wait.
_SEARCH_S = 0.1
# A search that found nothing took one part of the time, the pause behind it takes so many.
_PAUSE = 10

_TABLES = """
SELECT c.oid::int8, format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.oid >= 16384 AND c.relpersistence <> 't'
"""
_WRITING = """
SELECT DISTINCT l.relation::int8, a.backend_xid::text FROM pg_locks l JOIN pg_stat_get_activity(NULL) a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.mode IN ('RowExclusiveLock', 'RowShareLock')
    AND l.relation = ANY(%s::oid[]) AND a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid() AND a.pid <> %s
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_MARKED = "xmax <> '0'::xid AND age(xmax) <= age({xid}::xid)"
_WANT = sql.SQL(f"SELECT 1 FROM ONLY {{table}} WHERE {_MARKED} LIMIT 1 FOR NO KEY UPDATE NOWAIT")
_COUNT = sql.SQL(f"SELECT count(*) FROM ONLY {{table}} WHERE {_MARKED}")


@dataclass(slots=True)
class _Writing:
    """One transaction that may have locked rows of one table."""

    table: str
    xid: str
    started_s: float
    confirmed: bool = False
    rows: int = 0
    ask_s: float = 0.0
    count_s: float = 0.0

    def ended(self, now_s: float) -> RowWait:
        return RowWait(self.table, self.started_s, now_s, self.confirmed, self.rows)


class RowProbes:
    """Looks from `start()` to `stop()` which transaction writes which of these tables, and asks for its rows.

    `tables` are qualified and quoted names. Two sessions and one thread; a time is right to about `_INTERVAL_S`. Where
    a table is too large to be searched in `_SEARCH_S`, the transaction's whole time on it counts.
    """

    def __init__(self, conninfo: Conninfo, tables: Iterable[str]) -> None:
        self._conninfo = conninfo
        self._wanted = frozenset(tables)
        self._tables: dict[int, str] = {}
        self._writing: dict[tuple[int, str], _Writing] = {}
        self._waits: list[RowWait] = []
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._sessions = contextlib.ExitStack()
        self._trouble: psycopg.Error | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Open the sessions and begin to look."""
        with contextlib.ExitStack() as opened:
            control = opened.enter_context(contextlib.closing(connect(self._conninfo, statement_timeout_s=10)))
            writer = opened.enter_context(contextlib.closing(connect(self._conninfo, statement_timeout_s=_SEARCH_S)))
            self._tables = {oid: name for oid, name in control.execute(_TABLES) if name in self._wanted}
            self._sessions = opened.pop_all()
        self._thread = threading.Thread(target=self._run, args=(control, writer), name="dryrun-row-probes", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End looking and close the sessions; may be called twice.

        Raises TargetUnusable when the sessions had been lost: then no wait at all is proof of nothing.
        """
        if self._thread is None:
            return
        self._ending.set()
        self._thread.join()
        self._thread = None
        self._sessions.close()
        if self._trouble is not None:
            raise TargetUnusable(
                f"The sessions that ask for locked rows of the copy were lost: {str(self._trouble).splitlines()[0]}",
                "How long rows stayed locked is unknown, so nothing is decided from it.",
                "Look for the cause in the disposable server's log, and run again.",
            ) from self._trouble

    def waits(self) -> tuple[RowWait, ...]:
        """Every transaction's time on every table that it wrote or locked rows of, in the order they ended."""
        return tuple(self._waits)

    def _run(self, control: psycopg.Connection[Any], writer: psycopg.Connection[Any]) -> None:
        try:
            while self._tables and not self._ending.wait(_INTERVAL_S):
                self._look(control, writer)
        except psycopg.Error as error:
            self._trouble = error
        now = time.monotonic()
        self._waits.extend(one.ended(now) for one in self._writing.values())

    def _look(self, control: psycopg.Connection[Any], writer: psycopg.Connection[Any]) -> None:
        rows = control.execute(_WRITING, (list(self._tables), writer.info.backend_pid)).fetchall()
        now = time.monotonic()
        there = {(int(oid), str(xid)) for oid, xid in rows}
        for key in [key for key in self._writing if key not in there]:
            self._waits.append(self._writing.pop(key).ended(now))
        for oid, xid in there:
            one = self._writing.setdefault((oid, xid), _Writing(self._tables[oid], xid, now))
            if not one.confirmed and now >= one.ask_s:
                _ask(writer, one)
            if one.confirmed and now >= one.count_s:
                _count(writer, one)


def _ask(writer: psycopg.Connection[Any], one: _Writing) -> None:
    """Want a row that the transaction has locked; where there is none yet, its time begins only now."""
    began = time.monotonic()
    try:
        found = writer.execute(_statement(_WANT, one)).fetchone()
    except psycopg.errors.LockNotAvailable:
        one.confirmed = True
    except (psycopg.errors.QueryCanceled, psycopg.errors.ProgrammingError):  # too large, or no longer there
        one.ask_s = float("inf")
    else:
        now = time.monotonic()
        one.ask_s = now + _PAUSE * (now - began)
        if found is None:
            one.started_s = began


def _count(writer: psycopg.Connection[Any], one: _Writing) -> None:
    """Count the locked rows, and again whenever the time that they are locked has doubled."""
    began = time.monotonic()
    try:
        row = writer.execute(_statement(_COUNT, one)).fetchone()
    except (psycopg.errors.QueryCanceled, psycopg.errors.ProgrammingError):
        one.count_s = float("inf")
        return
    one.rows = max(one.rows, int(row[0]) if row else 0)
    now = time.monotonic()
    one.count_s = now + max(_PAUSE * (now - began), now - one.started_s)


def _statement(text: sql.SQL, one: _Writing) -> sql.Composed:
    return text.format(table=identifier(one.table), xid=sql.Literal(one.xid))
