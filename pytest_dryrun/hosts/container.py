"""A running container as a host: commands go in through the engine's exec, files through its archive call."""

from __future__ import annotations

import tarfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker.errors import DockerException
from docker.models.containers import Container

from pytest_dryrun.hosts import Completed
from pytest_dryrun.hosts.container_command import Execution
from pytest_dryrun.hosts.given import Given
from pytest_dryrun.hosts.output import STDERR, STDOUT, Kept, last_words, stdout_of
from pytest_dryrun.model.errors import CommandFailed

_CHUNK_BYTES = 1 << 18
_SHORT_S = 10.0

_NEAREST = 'p=$1; while [ ! -e "$p" ]; do p=$(dirname "$p"); done; df -Pk "$p"'


@dataclass(frozen=True, slots=True)
class ContainerHost:
    """Runs commands in one container, as the user its image says; the image needs `sh`, `df` and `kill`."""

    container: Container = field(repr=False)

    @property
    def name(self) -> str:
        """What a reader calls this host."""
        return f"container {self.container.short_id}"

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Completed:
        """Run a command to its end; of each stream at most the last 64 MiB are kept, and a first line says so."""
        return self._run(argv, None, timeout_s, env, cwd)

    def feed(
        self,
        argv: Sequence[str],
        given: Iterable[bytes],
        *,
        timeout_s: float,
        stop: threading.Event,
        env: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run a command to its end with `given` as its stdin."""
        return self._run(argv, Given(given, stop), timeout_s, env, None)

    def _run(
        self,
        argv: Sequence[str],
        given: Given | None,
        timeout_s: float,
        env: Mapping[str, str] | None,
        cwd: str | None,
    ) -> Completed:
        streams = {STDOUT: Kept(), STDERR: Kept()}
        began = time.monotonic()
        with Execution(self.container, argv, env, cwd, given) as execution:
            for number, chunk in execution.chunks(timeout_s):
                streams[number].add(chunk)
            status = execution.exit_status()
        duration_ms = (time.monotonic() - began) * 1000
        return Completed(tuple(argv), status, streams[STDOUT].text(), streams[STDERR].text(), duration_ms)

    @contextmanager
    def stream(
        self, argv: Sequence[str], *, timeout_s: float, env: Mapping[str, str] | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Run a command and yield its stdout in chunks; the time limit holds for the whole of it, reader included."""
        with (
            Execution(self.container, argv, env, None) as execution,
            closing(stdout_of(execution.chunks(timeout_s), execution.exit_status, argv)) as chunks,
        ):
            yield chunks

    def put(self, source: Path, destination: str) -> str:
        """Copy a file, or a folder with all in it, to `destination` in the container; it belongs to root there."""
        try:
            archive: Any = self.container  # the client library has no types for this call
            taken = archive.put_archive("/", _archive(source, destination.lstrip("/")))
        except (DockerException, OSError) as error:
            raise _not_copied(source, self.name, str(error)) from error
        if not taken:
            raise _not_copied(source, self.name, "the engine refused it")
        return destination

    def free_bytes(self, path: str) -> int:
        """Bytes an unprivileged user may still write below `path` (df(1), POSIX format)."""
        answer = self.run(["sh", "-c", _NEAREST, "sh", path], timeout_s=_SHORT_S)
        try:
            return int(answer.stdout.splitlines()[-1].split()[3]) * 1024
        except (IndexError, ValueError) as error:
            raise CommandFailed(
                f"The free space of {path} in {self.name} cannot be told: {last_words(answer.stderr or answer.stdout)}",
                "It is not known whether the copy fits.",
                "Use an image that has `df`.",
            ) from error


def _archive(source: Path, name: str) -> Iterator[bytes]:
    """Write a tar archive piece by piece, so that a dump of any size needs no memory and no second file."""
    places = [source, *sorted(source.rglob("*"))] if source.is_dir() else [source]
    for place in places:
        inside = f"{name}/{place.relative_to(source)}" if place != source else name
        info = tarfile.TarInfo(inside)
        info.mode = place.stat().st_mode & 0o7777
        info.mtime = int(place.stat().st_mtime)
        if place.is_dir():
            info.type = tarfile.DIRTYPE
            yield info.tobuf(tarfile.PAX_FORMAT)
            continue
        info.size = place.stat().st_size
        yield info.tobuf(tarfile.PAX_FORMAT)
        with place.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
        yield b"\0" * (-info.size % tarfile.BLOCKSIZE)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def _not_copied(source: Path, name: str, reason: str) -> CommandFailed:
    return CommandFailed(
        f"{source} could not be copied into {name}: {last_words(reason)}",
        "The copy there is not complete.",
        "Check that the container runs and has room.",
    )
