"""The hooks that this plugin calls; implement them in a `conftest.py` or a plugin of your own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest


@pytest.hookspec
def pytest_dryrun_secrets(target: str) -> Iterable[str]:  # type: ignore[empty-body]
    """Return further secrets of a target: each is kept out of every file and of the terminal, in every spelling."""


@pytest.hookspec
def pytest_dryrun_finished(target: str, document: dict[str, Any], directory: Path) -> None:
    """Look at a finished report (`report.json`'s content) and the folder it was written to; the decision stands."""
