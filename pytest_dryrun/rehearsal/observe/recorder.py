"""The recorder: tells what every statement of a migration did on a disposable copy, whatever tool ran it."""

from __future__ import annotations

import secrets
import time
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.model.scripts import Statement
from pytest_dryrun.model.values import StatementRun
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.rehearsal.observe import event_triggers
from pytest_dryrun.rehearsal.observe.events import Event, Relation, Window, assemble, from_events
from pytest_dryrun.rehearsal.observe.observation import Observed
from pytest_dryrun.rehearsal.observe.server_log import Reports, reports

# Parallel workers' reads are missing from the session's statistics, which would hide a full scan by an index build.
_SERIAL_BUILDS = "max_parallel_maintenance_workers"
# These write a table anew without an event; the relation's file tells.
_SILENT_REWRITES = ("CLUSTER", "VACUUM")

_RELATIONS = """
SELECT c.oid::int8, format('%I.%I', n.nspname, c.relname), c.relkind, format('%I.%I', tn.nspname, t.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_index i ON i.indexrelid = c.oid
JOIN pg_class t ON t.oid = coalesce(i.indrelid, c.oid) JOIN pg_namespace tn ON tn.oid = t.relnamespace
WHERE c.oid >= 16384
"""

_SESSION = """
SELECT extract(epoch FROM clock_timestamp())::float8,
    CASE WHEN a.state LIKE 'idle in transaction%%' THEN extract(epoch FROM a.xact_start)::text ELSE '' END,
    (SELECT coalesce(jsonb_agg(jsonb_build_array(l.relation::int8, l.mode)), '[]') FROM pg_locks l
        WHERE l.pid = a.pid AND l.locktype = 'relation' AND l.granted AND l.relation >= 16384
            AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
FROM pg_stat_get_activity(%s) a
"""


