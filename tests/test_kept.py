"""Tables whose exact figures stayed the same are settled by one read; nothing else is ever taken for that."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.model.values import Change
from pytest_dryrun.postgres import databases
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.postgres.fingerprint import take
from pytest_dryrun.postgres.fingerprint.keeping import kept
from pytest_dryrun.steps.comparing import compare_tables

pytestmark = pytest.mark.live

TABLES = """
CREATE TYPE mood AS ENUM ('calm', 'cross');
CREATE TABLE person (id int PRIMARY KEY, name text, score numeric, mood mood);
INSERT INTO person SELECT i, 'n' || i, i / 2.0, 'calm' FROM generate_series(1, 100) i;
CREATE TABLE loose (a int, b text);
INSERT INTO loose SELECT i % 5, 'x' FROM generate_series(1, 20) i;
CREATE TABLE hollow ();
CREATE TABLE parted (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE parted_2024 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO parted VALUES (1, '2024-05-05'), (2, '2024-06-06');
"""


@pytest.fixture
def copy(database: Conninfo, postgres: Conninfo) -> Iterator[Conninfo]:
    """Fill a database and copy it, oids and all."""
    execute(database, TABLES)
    made = databases.copy(postgres, database.dbname, f"{database.dbname}_copy")
    yield made
    databases.drop(postgres, made.dbname)


def execute(conninfo: Conninfo, *statements: str) -> None:
    with psycopg.connect(**conninfo.parameters(), autocommit=True) as connection:
        for statement in statements:
            connection.execute(sql.SQL(statement))


def names(database: Conninfo, copy: Conninfo) -> set[str]:
    return set(kept(copy, take(database)).values())


ALL = {"public.person", "public.loose", "public.hollow", "public.parted", "public.parted_2024"}


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        "ALTER TABLE person ADD country text NOT NULL DEFAULT 'SE'",
        "CREATE INDEX ON person (name)",
        "ALTER TABLE person ALTER score SET DEFAULT 1",
        "CREATE TABLE fresh AS SELECT 1 AS one",
        "ALTER TABLE person DROP CONSTRAINT person_pkey",
    ],
)
def test_what_leaves_rows_alone_keeps_every_table(database, copy, statement):
    """New columns, indexes, defaults and tables settle nothing away."""
    execute(copy, statement)
    assert names(database, copy) == ALL


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("UPDATE person SET name = 'm' WHERE id = 7", "person"),
        ("UPDATE person SET score = 1.00 WHERE score = 1.0", "person"),
        ("UPDATE person SET mood = NULL WHERE id = 7", "person"),
        ("DELETE FROM person WHERE id = 7", "person"),
        ("INSERT INTO person (id) VALUES (101)", "person"),
        ("UPDATE person a SET name = b.name FROM person b WHERE (a.id, b.id) IN ((1, 2), (2, 1))", "person"),
        ("ALTER TABLE person DROP name", "person"),
        ("ALTER TABLE person RENAME name TO label", "person"),
        ("ALTER TABLE person ALTER id TYPE bigint", "person"),
        ("ALTER TYPE mood RENAME VALUE 'calm' TO 'still'", "person"),
        ("DROP TABLE person", "person"),
        ("UPDATE loose SET b = 'y' WHERE a = 1", "loose"),
        ("DELETE FROM parted WHERE id = 1", "parted"),
    ],
)
def test_whatever_touches_rows_or_columns_is_not_settled(database, copy, statement, table):
    """Changed, lost, added and swapped values, columns gone, renamed or retyped: exactly that table is left open."""
    execute(copy, statement)
    assert names(database, copy) == {name for name in ALL if not name.startswith(f"public.{table}")}


def test_a_renamed_table_is_followed_by_its_oid(database, copy):
    """Its rows are the same under the new name, and the comparison tells the name."""
    execute(copy, "ALTER TABLE person RENAME TO human")
    assert names(database, copy) == ALL - {"public.person"} | {"public.human"}
    [renamed] = [item for item in compare_tables(take(database), database, copy) if item.renamed_to]
    assert ("public.person", "public.human", Change.NONE) == (renamed.table, renamed.renamed_to, renamed.change)


def test_semantic_figures_prove_nothing_here(database, copy):
    """They take 1.0 for 1.00."""
    with pytest.raises(ValueError, match="only exact figures"):
        kept(copy, take(database, mode="semantic"))


def test_settled_and_unsettled_tables_come_out_together(database, copy):
    """Every table once, by name: settled ones unchanged, the others as the comparison found them."""
    execute(copy, "DELETE FROM loose WHERE a = 1", "CREATE TABLE fresh AS SELECT 1 AS one", "DROP TABLE hollow")
    found = [
        (item.table, item.change, item.rows_before, item.rows_after)
        for item in compare_tables(take(database), database, copy)
    ]
    assert [
        ("public.fresh", Change.CREATED, None, 1),
        ("public.hollow", Change.DROPPED, 0, None),
        ("public.loose", Change.ROWS_LOST, 20, 16),
        ("public.parted", Change.NONE, 2, 2),
        ("public.person", Change.NONE, 100, 100),
    ] == found


def test_a_copy_that_lost_its_rows_proves_nothing(database, copy):
    """Else every row of the target would pass for an added one."""
    prints = take(database)
    execute(database, "TRUNCATE loose")
    execute(copy, "DELETE FROM loose WHERE a = 1")
    with pytest.raises(TargetUnusable, match=r"The copy of public\.loose holds 0 rows; 20 were counted in it before"):
        compare_tables(prints, database, copy)
