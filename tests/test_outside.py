# ruff: noqa: E501  (one case, one line)
"""Nobody outside feels a rehearsal: a second real server sees no row change and no connection, and each guard refuses."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from needs import require
from psycopg import sql
from scenes import rehearsed

from pytest_dryrun.migrations.sql_folder import SqlFolder
from pytest_dryrun.model.values import Severity
from pytest_dryrun.postgres import databases, disposable, outside
from pytest_dryrun.postgres.catalog.cluster import read_cluster
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.rehearsal.judge.outside import elsewhere, refused, swallowed
from pytest_dryrun.rehearsal.observe.recorder import Recorder
from pytest_dryrun.steps.watching import Watched, probeable, table_sizes, watch
from pytest_dryrun.workspace import Workspace

pytestmark = pytest.mark.live

ROWS = 20
FILLED = f"CREATE TABLE stock (id int PRIMARY KEY, v text); INSERT INTO stock SELECT g, 'x' FROM generate_series(1, {ROWS}) g; CREATE PUBLICATION everything FOR ALL TABLES;"
LINKED = """
CREATE SERVER warehouse FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '{port}', dbname 'postgres');
CREATE USER MAPPING FOR PUBLIC SERVER warehouse OPTIONS (user 'postgres', password '{password}');
CREATE FOREIGN TABLE stock (id int, v text) SERVER warehouse OPTIONS (schema_name 'public', table_name 'stock');
"""
OWN = """
CREATE TABLE visit (id int PRIMARY KEY, note text); INSERT INTO visit SELECT g, 'n' FROM generate_series(1, 50) g;
CREATE TABLE reading (id int, y int) PARTITION BY LIST (y);
CREATE TABLE reading_now PARTITION OF reading FOR VALUES IN (2026);
INSERT INTO reading SELECT g, 2026 FROM generate_series(1, 50) g;
"""


class Other:
    """A second server that writes down who connects."""

    def __init__(self, conninfo: Conninfo) -> None:
        self.conninfo = conninfo
        self._looks = 0
        execute(conninfo, FILLED)
        self._seen = self._connections()

    @property
    def libpq(self) -> str:
        """How dblink and subscriptions are led there."""
        return (
            f"host=127.0.0.1 port={self.conninfo.port} user=postgres password={self.conninfo.password} dbname=postgres"
        )

    def _connections(self) -> int:
        self._looks += 1
        with connect(self.conninfo) as connection:
            query = "SELECT regexp_count(pg_read_file('log/dryrun.log'), 'connection authorized')"
            if connection.info.server_version < 150000:
                query = (
                    "SELECT count(*) FROM regexp_matches(pg_read_file('log/dryrun.log'), 'connection authorized', 'g')"
                )
            return int(connection.execute(query).fetchall()[0][0]) - self._looks  # type: ignore[call-overload]

    def visitors(self) -> int:
        """How many connected since this was asked last, ourselves left out."""
        before, self._seen = self._seen, self._connections()
        return self._seen - before

    def rows(self) -> int:
        """How many rows are left there."""
        self._looks += 1
        with connect(self.conninfo) as connection:
            return int(connection.execute("SELECT count(*) FROM public.stock").fetchall()[0][0])


def execute(conninfo: Conninfo, text: str) -> None:
    """Run statements as somebody's session does."""
    with psycopg.connect(**conninfo.parameters(), autocommit=True) as connection:
        connection.execute(sql.SQL(text))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def other() -> Iterator[Other]:
    """The server that must feel nothing."""
    workspace = Workspace.create(f"tests-{uuid.uuid4().hex[:12]}")
    settings = {"log_connections": "on", "wal_level": "logical", "max_wal_senders": "4"}
    try:
        server = disposable.start("binaries", workspace=workspace, settings=settings)
        yield Other(server.conninfo)
        server.stop()
    finally:
        workspace.close()


