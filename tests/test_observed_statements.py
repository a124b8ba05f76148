# ruff: noqa: E501  (a script reads best in one line)
"""What statements locked, read, rewrote and undid, as the server shows it: sent as a deploy sends them, then judged."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import psycopg
import pytest
from test_locks import REMEDIES
from test_versions import programs

from pytest_dryrun.migrations.apply import send_each, step_whole
from pytest_dryrun.migrations.migrating import migrating_session
from pytest_dryrun.model.errors import MigrationFailed
from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.postgres.disposable import start
from pytest_dryrun.rehearsal.judge import locks
from pytest_dryrun.rehearsal.judge.undone import caught, taken_back, undone
from pytest_dryrun.rehearsal.judge.undone_writes import undone_writes
from pytest_dryrun.rehearsal.observe.folding import fold, shape
from pytest_dryrun.rehearsal.observe.observation import Observed
from pytest_dryrun.rehearsal.observe.recorder import Recorder
from pytest_dryrun.sql.statements import cut
from pytest_dryrun.steps.watching import table_sizes
from pytest_dryrun.workspace import Workspace

pytestmark = pytest.mark.live

AX, SUX = "AccessExclusiveLock", "ShareUpdateExclusiveLock"
ROWS = 1_500
LIBRARY = f"""
CREATE TABLE book (id int PRIMARY KEY, title text, shelf int);
CREATE INDEX book_shelf ON book (shelf);
INSERT INTO book SELECT g, 'title ' || g, g % 9 FROM generate_series(1, {ROWS}) g;
CREATE TABLE loan (day date NOT NULL, book int) PARTITION BY RANGE (day);
CREATE TABLE loan_old PARTITION OF loan FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE loan_new PARTITION OF loan FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
INSERT INTO loan SELECT date '2020-01-01' + g % 700, g FROM generate_series(1, {ROWS}) g;
CREATE MATERIALIZED VIEW crowded AS SELECT shelf, count(*) AS books FROM book GROUP BY shelf;
CREATE UNIQUE INDEX crowded_key ON crowded (shelf);
ANALYZE;
"""


@dataclass(frozen=True)
class Seen:
    """One watched run with its verdict, at a scale at which every table is big."""

    observed: tuple[Observed, ...]
    findings: tuple[Finding, ...]
    trouble: tuple[str, ...]

    @property
    def rules(self) -> set[tuple[str, str | None]]:
        """Each rule with its table, the rules on waiting left out."""
        left_out = {"lock-queue", "reads-blocked", "writes-blocked"}
        return {(found.rule, found.table) for found in self.findings if found.rule not in left_out}

    def modes(self, position: int = 0) -> dict[str, str]:
        """Map each relation of a statement to its strongest lock."""
        return {lock.relation: lock.mode for lock in self.observed[position].run.locks}


def watch(database: Conninfo, script: str, *, schema: str = LIBRARY, whole: bool = False) -> Seen:
    """Send a script statement by statement, or stepped in one transaction, and judge what was seen."""
    with psycopg.connect(**database.parameters(), autocommit=True) as session:
        session.execute(schema)
    with connect(database) as session:
        sizes = table_sizes(session)
    migration = Migration("m", "m.sql", script, "0" * 64, cut(script))
    with Recorder(database) as recorder:
        recorder.install()
        with migrating_session(database, timeout_s=60) as session:
            recorder.connected(session.connection)
            (step_whole if whole else send_each)(session, migration, recorder)
        recorder.remove()
        seen = recorder.observed()
        verdict = locks.judge(
            seen, [migration], sizes, scale=100_000, max_read_ms=1e9, max_write_ms=1e9, remedies=REMEDIES
        )
        return Seen(seen, (*verdict.safe_defaults, *verdict.indexes, *undone(seen, [migration])), recorder.trouble)


BOOK, LOAN, CROWDED = "public.book", "public.loan", "public.crowded"
REWRITES = [
    pytest.param("DO $$ BEGIN EXECUTE 'CLUSTER book USING book_pkey'; END $$", BOOK, id="CLUSTER in a DO block"),
    pytest.param("CLUSTER book USING book_pkey", BOOK, id="CLUSTER"),
    pytest.param("VACUUM FULL book", BOOK, id="VACUUM FULL"),
    pytest.param("REFRESH MATERIALIZED VIEW crowded", CROWDED, id="REFRESH"),
    pytest.param("ALTER TABLE book SET UNLOGGED", BOOK, id="UNLOGGED"),
    pytest.param("BEGIN; CLUSTER book USING book_pkey; COMMIT", BOOK, id="CLUSTER in a transaction"),
]


@pytest.mark.parametrize(("script", "table"), REWRITES)
def test_new_files_tell_of_rewrites(database: Conninfo, script: str, table: str) -> None:
    """What writes a table or materialized view anew is told, whether or not an event reports it."""
    assert {("table-rewritten", table)} == watch(database, script).rules


BUILDS = [
    pytest.param("REINDEX TABLE book", id="table"),
    pytest.param("REINDEX INDEX book_shelf", id="index"),
    pytest.param("DO $$ BEGIN EXECUTE 'REINDEX INDEX book_shelf'; END $$", id="in a DO block"),
    pytest.param("REINDEX SCHEMA public", id="schema"),
    pytest.param("CREATE INDEX late ON book (title)", id="a new one"),
]


@pytest.mark.parametrize("script", BUILDS)
def test_new_files_tell_of_index_builds(database: Conninfo, script: str) -> None:
    """Every way to build an index under a lock is told, of its table."""
    assert {("index-blocks-writes", BOOK)} == {rule for rule in watch(database, script).rules if rule[1] == BOOK}


QUIET = [
    pytest.param("REINDEX TABLE CONCURRENTLY book", id="REINDEX CONCURRENTLY"),
    pytest.param("REFRESH MATERIALIZED VIEW CONCURRENTLY crowded", id="REFRESH CONCURRENTLY"),
    pytest.param("CREATE INDEX loan_day ON ONLY loan (day)", id="an index of no partition"),
    pytest.param("TRUNCATE book; INSERT INTO book VALUES (1, 'only', 1)", id="TRUNCATE"),
    pytest.param("DO $$ BEGIN TRUNCATE book; INSERT INTO book VALUES (1, 'only', 1); END $$", id="TRUNCATE in DO"),
    pytest.param("UPDATE book SET shelf = 3", id="DML alone"),
    pytest.param("VACUUM book", id="VACUUM"),
    pytest.param("CREATE TABLE fresh AS SELECT * FROM book; CREATE INDEX f ON fresh (id)", id="a new table"),
    pytest.param("BEGIN; ALTER TABLE book ADD note text; SELECT title FROM book WHERE id = 7; COMMIT", id="one row"),
    pytest.param("ALTER TABLE book ADD note text; SELECT count(*) FROM book", id="the lock is gone"),
]


@pytest.mark.parametrize("major", [14, 17, 18], ids="PostgreSQL {}".format)
def test_builds_and_rewrites_are_seen_on_other_versions(major: int) -> None:
    """From 17 on REINDEX fires events and before it does not; the files tell the same everywhere."""
    workspace = Workspace.create(f"tests-{uuid.uuid4().hex[:12]}")
    try:
        server = start("binaries", workspace=workspace, bindir=programs(major))
        for number, (script, expected) in enumerate(
            [
                ("REINDEX SCHEMA public", ("index-blocks-writes", BOOK)),
                ("DO $$ BEGIN EXECUTE 'REINDEX INDEX book_shelf'; END $$", ("index-blocks-writes", BOOK)),
                ("DO $$ BEGIN EXECUTE 'CLUSTER book USING book_pkey'; END $$", ("table-rewritten", BOOK)),
                ("REINDEX TABLE CONCURRENTLY book", None),
            ]
        ):
            with psycopg.connect(**server.conninfo.parameters(), autocommit=True) as session:
                session.execute(f"CREATE DATABASE seen_{number}")
            rules = watch(server.conninfo.database(f"seen_{number}"), script).rules
            assert ({expected} if expected else set()) == {rule for rule in rules if rule[1] == BOOK}
        server.stop()
    finally:
        workspace.close()


@pytest.mark.parametrize("script", QUIET)
def test_what_rewrites_and_builds_nothing_is_quiet(database: Conninfo, script: str) -> None:
    """New files of emptied tables and concurrent builds, and reads without a lock, are no findings."""
    assert set() == watch(database, script).rules


@pytest.mark.parametrize(
    ("script", "relation", "mode"),
    [
        ("ALTER TABLE book SET (fillfactor = 70)", BOOK, SUX),
        ("ALTER TABLE book ALTER shelf SET STATISTICS 300", BOOK, SUX),
        ("COMMENT ON TABLE book IS 'kept'", BOOK, SUX),
        ("ALTER TABLE loan DETACH PARTITION loan_old CONCURRENTLY", LOAN, SUX),
        ("ANALYZE book", BOOK, SUX),
        ("TRUNCATE book", BOOK, AX),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY crowded", CROWDED, "ExclusiveLock"),
        ("UPDATE book SET shelf = 1 WHERE id = 1", BOOK, "RowExclusiveLock"),
    ],
)
def test_locks_are_the_servers(database: Conninfo, script: str, relation: str, mode: str) -> None:
    """What was observed counts, however the statement is worded."""
    assert mode == watch(database, script).modes()[relation]


def test_an_index_of_a_partitioned_table_is_told_for_its_partitions(database: Conninfo) -> None:
    """The parent's index has no rows; those of the partitions are built, but not what is only attached."""
    built = watch(database, "CREATE INDEX loan_day ON loan (day)")
    assert {("index-blocks-writes", "public.loan_old"), ("index-blocks-writes", "public.loan_new")} == built.rules
    ready = (
        "CREATE INDEX CONCURRENTLY o ON loan_old (book); CREATE INDEX CONCURRENTLY n ON loan_new (book);"
        "CREATE INDEX loan_again ON ONLY loan (book);"
        "ALTER INDEX loan_again ATTACH PARTITION o; ALTER INDEX loan_again ATTACH PARTITION n"
    )
    assert set() == watch(database, ready, schema="").rules


