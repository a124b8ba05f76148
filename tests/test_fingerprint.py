"""The fingerprint on a real server: what it tells apart, what it does not, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.postgres.fingerprint import TableFingerprint, take
from pytest_dryrun.postgres.fingerprint.counters import TupleCounters, tuple_counters
from pytest_dryrun.postgres.fingerprint.proof import Kind, proof
from pytest_dryrun.postgres.snapshot import snapshot

pytestmark = pytest.mark.live

BINDIR = Path("/usr/lib/postgresql/15/bin")

# Type, one value, and another that its own hash operator class, where it has one, cannot or must not tell apart.
NEIGHBOURS = [
    ("int2", "1", "-1"),
    ("int4", "1", "2"),
    ("int8", "1", "4294967296"),
    ("int8", "-1", "4294967295"),
    ("numeric", "5.00", "-5.00"),
    ("numeric", "1", "10000"),
    ("numeric", "'NaN'", "'Infinity'"),
    ("numeric", "1.0", "1.00"),
    ("numeric(6,2)", "5", "-5"),
    ("numeric(6,2)", "0", "'NaN'"),
    ("numeric(6,2)", "0", "0.01"),
    ("numeric(6)", "1", "10000"),
    ("numeric(6,2)[]", "'{5}'", "'{-5}'"),
    ("public.prices", "'{5}'", "'{-5}'"),
    ("float4", "0.1", "0.2"),
    ("float8", "0", "'-0'"),
    ("bool", "true", "false"),
    ("text", "'a'", "'a '"),
    ("varchar", "'a'", "'A'"),
    ("bpchar", "'a'", "'a '"),
    ("char(3)", "'a'", "'b'"),
    ('"char"', "'a'", "'b'"),
    ("name", "'a'", "'b'"),
    ("bytea", r"'\x00'", r"'\x0000'"),
    ("date", "'2024-01-01'", "'infinity'"),
    ("date", "'infinity'", "'-infinity'"),
    ("time", "'10:00'", "'10:00:00.000001'"),
    ("timetz", "'10:00+00'", "'11:00+01'"),
    ("timestamp", "'2024-01-01'", "'2024-01-01 00:00:00.000001'"),
    ("timestamptz", "'2024-01-01Z'", "'infinity'"),
    ("interval", "'1 mon'", "'30 days'"),
    ("uuid", "'00000000-0000-0000-0000-000000000000'", "'00000000-0000-0000-0000-000000000001'"),
    ("json", """'{"a":1}'""", """'{"a": 1}'"""),
    ("jsonb", "'[[1],2]'", "'[[1,2]]'"),
    ("jsonb", "'-1'", "'1'"),
    ("jsonb", "'1.0'", "'1.00'"),
    ("xml", "'<a/>'", "'<a></a>'"),
    ("money", "'1.00'", "'-1.00'"),
    ("point", "'(0,1)'", "'(1,0)'"),
    ("box", "'(0,0),(1,1)'", "'(0,0),(1,2)'"),
    ("polygon", "'((0,0),(1,1))'", "'((0,0),(1,2))'"),
    ("bit(3)", "'101'", "'100'"),
    ("varbit", "'10'", "'100'"),
    ("inet", "'10.0.0.1'", "'10.0.0.1/8'"),
    ("cidr", "'10.0.0.0/8'", "'10.0.0.0/9'"),
    ("macaddr", "'08:00:2b:01:02:03'", "'08:00:2b:01:02:04'"),
    ("tsvector", "'a b'", "'a:1 b'"),
    ("tsquery", "'a & b'", "'a | b'"),
    ("int4[]", "'{1,2,3,4}'", "'{{1,2},{3,4}}'"),
    ("int4[]", "'{1,2}'", "'[0:1]={1,2}'"),
    ("text[]", "'{NULL}'", """'{"NULL"}'"""),
    ("numeric[]", "'{1}'", "'{-1}'"),
    ("json[]", "ARRAY['1'::json]", "ARRAY['2'::json]"),
    ("int4range", "'[1,3)'", "'[1,4)'"),
    ("numrange", "'[1,3)'", "'[-1,3)'"),
    ("int4multirange", "'{[1,3)}'", "'{}'"),
    ("jsonpath", "'$.a'", "'$.b'"),
    ("pg_lsn", "'0/1'", "'0/2'"),
    ("regclass", "'pg_class'", "'pg_type'"),
    ("oid", "1", "2"),
    ("xid", "'1'", "'2'"),
    ("tid", "'(0,1)'", "'(0,2)'"),
    ("public.mood", "'sad'", "'happy'"),
    ("public.mood[]", "'{sad}'", "'{happy}'"),
    ("public.feeling", "'sad'", "'happy'"),
    ("public.pair", "'(1,)'", """'(1,"")'"""),
    ("public.pairs", "ARRAY['(1,a)'::public.pair]", "ARRAY['(1,b)'::public.pair]"),
    ("public.positive", "1.5", "1.50"),
    ("public.balance", "1.5", "-1.5"),
    ("public.onday", "'2024-01-01'", "'2024-01-02'"),
    ("public.loose", "'a'", "'A'"),
]
TYPES = (
    "CREATE TYPE public.mood AS ENUM ('sad', 'happy')",
    "CREATE DOMAIN public.feeling AS public.mood",
    "CREATE TYPE public.pair AS (a int, b text)",
    "CREATE DOMAIN public.pairs AS public.pair[]",
    "CREATE DOMAIN public.positive AS numeric CHECK (VALUE > 0)",
    "CREATE DOMAIN public.balance AS numeric(8,2)",
    "CREATE DOMAIN public.prices AS numeric(8,2)[]",
    "CREATE DOMAIN public.day AS date",
    "CREATE DOMAIN public.onday AS public.day",
    "CREATE COLLATION public.blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
    "CREATE DOMAIN public.loose AS text COLLATE public.blind",
)
NAMES = ['a "quoted" one', "with space", "with.dot", "<b>html</b>", "x" * 63, "100% {sure}", "ü'; --"]


def run(database: Conninfo, *statements: str | sql.Composable) -> None:
    """Execute statements, each for itself."""
    with psycopg.connect(**database.parameters(), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def table(database: Conninfo, name: str = "t", mode: str = "exact") -> TableFingerprint:
    """The fingerprint of one table."""
    return next(item for item in take(database, mode=mode, workers=1).tables if item.name == name)


def restored(database: Conninfo, snapshot_id: str | None = None) -> None:
    """Dump a database and restore it over a copy named `NAME_copy`."""
    run(database.database("postgres"), f"CREATE DATABASE {database.dbname}_copy")
    environment = {**os.environ, **database.environment()}
    dump = [BINDIR / "pg_dump", *([f"--snapshot={snapshot_id}"] if snapshot_id else [])]
    archive = subprocess.run(dump, check=True, env=environment, stdout=subprocess.PIPE, timeout=60).stdout
    psql = [BINDIR / "psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", f"{database.dbname}_copy"]
    subprocess.run(psql, check=True, env=environment, input=archive, stdout=subprocess.DEVNULL, timeout=60)


@pytest.fixture
def copy(database: Conninfo):
    """Where `restored` puts the copy; dropped afterwards."""
    yield database.database(f"{database.dbname}_copy")
    run(database.database("postgres"), f"DROP DATABASE IF EXISTS {database.dbname}_copy WITH (FORCE)")


def kinds(database: Conninfo, copy: Conninfo) -> list[tuple[str, Kind]]:
    """What the proof of a copy says, in short."""
    return [(item.table, item.kind) for item in proof(take(database), take(copy))]


def test_every_type_tells_neighbours_apart(database):
    """Values that a type's own hash class confuses get different sums, in each column of its own."""
    columns = [f"c{number}" for number in range(len(NEIGHBOURS))]
    declared = ", ".join(f"{name} {kind}" for name, (kind, _, _) in zip(columns, NEIGHBOURS, strict=True))
    run(database, *TYPES, f"CREATE TABLE t (id int PRIMARY KEY, {declared})")
    sums = []
    for side in (1, 2):
        run(database, "TRUNCATE t", f"INSERT INTO t VALUES (1, {', '.join(row[side] for row in NEIGHBOURS)})")
        sums.append(table(database).columns)
    confused = [row for name, row in zip(columns, NEIGHBOURS, strict=True) if sums[0][name] == sums[1][name]]
    assert [] == confused


