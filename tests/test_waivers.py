"""Waivers excuse exactly what they name, for a reason, until a day."""

from __future__ import annotations

from datetime import date

import pytest

from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.model.waivers import Waiver, Waivers

TODAY = date(2026, 11, 22)
GRANT = Waiver(
    "column-dropped", "2026_drop", "the column is empty in production", "dryrun.toml", approver="Ada", expires=TODAY
)
FINDING = Finding("column-dropped", Severity.BLOCKER, "gone", migration="2026_drop", line=3)


def test_a_matching_waiver_excuses_and_says_why():
    """Rule and migration match, it has a reason and its last day is today."""
    waived = Waivers([GRANT], TODAY).apply(FINDING)
    assert waived.waived
    assert waived.evidence["waiver"] == "the column is empty in production"
    assert waived.evidence["approver"] == "Ada"


@pytest.mark.parametrize(
    "finding",
    [
        Finding("table-dropped", Severity.BLOCKER, "gone", migration="2026_drop"),
        Finding("column-dropped", Severity.BLOCKER, "gone", migration="2026_other"),
        Finding("column-dropped", Severity.BLOCKER, "gone", migration=None),
    ],
    ids=["another rule", "another migration", "no migration known"],
)
def test_nothing_else_is_excused(finding):
    """A waiver does not stretch."""
    assert Waivers([GRANT], TODAY).apply(finding) is finding


def test_a_waiver_inside_a_file_excuses_the_statement_below_it_only():
    """Line 3 is waived, line 9 is not."""
    waivers = Waivers(
        [Waiver("column-dropped", "2026_drop", "unused", "m.sql", 3, 'DROP TABLE "Order" CASCADE')], TODAY
    )
    assert waivers.apply(FINDING).waived
    assert not waivers.apply(Finding("column-dropped", Severity.BLOCKER, "gone", migration="2026_drop", line=9)).waived


@pytest.mark.parametrize(
    ("grant", "rule"),
    [
        (Waiver("column-dropped", "2026_drop", "  ", "dryrun.toml"), "waiver-without-reason"),
        (Waiver("column-dropped", "2026_drop", "late", "dryrun.toml", expires=date(2026, 11, 21)), "waiver-expired"),
    ],
)
def test_an_invalid_waiver_excuses_nothing_and_is_a_finding_itself(grant, rule):
    """Without a reason, or a day too late."""
    waivers = Waivers([grant], TODAY)
    assert not waivers.apply(FINDING).waived
    assert [rule] == [finding.rule for finding in waivers.invalid()]
    assert waivers.invalid()[0].severity is Severity.BLOCKER


def test_a_waiver_that_matched_nothing_is_told():
    """Left-over waivers would excuse something else one day."""
    waivers = Waivers([GRANT], TODAY)
    assert ["waiver-unused"] == [finding.rule for finding in waivers.unused()]
    assert "table-dropped" in waivers.unused(["table-dropped"])[0].message
    waivers.apply(FINDING)
    assert waivers.unused() == ()


def test_a_warning_needs_no_waiver():
    """Only blockers are excused, so a waiver for a warning counts as unused."""
    waivers = Waivers([GRANT], TODAY)
    warning = Finding("column-dropped", Severity.WARNING, "it was empty", migration="2026_drop")
    assert not waivers.apply(warning).waived
    assert waivers.unused()


@pytest.mark.parametrize(
    ("table", "waived"),
    [
        ('public."Order"', True),
        ('public."order"', True),
        ("public.scratch", False),
        ('public."Orders"', False),
        ('public."say ""hi"""', False),
        (None, True),
    ],
)
def test_a_waiver_inside_a_file_excuses_what_its_statement_names(table, waived):
    """What the statement reaches unnamed takes a waiver of its own."""
    grant = Waiver("table-dropped", "m", "unused", "m.sql", 3, 'DROP TABLE "Order" CASCADE')
    finding = Finding("table-dropped", Severity.BLOCKER, "gone", "m", 3, table)
    assert waived is Waivers([grant], TODAY).apply(finding).waived


def test_one_waiver_excuses_one_finding_wherever_it_is_met_again():
    """A second finding takes a second waiver; the first met twice is still one."""
    first, second = (Finding("rows-lost", Severity.BLOCKER, "gone", "m", None, table) for table in ("a", "b"))
    grant = Waiver("rows-lost", "m", "test data", "dryrun.toml")
    one = Waivers([grant], TODAY)
    assert [True, True, False] == [one.apply(item).waived for item in (first, first, second)]
    two = Waivers([grant, grant], TODAY)
    assert [True, True, True] == [two.apply(item).waived for item in (first, second, first)]
    assert () == two.unused()


def test_what_cascades_from_a_waived_statement_belongs_to_it():
    """The rows that ON DELETE CASCADE took along need no second waiver; another statement's do."""
    grant = Waiver("rows-lost", "m", "archived", "m.sql", 3, "DELETE FROM parent WHERE old")
    waivers = Waivers([grant], TODAY)
    parent = Finding("rows-lost", Severity.BLOCKER, "gone", "m", 3, "public.parent")
    child = Finding("rows-lost", Severity.BLOCKER, "gone", "m", 3, "public.child", cascaded=True)
    elsewhere = Finding("rows-lost", Severity.BLOCKER, "gone", "m", 7, "public.child", cascaded=True)
    assert [True, True, False] == [waivers.apply(item).waived for item in (child, parent, elsewhere)]
    assert () == waivers.unused()


@pytest.mark.parametrize(
    ("finding", "waived"),
    [
        (Finding("enforcement-off", Severity.BLOCKER, "off", object="public.seat.seat_no"), True),
        (Finding("enforcement-off", Severity.BLOCKER, "off", "m", 3, object="public.seat.other"), False),
        (Finding("enforcement-off", Severity.BLOCKER, "off", "m", 3, "public.seat.seat_no"), True),
        (Finding("rows-lost", Severity.BLOCKER, "off", object="public.seat.seat_no"), False),
    ],
    ids=["the object", "another object", "a table of that name", "another rule"],
)
def test_a_waiver_may_name_an_object_instead_of_a_migration(finding, waived):
    """What no statement can be named for is waived by its own name."""
    grant = Waiver("enforcement-off", None, "known", "dryrun.toml", object="public.seat.seat_no")
    assert waived is Waivers([grant], TODAY).apply(finding).waived


def test_a_retired_rule_is_a_notice():
    """The waiver neither blocks nor counts as unused."""
    waivers = Waivers([Waiver("unfiltered-write", "m", "small", "m.sql", 1, "UPDATE t SET a = 1")], TODAY)
    (notice,) = waivers.invalid()
    assert ("waiver-retired", Severity.INFO) == (notice.rule, notice.severity)
    assert () == waivers.unused()