@pytest.mark.parametrize("whole", [False, True])
def test_queries_under_an_earlier_lock_are_told(database: Conninfo, whole: bool) -> None:  # noqa: FBT001
    """A SELECT or UPDATE of every row while others are locked out by the same transaction is told, with its rows."""
    text = "ALTER TABLE book ADD note text; SELECT count(*) FROM book; UPDATE book SET note = title"
    seen = watch(database, text if whole else f"BEGIN; {text}; COMMIT", whole=whole)
    assert [("scanned-under-lock", BOOK)] * 2 == [
        (found.rule, found.table) for found in seen.findings if found.rule == "scanned-under-lock"
    ]
    (scan,) = seen.observed[1 if whole else 2].run.scanned
    assert (BOOK, ROWS) == (scan.relation, scan.rows)


def test_isolation_can_still_be_set(database: Conninfo) -> None:
    """A look never comes before what must be first in its transaction."""
    script = "BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; LOCK TABLE book; UPDATE book SET shelf = 2; COMMIT"
    assert AX == watch(database, script).modes(2)[BOOK]


def test_the_session_s_own_settings_do_not_matter(database: Conninfo) -> None:
    """Neither search_path nor an operator or type of the same name in front of the catalog's disturbs a look."""
    script = """
        CREATE SCHEMA odd; CREATE DOMAIN odd.text AS int; SET search_path = odd, public, pg_catalog;
        CREATE FUNCTION odd.never(int8, int8) RETURNS boolean LANGUAGE sql AS 'SELECT NULL::boolean';
        CREATE OPERATOR odd.> (LEFTARG = int8, RIGHTARG = int8, FUNCTION = odd.never);
        BEGIN; LOCK TABLE public.book; SELECT count(*) FROM public.book; COMMIT"""
    seen = watch(database, script)
    assert () == seen.trouble
    assert ("scanned-under-lock", BOOK) in seen.rules


