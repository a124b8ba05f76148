"""A host behind a real sshd: commands that leave nothing behind, streams, files, tunnels, and a link that is lost."""

from __future__ import annotations

import _thread
import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import paramiko
import psutil
import psycopg
import pytest
from needs import require
from sshd import USER, Sshd

from pytest_dryrun.hosts import Host, ssh
from pytest_dryrun.hosts.ssh import command, connecting, files
from pytest_dryrun.model.errors import CommandFailed, TargetUnusable

pytestmark = pytest.mark.live

TWO_SLEEPERS = "sleep 1000 & echo $! > {0}/child; echo $$ > {0}/parent; sleep 1000"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Start a real sshd for the tests of this file."""
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def shared(server):
    """Log in once: everything goes over one connection."""
    host = ssh.connect(server.settings())
    yield host
    host.close()


@pytest.fixture
def own(tmp_path):
    """Start a server and a connection of its own for a test that breaks them."""
    server = Sshd(tmp_path / "sshd")
    server.start()
    with ssh.connect(server.settings()) as host:
        host.run(["true"], timeout_s=20)  # the server's processes have settled
        yield server, host
    server.stop()


def wait_for(condition, what="it"):
    """Wait until the condition gives something, and give that."""
    deadline = time.monotonic() + 15
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.01)
    return value


def number(path):
    """Wait for a process there to write its number."""
    return int(wait_for(lambda: path.exists() and path.read_text().strip(), f"{path.name} was not written"))


def gone(pid):
    """Whether a process has ended; a zombie has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def lines(error):
    """What the user reads, which is three lines."""
    text = str(error.value)
    assert 3 == len(text.splitlines()), text
    return text


# ---- commands


def test_the_name_says_who_we_are_where(shared: Host, server):
    """A reader sees at once on which machine, and as whom, a command ran."""
    assert f"{USER}@127.0.0.1" == shared.name
    assert f"127.0.0.1:{server.port}" == shared.address
    assert shared.host_key.startswith("ssh-ed25519 SHA256:")


def test_run_tells_status_streams_and_time(shared):
    """Whatever its exit status, a command that ended is a result."""
    ended = shared.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout_s=20)

    assert (3, "out\n", "err\n") == (ended.exit_status, ended.stdout, ended.stderr)
    assert 0 < ended.duration_ms < 20_000


@pytest.mark.parametrize("name", ["KILL", "TERM", "SEGV"])
def test_a_signal_is_a_negative_status(shared, name):
    """A command that the kernel killed says so, as on this machine."""
    assert -getattr(signal, f"SIG{name}") == shared.run(["sh", "-c", f"kill -s {name} $$"], timeout_s=20).exit_status


def test_run_hands_every_argument_over_as_it_is(shared):
    """The caller never quotes."""
    words = ["a b", "'", '"', "$HOME", "*", "", ";", "\n", "ü €", "\\", "!", "-n"]

    assert "\0".join(words) == shared.run(["printf", r"%s\0", *words], timeout_s=20).stdout.removesuffix("\0")


def test_run_adds_to_the_environment_and_changes_the_folder(shared, tmp_path):
    """Values may hold newlines, quotes and whatever else a password holds."""
    place = tmp_path / "a folder; with 'quotes'"
    place.mkdir()
    value = "one\ntwo 'three' \"four\" $HOME `id` \\ ü"

    ended = shared.run(
        ["sh", "-c", 'printf %s "$SECRET"; pwd >&2'], timeout_s=20, env={"SECRET": value}, cwd=str(place)
    )

    assert (value, f"{place}\n") == (ended.stdout, ended.stderr)


def test_the_environment_is_in_no_process_list(shared, tmp_path):
    """Everybody on the host can read command lines; a password must not stand in one, at no time."""
    secret = secrets.token_hex(16)
    seen, stop = [], threading.Event()

    def watch():
        while not stop.is_set():
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    seen.extend([entry] if secret.encode() in entry.read_bytes() else [])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(3):
            script = 'test -n "$PGPASSWORD" && sleep 0.3 && env'
            assert (
                f"PGPASSWORD={secret}\n"
                in shared.run(["sh", "-c", script], timeout_s=20, env={"PGPASSWORD": secret}, cwd=str(tmp_path)).stdout
            )
    finally:
        stop.set()
        watcher.join()

    assert [] == seen


