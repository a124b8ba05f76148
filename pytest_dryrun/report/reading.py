"""What waits for whoever signs: warnings, what was not verified or not tested, and what a waiver excuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]

# What nobody may overlook: production waits for as long as nobody knows.
FIRST = frozenset({"lock-queue"})


@dataclass(frozen=True, slots=True)
class Reading:
    """What whoever signs has to read: each finding or check with its check, and what could not be verified."""

    warnings: tuple[tuple[Document, Document], ...]
    waived: tuple[tuple[Document, Document], ...]
    untested: tuple[Document, ...]
    not_verified: tuple[str, ...]

    @property
    def first(self) -> tuple[Document, ...]:
        """The warnings that stand above everything else."""
        return tuple(finding for _, finding in self.warnings if finding["rule"] in FIRST)

    def __str__(self) -> str:
        """How much of each there is: `2 warnings, 1 not verified`; empty where there is nothing."""
        warnings = "1 warning" if len(self.warnings) == 1 else f"{len(self.warnings):,} warnings"
        counts = {
            warnings: self.warnings,
            f"{len(self.not_verified):,} not verified": self.not_verified,
            f"{len(self.untested):,} not tested": self.untested,
            f"{len(self.waived):,} excused by a waiver": self.waived,
        }
        return ", ".join(shown for shown, items in counts.items() if items)


def of(document: Document) -> Reading:
    """What is to be read before signing, of the document that `settle` returned."""
    pairs = [(check, finding) for check in document["checks"] for finding in check["findings"]]
    warnings = [pair for pair in pairs if pair[1]["severity"] == "warning" and not pair[1]["waived"]]
    return Reading(
        tuple(sorted(warnings, key=lambda pair: pair[1]["rule"] not in FIRST)),
        tuple(pair for pair in pairs if pair[1]["waived"]),
        tuple(check for check in document["checks"] if check["outcome"] == "not-applicable"),
        tuple(document["not_verified"]),
    )