@pytest.fixture
def linked(database: Conninfo, other: Other) -> Conninfo:
    """A database that knows the other server's address and password, a partition there included."""
    with connect(database) as connection:
        there = connection.execute("SELECT name FROM pg_available_extensions WHERE name IN ('dblink', 'postgres_fdw')")
        require(len(there.fetchall()) == 2, "the server has no dblink and postgres_fdw")
    link = LINKED.format(port=other.conninfo.port, password=other.conninfo.password)
    partition = "CREATE FOREIGN TABLE reading_old PARTITION OF reading FOR VALUES IN (2019) SERVER warehouse OPTIONS (table_name 'nothing')"
    execute(database, f"CREATE EXTENSION dblink; CREATE EXTENSION postgres_fdw; {link} {OWN} {partition}")
    return database


@pytest.fixture
def copy(linked: Conninfo, postgres: Conninfo) -> Iterator[Conninfo]:
    """A copy as rehearsals get it: of a closed template."""
    template = databases.copy(postgres, linked.dbname, f"{linked.dbname}_template")
    outside.close(template)
    yield databases.copy(postgres, template.dbname, f"{linked.dbname}_copy")
    for name in ("_copy", "_template"):
        databases.drop(postgres, linked.dbname + name)


def rehearse(copy: Conninfo, folder: Path, text: str) -> Watched:
    """Apply one file to a copy, watched."""
    (folder / "001_change.sql").write_text(text, encoding="utf-8")
    return watch(copy, copy, SqlFolder(folder), (), timeout_s=60)


REACHING = [
    pytest.param("CREATE TABLE seen AS SELECT count(*) AS n FROM stock;", 1, "foreign-data wrapper postgres_fdw", id="reads a foreign table"),
    pytest.param("SELECT 1;\nDELETE FROM stock WHERE id <= 10;", 2, "foreign-data wrapper postgres_fdw", id="writes to a foreign table"),
    pytest.param("INSERT INTO stock VALUES (21, 'y');", 1, "foreign-data wrapper postgres_fdw", id="inserts into a foreign table"),
    pytest.param("TRUNCATE stock;", 1, "foreign-data wrapper postgres_fdw", id="empties a foreign table"),
    pytest.param("IMPORT FOREIGN SCHEMA public FROM SERVER warehouse INTO public;", 1, "foreign-data wrapper postgres_fdw", id="imports a foreign schema"),
    pytest.param("SELECT count(*) FROM reading;", 1, "foreign-data wrapper postgres_fdw", id="reads through a foreign partition"),
    pytest.param("DO $$ BEGIN EXECUTE 'DEL' || 'ETE FROM stock'; END $$;", 1, "foreign-data wrapper postgres_fdw", id="text that is put together"),
    pytest.param("SELECT dblink_exec('{libpq}', 'DELETE FROM stock');", 1, "function dblink_exec", id="dblink with an address"),
    pytest.param("SELECT dblink_connect('a', 'warehouse');", 1, "function dblink_connect", id="dblink by a server's name"),
    pytest.param("DROP EXTENSION dblink;\nCREATE EXTENSION dblink;\nSELECT * FROM dblink('{libpq}', 'DELETE FROM stock RETURNING id') AS t (id int);", 3, "function dblink", id="an extension that the migration itself creates"),
    pytest.param("DROP EXTENSION postgres_fdw CASCADE;\nCREATE EXTENSION postgres_fdw;\n{link}\nDELETE FROM stock;", 6, "foreign-data wrapper postgres_fdw", id="a server that the migration itself creates"),
    pytest.param("ALTER FOREIGN DATA WRAPPER postgres_fdw NO HANDLER;", 1, "ALTER FOREIGN DATA WRAPPER", id="another handler"),
    pytest.param("CREATE SUBSCRIPTION theirs CONNECTION '{libpq}' PUBLICATION everything WITH (create_slot = false);", 1, "CREATE SUBSCRIPTION", id="a subscription"),
    pytest.param("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid();", 1, "function pg_terminate_backend", id="sessions of others"),
    pytest.param("SELECT pg_catalog.pg_reload_conf();", 1, "function pg_reload_conf", id="the server's configuration"),
    pytest.param("SELECT lo_export(lo_from_bytea(0, 'x'), '/tmp/exported');", 1, "function lo_export", id="a file of the server"),
    pytest.param("SELECT pg_create_logical_replication_slot('kept', 'pgoutput');", 1, "function pg_create_logical_replication_slot", id="a replication slot"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "what"), REACHING)
