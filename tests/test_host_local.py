"""This machine as a host: time limits that end everything, streams that never dead-lock, processes that stay and go."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time

import pytest
from needs import require

from pytest_dryrun import processes
from pytest_dryrun.hosts import Host
from pytest_dryrun.hosts.local import LocalHost
from pytest_dryrun.hosts.output import KEPT_BYTES, Kept
from pytest_dryrun.model.errors import CommandFailed
from pytest_dryrun.workspace import Workspace

HOST: Host = LocalHost()


@pytest.fixture
def workspace(tmp_path):
    """Open a workspace for the processes of one test."""
    workspace = Workspace.create("run-1", tmp_path / "runs")
    yield workspace
    workspace.close()


def _pid(path):
    """Wait for a process to write its number."""
    deadline = time.monotonic() + 10
    while not path.exists() or not path.read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(path.read_text())


def test_run_tells_status_streams_and_time():
    """Whatever its exit status, a command that ended is a result."""
    ended = HOST.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout_s=10)

    assert (3, "out\n", "err\n") == (ended.exit_status, ended.stdout, ended.stderr)
    assert 0 < ended.duration_ms < 10_000


def test_run_adds_to_the_environment_and_changes_the_folder(tmp_path):
    """What the command does not get from us it still has from this machine."""
    ended = HOST.run(["sh", "-c", 'echo "$A $PATH"; pwd'], timeout_s=10, env={"A": "1"}, cwd=str(tmp_path))

    assert f"1 {os.environ['PATH']}\n{tmp_path}\n" == ended.stdout


def test_run_hands_every_argument_over_as_it_is():
    """The caller never quotes."""
    words = ["a b", "'", '"', "$HOME", "*", "", ";", "\n", "ü"]

    assert "\0".join(words) == HOST.run(["printf", r"%s\0", *words], timeout_s=10).stdout.removesuffix("\0")


def test_run_takes_megabytes_of_both_streams_without_a_deadlock():
    """A command that fills one pipe while we read the other would wait for ever."""
    script = "import sys\nfor _ in range(400):\n sys.stderr.write('e' * 10000); sys.stdout.write('o' * 10000)"

    ended = HOST.run([sys.executable, "-c", script], timeout_s=30)

    assert (4_000_000, 4_000_000) == (len(ended.stdout), len(ended.stderr))


def test_run_decodes_what_is_not_utf_8():
    """A message in another encoding must not hide the failure it tells of."""
    assert "a\ufffdb" == HOST.run(["printf", r"a\377b"], timeout_s=10).stdout


def test_run_gives_no_input():
    """A command that asks a question would wait for an answer until its time is up."""
    assert "" == HOST.run(["cat"], timeout_s=10).stdout


def test_run_does_not_wait_for_a_child_that_stays_in_the_background():
    """A restart command that leaves a daemon with our pipe open has ended all the same; the daemon lives on."""
    ended = HOST.run(["sh", "-c", "sleep 30 & echo $!"], timeout_s=10)
    child = int(ended.stdout)

    assert 5_000 > ended.duration_ms
    assert processes.identify(child)
    os.kill(child, signal.SIGKILL)


def test_run_past_its_time_kills_the_whole_family(tmp_path):
    """A shell's children must not go on changing things after we said that it failed."""
    script = f"sh -c 'echo $$ > {tmp_path}/near; sleep 60' & setsid sh -c 'echo $$ > {tmp_path}/far; sleep 60' & wait"

    with pytest.raises(CommandFailed, match=r"did not end within 1 s") as caught:
        HOST.run(["sh", "-c", script], timeout_s=1)

    assert 3 == len(str(caught.value).splitlines())
    assert [None, None] == [processes.identify(_pid(tmp_path / name)) for name in ("near", "far")]


def test_run_past_its_time_kills_one_that_closed_its_streams(tmp_path):
    """A closed stdout is not an ended process."""
    with pytest.raises(CommandFailed, match="did not end within"):
        HOST.run(["sh", "-c", f"echo $$ > {tmp_path}/pid; exec >&- 2>&-; sleep 60"], timeout_s=0.5)

    assert None is processes.identify(_pid(tmp_path / "pid"))


