"""A folder of ordered *.sql files with a history table of our own."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.migrations import Deployment, History, Observer, Status, marks
from pytest_dryrun.migrations.apply import cut_holds, in_transaction, send_each
from pytest_dryrun.migrations.migrating import (
    LimitReached,
    QueryFailed,
    Session,
    lock_holder,
    migrating_session,
    take_lock,
)
from pytest_dryrun.migrations.scripts import checked_name, migration, readable_folder, unchanged
from pytest_dryrun.model.errors import ConfigurationError, MigrationFailed, TargetUnusable
from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.sql.statements import has_transaction_control, refuses_transaction

TABLE = "dryrun_migrations"
ADVISORY_LOCK = int.from_bytes(b"dryrun")
_NAME = sql.Identifier("public", TABLE)
_CREATE = sql.SQL(
    "CREATE TABLE {} ("
    "name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz, duration_ms double precision)"
).format(_NAME)
MODE_REASON = (
    "each file runs in one transaction together with its history row; a file that holds BEGIN or COMMIT, or what"
    " Postgres refuses inside a transaction, is sent statement by statement, as psql does"
)


@dataclass(frozen=True, slots=True)
class _Row:
    """One file in the history; `applied` is False for one that began outside a transaction and never finished."""

    name: str
    checksum: str
    applied: bool


class SqlFolder:
    """The files *.sql of one folder, applied in byte order of their names, recorded in `public.dryrun_migrations`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def tool(self) -> str:
        """The name of the tool in `dryrun.toml`."""
        return "sql"

    def history(self) -> History:
        """The table that this class keeps."""
        return frozenset({("public", TABLE)})

    def folder(self) -> tuple[Migration, ...]:
        """Read the folder; a migration is named after its file. Raises ConfigurationError, ForeignFolder among them."""
        read = []
        for entry in readable_folder(self._directory):
            if entry.name.endswith(".sql") and entry.is_file():
                name = checked_name(entry.name, str(self._directory), limit_bytes=255)
                read.append(migration(name, Path(entry.path)))
        marks.refuse(str(self._directory), {each.name: each.sql for each in read})
        return tuple(read)

    def status(self, connection: psycopg.Connection[Any]) -> Status:
        """Compare folder and history, read-only; without a history table everything is pending."""
        folder = self.folder()
        rows = _read(connection)
        applied = tuple(row.name for row in rows if row.applied)
        return Status(
            tool=self.tool,
            version="",
            mode="whole-file",
            mode_reason=MODE_REASON,
            applied=applied,
            pending=_pending(rows, folder),
            current=applied[-1] if applied else None,
            findings=tuple(_judge(rows, folder, lock_holder(connection, ADVISORY_LOCK))),
        )

    def deploy(
        self, conninfo: Conninfo, *, timeout_s: float, through: str | None = None, observer: Observer | None = None
    ) -> Deployment:
        """Apply what is pending; raises MigrationFailed, and TargetUnusable after a file that failed half way."""
        began = time.perf_counter()
        folder = self.folder()
        if through is not None and through not in {each.name for each in folder}:
            raise ConfigurationError(
                f"There is no file {through!r} in {self._directory}.",
                "It is the one to apply up to. Nothing was touched.",
                "Correct the name, or restore the file.",
            )
        applied: list[str] = []
        warnings: list[str] = []
        with migrating_session(conninfo, timeout_s=timeout_s) as session:
            take_lock(session, ADVISORY_LOCK, whose="the lock of public." + TABLE)
            rows = _read(session.connection)
            if unfinished := [row.name for row in rows if not row.applied]:
                raise TargetUnusable(
                    f"{unfinished[0]} began and never finished; it may have been applied in part.",
                    "Nothing was applied on top of it.",
                    f"Put right what it left behind, then delete its row from public.{TABLE} and run again.",
                )
            if _exists(session.connection) is None:
                session.bookkeep(_CREATE)
            if observer is not None:
                observer.connected(session.connection)
            for each in _pending(rows, folder):
                if through is None or each.name.encode() <= through.encode():
                    warnings += _apply(session, each, observer)
                    applied.append(each.name)
            return Deployment(
                applied=tuple(applied),
                duration_ms=(time.perf_counter() - began) * 1000,
                notices=session.notices,
                warnings=(*warnings, *session.server_warnings),
            )


