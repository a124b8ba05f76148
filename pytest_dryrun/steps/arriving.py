"""The copy of a backup here, which grows while its host still writes the file."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pytest_dryrun.model.errors import CommandFailed
from pytest_dryrun.postgres import backup

if TYPE_CHECKING:
    from pytest_dryrun.hosts.ssh.host import SshHost

# Its name as long as it is written, and its name then; the descriptor keeps the place up to which it was read. Where
# the connection is cut, nobody ends this: it looks whether whoever started it is still there.
_FOLLOW = """
pause() { kill -s 0 "$PPID" 2>/dev/null || [ -e "/proc/$PPID" ] || exit 1; sleep 0.1 2>/dev/null || sleep 1; }
until [ -e "$1" ] || [ -e "$2" ]; do pause; done
command exec 3<"$1" || exec 3<"$2"
while [ -e "$1" ]; do cat <&3; pause; done
cat <&3
"""
# pg_dump writes its table of contents first, and once more at the end, when it knows where each table's rows stand
# (PostgreSQL's pg_backup_custom.c, _CloseArchive). How long it is, is not known.
_HEADS_BYTES = (1 << 20, 1 << 23)


class Arriving:
    """Follows a file that is written on a host as `part` and then called `final`, and copies it here meanwhile.

    `timeout_s` is how long the file may be written, and how long the rest of it may take to come then.
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
        self.as_it_came = True
        """False where more than the beginning of the copy had to be fetched again: `pieces` gave something else."""
        self.failed = threading.Event()
        """Set when the copy cannot become whole any more: `complete` says why."""

    def __enter__(self) -> Self:
        with self._told():
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
                left = self._left.is_set()  # asked before the other: a copy that is whole is left, too
                whole = self._whole.is_set()  # asked before the file: what was written before is read
                if chunk := file.read(backup.CHUNK):
                    yield chunk
                elif whole:
                    return
                elif left:
                    raise CancelledError
                else:
                    yield b""

    def failure(self, notes: Iterable[str]) -> BaseException:
        """Why the copy has `failed`, with what else is to be said of it."""
        error = self._following.exception() or LookupError("it did not fail")
        for note in notes:
            error.add_note(note)
        return error

    def complete(self) -> str:
        """Wait for the rest of the file, which has its final name, and give its SHA-256, the same on both sides.

        Where it differs by more than its beginning from what came, all of it is fetched again.
        """
        self._following.result()
        with self._told():
            there = self._host.sha256(self._final)
            for size_bytes in _HEADS_BYTES:
                self._renew(size_bytes)
                if backup.checksum(self._copy) == there:
                    break
            else:
                self.as_it_came = False
                there = self._host.get(self._final, self._copy)
        self._whole.set()
        return there

    def _follow(self) -> None:
        argv = ["sh", "-c", _FOLLOW, "sh", self._part, self._final]
        try:
            with (
                self._told(),
                self._host.stream(argv, timeout_s=2 * self._timeout_s, stop=self._left) as chunks,
                self._copy.open("wb") as file,
            ):
                for chunk in chunks:
                    file.write(chunk)
                    file.flush()
        except BaseException:
            self.failed.set()
            raise

    def _renew(self, size_bytes: int) -> None:
        """Copy the beginning of the final file over that of the copy."""
        argv = ["head", "-c", str(size_bytes), "--", self._final]
        with self._host.stream(argv, timeout_s=self._timeout_s) as chunks, self._copy.open("r+b") as file:
            for chunk in chunks:
                file.write(chunk)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (CommandFailed, OSError) as error:
            lost = "the connection was lost" if self._host.lost else ""
            reason = lost or (error.what if isinstance(error, CommandFailed) else error.strerror or str(error))
            raise CommandFailed(
                f"{self._final} on {self._host.name} could not be copied to {self._copy}: {reason.rstrip('.')}.",
                "The copy here is not complete.",
                "Check the room here, the host and the network, and run again.",
            ) from error