def test_a_look_that_fails_is_no_failed_migration(database: Conninfo) -> None:
    """Where the session may not be asked, the migration goes on and the trouble is told."""
    script = """CREATE ROLE reader_1; GRANT ALL ON book TO reader_1; REVOKE SELECT ON pg_catalog.pg_class FROM PUBLIC;
        BEGIN; SET ROLE reader_1; UPDATE book SET shelf = 5; COMMIT; RESET ROLE;
        GRANT SELECT ON pg_catalog.pg_class TO PUBLIC; REVOKE ALL ON book FROM reader_1; DROP ROLE reader_1"""
    seen = watch(database, script)
    assert ["could not be asked"] == ["could not be asked" for text in seen.trouble if "permission denied" in text]


def test_the_replica_role_silences_nothing(database: Conninfo) -> None:
    """The triggers fire ALWAYS."""
    script = "SET session_replication_role = replica; DO $$ BEGIN ALTER TABLE book ALTER id TYPE bigint; END $$"
    seen = watch(database, script)
    assert {("table-rewritten", BOOK)} == seen.rules
    assert ["ALTER TABLE"] == [command.tag for command in seen.observed[1].commands]
    assert () == seen.trouble


@pytest.mark.parametrize(
    "how",
    [
        "DROP EVENT TRIGGER pytest_dryrun_table_rewrite",
        "ALTER EVENT TRIGGER pytest_dryrun_ddl_command_end DISABLE",
        "ALTER EVENT TRIGGER pytest_dryrun_ddl_command_end ENABLE",
        "CREATE OR REPLACE FUNCTION pytest_dryrun.observe() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
        "DROP SCHEMA pytest_dryrun CASCADE",
    ],
)
def test_a_recorder_that_was_touched_says_so(database: Conninfo, how: str) -> None:
    """Dropped, disabled or exchanged triggers are trouble, and the new file still tells of the rewrite."""
    seen = watch(database, f"{how}; ALTER TABLE book ALTER id TYPE bigint")
    assert 1 == sum("event triggers that report DDL were dropped" in text for text in seen.trouble)
    assert ("table-rewritten", BOOK) in seen.rules


