"""The way back of a staging database: the commands for a person, and the same done for one.

The backup is restored into a new database beside the target and compared there, row by row, before the target is
touched; then the two change names in one transaction. So the target is the migrated database or the proved one at
every instant, and never half of either.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from pytest_dryrun.hosts import output
from pytest_dryrun.model.errors import DryRunError, TargetUnusable
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres import backup, databases
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.postgres.disposable import Disposable
from pytest_dryrun.steps import proof
from pytest_dryrun.steps.neighbours import ASIDE, BESIDE, named
from pytest_dryrun.steps.target import TargetDatabase
from pytest_dryrun.steps.way_back_rights import STILL_MIGRATED, administration

SWAP_S = 60.0
STATEMENT_S = 60.0


class Unknown(DryRunError):
    """Nobody can tell whether the target came back."""


def unknown(name: str, why: str) -> Unknown:
    """Say that the target is one of two, and nobody knows which."""
    return Unknown(
        why,
        f"State unknown: {name!r} is the migrated database or the restored one, whole in either case.",
        "Look which; the commands of the way back lead to the backup from both.",
    )


@dataclass(frozen=True, slots=True)
class BroughtBack:
    """A target that is its backup again; `down_ms` is how long it let nobody in, `left` what could not be dropped."""

    duration_ms: float
    down_ms: float
    tables: int
    rows: int
    left: str = ""

    def told(self) -> str:
        """It in a sentence or two."""
        left = f" The migrated database could not be dropped and is called {self.left} now." if self.left else ""
        return (
            f"{self.tables} tables, {self.rows:,} rows and the whole schema are those of the backup; it took"
            f" {self.duration_ms / 1000:.1f} s, and no session was let in for {self.down_ms / 1000:.1f} s.{left}"
        )


def walk(
    server: Disposable,
    taken: proof.Taken,
    name: str,
    *,
    beside: str,
    aside: str,
    timeout_s: float,
    login: Conninfo | None,
) -> proof.Restored:
    """Do to a copy on its server what `bring_back` would do to the target, as `login`; findings tell what differs.

    Raises DryRunError or psycopg.Error, with the copy as it was.
    """
    admin = server.conninfo.as_user(login) if login else server.conninfo
    try:
        restored = proof.restore(server, taken, beside, timeout_s=timeout_s, login=login)
        restored = replace(restored, findings=(*restored.findings, *_shape_findings(taken, server, beside)))
        with connect(server.conninfo) as connection:  # who watched the rehearsal is none of the application's sessions
            databases.end_sessions(connection, name, wait_ms=databases.SESSION_MS)
        swapped_ms = _swap(admin, name, beside, aside, lambda: None)
        databases.drop(admin, aside)
    except psycopg.errors.InsufficientPrivilege as error:
        raise DryRunError(
            f"User {admin.user!r} could not let the restored database take the place of {name!r}:"
            f" {' '.join(str(error).split())}",
            "So this user could not bring the target back.",
            "Let a superuser do it, or give the user what it lacks.",
        ) from error
    except DryRunError as error:
        if error.means != STILL_MIGRATED and not isinstance(error, Unknown):
            raise
        raise DryRunError(
            f"The migrated copy was not replaced. {error.what}",
            "So the way back is not proven; the target was not touched.",
            "Look at the server of the copies, and run again.",
        ) from error
    finally:
        for each in (beside, aside):
            databases.drop(server.conninfo, each)
    took_ms = restored.duration_ms + swapped_ms
    return replace(restored, conninfo=server.conninfo.database(name), duration_ms=took_ms)


def _shape_findings(taken: proof.Taken, server: Disposable, name: str) -> list[Finding]:
    """What `_hold` would find of the database as a whole; the copies' server has no tablespaces of the target's."""
    with connect(server.conninfo) as connection:
        shape = replace(databases.shape(connection, name), tablespace=taken.shape.tablespace)
    if shape == taken.shape:
        return []
    text = f"the database itself would be {shape}, and was {taken.shape}"
    return [Finding("restore-differs", Severity.BLOCKER, text)]


def bring_back(
    database: TargetDatabase,
    taken: proof.Taken,
    path: str,
    *,
    run_id: str,
    let_go: Callable[[], object],
    swapped: Callable[[], object],
    timeout_s: float,
) -> BroughtBack:
    """Replace the target by its backup, the file at `path` on its host.

    `let_go` ends our own session in the target, just before the databases change names; everybody else's are ended by
    the server. `swapped` is called as soon as they have. Raises DryRunError or psycopg.Error with the target as it was:
    the migrated database.
    """
    began = time.perf_counter()
    name = database.conninfo.dbname
    admin = administration(database.conninfo)
    beside, aside = named(name, BESIDE, run_id), named(name, ASIDE, run_id)
    try:
        restored = databases.create(admin, beside, taken.shape)
        try:
            _restore(database, beside, path, timeout_s=timeout_s)
        except backup.RestoreDeadlocked:
            databases.drop(admin, beside)
            restored = databases.create(admin, beside, taken.shape)
            _restore(database, beside, path, timeout_s=timeout_s, jobs=1)
        with connect(restored, statement_timeout_s=timeout_s) as connection:
            connection.execute("ANALYZE")
        _hold(taken, restored, timeout_s=timeout_s)
        down_ms = _swap(admin, name, beside, aside, let_go)
        swapped()
    finally:
        with suppress(psycopg.Error, TargetUnusable):
            databases.drop(admin, beside)  # where the names were changed, nothing is called that any more
    left = ""
    try:
        databases.drop(admin, aside)
    except (psycopg.Error, TargetUnusable):  # the next run tries again
        left = aside
    rows = sum(table.rows for table in taken.prints.tables)
    return BroughtBack((time.perf_counter() - began) * 1000, down_ms, len(taken.prints.tables), rows, left)


def _restore(database: TargetDatabase, name: str, path: str, *, timeout_s: float, jobs: int = 2) -> None:
    done = database.host.run(
        [*database.tool("pg_restore"), *backup.restoring(name, jobs=jobs), path],
        timeout_s=timeout_s,
        env=database.tool_conninfo.database(name).environment(),
    )
    if done.exit_status:
        raise (backup.RestoreDeadlocked if backup.deadlocked(done.stderr) else DryRunError)(
            f"pg_restore on {database.host.name} failed: {output.last_words(done.stderr)}",
            STILL_MIGRATED,
            "Mend what pg_restore complains about and type the commands of the way back.",
        )


def _hold(taken: proof.Taken, restored: Conninfo, *, timeout_s: float) -> None:
    """Raise unless the new database is what the target was, rows, schema and shape."""
    _, findings = proof.compare(taken, restored, timeout_s=timeout_s)
    differences = [finding.message for finding in findings if finding.severity is Severity.BLOCKER]
    with connect(restored) as connection:
        shape = databases.shape(connection)
    if shape != taken.shape:
        differences.append(f"the database itself is {shape}, and was {taken.shape}")
    if differences:
        raise DryRunError(
            f"The restored database is not what the target was: {'; '.join(differences[:5])}",
            "It did not take the target's place; the target is still the migrated database.",
            "Find out why, then type the commands of the way back.",
        )


def _swap(admin: Conninfo, name: str, beside: str, aside: str, let_go: Callable[[], object]) -> float:
    """Let the database `beside` take the place of `name`, which is then called `aside`; gives the ms that took."""
    let_go()
    began = time.perf_counter()
    new = _oid(admin, beside)
    try:
        with connect(admin, statement_timeout_s=STATEMENT_S) as connection:
            # What stays is told by the renaming that it keeps from happening.
            while not _renamed(connection, name, beside, aside):
                if time.perf_counter() - began > SWAP_S:
                    raise _in_use(connection, name)
    except psycopg.OperationalError as error:
        # A connection that is lost may take the word with it that the transaction was committed.
        said = " ".join(str(error).split())
        lost = f"The connection was lost while the databases changed names: {said}"
        if isinstance(error, (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable)):
            lost = f"The databases could not change names: {said}"
        try:
            stands = _oid(admin, name)
        except TargetUnusable as gone:
            raise unknown(name, f"{lost} {gone.what}") from error
        if stands != new:
            raise DryRunError(lost, STILL_MIGRATED, "Type the commands of the way back.") from error
    return (time.perf_counter() - began) * 1000


def _renamed(connection: psycopg.Connection[tuple[object, ...]], name: str, beside: str, aside: str) -> bool:
    """Try once. Whoever comes while it is tried waits for it; who came just before keeps it from happening."""
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    databases.end_sessions(connection, name)
    try:
        with connection.transaction():
            connection.execute(rename.format(sql.Identifier(name), sql.Identifier(aside)))
            connection.execute(rename.format(sql.Identifier(beside), sql.Identifier(name)))
    except psycopg.errors.ObjectInUse:
        return False
    return True


def _in_use(connection: psycopg.Connection[tuple[object, ...]], name: str) -> DryRunError:
    query = (
        "SELECT coalesce(string_agg(format('session %%s of %%s', pid, usename), ', '), 'a prepared transaction')"
        " FROM pg_stat_activity WHERE datname = %s"
    )
    (who,) = connection.execute(query, (name,)).fetchone() or ("",)
    return DryRunError(
        f"{name!r} is still in use, by {who}: this user may not end that.",
        "The restored database did not take its place; the target is still the migrated database.",
        "End it as a superuser, then type the commands of the way back.",
    )


def _oid(admin: Conninfo, name: str) -> object:
    with connect(admin) as connection:
        row = connection.execute("SELECT oid FROM pg_database WHERE datname = %s", (name,)).fetchone()
    return row[0] if row else None
