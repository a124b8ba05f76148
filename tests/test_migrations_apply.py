"""Applying on a real server: what is recorded, what is watched, what is told when a script fails."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pytest_dryrun.hosts import Completed
from pytest_dryrun.migrations import Deployment
from pytest_dryrun.migrations import migrating as session_module
from pytest_dryrun.migrations.command import CommandMigrations
from pytest_dryrun.migrations.prisma import ADVISORY_LOCK, PrismaMigrations
from pytest_dryrun.migrations.sql_folder import SqlFolder
from pytest_dryrun.model.errors import CommandFailed, ConfigurationError, MigrationFailed, TargetUnusable
from pytest_dryrun.model.scripts import Statement
from pytest_dryrun.postgres.connection import Conninfo, connect

pytestmark = pytest.mark.live
WHOLE, EACH = "7.3.0", "7.4.0"


class Watcher:
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.alone: list[str] = []

    def connected(self, connection: psycopg.Connection[Any]) -> None:
        """Note the database."""
        self.events.append(("connected", connection.info.dbname))

    def follows(self, migration: str, statement: Statement) -> bool:
        """Look at each."""
        assert migration
        assert statement
        return False

    def before(self, migration: str, statement: Statement, *, alone: bool = False) -> None:
        """Note what begins, and what a transaction was begun for."""
        assert migration
        self.events.append(("before", statement.sql))
        if alone:
            self.alone.append(statement.sql)

    def after(self, migration: str, statement: Statement, duration_ms: float) -> None:
        """Note what ended."""
        assert migration
        assert duration_ms >= 0
        self.events.append(("after", statement.sql))

    def ended(self, migration: str) -> None:
        """Need nothing more."""
        assert migration

    @property
    def watched(self) -> list[str]:
        """The statements that began."""
        return [sql for event, sql in self.events if event == "before"]


def add(folder: Path, name: str, script: str) -> None:
    """Write one migration."""
    (folder / name).mkdir(parents=True)
    (folder / name / "migration.sql").write_text(script, newline="")


def prisma(folder: Path, version: str = WHOLE, **options: str) -> PrismaMigrations:
    """The folder as that version of Prisma sees it."""
    return PrismaMigrations(folder, version, folder, **options)


def query(database: Conninfo, text: str) -> list[tuple[Any, ...]]:
    """Ask the database something in a session of its own."""
    with psycopg.connect(**database.parameters(), autocommit=True) as connection:
        cursor = connection.execute(text)
        return cursor.fetchall() if cursor.description else []


def deploy(database: Conninfo, migrations: Any, timeout_s: float = 30, **options: Any) -> Deployment:
    """Deploy with a limit that no test needs."""
    result: Deployment = migrations.deploy(database, timeout_s=timeout_s, **options)
    return result


HISTORY = (
    "SELECT migration_name, finished_at IS NOT NULL, applied_steps_count, logs, rolled_back_at"
    " FROM public._prisma_migrations"
)


@pytest.mark.parametrize("version", [WHOLE, EACH])
@pytest.mark.parametrize("watched", [False, True], ids=["unwatched", "watched"])
def test_pending_migrations_are_applied_and_recorded(
    database: Conninfo,
    tmp_path: Path,
    version: str,
    watched: bool,  # noqa: FBT001
) -> None:
    """One row a migration, one step each, nothing in the logs; a second deploy has nothing to do."""
    add(tmp_path, "1_a", "-- comment\nCREATE TABLE a (id int);\nINSERT INTO a VALUES (1);\n")
    add(tmp_path, "2_b", "ALTER TABLE a ADD b int;")
    add(tmp_path, "3_c", "-- This is an empty migration.")
    migrations, watcher = prisma(tmp_path, version), Watcher() if watched else None
    assert ("1_a", "2_b") == deploy(database, migrations, through="2_b", observer=watcher).applied
    assert ("3_c",) == deploy(database, migrations).applied
    assert () == deploy(database, migrations).applied
    assert [(name, True, 1, None, None) for name in ("1_a", "2_b", "3_c")] == query(
        database, HISTORY + " ORDER BY started_at"
    )
    assert [(1, None)] == query(database, "SELECT * FROM public.a")
    if watcher:
        expected = ["CREATE TABLE a (id int)", "INSERT INTO a VALUES (1)", "ALTER TABLE a ADD b int"]
        assert expected == watcher.watched
        assert ("connected", database.dbname) == watcher.events[0]
        assert [text for sql in expected for text in (sql, sql)] == [sql for _, sql in watcher.events[1:]]


def test_a_whole_file_is_one_transaction_and_each_statement_is_its_own(database: Conninfo, tmp_path: Path) -> None:
    """Transaction ids tell: equal up to 7.3, watched or not; different from 7.4."""
    script = "CREATE TABLE {0} (x xid8);\n" + "INSERT INTO {0} VALUES (pg_current_xact_id());\n" * 2
    for number, (version, watcher, distinct) in enumerate(
        [(WHOLE, None, 1), (WHOLE, Watcher(), 1), (EACH, None, 2), (EACH, Watcher(), 2)]
    ):
        add(tmp_path, f"{number}_t", script.format(f"t{number}"))
        deploy(database, prisma(tmp_path, version), observer=watcher)
        assert [(distinct,)] == query(database, f"SELECT count(DISTINCT x::text) FROM t{number}")


@pytest.mark.parametrize("watched", [False, True], ids=["unwatched", "watched"])
def test_a_failure_names_statement_line_and_code(database: Conninfo, tmp_path: Path, watched: bool) -> None:  # noqa: FBT001
    """In a whole file everything is undone; the row stays open with its log, and the next deploy refuses."""
    add(tmp_path, "1_a", "CREATE TABLE a (id int);\n\nINSERT INTO a VALUES (1);\nINSERT INTO a SELECT 1/0;\nSELECT 1;")
    with pytest.raises(
        MigrationFailed, match=r"1_a failed in line 4: division by zero \(22012\): INSERT INTO a SELECT 1/0\."
    ) as caught:
        deploy(database, prisma(tmp_path), observer=Watcher() if watched else None)
    failure = caught.value
    assert ("1_a", 4, "22012", "INSERT INTO a SELECT 1/0") == (
        failure.migration,
        failure.line,
        failure.sqlstate,
        failure.statement,
    )
    assert "Postgres undid everything this migration had done." == failure.means
    assert isinstance(failure.__cause__, psycopg.errors.DivisionByZero)
    assert 3 == len(str(failure).splitlines())
    name, finished, steps, logs, rolled_back = query(database, HISTORY)[0]
    assert ("1_a", False, 0, None) == (name, finished, steps, rolled_back)
    assert "division by zero" in logs
    assert [(None,)] == query(database, "SELECT to_regclass('public.a')")
    with pytest.raises(TargetUnusable, match="1_a is recorded as failed or still running"):
        deploy(database, prisma(tmp_path))


def test_a_failing_statement_keeps_what_ran_before_it_from_7_4(database: Conninfo, tmp_path: Path) -> None:
    """Nothing is undone then, and the message says so."""
    add(tmp_path, "1_a", "CREATE TABLE a (id int);\nSELECT nonsense;")
    with pytest.raises(MigrationFailed, match=r'in line 2: column "nonsense" does not exist \(42703\)') as caught:
        deploy(database, prisma(tmp_path, EACH))
    assert "What it committed before it failed is still there." == caught.value.means
    assert [("a",)] == query(database, "SELECT to_regclass('public.a')::text")


@pytest.mark.parametrize("version", [WHOLE, EACH])
def test_a_syntax_error_is_found_by_its_position(database: Conninfo, tmp_path: Path, version: str) -> None:
    """The line is the file's, not the statement's."""
    add(tmp_path, "1_a", "SELECT 'ä';\n\nSELECT\n  FORM x y;\n")
    with pytest.raises(MigrationFailed, match=r"1_a failed in line 4: syntax error at or near .* \(42601\)"):
        deploy(database, prisma(tmp_path, version))


_COPY = "COPY ... FROM stdin reads the lines behind it. Only psql sends them; the server gets no rows"


@pytest.mark.parametrize("tool", [WHOLE, EACH, "sql"])
@pytest.mark.parametrize(
    ("script", "line", "said"),
    [
        ("SELECT '\\x';\n-- \\x\n\\set ON_ERROR_STOP on\nSELECT 1;", 3, r"\set is a command of psql"),
        ("SELECT 1 \\gset\n", 1, r"\gset is a command of psql"),
        ("CREATE TABLE a (i int, t text);\nCOPY a (i, t) FROM stdin;\n1\tit's\n2\tb\n\\.\nSELECT 1;", 2, _COPY),
        ("CREATE TABLE a (i int);\nCOPY a FROM STDIN;\n", 2, _COPY),
    ],
)
def test_what_only_psql_understands_is_called_that(
    database: Conninfo, tmp_path: Path, tool: str, script: str, line: int, said: str
) -> None:
    """A bare syntax error does not say that the file was written for another program."""
    add(tmp_path, "1_a", script)
    if tool == "sql":
        (tmp_path / "1_a" / "migration.sql").rename(tmp_path / "1_a.sql")
        (tmp_path / "1_a").rmdir()
    migrations = SqlFolder(tmp_path) if tool == "sql" else prisma(tmp_path, tool)
    with pytest.raises(MigrationFailed) as caught:
        deploy(database, migrations)
    assert f"failed in line {line}: {said}" in caught.value.what
    assert line == caught.value.line
    assert "tool = " in caught.value.next


@pytest.mark.parametrize("version", [WHOLE, EACH])
@pytest.mark.parametrize("watched", [False, True], ids=["unwatched", "watched"])
def test_a_transaction_left_open_is_a_failure(database: Conninfo, tmp_path: Path, version: str, watched: bool) -> None:  # noqa: FBT001
    """Nothing is claimed as applied, and what was done since BEGIN is gone."""
    add(tmp_path, "1_a", "SELECT 1;\nBEGIN;\nCREATE TABLE a (id int);")
    with pytest.raises(MigrationFailed, match="left a transaction open") as caught:
        deploy(database, prisma(tmp_path, version), observer=Watcher() if watched else None)
    assert 2 == caught.value.line
    assert [(None,)] == query(database, "SELECT to_regclass('public.a')")
    assert [(False, 0)] == [row[1:3] for row in query(database, HISTORY)]


def test_an_error_inside_its_own_transaction_is_told_and_logged(database: Conninfo, tmp_path: Path) -> None:
    """The cause is not hidden behind 25P02; what stood before BEGIN stays, and the message does not deny it."""
    add(tmp_path, "1_a", "CREATE TABLE a (id int);\nBEGIN;\nSELECT 1/0;\nCOMMIT;")
    with pytest.raises(MigrationFailed, match="division by zero") as caught:
        deploy(database, prisma(tmp_path))
    assert "What it committed before it failed is still there." == caught.value.means
    assert "division by zero" in query(database, HISTORY)[0][3]


@pytest.mark.parametrize("version", [WHOLE, EACH])
def test_a_script_past_the_limit_is_cancelled(database: Conninfo, tmp_path: Path, version: str) -> None:
    """pg_sleep is cancelled, even one that catches a cancellation or lifts the server's limit; the limit is named."""
    add(
        tmp_path,
        "1_a",
        "SET statement_timeout = 0;\n"
        "DO $$ BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN PERFORM pg_sleep(60); END $$;",
    )
    began = time.monotonic()
    with pytest.raises(MigrationFailed, match=r"ran past the time limit of 0\.5 s") as caught:
        deploy(database, prisma(tmp_path, version), timeout_s=0.5)
    assert 8 > time.monotonic() - began
    assert "57014" == caught.value.sqlstate
    assert [(False, 0)] == [row[1:3] for row in query(database, HISTORY)]


