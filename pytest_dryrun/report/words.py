"""The words and marks for outcomes, criteria, severities and changes; a mark never stands without its word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Word:
    """A word, its mark, the mark in ASCII, and its tone: good, bad, warn or quiet."""

    word: str
    mark: str
    ascii: str
    tone: str


OUTCOMES = {
    "passed": Word("passed", "✔", "+", "good"),
    "waived": Word("waived", "◐", "~", "warn"),
    "failed": Word("failed", "✘", "x", "bad"),
    "broken": Word("broken", "✘", "x", "bad"),
    "skipped": Word("skipped", "○", "o", "bad"),
    "blocked": Word("blocked", "⊘", "o", "bad"),
    "not-run": Word("not run", "○", "o", "bad"),
    "not-applicable": Word("not applicable", "—", "-", "quiet"),
}
# An outcome that one of these is not leaves a blocking check red.
HARMLESS = frozenset({"passed", "waived", "not-applicable"})

SEVERITIES = {
    "blocker": Word("blocker", "✘", "x", "bad"),
    "warning": Word("warning", "▲", "!", "warn"),
    "info": Word("info", "·", ".", "quiet"),
}

CHANGES = {
    "none": Word("unchanged", "=", "=", "quiet"),
    "rows-added": Word("rows added", "+", "+", "warn"),
    "rows-lost": Word("rows lost", "✘", "x", "bad"),
    "content-changed": Word("content changed", "≠", "!", "bad"),
    "created": Word("created", "+", "+", "quiet"),
    "dropped": Word("dropped", "✘", "x", "bad"),
}

MET = Word("met", "✔", "+", "good")
NOT_MET = Word("not met", "✘", "x", "bad")
UNDETERMINED = Word("undetermined", "?", "?", "warn")
NOT_REQUIRED = Word("not required", "—", "-", "quiet")


def outcome(name: str) -> Word:
    """The word for a check's outcome; an unknown one is shown as bad."""
    return OUTCOMES.get(name) or Word(str(name), "?", "?", "bad")


def severity(name: str) -> Word:
    """The word for a finding's severity; an unknown one is shown as a blocker would be."""
    return SEVERITIES.get(name) or Word(str(name), "?", "?", "bad")


def change(name: str) -> Word:
    """The word for what became of a table; an unknown one is shown as bad."""
    return CHANGES.get(name) or Word(str(name), "?", "?", "bad")


def criterion(row: Mapping[str, Any]) -> Word:
    """The word for one row of the matrix."""
    if row["required"] is False:
        return NOT_REQUIRED
    if row["met"] is True:
        return MET
    return NOT_MET if row["met"] is False else UNDETERMINED
