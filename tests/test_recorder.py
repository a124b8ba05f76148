"""The recorder on a real server: what each kind of statement is reported to have done."""

from __future__ import annotations

import time
from collections.abc import Sequence

import psycopg
import pytest

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.model.scripts import Statement
from pytest_dryrun.model.values import Lock, Scan
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.rehearsal.observe import event_triggers
from pytest_dryrun.rehearsal.observe.observation import Observed
from pytest_dryrun.rehearsal.observe.recorder import Recorder
from pytest_dryrun.rehearsal.observe.server_log import ServerLog, SessionNotices

pytestmark = pytest.mark.live

ROWS = 2_000
USER = 'public."User"'
SCHEMA = f"""
CREATE TABLE "User" (id int PRIMARY KEY, age int, email varchar(50), "created at" timestamptz DEFAULT now());
CREATE TABLE post (id int PRIMARY KEY, author int);
CREATE INDEX age_idx ON "User" (age);
CREATE VIEW grown AS SELECT id FROM "User" WHERE age > 18;
INSERT INTO "User" SELECT g, g FROM generate_series(1, {ROWS}) g;
INSERT INTO post SELECT g, g FROM generate_series(1, {ROWS}) g;
"""


def execute(database: Conninfo, script: str) -> list[tuple[object, ...]]:
    """Run a script in a session of its own."""
    with psycopg.connect(**database.parameters(), autocommit=True) as connection:
        cursor = connection.execute(script)
        return cursor.fetchall() if cursor.description else []


def rehearse(database: Conninfo, *statements: str) -> tuple[Observed, ...]:
    """Step through the statements as a deploy would, failing ones included."""
    execute(database, SCHEMA)
    with Recorder(database) as recorder:
        recorder.install()
        step(database, recorder, statements)
        observed = recorder.observed()
        assert () == recorder.trouble
        return observed


def step(database: Conninfo, recorder: Recorder, statements: Sequence[str]) -> None:
    """Run statements in one session, observed."""
    with psycopg.connect(**database.parameters(), autocommit=True) as session:
        recorder.connected(session)
        for line, text in enumerate(statements, 1):
            statement = Statement(text, line, "")
            recorder.before("m", statement)
            start = time.monotonic()
            try:
                session.execute(text)
            except psycopg.Error:
                pass
            finally:
                recorder.after("m", statement, (time.monotonic() - start) * 1000)


def modes(observed: Observed) -> dict[str, str]:
    """Map each relation to its strongest lock."""
    return {lock.relation: lock.mode for lock in observed.run.locks}


def test_index_build_shows_lock_scan_and_table(database: Conninfo) -> None:
    """A plain CREATE INDEX holds SHARE on its table and reads every row of it."""
    (one,) = rehearse(database, 'CREATE INDEX e ON "User" (email)')
    assert (Lock(USER, "ShareLock"),) == one.run.locks
    assert (Scan(USER, ROWS),) == one.run.scanned
    assert {"public.e": USER} == one.commands[0].indexed


def test_concurrent_index_commands_work_and_lock_little(database: Conninfo) -> None:
    """Neither CREATE nor DROP INDEX CONCURRENTLY is disturbed, and neither is said to stop anybody."""
    built, dropped = rehearse(
        database, 'CREATE INDEX CONCURRENTLY e ON "User" (email)', "DROP INDEX CONCURRENTLY age_idx"
    )
    assert "ShareUpdateExclusiveLock" == modes(built)[USER]
    assert "AccessExclusiveLock" not in modes(dropped).values()
    assert {"public.age_idx": USER} == dropped.commands[0].unindexed
    assert [("e",)] == execute(
        database,
        "SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = indexrelid "
        "WHERE indisvalid AND relname IN ('e', 'age_idx')",
    )


def test_dropped_index_keeps_its_strongest_lock(database: Conninfo) -> None:
    """DROP INDEX locks its table hard, though the index's own name is gone when the locks are read."""
    (one,) = rehearse(database, "DROP INDEX age_idx")
    assert "AccessExclusiveLock" == modes(one)[USER]
    assert ("index public.age_idx",) == one.run.dropped


def test_rewrite_is_told_with_its_reason(database: Conninfo) -> None:
    """A type change names the table that was written anew and why."""
    _, one = rehearse(database, "DROP VIEW grown", 'ALTER TABLE "User" ALTER id TYPE bigint')
    assert (f"{USER}: a column's type changed and every value must be converted",) == one.run.rewrites
    assert "AccessExclusiveLock" == modes(one)[USER]


def test_do_block_is_seen_through(database: Conninfo) -> None:
    """Every command inside a DO block, dynamic SQL included, is reported for the block."""
    (one,) = rehearse(
        database,
        """DO $$ BEGIN EXECUTE 'ALTER TABLE "User" ADD r float DEFAULT random()';
        CREATE INDEX r ON "User" (r); END $$""",
    )
    assert ["ALTER TABLE", "CREATE INDEX"] == [command.tag for command in one.commands]
    assert [USER] == [rewrite.relation for rewrite in one.rewrites]
    assert "AccessExclusiveLock" == modes(one)[USER]


