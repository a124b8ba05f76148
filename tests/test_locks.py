"""The verdict on locks, from made-up observations: which finding, how severe, in which words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dryrun.model.scripts import Migration, Statement
from pytest_dryrun.model.values import Finding, Severity, StatementRun
from pytest_dryrun.postgres.catalog import Catalog, CatalogObject
from pytest_dryrun.rehearsal.judge.locks import LockVerdict, judge
from pytest_dryrun.rehearsal.judge.remedies.choice import Remedies
from pytest_dryrun.rehearsal.judge.remedies.facts import Facts
from pytest_dryrun.rehearsal.judge.yardstick import BIG_TABLE_ROWS
from pytest_dryrun.rehearsal.observe.attribution import attribute
from pytest_dryrun.rehearsal.observe.expectations import Expectation, expect, resolve
from pytest_dryrun.rehearsal.observe.lock_timeout import LockTimeout, lock_timeout_set
from pytest_dryrun.rehearsal.observe.observation import MODES, Command, Held, Observed, Rewrite, Stall, Wait
from pytest_dryrun.rehearsal.observe.placement import place

USER = 'public."User"'
TABLES = {USER: (50_000, 8 * 1024 * 1024), "public.empty": (0, 8192), "public.post": (500_000, 80 * 1024 * 1024)}
INDEX = CatalogObject(
    "index",
    "public.i",
    1,
    "",
    {"definition": 'CREATE INDEX i ON public."User" USING btree (a)'},
    USER,
    details={"relkind": "i", "partial": False},
)
REMEDIES = Remedies(Facts(Catalog(150_000, ()), Catalog(150_000, (INDEX,))))
AX, SHARE = "AccessExclusiveLock", "ShareLock"


def held(table: str, mode: str, *, existed: bool = True) -> Held:
    """Make a lock on a table."""
    return Held(table, mode, table, existed)


def command(tag: str, **facts: object) -> Command:
    """Make a quiet DDL command with some facts."""
    base = Command(tag, (), {}, {}, {}, (), (), (), 10.0, 2000)
    return replace(base, **facts)


def observed(sql: str, *commands: Command, **facts: object) -> Observed:
    """Make an observed statement from its commands."""
    locks = {lock.relation: lock for one in commands for lock in one.locks}
    rewrites = tuple(rewrite for one in commands for rewrite in one.rewrites)
    timeout = commands[0].lock_timeout_ms if commands else 2000
    base = Observed(
        StatementRun("m", 3, sql, 10.0),
        sql.partition(" ")[0],
        "t",
        0.0,
        1.0,
        tuple(locks.values()),
        commands,
        rewrites,
        timeout,
    )
    return replace(base, **facts)


def verdict(*observations: Observed, scale: float = 1.0, migrations: tuple[Migration, ...] = ()) -> LockVerdict:
    """Judge with limits of one second."""
    limits = {"scale": scale, "max_read_ms": 1000, "max_write_ms": 1000}
    return judge(observations, migrations, TABLES, **limits, remedies=REMEDIES)


def migration(*statements: str) -> Migration:
    """Make a migration with one statement a line."""
    cut = tuple(Statement(text, line, "") for line, text in enumerate(statements, 1))
    return Migration("m", "m/migration.sql", ";\n".join(statements), "0" * 64, cut)


def index_build(table: str, *, mode: str = SHARE, ms: float = 10.0) -> Observed:
    """Make a CREATE INDEX on a table."""
    built = command(
        "CREATE INDEX", indexed={"public.i": table}, read={table: 5}, locks=(held(table, mode),), duration_ms=ms
    )
    return observed("CREATE INDEX i ON t (a)", built)


def rewrite(table: str) -> Observed:
    """Make an ALTER TABLE that rewrote a table."""
    done = command("ALTER TABLE", rewrites=(Rewrite(table, "of a type"),), read={table: 5}, locks=(held(table, AX),))
    return observed("ALTER TABLE t ALTER a TYPE bigint", done)


def test_index_build_on_a_table_with_rows_is_told() -> None:
    """The message names place, index, table, size, measured and scaled time, and what to write instead."""
    (found,) = verdict(index_build(USER, ms=100.0), scale=1.5).indexes
    assert Finding(
        "index-blocks-writes",
        Severity.WARNING,
        'm:3: index public.i was built on public."User" (50,000 rows, 8.0 MiB) without CONCURRENTLY; '
        "writers wait meanwhile. "
        "Measured 100 ms on the copy, about 150 ms at scale 1.5.\n"
        "Writers go on while Postgres builds it CONCURRENTLY.\n"
        "Use instead, in a migration of its own, outside a transaction:\n"
        '    CREATE INDEX CONCURRENTLY i ON public."User" USING btree (a);\n'
        "CONCURRENTLY is refused inside a transaction: with Prisma, give each such statement a migration of its own.",
        migration="m",
        line=3,
        table=USER,
        evidence={
            "table": USER, "rows": 50_000, "bytes": 8388608, "scale": 1.5, "ms": 100.0, "scaled_ms": 150.0,
            "index": "public.i", "lock": SHARE, "remedy": "index",
        },
    ) == found  # fmt: skip


@pytest.mark.parametrize(
    ("one", "scale", "severity"),
    [
        pytest.param(index_build(USER, ms=100), 1.0, Severity.WARNING, id="small and fast"),
        pytest.param(index_build(USER, ms=100), 2.0, Severity.BLOCKER, id="many rows at scale"),
        pytest.param(index_build(USER, ms=1001), 1.0, Severity.BLOCKER, id="too long as measured"),
        pytest.param(index_build(USER, ms=600), 1.9, Severity.BLOCKER, id="too long at scale"),
        pytest.param(index_build("public.post"), 1.0, Severity.BLOCKER, id="many rows"),
        pytest.param(index_build("public.post"), 0.01, Severity.WARNING, id="production is smaller"),
    ],
)
def test_severity_of_an_effect_that_grows(one: Observed, scale: float, severity: Severity) -> None:
    """Too long or too many rows at scale is a blocker, anything smaller a warning."""
    assert [severity] == [found.severity for found in verdict(one, scale=scale).indexes]


@pytest.mark.parametrize("table", ["public.empty", "public.created_just_now"])
def test_new_and_empty_tables_hurt_nobody(table: str) -> None:
    """An index, a rewrite or a scan of a table without rows is no finding."""
    scan = command("ALTER TABLE", read={table: 5}, locks=(held(table, AX, existed=False),))
    assert LockVerdict() == verdict(index_build(table), rewrite(table), observed("ALTER TABLE t ADD CHECK (a)", scan))


def test_concurrent_builds_are_no_finding() -> None:
    """The same index under SHARE UPDATE EXCLUSIVE stops nobody."""
    assert LockVerdict() == verdict(index_build(USER, mode="ShareUpdateExclusiveLock"))


def test_rewrite_is_told_once_with_its_reason() -> None:
    """A rewrite reads the table too, which is not told a second time as a scan."""
    (found,) = verdict(rewrite(USER)).safe_defaults
    assert ("table-rewritten", USER, 3) == (found.rule, found.table, found.line)
    assert 'public."User" (50,000 rows, 8.0 MiB) was rewritten, because of a type' in found.message


def test_scan_under_a_lock_of_the_same_transaction() -> None:
    """VALIDATE is harmless alone and harmful behind an ALTER TABLE of the same transaction."""
    mild = command("ALTER TABLE", read={USER: 5}, locks=(held(USER, "ShareUpdateExclusiveLock"),))
    hard = replace(mild, locks=(held(USER, AX),))
    sql = "ALTER TABLE t VALIDATE CONSTRAINT c"
    assert LockVerdict() == verdict(observed(sql, mild))
    (found,) = verdict(observed(sql, hard, acquired=())).safe_defaults
    assert "5 rows were read" in found.message
    assert "taken earlier in the same transaction" in found.message
    assert "Move it to a migration of its own" in found.message


@pytest.mark.parametrize(
    ("sql", "advice"),
    [
        ("ALTER TABLE t ADD UNIQUE (a)", "its remedy is printed here"),
        ("ALTER TABLE t ADD EXCLUDE (a WITH =)", "There is no online way to add EXCLUDE"),
    ],
)
def test_scan_that_left_nothing_prints_no_sql(sql: str, advice: str) -> None:
    """Where the catalogs do not show what a statement made, nothing is guessed; an index build counts as a scan."""
    scan = command("ALTER TABLE", read={USER: 5}, indexed={"public.k": USER}, locks=(held(USER, AX),))
    (found,) = verdict(observed(sql, scan)).safe_defaults
    assert "scanned-under-lock" == found.rule
    assert advice in found.message


def test_dropped_index_is_a_warning_however_large_its_table() -> None:
    """Dropping takes no longer on a large table, so size makes no blocker of it; measured time does."""
    drop = command("DROP INDEX", unindexed={"public.i": "public.post"}, locks=(held("public.post", AX),))
    assert [Severity.WARNING] == [f.severity for f in verdict(observed("DROP INDEX i", drop), scale=100).indexes]
    slow = replace(drop, duration_ms=1500.0)
    assert [Severity.BLOCKER] == [f.severity for f in verdict(observed("DROP INDEX i", slow)).indexes]


def test_statement_nothing_was_seen_of_is_judged_by_its_words() -> None:
    """A statement behind a failure, or without a recorder, is still not taken for harmless."""
    pending = migration(
        'CREATE INDEX i ON "User" (a)', "ALTER TABLE post ADD UNIQUE (a)", "ALTER TABLE post ADD b serial"
    )
    result = verdict(migrations=(pending,))
    assert [("index-blocks-writes", Severity.WARNING)] == [(f.rule, f.severity) for f in result.indexes]
    assert [("scanned-under-lock", Severity.BLOCKER), ("table-rewritten", Severity.BLOCKER)] == [
        (f.rule, f.severity) for f in result.safe_defaults
    ]
    assert "It was not measured" in result.indexes[0].message


def test_stalls_scale_only_where_the_work_grows() -> None:
    """A wait behind a scan is multiplied, one behind a catalog change is not."""
    stall = (Stall(USER, 0.0, 300.0),)
    grown = replace(index_build(USER), stalls=stall)
    flat = observed("ALTER TABLE t ADD a int", command("ALTER TABLE", locks=(held(USER, AX),)), stalls=stall)
    assert [("writes-blocked", Severity.BLOCKER)] == [(f.rule, f.severity) for f in verdict(grown, scale=10).stalls]
    (found,) = verdict(flat, scale=10).stalls
    assert (Severity.INFO, 300.0) == (found.severity, found.evidence["scaled_ms"])
    assert 'writers of public."User" were kept waiting 300 ms on the copy, whatever the table\'s size' in found.message


def test_lock_before_long_work_of_its_transaction_grows() -> None:
    """An instant ALTER TABLE followed by an UPDATE in one transaction is a stall that grows."""
    alter = observed(
        "ALTER TABLE t ADD a int", command("ALTER TABLE", locks=(held(USER, AX),)), stalls=(Stall(USER, 300.0, 300.0),)
    )
    update = observed("UPDATE t SET a = 1")
    assert ["reads-blocked", "writes-blocked"] == [
        f.rule for f in verdict(alter, update, scale=10).stalls if f.severity is Severity.BLOCKER
    ]


def test_only_what_reads_much_makes_a_stall_grow() -> None:
    """A row found by its key under an earlier lock takes as long on a large table, a full read does not."""
    stall = (Stall(USER, 300.0, 300.0),)
    alter = observed("ALTER TABLE t ADD a int", command("ALTER TABLE", locks=(held(USER, AX),)), stalls=stall)
    for rows, severity in ((1, Severity.INFO), (50_000, Severity.BLOCKER)):
        looked = observed("UPDATE t SET a = 1 WHERE id = 2", read={USER: rows}, looked=True)
        assert {severity} == {found.severity for found in verdict(alter, looked, scale=10).stalls}


def test_copy_too_small_is_noted() -> None:
    """A finding on a table with few rows at scale says that its figures mean little."""
    assert (
        (
            'public."User" (50,000 rows, 8.0 MiB) is too small on the copy '
            "to tell how long production would wait (scale 0.001)."
        ),
    ) == verdict(index_build(USER), scale=0.001).notes
    assert () == verdict(index_build(USER)).notes


def test_many_tables_too_small_are_one_note() -> None:
    """Ten small tables are one line to read, with the first three by name."""
    small = {f"public.t{number}": (7, 8192) for number in range(10)}
    result = judge(
        tuple(index_build(table) for table in small),
        (),
        small,
        scale=1,
        max_read_ms=1000,
        max_write_ms=1000,
        remedies=REMEDIES,
    )
    (note,) = result.notes
    assert note.startswith("public.t0 (7 rows, 8.0 KiB), public.t1 (7 rows, 8.0 KiB), public.t2 (7 rows, 8.0 KiB) and ")
    assert note.endswith("7 more tables are too small on the copy to tell how long production would wait (scale 1).")


def test_a_wait_within_the_limits_has_no_remedy() -> None:
    """What needs no cure is recorded without one."""
    short, long = (
        verdict(observed("ALTER TABLE t ADD a int", command("ALTER TABLE", locks=(held(USER, AX),)), stalls=(one,)))
        for one in (Stall(USER, 20.0, 20.0), Stall(USER, 9000.0, 9000.0))
    )
    assert ["the limit is 1,000 ms."] * 2 == [found.message.split("; ")[-1] for found in short.stalls]
    assert all("Split the migration" in found.message for found in long.stalls)
    own = replace(rewrite(USER), stalls=(Stall(USER, 9000.0, 9000.0),))
    assert all("prints what to write" in found.message for found in verdict(own).stalls)


@given(
    rows=st.integers(1, 10**9), scale=st.floats(0.001, 1000), ms=st.floats(0, 10**6), mode=st.sampled_from(MODES[4:]),
)  # fmt: skip
def test_no_large_table_and_no_long_wait_gets_through(rows: int, scale: float, ms: float, mode: str) -> None:
    """Whatever the figures: past a limit, or large at scale, an index build under a lock is a blocker."""
    result = judge(
        (index_build("public.t", mode=mode, ms=ms),),
        (),
        {"public.t": (rows, 1)},
        scale=scale,
        max_read_ms=500,
        max_write_ms=1000,
        remedies=REMEDIES,
    )
    limit_ms = 500 if mode == AX else 1000
    expected = Severity.BLOCKER if ms * scale > limit_ms or rows * scale >= BIG_TABLE_ROWS else Severity.WARNING
    assert [expected] == [found.severity for found in result.indexes]


def test_wait_belongs_to_the_statement_that_took_the_lock() -> None:
    """A wait that lasts through three statements of a transaction is the first one's that could cause it."""
    mild = observed("SELECT 1", transaction="t", started_s=0.0, ended_s=1.0)
    hard = observed("ALTER TABLE t ADD a int", transaction="t", acquired=(held(USER, AX),), started_s=1.0, ended_s=2.0)
    later = observed("UPDATE t", transaction="t", started_s=2.0, ended_s=9.0)
    result = attribute((mild, hard, later), [Wait(USER, "read", 0.9, 9.5), Wait(USER, "write", 8.0, 9.5)])
    assert [0.0, 8600.0, 0.0] == [round(one.run.read_stall_ms, 3) for one in result]
    assert [0.0, 1500.0, 0.0] == [round(one.run.write_stall_ms, 3) for one in result]


