"""A whole dry run of a tiny project: what GO looks like, and that nothing less than everything is one."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from projects import CONFIGURATION, criterion, environment, outcome, report, run, write

from pytest_dryrun.report.schema import load_schema
from pytest_dryrun.workspace import default_base

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("postgres")]  # without server programs `postgres` skips by name


def test_a_safe_migration_is_go(tmp_path):
    """Exit 0, a valid report, the page, the annex, the checklist, and an entry in the history."""
    done = run(write(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    document = report(tmp_path)
    jsonschema.validate(document, load_schema())
    assert ("GO", True, "GO") == (document["decision"], document["finished"], document["headline"])
    assert document["migrations"] == {
        "tool": "sql",
        "applied_before": ["001_init.sql"],
        "pending": ["002_pending.sql"],
        "applied": ["002_pending.sql"],
    }
    assert {"none", "rows-added"} >= {table["change"] for table in document["tables"]}
    folder = tmp_path / "reports" / "local"
    assert "GO" in (folder / "signoff.html").read_text(encoding="utf-8")
    assert "All migrations applied" in (folder / "pytest.html").read_text(encoding="utf-8")
    assert "- [x]" in (folder / "checklist.md").read_text(encoding="utf-8")
    assert "002_pending.sql" in (tmp_path / "docs" / "MIGRATION_HISTORY.md").read_text(encoding="utf-8")
    assert str(folder / "signoff.html") in done.stdout
    backup = Path(document["backup"]["file"])
    assert (0o600, 0o700) == (backup.stat().st_mode & 0o777, backup.parent.stat().st_mode & 0o777)


def test_a_destructive_migration_is_no_go_and_the_target_is_not_touched(tmp_path):
    """Exit 1, the reason with its numbers, everything after section 4 blocked."""
    done = run(write(tmp_path, pending="SET lock_timeout = '2s';\nALTER TABLE customer DROP COLUMN email;\n"))
    assert done.returncode == 1
    document = report(tmp_path)
    assert document["decision"] == document["headline"] == "NO-GO"
    assert document["target_migrated"] is False
    state, reason = outcome(document, "no-destructive-operations")
    assert state == "failed"
    assert "email" in reason
    assert "500" in reason
    state, reason = outcome(document, "migrations-applied")
    assert state == "blocked"
    assert reason == "blocked by 4.2 no-destructive-operations (failed): the target was not touched"
    assert not (tmp_path / "docs").exists()
    assert "no-destructive-operations" in done.stdout or "Nothing that holds data" in done.stdout


def test_a_waiver_with_its_reason_lets_it_pass(tmp_path):
    """The waived check says so, and its criterion still has passed ones."""
    pending = (
        "SET lock_timeout = '2s';\n"
        "-- dryrun: allow column-dropped because nothing has read it since March\n"
        "ALTER TABLE customer DROP COLUMN email;\n"
    )
    done = run(write(tmp_path, pending=pending))
    assert done.returncode == 0, done.stdout
    assert ("waived", "column-dropped waived: nothing has read it since March") == outcome(
        report(tmp_path), "no-destructive-operations"
    )


def test_an_expired_waiver_is_a_reason_itself(tmp_path):
    """It excuses nothing and turns its own check red."""
    configuration = CONFIGURATION + (
        '[[waivers]]\nrule = "column-dropped"\nmigration = "002_pending.sql"\nreason = "old"\nexpires = 2020-01-01\n'
    )
    done = run(write(tmp_path, pending="ALTER TABLE customer DROP COLUMN email;\n", configuration=configuration))
    assert done.returncode == 1
    document = report(tmp_path)
    assert "expired on 2020-01-01" in outcome(document, "pending-migrations")[1]
    assert outcome(document, "no-destructive-operations")[0] == "failed"


def test_a_failing_migration_names_its_statement(tmp_path):
    """The copy shows what the target would have said."""
    done = run(write(tmp_path, pending="SELECT 1;\nALTER TABLE customer ADD COLUMN name text;\n"))
    assert done.returncode == 1
    document = report(tmp_path)
    finding = next(finding for finding in document["findings"] if finding["rule"] == "statement-failed")
    assert ("002_pending.sql", 2, "42701") == (finding["migration"], finding["line"], finding["evidence"]["sqlstate"])
    assert outcome(document, "safe-defaults")[0] == "blocked"


OWN = '''
"""Own"""
from pytest_dryrun import check

@check("own-green", criterion="latency")
def test_own_green(record):
    """Fine."""
    record.fact("Answer", 42)

@check("own-red", criterion="latency"{more})
def test_own_red():
    """Not fine."""
    assert 1 == 2, "one is not two"
'''


def test_a_projects_own_check_counts(tmp_path):
    """Its failure is a reason; its facts are on the page."""
    done = run(write(tmp_path, checks={"test_09_own.py": OWN.replace("{more}", "")}))
    assert done.returncode == 1
    document = report(tmp_path)
    assert document["headline"] == "ROLLBACK & FIX"
    assert any("9.8 own-red failed: one is not two" in reason for reason in criterion(document, "latency")["reasons"])
    own = next(check for check in document["checks"] if check["slug"] == "own-green")
    assert [{"name": "Answer", "value": 42, "unit": ""}] == own["facts"]


def test_an_advisory_check_that_fails_leaves_the_go_and_exit_0(tmp_path):
    """Only the decision sets the exit status, whatever pytest itself thought."""
    done = run(write(tmp_path, checks={"test_09_own.py": OWN.replace("{more}", ", blocking=False")}))
    assert done.returncode == 0, done.stdout
    assert outcome(report(tmp_path), "own-red") == ("failed", "one is not two\nassert 1 == 2")


@pytest.mark.parametrize(
    "arguments",
    [
        ["-k", "backup"],
        ["-k", "not rows_intact"],
        ["--deselect", "test_06_integrity.py::test_rows_intact[local]"],
        ["--ignore", "{checks}/test_08_rollback.py"],
        ["{checks}/test_05_apply.py"],
        ["--setup-plan"],
        ["--collect-only"],
        ["-k", "nothing_is_called_so"],
        ["-p", "no:html", "-k", "backup"],
        ["-m", "live"],
    ],
    ids=lambda arguments: " ".join(arguments).replace("{checks}/", ""),
)
def test_less_than_everything_is_never_go(tmp_path, arguments):
    """However the selection is made smaller, the exit status is not 0 and the report is no GO."""
    from pytest_dryrun.checklist import shipped_folder

    write(tmp_path)
    done = run(tmp_path, *(argument.replace("{checks}", str(shipped_folder())) for argument in arguments))
    assert done.returncode != 0, done.stdout
    path = tmp_path / "reports" / "local" / "report.json"
    assert not path.exists() or json.loads(path.read_text(encoding="utf-8"))["decision"] == "NO-GO"


@pytest.mark.parametrize("arguments", [["-x"], ["--maxfail=1"], ["--exitfirst", "-n", "1"]], ids=" ".join)
def test_stopping_at_the_first_failure_is_no_go(tmp_path, arguments):
    """What was not run any more is named as not run."""
    checks = {"test_01_own.py": '@check("own-red")\ndef test_own_red():\n    """No."""\n    assert 0, "red"\n'}
    checks = {name: "from pytest_dryrun import check\n" + text for name, text in checks.items()}
    done = run(write(tmp_path, checks=checks), *arguments)
    assert done.returncode in {1, 2}
    document = report(tmp_path)
    assert document["decision"] == "NO-GO"
    assert outcome(document, "backup-created")[0] == "not-run"


def test_the_last_failed_alone_are_never_go(tmp_path):
    """`--lf` after a red run sees a few checks, and says so of the others."""
    flaky = (
        "from pathlib import Path\nfrom pytest_dryrun import check\n@check('flaky')\ndef test_flaky():\n"
        '    """Red once."""\n    mark = Path("seen")\n    seen = mark.exists()\n    mark.touch()\n    assert seen\n'
    )
    write(tmp_path, checks={"test_09_own.py": flaky})
    assert run(tmp_path).returncode == 1
    done = run(tmp_path, "--lf")
    assert "1 passed" in done.stdout
    assert done.returncode == 1
    assert outcome(report(tmp_path), "rows-intact")[0] == "not-run"


def test_xdist_keeps_a_target_together_and_decides_the_same(tmp_path):
    """Two targets on two workers: each has its own report, the exit status is the worst of them."""
    two = CONFIGURATION + CONFIGURATION[
        CONFIGURATION.index("[targets.local]") : CONFIGURATION.index("[decision")
    ].replace("targets.local", "targets.other").replace("001_init.sql", "002_pending.sql")
    write(tmp_path, configuration=two)
    done = run(tmp_path, "-n", "2", target="*")
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = report(tmp_path), report(tmp_path, "other")
    assert ("GO", "GO") == (first["decision"], second["decision"])
    assert ["002_pending.sql"] == first["migrations"]["applied"]
    assert [] == second["migrations"]["applied"]
    assert (tmp_path / "reports" / "other" / "pytest.html").is_file()


def test_a_worker_that_dies_is_no_go(tmp_path):
    """What it had not finished was not run."""
    dying = (
        "import os\nfrom pytest_dryrun import check\n@check('dying')\ndef test_dying():\n"
        '    """Takes its process down."""\n    os._exit(9)\n'
    )
    done = run(write(tmp_path, checks={"test_02_own.py": dying}), "-n", "1", "--max-worker-restart=0")
    assert done.returncode != 0
    document = report(tmp_path)
    assert document["decision"] == "NO-GO"
    assert outcome(document, "dying")[0] == "not-run"
    assert report(tmp_path)["state_unknown"] is True
    assert "Whether the target was migrated is not known here" in " ".join(done.stdout.split())


@pytest.mark.parametrize("distribution", ["each", "loadfile", "loadscope", "worksteal"])
def test_taking_the_steps_apart_is_refused(tmp_path, distribution):
    """Other ways of spreading would back up on one worker and apply on another."""
    done = run(write(tmp_path), "-n", "2", "--dist", distribution)
    assert done.returncode == 4
    assert "would take the steps of one dry run apart" in done.stderr
    assert not (tmp_path / "reports").exists()


SLOW = (
    "import time\nfrom pathlib import Path\nfrom pytest_dryrun import check\n"
    "@check('slow')\ndef test_slow(rehearsal):\n"
    '    """Takes its time."""\n    Path("reached").touch()\n    time.sleep(60)\n'
)


@contextlib.contextmanager
def sleeping(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run whose own check in section 4 sleeps by now."""
    argv = [sys.executable, "-m", "pytest", "--dryrun-target=local"]
    silent = subprocess.DEVNULL
    with subprocess.Popen(argv, cwd=folder, stdout=silent, stderr=silent, env=environment()) as process:
        deadline = time.monotonic() + 90
        while not (folder / "reached").exists():
            assert process.poll() is None, "ended too early"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process


