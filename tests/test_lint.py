"""Squawk's advice, and that its absence is said and harms nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.model.values import Severity
from pytest_dryrun.rehearsal.judge.lint import find_squawk, lint


def migration(name: str, sql: str) -> Migration:
    """Make a migration of one file."""
    return Migration(name, f"{name}/migration.sql", sql, "0" * 64, ())


def script(path: Path, text: str) -> Path:
    """Write an executable that behaves like this."""
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o700)
    return path


def test_advice_names_rule_file_and_line() -> None:
    """Each piece of advice is information and points at the right file and 1-based line."""
    found = lint(
        [migration("one", "SELECT 1;\n"), migration("two/../ö", "-- é\n\nCREATE INDEX i ON t (a);\n")],
        version_num=150018,
        in_transaction=True,
    )
    (index,) = [finding for finding in found if finding.rule == "lint/require-concurrent-index-creation"]
    assert (Severity.INFO, "two/../ö", 3) == (index.severity, index.migration, index.line)
    assert index.message.startswith("two/../ö:3: ")


def test_nothing_pending_needs_no_advice() -> None:
    """Without migrations nothing is started."""
    assert () == lint([], version_num=150018, in_transaction=True, binary=Path("/nonexistent"))


def test_unreadable_sql_is_advice_too() -> None:
    """A syntax error comes as information: the server is the one to refuse."""
    found = lint([migration("m", "CREATE TABL x (")], version_num=160000, in_transaction=False)
    assert {"lint/syntax-error"} == {finding.rule for finding in found}


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        pytest.param("echo oops >&2; exit 101", "status 101 and no readable answer: oops", id="crashes"),
        pytest.param('echo \'[{"file": "0000.sql"}]\'', "no readable answer", id="answers something else"),
        pytest.param("exec sleep 5", "did not end within 0.2 s", id="hangs"),
    ],
)
def test_squawk_that_fails_is_one_warning(tmp_path: Path, behaviour: str, says: str) -> None:
    """A squawk that crashes, hangs or talks nonsense gives a warning that there is no advice."""
    (found,) = lint(
        [migration("m", "SELECT 1")],
        version_num=150018,
        in_transaction=True,
        timeout_s=0.2 if "sleep" in behaviour else 30,
        binary=script(tmp_path / "squawk", behaviour),
    )
    assert ("lint/unavailable", Severity.WARNING) == (found.rule, found.severity)
    assert says in found.message


def test_missing_squawk_is_one_warning(tmp_path: Path) -> None:
    """A binary that cannot be started is said, not raised."""
    (found,) = lint([migration("m", "SELECT 1")], version_num=150018, in_transaction=True, binary=tmp_path / "none")
    assert "could not be started" in found.message


def test_the_wheel_s_binary_is_found() -> None:
    """The installed package brings the binary."""
    path = find_squawk()
    assert path is not None
    assert path.is_file()
