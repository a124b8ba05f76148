"""A dry run of a staging host over SSH: its own database, tools and commands; the copies live here."""

from __future__ import annotations

import posixpath
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg

from pytest_dryrun.config import size_bytes
from pytest_dryrun.errors import DryRunError, TargetUnusable
from pytest_dryrun.hosts import Host, ssh
from pytest_dryrun.judging import Blocked
from pytest_dryrun.migrations import Migration, Migrations, Status
from pytest_dryrun.postgres import disposable
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.postgres.counters import tuple_counters
from pytest_dryrun.postgres.disposable import Disposable
from pytest_dryrun.probes.host_logs import HostLogMarks
from pytest_dryrun.run import DryRun
from pytest_dryrun.steps import beside, from_host, host_journal, proof, way_back, way_in
from pytest_dryrun.steps import target as names
from pytest_dryrun.steps.host_journal import HostJournal
from pytest_dryrun.steps.loading import Loading
from pytest_dryrun.steps.memo import step
from pytest_dryrun.steps.rehearsal import Template
from pytest_dryrun.steps.rollback import RolledBack
from pytest_dryrun.steps.target import Access, TargetDatabase
from pytest_dryrun.steps.tuples import Counters, busy

if TYPE_CHECKING:
    from pytest_dryrun.hosts.ssh.host import SshHost

CONNECT_S = 20.0
OLDEST = 140000


