"""A run's private folder: whose it is, what it journals, and what a sweep removes of killed runs and only of those."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_dryrun import processes
from pytest_dryrun.model.errors import DryRunError
from pytest_dryrun.processes import COOKIE, Process
from pytest_dryrun.workspace import Swept, Workspace, default_base, sweep

# A run that starts the command in its last arguments, says where and which, and then waits to be killed.
_RUN = """
import sys, time
from pathlib import Path
from pytest_dryrun.hosts.local import LocalHost
from pytest_dryrun.workspace import Workspace
workspace = Workspace.create("killed", Path(sys.argv[1]))
workspace.journal_container("pytest-dryrun-killed-1")
process = LocalHost().start(sys.argv[2:], output=workspace.path / "out", workspace=workspace)
print(process.pid, flush=True)
time.sleep(60)
"""


def _killed_run(base: Path, *argv: str) -> int:
    """Let a run start a process, kill the run, and say the process's number."""
    with subprocess.Popen([sys.executable, "-c", _RUN, str(base), *argv], stdout=subprocess.PIPE, text=True) as run:
        pid = int(run.stdout.readline())
        run.kill()
    return pid


@pytest.fixture
def base(tmp_path):
    """Say where the runs of this test have their folders."""
    return tmp_path / "runs"


def test_create_makes_a_folder_others_may_cross_but_not_list(base):
    """A server started as another user must reach its data; nobody must find it by looking."""
    workspace = Workspace.create("run-1", base)

    assert 0o711 == stat.S_IMODE(workspace.path.stat().st_mode)
    assert 0o711 == stat.S_IMODE(base.stat().st_mode)
    assert 0o600 == stat.S_IMODE((workspace.path / "lock").stat().st_mode)
    workspace.close()


def test_close_removes_the_folder_and_may_be_called_twice(base):
    """The second call of a teardown must not hide what the first one said."""
    workspace = Workspace.create("run-1", base)
    (workspace.path / "copy").mkdir()
    (workspace.path / "copy" / "file").write_text("x")

    workspace.close()
    workspace.close()

    assert not workspace.path.exists()


def test_two_runs_with_one_id_are_refused(base):
    """Two runs that shared a folder would remove each other's copies."""
    workspace = Workspace.create("run-1", base)

    with pytest.raises(DryRunError, match="exists already"):
        Workspace.create("run-1", base)
    workspace.close()


@pytest.mark.parametrize("run_id", ["", "..", "a/b", ".lock", "x" * 65])
def test_a_run_id_that_is_no_file_name_is_refused(base, run_id):
    """A run id becomes part of a path that is removed."""
    with pytest.raises(ValueError, match="not a run id"):
        Workspace.create(run_id, base)


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_base_that_others_may_write_is_refused(base, mode):
    """Somebody else could have prepared the folder that copies of the data go to."""
    base.mkdir()
    base.chmod(mode)

    with pytest.raises(DryRunError, match="not a folder that belongs"):
        Workspace.create("run-1", base)
    with pytest.raises(DryRunError, match="not a folder that belongs"):
        sweep(base)


def test_a_base_that_is_a_link_is_refused(base, tmp_path):
    """A link planted in the folder for temporary files would lead anywhere."""
    base.symlink_to(tmp_path)

    with pytest.raises(DryRunError, match="not a folder that belongs"):
        Workspace.create("run-1", base)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another user")
def test_root_does_not_use_a_temporary_folder_that_only_root_can_enter(monkeypatch, tmp_path):
    """The user whom the server drops to could not reach it."""
    tmp_path.chmod(0o700)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    assert Path("/tmp/pytest-dryrun-0") == default_base()  # noqa: S108


def test_sweep_leaves_a_live_run_alone(base):
    """Another dry run on this machine is none of our business."""
    workspace = Workspace.create("alive", base)

    assert Swept() == sweep(base)
    assert workspace.path.exists()
    workspace.close()


def test_sweep_of_nothing_says_nothing(base):
    """The first run on a machine finds no folder at all."""
    assert Swept() == sweep(base)


def test_sweep_ends_a_killed_runs_process_container_and_folder(base):
    """What SIGKILL left is removed, and each thing is said in a sentence."""
    pid = _killed_run(base, "sleep", "60")
    removed = []

    swept = sweep(base, removed.append)

    assert None is processes.identify(pid)
    assert ["pytest-dryrun-killed-1"] == removed
    assert not (base / "killed").exists()
    assert (
        f"Process {pid} of the killed run killed was ended.",
        "Container pytest-dryrun-killed-1 of the killed run killed was removed.",
        f"The folder {base / 'killed'} of the killed run killed was removed.",
    ) == swept.removed
    assert () == swept.left


