"""The migration tool's own status command, held against our own reading."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pytest_dryrun.hosts import Completed, Host
from pytest_dryrun.hosts.output import last_part
from pytest_dryrun.migrations import Status
from pytest_dryrun.probes.smoke import argv_of, tail
from pytest_dryrun.values import Finding, Severity

# Prisma names the database that its own configuration leads to (`Datasource "db": PostgreSQL database "shop", ...`).
_REACHED = re.compile(r'PostgreSQL database "([^"\n]+)"(?:[^\n]*? at "([^"\n]+)")?')

_LOOPBACK = re.compile(r"(?:localhost|127\.0\.0\.1|\[?::1\]?)(?::\d+)?")


def _plain(place: str) -> str:
    return re.sub(r"^(?:localhost|\[?::1\]?)(?=:)", "127.0.0.1", place)


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """The last lines of what the command printed, and a blocker where it sees things otherwise than we do."""

    said: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class StatusCommand:
    """A command whose exit status 0 means that nothing is pending, as `prisma migrate status` has it.

    `must_name`: it has to say which database it works on, for another command of its kind will deploy there.
    """

    command: str
    host: Host
    cwd: str
    environment: Mapping[str, str]
    timeout_s: float
    dbname: str
    place: str
    must_name: bool = False

    def ask(self, status: Status) -> StatusAnswer:
        """Run it once and hold its verdict against ours; nothing is said where no command is configured."""
        if not self.command:
            return StatusAnswer("", ())
        done = self.host.run(
            argv_of(self.command, "migrations.status"), timeout_s=self.timeout_s, env=self.environment, cwd=self.cwd
        )
        finding = self._elsewhere_or_nowhere(done) or self._otherwise(done, status)
        return StatusAnswer(tail(f"{done.stdout}\n{done.stderr}"), (finding,) if finding else ())

    def _elsewhere_or_nowhere(self, done: Completed) -> Finding | None:
        reached = _REACHED.search(done.stdout + done.stderr)
        if reached is None:
            if not self.must_name:
                return None
            text = (
                f"`{self.command}` (status {done.exit_status}) does not say which database it works on, so it is not"
                f" known that deploying leads to {self.dbname} at {self.place}. Let it print what Prisma prints; it"
                f" printed: {_shown(done)}"
            )
            return Finding("drift", Severity.BLOCKER, text, evidence={"exit_status": done.exit_status})
        if reached[1] == self.dbname and not self._elsewhere(reached[2]):
            return None
        there = f"{reached[1]} at {reached[2] or self.place}"
        text = (
            f"`{self.command}` works on database {there}, the credentials lead to {self.dbname} at {self.place}:"
            " what it deploys would go elsewhere. Give both the same URL."
        )
        return Finding("drift", Severity.BLOCKER, text, evidence={"theirs": there, "ours": self.dbname})

    def _otherwise(self, done: Completed, status: Status) -> Finding | None:
        theirs = done.exit_status == 0
        ours = not status.pending and not any(item.severity is Severity.BLOCKER for item in status.findings)
        if theirs == ours:
            return None
        own = "up to date" if ours else f"{len(status.pending)} pending, {len(status.findings)} findings"
        text = (
            f"`{self.command}` ended with status {done.exit_status}, our own reading says: {own}. "
            f"One of them is wrong; it printed: {_shown(done)}"
        )
        return Finding("drift", Severity.BLOCKER, text, evidence={"exit_status": done.exit_status, "ours": own})

    def _elsewhere(self, reached: str | None) -> bool:
        """Whether the command names another server."""
        if not reached or _plain(reached) == _plain(self.place):
            return False
        # Of a URL whose `host` is a socket it names the socket, or the address before it, which nobody listens to.
        return not (self.place.startswith("/") and (reached.startswith("/") or _LOOPBACK.fullmatch(reached)))


def _shown(done: Completed) -> str:
    return last_part(done.stdout + done.stderr, 1000) or "nothing"
