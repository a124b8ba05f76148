"""Files to and from a host over SFTP, each proved by its SHA-256 on both sides before it gets its name."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import paramiko
from paramiko.ssh_exception import SSHException

from pytest_dryrun.hosts.output import last_words
from pytest_dryrun.hosts.ssh.link import Link
from pytest_dryrun.model.errors import CommandFailed

_CHUNK_BYTES = 1 << 15  # what every SFTP server takes in one request
_AHEAD = 64
_SILENCE_S = 60.0


class Files:
    """The SFTP session of a connection, opened at its first use."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._open = ExitStack()
        self._client: paramiko.SFTPClient | None = None

    def upload(self, source: Path, destination: str) -> tuple[str, str]:
        """Write a file of mode 0600 beside its destination; its name there, and its SHA-256 here."""
        part = f"{destination}.{secrets.token_hex(4)}.part"
        digest = hashlib.sha256()
        what = f"{source} could not be copied to {destination} on {self._link.name}"
        whole = False
        try:
            with (
                self._told(what, "What had arrived was removed.", lost=f"State unknown: {part} may lie there."),
                source.open("rb") as local,
                self._session().open(part, "wx") as remote,
            ):
                remote.chmod(0o600)
                remote.set_pipelined(True)
                sent = 0
                while chunk := local.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    remote.write(chunk)
                    sent += len(chunk)
                arrived = remote.stat().st_size
                if arrived != sent:
                    raise OSError(f"{arrived} bytes arrived of {sent}")
            whole = True
        finally:
            if not whole:
                self.discard(part)
        return part, digest.hexdigest()

    def rename(self, part: str, destination: str) -> None:
        """Give an uploaded file its name, over what has it now."""
        with self._told(
            f"{destination} on {self._link.name} could not be given its name",
            "The copy was removed.",
            lost="State unknown: it may have it.",
        ):
            self._session().posix_rename(part, destination)

    def download(self, source: str, destination: Path) -> str:
        """Stream a file into a new local one of mode 0600; its SHA-256 as it arrived."""
        digest = hashlib.sha256()
        what = f"{source} on {self._link.name} could not be copied to {destination}"
        with self._told(what, "The copy here is not complete."), self._session().open(source, "rb") as remote:
            size = remote.stat().st_size or 0
            destination.touch(mode=0o600, exist_ok=False)
            with _ahead(remote, size), destination.open("wb") as local:
                while chunk := remote.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    local.write(chunk)
                if local.tell() < size:
                    raise OSError(f"{local.tell()} bytes arrived of {size}")
        return digest.hexdigest()

    def read(self, path: str, limit_bytes: int) -> bytes:
        """Read a small file whole; one above the limit is an error."""
        with (
            self._told(f"{path} on {self._link.name} could not be read", "What stands in it is not known."),
            self._session().open(path, "rb") as remote,
        ):
            data = bytearray()
            while len(data) <= limit_bytes and (chunk := remote.read(_CHUNK_BYTES)):
                data += chunk
            if len(data) > limit_bytes:
                raise OSError(f"it is larger than {limit_bytes} bytes")
            return bytes(data)

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is removed already."""
        with (
            self._told(
                f"{path} on {self._link.name} could not be removed",
                "It is still there.",
                lost="State unknown: it may be there.",
            ),
            suppress(FileNotFoundError),
        ):
            self._session().remove(path)

    def discard(self, path: str) -> None:
        """Remove what failed before it was whole, as far as that goes; the failure itself is what is told."""
        with suppress(SSHException, EOFError, OSError):
            self._session().remove(path)

    def close(self) -> None:
        """End the session."""
        self._open.close()

    def _session(self) -> paramiko.SFTPClient:
        with self._lock:
            if self._client is None:
                opened = self._link.session(
                    lambda channel: channel.invoke_subsystem("sftp"), time.monotonic() + _SILENCE_S
                )
                channel = self._open.enter_context(opened)
                channel.settimeout(_SILENCE_S)
                self._client = paramiko.SFTPClient(channel)
            return self._client

    @contextmanager
    def _told(self, what: str, means: str, *, lost: str = "") -> Iterator[None]:
        """Put into words what can go wrong; `lost` is what it means where the connection goes meanwhile."""
        if self._link.lost:
            raise self._link.down(what)
        try:
            yield
        except (SSHException, EOFError, OSError) as error:
            # The session's end is seen before the connection is known to be gone.
            if self._link.lost or isinstance(error, EOFError) or "connection dropped" in str(error):
                raise CommandFailed(
                    f"{what}: the connection was lost.",
                    lost or means,
                    "Check the host and the network, and run again.",
                ) from error
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise CommandFailed(
                f"{what}: {last_words(reason)}.",
                means,
                "Check that the path, its permissions and the room for it are right, for the user who logs in.",
            ) from error


class _Asked(dict[int, tuple[int, int]]):
    """What was asked for and has not come yet; once given up, whoever asks for more is sent away.

    Paramiko's thread waits for room in here, and for ever where nobody reads what comes, or nothing comes any more.
    """

    given_up = False
    asking = 0

    def __len__(self) -> int:
        if self.given_up and threading.get_ident() == self.asking:
            raise EOFError("nobody reads any further")
        return super().__len__()


@contextmanager
def _ahead(remote: Any, size: int) -> Iterator[None]:
    """Ask for what will be read, as long as the block lasts.

    Where the connection goes meanwhile, the reader tells, not the thread that asks.
    """
    ask, asked = remote._prefetch_thread, _Asked()  # noqa: SLF001 - it would print a traceback beside the reader's error

    def quietly(*arguments: object) -> None:
        asked.asking = threading.get_ident()
        with suppress(SSHException, EOFError, OSError):
            ask(*arguments)

    remote._prefetch_extents = asked  # noqa: SLF001
    remote._prefetch_thread = quietly  # noqa: SLF001
    remote.prefetch(size, _AHEAD)
    try:
        yield
    finally:
        asked.given_up = True
