"""Probe sessions that keep asking for what an application asks for, and so feel how long a migration makes others wait.

Per table there are two: a reader plans and runs `SELECT ... LIMIT 0` (it takes the locks of a read but touches no row,
so that dead rows left by the migration do not look like a stall), a writer takes ROW EXCLUSIVE and lets go. A wait
counts only where the server itself says that the probe waited for a lock: a busy machine is no stall.
"""

from __future__ import annotations

import contextlib
import selectors
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import pq

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.postgres import outside
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.rehearsal.observe.observation import Wait

# Two sessions a table: what a small disposable server bears beside everything else.
MAX_TABLES = 20
# More questions a second than this would slow down the migration that is being measured.
_MAX_QUESTIONS_PER_S = 1500.0
# A probe not answered after this long is looked up in the server's list of sessions that wait for a lock.
_SUSPICIOUS_S = 0.003
_STOP_TIMEOUT_S = 5.0

_QUESTIONS = {"read": "SELECT 1 FROM {} LIMIT 0", "write": "LOCK TABLE {} IN ROW EXCLUSIVE MODE; SELECT 1"}
# undefined_table, invalid_schema_name, wrong_object_type: the migration dropped, moved or replaced the table.
_GONE = frozenset({"42P01", "3F000", "42809"})


@dataclass(slots=True)
class _Probe:
    """One session that asks one question again and again."""

    table: str
    kind: str
    connection: psycopg.Connection[Any]
    asked_s: float | None = None
    next_s: float = 0.0
    waited: bool = False
    gone: bool = False

    @property
    def pid(self) -> int:
        return self.connection.info.backend_pid

    def ask(self) -> None:
        self.asked_s, self.waited = time.monotonic(), False
        self.connection.pgconn.send_query(_QUESTIONS[self.kind].format(self.table).encode())

    def answered(self) -> bool:
        """Take in what arrived; true once the answer is complete. Raises where the connection is lost."""
        wire = self.connection.pgconn
        wire.consume_input()
        while not wire.is_busy():
            result = wire.get_result()
            if result is None:
                return True
            if result.status == pq.ExecStatus.FATAL_ERROR:
                code = result.error_field(pq.DiagnosticField.SQLSTATE)
                self.gone = self.gone or (code or b"").decode() in _GONE
        return False