def test_the_servers_own_limits_stay(database: Conninfo, tmp_path: Path) -> None:
    """What a database sets for its sessions is part of what is tried."""
    query(database, f"ALTER DATABASE {database.dbname} SET statement_timeout = '200ms'")
    add(tmp_path, "1_a", "SELECT pg_sleep(20);")
    with pytest.raises(MigrationFailed, match="canceling statement due to statement timeout"):
        deploy(database, prisma(tmp_path))


def test_interrupting_leaves_no_query_behind(database: Conninfo, tmp_path: Path) -> None:
    """Ctrl-C reaches a script that waits inside the server, and the server stops it."""
    add(tmp_path, "1_a", "SELECT pg_sleep(61);")
    threading.Timer(1.0, signal.raise_signal, (signal.SIGINT,)).start()
    with pytest.raises(KeyboardInterrupt):
        deploy(database, prisma(tmp_path))
    assert [(0,)] == query(
        database, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(61)%' AND state = 'active'"
    )


def test_a_lost_session_is_told_and_recorded(database: Conninfo, tmp_path: Path) -> None:
    """When the server ends the session, the log is written over a new one."""
    add(tmp_path, "1_a", "SELECT pg_terminate_backend(pg_backend_pid());")
    with pytest.raises(MigrationFailed, match="terminating connection"):
        deploy(database, prisma(tmp_path))
    assert "terminating connection" in query(database, HISTORY)[0][3]