def test_what_reaches_outside_is_refused_before_anybody_feels_it(copy, other, tmp_path, text, line, what):
    """The finding names the statement and what it wanted; the other server has all its rows and no visitor."""
    link = LINKED.format(port=other.conninfo.port, password=other.conninfo.password)
    other.visitors()
    watched = rehearse(copy, tmp_path, text.replace("{libpq}", other.libpq).replace("{link}", link.strip()))
    assert watched.error is not None
    found = refused(watched.error)
    assert found is not None, watched.error
    assert ("reaches-outside", Severity.BLOCKER, "001_change.sql", line, what) == (found.rule, found.severity, found.migration, found.line, found.object)  # fmt: skip
    assert f"001_change.sql:{line}: {what} reaches outside the database. The copy refused it" in found.message
    assert other.conninfo.password not in found.message
    assert () == swallowed(watched.observed, watched.error)
    assert (ROWS, 0) == (other.rows(), other.visitors())


def test_the_same_is_felt_where_nothing_is_closed(linked, other):
    """So the guards are what keeps the copy's statements away."""
    other.visitors()
    execute(linked, "SELECT count(*) FROM stock")
    execute(linked, f"SELECT dblink_connect('{other.libpq}')")
    assert 2 == other.visitors()


def test_an_error_that_the_migration_catches_is_told(copy, other, tmp_path):
    """The rehearsal went on as the target would not."""
    text = "SELECT 1;\nDO $$ BEGIN DELETE FROM stock; EXCEPTION WHEN OTHERS THEN NULL; END $$;\nALTER TABLE visit ADD x int;"
    other.visitors()
    watched = rehearse(copy, tmp_path, text)
    assert watched.error is None
    (found,) = swallowed(watched.observed, None)
    assert ("reaches-outside", "001_change.sql", 2) == (found.rule, found.migration, found.line)
    assert "Where the migration caught that error and went on" in found.message
    assert (ROWS, 0) == (other.rows(), other.visitors())


def test_another_program_that_reaches_outside_is_heard(copy, other):
    """Nobody stepped through its files, so the finding has no line."""
    other.visitors()
    with Recorder(copy) as recorder:
        recorder.install()
        with pytest.raises(psycopg.Error) as error:
            execute(copy, "DELETE FROM stock")
        recorder.remove()
        (found,) = swallowed(recorder.observed(), None)
    assert outside.REFUSED == error.value.sqlstate
    assert ("reaches-outside", "foreign-data wrapper postgres_fdw", None) == (found.rule, found.object, found.line)
    assert 0 == other.visitors()


SAFE = [
    pytest.param("ALTER TABLE visit ADD COLUMN at date;", id="a column"),
    pytest.param("UPDATE visit SET note = 'm'; DELETE FROM reading_now WHERE id > 40;", id="rows of its own"),
    pytest.param("CREATE FOREIGN TABLE more (id int) SERVER warehouse; ALTER FOREIGN TABLE stock ADD COLUMN w int;", id="a foreign table, not read"),
    pytest.param("CREATE SERVER second FOREIGN DATA WRAPPER postgres_fdw; CREATE USER MAPPING FOR CURRENT_USER SERVER second;", id="a server, not used"),
    pytest.param("ALTER SERVER warehouse OPTIONS (SET port '1'); DROP FOREIGN TABLE stock;", id="a server changed"),
    pytest.param("CREATE VIEW in_stock AS SELECT * FROM stock;", id="a view of a foreign table"),
    pytest.param("NOTIFY news, 'x'; SELECT pg_notify('news', 'y');", id="a notification"),
    pytest.param("SELECT dblink_build_sql_delete('visit', '1', 1, ARRAY['1']);", id="a function of dblink that stays here"),
    pytest.param("SELECT lo_from_bytea(0, 'x');", id="a large object"),
]  # fmt: skip


@pytest.mark.parametrize("text", SAFE)
def test_what_stays_in_the_database_passes(copy, other, tmp_path, text):
    """The copy works as the target does."""
    other.visitors()
    watched = rehearse(copy, tmp_path, text)
    assert watched.error is None, watched.error
    assert ((), 0) == (swallowed(watched.observed, None), other.visitors())


