"""Severe lines in the logs of another host that were not there when the run began."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_dryrun.hosts import Host
from pytest_dryrun.hosts.output import last_words, lines
from pytest_dryrun.model.errors import CommandFailed, TargetUnusable
from pytest_dryrun.probes.severity import SevereLines

_SHORT_S, _LONG_S = 60.0, 600.0
# Inode and size; nothing where there is no such file, which is no error: it may appear.
_MARK = '[ ! -e "$1" ] || { [ -r "$1" ] && stat -L -c "%i %s" -- "$1"; }'
# The marked file from the mark on, wherever rotation has put it, then what has taken its place since.
_SINCE = r"""
path=$1 inode=$2 size=$3
now=$(stat -L -c %i -- "$path") || exit 1
if [ "$inode" = - ]; then exec cat -- "$path"; fi
if [ "$now" = "$inode" ]; then
    if [ "$(stat -L -c %s -- "$path")" -lt "$size" ]; then
        echo 'what it held before it was truncated is gone' >&2
        exit 1
    fi
    exec tail -c +$((size + 1)) -- "$path"
fi
old=$(find "$(dirname -- "$path")" -maxdepth 1 -inum "$inode" -name "$(basename -- "$path")*" 2>/dev/null | head -n 1)
[ -n "$old" ] || { echo 'its part from before a rotation is not there any more' >&2; exit 1; }
tail -c +$((size + 1)) -- "$old" && cat -- "$path"
"""


@dataclass(frozen=True, slots=True)
class _Mark:
    path: str
    inode: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class HostLogMarks:
    """Where every log file of a host ended when the run began."""

    host: Host
    marks: tuple[_Mark, ...]

    @classmethod
    def take(cls, host: Host, paths: Sequence[str]) -> HostLogMarks:
        """Remember the end of each file. Raises TargetUnusable for one that is there and cannot be read."""
        marks = []
        for path in paths:
            done = host.run(["sh", "-c", _MARK, "sh", path], timeout_s=_SHORT_S)
            if done.exit_status:
                raise _unreadable(host, path, last_words(done.stderr) if done.stderr else "permission denied")
            inode, _, size = done.stdout.strip().partition(" ")
            marks.append(_Mark(path, inode or "-", int(size or 0)))
        return cls(host, tuple(marks))

    def new_severe_lines(self) -> tuple[str, ...]:
        """Give the lines at ERROR, FATAL or PANIC that were written since, oldest first, each as `file: line`.

        A renaming rotation is followed once; a truncation is told of, for nobody knows what stood there.
        At most 200 lines are given, then how many more there are.
        Raises TargetUnusable, naming the file, where one cannot be read to its end.
        """
        severe = SevereLines()
        for mark in self.marks:
            severe.collect(mark.path.rpartition("/")[2], self._lines(mark))
        return severe.result()

    def _lines(self, mark: _Mark) -> Iterator[str]:
        argv = ["sh", "-c", _SINCE, "sh", mark.path, mark.inode, str(mark.size_bytes)]
        try:
            with self.host.stream(argv, timeout_s=_LONG_S) as chunks:
                yield from lines(chunks)
        except CommandFailed as error:
            raise _unreadable(self.host, mark.path, error.what) from error


def _unreadable(host: Host, path: str, why: str) -> TargetUnusable:
    return TargetUnusable(
        f"The log file {path} on {host.name} cannot be read: {why}",
        "Whether errors were logged is not known, which is not the same as none.",
        "Correct [p0] logs in dryrun.toml, or the permissions of the file.",
    )
