"""The backup, the room for it, and the proof that it restores."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from pytest_dryrun.model.errors import DryRunError
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres import backup, databases, fingerprint, outside
from pytest_dryrun.postgres.catalog import Catalog, read_catalog
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.postgres.disposable import Disposable
from pytest_dryrun.postgres.snapshot import snapshot
from pytest_dryrun.steps.comparing import WORKERS, row_differences, schema_findings
from pytest_dryrun.steps.loading import Loading
from pytest_dryrun.steps.target import TargetDatabase


@dataclass(frozen=True, slots=True)
class Room:
    """Space in a folder, against what `purpose` may need of it."""

    directory: str
    free_bytes: int
    needed_bytes: int
    purpose: str = "the backup"
    remedy: str = "free space there or name another [backup] directory"

    def shortage(self) -> str:
        """What to say where there is too little; empty where there is enough."""
        if self.free_bytes >= self.needed_bytes:
            return ""
        return (
            f"{self.directory} has {self.free_bytes / 1e6:,.0f} MB free, "
            f"{self.purpose} may need {self.needed_bytes / 1e6:,.0f} MB: {self.remedy}"
        )


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup together with what the same snapshot looked like."""

    archive: backup.Backup
    shape: databases.Shape
    catalog: Catalog
    prints: fingerprint.Fingerprint

    @property
    def path(self) -> Path:
        """Where the file lies here."""
        return self.archive.path

    @property
    def kept_at(self) -> str:
        """Where the backup is kept, for people."""
        return self.archive.kept_at

    @property
    def mode(self) -> int:
        """The permission bits of the file as it is kept."""
        return self.archive.kept.mode()

    def changed(self) -> str:
        """What is wrong with the backup as it is kept now; empty where it is the file that was written and proved."""
        now = self.archive.kept.sha256()
        if now == self.sha256:
            return ""
        return f"The backup {self.kept_at} is no longer the file that was restored: its checksum is {now}."

    def hold(self) -> None:
        """Raise DryRunError unless the file that is kept is the one that was written and proved."""
        if changed := self.changed():
            raise DryRunError(
                changed,
                "There is no proven way back.",
                "Find out who writes there, keep others out of [backup] directory, and run again.",
            )

    @property
    def size_bytes(self) -> int:
        """Its size."""
        return self.archive.size_bytes

    @property
    def sha256(self) -> str:
        """Its checksum when it had been written; that of a copy here too, where there is one."""
        return self.archive.sha256

    @property
    def dump_ms(self) -> float:
        """How long writing it took; where it is written here, that includes hashing."""
        return self.archive.dump_ms


@dataclass(frozen=True, slots=True)
class Restored:
    """The backup in a new database, compared with the snapshot. Findings block: rows or schema differ.

    Since the comparison it reaches nothing outside itself.

    `duration_ms` is the restore with dropping what stood there and creating the database; `prints` are its figures.
    `overlapped`: it began while the backup was still being written, so that its times hold some of the dump's.
    """

    conninfo: Conninfo
    restore_ms: float
    duration_ms: float
    tables: int
    rows: int
    findings: tuple[Finding, ...]
    kept: backup.Kept
    prints: fingerprint.Fingerprint
    overlapped: bool = False

    @property
    def disproved(self) -> bool:
        """Whether anything keeps the new database from being proved equal; what a dump never carries does not."""
        return any(finding.severity is Severity.BLOCKER for finding in self.findings)

    def checksum_now(self) -> str:
        """The file's checksum as it is kept now."""
        return self.kept.sha256()


def room(database: TargetDatabase, directory: str, min_free_bytes: int) -> Room:
    """Measure the room for a backup in `directory`: the database's own size, the safe estimate, or more by choice."""
    return Room(directory, database.host.free_bytes(directory), max(min_free_bytes, database.size_bytes()))


Dump = Callable[[str, databases.Shape], backup.Backup]
"""Writes the backup as an exported snapshot (by its id) sees the database, which has this shape."""


def take(database: TargetDatabase, dump: Dump, *, timeout_s: float) -> Taken:
    """Dump and fingerprint the target side by side, from one exported snapshot.

    Raises DryRunError where the backup cannot be written; the fingerprint is given up then.
    """
    stop = threading.Event()
    with (
        snapshot(database.conninfo, statement_timeout_s=timeout_s) as instant,
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="dryrun-fingerprint") as pool,
    ):
        catalog = read_catalog(instant.connection)
        shape = databases.shape(instant.connection)
        # Sequences are under no snapshot: read before the dump reads them, they stand no further than there.
        sequences = fingerprint.sequences(instant.connection)
        counting = pool.submit(
            fingerprint.take,
            database.conninfo,
            snapshot_id=instant.id,
            mode="exact",
            workers=WORKERS,
            statement_timeout_s=timeout_s,
            stop=stop,
        )
        try:
            archive = dump(instant.id, shape)
            prints = replace(counting.result(), sequences=sequences)
        except BaseException:
            stop.set()
            raise
    return Taken(archive, shape, catalog, prints)


