"""Memory and processor time of the server and the API while the checks ran, sampled in a thread."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from pytest_dryrun.model.errors import DryRunError, TargetUnusable
from pytest_dryrun.probes.usage import Account, LoadCurve, Resources, Seen, Tally, Usage

_MOST_BUSY = 0.1  # of the time at most goes into sampling: reading PSS walks a process' page tables
_CLOCK_SLACK_S = 2.0  # Linux counts a process' start from the boot time, which it tells in whole seconds


@dataclass(slots=True)
class _Group:
    """One group while it is looked at."""

    name: str
    pids: Callable[[], Iterable[int]]
    account: Account = field(default_factory=Account)
    tally: Tally[psutil.Process] = field(default_factory=Tally)
    sampled_at: float = 0.0
    memory_kinds: set[str] = field(default_factory=set)
    trouble: str = "no process of it was seen"
    hidden: set[int] = field(default_factory=set)

    def sample(self, t_s: float) -> int:
        """Take a look and tell the memory in use, in bytes."""
        memory_bytes, seen = self._read()
        if seen or self.account.first_s is not None:
            used_s = self.tally.gained_s(seen, self._is_older)
            self.account.add(t_s, used_s=used_s, memory_bytes=memory_bytes, processes=len(seen))
            self.sampled_at = time.time()
        return memory_bytes

    def _is_older(self, process: psutil.Process) -> bool:
        """Whether it ran before the last sample, so that its time so far was not used while we looked."""
        try:
            return process.create_time() < self.sampled_at - _CLOCK_SLACK_S
        except psutil.Error:
            return False

    def _read(self) -> tuple[int, dict[psutil.Process, Seen]]:
        memory = 0
        seen: dict[psutil.Process, Seen] = {}
        try:
            pids = set(self.pids())
        except (psutil.Error, OSError, DryRunError) as error:
            self.trouble = f"its processes could not be listed: {error}"
            return 0, {}
        for pid in pids:
            try:
                process = psutil.Process(pid)
                times = process.cpu_times()
                parent = process.ppid()
                kind, size = _memory(process)
            except psutil.NoSuchProcess:
                continue
            except psutil.AccessDenied:
                self.hidden.add(pid)
                continue
            children_s = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
            seen[process] = Seen(pid, parent, times.user + times.system + children_s)
            memory += size
            self.memory_kinds.add(kind)
        return memory, seen

    def usage(self) -> Usage:
        """Close the account."""
        hidden = f"the operating system hides {len(self.hidden)} of its processes" if self.hidden else ""
        unseen = self.trouble if self.account.first_s is None else ""
        return self.account.usage(self.name, " and ".join(sorted(self.memory_kinds)), hidden or unseen)


class ResourceSampler:
    """Samples groups of processes from `start` to `stop`; each group's callable tells its process ids, every time.

    Processes that come and go between two looks are normal. What was never seen is "not measured", never 0.
    Sampling takes at most a tenth of the time: where a look is slow, the next one comes later than `interval_s`.
    """

    def __init__(self, groups: Mapping[str, Callable[[], Iterable[int]]], interval_s: float = 0.25) -> None:
        self._groups = [_Group(name, pids) for name, pids in groups.items()]
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="dryrun-resources", daemon=True)
        self._started_at = 0.0
        self._samples = 0
        self._memory_peak_bytes = 0
        self._load = LoadCurve()
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Take the first sample and go on in a thread."""
        self._started_at = time.monotonic()
        self._sample()
        self._thread.start()

    def stop(self) -> Resources:
        """Take the last sample and tell what was used; raises what went wrong in the thread."""
        self._ended.set()
        self._thread.join(timeout=30)
        if self._thread.is_alive():
            raise TargetUnusable(
                "The look at memory and CPU did not end within 30 s.",
                "There are no figures for them.",
                "Look for processes that hang in the kernel (state D) on this machine.",
            )
        if self._failure:
            raise self._failure
        self._sample()
        cores = psutil.cpu_count() or 1
        return Resources(
            duration_ms=(time.monotonic() - self._started_at) * 1000,
            samples=self._samples,
            memory_total_bytes=psutil.virtual_memory().total,
            memory_peak_bytes=self._memory_peak_bytes,
            cpu_count=cores,
            load=self._load.result(cores),
            groups=tuple(group.usage() for group in self._groups),
        )

    def _watch(self) -> None:
        pause_s = self._interval_s
        while not self._ended.wait(pause_s):
            began = time.monotonic()
            try:
                self._sample()
            except BaseException as error:  # noqa: BLE001 - carried to the thread that calls stop, and raised there
                self._failure = error
                return
            pause_s = max(self._interval_s, (time.monotonic() - began) / _MOST_BUSY)

    def _sample(self) -> None:
        memory_bytes = 0
        for group in self._groups:
            memory_bytes += group.sample(time.monotonic() - self._started_at)
        self._memory_peak_bytes = max(self._memory_peak_bytes, memory_bytes)
        with suppress(OSError):  # a system that tells no load has none on the page
            self._load.add(time.monotonic() - self._started_at, os.getloadavg()[0])
        self._samples += 1


def _memory(process: psutil.Process) -> tuple[str, int]:
    """Proportional set size where the kernel tells it (Linux, `smaps_rollup`), else the resident set."""
    try:
        full = process.memory_full_info()
    except psutil.AccessDenied:
        return "RSS", process.memory_info().rss
    pss = getattr(full, "pss", None)
    return ("RSS", full.rss) if pss is None else ("PSS", pss)