def test_run_interrupted_by_ctrl_c_kills_what_it_runs(tmp_path):
    """Ctrl-C reaches only us, so we must end what we started."""

    def interrupt():
        _pid(tmp_path / "pid")
        _thread.interrupt_main()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        HOST.run(["sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 60"], timeout_s=60)
    thread.join()

    assert None is processes.identify(_pid(tmp_path / "pid"))


def test_a_terminals_ctrl_c_does_not_reach_the_command():
    """A command is in a session of its own; SIGINT goes to the terminal's foreground group."""
    pid, session = HOST.run(["sh", "-c", "ps -o pid=,sid= -p $$"], timeout_s=10).stdout.split()

    assert pid == session


@pytest.mark.parametrize("argv", [["no-such-program-here"], ["/"]], ids=["missing", "a folder"])
def test_a_program_that_cannot_be_started_is_named(argv):
    """The reader has to know which program is meant."""
    with pytest.raises(CommandFailed, match=f"{argv[0]} could not be started: .*\\.\nIt did not run"):
        HOST.run(argv, timeout_s=10)


def test_a_folder_that_does_not_exist_is_named():
    """The system blames the program where in truth the folder is missing."""
    with pytest.raises(CommandFailed, match="true could not be started in /no/such/folder"):
        HOST.run(["true"], timeout_s=10, cwd="/no/such/folder")


def test_stream_yields_while_the_command_runs():
    """A dump is hashed while it is written."""
    with HOST.stream(["sh", "-c", "echo 1; read x </dev/zero; echo 2"], timeout_s=10) as chunks:
        assert b"1\n" == next(chunks)


def test_stream_of_megabytes_is_complete_though_errors_are_many():
    """Nothing is lost and nothing hangs when both streams are full."""
    script = "import sys\nfor _ in range(300):\n sys.stderr.write('e' * 10000); sys.stdout.write('o' * 10000)"

    with HOST.stream([sys.executable, "-c", script], timeout_s=30) as chunks:
        assert 3_000_000 == sum(map(len, chunks))


def test_stream_that_ends_badly_says_why():
    """A dump that broke off must not pass for a whole one."""
    with (
        pytest.raises(CommandFailed, match="ended with status 4: no space left\nWhat it printed is not complete"),
        HOST.stream(["sh", "-c", "echo part; echo no space left >&2; exit 4"], timeout_s=10) as chunks,
    ):
        list(chunks)


def test_stream_left_early_kills_the_command(tmp_path):
    """Whoever stops reading does not want the rest."""
    with HOST.stream(["sh", "-c", f"echo $$ > {tmp_path}/pid; while echo x; do :; done"], timeout_s=60) as chunks:
        next(chunks)

    assert None is processes.identify(_pid(tmp_path / "pid"))


def test_stream_past_its_time_is_killed(tmp_path):
    """A command that goes on printing for ever is no exception to its time limit."""
    with (
        pytest.raises(CommandFailed, match="did not end within"),
        HOST.stream(["sh", "-c", f"echo $$ > {tmp_path}/pid; while echo x; do :; done"], timeout_s=0.5) as chunks,
    ):
        list(chunks)

    assert None is processes.identify(_pid(tmp_path / "pid"))


