"""What is brought here from a staging host: its migrations, its roles, and the backup that it keeps."""

from __future__ import annotations

import io
import posixpath
import secrets
import tarfile
import threading
import time
from collections.abc import Collection, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from pytest_dryrun.hosts import output
from pytest_dryrun.model.errors import CommandFailed, ConfigurationError, DryRunError
from pytest_dryrun.postgres import backup, databases
from pytest_dryrun.postgres.connection import NONE, Conninfo, connect
from pytest_dryrun.steps.arriving import Arriving
from pytest_dryrun.steps.host_journal import left_by_runs
from pytest_dryrun.steps.loading import Loading
from pytest_dryrun.steps.proof import Dump
from pytest_dryrun.steps.target import TargetDatabase
from pytest_dryrun.steps.way_in import COMMAND_S

if TYPE_CHECKING:
    from pytest_dryrun.hosts.ssh.host import SshHost

_VERSION_FILES = (
    "package.json",
    "package-lock.json",
    "pnpm-lock.yaml",
    "yarn.lock",
    "node_modules/prisma/package.json",
)


def fetch(host: SshHost, directory: str, migrations: str, into: Path) -> Path:
    """Copy the migrations and the files that pin Prisma's version from the host; returns the application's folder here.

    Links are followed. Folders keep their places below `into`, those above the application's too: a workspace pins
    versions there.
    Raises ConfigurationError where there is no folder of migrations.
    """
    found = host.run(["sh", "-c", 'cd -- "$1" && pwd -P', "sh", directory], timeout_s=COMMAND_S)
    real = PurePosixPath(found.stdout.rstrip("\n") or "/")
    above = [real, *real.parents]
    wanted = [real / migrations, *(folder / name for folder in above for name in _VERSION_FILES)]
    script = 'cd / && for each; do [ ! -e "$each" ] || set -- "$@" "$each"; shift; done; tar -chf - -- "$@"'
    argv = ["sh", "-c", script, "sh", *(str(path).lstrip("/") for path in wanted)]
    place = f"{posixpath.join(directory, migrations)} on {host.name}"
    if found.exit_status:
        raise _not_fetched(place, output.last_words(found.stderr))
    try:
        with host.stream(argv, timeout_s=COMMAND_S) as chunks:
            data = b"".join(chunks)
    except CommandFailed as error:
        raise _not_fetched(place, error.what) from error
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(into, filter="data")
    (into / ".git").mkdir(exist_ok=True)  # nothing above it is the project's
    return into / str(real).lstrip("/")


def _not_fetched(place: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The migrations in {place} could not be read: {why}",
        "Without migrations there is nothing to rehearse, so nothing was touched.",
        "Check the target's directory and [migrations] directory; the second is relative to the first.",
    )


@dataclass(frozen=True, slots=True)
class _Role:
    name: str
    attributes: dict[str, bool]
    settings: tuple[str, ...]


_ATTRIBUTES = {
    "rolsuper": "SUPERUSER",
    "rolinherit": "INHERIT",
    "rolcreaterole": "CREATEROLE",
    "rolcreatedb": "CREATEDB",
    "rolbypassrls": "BYPASSRLS",
    "rolreplication": "REPLICATION",
}


NO_SUPERUSER = "dryrun_superuser"
"""What the superuser of a disposable server is called where the target's own first role is none."""


def first_superuser(target: Conninfo) -> str:
    """The role by which the target's server was made (BOOTSTRAP_SUPERUSERID in PostgreSQL's pg_authid.dat).

    A disposable server that is made by the same one owns what nobody is told to own as the target does, and its
    superuser is never a role with less rights on the target.
    """
    with connect(target, statement_timeout_s=COMMAND_S) as connection:
        row = connection.execute("SELECT rolname FROM pg_roles WHERE oid = 10 AND rolsuper").fetchone()
    return str(row[0]) if row else NO_SUPERUSER


def copy_roles(target: Conninfo, admin: Conninfo) -> Conninfo:
    """Give the disposable server the target's roles, without their passwords, and a login as the target's own user.

    So owners, grants and policies restore as they are, and migrations are rehearsed with no more rights than they have.
    """
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in _ATTRIBUTES)
    with connect(target, statement_timeout_s=COMMAND_S) as connection:
        query = sql.SQL("SELECT rolname, coalesce(rolconfig, '{{}}'), {} FROM pg_roles WHERE rolname !~ '^pg_'")
        roles = [
            _Role(name, dict(zip(_ATTRIBUTES, flags, strict=True)), tuple(settings))
            for name, settings, *flags in connection.execute(query.format(columns)).fetchall()
        ]
        members = connection.execute(
            "SELECT pg_get_userbyid(roleid), pg_get_userbyid(member), admin_option FROM pg_auth_members"
            " WHERE pg_get_userbyid(member) !~ '^pg_'"
        ).fetchall()
    password = secrets.token_urlsafe(24)
    with connect(admin, statement_timeout_s=COMMAND_S) as connection:
        there = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles").fetchall()}
        for role in roles:
            if role.name not in there:
                words = [word if role.attributes[key] else f"NO{word}" for key, word in _ATTRIBUTES.items()]
                connection.execute(
                    sql.SQL("CREATE ROLE {} NOLOGIN {}").format(sql.Identifier(role.name), sql.SQL(" ".join(words)))
                )
                _configure(connection, role)
        for group, member, may_grant in members:
            option = sql.SQL(" WITH ADMIN OPTION" if may_grant else "")
            connection.execute(
                sql.SQL("GRANT {} TO {}{}").format(sql.Identifier(group), sql.Identifier(member), option)
            )
        if target.user == admin.user:
            return admin
        connection.execute(
            sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(target.user), sql.Literal(password))
        )
    return replace(admin, user=target.user, password=password)


