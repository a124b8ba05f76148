"""From pytest's phases to a record: pytest's own outcome decides nothing, and nothing turns red into green."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from pytest_dryrun.judging import Phases, redacted, verdict
from pytest_dryrun.model.errors import Blocked, DryRunError
from pytest_dryrun.model.redaction import MASK, Redactor
from pytest_dryrun.model.values import Fact, Finding, Outcome, Severity
from pytest_dryrun.recording import NotApplicable, Record, Undecided, Unmet
from pytest_dryrun.steps.target import too_new

BLOCKER = Finding("rows-lost", Severity.BLOCKER, "2 rows are gone")
WARNING = Finding("column-dropped", Severity.WARNING, "it was empty")


def phase(when: str, error: BaseException | None = None) -> SimpleNamespace:
    """One phase as pytest's CallInfo tells it."""
    excinfo = SimpleNamespace(value=error) if error is not None else None
    return SimpleNamespace(when=when, excinfo=excinfo, duration=0.5)


def seen(*phases: SimpleNamespace, record: Record | None = None, owner: str | None = None) -> Phases:
    """Phases after they were seen in this order."""
    state = Phases(record)
    for one in phases:
        state.see(one, owner=owner)
    return state


def plain() -> Record:
    """A record without waivers."""
    return Record(lambda finding: finding)


def test_a_test_that_ran_and_said_nothing_passed():
    """Setup and call count into the duration, teardown does not."""
    done = seen(phase("setup"), phase("call"), phase("teardown"), record=plain()).finished("x")
    assert (Outcome.PASSED, "", 1000.0) == (done.outcome, done.reason, done.duration_ms)


def test_a_check_without_a_record_fixture_can_pass_too():
    """Facts and findings are then empty."""
    assert Outcome.PASSED is seen(phase("setup"), phase("call")).finished("x").outcome


def test_a_check_whose_test_did_not_run_was_not_run():
    """`--setup-only` and `--setup-plan` pass nothing."""
    done = seen(phase("setup"), phase("teardown"), record=plain()).finished("x")
    assert (Outcome.NOT_RUN, "its setup ran, its test did not") == (done.outcome, done.reason)


