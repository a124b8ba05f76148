"""What a migration did to the history of the migrations: read again on the copy, as the next deployment will."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_dryrun.migrations import History, Status
from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.model.values import Finding, Severity


def history_changed(
    before: Status, after: Status, migrations: Sequence[Migration], history: History
) -> tuple[Finding, ...]:
    """Entries that are gone or no longer what they were, although every migration was applied without an error."""
    expected = (*before.applied, *(each.name for each in migrations))
    gone = [name for name in expected if name not in after.applied]
    again = [each.name for each in after.pending]
    known = {(finding.rule, finding.migration) for finding in before.findings}
    new = [
        finding.message
        for finding in after.findings
        if finding.severity is Severity.BLOCKER and (finding.rule, finding.migration) not in known
    ]
    told = [
        f"no longer recorded as applied: {', '.join(gone)}" if gone else "",
        f"pending again, so the next deployment runs them once more: {', '.join(again)}" if again else "",
        *new,
    ]
    if not any(told):
        return ()
    migration, line = _cause(migrations, history)
    text = (
        f"On the copy the history of the migrations is not what it has to be: {'; '.join(filter(None, told))}."
        " Leave the history to the migration tool; what is to go from it goes by the tool's own commands."
    )
    evidence = {"gone": gone, "pending": again}
    return (Finding("history-changed", Severity.BLOCKER, text, migration, line, evidence=evidence),)


def _cause(migrations: Sequence[Migration], history: History) -> tuple[str | None, int | None]:
    """The first pending statement that names the history; the last migration where none does."""
    names = {table for _, table in history}
    for each in migrations:
        for statement in each.statements:
            if any(name in statement.sql for name in names):
                return each.name, statement.line
    return (migrations[-1].name, None) if migrations else (None, None)
