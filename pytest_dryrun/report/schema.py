"""The JSON Schema that every report.json keeps."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def load_schema() -> dict[str, Any]:
    """Read `report.schema.json` (JSON Schema 2020-12): strict on the promised fields, open for additions.

    It also says what no single field can: a GO needs a finished run and every required criterion met.
    """
    text = files(__package__).joinpath("report.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
