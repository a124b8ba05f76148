"""Every rule once: what the code reports is listed, what is listed is reported, and only known rules are waived."""

from __future__ import annotations

import ast
import copy
from pathlib import Path

import pytest

import pytest_dryrun
from pytest_dryrun import checklist
from pytest_dryrun.model.errors import Blocked
from pytest_dryrun.model.rules import LINT, RETIRED, RULES, unknown

PACKAGE = Path(pytest_dryrun.__file__).parent
SOURCES = [path for path in PACKAGE.rglob("*.py") if path.name != "rules.py"]
MAKERS = {"Finding", "finding", "_about", "_blocker"}


def literal_rules(path: Path) -> set[str]:
    """What stands as a string in the place of a rule, where a finding is made."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
            given = [*node.args[:2], *(keyword.value for keyword in node.keywords if keyword.arg == "rule")]
            found |= {item.value for item in given if isinstance(item, ast.Constant) and isinstance(item.value, str)}
    return {text for text in found if " " not in text}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_finding_carries_an_unlisted_rule(path):
    """A literal in the place of a rule is one of the list."""
    assert literal_rules(path) <= {*RULES, "lint/unavailable"}


@pytest.mark.parametrize("rule", RULES)
def test_each_listed_rule_is_reported_somewhere(rule):
    """What no code reports does not stand in the list."""
    assert any(f'"{rule}"' in path.read_text(encoding="utf-8") for path in SOURCES)


def test_each_rule_names_a_check_of_the_checklist():
    """The documentation sends its reader there."""
    slugs = {spec.slug for spec in checklist.read([checklist.shipped_folder()])}
    assert {rule.check for rule in RULES.values()} <= slugs


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("rows-lost", ""),
        ("unfiltered-write", ""),
        (f"{LINT}ban-drop-column", ""),
        ("rows-lots", "there is no rule 'rows-lots', did you mean 'rows-lost'?"),
        ("xyzzy", "there is no rule 'xyzzy'"),
        ("drift", "drift cannot be waived: The database is not where its history says it is."),
    ],
)
def test_which_rules_a_waiver_may_name(rule, problem):
    """Known ones, retired ones (a notice), advice; the rest is refused with the nearest name."""
    assert problem == unknown(rule)


def test_a_retired_rule_is_not_listed_any_more():
    """It would be reported and retired at once."""
    assert not RETIRED.keys() & RULES.keys()


def test_blocked_names_its_checks_and_survives_a_worker():
    """The slugs are values, not words in a text."""
    error = copy.copy(Blocked("it failed", ("backup-space", "migration-status")))
    assert (("backup-space", "migration-status"), "it failed") == (error.by, error.why)
    assert "blocked by backup-space, migration-status: it failed" == str(error)
    assert "blocked: it failed" == str(Blocked("it failed"))
