"""Processes as the kernel knows them: which one, whose child, and ended for certain. Linux: `/proc`, proc(5)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

COOKIE = "PYTEST_DRYRUN_PROCESS"
"""Environment variable that marks what a run started, so that a child which left its group and session is found too."""

_PROC = Path("/proc")
_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Process:
    """A process that cannot be mistaken for a later one with the same number.

    `started` joins the boot's id and the clock ticks between boot and the start of the process.
    """

    pid: int
    started: str


@dataclass(frozen=True, slots=True)
class _Row:
    """What `/proc/<pid>/stat` says about one living process."""

    pid: int
    name: str
    parent: int
    group: int
    session: int
    ticks: str


def identify(pid: int) -> Process | None:
    """Tell which process has this number now; None where there is none or only a zombie is left."""
    row = _row(pid)
    return Process(pid, f"{_boot()}-{row.ticks}") if row else None


def kin(root: int) -> tuple[Process, ...]:
    """Every living process that descends from `root` or is in its group or session, itself included."""
    rows = list(_rows())
    related = {row.pid for row in rows if root in (row.pid, row.group, row.session)}
    related |= _descendants(rows, related)
    return _processes(rows, related)


def marked(cookie: str) -> tuple[Process, ...]:
    """Every living process whose environment says `PYTEST_DRYRUN_PROCESS=` and something that begins with `cookie`."""
    rows = list(_rows())
    wanted = f"{COOKIE}={cookie}".encode()
    bearers = {row.pid for row in rows if any(entry.startswith(wanted) for entry in _environment(row.pid))}
    return _processes(rows, bearers | _descendants(rows, bearers))


def servers_below(folder: Path) -> tuple[Process, ...]:
    """Every postgres process that works in a folder below `folder`: a server's processes live in its data directory.

    They need this besides the mark: postgres writes its process title over its environment.
    """
    rows = [row for row in _rows() if row.name in {"postgres", "postmaster"}]
    return _processes(rows, {row.pid for row in rows if _works_below(row.pid, folder)})


def send(process: Process, signum: int) -> None:
    """Signal this very process; nothing happens where it is gone, even if its number is in use again."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(process.pid)
        try:
            if identify(process.pid) == process:
                signal.pidfd_send_signal(handle, signum)
        finally:
            os.close(handle)


def living(processes: Iterable[Process]) -> tuple[Process, ...]:
    """Those of the processes that have not ended yet."""
    return tuple(process for process in processes if identify(process.pid) == process)


def wait_gone(processes: Iterable[Process], timeout_s: float) -> tuple[Process, ...]:
    """Wait until all of them have ended and return those that have not in time."""
    deadline = time.monotonic() + timeout_s
    left = living(processes)
    while left and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        left = living(left)
    return left


def kill_all(find: Callable[[], Iterable[Process]], timeout_s: float) -> tuple[Process, ...]:
    """Kill what `find` finds until it finds nothing more, and return those that could not be ended in time.

    A process that we may not signal counts among those.
    """
    deadline = time.monotonic() + timeout_s
    left = tuple(find())
    while left and time.monotonic() < deadline:
        for process in left:
            with suppress(PermissionError):
                send(process, signal.SIGKILL)
        wait_gone(left, min(1.0, timeout_s))
        left = living(find())
    return left


def _rows() -> Iterator[_Row]:
    me = os.getpid()
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != me and (row := _row(int(entry.name))):
            yield row


def _row(pid: int) -> _Row | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    if fields[0] in "ZX":
        return None
    return _Row(pid, head.partition("(")[2], int(fields[1]), int(fields[2]), int(fields[3]), fields[19])


def _descendants(rows: list[_Row], roots: set[int]) -> set[int]:
    found: set[int] = set()
    fresh = roots
    while fresh:
        fresh = {row.pid for row in rows if row.parent in fresh} - found - roots
        found |= fresh
    return found


def _processes(rows: list[_Row], pids: set[int]) -> tuple[Process, ...]:
    boot = _boot()
    return tuple(Process(row.pid, f"{boot}-{row.ticks}") for row in rows if row.pid in pids)


def _environment(pid: int) -> list[bytes]:
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []  # gone, or another user's: not ours


def _works_below(pid: int, folder: Path) -> bool:
    try:
        place = (_PROC / str(pid) / "cwd").readlink()
    except OSError:
        return False
    return Path(str(place).removesuffix(" (deleted)")).is_relative_to(folder)


def _boot() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()[:8]