def test_event_triggers_switched_off_are_told(newest_database: Conninfo) -> None:
    """PostgreSQL 17 can switch all of them off in a session."""
    seen = watch(newest_database, "SET event_triggers = off; ALTER TABLE book ALTER id TYPE bigint")
    assert 1 == sum("event_triggers = off" in text for text in seen.trouble)
    assert ("table-rewritten", BOOK) in seen.rules


def test_an_application_s_own_event_triggers_hear_nothing_of_us(database: Conninfo) -> None:
    """Neither installing nor removing the recorder fires them, and they are enabled as before."""
    audit = """CREATE TABLE heard (tag text);
        CREATE FUNCTION hear() RETURNS event_trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO public.heard VALUES (TG_TAG); END';
        CREATE EVENT TRIGGER hears ON ddl_command_end EXECUTE FUNCTION hear();
        CREATE EVENT TRIGGER hears_always ON ddl_command_end EXECUTE FUNCTION hear();
        CREATE EVENT TRIGGER hears_drops ON sql_drop EXECUTE FUNCTION hear();
        ALTER EVENT TRIGGER hears_always ENABLE ALWAYS; ALTER EVENT TRIGGER hears_drops ENABLE REPLICA;"""
    watch(database, "COMMENT ON TABLE heard IS 'x'", schema=audit)
    with psycopg.connect(**database.parameters()) as session:
        assert [("COMMENT",), ("COMMENT",)] == session.execute("SELECT tag FROM heard").fetchall()
        assert [("hears", "O"), ("hears_always", "A"), ("hears_drops", "R")] == session.execute(
            "SELECT evtname::text, evtenabled::text FROM pg_event_trigger ORDER BY 1"
        ).fetchall()


@pytest.mark.parametrize(
    ("script", "line"),
    [
        pytest.param("BEGIN;\nALTER TABLE book ADD note text;\nROLLBACK;", 3, id="DDL"),
        pytest.param("BEGIN;\nUPDATE book SET shelf = 1;\nABORT;", 3, id="rows"),
        pytest.param("BEGIN;\nTRUNCATE book;\nROLLBACK;\nSELECT 1;", 3, id="an emptied table"),
        pytest.param("CREATE TABLE kept (id int);\nBEGIN;\nDROP TABLE loan;\nROLLBACK", 4, id="only a part"),
        pytest.param("DO $$ BEGIN ALTER TABLE book ADD n int; ROLLBACK; END $$", 1, id="in a DO block"),
    ],
)
def test_work_that_was_rolled_back_is_told(database: Conninfo, script: str, line: int) -> None:
    """A migration that undid what it did counts as applied: the ROLLBACK is named."""
    (found,) = (found for found in watch(database, script).findings if found.rule == "rolled-back-itself")
    assert (Severity.BLOCKER, "m", line) == (found.severity, found.migration, found.line)
    assert "recorded as applied" in found.message


