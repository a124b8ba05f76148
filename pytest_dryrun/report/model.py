"""The report as one typed model: every report.json is built through it, and its JSON schema is generated from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, WithJsonSchema

from pytest_dryrun.model.decision import ALWAYS_REQUIRED, TITLES
from pytest_dryrun.report.measured import Latency, Load, Resource, TopStatement
from pytest_dryrun.report.parts import (
    INSTANT,
    Artifacts,
    Backup,
    Check,
    Criterion,
    Finding,
    Instant,
    ListedFinding,
    Migrations,
    Part,
    Project,
    Rollback,
    RunningRelease,
    Section,
    Statement,
    Table,
)

# Raised when the meaning of a field changes, never for an addition.
SCHEMA: Final = 2


def _earned(schema: dict[str, Any]) -> None:
    """A GO is earned: the run ended, every required row is met, and the rows that guard data are required."""
    met = {"required": {"const": True}, "met": {"const": True}}
    rows = [
        {"contains": {"type": "object", "required": ["id", *met], "properties": {"id": {"const": name}, **met}}}
        for name in TITLES
        if name in ALWAYS_REQUIRED
    ]
    every = {"if": {"properties": {"required": {"const": True}}}, "then": {"properties": {"met": {"const": True}}}}
    go = {
        "finished": {"const": True},
        "finished_at": {"type": "string", "pattern": INSTANT},
        "headline": {"const": "GO"},
        "criteria": {"allOf": rows, "items": every},
    }
    schema["if"] = {"properties": {"decision": {"const": "GO"}}}
    schema["then"] = {"description": (_earned.__doc__ or "").strip(), "properties": go}
    schema["else"] = {"properties": {"headline": {"enum": ["NO-GO", "ROLLBACK & FIX"]}}}


class Report(Part):
    """What one dry run of one target came to. Additions are free; a change of meaning raises `schema`."""

    model_config = ConfigDict(title="Dry run report", json_schema_extra=_earned)

    run_id: str = ""
    plugin_version: str = ""
    headline: Literal["GO", "NO-GO", "ROLLBACK & FIX"] = "NO-GO"
    sections: list[Section] = Field(default_factory=list)
    target_migrated: bool = False
    state_unknown: bool = False
    """Whether the target was migrated is not known."""
    rolled_back: bool = False
    rollback: Rollback = Field(default_factory=Rollback)
    running_release: RunningRelease = Field(default_factory=RunningRelease)
    versions: dict[str, Any] = Field(default_factory=dict)
    schema_diff: str = ""
    notes: list[str] = Field(default_factory=list)
    not_verified: list[str] = Field(default_factory=list)
    latency: Latency = Field(default_factory=Latency)
    resources: list[Resource] = Field(default_factory=list)
    resources_of_run: bool = False
    """Whether resources and load are of the whole run; what checks judge begins when the migrated target is used."""
    load: Load | None = None
    top_statements: list[TopStatement] = Field(default_factory=list)
    version: Annotated[int, Field(ge=SCHEMA, le=SCHEMA), WithJsonSchema({"const": SCHEMA})] = Field(alias="schema")
    finished: bool
    target: Annotated[str, Field(min_length=1)]
    role: Literal["local", "staging", "production"]
    project: Project
    started_at: Instant
    finished_at: Instant | Literal[""] | None
    decision: Literal["GO", "NO-GO"]
    criteria: list[Criterion]
    checks: list[Check]
    findings: list[ListedFinding]
    migrations: Migrations
    statements: list[Statement]
    tables: list[Table]
    backup: Backup | None
    artifacts: Artifacts

    @classmethod
    def settled(cls, document: Mapping[str, Any]) -> dict[str, Any]:
        """A document, of whatever age, with every addition at every depth; nothing is checked."""
        whole = cls.complete(document)
        parts: dict[str, type[Part]] = {"project": Project, "rollback": Rollback, "latency": Latency}
        parts["running_release"] = RunningRelease
        whole |= {name: part.complete(whole[name]) for name, part in parts.items()}
        lists: dict[str, type[Part]] = {"findings": ListedFinding, "statements": Statement, "tables": Table}
        whole |= {name: [part.complete(item) for item in whole[name]] for name, part in lists.items()}
        whole["criteria"] = [Criterion.complete(item) for item in whole["criteria"]]
        whole["resources"] = [Resource.complete(item) for item in whole["resources"]]
        whole["checks"] = [
            Check.complete({**check, "findings": [Finding.complete(item) for item in check["findings"]]})
            for check in whole["checks"]
        ]
        return whole
