"""The copy of a backup here, which grows while its host still writes the file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pytest_dryrun.errors import CommandFailed
from pytest_dryrun.postgres import backup

if TYPE_CHECKING:
    from pytest_dryrun.hosts.ssh.host import SshHost

# Its name as long as it is written, and its name then; the descriptor keeps the place up to which it was read.
_FOLLOW = """
until [ -e "$1" ] || [ -e "$2" ]; do sleep 0.1; done
command exec 3<"$1" || exec 3<"$2"
while [ -e "$1" ]; do cat <&3; sleep 0.1; done
cat <&3
"""
# pg_dump writes its table of contents first, and once more at the end, when it knows where each table's rows stand
# (PostgreSQL's pg_backup_custom.c, _CloseArchive). How long it is, is not known; too little, and more is fetched.
_HEAD_BYTES = 1 << 20
_FURTHER = 8


class Arriving:
    """Follows a file that is written on a host as `part` and then called `final`, and copies it here meanwhile.

    Left before `complete`, it leaves no copy.
    """

    def __init__(self, host: SshHost, part: str, final: str, copy: Path, *, timeout_s: float) -> None:
        self._host = host
        self._part = part
        self._final = final
        self._copy = copy
        self._timeout_s = timeout_s
        self._whole = threading.Event()
        self._left = threading.Event()

    def __enter__(self) -> Self:
        self._copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._copy.touch(mode=0o600, exist_ok=False)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dryrun-arriving")
        self._following = self._pool.submit(self._follow)
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._pool.shutdown()
        if not self._whole.is_set():
            self._copy.unlink()

    def pieces(self) -> Iterator[bytes]:
        """The copy from its start to its end, as far as it has come; an empty piece where there is no more yet.

        What stands at its beginning may still be what pg_dump wrote there first. Raises CancelledError where the copy
        is given up.
        """
        with self._copy.open("rb") as file:
            while True:
                whole = self._whole.is_set()  # asked first: what was written before is read
                if chunk := file.read(backup.CHUNK):
                    yield chunk
                elif whole:
                    return
                elif self._left.is_set():
                    raise CancelledError
                else:
                    yield b""

    def complete(self) -> str:
        """Wait for the rest of the file, which has its final name, and give its SHA-256, the same on both sides."""
        self._following.result()
        there = self._host.sha256(self._final)
        size, head = self._copy.stat().st_size, _HEAD_BYTES
        while (here := self._renewed(head)) != there:
            if head >= size:
                raise CommandFailed(
                    f"{self._final} on {self._host.name}, copied to {self._copy}, arrived changed: SHA-256 {here},"
                    f" expected {there}.",
                    "The copy was removed; the original is untouched.",
                    "Run again; if it happens again, look at the disk, or at what writes to the file meanwhile.",
                )
            head *= _FURTHER
        self._whole.set()
        return here

    def _follow(self) -> None:
        argv = ["sh", "-c", _FOLLOW, "sh", self._part, self._final]
        with (
            self._told(),
            self._host.stream(argv, timeout_s=self._timeout_s, stop=self._left) as chunks,
            self._copy.open("wb", buffering=0) as file,
        ):
            for chunk in chunks:
                file.write(chunk)

    def _renewed(self, size_bytes: int) -> str:
        """Copy the beginning of the final file over that of the copy, and give what the copy adds up to."""
        argv = ["head", "-c", str(size_bytes), "--", self._final]
        with (
            self._told(),
            self._host.stream(argv, timeout_s=self._timeout_s) as chunks,
            self._copy.open("r+b") as file,
        ):
            for chunk in chunks:
                file.write(chunk)
        return backup.checksum(self._copy)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (CommandFailed, OSError) as error:
            lost = self._host.lost and "the connection was lost"
            reason = lost or (error.what if isinstance(error, CommandFailed) else error.strerror or str(error))
            raise CommandFailed(
                f"{self._final} on {self._host.name} could not be copied to {self._copy}: {reason.rstrip('.')}.",
                "The copy here is not complete.",
                "Check the room here, the host and the network, and run again.",
            ) from error
