"""The parts of the report, typed: fields stand in the order of report.json.

Fields without a default are promised by the contract; the others are additions, and more of them are free everywhere.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from pytest_dryrun.model.decision import TITLES
from pytest_dryrun.model.values import Change as TableChange
from pytest_dryrun.model.values import Outcome, Severity

INSTANT = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|\+00:00)$"


def _criterion(name: str) -> str:
    if name not in TITLES:
        raise ValueError(f"no criterion is called {name!r}")
    return name


CriterionId = Annotated[str, AfterValidator(_criterion), WithJsonSchema({"type": "string", "enum": list(TITLES)})]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Instant = Annotated[str, Field(pattern=INSTANT, description="UTC, ISO 8601.")]
Count = Annotated[int, Field(ge=0)]
Place = Annotated[int, Field(ge=1)]
# A whole number stays one in the file.
Amount = Annotated[
    Count | Annotated[float, Field(ge=0)],
    WithJsonSchema({"type": "number", "minimum": 0}),
]


class Part(BaseModel):
    """Any part of the report: values as they are in JSON, never converted, with room for additions."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="allow",
        use_enum_values=True,
        use_attribute_docstrings=True,
        defer_build=True,
    )

    @classmethod
    def complete(cls, data: Mapping[str, Any] | None) -> dict[str, Any]:
        """The data with each addition that it lacks, as it is where nothing is known; nothing is checked."""
        known = dict(data or {})
        for name in _additions(cls):
            if name not in known:
                default = cls.model_fields[name].get_default(call_default_factory=True)
                known[name] = default.document() if isinstance(default, Part) else default
        return known

    def document(self) -> dict[str, Any]:
        """The part as plain values, in the order of the file."""
        return self.model_dump(by_alias=True)


@functools.cache
def _additions(part: type[Part]) -> tuple[str, ...]:
    return tuple(name for name, field in part.model_fields.items() if not field.is_required())


class Project(Part):
    """Whose database it is, who ran this and who signs."""

    name: str | None = ""
    epic: str | None = ""
    executed_by: str | None = ""
    reviewed_by: str | None = ""
    next_step: str | None = ""


class Criterion(Part):
    """One row of the decision matrix."""

    id: CriterionId
    title: str
    required: bool
    met: bool | None
    """null: undetermined, which is as good as not met."""
    reasons: list[str]
    checks: list[Slug]
    own_reasons: list[str] | None = None
    """Those of `reasons` that come from none of its checks; null: it was not recorded which."""


class Fact(Part):
    """One thing a check measured; `unit` is empty for a plain text or count."""

    name: str
    value: Any
    unit: str


class Finding(Part):
    """Something that happened, or would happen, and the rule under which it may be waived."""

    rule: str
    severity: Annotated[Severity, Field(strict=False)]
    message: str
    migration: str | None
    line: Place | None
    table: str | None
    evidence: dict[str, Any]
    waived: bool
    object: str | None = None
    """What it is about where that is no table, as a waiver may name it."""
    cascaded: bool = False
    """It followed from a statement that named something else; that statement's waiver covers it."""


class ListedFinding(Finding):
    """A finding in the list of all, with the check that reported it."""

    check: str = ""


class Check(Part):
    """One line of the checklist and what it came to."""

    explanation: str = ""
    section_title: str = ""
    slug: Slug
    number: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+$")]
    section: Place
    title: str
    criterion: CriterionId | Literal[""]
    blocking: bool
    outcome: Annotated[Outcome, Field(strict=False)]
    reason: str
    duration_ms: Amount
    facts: list[Fact]
    findings: list[Finding]
    blocked_by: list[str] = Field(default_factory=list)
    """The slugs of the checks that kept this one from starting."""
    own_reason: str | None = None
    """`reason` without the names of these checks and without the messages of its findings; null: it holds neither."""


class Migrations(Part):
    """What was applied and what was pending, by name."""

    tool: str
    applied_before: list[str]
    pending: list[str]
    applied: list[str]


