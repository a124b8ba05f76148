"""A host's memory, CPU and load, read from its own /proc: this machine stands for one, and the staging stand is one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest
from staging import Staging, staging_stand  # noqa: F401 - a fixture

from pytest_dryrun.config import Ssh
from pytest_dryrun.hosts import Host, ssh
from pytest_dryrun.hosts.local import LocalHost
from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.probes import host_resources
from pytest_dryrun.probes.host_look import Look, Process
from pytest_dryrun.probes.host_resources import API, SERVER, HostSampler, _Books
from pytest_dryrun.probes.usage import Resources, Usage

# It listens, may have a child that keeps the socket and one that does not, and burns when it is told to.
LISTENER = """
import os, socket, sys, time
if len(sys.argv) > 3:
    open("/proc/self/comm", "w").write(sys.argv[3])
door = socket.socket()
door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
door.bind(("127.0.0.1", int(sys.argv[1])))
door.listen()
read, write = os.pipe()
for number in range(int(sys.argv[2])):
    if os.fork() == 0:
        if number:
            door.close()
        os.close(write)
        os.read(read, 1)
        end = time.process_time() + 0.6
        while time.process_time() < end: pass
        os.write(1, b"burnt\\n")
        time.sleep(600)
print("up", flush=True)
sys.stdin.readline()
os.write(write, b"xx")
time.sleep(600)
"""
MACHINE = "at 10.00 5.00\ncpu  1 1 1 1 1 1 1\nMemTotal: 9 kB\nMemAvailable: 4 kB\nload 0.50 0 0\n"
# Two looks come no later than this.
TWO_LOOKS_S = 2.6

Listen = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        number: int = one.getsockname()[1]
        return number


@pytest.fixture
def listen(port: int) -> Iterator[Listen]:
    """Have somebody listen on the port, who is gone afterwards with his children."""
    begun: list[subprocess.Popen[str]] = []

    def go(workers: int = 0, *title: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-S", "-c", LISTENER, str(port), str(workers), *title]
        one = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True, bufsize=1
        )
        begun.append(one)
        assert one.stdout
        assert one.stdout.readline() == "up\n"
        return one

    yield go
    for one in begun:
        gone(one)


def gone(one: subprocess.Popen[str]) -> None:
    """End a listener and its workers."""
    if one.returncode is None:
        os.killpg(one.pid, signal.SIGKILL)
    one.wait(10)
    for pipe in (one.stdin, one.stdout):
        assert pipe
        pipe.close()


def burn(one: subprocess.Popen[str]) -> None:
    """Let its two workers burn 1.2 s together, and the sampler see it."""
    assert one.stdin
    assert one.stdout
    one.stdin.write("go\n")
    assert ["burnt\n", "burnt\n"] == [one.stdout.readline(), one.stdout.readline()]
    time.sleep(TWO_LOOKS_S)


@contextmanager
def sampling(host: Host, base_url: str = "") -> Iterator[HostSampler]:
    """Sample until the end, and leave nothing behind."""
    sampler = HostSampler(host, base_url)
    sampler.start()
    try:
        yield sampler
    finally:
        sampler.end()


def used_s(usage: Usage) -> float:
    """Processor time of a group."""
    assert usage.cpu_mean_percent is not None
    return usage.cpu_mean_percent / 100 * (usage.series[-1][0] - usage.series[0][0])


def names(measured: Resources) -> list[str]:
    """What the groups are called."""
    return [usage.name for usage in measured.groups]


def samplers(port: int) -> list[int]:
    """The sampling commands that look for that port, wherever they run."""
    return [one.pid for one in psutil.process_iter() if f"port={port:04X}" in _argv(one)]


def _argv(one: psutil.Process) -> list[str]:
    try:
        return one.cmdline()
    except psutil.Error:
        return []


def look(at_s: float, busy_s: float, *server: Process, api: tuple[Process, ...] = ()) -> Look:
    """One look at a machine of 1000 bytes."""
    return Look(at_s, busy_s, 600, 1000, 0.5, server, api, "", veiled=False)


def process(pid: int, parent: int, cpu_s: float, *, start_s: float = 1.0) -> Process:
    """A process with 10 bytes of its own and 5 shared ones."""
    return Process(pid, parent, start_s, cpu_s, 10, 5, "postgres")


def test_the_rest_is_the_machine_without_what_is_known():
    """Memory and time of the server and the API are not counted twice; peaks of different looks are not added up."""
    books = _Books()
    books.add(look(10, 100, process(7, 1, 20), process(8, 7, 3), api=(process(9, 1, 5),)))
    books.add(look(12, 103, process(7, 1, 20.5), process(8, 7, 3.5), api=(process(9, 1, 6),)))
    assert [1.0, 1.0, 1.0] == [one.used_s for one in (books.server.account, books.api.account, books.rest)]
    assert ((25, 15), 560) == (
        (books.server.account.memory_peak_bytes, books.api.account.memory_peak_bytes),
        books.rest.memory_peak_bytes,
    )
    assert 600 == books.memory_peak_bytes
    assert 50.0 == books.rest.cpu_peak_percent


def test_a_backend_that_ends_is_paid_for_by_the_postmaster():
    """Its hours before the run are not taken for work of the rest, and its last second is the server's."""
    books = _Books()
    books.add(look(10, 5000, process(7, 1, 20), process(8, 7, 3600)))
    books.add(look(11, 5001, process(7, 1, 20 + 3600.75)))
    books.add(look(12, 5002, process(7, 1, 20 + 3601)))
    assert (1.0, 1.0) == (books.server.account.used_s, books.rest.used_s)


