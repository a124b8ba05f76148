"""What the tests of one target came to, gathered from pytest's reports: the same serially and under xdist."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pytest_dryrun.model.redaction import Redactor
from pytest_dryrun.model.values import CheckRecord, Outcome, as_json, record_from_json

LONGEST_REASON = 4000

# The order of badness: a check that was seen twice (a rerun, a repeat) counts with its worst.
_WORST_FIRST = (
    Outcome.FAILED,
    Outcome.BROKEN,
    Outcome.BLOCKED,
    Outcome.SKIPPED,
    Outcome.NOT_RUN,
    Outcome.WAIVED,
    Outcome.NOT_APPLICABLE,
    Outcome.PASSED,
)


@dataclass(slots=True)
class Ledger:
    """One target's records, and the parts of its document that its checks filled."""

    target: str
    run_id: str
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    records: dict[str, CheckRecord] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    red: set[str] = field(default_factory=set)

    def receive(self, message: str) -> None:
        """Take what `message` made on the side where the check ran."""
        content = json.loads(message)
        record = record_from_json(content["record"])
        self.records[record.slug] = worse(self.records.get(record.slug), record)
        self.parts.update(content["parts"])

    def contradict(self) -> None:
        """Fail every check of which pytest reported a failure that its record does not know."""
        for slug in self.contradicted(self.records):
            why = "pytest reported a failure of this check that it did not record itself"
            self.records[slug] = replace(self.records[slug], outcome=Outcome.FAILED, reason=why, own_reason=None)

    def contradicted(self, records: Mapping[str, CheckRecord]) -> list[str]:
        """The checks of which pytest reported a failure that these records do not know."""
        known = {Outcome.FAILED, Outcome.BROKEN}
        return [slug for slug in sorted(self.red) if slug in records and records[slug].outcome not in known]

    def trouble(self, text: str) -> None:
        """Remember something about the whole run that forbids a GO."""
        if text not in self.troubles:
            self.troubles.append(text)


def message(record: CheckRecord, parts: Mapping[str, Any], redactor: Redactor) -> str:
    """A finished check as text that survives the way from an xdist worker: plain JSON, without any known secret.

    Slug, outcome and severity are words of ours and stay, whatever a secret may be called.
    """
    told: dict[str, Any] = redactor.json(as_json(record))
    told |= {"slug": record.slug, "outcome": record.outcome.value}
    told |= {key: told[key] and told[key][:LONGEST_REASON] for key in ("reason", "own_reason")}
    for finding, original in zip(told["findings"], record.findings, strict=True):
        finding |= {"rule": original.rule, "severity": original.severity.value}
    return json.dumps({"record": told, "parts": redactor.json(as_json(parts))}, ensure_ascii=False)


def worse(first: CheckRecord | None, second: CheckRecord) -> CheckRecord:
    """The worse of two records of one check; a retry that passed does not undo a failure."""
    if first is None:
        return second
    bad, good = sorted((first, second), key=lambda record: _WORST_FIRST.index(record.outcome))
    if bad.outcome is good.outcome:
        return second
    return replace(bad, reason=bad.reason or "failed in one of several attempts")


def new_run_id() -> str:
    """A run's name: its UTC start and four random hex digits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
