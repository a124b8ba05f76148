"""How long requests and queries take, seen from the client, and whether that became worse."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
from psycopg import pq, sql

from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.probes.api import get

_GIVE_UP_AFTER = 5
_REGRESSION_RATIO = 1.5
_REGRESSION_MS = 20.0


@dataclass(frozen=True, slots=True)
class Part:
    """The times of one path or query; the figures are None where nothing could be timed.

    `samples` counts what was timed, `errors` what was not because it failed; `first_error` is the first of them.
    """

    name: str
    samples: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    errors: int = 0
    first_error: str = ""


@dataclass(frozen=True, slots=True)
class Latency(Part):
    """The times of all parts together, and of each; `stopped` says why fewer samples were taken than asked for."""

    parts: tuple[Part, ...] = ()
    stopped: str = ""

    @property
    def worst(self) -> Part:
        """The part with the longest p95: one slow path does not hide among many fast ones."""
        return max(self.parts, key=lambda part: -1.0 if part.p95_ms is None else part.p95_ms, default=self)

    @property
    def problem(self) -> str:
        """Why these figures prove nothing; empty when every sample was taken and none failed."""
        if self.errors:
            return f"{self.errors} of {self.samples + self.errors} failed, first: {self.first_error}"
        if not self.samples:
            return self.stopped or "nothing was timed"
        return self.stopped


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Give the nearest-rank percentile: the smallest sample that at least `percent` of all samples do not exceed.

    The sample of rank ceil(percent / 100 x N), in whole numbers so that no rounding moves the rank; definition 1 of
    Hyndman and Fan, "Sample Quantiles in Statistical Packages" (1996), and what PostgreSQL's percentile_disc gives.
    `ordered` ascends and is not empty.
    """
    return ordered[max(1, -(-percent * len(ordered) // 100)) - 1]


def measure_requests(
    client: httpx.Client,
    paths: Sequence[str],
    samples: int,
    warmup: int = 5,
    *,
    timeout_s: float = 10,
    budget_s: float = 120,
) -> Latency:
    """Time `samples` GET requests of every path, one at a time and the paths in turn, after `warmup` untimed rounds.

    A status outside 2xx, a lost connection and a time-out are errors, never samples, in the warm-up too.
    """

    def timed(path: str) -> float | str:
        answer = get(client, path, timeout_s=timeout_s)
        return answer.problem or answer.duration_ms

    return _measure(paths, timed, samples=samples, warmup=warmup, budget_s=budget_s)


def measure_queries(
    conninfo: Conninfo,
    queries: Sequence[str],
    samples: int,
    warmup: int = 2,
    *,
    timeout_s: float = 10,
    budget_s: float = 120,
) -> Latency:
    """Time `samples` runs of every query, each in a read-only transaction of its own that is rolled back.

    The time runs from sending the query to having all its rows; opening and ending the transaction is outside of it.
    Session settings are the role's and database's own. A query is one statement: the extended protocol refuses two
    (PostgreSQL manual, "Extended Query"), so none can end the transaction and go on writing.
    """
    if not queries:
        return _measure((), lambda _: "", samples=samples, warmup=warmup, budget_s=budget_s)
    with _reader(conninfo, timeout_s) as connection:

        def timed(query: str) -> float | str:
            try:
                with _read_only(connection):
                    started = time.perf_counter()
                    cursor = connection.execute(_sql(query), binary=True)  # binary results: the extended protocol
                    taken_ms = (time.perf_counter() - started) * 1000
            except psycopg.Error as error:
                return _words(error)
            empty = cursor.pgresult is None or cursor.pgresult.status == pq.ExecStatus.EMPTY_QUERY
            return "the query is empty" if empty else taken_ms

        return _measure(queries, timed, samples=samples, warmup=warmup, budget_s=budget_s)


def regressed(before: Latency, after: Latency, limit_ms: float) -> Finding | None:
    """Whether p95 became more than 1.5 times and 20 ms worse, together or of one part; the worst is named.

    `limit_ms` is only told beside it; whether it is kept is not judged here.
    """
    known = {part.name: part for part in before.parts}
    pairs = [(before, after), *((known[part.name], part) for part in after.parts if part.name in known)]
    worse = [
        (was.p95_ms, now.p95_ms, now.name)
        for was, now in pairs
        if was.p95_ms is not None
        and now.p95_ms is not None
        and now.p95_ms > _REGRESSION_RATIO * was.p95_ms
        and now.p95_ms - was.p95_ms > _REGRESSION_MS
    ]
    if not worse:
        return None
    was_ms, now_ms, name = max(worse, key=lambda item: item[1] - item[0])
    return Finding(
        rule="latency-regressed",
        severity=Severity.WARNING,
        message=f"p95 of {name} went from {was_ms:.1f} ms to {now_ms:.1f} ms (limit {limit_ms:g} ms).",
        evidence={
            "before_p95_ms": was_ms,
            "after_p95_ms": now_ms,
            "limit_ms": limit_ms,
            "regressed": [item[2] for item in worse],
        },
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """How the server would run one query: node types with their relations and indexes, outermost first, indented.

    `failure` says why there is no plan.
    """

    query: str
    nodes: tuple[str, ...] = ()
    failure: str = ""


def plans(conninfo: Conninfo, queries: Sequence[str], *, timeout_s: float = 10) -> tuple[Plan, ...]:
    """Ask for the plan of every query (EXPLAIN, which plans and does not run it)."""
    if not queries:
        return ()
    found = []
    with _reader(conninfo, timeout_s) as connection:
        for query in queries:
            try:
                with _read_only(connection):
                    row = connection.execute(_sql(f"EXPLAIN (FORMAT JSON) {query}"), binary=True).fetchone()
            except psycopg.Error as error:
                found.append(Plan(query, failure=_words(error)))
            else:
                found.append(Plan(query, tuple(_nodes(row[0][0]["Plan"])) if row else ()))
    return tuple(found)


def plan_changes(before: Sequence[Plan], after: Sequence[Plan]) -> tuple[Finding, ...]:
    """Find a `plan-changed` for every query whose plan differs, which lost it, or which cannot be compared."""
    known = {plan.query: plan for plan in before}
    findings = []
    for now in after:
        was = known.get(now.query, Plan(now.query, failure="it was not asked for before"))
        if was.failure:
            severity, message = Severity.INFO, f"The plan of {now.query!r} could not be compared: {was.failure}"
        elif now.failure:
            severity, message = Severity.BLOCKER, f"{now.query!r} cannot be planned any more: {now.failure}"
        elif was.nodes == now.nodes:
            continue
        else:
            change = f"from {_line(was.nodes)} to {_line(now.nodes)}"
            severity, message = Severity.WARNING, f"The plan of {now.query!r} changed {change}."
        evidence = {"query": now.query, "before": list(was.nodes), "after": list(now.nodes)}
        findings.append(Finding("plan-changed", severity, message, evidence=evidence))
    return tuple(findings)


@dataclass(slots=True)
class _Tally:
    """What one part has come to so far."""

    times_ms: list[float] = field(default_factory=list)
    errors: int = 0
    first_error: str = ""
    in_a_row: int = 0


def _measure(
    names: Sequence[str], timed: Callable[[str], float | str], *, samples: int, warmup: int, budget_s: float
) -> Latency:
    """Take the samples; `timed` gives milliseconds or the words of an error."""
    tallies = {name: _Tally() for name in names}
    deadline = time.monotonic() + budget_s
    stopped = ""
    for turn in range(warmup + samples):
        for name, tally in tallies.items():
            if tally.in_a_row >= _GIVE_UP_AFTER:
                continue
            if time.monotonic() > deadline:
                stopped = f"stopped after {budget_s:g} s in round {turn + 1} of {warmup + samples}"
                break
            result = timed(name)
            if isinstance(result, str):
                tally.errors += 1
                tally.in_a_row += 1
                tally.first_error = tally.first_error or result
            else:
                tally.in_a_row = 0
                if turn >= warmup:
                    tally.times_ms.append(result)
        if stopped:
            break
    given_up = [name for name, tally in tallies.items() if tally.in_a_row >= _GIVE_UP_AFTER]
    if given_up and not stopped:
        stopped = f"given up after {_GIVE_UP_AFTER} errors in a row: {', '.join(given_up)}"
    parts = tuple(
        Part(name, *_figures(tally.times_ms), tally.errors, tally.first_error) for name, tally in tallies.items()
    )
    together = [time_ms for tally in tallies.values() for time_ms in tally.times_ms]
    first_error = next((part.first_error for part in parts if part.first_error), "")
    errors = sum(part.errors for part in parts)
    return Latency("all together", *_figures(together), errors, first_error, parts, stopped)


def _figures(times_ms: list[float]) -> tuple[int, float | None, float | None, float | None, float | None]:
    if not times_ms:
        return 0, None, None, None, None
    ordered = sorted(times_ms)
    return len(ordered), percentile(ordered, 50), percentile(ordered, 95), percentile(ordered, 99), ordered[-1]


@contextmanager
def _reader(conninfo: Conninfo, timeout_s: float) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Open a connection with the settings an application would have, that cannot write."""
    connection = connect(conninfo)
    try:
        connection.execute("RESET ALL")
        connection.execute(
            "SELECT pg_catalog.set_config('statement_timeout', %s, false)", (str(int(timeout_s * 1000)),)
        )
        connection.execute("SET default_transaction_read_only = on")
        yield connection
    finally:
        connection.close()


@contextmanager
def _read_only(connection: psycopg.Connection[tuple[Any, ...]]) -> Iterator[None]:
    """Open a read-only transaction that is rolled back, whatever happens in it."""
    connection.execute("BEGIN READ ONLY")
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("ROLLBACK")


def _nodes(plan: dict[str, Any], depth: int = 0) -> Iterator[str]:
    """List the node types of a plan with what they read, in the order of the plan's text."""
    relation = f" on {plan['Relation Name']}" if "Relation Name" in plan else ""
    index = f" using {plan['Index Name']}" if "Index Name" in plan else ""
    yield f"{'  ' * depth}{plan['Node Type']}{relation}{index}"
    for child in plan.get("Plans", ()):
        yield from _nodes(child, depth + 1)


def _line(nodes: Sequence[str]) -> str:
    return " > ".join(node.strip() for node in nodes)


def _sql(query: str) -> sql.SQL:
    """Take a configured query, which is SQL by intent, as psycopg wants it said."""
    return sql.SQL(query)


def _words(error: psycopg.Error) -> str:
    """Give the server's sentence with its SQLSTATE, or the driver's in one line."""
    primary = error.diag.message_primary or " ".join(str(error).split())
    return f"{primary} (SQLSTATE {error.sqlstate})" if error.sqlstate else primary
