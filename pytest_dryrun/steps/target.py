"""The target's database, and how a local one comes to be: migrations up to the baseline, then the seed, or a dump."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from pytest_dryrun.config import Baseline
from pytest_dryrun.hosts import Host
from pytest_dryrun.migrations import Migrations
from pytest_dryrun.model.errors import ConfigurationError, DryRunError, MigrationFailed
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres import backup, databases, outside, plain_dump
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.postgres.disposable import Disposable
from pytest_dryrun.postgres.disposable.settings import NEWEST_MAJOR, OLDEST_MAJOR
from pytest_dryrun.postgres.plain_dump import PlainDump

# The copies of one local run; the server is ours alone, so the names need no run id.
TARGET = "dryrun_target"
TEMPLATE = "dryrun_template"
REHEARSAL = "dryrun_rehearsal"
GOOD = "dryrun_good"
QUEUE = "dryrun_queue"
RELEASE = "dryrun_release"
BEFORE = "dryrun_before"

_DUMP_EDGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Access:
    """A host that let us in: who we are there, where it is, its key's fingerprint, and what system runs there."""

    name: str
    address: str
    host_key: str
    system: str


@dataclass(slots=True)
class TargetDatabase:
    """The database that the dry run is about; `host` is where its client tools run."""

    conninfo: Conninfo
    host: Host
    tool: Callable[[str], list[str]]
    tool_conninfo: Conninfo
    tool_url: str = field(default="", repr=False)
    _identity: databases.Identity | None = field(default=None)

    @property
    def place(self) -> str:
        """Where it listens, for people: as its own host sees it."""
        seen = self.tool_conninfo if self.tool_url else self.conninfo
        place = seen.host if seen.is_socket else f"{seen.host}:{seen.port}"
        return f"{place} on {self.host.name}" if self.tool_url else place

    @property
    def url_there(self) -> str:
        """Its URL as commands on `host` need it."""
        return self.tool_url or self.tool_conninfo.url()

    def connect(self, *, statement_timeout_s: float = 60) -> psycopg.Connection[tuple[object, ...]]:
        """A session with pinned settings in the target."""
        return connect(self.conninfo, statement_timeout_s=statement_timeout_s)

    def size_bytes(self) -> int:
        """What it takes on disk now."""
        with self.connect() as connection:
            return databases.size_bytes(connection)

    def identify(self) -> databases.Identity:
        """Who answers there; asked once."""
        if self._identity is None:
            with self.connect() as connection:
                self._identity = databases.identify(connection)
        return self._identity

    def version_differences(self, copy_version_num: int) -> list[Finding]:
        """A warning where copies run on another major version than the target, or either on one that came later."""
        own, copy = self.identify().version_num // 10000, copy_version_num // 10000
        untested = [found for major in sorted({own, copy}) if (found := too_new(major))]
        if own == copy:
            return untested
        text = f"The target runs PostgreSQL {own}, the copy {copy}: locks, rewrites and plans may differ between them."
        return [*untested, Finding("version-differs", Severity.WARNING, text, evidence={"target": own, "copy": copy})]


def too_new(major: int) -> Finding | None:
    """A warning that a server is newer than any that this release was tested with, and what that leaves open."""
    if major <= NEWEST_MAJOR:
        return None
    text = (
        f"PostgreSQL {major} is newer than what this release was tested with ({OLDEST_MAJOR} to {NEWEST_MAJOR}). Not"
        f" known: columns and kinds of objects that {major} added to the system catalogs are not compared; locks,"
        " rewrites and scans of its new commands were never measured; a backup may restore with differences of its own."
        " Use a release that knows it, or look at the schema difference by hand."
    )
    return Finding("version-untested", Severity.WARNING, text, evidence={"major": major, "newest": NEWEST_MAJOR})