def test_other_failures_keep_their_own_finding(copy, tmp_path):
    """A migration that fails by itself has not reached for anything."""
    error = rehearse(copy, tmp_path, "SELECT 1 / 0;").error
    assert error is not None
    assert refused(error) is None


def test_statistics_and_probes_leave_foreign_partitions_alone(copy, other):
    """ANALYZE of the parent would sample the other server, a probe of it would connect."""
    other.visitors()
    with connect(copy) as connection:
        outside.analyze(connection)
        rows = connection.execute("SELECT relname FROM pg_class WHERE reltuples = 50 ORDER BY 1").fetchall()
        probed = probeable(table_sizes(connection), connection)
    assert [("reading_now",), ("visit",)] == rows[:2]
    assert {"public.visit", "public.reading_now"} == set(probed)
    assert 0 == other.visitors()


def test_subscriptions_go_without_a_word_to_the_publisher(database, postgres, other):
    """The restored copy can be dropped, and the publisher keeps its slot."""
    made = f"CREATE SUBSCRIPTION theirs CONNECTION '{other.libpq}' PUBLICATION everything WITH (connect = false, slot_name = 'kept')"
    execute(database, made)
    other.visitors()
    with pytest.raises(psycopg.errors.ObjectInUse):
        databases.drop(postgres, database.dbname)
    outside.close(database)
    with connect(database) as connection:
        assert [] == connection.execute("SELECT subname FROM pg_subscription").fetchall()
    assert 0 == other.visitors()
    databases.drop(postgres, database.dbname)
    execute(postgres, f'CREATE DATABASE "{database.dbname}"')  # which the fixture drops


def test_functions_of_the_server_refuse_on_the_newest_too(newest_database):
    """Whatever an overloaded one is given; ours still ends sessions there."""
    outside.close(newest_database)
    outside.close(newest_database)
    calls = ["pg_terminate_backend(1)", "pg_terminate_backend(1, 5)", "pg_cancel_backend(1)", "lo_import('/etc/hosts')", "lo_import('/etc/hosts', 7)", "pg_promote()", "pg_switch_wal()", "pg_backup_start('x')", "pg_stat_reset_shared()", "pg_replication_origin_create('o')", "pg_drop_replication_slot('s')"]  # fmt: skip
    for call in calls:
        with pytest.raises(psycopg.Error, match=r"function \w+ reaches outside the database") as refusal:
            execute(newest_database, f"SELECT {call}")
        assert outside.REFUSED == refusal.value.sqlstate, call
    with connect(newest_database) as ours, connect(newest_database) as probe:
        assert 1 == outside.terminate(ours, [probe.info.backend_pid])


def test_other_databases_of_the_server_are_looked_at(postgres):
    """What nothing could refuse is seen afterwards, and the copy's own settings are another judge's."""
    other_one = f"test_{uuid.uuid4().hex[:12]}"
    execute(postgres, f"CREATE DATABASE {other_one}")
    with rehearsed(postgres, "CREATE TABLE t (id int)", "ALTER TABLE t ADD x int") as scene:
        before = read_cluster(scene.copy)
        execute(postgres, f"ALTER DATABASE {scene.copy.info.dbname} CONNECTION LIMIT 9")
        assert () == elsewhere(scene, before, read_cluster(scene.copy))
        execute(postgres, f"ALTER DATABASE {other_one} CONNECTION LIMIT 9")
        (found,) = elsewhere(scene, before, read_cluster(scene.copy))
        execute(postgres, f"DROP DATABASE {other_one}")
        (gone,) = elsewhere(scene, before, read_cluster(scene.copy))
    assert ("reaches-outside", other_one) == (found.rule, found.object)
    assert f"the database {other_one} is changed on the whole server" in found.message
    assert "is removed" in gone.message


def test_a_copy_that_cannot_be_closed_is_not_used(database):
    """Whoever may not change its catalog hears why nothing was run."""
    name = f"plain_{uuid.uuid4().hex[:8]}"
    execute(database, f"CREATE ROLE {name} LOGIN PASSWORD 'p'")
    try:
        with pytest.raises(outside.TargetUnusable, match="could not be kept from reaching other servers"):
            outside.close(Conninfo(database.host, database.port, name, database.dbname, "p"))
    finally:
        execute(database, f"DROP ROLE {name}")
