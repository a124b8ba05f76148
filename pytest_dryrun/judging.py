"""From pytest's three phases of one check to its record; pytest's own outcome decides nothing here."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from pytest_dryrun.model.errors import Blocked, DryRunError
from pytest_dryrun.model.redaction import Redactor
from pytest_dryrun.model.values import CheckRecord, Outcome, Severity
from pytest_dryrun.recording import NotApplicable, Record, Undecided, Unmet


@dataclass(slots=True)
class Phases:
    """What has been seen of one check so far."""

    record: Record | None = None
    outcome: Outcome = Outcome.NOT_RUN
    reason: str = "its setup ran, its test did not"
    duration_ms: float = 0.0
    blocked_by: tuple[str, ...] = ()
    own_reason: str | None = None

    def see(self, call: pytest.CallInfo[None], *, owner: str | None) -> str | None:
        """Take one phase; returns the text to print instead of a traceback, where that says it better.

        `owner` is the check that met this very error first, if it was another one.
        """
        if call.when != "teardown":
            self.duration_ms += call.duration * 1000
        if call.excinfo is None:
            # A subtest that failed was seen before as a call of its own; the test's own end does not undo it.
            if call.when == "call" and self.outcome is Outcome.NOT_RUN:
                self.outcome, self.reason = Outcome.PASSED, ""
            return None
        error = call.excinfo.value
        outcome, reason = verdict(error, owner=owner)
        own = _own_reason(error, owner)
        if call.when == "teardown":
            outcome, reason, own = Outcome.BROKEN, f"cleaning up failed: {reason}", None
        if self.outcome not in {Outcome.FAILED, Outcome.BROKEN}:
            self.outcome, self.reason, self.own_reason = outcome, reason, own
            self.blocked_by = _blockers(error, owner) if outcome is Outcome.BLOCKED else ()
        plain = isinstance(error, (DryRunError, Blocked)) or (self.record is not None and bool(self.record.blockers()))
        return reason if plain else None

    def settle(self) -> None:
        """Let the findings speak: an open blocker fails a check that says nothing worse, a waived one waives it."""
        if self.record is None or self.outcome not in {Outcome.PASSED, Outcome.WAIVED, Outcome.NOT_APPLICABLE}:
            return
        blockers = self.record.blockers()
        waived = [item for item in self.record.findings if item.waived and item.severity is Severity.BLOCKER]
        if unknown := self.record.unknown():
            self.outcome, self.reason, self.own_reason = Outcome.BLOCKED, str(Undecided(unknown)), ""
        elif blockers:
            reason = "\n".join(finding.message for finding in blockers)
            self.outcome, self.reason, self.own_reason = Outcome.FAILED, reason, ""
        elif waived and self.outcome is Outcome.PASSED:
            self.outcome = Outcome.WAIVED
            self.reason = "; ".join(f"{item.rule} waived: {item.evidence['waiver']}" for item in waived)
            self.own_reason = None

    def finished(self, slug: str) -> CheckRecord:
        """The record of the check after its last phase."""
        self.settle()
        facts, findings = (self.record.facts, self.record.findings) if self.record else ([], [])
        return CheckRecord(
            slug,
            self.outcome,
            self.reason,
            round(self.duration_ms, 3),
            tuple(facts),
            tuple(findings),
            self.blocked_by,
            self.own_reason,
        )


def verdict(error: BaseException, *, owner: str | None) -> tuple[Outcome, str]:
    """What an exception says of its check: untrue claims and a failing world are red, anything else broke the check."""
    if isinstance(error, NotApplicable):
        return Outcome.NOT_APPLICABLE, error.reason
    if isinstance(error, pytest.skip.Exception):
        return Outcome.SKIPPED, str(error.msg)
    if isinstance(error, Blocked):
        return Outcome.BLOCKED, str(error)
    if owner is not None:
        return Outcome.BLOCKED, str(Blocked(_first(error), (owner,)))
    if isinstance(error, (AssertionError, DryRunError, pytest.fail.Exception)):
        return Outcome.FAILED, _all(error) or "an assertion failed without a message"
    return Outcome.BROKEN, f"{type(error).__name__}: {_all(error)}"


def _blockers(error: BaseException, owner: str | None) -> tuple[str, ...]:
    if isinstance(error, Blocked):
        return error.by
    return (owner,) if owner is not None else ()


def _own_reason(error: BaseException, owner: str | None) -> str | None:
    """The reason without the names of checks and the messages of findings; None where it holds neither."""
    if isinstance(error, Undecided):
        return ""
    if isinstance(error, Blocked):
        return error.why
    if owner is not None:
        return _first(error)
    return "\n".join(_notes(error)) if isinstance(error, Unmet) else None


def _all(error: BaseException) -> str:
    """What an error says, and what was added to it on its way."""
    return "\n".join([str(error), *_notes(error)])


def _notes(error: BaseException) -> tuple[str, ...]:
    return tuple(getattr(error, "__notes__", ()))


def _first(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def redacted(report: pytest.TestReport, redactor: Redactor) -> pytest.TestReport:
    """The report without any known secret in its traceback, its captured output or its properties."""
    report.sections = [(redactor.text(title), redactor.text(text)) for title, text in report.sections]
    report.user_properties = [(redactor.text(str(key)), redactor.json(value)) for key, value in report.user_properties]
    if isinstance(report.longrepr, tuple):
        path, line, text = report.longrepr
        report.longrepr = (path, line, redactor.text(text))
    elif report.longrepr is not None:
        text = str(report.longrepr)
        if redactor.text(text) != text or isinstance(report.longrepr, str):
            report.longrepr = redactor.text(text)
    return report