def interrupted(folder: Path, signum: int) -> int:
    """Start a run, wait until its own check in section 4 sleeps, send a signal, return the exit status."""
    with sleeping(folder) as process:
        process.send_signal(signum)
        return process.wait(60)


def leftovers(run_id: str) -> list[str]:
    """Folders and processes of this run on this machine."""
    found = [str(path) for path in default_base().glob(f"{run_id}*")]
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            text = (entry / "cmdline").read_bytes() + bytes((entry / "cwd").readlink())
        except OSError:
            continue
        if run_id.encode() in text:
            found.append(text.decode(errors="replace"))
    return found


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "terminated"])
def test_an_interrupted_run_is_no_go_and_leaves_nothing(tmp_path, signum):
    """Exit 2, a finished NO-GO that says so, no server, no folder."""
    folder = write(tmp_path, checks={"test_04_own.py": SLOW})
    assert interrupted(folder, signum) == 2
    document = report(folder)
    assert ("NO-GO", True) == (document["decision"], document["finished"])
    assert any("interrupted" in note for note in document["notes"])
    assert [] == leftovers(document["run_id"])


@pytest.fixture
def place_of_its_own(monkeypatch):
    """A folder for temporary files in which no other run on this machine clears up."""
    with tempfile.TemporaryDirectory(prefix="dryrun-") as place:
        Path(place).chmod(0o1777)
        monkeypatch.setenv("TMPDIR", place)
        monkeypatch.setattr(tempfile, "tempdir", place)
        yield