def test_what_ended_between_two_looks_without_a_parent_is_in_the_rest():
    """What nobody paid for is the machine's, and none of it is lost."""
    books = _Books()
    books.add(look(10, 100, process(7, 1, 20)))
    books.add(look(11, 102))
    books.add(look(12, 103, process(9, 1, 0.5, start_s=11.5)))
    assert (0.5, 2.5) == (books.server.account.used_s, books.rest.used_s)


def test_what_an_api_did_before_it_listened_is_in_the_rest():
    """It had begun at the look before, where it was nobody's."""
    books = _Books()
    books.add(look(10, 100))
    books.add(look(11, 101, api=(process(9, 1, 0.75, start_s=9.5),)))
    books.add(look(12, 102, api=(process(9, 1, 1.5, start_s=9.5),)))
    assert (0.75, 1.25) == (books.api.account.used_s, books.rest.used_s)


def test_what_is_judged_begins_at_the_mark(port):
    """What came before is drawn, and counts for nothing; without a mark there is nothing else."""
    burning = "import time; end = time.monotonic() + 3.5\nwhile time.monotonic() < end: pass"
    with sampling(LocalHost(), f"http://127.0.0.1:{port}") as sampler:
        subprocess.run([sys.executable, "-c", burning], check=True)
        sampler.mark()
        time.sleep(TWO_LOOKS_S)
        measured = sampler.stop()
    assert measured.whole is not None
    assert names(measured) == names(measured.whole)
    judged, drawn = measured.groups[-1], measured.whole.groups[-1]
    assert used_s(drawn) > used_s(judged) + 2
    assert measured.whole.samples > measured.samples > 1
    assert measured.whole.duration_ms > 3500
    assert 0 == judged.series[0][0] == drawn.series[0][0]
    assert len(measured.whole.load.series) == measured.whole.samples
    with sampling(LocalHost()) as sampler:
        time.sleep(TWO_LOOKS_S)
        assert sampler.stop().whole is None