def test_wait_without_a_known_lock_is_not_lost() -> None:
    """It goes to the statement it overlaps most, or to an entry of its own."""
    one = observed("TRUNCATE t", transaction="a", started_s=1.0, ended_s=2.0)
    other = observed("SELECT 1", transaction="b", started_s=3.0, ended_s=9.0)
    waits = [Wait(USER, "read", 1.1, 2.1), Wait(USER, "write", 0.1, 0.4)]
    result = attribute((one, other), waits)
    assert [1000.0, 0.0, 0.0] == [round(entry.run.read_stall_ms, 3) for entry in result]
    assert "(no statement was seen at that time)" == result[2].run.sql
    assert ["reads-blocked", "writes-blocked"] == [f.rule for f in verdict(*result).stalls]


def test_reports_without_a_place_find_their_statement() -> None:
    """Commands of an external tool are laid beside the file's statements, in order; what fits nowhere keeps line 0."""
    pending = migration(
        "SET x = 1", 'CREATE UNIQUE INDEX "I" ON "User" (a)', "DO $$ x $$", 'ALTER TABLE "User" ADD b int'
    )
    nowhere = StatementRun("", 0, "CREATE INDEX", 1.0)
    reports = (
        observed(
            "x",
            command("CREATE INDEX", objects=('public."I"',), indexed={'public."I"': USER}),
            run=nowhere,
            tag="CREATE INDEX",
        ),
        observed("x", command("DROP TABLE", dropped=(("table", "public.gone"),)), run=nowhere, tag="DROP TABLE"),
        observed("x", command("ALTER TABLE", objects=(USER,)), run=nowhere, tag="ALTER TABLE"),
    )
    assert [("m", 2), ("m", 0), ("m", 4)] == [(one.run.migration, one.run.line) for one in place(reports, (pending,))]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE UNIQUE INDEX IF NOT EXISTS i ON ONLY s.t (a)", [("s.t", SHARE, "index-build")]),
        ("create index concurrently i on T (a)", [("t", "ShareUpdateExclusiveLock", "")]),
        ('-- note\nDROP INDEX IF EXISTS a, s."B" CASCADE', [("a", AX, "index-drop"), ('s."B"', AX, "index-drop")]),
        ("ALTER TABLE IF EXISTS ONLY t ADD COLUMN a int, ALTER b SET NOT NULL", [("t", AX, ""), ("t", AX, "scan")]),
        ("ALTER TABLE t ADD a numeric(10, 2) DEFAULT 0", [("t", AX, "")]),
        ("ALTER TABLE t ADD a uuid DEFAULT gen_random_uuid()", [("t", AX, "rewrite")]),
        ("ALTER TABLE t ADD a timestamp DEFAULT now()", [("t", AX, "")]),
        ("ALTER TABLE t ADD a bigserial", [("t", AX, "rewrite")]),
        ("ALTER TABLE t ALTER a SET DATA TYPE bigint", [("t", AX, "rewrite")]),
        ("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID", [("t", AX, "")]),
        ("ALTER TABLE t ADD CONSTRAINT c UNIQUE USING INDEX i", [("t", AX, "")]),
        ("ALTER TABLE t ADD CONSTRAINT c PRIMARY KEY (a)", [("t", AX, "scan")]),
        ("ALTER TABLE t VALIDATE CONSTRAINT c", [("t", "ShareUpdateExclusiveLock", "")]),
        ("TRUNCATE TABLE ONLY a, b CASCADE", [("a", AX, ""), ("b", AX, "")]),
        ("LOCK TABLE t IN SHARE ROW EXCLUSIVE MODE NOWAIT", [("t", "ShareRowExclusiveLock", "")]),
        ("LOCK t", [("t", AX, "")]),
        ("VACUUM (FULL, ANALYZE) t", [("t", AX, "rewrite")]),
        ("VACUUM t", [("t", "ShareUpdateExclusiveLock", "")]),
        ("CLUSTER t USING i", [("t", AX, "rewrite")]),
        ("REINDEX TABLE t", [("t", SHARE, "index-build")]),
        ("REINDEX INDEX CONCURRENTLY i", []),
        ("REFRESH MATERIALIZED VIEW v", [("v", AX, "rewrite")]),
        ("INSERT INTO \"A\".\"b c\" VALUES ('x')", [('"A"."b c"', "RowExclusiveLock", "")]),
        ("DELETE FROM ONLY t WHERE a = 1", [("t", "RowExclusiveLock", "")]),
        ("COPY (SELECT 1) TO STDOUT", []),
        ("CREATE CONSTRAINT TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION f()", [("t", "ShareRowExclusiveLock", "")]),
        ("DROP TABLE IF EXISTS a, b", [("a", AX, ""), ("b", AX, "")]),
        ("SELECT 1", []),
        ("", []),
    ],
)  # fmt: skip
def test_what_the_words_say(sql: str, expected: list[tuple[str, str, str]]) -> None:
    """Lock and effect are read from the statement, and nothing is claimed of what cannot be read."""
    assert expected == [(one.table, one.mode, one.effect) for one in expect(sql)]


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    """Whatever stands in a file, reading it ends without an error."""
    assert all(isinstance(found, Expectation) for found in expect("ALTER TABLE " + text))
    expect(text)