@pytest.mark.usefixtures("place_of_its_own")
def test_a_killed_run_leaves_an_unfinished_no_go_and_the_next_one_clears_up(tmp_path):
    """SIGKILL: the old GO is gone; the next run ends the stray server and says so."""
    folder = write(tmp_path)
    assert run(folder).returncode == 0
    assert report(folder)["decision"] == "GO"
    write(folder, checks={"test_04_own.py": SLOW})
    assert interrupted(folder, signal.SIGKILL) == -signal.SIGKILL
    document = report(folder)
    assert ("NO-GO", False) == (document["decision"], document["finished"])
    assert "unfinished" in (folder / "reports" / "local" / "signoff.html").read_text(encoding="utf-8").lower()
    assert leftovers(document["run_id"])
    (folder / "checks" / "test_04_own.py").unlink()
    assert run(folder).returncode == 0
    assert any("What killed runs had left behind was removed" in note for note in report(folder)["notes"])
    assert [] == leftovers(document["run_id"])


def test_two_runs_of_one_target_do_not_meet(tmp_path):
    """The second refuses with exit 4 and leaves the first alone."""
    folder = write(tmp_path, checks={"test_04_own.py": SLOW})
    with sleeping(folder) as first:
        second = run(folder)
        assert second.returncode == 4
        assert "Another dry run of this target is going on" in second.stderr + second.stdout
        assert report(folder)["finished"] is False
        first.send_signal(signal.SIGINT)
        assert first.wait(60) == 2


