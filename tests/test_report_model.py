"""One typed model of the report: what is built through it, what it refuses, and that building changes no value."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import sample_documents as samples
from jsonschema import Draft202012Validator

from pytest_dryrun.config import Project
from pytest_dryrun.model.decision import TITLES, decide
from pytest_dryrun.model.values import (
    Change,
    CheckRecord,
    CheckSpec,
    Finding,
    Outcome,
    Severity,
    StatementRun,
    TableComparison,
    as_json,
)
from pytest_dryrun.report import document, files, parts, verdict
from pytest_dryrun.report.model import SCHEMA, Report
from pytest_dryrun.report.schema import load_schema

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
HEAD = document.heading(Project(name="shop"), "local", "local", "run-1", "me", NOON)
SPECS = [
    CheckSpec(f"check-{at}", at, 1, f"Section {at}", f"Claim {at}", "Why.", name, True, "checks/x.py", "test")
    for at, name in enumerate(TITLES, start=1)
]
PASSED = {spec.slug: CheckRecord(spec.slug, Outcome.PASSED) for spec in SPECS}


def build(records: dict[str, CheckRecord] = PASSED, **published: Any) -> dict[str, Any]:
    """A finished run that passed, with these parts."""
    return document.build(HEAD, SPECS, records, as_json(published), decide(SPECS, records), finished_at=NOON)


def test_a_run_without_parts_is_a_whole_report() -> None:
    """Every field is there, in the model's order, and the schema that is generated from the model accepts it."""
    made = build()
    assert "GO" == made["decision"]
    assert SCHEMA == made["schema"]
    assert [field.alias or name for name, field in Report.model_fields.items()] == list(made)
    Draft202012Validator(load_schema()).validate(made)
    assert made == verdict.settle(made)


def test_building_changes_no_value_and_no_order() -> None:
    """Whole numbers stay whole, times stay fractions, what is added stays, and each part keeps the order it came in."""
    statement = StatementRun("001", 3, "SELECT 1", 1, read_stall_ms=0.5)
    table = TableComparison('"t"', 1, None, Change.DROPPED, keys=("1",))
    finding = Finding(
        "rows-lost", Severity.BLOCKER, "gone", "001", 3, '"t"', {"rows": 1}, object="t_key", cascaded=True
    )
    failed = CheckRecord("check-1", Outcome.FAILED, "no", 2, findings=(finding,), blocked_by=("check-2",))
    made = build(
        PASSED | {"check-1": failed},
        statements=[as_json(statement) | {"novelty": 1}],
        tables=[table],
        backup={"file": "b", "size_bytes": 7, "sha256": "ab" * 32, "dump_ms": 0, "restore_ms": 2.5},
    )
    shown = made["statements"][0]
    assert [1, 0.5, 1] == [shown["duration_ms"], shown["read_stall_ms"], shown["novelty"]]
    assert '"duration_ms": 1,' in files.as_text(made)
    assert '"dump_ms": 0,' in files.as_text(made)
    assert [name for name in as_json(statement) if name != "count"] == list(shown)[: -len(("count", "novelty"))]
    assert as_json(table).items() <= made["tables"][0].items()
    assert json.dumps(as_json(finding)) == json.dumps(made["checks"][0]["findings"][0])
    assert ["check-2"] == made["checks"][0]["blocked_by"]
    assert {**as_json(finding), "check": "check-1"} == made["findings"][0]
    Draft202012Validator(load_schema()).validate(made)


@pytest.mark.parametrize(
    ("published", "place"),
    [
        ({"statements": [{"migration": "001"}]}, "statements.0.line"),
        (
            {"tables": [{**as_json(TableComparison("t", 1, 1, Change.NONE)), "rows_after": "many"}]},
            "tables.0.rows_after",
        ),
        ({"target_migrated": "yes"}, "target_migrated"),
    ],
)
def test_a_run_that_breaks_the_model_is_no_go_and_says_where(published: dict[str, Any], place: str) -> None:
    """A mistake of the plugin's own neither loses the report nor leaves a GO."""
    made = build(**published)
    assert "NO-GO" == made["decision"]
    assert f"the report breaks its own schema at {place}" in made["notes"][0]
    row = next(row for row in made["criteria"] if row["id"] == "no-p0")
    assert (False, made["notes"][0]) == (row["met"], row["reasons"][0])


@pytest.mark.parametrize(
    ("published", "settled"),
    [({}, ""), ({"target_migrated": True}, "ROLLBACK & FIX"), ({"rollback": {"host": "db1"}}, "NO-GO")],
)
def test_what_a_document_lacks_is_what_the_model_says(published: dict[str, Any], settled: str) -> None:
    """A document of another age, at any depth: unknown is empty, and nothing that it holds is changed."""
    kept = {name: samples.no_go()[name] for name in load_schema()["required"]}
    whole = verdict.settle({**kept, **published})
    assert (settled or "NO-GO") == whole["headline"]
    assert kept.items() <= whole.items()
    assert {**parts.Rollback().document(), **published.get("rollback", {})} == whole["rollback"]
    Report.model_validate(whole)


@pytest.mark.parametrize("sample", [samples.go, samples.no_go, samples.rollback_and_fix, samples.unfinished])
def test_the_samples_are_reports(sample: Any) -> None:
    """What the other tests render is what a run writes."""
    assert sample() == Report.model_validate(sample()).document()


def test_the_schema_tells_what_each_field_means() -> None:
    """Parts and fields that a name does not explain carry a description."""
    schema = load_schema()
    assert all(part.get("description") for part in schema["$defs"].values())
    assert "undetermined" in schema["$defs"]["Criterion"]["properties"]["met"]["description"]
    assert list(TITLES) == schema["$defs"]["Criterion"]["properties"]["id"]["enum"]
