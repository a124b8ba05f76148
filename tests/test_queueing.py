"""The second pass on a real server: who waits behind a statement that waits for one open transaction."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from test_locks import REMEDIES

from pytest_dryrun.migrations.sql_folder import SqlFolder
from pytest_dryrun.model.scripts import Location
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.rehearsal.judge.queues import Queuer, queuers
from pytest_dryrun.rehearsal.judge.yardstick import Yardstick
from pytest_dryrun.rehearsal.observe.queueing import Queue
from pytest_dryrun.steps.second_pass import LIMIT_S, SecondPass, second_pass
from pytest_dryrun.steps.watching import table_sizes, watch

pytestmark = pytest.mark.live

AX, SHARE = "AccessExclusiveLock", "ShareLock"
PIER = "public.pier"
PLENTY = 1 << 40


@pytest.fixture
def template(database: Conninfo) -> Conninfo:
    """Make the untouched data."""
    with psycopg.connect(**database.parameters(), autocommit=True) as session:
        session.execute("CREATE TABLE pier (id int PRIMARY KEY, length int)")
        session.execute("CREATE TABLE crane (id int PRIMARY KEY, pier int)")
        session.execute("INSERT INTO pier SELECT g, g FROM generate_series(1, 500) g")
        session.execute("INSERT INTO crane SELECT g, g FROM generate_series(1, 500) g")
        session.execute("CREATE MATERIALIZED VIEW load AS SELECT g AS pier FROM generate_series(1, 9) g")
        session.execute("CREATE UNIQUE INDEX ON load (pier); ANALYZE")
    return database


@pytest.fixture
def name(postgres: Conninfo) -> Iterator[str]:
    """Give a name for the copy, and see that nothing of it is left."""
    given = f"queue_{uuid.uuid4().hex[:12]}"
    yield given
    with connect(postgres) as session:
        assert session.execute("SELECT FROM pg_database WHERE datname LIKE %s", (f"{given}%",)).fetchone() is None


def first_pass(
    postgres: Conninfo, template: Conninfo, name: str, folder: SqlFolder, login: Conninfo | None = None
) -> tuple[Queuer, ...]:
    """Watch the migrations on a copy, and find the statements that are to be shown."""
    copy = template.database(f"{name}_first")
    with psycopg.connect(**postgres.parameters(), autocommit=True) as session:
        to, like = sql.Identifier(copy.dbname), sql.Identifier(template.dbname)
        session.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(to, like))
        try:
            with connect(copy) as connection:
                sizes = table_sizes(connection)
            applying = login.database(copy.dbname) if login else copy
            seen = watch(copy, applying, folder, [PIER], timeout_s=60)
            assert seen.error is None
            return queuers(Yardstick(sizes, 1, 1000, 1000, REMEDIES), seen.observed, folder.folder())
        finally:
            session.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(to))


def both(postgres: Conninfo, template: Conninfo, name: str, tmp_path: Path, *files: str) -> SecondPass:
    """Run both passes over some files."""
    for number, text in enumerate(files, 1):
        (tmp_path / f"{number:03d}_pending.sql").write_text(text, encoding="utf-8")
    folder = SqlFolder(tmp_path)
    found = first_pass(postgres, template, name, folder)
    return second_pass(postgres, template, name, folder, found, login=None, free_bytes=lambda: PLENTY)


@pytest.mark.parametrize(
    ("script", "behind"),
    [
        pytest.param("ALTER TABLE pier ADD COLUMN depth int", ("readers", "writers"), id="ACCESS EXCLUSIVE"),
        pytest.param("CREATE INDEX ON pier (length)", ("writers",), id="SHARE"),
        pytest.param(
            "ALTER TABLE crane ADD FOREIGN KEY (pier) REFERENCES pier NOT VALID", ("writers",), id="SHARE ROW EXCLUSIVE"
        ),
        pytest.param("DO $$ BEGIN EXECUTE 'TRUNCATE crane'; END $$", ("readers", "writers"), id="in a DO block"),
        pytest.param("SET lock_timeout = '3s';\nDROP TABLE crane", ("readers", "writers"), id="lock_timeout of 3 s"),
    ],
)
def test_others_queue_behind_a_statement_that_waits(
    postgres: Conninfo, template: Conninfo, name: str, tmp_path: Path, script: str, behind: tuple[str, ...]
) -> None:
    """Those wait who conflict with the lock that is asked for, although nobody holds it yet; it takes a moment."""
    done = both(postgres, template, name, tmp_path, script)
    assert [Queue(waited=True, behind=behind)] == list(done.shown.values())
    assert 0 < done.duration_ms < 1000 * LIMIT_S


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("CREATE INDEX CONCURRENTLY ON pier (length)", id="CONCURRENTLY"),
        pytest.param("ALTER TABLE pier SET (fillfactor = 80)", id="SHARE UPDATE EXCLUSIVE"),
        pytest.param("SET lock_timeout = '900ms';\nALTER TABLE pier ADD COLUMN depth int", id="a short lock_timeout"),
        pytest.param("CREATE TABLE buoy (id int); ALTER TABLE buoy ADD COLUMN depth int", id="a new table"),
        pytest.param("UPDATE pier SET length = 7", id="rows"),
    ],
)
def test_what_nobody_would_queue_behind_needs_no_second_pass(
    postgres: Conninfo, template: Conninfo, name: str, tmp_path: Path, script: str
) -> None:
    """No copy is made for it."""
    assert SecondPass() == both(postgres, template, name, tmp_path, script)


def test_one_pass_shows_every_statement(postgres: Conninfo, template: Conninfo, name: str, tmp_path: Path) -> None:
    """Several files and statements are shown one after another, those between them run as they are."""
    done = both(
        postgres, template, name, tmp_path,
        "ALTER TABLE pier ADD COLUMN depth int;\nUPDATE pier SET depth = 1;\nCREATE INDEX ON crane (pier);",
        "BEGIN;\nLOCK TABLE crane IN SHARE MODE;\nDROP TABLE crane;\nCOMMIT;",
    )  # fmt: skip
    assert {
        ("001_pending.sql", 1): ("readers", "writers"),
        ("001_pending.sql", 3): ("writers",),
        ("002_pending.sql", 2): ("writers",),
        ("002_pending.sql", 3): ("readers", "writers"),
    } == {place: queue.behind for place, queue in done.shown.items()}


def test_a_statement_that_does_not_wait_makes_nobody_queue(
    postgres: Conninfo, template: Conninfo, name: str, tmp_path: Path
) -> None:
    """NOWAIT fails at once where the table is in use."""
    done = both(postgres, template, name, tmp_path, "BEGIN;\nLOCK TABLE pier IN ACCESS EXCLUSIVE MODE NOWAIT;\nCOMMIT;")
    assert {("001_pending.sql", 2): Queue()} == done.shown


def test_nobody_writes_a_materialized_view(postgres: Conninfo, template: Conninfo, name: str, tmp_path: Path) -> None:
    """REFRESH CONCURRENTLY waits for writers alone, and there are none."""
    done = both(postgres, template, name, tmp_path, "REFRESH MATERIALIZED VIEW CONCURRENTLY load")
    assert [Queue()] == list(done.shown.values())


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param("PERFORM 1 / 0", "division by zero", id="fails before it waits"),
        pytest.param("PERFORM pg_sleep(60)", "had not come to wait", id="takes too long before it waits"),
    ],
)
def test_a_statement_that_does_not_come_to_wait_shows_nothing(
    postgres: Conninfo, template: Conninfo, name: str, tmp_path: Path, script: str, reason: str
) -> None:
    """It is told from its lock, as if there had been no second pass."""
    (tmp_path / "001_pending.sql").write_text(f"DO $$ BEGIN {script}; DROP TABLE pier; END $$", encoding="utf-8")
    found = (Queuer(Location("001_pending.sql", 1, ""), {PIER: AX}, 0, 1000),)
    done = second_pass(postgres, template, name, SqlFolder(tmp_path), found, login=None, free_bytes=lambda: PLENTY)
    (queue,) = done.shown.values()
    assert not queue.waited
    assert reason in queue.reason


def test_the_pass_is_short_whatever_the_migration_does(
    postgres: Conninfo, template: Conninfo, name: str, tmp_path: Path
) -> None:
    """What a long statement comes before is not shown; nothing behind the last statement to be shown is run."""
    (tmp_path / "001_pending.sql").write_text(
        "ALTER TABLE pier ADD COLUMN depth int;\nSELECT pg_sleep(60);\nDROP TABLE pier;\n", encoding="utf-8"
    )
    folder = SqlFolder(tmp_path)
    found = tuple(Queuer(Location("001_pending.sql", line, ""), {PIER: AX}, 0, 1000) for line in (1, 3))
    began = time.monotonic()
    done = second_pass(postgres, template, name, folder, found, login=None, free_bytes=lambda: PLENTY)
    assert {("001_pending.sql", 1): Queue(waited=True, behind=("readers", "writers"))} == done.shown
    assert time.monotonic() - began < LIMIT_S + 5
    again = second_pass(postgres, template, name, folder, found[:1], login=None, free_bytes=lambda: PLENTY)
    assert done.shown == again.shown
    assert again.duration_ms < 1000 * LIMIT_S


def test_no_room_for_one_more_copy(postgres: Conninfo, template: Conninfo, name: str, tmp_path: Path) -> None:
    """The pass is left out, and that is told."""
    found = (Queuer(Location("001_pending.sql", 1, ""), {PIER: AX}, 0, 1000),)
    done = second_pass(postgres, template, name, SqlFolder(tmp_path), found, login=None, free_bytes=lambda: 1)
    assert SecondPass(left_out="The second pass was left out: there is no room for one more copy.") == done


def test_tables_that_cannot_be_held_open_are_told(
    postgres: Conninfo, template: Conninfo, name: str, tmp_path: Path
) -> None:
    """A statement whose table is not there by then is not shown, with the reason."""
    (tmp_path / "001_pending.sql").write_text("SELECT 1;\nSELECT 2;\n", encoding="utf-8")
    found = (Queuer(Location("001_pending.sql", 1, ""), {"public.gone": AX}, 0, 1000),)
    done = second_pass(postgres, template, name, SqlFolder(tmp_path), found, login=None, free_bytes=lambda: PLENTY)
    (queue,) = done.shown.values()
    assert not queue.waited
    assert "its tables could not be held open" in queue.reason


@pytest.fixture
def deployer(postgres: Conninfo, template: Conninfo) -> Iterator[Conninfo]:
    """Make the role that deploys, with the setting that the remedy gives it."""
    role = f"deployer_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(**postgres.parameters(), autocommit=True) as session:
        session.execute(sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD 'x'").format(sql.Identifier(role)))
        session.execute(sql.SQL("ALTER ROLE {} SET lock_timeout = '1000ms'").format(sql.Identifier(role)))
        yield Conninfo(template.host, template.port, role, template.dbname, "x", template.options)
        session.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_the_remedies_of_a_queue(
    postgres: Conninfo, template: Conninfo, name: str, tmp_path: Path, deployer: Conninfo
) -> None:
    """A role's setting, or the options of a URL, end the wait; nothing is left to be told."""
    (tmp_path / "001_pending.sql").write_text("ALTER TABLE pier ADD COLUMN depth int;", encoding="utf-8")
    folder = SqlFolder(tmp_path)
    assert 1 == len(first_pass(postgres, template, name, folder))
    assert () == first_pass(postgres, template, name, folder, deployer)
    options = Conninfo(
        template.host, template.port, template.user, template.dbname, template.password,
        (*template.options, ("options", "-c lock_timeout=1000ms")),
    )  # fmt: skip
    assert () == first_pass(postgres, template, name, folder, options)


def test_concurrently_under_a_role_s_lock_timeout(template: Conninfo, deployer: Conninfo) -> None:
    """With SET lock_timeout = 0 before it an index waits for an open transaction; without, it is left invalid."""
    build = "CREATE INDEX CONCURRENTLY {} ON pier (length);\n"
    with psycopg.connect(**template.parameters()) as other, psycopg.connect(**template.parameters()) as look:
        other.execute("LOCK pier IN ROW EXCLUSIVE MODE")
        with psycopg.connect(**deployer.parameters(), autocommit=True) as session:
            with pytest.raises(psycopg.errors.LockNotAvailable):
                session.execute(build.format("pier_short"))
            session.execute("SET lock_timeout = 0")
            session.pgconn.send_query(build.format("pier_patient").encode())
            time.sleep(1.2)
            other.rollback()
            while session.pgconn.get_result() is not None:
                pass
            session.execute("RESET lock_timeout")
            assert ("1s",) == session.execute("SHOW lock_timeout").fetchone()
        valid = (
            "SELECT relname, indisvalid FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE relname ~ '^pier_'"
        )
        found = dict(look.execute(valid).fetchall())
        assert (False, True) == (found["pier_short"], found["pier_patient"])
