"""What tuple headers settle is never what hashes would deny, and where headers say nothing the hashes are asked."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from needs import require
from psycopg import sql

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.postgres import databases
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.postgres.disposable import Disposable, start
from pytest_dryrun.postgres.fingerprint import Fingerprint, TableFingerprint, take
from pytest_dryrun.postgres.fingerprint.keeping import kept
from pytest_dryrun.postgres.fingerprint.shapes import read_shapes
from pytest_dryrun.postgres.fingerprint.unmoved import Held, read_heaps, read_instant, unmoved
from pytest_dryrun.postgres.snapshot import join, reader, snapshot
from pytest_dryrun.probes.api import free_port
from pytest_dryrun.workspace import Workspace

pytestmark = pytest.mark.live

TABLES = """
CREATE TYPE mood AS ENUM ('calm', 'cross');
CREATE TABLE person (id int PRIMARY KEY, name text, nick text, score numeric);
INSERT INTO person SELECT i, 'n' || i, 'k' || i, i / 2.0 FROM generate_series(1, 40) i;
CREATE TABLE people (id int PRIMARY KEY, name text, nick text, score numeric);
INSERT INTO people SELECT i, 'm' || i, 'k' || i, i / 2.0 FROM generate_series(1, 40) i;
CREATE TABLE moody (id int, mood mood);
INSERT INTO moody SELECT i, 'calm' FROM generate_series(1, 5) i;
CREATE TABLE parted (id int, at int) PARTITION BY LIST (at);
CREATE TABLE part_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF parted FOR VALUES IN (2);
CREATE TABLE spare (id int, at int);
INSERT INTO parted VALUES (1, 1), (2, 2);
INSERT INTO spare VALUES (3, 2);
"""
ALL = {"person", "people", "moody", "parted", "part_1", "part_2", "spare"}
HASHED = ALL - {"parted"}  # a partitioned table is what its partitions add up to
BY_HASH = {"moody"}


def execute(conninfo: Conninfo, *statements: str) -> None:
    with psycopg.connect(**conninfo.parameters(), autocommit=True) as connection:
        for statement in statements:
            connection.execute(sql.SQL(statement))


def short(names: Iterator[str]) -> set[str]:
    return {name.rpartition(".")[2] for name in names}


def asked(conninfo: Conninfo, before: Fingerprint, *, copied: bool = False) -> tuple[set[str], set[str]]:
    """What was kept, and which tables were hashed to know it, as the server's own log tells."""
    # The log is the server's, so its sessions are told apart by their database and cut by two marks.
    marks = [f"mark {uuid.uuid4().hex}" for _ in range(2)]
    quoted = sql.Identifier(conninfo.dbname).as_string()
    execute(conninfo, f"ALTER DATABASE {quoted} SET log_statement = 'all'")
    try:
        execute(conninfo, f"SELECT '{marks[0]}'")
        found = kept(conninfo, before, copied=copied)
        execute(conninfo, f"SELECT '{marks[1]}'")
    finally:
        execute(conninfo, f"ALTER DATABASE {quoted} RESET log_statement")
    log = ""
    deadline = time.monotonic() + 20
    with psycopg.connect(**conninfo.parameters(), autocommit=True) as connection:
        while marks[1] not in log:
            assert time.monotonic() < deadline, "the server's log lacks what was asked"
            log = str(connection.execute("SELECT pg_read_file('log/dryrun.log')").fetchone())
    between = log.partition(marks[0])[2].partition(marks[1])[0]
    hashes = re.findall(r"hash\w+extended[^@]*? FROM (?:ONLY )?\"public\"\.\"(\w+)\"(?:\\n|$)", between)
    return short(found.values()), set(hashes)


def by_hashes(conninfo: Conninfo, before: Fingerprint) -> set[str]:
    """What hashing every table says."""
    return short(kept(conninfo, replace(before, instant=None)).values())


