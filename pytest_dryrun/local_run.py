"""A dry run on one machine: the target lives on the disposable server, beside its copies."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

from pytest_dryrun.config import size_bytes
from pytest_dryrun.hosts.local import LocalHost
from pytest_dryrun.model.errors import DryRunError
from pytest_dryrun.postgres import databases, disposable, outside
from pytest_dryrun.postgres.disposable import Disposable
from pytest_dryrun.probes import bugs
from pytest_dryrun.run import DryRun
from pytest_dryrun.steps import proof
from pytest_dryrun.steps import target as names
from pytest_dryrun.steps.memo import step
from pytest_dryrun.steps.rehearsal import Template
from pytest_dryrun.steps.rollback import RolledBack
from pytest_dryrun.steps.target import Access, TargetDatabase, build_baseline


class LocalRun(DryRun):
    """The target is built from its baseline, and ends with the run."""

    host: LocalHost

    def __init__(self, **of_the_session: Any) -> None:
        super().__init__(**of_the_session)
        self.host = LocalHost()
        self.root = (self.loaded.root / self.target.directory).resolve()
        with suppress(DryRunError):  # kept by the step, and raised again for the check that asks
            self.log_marks()

    @property
    def directory_there(self) -> str:
        """The application's folder: it is here."""
        return str(self.root)

    def access(self) -> Access:
        """Nobody logs in anywhere; the check says so before it asks."""
        raise LookupError("a local target has no host to log in to")

    def project_files(self) -> Path:
        """Nothing need be fetched."""
        return self.root

    @step("Marking the ends of the logs")
    def log_marks(self) -> bugs.LogMarks:
        """Where the configured logs ended when the run began."""
        return bugs.LogMarks.take([self.root / path for path in self.target.p0.logs])

    @step("Starting a disposable PostgreSQL")
    def server(self) -> Disposable:
        """The disposable server: the target lives on it, and so does every copy."""
        settings = self.target.postgres
        bindir = str((self.loaded.root / settings.bindir).resolve()) if settings.bindir else ""
        return self.serve(
            disposable.start(settings.provider, workspace=self.workspace(), image=settings.image, bindir=bindir)
        )

    @step("Building the local target")
    def database(self) -> TargetDatabase:
        """The target's database, built from its baseline."""
        return build_baseline(
            self.server(),
            self.target.baseline,
            self.native(),
            self.root,
            name=names.TARGET,
            timeout_s=self.target.backup.timeout_s,
        )

    def backup_directory(self) -> Path:
        """Where the backup lies: as configured (relative to `dryrun.toml`), else beside the report."""
        configured = self.target.backup.directory
        return (self.loaded.root / configured).expanduser().resolve() if configured else self.directory / "backup"

    @step("Measuring the room for a backup")
    def backup_room(self) -> proof.Room:
        """Free space against what the backup may need."""
        return proof.room(self.database(), str(self.backup_directory()), size_bytes(self.target.backup.min_free))

    def take_backup(self) -> proof.Taken:
        """Dump and fingerprint the target from one snapshot."""
        directory = self.backup_directory()
        if not self.target.backup.directory:
            # A local target's database ends with its run, so its backups are of no use to anybody after that.
            for old in directory.glob(f"{self.name}-*.dump"):
                old.unlink()
        name = f"{self.name}-{self.run_id}.dump"
        timeout_s = self.target.backup.timeout_s
        return proof.take(self.database(), proof.here(self.database(), directory, name, timeout_s), timeout_s=timeout_s)

    @step("Copying the target")
    def template(self) -> Template:
        """The untouched data: the target's own files, kept from reaching other servers."""
        prints = self.backup().prints
        conninfo = databases.copy(self.server().conninfo, self.database().conninfo.dbname, names.TEMPLATE)
        outside.close(conninfo)
        return Template(conninfo, prints)

    @step("Restoring the backup and comparing every row")
    def restored(self) -> proof.Restored:
        """The backup in the place of the migrated copy: one restore proves both the archive and the way back.

        So it comes after the rehearsal, whose own trouble belongs to the check that asks for it.
        """
        taken = self.backup()
        with suppress(DryRunError, psycopg.Error):
            self.rehearsal()
        self.undo_roles()
        restored = proof.restore(self.server(), taken, names.REHEARSAL, timeout_s=self.target.backup.timeout_s)
        self.publish_backup(taken, restored.restore_ms)
        return restored

    @step("Rolling the migrated copy back to the backup")
    def rollback(self) -> RolledBack:
        """The migrated copy, replaced by the backup, whose file is still the one that did it."""
        self.rehearsed()
        restored = self.restored()
        self.backup().hold()
        return RolledBack.of(restored)