def test_no_secret_reaches_a_file_or_the_terminal(tmp_path, monkeypatch):
    """A token is printed, raised, recorded and returned by a query; it is found nowhere, in no spelling."""
    token = "s3cr&t/<token>"
    monkeypatch.setenv("TOKEN", token)
    configuration = CONFIGURATION + '[targets.local.api]\nbase_url = "http://127.0.0.1:9"\ntoken = "${TOKEN}"\n'
    telling = (
        "import os, warnings\nfrom urllib.parse import quote\nfrom pytest_dryrun import check\n@check('telling')\n"
        'def test_telling(record):\n    """Tells everything."""\n    token = os.environ["TOKEN"]\n    print(token)\n'
        '    record.fact("Token", token)\n    record.fact(token, quote(token, safe=""))\n    assert token == 1, token\n'
    )
    done = run(
        write(tmp_path, configuration=configuration, checks={"test_01_own.py": telling}),
        "--showlocals",
        "-rA",
        "--junitxml=junit.xml",
    )
    assert done.returncode == 1
    written = [
        path for path in tmp_path.rglob("*") if path.is_file() and path.suffix in {".html", ".json", ".md", ".xml"}
    ]
    assert len(written) >= 5
    for spelling in (token, "s3cr%26t%2F%3Ctoken%3E", "s3cr&amp;t/&lt;token&gt;"):
        assert spelling not in done.stdout + done.stderr
        for path in written:
            assert spelling not in path.read_text(encoding="utf-8"), path


def test_a_terminal_shows_the_long_steps_and_keeps_its_lines(tmp_path):
    """On a terminal the step's name turns below pytest's line; afterwards that line is whole."""
    leader, follower = pty.openpty()
    argv = [sys.executable, "-m", "pytest", "--dryrun-target=local", "-p", "no:randomly"]
    wide = environment(TERM="xterm", COLUMNS="100")
    with subprocess.Popen(argv, cwd=write(tmp_path), stdout=follower, stderr=follower, env=wide) as process:
        os.close(follower)
        seen = b""
        with contextlib.suppress(OSError):  # the terminal's other end is gone: all of it was read
            while chunk := os.read(leader, 65536):
                seen += chunk
        os.close(leader)
        assert process.wait(30) == 0
    for step in ("Starting a disposable PostgreSQL", "Restoring the backup", "Rehearsing the pending migrations"):
        assert step.encode() in seen
    assert b"\x1b[1A" in seen
