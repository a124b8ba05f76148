"""The recorder: tells what every statement of a migration did on a disposable copy, whatever tool ran it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql

from pytest_dryrun.model.errors import MigrationFailed, TargetUnusable
from pytest_dryrun.model.scripts import Statement
from pytest_dryrun.model.values import StatementRun
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.rehearsal.observe import event_triggers
from pytest_dryrun.rehearsal.observe.events import assemble
from pytest_dryrun.rehearsal.observe.files import Files
from pytest_dryrun.rehearsal.observe.looking import (
    QUIET,
    Inside,
    LookFailed,
    aborted,
    beginning,
    can_look,
    look_inside,
    look_outside,
    sum_of_files,
    taken_back,
)
from pytest_dryrun.rehearsal.observe.observation import Observed
from pytest_dryrun.rehearsal.observe.polling import LockPoll
from pytest_dryrun.rehearsal.observe.server_log import Reports, reports
from pytest_dryrun.rehearsal.observe.unstepped import from_events
from pytest_dryrun.rehearsal.observe.windows import Changed, Event, Opening, Relation, Window

# Parallel workers' reads are missing from the session's statistics, which would hide a full scan by an index build.
_SERIAL_BUILDS = "max_parallel_maintenance_workers"
_RELATIONS = """
SELECT c.oid::int8, format('%I.%I', n.nspname, c.relname), c.relkind, format('%I.%I', tn.nspname, t.relname),
    c.relfilenode::int8
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_index i ON i.indexrelid = c.oid
JOIN pg_class t ON t.oid = coalesce(i.indrelid, c.oid) JOIN pg_namespace tn ON tn.oid = t.relnamespace
WHERE c.oid >= 16384
"""

_FELL = (
    "the event triggers that report DDL were dropped, altered or disabled while the migrations ran. A migration must"
    " leave alone the event triggers that it did not create"
)
_UNASKED = "the migrating session could not be asked what it had done"
_CUT_OFF = "the recorder's own session was ended while the migrations ran, as pg_terminate_backend does"
_SILENCED = "the migration set event_triggers = off, so its DDL was not reported. Take that out of the migration"


class Recorder:
    """Watches one copy from inside (event triggers) and outside (a second session); an Observer of a deploy.

    `superuser` leads to the copy, on a disposable server. Use it as a context manager: `install()`, then apply the
    migrations, then `remove()` before the copy's schema is compared with anything, and read `runs()` or `observed()`.
    Row locks are not told. Commands without event triggers (TRUNCATE, LOCK, VACUUM, DML) are told by asking the
    migrating session while its transaction is open, else from outside while they run, else from their words. A new
    file of a table or an index tells of a rewrite or a build that no event reported. A run of DML of one shape is one
    window.
    """

    def __init__(self, superuser: Conninfo) -> None:
        self._conninfo = superuser
        self._connection: psycopg.Connection[Any] | None = None
        self._migrating: psycopg.Connection[Any] | None = None
        self._poll = LockPoll(superuser)
        self._reports: Reports | None = None
        self._installed = False
        self._removed = False
        self._triggers: frozenset[tuple[object, ...]] = frozenset()
        self._trouble: list[str] = []
        self._earlier_setting: str | None = None
        self._relations: dict[int, Relation] = {}
        self._files = Files({})
        self._changed: Changed = Changed()
        self._events: list[Event] = []
        self._windows: list[Window] = []
        self._aborted: frozenset[str] = frozenset()
        self._open: Opening | None = None
        self._baseline: Inside | None = None
        self._own_pids: set[int] = set()
        self._pid = 0
        self._session_lock_timeout_ms: int | None = None
        self._clock_offset_s = 0.0

    def __enter__(self) -> Self:
        self._connection = connect(self._conninfo, statement_timeout_s=60)
        self._own_pids.add(self._connection.info.backend_pid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.remove()
        finally:
            self._poll.close()
            self._session.close()

    @property
    def _session(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            raise RuntimeError("a Recorder is used inside its with block")
        return self._connection

    @property
    def trouble(self) -> tuple[str, ...]:
        """Why not everything was seen, in words; empty is the rule."""
        unread = (str(event["trouble"]) for event in self._events if "trouble" in event)
        return tuple(dict.fromkeys((*self._trouble, *unread)))

    def install(self) -> None:
        """Read the catalog, then create schema `pytest_dryrun` with its event triggers.

        Index builds are made serial in the copy from now on, so that the rows they read are counted.
        Raises TargetUnusable when the copy does not allow it.
        """
        session = self._session
        token = f"pytest_dryrun:{secrets.token_hex(8)}"
        rows = session.execute(_RELATIONS).fetchall()
        self._relations = {oid: Relation(name, kind, table) for oid, name, kind, table, _ in rows}
        ours = time.monotonic()
        self._clock_offset_s = self._server_clock() - ours
        try:
            self._reports = reports(session, token)
            with session.transaction():
                self._make_builds_serial()
                self._triggers = event_triggers.create(session, token, to_log=self._reports.to_log)
        except psycopg.Error as error:
            raise TargetUnusable(
                f"The recorder could not be installed in {self._conninfo.dbname!r}: {str(error).splitlines()[0]}",
                "What the migrations lock and rewrite cannot be told, so nothing is decided from it.",
                "Check that the disposable server lets its superuser create event triggers.",
            ) from error
        self._files = Files({oid: file for oid, _, _, _, file in rows if file}, sum_of_files(session))
        self._installed = True

    def remove(self) -> None:
        """Take everything out again and keep what was reported; may be called twice."""
        if not self._installed or self._removed:
            return
        try:
            self._close()
            self._server_clock()
        except psycopg.OperationalError:
            if not self._session.broken:
                raise
            self._trouble.append(_CUT_OFF)
            self._reconnect()
        self._drain()
        session = self._session
        if event_triggers.standing(session) != self._triggers:
            self._trouble.append(_FELL)
        self._changed = self._files.since_the_beginning(session, self._relations)
        seen = {event.get(key) for event in self._events for key in ("xid", "subxid")}
        self._aborted = aborted(session, {xid for xid in (*seen, *(one.xid for one in self._windows)) if xid})
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
        self._migrating = connection
        self._pid = connection.info.backend_pid
        if self._reports is not None:
            self._reports.listen(connection)
        row = connection.execute(
            "SELECT setting::int8 FROM pg_catalog.pg_settings WHERE name = 'lock_timeout'"
        ).fetchone()
        self._session_lock_timeout_ms = int(row[0]) if row else None
        if not connection.autocommit:
            connection.rollback()

    def follows(self, migration: str, statement: Statement) -> bool:
        """Whether the statement goes on with a run of DML of one shape."""
        return self._open is not None and self._open.goes_on(migration, statement)

    def before(self, migration: str, statement: Statement, *, alone: bool = False) -> None:
        """Open the statement's window, or go on with that of a run of one shape."""
        if self.follows(migration, statement):
            return
        with self._lost_means(migration, statement):
            self._close()
            if self._windows and self._windows[-1].statement is statement:
                del self._windows[-1]  # sent once more, because Postgres refused it inside a transaction
            inside = can_look(self._migrating)
            self._open = Opening(migration, statement, beginning(self._session), alone=alone, fresh=not inside)
            if alone or not inside:
                self._baseline = None
            if statement.tag in QUIET:
                return
            if inside:
                self._baseline = self._baseline or self._look()
            else:
                self._poll.start(self._pid)
                self._open.polled = True

    def after(self, migration: str, statement: Statement, duration_ms: float) -> None:
        """Look at what the statement did; a statement of a run of one shape only counts, unless it took its time."""
        opened = self._open
        if opened is None:
            return
        if opened.ran(statement, duration_ms):
            with self._lost_means(migration, statement):
                self._see(opened)
        if not opened.shape:
            self._close()

    def ended(self, migration: str) -> None:
        """Look once more at what the script's last statements did, before their transaction ends."""
        with self._lost_means(migration, Statement("", 0, "")):
            self._close()

    def _see(self, opened: Opening) -> None:
        if opened.polled:
            locks, trouble = self._poll.stop()
            opened.locks.update(dict.fromkeys(locks))
            if trouble:
                self._trouble.append(f"locks could not be read while a statement ran: {trouble}")
        opened.unlooked = 0
        inside = can_look(self._migrating)
        look = self._look() if inside and opened.statement.tag not in QUIET else None
        if look is not None:
            opened.count(look, self._baseline)
            self._baseline = look
        if look is not None or not inside:
            opened.changed(self._new_files(look))
        outside = look_outside(self._session, self._pid)
        opened.after_clock = outside.clock if outside else self._server_clock()
        opened.transaction = outside.transaction if outside else ""
        if outside:
            opened.taken_back += taken_back(self._session, opened.next_xid, outside.next_xid)
            opened.next_xid = outside.next_xid
        if opened.transaction:
            opened.looked = True
            opened.held = outside.locks if outside else ()
            opened.locks.update(dict.fromkeys(opened.held))

    def _look(self) -> Inside | None:
        if self._migrating is None:
            return None
        try:
            look = look_inside(self._migrating)
        except LookFailed as failure:
            self._trouble.append(f"{_UNASKED}: {failure}")
            return None
        if look.silenced:
            self._trouble.append(_SILENCED)
        return look

    def _new_files(self, look: Inside | None) -> Changed:
        try:
            return self._files.changes(self._migrating if look else self._session, look, self._relations)
        except LookFailed as failure:
            self._trouble.append(f"{_UNASKED}: {failure}")
            return Changed()

    def _close(self) -> None:
        """End the open window; where statements of a run were not looked at yet, look now if their transaction is open.

        What began a transaction of its own has ended it, or another one is open by now.
        """
        opened, self._open = self._open, None
        if opened is None:
            return
        if opened.unlooked and not opened.alone and can_look(self._migrating):
            self._see(opened)
        elif opened.unlooked:
            opened.after_clock = self._server_clock()
        self._windows.append(opened.window(self._pid, self._session_lock_timeout_ms))

    def _reconnect(self) -> None:
        self._connection = connect(self._conninfo, statement_timeout_s=60)
        self._own_pids.add(self._connection.info.backend_pid)
        if self._reports is not None:
            self._reports.reconnected(self._connection)

    @contextmanager
    def _lost_means(self, migration: str, statement: Statement) -> Iterator[None]:
        """Say of a lost session of ours who ended it: nobody else works on the copy."""
        try:
            yield
        except psycopg.OperationalError as error:
            if not self._session.broken:
                raise
            self._open = None
            self._reconnect()
            raise MigrationFailed(
                f"Migration {migration} ended sessions of others, as pg_terminate_backend does: the dry run's own"
                f" session on the copy was cut off{f' at line {statement.line}' if statement.line else ''} (57P01).",
                "On the target it would end the application's sessions in the middle of their work.",
                "Take it out of the migration; let the deployment stop what must not run meanwhile.",
                migration=migration,
                line=statement.line or None,
                sqlstate="57P01",
                statement=statement.sql,
            ) from error

    def observed(self) -> tuple[Observed, ...]:
        """Everything seen, statement by statement; one entry per DDL command where nobody stepped through the files."""
        self._close()
        self._drain()
        if self._windows:
            return assemble(self._windows, self._events, self._relations, self._aborted)
        return from_events(
            self._events,
            self._relations,
            self._aborted,
            clock_offset_s=self._clock_offset_s,
            changed=self._changed,
        )

    def runs(self) -> tuple[StatementRun, ...]:
        """Tell the same in the shape of the report."""
        return tuple(one.run for one in self.observed())

    def _drain(self) -> None:
        if self._installed and not self._removed and self._reports is not None:
            self._events.extend(event for event in self._reports.read() if event["pid"] not in self._own_pids)

    def _server_clock(self) -> float:
        row = self._session.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
        return float(row[0]) if row else 0.0

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
