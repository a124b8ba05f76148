"""Where the copy's reports arrive: the server's own log, read with SQL, or the notices of the migrating session."""

from __future__ import annotations

import json
import time
from typing import Any, Protocol

import psycopg
from psycopg import sql
from psycopg.errors import Diagnostic

from pytest_dryrun.model.errors import TargetUnusable

_CHUNK_BYTES = 4 * 1024 * 1024


class Reports(Protocol):
    """Takes in what the copy says; `to_log` decides how the event triggers speak."""

    to_log: bool

    def listen(self, connection: psycopg.Connection[Any]) -> None:
        """Hear what this session's server process says, where that is the way reports come."""
        ...

    def reconnected(self, connection: psycopg.Connection[Any]) -> None:
        """Go on over another session of ours, because the first was cut off."""
        ...

    def read(self) -> tuple[dict[str, Any], ...]:
        """Everything reported since the last call, in order, complete for every statement that has ended."""
        ...


def parse(line: str, token: str) -> dict[str, Any] | None:
    """Read one line: a report, or None for anything else.

    Continuation lines begin with a tab; a migration's own text that quotes a report can only stand in those.
    """
    if line.startswith("\t"):
        return None
    _, found, payload = line.partition(f"{token} ")
    if not found:
        return None
    try:
        report = json.loads(payload)
    except ValueError:
        return None
    return report if isinstance(report, dict) and "event" in report else None


class ServerLog:
    """Reads the server's log from where it stands now, through a superuser's session of its own.

    The log collector writes a little later than the statement ends. So each reading first says a mark and waits until
    the mark has arrived: what was said earlier stands before it, since all processes share one pipe.
    """

    to_log = True

    def __init__(self, connection: psycopg.Connection[Any], token: str, *, timeout_s: float = 10.0) -> None:
        self._connection = connection
        self._token = token
        self._timeout_s = timeout_s
        self._marks = 0
        self._rest = b""
        self._path = self._current()
        row = connection.execute("SELECT size FROM pg_stat_file(%s)", (self._path,)).fetchone()
        self._offset = int(row[0]) if row else 0
        connection.execute("SET log_min_messages = log")
        connection.execute("SET log_min_error_statement = panic")

    def listen(self, connection: psycopg.Connection[Any]) -> None:
        """Need nothing of the session: the log hears all."""

    def reconnected(self, connection: psycopg.Connection[Any]) -> None:
        """Read the rest of the log over this session."""
        self._connection = connection

    def read(self) -> tuple[dict[str, Any], ...]:
        """Everything reported until now; raises TargetUnusable when the log does not move on within the time limit."""
        self._marks += 1
        mark = f"{self._token} mark {self._marks}."
        said = sql.SQL("DO {}").format(sql.Literal(f"BEGIN RAISE LOG '{mark}'; END"))
        self._connection.execute(said)
        deadline = time.monotonic() + self._timeout_s
        reports: list[dict[str, Any]] = []
        while True:
            for line in self._lines():
                if mark in line and not line.startswith("\t"):
                    return tuple(reports)
                report = parse(line, self._token)
                if report is not None:
                    reports.append(report)
            if time.monotonic() > deadline:
                raise TargetUnusable(
                    f"The disposable server's log {self._path} stood still for {self._timeout_s:g} s.",
                    "What the migrations locked and rewrote on the copy cannot be told, so nothing is decided from it.",
                    "Check that the disk of the disposable server is not full, and run again.",
                )
            time.sleep(0.002)

    def _current(self) -> str:
        row = self._connection.execute("SELECT pg_current_logfile('stderr')").fetchone()
        return str(row[0]) if row and row[0] else ""

    def _lines(self) -> list[str]:
        current = self._current()
        lines = self._more()
        if current != self._path and not lines:
            # The log was rotated under another name: the old file is read to its end, so the new one starts at 0.
            self._path, self._offset, self._rest = current, 0, b""
            lines = self._more()
        return lines

    def _more(self) -> list[str]:
        row = self._connection.execute(
            "SELECT pg_read_binary_file(%s, %s, %s, true)", (self._path, self._offset, _CHUNK_BYTES)
        ).fetchone()
        data = bytes(row[0]) if row and row[0] is not None else b""
        self._offset += len(data)
        *complete, self._rest = (self._rest + data).split(b"\n")
        return [line.decode("utf-8", "replace") for line in complete]


class SessionNotices:
    """Hears the reports as notices of the migrating session, for a server that keeps no log of its own.

    A migration run by another program is not heard this way.
    """

    to_log = False

    def __init__(self, token: str) -> None:
        self._token = token
        self._heard: list[dict[str, Any]] = []
        self._listening = False

    def listen(self, connection: psycopg.Connection[Any]) -> None:
        """Add a notice handler to the session."""
        connection.add_notice_handler(self._notice)
        self._listening = True

    def reconnected(self, connection: psycopg.Connection[Any]) -> None:
        """Need nothing of our own session."""

    def read(self) -> tuple[dict[str, Any], ...]:
        """Everything heard since the last call; raises TargetUnusable when there was no session to hear."""
        if not self._listening:
            raise TargetUnusable(
                "The disposable server keeps no log file, and the migrations were run by another program.",
                "What they locked and rewrote on the copy cannot be told, so nothing is decided from it.",
                'Start the disposable server with logging_collector = on, or apply with deploy = "native".',
            )
        heard, self._heard = self._heard, []
        return tuple(heard)

    def _notice(self, diagnostic: Diagnostic) -> None:
        report = parse(diagnostic.message_primary or "", self._token)
        if report is not None:
            self._heard.append(report)


def reports(connection: psycopg.Connection[Any], token: str) -> Reports:
    """Choose the server's log where it keeps one that SQL can read, else the session's notices."""
    row = connection.execute("SELECT pg_current_logfile('stderr')").fetchone()
    return ServerLog(connection, token) if row and row[0] else SessionNotices(token)