def test_run_gives_no_input(shared):
    """A command that asks a question would wait for an answer until its time is up."""
    assert "" == shared.run(["cat"], timeout_s=20).stdout


def test_run_takes_megabytes_of_both_streams_without_a_deadlock(shared):
    """A command that fills one stream while we read the other would wait for ever."""
    script = "import sys\nfor _ in range(500):\n sys.stderr.write('e' * 10000); sys.stdout.write('o' * 10000)"

    ended = shared.run([sys.executable, "-c", script], timeout_s=60)

    assert (5_000_000, 5_000_000) == (len(ended.stdout), len(ended.stderr))


def test_run_does_not_wait_for_a_child_that_stays_in_the_background(shared):
    """A restart command that leaves a daemon with our pipe open has ended all the same; the daemon lives on."""
    ended = shared.run(["sh", "-c", "sleep 60 & echo $!"], timeout_s=30)

    assert 15_000 > ended.duration_ms
    assert not gone(int(ended.stdout))
    os.kill(int(ended.stdout), signal.SIGKILL)


def test_run_leaves_a_child_alone_that_prints_on_and_on(shared, monkeypatch, tmp_path):
    """An application that was started into the background, with its log on our stream."""
    monkeypatch.setattr(command, "_LONGEST_LINGER_S", 2.0)
    script = f"{{ echo $$ > {tmp_path}/child; while :; do echo more; sleep 0.1; done; }} & echo started"
    ended = shared.run(["sh", "-c", script], timeout_s=30)

    assert 0 == ended.exit_status
    assert 2_000 < ended.duration_ms < 15_000
    assert "started\n" in ended.stdout
    assert "more\n" in ended.stdout


@pytest.mark.parametrize(
    ("argv", "options", "reason"),
    [
        (["no-such-program"], {}, "the program is not there"),
        (["/etc/passwd"], {}, "the program is not there"),
        (["true"], {"cwd": "/no/such/folder"}, "in /no/such/folder: the folder is not there"),
        (["true"], {"env": {"A.B": "1"}}, "'A.B' cannot be an environment variable"),
        (["echo", "a\0b"], {}, "holds a NUL byte"),
    ],
    ids=["no program", "no executable", "no folder", "no variable", "a NUL byte"],
)
def test_a_command_that_cannot_start_did_not_run(shared, argv, options, reason):
    """Nothing happened, and the reader knows it."""
    with pytest.raises(CommandFailed) as caught:
        shared.run(argv, timeout_s=20, **options)

    assert reason in lines(caught)
    assert "It did not run, so it changed nothing." in str(caught.value)


def test_what_the_login_shell_prints_is_not_the_commands(own):
    """A greeting in .bashrc must not become part of a dump; and a shell in between must not keep us from the group."""
    server, host = own
    host.close()
    server.stop()
    server.extra = 'ForceCommand echo hello; echo hello >&2; sh -c "$SSH_ORIGINAL_COMMAND"; exit $?'
    server.start()
    with ssh.connect(server.settings()) as host:
        ended = host.run(["sh", "-c", "echo out; echo err >&2; exit 7"], timeout_s=20)
        assert (7, "out\n", "err\n") == (ended.exit_status, ended.stdout, ended.stderr)

        with pytest.raises(CommandFailed, match="did not end within"):
            host.run(["sh", "-c", TWO_SLEEPERS.format(server.folder)], timeout_s=6)

    assert all(gone(number(server.folder / name)) for name in ("parent", "child"))


def test_a_login_that_runs_nothing_is_said_with_its_words(own):
    """An account without a shell answers with a sentence, which is what the reader needs."""
    server, host = own
    host.close()
    server.stop()
    server.extra = "ForceCommand echo This account is not available.; exit 1"
    server.start()
    with ssh.connect(server.settings()) as host, pytest.raises(CommandFailed) as caught:
        host.run(["true"], timeout_s=20)

    assert "true could not be started: This account is not available." in lines(caught)


# ---- limits, interruption