def test_function_executing_ddl_is_seen_through(database: Conninfo) -> None:
    """DDL inside a function called by a SELECT is reported, cascades included."""
    observed = rehearse(
        database,
        """CREATE FUNCTION tidy() RETURNS int LANGUAGE plpgsql AS 'BEGIN DROP TABLE "User" CASCADE; RETURN 1; END'""",
        "SELECT tidy()",
    )
    assert {f"table {USER}", "view public.grown"} <= set(observed[1].run.dropped)
    assert "AccessExclusiveLock" == modes(observed[1])[USER]


def test_several_statements_in_one_message(database: Conninfo) -> None:
    """A file sent whole reports each of its commands, and the locks pile up until its end."""
    (one,) = rehearse(
        database, 'ALTER TABLE "User" ADD a int; CREATE TABLE n (id int); CREATE INDEX p ON post (author)'
    )
    assert ["ALTER TABLE", "CREATE TABLE", "CREATE INDEX"] == [command.tag for command in one.commands]
    assert {USER: "AccessExclusiveLock", "public.post": "ShareLock"}.items() <= modes(one).items()


def test_rolled_back_migration_is_still_told(database: Conninfo) -> None:
    """What a failed transaction did before it failed survives the rollback."""
    observed = rehearse(database, 'ALTER TABLE "User" ADD a float DEFAULT random(); SELECT 1/0')
    assert [USER] == [rewrite.relation for rewrite in observed[0].rewrites]
    assert [] == execute(database, "SELECT 1 FROM pg_attribute WHERE attrelid = '\"User\"'::regclass AND attname = 'a'")


def test_locks_of_an_open_transaction_are_carried(database: Conninfo) -> None:
    """Later statements of a transaction hold what earlier ones took, but only the first one acquired it."""
    _, alter, update, lock, commit = rehearse(
        database, "BEGIN", 'ALTER TABLE "User" ADD a int', 'UPDATE "User" SET a = 1', "LOCK TABLE post", "COMMIT"
    )
    assert [USER] == [held.relation for held in alter.acquired]
    assert () == update.acquired
    assert "AccessExclusiveLock" == modes(update)[USER]
    assert [("public.post", "AccessExclusiveLock", True)] == [(h.relation, h.mode, h.observed) for h in lock.acquired]
    assert alter.transaction == update.transaction == commit.transaction


def test_commands_without_events_are_told_from_their_words(database: Conninfo) -> None:
    """TRUNCATE, DML and VACUUM FULL commit before anybody can look; their words say the lock, and say so."""
    observed = rehearse(
        database, "TRUNCATE post", 'UPDATE "User" SET age = 1', 'VACUUM FULL "User"', "REINDEX INDEX age_idx"
    )
    truncate, update, vacuum, reindex = observed
    assert [("public.post", "AccessExclusiveLock", False)] == [
        (h.relation, h.mode, h.observed) for h in truncate.acquired
    ]
    assert {USER: "RowExclusiveLock"} == modes(update)
    assert (f"{USER}: VACUUM writes the table anew",) == vacuum.run.rewrites
    assert {USER: "ShareLock", "public.age_idx": "AccessExclusiveLock"} == modes(reindex)


def test_both_tables_of_a_foreign_key_are_locked_and_read(database: Conninfo) -> None:
    """Adding a validated foreign key stops writers of child and parent and reads both."""
    (one,) = rehearse(database, 'ALTER TABLE post ADD FOREIGN KEY (author) REFERENCES "User" (id)')
    assert {USER: "ShareRowExclusiveLock", "public.post": "ShareRowExclusiveLock"} == modes(one)
    assert {USER, "public.post"} == {scan.relation for scan in one.run.scanned}


def test_lock_timeout_is_followed(database: Conninfo) -> None:
    """The value in force is told for DDL by the server, for the rest by the SET statements before it."""
    observed = rehearse(
        database,
        "TRUNCATE post",
        "SET lock_timeout = '2s'",
        'ALTER TABLE "User" ADD a int',
        "TRUNCATE post",
        "BEGIN",
        "SET LOCAL lock_timeout TO '500ms'",
        "LOCK TABLE post",
        "COMMIT",
        "TRUNCATE post",
    )
    assert [0, 2000, 2000, 2000, 2000, 500, 500, 500, 2000] == [one.lock_timeout_ms for one in observed]


def test_odd_names_and_renames_keep_the_name_from_before(database: Conninfo) -> None:
    """A table renamed on the way is still told under the name it had before."""
    name = 'public."a ""q"" <b>; \'x\' é\n{}"'
    execute(database, f"CREATE TABLE {name} (id int); INSERT INTO {name} VALUES (1)")
    observed = rehearse(database, f"ALTER TABLE {name} RENAME TO plain", "CREATE INDEX i ON plain (id)")
    assert [{name: "AccessExclusiveLock"}, {name: "ShareLock"}] == [modes(one) for one in observed]


