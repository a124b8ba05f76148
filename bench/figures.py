"""What a benchmark says: ratios with their bounds, written as JSON and printed as a table."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One ratio of two durations measured in one run on the same data.

    `at_most` says which side of the bound is good; without a bound the figure informs and decides nothing.
    `samples_ms` keeps every single duration of both sides, `note` says what was counted.
    """

    figure: str
    ours: str
    theirs: str
    ours_ms: float
    theirs_ms: float
    ratio: float
    bound: float | None
    at_most: bool
    note: str
    samples_ms: Mapping[str, Sequence[float]]
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the bound holds; None without one."""
        if self.bound is None:
            return None
        return self.ratio <= self.bound if self.at_most else self.ratio >= self.bound

    def as_document(self) -> dict[str, Any]:
        """All of it as JSON, durations rounded to microseconds."""
        document = asdict(self)
        document["ours_ms"], document["theirs_ms"] = round(self.ours_ms, 3), round(self.theirs_ms, 3)
        document["ratio"] = round(self.ratio, 4)
        document["samples_ms"] = {key: [round(one, 3) for one in many] for key, many in self.samples_ms.items()}
        return {**document, "met": self.met}


def figure(
    name: str,
    ours: tuple[str, Sequence[float]],
    theirs: tuple[str, Sequence[float]],
    *,
    bound: float | None,
    note: str,
    pick: Callable[[Sequence[float]], float] = min,
    faster: bool = False,
    detail: Mapping[str, Any] | None = None,
) -> Figure:
    """Put two series beside each other, each told by `pick`: ours over theirs, or with `faster` theirs over ours."""
    ours_ms, theirs_ms = pick(ours[1]), pick(theirs[1])
    return Figure(
        figure=name,
        ours=ours[0],
        theirs=theirs[0],
        ours_ms=ours_ms,
        theirs_ms=theirs_ms,
        ratio=theirs_ms / ours_ms if faster else ours_ms / theirs_ms,
        bound=bound,
        at_most=not faster,
        note=note,
        samples_ms={"ours": list(ours[1]), "theirs": list(theirs[1])},
        detail=detail or {},
    )


def timed_ms(action: Callable[[], object]) -> float:
    """Milliseconds on the wall clock."""
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def interleaved(actions: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Every action once a round, so that what disturbs the machine disturbs them all; each says how long it took."""
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(rounds):
        order = list(actions) if number % 2 == 0 else list(reversed(actions))
        for name in order:
            taken[name].append(actions[name]())
    return taken


def machine() -> dict[str, Any]:
    """What the figures were measured on; `load` tells how busy others kept it meanwhile."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": [round(one, 2) for one in os.getloadavg()],
    }


def write(
    path: Path,
    figures: Sequence[Figure],
    facts: Mapping[str, Any],
    *,
    quick: bool,
    labelled: Mapping[str, Any] | None = None,
) -> None:
    """Write `results.json`: the figures and what is needed to judge them, and the verdicts on the labelled set."""
    document = {
        "schema": 1,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "machine": dict(facts),
        "figures": [one.as_document() for one in figures],
    }
    if labelled is not None:
        document["labelled"] = dict(labelled)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def show(figures: Sequence[Figure], *, quick: bool) -> None:
    """Print the table."""
    table = Table(title="quick: small data, the figures mean nothing" if quick else None)
    for heading in ("figure", "ours", "theirs", "ratio", "bound", "met"):
        table.add_column(heading, justify="right" if heading in {"ratio", "bound"} else "left")
    for one in figures:
        sign = "at most" if one.at_most else "at least"
        table.add_row(
            one.figure,
            f"{one.ours}: {_duration(one.ours_ms)}",
            f"{one.theirs}: {_duration(one.theirs_ms)}",
            f"{one.ratio:.3f}",
            "" if one.bound is None else f"{sign} {one.bound:g}",
            {None: "", True: "yes", False: "NO"}[one.met],
        )
    Console(width=None if os.isatty(1) else 160).print(table)


def _duration(milliseconds: float) -> str:
    return f"{milliseconds / 1000:,.2f} s" if milliseconds >= 1000 else f"{milliseconds:.1f} ms"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