class Recorder:
    """Watches one copy from inside (event triggers) and outside (a second session); an Observer of a deploy.

    `superuser` leads to the copy, on a disposable server. Use it as a context manager: `install()`, then apply the
    migrations, then `remove()` before the copy's schema is compared with anything, and read `runs()` or `observed()`.
    Row locks are not told. Commands without event triggers (TRUNCATE, LOCK, VACUUM, DML) are told from outside while
    their transaction is open, else from their words.
    """

    def __init__(self, superuser: Conninfo) -> None:
        self._conninfo = superuser
        self._connection: psycopg.Connection[Any] | None = None
        self._reports: Reports | None = None
        self._installed = False
        self._removed = False
        self._earlier_setting: str | None = None
        self._relations: dict[int, Relation] = {}
        self._events: list[Event] = []
        self._windows: list[Window] = []
        self._own_pid = 0
        self._pid = 0
        self._session_lock_timeout_ms: int | None = None
        self._before: tuple[float, float, dict[int, int]] = (0.0, 0.0, {})
        self._clock_offset_s = 0.0

    def __enter__(self) -> Self:
        self._connection = connect(self._conninfo, statement_timeout_s=60)
        self._own_pid = self._connection.info.backend_pid
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.remove()
        finally:
            self._session.close()

    @property
    def _session(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            raise RuntimeError("a Recorder is used inside its with block")
        return self._connection

    @property
    def trouble(self) -> tuple[str, ...]:
        """What the event triggers could not look up, in the server's words; empty is the rule."""
        return tuple(dict.fromkeys(str(event["trouble"]) for event in self._events if "trouble" in event))

    def install(self) -> None:
        """Read the catalog, then create schema `pytest_dryrun` with its event triggers.

        Index builds are made serial in the copy from now on, so that the rows they read are counted.
        Raises TargetUnusable when the copy does not allow it.
        """
        session = self._session
        token = f"pytest_dryrun:{secrets.token_hex(8)}"
        self._relations = {oid: Relation(name, kind, table) for oid, name, kind, table in session.execute(_RELATIONS)}
        ours = time.monotonic()
        self._clock_offset_s = self._server_clock() - ours
        try:
            self._reports = reports(session, token)
            with session.transaction():
                self._make_builds_serial()
                event_triggers.create(session, token, to_log=self._reports.to_log)
        except psycopg.Error as error:
            raise TargetUnusable(
                f"The recorder could not be installed in {self._conninfo.dbname!r}: {str(error).splitlines()[0]}",
                "What the migrations lock and rewrite cannot be told, so nothing is decided from it.",
                "Check that the disposable server lets its superuser create event triggers.",
            ) from error
        self._installed = True

    def remove(self) -> None:
        """Take everything out again and keep what was reported; may be called twice."""
        if not self._installed or self._removed:
            return
        self._drain()
        session = self._session
        with session.transaction():
            event_triggers.drop(session)
            database = sql.Identifier(self._conninfo.dbname)
            if self._earlier_setting is None:
                session.execute(sql.SQL("ALTER DATABASE {} RESET {}").format(database, sql.Identifier(_SERIAL_BUILDS)))
            else:
                self._set_builds(self._earlier_setting)
        self._removed = True

    def connected(self, connection: psycopg.Connection[Any]) -> None:
        """Note the migrating session and the `lock_timeout` it starts with."""
        self._pid = connection.info.backend_pid
        if self._reports is not None:
            self._reports.listen(connection)
        row = connection.execute(
            "SELECT setting::int8 FROM pg_catalog.pg_settings WHERE name = 'lock_timeout'"
        ).fetchone()
        self._session_lock_timeout_ms = int(row[0]) if row else None
        if not connection.autocommit:
            connection.rollback()

    def before(self, migration: str, statement: Statement) -> None:
        """Open the statement's window."""
        del migration
        files = self._files() if self._may_rewrite_silently(statement) else {}
        self._before = (self._server_clock(), time.monotonic(), files)

    def after(self, migration: str, statement: Statement, duration_ms: float) -> None:
        """Close the statement's window and look at the locks its session still holds."""
        ended_s = time.monotonic()
        clock, started_s, files = self._before
        row = self._session.execute(_SESSION, (self._pid,)).fetchone()
        after_clock, transaction, locks = row or (self._server_clock(), "", [])
        rewritten: tuple[int, ...] = ()
        if files and not transaction:
            now = self._files()
            rewritten = tuple(oid for oid, file in now.items() if files.get(oid, file) != file)
        self._windows.append(
            Window(
                migration=migration,
                sql=statement.sql,
                line=statement.line,
                tag=statement.tag,
                duration_ms=duration_ms,
                pid=self._pid,
                before_clock=clock,
                after_clock=after_clock,
                started_s=started_s,
                ended_s=ended_s,
                transaction=transaction,
                locks=tuple((oid, mode) for oid, mode in locks),
                rewritten=rewritten,
                lock_timeout_ms=self._session_lock_timeout_ms,
            )
        )

    def observed(self) -> tuple[Observed, ...]:
        """Everything seen, statement by statement; one entry per DDL command where nobody stepped through the files."""
        self._drain()
        if self._windows:
            return assemble(self._windows, self._events, self._relations)
        return from_events(self._events, self._relations, clock_offset_s=self._clock_offset_s)

    def runs(self) -> tuple[StatementRun, ...]:
        """Tell the same in the shape of the report."""
        return tuple(one.run for one in self.observed())

    def _drain(self) -> None:
        if self._installed and not self._removed and self._reports is not None:
            self._events.extend(event for event in self._reports.read() if event["pid"] != self._own_pid)

    def _server_clock(self) -> float:
        row = self._session.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
        return float(row[0]) if row else 0.0

    def _files(self) -> dict[int, int]:
        rows = self._session.execute(
            "SELECT oid::int8, pg_relation_filenode(oid)::int8 FROM pg_class "
            "WHERE relkind IN ('r', 'm') AND oid >= 16384"
        )
        return {oid: file for oid, file in rows if oid in self._relations}

    @staticmethod
    def _may_rewrite_silently(statement: Statement) -> bool:
        return statement.tag.startswith(_SILENT_REWRITES) or statement.sql.lstrip().upper().startswith(_SILENT_REWRITES)

    def _make_builds_serial(self) -> None:
        row = self._session.execute(
            "SELECT split_part(entry, '=', 2) FROM pg_db_role_setting s, unnest(s.setconfig) AS entry "
            "WHERE s.setrole = 0 AND s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND split_part(entry, '=', 1) = %s",
            (_SERIAL_BUILDS,),
        ).fetchone()
        self._earlier_setting = str(row[0]) if row else None
        self._set_builds("0")

    def _set_builds(self, value: str) -> None:
        self._session.execute(
            sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                sql.Identifier(self._conninfo.dbname), sql.Identifier(_SERIAL_BUILDS), sql.Literal(value)
            )
        )
