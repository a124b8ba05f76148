"""Squawk's static advice on the pending files: information beside what the copy showed, never a verdict."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.model.values import Finding, Severity

_UNAVAILABLE = "lint/unavailable"


def lint(
    migrations: Sequence[Migration],
    *,
    version_num: int,
    in_transaction: bool,
    timeout_s: float = 60,
    binary: Path | None = None,
) -> tuple[Finding, ...]:
    """Ask squawk about each file: `lint/RULE` findings of severity info, or one warning that there is no advice.

    `version_num` is the server's, `in_transaction` tells that a file runs as one transaction. A project's
    `.squawk.toml` is not read, so that the same file gets the same advice everywhere.
    """
    if not migrations:
        return ()
    program = binary or find_squawk()
    if program is None:
        return (_unavailable("squawk is not installed (the package squawk-cli brings it)"),)
    with tempfile.TemporaryDirectory(prefix="dryrun-lint-") as folder:
        files = {f"{position:04}.sql": migration for position, migration in enumerate(migrations)}
        for name, migration in files.items():
            (Path(folder) / name).write_text(migration.sql, encoding="utf-8", newline="")
        argv = [str(program), "--reporter", "json", "--pg-version", f"{version_num // 10000}.{version_num % 10000}"]
        argv += ["--assume-in-transaction"] if in_transaction else []
        try:
            done = subprocess.run(
                [*argv, *files],
                cwd=folder,
                capture_output=True,
                timeout=timeout_s,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            return (_unavailable(f"squawk did not end within {timeout_s:g} s"),)
        except OSError as error:
            return (_unavailable(f"squawk could not be started: {error.strerror}"),)
    try:
        entries = json.loads(done.stdout)
        return tuple(_finding(entry, files[Path(entry["file"]).name]) for entry in entries)
    except (ValueError, KeyError, TypeError):
        last = " ".join(done.stderr.decode("utf-8", "replace").split())[-200:]
        return (_unavailable(f"squawk ended with status {done.returncode} and no readable answer: {last}"),)


def find_squawk() -> Path | None:
    """Find the binary that the squawk-cli wheel brings: beside the interpreter, else among the wheel's files."""
    places = [Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))]
    found = [place / name for place in places for name in ("squawk", "squawk.exe")]
    try:
        files = metadata.files("squawk-cli") or []
    except metadata.PackageNotFoundError:
        files = []
    found += [Path(str(file.locate())) for file in files if file.name in {"squawk", "squawk.exe"}]
    return next((path for path in found if path.is_file()), None)


def _finding(entry: dict[str, Any], migration: Migration) -> Finding:
    line = int(entry["line"]) + 1  # squawk counts from 0
    advice = f" {entry['help']}" if entry.get("help") else ""
    return Finding(
        f"lint/{entry['rule_name']}",
        Severity.INFO,
        f"{migration.name}:{line}: {entry['message']}{advice}",
        migration=migration.name,
        line=line,
        evidence={"level": entry.get("level", ""), "column": int(entry.get("column", 0)) + 1},
    )


def _unavailable(why: str) -> Finding:
    return Finding(
        _UNAVAILABLE,
        Severity.WARNING,
        f"There is no static advice on the pending migrations: {why}. Nothing else depends on it.",
    )
