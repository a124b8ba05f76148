"""What groups of processes used: the figures, their curves, and the accounts in which they are summed up."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

_MAX_POINTS = 240
_SHORTEST_PEAK_S = 0.05

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Usage:
    """What one group of processes used; the figures are None, and `not_measured` says why, where none was seen.

    Figures beside a `not_measured` are a lower bound: some processes of the group could not be looked at.
    `memory_kind` is `PSS` (shared pages divided among their users), `RSS` (shared pages counted once per process, so
    too much) or `PSS and RSS` where the OS gave the former for some only. Peaks are the highest sample.
    CPU is a percentage of one core. `series` holds (seconds since the start, memory bytes, CPU percent).
    `programs` are the names of the processes, where the group was found by something else than by name.
    """

    name: str
    memory_peak_bytes: int | None
    memory_kind: str
    cpu_mean_percent: float | None
    cpu_peak_percent: float | None
    processes_peak: int
    series: tuple[tuple[float, ...], ...] = ()
    not_measured: str = ""
    programs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """The machine's load average of the last minute; `series` holds (seconds since the start, load)."""

    cpu_count: int
    last: float
    peak: float
    series: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Resources:
    """What every group used between start and stop, and on what machine.

    `memory_peak_bytes` is the highest sum of all groups at one look: less than the sum of their peaks, which need not
    have come together. `whole` is the same from the very first look on, where these figures are of a later part.
    """

    duration_ms: float
    samples: int
    memory_total_bytes: int
    memory_peak_bytes: int
    cpu_count: int
    load: Load | None
    groups: tuple[Usage, ...]
    whole: Resources | None = None


class Sampler(Protocol):
    """What looks at memory and CPU now and then, from its start on."""

    def stop(self) -> Resources:
        """Tell what was used; raises TargetUnusable where that is not known."""
        ...


@dataclass(slots=True)
class Series:
    """Points of equal width; of too many, neighbours are merged (the highest of each) and the width doubles."""

    points: list[tuple[float, ...]] = field(default_factory=list)
    width: int = 1
    pending: list[tuple[float, ...]] = field(default_factory=list)

    def add(self, t_s: float, *values: float) -> None:
        """Take the next point."""
        self.pending.append((t_s, *values))
        if len(self.pending) >= self.width:
            self.points.append(_highest(self.pending))
            self.pending = []
        if len(self.points) >= _MAX_POINTS:
            self.points = [_highest(self.points[at : at + 2]) for at in range(0, len(self.points), 2)]
            self.width *= 2

    def result(self) -> tuple[tuple[float, ...], ...]:
        """Give the points so far, in order."""
        return (*self.points, *([_highest(self.pending)] if self.pending else []))


def _highest(points: list[tuple[float, ...]]) -> tuple[float, ...]:
    return points[0][0], *(max(values) for values in list(zip(*points, strict=True))[1:])


@dataclass(slots=True)
class LoadCurve:
    """The load averages that were seen so far."""

    last: float | None = None
    peak: float = 0.0
    series: Series = field(default_factory=Series)

    def add(self, t_s: float, load: float) -> None:
        """Take the next one."""
        self.last, self.peak = load, max(self.peak, load)
        self.series.add(round(t_s, 3), load)

    def result(self, cpu_count: int) -> Load | None:
        """Give them together; None where none was seen."""
        return None if self.last is None else Load(cpu_count, self.last, self.peak, self.series.result())


@dataclass(slots=True)
class Account:
    """The running figures of one group; its time begins with the first entry."""

    first_s: float | None = None
    last_s: float = 0.0
    used_s: float = 0.0
    memory_peak_bytes: int = 0
    cpu_peak_percent: float | None = None
    processes_peak: int = 0
    series: Series = field(default_factory=Series)

    def add(self, t_s: float, *, used_s: float, memory_bytes: int, processes: int) -> None:
        """Enter one look: processor time since the one before, memory and processes now."""
        elapsed_s = t_s - self.last_s if self.first_s is not None else 0.0
        percent = 100 * used_s / elapsed_s if elapsed_s > 0 else 0.0
        if self.first_s is None:
            self.first_s = t_s
        elif elapsed_s >= _SHORTEST_PEAK_S:
            self.cpu_peak_percent = max(self.cpu_peak_percent or 0.0, percent)
        self.used_s += used_s
        self.last_s = t_s
        self.memory_peak_bytes = max(self.memory_peak_bytes, memory_bytes)
        self.processes_peak = max(self.processes_peak, processes)
        self.series.add(round(t_s, 3), memory_bytes, round(percent, 1))

    def usage(self, name: str, kind: str, not_measured: str = "", programs: tuple[str, ...] = ()) -> Usage:
        """Close the account; without an entry nothing was measured."""
        if self.first_s is None:
            return Usage(name, None, "", None, None, 0, not_measured=not_measured)
        elapsed_s = self.last_s - self.first_s
        return Usage(
            name=name,
            memory_peak_bytes=self.memory_peak_bytes,
            memory_kind=kind,
            cpu_mean_percent=100 * self.used_s / elapsed_s if elapsed_s > 0 else None,
            cpu_peak_percent=self.cpu_peak_percent,
            processes_peak=self.processes_peak,
            series=self.series.result(),
            not_measured=not_measured,
            programs=programs,
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """One process at one look; `cpu_s` includes children it has waited for."""

    pid: int
    parent: int
    cpu_s: float


@dataclass(slots=True)
class Tally(Generic[Key]):
    """The processor time of a group whose processes come and go.

    It is the sum over its processes plus that of the children they have reaped, so that a backend that lives for ten
    milliseconds still counts. A process that goes keeps counting: through its parent where that is one of the group,
    through `carried_s` where not. `offset_s` takes out what was used before we looked.
    """

    previous: Mapping[Key, Seen] = field(default_factory=dict)
    begun: bool = False
    offset_s: float = 0.0
    carried_s: float = 0.0
    used_s: float = 0.0

    def gained_s(self, seen: Mapping[Key, Seen], is_older: Callable[[Key], bool]) -> float:
        """Take a look and tell the time used since the one before; `is_older`: it ran at the one before already."""
        members = {process.pid for process in self.previous.values()}
        for key, last in self.previous.items():
            if key not in seen and last.parent not in members:
                self.carried_s += last.cpu_s
        for key, current in seen.items():
            if key not in self.previous and (not self.begun or is_older(key)):
                self.offset_s += current.cpu_s
        total_s = sum(current.cpu_s for current in seen.values()) + self.carried_s - self.offset_s
        gained_s = max(0.0, total_s - self.used_s)
        self.used_s += gained_s
        self.previous, self.begun = seen, True
        return gained_s
