"""The backup: written under the fingerprint's snapshot, hashed on its way, and restored to prove it."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pytest_dryrun.hosts import Host
from pytest_dryrun.model.errors import DryRunError
from pytest_dryrun.postgres.connection import Conninfo

CHUNK = 1 << 20


class Kept(Protocol):
    """A file where it is kept, looked at as it is now."""

    def sha256(self) -> str:
        """Its checksum, lower-case hex."""
        ...

    def mode(self) -> int:
        """Its permission bits."""
        ...


class RestoreDeadlocked(DryRunError):
    """Two of pg_restore's own sessions waited for each other: no word about the archive; one session restores it."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of this machine."""

    path: Path

    def sha256(self) -> str:
        """Its checksum as it lies on disk now."""
        return checksum(self.path)

    def mode(self) -> int:
        """Who may read and write it."""
        return self.path.stat().st_mode & 0o777


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished archive in pg_dump's custom format. `dump_ms` includes hashing and writing it.

    `path` is what is restored, here or, `in_place`, on the host of the server that restores it; `kept` is the file
    that people would go back to, `kept_at` its place for them.
    """

    path: Path
    size_bytes: int
    sha256: str
    dump_ms: float
    kept: Kept
    kept_at: str
    in_place: bool = False


def arguments(snapshot_id: str) -> list[str]:
    """How pg_dump writes every backup, wherever it runs."""
    return ["--format=custom", "--compress=1", f"--snapshot={snapshot_id}", "--no-password"]


def restoring(dbname: str, *options: str, jobs: int = 2) -> list[str]:
    """How pg_restore reads every backup, wherever it runs: the first error ends it."""
    return ["--exit-on-error", "--no-password", f"--jobs={jobs}", f"--dbname={dbname}", *options]


def dump(
    host: Host,
    pg_dump: Sequence[str],
    conninfo: Conninfo,
    *,
    snapshot_id: str,
    directory: Path,
    name: str,
    timeout_s: float,
    options: Sequence[str] = (),
) -> Backup:
    """Dump the database as the exported snapshot sees it.

    The directory becomes 0700, the file 0600. It is hashed while it is written, synced, and carries its name only
    when it is complete; a dump that fails leaves nothing behind. Raises CommandFailed with pg_dump's own words.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    final, part = directory / name, directory / f".{name}.part"
    argv = [*pg_dump, *arguments(snapshot_id), *options]
    digest, size = hashlib.sha256(), 0
    began = time.perf_counter()
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            with host.stream(argv, timeout_s=timeout_s, env=conninfo.environment()) as chunks:
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
                    size += len(chunk)
            file.flush()
            os.fsync(file.fileno())
        part.rename(final)
        _sync_directory(directory)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    dump_ms = (time.perf_counter() - began) * 1000
    return Backup(final, size, digest.hexdigest(), dump_ms, LocalFile(final), str(final))


def checksum(path: Path) -> str:
    """SHA-256 of a file as it lies on disk now, lower-case hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def restore(
    host: Host,
    pg_restore: Sequence[str],
    archive: Path,
    conninfo: Conninfo,
    *,
    timeout_s: float,
    jobs: int = 2,
    options: Sequence[str] = (),
    in_place: bool = False,
) -> float:
    """Restore an archive into an existing, empty database and say how long it took in milliseconds.

    `in_place`: the archive's path is one of `host` already.

    The first error ends it (`--exit-on-error`): an archive that restores only in part is no backup.
    """
    began = time.perf_counter()
    place = str(archive) if in_place else host.put(archive, f"/tmp/{archive.name}")  # noqa: S108 - in our container
    argv = [*pg_restore, *restoring(conninfo.dbname, *options, jobs=jobs), place]
    done = host.run(argv, timeout_s=timeout_s, env=conninfo.environment())
    if done.exit_status != 0:
        raise not_restored(archive.name, done.stderr)
    return (time.perf_counter() - began) * 1000


def not_restored(name: str, stderr: str) -> DryRunError:
    """Say that pg_restore did not restore a backup, in its own words."""
    return (RestoreDeadlocked if deadlocked(stderr) else DryRunError)(
        f"The backup {name} could not be restored: {_tail(stderr)}",
        "A backup that does not restore is no backup: nothing after this may touch the target.",
        "Take it again; if it fails again, look at its disk and at the first line of pg_restore's error.",
    )


def deadlocked(stderr: str) -> bool:
    """Whether pg_restore ended because its own parallel sessions deadlocked (PostgreSQL lets one of them fail)."""
    return "deadlock detected" in stderr


def restore_foreign(
    host: Host, tools: Mapping[str, Sequence[str]], dump_path: Path, conninfo: Conninfo, *, timeout_s: float
) -> bool:
    """Restore a user's own dump (plain, custom or directory format) without its owners and grants.

    Says whether an archive lists tables; of a plain dump nothing is known here.
    """
    place = host.put(dump_path, f"/tmp/{dump_path.name}")  # noqa: S108 - inside a container of our own
    if is_archive(dump_path):
        options = restoring(conninfo.dbname, "--no-owner", "--no-privileges")
        argv = [*tools["pg_restore"], *options, place]
    else:
        argv = [*tools["psql"], "--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", f"--file={place}"]
    done = host.run(argv, timeout_s=timeout_s, env=conninfo.environment())
    if done.exit_status != 0:
        raise DryRunError(
            f"The baseline {dump_path} could not be restored: {_tail(done.stderr)}",
            "Without its baseline the local target would not be what the dry run is about.",
            "Check that the dump was made by a pg_dump no newer than the disposable server, and that it is whole.",
        )
    if not is_archive(dump_path):
        return False
    listed = host.run([*tools["pg_restore"], "--list", place], timeout_s=timeout_s)
    return re.search(r"^\d+; \d+ \d+ TABLE ", listed.stdout, re.MULTILINE) is not None


def is_archive(path: Path) -> bool:
    """Whether pg_restore reads this (custom or directory format); otherwise psql does."""
    if path.is_dir():
        return (path / "toc.dat").is_file()
    with path.open("rb") as file:
        return file.read(5) == b"PGDMP"


def _tail(stderr: str) -> str:
    lines = [line for line in stderr.strip().splitlines() if line.strip()]
    return " / ".join(lines[:3]) if lines else "no reason given"


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
