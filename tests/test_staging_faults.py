"""What a staging run must survive on its way: a cut link, a restarted sshd, a killed server or deploy, Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from projects import outcome
from staging import REPOSITORY, Staging, staging_stand  # noqa: F401 - a fixture
from staging_runs import (
    ASLEEP,
    PENDING,
    PRISMA,
    SLEEPS,
    SLOW,
    applied,
    asleep,
    configuration,
    containers,
    contents,
    cut,
    failed,
    finished,
    image_of_its_version,  # noqa: F401 - a fixture
    nothing_is_left,
    own_stand,  # noqa: F401 - a fixture
    password,
    put,
    starting,  # noqa: F401 - a fixture
    until,
    wait_for,
    walked,
    whole_run,
)
from walk import Walk

from pytest_dryrun import workspace
from pytest_dryrun.model.values import Outcome
from pytest_dryrun.postgres.disposable import Disposable
from pytest_dryrun.steps import from_host

pytestmark = pytest.mark.live


@contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[None]:
    """Do something beside what happens in the block, and let its failure be the block's."""
    failures: list[BaseException] = []

    def go() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is raised again where the test sees it
            failures.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield
    except BaseException as error:
        thread.join(timeout=240)
        for failure in failures:
            error.add_note(f"Meanwhile: {failure!r}")
        raise
    thread.join(timeout=240)
    if failures:
        raise failures[0]


def wake(stand: Staging) -> None:
    """End that migration where it still runs."""
    stand.sql(f"SELECT pg_terminate_backend(pid, 10000) {ASLEEP}")


def tells_the_way_back(document: dict[str, Any]) -> bool:
    """Whether a report says what is to be typed on the host."""
    return any(
        "dropdb --if-exists --force edfinance" in line for line in document.get("rollback", {}).get("commands", ())
    )


def not_a_go(walk: Walk) -> list[str]:
    """What the matrix says against a run that saw something fail."""
    decision = walk.decision()
    assert not decision.go
    return [reason for row in decision.criteria for reason in row.reasons]


@contextmanager
def nothing_stays_here() -> Iterator[None]:
    """No thread more than before: whoever carries a tunnel, a stream or a file is one."""
    threads = set(threading.enumerate())
    yield
    until(lambda: set(threading.enumerate()) <= threads, "the end of every thread", patience_s=30)


def a_following_run_is_clean(stand: Staging, folder: Path, server: Disposable, *numbers: int) -> None:
    """The checks of these sections pass, and afterwards nothing of any run is left."""
    folder.mkdir()
    with walked(stand, folder, server) as walk:
        walk.sections(*numbers)
        bad = {slug: record.reason for slug, record in walk.run.records.items() if record.outcome is Outcome.FAILED}
        assert {} == bad
        assert walk.decision().go
    nothing_is_left(stand)


# The link


def test_a_link_that_is_cut_while_the_backup_is_written(stand, disposable, tmp_path):
    """The dump's state is unknown, nothing after it is tried, and the next run clears what it left."""
    # Stopped where it can be interrupted: the example's dump would be written before anybody looks.
    stopping = "while ! pkill -STOP -u deploy -x pg_dump; do sleep 0.01; done"
    with nothing_stays_here(), walked(stand, tmp_path, disposable) as walk:
        walk.sections(1, 2)
        with meanwhile(lambda: (stand.root("timeout", "90", "sh", "-c", stopping), cut(stand))):
            reason = failed(walk.check("backup-created"))
        assert "The connection to deploy@127.0.0.1 was lost while sh -c" in reason
        assert "State unknown" in reason
        walk.sections(3, 4, 5, 6, 7, 8, 9, 10)
        assert any("3.1 backup-created failed: The connection" in text for text in not_a_go(walk))
        assert "the target was not touched" in walk.run.records["migrations-applied"].reason
        assert not walk.run.parts.get("target_migrated")
    stand.root("pkill", "-CONT", "-u", "deploy", "-x", "pg_dump")
    until(lambda: not stand.root("sh", "-c", "pgrep -x pg_dump || true"), "the end of pg_dump")
    a_following_run_is_clean(stand, tmp_path / "next", disposable, 1, 2, 3)
    assert [] == applied(stand)


