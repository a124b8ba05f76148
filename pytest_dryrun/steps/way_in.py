"""The way into the database of a staging host: credentials, tunnel, tools, and proofs that it is the one meant."""

from __future__ import annotations

import dataclasses
import posixpath
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg

from pytest_dryrun import env_file
from pytest_dryrun.config import Database, Target
from pytest_dryrun.hosts import output
from pytest_dryrun.model.errors import CommandFailed, ConfigurationError, TargetUnusable
from pytest_dryrun.postgres import databases
from pytest_dryrun.postgres.connection import Conninfo, connect, unusable
from pytest_dryrun.postgres.url import DatabaseUrl, parse
from pytest_dryrun.steps.target import TargetDatabase

if TYPE_CHECKING:
    from pytest_dryrun.hosts.ssh.host import SshHost

COMMAND_S = 60.0
LOOPBACK = "127.0.0.1"
# Files of certificates and of passwords lie on the host; through the verified tunnel the server's certificate says
# nothing more. How long is waited is our own business.
_NOT_HERE = frozenset(
    {"sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "sslpassword", "passfile"}
    | {"hostaddr", "connect_timeout", "application_name"}
)
_TOOL_FOLDERS = ("/usr/lib/postgresql/{}/bin", "/usr/pgsql-{}/bin", "/opt/homebrew/opt/postgresql@{}/bin")


def credentials(
    host: SshHost, directory: str, settings: Database, *, user: str
) -> tuple[DatabaseUrl, str, tuple[str, ...]]:
    """The database that the application's own `.env` names, the text of its URL, and what else there is secret.

    Raises ConfigurationError where the file or its variable is not there or is no URL.
    """
    path = posixpath.join(directory, settings.env_file)
    place = f"{path} on {host.name}"
    try:
        data = host.read(path, env_file.LARGEST_BYTES + 1)
    except CommandFailed as error:
        raise ConfigurationError(
            f"{place} could not be read. {error.what}",
            "Without credentials nothing can be reached, so nothing was touched.",
            "Check [database] env_file (it is relative to the target's directory) and who may read it.",
        ) from error
    text = env_file.variable(data, settings.variable, place=place).strip()
    return parse(text, name=f"{settings.variable} in {place}", user=user), text, env_file.secrets(data, place=place)


def tunnelled(host: SshHost, there: Conninfo) -> Conninfo:
    """The same database as it is reached from here, through the connection to its host.

    SSH leads to addresses alone: a socket's server is asked for at the host's own, and `same_database` has to prove it.
    """
    options = {key: value for key, value in there.options if key not in _NOT_HERE}
    if options.get("sslmode", "").startswith("verify-"):
        options["sslmode"] = "require"
    address = dict(there.options).get("hostaddr") or (LOOPBACK if there.is_socket else there.host)
    port = host.forward(address, there.port)
    conninfo = replace(there, host=LOOPBACK, port=port, options=tuple(sorted(options.items())))
    try:
        _refuse_pooler(host, conninfo, f"{address}:{there.port}")
    except TargetUnusable as error:
        if not there.is_socket:
            raise
        raise TargetUnusable(
            f"The .env names the socket {there.host}, to which no tunnel leads, and at {address}:{there.port} of the"
            f" host: {error.what}",
            "The database cannot be reached from here, so nothing was touched.",
            "Let the server listen there and give the user a password, or name a variable whose URL has an address:"
            " [database] variable.",
        ) from error
    return conninfo


def _refuse_pooler(host: SshHost, conninfo: Conninfo, place: str) -> None:
    """Raise where somebody stands between us and the server; nothing has been set in the session by then."""
    try:
        parameters: dict[str, Any] = {"connect_timeout": "10", **conninfo.parameters()}
        with psycopg.connect(**parameters, autocommit=True) as connection:
            row = connection.execute("SELECT pg_backend_pid()").fetchone()
            direct = row is not None and row[0] == connection.info.backend_pid
    except psycopg.OperationalError as error:
        if refusal := host.refusal(conninfo.port):
            raise TargetUnusable(
                f"{host.name} opens no connection to {place}: {refusal}",
                "Nothing was read and nothing was touched.",
                "Check that the server runs and listens there, and that sshd allows TCP forwarding.",
            ) from error
        raise unusable(conninfo, error) from error
    if not direct:
        raise ConfigurationError(
            f"{place} on {host.name} is a pooler: the server's own process has another number than the session.",
            "Locks, snapshots and session settings do not survive one, so nothing was touched.",
            "Name the variable with the direct URL in [database] variable.",
        )


def tools(host: SshHost, version_num: int, wanted: Sequence[str]) -> Callable[[str], list[str]]:
    """Find the server's own client programs on its host; raises TargetUnusable where only another major version is."""
    major = version_num // 10000
    folders = " ".join(shlex.quote(folder.format(major)) for folder in _TOOL_FOLDERS)
    script = (
        f'for folder in {folders} ""; do for tool in {" ".join(wanted)}; do'
        ' case "$folder" in "") command -v $tool ;; *) ls "$folder/$tool" 2>/dev/null ;; esac; done; done; true'
    )
    paths = host.run(["sh", "-c", script], timeout_s=COMMAND_S).stdout.split()
    found: dict[str, str] = {}
    seen = []
    for path in paths:
        said = host.run([path, "--version"], timeout_s=COMMAND_S).stdout.strip()
        seen.append(said)
        if f" {major}." in f"{said} ":
            found.setdefault(posixpath.basename(path), path)
    for name in wanted:
        if name not in found:
            raise TargetUnusable(
                f"{host.name} has no {name} of PostgreSQL {major}, which the server is"
                f" ({'; '.join(dict.fromkeys(seen)) or 'it has none at all'}).",
                "A client of another major version fails or leaves things out, so no backup can be taken there.",
                f"Install the client programs of PostgreSQL {major} on the host.",
            )
    return lambda name: [found.get(name, name)]


def same_database(database: TargetDatabase) -> None:
    """Raise TargetUnusable unless the tunnel and the host's own psql reach one and the same database."""
    identity = database.identify()
    argv = [*database.tool("psql"), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--no-password"]
    done = database.host.run(
        [*argv, f"--command={databases.IDENTITY}"], timeout_s=COMMAND_S, env=database.tool_conninfo.environment()
    )
    if done.exit_status:
        raise TargetUnusable(
            f"psql on {database.host.name} does not reach the database: {output.last_words(done.stderr)}",
            "The application's own way in is not open, so nothing was touched.",
            "Check that the database runs, and the credentials in the .env.",
        )
    ours = "|".join(str(value) for value in dataclasses.astuple(identity))
    if done.stdout.strip() != ours:
        raise TargetUnusable(
            f"The tunnel reaches database {ours}, psql on {database.host.name} reaches {done.stdout.strip()}"
            " (system identifier, oid, name, version, start of the server).",
            "Two servers answer to one address; backing up one and migrating the other would be a disaster.",
            "Give the database's host in the .env so that it means the same everywhere.",
        )


def refuse_production(identity: databases.Identity, production: Mapping[str, Target]) -> None:
    """Raise TargetUnusable where the database is one that the configuration lists under a production target."""
    for name, target in production.items():
        listed = target.database
        same = [
            f"{what} {ours}"
            for what, ours, theirs in (
                ("system identifier", identity.system_identifier, listed.system_identifier),
                ("database name", identity.name, listed.name),
            )
            if theirs and ours == theirs
        ]
        if same:
            raise TargetUnusable(
                f"This is the database of target {name!r}, which is production: {' and '.join(same)}.",
                "Production is never written to by a dry run, so nothing was touched.",
                "Correct the .env of the staging host; staging has its own server and its own name.",
            )


def unguarded(production: Mapping[str, Target]) -> tuple[str, ...]:
    """Tell of production targets that list nothing to be known by."""
    names = [
        name for name, each in production.items() if not each.database.name and not each.database.system_identifier
    ]
    if not names:
        return ()
    return (f"Target {', '.join(names)} lists neither database name nor system_identifier, so nothing guards it.",)


def leftovers(conninfo: Conninfo) -> tuple[str, ...]:
    """Tell of databases beside the target that somebody's tool has left behind."""
    with connect(conninfo, statement_timeout_s=COMMAND_S) as connection:
        rows = connection.execute(
            "SELECT datname FROM pg_database WHERE datname ~ '^prisma_migrate_shadow_db_' ORDER BY datname"
        ).fetchall()
    names = [name for (name,) in rows]
    if not names:
        return ()
    return (f"Shadow databases that Prisma has left on the server, to be dropped by hand: {', '.join(names)}.",)


def identify(conninfo: Conninfo) -> databases.Identity:
    """Who answers at the end of the tunnel."""
    with connect(conninfo, statement_timeout_s=COMMAND_S) as connection:
        return databases.identify(connection)
