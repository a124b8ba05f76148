"""Disposable servers in containers, and the container as a host: real ones, on a real engine."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import psycopg
import pytest
from engine import IMAGE, lacking
from needs import require

from pytest_dryrun.hosts import Host
from pytest_dryrun.model.errors import CommandFailed, DryRunError
from pytest_dryrun.postgres import disposable as servers
from pytest_dryrun.postgres.connection import connect
from pytest_dryrun.postgres.disposable import Disposable
from pytest_dryrun.workspace import Workspace, sweep

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("container")]

_RUN = """
import sys, time
from pathlib import Path
from pytest_dryrun.postgres import disposable
from pytest_dryrun.workspace import Workspace
workspace = Workspace.create(sys.argv[3], Path(sys.argv[1]))
server = disposable.start("container", workspace=workspace, image=sys.argv[2])
print("up", flush=True)
try:
    time.sleep(60)
finally:
    server.stop()
    workspace.close()
"""


def _docker(*argv):
    return subprocess.run(["docker", *argv], capture_output=True, text=True, timeout=30, check=True).stdout


def _containers(run_id):
    return _docker("ps", "-aq", "--filter", f"label=pytest-dryrun.run={run_id}").split()


@pytest.fixture(scope="module")
def workspace():
    """Open a workspace for the containers of this module."""
    require(not lacking(), lacking())
    workspace = Workspace.create(f"tests-{time.monotonic_ns()}")
    yield workspace
    workspace.close()


@pytest.fixture(scope="module")
def server(workspace) -> Disposable:
    """Start one server for the tests that only look at it."""
    server = servers.start("container", workspace=workspace, image=IMAGE)
    yield server
    server.stop()


@pytest.fixture
def host(server) -> Host:
    """Take the server's container as a host."""
    return server.host