def test_small_differences_of_hashes_do_not_cancel(database):
    """The server's hash of a number tells powers of 10000 apart by one bit, which two rows could set and clear."""
    unnoticed = []
    for first in range(1, 17, 2):
        run(database, "DROP TABLE IF EXISTS t", "CREATE TABLE t (id int PRIMARY KEY, c numeric(8,2) NOT NULL)")
        run(database, f"INSERT INTO t VALUES ({first}, 1), ({first + 1}, 1)")
        before = table(database).columns["c"]
        run(database, "UPDATE t SET c = 10000")
        if table(database).columns["c"] == before:
            unnoticed.append(first)
    assert [] == unnoticed


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [("numeric", "1.0", "1.00"), ("float8", "0", "'-0'"), ("bpchar", "'a'", "'a '")],
)
def test_semantic_mode_takes_equal_values_for_equal(database, kind, one, other):
    """What is equal but printed otherwise only differs in exact mode."""
    found = []
    for value in (one, other):
        run(database, "DROP TABLE IF EXISTS t", f"CREATE TABLE t (id int PRIMARY KEY, c {kind})")
        run(database, f"INSERT INTO t VALUES (1, {value})")
        found.append((table(database, mode="semantic").columns, table(database).columns))
    assert found[0][0] == found[1][0]
    assert found[0][1] != found[1][1]