def test_a_link_that_is_cut_while_the_dump_is_fetched(stand, disposable, tmp_path, monkeypatch):
    """Nothing is unknown: the file there is whole and was only read; the half of it here is gone."""
    # Whoever follows the file there is stopped, so that it is still to be fetched when it is written.
    stopping = "while ! pkill -STOP -u deploy -f 'cat <&3'; do sleep 0.01; done"
    stopped, write = threading.Event(), from_host._write

    def written(*arguments: Any, **options: Any) -> None:
        write(*arguments, **options)
        assert stopped.wait(90)
        cut(stand)

    monkeypatch.setattr(from_host, "_write", written)
    with nothing_stays_here(), walked(stand, tmp_path, disposable) as walk:
        walk.sections(1, 2)
        folder = walk.run.workspace().path / "backup"
        with meanwhile(lambda: (stand.root("timeout", "90", "sh", "-c", stopping), stopped.set())):
            reason = failed(walk.check("backup-created"))
        assert "could not be copied to" in reason
        assert "the connection was lost.\nThe copy here is not complete." in reason
        assert "unknown" not in reason
        assert [] == list(folder.iterdir())
        walk.sections(3, 4, 5)
        assert "blocked by backup-created: " in walk.run.records["backup-restores"].reason
        assert "the target was not touched" in walk.run.records["migrations-applied"].reason
    monkeypatch.undo()
    stand.root("pkill", "-CONT", "-u", "deploy", "-f", "cat <&3")
    a_following_run_is_clean(stand, tmp_path / "next", disposable, 1, 2, 3)


def test_the_run_after_a_killed_one_says_what_that_was_doing(stand, start, disposable, tmp_path):
    """Nothing of the killed one can tell any more: its journal on the host does, and is cleared with the rest."""
    put(stand, SLOW, SLEEPS)
    (tmp_path / "dryrun.toml").write_text(configuration(stand), encoding="utf-8")
    run = start(tmp_path)
    asleep(stand)
    run.kill()
    run.communicate(timeout=60)
    wake(stand)
    with walked(stand, tmp_path, disposable) as walk:
        walk.check("database-credentials")
        [told] = [note for note in walk.run.parts["notes"] if "was cut off" in note]
        assert f"while it was deploying {', '.join((*PENDING, SLOW))} (since 20" in told
    workspace.sweep()
    nothing_is_left(stand)


def test_a_command_of_a_killed_run_keeps_the_next_one_away(stand, start, disposable, tmp_path):
    """What it still changes would be taken for this run's doing; when it has ended, a daemon it has left stays."""
    names = r"""status = "sh -c 'echo PostgreSQL database \\\"edfinance\\\"; false'" """
    deploy = f"deploy = \"sh -c 'setsid sleep 7000 & sleep 600; true'\"\n{names}"
    (tmp_path / "dryrun.toml").write_text(configuration(stand, migrations=deploy), encoding="utf-8")
    run = start(tmp_path)
    wait_for(stand, "sleep 600")
    run.kill()
    run.communicate(timeout=60)
    workspace.sweep()
    with walked(stand, tmp_path, disposable) as walk:
        reason = failed(walk.check("database-credentials"))
        assert "was cut off while it was deploying" in reason
        assert "Its command still runs on deploy@127.0.0.1: " in reason
        assert "sleep 600" in reason
        assert "7000; " not in reason
        ending = reason.rpartition("end it on the host: ")[2]
    assert re.fullmatch(r"kill -- -\d+", ending)
    assert 0 == stand.ssh(ending).returncode
    assert "" == stand.ssh("pgrep -f 'sleep 60[0]'").stdout
    a_following_run_is_clean(stand, tmp_path / "next", disposable, 1, 2, 3)
    assert 0 == stand.ssh("pkill -f 'sleep 700[0]'").returncode


