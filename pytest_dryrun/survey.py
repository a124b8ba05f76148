"""What a dry run finds before it does anything: the machine, the target, its migrations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from pytest_dryrun import refusals, workspace
from pytest_dryrun.config import Target
from pytest_dryrun.config_file import Loaded
from pytest_dryrun.hosts import Host
from pytest_dryrun.hosts.output import last_words
from pytest_dryrun.journal import Journal
from pytest_dryrun.migrations import Migrations, Status
from pytest_dryrun.migrations.command import CommandMigrations, with_parameters
from pytest_dryrun.migrations.prisma import PrismaMigrations
from pytest_dryrun.migrations.sql_folder import SqlFolder
from pytest_dryrun.model.errors import CommandFailed, ConfigurationError
from pytest_dryrun.model.redaction import Redactor
from pytest_dryrun.model.values import CheckSpec, Finding, Severity
from pytest_dryrun.model.waivers import Waivers
from pytest_dryrun.postgres.disposable import Disposable
from pytest_dryrun.probes import bugs
from pytest_dryrun.probes.smoke import argv_of
from pytest_dryrun.progress import Progress
from pytest_dryrun.steps import early_look, prisma_diff, still_running
from pytest_dryrun.steps.memo import step
from pytest_dryrun.steps.prisma_diff import PrismaDiff
from pytest_dryrun.steps.status import StatusCommand
from pytest_dryrun.steps.target import Access, TargetDatabase

VERSION_S = 60.0


def _remove_container(name: str) -> None:
    # Imported late: the engine's client takes most of a second, and only a killed run leaves a container behind.
    from pytest_dryrun.postgres.disposable.container import remove_container

    remove_container(name)


class Survey(Journal, ABC):
    """What can be read of one target; where the target lives is a subclass's business.

    Every step happens once; its error, if any, belongs to the check that met it first.
    """

    host: Host
    """Where the target's own commands run."""
    root: Path
    """The application's files, as they can be read from here."""
    schema: str
    """Where Prisma keeps its history."""

    def __init__(
        self,
        *,
        name: str,
        target: Target,
        loaded: Loaded,
        specs: Sequence[CheckSpec],
        run_id: str,
        directory: Path,
        redactor: Redactor,
        executed_by: str,
        started_at: datetime,
        progress: Progress,
    ) -> None:
        super().__init__(progress)
        refusals.refuse(name, target)
        self.name = name
        self.target = target
        self.schema = target.migrations.history_schema or "public"
        self.loaded = loaded
        self.specs = tuple(specs)
        self.run_id = run_id
        self.directory = directory
        self.redactor = redactor
        self.executed_by = executed_by
        self.started_at = started_at
        self.redactor.add(target.api.token)

    # What depends on where the target lives.

    @property
    @abstractmethod
    def directory_there(self) -> str:
        """The application's folder as its own commands see it."""

    @abstractmethod
    def access(self) -> Access:
        """Log in to the target's host."""

    @abstractmethod
    def log_marks(self) -> bugs.Marks:
        """Where the configured logs ended when the run began."""

    @abstractmethod
    def server(self) -> Disposable:
        """The disposable server on which every copy lives."""

    @abstractmethod
    def project_files(self) -> Path:
        """The application's folder of migrations and package files, complete: what `root` holds from then on."""

    @abstractmethod
    def database(self) -> TargetDatabase:
        """The target's database."""

    # The machine and the target.

    @step("Clearing what killed runs left")
    def workspace(self) -> workspace.Workspace:
        """The run's private folder."""
        swept = workspace.sweep(remove_container=_remove_container)
        if swept.removed:
            number = len(swept.removed)
            self.note(f"What killed runs had left behind was removed: {number} processes, containers and folders.")
        self.note(*swept.left)
        made = workspace.Workspace.create(f"{self.run_id}-{self.name}"[:64])
        self.closing(made.close)
        return made

    def serve(self, started: Disposable) -> Disposable:
        """Take on a disposable server that was started: it ends with this run, and the page names it."""
        self.closing(started.stop)
        self.redactor.add(started.conninfo.password)
        version = f"{started.version_num // 10000}.{started.version_num % 10000}"
        self.publish(versions={"server": version, "provider": started.provider})
        self.note(*(f"Disposable server: {text}" for text in started.skipped))
        return started

    @step("Reading the migrations")
    def native(self) -> Migrations:
        """The tool's folder and history, applied by ourselves."""
        settings = self.target.migrations
        root = self.project_files()
        folder = root / settings.directory
        tool = self.tool_in(root)
        if not tool.folder():
            what = "*.sql files" if settings.tool == "sql" else "migration folders"
            raise ConfigurationError(
                f"{folder} holds no {what}.",
                "Without migrations there is nothing to rehearse, so nothing was touched.",
                "Check [migrations] directory; it is relative to the target's directory.",
            )
        return tool

    def tool_in(self, root: Path) -> Migrations:
        """The configured tool on a copy of the application's folder."""
        settings = self.target.migrations
        folder = root / settings.directory
        if settings.tool == "sql":
            return SqlFolder(folder)
        return PrismaMigrations(folder, version=settings.prisma_version or None, project=root, schema=self.schema)

    def migrations(self) -> Migrations:
        """The same, applied as production will apply it."""
        command = self.target.migrations.deploy
        if command == "native":
            return self.native()
        argv = argv_of(command, "migrations.deploy")
        return CommandMigrations(
            self.native(),
            argv,
            self.host,
            self.directory_there,
            url=self.database().tool_url,
            parameters=self._parameters,
            env=still_running.marking(self.run_id),
        )

    @property
    def _parameters(self) -> str:
        """What Prisma's CLI has to find in a local target's URL besides the database."""
        named = self.target.migrations.history_schema if self.target.migrations.by_prisma_cli else ""
        return f"schema={quote(named, safe='')}" if named and not self.database().tool_url else ""

    def version_differences(self) -> list[Finding]:
        """A warning where copies run on another major version than the target."""
        return self.database().version_differences(self.server().version_num)

    @step("Asking programs for their versions")
    def programs(self) -> Mapping[str, str]:
        """The versions of what works on the target: its own pg_dump, the tool, and Node where that deploys."""
        found = {"pg_dump": self._version([*self.database().tool("pg_dump"), "--version"])}
        status = self.status()
        if status.tool == "prisma":
            found["Prisma"] = status.version or "not pinned"
        if self.target.migrations.by_prisma_cli:
            found["Node"] = self._version(["node", "--version"])
        return found

    def _version(self, argv: Sequence[str]) -> str:
        try:
            done = self.database().host.run(argv, timeout_s=VERSION_S)
        except CommandFailed as error:
            return error.what
        return done.stdout.strip() or last_words(done.stderr)

    def read_status(self) -> Status:
        """Compare folder and history now."""
        with self.database().connect() as connection:
            return self.migrations().status(connection)

    @step("Reading the migration status")
    def status(self) -> Status:
        """Folder and history before anything is applied."""
        status = self.read_status()
        self.publish(
            migrations={
                "tool": status.tool,
                "applied_before": list(status.applied),
                "pending": [migration.name for migration in status.pending],
                "applied": [],
            }
        )
        if not status.pending and all(item.severity is not Severity.BLOCKER for item in status.findings):
            self.note("No migration is pending: backup, rollback and the application were tried as they are.")
        return status

    def status_command(self) -> StatusCommand:
        """The configured status command, if any, to be held against our own reading."""
        must_name = self.target.migrations.by_prisma_cli and self.target.role == "staging"
        return self._status_command(self.target.migrations.status, must_name=must_name)

    @step("Asking where the deploy command leads")
    def destination(self) -> str:
        """The command by which Prisma's CLI, where it deploys, has named the target's database; else it is an error.

        Its own configuration may hold another URL than the one it is given, and what it deploys would go there.
        """
        command = self.target.migrations.asks_destination
        if command:
            self._status_command(command, must_name=True).hold_destination()
        return command

    def _status_command(self, command: str, *, must_name: bool) -> StatusCommand:
        settings = self.target.migrations
        database = self.database()
        # On a local target's machine it is reached as from here, wherever its server's own programs run.
        way = database.tool_conninfo if database.tool_url else database.conninfo
        environment = {"DATABASE_URL": database.tool_url or with_parameters(database.conninfo.url(), self._parameters)}
        return StatusCommand(
            command,
            self.host,
            self.directory_there,
            environment,
            settings.timeout_s,
            database.conninfo.dbname,
            f"{way.host}:{way.port}",
            must_name=must_name,
        )

    @step("Asking Prisma for its own difference")
    def prisma_diff(self) -> PrismaDiff | None:
        """What Prisma's CLI sees between database and schema file; None where it does not deploy."""
        settings = self.target.migrations
        if not settings.by_prisma_cli:
            return None
        return prisma_diff.ask(
            settings.deploy,
            self.status().version,
            settings.directory,
            host=self.host,
            cwd=self.directory_there,
            environment={"DATABASE_URL": with_parameters(self.database().url_there, self._parameters)},
            timeout_s=settings.timeout_s,
        )

    @step("Reading the waivers")
    def waivers(self) -> Waivers:
        """Every waiver of this run: from `dryrun.toml` and from the pending files."""
        configured = [table.waiver(self.loaded.path.name) for table in self.loaded.waivers]
        early_look.refuse_waivers(self.status().pending)
        inline = [waiver for migration in self.status().pending for waiver in migration.waivers]
        return Waivers([*configured, *inline], datetime.now(UTC).date())