@pytest.mark.parametrize(
    ("script", "columns"),
    [
        pytest.param("ALTER TABLE book ADD a int; BEGIN; ALTER TABLE book ADD b int; COMMIT; ALTER TABLE book ADD c int", "abc"),
        pytest.param("ALTER TABLE book ADD a int; BEGIN; ALTER TABLE book ADD b int; ROLLBACK; ALTER TABLE book ADD c int", "c"),
        pytest.param("BEGIN; ALTER TABLE book ADD a int; SAVEPOINT s; ALTER TABLE book ADD b int; ROLLBACK TO s; COMMIT", "a"),
        pytest.param("ALTER TABLE book ADD a int; COMMIT; BEGIN ISOLATION LEVEL SERIALIZABLE; ALTER TABLE book ADD b int; END", "ab"),
    ],
)  # fmt: skip
def test_stepping_a_whole_file_comes_to_the_same(database: Conninfo, script: str, columns: str) -> None:
    """A file with its own BEGIN and COMMIT leaves the same whether it is stepped or sent in one simple query."""
    asked = (
        "SELECT coalesce(string_agg(attname, '' ORDER BY attname), '') FROM pg_attribute"
        " WHERE attrelid = 'book'::regclass AND length(attname::text) = 1"
    )
    stepped = watch(database, script, whole=True)
    assert len(cut(script)) == len(stepped.observed)
    undone_again = {rule for rule, _ in stepped.rules if rule == "rolled-back-itself"}
    assert ({"rolled-back-itself"} if "ROLLBACK" in script else set()) == undone_again
    with psycopg.connect(**database.parameters(), autocommit=True) as session:
        left = session.execute(asked).fetchall()
        session.execute("ALTER TABLE book DROP IF EXISTS a, DROP IF EXISTS b, DROP IF EXISTS c")
        session.pgconn.exec_(script.encode())
        assert [(columns,)] == left == session.execute(asked).fetchall()


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("BEGIN; SELECT count(*) FROM book; ROLLBACK", id="nothing was written"),
        pytest.param("BEGIN; LOCK TABLE book; ROLLBACK", id="a lock alone"),
        pytest.param("BEGIN; CREATE TEMP TABLE t (id int); INSERT INTO t VALUES (1); ROLLBACK", id="temporary"),
        pytest.param("BEGIN; DROP TABLE loan; ROLLBACK; BEGIN; DROP TABLE loan; COMMIT", id="tried, then done"),
        pytest.param("BEGIN; ALTER TABLE book ADD note text; COMMIT", id="committed"),
        pytest.param(
            "DO $$ BEGIN ALTER TABLE book ADD n int; RAISE 'x'; EXCEPTION WHEN raise_exception THEN NULL; END $$",
            id="a trial that a block undid itself",
        ),
    ],
)
def test_a_rollback_that_loses_nothing_is_quiet(database: Conninfo, script: str) -> None:
    """Reading, trying first, and what a block caught itself are no lost work."""
    assert "rolled-back-itself" not in {rule for rule, _ in watch(database, script).rules}