@pytest.mark.parametrize("mode", ["exact", "semantic"])
def test_signs_of_rows_whose_keys_mirror_each_other(database, mode):
    """Ids 0 and -1 are each other's complement: that must not make their signs cancel."""
    run(
        database,
        "CREATE TABLE t (id int PRIMARY KEY, c numeric(8,2), d numeric)",
        "INSERT INTO t VALUES (0, 5), (-1, 5)",
    )
    found = []
    for values in ("c = 5, d = 0", "c = -5, d = '-Infinity'"):
        run(database, f"UPDATE t SET {values}")
        found.append(table(database, mode=mode).columns)
    assert ["c", "d"] == [name for name in found[0] if found[0][name] != found[1][name]]


@pytest.mark.parametrize(
    ("one", "other"), [("5", "-5"), ("1", "10000"), ("'NaN'", "'Infinity'"), ("'-Infinity'", "'NaN'"), ("0", "'NaN'")]
)
def test_semantic_mode_tells_numbers_apart(database, one, other):
    """Those that the server's own hash takes for one."""
    found = []
    for value in (one, other):
        run(database, "DROP TABLE IF EXISTS t", "CREATE TABLE t (id int PRIMARY KEY, c numeric)")
        run(database, f"INSERT INTO t VALUES (1, {value})")
        found.append(table(database, mode="semantic").columns)
    assert found[0] != found[1]


