"""The way back, walked on the migrated copy: the same steps that the target would need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

from pytest_dryrun.model.values import Finding
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.probes import api
from pytest_dryrun.steps.proof import Restored

# What `proof.restore` does, in the words of somebody who would do it to the target.
STEPS = (
    "end the sessions and drop the migrated database",
    "create it again with its owner, encoding, collation and settings",
    "restore the backup (pg_restore --exit-on-error)",
)
# What `way_back.walk` does, as `way_back.bring_back` would.
BESIDE_STEPS = (
    "create a database beside the migrated one, with its owner, encoding, collation and settings",
    "restore the backup into it (pg_restore --exit-on-error) and compare every row and the schema",
    "end the sessions and let the two change names, in one transaction",
    "drop the migrated database",
)


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A migrated database that was replaced by the backup; findings tell where it differs from the snapshot.

    `restored_as` is who of the target's own roles could do the same to it; empty where that makes no difference.
    """

    conninfo: Conninfo
    duration_ms: float
    steps: tuple[str, ...]
    tables: int
    rows: int
    findings: tuple[Finding, ...]
    restored_as: str = ""

    @classmethod
    def of(cls, restored: Restored, steps: tuple[str, ...] = STEPS, *, restored_as: str = "") -> RolledBack:
        """The restore that took the migrated copy's place."""
        took_ms, rows = restored.duration_ms, restored.rows
        return cls(restored.conninfo, took_ms, steps, restored.tables, rows, restored.findings, restored_as)


@dataclass(frozen=True, slots=True)
class SmokeOutcome:
    """What the rolled-back application answered."""

    answers: tuple[str, ...]
    problems: tuple[str, ...]


def smoke_requests(client: httpx.Client, paths: Sequence[str], command: Callable[[], object] | None) -> SmokeOutcome:
    """Every timed request once, then the smoke command; a command that fails raises CommandFailed with its output."""
    answers = [(path, api.get(client, path, timeout_s=10)) for path in paths]
    problems = tuple(f"{path}: {answer.problem}" for path, answer in answers if answer.problem)
    if command is not None and not problems:
        command()
    return SmokeOutcome(
        tuple(f"{path}: {answer.status} in {answer.duration_ms:.0f} ms" for path, answer in answers), problems
    )
