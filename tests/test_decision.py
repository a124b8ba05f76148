"""The decision: GO if and only if every required criterion is met, whatever else happened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dryrun.model.decision import ALWAYS_REQUIRED, TITLES, decide, gate, holds
from pytest_dryrun.model.values import CheckRecord, CheckSpec, Outcome

OUTCOMES = st.sampled_from(list(Outcome))
GOOD = {Outcome.PASSED, Outcome.WAIVED, Outcome.NOT_APPLICABLE}


def spec(slug: str, criterion: str, *, section: int = 1, position: int = 1, blocking: bool = True) -> CheckSpec:
    return CheckSpec(
        slug, section, position, "Section", f"Title of {slug}", "", criterion, blocking, "checks/x.py", "test"
    )


def one_per_criterion() -> list[CheckSpec]:
    return [spec(f"check-{index}", key, position=index) for index, key in enumerate(TITLES, start=1)]


def all_passed(specs: list[CheckSpec]) -> dict[str, CheckRecord]:
    return {item.slug: CheckRecord(item.slug, Outcome.PASSED) for item in specs}


def test_everything_passed_is_go():
    """A checklist in which every criterion has a passed check and nothing else is a GO."""
    specs = one_per_criterion()
    decision = decide(specs, all_passed(specs))
    assert decision.go
    assert [True] * len(TITLES) == [row.met for row in decision.criteria]


@pytest.mark.parametrize("outcome", [item for item in Outcome if item not in GOOD])
def test_one_blocking_check_that_does_not_hold_is_no_go(outcome):
    """Any outcome but passed, waived and not applicable of any blocking check denies the GO."""
    for index in range(len(TITLES)):
        specs = one_per_criterion()
        extra = spec("extra", specs[index].criterion, position=99)
        records = all_passed(specs) | {"extra": CheckRecord("extra", outcome, "why it is so")}
        decision = decide([*specs, extra], records)
        assert not decision.go
        assert "why it is so" in decision.criteria[index].reasons[0] or outcome is Outcome.NOT_RUN


def test_a_check_without_a_record_was_not_run():
    """What the run never saw counts against it, by number and slug."""
    specs = one_per_criterion()
    records = all_passed(specs)
    del records["check-2"]
    decision = decide(specs, records)
    assert not decision.go
    assert decision.criteria[1].reasons == ("1.2 check-2 was not run",)
    assert decision.criteria[1].met is None


def test_a_blocked_check_says_once_what_blocked_it():
    """Its reason already begins with the word."""
    specs = one_per_criterion()
    blocked = CheckRecord("check-2", Outcome.BLOCKED, "blocked by 1.1 check-1 (failed): the target was not touched")
    decision = decide(specs, all_passed(specs) | {"check-2": blocked})
    assert ("1.2 check-2 blocked by 1.1 check-1 (failed): the target was not touched",) == decision.criteria[1].reasons


def test_an_advisory_check_decides_nothing():
    """A red check that is not blocking leaves the GO alone."""
    specs = one_per_criterion()
    extra = spec("extra", "latency", position=99, blocking=False)
    assert decide([*specs, extra], all_passed(specs) | {"extra": CheckRecord("extra", Outcome.FAILED, "slow")}).go


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Outcome.NOT_APPLICABLE, "Undetermined: every check of this criterion is not applicable"),
    ],
)
def test_a_criterion_without_a_passed_check_is_undetermined(outcome, reason):
    """Checks that do not apply prove nothing."""
    specs = one_per_criterion()
    decision = decide(specs, all_passed(specs) | {"check-4": CheckRecord("check-4", outcome)})
    assert not decision.go
    assert decision.criteria[3].met is None
    assert decision.criteria[3].reasons == (reason,)


def test_a_waived_check_was_judged():
    """A row that one check feeds can be met although its findings are excused."""
    specs = one_per_criterion()
    assert decide(specs, all_passed(specs) | {"check-4": CheckRecord("check-4", Outcome.WAIVED)}).go


def test_a_criterion_that_no_check_feeds_is_undetermined():
    """A checklist that lost a whole section cannot be a GO."""
    specs = [item for item in one_per_criterion() if item.criterion != "rollback-proven"]
    decision = decide(specs, all_passed(specs))
    assert not decision.go
    assert decision.criteria[-1].reasons == ("Undetermined: no check of the checklist feeds this criterion",)


def test_an_excused_criterion_is_shown_and_does_not_decide():
    """A row that does not apply keeps its reason on the page."""
    specs = [item for item in one_per_criterion() if item.criterion != "crud-pass"]
    decision = decide(specs, all_passed(specs), not_required={"crud-pass": "there is no API"})
    assert decision.go
    row = next(row for row in decision.criteria if row.id == "crud-pass")
    assert not row.required
    assert row.reasons[0] == "Not required: there is no API"


@pytest.mark.parametrize("criterion", sorted(ALWAYS_REQUIRED))
def test_what_guards_data_cannot_be_excused(criterion):
    """The four criteria that guard data are required whatever the configuration says."""
    specs = [item for item in one_per_criterion() if item.criterion != criterion]
    assert not decide(specs, all_passed(specs), not_required={criterion: "we know better"}).go


def test_the_limit_stands_in_the_title():
    """The latency row names the configured limit."""
    row = next(row for row in decide([], {}, p95_ms=250).criteria if row.id == "latency")
    assert row.title == "Query latency < 250 ms"


@given(data=st.data())
def test_go_exactly_when_the_rule_says_so(data):
    """For any checklist and any outcomes the decision equals the rule, written down a second time here."""
    keys = data.draw(st.lists(st.sampled_from(list(TITLES)), max_size=14))
    specs = [
        spec(f"check-{index}", key, position=index, blocking=data.draw(st.booleans()))
        for index, key in enumerate(keys, start=1)
    ]
    records = {
        item.slug: CheckRecord(item.slug, data.draw(OUTCOMES)) for item in specs if data.draw(st.integers(0, 9)) > 0
    }
    excused = data.draw(st.dictionaries(st.sampled_from(list(TITLES)), st.just("a reason"), max_size=3))
    required = [key for key in TITLES if key not in excused or key in ALWAYS_REQUIRED]
    expected = all(
        any(
            item.criterion == key
            and item.slug in records
            and records[item.slug].outcome in {Outcome.PASSED, Outcome.WAIVED}
            for item in specs
        )
        and all(
            item.slug in records and records[item.slug].outcome in GOOD
            for item in specs
            if item.criterion == key and item.blocking
        )
        for key in required
    )
    assert expected is decide(specs, records, not_required=excused).go


@given(st.data())
def test_making_any_outcome_worse_never_makes_a_go(data):
    """Monotony: a NO-GO does not become a GO by losing a record."""
    specs = one_per_criterion()
    records = {item.slug: CheckRecord(item.slug, data.draw(OUTCOMES)) for item in specs}
    before = decide(specs, records).go
    del records[data.draw(st.sampled_from(sorted(records)))]
    assert not decide(specs, records).go
    assert before in {True, False}


def test_the_gate_names_what_does_not_hold_before_applying():
    """Blocking checks of sections 1 to 4 without a good record keep the target untouched, no others do."""
    specs = [
        spec("passed", "no-p0", section=1),
        spec("missing", "no-p0", section=2),
        spec("red", "no-data-loss", section=4, position=2),
        spec("advice", "no-p0", section=4, position=3, blocking=False),
        spec("later", "latency", section=9),
    ]
    records = {"passed": CheckRecord("passed", Outcome.PASSED), "red": CheckRecord("red", Outcome.FAILED)}
    assert ["missing", "red"] == [item.slug for item in gate(specs, records)]


def test_the_gate_asks_for_stalls_though_it_stands_in_section_9():
    """What the copy showed of waiting is known before the target is touched, so it keeps it from being touched."""
    specs = [spec("stalls", "no-stalls", section=9), spec("memory", "no-p0", section=9)]
    assert ["stalls"] == [item.slug for item in gate(specs, {})]
    assert () == gate(specs, {"stalls": CheckRecord("stalls", Outcome.PASSED)})


def test_the_gate_asks_only_for_what_is_required():
    """A criterion that the configuration drops keeps nothing from being deployed; those that guard data cannot be."""
    specs = [
        spec("stalls", "no-stalls", section=9),
        spec("safe-defaults", "no-stalls", section=4),
        spec("running", "no-data-loss", section=4, position=2),
    ]
    dropped = {"no-stalls": "a maintenance window", "no-data-loss": "we know better"}
    assert ["running"] == [item.slug for item in gate(specs, {}, not_required=dropped)]


def test_what_an_excused_criterion_found_is_named():
    """Whoever signs reads which checks were red all the same."""
    specs = [spec("stalls", "no-stalls", section=9), *one_per_criterion()]
    records = {**all_passed(specs), "stalls": CheckRecord("stalls", Outcome.FAILED, "too long")}
    decision = decide(specs, records, not_required={"no-stalls": "a maintenance window"})
    row = next(row for row in decision.criteria if row.id == "no-stalls")
    assert decision.go
    assert (
        "Not required: a maintenance window; what 9.1 stalls found blocks neither the deployment nor the decision"
        == row.reasons[0]
    )


@pytest.mark.parametrize("outcome", list(Outcome))
def test_holding_is_passed_waived_or_not_applicable(outcome):
    """The three outcomes that let a run go on."""
    assert (outcome in GOOD) is holds(CheckRecord("any", outcome))


def test_no_record_holds_nothing():
    """A check that was not run does not hold."""
    assert holds(None) is False