def test_the_server_is_a_superusers_and_set_to_be_thrown_away(server):
    """Nothing may depend on who provides the server."""
    with connect(server.conninfo) as connection:
        row = connection.execute(
            "SELECT current_setting('is_superuser'), current_setting('fsync'), current_setting('wal_level'),"
            " current_setting('shared_preload_libraries'), current_setting('server_encoding')"
        ).fetchone()
        [log] = connection.execute("SELECT pg_read_file(pg_current_logfile())").fetchone()

    assert ("on", "off", "minimal", "pg_stat_statements", "UTF8") == row
    assert "ready to accept connections" in log
    assert ("container", 15) == (server.provider, server.version_num // 10000)


def test_the_port_is_published_on_the_loopback_alone(server):
    """Nobody on the network may reach a copy of production data."""
    [container] = _docker("ps", "-q", "--filter", f"id={server.host.container.id}").split()
    ports = json.loads(_docker("inspect", container))[0]["NetworkSettings"]["Ports"]

    assert ["127.0.0.1"] == [binding["HostIp"] for binding in ports["5432/tcp"]]


def test_nobody_gets_in_without_the_password(server):
    """Other users of this machine can reach the port."""
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(**{**server.conninfo.parameters(), "password": "wrong"})


def test_the_tools_are_the_servers_own_and_get_in(server):
    """pg_dump runs inside, with the conninfo as seen from there."""
    said = server.host.run([*server.tool("pg_dump"), "--version"], timeout_s=20).stdout
    ended = server.host.run(
        [*server.tool("psql"), "-XAtc", "SELECT 6*7"], timeout_s=20, env=server.tool_conninfo.environment()
    )

    assert "pg_dump (PostgreSQL) 15." in said
    assert (0, "42\n", "") == (ended.exit_status, ended.stdout, ended.stderr)


def test_the_servers_processes_are_known_where_the_engine_is_on_this_kernel(server):
    """Memory and CPU are sampled from outside the container."""
    assert 5 <= len(server.process_ids())
    assert 1_000_000 < server.free_bytes()


def test_stop_leaves_no_container_no_volume_and_no_note(workspace):
    """A copy of production data must not stay behind; a second stop does nothing."""
    server = servers.start("container", workspace=workspace, image=IMAGE, settings={"work_mem": "7MB"})
    with connect(server.conninfo) as connection:
        assert ("7MB",) == connection.execute("SELECT current_setting('work_mem')").fetchone()
    [mount] = json.loads(_docker("inspect", server.host.container.id))[0]["Mounts"]

    server.stop()
    server.stop()

    assert server.host.container.short_id not in " ".join(_containers(workspace.run_id))
    assert mount["Name"] not in _docker("volume", "ls", "-q")
    assert server.host.container.name not in {entry.name for entry in (workspace.path / "journal").iterdir()}
    assert () == server.process_ids()


def test_a_server_that_does_not_start_says_why_and_leaves_nothing(workspace):
    """The server's own words are the reason a reader can act on."""
    before = _containers(workspace.run_id)

    with pytest.raises(DryRunError, match=r"did not start: .*shared_buffers"):
        servers.start("container", workspace=workspace, image=IMAGE, settings={"shared_buffers": "nonsense"})
    assert before == _containers(workspace.run_id)


def test_an_image_that_cannot_be_had_is_refused_soon(workspace):
    """Where containers are one of several ways, nobody waits minutes for a registry."""
    began = time.monotonic()

    server = servers.start("auto", workspace=workspace, image="registry.invalid/no/such:1")

    assert server.skipped[0].startswith("container: The image registry.invalid/no/such:1 cannot be had: ")
    assert 20 > time.monotonic() - began
    server.stop()


def test_a_killed_runs_container_is_swept(tmp_path):
    """SIGKILL leaves a container with a copy of production data; the next run removes it."""
    require(not lacking(), lacking())
    from pytest_dryrun.postgres.disposable.container import remove_container

    base, name = tmp_path / "runs", f"run-{time.monotonic_ns()}"
    with subprocess.Popen(
        [sys.executable, "-c", _RUN, str(base), IMAGE, name], stdout=subprocess.PIPE, text=True
    ) as run:
        assert "up\n" == run.stdout.readline()
        run.kill()
    assert 1 == len(_containers(name))

    removed = sweep(base, remove_container).removed

    assert [] == _containers(name)
    assert removed[0].startswith(f"Container pytest-dryrun-{name}-")
    assert not (base / name).exists()


def test_ctrl_c_during_the_start_leaves_nothing(tmp_path):
    """An interrupt falls into the wait for the server."""
    require(not lacking(), lacking())
    base, name = tmp_path / "runs", f"run-{time.monotonic_ns()}"
    with subprocess.Popen(
        [sys.executable, "-c", _RUN, str(base), IMAGE, name], stderr=subprocess.PIPE, text=True
    ) as run:
        while not _containers(name):
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        errors = run.communicate(timeout=30)[1]

    assert "KeyboardInterrupt" in errors
    assert [] == _containers(name)
    assert [] == list((base / name / "journal").iterdir())
    sweep(base)


def test_run_tells_status_streams_environment_and_folder(host):
    """A command inside is a command like any other."""
    ended = host.run(["sh", "-c", 'echo "$A $(pwd)"; echo err >&2; exit 3'], timeout_s=20, env={"A": "1"}, cwd="/usr")

    assert (3, "1 /usr\n", "err\n") == (ended.exit_status, ended.stdout, ended.stderr)


def test_run_hands_every_argument_over_as_it_is(host):
    """The caller never quotes."""
    words = ["a b", "'", '"', "$HOME", "*", "", ";", "\n", "ü"]

    assert "\0".join(words) == host.run(["printf", r"%s\0", *words], timeout_s=20).stdout.removesuffix("\0")


def test_run_takes_megabytes_of_both_streams(host):
    """Nothing is lost and nothing hangs."""
    script = "head -c 3000000 /dev/zero | tr '\\0' o; head -c 3000000 /dev/zero | tr '\\0' e >&2"

    ended = host.run(["sh", "-c", script], timeout_s=30)

    assert (3_000_000, 3_000_000) == (len(ended.stdout), len(ended.stderr))


def test_run_past_its_time_kills_the_whole_family(host):
    """What goes on inside the container after we said that it failed could still change things."""
    with pytest.raises(CommandFailed, match="did not end within 1 s"):
        host.run(["sh", "-c", "sleep 4321 & sleep 4321"], timeout_s=1)

    assert "4321" not in _docker("top", host.container.id)


def test_a_program_that_is_not_there_is_named(host):
    """The reader has to know which program is meant."""
    with pytest.raises(CommandFailed, match="no-such-program could not be started: the program is not there"):
        host.run(["no-such-program"], timeout_s=20)


def test_a_folder_that_does_not_exist_is_named(host):
    """The engine blames its runtime where in truth the folder is missing."""
    with pytest.raises(CommandFailed, match="true could not be started in /no/such/folder: the folder is not there"):
        host.run(["true"], timeout_s=20, cwd="/no/such/folder")


def test_stream_is_complete_and_says_how_it_ended(host):
    """A dump that broke off must not pass for a whole one."""
    with host.stream(["head", "-c", "5000000", "/dev/zero"], timeout_s=30) as chunks:
        assert 5_000_000 == sum(map(len, chunks))
    with (
        pytest.raises(CommandFailed, match="ended with status 4: no space left\nWhat it printed is not complete"),
        host.stream(["sh", "-c", "echo part; echo no space left >&2; exit 4"], timeout_s=20) as chunks,
    ):
        list(chunks)


def test_stream_left_early_kills_the_command(host):
    """Whoever stops reading does not want the rest, however early; the engine carries both streams side by side."""
    for _ in range(30):
        with host.stream(["sh", "-c", "while echo x; do sleep 0.01; done; : 8765"], timeout_s=60) as chunks:
            next(chunks)

    assert "8765" not in _docker("top", host.container.id)


def test_a_command_that_is_killed_does_not_take_the_server_with_it(server, host):
    """Its orphans go to the first process: a postmaster would take their end for a crash of its own."""
    with connect(server.conninfo) as connection:
        for _ in range(30):
            with host.stream(["sh", "-c", "while echo x; do sleep 0.01; done"], timeout_s=60) as chunks:
                next(chunks)
        with pytest.raises(CommandFailed, match="did not end within 1 s"):
            host.run(["sh", "-c", "sleep 1234 & sleep 1234 & wait"], timeout_s=1)
        assert (1,) == connection.execute("SELECT 1").fetchone()
        [log] = connection.execute("SELECT pg_read_file(pg_current_logfile())").fetchone()
    assert "was terminated by signal" not in log
    assert "recovery" not in log


def test_a_file_and_a_folder_are_put_inside_unchanged(host, tmp_path):
    """A dump is restored inside, whatever its format and the length of its name."""
    folder = tmp_path / "dump"
    folder.mkdir()
    (folder / ("x" * 120)).write_bytes(b"a\0b" * 100_000)
    (folder / "toc.dat").write_bytes(b"")

    assert "/tmp/new/dump" == host.put(folder, "/tmp/new/dump")  # noqa: S108
    assert "/tmp/new/one" == host.put(folder / "toc.dat", "/tmp/new/one")  # noqa: S108

    listed = host.run(
        ["sh", "-c", "cd /tmp/new && wc -c dump/x* dump/toc.dat one && cat dump/x* | md5sum"], timeout_s=20
    )
    assert ["300000", "0", "0", "300000"] == [line.split()[0] for line in listed.stdout.splitlines()[:4]]


def test_a_file_that_is_not_there_is_not_put(host, tmp_path):
    """An empty restore must have a reason."""
    with pytest.raises(CommandFailed, match="could not be copied into container"):
        host.put(tmp_path / "absent", "/tmp/absent")  # noqa: S108


def test_free_bytes_of_a_folder_that_does_not_exist_yet(host):
    """The nearest folder that exists answers."""
    assert 1_000_000 < host.free_bytes("/var/no/such")


def test_no_engine_is_refused_at_once(tmp_path, monkeypatch):
    """On most machines without Docker this costs every run, so it must cost nothing."""
    from pytest_dryrun.postgres.disposable import container

    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/absent.sock")
    began = time.monotonic()

    with pytest.raises(DryRunError, match=r"No container engine can be used here: .*absent.sock: No such file"):
        container.remove_container("any")
    assert 0.5 > time.monotonic() - began