def test_past_its_time_the_whole_family_ends(shared, tmp_path):
    """A shell's children must not go on changing things after we said that it failed."""
    script = f"setsid sh -c 'echo $$ > {tmp_path}/far; sleep 1000' & {TWO_SLEEPERS.format(tmp_path)}"

    with pytest.raises(CommandFailed) as caught:
        shared.run(["sh", "-c", script], timeout_s=6)

    assert "did not end within 6 s.\nIt was killed;" in lines(caught)
    assert all(gone(number(tmp_path / name)) for name in ("parent", "child", "far"))


def test_past_its_time_a_deaf_command_is_killed(shared, tmp_path):
    """Where TERM is not heard, KILL is."""
    script = f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.1; done"

    with pytest.raises(CommandFailed, match="It was killed"):
        shared.run(["sh", "-c", script], timeout_s=6)

    assert gone(number(tmp_path / "pid"))


def test_a_closed_stream_is_not_an_ended_command(shared, tmp_path):
    """A command that closes its streams and goes on is held to its time."""
    with pytest.raises(CommandFailed, match="did not end within"):
        shared.run(["sh", "-c", f"echo $$ > {tmp_path}/pid; exec >&- 2>&-; sleep 1000"], timeout_s=6)

    assert gone(number(tmp_path / "pid"))


def test_ctrl_c_ends_what_runs_there(shared, tmp_path):
    """Nothing goes on there once we have left."""

    def interrupt():
        number(tmp_path / "child")
        number(tmp_path / "parent")
        _thread.interrupt_main()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        shared.run(["sh", "-c", TWO_SLEEPERS.format(tmp_path)], timeout_s=60)
    thread.join()

    assert all(gone(number(tmp_path / name)) for name in ("parent", "child"))
    assert "ok\n" == shared.run(["echo", "ok"], timeout_s=20).stdout


# ---- streams


def test_stream_yields_what_comes_and_knows_the_end(shared):
    """A dump is read while it is written."""
    with shared.stream(["sh", "-c", "echo noise >&2; head -c 3000000 /dev/zero"], timeout_s=60) as chunks:
        assert 3_000_000 == sum(len(chunk) for chunk in chunks)


def test_stream_starts_its_command_before_it_is_read(shared, tmp_path):
    """What is to be measured runs from the start of the block, read or not."""
    with shared.stream(["sh", "-c", f"echo $$ > {tmp_path}/pid; echo done"], timeout_s=20) as chunks:
        number(tmp_path / "pid")
        assert b"done\n" == b"".join(chunks)


def test_stream_that_ends_badly_says_why(shared, tmp_path):
    """The reader of a stream must not take half of it for the whole."""
    with (
        pytest.raises(CommandFailed) as caught,
        shared.stream(
            ["sh", "-c", "echo $W; pwd; echo no room >&2; exit 4"], timeout_s=20, cwd=str(tmp_path)
        ) as chunks,
    ):
        list(chunks)

    assert "ended with status 4: no room" in lines(caught)


def test_leaving_a_stream_early_ends_the_command(shared, tmp_path):
    """An error in the consumer, or a reader who has seen enough, leaves nothing running."""
    script = f"echo first; {TWO_SLEEPERS.format(tmp_path)}"
    with (
        pytest.raises(ZeroDivisionError),
        shared.stream(["sh", "-c", script], timeout_s=60) as chunks,
    ):
        assert 1 / (number(tmp_path / "parent") - number(tmp_path / "parent")) < len(next(chunks))

    assert all(gone(number(tmp_path / name)) for name in ("parent", "child"))


def test_a_slow_reader_is_held_to_the_time_too(shared, tmp_path):
    """The limit holds for the whole of a stream."""
    with (
        pytest.raises(CommandFailed, match="did not end within 6 s"),
        shared.stream(["sh", "-c", f"echo $$ > {tmp_path}/pid; echo a; sleep 1000"], timeout_s=6) as chunks,
    ):
        list(chunks)

    assert gone(number(tmp_path / "pid"))


def test_many_commands_at_once_share_the_connection(shared):
    """The server grants ten sessions; those above wait for a seat."""
    found = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(shared.run(["echo", str(n)], timeout_s=60).stdout))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {f"{n}\n" for n in range(20)} == set(found)


