"""A pytest plugin for the benchmark: how long filling the target from its baseline takes, once its server runs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: pytest.FixtureRequest) -> Generator[None, object, object]:
    """Time the fixture `database` alone."""
    if fixturedef.argname != "database":
        return (yield)
    request.getfixturevalue("dryrun").server()
    began = time.perf_counter()
    result = yield
    taken_ms = (time.perf_counter() - began) * 1000
    Path(os.environ["DRYRUN_BENCH_CLOCK"]).write_text(json.dumps({"baseline_ms": taken_ms}), encoding="utf-8")
    return result
