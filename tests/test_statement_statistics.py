"""pg_stat_statements: whether it can be had, switched on beside the target, and what it tells."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.probes import statement_statistics as statistics
from pytest_dryrun.probes import transactions

pytestmark = pytest.mark.live


@pytest.fixture
def beside(postgres: Conninfo) -> Iterator[statistics.Connection]:
    """Connect to a database beside the target, without the extension, dropped afterwards."""
    name = f"beside_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(**postgres.parameters(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        with connect(postgres.database(name)) as other:
            yield other
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def nobody(postgres: Conninfo) -> Iterator[str]:
    """Make a role without any right, dropped afterwards."""
    name = f"nobody_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(**postgres.parameters(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(sql.Identifier(name)))
        yield name
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_the_slowest_statements_of_one_database(beside, database):
    """Calls, times and rows of the target are told; other databases are not, and the target stays as it is."""
    assert statistics.available(beside) is None
    statistics.enable(beside, target=database.dbname)
    statistics.enable(beside, target=database.dbname)
    statistics.reset(beside, database.dbname)
    with connect(database) as connection:
        connection.execute("CREATE TABLE public.t AS SELECT generate_series(1, 10) AS n")
        for n in range(3):
            connection.execute(sql.SQL("SELECT n FROM public.t WHERE n > {}").format(sql.Literal(n)))
        connection.execute("SELECT pg_sleep(0.05)")
        extensions = connection.execute("SELECT extname FROM pg_extension").fetchall()
    beside.execute("SELECT pg_sleep(0.06)")
    found = statistics.top(beside, database.dbname, 20)
    assert ("plpgsql",) in extensions
    assert ("pg_stat_statements",) not in extensions
    assert found[0].query == "SELECT pg_sleep($1)"
    assert found[0].calls == 1
    assert 50 <= found[0].mean_ms == found[0].max_ms == found[0].total_ms
    (read,) = [item for item in found if item.query == "SELECT n FROM public.t WHERE n > $1"]
    assert (read.calls, read.rows) == (3, 27)
    assert read.total_ms == pytest.approx(3 * read.mean_ms)
    assert [item.total_ms for item in found] == sorted((item.total_ms for item in found), reverse=True)
    assert len(statistics.top(beside, database.dbname, 1)) == 1


def test_a_reset_forgets_one_database_only(beside, database):
    """The counters of another database are somebody else's."""
    statistics.enable(beside, target=database.dbname)
    with connect(database) as connection:
        connection.execute("SELECT 'mine'")
    beside.execute("SELECT 'theirs' AS theirs")
    statistics.reset(beside, database.dbname)
    assert statistics.top(beside, database.dbname, 9) == ()
    theirs = [item.query for item in statistics.top(beside, beside.info.dbname, 99)]
    assert "SELECT $1 AS theirs" in theirs


def test_the_target_itself_is_refused(database):
    """Creating the extension there would change the schema that is judged."""
    with connect(database) as connection:
        with pytest.raises(TargetUnusable, match="must not be created in 'test_"):
            statistics.enable(connection, target=database.dbname)
        row = connection.execute("SELECT FROM pg_extension WHERE extname = 'pg_stat_statements'").fetchone()
    assert row is None


def test_a_role_that_may_not_create_it_says_so(database, postgres, nobody):
    """Without the extension and without a superuser there are no statistics."""
    with connect(Conninfo(postgres.host, postgres.port, nobody, database.dbname, "x")) as connection:
        place = f"the extension pg_stat_statements is not in database {database.dbname!r}"
        assert f"{place}, and only a superuser may create it" == statistics.available(connection)
        with pytest.raises(TargetUnusable, match="cannot be enabled: permission denied"):
            statistics.enable(connection, target="another")


def test_a_role_that_may_not_read_others_says_so(beside, postgres, nobody):
    """Hidden statements are not the absence of slow ones."""
    statistics.enable(beside, target="another")
    with connect(Conninfo(postgres.host, postgres.port, nobody, beside.info.dbname, "x")) as connection:
        expected = f"role {nobody!r} may not read the statements of others (pg_read_all_stats)"
        assert expected == statistics.available(connection)
        assert statistics.available(connection, others=False) is None
        connection.execute("SELECT 'mine' AS mine")
        assert {"SELECT $1 AS mine"} == {
            item.query for item in statistics.top(connection, beside.info.dbname, 99) if "mine" in item.query
        }
        assert statistics.HIDDEN in {item.query for item in statistics.top(connection, beside.info.dbname, 99)}
        with pytest.raises(TargetUnusable, match="cannot be reset: permission denied"):
            statistics.reset(connection, beside.info.dbname)