def when_there(conninfo: Conninfo) -> None:
    """Wait until the server answers."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return execute(conninfo, "SELECT 1")
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.1)


@pytest.fixture
def filled(database: Conninfo) -> Conninfo:
    """Give a database with the tables of this file."""
    execute(database, TABLES)
    return database


@pytest.fixture
def copies(postgres: Conninfo) -> Iterator[list[str]]:
    """Collect the names of further databases and drop them."""
    made: list[str] = []
    yield made
    for name in made:
        databases.drop(postgres, name)


def copy_of(filled: Conninfo, copies: list[str]) -> Conninfo:
    copies.append(f"{filled.dbname}_{len(copies)}")
    return databases.copy(filled.database("postgres"), filled.dbname, copies[-1])


def test_rows_that_did_not_move_are_not_hashed(filled):
    """In the database itself only enums are left to the hashes."""
    assert (ALL, BY_HASH) == asked(filled, take(filled))


def test_without_an_instant_everything_is_hashed(filled):
    """The measure of all other tests: the log shows who was hashed."""
    assert (ALL, HASHED) == asked(filled, replace(take(filled), instant=None))


def test_a_copy_made_since_is_as_good(filled, copies):
    """A template copy carries the tuple headers; a copy of a copy does too."""
    before = take(filled)
    first = copy_of(filled, copies)
    assert (ALL, BY_HASH) == asked(first, before, copied=True)
    assert (ALL, BY_HASH) == asked(copy_of(first, copies), before, copied=True)
    assert (ALL, HASHED) == asked(first, before)


def test_a_sister_is_no_copy(filled, copies):
    """Two copies that went different ways may agree in oids, files, counts and age: only hashes tell them apart."""
    one, other = copy_of(filled, copies), copy_of(filled, copies)
    execute(one, "UPDATE person SET name = 'one'")
    execute(other, "UPDATE person SET name = 'other'")
    assert (ALL - {"person"}, HASHED) == asked(other, take(one), copied=True)


def test_an_ordinary_user_needs_no_more_rights_than_before(filled, postgres):
    """Reading the tables is enough; where the server keeps its identity to itself, hashes are asked."""
    role = f"reader_{filled.dbname}"
    execute(filled, f"CREATE ROLE {role} LOGIN PASSWORD 'pw'", f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    login = replace(filled, user=role, password="pw")
    try:
        before = take(login)
        assert before.instant is not None
        with closing(reader(login, statement_timeout_s=60)) as connection:
            assert short(kept(login, before).values()) == ALL
            execute(filled, "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
            assert read_instant(connection) is None
        assert take(login).instant is None
        assert short(kept(login, before).values()) == ALL
    finally:
        execute(filled, f"DROP OWNED BY {role}")
        execute(postgres, f"DROP ROLE {role}")


@pytest.mark.parametrize(
    ("statements", "hashed", "differs"),
    [
        (["VACUUM FREEZE person"], set(), set()),
        (["ALTER TABLE person ADD country text NOT NULL DEFAULT 'SE'"], set(), set()),
        (["ALTER TABLE person RENAME TO human"], set(), set()),
        (["BEGIN; DELETE FROM person; ROLLBACK"], set(), set()),
        (["BEGIN; TRUNCATE person; ROLLBACK"], set(), set()),
        (["BEGIN; SELECT * FROM person FOR UPDATE; COMMIT"], set(), set()),
        (["INSERT INTO person VALUES (99)", "DELETE FROM person WHERE id = 99"], set(), set()),
        (["UPDATE person SET name = name WHERE id = 3"], {"person"}, set()),
        (["CLUSTER person USING person_pkey"], {"person"}, set()),
        (["VACUUM FULL person"], {"person"}, set()),
        (["ALTER TABLE person ADD at float DEFAULT random()"], {"person"}, set()),
        (["INSERT INTO person VALUES (99)"], {"person"}, {"person"}),
        (["DELETE FROM person WHERE id = 7"], {"person"}, {"person"}),
        (["DELETE FROM person WHERE id = 7", "INSERT INTO person VALUES (7)"], {"person"}, {"person"}),
        (["BEGIN; SAVEPOINT a; UPDATE person SET nick = 'x' WHERE id = 3; RELEASE a; COMMIT"], {"person"}, {"person"}),
        (["ALTER TYPE mood RENAME VALUE 'calm' TO 'still'"], set(), {"moody"}),
        (
            [
                "ALTER TABLE parted DETACH PARTITION part_2",
                "ALTER TABLE parted ATTACH PARTITION spare FOR VALUES IN (2)",
            ],
            set(),
            {"parted"},
        ),
    ],
    ids=lambda value: "; ".join(value)[:60] if isinstance(value, list) else "-".join(sorted(value)) or "none",
)
def test_what_moved_is_left_to_the_hashes(filled, statements, hashed, differs):
    """New row versions, new files and meanings that changed elsewhere: headers settle none of them."""
    before = take(filled)
    execute(filled, *statements)
    found, by_hash = asked(filled, before)
    assert {name.replace("human", "person") for name in found} == ALL - differs
    assert BY_HASH | hashed == by_hash


def test_frozen_copy_into_a_truncated_table_is_not_taken_for_old(filled):
    """COPY FREEZE writes rows that everybody sees at once, but under their own number."""
    before = take(filled)
    with psycopg.connect(**filled.parameters()) as connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE person")
        with cursor.copy("COPY person FROM STDIN (FREEZE)") as writer:
            for number in range(1, 41):
                writer.write_row((number, "other", "x", 1))
    assert (ALL - {"person"}, BY_HASH | {"person"}) == asked(filled, before)


def test_a_transaction_under_way_at_the_snapshot_is_not_taken_for_old(filled):
    """It began before and commits afterwards: as many rows as then, and one of them new."""
    with psycopg.connect(**filled.parameters()) as writer:
        writer.execute("SAVEPOINT a")
        writer.execute("INSERT INTO person VALUES (98)")
        before = take(filled)
        writer.execute("DELETE FROM person WHERE id = 5")
        writer.commit()
    assert (ALL - {"person"}, BY_HASH | {"person"}) == asked(filled, before)


def test_a_row_that_was_raised_from_the_dead_is_not_taken_for_old(filled):
    """Forced freezing gives a dead row the number that is older than all others, and so a lost row a stand-in."""
    execute(filled, "CREATE EXTENSION pg_surgery", "CREATE TABLE risen AS SELECT i AS a FROM generate_series(1, 5) i")
    execute(filled, "DELETE FROM risen WHERE a = 1")
    before = take(filled)
    execute(
        filled,
        "SELECT heap_force_freeze('risen'::regclass, ARRAY['(0,1)'::tid])",
        "SELECT heap_force_kill('risen'::regclass, ARRAY['(0,2)'::tid])",
    )
    assert (ALL, BY_HASH | {"risen"}) == asked(filled, before)


def test_names_that_changed_hands_are_not_followed(filled):
    """Figures that are given the oids and attnums of now still know where their rows lay."""
    before = take(filled)
    execute(
        filled,
        "ALTER TABLE person RENAME TO passing",
        "ALTER TABLE people RENAME TO person",
        "ALTER TABLE passing RENAME TO people",
        "ALTER TABLE spare RENAME id TO passing",
        "ALTER TABLE spare RENAME at TO id",
        "ALTER TABLE spare RENAME passing TO at",
    )
    now = {table.name: table for table in take(filled).tables}
    tables = [
        replace(table, oid=now[table.name].oid, attnums={name: now[table.name].attnums[name] for name in table.attnums})
        for table in before.tables
    ]
    parts = {"part_1", "part_2"}
    assert (BY_HASH | {"parted"} | parts, HASHED - parts) == asked(filled, replace(before, tables=tuple(tables)))


@pytest.mark.parametrize(
    "change",
    [
        {"system_identifier": 1},
        {"started_at": "2020-01-01 00:00:00+00"},
        {"statistics_since": "2020-01-01 00:00:00+00"},
        {"database_oid": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_server_run_or_database_means_nothing(filled, change):
    """Each part of where the figures were taken has to be the same."""
    before = take(filled)
    elsewhere = replace(before, instant=replace(before.instant, **change))
    assert (ALL, HASHED) == asked(filled, elsewhere)


@pytest.mark.parametrize("distance", [-(2**30), 2**30], ids=["too long ago", "ahead of the server"])
def test_numbers_that_may_have_wrapped_mean_nothing(filled, distance):
    """Half of the numbers of 32 bits can be compared; a horizon that the server has not reached is not its own."""
    before = take(filled)
    moved = replace(before.instant, horizon=before.instant.horizon + distance)
    assert (ALL, HASHED) == asked(filled, replace(before, instant=moved))


def test_a_database_that_was_altered_since_means_nothing(filled, postgres):
    """Its oid may have been given to another one."""
    before = take(filled)
    execute(postgres, f"ALTER DATABASE {filled.dbname} CONNECTION LIMIT 50")
    assert (ALL, HASHED) == asked(filled, before)


@pytest.mark.parametrize(
    "kind",
    ["mood", "mood[]", "moods", "regclass", "regclass[]", "pair", "pair[]", "citext", "hstore", "aclitem", "moodrange"],
)
def test_types_that_mean_more_than_their_bytes_are_left_to_the_hashes(filled, kind):
    """Labels, names, attributes and what extensions print can change while the row stays where it is."""
    execute(
        filled,
        "CREATE EXTENSION citext",
        "CREATE EXTENSION hstore",
        "CREATE DOMAIN moods AS mood[]",
        "CREATE TYPE pair AS (a int, b text)",
        "CREATE TYPE moodrange AS RANGE (subtype = mood)",
        f"CREATE TABLE doubtful (id int, c {kind})",
        "CREATE TABLE plain (a int[], b jsonb, c timestamptz, d bytea, e uuid, f text[], g inet, h numeric(9, 2))",
        "INSERT INTO doubtful VALUES (1)",
        "INSERT INTO plain DEFAULT VALUES",
    )
    with closing(reader(filled, statement_timeout_s=60)) as connection:
        shapes, _ = read_shapes(connection)
        heaps = read_heaps(connection, shapes)
    names = {shape.name for shape in shapes if shape.oid in heaps}
    assert {"person", "people", "spare", "part_1", "part_2", "plain"} == names


def test_columns_that_are_computed_when_read_are_left_to_the_hashes():
    """A virtual column's expression may change without any row noticing (PostgreSQL 18)."""
    workspace = Workspace.create(f"tests-{uuid.uuid4().hex[:12]}")
    try:
        server = start("embedded", workspace=workspace, major=18)
        try:
            require(server.version_num >= 180000, "the embedded server is older than PostgreSQL 18")
            made = "CREATE TABLE {} (a int, b int GENERATED ALWAYS AS (a * 2) {})"
            execute(server.conninfo, made.format("virtual", "VIRTUAL"), made.format("stored", "STORED"))
            execute(server.conninfo, "INSERT INTO virtual VALUES (1)", "INSERT INTO stored VALUES (1)")
            before = take(server.conninfo)
            assert {"stored"} == {table.name for table in before.tables if table.heap}
            execute(server.conninfo, "ALTER TABLE virtual ALTER b SET EXPRESSION AS (a * 3)")
            assert short(kept(server.conninfo, before).values()) == {"stored"}
        finally:
            server.stop()
    finally:
        workspace.close()