def test_a_slow_reader_of_an_ended_command_gets_all_of_it(shared, monkeypatch, tmp_path):
    """However long it takes: megabytes wait on both sides by then, though a child holds the stream."""
    monkeypatch.setattr(command, "_LONGEST_LINGER_S", 0.2)
    script = f"sleep 60 & echo $! > {tmp_path}/child; head -c 5000000 /dev/zero; echo end"
    length = 0
    with shared.stream(["sh", "-c", script], timeout_s=120) as chunks:
        for chunk in chunks:
            length += len(chunk)
            time.sleep(0.05)
    os.kill(number(tmp_path / "child"), signal.SIGKILL)
    assert 5_000_004 == length


# ---- a link that is slow, or lost


@contextmanager
def narrow(server, tmp_path, *, piece_bytes=500, pause_s=0.015):
    """A way to the server through which, once the event is set, its answers trickle: some 30 kB a second."""
    slow = threading.Event()

    def carry(source, sink, answers):
        with contextlib.suppress(OSError):
            while data := source.recv(piece_bytes):
                sink.sendall(data)
                if answers and slow.is_set():
                    time.sleep(pause_s)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve(listener):
        ours, _ = listener.accept()
        with ours, socket.socket() as theirs:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # what is on its way waits at the server
            theirs.connect(("127.0.0.1", server.port))
            back = threading.Thread(target=carry, args=(theirs, ours, True))
            back.start()
            carry(ours, theirs, False)
            back.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        known = tmp_path / "known_hosts"
        known.write_text(server.known_hosts.read_text().replace(f":{server.port}", f":{port}"))
        carrying = threading.Thread(target=serve, args=(listener,))
        carrying.start()
        with ssh.connect(server.settings(port=port, known_hosts=str(known))) as host:
            yield host, slow
        carrying.join()


def test_a_slow_link_loses_nothing_of_what_a_command_printed(server, tmp_path):
    """The exit status comes before the last of the output; half a list of bugs must not look like the list."""
    with narrow(server, tmp_path) as (host, slow):
        slow.set()
        for length in (65_000, 150_000):
            assert length == len(host.run(["head", "-c", str(length), "/dev/zero"], timeout_s=60).stdout)


def test_a_slow_link_loses_nothing_where_a_child_holds_the_streams(server, tmp_path):
    """What comes late is waited for, though the end of the streams never comes."""
    with narrow(server, tmp_path) as (host, slow):
        slow.set()
        script = f"sleep 60 & echo $! > {tmp_path}/child; head -c 65000 /dev/zero"
        assert 65_000 == len(host.run(["sh", "-c", script], timeout_s=60).stdout)
        os.kill(number(tmp_path / "child"), signal.SIGKILL)


def test_a_child_that_prints_on_and_on_over_a_long_way(server, tmp_path, monkeypatch):
    """While the server is asked whether that was all, the child has printed more: that is none of the command's."""
    monkeypatch.setattr(command, "_LONGEST_LINGER_S", 2.0)
    with narrow(server, tmp_path, piece_bytes=1 << 16, pause_s=0.1) as (host, far):
        far.set()
        script = "while :; do echo more; sleep 0.05; done & echo started"
        ended = host.run(["sh", "-c", script], timeout_s=60)
        assert 0 == ended.exit_status
        assert 2_000 < ended.duration_ms < 20_000
        assert "started\n" in ended.stdout


def test_a_link_cut_after_the_status_and_before_the_end_of_the_output(own, tmp_path, monkeypatch):
    """What was still to come is not known, and no status of 0 covers it."""
    server, host = own
    monkeypatch.setattr(command, "_LINGER_S", 30.0)

    def cut():
        number(tmp_path / "child")
        time.sleep(0.2)  # the status is there, and what comes after it is still listened for
        server.cut()

    threading.Thread(target=cut).start()
    with pytest.raises(CommandFailed) as caught:
        host.run(["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/child"], timeout_s=60)
    assert "before all that it printed was here" in lines(caught)
    os.kill(number(tmp_path / "child"), signal.SIGKILL)


