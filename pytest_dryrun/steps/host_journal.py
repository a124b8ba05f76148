"""What a run is about to write to a target, noted on its host before it does: a killed run leaves word of it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_dryrun.errors import CommandFailed, DryRunError
from pytest_dryrun.hosts import output
from pytest_dryrun.steps.way_in import COMMAND_S

if TYPE_CHECKING:
    from pytest_dryrun.hosts.ssh.host import SshHost

LARGEST_BYTES = 1 << 20
_BEGAN, _ENDED = "began", "ended"
# Nothing is begun before the disk has it; a folder that is synced keeps the name of a new file too.
_APPEND = 'umask 077; printf "%s\\n" "$2" >>"$1" && sync -- "$1" "$(dirname -- "$1")"'
_LINE = re.compile(rf"(\S+) ({_BEGAN}|{_ENDED}) (.+)")


@dataclass(slots=True)
class HostJournal:
    """The file of one run in the folder of backups; it is gone when the run has ended everything it began."""

    host: SshHost
    path: str
    _open: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, host: SshHost, directory: str, target: str, run_id: str) -> HostJournal:
        """Make the folder where it is missing; the file comes with its first line."""
        host.make_directory(directory)
        return cls(host, posixpath.join(directory, f".{target}-{run_id}.journal"))

    @contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """Note what is about to be done, and that it has ended, well or badly; raises CommandFailed before it is done.

        An end that cannot be noted leaves the file behind: the next run tells of too much, never of too little.
        """
        self._append(_BEGAN, what)
        self._open.append(what)
        try:
            yield
        finally:
            with suppress(DryRunError):
                self._append(_ENDED, what)
                self._open.remove(what)

    def close(self) -> None:
        """Take the file away, unless something in it has not ended as far as anybody knows."""
        if not self._open and not self.host.lost:
            self.host.remove(self.path)

    def _append(self, word: str, what: str) -> None:
        line = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {word} {' '.join(what.split())}"
        done = self.host.run(["sh", "-c", _APPEND, "sh", self.path, line], timeout_s=COMMAND_S)
        if done.exit_status:
            raise CommandFailed(
                f"{self.path} on {self.host.name} cannot be written: {output.last_words(done.stderr)}",
                f"Nothing is done there without a note of it first, so this was not begun: {what}.",
                "Make room in [backup] directory, or name another one.",
            )


def clear(host: SshHost, directory: str, target: str) -> tuple[str, ...]:
    """Tell what killed runs of a target were doing, and take their journals away; whoever calls this holds it."""
    named = re.compile(rf"\.{re.escape(target)}-(\d{{8}}T\d{{6}}Z-[0-9a-f]{{4}})\.journal")
    told = []
    for name in host.run(["ls", "-A", "--", directory], timeout_s=COMMAND_S).stdout.splitlines():
        if match := named.fullmatch(name):
            path = posixpath.join(directory, name)
            text = host.read(path, LARGEST_BYTES).decode(errors="replace")
            told.append(_told(match[1], text))
            host.remove(path)
    return tuple(told)


def _told(run_id: str, text: str) -> str:
    """One sentence about the run of a journal."""
    begun: dict[str, str] = {}
    for line in text.splitlines():
        if match := _LINE.fullmatch(line):  # half a line is the note of something that was not begun
            at, word, what = match.groups()
            if word == _BEGAN:
                begun[what] = at
            else:
                begun.pop(what, None)
    if not begun:
        return f"Run {run_id} was cut off while it wrote nothing to the target."
    doing = "; ".join(f"{what} (since {at})" for what, at in begun.items())
    return f"Run {run_id} was cut off while it was {doing}."