def test_a_big_copy_is_read_by_pieces(filled, copies):
    """What lies in any of them counts: a row lost in the first and one more in the last is no kept table."""
    execute(
        filled,
        "CREATE TABLE big (id int, filler text); ALTER TABLE big ALTER filler SET STORAGE PLAIN",
        "INSERT INTO big SELECT i, repeat('x', 3900) FROM generate_series(1, 18000) i",
        "VACUUM big",
    )
    before = take(filled)
    copy = copy_of(filled, copies)
    assert (ALL | {"big"}, BY_HASH) == asked(copy, before, copied=True)
    execute(copy, "DELETE FROM big WHERE id = 1", "INSERT INTO big VALUES (18001)")
    assert (ALL, BY_HASH | {"big"}) == asked(copy, before, copied=True)
    shorter = copy_of(filled, copies)
    execute(shorter, "DELETE FROM big WHERE id = 1")
    assert (ALL, BY_HASH | {"big"}) == asked(shorter, before, copied=True)


def test_what_has_no_headers_is_left_to_the_hashes(filled):
    """A view under the table's name answers with an error; the transaction goes on as if nothing had been asked."""
    execute(filled, "CREATE VIEW seen AS SELECT * FROM person", "CREATE VIEW twice AS SELECT a.* FROM spare a, spare b")
    before = {table.name: table for table in take(filled).tables}
    with snapshot(filled) as taken, closing(reader(filled, statement_timeout_s=60)) as connection:
        join(connection, taken.id)
        instant = read_instant(connection)
        shapes = {shape.name: shape for shape in read_shapes(connection)[0]}
        held = [Held(shapes[name], before[name].heap, before[name].rows) for name in ("person", "spare")]
        viewed = [replace(held[0], shape=replace(held[0].shape, name="seen")), held[1]]
        assert {held[1].heap.oid} == unmoved([connection], instant, viewed, copied=False)
        other = [replace(held[0], shape=replace(held[0].shape, name="people")), held[1]]
        assert {held[1].heap.oid} == unmoved([connection], instant, other, copied=False)
        assert ("2",) == connection.execute("SHOW max_parallel_workers_per_gather").fetchone()


