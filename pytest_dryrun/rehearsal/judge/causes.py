"""What breaks the running release and is seen without trying it."""

from __future__ import annotations

from pytest_dryrun.model.values import Finding
from pytest_dryrun.rehearsal.judge.key_actions import cascades_added
from pytest_dryrun.rehearsal.judge.names_gone import names_gone
from pytest_dryrun.rehearsal.judge.required import required_columns
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.rehearsal.judge.untried import untried_constraints


def causes(scene: Scene) -> tuple[Finding, ...]:
    """Names that are gone, columns that must be given, cascades, and constraints that nobody could try."""
    return (*names_gone(scene), *required_columns(scene), *cascades_added(scene), *untried_constraints(scene))