BODY = "DO $$ BEGIN {} EXCEPTION WHEN {} THEN RAISE NOTICE 'done'; END $$"


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param(BODY.format("ALTER TABLE book ADD UNIQUE (shelf);", "others"), [(1, ["ALTER TABLE"], ["others"])], id="everything is caught"),
        pytest.param("SELECT 1;\n" + BODY.format("CREATE UNIQUE INDEX u ON book (shelf);", "duplicate_table OR unique_violation"), [(2, ["CREATE INDEX"], ["duplicate_table", "unique_violation"])], id="duplicates are caught"),
        pytest.param(BODY.format("CREATE TYPE mood AS ENUM ('a'); CREATE TYPE mood AS ENUM ('a');", "duplicate_object"), [], id="it is there already"),
        pytest.param(BODY.format("CREATE TABLE book (id int);", "SQLSTATE '42P07'"), [], id="by its number"),
        pytest.param(BODY.format("ALTER TABLE book ADD pages int; CREATE INDEX ON book (pages);", "others"), [], id="nothing failed"),
    ],
)  # fmt: skip
def test_a_caught_error_is_told(database: Conninfo, script: str, expected: list[object], whole: bool) -> None:  # noqa: FBT001
    """Where a handler catches more than that something is there already, what failed is not done and nobody says so."""
    found = caught(watch(database, script, whole=whole).observed)
    assert expected == [(item.line, item.evidence["failed"], item.evidence["caught_by"]) for item in found]
    assert all((item.rule, item.severity) == ("rolled-back-itself", Severity.BLOCKER) for item in found)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param(BODY.format("ALTER TABLE book ADD pages int; PERFORM 1 / 0;", "others"), [(["ALTER TABLE public.book"], ["others"])], id="a later error takes it back"),
        pytest.param(BODY.format("CREATE TABLE pen (id int); ALTER TABLE book ADD title text;", "duplicate_column"), [(["CREATE TABLE public.pen"], ["duplicate_column"])], id="so does one that says that it is there already"),
        pytest.param("CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN CREATE TABLE pen (id int); RAISE 'no'; EXCEPTION WHEN others THEN NULL; END $f$; SELECT f()", [(["CREATE TABLE public.pen"], [])], id="in a function"),
        pytest.param(BODY.format("BEGIN CREATE TABLE pen (id int); PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN NULL; END; CREATE TABLE pen (id int);", "duplicate_table"), [], id="done after all"),
        pytest.param(BODY.format("CREATE TABLE pen (id int); BEGIN ALTER TABLE book ADD title text; EXCEPTION WHEN duplicate_column THEN NULL; END;", "duplicate_table"), [], id="an inner block fails alone"),
        pytest.param(BODY.format("CREATE TABLE pen (id int); BEGIN CREATE TABLE nib (id int); EXCEPTION WHEN others THEN NULL; END; ALTER TABLE pen ADD ink int;", "others"), [], id="nothing fails"),
        pytest.param(BODY.format("ALTER TABLE book ADD pages int; RAISE EXCEPTION 'a trial';", "raise_exception"), [], id="a trial that is meant"),
    ],
)  # fmt: skip
def test_work_that_a_handler_takes_back_is_told(
    database: Conninfo,
    script: str,
    expected: list[object],
    whole: bool,  # noqa: FBT001
) -> None:
    """A block is undone as a whole: what succeeded in it before the error is not there either."""
    found = taken_back(watch(database, script, whole=whole).observed)
    told = [(item.evidence["undone"], item.evidence["caught_by"]) for item in found]
    assert told == expected
    assert all("succeeded in it, then something after it failed" in item.message for item in found)
    assert all((item.rule, item.severity) == ("rolled-back-itself", Severity.BLOCKER) for item in found)