def _configure(connection: psycopg.Connection[tuple[object, ...]], role: _Role) -> None:
    for setting in role.settings:
        connection.execute(
            sql.SQL("ALTER ROLE {} SET {}").format(sql.Identifier(role.name), databases.assignment(setting))
        )


@dataclass(frozen=True, slots=True)
class HostFile:
    """A file of a host, looked at there."""

    host: SshHost
    path: str

    def sha256(self) -> str:
        """Its checksum as it lies there now."""
        return self.host.sha256(self.path)

    def mode(self) -> int:
        """Who may read and write it there."""
        return int(self._stat("%a"), 8)

    def size_bytes(self) -> int:
        """Its size there."""
        return int(self._stat("%s"))

    def _stat(self, what: str) -> str:
        done = self.host.run(["stat", "-c", what, "--", self.path], timeout_s=COMMAND_S)
        if done.exit_status:
            raise CommandFailed(
                f"{self.path} on {self.host.name} cannot be looked at: {output.last_words(done.stderr)}",
                "What the backup is now, and whether others can read it, is not known.",
                "Check that it is there still.",
            )
        return done.stdout


def there(
    host: SshHost,
    database: TargetDatabase,
    directory: str,
    name: str,
    copy: Path | None,
    *,
    timeout_s: float,
    loading: Loading | None = None,
    env: Mapping[str, str] = NONE,
) -> Dump:
    """A dump that the host's own pg_dump writes to the host, and a verified copy of it here where one is wanted.

    The file there is 0600, the folder 0700 where it has to be made; the file carries its name only when it is complete
    and synced. The copy comes in while it is written; `loading` restores it meanwhile. `env` is added to pg_dump's
    environment.
    """

    def dump(snapshot_id: str, shape: databases.Shape) -> backup.Backup:
        began = time.perf_counter()
        final, part = posixpath.join(directory, name), posixpath.join(directory, f".{name}.part")
        host.make_directory(directory)
        kept, kept_at = HostFile(host, final), f"{host.name}:{final}"
        if copy is None:
            _write(host, database, snapshot_id, part, final, timeout_s=timeout_s, env=env)
            dump_ms = (time.perf_counter() - began) * 1000
            return backup.Backup(Path(final), kept.size_bytes(), kept.sha256(), dump_ms, kept, kept_at, in_place=True)
        with Arriving(host, part, final, copy, timeout_s=timeout_s) as arriving:
            if loading is not None:
                loading.begin(shape, arriving.pieces())
            try:
                _write(host, database, snapshot_id, part, final, timeout_s=timeout_s, env=env, stop=arriving.failed)
            except CancelledError as cancelled:
                raise arriving.failure(getattr(cancelled, "__notes__", ())) from cancelled
            dump_ms = (time.perf_counter() - began) * 1000
            digest = arriving.complete()
            if loading is not None and not arriving.as_it_came:
                loading.abandon()
        return backup.Backup(copy, copy.stat().st_size, digest, dump_ms, kept, kept_at)

    return dump


def _write(
    host: SshHost,
    database: TargetDatabase,
    snapshot_id: str,
    part: str,
    final: str,
    *,
    timeout_s: float,
    env: Mapping[str, str],
    stop: threading.Event | None = None,
) -> None:
    """Let pg_dump write a file, which has its final name when it is whole; one that fails leaves nothing behind."""
    options = [*backup.arguments(snapshot_id), f"--file={part}"]
    environment = {**env, **database.tool_conninfo.environment()}
    # A default ACL of the folder goes before any umask (acl(5)).
    script = (
        'umask 077; part=$1 final=$2; shift 2; : >"$part" && chmod 600 -- "$part" && "$@" && sync -- "$part"'
        ' && mv -- "$part" "$final"'
    )
    argv = ["sh", "-c", script, "sh", part, final, *database.tool("pg_dump"), *options]
    try:
        done = host.run(argv, timeout_s=timeout_s, env=environment, stop=stop)
    except BaseException as error:
        _leave_nothing(host, part, error)
        raise
    if done.exit_status:
        failure = _not_written(host, final, output.last_words(done.stderr))
        _leave_nothing(host, part, failure)
        raise failure


def _leave_nothing(host: SshHost, part: str, why: BaseException) -> None:
    """Remove what an unfinished dump has written; where that cannot be done, it is said with why the dump failed."""
    if not host.lost:
        try:
            host.remove(part)
        except CommandFailed as stays:
            why.add_note(str(stays))


def clear(host: SshHost, directory: str, target: str, others: Collection[str]) -> None:
    """Remove the unfinished dumps of a target's killed runs; we hold the database, so none is being written.

    `others` are the runs of another database that keep their backups in the same folder.
    """
    for named, run_id, path in left_by_runs(host, directory, ".dump.part"):
        if named == target and run_id not in others:
            host.remove(path)


def _not_written(host: SshHost, final: str, why: str) -> DryRunError:
    return DryRunError(
        f"The backup {final} could not be written on {host.name}: {why}",
        "Without a backup nothing after this may touch the target.",
        "Mend what pg_dump complains about, or name another [backup] directory.",
    )
