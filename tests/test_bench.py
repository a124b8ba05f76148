"""`bench/run.py` still runs and writes what it promises; how fast things are is nothing a test can tell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from staging import staging_stand  # noqa: F401 - a fixture

pytestmark = pytest.mark.live

BENCH = Path(__file__).parent.parent / "bench"
FIGURES = {
    "fingerprint / count(*)",
    "fingerprint / dump",
    "semantic fingerprint / count(*)",
    "semantic fingerprint / dump",
    "fingerprint with jsonb / count(*)",
    "checklist / runbook by hand",
    "pytest start with / without the plugin",
    "pytest start with all of it / pytest alone",
    "watched first pass / plain deploy",
    "watched first pass / plain deploy, parallel index builds",
}


SSH_FIGURES = {"SSH commands / ssh, multiplexed", "backup and proof over SSH / by hand"}


def hold(folder: Path, parts: list[str], figures: set[str]) -> dict[str, Any]:
    """Run these parts quickly, hold what they write against what is promised, and give it."""
    written = folder / "results.json"
    chosen = [word for part in parts for word in ("--only", part)]
    argv = [sys.executable, str(BENCH / "run.py"), "--quick", "--no-peers", f"--output={written}", *chosen]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    document: dict[str, Any] = json.loads(written.read_text(encoding="utf-8"))
    assert (1, True) == (document["schema"], document["quick"])
    assert {"cpu", "cores", "memory_bytes", "system", "python", "load", "load_after"} == set(document["machine"])
    assert figures == {each["figure"] for each in document["figures"]}
    for each in document["figures"]:
        quotient = each["ours_ms"] / each["theirs_ms"] if each["at_most"] else each["theirs_ms"] / each["ours_ms"]
        assert pytest.approx(each["ratio"], rel=0.05) == quotient
        assert (each["bound"] is None) == (each["met"] is None)
        assert each["samples_ms"]["ours"]
        assert each["samples_ms"]["theirs"]
        assert each["figure"] in " ".join(done.stdout.split()) or "│" in done.stdout
    return document


@pytest.mark.usefixtures("postgres")  # skipped by name where this machine has no server programs
def test_a_quick_run_writes_every_figure_with_its_bound_and_both_durations(tmp_path):
    """Each figure has a ratio, a bound or none, whether it is met, the milliseconds of both sides, and every sample."""
    hold(tmp_path, ["fingerprint", "checklist", "watched", "idle"], FIGURES)


@pytest.mark.usefixtures("postgres")
def test_the_labelled_set_is_part_of_the_results(tmp_path):
    """A quick run takes two of them and says how many, what is wrong by name, and how long it took."""
    found = hold(tmp_path, ["labelled"], set())["labelled"]
    assert 2 == found["migrations"] == found["unsafe"] + found["safe"]
    assert {"passed", "stopped", "other reason", "untold", "broken"} == set(found["wrong"])
    assert found["proofs"] >= 2
    assert [] == found["proofs_failed"]
    assert found["seconds"] > 0


@pytest.mark.usefixtures("postgres")
def test_the_figures_over_ssh_are_measured_on_the_stand(staging, tmp_path):
    """Against OpenSSH's own client, and nothing of it stays on the stand."""
    with staging.alone():
        hold(tmp_path, ["ssh"], SSH_FIGURES)
        assert "0" == staging.sql("SELECT count(*) FROM pg_database WHERE datname = 'bench'")
        assert "" == staging.root("sh", "-c", "find /var/backups/edfinance -name 'bench-*'")


def test_a_missed_bound_is_called_missed():
    """Neither direction of a bound is taken for the other."""
    sys.path.insert(0, str(BENCH))
    try:
        from figures import figure
    finally:
        sys.path.remove(str(BENCH))
    series = ("ours", [3.0, 2.0]), ("theirs", [1.0, 4.0])
    assert (2.0, False) == (
        figure("a", *series, bound=1.9, note="").ratio,
        figure("a", *series, bound=1.9, note="").met,
    )
    assert figure("a", *series, bound=2, note="").met is True
    assert figure("a", *series, bound=0.6, note="", faster=True).met is False
    assert figure("a", *series, bound=0.5, note="", faster=True).met is True
    assert figure("a", *series, bound=None, note="").met is None