def test_a_dump_restores_to_the_same_fingerprint(database, copy):
    """Every type, hostile names, partitions, sequences and large objects survive pg_dump under one snapshot."""
    columns = ", ".join(f"c{number} {kind}" for number, (kind, _, _) in enumerate(NEIGHBOURS))
    rows = ", ".join(f"({key}, {', '.join(row[key] for row in NEIGHBOURS)})" for key in (1, 2))
    for name in NAMES:
        composed = sql.SQL("CREATE TABLE {0} ({0} int PRIMARY KEY, dropped int, v text)").format(sql.Identifier(name))
        fill = sql.SQL("INSERT INTO {} VALUES (1, 1, 'x')").format(sql.Identifier(name))
        drop = sql.SQL("ALTER TABLE {} DROP COLUMN dropped").format(sql.Identifier(name))
        run(database, composed, fill, drop)
    run(
        database,
        *TYPES,
        f"CREATE TABLE t (id int PRIMARY KEY, {columns}, g int GENERATED ALWAYS AS (id * 2) STORED)",
        f"INSERT INTO t VALUES {rows}",
        "INSERT INTO t VALUES (3)",
        "CREATE TABLE nothing ()",
        "INSERT INTO nothing DEFAULT VALUES",
        "CREATE TABLE keyless (a int, b text)",
        "INSERT INTO keyless VALUES (1, NULL), (1, NULL), (NULL, 'x')",
        "CREATE TABLE parted (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
        "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10)",
        "INSERT INTO parted VALUES (1, 'a')",
        "CREATE TABLE child () INHERITS (keyless)",
        "INSERT INTO child VALUES (7, 'child')",
        "CREATE UNLOGGED TABLE volatile (a int)",
        "CREATE SEQUENCE s",
        "SELECT nextval('s')",
        "SELECT lo_from_bytea(4711, 'abc')",
    )
    with snapshot(database) as taken:
        before = take(database, snapshot_id=taken.id)
        run(database, "INSERT INTO keyless VALUES (99, 'during the dump')")
        restored(database, taken.id)
    after = take(copy)
    assert () == proof(before, after)
    rows_by_name = {item.name: item.rows for item in before.tables}
    assert {"nothing": 1, "keyless": 3, "parted": 1, "child": 1, "pg_largeobject": 1}.items() <= rows_by_name.items()
    assert "parted_1" not in rows_by_name
    assert ["volatile"] == [item.name for item in before.tables if item.volatile]
    run(copy, "SELECT lo_put(4711, 0, 'X')", "UPDATE t SET c0 = 7 WHERE id = 1", "SELECT setval('s', 1, false)")
    found = {(item.table, item.kind, item.columns) for item in proof(before, take(copy))}
    expected = {
        ("pg_catalog.pg_largeobject", Kind.CONTENT, ("data",)),
        ("public.t", Kind.CONTENT, ("c0",)),
        ("public.s", Kind.SEQUENCE, ()),
    }
    assert expected == found


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("DELETE FROM t WHERE id = 1", [("public.t", Kind.ROWS)]),
        ("INSERT INTO t VALUES (9, 'n')", [("public.t", Kind.ROWS)]),
        ("UPDATE t SET v = NULL WHERE id = 1", [("public.t", Kind.CONTENT)]),
        ("UPDATE t SET v = CASE id WHEN 1 THEN 'b' ELSE 'a' END", [("public.t", Kind.CONTENT)]),
        ("UPDATE keyless SET b = CASE a WHEN 1 THEN 'y' ELSE 'x' END", [("public.keyless", Kind.CONTENT)]),
        ("UPDATE keyless SET a = 3", [("public.keyless", Kind.CONTENT)]),
        ("ALTER TABLE t ALTER v TYPE varchar", [("public.t", Kind.COLUMNS)]),
        ("ALTER TABLE t DROP CONSTRAINT t_pkey", [("public.t", Kind.COLUMNS)]),
        ("DROP TABLE t", [("public.t", Kind.MISSING)]),
        ("CREATE TABLE more ()", [("public.more", Kind.EXTRA)]),
        ("DROP SEQUENCE s", [("public.s", Kind.MISSING)]),
        ("ALTER SEQUENCE s RESTART 1", [("public.s", Kind.SEQUENCE)]),
        ("SELECT setval('s', 50)", []),
    ],
)
def test_the_proof_notices_damage(database, copy, damage, expected):
    """Each thing that a restore may get wrong is found and named; a sequence may run ahead."""
    run(database, "CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    run(database, "CREATE TABLE keyless (a int, b text)", "INSERT INTO keyless VALUES (1, 'x'), (2, 'y')")
    run(database, "CREATE SEQUENCE s", "SELECT setval('s', 10)")
    run(database.database("postgres"), f"CREATE DATABASE {copy.dbname} TEMPLATE {database.dbname}")
    assert [] == kinds(database, copy)
    run(copy, damage)
    assert expected == kinds(database, copy)[:1]


def test_duplicates_do_not_cancel(database):
    """Two rows of 1 are not two rows of 2, which XOR would say."""
    run(database, "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1), (1)")
    ones = table(database)
    run(database, "UPDATE t SET a = 2")
    twos = table(database)
    assert ones.columns != twos.columns
    assert ones.row_sum != twos.row_sum


def test_what_is_not_verified_is_listed(database, postgres):
    """Foreign tables, materialized views and tables without SELECT are named, never counted as equal."""
    run(
        database,
        "CREATE EXTENSION postgres_fdw",
        "CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw",
        "CREATE FOREIGN TABLE f (a int) SERVER far",
        "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a",
        "CREATE TABLE secret (a int)",
        "CREATE TEMP TABLE passing (a int)",
        f"CREATE ROLE reader_{database.dbname} LOGIN PASSWORD 'pw'",
    )
    try:
        full = take(database)
        assert {"public.f": True, "public.m": True} == {item.table: item.expected for item in full.not_verified}
        assert [False, False] == [item.disproves for item in proof(full, full)]
        login = Conninfo(database.host, database.port, f"reader_{database.dbname}", database.dbname, "pw")
        limited = take(login)
        assert "public.secret" in [item.table for item in limited.not_verified if not item.expected]
        assert [("public.secret", Kind.NOT_VERIFIED)] == [
            (item.table, item.kind) for item in proof(limited, limited) if item.disproves
        ]
    finally:
        run(postgres, f"DROP ROLE reader_{database.dbname}")


def test_row_level_security_is_refused(database, postgres):
    """A policy that would hide rows is an error that names the table, never a count of 0."""
    role = f"limited_{database.dbname}"
    run(
        database,
        f"CREATE ROLE {role} LOGIN PASSWORD 'pw'",
        "CREATE TABLE t (a int)",
        "INSERT INTO t VALUES (1)",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        f"GRANT SELECT ON t TO {role}",
    )
    try:
        with pytest.raises(TargetUnusable, match=r"Row-level security hides rows of public\.t"):
            take(Conninfo(database.host, database.port, role, database.dbname, "pw"))
    finally:
        run(database, f"DROP OWNED BY {role}")
        run(postgres, f"DROP ROLE {role}")


def test_a_time_limit_is_an_error_that_names_the_table(database):
    """A table that cannot be read in time has no fingerprint."""
    run(database, "CREATE TABLE t (a int)", "CREATE TABLE u (a int)")
    with psycopg.connect(**database.parameters()) as holder:
        holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TargetUnusable, match=r"Reading public\.t did not end within its time limit"):
            take(database, statement_timeout_s=2)


