"""What would be felt outside a copy as soon as it ran there: found before, and then nothing is run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from pytest_dryrun.model.errors import MigrationFailed
from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.model.values import Finding
from pytest_dryrun.rehearsal.judge.outside_words import foreseen
from pytest_dryrun.steps.watching import Watched

# Functions that a migration may call and that may hold what a rehearsal must not run.
_BODIES = r"""
SELECT p.proname, string_agg(p.prosrc, ';') FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE l.lanname IN ('plpgsql', 'sql') AND p.oid >= 16384 AND p.prosrc ~* '\mcopy\M' GROUP BY 1
"""


def stopped_before(
    template: psycopg.Connection[Any], pending: Sequence[Migration], *, shared: bool
) -> tuple[Finding, ...]:
    """Find what keeps these files from being run on a copy at all; `shared` where its server is the target's own."""
    return foreseen(pending, dict(template.execute(_BODIES).fetchall()), shared=shared)


def not_run(stopped: Sequence[Finding]) -> Watched | None:
    """A rehearsal in which nothing ran, because of these findings; None where there are none."""
    if not stopped:
        return None
    first = stopped[0]
    error = MigrationFailed(first.message, "", "", migration=first.migration, line=first.line)
    return Watched(None, error, 0.0, (), {}, (), ())
