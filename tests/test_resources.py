"""Memory and CPU of process groups: real processes that work, come, go and were never there."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dryrun.config import Performance
from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.model.values import as_json
from pytest_dryrun.probes.resources import ResourceSampler
from pytest_dryrun.probes.usage import Resources, Series, Usage
from pytest_dryrun.steps.performance import consumption

Spawn = Callable[[str], subprocess.Popen[bytes]]

BUSY = "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start Python code that says so once it runs, and end it afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-S", "-c", f"print('up', flush=True)\n{code}"]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(10)
        assert process.stdout
        process.stdout.close()


def family(pid: int) -> list[int]:
    """List a process and its children."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return []


def measure(groups: dict, action: Callable[[], object]) -> Resources:
    """Sample while something happens."""
    sampler = ResourceSampler(groups, interval_s=0.05)
    sampler.start()
    action()
    return sampler.stop()


def only(result: Resources) -> Usage:
    """Give the only group."""
    (usage,) = result.groups
    return usage


def test_memory_and_cpu_of_a_busy_process(spawn):
    """A process that takes 64 MB and works is seen to do both."""
    process = spawn("block = b'x' * 64_000_000\n" + BUSY.format(seconds=60))
    result = measure({"API": lambda: [process.pid]}, lambda: time.sleep(0.6))
    usage = only(result)
    assert (usage.name, usage.not_measured, usage.processes_peak) == ("API", "", 1)
    assert usage.memory_peak_bytes > 64_000_000
    assert usage.memory_kind in {"PSS", "RSS"}
    assert 1 < usage.cpu_mean_percent <= 120
    assert usage.cpu_peak_percent >= usage.cpu_mean_percent * 0.8
    assert (result.memory_total_bytes, result.cpu_count) == (psutil.virtual_memory().total, psutil.cpu_count())
    assert usage.memory_peak_bytes == result.memory_peak_bytes
    assert result.duration_ms >= 600
    assert result.samples >= 3
    assert result.load is not None
    assert psutil.cpu_count() == result.load.cpu_count
    assert 0 <= result.load.last <= result.load.peak == max(load for _, load in result.load.series)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell no proportional set size")
def test_shared_memory_counts_once(spawn):
    """Three processes that share 64 MB use 64 MB, not 192: so it is with a server's shared_buffers."""
    code = "import mmap, os, time\nblock = mmap.mmap(-1, 64_000_000)\n"
    code += "for at in range(0, 64_000_000, 4096): block[at] = 1\n"
    process = spawn(
        code + "for _ in range(2):\n    if os.fork() == 0:\n        sum(block[::4096])\n        break\ntime.sleep(60)\n"
    )
    time.sleep(0.5)
    try:
        usage = only(measure({"server": lambda: family(process.pid)}, lambda: time.sleep(0.2)))
        assert (usage.processes_peak, usage.memory_kind) == (3, "PSS")
        assert 64_000_000 < usage.memory_peak_bytes < 130_000_000
    finally:
        for pid in family(process.pid)[1:]:
            os.kill(pid, 9)


def test_the_cpu_of_short_lived_children_counts(spawn):
    """A backend that lives shorter than the interval is paid for by its parent."""
    child = BUSY.format(seconds=0.1)
    code = f"import subprocess, sys\nfor _ in range(5): subprocess.run([sys.executable, '-S', '-c', {child!r}])\n"
    process = spawn(code + "input = __import__('time').sleep(60)")
    usage = only(measure({"server": lambda: family(process.pid)}, lambda: wait_for_children(process.pid)))
    spent_s = spent_by_children_s(process.pid)
    assert spent_s >= 0.4
    seconds = usage.series[-1][0] - usage.series[0][0]
    assert usage.cpu_mean_percent / 100 * seconds >= 0.7 * spent_s


def spent_by_children_s(pid: int) -> float:
    """The time of its ended children; how much of it the kernel took differs from machine to machine."""
    times = psutil.Process(pid).cpu_times()
    return times.children_user + times.children_system


def wait_for_children(pid: int) -> None:
    """Wait until five children have used their time."""
    deadline = time.monotonic() + 20
    while spent_by_children_s(pid) < 0.4 and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)


def test_what_was_used_before_does_not_count(spawn):
    """A process that worked hard before the run and rests now used nothing."""
    process = spawn(BUSY.format(seconds=0.5) + "print('done', flush=True)\nimport time; time.sleep(60)")
    assert process.stdout.readline() == b"done\n"
    usage = only(measure({"server": lambda: [process.pid]}, lambda: time.sleep(0.3)))
    assert usage.cpu_mean_percent < 20


