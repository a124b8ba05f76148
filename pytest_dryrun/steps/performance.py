"""Latency before and after, the statements that took longest, and what server and API used meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import httpx

from pytest_dryrun.config import Performance, size_bytes
from pytest_dryrun.model.values import Finding
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.probes import latency, statement_statistics
from pytest_dryrun.probes.usage import Resources, Usage

# Without a configured limit: more than this share of the machine's memory is too much.
MEMORY_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Timed:
    """Requests and queries of one database, and the plans of the queries."""

    requests: latency.Latency | None
    queries: latency.Latency | None
    plans: tuple[latency.Plan, ...]

    @property
    def measured(self) -> list[latency.Latency]:
        """What was timed at all."""
        return [item for item in (self.requests, self.queries) if item is not None]


@dataclass(frozen=True, slots=True)
class LatencyComparison:
    """The same requests and queries before and after the migration; `before` is None where it could not be timed."""

    configured: bool
    before: Timed | None
    after: Timed | None
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def problem(self) -> str:
        """Why the figures prove nothing; empty when everything was timed."""
        return (
            "; ".join(item.problem for item in self.after.measured if item.problem)
            if self.after
            else "nothing was timed"
        )

    @property
    def slowest(self) -> str:
        """The path or query with the longest p95."""
        parts = [item.worst for item in self.after.measured] if self.after else []
        return max(parts, key=lambda part: part.p95_ms or 0).name if parts else ""

    @property
    def after_p95_ms(self) -> float:
        """The longest p95 of any single path or query, so that a slow one does not hide among fast ones."""
        parts = [item.worst for item in self.after.measured] if self.after else []
        return max((part.p95_ms or 0.0 for part in parts), default=0.0)

    def facts(self) -> Iterator[tuple[str, float]]:
        """p50, p95 and p99 before and after."""
        for when, timed in (("before", self.before), ("after", self.after)):
            for kind, item in (("requests", timed.requests), ("queries", timed.queries)) if timed else ():
                for figure in ("p50_ms", "p95_ms", "p99_ms"):
                    value = getattr(item, figure, None)
                    if value is not None:
                        yield f"{figure.removesuffix('_ms')} of {kind} {when}", round(value, 2)

    def as_document(self) -> dict[str, object]:
        """The report's part: figures of requests, else of queries."""
        return {"before": _figures(self.before), "after": _figures(self.after)}


@dataclass(frozen=True, slots=True)
class TopStatements:
    """What pg_stat_statements saw; `unavailable` is the reason where the server has none."""

    unavailable: str
    rows: tuple[statement_statistics.StatementStatistics, ...] = ()


@dataclass(frozen=True, slots=True)
class Consumption:
    """What the groups of processes used against what they may use."""

    groups: tuple[Usage, ...]
    memory_peak_bytes: int
    memory_limit_bytes: int
    cpu_share_percent: float
    cpu_limit_percent: float

    @property
    def measured(self) -> bool:
        """Whether any group could be looked at."""
        return any(usage.memory_peak_bytes is not None for usage in self.groups)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why groups could not be measured."""
        return tuple(f"{usage.name}: {usage.not_measured}" for usage in self.groups if usage.not_measured)

    def too_much_memory(self) -> str:
        """What to say when the limit is passed."""
        biggest = max(self.groups, key=lambda usage: usage.memory_peak_bytes or 0)
        peak, limit = (f"{size / 1e6:,.0f} MB" for size in (self.memory_peak_bytes, self.memory_limit_bytes))
        return f"{peak} at the peak, {limit} allowed; most of it was {biggest.name}"

    def too_much_cpu(self) -> str:
        """What to say when the limit is passed."""
        busiest = max(self.groups, key=lambda usage: usage.cpu_mean_percent or 0)
        share, limit = f"{self.cpu_share_percent:.0f} %", f"{self.cpu_limit_percent:g} %"
        return f"{share} of the machine on average, {limit} allowed; most of it was {busiest.name}"


def timed(client: httpx.Client | None, conninfo: Conninfo, settings: Performance) -> Timed:
    """Time the configured requests (where there is an API) and queries, and read the queries' plans."""
    requests = (
        latency.measure_requests(client, settings.requests, settings.samples) if client and settings.requests else None
    )
    queries = latency.measure_queries(conninfo, settings.queries, settings.samples) if settings.queries else None
    plans = latency.plans(conninfo, settings.queries) if settings.queries else ()
    return Timed(requests, queries, plans)


def compared(before: Timed | None, after: Timed, limit_ms: float, notes: Sequence[str] = ()) -> LatencyComparison:
    """Put both sides beside each other and find what became worse."""
    found: list[Finding] = []
    if before is not None:
        for was, now in ((before.requests, after.requests), (before.queries, after.queries)):
            worse = latency.regressed(was, now, limit_ms) if was and now else None
            found += [worse] if worse else []
        found += latency.plan_changes(before.plans, after.plans)
    return LatencyComparison(bool(after.measured), before, after, tuple(found), tuple(notes))


def consumption(measured: Resources, settings: Performance) -> Consumption:
    """Judge what was measured by the limits of the configuration."""
    limit = size_bytes(settings.max_memory) if settings.max_memory else int(measured.memory_total_bytes * MEMORY_SHARE)
    share = sum(usage.cpu_mean_percent or 0 for usage in measured.groups) / max(measured.cpu_count, 1)
    whole = min(share, 100.0)  # the kernel counts CPU in ticks, the clock does not: their quotient may pass the whole
    return Consumption(measured.groups, measured.memory_peak_bytes, limit, whole, settings.max_cpu_percent)


def _figures(side: Timed | None) -> dict[str, object] | None:
    item = side.measured[0] if side and side.measured else None
    if item is None:
        return None
    return {"p50_ms": item.p50_ms, "p95_ms": item.p95_ms, "p99_ms": item.p99_ms, "samples": item.samples}
