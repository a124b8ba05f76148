"""Writes `_prisma_migrations` as Prisma's engine does: same columns, same order, each write its own transaction.

Source: schema-engine's `apply_migrations.rs`, `sql_migration_persistence.rs` and `flavour/postgres.rs`. The table's
name is always qualified here, because a script may set `search_path`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg
from psycopg import sql

from pytest_dryrun.migrations.migrating import LimitReached, QueryFailed, Session, migrating_session
from pytest_dryrun.migrations.prisma_folder import ambiguous_names
from pytest_dryrun.migrations.prisma_history import TABLE, History, order_matters
from pytest_dryrun.model.errors import DryRunError, MigrationFailed, TargetUnusable
from pytest_dryrun.model.scripts import Migration


def create_table(schema: str) -> sql.Composed:
    """Create the history table with the column types, defaults and key name that Prisma gives it."""
    return sql.SQL(
        "CREATE TABLE {} ("
        "id VARCHAR(36) PRIMARY KEY NOT NULL,"
        " checksum VARCHAR(64) NOT NULL,"
        " finished_at TIMESTAMPTZ,"
        " migration_name VARCHAR(255) NOT NULL,"
        " logs TEXT,"
        " rolled_back_at TIMESTAMPTZ,"
        " started_at TIMESTAMPTZ NOT NULL DEFAULT now(),"
        " applied_steps_count INTEGER NOT NULL DEFAULT 0)"
    ).format(sql.Identifier(schema, TABLE))


def refuse(history: History, folder: Sequence[Migration], waiting: Sequence[Migration]) -> None:
    """Raise TargetUnusable where Prisma would not begin (P3009, P3005), and where the order depends on the machine."""
    if history.failed:
        raise TargetUnusable(
            f"{history.failed[0].name} is recorded as failed or still running.",
            "Prisma stops every deploy there (P3009); nothing was applied.",
            "See what it left behind, then `prisma migrate resolve --rolled-back` or `--applied`.",
        )
    if history.rows is None and history.tables:
        raise TargetUnusable(
            f"Schema {history.schema} holds {len(history.tables)} tables (such as {history.tables[0]}) but no {TABLE}.",
            "Prisma does not take over a database that is not empty (P3005); nothing was applied.",
            "Baseline it with `prisma migrate resolve --applied`, or check that this is the right database.",
        )
    names = [migration.name for migration in folder]
    if order_matters(names, [migration.name for migration in waiting]):
        first, second = ambiguous_names(names)[0]
        raise TargetUnusable(
            f"It depends on the machine whether {first} or {second} comes first.",
            "Prisma sorts by bytes up to 6.5 and by the machine's locale from 6.6; nothing was applied.",
            "Rename them so that both agree, for example with timestamps of equal length.",
        )


class Bookkeeping:
    """The row of one migration that is being applied."""

    def __init__(self, session: Session, schema: str, migration: Migration) -> None:
        self._session = session
        self._table = sql.Identifier(schema, TABLE)
        self._migration = migration
        self._id = str(uuid.uuid4())

    def begin(self) -> None:
        """Insert the row; it reads as failed until it is finished."""
        self._write(
            sql.SQL("INSERT INTO {} (id, checksum, started_at, migration_name) VALUES ({}, {}, {}, {})").format(
                self._table,
                sql.Literal(self._id),
                sql.Literal(self._migration.checksum),
                sql.Literal(datetime.now(UTC)),
                sql.Literal(self._migration.name),
            )
        )

    def found(self) -> bool:
        """Whether the session still finds the table by its bare name, which is how Prisma's own engine writes to it."""
        query = sql.SQL(
            "SELECT CASE WHEN pg_catalog.to_regclass({}) = pg_catalog.to_regclass({}) THEN 'found' END"
        ).format(sql.Literal(TABLE), sql.Literal(self._table.as_string(None)))
        return self._session.bookkeep(query) == "found"

    def finish(self) -> None:
        """Count the script as one step, then set when it finished."""
        self._write(self._update(sql.SQL("applied_steps_count = applied_steps_count + 1")))
        self._write(self._update(sql.SQL("finished_at = {}").format(sql.Literal(datetime.now(UTC)))))

    @contextmanager
    def failure_recorded(self) -> Iterator[None]:
        """Write the reason into `logs` when the script fails; over a new connection where the session is gone."""
        try:
            yield
        except MigrationFailed as failure:
            update = self._update(sql.SQL("logs = {}").format(sql.Literal(str(failure))))
            try:
                self._log(update)
            except (QueryFailed, LimitReached, psycopg.Error, DryRunError) as error:
                failure.add_note(f"The history could not be told of it: {error}")
            raise

    def _log(self, update: sql.Composed) -> None:
        if not self._session.connection.closed:
            self._session.bookkeep(update)
            return
        with migrating_session(self._session.conninfo, timeout_s=10) as other:
            other.bookkeep(update)

    def _update(self, assignment: sql.SQL | sql.Composed) -> sql.Composed:
        return sql.SQL("UPDATE {} SET {} WHERE id = {}").format(self._table, assignment, sql.Literal(self._id))

    def _write(self, command: sql.Composed) -> None:
        try:
            self._session.bookkeep(command)
        except (QueryFailed, LimitReached) as failure:
            error = failure.error if isinstance(failure, QueryFailed) else failure
            raise MigrationFailed(
                f"The history of migration {self._migration.name} could not be written: {' '.join(str(error).split())}",
                "What the script did may be in the database while the history does not say so.",
                "Compare the database with the script, then use `prisma migrate resolve`.",
                migration=self._migration.name,
                sqlstate=error.sqlstate if isinstance(error, psycopg.Error) else None,
            ) from error