def test_a_process_that_goes_is_normal(spawn):
    """Its peak stays, and nothing breaks."""
    process = spawn("import time; time.sleep(60)")

    def end() -> None:
        time.sleep(0.15)
        process.kill()
        process.wait()
        time.sleep(0.15)

    usage = only(measure({"API": lambda: [process.pid]}, end))
    assert usage.memory_peak_bytes > 0
    assert usage.series[-1][1] == 0


def test_a_group_that_appears_late_is_measured_from_then(spawn):
    """Before there is a process there is no series, and no division by the time before."""
    process = spawn("import time; time.sleep(60)")
    born = time.monotonic() + 0.2
    usage = only(measure({"API": lambda: [process.pid] if time.monotonic() > born else []}, lambda: time.sleep(0.5)))
    assert usage.series[0][0] >= 0.15
    assert usage.not_measured == ""


def test_a_group_without_a_process_is_not_measured():
    """Nothing seen is not zero."""
    usage = only(measure({"API": list}, lambda: time.sleep(0.1)))
    expected = Usage("API", None, "", None, None, 0, not_measured="no process of it was seen")
    assert expected == usage


def test_a_group_that_cannot_be_listed_says_why():
    """The reason is kept."""

    def refuse() -> list[int]:
        raise PermissionError(13, "Permission denied")

    usage = only(measure({"server": refuse}, lambda: None))
    assert usage.not_measured == "its processes could not be listed: [Errno 13] Permission denied"


def test_a_fault_in_the_thread_is_raised_at_the_end():
    """A bug is not swallowed because it happened in a thread."""
    calls = iter([[]])

    def broken() -> list[int]:
        return next(calls)

    sampler = ResourceSampler({"API": broken}, interval_s=0.01)
    sampler.start()
    time.sleep(0.2)
    with pytest.raises(StopIteration):
        sampler.stop()


def test_a_look_that_hangs_is_an_error(monkeypatch):
    """A stuck kernel call does not hold the run for ever."""
    sampler = ResourceSampler({"API": list}, interval_s=0.01)
    sampler.start()
    with monkeypatch.context() as patch:
        patch.setattr(sampler, "_thread", SimpleNamespace(join=lambda **_: None, is_alive=lambda: True))
        with pytest.raises(TargetUnusable, match="did not end within 30 s"):
            sampler.stop()
    sampler.stop()


def test_peaks_at_different_times_are_not_added_up(spawn):
    """Two processes that take 64 MB one after the other never held 128 MB together."""
    full = "block = b'x' * 64_000_000\nprint('full', flush=True)\nimport time; time.sleep(60)"
    first, second = (spawn(full) for _ in range(2))
    assert [b"full\n"] * 2 == [process.stdout.readline() for process in (first, second)]
    turn = [first]

    def swap() -> None:
        turn[0] = second

    groups = {"one": lambda: [first.pid] * (turn[0] is first), "two": lambda: [second.pid] * (turn[0] is second)}
    result = measure(groups, swap)  # the first look comes before, the last one after
    one, two = (usage.memory_peak_bytes for usage in result.groups)
    assert max(one, two) <= result.memory_peak_bytes < one + two - 32_000_000


def test_two_groups_survive_json(spawn):
    """The report takes the figures as they are."""
    process = spawn("import time; time.sleep(60)")
    data = as_json(measure({"API": lambda: [process.pid], "server": list}, lambda: time.sleep(0.1)))
    assert [group["name"] for group in data["groups"]] == ["API", "server"]
    assert len(data["groups"][0]["series"][0]) == 3


@given(st.lists(st.tuples(st.integers(0, 10**12), st.floats(0, 800)), min_size=1, max_size=2000))
def test_a_series_stays_short_and_keeps_its_peaks(values):
    """However long the run, the drawing has few points, in order, and shows the highest."""
    series = Series()
    for at, (memory, percent) in enumerate(values):
        series.add(float(at), memory, percent)
    points = series.result()
    assert 1 <= len(points) <= 240
    assert [point[0] for point in points] == sorted({point[0] for point in points})
    assert max(memory for memory, _ in values) == max(point[1] for point in points)
    assert max(percent for _, percent in values) == max(point[2] for point in points)


def test_nobody_uses_more_than_the_whole_machine():
    """Ticks and clock disagree by a little; a limit of 100 % means that there is none."""
    everything = Usage("everything", 1, "RSS", 200.3, 210.0, 1)
    found = consumption(Resources(1000.0, 2, 10, 1, 2, None, (everything,)), Performance(max_cpu_percent=100))
    assert (100.0, 100.0) == (found.cpu_share_percent, found.cpu_limit_percent)
