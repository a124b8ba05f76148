"""Reads `_prisma_migrations` and says what each migration's state is, where `prisma migrate status` is silent.

The rules are those of Prisma's own engine (schema-engine: `apply_migrations.rs`, `diagnose_migration_history.rs`,
`mark_migration_applied.rs`), told apart further than its command line does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.migrations.prisma_folder import ambiguous_names
from pytest_dryrun.migrations.scripts import unchanged
from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.model.values import Finding, Severity

TABLE = "_prisma_migrations"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the history. Neither `finished` nor `rolled_back`: it failed, or it is still running.

    `stamped` tells that `migrate resolve --applied` wrote it: finished as it started, with no step counted.
    """

    name: str
    checksum: str
    finished: bool
    rolled_back: bool
    stamped: bool
    logs: str
    started_at: str

    @property
    def applied(self) -> bool:
        """It finished and nobody has rolled it back since."""
        return self.finished and not self.rolled_back

    @property
    def failed(self) -> bool:
        """It began and neither finished nor was closed by `migrate resolve`."""
        return not self.finished and not self.rolled_back


@dataclass(frozen=True, slots=True)
class History:
    """What the database says: its rows, oldest first, or None where there is no history table.

    `tables` are the schema's other tables and `elsewhere` other schemas with a history table, both asked only then.
    `lock_holder` says who holds Prisma's advisory lock now, if anybody.
    """

    schema: str
    rows: tuple[Row, ...] | None
    tables: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    lock_holder: str = ""

    @property
    def applied(self) -> tuple[str, ...]:
        """Names that count as applied, each once, in the order they were begun."""
        return tuple(dict.fromkeys(row.name for row in self.rows or () if row.applied))

    @property
    def current(self) -> str | None:
        """The migration that was begun last among those that count as applied."""
        return next((row.name for row in reversed(self.rows or ()) if row.applied), None)

    @property
    def failed(self) -> tuple[Row, ...]:
        """Rows that stop every deploy (P3009)."""
        return tuple(row for row in self.rows or () if row.failed)


def read_history(connection: psycopg.Connection[Any], schema: str, *, lock_holder: str = "") -> History:
    """Read the history without writing; raises TargetUnusable when it is there and cannot be read.

    Prisma itself takes any error here for "not initialised"; a missing grant must not look like a new database.
    """
    try:
        return _read(connection, schema, lock_holder)
    except psycopg.errors.InsufficientPrivilege as error:
        raise _forbidden(schema) from error
    except psycopg.Error as error:
        raise TargetUnusable(
            f"The migration history {schema}.{TABLE} cannot be read: {' '.join(str(error).split())}",
            "Without it nobody can say what is applied. Nothing was touched.",
            f"Look at the table: it must be Prisma's own {TABLE}.",
        ) from error


def _read(connection: psycopg.Connection[Any], schema: str, lock_holder: str) -> History:
    if connection.execute("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'prisma_contract'").fetchone():
        raise TargetUnusable(
            "The database is managed by Prisma 8: it has a schema prisma_contract.",
            "Its history is not in _prisma_migrations, so what is pending cannot be told. Nothing was touched.",
            "Prisma 8 is not supported yet; use a database of Prisma 7 or earlier.",
        )
    found = connection.execute(
        "SELECT c.relkind::text, pg_catalog.has_schema_privilege(n.oid, 'USAGE')"
        " AND pg_catalog.has_table_privilege(c.oid, 'SELECT'), pg_catalog.row_security_active(c.oid)"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s",
        (schema, TABLE),
    ).fetchone()
    if found is None:
        return History(schema, None, _tables(connection, schema), _elsewhere(connection, schema), lock_holder)
    kind, readable, filtered = found
    if not readable or filtered:
        raise _forbidden(schema)
    if kind != "r":
        raise TargetUnusable(
            f"{schema}.{TABLE} is not an ordinary table (relkind {kind!r}).",
            "Prisma would not find its history there. Nothing was touched.",
            "Check the `schema` of the connection URL.",
        )
    query = sql.SQL(
        "SELECT migration_name, checksum, finished_at IS NOT NULL, rolled_back_at IS NOT NULL,"
        " COALESCE(finished_at = started_at, false) AND applied_steps_count = 0 AND COALESCE(logs, '') = '',"
        " pg_catalog.left(COALESCE(logs, ''), 500), started_at::text FROM {} ORDER BY started_at, id"
    ).format(sql.Identifier(schema, TABLE))
    return History(schema, tuple(Row(*row) for row in connection.execute(query)), lock_holder=lock_holder)