def test_written_names_are_resolved() -> None:
    """A name is itself, the one in public, or the only one there is; else it stays unknown."""
    known = ["public.a", "x.a", "x.b", "x.c", "y.c"]
    assert ["x.a", "public.a", "x.b", "c"] == [resolve(name, known) for name in ("x.a", "a", "b", "c")]


def test_lock_timeout_of_set_statements() -> None:
    """Units, quotes and RESET are understood, other statements are none."""
    spelled = [
        "SET lock_timeout = '2s'",
        "set local lock_timeout to 500",
        "RESET lock_timeout",
        "SET lock_timeout = '1 min';",
        "SELECT 1",
    ]
    assert [2000, 500, 0, 60_000, None] == [lock_timeout_set(sql) for sql in spelled]


def test_rollback_makes_the_lock_timeout_unknown() -> None:
    """A ROLLBACK may undo a SET, so nothing is claimed until the server tells again."""
    timeout = LockTimeout()
    session = (1, 0)
    assert [5, None, None, 7, 7] == [
        timeout.after(sql, session=session, in_transaction=False, told=told)
        for sql, told in [
            ("SET lock_timeout = 5", None),
            ("ROLLBACK", None),
            ("TRUNCATE t", None),
            ("ALTER TABLE t", 7),
            ("TRUNCATE t", None),
        ]
    ]