def test_sweep_ends_what_left_its_group_and_ignores_sigterm(base, tmp_path):
    """A daemon that detached itself is found by its mark, and killed if it will not go."""
    note = tmp_path / "pid"
    script = f"trap '' TERM; echo $$ > {note}; while :; do sleep 0.1; done"
    leader = _killed_run(base, "sh", "-c", f'setsid sh -c "$0" & while [ ! -s {note} ]; do sleep 0.01; done', script)

    while not note.exists() or not note.read_text():
        time.sleep(0.01)
    sweep(base, lambda _name: None)

    assert None is processes.identify(leader)
    assert None is processes.identify(int(note.read_text()))


def test_sweep_keeps_the_journal_of_a_container_it_cannot_remove(base):
    """An engine that is down today must not make us forget the container."""
    _killed_run(base, "true")

    def refuse(_name):
        raise DryRunError("The engine does not answer.", "", "")

    swept = sweep(base, refuse)

    name = "Container pytest-dryrun-killed-1 of the killed run killed"
    assert (f"{name} could not be removed: The engine does not answer.",) == swept.left
    assert () == swept.removed
    assert (base / "killed" / "journal" / "container-pytest-dryrun-killed-1").exists()
    assert ((), (f"{name} was left: nothing here can reach its engine.",)) == sweep(base)
    folder = f"The folder {base / 'killed'} of the killed run killed was removed."
    assert (f"{name} was removed.", folder) == sweep(base, lambda _name: None).removed
    assert not (base / "killed").exists()


def test_sweep_never_touches_a_process_that_got_the_same_number(base):
    """A process number is used again; the time of its start is not."""
    with subprocess.Popen(["sleep", "60"]) as stranger:
        workspace = Workspace.create("old", base)
        (workspace.path / "journal" / f"process-{stranger.pid}-00000000-1").touch()
        os.close(workspace._lock)

        swept = sweep(base)

        assert None is stranger.poll()
        stranger.kill()
    assert ((f"The folder {workspace.path} of the killed run old was removed.",), ()) == swept


def test_two_sweeps_at_once_do_not_disturb_each_other(base):
    """Two runs that start together both sweep."""
    for number in range(8):
        os.close(Workspace.create(f"old-{number}", base)._lock)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(sweep, [base, base])

    assert 8 == len({*first.removed, *second.removed}) == len(first.removed) + len(second.removed)
    assert [".lock"] == [entry.name for entry in base.iterdir()]


def test_close_ends_a_process_that_was_started_but_never_journalled(base):
    """An interrupt can fall between the start of a process and its note."""
    workspace = Workspace.create("run-1", base)
    with subprocess.Popen(
        ["sleep", "60"], env={**os.environ, COOKIE: f"{workspace.path}/x"}, start_new_session=True
    ) as stray:
        workspace.close()

        assert -signal.SIGKILL == stray.wait(5)


def test_close_names_a_container_that_is_left_and_keeps_its_note(base):
    """A teardown tells the truth, and the next sweep has something to go by."""
    workspace = Workspace.create("run-1", base)
    workspace.journal_container("pytest-dryrun-run-1-1")

    with pytest.raises(DryRunError, match="docker rm -f -v pytest-dryrun-run-1-1"):
        workspace.close()

    removed = []
    sweep(base, removed.append)
    assert ["pytest-dryrun-run-1-1"] == removed


def test_what_was_forgotten_is_not_touched(base):
    """A process or container that ended in order leaves no note."""
    workspace = Workspace.create("run-1", base)
    workspace.journal_process(os.getppid())
    workspace.journal_container("c")

    workspace.forget_process(os.getppid())
    workspace.forget_container("c")

    assert [] == list((workspace.path / "journal").iterdir())
    workspace.close()


def test_a_signal_meant_for_an_ended_process_reaches_nobody():
    """Between looking and killing, a number may have been given to somebody else."""
    with subprocess.Popen(["sleep", "60"]) as stranger:
        processes.send(Process(stranger.pid, "00000000-1"), signal.SIGKILL)

        assert None is stranger.poll()
        stranger.kill()