def _tables(connection: psycopg.Connection[Any], schema: str) -> tuple[str, ...]:
    rows = connection.execute(
        "SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relkind IN ('r', 'p') ORDER BY c.relname",
        (schema,),
    )
    return tuple(row[0] for row in rows)


def _elsewhere(connection: psycopg.Connection[Any], schema: str) -> tuple[str, ...]:
    rows = connection.execute(
        "SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relname = %s AND n.nspname <> %s AND c.relkind = 'r' ORDER BY n.nspname",
        (TABLE, schema),
    )
    return tuple(row[0] for row in rows)


def _forbidden(schema: str) -> TargetUnusable:
    return TargetUnusable(
        f"Permission denied on {schema}.{TABLE}: the history is there, but this user may not read all of it (42501).",
        "What is applied cannot be told; Prisma would call this database unmanaged. Nothing was touched.",
        f"Grant the user USAGE on schema {schema} and SELECT on the table, or connect as its owner.",
    )


def pending(history: History, folder: Sequence[Migration]) -> tuple[Migration, ...]:
    """Migrations with no row, or only rolled-back ones, in folder order.

    Failed ones are not pending: nothing is applied before they are resolved.
    """
    recorded = {*history.applied, *(row.name for row in history.failed)}
    return tuple(migration for migration in folder if migration.name not in recorded)


def judge(history: History, folder: Sequence[Migration]) -> tuple[Finding, ...]:
    """Every state that is not simply applied or pending, with what to do about it."""
    return (
        *_unmanaged(history),
        *_failed(history),
        *_running(history),
        *_missing(history, folder),
        *_edited(history, folder),
        *_order(history, folder),
        *_stamped(history),
        *_rolled_back(history, folder),
    )


def _blocker(rule: str, message: str, migration: str | None = None, **evidence: Any) -> Finding:
    return Finding(rule, Severity.BLOCKER, message, migration=migration, evidence=evidence)


def _unmanaged(history: History) -> Iterable[Finding]:
    if history.rows is not None:
        return
    if history.elsewhere:
        yield _blocker(
            "drift",
            f"Schema {history.schema} has no {TABLE}, but {', '.join(history.elsewhere)} has one:"
            " check the `schema` parameter of the connection URL.",
            schemas=list(history.elsewhere),
        )
    if history.tables:
        shown = ", ".join(history.tables[:5]) + (", ..." if len(history.tables) > 5 else "")
        yield _blocker(
            "drift",
            f"The database is not managed by Prisma Migrate: schema {history.schema} holds {len(history.tables)} tables"
            f" ({shown}) and no {TABLE}, so every migration looks pending and deploy stops with P3005."
            " Baseline it with `prisma migrate resolve --applied`, or check that this is the right database.",
            tables=list(history.tables[:50]),
        )


def _failed(history: History) -> Iterable[Finding]:
    for row in history.failed:
        running = (
            f" It may still be running: {history.lock_holder} holds Prisma's migration lock."
            if history.lock_holder
            else ""
        )
        why = f" Its log says: {' '.join(row.logs.split())[:200]}" if row.logs else ""
        yield _blocker(
            "failed-migration",
            f"{row.name} began at {row.started_at} and never finished; every deploy stops with P3009.{running}{why}"
            " See what it left behind, then `prisma migrate resolve --rolled-back` or `--applied`.",
            row.name,
            logs=row.logs,
            started_at=row.started_at,
        )


