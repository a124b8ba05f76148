"""Tiny projects for the plugin's own tests: real migrations on a real disposable server, a second or two a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

CONFIGURATION = """
[project]
name = "tiny"
executed_by = "the tests"
history = "docs/MIGRATION_HISTORY.md"

[targets.local]
role = "local"

[targets.local.postgres]
provider = "binaries"

[targets.local.baseline]
through = "001_init.sql"
seed = "seed.sql"

[targets.local.migrations]
tool = "sql"
directory = "migrations"

[targets.local.performance]
samples = 20
queries = ["SELECT count(*) FROM customer"]

[targets.local.backup]
min_free = "1MB"

[decision.not_required]
crud-pass = "the project has no API"
"""

INIT = """
CREATE TABLE customer (id bigint PRIMARY KEY, name text NOT NULL, email text);
CREATE TABLE "order" (
    id bigint PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customer (id),
    total numeric(10, 2) NOT NULL
);
CREATE INDEX order_customer ON "order" (customer_id);
"""
SEED = """
INSERT INTO customer SELECT i, 'customer ' || i, 'c' || i || '@example.com' FROM generate_series(1, 500) i;
INSERT INTO "order" SELECT i, 1 + i % 500, i * 1.25 FROM generate_series(1, 2000) i;
"""
SAFE = "SET lock_timeout = '1s';\nALTER TABLE customer ADD COLUMN country text NOT NULL DEFAULT 'SE';\n"


def write(
    folder: Path,
    *,
    pending: str | None = SAFE,
    configuration: str = CONFIGURATION,
    checks: dict[str, str] | None = None,
    init: str = INIT,
    seed: str = SEED,
) -> Path:
    """Write a project with one pending migration into a folder; `checks` are files of its own checks."""
    (folder / "migrations").mkdir(parents=True, exist_ok=True)
    (folder / "dryrun.toml").write_text(configuration, encoding="utf-8")
    (folder / "migrations" / "001_init.sql").write_text(init, encoding="utf-8")
    if pending is not None:
        (folder / "migrations" / "002_pending.sql").write_text(pending, encoding="utf-8")
    (folder / "seed.sql").write_text(seed, encoding="utf-8")
    for name, text in (checks or {}).items():
        (folder / "checks").mkdir(exist_ok=True)
        (folder / "checks" / name).write_text(text, encoding="utf-8")
    return folder


def environment(**more: str) -> dict[str, str]:
    """This process's own, without what is meant for the outer run alone.

    Modules stay compiled between runs, and hypothesis, of which no checklist knows, is not loaded: two seconds each.
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    ours.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**ours, "PYTEST_ADDOPTS": "-p no:hypothesispytest", **more}


def run(folder: Path, *arguments: str, target: str = "local", **more: str) -> subprocess.CompletedProcess[str]:
    """Run the checklist as a user does: in the project's folder, in a process of its own."""
    argv = [sys.executable, "-m", "pytest", *([f"--dryrun-target={target}"] if target else []), *arguments]
    return subprocess.run(
        argv, cwd=folder, capture_output=True, text=True, timeout=180, check=False, env=environment(**more)
    )


def report(folder: Path, target: str = "local") -> dict[str, Any]:
    """What a run wrote."""
    written: dict[str, Any] = json.loads((folder / "reports" / target / "report.json").read_text(encoding="utf-8"))
    return written


def outcome(document: dict[str, Any], slug: str) -> tuple[str, str]:
    """Outcome and reason of one check."""
    found = next(check for check in document["checks"] if check["slug"] == slug)
    return found["outcome"], found["reason"]


def criterion(document: dict[str, Any], key: str) -> dict[str, Any]:
    """One row of the matrix."""
    return next(row for row in document["criteria"] if row["id"] == key)
