"""Comparing a database before and after a migration: what became of each table's rows."""

from __future__ import annotations

import psycopg
import pytest

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.model.values import Change, TableComparison
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.postgres.fingerprint import take
from pytest_dryrun.postgres.fingerprint.comparison import compare

pytestmark = pytest.mark.live


def run(database: Conninfo, *statements: str) -> None:
    """Execute statements, each for itself."""
    with psycopg.connect(**database.parameters(), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
def copy(database: Conninfo):
    """Where the migrated copy lives; dropped afterwards."""
    yield database.database(f"{database.dbname}_copy")
    run(database.database("postgres"), f"DROP DATABASE IF EXISTS {database.dbname}_copy WITH (FORCE)")


@pytest.fixture
def migrated(database: Conninfo, copy: Conninfo):
    """Run a migration on a template copy and compare."""

    def migrate(*statements: str) -> dict[str, TableComparison]:
        run(database.database("postgres"), f"CREATE DATABASE {copy.dbname} TEMPLATE {database.dbname}")
        before = take(database)
        run(copy, *statements)
        return {item.table: item for item in compare(before, database, copy)}

    run(
        database,
        "CREATE TABLE t (id int PRIMARY KEY, v text, n numeric(10,2), at timestamp)",
        "INSERT INTO t SELECT g, 'v' || g, g * 1.25, '2024-01-01' FROM generate_series(1, 3000) g",
        "CREATE TABLE keyless (a int, b text)",
        "INSERT INTO keyless SELECT g % 7, 'x' FROM generate_series(1, 50) g",
    )
    return migrate


@pytest.mark.parametrize(
    ("migration", "change", "columns", "keys"),
    [
        ("SELECT 1", Change.NONE, (), ()),
        ("INSERT INTO t VALUES (4000, 'n')", Change.ROWS_ADDED, (), ()),
        ("DELETE FROM t WHERE id IN (7, 42)", Change.ROWS_LOST, (), ("id=7", "id=42")),
        ("TRUNCATE t", Change.ROWS_LOST, (), ("id=1", "id=2", "id=3", "id=4", "id=5")),
        ("UPDATE t SET id = id + 10000 WHERE id = 5", Change.ROWS_LOST, (), ("id=5",)),
        ("UPDATE t SET v = NULL WHERE id = 9", Change.CONTENT_CHANGED, ("v",), ("id=9",)),
        ("UPDATE t SET n = -n WHERE id = 9", Change.CONTENT_CHANGED, ("n",), ("id=9",)),
        ("ALTER TABLE t ADD extra int NOT NULL DEFAULT 5", Change.NONE, (), ()),
        ("ALTER TABLE t DROP v", Change.NONE, (), ()),
        ("ALTER TABLE t RENAME v TO w", Change.NONE, (), ()),
        ("ALTER TABLE t ALTER id TYPE bigint, ALTER v TYPE varchar(99)", Change.NONE, (), ()),
        ("ALTER TABLE t ALTER n TYPE numeric(12,4)", Change.NONE, (), ()),
        ("ALTER TABLE t ALTER n TYPE numeric", Change.NONE, (), ()),
        ("ALTER TABLE t ALTER id TYPE text", Change.NONE, (), ()),
        ("ALTER TABLE t ALTER id TYPE numeric", Change.NONE, (), ()),
        ("ALTER TABLE t ALTER v TYPE varchar(4) USING left(v, 4)", Change.CONTENT_CHANGED, ("v",), None),
        ("ALTER TABLE t ALTER n TYPE int", Change.CONTENT_CHANGED, ("n",), ("id=1", "id=2", "id=3", "id=5", "id=6")),
        ("SET TimeZone = 'UTC'; ALTER TABLE t ALTER at TYPE timestamptz", Change.NONE, (), ()),
        ("SET TimeZone = 'Asia/Tokyo'; ALTER TABLE t ALTER at TYPE timestamptz", Change.CONTENT_CHANGED, ("at",), None),
        ("ALTER TABLE t DROP id", Change.NONE, (), ()),
        ("ALTER TABLE t DROP id; DELETE FROM t WHERE v = 'v3'", Change.ROWS_LOST, (), ()),
        ("DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (9999)", Change.ROWS_LOST, (), ("id=1",)),
        ("DELETE FROM t WHERE id = 1; UPDATE t SET v = '' WHERE id = 2", Change.ROWS_LOST, ("v",), ("id=1",)),
        ("INSERT INTO t VALUES (9999); UPDATE t SET v = '' WHERE id = 2", Change.CONTENT_CHANGED, ("v",), ("id=2",)),
    ],
)
def test_a_keyed_table_after_a_migration(migrated, migration, change, columns, keys):
    """The change, the columns and a few keys that show it."""
    found = migrated(migration)
    result = found["public.t"]
    assert (change, columns, ()) == (result.change, result.columns_changed, result.not_verified)
    assert keys is None or keys == result.keys
    assert Change.NONE == found["public.keyless"].change


@pytest.mark.parametrize(
    ("migration", "change", "columns"),
    [
        ("INSERT INTO keyless VALUES (1, 'x')", Change.ROWS_ADDED, ()),
        ("DELETE FROM keyless WHERE a = 3", Change.ROWS_LOST, ()),
        ("UPDATE keyless SET b = 'y' WHERE a = 3", Change.CONTENT_CHANGED, ("b",)),
        ("DELETE FROM keyless WHERE a = 3; INSERT INTO keyless SELECT 9, 'z' FROM generate_series(1,7)", None, None),
    ],
)
def test_a_table_without_a_key_is_a_multiset(migrated, migration, change, columns):
    """Rows are told apart by all their values; rewritten rows that share nothing with the old ones are lost."""
    result = migrated(migration)["public.keyless"]
    expected = (Change.ROWS_LOST, ()) if change is None else (change, columns)
    assert expected == (result.change, result.columns_changed)


def test_tables_are_followed_by_oid(migrated):
    """Renamed and moved is the same table; dropped and created under its name is not."""
    found = migrated(
        "CREATE SCHEMA s",
        'ALTER TABLE t RENAME TO "T 2"',
        'ALTER TABLE "T 2" SET SCHEMA s',
        "DROP TABLE keyless",
        "CREATE TABLE fresh AS SELECT 1 AS a",
    )
    assert {"public.t": Change.NONE, "public.keyless": Change.DROPPED, "public.fresh": Change.CREATED} == {
        name: item.change for name, item in found.items()
    }
    assert 's."T 2"' == found["public.t"].renamed_to
    assert (50, None) == (found["public.keyless"].rows_before, found["public.keyless"].rows_after)
    assert (None, 1) == (found["public.fresh"].rows_before, found["public.fresh"].rows_after)


def test_an_enum_replaced_as_prisma_does_it_keeps_its_labels(database, migrated):
    """A new enum type with the same labels is no change; a label that was mapped to another one is."""
    run(database, "CREATE TYPE mood AS ENUM ('a', 'b')", "CREATE TABLE e (id int PRIMARY KEY, m mood, k mood)")
    run(database, "INSERT INTO e VALUES (1, 'a', 'a'), (2, 'b', 'b')")
    found = migrated(
        "CREATE TYPE mood_new AS ENUM ('a', 'c')",
        "ALTER TABLE e ALTER m TYPE mood_new USING (replace(m::text, 'b', 'c')::mood_new)",
        "ALTER TABLE e ALTER k TYPE text",
    )
    assert (Change.CONTENT_CHANGED, ("m",), ("id=2",)) == (
        found["public.e"].change,
        found["public.e"].columns_changed,
        found["public.e"].keys,
    )


def test_a_cast_that_fails_on_the_data_is_not_verified(migrated):
    """Where the old value has no counterpart in the new type, the column is named instead of called equal."""
    result = migrated("ALTER TABLE t ALTER v TYPE int USING id")["public.t"]
    assert Change.NONE == result.change
    assert 1 == len(result.not_verified)
    assert result.not_verified[0].startswith(
        "v: its type changed from text to integer, and the old values cannot be cast"
    )


@pytest.mark.parametrize("old", ["text", "numeric"])
@pytest.mark.parametrize("new", ["int", "bigint"])
@pytest.mark.parametrize(
    ("statements", "change", "keys"),
    [((), Change.NONE, ()), (("DELETE FROM k WHERE id = 7",), Change.ROWS_LOST, ("id=7",))],
    ids=["all there", "one gone"],
)
def test_a_key_that_becomes_an_integer_names_the_same_rows(database, migrated, old, new, statements, change, keys):
    """The rows are all there, and one that is gone is told by its key."""
    run(
        database,
        f"CREATE TABLE k (id {old} PRIMARY KEY, v text)",
        "INSERT INTO k SELECT g, g FROM generate_series(1, 50) g",
    )
    found = migrated(f"ALTER TABLE k ALTER id TYPE {new} USING id::{new}", *statements)["public.k"]
    assert (change, keys) == (found.change, found.keys)


def test_json_to_jsonb_is_cast_forward(database, migrated):
    """Whitespace that jsonb does not keep is no changed value; another value is."""
    run(database, "CREATE TABLE j (id int PRIMARY KEY, a json, b json)", """INSERT INTO j VALUES (1, '{"x":1}', '1')""")
    result = migrated("ALTER TABLE j ALTER a TYPE jsonb, ALTER b TYPE jsonb USING '2'::jsonb")["public.j"]
    assert (Change.CONTENT_CHANGED, ("b",)) == (result.change, result.columns_changed)


def test_duplicated_rows_after_a_dropped_key_are_added(migrated):
    """A key that is no key any more does not hide rows."""
    result = migrated("ALTER TABLE t DROP CONSTRAINT t_pkey", "INSERT INTO t SELECT * FROM t WHERE id = 1")["public.t"]
    assert (Change.ROWS_ADDED, 3001) == (result.change, result.rows_after)


def test_partitioned_tables_are_compared_as_one(database, migrated):
    """Rows that move to another partition are still there."""
    run(
        database,
        "CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
        "CREATE TABLE p_rest PARTITION OF p DEFAULT",
        "INSERT INTO p VALUES (1, 'a'), (20, 'b')",
    )
    found = migrated(
        "WITH gone AS (DELETE FROM p WHERE id = 1 RETURNING *) SELECT * INTO kept FROM gone",
        "CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (10)",
        "INSERT INTO p SELECT * FROM kept",
        "DROP TABLE kept",
    )
    assert {"public.p", "public.p_rest", "public.t", "public.keyless"} == set(found)
    assert (Change.NONE, 2, 2) == (
        found["public.p"].change,
        found["public.p"].rows_before,
        found["public.p"].rows_after,
    )
    part = found["public.p_rest"]
    assert ("public.p", Change.NONE, 2, 1) == (part.part_of, part.change, part.rows_before, part.rows_after)


def test_hostile_names_are_only_names(database, migrated):
    """Quotes, per cent signs, braces and HTML in names reach neither the SQL nor the key's text."""
    run(
        database,
        """CREATE TABLE "a %s {0} "".x" ("<b>%(k)s" text, "c'd" int, PRIMARY KEY ("<b>%(k)s", "c'd"), "v;--" int)""",
    )
    run(database, """INSERT INTO "a %s {0} "".x" VALUES ('k''%', 1, 1)""")
    result = migrated("""UPDATE "a %s {0} "".x" SET "v;--" = 2""")['public."a %s {0} "".x"']
    assert (("v;--",), ("<b>%(k)s=k'%, c'd=1",)) == (result.columns_changed, result.keys)


def test_a_restored_backup_may_stand_for_the_rows_before(database, migrated, copy):
    """The side before is found by name, so another database with the same rows serves as well."""
    found = migrated("UPDATE t SET v = '' WHERE id = 1")
    before = take(copy)
    assert Change.CONTENT_CHANGED == found["public.t"].change
    run(database, "DROP TABLE t", "CREATE TABLE t (v text, at timestamp, n numeric(10,2), id int PRIMARY KEY)")
    run(database, "INSERT INTO t SELECT 'v' || g, '2024-01-01', g * 1.25, g FROM generate_series(1, 3000) g")
    run(database, "UPDATE t SET v = '' WHERE id = 1")
    assert {Change.NONE} == {item.change for item in compare(before, database, copy)}


def test_nothing_is_left_behind(database, migrated):
    """The temporary tables on the side before are gone when the comparison is."""
    migrated("UPDATE t SET v = '' WHERE id = 1")
    with psycopg.connect(**database.parameters()) as connection:
        left = connection.execute("SELECT count(*) FROM pg_class WHERE relname LIKE 'dryrun_%'").fetchone()
    assert (0,) == left


def test_a_missing_side_before_is_refused(database, migrated, copy):
    """A database that does not hold the old rows cannot call anything equal."""
    migrated("SELECT 1")
    before = take(copy)
    run(database, "DROP TABLE t")
    with pytest.raises(TargetUnusable, match=r"public\.t is missing from the database that should hold the rows"):
        compare(before, database, copy)


def test_a_replaced_table_is_compared_under_its_name(migrated):
    """By column name and the old key, whatever became of the old one: lost and changed are counted at once."""
    found = migrated(
        "CREATE TABLE t_new (n numeric(12,4), id bigint, v varchar(50))",
        "INSERT INTO t_new SELECT n, id, CASE id WHEN 40 THEN 'other' ELSE v END FROM t WHERE id <> 17",
        "DROP TABLE t",
        "ALTER TABLE t_new RENAME TO t",
    )
    table = found["public.t"]
    assert {"public.t", "public.keyless"} == set(found)
    assert (True, Change.ROWS_LOST, 3000, 2999, ("id=17",)) == (
        table.replaced,
        table.change,
        table.rows_before,
        table.rows_after,
        table.keys,
    )
    assert (1, 1, {"v": 1}, {"at": 3000}) == (
        table.rows_lost,
        table.rows_changed,
        table.values_changed,
        table.columns_gone,
    )
    assert [("id=40", "v", "v40", "other")] == [(s.key, s.column, s.before, s.after) for s in table.samples]


def test_two_tables_that_changed_names_are_compared_by_name_too(database, migrated):
    """Each is followed by its oid, and what stands under its name now is another one."""
    run(database, "CREATE TABLE u (LIKE t INCLUDING ALL)", "INSERT INTO u SELECT * FROM t WHERE id < 2000")
    found = migrated("ALTER TABLE t RENAME TO s", "ALTER TABLE u RENAME TO t")
    assert (True, 1001, "public.s", {"public.s": 1001}) == (
        found["public.t"].replaced,
        found["public.t"].rows_lost,
        found["public.t"].renamed_to,
        found["public.t"].moved,
    )
    assert (False, Change.NONE, "public.t") == (
        found["public.u"].replaced,
        found["public.u"].change,
        found["public.u"].renamed_to,
    )


def test_rows_leave_a_parent_with_its_child(database, migrated):
    """However far up the parent is; the child that stayed takes nothing along."""
    run(
        database,
        "CREATE TABLE top (a int)",
        "CREATE TABLE middle () INHERITS (top)",
        "CREATE TABLE low () INHERITS (middle)",
        "CREATE TABLE stays () INHERITS (top)",
        *(f"INSERT INTO {name} SELECT * FROM generate_series(1, 10) a" for name in ("top", "middle", "low", "stays")),
    )
    found = migrated("ALTER TABLE middle NO INHERIT top")
    assert (Change.ROWS_LOST, 20, {"public.low": 10, "public.middle": 10}) == (
        found["public.top"].change,
        found["public.top"].rows_lost,
        found["public.top"].moved,
    )
    assert Change.NONE == found["public.middle"].change


@pytest.mark.parametrize(("first", "change", "filled"), [("NULL", Change.NONE, {"c": 50}), ("7", None, {})])
def test_nulls_become_values(database, migrated, first, change, filled):
    """A column that was NULL in every row has nothing to lose; one value among the NULLs makes it a change."""
    run(database, f"ALTER TABLE keyless ADD c int; UPDATE keyless SET c = {first} WHERE a = 1")
    result = migrated("UPDATE keyless SET c = 1")["public.keyless"]
    assert (change or Change.CONTENT_CHANGED, filled) == (result.change, result.filled)


def test_a_detached_partition_keeps_its_rows(database, migrated):
    """They are lost to the whole and kept beside it; a partition of another server is left out, and nothing else."""
    run(
        database,
        "CREATE EXTENSION file_fdw",
        "CREATE SERVER disk FOREIGN DATA WRAPPER file_fdw",
        "CREATE TABLE p (id int, k int) PARTITION BY LIST (k)",
        "CREATE TABLE p_1 PARTITION OF p FOR VALUES IN (1)",
        "CREATE TABLE p_2 PARTITION OF p FOR VALUES IN (2) PARTITION BY RANGE (id)",
        "CREATE TABLE p_2_low PARTITION OF p_2 FOR VALUES FROM (0) TO (100)",
        "CREATE FOREIGN TABLE p_3 PARTITION OF p FOR VALUES IN (3) SERVER disk OPTIONS (filename '/nowhere')",
        "INSERT INTO p SELECT g, 1 + g % 2 FROM generate_series(1, 60) g",
    )
    found = migrated(
        "ALTER TABLE p DETACH PARTITION p_2", "DELETE FROM p_1 WHERE id < 11", "ALTER TABLE p_2 RENAME TO q"
    )
    assert (Change.ROWS_LOST, 60, 25, 35, {"public.q": 30}) == (
        found["public.p"].change,
        found["public.p"].rows_before,
        found["public.p"].rows_after,
        found["public.p"].rows_lost,
        found["public.p"].moved,
    )


@pytest.mark.parametrize("columns", [1000, 1600])
def test_a_table_of_very_many_columns(database, migrated, columns):
    """With a key and without one: read and compared without recursion by columns."""
    declared = ", ".join(f"c{number} smallint" for number in range(2, columns))
    run(
        database,
        f"CREATE TABLE w (c0 int, c1 int, {declared})",
        f"CREATE TABLE k (c0 int PRIMARY KEY, c1 int NOT NULL, {declared})",
        *(f"INSERT INTO {name} (c0, c1) SELECT g, g FROM generate_series(1, 50) g" for name in "wk"),
    )
    found = migrated(
        "UPDATE w SET c1 = -1 WHERE c0 = 9", "UPDATE k SET c1 = -1 WHERE c0 = 9", "DELETE FROM k WHERE c0 = 8"
    )
    assert (Change.CONTENT_CHANGED, 1, {"c1": 1}) == (
        found["public.w"].change,
        found["public.w"].rows_changed,
        found["public.w"].values_changed,
    )
    assert (Change.ROWS_LOST, ("c0=8",), {"c1": 1}) == (
        found["public.k"].change,
        found["public.k"].keys,
        found["public.k"].values_changed,
    )


def test_the_applications_event_triggers_do_not_fire_for_the_comparison(database, migrated):
    """One that logs DDL among the rows that are compared, and one that refuses tables without a key, see nothing."""
    run(
        database,
        "CREATE TABLE ddl_log (id serial PRIMARY KEY, tag text)",
        "CREATE FUNCTION log_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO public.ddl_log (tag) VALUES (tg_tag); END $$",
        "CREATE EVENT TRIGGER logging ON ddl_command_end EXECUTE FUNCTION log_ddl()",
        "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'a table needs a primary key'; END $$",
        "CREATE EVENT TRIGGER refusing ON ddl_command_end WHEN TAG IN ('CREATE TABLE AS') EXECUTE FUNCTION refuse()",
    )
    found = migrated("DELETE FROM t WHERE id = 7", "CREATE TABLE another (id int PRIMARY KEY)")
    assert (Change.ROWS_LOST, ("id=7",)) == (found["public.t"].change, found["public.t"].keys)
    assert Change.ROWS_ADDED is found["public.ddl_log"].change


def test_a_composite_type_with_one_more_attribute_keeps_its_values(database, migrated):
    """The text of every value is another one; its old attributes are what counts, NULL values and rows included."""
    run(database, "CREATE TYPE place AS (street text, zip text)", "CREATE TABLE home (id int PRIMARY KEY, at place)")
    run(database, "INSERT INTO home VALUES (1, ('s', '1')), (2, ('t', NULL)), (3, NULL), (4, (NULL, NULL))")
    more = ("ALTER TYPE place ADD ATTRIBUTE city text", "ALTER TYPE place RENAME ATTRIBUTE zip TO code")
    found = migrated(*more)["public.home"]
    assert (Change.NONE, ()) == (found.change, found.not_verified)


def test_a_changed_attribute_is_found_among_more_of_them(database, migrated):
    """A value that lost an attribute's content is changed."""
    run(database, "CREATE TYPE place AS (street text, zip text)", "CREATE TABLE home (id int PRIMARY KEY, at place)")
    run(database, "INSERT INTO home VALUES (1, ('s', '1')), (2, ('t', '2')), (3, NULL)")
    changed = "UPDATE home SET at = ROW('s', NULL, 'c')::place WHERE id = 1; UPDATE home SET at.city = 'c' WHERE id = 3"
    found = migrated("ALTER TYPE place ADD ATTRIBUTE city text", changed)["public.home"]
    assert (Change.CONTENT_CHANGED, {"at": 2}) == (found.change, found.values_changed)


HEIRS = (
    "CREATE TABLE event (id int PRIMARY KEY, what text)",
    "CREATE TABLE old_event (PRIMARY KEY (id)) INHERITS (event)",
    "INSERT INTO event SELECT g, 'e' || g FROM generate_series(1, 40) g",
    "INSERT INTO old_event SELECT g, 'e' || g FROM generate_series(41, 50) g",
)
MOVE = "WITH gone AS (DELETE FROM ONLY event WHERE id <= 9 RETURNING *) INSERT INTO old_event SELECT id, {} FROM gone"


@pytest.mark.parametrize(
    ("migration", "change", "lost"),
    [
        (MOVE.format("what"), Change.NONE, 0),
        (MOVE.format("what") + "; INSERT INTO event VALUES (99, 'new')", Change.NONE, 0),
        (MOVE.format("what") + " WHERE id > 2", Change.ROWS_LOST, 9),
        (MOVE.format("upper(what)"), Change.ROWS_LOST, 9),
        (MOVE.format("what") + "; ALTER TABLE old_event NO INHERIT event", Change.ROWS_LOST, 19),
        ("DELETE FROM event WHERE id IN (3, 45)", Change.ROWS_LOST, 1),
    ],
)
def test_rows_moved_into_a_table_that_inherits_are_not_lost(database, migrated, migration, change, lost):
    """They are read through the parent as before; rows that are nowhere, or look otherwise, are lost."""
    run(database, *HEIRS)
    found = migrated(migration)["public.event"]
    assert (change, lost) == (found.change, found.rows_lost)