LOOP = "DO $$ DECLARE n int; BEGIN FOR n IN SELECT generate_series(1490, 1510) LOOP BEGIN {} EXCEPTION WHEN {} THEN {}; END; END LOOP; END $$"
ADD = "INSERT INTO book VALUES (n, 'x', 1);"
TAKEN = "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN UPDATE book SET shelf = 1; PERFORM 1 / 0; EXCEPTION WHEN others THEN NULL; END $f$; SELECT f()"
BLOCKED, WARNED = Severity.BLOCKER, Severity.WARNING


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param(BODY.format("UPDATE book SET shelf = 1; PERFORM 1 / 0;", "others"), [(BLOCKED, ["others"])], id="an update"),
        pytest.param(BODY.format("DELETE FROM book; PERFORM 1 / 0;", "division_by_zero"), [(BLOCKED, ["division_by_zero"])], id="a delete"),
        pytest.param(BODY.format("INSERT INTO book SELECT g FROM generate_series(2000, 2100) g; PERFORM 1 / 0;", "others"), [(BLOCKED, ["others"])], id="an insert"),
        pytest.param("UPDATE book SET shelf = 2; " + BODY.format("UPDATE book SET shelf = 1; PERFORM 1 / 0;", "others"), [(BLOCKED, ["others"])], id="what came before it stays"),
        pytest.param(TAKEN, [(BLOCKED, ["others"])], id="in a function"),
        pytest.param(BODY.format("UPDATE book SET shelf = 1; RAISE 'a trial';", "raise_exception"), [], id="a trial that is meant"),
        pytest.param(BODY.format("UPDATE book SET shelf = 1;", "others"), [], id="nothing fails"),
        pytest.param(BODY.format("UPDATE book SET shelf = 1; BEGIN PERFORM 1 / 0; EXCEPTION WHEN others THEN NULL; END;", "others"), [], id="what failed had written nothing"),
        pytest.param(LOOP.format(ADD, "unique_violation", "NULL"), [(WARNED, ["unique_violation"])], id="rows that are there already"),
        pytest.param(LOOP.format(ADD, "unique_violation", "UPDATE book SET title = 'x' WHERE id = n"), [(WARNED, ["unique_violation"])], id="an upsert"),
        pytest.param(LOOP.format(ADD, "others", "UPDATE book SET title = 'x' WHERE id = n"), [(WARNED, ["others"])], id="an upsert that catches all"),
        pytest.param("DO $$ BEGIN INSERT INTO book VALUES (1); EXCEPTION WHEN others THEN NULL; END $$", [(WARNED, ["others"])], id="the one row itself was refused"),
        pytest.param("BEGIN; SAVEPOINT a; UPDATE book SET shelf = 1; ROLLBACK TO a; COMMIT", [], id="a savepoint of the file"),
        pytest.param("SELECT 1; UPDATE book SET shelf = 1 WHERE id < 9; " + BODY.format("PERFORM 1 / 0;", "others"), [], id="nothing was undone"),
    ],
)  # fmt: skip
def test_rows_that_a_handler_takes_back_are_told(
    database: Conninfo,
    script: str,
    expected: list[object],
    whole: bool,  # noqa: FBT001
) -> None:
    """The server counts the rows, and they are not there: a GO would be unearned; an upsert is ordinary work."""
    seen = watch(database, script, whole=whole)
    with connect(database) as session:
        found = undone_writes(seen.observed, session)
    assert expected == [(item.severity, item.evidence["caught_by"]) for item in found]
    assert all(" it wrote rows" in item.message and ", then an error came" in item.message for item in found)
    assert all("rolled-back-itself" == item.rule for item in found)


@pytest.mark.parametrize(
    "script",
    [
        "DROP INDEX CONCURRENTLY book_shelf; REINDEX INDEX CONCURRENTLY book_pkey; CREATE INDEX CONCURRENTLY i ON book (title)",
        "ALTER TABLE loan DETACH PARTITION loan_old CONCURRENTLY; VACUUM FULL book; CLUSTER book USING book_pkey",
        "CREATE TABLE IF NOT EXISTS book (id int); CREATE EXTENSION IF NOT EXISTS plpgsql; DROP TABLE IF EXISTS nobody; REFRESH MATERIALIZED VIEW CONCURRENTLY crowded; DROP MATERIALIZED VIEW crowded; TRUNCATE book",
        "CREATE TABLE shelf AS SELECT DISTINCT shelf FROM book; SELECT * INTO again FROM shelf; CREATE SCHEMA s CREATE TABLE t (id int) CREATE VIEW v AS SELECT 1",
    ],
)
def test_commands_that_end_are_not_taken_for_failed(database: Conninfo, script: str) -> None:
    """Nor those that work in several transactions, or find nothing to do."""
    assert [()] == list({one.failed for one in watch(database, script).observed})


def test_savepoints_of_a_file_are_no_handlers(database: Conninfo) -> None:
    """What a ROLLBACK TO undid is told as that, what was released is there."""
    script = "BEGIN; SAVEPOINT a; CREATE TABLE pen (id int); RELEASE a; SAVEPOINT b; CREATE TABLE nib (id int); "
    script += "ROLLBACK TO b; COMMIT"
    assert () == taken_back(watch(database, script).observed)


def test_a_rollback_to_a_savepoint_is_a_warning(database: Conninfo) -> None:
    """The rest of the transaction stays."""
    script = "BEGIN; SAVEPOINT a; ALTER TABLE book ADD n int; ROLLBACK TO SAVEPOINT a; COMMIT"
    (found,) = (found for found in watch(database, script).findings if found.rule == "rolled-back-itself")
    assert Severity.WARNING == found.severity
    assert "ALTER TABLE book ADD n int" in found.message