def test_a_link_that_is_cut_during_the_smoke_command(stand, start, disposable, tmp_path):
    """The target is migrated by then, and the page says so with the way back; what the smoke test did is unknown."""
    smoke = configuration(stand, smoke='command = "sleep 300"')
    (tmp_path / "dryrun.toml").write_text(smoke, encoding="utf-8")
    run = start(tmp_path)
    wait_for(stand, "sleep 300")
    cut(stand)
    status, said, document = finished(run, tmp_path)
    assert 1 == status, said
    assert ("ROLLBACK & FIX", True) == (document["headline"], document["target_migrated"])
    assert PENDING == document["migrations"]["applied"]
    state, reason = outcome(document, "smoke-command")
    assert "failed" == state
    assert "was lost while sleep 300 ran" in reason
    assert "State unknown" in reason
    assert ("passed", "") == outcome(document, "migrations-applied")
    assert tells_the_way_back(document)
    assert "State unknown" in " ".join(said.split())
    stand.root("pkill", "-u", "deploy", "-x", "sleep")
    assert PENDING == applied(stand)
    a_following_run_is_clean(stand, tmp_path / "next", disposable, 1, 2, 3)


# The one that listens is the oldest.
MASTER = "$(pgrep -o -x sshd)"


def test_sshd_that_is_restarted_between_two_sections(stand, disposable, tmp_path):
    """The sessions live on, and so does the run."""
    with walked(stand, tmp_path, disposable) as walk:
        walk.sections(1, 2, 3, 4)
        stand.root("sh", "-c", f"kill -HUP {MASTER}")
        until(lambda: 0 == stand.ssh("true").returncode, "sshd's return")
        walk.sections(5, 6, 7, 8, 9, 10)
        assert walk.decision().go, walk.run.records
    assert PENDING == applied(stand)
    nothing_is_left(stand)


def test_sshd_that_is_restarted_with_its_sessions(stand, disposable, tmp_path):
    """What needs the host says that the connection is gone; the target is as it was."""
    with nothing_stays_here(), walked(stand, tmp_path, disposable) as walk:
        walk.sections(1, 2, 3, 4)
        stand.root("sh", "-c", f"kill -HUP {MASTER}; pkill -KILL -u deploy -x sshd")
        until(lambda: 0 == stand.ssh("true").returncode, "sshd's return")
        walk.sections(5, 6, 7, 8, 9, 10)
        record = walk.run.records["migrations-applied"]
        assert record.outcome is Outcome.BLOCKED
        assert "the connection to deploy@127.0.0.1 is gone" in record.reason
        assert not walk.run.parts.get("target_migrated")
        assert any("8.1 rollback-restores failed: " in text for text in not_a_go(walk))
    assert [] == applied(stand)
    a_following_run_is_clean(stand, tmp_path / "next", disposable, 1, 2, 3)


# The deployment


def kill_server(stand: Staging) -> None:
    """Kill the postmaster; its children see it and end."""
    stand.root("pkill", "-KILL", "-o", "-u", "postgres", "-x", "postgres")


def kill_deploy(stand: Staging) -> None:
    """Kill Prisma, and leave its session at the server alone."""
    stand.root("pkill", "-KILL", "-u", "deploy", "-f", "bin/prisma migrate deploy")


