"""What a check says of itself: facts, findings, and that it does not apply."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NoReturn

from _pytest.outcomes import Skipped  # pytest.skip.Exception, by a name that can be subclassed

from pytest_dryrun.model.errors import Blocked
from pytest_dryrun.model.rules import UNDETERMINED
from pytest_dryrun.model.values import Fact, Finding, Json, Severity


class Unmet(AssertionError):
    """The claim of a check is untrue; the text names every blocking finding."""


class Undecided(Blocked):
    """Whether the claim of a check is true is unknown; the text names every finding that says so."""


class NotApplicable(Skipped):
    """The configuration itself says that this check does not apply to the target."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not applicable: {reason}", _use_item_location=True)
        self.reason = reason


class Record:
    """The `record` fixture: one check's facts and findings, in the order in which they were found."""

    def __init__(self, waive: Callable[[Finding], Finding]) -> None:
        self._waive = waive
        self.facts: list[Fact] = []
        self.findings: list[Finding] = []
        # Findings hold mappings and cannot be hashed: only those with the same text are compared as a whole.
        self._alike: dict[tuple[str, str], list[Finding]] = defaultdict(list)

    def fact(self, name: str, value: Json, unit: str = "") -> None:
        """Record something measured; `unit` is `bytes`, `ms`, `s`, `percent` or empty."""
        self.facts.append(Fact(name, value, unit))

    def note(self, findings: Iterable[Finding]) -> list[Finding]:
        """Record findings and go on; a blocker fails the check at its end. Returns them with waivers applied."""
        noted = [self._waive(finding) for finding in findings]
        for finding in noted:
            alike = self._alike[finding.rule, finding.message]
            if finding not in alike:
                alike.append(finding)
                self.findings.append(finding)
        return noted

    def judge(self, findings: Iterable[Finding]) -> None:
        """Record findings and end the check here if any of them blocks.

        Where all that blocks is something unknown, the claim is not untrue: the check is blocked.
        """
        self.note(findings)
        if unknown := self.unknown():
            raise Undecided(unknown)
        if blockers := self.blockers():
            raise Unmet("\n".join(finding.message for finding in blockers))

    def unknown(self) -> str:
        """What keeps the check from being decided, where nothing that is known fails it; else empty."""
        blockers = self.blockers()
        if any(finding.rule not in UNDETERMINED for finding in blockers):
            return ""
        return "\n".join(finding.message for finding in blockers)

    def blockers(self) -> list[Finding]:
        """The findings so far that fail this check: blocking and not waived."""
        return [finding for finding in self.findings if finding.severity is Severity.BLOCKER and not finding.waived]

    def not_applicable(self, reason: str) -> NoReturn:
        """End the check: the configuration says that it does not apply, for this reason."""
        raise NotApplicable(reason)
