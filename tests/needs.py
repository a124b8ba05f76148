"""What a test needs of the machine: without it the test is skipped by name, except where nothing may be skipped."""

from __future__ import annotations

import os

import pytest


def require(condition: object, reason: str) -> None:
    """Skip the test where the condition does not hold; in CI, where DRYRUN_NO_SKIP is set, fail it."""
    if condition:
        return
    if os.environ.get("DRYRUN_NO_SKIP"):
        pytest.fail(f"nothing may be skipped here, but: {reason}", pytrace=False)
    pytest.skip(reason)
