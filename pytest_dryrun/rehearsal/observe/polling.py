"""Locks of a statement that no transaction can be kept open around, seen by asking again and again while it runs."""

from __future__ import annotations

import threading
from typing import Any

import psycopg

from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.rehearsal.observe.looking import look_outside

_INTERVAL_S = 0.002


class LockPoll:
    """Collects the locks of one session between `start()` and `stop()`, over a connection of its own.

    A lock that is held for less than a few milliseconds may be missed.
    """

    def __init__(self, conninfo: Conninfo) -> None:
        self._conninfo = conninfo
        self._connection: psycopg.Connection[Any] | None = None
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()
        self._seen: dict[tuple[int, str], None] = {}
        self._trouble = ""

    def start(self, pid: int) -> None:
        """Begin to ask."""
        if self._connection is None or self._connection.broken:
            self._connection = connect(self._conninfo, statement_timeout_s=10)
        self._seen, self._trouble = {}, ""
        self._ending.clear()
        self._thread = threading.Thread(target=self._run, args=(pid,), name="dryrun-lock-poll", daemon=True)
        self._thread.start()

    def stop(self) -> tuple[tuple[tuple[int, str], ...], str]:
        """End asking; returns what was seen, as oid and mode, and why not all was, empty where nothing failed."""
        if self._thread is not None:
            self._ending.set()
            self._thread.join()
            self._thread = None
        return tuple(self._seen), self._trouble

    def close(self) -> None:
        """Stop, and close the connection."""
        self.stop()
        if self._connection is not None:
            self._connection.close()

    def _run(self, pid: int) -> None:
        if self._connection is None:
            return
        try:
            while not self._ending.wait(_INTERVAL_S):
                seen = look_outside(self._connection, pid)
                self._seen.update(dict.fromkeys(seen.locks if seen else ()))
        except psycopg.Error as error:
            self._trouble = str(error).splitlines()[0]
