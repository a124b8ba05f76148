"""The files of one target's report: report.json, signoff.html, checklist.md, and what stands there until then."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_dryrun.model.errors import DryRunError
from pytest_dryrun.report import annex, checklist, page, verdict
from pytest_dryrun.report.atomic import replace_all


@dataclass(frozen=True, slots=True)
class Written:
    """Where the report is, and the decision it states: NO-GO where the document's own content denied its GO."""

    report: Path
    signoff: Path
    checklist: Path
    decision: str


def write(document: verdict.Document, directory: Path) -> Written:
    """Write the three files atomically, report.json last; the folder is created.

    Everything is rendered and on disk before the first old file is replaced.
    Raises DryRunError when the folder cannot be written; then what stood there still stands.
    """
    settled = verdict.settle(document)
    written = Written(
        directory / "report.json", directory / "signoff.html", directory / "checklist.md", str(settled["decision"])
    )
    _replace(
        directory,
        {
            written.signoff: page.render(settled),
            written.checklist: checklist.render(settled),
            written.report: as_text(settled),
        },
    )
    return written


def write_unfinished(document: verdict.Document, directory: Path) -> Written:
    """Put an unfinished NO-GO in the place of every file, so that a killed run never leaves an old GO behind.

    report.json goes first: from its replacement on no program reads the old decision. Where this run makes no
    pytest.html of its own here, an earlier one is removed.
    """
    settled = verdict.settle(unfinished(document))
    written = Written(directory / "report.json", directory / "signoff.html", directory / "checklist.md", "NO-GO")
    texts = {
        written.report: as_text(settled),
        written.signoff: page.render(settled),
        written.checklist: checklist.render(settled),
    }
    own_annex = settled["artifacts"]["annex"] == "pytest.html"
    if own_annex:
        texts[directory / "pytest.html"] = annex.placeholder_html(settled)
    _replace(directory, texts, stale=() if own_annex else (directory / "pytest.html",))
    return written


def unfinished(document: verdict.Document) -> dict[str, Any]:
    """The document of a run that has not ended: NO-GO, every criterion undetermined."""
    criteria = [{**row, "met": None, "reasons": ["The run has not ended."]} for row in document["criteria"]]
    headline = "ROLLBACK & FIX" if document.get("target_migrated") else "NO-GO"
    return {**document, "finished": False, "decision": "NO-GO", "headline": headline, "criteria": criteria}


def as_text(document: verdict.Document) -> str:
    """The document as JSON in plain ASCII; a number that JSON does not know becomes null."""
    return json.dumps(_finite(document), indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def _replace(directory: Path, texts: Mapping[Path, str], *, stale: Iterable[Path] = ()) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        replace_all({path: text.encode() for path, text in texts.items()})
        for path in stale:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise DryRunError(
            f"The report could not be written to {directory}: {error.strerror or error}.",
            "Without a report there is no decision: treat this run as NO-GO.",
            "Make the folder writable or free some space, or name another one with --dryrun-report.",
        ) from error
