"""The stall probes on a real server: who is kept waiting, how long, and that they leave nothing behind."""

from __future__ import annotations

import time

import psycopg
import pytest

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.rehearsal.observe.stalls import MAX_TABLES, StallProbes

pytestmark = pytest.mark.live

TABLE = 'public."User"'
HOLD_S = 0.3


@pytest.fixture
def migration(database: Conninfo):
    """Give a migrating session on a copy with two small tables."""
    with psycopg.connect(**database.parameters(), autocommit=True) as session:
        session.execute('CREATE TABLE "User" (id int); CREATE TABLE post (id int)')
        session.execute('INSERT INTO "User" SELECT generate_series(1, 1000)')
        yield session


def sessions(migration: psycopg.Connection[tuple[object, ...]]) -> int:
    """Count other sessions of the copy, giving those just closed a moment to end."""
    for _ in range(200):
        row = migration.execute(
            "SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
        if row == (0,):
            return 0
        time.sleep(0.01)
    return int(str(row[0]))


@pytest.mark.parametrize(
    ("mode", "reader_waits", "writer_waits"),
    [
        pytest.param("ACCESS EXCLUSIVE", True, True, id="access exclusive stops all"),
        pytest.param("SHARE", False, True, id="share stops writers"),
        pytest.param("SHARE UPDATE EXCLUSIVE", False, False, id="share update exclusive stops nobody"),
    ],
)
def test_probes_feel_what_the_lock_does(
    database: Conninfo, migration: psycopg.Connection, mode: str, *, reader_waits: bool, writer_waits: bool
) -> None:
    """A held lock keeps exactly those waiting whom it concerns, about as long as it is held, and no other table."""
    with StallProbes(database, [TABLE, "public.post"]) as probes:
        migration.execute("BEGIN")
        start_s = time.monotonic()
        migration.execute(f"LOCK TABLE {TABLE} IN {mode} MODE")
        time.sleep(HOLD_S)
        migration.execute("COMMIT")
        end_s = time.monotonic()
        time.sleep(0.1)
    read_ms, write_ms = probes.longest()[TABLE]
    held_ms = (end_s - start_s) * 1000
    assert (reader_waits, writer_waits) == (read_ms > held_ms / 2, write_ms > held_ms / 2)
    assert (reader_waits, writer_waits) == (read_ms > 0, write_ms > 0)
    assert max(read_ms, write_ms) <= held_ms + 500
    assert (0.0, 0.0) == probes.longest()["public.post"]
    assert (reader_waits or writer_waits) == (TABLE in probes.between(start_s, end_s))
    assert {} == probes.between(start_s - 100, start_s - 99)
    assert 0 == sessions(migration)


def test_busy_machine_is_no_stall(database: Conninfo, migration: psycopg.Connection) -> None:
    """Work that locks nobody out is felt as nothing, however slow the answers become meanwhile."""
    with StallProbes(database, [TABLE]) as probes:
        migration.execute("SELECT sum(sqrt(g)) FROM generate_series(1, 500000) g")
        migration.execute('UPDATE "User" SET id = id + 1')
    assert () == probes.waits()
    assert probes.noise_ms > 0


def test_table_may_be_dropped_and_renamed_on_the_way(database: Conninfo, migration: psycopg.Connection) -> None:
    """A probe whose table is gone stops asking, the others go on, and stop() is content."""
    with StallProbes(database, [TABLE, "public.post"]) as probes:
        migration.execute('DROP TABLE "User"')
        migration.execute("ALTER TABLE post RENAME TO posts")
        time.sleep(0.05)
        assert {True} == {probe.gone for probe in probes._probes}
    assert 0 == sessions(migration)


def test_wait_that_has_not_ended_counts_until_the_stop(database: Conninfo, migration: psycopg.Connection) -> None:
    """Stopping while the lock is still held cuts the probes off, counts their wait and leaves no session."""
    probes = StallProbes(database, [TABLE])
    probes.start()
    migration.execute("BEGIN")
    migration.execute(f"LOCK TABLE {TABLE}")
    time.sleep(HOLD_S)
    probes.stop()
    probes.stop()
    read_ms, write_ms = probes.longest()[TABLE]
    assert min(read_ms, write_ms) >= HOLD_S * 500
    migration.execute("ROLLBACK")
    assert 0 == sessions(migration)


def test_concurrent_drop_is_not_held_up(database: Conninfo, migration: psycopg.Connection) -> None:
    """DROP INDEX CONCURRENTLY waits for every reader's transaction, so the probes' must be momentary."""
    migration.execute('CREATE INDEX i ON "User" (id)')
    with StallProbes(database, [TABLE], interval_s=0.002):
        migration.execute("SET statement_timeout = '5s'")
        migration.execute("DROP INDEX CONCURRENTLY i")
        migration.execute('CREATE INDEX CONCURRENTLY i ON "User" (id)')


def test_no_more_tables_than_the_server_bears(database: Conninfo) -> None:
    """What is beyond the cap is named, not silently forgotten."""
    names = [f"public.t{number}" for number in range(MAX_TABLES + 2)]
    probes = StallProbes(database, names)
    assert ("public.t20", "public.t21") == probes.left_out
    assert probes.interval_s > 0.01


def test_refuses_to_report_after_its_sessions_were_lost(database: Conninfo, migration: psycopg.Connection) -> None:
    """Probes that were killed prove nothing, and say so."""
    probes = StallProbes(database, [TABLE])
    probes.start()
    migration.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    time.sleep(0.1)
    with pytest.raises(TargetUnusable, match="broke down"):
        probes.stop()
