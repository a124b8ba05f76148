"""Latency: exact percentiles, honest errors, and what counts as worse."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dryrun.model.values import Severity, as_json
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.probes import api, latency
from pytest_dryrun.probes.latency import Latency, Part, Plan

HANG_UP = "hang up"


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.integers(1, 100))
def test_a_percentile_is_the_smallest_sample_that_covers_enough(times, percent):
    """The definition itself, for any samples: enough are not above it, and one rank less would not be enough."""
    ordered = sorted(times)
    found = latency.percentile(ordered, percent)
    assert found in ordered
    assert 100 * sum(time_ms <= found for time_ms in ordered) >= percent * len(ordered)
    assert 100 * sum(time_ms < found for time_ms in ordered) < percent * len(ordered)


@pytest.mark.parametrize(
    ("count", "percent", "expected"),
    [(100, 95, 95), (20, 95, 19), (21, 95, 20), (200, 99, 198), (1, 50, 1), (1, 99, 1), (2, 50, 1), (3, 50, 2)],
)
def test_percentiles_have_the_rank_of_the_textbook(count, percent, expected):
    """Of the numbers 1 to N the percentile is the rank itself."""
    assert expected == latency.percentile(range(1, count + 1), percent)


@pytest.mark.live
def test_percentiles_are_those_of_postgres(database):
    """`percentile_disc` gives the same values."""
    times = [(n * 7919) % 1009 / 7 for n in range(1, 338)]
    with psycopg.connect(**database.parameters()) as connection:
        query = "SELECT percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY t) FROM unnest(%s::float8[]) t"
        row = connection.execute(query, (times,)).fetchone()
    assert row == ([latency.percentile(sorted(times), percent) for percent in (50, 95, 99)],)


class Handler(BaseHTTPRequestHandler):
    """Answers each path by the server's script: a status, a pause before a 200, or hanging up."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # noqa: D102
        step = next(self.server.script[self.path])  # type: ignore[attr-defined]
        if step == HANG_UP:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if isinstance(step, float):
            time.sleep(step)
        self.send_response(step if isinstance(step, int) else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:  # noqa: D102
        return


@contextmanager
def serving(script: dict[str, Iterator[Any]]) -> Iterator[httpx.Client]:
    """Serve on loopback and open a client for it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.script = script  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        with api.connect(f"http://127.0.0.1:{server.server_port}").client() as client:
            yield client
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def measure(script: dict[str, Iterator[Any]], samples: int, warmup: int = 0, **options: float) -> Latency:
    """Time all paths."""
    with serving(script) as client:
        return latency.measure_requests(client, list(script), samples, warmup, **options)


def test_every_path_is_timed_as_often():
    """Samples are per path, and the warm-up does not count."""
    result = measure({"/a": cycle([200]), "/b": cycle([204])}, samples=10, warmup=3)
    assert (result.samples, result.errors, result.stopped, result.problem) == (20, 0, "", "")
    assert [(part.name, part.samples) for part in result.parts] == [("/a", 10), ("/b", 10)]
    assert result.p50_ms <= result.p95_ms <= result.p99_ms <= result.max_ms


def test_a_slow_path_does_not_hide_among_fast_ones():
    """The worst part is told beside the whole."""
    slow = cycle([0.8])  # longer than a machine at work keeps any answer waiting
    result = measure({**{f"/fast{n}": cycle([200]) for n in range(30)}, "/slow": slow}, samples=4)
    assert result.worst.name == "/slow"
    assert result.worst.p50_ms >= 800 > result.p95_ms


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([500], "GET /a answered 500"),
        ([404], "GET /a answered 404"),
        ([302], "GET /a answered 302"),
        ([1.5], "GET /a: no answer within 1 s"),
        ([HANG_UP], "GET /a: the connection was dropped, or it is no HTTP (Server disconnected"),
    ],
    ids=["500", "404", "302", "time-out", "hangs up"],
)
def test_what_is_not_2xx_is_an_error_and_no_sample(answers, words):
    """A fast error must not make the figures better."""
    result = measure({"/a": cycle([200, 200, *answers, 200])}, samples=8, timeout_s=1)
    assert (result.samples, result.errors) == (6, 2)
    assert result.first_error.startswith(words)
    assert result.problem == f"2 of 8 failed, first: {result.first_error}"


def test_an_error_of_the_warm_up_counts():
    """An API that fails first and works later has failed."""
    result = measure({"/a": iter([503, 200, 200])}, samples=2, warmup=1)
    assert (result.samples, result.errors) == (2, 1)
    assert result.problem == "1 of 3 failed, first: GET /a answered 503"


def test_a_path_that_only_fails_is_given_up():
    """Five errors in a row are enough to know; the other paths go on."""
    result = measure({"/a": cycle([500]), "/b": cycle([200])}, samples=50)
    dead, alive = result.parts
    assert (dead.samples, dead.errors, dead.p95_ms) == (0, 5, None)
    assert (alive.samples, alive.errors) == (50, 0)
    assert result.stopped == "given up after 5 errors in a row: /a"
    assert result.problem == "5 of 55 failed, first: GET /a answered 500"


def test_a_slow_api_is_not_waited_for_without_end():
    """The budget ends the measurement, and says so."""
    result = measure({"/a": cycle([0.05])}, samples=1000, budget_s=0.2)
    assert 1 <= result.samples <= 5
    assert result.problem.startswith("stopped after 0.2 s in round ")


def test_nothing_to_time_is_no_success():
    """Without a path there are no figures, and that is a problem."""
    result = measure({}, samples=10)
    assert (result.samples, result.p95_ms, result.problem) == (0, None, "nothing was timed")
    assert result.worst is result


def test_figures_survive_json():
    """The report takes them as they are."""
    data = as_json(measure({"/a": cycle([200])}, samples=2))
    assert {
        "name",
        "samples",
        "p50_ms",
        "p95_ms",
        "p99_ms",
        "max_ms",
        "errors",
        "first_error",
        "parts",
        "stopped",
    } == set(data)


def timed(p95_ms: float | None, parts: dict[str, float] | None = None) -> Latency:
    """Make figures by hand."""
    made = tuple(Part(name, 10, value, value, value, value) for name, value in (parts or {}).items())
    return Latency("all together", 10, p95_ms, p95_ms, p95_ms, p95_ms, parts=made)


def test_a_regression_says_its_numbers():
    """Before, after and the limit stand in the sentence."""
    found = latency.regressed(timed(40), timed(90.04), 500)
    assert found is not None
    assert (found.rule, found.severity) == ("latency-regressed", Severity.WARNING)
    assert found.message == "p95 of all together went from 40.0 ms to 90.0 ms (limit 500 ms)."
    assert found.evidence["before_p95_ms"] == 40


def test_a_regression_of_one_path_is_found():
    """A path that became slow is named although the whole did not."""
    found = latency.regressed(timed(40, {"/a": 5, "/b": 40}), timed(41, {"/a": 105, "/b": 41}), 500)
    assert found is not None
    assert "p95 of /a went from 5.0 ms to 105.0 ms" in found.message


@given(st.floats(0.01, 1e4), st.floats(0.01, 1e4))
def test_worse_means_half_as_much_again_and_20_ms(before, after):
    """Both bounds must be passed."""
    expected = after > 1.5 * before and after - before > 20
    assert expected == (latency.regressed(timed(before), timed(after), 500) is not None)


def test_without_samples_nothing_is_compared():
    """Missing figures are the caller's error, not a regression."""
    assert latency.regressed(timed(40), timed(None), 500) is None
    assert latency.regressed(timed(None), timed(40), 500) is None


def test_a_changed_plan_tells_both():
    """The sentence names the nodes before and after."""
    before, after = (
        Plan("SELECT 1", ("Limit", "  Index Scan on t using i")),
        Plan("SELECT 1", ("Limit", "  Seq Scan on t")),
    )
    (found,) = latency.plan_changes([before], [after])
    assert (found.rule, found.severity) == ("plan-changed", Severity.WARNING)
    assert (
        found.message == "The plan of 'SELECT 1' changed from Limit > Index Scan on t using i to Limit > Seq Scan on t."
    )


def test_an_equal_plan_is_no_finding():
    """Nothing to say."""
    plan = Plan("SELECT 1", ("Result",))
    assert latency.plan_changes([plan], [plan]) == ()


def test_a_query_that_cannot_be_planned_any_more_blocks():
    """The migration broke it."""
    before, after = Plan("SELECT x FROM t", ("Seq Scan on t",)), Plan("SELECT x FROM t", failure="no column x")
    (found,) = latency.plan_changes([before], [after])
    assert found.severity is Severity.BLOCKER
    assert found.message == "'SELECT x FROM t' cannot be planned any more: no column x"


def test_what_cannot_be_compared_is_said():
    """A query without a plan before is neither equal nor different."""
    (found,) = latency.plan_changes([Plan("SHOW x", failure="syntax error")], [Plan("SHOW x", failure="syntax error")])
    assert found.severity is Severity.INFO
    assert "could not be compared: syntax error" in found.message
    (found,) = latency.plan_changes([], [Plan("SELECT 1", ("Result",))])
    assert "could not be compared: it was not asked for before" in found.message


@pytest.fixture
def filled(database: Conninfo) -> Conninfo:
    """Make a database with a table, found through the database's own search_path."""
    with psycopg.connect(**database.parameters(), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA app CREATE TABLE t (id int PRIMARY KEY, v text)")
        connection.execute("INSERT INTO app.t SELECT n, 'v' || n FROM generate_series(1, 5000) n; ANALYZE app.t")
        connection.execute(f"ALTER DATABASE {database.dbname} SET search_path = app")
    return database


def rows(conninfo: Conninfo) -> int:
    """Count the rows of the table."""
    with psycopg.connect(**conninfo.parameters()) as connection:
        row = connection.execute("SELECT count(*) FROM app.t").fetchone()
        assert row
        return int(row[0])


@pytest.mark.live
def test_queries_are_timed_with_the_databases_own_settings(filled):
    """An unqualified name works as it does for the application; a query with a percent sign too."""
    queries = ["SELECT * FROM t WHERE id = 7", "SELECT count(*) FROM t WHERE v LIKE '%9';"]
    result = latency.measure_queries(filled, queries, 5)
    assert (result.samples, result.errors, result.problem) == (10, 0, "")
    assert queries == [part.name for part in result.parts]
    assert 0 < result.p50_ms <= result.max_ms < math.inf


@pytest.mark.live
@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("DELETE FROM t", "cannot execute DELETE in a read-only transaction (SQLSTATE 25006)"),
        ("COMMIT; DELETE FROM t", "cannot insert multiple commands into a prepared statement (SQLSTATE 42601)"),
        ("SELECT nope", 'column "nope" does not exist (SQLSTATE 42703)'),
        ("SELECT pg_sleep(9)", "canceling statement due to statement timeout (SQLSTATE 57014)"),
        ("-- nothing", "the query is empty"),
    ],
    ids=["writes", "escapes and writes", "is wrong", "hangs", "is empty"],
)
def test_a_query_that_may_not_or_cannot_run_is_an_error(filled, query, words):
    """No query writes, hangs or passes for fast because it failed."""
    result = latency.measure_queries(filled, [query], 1, 0, timeout_s=0.3)
    assert (0, 1, words) == (result.samples, result.errors, result.first_error)
    assert rows(filled) == 5000