def test_copy_from_the_client_is_refused(database: Conninfo, tmp_path: Path) -> None:
    """A script that wants data from the client fails instead of hanging."""
    add(tmp_path, "1_a", "CREATE TABLE a (id int);\nCOPY a FROM stdin;")
    with pytest.raises(MigrationFailed, match=r"COPY \.\.\. FROM stdin reads the lines behind it"):
        deploy(database, prisma(tmp_path), timeout_s=5)
    assert [(None,)] == query(database, "SELECT to_regclass('public.a')")


EMPTIED = "CREATE TABLE public.b (id int);\nSELECT pg_catalog.set_config('search_path', '', false);\n"


MOVED = "CREATE SCHEMA own;\nSET search_path = own;\n"


@pytest.mark.parametrize("moved", [EMPTIED, MOVED], ids=["empty", "elsewhere"])
def test_where_prisma_loses_its_table_the_deployment_fails_as_its_own(database, tmp_path, moved) -> None:
    """P1014 behind the script: its work stays, its row has no end and no logs; what follows is not applied."""
    add(tmp_path, "1_a", moved)
    add(tmp_path, "2_b", "CREATE TABLE c (id int);")
    with pytest.raises(
        MigrationFailed, match=r"1_a leaves search_path at '.*no longer finds its own table .*P1014"
    ) as caught:
        deploy(database, prisma(tmp_path))
    assert (2, "1_a", "42P01") == (caught.value.line, caught.value.migration, caught.value.sqlstate)
    assert [("1_a", False, 0, None, None)] == query(database, HISTORY)
    with pytest.raises(TargetUnusable, match="1_a"):
        deploy(database, prisma(tmp_path))


