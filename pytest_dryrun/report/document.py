"""The document of one dry run: `report.json`'s content, and what every page is rendered from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from pytest_dryrun import __version__
from pytest_dryrun.checklist import sections
from pytest_dryrun.config import Project
from pytest_dryrun.model.decision import Decision
from pytest_dryrun.model.values import CheckRecord, CheckSpec, Criterion, Outcome, as_json
from pytest_dryrun.report.model import SCHEMA, Report

# What the contract promises, while nothing of it is known.
NOTHING_YET: Mapping[str, Any] = {
    "migrations": {"tool": "", "applied_before": [], "pending": [], "applied": []},
    "statements": [],
    "tables": [],
    "backup": {},
}


@dataclass(frozen=True, slots=True)
class Heading:
    """What is known of a run before its first check."""

    target: str
    role: str
    run_id: str
    project: Mapping[str, str]
    started_at: datetime


def heading(project: Project, target: str, role: str, run_id: str, executed_by: str, started_at: datetime) -> Heading:
    """What stands above one target's report."""
    about = {
        "name": project.name,
        "epic": project.epic,
        "executed_by": executed_by,
        "reviewed_by": project.reviewed_by,
        "next_step": project.next_step,
    }
    return Heading(target, role, run_id, about, started_at)


def instant(moment: datetime) -> str:
    """UTC in ISO 8601, to the second, with `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def build(
    head: Heading,
    specs: Sequence[CheckSpec],
    records: Mapping[str, CheckRecord],
    parts: Mapping[str, Any],
    decision: Decision,
    *,
    troubles: Sequence[str] = (),
    finished_at: datetime | None = None,
    artifacts: Mapping[str, str | None] | None = None,
) -> dict[str, Any]:
    """Put everything together, typed; without `finished_at` the document is an unfinished NO-GO.

    `troubles` happened to the run as a whole (an interrupt, a lost worker): with any of them there is no GO. A content
    that breaks the model's promises is such a trouble.
    """

    def content(troubles: Sequence[str]) -> dict[str, Any]:
        return _content(
            head, specs, records, parts, decision, troubles=troubles, finished_at=finished_at, artifacts=artifacts
        )

    try:
        return Report.model_validate(content(troubles)).document()
    except ValidationError as error:
        return Report.settled(content([*troubles, *_broken(error)]))


def _content(
    head: Heading,
    specs: Sequence[CheckSpec],
    records: Mapping[str, CheckRecord],
    parts: Mapping[str, Any],
    decision: Decision,
    *,
    troubles: Sequence[str],
    finished_at: datetime | None,
    artifacts: Mapping[str, str | None] | None,
) -> dict[str, Any]:
    go = decision.go and finished_at is not None and not troubles
    checks = [_check(spec, records.get(spec.slug)) for spec in specs]
    return {
        "run_id": head.run_id,
        "plugin_version": __version__,
        "headline": "GO" if go else "ROLLBACK & FIX" if parts.get("target_migrated") else "NO-GO",
        "sections": [{"number": number, "title": title} for number, title in sections(specs)],
        "schema": SCHEMA,
        "finished": finished_at is not None,
        "target": head.target,
        "role": head.role,
        "project": dict(head.project),
        "started_at": instant(head.started_at),
        "finished_at": instant(finished_at) if finished_at else None,
        "decision": "GO" if go else "NO-GO",
        "criteria": [as_json(_troubled(row, troubles)) for row in decision.criteria],
        "checks": checks,
        "findings": [{**finding, "check": check["slug"]} for check in checks for finding in check["findings"]],
        **NOTHING_YET,
        **parts,
        "notes": [*troubles, *parts.get("notes", [])],
        "artifacts": dict(
            artifacts or {"signoff": "signoff.html", "annex": "pytest.html", "checklist": "checklist.md"}
        ),
    }


def _broken(error: ValidationError) -> list[str]:
    """What of the content breaks which promise."""
    return [
        f"the report breaks its own schema at {'.'.join(map(str, found['loc']))} ({found['msg']}): "
        "this is an error of the plugin or of a check of your own"
        for found in error.errors(include_url=False, include_input=False, include_context=False)[:3]
    ]


def _check(spec: CheckSpec, record: CheckRecord | None) -> dict[str, Any]:
    found = record or CheckRecord(spec.slug, Outcome.NOT_RUN, "it was not run")
    declared = {
        "slug": spec.slug,
        "number": spec.number,
        "section": spec.section,
        "section_title": spec.section_title,
        "title": spec.title,
        "explanation": spec.explanation,
        "criterion": spec.criterion,
        "blocking": spec.blocking,
    }
    return {**declared, **{key: value for key, value in as_json(found).items() if key != "slug"}}


def _troubled(row: Criterion, troubles: Sequence[str]) -> Criterion:
    """The row that stands for everything else carries what happened to the run as a whole."""
    if row.id != "no-p0" or not troubles:
        return row
    return replace(row, met=False, reasons=(*troubles, *row.reasons), own_reasons=(*troubles, *row.own_reasons))