@pytest.mark.parametrize(
    ("deploy", "kill", "says"),
    [
        ("native", kill_server, f"was lost while migration {SLOW} ran"),
        ("native", cut, f"was lost while migration {SLOW} ran"),
        ("prisma", kill_server, "State unknown: what it applied cannot be read now. No connection to database"),
        ("prisma", kill_deploy, "ended with status 137 on deploy@127.0.0.1. 3 migrations were applied before"),
    ],
    ids=["our session by the server's end", "our session by the link's end", "Prisma by the server's end", "Prisma"],
)
def test_a_deployment_that_dies_half_way(stand, disposable, tmp_path, deploy, kill, says):
    """What is known is told and the rest is called unknown; the next run says what state the migrations are in."""
    put(stand, SLOW, SLEEPS)
    with walked(stand, tmp_path, disposable, migrations=PRISMA if deploy == "prisma" else "") as walk:
        walk.sections(1, 2, 3, 4)
        with meanwhile(lambda: (asleep(stand), kill(stand))):
            reason = failed(walk.check("migrations-applied"))
        assert says in reason
        walk.check("status-after-apply")
        walk.sections(6)
        assert walk.run.parts["target_migrated"]
        assert tells_the_way_back(walk.run.parts)
        everything = "\n".join(record.reason for record in walk.run.records.values())
        assert "nothing was touched" not in everything.lower()
        migrations = walk.run.parts["migrations"]
        assert [*PENDING, SLOW] == migrations["pending"]
        if kill is kill_deploy:
            assert PENDING == migrations["applied"]
            assert "began at" in failed(walk.run.records["status-after-apply"])
        else:
            assert "State unknown" in reason
            assert [] == migrations["applied"]
            assert "How far it came is unknown, for the target cannot be read now" in reason
        assert any("6.1 rows-intact blocked by migrations-applied: " in text for text in not_a_go(walk))
    if kill is kill_server:
        until(lambda: not stand.root("sh", "-c", "pgrep -u postgres -x postgres || true"), "the end of the server")
        stand.root("pg_ctlcluster", "15", "main", "start")
    assert PENDING == applied(stand)
    (tmp_path / "next").mkdir()
    with walked(stand, tmp_path / "next", disposable) as walk:
        walk.sections(1, 2)
        reason = failed(walk.run.records["migration-status"])
        assert f"{SLOW} began at" in reason
        assert ("It may still be running: Backend" in reason) is (kill is not kill_server)
        assert "`prisma migrate resolve --rolled-back` or `--applied`" in reason
        assert "not run" in str(walk.check("migrations-applied").reason)
    wake(stand)
    nothing_is_left(stand)


def test_a_migration_that_arrives_at_the_last_moment_is_not_deployed(stand, disposable, tmp_path):
    """While latency was timed before the deployment somebody released another one, which was not rehearsed."""
    with walked(stand, tmp_path, disposable) as walk:
        walk.sections(1, 2, 3, 4)
        last = walk.run.before_deploying
        walk.run.before_deploying = lambda: (last(), put(stand, SLOW, SLEEPS))
        record = walk.check("migrations-applied")
        assert Outcome.BLOCKED is record.outcome
        assert f"the target was not touched: since the rehearsal {SLOW} changed" in record.reason
        assert not walk.run.parts.get("target_migrated")
    assert [] == applied(stand)
    nothing_is_left(stand)


def test_a_deployment_whose_lock_was_lost_is_not_begun(stand, disposable, tmp_path):
    """Somebody ended our idle session: another run may have come, and nobody migrates over it."""
    with walked(stand, tmp_path, disposable) as walk:
        walk.sections(1, 2, 3, 4)
        ended = stand.sql(
            "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_locks JOIN pg_database d ON d.oid = database"
            " WHERE locktype = 'advisory' AND datname = 'edfinance'"
        )
        assert "1" == str(ended).strip()
        record = walk.check("migrations-applied")
        assert Outcome.BLOCKED is record.outcome
        assert "the target was not touched: the session that kept other dry runs out of it has ended" in record.reason
        assert not walk.run.parts.get("target_migrated")
    assert [] == applied(stand)
    nothing_is_left(stand)


def test_a_hazard_that_shows_on_the_migrated_host_alone(stand, start, tmp_path):
    """What no copy shows is found after the deployment: the page tells the way back, which can be typed as it is."""
    before = contents(stand)
    text = """DO $$ BEGIN
      IF current_database() = 'edfinance' THEN UPDATE "Coupon" SET "percentOff" = 7; END IF;
    END $$;"""
    put(stand, "20991231000000_only_there", text)
    status, said, document = whole_run(start, tmp_path, configuration(stand))
    assert 1 == status, said
    assert ("ROLLBACK & FIX", True) == (document["headline"], document["target_migrated"])
    state, reason = outcome(document, "rows-intact")
    assert "failed" == state
    assert "percentOff" in reason
    assert "which did not happen on the copy" in reason
    assert [*PENDING, "20991231000000_only_there"] == applied(stand)
    assert tells_the_way_back(document)
    done = stand.ssh("\n".join(document["rollback"]["commands"]), given=f"{password(stand)}\n")
    assert 0 == done.returncode, done.stderr
    assert before == contents(stand)


