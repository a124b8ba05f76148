"""The writer that wants locked rows, on a real server: what it is refused, for how long, and what it changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.rehearsal.observe.observation import RowWait
from pytest_dryrun.rehearsal.observe.row_waits import RowProbes

pytestmark = pytest.mark.live

SEAT, HALL = 'public."Seat"', "public.hall"
HOLD_S = 0.4


@pytest.fixture
def migration(database: Conninfo) -> Iterator[psycopg.Connection]:
    """Give a migrating session on a copy with two tables."""
    with psycopg.connect(**database.parameters(), autocommit=True) as session:
        session.execute("CREATE TABLE hall (id int PRIMARY KEY, name text)")
        session.execute('CREATE TABLE "Seat" (id int PRIMARY KEY, hall int REFERENCES hall, taken bool)')
        session.execute("INSERT INTO hall SELECT g, 'hall ' || g FROM generate_series(1, 50) g")
        session.execute('INSERT INTO "Seat" SELECT g, 1 + g % 50 FROM generate_series(1, 2000) g')
        yield session


def longest(probes: RowProbes) -> dict[str, RowWait]:
    """The longest time of each table that a writer was refused a row of."""
    found: dict[str, RowWait] = {}
    for wait in probes.waits():
        if wait.confirmed and wait.ended_s - wait.started_s > getattr(found.get(wait.table), "ended_s", 0) - getattr(
            found.get(wait.table), "started_s", 0
        ):
            found[wait.table] = wait
    return found


def held_s(wait: RowWait) -> float:
    """How long it was."""
    return wait.ended_s - wait.started_s


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        pytest.param('UPDATE "Seat" SET taken = true WHERE id > 1990', 10, id="UPDATE of the last rows"),
        pytest.param('DELETE FROM "Seat" WHERE id <= 3', 3, id="DELETE"),
        pytest.param('SELECT FROM "Seat" WHERE hall = 7 FOR UPDATE', 40, id="FOR UPDATE"),
        pytest.param(
            'DO $$ BEGIN UPDATE "Seat" SET taken = true WHERE id < 6; EXCEPTION WHEN OTHERS THEN NULL; END $$', 5,
            id="in a subtransaction",
        ),
    ],
)  # fmt: skip
def test_a_writer_is_refused_until_the_commit(
    database: Conninfo, migration: psycopg.Connection, statement: str, rows: int
) -> None:
    """Whichever rows it takes, they are found and counted, and the time is that from the statement to the commit."""
    with RowProbes(database, [SEAT, HALL]) as probes:
        migration.execute("BEGIN")
        began = time.monotonic()
        migration.execute(statement)
        time.sleep(HOLD_S)
        migration.execute("COMMIT")
        took = time.monotonic() - began
        time.sleep(0.05)
    found = longest(probes)
    assert [SEAT] == list(found)
    assert rows == found[SEAT].rows
    assert HOLD_S / 2 < held_s(found[SEAT]) < took + 0.3


def test_an_application_waits_as_long_as_is_told(database: Conninfo, migration: psycopg.Connection) -> None:
    """An UPDATE of such a row and an INSERT of the key of a deleted one take about the time that was measured."""
    waited: list[float] = []

    def write(statement: str) -> None:
        with psycopg.connect(**database.parameters(), autocommit=True) as session:
            began = time.monotonic()
            session.execute(statement)
            waited.append(time.monotonic() - began)

    with RowProbes(database, [SEAT]) as probes:
        migration.execute("BEGIN")
        migration.execute('UPDATE "Seat" SET taken = true WHERE id = 1999')
        migration.execute('DELETE FROM "Seat" WHERE id = 2000')
        statements = ['UPDATE "Seat" SET taken = false WHERE id = 1999', 'INSERT INTO "Seat" VALUES (2000, 1)']
        writers = [threading.Thread(target=write, args=(text,)) for text in statements]
        for writer in writers:
            writer.start()
        time.sleep(HOLD_S)
        migration.execute("COMMIT")
        for writer in writers:
            writer.join()
    measured = held_s(next(wait for wait in probes.waits() if wait.confirmed))
    assert 2 == len(waited)
    assert all(abs(one - measured) < HOLD_S / 2 for one in waited)


@pytest.mark.parametrize("before", ["SELECT 1", "CREATE TABLE seen (id int)"], ids=["first write", "after DDL"])
def test_work_before_the_first_row_does_not_count(
    database: Conninfo, migration: psycopg.Connection, before: str
) -> None:
    """A statement that computes for long and writes then keeps its rows only from there on."""
    with RowProbes(database, [SEAT]) as probes:
        migration.execute("BEGIN")
        migration.execute(before)
        began = time.monotonic()
        migration.execute(
            'UPDATE "Seat" SET taken = true FROM (SELECT pg_sleep(0.6)) AS slow (slept)'
            " WHERE id = 5 AND slow.slept IS NOT NULL"
        )
        migration.execute("COMMIT")
        took = time.monotonic() - began
        time.sleep(0.05)
    assert took > 0.6
    assert all(held_s(wait) < 0.4 for wait in probes.waits())


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param('INSERT INTO "Seat" SELECT g, 1 FROM generate_series(3000, 3100) g', id="INSERT"),
        pytest.param('LOCK "Seat" IN ROW EXCLUSIVE MODE', id="a lock without a row"),
        pytest.param('CREATE INDEX ON "Seat" (taken)', id="an index"),
    ],
)
def test_what_locks_no_row_refuses_nobody(database: Conninfo, migration: psycopg.Connection, statement: str) -> None:
    """New rows, locks of tables and DDL are no locked rows; a parent that a new row names can still be updated."""
    with RowProbes(database, [SEAT, HALL]) as probes:
        migration.execute("BEGIN")
        migration.execute(statement)
        time.sleep(0.1)
        migration.execute("COMMIT")
    assert {} == longest(probes)


def test_nothing_is_held_up_and_nothing_changes(database: Conninfo, migration: psycopg.Connection) -> None:
    """A migration that locks the table after its rows, with little patience, goes on; row versions stay the same."""
    versions = "SELECT md5(string_agg(ctid::text || xmin::text, ',' ORDER BY id)) FROM \"Seat\""
    before = migration.execute(versions).fetchone()
    with RowProbes(database, [SEAT, HALL]) as probes:
        migration.execute("SET lock_timeout = '250ms'")
        for _ in range(5):
            migration.execute("BEGIN")
            migration.execute('SELECT FROM "Seat" WHERE id = 9 FOR UPDATE')
            time.sleep(0.05)
            migration.execute('LOCK "Seat" IN ACCESS EXCLUSIVE MODE')
            migration.execute("ROLLBACK")
    assert probes.waits()
    assert before == migration.execute(versions).fetchone()


def test_rows_of_other_tables_are_not_looked_for(database: Conninfo, migration: psycopg.Connection) -> None:
    """Only the tables that are named are watched; one that is dropped on the way is no trouble."""
    with RowProbes(database, [HALL]) as probes:
        migration.execute('UPDATE "Seat" SET taken = true')
        migration.execute('BEGIN; UPDATE hall SET name = name; DROP TABLE "Seat", hall')
        time.sleep(0.1)
        migration.execute("COMMIT")
    assert {HALL} == {wait.table for wait in probes.waits()}


def test_a_look_that_was_cut_off_is_told(database: Conninfo, migration: psycopg.Connection) -> None:
    """Whoever ends the sessions leaves nothing that could be taken for a proof."""
    probes = RowProbes(database, [SEAT])
    probes.start()
    migration.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        " AND datname = current_database()"
    )
    time.sleep(0.1)
    with pytest.raises(TargetUnusable, match="How long rows stayed locked is unknown"):
        probes.stop()
    probes.stop()
