"""The migration tool's own status command, held against our own reading."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pytest_dryrun.hosts import Host
from pytest_dryrun.hosts.output import last_part
from pytest_dryrun.migrations import Status
from pytest_dryrun.probes.smoke import argv_of
from pytest_dryrun.values import Finding, Severity

# Prisma names the database that its own configuration leads to (`Datasource "db": PostgreSQL database "shop", ...`).
_REACHED = re.compile(r'PostgreSQL database "([^"\n]+)"(?:[^\n]*? at "([^"\n]+)")?')

_LOOPBACK = re.compile(r"(?:localhost|127\.0\.0\.1|\[?::1\]?)(?::\d+)?")


def _plain(place: str) -> str:
    return re.sub(r"^(?:localhost|\[?::1\]?)(?=:)", "127.0.0.1", place)


@dataclass(frozen=True, slots=True)
class StatusCommand:
    """A command whose exit status 0 means that nothing is pending, as `prisma migrate status` has it."""

    command: str
    host: Host
    cwd: str
    environment: Mapping[str, str]
    timeout_s: float
    dbname: str
    place: str

    def findings(self, status: Status) -> list[Finding]:
        """A blocker where the command's verdict and ours differ; nothing where no command is configured."""
        if not self.command:
            return []
        done = self.host.run(
            argv_of(self.command, "migrations.status"), timeout_s=self.timeout_s, env=self.environment, cwd=self.cwd
        )
        said = last_part(done.stdout + done.stderr, 1000)
        reached = _REACHED.search(done.stdout + done.stderr)
        if reached and (reached[1] != self.dbname or self._elsewhere(reached[2])):
            there = f"{reached[1]} at {reached[2] or self.place}"
            text = (
                f"`{self.command}` works on database {there}, the credentials lead to {self.dbname} at {self.place}:"
                " what it deploys would go elsewhere. Give both the same URL."
            )
            return [Finding("drift", Severity.BLOCKER, text, evidence={"theirs": there, "ours": self.dbname})]
        theirs = done.exit_status == 0
        ours = not status.pending and not any(item.severity is Severity.BLOCKER for item in status.findings)
        if theirs == ours:
            return []
        own = "up to date" if ours else f"{len(status.pending)} pending, {len(status.findings)} findings"
        text = (
            f"`{self.command}` ended with status {done.exit_status}, our own reading says: {own}. "
            f"One of them is wrong; it printed: {said}"
        )
        return [Finding("drift", Severity.BLOCKER, text, evidence={"exit_status": done.exit_status, "ours": own})]

    def _elsewhere(self, reached: str | None) -> bool:
        """Whether the command names another server."""
        if not reached or _plain(reached) == _plain(self.place):
            return False
        # Of a URL whose `host` is a socket it names the socket, or the address before it, which nobody listens to.
        return not (self.place.startswith("/") and (reached.startswith("/") or _LOOPBACK.fullmatch(reached)))
