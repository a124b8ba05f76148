"""One instant of a database, held open so that pg_dump and every fingerprint worker read the same rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.postgres.connection import Conninfo, connect

LOCK_TIMEOUT_S = 30

# Parallel workers cost little beside the scan they share; JIT costs more than it saves on such queries.
_SETTINGS = {
    "lock_timeout": f"{LOCK_TIMEOUT_S}s",
    "idle_in_transaction_session_timeout": "0",
    "jit": "off",
    "max_parallel_workers_per_gather": "2",
    "parallel_setup_cost": "0",
    "parallel_tuple_cost": "0",
    "work_mem": "64MB",
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An exported snapshot: `id` is what `pg_dump --snapshot` takes while the context that made it is open.

    `system_identifier` and `database_oid` tell which database it was;
    the former is None where the server keeps it to itself.
    """

    id: str
    taken_at: dt.datetime
    version_num: int
    database_oid: int
    system_identifier: int | None
    connection: psycopg.Connection[tuple[Any, ...]] = field(repr=False, compare=False)

    def age_s(self) -> float:
        """Seconds for which vacuum has been held back by now."""
        return (dt.datetime.now(dt.UTC) - self.taken_at).total_seconds()


def reader(conninfo: Conninfo, *, statement_timeout_s: float) -> psycopg.Connection[tuple[Any, ...]]:
    """Open an autocommit connection with the settings that reading whole tables wants."""
    return connect(conninfo, statement_timeout_s=statement_timeout_s, settings=_SETTINGS)


@contextmanager
def snapshot(conninfo: Conninfo, *, statement_timeout_s: float = 3600) -> Iterator[Snapshot]:
    """Hold one repeatable-read, read-only transaction open and export its snapshot."""
    with closing(reader(conninfo, statement_timeout_s=statement_timeout_s)) as connection:
        system_identifier = _system_identifier(connection)
        try:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            row = connection.execute(
                "SELECT pg_export_snapshot(), clock_timestamp(), current_setting('server_version_num')::int, oid::int8 "
                "FROM pg_database WHERE datname = current_database()"
            ).fetchone()
        except psycopg.Error as error:
            raise unreadable("the catalog", error) from error
        assert row is not None  # noqa: S101 - the current database is always listed
        identifier, taken_at, version_num, oid = row
        yield Snapshot(identifier, taken_at, version_num, oid, system_identifier, connection)


def join(connection: psycopg.Connection[tuple[Any, ...]], snapshot_id: str) -> None:
    """Begin a read-only transaction that sees an exported snapshot."""
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    try:
        connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot_id)))
    except (psycopg.DataError, psycopg.ProgrammingError, psycopg.NotSupportedError) as error:
        raise TargetUnusable(
            f"Snapshot {snapshot_id!r} is not there any more: {error.diag.message_primary}",
            "Another instant cannot stand in for it, so no fingerprint was taken.",
            "Keep the snapshot's connection open until the fingerprint is taken.",
        ) from error


def unreadable(table: str, error: psycopg.Error) -> TargetUnusable:
    """Say in words why a table could not be read to its end."""
    means = "Its rows are not verified, so nothing may be concluded about them."
    if isinstance(error, psycopg.errors.QueryCanceled):
        return TargetUnusable(
            f"Reading {table} did not end within its time limit.",
            means,
            "Raise the statement time limit, or run the dry run when the server has less to do.",
        )
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return TargetUnusable(
            f"Reading {table} waited more than {LOCK_TIMEOUT_S} s for a lock.",
            means,
            "Find the session that locks the table (pg_locks) and run again.",
        )
    reason = error.diag.message_primary or type(error).__name__
    code = f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""
    return TargetUnusable(
        f"Reading {table} failed: {reason}{code}.", means, "Look into the server's log for this error, then run again."
    )


def _system_identifier(connection: psycopg.Connection[tuple[Any, ...]]) -> int | None:
    try:
        row = connection.execute("SELECT system_identifier FROM pg_control_system()").fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return None
    return int(row[0]) if row else None