def _apply(session: Session, each: Migration, observer: Observer | None) -> list[str]:
    began = time.perf_counter()
    if not has_transaction_control(each.statements) and not any(map(refuses_transaction, each.statements)):
        one_by_one = observer is not None and cut_holds(session, each)
        # clock_timestamp() against now(), which is when the transaction began: the server's own time for the file.
        finish = sql.SQL(
            "INSERT INTO {} VALUES ({}, {}, pg_catalog.clock_timestamp(),"
            " 1000 * EXTRACT(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.now()))"
        ).format(_NAME, sql.Literal(each.name), sql.Literal(each.checksum))
        in_transaction(session, each, observer, finish=finish, one_by_one=one_by_one)
        doubt = f"{each.name}: the server does not take the statements as they were cut, so the text was sent whole."
        return [doubt] if observer is not None and not one_by_one else []
    _record(
        session,
        each,
        sql.SQL("INSERT INTO {} VALUES ({}, {})").format(_NAME, sql.Literal(each.name), sql.Literal(each.checksum)),
    )
    warning = send_each(session, each, observer)
    done = sql.SQL("UPDATE {} SET applied_at = pg_catalog.clock_timestamp(), duration_ms = {} WHERE name = {}")
    duration_ms = (time.perf_counter() - began) * 1000
    _record(session, each, done.format(_NAME, sql.Literal(duration_ms), sql.Literal(each.name)))
    return [warning] if warning else []


def _record(session: Session, each: Migration, command: sql.Composed) -> None:
    try:
        session.bookkeep(command)
    except (QueryFailed, LimitReached) as failure:
        error = failure.error if isinstance(failure, QueryFailed) else failure
        raise MigrationFailed(
            f"The history of {each.name} could not be written: {' '.join(str(error).split())}",
            "What the file did may be in the database while the history does not say so.",
            f"Compare the database with the file, then correct public.{TABLE}.",
            migration=each.name,
            sqlstate=error.sqlstate if isinstance(error, psycopg.Error) else None,
        ) from error


def _exists(connection: psycopg.Connection[Any]) -> bool | None:
    """Whether this user may read the history table; None where there is none."""
    row = connection.execute(
        "SELECT pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')"
        " AND NOT pg_catalog.row_security_active(c.oid)"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'public' AND c.relname = %s",
        (TABLE,),
    ).fetchone()
    return bool(row[0]) if row else None


def _read(connection: psycopg.Connection[Any]) -> tuple[_Row, ...]:
    readable = _exists(connection)
    if readable is None:
        return ()
    if not readable:
        raise TargetUnusable(
            f"Permission denied on public.{TABLE}: the history is there, but this user may not read all of it (42501).",
            "What is applied cannot be told. Nothing was touched.",
            "Grant the user USAGE on schema public and SELECT on the table, or connect as its owner.",
        )
    query = sql.SQL(
        "SELECT name, checksum, applied_at IS NOT NULL FROM {} ORDER BY applied_at NULLS LAST, name"
    ).format(_NAME)
    try:
        return tuple(_Row(*row) for row in connection.execute(query))
    except psycopg.Error as error:
        raise TargetUnusable(
            f"The history public.{TABLE} cannot be read: {' '.join(str(error).split())}",
            "What is applied cannot be told. Nothing was touched.",
            f"Look at the table: another program may use the name {TABLE}.",
        ) from error


def _pending(rows: Sequence[_Row], folder: Sequence[Migration]) -> tuple[Migration, ...]:
    recorded = {row.name for row in rows}
    return tuple(each for each in folder if each.name not in recorded)


def _judge(rows: Sequence[_Row], folder: Sequence[Migration], holder: str) -> Iterable[Finding]:
    files = {each.name: each for each in folder}
    last = max((row.name for row in rows if row.applied and row.name in files), key=str.encode, default="")
    for row in rows:
        if not row.applied:
            running = f" It may still be running: {holder} holds the migration lock." if holder else ""
            message = f"{row.name} began and never finished; it may have been applied in part.{running}"
            yield _blocker(
                "failed-migration", message + f" Put it right, then delete its row from public.{TABLE}.", row.name
            )
        elif row.name not in files:
            yield _blocker(
                "missing-migration",
                f"{row.name} is applied in the database but not in the folder. Restore the file.",
                row.name,
            )
        elif not unchanged(row.checksum, files[row.name].sql):
            message = f"{row.name} was edited after it was applied. Restore it, and put the change into a new file."
            yield _blocker("edited-migration", message, row.name)
    for each in _pending(rows, folder):
        if each.name.encode() < last.encode():
            message = f"{each.name} is out of order: it sorts before the applied {last}. Rename it to sort last."
            yield _blocker("drift", message, each.name)


def _blocker(rule: str, message: str, name: str) -> Finding:
    return Finding(rule, Severity.BLOCKER, message, migration=name)
