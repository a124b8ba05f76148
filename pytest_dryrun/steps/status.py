"""The migration tool's own status command, held against our own reading."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pytest_dryrun.hosts import Completed, Host
from pytest_dryrun.hosts.output import last_part
from pytest_dryrun.migrations import Status
from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.probes.smoke import argv_of, tail

# Prisma names the database that its own configuration leads to (`Datasource "db": PostgreSQL database "shop", ...`).
_REACHED = re.compile(r'PostgreSQL database "([^"\n]+)"(?:[^\n]*? at "([^"\n]+)")?')


def _plain(place: str) -> str:
    """An address with its port, this machine's own in one spelling; a socket's folder."""
    if place.startswith("/"):
        return re.sub(r":\d+$", "", place)
    address, port = re.fullmatch(r"(.*?)(?::(\d+))?", place).groups()  # type: ignore[union-attr]  # it always matches
    loopback = address in {"localhost", "::1", "[::1]"}
    return f"{'127.0.0.1' if loopback else address}:{port or 5432}"


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
        done = self._run()
        finding = self._elsewhere_or_nowhere(done) or self._otherwise(done, status)
        return StatusAnswer(tail(f"{done.stdout}\n{done.stderr}"), (finding,) if finding else ())

    def hold_destination(self) -> None:
        """Raise TargetUnusable unless the command says that it works on our database."""
        if found := self._elsewhere_or_nowhere(self._run()):
            raise TargetUnusable(
                found.message,
                "Nothing was deployed.",
                "Look into the tool's own configuration: the schema file's datasource, prisma.config.ts, a .env.",
            )

    def _run(self) -> Completed:
        argv = argv_of(self.command, "migrations.status")
        return self.host.run(argv, timeout_s=self.timeout_s, env=self.environment, cwd=self.cwd)

    def _elsewhere_or_nowhere(self, done: Completed) -> Finding | None:
        """A blocker where the command names another database than ours, or, though it has to, none."""
        reached = _REACHED.findall(done.stdout + done.stderr)
        if not reached:
            if not self.must_name:
                return None
            text = (
                f"`{self.command}` (status {done.exit_status}) does not say which database it works on, so it is not"
                f" known that deploying leads to {self.dbname} at {self.place}. Let it print what Prisma prints; it"
                f" printed: {_shown(done)}"
            )
            return Finding("drift", Severity.BLOCKER, text, evidence={"exit_status": done.exit_status})
        others = [(name, place) for name, place in reached if name != self.dbname or self._elsewhere(place)]
        if not others:
            return None
        name, place = others[0]
        there = f"{name} at {place or self.place}"
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

    def _elsewhere(self, reached: str) -> bool:
        """Whether the command names another server."""
        ours = {_plain(self.place)}
        if self.place.startswith("/"):
            # Of a URL whose `host` is a socket it names the socket, or the address before it, which nobody listens to.
            address = urlsplit(self.environment.get("DATABASE_URL", "")).netloc.rpartition("@")[2]
            ours.add(_plain(address or "localhost"))
        return bool(reached) and _plain(reached) not in ours


def _shown(done: Completed) -> str:
    return last_part(done.stdout + done.stderr, 1000) or "nothing"
