"""The decision: a pure function from what was expected and what was recorded to the matrix and GO or NO-GO."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pytest_dryrun.model.values import CheckRecord, CheckSpec, Criterion, Outcome

TITLES: Mapping[str, str] = {
    "migrations-applied": "All migrations applied",
    "no-data-loss": "No data loss",
    "crud-pass": "CRUD tests pass",
    "latency": "Query latency < {p95_ms:g} ms",
    "no-p0": "No P0 bugs detected",
    "no-stalls": "No reader or writer blocked too long",
    "release-compatible": "The running release keeps working",
    "rollback-proven": "Rollback proven",
}
DEFAULT_CRITERION = "no-p0"
# No configuration may drop these rows of the matrix.
ALWAYS_REQUIRED = frozenset({"no-data-loss", "migrations-applied", "no-p0", "rollback-proven"})

# The last section that only looks and rehearses: nothing after it starts unless all of it holds.
LAST_SECTION_BEFORE_APPLY = 4
# Checks of later sections that look at the copy alone, and are done before the target is touched.
EARLY = frozenset({"stalls"})

_HOLDS = frozenset({Outcome.PASSED, Outcome.WAIVED, Outcome.NOT_APPLICABLE})
# A waived check was judged, and somebody answers for what it found.
_JUDGED = frozenset({Outcome.PASSED, Outcome.WAIVED})
_FAILS = frozenset({Outcome.FAILED, Outcome.BROKEN})


@dataclass(frozen=True, slots=True)
class Decision:
    """GO or not, with every row of the matrix."""

    go: bool
    criteria: tuple[Criterion, ...]


def holds(record: CheckRecord | None) -> bool:
    """Whether a blocking check with this record lets the run go on; no record means that it was not run."""
    return record is not None and record.outcome in _HOLDS


def decide(
    specs: Iterable[CheckSpec],
    records: Mapping[str, CheckRecord],
    *,
    not_required: Mapping[str, str] | None = None,
    p95_ms: float = 500,
) -> Decision:
    """Decide, fail closed.

    GO if and only if every required criterion has at least one passed or waived check and none of its blocking checks
    is anything but passed, waived or not applicable. `specs` is the whole checklist: what has no record was not run.
    `not_required` maps criteria to the reason why they do not apply; the four that guard data are required regardless.
    """
    excused = excusable(not_required)
    expected = list(specs)
    criteria = tuple(
        _criterion(
            key, title.format(p95_ms=p95_ms), [spec for spec in expected if spec.criterion == key], records, excused
        )
        for key, title in TITLES.items()
    )
    return Decision(go=all(row.met is True for row in criteria if row.required), criteria=criteria)


def excusable(not_required: Mapping[str, str] | None) -> dict[str, str]:
    """The criteria that a configuration drops, with their reasons, as far as it may drop them."""
    return {key: reason for key, reason in (not_required or {}).items() if key not in ALWAYS_REQUIRED}


def precedes_apply(spec: CheckSpec) -> bool:
    """Whether a check is done before the target is touched: those of sections 1 to 4, and `EARLY`."""
    return spec.section <= LAST_SECTION_BEFORE_APPLY or spec.slug in EARLY


def gate(
    specs: Iterable[CheckSpec], records: Mapping[str, CheckRecord], *, not_required: Mapping[str, str] | None = None
) -> tuple[CheckSpec, ...]:
    """Name the blocking checks before the deployment that do not hold; empty means that the target may be changed.

    A check whose criterion the configuration drops keeps nothing from being deployed.
    """
    excused = excusable(not_required)
    early = (spec for spec in specs if precedes_apply(spec) and spec.blocking and spec.criterion not in excused)
    return tuple(spec for spec in early if not holds(records.get(spec.slug)))


def _criterion(
    key: str, title: str, specs: list[CheckSpec], records: Mapping[str, CheckRecord], excused: Mapping[str, str]
) -> Criterion:
    outcomes = {spec.slug: records[spec.slug].outcome if spec.slug in records else Outcome.NOT_RUN for spec in specs}
    against = [spec for spec in specs if spec.blocking and outcomes[spec.slug] not in _HOLDS]
    own: tuple[str, ...] = ()
    met: bool | None
    if any(outcomes[spec.slug] in _FAILS for spec in against):
        met = False
    elif against:
        met = None
    elif _JUDGED & {*outcomes.values()}:
        met = True
    else:
        met = None
        own = (_nothing_passed(specs, outcomes),)
    if key in excused:
        red = [f"{spec.number} {spec.slug}" for spec in against if outcomes[spec.slug] in _FAILS]
        besides = f"; what {', '.join(red)} found blocks neither the deployment nor the decision" if red else ""
        own = (f"Not required: {excused[key]}{besides}", *own)
    reasons = (*own, *(_reason(spec, records.get(spec.slug)) for spec in against))
    return Criterion(key, title, key not in excused, met, reasons, tuple(spec.slug for spec in specs), own)


def _reason(spec: CheckSpec, record: CheckRecord | None) -> str:
    name = f"{spec.number} {spec.slug}"
    if record is None or record.outcome is Outcome.NOT_RUN:
        return f"{name} was not run"
    first = record.reason.strip().splitlines()[0] if record.reason.strip() else "no reason was recorded"
    if record.outcome is Outcome.BLOCKED:
        return f"{name} {first}"
    return f"{name} {record.outcome.value}: {first}"


def _nothing_passed(specs: list[CheckSpec], outcomes: Mapping[str, Outcome]) -> str:
    if not specs:
        return "Undetermined: no check of the checklist feeds this criterion"
    if all(outcome is Outcome.NOT_APPLICABLE for outcome in outcomes.values()):
        return "Undetermined: every check of this criterion is not applicable"
    return "Undetermined: no check of this criterion passed"