class StagingRun(DryRun):
    """The target is a database behind a host; copies of it live on a disposable server here."""

    def __init__(self, **of_the_session: Any) -> None:
        super().__init__(**of_the_session)
        self._directory = self.target.directory
        self._backups = posixpath.join(self._directory, self.target.backup.directory)
        self._counters: Counters = {}
        self._counted_at = 0.0
        self.when_logged_in: Callable[[], object] = lambda: None
        self.before_deploying: Callable[[], object] = lambda: None
        self._loads: Loading | None = None

    @property
    def host(self) -> Host:  # type: ignore[override]
        """The target's host, once somebody has logged in."""
        return self.remote()

    @property
    def directory_there(self) -> str:
        """The application's folder on the host."""
        return self._directory

    @step("Connecting to the host")
    def remote(self) -> SshHost:
        """The one verified connection through which everything goes."""
        settings = self.target.ssh
        if settings is None:
            raise LookupError("a staging target without [ssh] was not refused")
        host = ssh.connect(settings, timeout_s=CONNECT_S, base=self.loaded.root)
        self.closing(host.close)
        return host

    def access(self) -> Access:
        """Log in to the target's host, and ask what it is."""
        host = self.remote()
        with suppress(DryRunError):  # kept by the step, and raised again for the check that asks
            self.log_marks()
        self.when_logged_in()
        system = host.run(["uname", "-srm"], timeout_s=way_in.COMMAND_S).stdout.strip()
        return Access(host.name, host.address, host.host_key, system)

    @step("Marking the ends of the host's logs")
    def log_marks(self) -> HostLogMarks:
        """Where the configured logs ended when somebody first logged in."""
        return HostLogMarks.take(self.remote(), [posixpath.join(self._directory, path) for path in self.target.p0.logs])

    @step("Opening the target's database")
    def database(self) -> TargetDatabase:
        """The database that the application's `.env` names, through a tunnel, proved to be the one its host means."""
        host = self.remote()
        user = host.name.partition("@")[0]
        url, text = way_in.credentials(host, self._directory, self.target.database, user=user)
        for secret in url.secrets:
            self.redactor.add(secret)
        self.redactor.add(text)
        self.redactor.add(urlsplit(text).netloc.rpartition("@")[0].partition(":")[2])  # as the file spells it
        conninfo = way_in.tunnelled(host, url.conninfo)
        identity = way_in.identify(conninfo)
        if identity.version_num < OLDEST:
            raise TargetUnusable(
                f"The server runs PostgreSQL {identity.version}; 14 is the oldest that can be rehearsed.",
                "Nothing was touched.",
                "Upgrade the server, or go through the checklist by hand.",
            )
        own = ("pg_dump", "psql", *(("pg_restore",) if self.rolls_back or self.beside else ()))
        tool = way_in.tools(host, identity.version_num, own)
        database = TargetDatabase(conninfo, host, tool, url.conninfo, tool_url=text, _identity=identity)
        way_in.refuse_production(identity, self.loaded.production)
        way_in.same_database(database)
        if self.rolls_back:
            way_back.administration(conninfo)
        if self.beside:
            beside.administration(conninfo)
        self._guard = way_in.hold(conninfo)
        self.closing(self._guard.close)
        self.schema = url.schema
        left = host_journal.left(host, self._backups, self.name, host_journal.spelled(identity))
        self.closing(left.clear)
        self.note(*left.told)
        self.note(*way_in.leftovers(conninfo), *way_in.unguarded(self.loaded.production))
        return database

    @step("Opening the journal on the host")
    def journal(self) -> HostJournal:
        """Where every write to the target and its server is noted before it is done, beginning with clearing up."""
        database = self.database()  # which refuses what must never be written to
        named = host_journal.spelled(database.identify())
        journal = HostJournal.begin(
            self.remote(), self._backups, self.name, self.run_id, named, redact=self.redactor.text
        )
        self.closing(journal.close)
        if left := way_back.left(database.conninfo):
            with journal.writing(f"dropping what killed runs left: {', '.join(left)}"):
                self.note(*way_back.clear(database.conninfo, left))
        return journal

    @property
    def beside(self) -> bool:
        """Whether copies stand beside the target, on its own server."""
        return self.target.rehearsal.provider == "target"

    def copy_name(self, what: str) -> str:
        """What a copy is called; among others' databases by its target and run."""
        return way_back.named(self.database().conninfo.dbname, what, self.run_id) if self.beside else what

    @property
    def rolls_back(self) -> bool:
        """Whether a NO-GO after applying brings the target back, rather than telling how."""
        return self.target.rollback.on_no_go == "run"

    @step("Fetching the migrations")
    def project_files(self) -> Path:
        """A copy of the application's migrations, and of the files that pin Prisma's version."""
        self.database()  # whose URL names the schema of the history
        place = self.workspace().path / "application"
        place.mkdir(mode=0o700)
        self.root = from_host.fetch(self.remote(), self._directory, self.target.migrations.directory, place)
        return self.root

    def read_status(self) -> Status:
        """Compare folder and history now; places of files are told as the host has them."""
        status = super().read_status()
        here = str(self.workspace().path / "application")
        return replace(status, mode_reason=status.mode_reason.replace(here, f"{self.remote().name}:"))

    @step("Starting a disposable PostgreSQL")
    def server(self) -> Disposable:
        """The server for the copies: a disposable one of the target's major version, or the target's own."""
        if self.beside:
            copies = self.copy_name("*")
            self.hold(self.journal().writing(f"making and dropping the databases {copies} beside the target"))
            return self.serve(beside.serve(self.database(), self.run_id))
        major = self.database().identify().version_num // 10000
        provider = self.target.rehearsal.provider
        return self.serve(
            disposable.start(provider, workspace=self.workspace(), image=f"postgres:{major}", major=major)
        )

    @step("Measuring the room for a backup")
    def backup_room(self) -> proof.Room:
        """Free space on the host against what the backup may need, once what killed runs left is gone."""
        if way_back.left(self.database().conninfo):
            self.journal()
        return proof.room(self.database(), self._backups, size_bytes(self.target.backup.min_free))

    def take_backup(self) -> proof.Taken:
        """Dump on the host and fingerprint through the tunnel, from one snapshot."""
        name = f"{self.name}-{self.run_id}.dump"
        timeout_s = self.target.backup.timeout_s
        copy = None if self.beside else self.workspace().path / "backup" / name
        loading = None if self.beside else self._loading()
        dump = from_host.there(
            self.remote(), self.database(), self._backups, name, copy, timeout_s=timeout_s, loading=loading
        )
        self._counters = tuple_counters(self.database().conninfo, settled_s=0)
        self._counted_at = time.monotonic()
        with self.journal().writing(f"writing the backup {name}"):
            return proof.take(self.database(), dump, timeout_s=timeout_s)

    def _loading(self) -> Loading | None:
        """The backup's way into the template; None where there is no server for it, which who asks for one is told."""
        with suppress(DryRunError, psycopg.Error):
            self.login()
            self._loads = Loading(self.server(), names.TEMPLATE, timeout_s=self.target.backup.timeout_s)
            self.closing(self._loads.close)
        return self._loads

    @step("Copying the target's roles")
    def login(self) -> Conninfo:
        """Who applies migrations to copies: the target's own user."""
        if self.beside:
            return self.server().conninfo
        return from_host.copy_roles(self.database().conninfo, self.server().conninfo)

    @step("Restoring the backup and comparing every row")
    def restored(self) -> proof.Restored:
        """The backup in a new database: the template of every copy."""
        taken = self.backup()
        self.login()
        timeout_s = self.target.backup.timeout_s
        if self._loads is not None:
            restored = proof.loaded(taken, self._loads, timeout_s=timeout_s)
        else:
            restored = proof.restore(self.server(), taken, self.copy_name(names.TEMPLATE), timeout_s=timeout_s)
        with connect(restored.conninfo, statement_timeout_s=timeout_s) as connection:
            connection.execute("ANALYZE")
        self.publish_backup(taken, restored.restore_ms)
        return restored

    def template(self) -> Template:
        """The restored backup, where it is proved to be the target."""
        restored = self.restored()
        if restored.disproved:
            raise Blocked(
                "blocked by backup-restores: the copy is not the target, so a rehearsal on it would prove nothing"
            )
        return Template(restored.conninfo, restored.prints, self.login())

    def rehearsed_migrations(self) -> Migrations:
        """Copies are out of the host's reach: they are migrated natively."""
        return self.native()

    def files_now(self) -> Sequence[Migration]:
        """The host's folder as it is now, fetched again."""
        into = Path(tempfile.mkdtemp(prefix="application-", dir=self.workspace().path))
        root = from_host.fetch(self.remote(), self._directory, self.target.migrations.directory, into)
        return self.tool_in(root).folder()

    @contextmanager
    def deploying(self) -> Iterator[None]:
        """Time the application as it is, and tell the way back while there is one to tell."""
        self.before_deploying()
        self.log_marks()
        if changed := self.backup().changed():
            raise Blocked(f"blocked, the target was not touched: {changed}")
        commands = way_back.commands(
            self.database(),
            self.backup().shape,
            self._backup_file,
            self.target.restart_after_rollback,
            user=self.rollback().restored_as,
        )
        pending = ", ".join(item.name for item in self.status().pending)
        with self.journal().writing(f"deploying {pending or 'nothing'}"):
            self._guard.execute("SELECT 1")  # ours alone still
            self.tell_way_back("", commands=commands)
            yield

    @property
    def _backup_file(self) -> str:
        return posixpath.join(self._backups, self.backup().path.name)

    def tell_way_back(self, outcome: str, said: Sequence[str] = (), *, commands: Sequence[str] | None = None) -> None:
        """Tell the reader of the page how the target comes back, and what became of it."""
        told = self.parts.get("rollback", {})
        typed = list(commands) if commands is not None else told.get("commands", [])
        self.publish(rollback={"host": self.remote().name, "commands": typed, "outcome": outcome, "said": list(said)})

    @contextmanager
    def replacing(self) -> Iterator[None]:
        """Keep other dry runs out while the target is replaced by another database; raises where one has come already.

        What restarted the application may have ended our session in the target, and with it its lock.
        """
        conninfo = self.database().conninfo
        with way_in.replacing(way_back.administration(conninfo), conninfo.dbname):
            try:
                self._guard.execute("SELECT 1")
            except psycopg.OperationalError:
                self._guard = way_in.hold(conninfo, replaced=True)
                self.closing(self._guard.close)
            yield

    def bring_back(self) -> way_back.BroughtBack:
        """Replace the migrated target by its backup."""
        if changed := self.backup().changed():
            raise DryRunError(
                changed, "The target is still the migrated database.", "Find a backup that is whole, and restore it."
            )
        beside = way_back.named(self.database().conninfo.dbname, way_back.BESIDE, self.run_id)
        with self.journal().writing(f"restoring the backup into {beside}, to take the target's place"):
            done = way_back.bring_back(
                self.database(),
                self.backup(),
                self._backup_file,
                run_id=self.run_id,
                let_go=self._guard.close,
                timeout_s=self.target.backup.timeout_s,
            )
            self.publish(rolled_back=True)
        return done

    def hold_again(self) -> None:
        """Keep others out of the database that took the target's place; raises TargetUnusable where one has come."""
        conninfo = self.database().conninfo
        try:
            self._guard = way_in.hold(conninfo, replaced=True)
        except TargetUnusable as error:
            raise TargetUnusable(
                error.what,
                "The rows are back; not to disturb it, the application was neither restarted nor tried.",
                "Restart it when the other run has ended.",
            ) from error
        self.closing(self._guard.close)

    def busy_tables(self) -> Collection[str]:
        """Tables to which others wrote, as long as what happened while deploying is no more than they may have done."""
        applied = self.applied()
        now = tuple_counters(self.database().conninfo, settled_s=0)
        readings = (self._counters, applied.counters_before, applied.counters_after, now)
        oids = busy(readings, deploying_s=applied.counted_s, watched_s=time.monotonic() - self._counted_at)
        return {table.table for table in applied.prints_before.tables if table.oid in oids}

    @step("Rolling the migrated copy back to the backup")
    def rollback(self) -> RolledBack:
        """The migrated copy, replaced by the backup as it lies on the host now."""
        self.rehearsed()
        self.backup().hold()
        own = self.login() if way_back.may_replace(self.database().conninfo) else None
        restored = self._restored_as(own) if own else None
        if restored is None:
            own, restored = None, self._restored_over_copy(None)
        self.publish_backup(self.backup(), restored.restore_ms)
        return RolledBack.of(restored, restored_as=own.user if own else way_back.SUPERUSER)

    def _restored_as(self, own: Conninfo) -> proof.Restored | None:
        """The backup restored as the target's own user; None where only a superuser can, and nobody else has to."""
        if self.rolls_back:
            return self._restored_over_copy(own)
        with suppress(DryRunError):
            restored = self._restored_over_copy(own)
            return None if restored.disproved else restored
        return None

    def _restored_over_copy(self, login: Conninfo | None) -> proof.Restored:
        return proof.restore(
            self.server(),
            self.backup(),
            self.copy_name(names.REHEARSAL),
            timeout_s=self.target.backup.timeout_s,
            login=login,
        )