def test_a_baseline_that_empties_search_path_can_be_built(database: Conninfo, tmp_path: Path) -> None:
    """Every dump-made baseline does it; in real life it was stamped."""
    add(tmp_path, "1_a", EMPTIED)
    done = deploy(database, prisma(tmp_path), through="1_a")
    assert ("1_a",) == done.applied
    assert "leaves search_path at ''" in done.warnings[0]
    assert [(True, 1)] == [row[1:3] for row in query(database, HISTORY)]


def test_another_search_path_that_still_leads_to_the_table_is_only_warned_of(
    database: Conninfo, tmp_path: Path
) -> None:
    """The CLI goes on, and what follows runs with it."""
    add(tmp_path, "1_a", "CREATE SCHEMA own;\nSET search_path = own, public;")
    add(tmp_path, "2_b", "CREATE TABLE b (id int);")
    done = deploy(database, prisma(tmp_path))
    assert ("1_a", "2_b") == done.applied
    assert "leaves search_path at 'own, public'" in done.warnings[0]
    assert [("own",)] == query(database, "SELECT schemaname::text FROM pg_tables WHERE tablename = 'b'")


def test_a_flood_of_notices_is_kept_short(database: Conninfo, tmp_path: Path) -> None:
    """The first fifty, each cut, and the number of the others; warnings are told apart."""
    add(
        tmp_path,
        "1_a",
        "DO $$ BEGIN RAISE WARNING 'careful';"
        " FOR i IN 1..2000 LOOP RAISE NOTICE '%', repeat('x', 2000); END LOOP; END $$;",
    )
    done = deploy(database, prisma(tmp_path))
    assert 51 == len(done.notices)
    assert "... and 1951 more notices" == done.notices[-1]
    assert 500 == max(map(len, done.notices))
    assert ("WARNING: careful",) == done.warnings


