"""What the tests came to is gathered the same way from this process and from another."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from itertools import permutations

import pytest

from pytest_dryrun.ledger import LONGEST_REASON, Ledger, message, new_run_id, worse
from pytest_dryrun.model.errors import ConfigurationError, MigrationFailed
from pytest_dryrun.model.redaction import MASK, Redactor
from pytest_dryrun.model.values import Change, CheckRecord, Fact, Finding, Outcome, Severity, TableComparison, as_json

RECORD = CheckRecord(
    "rows-intact",
    Outcome.FAILED,
    "2 rows are gone",
    12.5,
    (Fact("Rows", [1, None, {"a": True}], "count"),),
    (Finding("rows-lost", Severity.BLOCKER, "gone", "m", 3, 't."x"', {"keys": ["1"]}, waived=False),),
)


def test_a_record_survives_the_way_from_a_worker():
    """Nothing is lost and nothing changes its type."""
    ledger = Ledger("local", "run")
    ledger.receive(message(RECORD, {"tables": [TableComparison("t", 1, 2, Change.ROWS_ADDED)]}, Redactor()))
    assert RECORD == ledger.records["rows-intact"]
    assert ledger.parts["tables"][0]["change"] == "rows-added"


def test_a_second_attempt_does_not_undo_a_failure():
    """A rerun that passed leaves the first failure standing, in whatever order they arrive."""
    passed = CheckRecord("rows-intact", Outcome.PASSED)
    for order in permutations([RECORD, passed]):
        ledger = Ledger("local", "run")
        for record in order:
            ledger.receive(message(record, {}, Redactor()))
        assert ledger.records["rows-intact"].outcome is Outcome.FAILED
        assert ledger.records["rows-intact"].reason == "2 rows are gone"


@pytest.mark.parametrize("outcome", [item for item in Outcome if item is not Outcome.PASSED])
def test_nothing_is_worse_than_it_was_by_passing(outcome):
    """Passed never replaces another outcome, and a reason is always there."""
    found = worse(CheckRecord("x", outcome), CheckRecord("x", Outcome.PASSED))
    assert found.outcome is outcome
    assert found.reason


def test_the_same_outcome_twice_is_the_later_record():
    """Two passes are a pass, the second's facts count."""
    second = CheckRecord("x", Outcome.PASSED, facts=(Fact("n", 2),))
    assert second == worse(CheckRecord("x", Outcome.PASSED), second)
    assert second == worse(None, second)


def test_secrets_leave_and_our_own_words_stay():
    """A secret that looks like a number, or is called `failed`, breaks neither the JSON nor the outcome."""
    record = replace(RECORD, reason="failed with s3cret and 2000", facts=(Fact("Rows", 2000), Fact("s3cret", "x2000")))
    ledger = Ledger("local", "run")
    ledger.receive(
        message(record, {"notes": ["s3cret"]}, Redactor(["s3cret", "2000", "failed", "rows-lost", "blocker"]))
    )
    kept = ledger.records["rows-intact"]
    assert Outcome.FAILED is kept.outcome
    assert ("rows-lost", Severity.BLOCKER) == (kept.findings[0].rule, kept.findings[0].severity)
    assert f"{MASK} with {MASK} and {MASK}" == kept.reason
    assert (Fact("Rows", 2000), Fact(MASK, f"x{MASK}")) == kept.facts
    assert {"notes": [MASK]} == ledger.parts


def test_a_very_long_reason_is_cut_after_its_secrets_went():
    """Half a secret at the cut would be recognized by nobody."""
    text = "x" * (LONGEST_REASON - 3) + "s3cret"
    record = replace(RECORD, reason=text, own_reason=text)
    ledger = Ledger("local", "run")
    ledger.receive(message(record, {}, Redactor(["s3cret"])))
    kept = ledger.records["rows-intact"]
    assert "x" * (LONGEST_REASON - 3) + MASK[:3] == kept.reason == kept.own_reason


@pytest.mark.parametrize("outcome", [Outcome.PASSED, Outcome.WAIVED, Outcome.NOT_APPLICABLE])
def test_a_failure_that_pytest_saw_and_the_record_does_not_know_counts(outcome):
    """Somebody else's hook, or a subtest, failed the check."""
    ledger = Ledger("local", "run", red={"x", "unknown"})
    ledger.records["x"] = CheckRecord("x", outcome, own_reason="")
    ledger.contradict()
    assert (Outcome.FAILED, None) == (ledger.records["x"].outcome, ledger.records["x"].own_reason)
    assert "pytest reported a failure" in ledger.records["x"].reason


def test_a_failure_that_is_known_keeps_its_reason():
    """Nothing is said twice."""
    ledger = Ledger("local", "run", red={"rows-intact"})
    ledger.records["rows-intact"] = RECORD
    ledger.contradict()
    assert RECORD is ledger.records["rows-intact"]


def test_a_trouble_is_told_once():
    """The same trouble of many workers is one."""
    ledger = Ledger("local", "run")
    ledger.trouble("a worker was lost")
    ledger.trouble("a worker was lost")
    assert ["a worker was lost"] == ledger.troubles


def test_what_json_does_not_know_becomes_text():
    """A path or a moment in a fact does not break the run."""
    assert as_json(
        {
            "a": {
                1,
            },
            "b": (Severity.INFO,),
            3: object,
        }
    ) == {"a": "{1}", "b": ["info"], "3": str(object)}


def test_errors_survive_pickling_with_everything_they_carry():
    """Workers send exceptions to the controller."""
    error = MigrationFailed("a", "b", "c", migration="m", line=3, sqlstate="23505", statement="SELECT")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert ("a\nb\nc", "m", 3, "23505", "SELECT") == (
        str(again),
        again.migration,
        again.line,
        again.sqlstate,
        again.statement,
    )
    plain = pickle.loads(pickle.dumps(ConfigurationError("a", "b", "c")))  # noqa: S301
    assert "a\nb\nc" == str(plain)


def test_a_run_is_named_by_its_start_and_no_other_is_named_alike():
    """Backups, journals and databases are found again by it."""
    names = {new_run_id() for _ in range(20)}

    assert all(re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{4}", name) for name in names)
    assert len(names) > 15