def test_what_ends_transactions_itself_is_sent_as_it_is(database: Conninfo) -> None:
    """A COMMIT in a procedure or block works as without an observer, and happens once."""
    script = """CREATE TABLE step (n int);
        CREATE PROCEDURE go_on() LANGUAGE plpgsql AS 'BEGIN INSERT INTO step VALUES (1); COMMIT; END';
        CALL go_on(); DO $$ BEGIN INSERT INTO step VALUES (2); COMMIT; END $$;
        CREATE INDEX CONCURRENTLY s ON step (n); REINDEX TABLE loan"""
    seen = watch(database, script)
    assert 6 == len(seen.observed)
    with psycopg.connect(**database.parameters()) as session:
        assert [(1,), (2,)] == session.execute("SELECT n FROM step ORDER BY n").fetchall()


def test_a_constraint_that_fails_at_the_commit_names_its_statement(database: Conninfo) -> None:
    """The transaction begun for a statement fails as the statement would have."""
    script = """CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (p int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
INSERT INTO child VALUES (9);"""
    with pytest.raises(MigrationFailed) as failure:
        watch(database, script)
    assert ("23503", 3) == (failure.value.sqlstate, failure.value.line)


@pytest.mark.parametrize("whole", [False, True])
def test_rows_of_one_shape_are_watched_as_one(database: Conninfo, whole: bool) -> None:  # noqa: FBT001
    """A long run of INSERTs is one entry with its count, and what it did is still seen."""
    rows = "".join(f"INSERT INTO book (id, title) VALUES ({ROWS + g}, 'it''s {g}');\n" for g in range(1, 301))
    seen = watch(database, f"ALTER TABLE book ADD note text;\n{rows}COMMENT ON TABLE book IS 'x'", whole=whole)
    assert [1, 300, 1] == [run.count for run in fold(one.run for one in seen.observed)]
    assert len(seen.observed) < 100
    assert 2 == seen.observed[1].run.line
    assert ("RowExclusiveLock", AX)[whole] == seen.modes(1)[BOOK]


def test_whoever_ends_other_sessions_is_named(database: Conninfo) -> None:
    """Our own session is one of them; the statement that ended it is the failure."""
    script = """SELECT 1;
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();"""
    with pytest.raises(MigrationFailed, match="pg_terminate_backend") as failure:
        watch(database, script)
    assert ("57P01", 2) == (failure.value.sqlstate, failure.value.line)


def test_new_files_are_told_where_nobody_stepped(database: Conninfo) -> None:
    """Another program's CLUSTER fires no event; the file at the end is another one, and its statement is found."""
    script = "CREATE TABLE extra (id int);\nCLUSTER book USING book_pkey;"
    migration = Migration("m", "m.sql", script, "0" * 64, cut(script))
    with psycopg.connect(**database.parameters(), autocommit=True) as session:
        session.execute(LIBRARY)
    with connect(database) as session:
        sizes = table_sizes(session)
    with Recorder(database) as recorder:
        recorder.install()
        with psycopg.connect(**database.parameters(), autocommit=True) as session:
            for statement in migration.statements:
                session.execute(statement.sql)
        recorder.remove()
        verdict = locks.judge(
            recorder.observed(), [migration], sizes, scale=1, max_read_ms=1000, max_write_ms=1000, remedies=REMEDIES
        )
    (found,) = (found for found in verdict.safe_defaults if found.rule == "table-rewritten")
    assert (BOOK, 2) == (found.table, found.line)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("INSERT INTO t VALUES (1, 'a''b', NULL)", "INSERT INTO t VALUES (-2.5, '', TRUE)", True),
        ("INSERT INTO t VALUES (1), (2)", "INSERT INTO t VALUES (1), (2),\n (3)", True),
        ("UPDATE t SET a = 1 WHERE id = 2", "UPDATE t SET a = 1 WHERE id > 2", False),
        ("DELETE FROM t1", "DELETE FROM t2", False),
        ('DELETE FROM "1 t"', 'DELETE FROM "2 t"', False),
    ],
)
def test_shapes(one: str, other: str, same: bool) -> None:  # noqa: FBT001
    """Constants and the number of rows do not count, everything else does."""
    assert same == (shape(one) == shape(other))