def test_the_link_is_known_to_be_lost_before_its_channels_close(own, tmp_path, monkeypatch):
    """Or a command that has ended would be taken for whole, though its last words were lost with the link."""
    server, host = own
    unlink, known = paramiko.Channel._unlink, []

    def unlinked(channel):
        known.append(host.lost)
        unlink(channel)

    monkeypatch.setattr(paramiko.Channel, "_unlink", unlinked)

    def cut():
        number(tmp_path / "pid")
        known.clear()  # those that were closed before are none of it
        server.cut()

    threading.Thread(target=cut).start()
    with pytest.raises(CommandFailed):
        host.run(["sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 60"], timeout_s=60)
    os.kill(number(tmp_path / "pid"), signal.SIGKILL)
    assert [True] == known


def test_a_link_cut_while_a_command_runs_leaves_its_state_unknown(own, tmp_path):
    """Whether the migration went through cannot be known, and nothing repeats it."""
    server, host = own
    threading.Thread(target=lambda: (number(tmp_path / "pid"), server.cut())).start()

    with pytest.raises(CommandFailed) as caught:
        host.run(["sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 1000"], timeout_s=60)

    pid = number(tmp_path / "pid")
    assert "State unknown: it may have ended, or may still be running there" in lines(caught)
    assert str(pid) in str(caught.value)
    assert "sleep 1000" in str(caught.value)
    assert host.lost
    assert not gone(pid)
    os.killpg(pid, signal.SIGKILL)
    with pytest.raises(CommandFailed, match="It was not begun"):
        host.run(["true"], timeout_s=5)
    with pytest.raises(CommandFailed, match="It was not begun"):
        host.read("/etc/hostname", 100)
    with pytest.raises(CommandFailed, match="It was not begun"):
        host.forward("127.0.0.1", 1)


def test_a_command_that_is_given_up_because_the_link_is_cut(own, tmp_path):
    """Another command has met the cut first: what this one came to is unknown all the same."""
    server, host = own

    class Cut(threading.Event):
        def is_set(self) -> bool:
            if (tmp_path / "pid").exists():
                server.cut()
                wait_for(lambda: host.lost)
            return host.lost

    with pytest.raises(CommandFailed) as caught:
        host.run(["sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 1000"], timeout_s=60, stop=Cut())
    pid = number(tmp_path / "pid")
    os.killpg(pid, signal.SIGKILL)
    assert "The connection to" in lines(caught)
    assert f"State unknown: it may have ended, or may still be running there (process group {pid})" in lines(caught)


def test_whoever_reads_gives_up_because_the_link_is_cut(own, tmp_path):
    """An error of the reader's own is told, and with it that nobody knows what the command came to."""
    server, host = own

    def read() -> None:
        with host.stream(["sh", "-c", f"echo $$ > {tmp_path}/pid; echo; sleep 1000"], timeout_s=60) as chunks:
            next(chunks)
            server.cut()
            wait_for(lambda: host.lost)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        read()
    pid = number(tmp_path / "pid")
    os.killpg(pid, signal.SIGKILL)
    [note] = caught.value.__notes__
    assert f"State unknown: it may have ended, or may still be running there (process group {pid})" in note


def test_a_link_cut_in_a_stream_leaves_its_state_unknown(own, tmp_path):
    """Half a dump must not look like a dump."""
    server, host = own
    script = f"echo $$ > {tmp_path}/pid; while :; do echo row; sleep 0.01; done"

    def cutting(chunks):
        for number_of_chunk, chunk in enumerate(chunks):
            if number_of_chunk == 0:
                server.cut()
            yield chunk

    with (
        pytest.raises(CommandFailed) as caught,
        host.stream(["sh", "-c", script], timeout_s=60) as chunks,
    ):
        list(cutting(chunks))

    assert "State unknown" in lines(caught)
    assert host.lost
    with contextlib.suppress(ProcessLookupError):
        os.killpg(number(tmp_path / "pid"), signal.SIGKILL)


def test_a_server_that_is_stopped_between_commands(own):
    """The next command says that it was not begun."""
    server, host = own
    server.stop()
    wait_for(lambda: host.lost)

    with pytest.raises(CommandFailed) as caught:
        host.run(["true"], timeout_s=5)
    assert "is gone.\nIt was not begun, so it changed nothing." in lines(caught)

    with pytest.raises(TargetUnusable, match="refused the connection: nothing listens there"):
        ssh.connect(server.settings())


