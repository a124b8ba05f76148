"""Work that is spread over connections ends at once: when it is told to, and when one part of it fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, closing
from typing import Any

import psycopg
import pytest

from pytest_dryrun.model.errors import DryRunError
from pytest_dryrun.postgres import databases
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.postgres.disposable import Disposable
from pytest_dryrun.postgres.parallel import spread
from pytest_dryrun.steps import proof
from pytest_dryrun.steps.target import TargetDatabase

Connection = psycopg.Connection[tuple[Any, ...]]

# Far more than ending takes on a busy machine, far less than what it would wait for otherwise.
SOON_S, LONG_S = 8.0, 60


@pytest.fixture
def connections(database: Conninfo) -> Iterator[list[Connection]]:
    """Two sessions, as the fingerprint opens them."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(connect(database, statement_timeout_s=LONG_S))) for _ in range(2)]


def ask(connection: Connection, statement: str) -> tuple[Any, ...] | None:
    """What a worker does with an item of these tests."""
    return connection.execute(statement.encode()).fetchone()


def until(database: Conninfo, wanted: int, condition: str) -> None:
    """Wait until so many sessions of a database are in a state."""
    deadline = time.monotonic() + SOON_S
    query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND {condition}"
    with connect(database.database("postgres")) as watcher:
        while (wanted,) != watcher.execute(query.encode(), (database.dbname,)).fetchone():
            assert time.monotonic() < deadline, f"never {wanted} sessions with {condition}"
            time.sleep(0.02)


def after(condition: Callable[[], None], act: Callable[[], None]) -> threading.Thread:
    """Do something from outside once a condition holds."""

    def wait() -> None:
        try:
            condition()
        finally:
            act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_every_item_is_done_once_and_the_first_ones_are_begun_first():
    """Workers take what is next; who is slow takes less."""
    begun: list[int] = []

    def work(pause_s: float, item: int) -> int:
        begun.append(item)
        time.sleep(pause_s)
        return item * item

    done = spread([0.0, 0.05], range(20), work, [])

    assert {item * item for item in range(20)} == set(done)
    assert 20 == len(done)
    assert {0, 1} == set(begun[:2])


@pytest.mark.live
def test_whoever_sets_stop_ends_statements_that_run(connections, database):
    """CancelledError comes soon, the rest is not begun, and the sessions can be used again."""
    stop = threading.Event()
    sleeping = "state = 'active' AND strpos(query, 'pg_sleep') > 0"
    thread = after(lambda: until(database, 2, sleeping), stop.set)
    began = time.monotonic()

    with pytest.raises(CancelledError):
        spread(connections, [f"SELECT pg_sleep({LONG_S})"] * 5, ask, connections, stop)

    assert SOON_S > time.monotonic() - began
    thread.join()
    assert [(1,), (1,)] == [ask(connection, "SELECT 1") for connection in connections]
    until(database, 0, sleeping)


@pytest.mark.live
def test_the_first_error_is_the_one_that_is_told(connections):
    """The other worker's statement is cancelled for it, and that is nobody's news."""
    items = [f"SELECT pg_sleep({LONG_S})", "SELECT pg_sleep(0.3), 1 / 0", f"SELECT pg_sleep({LONG_S})"]
    began = time.monotonic()

    with pytest.raises(psycopg.errors.DivisionByZero):
        spread(connections, items, ask, connections)

    assert SOON_S > time.monotonic() - began
    assert [(1,), (1,)] == [ask(connection, "SELECT 1") for connection in connections]


@pytest.mark.live
@pytest.mark.parametrize("stopped", [False, True], ids=["nobody stops it", "stop set when all is done"])
def test_a_stop_that_is_not_set_or_comes_too_late_changes_nothing(connections, stopped):
    """What has ended is not thrown away."""
    stop = threading.Event()

    def work(connection: Connection, item: int) -> tuple[Any, ...] | None:
        found = ask(connection, f"SELECT {item}")
        if stopped and item == 5:
            stop.set()
        return found

    assert [(0,), (1,), (2,), (3,), (4,), (5,)] == sorted(
        found for found in spread(connections[:1], range(6), work, connections, stop) if found
    )


@pytest.mark.live
def test_a_dump_that_fails_gives_up_the_fingerprint_beside_it(disposable: Disposable, database: Conninfo, tmp_path):
    """pg_dump's own words come soon, though a fingerprint that waits for a lock would wait for half a minute."""
    target = TargetDatabase(
        database,
        disposable.host,
        lambda name: [*disposable.tool(name), "--table=nothing"],
        disposable.tool_conninfo.database(database.dbname),
    )
    waiting = "wait_event_type = 'Lock'"
    write = proof.here(target, tmp_path, "never.dump", LONG_S)

    def dump(snapshot_id: str, shape: databases.Shape) -> Any:
        until(database, 1, waiting)
        return write(snapshot_id, shape)

    with connect(database) as connection:
        connection.execute("CREATE TABLE public.held (id int)")
    with psycopg.connect(**database.parameters()) as holder:
        holder.execute("LOCK TABLE public.held IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()

        with pytest.raises(DryRunError, match="no matching tables were found"):
            proof.take(target, dump, timeout_s=LONG_S)

        assert 2 * SOON_S > time.monotonic() - began
        until(database, 0, waiting)
    assert [] == list(tmp_path.iterdir())
