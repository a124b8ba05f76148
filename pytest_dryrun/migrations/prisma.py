"""Prisma Migrate without Node: the same folder, the same history table, the same lock, the same way of executing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.migrations import Deployment, History, Observer, Status
from pytest_dryrun.migrations.apply import send_each, send_whole, step_whole
from pytest_dryrun.migrations.migrating import Session, lock_holder, migrating_session, take_lock
from pytest_dryrun.migrations.prisma_bookkeeping import Bookkeeping, create_table, refuse
from pytest_dryrun.migrations.prisma_folder import LOCK_FILE, read_folder
from pytest_dryrun.migrations.prisma_history import TABLE, judge, pending, read_history
from pytest_dryrun.migrations.prisma_version import PER_STATEMENT, PrismaVersion, execution_mode, find_version
from pytest_dryrun.model.errors import ConfigurationError, MigrationFailed
from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.connection import Conninfo

# The key of Prisma's own lock, so that it and we keep each other out.
ADVISORY_LOCK = 72707369


class PrismaMigrations:
    """A Prisma migrations folder and its history in one schema.

    `project` is the application's folder, where the pinned version is looked for unless `version` is configured.
    """

    def __init__(self, directory: Path, version: str | None, project: Path, schema: str = "public") -> None:
        self._directory = directory
        self._configured = version
        self._project = project
        self._schema = schema

    @property
    def tool(self) -> str:
        """The name of the tool in `dryrun.toml`."""
        return "prisma"

    def version(self) -> PrismaVersion:
        """Find the version the project is pinned to; raises ConfigurationError for Prisma 8."""
        return find_version(self._configured, self._project)

    def history(self) -> History:
        """The table that Prisma keeps, in its schema."""
        return frozenset({(self._schema, TABLE)})

    def folder(self) -> tuple[Migration, ...]:
        """Read the folder, in the byte order of the names; raises ConfigurationError."""
        return read_folder(self._directory)

    def status(self, connection: psycopg.Connection[Any]) -> Status:
        """Compare folder and history, read-only; raises TargetUnusable when the history cannot be read."""
        version = self.version()
        mode, reason = execution_mode(version)
        folder = self.folder()
        history = read_history(connection, self._schema, lock_holder=lock_holder(connection, ADVISORY_LOCK))
        return Status(
            tool=self.tool,
            version=version.text,
            mode=mode,
            mode_reason=reason,
            applied=history.applied,
            pending=pending(history, folder),
            current=history.current,
            findings=(*judge(history, folder), *self._lock_file()),
        )

    def deploy(
        self, conninfo: Conninfo, *, timeout_s: float, through: str | None = None, observer: Observer | None = None
    ) -> Deployment:
        """Apply what is pending, with Prisma's bookkeeping.

        It stops where Prisma stops (a failed migration, an unmanaged database) and, other than Prisma, where machines
        would not agree on the order. Raises MigrationFailed.
        """
        began = time.perf_counter()
        mode, _ = execution_mode(self.version())
        folder = self.folder()
        if through is not None and through not in {migration.name for migration in folder}:
            raise ConfigurationError(
                f"There is no migration {through!r} in {self._directory}.",
                "It is the one to apply up to. Nothing was touched.",
                "Correct the name, or restore the migration.",
            )
        applied: list[str] = []
        warnings: list[str] = []
        with migrating_session(conninfo, timeout_s=timeout_s) as session:
            self._enter_schema(session)
            take_lock(session, ADVISORY_LOCK, whose="Prisma's migration lock")
            history = read_history(session.connection, self._schema)
            waiting = [
                each for each in pending(history, folder) if through is None or each.name.encode() <= through.encode()
            ]
            refuse(history, folder, waiting)
            if history.rows is None:
                session.bookkeep(create_table(self._schema))
            if observer is not None:
                observer.connected(session.connection)
            for migration in waiting:
                warnings += self._apply(session, migration, mode, observer, baseline=through is not None)
                applied.append(migration.name)
            return Deployment(
                applied=tuple(applied),
                duration_ms=(time.perf_counter() - began) * 1000,
                notices=session.notices,
                warnings=(*warnings, *session.server_warnings),
            )

    def _enter_schema(self, session: Session) -> None:
        """Begin as a session of Prisma begins: the schema exists, and is the search path."""
        exists = session.connection.execute("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s", (self._schema,))
        if exists.fetchone() is None:
            session.bookkeep(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(self._schema)))
        session.bookkeep(sql.SQL("SET search_path = {}").format(sql.Identifier(self._schema)))

    def _apply(
        self, session: Session, migration: Migration, mode: str, observer: Observer | None, *, baseline: bool
    ) -> list[str]:
        """Run one migration with its bookkeeping; return what should be known about it.

        Where a `baseline` is built, the history is written although the CLI could not: such files, as pg_dump writes
        them, are stamped by `migrate resolve` in real life.
        """
        book = Bookkeeping(session, self._schema, migration)
        before = session.setting("search_path")
        book.begin()
        with book.failure_recorded():
            if mode == PER_STATEMENT:
                warning = send_each(session, migration, observer)
            elif observer is not None:
                warning = step_whole(session, migration, observer)
            else:
                warning = send_whole(session, migration)
        after = session.setting("search_path")
        if not baseline and not book.found():
            raise _lost_table(migration, after)
        book.finish()
        if after != before:
            lost = (
                f"{migration.name} leaves search_path at {after!r} for the session: what follows in the same deployment"
                " runs with it. Set it back at the end of the script."
            )
            return [text for text in (warning, lost) if text]
        return [warning] if warning else []

    def _lock_file(self) -> tuple[Finding, ...]:
        if (self._directory / LOCK_FILE).is_file():
            return ()
        message = f"{LOCK_FILE} is missing; Prisma could not notice migrations that were made for another database."
        return (Finding("migration-lock", Severity.INFO, message),)


def _lost_table(migration: Migration, path: str) -> MigrationFailed:
    """Prisma's CLI names its table without a schema: where the session no longer finds it, P1014 ends the deployment.

    Measured with 6.19.3; the row stays unfinished, with no logs, although the whole script was executed.
    """
    cause = next((each for each in reversed(migration.statements) if "search_path" in each.sql.lower()), None)
    return MigrationFailed(
        f"{migration.name} leaves search_path at {path!r} for the session, so Prisma no longer finds its own table"
        f" {TABLE} (P1014: the underlying table does not exist; 42P01).",
        "The whole script was executed, its row stays unfinished, and the next deployment stops with P3009.",
        "Take the line out, or set search_path back to the schema of the URL at the end of the script.",
        migration=migration.name,
        line=cause.line if cause else None,
        sqlstate="42P01",
        statement=cause.sql if cause else "",
    )