def test_nothing_is_left_and_nothing_was_told_to_the_client(database: Conninfo) -> None:
    """After remove() neither schema, trigger nor setting is there, and the session got no notice of it all."""
    notices: list[str] = []
    execute(database, SCHEMA)
    with Recorder(database) as recorder:
        recorder.install()
        with psycopg.connect(**database.parameters(), autocommit=True) as session:
            session.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary or ""))
            session.execute("SET client_min_messages = debug1")
            session.execute("CREATE TABLE t (id int)")
        recorder.remove()
        recorder.remove()
        assert ["CREATE TABLE"] == [command.tag for one in recorder.observed() for command in one.commands]
    assert [] == [notice for notice in notices if "pytest_dryrun" in notice]
    assert [] == execute(
        database,
        "SELECT nspname::text FROM pg_namespace WHERE nspname = 'pytest_dryrun' "
        "UNION ALL SELECT evtname::text FROM pg_event_trigger "
        "UNION ALL SELECT setconfig::text FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase "
        "WHERE datname = current_database()",
    )


def test_without_an_observer_each_command_is_told(database: Conninfo) -> None:
    """Another program's migration is told command by command, at line 0."""
    execute(database, SCHEMA)
    with Recorder(database) as recorder:
        recorder.install()
        execute(database, 'ALTER TABLE "User" ADD a int; DROP TABLE post')
        observed = recorder.observed()
    assert [("ALTER TABLE", 0), ("DROP TABLE", 0)] == [(one.tag, one.run.line) for one in observed]
    assert abs(time.monotonic() - observed[0].ended_s) < 30
    assert [['public."User"'], ["public.post"]] == [[held.relation for held in one.acquired] for one in observed]
    assert observed[0].transaction == observed[1].transaction


def test_commands_that_name_no_object_are_told(database: Conninfo) -> None:
    """GRANT and ALTER DEFAULT PRIVILEGES end without one, for whoever steps through a file and where nobody does."""
    execute(database, SCHEMA)
    script = 'BEGIN; GRANT SELECT ON "User" TO PUBLIC; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC; {}'
    with Recorder(database) as recorder:
        recorder.install()
        for end in ("COMMIT", "ROLLBACK"):
            execute(database, script.format(end))
        recorder.remove()
        told = [(one.run.sql, one.undone) for one in recorder.observed()]
    tags = ["GRANT", "ALTER DEFAULT PRIVILEGES"]
    assert told == [(tag, undone) for undone in (False, True) for tag in tags]


def test_a_quoted_report_is_not_taken_for_one(database: Conninfo) -> None:
    """A migration that writes a line like ours to the log, or fails with one in its text, adds nothing."""
    forged = 'pytest_dryrun:0000 {"event": "ddl_command_end", "tag": "DROP TABLE", "pid": 1}'
    observed = rehearse(database, f"DO $$ BEGIN RAISE LOG '%', '{forged}'; END $$", f"SELECT 1/0 --\n{forged}")
    assert [(), ()] == [one.commands for one in observed]


def test_existing_setting_of_the_copy_is_restored(database: Conninfo) -> None:
    """A database that had its own max_parallel_maintenance_workers has it again afterwards."""
    execute(database, f'ALTER DATABASE "{database.dbname}" SET max_parallel_maintenance_workers = 1')
    with Recorder(database) as recorder:
        recorder.install()
        assert [("0",)] == execute(database, "SELECT current_setting('max_parallel_maintenance_workers')")
    assert [("1",)] == execute(database, "SELECT current_setting('max_parallel_maintenance_workers')")


def test_refuses_a_copy_that_already_has_its_schema(database: Conninfo) -> None:
    """Somebody's own schema of that name is never taken over, nor dropped at the end."""
    execute(database, "CREATE SCHEMA pytest_dryrun")
    with Recorder(database) as recorder, pytest.raises(TargetUnusable, match="could not be installed"):
        recorder.install()
    assert [(1,)] == execute(database, "SELECT count(*)::int FROM pg_namespace WHERE nspname = 'pytest_dryrun'")


def test_refuses_to_read_a_log_that_stands_still(database: Conninfo) -> None:
    """A log in which the mark does not arrive in time ends in an error, not in an empty report."""
    with connect(database) as session:
        log = ServerLog(session, "token", timeout_s=0.05)
        session.execute("SET log_min_messages = panic")
        with pytest.raises(TargetUnusable, match="stood still"):
            log.read()


def test_notices_carry_the_reports_where_there_is_no_log(database: Conninfo) -> None:
    """Through the session's notices the same reports arrive, and none without a session is an error."""
    ear = SessionNotices("token")
    with pytest.raises(TargetUnusable, match="no log"):
        ear.read()
    with connect(database) as superuser, psycopg.connect(**database.parameters(), autocommit=True) as session:
        event_triggers.create(superuser, "token", to_log=False)
        ear.listen(session)
        session.execute("SET client_min_messages = error")
        session.execute("CREATE TABLE t (id int)")
        session.execute("DROP TABLE t")
        event_triggers.drop(superuser)
    assert ["ddl_command_start", "ddl_command_end", "ddl_command_start", "sql_drop", "ddl_command_end"] == [
        report["event"] for report in ear.read()
    ]
