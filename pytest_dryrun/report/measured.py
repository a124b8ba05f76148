"""The parts of the report that hold what was measured while the run used the target."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pytest_dryrun.report.parts import Amount, Count, Part, Place


class Percentiles(Part):
    """How long requests and queries took."""

    p50_ms: Amount | None
    p95_ms: Amount | None
    p99_ms: Amount | None
    samples: Count


class Latency(Part):
    """Before and after the migration; null where it was not measured."""

    before: Percentiles | None = None
    after: Percentiles | None = None


class Resource(Part):
    """What one group of processes used; `series` holds seconds, bytes and percent."""

    name: str
    memory_peak_bytes: Count | None
    cpu_mean_percent: Amount | None
    cpu_peak_percent: Amount | None
    series: list[Annotated[list[Amount | None], Field(min_length=3)]]
    not_measured: str = ""
    """Why its figures are missing or a lower bound."""
    programs: list[str] = Field(default_factory=list)


class Load(Part):
    """The machine's load average of a minute; `series` holds seconds and load."""

    cpu_count: Place
    last: Amount
    peak: Amount
    series: list[Annotated[list[Amount], Field(min_length=2)]]


class TopStatement(Part):
    """Where the server spent its time, by pg_stat_statements."""

    query: str
    calls: Count
    mean_ms: Amount | None
    max_ms: Amount | None
