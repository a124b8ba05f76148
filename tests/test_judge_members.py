# ruff: noqa: E501  (one case, one line)
"""What a migration changes in an extension's objects is seen; what comes and goes with the extension itself is its own."""

from __future__ import annotations

import pytest
from needs import require
from scenes import B, rehearsed

from pytest_dryrun.postgres.catalog import read_catalog
from pytest_dryrun.postgres.catalog.difference import Action, difference
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.rehearsal.judge.destructive import destructive

pytestmark = pytest.mark.live

SETUP = """
CREATE EXTENSION citext; CREATE EXTENSION hstore;
CREATE TABLE rate (code text PRIMARY KEY, per numeric CONSTRAINT rate_some CHECK (per > 0)); INSERT INTO rate VALUES ('a', 1), ('b', 2);
COMMENT ON COLUMN rate.per IS 'each';
CREATE FUNCTION half(int) RETURNS int LANGUAGE sql AS 'SELECT $1 / 2';
ALTER EXTENSION citext ADD TABLE rate; ALTER EXTENSION citext ADD FUNCTION half(int);
CREATE TABLE own (id int); CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1';
"""


@pytest.fixture
def contrib(postgres: Conninfo) -> Conninfo:
    """A server with the extensions that come along with PostgreSQL."""
    with connect(postgres) as connection:
        there = connection.execute("SELECT FROM pg_available_extensions WHERE name = 'citext'").fetchone()
    require(there is not None, "this PostgreSQL has no contrib extensions")
    return postgres


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("ALTER TABLE rate DROP COLUMN per;", {("column", "public.rate.per", "dropped"), ("constraint", "public.rate.rate_some", "dropped")}, id="a column dropped"),
        pytest.param("ALTER TABLE rate DROP CONSTRAINT rate_some;", {("constraint", "public.rate.rate_some", "dropped")}, id="a constraint dropped"),
        pytest.param("CREATE OR REPLACE FUNCTION half(int) RETURNS int LANGUAGE sql AS 'SELECT $1 / 3';", {("function", "public.half(integer)", "changed")}, id="a function replaced"),
        pytest.param("REVOKE EXECUTE ON FUNCTION citext_eq(citext, citext) FROM PUBLIC;", {("function", "public.citext_eq(public.citext, public.citext)", "changed")}, id="a privilege revoked"),
        pytest.param("DROP EXTENSION citext;", {("extension", "citext", "dropped"), ("table", "public.rate", "dropped")}, id="the extension dropped, its rows told"),
        pytest.param("CREATE EXTENSION pg_trgm;", {("extension", "pg_trgm", "created")}, id="an extension made"),
        pytest.param("ALTER EXTENSION citext DROP FUNCTION half(int); ALTER EXTENSION citext DROP TABLE rate;", set(), id="out of the extension"),
        pytest.param("ALTER EXTENSION hstore ADD TABLE own; ALTER EXTENSION hstore ADD FUNCTION mine();", set(), id="into an extension"),
        pytest.param("INSERT INTO rate VALUES ('c', 3);", set(), id="rows alone"),
    ],
)  # fmt: skip
def test_members(contrib, text, expected):
    """Kind, name and what became of it."""
    with rehearsed(contrib, SETUP, text) as scene:
        found = {(change.kind, change.identity, change.action.value) for change in scene.changes}
    assert expected == found


def test_a_dropped_column_of_a_member_is_told_with_its_values(contrib):
    """Whose table it is does not matter to the values."""
    with rehearsed(contrib, SETUP, "SELECT 1;\nALTER TABLE rate DROP COLUMN per;") as scene:
        (found,) = (item for item in destructive(scene) if item.rule == "column-dropped")
    assert (B, "public.rate", 2, 2) == (found.severity, found.table, found.line, found.evidence["non_null"])


def test_by_name_members_are_left_to_their_extension(contrib):
    """A restore makes them from the extension's script, so they are no drift."""
    with rehearsed(contrib, SETUP, "ALTER TABLE rate DROP COLUMN per;") as scene:
        plain = read_catalog(scene.copy)
        assert () == difference(scene.before, scene.after, follow_oids=False)
        assert plain == scene.after.without_members()
    assert {"citext"} == {item.details["extension"] for item in scene.after.objects if item.parent == "public.rate"}


def test_an_update_of_an_extension_is_one_change(contrib):
    """What its script made anew is not listed; a column that it dropped is, for it held values."""
    text = "UPDATE pg_extension SET extversion = '9.9' WHERE extname = 'citext'; ALTER TABLE rate DROP COLUMN per; CREATE OR REPLACE FUNCTION half(int) RETURNS int LANGUAGE sql AS 'SELECT 0';"
    with rehearsed(contrib, SETUP, text) as scene:
        found = {(change.kind, change.identity, change.action) for change in scene.changes}
    assert {("extension", "citext", Action.CHANGED), ("column", "public.rate.per", Action.DROPPED)} == found