def test_kept_output_is_bounded_and_says_so():
    """A command that prints for ever must not fill our memory, and nobody must take the rest for the whole."""
    kept = Kept()
    for _ in range(5):
        kept.add(b"x" * (KEPT_BYTES // 2))
    kept.add(b"end")

    note, text = kept.text().split("\n")
    assert f"[{KEPT_BYTES * 3 // 2 + 3} bytes before this are not kept]" == note
    assert KEPT_BYTES == len(text)
    assert text.endswith("xend")


def test_put_leaves_the_file_where_it_is(tmp_path):
    """A file here is readable here."""
    assert str(tmp_path / "dump") == HOST.put(tmp_path / "dump", "/elsewhere")


def test_free_bytes_of_a_folder_that_does_not_exist_yet(tmp_path):
    """The backup's folder is made later than the question whether it will fit."""
    state = os.statvfs(tmp_path)

    assert 0.05 > abs(HOST.free_bytes(str(tmp_path / "a" / "b")) / (state.f_bavail * state.f_frsize) - 1)


def test_a_started_process_tells_its_output_and_its_end(workspace):
    """The last lines of an API that died are what a reader needs."""
    process = LocalHost().start(
        ["sh", "-c", "echo one; echo two >&2; echo three; exit 7"], output=workspace.path / "out", workspace=workspace
    )
    while process.poll() is None:
        time.sleep(0.01)

    assert 7 == process.poll()
    assert "two\nthree" == process.tail(2)
    process.stop()
    assert 7 == process.poll()
    assert [] == list((workspace.path / "journal").iterdir())
    assert 0o600 == (workspace.path / "out").stat().st_mode & 0o777


def test_a_started_process_is_journalled_until_it_is_stopped(workspace):
    """If we are killed, the next run must find it."""
    process = LocalHost().start(["sleep", "60"], output=workspace.path / "out", workspace=workspace)
    noted = [entry.name for entry in (workspace.path / "journal").iterdir()]

    process.stop()
    process.stop()

    assert [f"process-{process.pid}"] == ["-".join(name.split("-")[:2]) for name in noted]
    assert [] == list((workspace.path / "journal").iterdir())
    assert -signal.SIGTERM == process.poll()


def test_stop_lets_a_process_end_in_its_own_way(workspace):
    """A server that saves its work on SIGTERM gets the time for it."""
    script = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    process = LocalHost().start(["sh", "-c", script], output=workspace.path / "out", workspace=workspace)
    while "up" not in process.tail(1):
        time.sleep(0.01)

    process.stop()

    assert (0, "bye") == (process.poll(), process.tail(1))


def test_stop_kills_a_process_that_will_not_end_and_its_children(workspace, tmp_path):
    """Neither a deaf process nor a child that left its group outlives the run."""
    script = (
        f"trap '' TERM; setsid sh -c 'echo $$ > {tmp_path}/far; sleep 60' & "
        f"sh -c 'echo $$ > {tmp_path}/near; sleep 60' & wait; sleep 60"
    )
    process = LocalHost().start(["sh", "-c", script], output=workspace.path / "out", workspace=workspace)
    children = [_pid(tmp_path / name) for name in ("near", "far")]

    process.stop(timeout_s=0.3)

    assert -signal.SIGKILL == process.poll()
    assert [None, None, None] == [processes.identify(pid) for pid in (process.pid, *children)]


def test_stop_ends_the_children_of_a_process_that_has_ended_already(workspace, tmp_path):
    """A launcher that exits after starting the real server leaves that server to us."""
    script = f"setsid sh -c 'echo $$ > {tmp_path}/far; sleep 60' & while [ ! -s {tmp_path}/far ]; do sleep 0.01; done"
    process = LocalHost().start(["sh", "-c", script], output=workspace.path / "out", workspace=workspace)
    while process.poll() is None:
        time.sleep(0.01)
    assert processes.identify(_pid(tmp_path / "far"))

    process.stop()

    assert None is processes.identify(_pid(tmp_path / "far"))


def test_a_command_runs_as_another_user_where_root_asks_for_it():
    """PostgreSQL refuses to run as root."""
    require(os.geteuid() == 0, "only root can run a command as another user")

    assert "nobody\n" == LocalHost("nobody").run(["id", "-un"], timeout_s=10, cwd="/").stdout


def test_a_user_that_does_not_exist_is_an_error_of_the_command():
    """A name that the machine does not know must not become root."""
    with pytest.raises(CommandFailed, match="could not be started"):
        LocalHost("no-such-user").run(["id", "-un"], timeout_s=10)