def test_a_table_that_cannot_be_read_in_time_is_an_error(filled):
    """Being cut off is no answer, neither yes nor no."""
    before = take(filled)
    with psycopg.connect(**filled.parameters()) as holder:
        holder.execute("LOCK TABLE person IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TargetUnusable, match=r"Reading public\.person did not end within its time limit"):
            kept(filled, before, statement_timeout_s=2)


@pytest.fixture(scope="module")
def other() -> Iterator[Disposable]:
    """Start another cluster, which a test may crash, with room for prepared transactions."""
    workspace = Workspace.create(f"tests-{uuid.uuid4().hex[:12]}")
    try:
        server = start("binaries", workspace=workspace, settings={"max_prepared_transactions": "2"})
        yield server
        server.stop()
    finally:
        workspace.close()


@pytest.fixture
def elsewhere(other: Disposable) -> Iterator[Conninfo]:
    """Give a filled database of the other cluster."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    execute(other.conninfo, f"CREATE DATABASE {name}")
    execute(other.conninfo.database(name), TABLES)
    yield other.conninfo.database(name)
    databases.drop(other.conninfo, name)


def test_the_same_rows_in_another_cluster_are_hashed(filled, elsewhere):
    """As after a restore: there the same figures have oids of their own and headers that mean something else."""
    before, now = take(filled), take(elsewhere).tables
    there = {table.name: table.oid for whole in now for table in (whole, *whole.leaves)}

    def moved(table: TableFingerprint) -> TableFingerprint:
        oid = there[table.name]
        heap = replace(table.heap, oid=oid, relfilenode=oid) if table.heap else None
        return replace(table, oid=oid, heap=heap, leaves=tuple(moved(leaf) for leaf in table.leaves))

    tables = tuple(moved(table) for table in before.tables)
    assert (ALL, HASHED) == asked(elsewhere, replace(before, tables=tables), copied=True)


def test_a_prepared_transaction_is_not_taken_for_old(elsewhere):
    """It is under way until somebody commits it."""
    execute(
        elsewhere, "BEGIN; INSERT INTO person VALUES (98); DELETE FROM person WHERE id = 5; PREPARE TRANSACTION 'p'"
    )
    before = take(elsewhere)
    execute(elsewhere, "COMMIT PREPARED 'p'")
    assert (ALL - {"person"}, BY_HASH | {"person"}) == asked(elsewhere, before)


def test_after_a_crash_everything_is_hashed(elsewhere):
    """What was committed but not yet written is lost then, and its transaction numbers are given out again."""
    before = take(elsewhere)
    with psycopg.connect(**elsewhere.parameters(), autocommit=True) as victim:
        os.kill(victim.info.backend_pid, signal.SIGKILL)
    when_there(elsewhere)
    after = take(elsewhere).instant
    assert before.instant.started_at == after.started_at
    assert before.instant.statistics_since != after.statistics_since
    found, hashed = asked(elsewhere, before)
    # Whatever the crash left of the rows, hashes alone spoke.
    assert hashed >= found & HASHED


def test_a_standby_gives_no_instant():
    """Its horizon is hearsay, and after a promotion it may go another way than the server it followed."""
    workspace = Workspace.create(f"tests-{uuid.uuid4().hex[:12]}")
    try:
        server = start("binaries", workspace=workspace, settings={"wal_level": "replica", "max_wal_senders": "3"})
        execute(server.conninfo, "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)")
        with psycopg.connect(**server.conninfo.parameters(), autocommit=True) as connection:
            [data] = connection.execute("SHOW data_directory").fetchone()
        owner = Path(data).stat()
        folder = Path(data).with_name("standby")
        program = Path(server.tool("psql")[0]).with_name("postgres")
        copying = [program.with_name("pg_basebackup"), "--pgdata", folder, "--checkpoint=fast", "--no-sync"]
        made = server.host.run([str(word) for word in copying], timeout_s=60, env=server.tool_conninfo.environment())
        assert 0 == made.exit_status, made.stderr
        (folder / "standby.signal").touch()  # with nobody to follow
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)
        port = free_port()
        words = [
            "-D",
            folder,
            "-p",
            str(port),
            "-k",
            folder,
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "wal_level=replica",
        ]
        standby = subprocess.Popen([program, *words], user=owner.st_uid, group=owner.st_gid, stderr=subprocess.DEVNULL)
        try:
            conninfo = replace(server.conninfo, port=port)
            when_there(conninfo)
            before = take(conninfo)
            assert before.instant is None
            assert {"t": 1} == {table.name: table.rows for table in before.tables}
            assert {"t"} == short(kept(conninfo, before).values())
        finally:
            standby.send_signal(signal.SIGINT)
            standby.wait(30)
            server.stop()
    finally:
        workspace.close()


STEPS = (
    "INSERT INTO person VALUES (90)",
    "DELETE FROM person WHERE id IN (3, 90)",
    "INSERT INTO person VALUES (3, 'n3', 'k3', 1.5000000000000000)",
    "UPDATE person SET name = name",
    "UPDATE person SET name = 'x' WHERE id = 4",
    "UPDATE person SET name = 'n4' WHERE id = 4",
    "UPDATE people SET name = 'n' || id",
    "DELETE FROM people WHERE id > 20",
    "BEGIN; UPDATE person SET score = 0; ROLLBACK",
    "BEGIN; SAVEPOINT a; DELETE FROM people WHERE id = 1; ROLLBACK TO a; INSERT INTO spare VALUES (4, 2); COMMIT",
    "BEGIN; SAVEPOINT a; UPDATE people SET nick = 'y' WHERE id = 2; RELEASE a; COMMIT",
    "CREATE TABLE IF NOT EXISTS aside AS TABLE person",
    "CREATE TEMP TABLE t AS TABLE person; TRUNCATE person; INSERT INTO person SELECT * FROM t",
    "BEGIN; TRUNCATE people; ROLLBACK",
    "VACUUM FREEZE person, people, spare",
    "VACUUM FULL people",
    "CLUSTER person USING person_pkey",
    "ALTER TABLE people ALTER id TYPE bigint",
    "ALTER TABLE people ALTER id TYPE int",
    "ALTER TABLE person ALTER nick TYPE varchar",
    "ALTER TABLE person ALTER nick TYPE text",
    "ALTER TABLE person ADD IF NOT EXISTS more text DEFAULT 'd'",
    "ALTER TABLE person DROP IF EXISTS more",
    "ALTER TABLE person RENAME name TO p; ALTER TABLE person RENAME nick TO name; ALTER TABLE person RENAME p TO nick",
    "ALTER TABLE person RENAME TO p; ALTER TABLE people RENAME TO person; ALTER TABLE p RENAME TO people",
    "ALTER TYPE mood ADD VALUE IF NOT EXISTS 'wild'",
    "ALTER TYPE mood RENAME VALUE 'calm' TO 'p'; ALTER TYPE mood RENAME VALUE 'cross' TO 'calm'",
    "ALTER TABLE parted DETACH PARTITION part_2; ALTER TABLE parted ATTACH PARTITION spare FOR VALUES IN (2)",
    "SELECT * FROM people FOR KEY SHARE",
)


def attempt(conninfo: Conninfo, steps: list[str]) -> None:
    """Take each step in a session of its own; one that earlier steps made impossible changes nothing."""
    for step in steps:
        with suppress(psycopg.IntegrityError, psycopg.ProgrammingError):
            execute(conninfo, step)


@pytest.mark.parametrize("step", STEPS)
def test_every_step_can_be_taken(filled, step):
    """Else the property below would be about fewer steps than it seems."""
    if step.startswith("INSERT INTO person VALUES (3"):
        execute(filled, "DELETE FROM person WHERE id = 3")
    execute(filled, step)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(earlier=st.lists(st.sampled_from(STEPS), max_size=4), later=st.lists(st.sampled_from(STEPS), max_size=5))
def test_headers_never_settle_what_hashes_deny(database, postgres, earlier, later):
    """Whatever was done before and after the figures, in the database or in a copy: both ways give one answer."""
    execute(database, "DROP SCHEMA public CASCADE; CREATE SCHEMA public", TABLES)
    attempt(database, earlier)
    before = take(database)
    copy = databases.copy(postgres, database.dbname, f"{database.dbname}_copy")
    try:
        for place, copied in ((database, False), (copy, True)):
            attempt(place, later)
            found = short(kept(place, before, copied=copied).values())
            assert found == by_hashes(place, before)
            if not later:
                assert found == {table.name for whole in before.tables for table in (whole, *whole.leaves)}
    finally:
        databases.drop(postgres, copy.dbname)