@pytest.mark.parametrize(
    ("error", "owner", "expected"),
    [
        (AssertionError("one is not two"), None, (Outcome.FAILED, "one is not two")),
        (AssertionError(), None, (Outcome.FAILED, "an assertion failed without a message")),
        (DryRunError("a", "b", "c"), None, (Outcome.FAILED, "a\nb\nc")),
        (DryRunError("a", "b", "c"), "backup-created", (Outcome.BLOCKED, "blocked by backup-created: a")),
        (ValueError(), "backup-created", (Outcome.BLOCKED, "blocked by backup-created: ValueError")),
        (Blocked("y", ("x",)), "other", (Outcome.BLOCKED, "blocked by x: y")),
        (ZeroDivisionError("by zero"), None, (Outcome.BROKEN, "ZeroDivisionError: by zero")),
        (pytest.fail.Exception("no"), None, (Outcome.FAILED, "no")),
        (pytest.skip.Exception("later"), None, (Outcome.SKIPPED, "later")),
        (NotApplicable("there is no API"), None, (Outcome.NOT_APPLICABLE, "there is no API")),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_what_an_exception_says_of_its_check(error, owner, expected):
    """Untrue claims and a failing world are red, what another check met first blocks, anything else broke it."""
    assert expected == verdict(error, owner=owner)


@pytest.mark.parametrize(
    ("error", "owner", "expected"),
    [
        (DryRunError("a", "b", "c"), "backup-created", ("backup-created",)),
        (Blocked("not met", ("schema-diff", "indexes-valid")), "other", ("schema-diff", "indexes-valid")),
        (Blocked("another run is going on"), None, ()),
        (AssertionError("no"), None, ()),
    ],
    ids=["the check that met the error first", "the checks it names", "no check", "not blocked at all"],
)
def test_what_blocked_a_check_is_recorded_by_slug(error, owner, expected):
    """Nobody has to read it out of a text."""
    assert expected == seen(phase("setup", error), record=plain(), owner=owner).finished("x").blocked_by


@pytest.mark.parametrize(
    ("error", "owner", "expected"),
    [
        (Blocked("not touched: no room", ("x",), "1.1 x (failed)"), None, "not touched: no room"),
        (Blocked("another run is going on"), None, "another run is going on"),
        (DryRunError("no room: disk full", "b", "c"), "backup-space", "no room: disk full"),
        (Undecided("its rows are elsewhere"), None, ""),
        (Unmet("2 rows are gone"), None, ""),
        (AssertionError("blocked by nothing: it failed"), None, None),
    ],
    ids=["the checks it names", "no check", "the check that met the error", "unknown", "findings", "its own"],
)
def test_why_is_recorded_without_what_stands_elsewhere(error, owner, expected):
    """Names of checks and messages of findings are in the record already, and nobody cuts them off a text."""
    assert expected == seen(phase("setup", error), record=plain(), owner=owner).finished("x").own_reason


def test_what_was_added_to_findings_on_their_way_is_said_beside_them():
    """A note of Python's own is no finding."""
    error = Unmet("2 rows are gone")
    error.add_note("the copy was kept")
    done = seen(phase("call", error), record=plain()).finished("x")
    assert ("2 rows are gone\nthe copy was kept", "the copy was kept") == (done.reason, done.own_reason)


def test_a_cleanup_that_failed_says_all_of_it_itself():
    """What the check was blocked by before is not left over."""
    blocked = phase("setup", Blocked("no room", ("x",)))
    done = seen(blocked, phase("teardown", ValueError("stuck")), record=plain()).finished("x")
    assert ("cleaning up failed: ValueError: stuck", None) == (done.reason, done.own_reason)


def test_a_blocking_finding_fails_a_check_that_forgot_to():
    """Recording is enough: a check cannot pass over its own blocker."""
    record = plain()
    record.note([BLOCKER, WARNING, BLOCKER])
    done = seen(phase("setup"), phase("call"), record=record).finished("x")
    assert (Outcome.FAILED, "2 rows are gone", "") == (done.outcome, done.reason, done.own_reason)
    assert (BLOCKER, WARNING) == done.findings


def test_waived_blockers_make_a_check_waived_with_the_reason():
    """It did not pass, and it does not fail."""
    waived = Finding("rows-lost", Severity.BLOCKER, "gone", evidence={"waiver": "test data"}, waived=True)
    record = Record(lambda finding: waived if finding is BLOCKER else finding)
    record.judge([BLOCKER, WARNING])
    done = seen(phase("setup"), phase("call"), record=record).finished("x")
    assert (Outcome.WAIVED, "rows-lost waived: test data") == (done.outcome, done.reason)


def test_judging_ends_the_check_with_every_blocker():
    """The message names them all; the text replaces the traceback."""
    record = plain()
    record.fact("Rows", 3, "rows")
    with pytest.raises(Unmet, match="2 rows are gone") as caught:
        record.judge([WARNING, BLOCKER])
    state = Phases(record)
    assert "2 rows are gone" == state.see(phase("call", caught.value), owner=None)
    assert (Fact("Rows", 3, "rows"),) == state.finished("x").facts


def test_what_is_unknown_leaves_a_check_undetermined():
    """It is not untrue, so the check is blocked with the reason; where something else is red too, it fails."""
    unknown = Finding("not-verified", Severity.BLOCKER, "its rows are elsewhere")
    record = plain()
    with pytest.raises(Blocked, match="its rows are elsewhere"):
        record.judge([unknown])
    forgot = plain()
    forgot.note([unknown])
    done = seen(phase("setup"), phase("call"), record=forgot).finished("x")
    assert (Outcome.BLOCKED, "blocked: its rows are elsewhere", "") == (done.outcome, done.reason, done.own_reason)
    both = plain()
    with pytest.raises(Unmet):
        both.judge([unknown, BLOCKER])


def test_a_subtest_that_failed_stays_failed():
    """The test's own end does not undo it."""
    done = seen(phase("setup"), phase("call", AssertionError("one of three")), phase("call"), record=plain())
    assert (Outcome.FAILED, "one of three") == (done.finished("x").outcome, done.finished("x").reason)


def test_a_blocker_recorded_while_cleaning_up_counts():
    """Findings are looked at when everything is over."""
    record = plain()
    state = seen(phase("setup"), phase("call"), record=record)
    record.note([BLOCKER])
    assert Outcome.FAILED is state.finished("x").outcome


def test_a_blocker_is_not_talked_away_as_not_applicable():
    """First a blocking finding, then `not_applicable`: the finding stands."""
    record = plain()
    record.note([BLOCKER])
    state = seen(phase("setup"), phase("call", NotApplicable("no")), record=record)
    assert Outcome.FAILED is state.finished("x").outcome


def test_a_cleanup_that_fails_breaks_its_check():
    """Even one that had passed."""
    done = seen(phase("setup"), phase("call"), phase("teardown", DryRunError("left", "b", "c")), record=plain())
    assert (Outcome.BROKEN, "cleaning up failed: left\nb\nc") == (done.outcome, done.reason)


def test_a_cleanup_that_fails_does_not_hide_a_failure():
    """The first reason stands."""
    done = seen(phase("call", AssertionError("red")), phase("teardown", ValueError("x")), record=plain())
    assert (Outcome.FAILED, "red") == (done.outcome, done.reason)


def test_not_applicable_ends_the_check():
    """With the configuration's reason."""
    with pytest.raises(NotApplicable, match="no API is configured"):
        plain().not_applicable("no API is configured")


def test_an_error_of_ours_is_printed_as_its_three_lines():
    """Anything else keeps its traceback."""
    assert "a\nb\nc" == Phases().see(phase("setup", DryRunError("a", "b", "c")), owner=None)
    assert Phases().see(phase("call", ZeroDivisionError()), owner=None) is None


class Longrepr:
    """What pytest makes of a traceback: an object that prints itself."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


def test_what_is_added_to_an_error_on_its_way_is_told():
    """A command that could not be ended, for one."""
    error = DryRunError("a", "b", "c")
    error.add_note("It still runs.")
    assert (Outcome.FAILED, "a\nb\nc\nIt still runs.") == verdict(error, owner=None)


def report(longrepr: object = None) -> pytest.TestReport:
    """A report that may hold a secret anywhere."""
    said = [("Captured stdout call", "the password is hunter22")]
    properties = [("hunter22", {"url": "postgresql://app:hunter22@db"})]
    return pytest.TestReport(
        "a",
        ("a", 1, "a"),
        {},
        "failed",
        longrepr,
        "call",
        said,
        user_properties=properties,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    "longrepr",
    ["asked hunter22", Longrepr("E   asked hunter22"), ("a.py", 3, "Skipped: hunter22")],
    ids=["a text", "a traceback", "a skip"],
)
def test_no_report_holds_a_secret(longrepr):
    """Traceback, reason of a skip, captured output and properties: whatever other plugins may write to a file."""
    shown = redacted(report(longrepr), Redactor(["hunter22"]))

    assert "hunter22" not in repr((str(shown.longrepr), shown.longrepr, shown.sections, shown.user_properties))
    assert MASK in str(shown.longrepr)
    assert type(longrepr) in {type(shown.longrepr), Longrepr}


def test_a_traceback_without_a_secret_keeps_its_colours():
    """It stays the object that pytest prints in its own way; no traceback stays none."""
    traceback = Longrepr("E   assert 1 == 2")

    assert traceback is redacted(report(traceback), Redactor(["hunter22"])).longrepr
    assert redacted(report(), Redactor(["hunter22"])).longrepr is None


def test_a_server_that_came_later_is_warned_about_by_what_is_not_known():
    """From 14 to 18 nothing is said; 19 is a warning that names what was never measured on it."""
    assert [None] * 5 == [too_new(major) for major in range(14, 19)]
    found = too_new(19)
    assert found is not None
    assert ("version-untested", Severity.WARNING) == (found.rule, found.severity)
    assert found.message.startswith("PostgreSQL 19 is newer than what this release was tested with (14 to 18).")
    assert "added to the system catalogs are not compared" in found.message


def test_what_was_noted_already_is_not_noted_again():
    """The same finding from two judges stands once; one with other evidence, or waived, is another one."""
    record = plain()
    again = replace(BLOCKER, evidence={"rows": 2})
    record.note([BLOCKER, again])
    record.note([replace(BLOCKER), replace(again, evidence={"rows": 2}), replace(BLOCKER, waived=True)])
    assert [BLOCKER, again, replace(BLOCKER, waived=True)] == record.findings


def test_five_thousand_findings_are_noted_in_a_moment():
    """A migration that touches everything must not keep the page waiting: half a minute when each met each."""
    record = plain()
    many = [replace(BLOCKER, message=f"row {number} is gone", evidence={"row": number}) for number in range(5000)]
    began = time.perf_counter()
    record.note(many)
    record.note(many)
    assert time.perf_counter() - began < 2
    assert 5000 == len(record.findings)
