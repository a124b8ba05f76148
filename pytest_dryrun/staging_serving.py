"""What becomes of a staging host after a NO-GO: its database brought back, and its application tried on it."""

from __future__ import annotations

from contextlib import ExitStack

import psycopg

from pytest_dryrun.model.errors import CommandFailed, DryRunError, TargetUnusable
from pytest_dryrun.staging_application import StagingApplication
from pytest_dryrun.steps import way_back
from pytest_dryrun.steps.rollback import smoke_requests

_STILL_MIGRATED = "the target is still the migrated database"


class StagingServing(StagingApplication):
    """The application of a staging host, and the way back to what it was."""

    def roll_back(self) -> None:
        """Bring the target back, where a NO-GO after applying is to end with that; what came of it is told."""
        if self.run.rolls_back:
            try:
                with ExitStack() as alone:
                    self.run.tell_way_back(*self._rolled_back(alone))
            except BaseException as error:
                self._tell_interrupted(type(error).__name__)
                raise

    def _tell_interrupted(self, by: str) -> None:
        """Tell where the target is left; before the databases change names it is what it was, as is the way back."""
        if self.run.parts.get("rolled_back"):
            restart = self.target.restart_after_rollback
            left = f"Restart it ({restart}) and try it." if restart else "Try it."
            said = [f"The rows are back. After that {by} broke it off: the application may not be on them. {left}"]
            self.run.tell_way_back("interrupted", said)
        elif self.run.changes_names:
            name = self.run.database().conninfo.dbname
            unknown = way_back.unknown(name, f"{by} broke it off while the databases changed names.")
            self.run.tell_way_back("unknown", str(unknown).splitlines())

    def _rolled_back(self, alone: ExitStack) -> tuple[str, list[str]]:
        try:
            with self.progress("Rolling the target back"):
                alone.enter_context(self.run.replacing())
                done = self.run.bring_back()
        except way_back.Unknown as error:
            return "unknown", str(error).splitlines()
        except (DryRunError, psycopg.Error) as error:
            lines = str(error).strip().splitlines()
            return "failed", lines if isinstance(error, DryRunError) else [f"{lines[0]} ({_STILL_MIGRATED})"]
        said = [done.told()]
        with self.progress("Trying the rolled-back application"):
            problems = self._works_again(said)
        return "incomplete" if problems else "done", [*said, *problems]

    def _works_again(self, said: list[str]) -> list[str]:
        """Restart the application and try it, where nobody else has come; gives what is wrong, adds what was seen."""
        try:
            self.run.hold_again()
        except (DryRunError, psycopg.Error) as error:
            return str(error).strip().splitlines()
        problems: list[str] = []
        with ExitStack() as noted:
            try:
                noted.enter_context(self.run.journal().writing("restarting and trying the rolled-back application"))
            except CommandFailed as error:  # no reason to leave the application without a restart
                problems.append(error.what)
            return [*problems, *self._restarted(said)]

    def _restarted(self, said: list[str]) -> list[str]:
        try:
            if restart := self.target.restart_after_rollback:
                key = "rollback.restart" if self.target.rollback.restart else "api.restart"
                means = "The rows are back, the application may not be on them."
                self._application.restart(restart, key, means=means)
                said.append(f"Restarted: {restart}")
            if self.target.api.configured:
                said += self._answers()
            if self.target.smoke.command:
                self._smoke(self._environment())
                said.append("The smoke command passed.")
        except (DryRunError, psycopg.Error) as error:
            return str(error).strip().splitlines()
        return []

    def _answers(self) -> list[str]:
        """What the application answers on the rolled-back database; raises DryRunError where it does not work."""
        with self._start_api(self.run.database().conninfo).client() as client:
            if problem := self._application.unhealthy(client):
                raise TargetUnusable(
                    f"The API is not healthy on the rolled-back database: {problem}.",
                    "The rows are back, the application is not.",
                    "Look at its log, and restart it.",
                )
            outcome = smoke_requests(client, [self.target.api.health, *self.target.performance.requests], None)
        if outcome.problems:
            raise TargetUnusable(
                f"The API does not answer as it should: {'; '.join(outcome.problems)}.",
                "The rows are back, the application does not work on them.",
                "Look at its log.",
            )
        if not self.reaches_target():
            raise TargetUnusable(
                "The API is healthy, and nobody but this run uses the rolled-back database.",
                "It may still serve another one.",
                "Restart it; [rollback] restart names the command.",
            )
        settled = self._application.settled(self.processes_before())
        if settled.missing:
            raise TargetUnusable(
                f"The application does not keep running on the rolled-back database: {'; '.join(settled.missing)}.",
                "The rows are back, the application may not stay.",
                "Look at its log.",
            )
        return [*outcome.answers, *map(str, settled.processes)]
