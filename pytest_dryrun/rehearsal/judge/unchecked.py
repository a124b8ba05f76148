"""What is said of a constraint that no server held against the rows that were there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_dryrun.model.scripts import Location
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.rehearsal.judge.counting import Counted, finding
from pytest_dryrun.rehearsal.judge.remedies.remedy import Remedy


@dataclass(frozen=True, slots=True)
class Unchecked:
    """Such a constraint in words; `called` is its kind and name, `valid` what the catalog says, `about` for waivers.

    `fails` is what fails on rows that break it while it is NOT VALID, `remedy` how it is made valid; None where it can
    only be dropped and made again.
    """

    called: str
    valid: bool
    about: str
    fails: str
    remedy: Remedy | None

    def broken(
        self, counted: Counted, place: Location, table: str, evidence: Mapping[str, Any], where: str = ""
    ) -> Finding | None:
        """`constraint-violated` by so many rows of a table, or by nobody knows how many; None where no row breaks it.

        `where` says which rows where `called` does not: ` in column weight of public.jar`.
        """
        start, severity = self._start, Severity.BLOCKER
        if isinstance(counted, str):
            severity = Severity.WARNING if self.valid else Severity.BLOCKER
            said = f"{start} {f'is new, made {place}' if self.valid else f'is NOT VALID, added {place}'}, and whether "
            said += f"rows break it{where} could not be counted ({counted}). Count them by hand."
            return self._violated(severity, said, place, table, {**evidence, "rows": None})
        rows, keys = counted
        if not rows:
            return None
        broken = f"{rows:,} rows break it{where}" + (f" ({'; '.join(keys[:3])})" if keys else "")
        if self.valid:
            cure = "let the server validate the constraint instead of writing to its catalog"
            said = f"{start} is marked as valid {place}, though {broken}: the server never held it against them. "
            said += f"Fix these rows, and {cure if self.remedy else 'drop it and create it again'}."
        else:
            said = f"{start} is NOT VALID, added {place}, and {broken}. Every {self.fails} fails from now on, and so "
            said += "would VALIDATE CONSTRAINT. Fix these rows first."
        return self._violated(severity, said, place, table, {**evidence, "rows": rows, "keys": list(keys)})

    def unbroken(self, place: Location, table: str | None, evidence: Mapping[str, Any]) -> Finding:
        """`constraint-not-valid`: no row breaks it, and nothing but a later release makes it valid."""
        said = f"{self._start} is NOT VALID, added {place}; no row breaks it."
        evidence = {**evidence, "rows": 0}
        return finding(
            "constraint-not-valid", Severity.INFO, said, place, table, evidence, about=self.about, remedy=self.remedy
        )

    @property
    def _start(self) -> str:
        return self.called[:1].upper() + self.called[1:]

    def _violated(
        self, severity: Severity, said: str, place: Location, table: str, evidence: Mapping[str, Any]
    ) -> Finding:
        return finding("constraint-violated", severity, said, place, table, evidence, about=self.about)
