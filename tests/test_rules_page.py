"""docs/rules.md lists the rules that there are."""

from __future__ import annotations

import re

from rules_page import PAGE, table, with_table

from pytest_dryrun.model.rules import RETIRED, RULES


def test_the_page_of_rules_is_the_list_of_rules() -> None:
    """Where this is red: run `python tests/rules_page.py`."""
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page) == page


def test_the_table_names_every_rule_once() -> None:
    """One row a rule, with its check and whether it may be waived."""
    rows = re.findall(r"^\| `(.+?)` \|", table(), re.MULTILINE)
    assert list(RULES) == rows
    assert all(f"- `{rule}`: " in table() for rule in RETIRED)


def test_the_text_about_waivers_names_no_rule_that_is_not_there() -> None:
    """An example that is copied has to work."""
    page = PAGE.read_text(encoding="utf-8")
    text = page.partition("<!-- /rules -->")[2]
    named = set(re.findall(r'allow ([a-z-]+) because|rule = "([a-z-]+)"', text))
    assert named
    assert {name for pair in named for name in pair if name} <= RULES.keys()