class Lock(Part):
    """The strongest lock on one relation, in pg_locks' spelling."""

    relation: str
    mode: str


class Scan(Part):
    """Rows read from one relation."""

    relation: str
    rows: Count


class Statement(Part):
    """What one statement did on the copy; several of one shape in a row are one entry, their times added."""

    migration: str
    line: Count
    """Where it begins in its file; 0: it is not known which statement it was."""
    sql: str
    duration_ms: Amount
    locks: list[Lock]
    rewrites: list[str]
    scanned: list[Scan]
    dropped: list[str]
    read_stall_ms: Amount
    write_stall_ms: Amount
    count: Place = 1
    """How many statements of this shape followed each other; `sql` and `line` are the first one's."""


class ChangedValue(Part):
    """One value before and after, as text; null is NULL. `key` names its row."""

    key: str
    column: str
    before: str | None
    after: str | None


class Table(Part):
    """One table before and after."""

    keys: list[str] = Field(default_factory=list)
    """A few keys of rows that were lost or changed."""
    renamed_to: str | None = None
    not_verified: list[str] = Field(default_factory=list)
    """What of it could not be compared, and why."""
    inserted: Count | None = None
    """Writes, as `updated` and `deleted` are: a row that was written five times counts five."""
    updated: Count | None = None
    deleted: Count | None = None
    table: str
    rows_before: Count | None
    """null: the table was created."""
    rows_after: Count | None
    """null: the table was dropped."""
    change: Annotated[TableChange, Field(strict=False)]
    columns_changed: list[str]
    rows_lost: Count | None = None
    rows_changed: Count | None = None
    values_changed: dict[str, int] = Field(default_factory=dict)
    """Changed values of each column."""
    samples: list[ChangedValue] = Field(default_factory=list)
    filled: dict[str, int] = Field(default_factory=dict)
    """Values of columns that were NULL in every row before; they count as no change."""
    replaced: bool = False
    """Another relation stands under this name now; the figures are about what became of the rows."""
    columns_gone: dict[str, int] = Field(default_factory=dict)
    """Values of columns that the relation under this name no longer has."""
    moved: dict[str, int] = Field(default_factory=dict)
    """Rows that are no longer read through this table and are kept in another one, by its name."""
    part_of: str | None = None
    """The partitioned table whose figures count these rows too."""


def _whole_backup(schema: dict[str, Any]) -> None:
    """A backup that has a file has a size, a checksum and its times."""
    schema["if"] = {"properties": {"file": {"minLength": 1}}, "required": ["file"]}
    schema["then"] = {
        "required": ["file", "size_bytes", "sha256", "dump_ms", "restore_ms"],
        "properties": {"sha256": {"pattern": "^[0-9a-f]{64}$"}},
    }


class Backup(Part):
    """The backup; without a file name there is none."""

    model_config = ConfigDict(json_schema_extra=_whole_backup)

    file: str = ""
    size_bytes: Count = 0
    sha256: str = ""
    dump_ms: Amount = 0
    restore_ms: Amount | None = 0
    """null or 0: it was not restored."""


class Section(Part):
    """One section of the checklist."""

    number: Place
    title: str


class Rollback(Part):
    """How the target comes back, or what became of it."""

    host: str = ""
    commands: list[str] = Field(default_factory=list)
    outcome: Literal["", "done", "incomplete", "interrupted", "failed", "unknown"] = ""
    said: list[str] = Field(default_factory=list)


class RunningRelease(Part):
    """How much of what the running release does was tried, before the migrations and after them."""

    statements: Count = 0
    """Tried after the migrations: those that worked before."""
    relations: Count = 0
    not_tried: list[str] = Field(default_factory=list)
    """What could not be tried, each with the reason."""
    duration_ms: Amount = 0


class Artifacts(Part):
    """The files beside report.json."""

    signoff: str
    annex: str | None
    """null: this run has none."""
    checklist: str
