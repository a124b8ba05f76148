"""Whoever would have to wait keeps the target from being touched, unless a maintenance window says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import CONFIGURATION, criterion, outcome, report, run, write

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("postgres")]  # without server programs `postgres` skips by name

# Each is red in `stalls` and nowhere else.
LOCKED_ROWS = "BEGIN;\nUPDATE customer SET name = name WHERE id < 4;\nSELECT pg_sleep(1.3);\nCOMMIT;\n"
QUEUE = "ALTER TABLE customer ADD COLUMN country text;\n"
BLOCKED = "SET lock_timeout = '1s';\nBEGIN;\nLOCK TABLE customer IN SHARE MODE;\nSELECT pg_sleep(1.3);\nCOMMIT;\n"
LONG = "\n[targets.local.stalls]\nlongest_transaction_ms = 60000\n"
WINDOW = CONFIGURATION.replace("[decision.not_required]", '[decision.not_required]\nno-stalls = "a window at night"')


@pytest.mark.parametrize(
    ("pending", "settings", "rule"),
    [
        pytest.param(LOCKED_ROWS, "", "rows-locked", id="rows"),
        pytest.param(QUEUE, LONG, "lock-queue", id="queue"),
        pytest.param(BLOCKED, "", "writes-blocked", id="table"),
    ],
)  # fmt: skip
def test_who_would_wait_keeps_the_target_untouched(tmp_path: Path, pending: str, settings: str, rule: str) -> None:
    """Found on the copy, told as what blocked the deployment."""
    done = run(write(tmp_path, pending=pending, configuration=CONFIGURATION + settings))
    assert done.returncode == 1
    document = report(tmp_path)
    assert ("NO-GO", False) == (document["decision"], document["target_migrated"])
    assert [] == document["migrations"]["applied"]
    assert "blocked by 9.3 stalls (failed): the target was not touched" == outcome(document, "migrations-applied")[1]
    assert {rule} == {each["rule"] for each in document["findings"] if each["severity"] == "blocker"}
    assert criterion(document, "no-stalls")["met"] is False


def test_in_a_maintenance_window_it_is_deployed(tmp_path: Path) -> None:
    """Where nobody works meanwhile, waiting stops neither deployment nor decision, and the page says so."""
    done = run(write(tmp_path, pending=BLOCKED, configuration=WINDOW))
    assert done.returncode == 0, done.stdout
    document = report(tmp_path)
    assert ("GO", True) == (document["decision"], document["target_migrated"])
    assert "failed" == outcome(document, "stalls")[0]
    said = "Not required: a window at night; what 9.3 stalls found blocks neither the deployment nor the decision"
    assert said in criterion(document, "no-stalls")["reasons"]
    assert said in (tmp_path / "reports" / "local" / "signoff.html").read_text(encoding="utf-8")
    assert said in " ".join(done.stdout.split())


def test_a_queue_of_unknown_length_is_told_above_everything(tmp_path: Path) -> None:
    """A warning in the terminal's summary and on the page, before the matrix; the second pass has shown it."""
    done = run(write(tmp_path, pending=QUEUE))
    assert done.returncode == 0, done.stdout
    document = report(tmp_path)
    (found,) = [each for each in document["findings"] if each["rule"] == "lock-queue"]
    assert ("warning", "stalls") == (found["severity"], found["check"])
    assert ["readers", "writers"] == found["evidence"]["queued_behind_it"]
    summary = " ".join(done.stdout.partition("Migration dry run")[2].split())
    assert 0 < summary.index("lock-queue warning 002_pending.sql:1: takes Access") < summary.index("All migrations")
    page = (tmp_path / "reports" / "local" / "signoff.html").read_text(encoding="utf-8")
    assert 0 < page.index("Others may have to wait") < page.index('id="decision"')
    stalls = next(check for check in document["checks"] if check["slug"] == "stalls")
    facts = {fact["name"]: fact["value"] for fact in stalls["facts"]}
    assert facts["Watched first pass"] > 0
    assert 0 < facts["Second pass"] < 15_000


def test_without_the_check_nothing_is_deployed(tmp_path: Path) -> None:
    """Whoever leaves out the check of waiting has not seen it pass."""
    done = run(write(tmp_path), "-k", "not stalls")
    assert done.returncode == 1
    document = report(tmp_path)
    assert document["target_migrated"] is False
    assert (
        "blocked by 9.3 stalls (was not run): the target was not touched" == outcome(document, "migrations-applied")[1]
    )
