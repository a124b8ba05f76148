# ruff: noqa: E501  (one case, one line)
"""What migrations did to rows and values, on a real copy: each loss is told once, where it is, and safe work passes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import date

import psycopg
import pytest

from pytest_dryrun.model.redaction import Redactor
from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.model.values import Change, Finding, Severity, TableComparison
from pytest_dryrun.model.waivers import Waivers
from pytest_dryrun.postgres import databases
from pytest_dryrun.postgres.catalog import read_catalog
from pytest_dryrun.postgres.catalog.difference import difference
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.postgres.fingerprint import Fingerprint, take
from pytest_dryrun.postgres.fingerprint.counters import tuple_counters
from pytest_dryrun.rehearsal.judge.destructive import destructive
from pytest_dryrun.rehearsal.judge.names_gone import names_gone
from pytest_dryrun.rehearsal.judge.rows import not_verified
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.sql.statements import cut, inline_waivers
from pytest_dryrun.steps.application import row_findings
from pytest_dryrun.steps.comparing import compare_tables
from pytest_dryrun.steps.tuples import counted

pytestmark = pytest.mark.live

B, W, KNOWN = Severity.BLOCKER, Severity.WARNING, Severity.INFO

SHELTER = """
CREATE TABLE animal (id int PRIMARY KEY, name text NOT NULL, weight numeric(6,2) NOT NULL, chip text, left_at date);
INSERT INTO animal SELECT g, 'animal ' || g, g / 4.0, NULL, CASE WHEN g % 10 = 0 THEN date '2025-01-01' END FROM generate_series(1, 200) g;
CREATE TABLE visit (id int PRIMARY KEY, animal_id int NOT NULL REFERENCES animal ON DELETE CASCADE, fee int NOT NULL DEFAULT 5);
INSERT INTO visit SELECT g, 1 + g % 200 FROM generate_series(1, 600) g;
CREATE TABLE pill (visit_id int NOT NULL REFERENCES visit ON DELETE CASCADE, dose int NOT NULL);
INSERT INTO pill SELECT 1 + g % 600, g FROM generate_series(1, 600) g;
CREATE TABLE sponsor (id int PRIMARY KEY, animal_id int REFERENCES animal ON DELETE SET NULL);
INSERT INTO sponsor SELECT g, 100 + g FROM generate_series(1, 100) g;
CREATE TABLE weighing (day date NOT NULL, animal_id int NOT NULL, grams int, PRIMARY KEY (day, animal_id)) PARTITION BY RANGE (day);
CREATE TABLE weighing_2024 PARTITION OF weighing FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE weighing_2025 PARTITION OF weighing FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO weighing SELECT date '2024-01-01' + g, g % 7, g FROM generate_series(0, 699) g;
CREATE TABLE being (label text);
CREATE TABLE plant (leaves int) INHERITS (being);
INSERT INTO being VALUES ('unknown'); INSERT INTO plant SELECT 'p' || g, g FROM generate_series(1, 30) g;
"""


@dataclass(frozen=True)
class Judged:
    """What a migration came to on a copy."""

    findings: tuple[Finding, ...]
    again: tuple[Finding, ...]
    tables: dict[str, TableComparison]
    unknown: tuple[Finding, ...]

    def losses(self) -> list[tuple[str, Severity, str | None, int | None]]:
        """Rule, severity, table and line of every blocker and warning about rows and values."""
        return [
            (item.rule, item.severity, item.table, item.line) for item in self.findings if item.severity is not KNOWN
        ]

    def notes(self) -> list[str]:
        """What is only told."""
        return [item.message for item in self.findings if item.severity is KNOWN]


def execute(conninfo: Conninfo, text: str) -> None:
    """Run statements one by one, as some of them must stand alone."""
    with psycopg.connect(**conninfo.parameters(), autocommit=True) as connection:
        for statement in cut(text):
            connection.execute(statement.sql.encode())


def scripts(*texts: str) -> list[Migration]:
    """Pending migrations with these texts."""
    return [Migration(f"m{number}", f"m{number}.sql", text, "", cut(text)) for number, text in enumerate(texts, 1)]


@pytest.fixture
def judge(database: Conninfo, postgres: Conninfo) -> Iterator[Callable[..., Judged]]:
    """Fill a database, migrate a copy of it, and judge."""
    name = f"{database.dbname}_copy"

    def judged(tables: str, *texts: str, written: Collection[str] = ()) -> Judged:
        execute(database, tables)
        before: Fingerprint = take(database)
        copy = databases.copy(postgres, database.dbname, name)
        pending = scripts(*texts)
        for one in pending:
            execute(copy, one.sql)
        counters = tuple_counters(copy, settled_s=0.2)
        with connect(database) as template, connect(copy) as migrated:
            then, now = read_catalog(template), read_catalog(migrated)
            changes = difference(then, now, follow_oids=True)
            found = compare_tables(before, database, copy, copied=True)
            found = tuple(counted(table, now, {}, counters) for table in found)
            scene = Scene(then, now, changes, found, pending, template, migrated)
            findings = (*destructive(scene), *names_gone(scene))
            unknown = not_verified(scene, before.not_verified, written)
        return Judged(findings, row_findings(found, findings), {item.table: item for item in found}, unknown)

    yield judged
    databases.drop(postgres, name)


SAFE = [
    pytest.param("UPDATE animal SET name = name, weight = weight", id="values set to what they were"),
    pytest.param(
        "CREATE TEMP TABLE kept AS TABLE pill; TRUNCATE pill; INSERT INTO pill TABLE kept",
        id="emptied and filled again",
    ),
    pytest.param(
        "ALTER TABLE animal ADD COLUMN kind text; UPDATE animal SET kind = 'cat' WHERE id < 51",
        id="a new column is filled",
    ),
    pytest.param("UPDATE animal SET chip = 'none' WHERE id < 100", id="a column that was NULL in every row is filled"),
    pytest.param(
        "UPDATE weighing SET day = day + 366 WHERE day < '2024-02-01' AND day + 366 >= '2025-12-30'; CREATE TABLE weighing_rest PARTITION OF weighing DEFAULT",
        id="a partition more",
    ),
    pytest.param(
        "ALTER TABLE weighing DETACH PARTITION weighing_2025; CREATE TABLE weighing_h1 PARTITION OF weighing FOR VALUES FROM ('2025-01-01') TO ('2025-07-01');"
        "CREATE TABLE weighing_h2 PARTITION OF weighing FOR VALUES FROM ('2025-07-01') TO ('2026-01-01'); INSERT INTO weighing TABLE weighing_2025; DROP TABLE weighing_2025",
        id="a partition is split",
    ),
    pytest.param(
        "CREATE TABLE pill_new (dose bigint NOT NULL, visit_id int NOT NULL); INSERT INTO pill_new SELECT dose, visit_id FROM pill; DROP TABLE pill; ALTER TABLE pill_new RENAME TO pill",
        id="a table is replaced with all its rows",
    ),
    pytest.param("CREATE TABLE animal_2 (LIKE animal); INSERT INTO animal_2 TABLE animal", id="a copy beside it"),
    pytest.param(
        "CREATE TABLE weighing_2026 (LIKE weighing INCLUDING ALL); ALTER TABLE weighing ATTACH PARTITION weighing_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
        id="a partition is attached",
    ),
    pytest.param(
        "CREATE TABLE moss (tint text) INHERITS (being); ALTER TABLE visit ALTER fee TYPE bigint",
        id="a child more, a type wider",
    ),
]


@pytest.mark.parametrize("text", SAFE)
def test_ordinary_work_loses_nothing(judge, text):
    """Every row and value is there afterwards, in the table or under its name, so nothing blocks: on the target neither."""
    found = judge(SHELTER, text)
    rows = {"table-dropped", "column-dropped", "rows-lost", "content-changed", "truncated", "not-verified"}
    assert [] == [item for item in found.losses() if item[0] in rows and item[1] is B]
    assert () == found.again


LOSSES = [
    pytest.param(
        "SELECT 1;\nDELETE FROM pill WHERE dose < 11", [("rows-lost", "public.pill", 2, False)], id="rows without a key"
    ),
    pytest.param(
        "UPDATE animal SET left_at = '2025-12-31' WHERE left_at IS NULL",
        [("content-changed", "public.animal", 1, False)],
        id="some NULLs beside values are filled",
    ),
    pytest.param("TRUNCATE pill", [("truncated", "public.pill", 1, False)], id="emptied"),
    pytest.param(
        "TRUNCATE visit CASCADE",
        [("truncated", "public.pill", 1, True), ("truncated", "public.visit", 1, False)],
        id="emptied along",
    ),
    pytest.param(
        "DELETE FROM animal WHERE id > 190",
        [
            ("rows-lost", "public.animal", 1, False),
            ("rows-lost", "public.pill", 1, True),
            ("content-changed", "public.sponsor", 1, True),
            ("rows-lost", "public.visit", 1, True),
        ],
        id="over two keys",
    ),
    pytest.param(
        "DELETE FROM weighing_2024 WHERE day < '2024-02-01'",
        [("rows-lost", "public.weighing", 1, True)],
        id="rows of a partition",
    ),
    pytest.param(
        "UPDATE weighing_2025 SET grams = 0 WHERE day = '2025-02-01'",
        [("content-changed", "public.weighing", 1, True)],
        id="values in a partition",
    ),
    pytest.param(
        "DROP TABLE weighing_2024", [("table-dropped", "public.weighing_2024", 1, False)], id="a partition is dropped"
    ),
    pytest.param(
        "DROP TABLE weighing", [("table-dropped", "public.weighing", 1, False)], id="a partitioned table is dropped"
    ),
    pytest.param(
        "SELECT 1;\nALTER TABLE weighing DETACH PARTITION weighing_2024",
        [("rows-lost", "public.weighing", 2, False)],
        id="a partition is detached",
    ),
    pytest.param(
        "DELETE FROM being",
        [("rows-lost", "public.being", 1, False), ("rows-lost", "public.plant", 1, True)],
        id="rows of a child by its parent's name",
    ),
    pytest.param("ALTER TABLE plant NO INHERIT being", [("rows-lost", "public.being", 1, False)], id="a child leaves"),
    pytest.param(
        "CREATE TABLE animal_new (LIKE animal INCLUDING ALL); INSERT INTO animal_new SELECT id, name, CASE id WHEN 9 THEN 0 ELSE weight END, chip, left_at FROM animal WHERE id <> 4;\n"
        "ALTER TABLE animal RENAME TO animal_old; ALTER TABLE animal_new RENAME TO animal",
        [
            ("renamed", "public.animal", 2, False),
            ("rows-lost", "public.animal", 2, False),
            ("content-changed", "public.animal", 2, False),
        ],
        id="replaced without a row and with another value",
    ),
    pytest.param(
        "DROP TABLE pill;\nCREATE TABLE pill (visit_id int NOT NULL, dose int NOT NULL)",
        [("rows-lost", "public.pill", 1, False)],
        id="dropped and created empty",
    ),
    pytest.param(
        "CREATE TABLE pill_new (visit_id int NOT NULL); INSERT INTO pill_new SELECT visit_id FROM pill; DROP TABLE pill; ALTER TABLE pill_new RENAME TO pill",
        [("column-dropped", "public.pill", 1, False)],
        id="replaced without a column",
    ),
]


@pytest.mark.parametrize(("text", "expected"), LOSSES)
def test_every_loss_is_told_once_where_it_was_done(judge, text, expected):
    """Table, line and whether the statement named it; on the target the same rules at the same places."""
    found = judge(SHELTER, text)
    blockers = [item for item in found.findings if item.severity is B]
    kinds = {"object-dropped", "orphaned-rows"}
    told = [(item.rule, item.table, item.line, item.cascaded) for item in blockers if item.rule not in kinds]
    assert sorted(expected) == sorted(told)
    again = {(item.rule, item.table, item.line) for item in found.again}
    assert {item[:3] for item in expected if item[0] != "renamed"} == again


def message(found: Judged, rule: str) -> str:
    """The one finding of a rule, as people read it."""
    [text] = [item.message for item in found.findings if item.rule == rule and item.severity is B]
    return text


def test_rows_that_left_are_said_to_be_kept(judge):
    """Nobody is told to archive what is still there; the place names the table that holds it."""
    said = message(judge(SHELTER, "ALTER TABLE weighing DETACH PARTITION weighing_2024"), "rows-lost")
    assert said.startswith("366 of 700 rows are no longer read through public.weighing")
    assert "they are kept in public.weighing_2024, which stands beside it now; done by m1, line 1" in said
    assert "Archive" not in said


def test_a_replaced_table_tells_both_the_lost_and_the_changed(judge):
    """By key, with the values before and after; the old table holds the lost row still."""
    found = judge(
        SHELTER,
        "CREATE TABLE visit_new (fee int, animal_id int, id int); INSERT INTO visit_new SELECT fee + (id = 3)::int, animal_id, id FROM visit WHERE id > 2;"
        "ALTER TABLE visit RENAME TO visit_old; ALTER TABLE visit_new RENAME TO visit",
    )
    table = found.tables["public.visit"]
    assert (True, 2, 1, {"fee": 1}, {"public.visit_old": 2}) == (
        table.replaced,
        table.rows_lost,
        table.rows_changed,
        table.values_changed,
        table.moved,
    )
    assert "2 of 600 rows are no longer read through public.visit (for example id=1, id=2)" in message(
        found, "rows-lost"
    )
    assert "1 of fee in 1 of 600 rows (for example id=3: fee '5' became '6')" in message(found, "content-changed")


def test_one_waiver_covers_what_cascaded_and_nothing_else(judge):
    """Also where a second file is pending; the rows that another statement deletes stay a blocker."""
    text = "-- dryrun: allow rows-lost because they moved to another shelter\nDELETE FROM animal WHERE id > 190;\nDELETE FROM ONLY being;"
    found = judge(SHELTER, "ALTER TABLE animal ADD note text", text)
    waivers = Waivers(inline_waivers(text, migration="m2", source="m2.sql"), date(2026, 1, 1))
    told = {item.table: item.waived for item in map(waivers.apply, found.findings) if item.rule == "rows-lost"}
    assert {"public.animal": True, "public.visit": True, "public.pill": True, "public.being": False} == told


SEVERAL = [
    pytest.param(["DELETE FROM pill WHERE dose < 5;\nDELETE FROM pill WHERE dose > 590"], [("m1", 1), ("m1", 2)], id="one file"),
    pytest.param(["DELETE FROM pill WHERE dose < 5", "DELETE FROM pill WHERE dose > 590"], [("m1", 1), ("m2", 1)], id="two files"),
    pytest.param(
        ["UPDATE visit SET fee = 6 WHERE id = 1;\nUPDATE visit v SET fee = 9, animal_id = 1 WHERE id = 2;\nUPDATE visit SET (animal_id, fee) = (2, fee) WHERE id = 3"],
        [("m1", 1), ("m1", 2), ("m1", 3)],
        id="values of the same and of other columns",
    ),
    pytest.param(
        ["ALTER TABLE animal ALTER name TYPE text USING left(name, 4);\nALTER TABLE animal ALTER COLUMN weight TYPE numeric(6,0)"],
        [("m1", 1), ("m1", 2)],
        id="two types",
    ),
    pytest.param(
        ["ALTER TABLE visit ADD net int;\nUPDATE visit SET net = fee;\nUPDATE visit SET fee = 7 WHERE fee = 5;\nCREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'UPDATE visit SET fee = 0'"],
        [("m1", 3)],
        id="a new column is filled beside it, a function is only made",
    ),
    pytest.param(["".join(f"UPDATE visit SET fee = {n} WHERE id = {n};\n" for n in range(10, 40))], [("m1", 1)], id="thirty of one shape"),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "expected"), SEVERAL)
def test_each_statement_that_may_have_done_it_takes_a_waiver(judge, texts, expected):
    """A waiver above one of them leaves the others a blocker; what wrote to other columns is none of them."""
    found = judge(SHELTER, *texts)
    told = [item for item in found.findings if item.rule in ("rows-lost", "content-changed") and item.severity is B]
    assert expected == [(item.migration, item.line) for item in told]
    lines = texts[0].splitlines()
    lines.insert(expected[0][1] - 1, f"-- dryrun: allow {told[0].rule} because it was agreed on")
    waivers = Waivers(inline_waivers("\n".join(lines), migration="m1", source="m1.sql"), date(2026, 1, 1))
    moved = [replace(item, line=(item.line or 0) + 1) if item.migration == "m1" else item for item in told]
    assert [True, *[False] * (len(told) - 1)] == [waivers.apply(item).waived for item in moved]
    assert (len(told) > 1) == (f"one of {len(told)} statements" in told[0].message)


def test_what_is_filled_is_a_note_with_counts(judge):
    """New columns, and columns that were NULL in every row."""
    found = judge(SHELTER, "ALTER TABLE animal ADD kind text; UPDATE animal SET kind = 'cat', chip = 'c' WHERE id < 51")
    assert [] == found.losses()
    assert ["50 NULLs became values in public.animal, column chip", "50 of 200 rows of public.animal get a value"] == [
        text.split(", written")[0].split(" in the new")[0] for text in found.notes()
    ]
    assert {"chip": 50} == found.tables["public.animal"].filled


def test_the_statement_that_fills_a_new_column_is_named(judge):
    """Not the one that adds it in an earlier file, which names table and column too."""
    merge = "SELECT 1;\nMERGE INTO animal USING (SELECT 3 AS id) s ON s.id = animal.id WHEN MATCHED THEN UPDATE SET kind = 'x'"
    found = judge(SHELTER, "ALTER TABLE animal ADD kind text", merge)
    (note,) = (item for item in found.findings if item.severity is Severity.INFO and item.rule == "content-changed")
    assert ("m2", 2) == (note.migration, note.line)


def test_writes_are_called_writes(judge):
    """One row written three times is three writes and one changed row."""
    found = judge(SHELTER, "; ".join(["UPDATE visit SET fee = fee + 1 WHERE id = 3"] * 3))
    [changed] = [item for item in found.findings if item.rule == "content-changed"]
    assert (1, {"inserted": 0, "updated": 3, "deleted": 0}) == (changed.evidence["rows"], changed.evidence["writes"])


FOREIGN = """
CREATE EXTENSION file_fdw; CREATE SERVER disk FOREIGN DATA WRAPPER file_fdw;
CREATE TABLE entry (year int, body text) PARTITION BY LIST (year);
CREATE TABLE entry_now PARTITION OF entry FOR VALUES IN (2026);
CREATE FOREIGN TABLE entry_old PARTITION OF entry FOR VALUES IN (2019) SERVER disk OPTIONS (filename '/dev/null', format 'csv');
INSERT INTO entry SELECT 2026, 'e' || g FROM generate_series(1, 40) g;
"""


def test_a_foreign_partition_leaves_out_only_itself(judge):
    """The rows of the others are compared; what is elsewhere was not touched, so nothing is unknown."""
    found = judge(FOREIGN, "DELETE FROM entry_now WHERE body = 'e7'")
    assert [("rows-lost", B, "public.entry", 1)] == found.losses()
    assert () == found.unknown


@pytest.mark.parametrize(
    ("text", "written", "line"),
    [
        ("SELECT 1;\nUPDATE entry SET body = body WHERE year = 2026", frozenset(), 2),
        ("DO $$ BEGIN EXECUTE 'DELETE FROM entry' || '_now WHERE false'; END $$", {"public.entry_old"}, 1),
    ],
    ids=["written to through its parent", "locked by a statement that writes"],
)
def test_a_foreign_table_that_is_touched_is_unknown(judge, text, written, line):
    """Nobody can tell what became of its rows: that is no loss, and no proof of none."""
    [unknown] = judge(FOREIGN, text, written=written).unknown
    assert ("not-verified", B, "public.entry_old", line) == (
        unknown.rule,
        unknown.severity,
        unknown.table,
        unknown.line,
    )
    assert "its rows live on another server" in unknown.message


CODES = (
    "CREATE TABLE code (k text PRIMARY KEY, v int); INSERT INTO code SELECT 'AB' || g, g FROM generate_series(1, 5) g"
)


@pytest.mark.parametrize(
    ("text", "line", "rekeyed"),
    [
        ("SELECT 1;\nUPDATE code SET k = lower(k)", 2, True),
        ("SELECT 1;\nALTER TABLE code ALTER k TYPE varchar(9) USING lower(k)", 2, True),
        ("SELECT 1;\nUPDATE code SET k = lower(k), v = v + 100", None, False),
        ("DELETE FROM code WHERE v < 3; INSERT INTO code VALUES ('x', 77), ('y', 78)", 1, False),
    ],
)
def test_keys_that_are_written_anew_are_called_that(judge, text, line, rekeyed):
    """The rows are there, and nobody who holds an old key finds them: a blocker that says so."""
    found = judge(CODES, text)
    [lost] = [item for item in found.findings if item.rule == "rows-lost"]
    assert (B, line) == (lost.severity, lost.line)
    said = "The keys of 5 of 5 rows of public.code changed (for example k=AB1 became k=ab1, "
    assert rekeyed is (said in lost.message)
    assert rekeyed is not (" are gone" in lost.message)


DEAD = """
CREATE EXTENSION file_fdw; CREATE SERVER disk FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE feed (day text NOT NULL, body text) SERVER disk OPTIONS (filename '/nowhere/to/be/read');
"""
AGAIN = "DROP FOREIGN TABLE feed; CREATE FOREIGN TABLE feed ({}) SERVER disk OPTIONS (filename '/nowhere/to/be/{}');"
COLUMNS = "day text NOT NULL, body text"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        (AGAIN.format(COLUMNS, "read"), True),
        (AGAIN.format("day text NOT NULL", "read"), False),
        (AGAIN.format("day text NOT NULL, body varchar", "read"), False),
        (AGAIN.format(COLUMNS, "seen"), False),
        (
            "DO $$ BEGIN IF false THEN INSERT INTO feed VALUES ('a'); END IF; END $$; " + AGAIN.format(COLUMNS, "read"),
            False,
        ),
    ],
    ids=["the same", "a column less", "another type", "another place", "written to before"],
)
def test_a_foreign_table_that_is_made_again(judge, text, safe):
    """As it was it loses nothing; the other server, which cannot be reached here, is not asked in any case."""
    found = judge(DEAD, text, written={"public.feed"})
    severities = {item.severity for item in (*found.findings, *found.unknown)}
    assert safe is (B not in severities)
    assert "nowhere" not in " ".join(item.message for item in (*found.findings, *found.unknown))


def test_a_materialized_view_left_without_rows_is_a_blocker(judge):
    """Every SELECT fails; one that is refreshed again is not."""
    view = SHELTER + "CREATE MATERIALIZED VIEW fees AS SELECT sum(fee) AS fee FROM visit;"
    found = judge(view, "REFRESH MATERIALIZED VIEW fees WITH NO DATA;")
    assert [("object-changed", B, "public.fees", 1)] == found.losses()


def test_a_materialized_view_that_is_refreshed_is_not(judge):
    """It was empty for a while; that is a matter of time, not of rows."""
    view = SHELTER + "CREATE MATERIALIZED VIEW fees AS SELECT sum(fee) AS fee FROM visit;"
    assert [] == judge(view, "REFRESH MATERIALIZED VIEW fees WITH NO DATA; REFRESH MATERIALIZED VIEW fees").losses()


MEMBERS = """
CREATE EXTENSION citext;
CREATE TABLE rate (code text PRIMARY KEY, own boolean NOT NULL); INSERT INTO rate VALUES ('a', false), ('b', true), ('c', true);
CREATE TABLE log (id int PRIMARY KEY); INSERT INTO log VALUES (1), (2), (3);
ALTER EXTENSION citext ADD TABLE rate; ALTER EXTENSION citext ADD TABLE log;
UPDATE pg_extension SET extconfig = ARRAY['rate'::regclass::oid], extcondition = ARRAY['WHERE own'] WHERE extname = 'citext';
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1", []),
        ("DELETE FROM rate WHERE code = 'b'", [("rows-lost", "public.rate")]),
        ("DELETE FROM rate WHERE code = 'a'", [("rows-lost", "public.rate")]),
        ("DELETE FROM log WHERE id = 2", [("rows-lost", "public.log")]),
        ("DROP EXTENSION citext", [("rows-lost", "public.log"), ("rows-lost", "public.rate")]),
    ],
)
def test_tables_of_extensions_are_compared_whole(judge, text, expected):
    """On a copy both sides hold all of their rows, those too that no dump carries."""
    found = judge(MEMBERS, text)
    assert expected == sorted((item.rule, str(item.table)) for item in found.findings if item.severity is B)