def test_a_server_that_freezes_does_not_hold_us_up(own):
    """Every command has its time limit, also where nobody answers any more."""
    server, host = own
    server.send(signal.SIGSTOP)
    began = time.monotonic()
    try:
        with pytest.raises(CommandFailed) as caught:
            host.run(["true"], timeout_s=1)
    finally:
        server.send(signal.SIGCONT)

    assert "did not begin within 1 s" in lines(caught)
    assert 5 > time.monotonic() - began


def test_a_command_that_cannot_be_ended_is_not_called_ended(own, tmp_path, monkeypatch):
    """Where the server freezes in the middle, nobody can say that anything was killed."""
    server, host = own
    monkeypatch.setattr("pytest_dryrun.hosts.ssh.command.END_S", 1.0)

    def freeze():
        number(tmp_path / "pid")
        server.send(signal.SIGSTOP)

    threading.Thread(target=freeze).start()
    with pytest.raises(CommandFailed) as caught:
        host.run(["sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 1000"], timeout_s=3)
    server.send(signal.SIGCONT)

    pid = number(tmp_path / "pid")
    assert f"State unknown: it may still be running there (process group {pid})." in lines(caught)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


@contextmanager
def silence(port):
    """Let nothing come through to a port of this machine or from it any more, as where a cable is pulled."""
    rules = [["-p", "tcp", side, str(port), "-j", "DROP"] for side in ("--dport", "--sport")]
    try:
        for rule in rules:
            subprocess.run(["iptables", "-w", "-I", "INPUT", "-i", "lo", *rule], check=True, timeout=30)
        yield
    finally:
        for rule in rules:
            subprocess.run(["iptables", "-w", "-D", "INPUT", "-i", "lo", *rule], check=False, timeout=30)


def test_a_line_that_goes_dead_is_noticed_though_nobody_hangs_up(tmp_path, monkeypatch):
    """Something is sent now and then, and what is not acknowledged in time is a lost connection."""
    require(os.geteuid() == 0 and shutil.which("iptables"), "only root can let packets disappear, with iptables")
    monkeypatch.setattr(connecting, "_KEEPALIVE_S", 1)
    monkeypatch.setattr(connecting, "_DEAD_S", 2)
    server = Sshd(tmp_path / "sshd")
    server.start()
    with ssh.connect(server.settings()) as host:
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(host.run, ["sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 1000"], timeout_s=500)
            pid = number(tmp_path / "pid")
            began = time.monotonic()
            with silence(server.port), pytest.raises(CommandFailed) as caught:
                running.result(timeout=60)
        assert host.lost
    server.stop()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)

    assert time.monotonic() - began < 30
    assert "State unknown: it may have ended, or may still be running there" in lines(caught)


# ---- files


def test_a_large_file_goes_there_and_comes_back_the_same(shared, tmp_path):
    """Both sides agree on the SHA-256 before a file gets its name; nobody else may read it."""
    source = tmp_path / "dump"
    source.write_bytes(os.urandom(1_000_000) * 50)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    there = tmp_path / "there"
    there.mkdir()

    assert f"{there}/a dump" == shared.put(source, f"{there}/a dump")
    assert digest == shared.sha256(f"{there}/a dump")
    assert 0o600 == (there / "a dump").stat().st_mode & 0o777
    assert digest == shared.get(f"{there}/a dump", tmp_path / "back")
    assert digest == hashlib.sha256((tmp_path / "back").read_bytes()).hexdigest()
    assert 0o600 == (tmp_path / "back").stat().st_mode & 0o777
    assert ["a dump"] == [path.name for path in there.iterdir()]


def test_put_replaces_a_file_and_an_empty_one_is_a_file(shared, tmp_path):
    """A second attempt finds the first one's file."""
    (tmp_path / "new").write_bytes(b"")
    (tmp_path / "old").write_bytes(b"old")

    shared.put(tmp_path / "new", str(tmp_path / "old"))

    assert b"" == (tmp_path / "old").read_bytes()
    assert hashlib.sha256().hexdigest() == shared.get(str(tmp_path / "old"), tmp_path / "back")