def test_what_somebody_burns_is_seen(port):
    """A busy process raises the mean, figures are within the machine's, and no sampling command stays behind."""
    with sampling(LocalHost(), f"http://127.0.0.1:{port}") as sampler:
        assert samplers(port)  # the loop, and for an instant what it forks
        burning = "import time; end = time.monotonic() + 3.5\nwhile time.monotonic() < end: pass"
        subprocess.run([sys.executable, "-c", burning], check=True)
        measured = sampler.stop()
    _, _, rest = measured.groups
    assert rest.cpu_mean_percent is not None
    assert rest.cpu_mean_percent > 40
    assert rest.memory_peak_bytes is not None
    assert 0 < rest.memory_peak_bytes <= measured.memory_peak_bytes < measured.memory_total_bytes
    assert (psutil.virtual_memory().total // 2**20, os.cpu_count()) == (
        measured.memory_total_bytes // 2**20,
        measured.cpu_count,
    )
    assert measured.samples > 2
    assert measured.load is not None
    assert 0 <= measured.load.last <= measured.load.peak
    assert len(rest.series) == len(measured.load.series) == measured.samples
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and samplers(port):
        time.sleep(0.1)
    assert [] == samplers(port)


def test_the_api_is_who_listens_and_whom_he_started(listen, port):
    """Workers count, whether they hold the socket or not, with all that they burn."""
    running = listen(workers=2)
    with sampling(LocalHost(), f"http://127.0.0.1:{port}") as sampler:
        burn(running)
        measured = sampler.stop()
    assert [SERVER, API, "Everything else"] == names(measured)
    api = measured.groups[1]
    assert ("", 3, 1) == (api.not_measured, api.processes_peak, len(api.programs))
    assert 1.1 <= used_s(api) < 2
    assert api.memory_peak_bytes is not None
    assert 3_000_000 < api.memory_peak_bytes < 300_000_000


def test_an_api_that_is_restarted_is_found_again(listen, port):
    """Between the two nobody listens, which is seen too."""
    first = listen()
    with sampling(LocalHost(), f"http://localhost:{port}") as sampler:
        time.sleep(TWO_LOOKS_S)
        gone(first)
        time.sleep(TWO_LOOKS_S)
        second = listen(workers=2)
        time.sleep(TWO_LOOKS_S)
        burn(second)
        measured = sampler.stop()
    api = measured.groups[1]
    assert ("", 3, "Everything else") == (api.not_measured, api.processes_peak, measured.groups[2].name)
    assert 0 in [memory for _, memory, _ in api.series]
    assert used_s(api) >= 1.1


def test_without_an_api_there_is_no_group_of_it():
    """What is not the server's is everything else."""
    with sampling(LocalHost()) as sampler:
        measured = sampler.stop()
    assert [SERVER, "Everything else"] == names(measured)


def test_where_nobody_listens_the_rest_keeps_its_name(port):
    """The API is not measured, and the reason says where it was looked for."""
    with sampling(LocalHost(), f"http://127.0.0.1:{port}") as sampler:
        measured = sampler.stop()
    assert [SERVER, API, "API and everything else"] == names(measured)
    expected = f"nobody was seen to listen on port {port} of the host"
    assert (None, None, expected) == (
        measured.groups[1].memory_peak_bytes,
        measured.groups[1].cpu_mean_percent,
        measured.groups[1].not_measured,
    )


def test_a_port_elsewhere_is_not_looked_for_here(listen, port):
    """Who listens on the same port here need not be whom the URL means."""
    listen()
    with sampling(LocalHost(), f"http://192.0.2.1:{port}") as sampler:
        measured = sampler.stop()
    assert [SERVER, API, "API and everything else"] == names(measured)
    assert "need not lead to the host itself" in measured.groups[1].not_measured
    assert measured.groups[1].memory_peak_bytes is None


def test_another_address_of_the_host_is_not_the_api(listen, port):
    """A socket on 127.0.0.1 does not answer what is asked of 127.0.0.2."""
    listen()
    with sampling(LocalHost(), f"http://127.0.0.2:{port}") as sampler:
        measured = sampler.stop()
    assert measured.groups[1].not_measured.startswith("nobody was seen to listen")