def _running(history: History) -> Iterable[Finding]:
    if history.lock_holder and not history.failed:
        yield Finding(
            "drift",
            Severity.WARNING,
            f"{history.lock_holder} holds Prisma's migration lock: a deploy may be running, or a client left it behind."
            " Applying will wait for it for 10 s and then stop.",
        )


def _missing(history: History, folder: Sequence[Migration]) -> Iterable[Finding]:
    names = {migration.name for migration in folder}
    for name in history.applied:
        if name not in names:
            yield _blocker(
                "missing-migration",
                f"{name} is applied in the database but not in the folder; Prisma's deploy would not say so."
                " Restore the folder from version control, or check that this is the right branch and database.",
                name,
            )


def _edited(history: History, folder: Sequence[Migration]) -> Iterable[Finding]:
    last = {row.name: row for row in history.rows or () if row.applied}
    for migration in folder:
        row = last.get(migration.name)
        if row and not unchanged(row.checksum, migration.sql):
            yield _blocker(
                "edited-migration",
                f"{migration.name} was edited after it was applied; what a new database gets is not what this one got."
                " Restore the file as it was and put the change into a new migration.",
                migration.name,
                recorded=row.checksum,
                file=migration.checksum,
            )


def _order(history: History, folder: Sequence[Migration]) -> Iterable[Finding]:
    names = [migration.name for migration in folder]
    applied = set(history.applied)
    waiting = [migration.name for migration in pending(history, folder)]
    last = max((name for name in names if name in applied), key=str.encode, default="")
    for name in waiting:
        if name.encode() < last.encode():
            yield _blocker(
                "drift",
                f"{name} is out of order: it sorts before {last}, which is already applied. A new database runs"
                " them the other way round. Rename the folder to sort last, or waive this if neither needs the other.",
                name,
                before=last,
            )
    pairs = ambiguous_names(names)
    if pairs:
        matters = order_matters(names, waiting)
        first, second = pairs[0]
        yield Finding(
            "drift",
            Severity.BLOCKER if matters else Severity.WARNING,
            f"The order of the migrations is ambiguous: {first} stands before {second} by bytes (Prisma up to 6.5) and"
            " after it by the machine's locale (from 6.6). Rename them so that both agree, for example with timestamps"
            " of equal length.",
            evidence={"pairs": [list(pair) for pair in pairs[:10]]},
        )


def order_matters(names: Sequence[str], waiting: Sequence[str]) -> bool:
    """Tell whether the doubt about the order touches a migration that is still to be applied."""
    return any(bool(ambiguous_names((name, other))) for name in waiting for other in names)


def _stamped(history: History) -> Iterable[Finding]:
    for row in history.rows or ():
        if row.applied and row.stamped:
            yield Finding(
                "drift",
                Severity.WARNING,
                f"{row.name} was stamped as applied by hand (`migrate resolve --applied`), not run by Prisma;"
                " whether the database really has its changes only the schema difference can tell.",
                migration=row.name,
                evidence={"started_at": row.started_at},
            )


def _rolled_back(history: History, folder: Sequence[Migration]) -> Iterable[Finding]:
    closed = {row.name: row for row in history.rows or () if row.rolled_back}
    applied = set(history.applied)
    waiting = {migration.name for migration in pending(history, folder)}
    for name, row in closed.items():
        if name in waiting:
            told = f"{name} was rolled back and its folder is still there: it is pending and deploy applies it again"
            told += " (`migrate status` before 7.9 calls this up to date)."
        elif name in applied:
            told = f"{name} was rolled back once and applied later."
        else:
            continue
        yield Finding("drift", Severity.INFO, told, migration=name, evidence={"started_at": row.started_at})
