"""An application that runs on its own host: restarted, waited for, and its processes told."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from pytest_dryrun.config import Api
from pytest_dryrun.hosts import Host
from pytest_dryrun.hosts.output import last_words
from pytest_dryrun.model.errors import CommandFailed
from pytest_dryrun.probes import api, supervisor
from pytest_dryrun.probes.smoke import argv_of
from pytest_dryrun.probes.supervisor import Supervised

_TICK_S = 0.5


@dataclass(frozen=True, slots=True)
class Restarted:
    """The application's processes once it runs on another database, and what of them does not."""

    processes: tuple[Supervised, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Application:
    """Where it runs, and how its host is asked; `directory` is the folder in which its commands are run."""

    settings: Api
    host: Host
    directory: str

    def restart(self, command: str, key: str, *, means: str) -> None:
        """Run a restart command, `key` being its place in `dryrun.toml`; raises CommandFailed, which `means` that."""
        done = self.host.run(argv_of(command, key), cwd=self.directory, timeout_s=self.settings.restart_timeout_s)
        if done.exit_status:
            raise CommandFailed(
                f"{command} ended with status {done.exit_status}: {last_words(done.stderr or done.stdout)}",
                means,
                "Run it by hand on the host, and look at the application's log.",
            )

    def processes(self) -> tuple[Supervised, ...]:
        """Its processes as the configured status command tells them now; none where there is no such command."""
        if not self.settings.status:
            return ()
        return supervisor.ask(
            self.settings.status, host=self.host, cwd=self.directory, timeout_s=self.settings.timeout_s
        )

    def settled(self, before: Sequence[Supervised]) -> Restarted:
        """Its processes when all are online that were before, or when they have had their time for that.

        As long a status command may say that it is not well; then what it says is raised, as CommandFailed.
        """
        deadline = time.monotonic() + self.settings.timeout_s
        while True:
            late = time.monotonic() > deadline
            try:
                processes = self.processes()
            except CommandFailed:
                if late:
                    raise
            else:
                missing = supervisor.missing(before, processes)
                if not missing or late:
                    return Restarted(processes, missing)
            time.sleep(_TICK_S)

    def unhealthy(self, client: httpx.Client) -> str:
        """Wait until it is healthy; gives what is wrong with it when it has had its time, empty where nothing is."""
        deadline = time.monotonic() + self.settings.timeout_s
        while (answer := api.get(client, self.settings.health, timeout_s=5)).health_problem:
            if time.monotonic() > deadline:
                break
            time.sleep(_TICK_S)
        return answer.health_problem