@pytest.mark.parametrize("title", ["docker-proxy", "systemd"])
def test_a_proxy_is_not_the_api(listen, port, title):
    """What it passes requests on to is somebody else, in a container say, or not started yet."""
    listen(0, title)
    with sampling(LocalHost(), f"http://127.0.0.1:{port}") as sampler:
        measured = sampler.stop()
    assert [SERVER, API, "API and everything else"] == names(measured)
    expected = f"on port {port} listens {title}, which passes on what it is asked"
    assert (expected, None) == (measured.groups[1].not_measured, measured.groups[1].memory_peak_bytes)


@pytest.fixture
def said(tmp_path, monkeypatch) -> Callable[[str], None]:
    """Let the host say something else once a second: its awk is another."""

    def put(text: str, until: str = "false") -> None:
        script = f"#!/bin/sh\nuntil {until}; do\ncat <<'LOOK'\n{text}LOOK\nsleep 1\ndone\n"
        (tmp_path / "awk").write_text(script, encoding="utf-8")
        (tmp_path / "awk").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return put


def test_a_host_that_hides_processes_leaves_the_server_in_the_rest(said):
    """With hidepid the login user sees its own processes alone."""
    said(f"{MACHINE}listener found\napi 91 90 90000 100 0 0 5 2500 2200 node\nveiled\nend\n")
    with sampling(LocalHost(), "http://127.0.0.1:3001") as sampler:
        measured = sampler.stop()
    assert [SERVER, API, "PostgreSQL and everything else"] == names(measured)
    server, api, _ = measured.groups
    assert (None, True) == (server.memory_peak_bytes, "hidepid" in server.not_measured)
    assert ("", ("node",)) == (api.not_measured, api.programs)


def test_an_api_that_was_seen_for_a_part_of_the_time_says_so(said):
    """Its figures stand beside the reason why they are a lower bound, and the rest keeps the other part."""
    look = MACHINE + "listener {}\nend\n"
    found = look.format("found").replace("end", "api 91 90 90000 100 0 0 5 2500 2200 node\nend")
    said(found + look.format("hidden 33"))
    with sampling(LocalHost(), "http://127.0.0.1:3001") as sampler:
        measured = sampler.stop()
    assert [SERVER, API, "API and everything else"] == names(measured)
    api = measured.groups[1]
    assert "the user with number 33" in api.not_measured
    assert api.memory_peak_bytes is not None


@pytest.mark.parametrize("text", ["at once\nend\n", "end\n"], ids=["no figure", "a look without figures"])
def test_what_a_host_says_otherwise_is_no_measurement(said, text):
    """Nothing is made up from it."""
    said(text)
    with sampling(LocalHost()) as sampler, pytest.raises(TargetUnusable, match="said was not understood"):
        sampler.stop()


def test_a_command_that_ends_by_itself_is_no_measurement(said, tmp_path):
    """However many looks there were before."""
    said(f"{MACHINE}end\n{MACHINE}end\n{MACHINE}end\n", f"[ -e {tmp_path}/stop ]")
    with sampling(LocalHost()) as sampler:
        (tmp_path / "stop").touch()
        time.sleep(TWO_LOOKS_S)
        with pytest.raises(TargetUnusable, match="the command there ended by itself"):
            sampler.stop()


@pytest.mark.parametrize("marked", [True, False], ids=["before it was first used", "before the end"])
def test_a_host_that_falls_silent_is_no_measurement(said, monkeypatch, tmp_path, marked):
    """Its connection stands, and nothing comes any more: the figures of before say nothing of the migrated target."""
    monkeypatch.setattr(host_resources, "_SILENT_S", 600.0 if marked else 0.5)
    monkeypatch.setattr(host_resources, "_PATIENCE_S", 0.5)
    said(f"{MACHINE}end\n{MACHINE}end\n", f"{{ [ -e {tmp_path}/once ] && sleep 4; touch {tmp_path}/once; false; }}")
    with sampling(LocalHost()) as sampler:
        time.sleep(1.5)
        if marked:
            sampler.mark()
        with pytest.raises(TargetUnusable, match=r"were not measured: it hardly answered, the last time \d s before"):
            sampler.stop()
    sampler._thread.join(timeout=30)