def test_nobody_goes_on_asking_for_a_file_that_is_not_read_any_further(shared, tmp_path):
    """The thread that asks ahead waits for room; it ends with the reader, whatever ended that one."""
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    before = set(threading.enumerate())
    with shared._files._session().open(str(large), "rb") as remote, files._ahead(remote, large.stat().st_size):
        remote.read(10)
        assert set(threading.enumerate()) - before
    deadline = time.monotonic() + 10
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set() == set(threading.enumerate()) - before


def test_a_file_that_changes_while_it_is_copied_is_refused(shared, tmp_path):
    """A dump that somebody still writes to proves nothing."""
    server_side = tmp_path / "growing"
    server_side.write_bytes(b"x" * 100)
    original = shared.sha256

    def later(path):
        server_side.write_bytes(b"y" * 100)
        return original(path)

    shared.sha256 = later
    try:
        with pytest.raises(CommandFailed) as caught:
            shared.get(str(server_side), tmp_path / "copy")
    finally:
        del shared.sha256

    assert "arrived changed: SHA-256" in lines(caught)
    assert ["growing"] == [path.name for path in tmp_path.iterdir()]


def test_a_file_that_arrives_changed_gets_no_name(shared, tmp_path, monkeypatch):
    """What the host adds it up to is what counts; the half of it goes."""
    (tmp_path / "source").write_bytes(b"x" * 100_000)
    (tmp_path / "there").mkdir()
    monkeypatch.setattr(shared, "sha256", lambda _: hashlib.sha256(b"y").hexdigest())

    with pytest.raises(CommandFailed, match=r"arrived changed: SHA-256 \w{64}, expected \w{64}"):
        shared.put(tmp_path / "source", f"{tmp_path}/there/copy")

    assert [] == list((tmp_path / "there").iterdir())


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda host, path: host.put(path / "here", f"{path}/no/such/place"), "could not be copied to"),
        (lambda host, path: host.get(f"{path}/nothing", path / "copy"), "could not be copied to"),
        (lambda host, path: host.read(f"{path}/nothing", 10), "could not be read: No such file"),
        (lambda host, path: host.read(f"{path}/here", 3), "it is larger than 3 bytes"),
        (lambda host, path: host.sha256(f"{path}/nothing"), "cannot be told"),
        (lambda host, path: host.make_directory(f"{path}/here/below"), "cannot be made or written"),
        (lambda host, path: host.remove(str(path)), "could not be removed"),
    ],
    ids=[
        "put nowhere",
        "get nothing",
        "read nothing",
        "read too much",
        "hash nothing",
        "folder below a file",
        "remove",
    ],
)
def test_a_file_that_cannot_be_handled_is_told_in_three_lines(shared, tmp_path, act, words):
    """The path, the reason, and what to do."""
    (tmp_path / "here").write_text("four")

    with pytest.raises(CommandFailed) as caught:
        act(shared, tmp_path)

    assert words in lines(caught)
    assert ["here"] == [path.name for path in tmp_path.iterdir()]


def test_small_files_folders_and_room(shared, tmp_path):
    """What the backup needs of the host: its room, a folder of its own, and to clear up."""
    place = tmp_path / "new" / "a folder"
    state = os.statvfs(tmp_path)
    assert 0.05 > abs(shared.free_bytes(f"{place}/x") / (state.f_bavail * state.f_frsize) - 1)

    shared.make_directory(str(place))
    shared.make_directory(str(place))
    assert [0o700, 0o700] == [folder.stat().st_mode & 0o777 for folder in (place, place.parent)]

    (place / ".env").write_bytes(b"A=1\n")
    assert b"A=1\n" == shared.read(f"{place}/.env", 100)
    shared.remove(f"{place}/.env")
    shared.remove(f"{place}/.env")
    assert [] == list(place.iterdir())


# ---- tunnels


