"""Sequences that a migration set back: the next values they hand out are taken already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.sql.names import bare, parts
from pytest_dryrun.sql.places import find

# Where a sequence stands (None before its first value), and by how much it steps.
Positions = Mapping[str, tuple[int | None, int]]


def positions(connection: psycopg.Connection[Any]) -> Positions:
    """Read where every sequence stands, by its quoted name; sequences are not part of any snapshot."""
    rows = connection.execute(
        "SELECT format('%I.%I', schemaname, sequencename), last_value, increment_by FROM pg_sequences"
    )
    return {name: (last, step) for name, last, step in rows}


def set_back(before: Positions, after: Positions, migrations: Sequence[Migration] = ()) -> tuple[Finding, ...]:
    """A blocker for each sequence that stands short of where it stood; one that is gone is the catalog's business."""
    return tuple(
        _finding(name, before[name][0], after[name][0], migrations)
        for name in sorted(before.keys() & after.keys())
        if _short(before[name], after[name])
    )


def _short(old: tuple[int | None, int], new: tuple[int | None, int]) -> bool:
    if old[0] is None:
        return False
    return new[0] is None or (new[0] - old[0]) * (1 if old[1] > 0 else -1) < 0


def _finding(name: str, old: int | None, new: int | None, migrations: Sequence[Migration]) -> Finding:
    place = find(migrations, [bare(parts(name)[-1])], ["setval", "restart"])
    stands = "at its beginning" if new is None else f"at {new:,}"
    text = f"Sequence {name} stood at {old:,} and stands {stands} now: it would hand out numbers that are taken."
    remedy = " Leave it alone, or set it forward."
    return Finding("sequence-reset", Severity.BLOCKER, text + remedy, place.migration, place.line, name)