# Ctrl-C


INTERRUPTING = '''
import os
import signal

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    """Press Ctrl-C when the first check of a section is carried out."""
    if f"test_{os.environ['INTERRUPTED_SECTION']}_" in item.nodeid:
        os.kill(os.getpid(), signal.SIGINT)
'''


# The first and the last before the target is touched, the one before the deployment that is out of turn, the deployment
# itself, one while the migrated target is used, and the last.
@pytest.mark.parametrize("section", [1, 4, 5, 7, 9, 10], ids=lambda number: f"section {number}")
def test_ctrl_c_on_both_sides_of_the_deployment(stand, start, tmp_path, monkeypatch, section):
    """Exit 2, a NO-GO that says it was interrupted, and nothing is left, neither there nor here."""
    (tmp_path / "interrupting.py").write_text(INTERRUPTING, encoding="utf-8")
    (tmp_path / "dryrun.toml").write_text(configuration(stand), encoding="utf-8")
    monkeypatch.setenv("INTERRUPTED_SECTION", f"{section:02}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    status, said, document = finished(start(tmp_path, "-p", "interrupting"), tmp_path)
    assert 2 == status, said
    assert ("NO-GO", True) == (document["decision"], document["finished"])
    assert any("interrupted" in reason for row in document["criteria"] for reason in row["reasons"])
    begun = {check["section"] for check in document["checks"] if check["outcome"] == "passed"}
    assert begun <= {*range(1, section), *([9] if section > 4 else [])}  # stalls are judged before the deployment
    migrated = section >= 5 and section != 9
    assert (PENDING if migrated else []) == applied(stand)
    assert ("ROLLBACK & FIX" if migrated else "NO-GO", migrated) == (document["headline"], document["target_migrated"])
    assert migrated is tells_the_way_back(document)
    assert (section == 5) is any("while it migrated the target: state unknown" in note for note in document["notes"])
    nothing_is_left(stand)
    assert [] == list(workspace.default_base().glob(f"{document['run_id']}*"))


def test_ctrl_c_while_copies_are_in_a_container(stand, start, image, tmp_path, monkeypatch):
    """It goes with the run, and so does what is in it."""
    (tmp_path / "interrupting.py").write_text(INTERRUPTING, encoding="utf-8")
    text = configuration(stand, rehearsal='provider = "container"')
    (tmp_path / "dryrun.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("INTERRUPTED_SECTION", "04")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    status, said, document = finished(start(tmp_path, "-p", "interrupting"), tmp_path)
    assert 2 == status, said
    assert "container" == document["versions"]["provider"], image
    assert "" == containers(document["run_id"])
    nothing_is_left(stand)


def test_ctrl_c_while_a_migration_runs(stand, start, tmp_path):
    """The migration is cancelled at the server, and the page calls for a look at the history and tells the way back."""
    put(stand, SLOW, SLEEPS)
    (tmp_path / "dryrun.toml").write_text(configuration(stand), encoding="utf-8")
    run = start(tmp_path)
    asleep(stand)
    run.send_signal(signal.SIGINT)
    status, said, document = finished(run, tmp_path)
    assert 2 == status, said
    assert ("ROLLBACK & FIX", True) == (document["headline"], document["target_migrated"])
    assert any("while it migrated the target: state unknown" in note for note in document["notes"])
    assert tells_the_way_back(document)
    assert PENDING == applied(stand)
    assert "0" == stand.sql(f"SELECT count(*) {ASLEEP}")
    nothing_is_left(stand)
