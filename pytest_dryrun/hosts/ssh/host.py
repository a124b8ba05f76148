"""A host behind SSH: commands, streams, files and tunnels over one connection that was verified once."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

from pytest_dryrun.hosts import Completed
from pytest_dryrun.hosts.output import STDERR, STDOUT, Kept, last_words, stdout_of
from pytest_dryrun.hosts.ssh.command import Execution
from pytest_dryrun.hosts.ssh.connecting import Connection
from pytest_dryrun.hosts.ssh.files import Files
from pytest_dryrun.hosts.ssh.link import Link
from pytest_dryrun.hosts.ssh.tunnel import Tunnel
from pytest_dryrun.model.errors import CommandFailed

_SHORT_S = 30.0
_HASH_S = 3600.0
_NEAREST = 'p=$1; while [ ! -e "$p" ]; do p=$(dirname -- "$p"); done; df -Pk -- "$p"'
_DIGEST = """if command -v sha256sum >/dev/null; then sha256sum < "$1"
elif command -v shasum >/dev/null; then shasum -a 256 < "$1"
else openssl dgst -sha256 -r < "$1"; fi"""
_FOLDER = 'umask 077; mkdir -p -- "$1" && [ -w "$1" ]'


class SshHost:
    """Runs commands there as the user who logged in; open until `close`."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._link = Link(connection, name)
        self._files = Files(self._link)
        self._tunnels: dict[int, Tunnel] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """What a reader calls this host: `deploy@staging`."""
        return self._link.name

    @property
    def address(self) -> str:
        """Where the server was found, as `host:port`."""
        return f"{self._connection.target.host}:{self._connection.target.port}"

    @property
    def host_key(self) -> str:
        """The host key that was seen and is known: its type and SHA-256 fingerprint."""
        return self._connection.host_key

    @property
    def lost(self) -> bool:
        """Whether the connection is gone; what was running then is in an unknown state, and nothing more can run."""
        return self._link.lost

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stop: threading.Event | None = None,
    ) -> Completed:
        """Run a command to its end; of each stream at most the last 64 MiB are kept, and a first line says so.

        `env` never shows in the process list there. A child that stays in the background is not waited for.
        Whoever sets `stop` ends it early, with CancelledError.
        Raises CommandFailed, "state unknown" in its words, when the connection was lost meanwhile.
        """
        streams = {STDOUT: Kept(), STDERR: Kept()}
        began = time.monotonic()
        with Execution(self._link, argv, timeout_s=timeout_s, env=env, cwd=cwd, stop=stop) as execution:
            for number, chunk in execution.chunks():
                streams[number].add(chunk)
            status = execution.exit_status()
        duration_ms = (time.monotonic() - began) * 1000
        return Completed(tuple(argv), status, streams[STDOUT].text(), streams[STDERR].text(), duration_ms)

    @contextmanager
    def stream(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[Iterator[bytes]]:
        """Run a command and yield its stdout in chunks; the time limit holds for the whole of it, reader included.

        Whoever sets `stop` ends it early, with CancelledError.
        """
        with (
            Execution(self._link, argv, timeout_s=timeout_s, env=env, cwd=cwd, stop=stop) as execution,
            closing(stdout_of(execution.chunks(), execution.exit_status, argv)) as chunks,
        ):
            yield chunks

    def put(self, source: Path, destination: str) -> str:
        """Copy a file to `destination`, mode 0600; it gets its name when size and SHA-256 there are those of here."""
        part, digest = self._files.upload(source, destination)
        named = False
        try:
            if (there := self.sha256(part)) != digest:
                raise _differs(f"{source}, copied to {destination} on {self.name},", digest, there)
            self._files.rename(part, destination)
            named = True
        finally:
            if not named:
                self._files.discard(part)
        return destination

    def get(self, source: str, destination: Path) -> str:
        """Copy a file from there, mode 0600, and return its SHA-256, which is the same on both sides."""
        part = destination.with_name(f"{destination.name}.{secrets.token_hex(4)}.part")
        try:
            digest = self._files.download(source, part)
            there = self.sha256(source)
            if there != digest:
                raise _differs(f"{source} on {self.name}, copied to {destination},", there, digest)
            part.replace(destination)
        finally:
            part.unlink(missing_ok=True)
        return digest

    def read(self, path: str, limit_bytes: int) -> bytes:
        """Read a small file; CommandFailed where it is larger than the limit."""
        return self._files.read(path, limit_bytes)

    def sha256(self, path: str) -> str:
        """Let the host itself tell the SHA-256 of a file."""
        answer = self._shell(_DIGEST, path, _HASH_S)
        digest = answer.stdout.split(" ")[0].strip()
        if answer.exit_status or not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise self._untold(f"The SHA-256 of {path}", answer, "Install sha256sum there, and check the path.")
        return digest

    def free_bytes(self, path: str) -> int:
        """Bytes an unprivileged user may still write below `path` (df(1), POSIX format; nearest existing ancestor)."""
        answer = self._shell(_NEAREST, path)
        match = re.search(r"\s(\d+)\s+\d+%\s+/", answer.stdout.splitlines()[-1] if answer.stdout else "")
        if match is None:
            raise self._untold(f"The free space of {path}", answer, "Check the path, and that `df` is there.")
        return int(match[1]) * 1024

    def make_directory(self, path: str) -> None:
        """Make a folder with mode 0700, its parents too where they are missing; one that exists keeps its mode."""
        answer = self._shell(_FOLDER, path)
        if answer.exit_status:
            raise CommandFailed(
                f"The folder {path} cannot be made or written on {self.name}: {last_words(answer.stderr)}",
                "Nothing can be put there.",
                "Make it by hand, owned by the user who logs in.",
            )

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is removed already."""
        self._files.remove(path)

    def forward(self, host: str, port: int) -> int:
        """Open a port on 127.0.0.1 here that leads to `host`:`port` as seen from there, until `close`.

        A connection that the far end refuses is reset at once; `refusal` then says why.
        """
        if self.lost:
            raise self._link.down(f"A tunnel to {host}:{port} cannot be opened")
        tunnel = Tunnel(self._connection.transport, host, port)
        self._tunnels[tunnel.port] = tunnel
        return tunnel.port

    def refusal(self, local_port: int) -> str:
        """What the host said when it last refused a connection through this tunnel; empty where it never did."""
        return self._tunnels[local_port].refusal

    def close(self) -> None:
        """End tunnels, files and the connection; a second call does nothing."""
        for tunnel in self._tunnels.values():
            tunnel.close()
        self._files.close()
        self._connection.close()

    def _shell(self, script: str, path: str, timeout_s: float = _SHORT_S) -> Completed:
        return self.run(["sh", "-c", script, "sh", path], timeout_s=timeout_s)

    def _untold(self, what: str, answer: Completed, remedy: str) -> CommandFailed:
        return CommandFailed(
            f"{what} on {self.name} cannot be told: {last_words(answer.stderr or answer.stdout)}",
            "What depends on it cannot be decided.",
            remedy,
        )


def _differs(what: str, expected: str, found: str) -> CommandFailed:
    return CommandFailed(
        f"{what} arrived changed: SHA-256 {found}, expected {expected}.",
        "The copy was removed; the original is untouched.",
        "Copy it again; if it happens again, look at the disk, or at what writes to the file meanwhile.",
    )
