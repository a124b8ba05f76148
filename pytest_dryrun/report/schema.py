"""The JSON Schema that every report.json keeps."""

from __future__ import annotations

from typing import Any

from pytest_dryrun.report.model import Report


def load_schema() -> dict[str, Any]:
    """Generate it (JSON Schema 2020-12) from the report's model: strict on promised fields, open for additions.

    It also says what no single field can: a GO needs a finished run and every required criterion met.
    """
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Report.model_json_schema()}
