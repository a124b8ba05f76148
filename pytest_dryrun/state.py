"""What one session with `--dryrun-target` knows: read by its beginning, its collection and its end alike."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytest_dryrun.checklist import Checklist
from pytest_dryrun.config_file import Loaded
from pytest_dryrun.ledger import Ledger
from pytest_dryrun.model.redaction import Redactor


@dataclass(slots=True)
class State:
    """Configuration, checklists and ledgers by target; the end of the session fills `documents` and `decisions`."""

    config: pytest.Config
    loaded: Loaded
    checklists: Mapping[str, Checklist]
    report_directory: Path
    redactor: Redactor
    ledgers: Mapping[str, Ledger]
    executed_by: str
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    decisions: dict[str, str] = field(default_factory=dict)

    def directory(self, target: str) -> Path:
        """Where one target's reports go."""
        return self.report_directory / target

    def trouble(self, text: str) -> None:
        """Something happened to the whole run that forbids a GO for every target."""
        for ledger in self.ledgers.values():
            ledger.trouble(self.redactor.text(text))


def operator() -> str:
    """Who runs this, where the configuration names nobody."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in many containers
        return f"uid {os.getuid()}"
