"""The way to a staging host and into its database, and what is read there."""

from __future__ import annotations

import posixpath
import tempfile
from abc import ABC
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg

from pytest_dryrun.hosts import Host, ssh
from pytest_dryrun.migrations import Status
from pytest_dryrun.model.errors import DryRunError, TargetUnusable
from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.probes.host_logs import HostLogMarks
from pytest_dryrun.run import DryRun
from pytest_dryrun.steps import (
    beside,
    from_host,
    holding,
    host_journal,
    neighbours,
    still_running,
    way_back_rights,
    way_in,
)
from pytest_dryrun.steps.host_journal import HostJournal
from pytest_dryrun.steps.memo import step
from pytest_dryrun.steps.target import Access, TargetDatabase

if TYPE_CHECKING:
    from pytest_dryrun.hosts.ssh.host import SshHost


CONNECT_S = 20.0
OLDEST = 140000


def unserved() -> None:
    """What the application's side of a run puts something of its own in the place of, before anything is done."""
    raise LookupError("nobody looks after the application of this run")


class StagingAccess(DryRun, ABC):
    """A host behind SSH, and the database that the application there uses."""

    def __init__(self, **of_the_session: Any) -> None:
        super().__init__(**of_the_session)
        self._directory = self.target.directory
        self._backups = posixpath.join(self._directory, self.target.backup.directory)
        self._guard: psycopg.Connection[tuple[object, ...]]  # whose lock keeps other dry runs out of the target
        self.when_logged_in: Callable[[], object] = unserved
        self.runs_of_others: Collection[str] = ()

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
        url, text, others = way_in.credentials(host, self._directory, self.target.database, user=user)
        spelled = urlsplit(text).netloc.rpartition("@")[0].partition(":")[2]  # as the file spells it
        self._keep_secret(text, *others, told_everywhere=url.conninfo)
        if not self._keep_secret(*url.secrets, spelled, told_everywhere=url.conninfo):
            self.note(
                "The password in the .env is part of a name that is written everywhere (database, user, host, folder),"
                " so it cannot be kept out of the reports."
            )
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
            way_back_rights.require(conninfo)
        if self.beside:
            beside.administration(conninfo)
        self._guard = holding.hold(conninfo)
        self.closing(self._guard.close)
        self.schema = url.prisma.get("schema") or self.schema
        left = host_journal.left(host, self._backups, self.name, host_journal.spelled(identity))
        for run_id, told in left.runs.items():
            still_running.refuse_unfinished(host, run_id, told)
        self.closing(left.clear)
        self.runs_of_others = left.others
        self.note(*left.told)
        self.note(*way_in.leftovers(conninfo), *way_in.unguarded(self.loaded.production))
        return database

    def _keep_secret(self, *secrets: str, told_everywhere: Conninfo) -> bool:
        """Keep these out of everything, but for those that are part of the target's own names; False where one is."""
        there = told_everywhere
        names = (there.dbname, there.user, there.host, self.name, self._directory, self._backups, self.remote().name)
        told = [secret for secret in secrets if secret and any(secret in name for name in names)]
        for secret in {*secrets} - {*told}:
            self.redactor.add(secret)
        return not told

    @step("Opening the journal on the host")
    def journal(self) -> HostJournal:
        """Where every write to the target and its server is noted before it is done, beginning with clearing up."""
        database = self.database()  # which refuses what must never be written to
        named = host_journal.spelled(database.identify())
        journal = HostJournal.begin(
            self.remote(), self._backups, self.name, self.run_id, named, redact=self.redactor.text
        )
        self.closing(journal.close)
        if left := neighbours.left(database.conninfo):
            with journal.writing(f"dropping what killed runs left: {', '.join(left)}"):
                self.note(*neighbours.clear(database.conninfo, left))
        return journal

    @property
    def beside(self) -> bool:
        """Whether copies stand beside the target, on its own server."""
        return self.target.rehearsal.provider == "target"

    def copy_name(self, what: str) -> str:
        """What a copy is called; among others' databases by its target and run."""
        return neighbours.named(self.database().conninfo.dbname, what, self.run_id) if self.beside else what

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

    def files_now(self) -> Sequence[Migration]:
        """The host's folder as it is now, fetched again."""
        into = Path(tempfile.mkdtemp(prefix="application-", dir=self.workspace().path))
        root = from_host.fetch(self.remote(), self._directory, self.target.migrations.directory, into)
        return self.tool_in(root).folder()
