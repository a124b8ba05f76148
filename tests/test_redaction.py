"""Secrets are taken out of every text in every spelling."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dryrun.model.redaction import MASK, Redactor

SECRET = "p@ss w/rd<&>\"'ü%"


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote(SECRET),
        quote_plus(SECRET),
        quote(quote(SECRET, safe=""), safe=""),
        quote(SECRET, safe="")
        .replace("%2F", "%2f")
        .replace("%3C", "%3c")
        .replace("%3E", "%3e")
        .replace("%C3%BC", "%c3%bc"),
        html.escape(SECRET),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        base64.b64encode(SECRET.encode()).decode(),
        SECRET.replace("'", "''"),
    ],
)
def test_every_spelling_is_hidden(spelled):
    """URLs, HTML, JSON, SQL and base64 spell a secret differently; none of them gets through."""
    assert f"before {MASK} after" == Redactor([SECRET]).text(f"before {spelled} after")


def test_a_secret_within_a_secret_leaves_no_tail():
    """The longer secret goes first."""
    assert f"{MASK} {MASK}" == Redactor(["hunter", "hunter2-long"]).text("hunter2-long hunter")


@pytest.mark.parametrize("short", ["", "a", "abc"])
def test_a_secret_too_short_to_hide_is_refused(short):
    """Hiding one letter would mangle every text."""
    redactor = Redactor()
    assert redactor.add(short) is False
    assert redactor.text("abc a") == "abc a"


def test_json_values_and_keys_are_redacted_and_the_rest_is_kept():
    """Nested lists, tuples and mappings; numbers, booleans and None stay what they are."""
    value = {"secret-key": ["secret-key", 1, None, True, {"x": ("secret-key",)}]}
    assert Redactor(["secret-key"]).json(value) == {MASK: [MASK, 1, None, True, {"x": [MASK]}]}


@given(secret=st.text(min_size=4, max_size=30), before=st.text(max_size=20), after=st.text(max_size=20))
def test_no_known_secret_survives(secret, before, after):
    """Whatever surrounds it, a secret is gone afterwards: it stands in none of the pieces between the masks."""
    hidden = Redactor([secret]).text(before + secret + after)
    assert not [piece for piece in hidden.split(MASK) if secret in piece]