@pytest.mark.live
def test_a_failing_query_does_not_spoil_the_next(filled):
    """Each has its own transaction."""
    result = latency.measure_queries(filled, ["SELECT nope", "SELECT 1"], 3, 0)
    assert [(part.samples, part.errors) for part in result.parts] == [(0, 3), (3, 0)]


@pytest.mark.live
def test_a_lost_connection_is_an_error(filled):
    """A server that goes away is no fast answer."""
    result = latency.measure_queries(filled, ["SELECT pg_terminate_backend(pg_backend_pid())"], 10, 0)
    assert (result.samples, result.errors) == (0, 5)
    assert "terminating connection" in result.first_error


@pytest.mark.live
def test_no_queries_need_no_connection():
    """Nothing configured, nothing opened."""
    nowhere = Conninfo("127.0.0.1", 1, "nobody", "nothing")
    assert latency.measure_queries(nowhere, [], 10).problem == "nothing was timed"
    assert latency.plans(nowhere, []) == ()


@pytest.mark.live
def test_a_dropped_index_changes_the_plan(filled):
    """The plan before and after tells what the migration took away."""
    queries = ["SELECT * FROM t WHERE id = 7", "SELECT count(*) FROM t", "SHOW search_path"]
    before = latency.plans(filled, queries)
    assert before[0].nodes == ("Index Scan on t using t_pkey",)
    assert before[1].nodes == ("Aggregate", "  Seq Scan on t")
    assert "syntax error" in before[2].failure
    with psycopg.connect(**filled.parameters(), autocommit=True) as connection:
        connection.execute("ALTER TABLE app.t DROP CONSTRAINT t_pkey")
    found = latency.plan_changes(before, latency.plans(filled, queries))
    assert [item.severity for item in found] == [Severity.WARNING, Severity.INFO]
    assert "changed from Index Scan on t using t_pkey to Seq Scan on t." in found[0].message