def test_concurrently_needs_its_own_file_up_to_7_3_only(database: Conninfo, tmp_path: Path) -> None:
    """With company it fails with 25001 whole, watched or not, and works per statement."""
    add(tmp_path, "1_a", "CREATE TABLE a (id int);")
    add(tmp_path, "2_b", "-- alone\nCREATE INDEX CONCURRENTLY i ON a (id);")
    add(tmp_path, "3_c", "SELECT 1;\nCREATE INDEX CONCURRENTLY j ON a (id);")
    assert ("1_a", "2_b") == deploy(database, prisma(tmp_path), through="2_b", observer=Watcher()).applied
    for watcher in (None, Watcher()):
        with pytest.raises(MigrationFailed, match=r"\(25001\)"):
            deploy(database, prisma(tmp_path), observer=watcher)
        query(database, "DELETE FROM _prisma_migrations WHERE migration_name = '3_c'")
    assert ("3_c",) == deploy(database, prisma(tmp_path, EACH)).applied


def test_deferred_constraints_fail_at_commit(database: Conninfo, tmp_path: Path) -> None:
    """A failure of our COMMIT is the migration's failure."""
    add(
        tmp_path, "1_a", "CREATE TABLE a (id int UNIQUE DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO a VALUES (1), (1);"
    )
    with pytest.raises(MigrationFailed, match=r"\(23505\)") as caught:
        deploy(database, prisma(tmp_path), observer=Watcher())
    assert "COMMIT" == caught.value.statement


def test_the_server_decides_about_a_cut(database: Conninfo) -> None:
    """Statements it takes neither two nor half of; tables that are not there yet do not matter."""
    with session_module.migrating_session(database, timeout_s=10) as session:
        assert session.parse_alone(["SELECT 1", "INSERT INTO absent VALUES (1)", "COMMIT", "CREATE TABLE x ()"])
        assert not session.parse_alone(["SELECT 1; SELECT 2"])
        assert not session.parse_alone(["SELECT 1", "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1"])
        assert session.parses("INSERT INTO absent VALUES (1)")
        assert not session.parses("SELECT 1; SELECT 2")
        assert session.idle


