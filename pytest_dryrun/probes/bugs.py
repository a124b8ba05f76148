"""Open P0 bugs: what the configured command lists, and what the log files say that was not there at the start."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from pytest_dryrun.hosts import Host
from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.probes.severity import LONGEST_SHOWN, SevereLines
from pytest_dryrun.probes.smoke import argv_of, clip, plain, run_command

_LONGEST_READ = 1024 * 1024
_LOOK_BACK = 64 * 1024
_ANCHOR = 256


def open_bugs(command: str, *, host: Host, cwd: str | None, timeout_s: float) -> tuple[str, ...]:
    """List the open P0 bugs that a command prints, one a line; by printing nothing it says that there are none.

    Raises CommandFailed when it fails: then nobody knows, which is not the same as none.
    """
    argv = argv_of(command, "p0.command")
    unknown = "Whether P0 bugs are open is not known, which is not the same as none."
    completed = run_command(
        argv, name="P0 bug command", means=unknown, host=host, cwd=cwd, env=None, timeout_s=timeout_s
    )
    return tuple(clip(text, LONGEST_SHOWN) for line in completed.stdout.splitlines() if (text := plain(line).strip()))


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where a log ended at the start: which file it was, up to which whole line, and the bytes just before that.

    `inode` is None where the file did not exist. `siblings` are the inodes of files beside it with its name in front,
    as rotation leaves them.
    """

    path: Path
    inode: tuple[int, int] | None = None
    offset: int = 0
    anchor: bytes = b""
    siblings: frozenset[tuple[int, int]] = frozenset()


class Marks(Protocol):
    """Where log files ended when the run began."""

    def new_severe_lines(self) -> tuple[str, ...]:
        """Give the severe lines that were written since; raises TargetUnusable where that is not known."""
        ...


@dataclass(frozen=True, slots=True)
class LogMarks:
    """Where every log file ended when the run began."""

    marks: tuple[_Mark, ...]

    @classmethod
    def take(cls, paths: Sequence[str | Path]) -> LogMarks:
        """Remember the end of each file; one that is not there yet may appear during the run.

        Raises TargetUnusable, naming all of them, for files that cannot be read.
        """
        marks, unreadable = [], []
        for path in map(Path, paths):
            try:
                marks.append(_mark(path))
            except OSError as error:
                unreadable.append(f"{path}: {error.strerror}")
        _refuse(unreadable, "The log files were not all read at the start.")
        return cls(tuple(marks))

    def new_severe_lines(self) -> tuple[str, ...]:
        """Give the lines at ERROR, FATAL or PANIC that were written since, oldest first, each as `file: line`.

        Renaming rotation is followed through files beside the log whose name begins with its name; truncation
        and a copied log start again at its beginning. At most 200 lines are given, then how many more there are.
        Raises TargetUnusable, naming the file, when one is missing or its old part was rotated away, compressed say.
        """
        severe = SevereLines()
        unreadable = []
        for mark in self.marks:
            try:
                severe.collect(mark.path.name, _new_lines(mark))
            except OSError as error:
                unreadable.append(f"{mark.path}: {error.strerror or error}")
        seen = len(severe.shown) + severe.more
        _refuse(
            unreadable,
            f"{seen} severe lines were found in the others, first: {severe.shown[0]}"
            if seen
            else "No severe line was found in the others.",
        )
        return severe.result()


def _refuse(unreadable: Sequence[str], means: str) -> None:
    if unreadable:
        raise TargetUnusable(
            f"Configured log files cannot be read: {'; '.join(unreadable)}",
            f"Whether errors were logged is not known, which is not the same as none. {means}",
            "Correct [p0] logs in dryrun.toml, or the permissions of the files.",
        )


def _mark(path: Path) -> _Mark:
    siblings = frozenset(_rotated(path))
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return _Mark(path, siblings=siblings)
    with stream:
        status = os.fstat(stream.fileno())
        stream.seek(max(0, status.st_size - _LOOK_BACK))
        before = stream.read(status.st_size - stream.tell())
        # A line that is being written now will be complete, and so new, later.
        before = before[: before.rfind(b"\n") + 1] or before
        offset = max(0, status.st_size - _LOOK_BACK) + len(before)
    if before and status.st_size <= _LOOK_BACK and not before.endswith(b"\n"):
        before, offset = b"", 0
    return _Mark(path, (status.st_dev, status.st_ino), offset, before[-_ANCHOR:], siblings)


def _rotated(path: Path) -> dict[tuple[int, int], Path]:
    """Find the files beside a log that carry its name and something more, by inode, oldest first."""
    found = []
    for place in {path.parent, path.resolve().parent}:
        if place.is_dir():
            for entry in os.scandir(place):
                if entry.name != path.name and entry.name.startswith(path.name) and entry.is_file():
                    status = entry.stat()
                    found.append((status.st_mtime_ns, (status.st_dev, status.st_ino), Path(entry.path)))
    return {inode: name for _, inode, name in sorted(found)}


def _new_lines(mark: _Mark) -> Iterator[str]:
    """Every line since the mark: the rest of the marked file, files rotated since, the present file."""
    rotated = _rotated(mark.path)
    with mark.path.open("rb") as stream:
        status = os.fstat(stream.fileno())
        if mark.inode is None or (status.st_dev, status.st_ino) == mark.inode:
            yield from _lines(stream, _start(stream, mark))
            return
        old = rotated.get(mark.inode)
        if old is None:
            raise FileNotFoundError(0, "its part from before a rotation during the run is not there any more")
        with old.open("rb") as before:
            yield from _lines(before, _start(before, mark))
        for inode, between in rotated.items():
            if inode != mark.inode and inode not in mark.siblings:
                with between.open("rb") as later:
                    yield from _lines(later, 0)
        yield from _lines(stream, 0)


def _start(stream: BinaryIO, mark: _Mark) -> int:
    """Find the marked place, or the beginning where the bytes before it are not the marked ones any more."""
    at = mark.offset - len(mark.anchor)
    stream.seek(at)
    return mark.offset if stream.read(len(mark.anchor)) == mark.anchor else 0


def _lines(stream: BinaryIO, offset: int) -> Iterator[str]:
    """Lines from a place on; one of more than a MiB comes in pieces."""
    stream.seek(offset)
    while raw := stream.readline(_LONGEST_READ):
        yield raw.decode("utf-8", "replace")