def test_a_lost_snapshot_is_refused(database):
    """Another instant never stands in for the one asked for."""
    with pytest.raises(TargetUnusable, match="is not there any more"):
        take(database, snapshot_id="00000003-0000001B-1")


def test_a_snapshot_tells_which_database_it_is_of(database):
    """The snapshot carries what a report shows: the instant, the version and the database's identity."""
    run(database, "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)")
    with snapshot(database) as taken:
        assert 150000 <= taken.version_num
        assert taken.system_identifier
        assert taken.database_oid
        assert 0 <= taken.age_s() < 60
        run(database, "INSERT INTO t VALUES (2)")
        assert [1] == [item.rows for item in take(database, snapshot_id=taken.id).tables]
    assert 2 == table(database).rows


def test_tuple_counters_count_what_was_written(database):
    """Inserted, updated and deleted tuples of a session that ended."""
    run(database, "CREATE TABLE t (a int)")
    run(database, "INSERT INTO t VALUES (1), (2), (3)", "UPDATE t SET a = 0 WHERE a < 3", "DELETE FROM t WHERE a = 3")
    with psycopg.connect(**database.parameters()) as connection:
        oid = connection.execute("SELECT 't'::regclass::oid::int8").fetchone()[0]
    assert TupleCounters(3, 2, 1) == tuple_counters(database, settled_s=0.5)[oid]


def test_counters_wait_only_while_somebody_may_still_report(database):
    """A session that ended has told everything; one that idles may have more to tell."""
    run(database, "CREATE TABLE t (a int)")
    run(database, "INSERT INTO t VALUES (1), (2), (3)")
    began = time.monotonic()
    [alone] = tuple_counters(database, settled_s=60, timeout_s=60).values()
    assert time.monotonic() - began < 30
    with psycopg.connect(**database.parameters(), autocommit=True) as idle:
        idle.execute("INSERT INTO t VALUES (4)")
        began = time.monotonic()
        tuple_counters(database, settled_s=1)
        assert time.monotonic() - began >= 1
    assert (TupleCounters(3, 0, 0), 4) == (alone, next(iter(tuple_counters(database).values())).inserted)


VALUES = st.one_of(st.none(), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8))
ROWS = st.lists(
    st.tuples(st.integers(-(2**63), 2**63 - 1), VALUES), min_size=2, max_size=6, unique_by=lambda row: row[0]
)
RELAXED = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def filled(database: Conninfo, rows: list[tuple[int, str | None]]) -> TableFingerprint:
    """The fingerprint of a keyed table with these rows."""
    with psycopg.connect(**database.parameters(), autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS t")
        connection.execute("CREATE TABLE t (id int8 PRIMARY KEY, a text, b text)")
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO t VALUES (%s, %s, %s)", [(key, value, value) for key, value in rows])
    return table(database)


@RELAXED
@given(rows=ROWS, data=st.data())
def test_the_order_of_rows_does_not_matter(database, rows, data):
    """Permuting rows keeps every figure."""
    assert filled(database, rows).columns == filled(database, data.draw(st.permutations(rows))).columns


@RELAXED
@given(rows=ROWS, data=st.data())
def test_a_changed_value_names_its_column_alone(database, rows, data):
    """Changing one value changes the sum of exactly that column; NULL is a value of its own."""
    before = filled(database, rows)
    key, value = rows[0]
    run(
        database,
        sql.SQL("UPDATE t SET a = {} WHERE id = {}").format(data.draw(VALUES.filter(lambda v: v != value)), key),
    )
    after = table(database)
    assert ["a"] == [name for name in before.columns if before.columns[name] != after.columns[name]]


@RELAXED
@given(rows=ROWS.filter(lambda rows: rows[0][1] != rows[1][1]))
def test_swapping_two_values_is_noticed(database, rows):
    """The same values in other rows are another table."""
    before = filled(database, rows)
    swap = sql.SQL("UPDATE t SET a = {} WHERE id = {}")
    (one, a), (other, b) = rows[:2]
    run(database, swap.format(b, one), swap.format(a, other))
    after = table(database)
    assert ["a"] == [name for name in before.columns if before.columns[name] != after.columns[name]]
