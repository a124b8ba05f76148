"""Waivers: which findings are excused, and which waivers excuse nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from pytest_dryrun.model.rules import RETIRED
from pytest_dryrun.model.values import Finding, Severity


@dataclass(frozen=True, slots=True)
class Waiver:
    """One waiver, wherever it was written.

    It names a `migration`, or an `object` as the finding names it, or both. `line` and `statement` are those below it
    for one inside a migration, else None and empty.
    """

    rule: str
    migration: str | None
    reason: str
    source: str
    line: int | None = None
    statement: str = ""
    approver: str = ""
    expires: date | None = None
    object: str | None = None

    @property
    def about(self) -> str:
        """What it is for, in words."""
        return " and ".join(filter(None, (self.migration, self.object)))


@dataclass(slots=True)
class Waivers:
    """The run's waivers; remembers which of them excused something."""

    grants: Sequence[Waiver]
    today: date
    used: dict[int, tuple[object, ...]] = field(default_factory=dict)

    def apply(self, finding: Finding) -> Finding:
        """The finding, waived where a valid waiver names its rule, and its migration, object or statement.

        A waiver excuses one finding, wherever that is met again, and what cascaded from the same statement; for a
        second one it takes a second waiver.
        """
        same = (finding.rule, finding.migration, finding.line, finding.object or finding.table)
        fitting = [index for index, grant in enumerate(self.grants) if _matches(grant, finding)]
        if not finding.cascaded:
            fitting = [index for index in fitting if self.used.get(index, same) == same]
            fitting.sort(key=lambda index: self.used.get(index) != same)
        for index in fitting:
            grant = self.grants[index]
            if not finding.cascaded:
                self.used[index] = same
            if grant.reason.strip() and not self._expired(grant):
                waiver = {"waiver": grant.reason, "approver": grant.approver, "waived_in": grant.source}
                return replace(finding, waived=True, evidence={**finding.evidence, **waiver})
        return finding

    def invalid(self) -> tuple[Finding, ...]:
        """Waivers that cannot excuse anything: no reason, expired, or for a rule that no longer exists (a notice)."""
        found = []
        for grant in self.grants:
            if grant.rule in RETIRED:
                what = f"names a rule that no longer exists: {RETIRED[grant.rule]}. Remove it."
                found.append(_about(grant, "waiver-retired", Severity.INFO, what))
                continue
            if not grant.reason.strip():
                what = "gives no reason, so it excuses nothing: write why."
                found.append(_about(grant, "waiver-without-reason", Severity.BLOCKER, what))
            if self._expired(grant):
                what = f"expired on {grant.expires}: renew or remove it."
                found.append(_about(grant, "waiver-expired", Severity.BLOCKER, what))
        return tuple(found)

    def unused(self, rules_seen: Iterable[str] = ()) -> tuple[Finding, ...]:
        """Waivers that matched no finding of this run."""
        seen = sorted(set(rules_seen))
        hint = f" (this run's findings: {', '.join(seen)})" if seen else ""
        return tuple(
            _about(grant, "waiver-unused", Severity.WARNING, f"matched nothing in this run{hint}: remove it.")
            for index, grant in enumerate(self.grants)
            if index not in self.used and grant.rule not in RETIRED
        )

    def _expired(self, grant: Waiver) -> bool:
        return grant.expires is not None and grant.expires < self.today


def _matches(grant: Waiver, finding: Finding) -> bool:
    if finding.severity is not Severity.BLOCKER or grant.rule != finding.rule:
        return False
    if grant.migration is not None and grant.migration != finding.migration:
        return False
    if grant.object is not None and grant.object not in (finding.object, finding.table):
        return False
    if grant.line is None:
        return True
    return grant.line == finding.line and (finding.cascaded or _names(grant.statement, finding.table))


def _names(statement: str, table: str | None) -> bool:
    """Whether a statement names the table of a finding: what a function reaches unnamed is not waived with it."""
    if table is None:
        return True
    bare = (
        table.rpartition('."')[2].removesuffix('"').replace('""', '"')
        if table.endswith('"')
        else table.rpartition(".")[2]
    )
    return re.search(rf"(?<![\w$]){re.escape(bare)}(?![\w$])", statement.replace('""', '"'), re.IGNORECASE) is not None


def _about(grant: Waiver, rule: str, severity: Severity, what: str) -> Finding:
    text = f"The waiver of {grant.rule} for {grant.about} in {grant.source} {what}"
    return Finding(rule, severity, text, migration=grant.migration, line=grant.line, object=grant.object)