def test_a_dump_vouches_for_the_configuration_rows_alone(database):
    """Of a configuration table the rows are counted that pg_dump carries; a table it leaves out is listed."""
    execute(database, MEMBERS)
    found = take(database)
    assert [("public.rate", 2)] == [(table.table, table.rows) for table in found.tables]
    assert ["public.log"] == [item.table for item in found.not_verified]


def test_values_are_shown_without_secrets(database, postgres):
    """A value is cut after secrets were taken out of it: half of one would not be known for one."""
    secret = "s3cret-" + "x" * 80
    values = f"(1, 'key {secret}'), (2, '{'y' * 99}')"
    execute(database, f"CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES {values}, (3, NULL)")
    before = take(database)
    copy = databases.copy(postgres, database.dbname, f"{database.dbname}_copy")
    try:
        execute(copy, "UPDATE t SET v = NULL")
        [table] = compare_tables(before, database, copy, copied=True, redact=Redactor([secret]).text)
    finally:
        databases.drop(postgres, copy.dbname)
    assert [("id=1", "key [redacted]", None), ("id=2", "y" * 60 + "...", None)] == [
        (item.key, item.before, item.after) for item in table.samples
    ]


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("ab ", "ab", ("ab ", "ab")),
        ("a\nb", "a b", ("a\\nb", "a b")),
        ("y" * 500 + "1", "y" * 500 + "2", ("..." + "y" * 30 + "1", "..." + "y" * 30 + "2")),
        ("y" * 500 + "1" + "z" * 90, "y" * 500, ("..." + "y" * 30 + "1" + "z" * 29 + "...", "..." + "y" * 30)),
        ("y" * 500 + "s3cret" * 20, "y" * 500 + "none", ("..." + "y" * 30 + "[redacted]", "..." + "y" * 30 + "none")),
        ("old  text", "new", ("old text", "new")),
    ],
)
def test_two_values_never_look_the_same(database, postgres, before, after, shown):
    """Where both would be shown alike, the piece is shown that differs, with its spaces and without secrets."""
    execute(database, "CREATE TABLE t (id int PRIMARY KEY, v text)")
    with connect(database) as connection:
        connection.execute("INSERT INTO public.t VALUES (1, %s)", (before,))
    figures = take(database)
    copy = databases.copy(postgres, database.dbname, f"{database.dbname}_copy")
    try:
        with connect(copy) as connection:
            connection.execute("UPDATE public.t SET v = %s", (after,))
        redact = Redactor(["s3cret" * 20]).text
        [table] = compare_tables(figures, database, copy, copied=True, redact=redact)
    finally:
        databases.drop(postgres, copy.dbname)
    assert [shown] == [(item.before, item.after) for item in table.samples]


@pytest.mark.parametrize(
    ("column", "value", "change"),
    [
        ("json", """{"a": 1, "b": {"c": [{"k": 1, "k": 2}]}}""", Change.CONTENT_CHANGED),
        ("json", """{"a": 1,   "b": [1, {"a": 1}], "c": {"a": null}}""", Change.NONE),
        ("text", """{"a":1,"a":2}""", Change.CONTENT_CHANGED),
        ("text", """{"b":1,"a":[]}""", Change.NONE),
        ("json", """{"a": 1, "a": 1}""", Change.NONE),
    ],
)
def test_documents_are_compared_by_what_can_be_read_back(judge, column, value, change):
    """Of repeated keys jsonb keeps the last value: the others are lost. White space and order are not."""
    tables = f"CREATE TABLE doc (id int PRIMARY KEY, body {column}); INSERT INTO doc VALUES (1, '{value}'), (2, '[]')"
    found = judge(tables, "ALTER TABLE doc ALTER body TYPE jsonb USING body::jsonb")
    assert change is found.tables["public.doc"].change
    if change is Change.CONTENT_CHANGED:
        assert {"body": 1} == found.tables["public.doc"].values_changed
        assert "jsonb keeps the last value alone" in message(found, "content-changed")