def build_baseline(
    server: Disposable, baseline: Baseline, migrations: Migrations, root: Path, *, name: str, timeout_s: float
) -> TargetDatabase:
    """Make a local target on the disposable server and fill it as the configuration says.

    Paths are relative to `root`. Raises ConfigurationError for a missing file or an unknown `through`, and
    DryRunError when a baseline migration, the seed or the dump fails.
    """
    names = [migration.name for migration in migrations.folder()]
    if baseline.through and baseline.through not in names:
        raise ConfigurationError(
            f"baseline.through is {baseline.through!r}, and the folder holds no such migration.",
            "The local target cannot be built, so nothing was rehearsed.",
            f"Name one of: {', '.join(names) or 'none, the folder is empty'}.",
        )
    for path in filter(None, (baseline.seed, baseline.dump)):
        if not (root / path).exists():
            raise ConfigurationError(
                f"The baseline's file {root / path} is not there.",
                "The local target cannot be built, so nothing was rehearsed.",
                "Correct [baseline]; paths are relative to the target's directory.",
            )
    if baseline.dump:
        _refuse_half_a_dump(root / baseline.dump)
        plain = _plain_dump(root / baseline.dump)
    conninfo = server.conninfo.database(name)
    with connect(server.conninfo) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    database = TargetDatabase(conninfo, server.host, server.tool, server.tool_conninfo.database(name))
    if baseline.dump:
        tools = {tool: server.tool(tool) for tool in ("pg_restore", "psql")}
        listed = backup.restore_foreign(
            server.host, tools, root / baseline.dump, database.tool_conninfo, timeout_s=timeout_s
        )
        if plain.tables if plain else listed:
            _refuse_an_empty_target(database, root / baseline.dump)
    elif baseline.through:
        try:
            migrations.deploy(conninfo, timeout_s=timeout_s, through=baseline.through)
        except MigrationFailed as error:
            raise DryRunError(
                f"The baseline could not be built: {error.what}",
                "Without its baseline the local target is not what the dry run is about.",
                f"Mend the migration or set [baseline] through to an earlier one. {error.next}",
            ) from error
    if baseline.seed:
        _seed(server, root / baseline.seed, database, timeout_s)
    with connect(conninfo, statement_timeout_s=timeout_s) as connection:
        outside.analyze(connection)
    return database


def _refuse_half_a_dump(path: Path) -> None:
    """Refuse a plain dump without pg_dump's last line: psql takes the end of a file for the end of its rows."""
    if backup.is_archive(path):
        return
    with path.open("rb") as file:
        head = file.read(_DUMP_EDGE_BYTES)
        file.seek(max(0, path.stat().st_size - _DUMP_EDGE_BYTES))
        tail = file.read()
    begins = any(f"-- PostgreSQL database {kind}dump".encode() in head for kind in ("", "cluster "))
    if begins and b"dump complete" not in tail:
        raise DryRunError(
            f'The baseline {path} is cut short: pg_dump\'s last line, "dump complete", is missing.',
            "Without its baseline the local target would not be what the dry run is about.",
            "Make the dump again, and let it come to its end.",
        )


def _plain_dump(path: Path) -> PlainDump | None:
    r"""Read a plain dump, None for an archive; raises ConfigurationError where psql would be led to another database.

    `\connect` is followed whatever database psql was started for: the target would stay empty, without an error.
    """
    if backup.is_archive(path):
        return None
    with path.open("rb") as file:
        plain = plain_dump.read(file)
    if plain.line:
        raise ConfigurationError(
            f"The baseline {path} leads to a database of its own in line {plain.line}: {plain.text}",
            "psql would follow it, load everything there and leave the target empty, so nothing was loaded.",
            r"Make the dump of one database with pg_dump, without --create, or take out CREATE DATABASE and \connect.",
        )
    return plain


def _refuse_an_empty_target(database: TargetDatabase, path: Path) -> None:
    """Raise DryRunError where a dump that has tables left none in the target."""
    with database.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'"
        ).fetchone()
    if row == (0,):
        raise DryRunError(
            f"The baseline {path} has tables, and the target has none after it was loaded.",
            "What it holds went elsewhere or was dropped again: a dry run of an empty database would prove nothing.",
            "Look where the dump leads, and make it of one database with pg_dump, without --create.",
        )


def _seed(server: Disposable, path: Path, database: TargetDatabase, timeout_s: float) -> None:
    place = server.host.put(path, f"/tmp/{path.name}")  # noqa: S108 - inside a container of our own
    argv = [*server.tool("psql"), "--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", f"--file={place}"]
    done = server.host.run(argv, timeout_s=timeout_s, env=database.tool_conninfo.environment())
    if done.exit_status != 0:
        lines = [line for line in done.stderr.strip().splitlines() if "ERROR" in line or "error" in line] or [
            done.stderr.strip()
        ]
        said = re.sub(r"^psql:[^:]*:", f"{path.name}:", lines[0])
        raise DryRunError(
            f"The seed failed: {said}",
            "Without its baseline the local target is not what the dry run is about.",
            f"Mend {path}; it is run by psql with ON_ERROR_STOP.",
        )
