"""What a dry run knows, as frozen values: no I/O, no pytest, standard library only.

Every value here survives JSON (`as_json`) so that it can travel from an xdist worker to the controller
inside a test report, and from there into `report.json` unchanged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = None | bool | int | float | str | list[Any] | dict[str, Any]


class Outcome(StrEnum):
    """How one check ended; the words of the report."""

    PASSED = "passed"
    FAILED = "failed"
    BROKEN = "broken"
    SKIPPED = "skipped"
    BLOCKED = "blocked"
    NOT_RUN = "not-run"
    NOT_APPLICABLE = "not-applicable"
    WAIVED = "waived"


class Severity(StrEnum):
    """`blocker` fails its check, `warning` is shown, `info` is recorded."""

    BLOCKER = "blocker"
    WARNING = "warning"
    INFO = "info"


class Change(StrEnum):
    """What became of one table between two fingerprints."""

    NONE = "none"
    ROWS_ADDED = "rows-added"
    ROWS_LOST = "rows-lost"
    CONTENT_CHANGED = "content-changed"
    CREATED = "created"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing a check measured; `unit` is empty for a plain text or count."""

    name: str
    value: Json
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that happened, or would happen, and under which rule a user may waive it.

    `table` is a relation's quoted name, `object` any other object's (a constraint, sequence, role...) as a waiver may
    name it. `cascaded` marks what followed from a statement that named something else: its waiver covers this too.
    """

    rule: str
    severity: Severity
    message: str
    migration: str | None = None
    line: int | None = None
    table: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    waived: bool = False
    object: str | None = None
    cascaded: bool = False


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """One line of the checklist as its file declares it, whether or not pytest collected it."""

    slug: str
    section: int
    position: int
    section_title: str
    title: str
    explanation: str
    criterion: str
    blocking: bool
    path: str
    function: str

    @property
    def number(self) -> str:
        """The number shown, section and position: `4.2`."""
        return f"{self.section}.{self.position}"


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """What one check of one target came to; `blocked_by` are the slugs of the checks that kept it from starting.

    `own_reason` is the reason without what this record holds elsewhere: the names of the checks in `blocked_by`, and
    the messages of its findings. None: the reason is all its own.
    """

    slug: str
    outcome: Outcome
    reason: str = ""
    duration_ms: float = 0.0
    facts: tuple[Fact, ...] = ()
    findings: tuple[Finding, ...] = ()
    blocked_by: tuple[str, ...] = ()
    own_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Lock:
    """The strongest lock a statement held on one relation, in pg_locks' spelling of the mode."""

    relation: str
    mode: str


@dataclass(frozen=True, slots=True)
class Scan:
    """Rows a statement read from one relation, through its indexes too."""

    relation: str
    rows: int


@dataclass(frozen=True, slots=True)
class StatementRun:
    """What one statement of a migration did on the copy; `line` is 1-based in the migration's file.

    `count` consecutive statements of one shape are one: the first one's line and text, their durations added up.
    """

    migration: str
    line: int
    sql: str
    duration_ms: float
    locks: tuple[Lock, ...] = ()
    rewrites: tuple[str, ...] = ()
    scanned: tuple[Scan, ...] = ()
    dropped: tuple[str, ...] = ()
    read_stall_ms: float = 0.0
    write_stall_ms: float = 0.0
    count: int = 1


@dataclass(frozen=True, slots=True)
class ChangedValue:
    """One value before and after, as text, shortened; None is NULL. `key` names its row."""

    key: str
    column: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class TableComparison:
    """One table before and after. `table` is its quoted name before (after, where it was created).

    `rows_before` is None for a created table, `rows_after` for a dropped one.
    `keys` holds a few primary keys, as text, of rows that were lost, else changed.
    `renamed_to` is set where the same relation (by oid) carries another name now.
    `not_verified` names the columns whose values could not be compared, with the reason.

    `rows_lost` and `rows_changed` are counted by key, `values_changed` by column where rows have a key; None and empty
    where that was not found out. `samples` shows a few changed values.
    `filled` counts the values of columns that were NULL in every row. Those are no changed values.
    `replaced` says that another relation stands under the name now: then all figures are about what became of the rows
    under that name, and `columns_gone` counts the values of columns that it does not have.
    `moved` counts the rows that are no longer read through this table and are kept in another one, by its name.
    `rekeyed` maps a few lost keys to those under which the same rows stand now, where nothing but keys is lost.
    `part_of` is the partitioned table whose comparison counts these rows too.
    `inserted`, `updated` and `deleted` are writes: one row written five times counts five.
    """

    table: str
    rows_before: int | None
    rows_after: int | None
    change: Change
    columns_changed: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    renamed_to: str | None = None
    not_verified: tuple[str, ...] = ()
    inserted: int | None = None
    updated: int | None = None
    deleted: int | None = None
    rows_lost: int | None = None
    rows_changed: int | None = None
    values_changed: Mapping[str, int] = field(default_factory=dict)
    samples: tuple[ChangedValue, ...] = ()
    filled: Mapping[str, int] = field(default_factory=dict)
    replaced: bool = False
    columns_gone: Mapping[str, int] = field(default_factory=dict)
    moved: Mapping[str, int] = field(default_factory=dict)
    rekeyed: Mapping[str, str] = field(default_factory=dict)
    part_of: str | None = None


@dataclass(frozen=True, slots=True)
class Criterion:
    """One row of the decision matrix; `own_reasons` are those of `reasons` that come from none of its checks."""

    id: str
    title: str
    required: bool
    met: bool | None
    reasons: tuple[str, ...]
    checks: tuple[str, ...]
    own_reasons: tuple[str, ...] = ()


def as_json(value: Any) -> Any:
    """Turn a value of this module, however nested, into what `json.dumps` takes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: as_json(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def finding_from_json(data: Mapping[str, Any]) -> Finding:
    """The finding that `as_json` wrote."""
    return Finding(**{**data, "severity": Severity(data["severity"])})


def record_from_json(data: Mapping[str, Any]) -> CheckRecord:
    """The record that `as_json` wrote."""
    return CheckRecord(
        slug=data["slug"],
        outcome=Outcome(data["outcome"]),
        reason=data["reason"],
        duration_ms=data["duration_ms"],
        facts=tuple(Fact(**fact) for fact in data["facts"]),
        findings=tuple(finding_from_json(finding) for finding in data["findings"]),
        blocked_by=tuple(data["blocked_by"]),
        own_reason=data["own_reason"],
    )