@pytest.mark.parametrize("version", [WHOLE, EACH])
def test_a_wrong_cut_is_sent_whole_and_named(
    database: Conninfo, tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cut that the server does not confirm is not used."""
    text = "CREATE TABLE a (id int);\nCREATE TABLE b (id int);"
    wrong = (
        Statement("CREATE TABLE a (id int)", 1, "CREATE TABLE"),
        Statement("CREATE TABLE b (id", 2, "CREATE TABLE"),
    )
    monkeypatch.setattr("pytest_dryrun.migrations.scripts.cut", lambda _sql: wrong)
    add(tmp_path, "1_a", text)
    watcher = Watcher()
    done = deploy(database, prisma(tmp_path, version), observer=watcher)
    assert ("1_a",) == done.applied
    assert "1_a: the server does not take the statements as they were cut" in done.warnings[0]
    assert ([text] if version == WHOLE else ["CREATE TABLE a (id int)", "CREATE TABLE b (id int);"]) == watcher.watched
    assert [("b",)] == query(database, "SELECT to_regclass('public.b')::text")


def test_two_deploys_exclude_each_other(database: Conninfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second gives up after a while, names who holds Prisma's lock, and has applied nothing."""
    monkeypatch.setattr(session_module, "LOCK_WAIT_S", 0.3)
    add(tmp_path, "1_a", "SELECT 1;")
    with psycopg.connect(**database.parameters(), application_name="prisma", autocommit=True) as other:
        other.execute(f"SELECT pg_advisory_lock({ADVISORY_LOCK})")
        pid = other.info.backend_pid
        with pytest.raises(
            TargetUnusable,
            match=rf"Backend {pid} \(prisma, user \w+, from \S+\) holds Prisma's migration lock",
        ):
            deploy(database, prisma(tmp_path))
        with connect(database) as connection:
            assert f"Backend {pid} (prisma" in prisma(tmp_path).status(connection).findings[0].message
    assert [(None,)] == query(database, "SELECT to_regclass('public._prisma_migrations')")
    assert ("1_a",) == deploy(database, prisma(tmp_path)).applied


def test_another_schema_is_created_and_used(database: Conninfo, tmp_path: Path) -> None:
    """Table and history live in the configured schema, however it is spelled."""
    add(tmp_path, "1_a", "CREATE TABLE a (id int);")
    migrations = prisma(tmp_path, schema='my "App"')
    deploy(database, migrations)
    assert [('my "App"',)] * 2 == query(
        database, "SELECT schemaname FROM pg_tables WHERE tablename IN ('a', '_prisma_migrations')"
    )
    with connect(database) as connection:
        assert ("1_a",) == migrations.status(connection).applied


def test_an_unknown_through_is_refused(database: Conninfo, tmp_path: Path) -> None:
    """A typo must not apply everything, or nothing."""
    add(tmp_path, "1_a", "SELECT 1;")
    with pytest.raises(ConfigurationError, match="no migration '1_b'"):
        deploy(database, prisma(tmp_path), through="1_b")


def files(folder: Path, **scripts: str) -> SqlFolder:
    """Write a folder of SQL files."""
    for name, script in scripts.items():
        (folder / f"{name}.sql").write_text(script)
    return SqlFolder(folder)


def test_sql_files_are_applied_each_in_one_transaction(database: Conninfo, tmp_path: Path) -> None:
    """A file and its history row stand and fall together."""
    folder = files(
        tmp_path,
        f1="CREATE TABLE a (x xid8); INSERT INTO a VALUES (pg_current_xact_id());",
        f2="CREATE TABLE b (); SELECT 1/0;",
    )
    (tmp_path / "notes.txt").write_text("no migration")
    watcher = Watcher()
    assert ("f1.sql",) == deploy(database, folder, through="f1.sql", observer=watcher).applied
    assert ["CREATE TABLE a (x xid8)", "INSERT INTO a VALUES (pg_current_xact_id())"] == watcher.watched
    for each in (None, watcher):
        with pytest.raises(MigrationFailed, match=r"f2\.sql failed.*22012") as caught:
            deploy(database, folder, observer=each)
        assert "SELECT 1/0" == caught.value.statement
    assert [("f1.sql", True, True)] == query(
        database, "SELECT name, applied_at IS NOT NULL, duration_ms >= 0 FROM dryrun_migrations"
    )
    assert [(None,)] == query(database, "SELECT to_regclass('public.b')")
    assert [(True,)] == query(database, "SELECT a.x::xid::text = m.xmin::text FROM a, dryrun_migrations m")


def test_sql_files_that_refuse_a_transaction_are_sent_statement_by_statement(
    database: Conninfo, tmp_path: Path
) -> None:
    """As psql sends them; one that fails half way stays in the history as failed and stops the next deploy."""
    folder = files(
        tmp_path,
        f1="CREATE TABLE a (id int);",
        f2="SET lock_timeout = '1s';\nCREATE INDEX CONCURRENTLY i ON a (id);",
        f3="BEGIN;\nCREATE TABLE b ();\nCOMMIT;\nSELECT 1/0;",
    )
    with pytest.raises(MigrationFailed, match=r"f3\.sql failed in line 4") as caught:
        deploy(database, folder)
    assert "What it committed before it failed is still there." == caught.value.means
    with connect(database) as connection:
        status = folder.status(connection)
    assert (("f1.sql", "f2.sql"), "f2.sql", ()) == (status.applied, status.current, status.pending)
    assert ["failed-migration"] == [finding.rule for finding in status.findings]
    with pytest.raises(TargetUnusable, match=r"f3\.sql began and never finished"):
        deploy(database, folder)


def test_sql_files_know_the_same_states(database: Conninfo, tmp_path: Path) -> None:
    """Pending, edited, missing and out of order."""
    folder = files(tmp_path, f2="SELECT 2;", f3="SELECT 3;", f4="SELECT 4;")
    with connect(database) as connection:
        assert (3, ()) == (len(folder.status(connection).pending), folder.status(connection).findings)
    deploy(database, folder)
    files(tmp_path, f1="SELECT 1;", f3="SELECT 33;", f5="SELECT 5;")
    (tmp_path / "f2.sql").unlink()
    with connect(database) as connection:
        status = folder.status(connection)
    assert ["f1.sql", "f5.sql"] == [each.name for each in status.pending]
    expected = [("missing-migration", "f2.sql"), ("edited-migration", "f3.sql"), ("drift", "f1.sql")]
    assert expected == [(finding.rule, finding.migration) for finding in status.findings]


class ScriptedHost:
    """A host whose command is a Python function; the real ones are tested where they live."""

    name = "this machine"

    def __init__(self, run: Any) -> None:
        self._run = run

    def run(self, argv: Any, *, timeout_s: float, env: Any = None, cwd: str | None = None) -> Completed:
        """Call the function with what the command would see."""
        assert timeout_s > 0
        status, output = self._run(env, cwd)
        return Completed(tuple(argv), status, output, "", 1.0)


def test_a_command_is_believed_by_the_history_alone(database: Conninfo, tmp_path: Path) -> None:
    """It gets DATABASE_URL and its folder; what it applied is the difference of the history."""
    add(tmp_path, "1_a", "SELECT 1;")
    inner = prisma(tmp_path)

    def run(env: dict[str, str], cwd: str) -> tuple[int, str]:
        assert str(tmp_path) == cwd
        assert "postgresql://there" == env["DATABASE_URL"]
        inner.deploy(database, timeout_s=10)
        return 0, f"connected to {env['DATABASE_URL']} as {database.password}, applied 1_a and 9_z\n"

    wrapped = CommandMigrations(inner, ["npx", "prisma"], ScriptedHost(run), str(tmp_path), url="postgresql://there")  # type: ignore[arg-type]
    done = deploy(database, wrapped)
    assert ("1_a",) == done.applied
    assert "applied 1_a" in done.output
    assert database.password not in done.output


def test_a_failing_command_is_a_failed_migration(database: Conninfo, tmp_path: Path) -> None:
    """Its last output is shown without the password; a command that never ended is one too."""
    add(tmp_path, "1_a", "SELECT 1;")

    def run(env: dict[str, str], _cwd: str) -> tuple[int, str]:
        return 3, f"P3018 at {env['DATABASE_URL']}"

    with pytest.raises(
        MigrationFailed, match=r"'npx prisma' ended with status 3[\s\S]*0 migrations[\s\S]*P3018"
    ) as caught:
        deploy(database, CommandMigrations(prisma(tmp_path), ["npx", "prisma"], ScriptedHost(run), "/"))  # type: ignore[arg-type]
    assert database.password not in str(caught.value)

    def hang(_env: dict[str, str], _cwd: str) -> tuple[int, str]:
        raise CommandFailed("npx did not end within 5 s.", "It was killed.", "Look at it.")

    with pytest.raises(MigrationFailed, match="did not end within 5 s"):
        deploy(database, CommandMigrations(prisma(tmp_path), ["npx"], ScriptedHost(hang), "/"))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="cannot stop at '1_a'"):
        deploy(database, CommandMigrations(prisma(tmp_path), ["npx"], ScriptedHost(hang), "/"), through="1_a")  # type: ignore[arg-type]