def test_a_host_that_cannot_be_watched(monkeypatch):
    """Three lines instead of a zero."""
    monkeypatch.setenv("PATH", "/nowhere")
    with sampling(LocalHost()) as sampler, pytest.raises(TargetUnusable, match="were not measured"):
        sampler.stop()


def test_a_watch_that_ended_early_is_no_measurement(port):
    """What was used from then on is not known, whatever was seen before."""
    with sampling(LocalHost(), f"http://127.0.0.1:{port}") as sampler:
        time.sleep(TWO_LOOKS_S)
        [watching] = samplers(port)
        os.kill(watching, signal.SIGKILL)
        time.sleep(0.5)
        with pytest.raises(TargetUnusable, match=r"were not measured: .* ended with status -9") as caught:
            sampler.stop()
    assert 3 == len(str(caught.value).splitlines())


@pytest.fixture
def there(staging: Staging) -> Iterator[tuple[Staging, Host]]:
    """Have the stand to oneself, and a connection to it."""
    settings = Ssh(
        host=staging.host,
        port=staging.port,
        user=staging.user,
        key=str(staging.key),
        known_hosts=str(staging.known_hosts),
    )
    with staging.alone(), ssh.connect(settings) as host:
        yield staging, host


@pytest.mark.live
def test_an_api_under_pm2_has_its_own_group_through_a_restart(there):
    """Neither pm2 nor what else it keeps counts, and the server's processes are told apart."""
    stand, host = there
    with sampling(host, "http://127.0.0.1:3001") as sampler:
        time.sleep(TWO_LOOKS_S)
        assert stand.application("pm2 restart api").returncode == 0
        time.sleep(2 * TWO_LOOKS_S)
        measured = sampler.stop()
    server, api, _ = measured.groups
    assert [SERVER, API, "Everything else"] == names(measured)
    assert ("", ("python3",)) == (api.not_measured, api.programs)
    assert api.series[-1][1] > 5_000_000
    assert server.processes_peak > 4


@pytest.mark.live
def test_the_listener_of_another_user_is_told_and_not_guessed(there):
    """`deploy` may not look into root's sshd."""
    _, host = there
    with sampling(host, "http://127.0.0.1:22") as sampler:
        time.sleep(2 * TWO_LOOKS_S)
        measured = sampler.stop()
    assert [SERVER, API, "API and everything else"] == names(measured)
    expected = "port 22 belongs to a process of the user with number 0, which the login user may not look into"
    assert (expected, None) == (measured.groups[1].not_measured, measured.groups[1].memory_peak_bytes)


@pytest.mark.live
def test_the_workers_of_a_pm2_cluster_count_and_its_other_applications_do_not(there):
    """In a cluster it is pm2 itself that listens, and it keeps the example's API too, which is none of the workers."""
    stand, host = there
    code = "require('http').createServer((q, r) => r.end('up')).listen(3005, '127.0.0.1')"
    stand.ssh(f'printf %s "{code}" > /tmp/cluster.js')
    started = stand.ssh("pm2 start /tmp/cluster.js --name cluster -i 2 && sleep 2 && curl -fs http://127.0.0.1:3005/")
    try:
        assert started.stdout.endswith("up"), started.stdout + started.stderr
        with sampling(host, "http://127.0.0.1:3005") as sampler:
            time.sleep(TWO_LOOKS_S)
            measured = sampler.stop()
    finally:
        stand.ssh("pm2 delete cluster")
    api = measured.groups[1]
    assert ("", 3) == (api.not_measured, api.processes_peak)
    assert "python3" not in api.programs
