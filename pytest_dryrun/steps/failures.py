"""Why the pending migrations did not apply, which rows were in the way, and what the failed file left."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_dryrun.migrations import Deployment, Migrations, Status
from pytest_dryrun.model.errors import DryRunError, MigrationFailed
from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.rehearsal.judge.outside import refused
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.rehearsal.judge.violations import VIOLATIONS, violations
from pytest_dryrun.steps.leftovers import Reached, Start, partial


def failure_finding(error: MigrationFailed) -> Finding:
    """A migration that did not apply, as a finding."""
    evidence = {"sqlstate": error.sqlstate, "statement": error.statement[:2000]}
    # Where a command failed, how far it came is all that anybody knows.
    text = " ".join(filter(None, (error.what, error.means if error.migration is None else "", error.next)))
    return Finding("statement-failed", Severity.BLOCKER, text, error.migration, error.line, evidence=evidence)


def failures(error: MigrationFailed | None, scene: Scene) -> tuple[Finding, ...]:
    """Why the migrations did not apply, and which rows were in the way."""
    if error is None:
        return ()
    found = [refused(error) or failure_finding(error)]
    if error.sqlstate in VIOLATIONS:
        found += violations(
            scene.copy,
            error.statement,
            sqlstate=error.sqlstate,
            message=error.what,
            migration=error.migration,
            line=error.line,
        )
    return tuple(found)


def unapplied(deployment: Deployment | None, pending: Sequence[Migration]) -> tuple[Finding, ...]:
    """A deployment that ended well without having applied everything: a rehearsal of nothing proves nothing."""
    missing = [item.name for item in pending if deployment is not None and item.name not in deployment.applied]
    if not missing:
        return ()
    text = (
        f"The deployment on the copy ended without an error, but {', '.join(missing)} is not applied there. "
        "It must apply every pending migration to the database that DATABASE_URL names."
    )
    return (Finding("partially-applied", Severity.BLOCKER, text, missing[0], evidence={"not_applied": missing}),)


def left_behind(
    start: Start, error: MigrationFailed, before: Status, migrations: Migrations, found: Reached, copy: Conninfo
) -> tuple[Finding, ...]:
    """What the failed file itself left on the copy, beside one that was brought to the file before it."""
    try:
        with connect(copy) as connection:
            applied = migrations.status(connection).applied
    except DryRunError:  # it broke the history itself, which the difference shows
        applied = before.applied
    good = [name for name in applied if name not in before.applied]
    return partial(start, good, found, migration=error.migration, history=migrations.history())