def test_reading_without_the_extension_is_refused(beside):
    """It says what is missing and where."""
    with pytest.raises(TargetUnusable, match="The extension pg_stat_statements is not in database 'beside_"):
        statistics.top(beside, "postgres", 5)


def test_an_unknown_database_is_refused(beside):
    """A typo does not read as a server without slow statements."""
    statistics.enable(beside, target="another")
    with pytest.raises(TargetUnusable, match="Database 'no such' does not exist"):
        statistics.top(beside, "no such", 5)


def test_an_extension_elsewhere_and_of_an_older_version_is_read(beside, database):
    """Another schema and the columns before version 1.8 and 1.9 (an upgraded server keeps them) are understood."""
    beside.execute('CREATE SCHEMA "Tools"; CREATE EXTENSION pg_stat_statements WITH SCHEMA "Tools" VERSION \'1.7\'')
    statistics.reset(beside, database.dbname)
    with connect(database) as connection:
        connection.execute("SELECT pg_sleep(0.01)")
    found = statistics.top(beside, database.dbname, 1)
    assert found[0].query == "SELECT pg_sleep($1)"
    assert found[0].total_ms >= 10


def test_how_long_transactions_of_others_last(beside, database):
    """Their statements and open transactions tell it; what only the dry run sends, and utility, do not count."""
    assert transactions.longest_statement(beside, database.dbname).ms == 0
    statistics.enable(beside, target=database.dbname)
    statistics.reset(beside, database.dbname)
    with connect(database) as connection:
        connection.execute("DO $$ BEGIN PERFORM pg_sleep(0.3); END $$")
        connection.execute("SELECT pg_sleep(0.2), hashtextextended('a', 0) FROM generate_series(1, 2)")
        connection.execute("SELECT 1")
        assert transactions.longest_statement(beside, database.dbname).ms == 0
        connection.execute("  (SELECT count(*) FROM generate_series(1, 300000))")
        longest = transactions.longest_statement(beside, database.dbname)
        assert 5 < longest.ms < 5000
        assert longest.source == "the longest statement in pg_stat_statements"
        with psycopg.connect(**database.parameters()) as other:
            other.execute("SELECT 1")
            connection.execute("SELECT pg_sleep(%s)", (longest.ms / 1000,))
            seen = transactions.open_now(connection)
        assert longest.ms <= seen.ms
        assert (seen.ms, True, False) == (longest.or_longer(seen).ms, longest.or_longer(seen).known, seen.known)
        assert seen.source == "a transaction that was open while the run went on"
        assert transactions.open_now(connection).ms == 0


def test_a_server_is_asked_where_its_statistics_are(database, nobody):
    """Statistics in the target itself make it known; where nothing is counted, an open transaction is only seen."""
    with psycopg.connect(**database.parameters()) as other:
        other.execute("SELECT 1")
        assert transactions.of_server(database).known is False
        other.rollback()
        other.execute("CREATE EXTENSION pg_stat_statements")
        other.execute("SELECT count(*) FROM generate_series(1, 300000)")
        other.commit()
    found = transactions.of_server(database)
    assert (True, True) == (found.known, 5 < found.ms < 5000)
    stranger = Conninfo(database.host, database.port, nobody, database.dbname, "x", database.options)
    assert transactions.of_server(stranger).ms == 0


def test_what_one_role_has_sent(beside, database):
    """Its own statements, with parameters for values, and nobody else's."""
    statistics.enable(beside, target=database.dbname)
    statistics.reset(beside, database.dbname)
    with connect(database) as connection:
        connection.execute("CREATE TABLE public.sent (n int)")
        connection.execute("SELECT n FROM public.sent WHERE n = 7")
        connection.execute("SET ROLE pg_monitor")
        connection.execute("SELECT 'of another role'")
    found = statistics.sent(beside, database.dbname)
    assert "SELECT n FROM public.sent WHERE n = $1" in found
    assert "SELECT $1" not in found
