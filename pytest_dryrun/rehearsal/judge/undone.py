"""Work that a migration undid itself: it counts as applied, and is not there. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pytest_dryrun.model.errors import MigrationFailed
from pytest_dryrun.model.scripts import Location, Migration
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.rehearsal.observe.observation import Observed

_ROLLBACK = re.compile(r"\s*(ROLLBACK|ABORT)\b(?!\s+PREPARED\b)(?!.*\bTO\b)", re.IGNORECASE)
_TO = re.compile(
    r"""\s*ROLLBACK\s+(?:(?:WORK|TRANSACTION)\s+)?TO\s+(?:SAVEPOINT\s+)?(?P<name>\S+)""", re.IGNORECASE | re.VERBOSE
)
_SAVEPOINT = re.compile(r"\s*SAVEPOINT\s+(\S+)", re.IGNORECASE)


def applied_only(observed: Sequence[Observed], error: MigrationFailed | None) -> tuple[Observed, ...]:
    """Leave out what a migration that failed did, and whatever the server undid together with it."""
    if error is None:
        return tuple(observed)
    if error.migration is None:
        return ()
    failed = {one.transaction for one in observed if one.run.migration in ("", error.migration)}
    return tuple(one for one in observed if one.transaction not in failed)


def undone(observed: Sequence[Observed], migrations: Sequence[Migration]) -> tuple[Finding, ...]:
    """Find transactions that did work and were rolled back although nothing failed; judge only what applied.

    Work that the same run did again in a transaction that was committed is there. A ROLLBACK TO a savepoint leaves the
    rest of its transaction, so it is a warning.
    """
    kept = {_text(one) for one in observed if not one.undone}
    by_transaction: dict[tuple[str, str], list[Observed]] = {}
    for one in observed:
        if one.undone and _text(one) not in kept:
            by_transaction.setdefault((one.run.migration, one.transaction), []).append(one)
    ends = {one.transaction: one for one in observed if _ROLLBACK.match(one.run.sql)}
    whole = (_finding(lost, ends.get(key[1]), migrations) for key, lost in by_transaction.items())
    return (*whole, *_to_savepoints(observed))


def _finding(lost: Sequence[Observed], end: Observed | None, migrations: Sequence[Migration]) -> Finding:
    first = lost[0].run
    migration = first.migration or (migrations[0].name if len(migrations) == 1 else "")
    line = (end or lost[0]).run.line
    where = Location(migration or None, line or None, first.sql)
    who = "a ROLLBACK in the file undid" if end is not None else "a transaction that was rolled back had done"
    return Finding(
        "rolled-back-itself",
        Severity.BLOCKER,
        f"{where.head}: {who} {_said(lost)}. Nothing failed, so the migration is recorded as applied, and that is not"
        " there. Write COMMIT where it says ROLLBACK, or take the statements out.",
        migration=migration or None,
        line=line or None,
        evidence={"undone": [one.run.sql[:200] for one in lost[:20]]},
    )


def _to_savepoints(observed: Sequence[Observed]) -> Iterator[Finding]:
    since: dict[str, int] = {}
    transaction = ""
    for position, one in enumerate(observed):
        if one.transaction != transaction:
            since, transaction = {}, one.transaction
        if made := _SAVEPOINT.match(one.run.sql):
            since[made[1].lower()] = position
        back = _TO.match(one.run.sql)
        if back is None or back["name"].lower() not in since:
            continue
        lost = [each for each in observed[since[back["name"].lower()] : position] if each.commands or each.rewrites]
        if lost:
            where = Location(one.run.migration or None, one.run.line or None, one.run.sql)
            yield Finding(
                "rolled-back-itself",
                Severity.WARNING,
                f"{where.head}: ROLLBACK TO undid {_said(lost)}. Take both out, or RELEASE the savepoint.",
                migration=where.migration,
                line=where.line,
                evidence={"undone": [each.run.sql[:200] for each in lost[:20]]},
            )


def _said(lost: Sequence[Observed]) -> str:
    more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
    return "; ".join(_text(one)[:80] for one in lost[:3]) + more


def _text(one: Observed) -> str:
    return " ".join(one.run.sql.split())
