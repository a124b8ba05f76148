# ruff: noqa: E501  (one case, one line)
"""What keeps its name and gives or keeps out less than before is told; the same work done safely passes in silence."""

from __future__ import annotations

import pytest
from scenes import B, W, rehearsed

from pytest_dryrun.postgres.catalog.script import as_sql
from pytest_dryrun.rehearsal.judge.narrowed import narrowed

pytestmark = pytest.mark.live

SETUP = """
CREATE TYPE grade AS ENUM ('poor', 'fair', 'good'); CREATE DOMAIN price AS numeric CONSTRAINT paid CHECK (VALUE > 0);
CREATE TABLE stall (id int PRIMARY KEY, grade grade NOT NULL, rent price); CREATE TABLE fruit (id int PRIMARY KEY, stall int, kilos int);
INSERT INTO stall VALUES (1, 'poor', 5), (2, 'good', 6); CREATE SCHEMA attic;
CREATE PUBLICATION feed FOR TABLE stall, fruit;
CREATE TABLE crate (id int, kind text) PARTITION BY LIST (kind); CREATE TABLE crate_a PARTITION OF crate FOR VALUES IN ('a');
"""
AGAIN = "CREATE TYPE fresh AS ENUM ({}); ALTER TABLE stall ALTER grade TYPE fresh USING grade::text::fresh; DROP TYPE grade; ALTER TYPE fresh RENAME TO grade;"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("ALTER TYPE grade ADD VALUE 'none' BEFORE 'poor'; ALTER TYPE grade ADD VALUE 'better' AFTER 'fair'", [], id="values between"),
        pytest.param("ALTER TYPE grade RENAME VALUE 'fair' TO 'so-so'", [], id="a renamed value keeps its place"),
        pytest.param(AGAIN.format("'poor', 'fair', 'fine', 'good'"), [], id="made again with one more"),
        pytest.param(AGAIN.format("'good', 'fair', 'poor'"), [("object-changed", W, "public.grade")], id="made again in another order"),
        pytest.param(AGAIN.format("'good', 'poor'"), [("object-dropped", W, None), ("object-changed", W, "public.grade")], id="made again in another order, without one"),
        pytest.param("UPDATE pg_enum SET enumsortorder = -enumsortorder WHERE enumtypid = 'grade'::regtype", [("object-changed", B, "public.grade")], id="order by catalog"),
        pytest.param("DELETE FROM pg_enum WHERE enumlabel = 'fair'", [("object-dropped", B, None)], id="value deleted by catalog"),
        pytest.param("ALTER DOMAIN price DROP CONSTRAINT paid", [("object-dropped", W, "public.price.paid")], id="a domain's check is gone"),
        pytest.param("ALTER DOMAIN price RENAME CONSTRAINT paid TO above_zero; ALTER DOMAIN price ADD CONSTRAINT limited CHECK (VALUE < 1000)", [], id="a domain's check has another name"),
        pytest.param("ALTER DOMAIN price DROP CONSTRAINT paid; ALTER DOMAIN price ADD CONSTRAINT paid CHECK (VALUE >= 0)", [], id="a domain's check says something else"),
        pytest.param("ALTER PUBLICATION feed DROP TABLE fruit", [("object-changed", W, "feed")], id="a table is no longer published"),
        pytest.param("ALTER PUBLICATION feed SET (publish = 'insert, update')", [("object-changed", W, "feed")], id="no deletes"),
        pytest.param("ALTER PUBLICATION feed SET TABLE stall WHERE (id > 1), fruit (id)", [("object-changed", W, "feed")], id="fewer rows and columns"),
        pytest.param("ALTER TABLE fruit RENAME TO produce; ALTER TABLE stall SET SCHEMA attic; ALTER PUBLICATION feed ADD TABLE crate", [], id="published under new names, and one more"),
        pytest.param("ALTER TABLE fruit REPLICA IDENTITY NOTHING", [("object-changed", W, None)], id="no replica identity"),
        pytest.param("ALTER TABLE fruit REPLICA IDENTITY FULL", [], id="full replica identity"),
    ],
)  # fmt: skip
def test_what_is_narrower(postgres, text, expected):
    """Rule, severity and object; every message names the file."""
    with rehearsed(postgres, SETUP, text) as scene:
        found = narrowed(scene)
    assert [(item.rule, item.severity, item.object) for item in found] == expected
    assert all("20260301_change" in item.message for item in found)


FULL = """
CREATE TABLE cart (id int PRIMARY KEY CHECK (id > 0), made date DEFAULT now()); CREATE TABLE old_cart () INHERITS (cart);
CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER seen BEFORE UPDATE ON cart FOR EACH ROW EXECUTE FUNCTION seen();
CREATE RULE keep AS ON DELETE TO cart DO ALSO SELECT 1;
"""


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        *((flag, f"UPDATE pg_class SET {flag} = false WHERE oid = 'cart'::regclass") for flag in ("relhasindex", "relhastriggers", "relhasrules", "relhassubclass")),
        ("relchecks", "UPDATE pg_class SET relchecks = 0 WHERE oid = 'cart'::regclass"),
        ("atthasdef", "UPDATE pg_attribute SET atthasdef = false WHERE attrelid = 'cart'::regclass"),
    ],
)  # fmt: skip
def test_what_a_flag_denies_is_overlooked(postgres, flag, text):
    """The server does not look for what is there; the flag, the table and what it means are said."""
    with rehearsed(postgres, FULL, text) as scene:
        (found,) = narrowed(scene)
    assert (found.rule, found.severity, found.object, found.evidence["flag"]) == (
        "object-changed",
        B,
        "public.cart",
        flag,
    )
    assert "The server overlooks from now on what public.cart has" in found.message


def test_flags_that_hold_are_quiet(postgres):
    """One that says so in vain, for the last index is gone, is no harm; nor is what was denied before."""
    setup = (
        FULL
        + "CREATE TABLE bag (id int UNIQUE); SET allow_system_table_mods = on; UPDATE pg_class SET relhasindex = false WHERE relname = 'bag'"
    )
    text = "ALTER TABLE cart DROP CONSTRAINT cart_pkey; DROP TRIGGER seen ON cart; ALTER TABLE cart ADD shop int; DROP TABLE old_cart"
    with rehearsed(postgres, setup, text) as scene:
        assert narrowed(scene) == ()


def test_what_stays_is_said_by_name(postgres):
    """A renamed table is looked for under its new name, and what is no longer sent is listed."""
    text = "ALTER TABLE fruit RENAME TO produce; ALTER PUBLICATION feed SET TABLE produce (id, kilos)"
    with rehearsed(postgres, SETUP, text) as scene:
        (found,) = narrowed(scene)
    assert found.evidence["no_longer"] == ["all columns of public.produce", "table public.stall"]


def test_a_partition_cut_off_by_catalog_is_written_down(postgres):
    """Its parent is unknown then: the difference is printed all the same."""
    with rehearsed(postgres, SETUP, "DELETE FROM pg_inherits WHERE inhrelid = 'crate_a'::regclass") as scene:
        assert "crate_a" in as_sql(scene.changes)