@contextlib.contextmanager
def answering(serve):
    """Listen on the host's side, and serve each connection on a thread."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    link, _ = listener.accept()
                    threading.Thread(target=served, args=(link,), daemon=True, name="far").start()

        def served(link):
            with link, contextlib.suppress(OSError):
                serve(link)

        threading.Thread(target=accept, daemon=True, name="far").start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def everything(link):
    """Read to the end."""
    return b"".join(iter(lambda: link.recv(65536), b""))


def test_a_tunnel_carries_many_connections_and_half_closes(shared):
    """Each sends a megabyte, ends its side, and only then gets it back."""
    data = os.urandom(1_000_000)
    found = []

    def ask(port):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as link:
            link.sendall(data)
            link.shutdown(socket.SHUT_WR)
            found.append(everything(link) == data)

    with answering(lambda link: link.sendall(everything(link))) as there:
        port = shared.forward("127.0.0.1", there)
        threads = [threading.Thread(target=ask, args=(port,)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert [True] * 20 == found


def test_both_directions_of_a_tunnel_flow_at_once(shared):
    """Two talkers who do not listen until they have spoken would block a tunnel with one hand."""
    size = 8_000_000

    def serve(link):
        reader = threading.Thread(target=everything, args=(link,))
        reader.start()
        link.sendall(b"x" * size)
        link.shutdown(socket.SHUT_WR)
        reader.join()

    with answering(serve) as there:
        port = shared.forward("127.0.0.1", there)
        with socket.create_connection(("127.0.0.1", port), timeout=30) as link:
            link.sendall(b"y" * size)
            link.shutdown(socket.SHUT_WR)
            assert size == len(everything(link))


def test_a_refused_connection_ends_at_once(shared):
    """A driver gets its error, and no hang; the reason can be asked for."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()[1]
    port = shared.forward("127.0.0.1", nobody)
    began = time.monotonic()

    with pytest.raises(ConnectionError), socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.recv(1)

    assert 5 > time.monotonic() - began
    assert "Connect failed" == shared.refusal(port)


def test_a_tunnel_that_the_server_forbids_says_so(own):
    """AllowTcpForwarding no: the connection ends, and the server's reason is kept."""
    server, host = own
    host.close()
    server.stop()
    server.extra = "AllowTcpForwarding no"
    server.start()
    with ssh.connect(server.settings()) as host:
        port = host.forward("127.0.0.1", server.port)
        with pytest.raises(ConnectionError), socket.create_connection(("127.0.0.1", port), timeout=10) as link:
            link.recv(1)

        assert "Administratively prohibited" == host.refusal(port)


def test_postgres_is_reached_through_a_tunnel(shared, postgres):
    """What it is for."""
    there = postgres.parameters()
    require(not str(there["host"]).startswith("/"), "the test server listens on a socket alone")
    port = shared.forward("127.0.0.1", int(there["port"]))
    with psycopg.connect(**{**there, "host": "127.0.0.1", "port": port}, connect_timeout=10) as connection:
        assert (1,) == connection.execute("SELECT 1").fetchone()


def test_a_driver_gets_its_error_at_once_where_no_server_is(shared):
    """A tunnel into nothing must not look like a slow server."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()[1]
    began = time.monotonic()

    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(host="127.0.0.1", port=shared.forward("127.0.0.1", nobody), connect_timeout=30)

    assert 10 > time.monotonic() - began


def test_close_leaves_no_port_no_thread_and_no_session(server):
    """After the run the machine is as it was."""
    before = set(threading.enumerate())
    with answering(everything) as there:
        host = ssh.connect(server.settings())
        port = host.forward("127.0.0.1", there)
        link = socket.create_connection(("127.0.0.1", port), timeout=10)
        link.sendall(b"hello")
        host.run(["true"], timeout_s=20)
        host.read("/etc/hostname", 1000)

        host.close()
        host.close()

        with link, contextlib.suppress(ConnectionError):
            link.settimeout(10)
            assert b"" == link.recv(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    assert host.lost
    assert set() == set(threading.enumerate()) - before - {
        thread for thread in threading.enumerate() if thread.name == "far"
    }


def test_importing_the_way_to_ssh_loads_no_driver():
    """A local run pays nothing for what it does not use."""
    script = "import sys, pytest_dryrun.hosts.ssh; assert 'paramiko' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