def here(database: TargetDatabase, directory: Path, name: str, timeout_s: float) -> Dump:
    """A dump that is written to a folder of this machine."""

    def dump(snapshot_id: str, shape: databases.Shape) -> backup.Backup:
        del shape  # it is restored later
        try:
            return backup.dump(
                database.host,
                database.tool("pg_dump"),
                database.tool_conninfo,
                snapshot_id=snapshot_id,
                directory=directory,
                name=name,
                timeout_s=timeout_s,
            )
        except OSError as error:
            raise DryRunError(
                f"The backup {directory / name} could not be written: {error.strerror or error}.",
                "Without a backup nothing after this may touch the target.",
                "Mend the folder, or name another [backup] directory.",
            ) from error

    return dump


def restore(
    server: Disposable, taken: Taken, name: str, *, timeout_s: float, login: Conninfo | None = None
) -> Restored:
    """Put the backup in the place of a database of the disposable server and compare every row and the whole catalog.

    What stood there, the migrated copy for one, is dropped with its sessions; nothing need stand there.
    `login` is who drops the database, makes it anew and restores, the server's superuser where nobody is named.
    """
    began = time.perf_counter()
    restoring = server.tool_conninfo.database(name)
    admin = server.conninfo
    if login is not None:
        restoring, admin = restoring.as_user(login), admin.as_user(login)
        with connect(server.conninfo) as connection:  # sessions of our own, which nobody else may end
            databases.end_sessions(connection, name, wait_ms=databases.SESSION_MS)
    conninfo = server.conninfo.database(name)
    for jobs in (2, 1):
        _make_anew(admin, name, taken)
        try:
            restore_ms = backup.restore(
                server.host,
                server.tool("pg_restore"),
                taken.path,
                restoring,
                timeout_s=timeout_s,
                jobs=jobs,
                in_place=taken.archive.in_place,
            )
            break
        except backup.RestoreDeadlocked:
            if jobs == 1:
                raise
    duration_ms = (time.perf_counter() - began) * 1000
    return _proved(taken, conninfo, restore_ms, duration_ms, timeout_s)


def _make_anew(admin: Conninfo, name: str, taken: Taken) -> None:
    try:
        databases.drop(admin, name)
        databases.create(admin, name, taken.shape)
    except psycopg.Error as error:
        raise DryRunError(
            f"User {admin.user!r} could not make the database anew: {' '.join(str(error).split())}",
            "So this user could not bring the target back.",
            "Let a superuser do it, or give the user what it lacks.",
        ) from error


def loaded(taken: Taken, loading: Loading, *, timeout_s: float) -> Restored:
    """Finish restoring a backup that has come in, and compare every row and the whole catalog."""
    try:
        conninfo, restore_ms = loading.finish(taken.path)
    except backup.RestoreDeadlocked:
        return restore(loading.server, taken, loading.name, timeout_s=timeout_s)
    return replace(_proved(taken, conninfo, restore_ms, restore_ms, timeout_s), overlapped=True)


def _proved(taken: Taken, conninfo: Conninfo, restore_ms: float, duration_ms: float, timeout_s: float) -> Restored:
    try:
        prints, findings = compare(taken, conninfo, timeout_s=timeout_s)
    finally:
        outside.close(conninfo)
    rows = sum(table.rows for table in taken.prints.tables)
    return Restored(
        conninfo, restore_ms, duration_ms, len(taken.prints.tables), rows, findings, taken.archive.kept, prints
    )


def compare(
    taken: Taken, conninfo: Conninfo, *, timeout_s: float
) -> tuple[fingerprint.Fingerprint, tuple[Finding, ...]]:
    """Fingerprint a restored database and find whether it equals the snapshot the backup was taken from."""
    prints = fingerprint.take(conninfo, mode="exact", workers=WORKERS, statement_timeout_s=timeout_s)
    with connect(conninfo, statement_timeout_s=timeout_s) as connection:
        catalog = read_catalog(connection)
    return prints, (*row_differences(taken.prints, prints), *schema_findings(taken.catalog, catalog))