class StallProbes:
    """Keeps asking every given table from `start()` to `stop()`, in one thread; never leaves a session behind.

    `tables` are qualified and quoted names that exist before the migration; only the first MAX_TABLES are probed,
    `left_out` names the others. A true wait may be longer than the measured one by at most `interval_s`, which is
    stretched where many tables are probed. Every probe transaction is momentary and holds a
    single lock, so none can deadlock.
    """

    def __init__(
        self, conninfo: Conninfo, tables: Sequence[str], *, interval_s: float = 0.01, time_limit_s: float = 3600
    ) -> None:
        self.tables = tuple(tables[:MAX_TABLES])
        self.left_out = tuple(tables[MAX_TABLES:])
        self.interval_s = max(interval_s, 2 * len(self.tables) / _MAX_QUESTIONS_PER_S)
        self.noise_ms = 0.0
        self._conninfo = conninfo
        self._time_limit_s = time_limit_s
        self._probes: list[_Probe] = []
        self._control: psycopg.Connection[Any] | None = None
        self._waits: list[Wait] = []
        self._slowest_s = 0.0
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble: psycopg.Error | OSError | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *, idle_s: float = 0.1) -> None:
        """Open the sessions and ask for `idle_s` with nothing else going on: the slowest answer is `noise_ms`."""
        try:
            self._control = connect(self._conninfo, statement_timeout_s=10)
            for table in self.tables:
                for kind in _QUESTIONS:
                    session = connect(self._conninfo, statement_timeout_s=self._time_limit_s)
                    self._probes.append(_Probe(table, kind, session))
        except BaseException:
            self._close()
            raise
        self._thread = threading.Thread(target=self._run, name="dryrun-stall-probes", daemon=True)
        self._thread.start()
        self._ending.wait(idle_s if self.tables else 0)
        self.noise_ms, self._waits = self._slowest_s * 1000, []

    def stop(self) -> None:
        """End the probes and close every session; may be called twice.

        A probe that still waits is cut off, and its wait counts until now.
        Raises TargetUnusable when the probes had broken down: then no wait at all is proof of nothing.
        """
        if self._thread is None:
            return
        self._ending.set()
        self._thread.join()
        self._thread = None
        self._close()
        if self._trouble is not None:
            raise TargetUnusable(
                f"The probes of the copy broke down: {str(self._trouble).splitlines()[0]}",
                "How long readers and writers were kept waiting cannot be told, so nothing is decided from it.",
                "Look for the cause in the disposable server's log, and run again.",
            ) from self._trouble

    def waits(self) -> tuple[Wait, ...]:
        """Every wait for a lock so far, in the order they ended."""
        return tuple(self._waits)

    def longest(self) -> Mapping[str, tuple[float, float]]:
        """Per table the longest read and the longest write, in milliseconds, that had to wait."""
        return longest_waits(self._waits, self.tables)

    def between(self, start_s: float, end_s: float) -> Mapping[str, tuple[float, float]]:
        """Tell the same for waits that overlap a stretch of the monotonic clock; tables without any are left out."""
        inside = [wait for wait in self._waits if wait.started_s < end_s and wait.ended_s > start_s]
        return longest_waits(inside, dict.fromkeys(wait.table for wait in inside))

    def _run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                for probe in self._probes:
                    selector.register(probe.connection.pgconn.socket, selectors.EVENT_READ, probe)
                while not self._ending.is_set():
                    self._round(selector)
                self._finish()
        except (psycopg.Error, OSError) as error:
            self._trouble = error

    def _round(self, selector: selectors.BaseSelector) -> None:
        now = time.monotonic()
        for probe in self._probes:
            if probe.asked_s is None and not probe.gone and now >= probe.next_s:
                probe.ask()
        for key, _ in selector.select(timeout=min(self.interval_s, _SUSPICIOUS_S)):
            if self._take(key.data) and key.data.gone:
                selector.unregister(key.fileobj)
        self._confirm()

    def _take(self, probe: _Probe) -> bool:
        if not probe.answered():
            return False
        now = time.monotonic()
        if probe.asked_s is not None:
            self._slowest_s = max(self._slowest_s, now - probe.asked_s)
            if probe.waited:
                self._waits.append(Wait(probe.table, probe.kind, probe.asked_s, now))
        probe.asked_s, probe.next_s = None, now + self.interval_s
        return True

    def _confirm(self) -> None:
        """Ask the server which of the slow probes wait for a lock; it reads no table, so it cannot wait itself."""
        now = time.monotonic()
        slow = [p for p in self._probes if p.asked_s is not None and not p.waited and now - p.asked_s > _SUSPICIOUS_S]
        if not slow or self._control is None:
            return
        rows = self._control.execute(
            "SELECT pid FROM pg_stat_get_activity(NULL) WHERE wait_event_type = 'Lock' AND pid = ANY(%s)",
            ([p.pid for p in slow],),
        )
        waiting = {pid for (pid,) in rows}
        for probe in slow:
            probe.waited = probe.pid in waiting

    def _finish(self) -> None:
        """Let the last answers come in; what the migration no longer blocks comes at once."""
        self._confirm()
        deadline = time.monotonic() + 0.05
        for probe in self._probes:
            while probe.asked_s is not None and not self._take(probe) and time.monotonic() < deadline:
                time.sleep(0.001)
        now = time.monotonic()
        self._waits.extend(
            Wait(p.table, p.kind, p.asked_s, now) for p in self._probes if p.asked_s is not None and p.waited
        )

    def _close(self) -> None:
        """End every session at the server too: one that waits for a lock does not notice that its client went away."""
        pids = [probe.pid for probe in self._probes if not probe.connection.broken]
        for probe in self._probes:
            probe.connection.close()
        self._probes = []
        control, self._control = self._control, None
        if control is None:
            return
        if self._trouble is not None:
            control.close()
            control = connect(self._conninfo, statement_timeout_s=10)
        with contextlib.closing(control):
            deadline = time.monotonic() + _STOP_TIMEOUT_S
            while pids and outside.terminate(control, pids):
                if time.monotonic() > deadline:
                    raise TargetUnusable(
                        f"Probe sessions {pids} did not end within {_STOP_TIMEOUT_S:g} s.",
                        "The copy cannot be compared or dropped while they are there.",
                        "Stop the disposable server by hand if it still runs.",
                    )
                time.sleep(0.005)


def longest_waits(waits: Iterable[Wait], tables: Iterable[str]) -> dict[str, tuple[float, float]]:
    """Fold waits to the longest read and the longest write per table, in milliseconds."""
    found = dict.fromkeys(tables, (0.0, 0.0))
    for wait in waits:
        read_ms, write_ms = found[wait.table]
        found[wait.table] = (
            (max(read_ms, wait.ms), write_ms) if wait.kind == "read" else (read_ms, max(write_ms, wait.ms))
        )
    return found
