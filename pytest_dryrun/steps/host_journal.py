"""What a run is about to write to a target, noted on its host before it does: a killed run leaves word of it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_dryrun.hosts import output
from pytest_dryrun.model.errors import CommandFailed, DryRunError
from pytest_dryrun.postgres.databases import Identity
from pytest_dryrun.steps.way_in import COMMAND_S

if TYPE_CHECKING:
    from pytest_dryrun.hosts.ssh.host import SshHost

LARGEST_BYTES = 1 << 20
_ENDING = ".journal"
_BEGAN, _ENDED, _DATABASE = "began", "ended", "database"
# Nothing is begun before the disk has it; a folder that is synced keeps the name of a new file too. A line begins with
# a line end, for what stands before it may be half of one that found the disk full.
_APPEND = 'umask 077; printf "\\n%s\\n" "$2" >>"$1" && sync -- "$1" "$(dirname -- "$1")"'
_LINE = re.compile(rf"(\S+) ({_BEGAN}|{_ENDED}|{_DATABASE}) (.+)")


def spelled(identity: Identity) -> str:
    """The database by what a rollback does not change: its server's identifier and its name."""
    return f"{identity.system_identifier}/{identity.name}"


@dataclass(slots=True)
class HostJournal:
    """The file of one run in the folder of backups; it is gone when the run has ended everything it began."""

    host: SshHost
    path: str
    redact: Callable[[str], str] = str
    _open: list[str] = field(default_factory=list)

    @classmethod
    def begin(
        cls,
        host: SshHost,
        directory: str,
        target: str,
        run_id: str,
        database: str,
        *,
        redact: Callable[[str], str] = str,
    ) -> HostJournal:
        """Make the folder where it is missing, and the file, which says first which database it is about.

        `redact` takes secrets out of whatever is noted, but for the database.
        """
        host.make_directory(directory)
        journal = cls(host, posixpath.join(directory, f".{target}-{run_id}{_ENDING}"), redact)
        journal._append(_DATABASE, database, "writing to the target")
        return journal

    @contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """Note what is about to be done, and that it has ended, well or badly; raises CommandFailed before it is done.

        An end that cannot be noted leaves the file behind: the next run tells of too much, never of too little.
        """
        self._append(_BEGAN, what, what)
        self._open.append(what)
        try:
            yield
        finally:
            with suppress(DryRunError):
                self._append(_ENDED, what, what)
                self._open.remove(what)

    def close(self) -> None:
        """Take the file away, unless the end of something in it could not be noted."""
        if not self._open and not self.host.lost:
            with suppress(DryRunError):  # all has ended: a file that stays says just that
                self.host.remove(self.path)

    def _append(self, word: str, what: str, waits_for_it: str) -> None:
        # By the database's name the next run knows whose journal it is.
        shown = what if word == _DATABASE else self.redact(what)
        line = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {word} {' '.join(shown.split())}"
        done = self.host.run(["sh", "-c", _APPEND, "sh", self.path, line], timeout_s=COMMAND_S)
        if done.exit_status:
            raise CommandFailed(
                f"{self.path} on {self.host.name} cannot be written: {output.last_words(done.stderr)}",
                f"Nothing is done there without a note of it first, so this was not begun: {waits_for_it}.",
                "Make room in [backup] directory, or name another one.",
            )


@dataclass(frozen=True, slots=True)
class Left:
    """The journals of killed runs, and what is to be told of them."""

    host: SshHost
    paths: tuple[str, ...]
    told: tuple[str, ...]
    runs: Mapping[str, str]
    """What each of the runs was doing, by its name."""
    others: frozenset[str]
    """Runs of other databases, which may live."""

    def clear(self) -> None:
        """Take them away, once what they say is told."""
        if not self.host.lost:
            with suppress(DryRunError):  # the next run tells it again
                for path in self.paths:
                    self.host.remove(path)


def left_by_runs(host: SshHost, directory: str, ending: str) -> Iterator[tuple[str, str, str]]:
    """The hidden files of runs in a folder of a host, `.TARGET-RUN` and an ending: target, run and path of each."""
    named = re.compile(rf"\.(.+)-(\d{{8}}T\d{{6}}Z-[0-9a-f]{{4}}){re.escape(ending)}")
    for name in host.run(["ls", "-A", "--", directory], timeout_s=COMMAND_S).stdout.splitlines():
        if match := named.fullmatch(name):
            yield match[1], match[2], posixpath.join(directory, name)


def left(host: SshHost, directory: str, target: str, database: str) -> Left:
    """Find what killed runs of a database were doing; whoever calls this holds it, so none of them lives.

    A journal without a whole first line belongs to the target that its name begins with.
    """
    paths, told, runs, others = [], [], {}, set()
    for named, run_id, path in left_by_runs(host, directory, _ENDING):
        try:
            text = host.read(path, LARGEST_BYTES).decode(errors="replace")
        except CommandFailed as error:
            told.append(f"What run {run_id} was doing when it was cut off is not known: {error.what}")
            others.add(run_id)
            continue
        entries = list(_entries(text))
        about = next((what for _, word, what in entries if word == _DATABASE), "")
        if about == database or (not about and named == target):
            paths.append(path)
            runs[run_id] = _told(run_id, entries)
            told.append(runs[run_id])
        else:
            others.add(run_id)
    return Left(host, tuple(paths), tuple(told), runs, frozenset(others))


def _entries(text: str) -> Iterator[tuple[str, str, str]]:
    """The whole lines; what stands on half of one was not begun."""
    for line in text[: text.rfind("\n") + 1].splitlines():
        if match := _LINE.fullmatch(line):
            at, word, what = match.groups()
            yield at, word, what


def _told(run_id: str, entries: Iterable[tuple[str, str, str]]) -> str:
    """One sentence about the run of a journal."""
    begun: dict[str, str] = {}
    for at, word, what in entries:
        if word == _BEGAN:
            begun[what] = at
        elif word == _ENDED:
            begun.pop(what, None)
    if not begun:
        return f"Run {run_id} was cut off while it wrote nothing to the target."
    doing = "; ".join(f"{what} (since {at})" for what, at in begun.items())
    return f"Run {run_id} was cut off while it was {doing}."
