# ruff: noqa: E501  (one case, one line)
"""What a replaced function had computed and the server keeps: told where it no longer agrees, silent where it does."""

from __future__ import annotations

import pytest
from scenes import B, rehearsed, short

from pytest_dryrun.rehearsal.judge.computed import kept_computed

pytestmark = pytest.mark.live

SETUP = """
CREATE FUNCTION plain(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower(t)';
CREATE FUNCTION plainer(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN trim(plain(t)); END';
CREATE FUNCTION fits(n int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT n > 0';
CREATE FUNCTION half(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n / 2';
CREATE FUNCTION idle(n int) RETURNS int LANGUAGE sql AS 'SELECT n';
CREATE TABLE label (id int PRIMARY KEY, text text, n int CHECK (fits(n)), h int GENERATED ALWAYS AS (half(n)) STORED);
INSERT INTO label SELECT g, CASE WHEN g < 4 THEN 'A b' ELSE 'x' END, g FROM generate_series(1, 10) g;
CREATE INDEX label_plain ON label (plain(text)); CREATE INDEX label_plainer ON label (id) WHERE plainer(text) > '';
CREATE TABLE bin (n int) PARTITION BY RANGE (half(n));
CREATE TABLE bin_1 PARTITION OF bin FOR VALUES FROM (0) TO (3); CREATE TABLE bin_2 PARTITION OF bin DEFAULT;
INSERT INTO bin SELECT generate_series(1, 10);
"""
REPLACE = "CREATE OR REPLACE FUNCTION {} LANGUAGE sql IMMUTABLE AS '{}';"
PLAIN, FITS, HALF = "plain(t text) RETURNS text", "fits(n int) RETURNS bool", "half(n int) RETURNS int"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(REPLACE.format(PLAIN, "SELECT replace(lower(t), '' '', '''')"), [("object-changed", "public.label_plain", 3)], id="index"),
        pytest.param(REPLACE.format(PLAIN, "SELECT ''''"), [("object-changed", "public.label_plain", 10), ("object-changed", "public.label_plainer", 10)], id="index, through another function"),
        pytest.param(REPLACE.format(FITS, "SELECT n > 7"), [("constraint-violated", "public.label.label_n_check", 7)], id="check"),
        pytest.param(REPLACE.format(HALF, "SELECT n / 2 + 1"), [("object-changed", "public.label.h", 10), ("object-changed", None, 10)], id="stored column and partition key"),
        pytest.param(REPLACE.format(PLAIN, "SELECT lower(t) || ''''"), [], id="another text, the same values"),
        pytest.param(REPLACE.format(PLAIN, "SELECT upper(t)") + "REINDEX TABLE label;", [], id="built again"),
        pytest.param(REPLACE.format(FITS, "SELECT n > -5"), [], id="check that every row passes"),
        pytest.param("CREATE OR REPLACE FUNCTION idle(n int) RETURNS int LANGUAGE sql AS 'SELECT 7'", [], id="nothing was computed by it"),
    ],
)  # fmt: skip
def test_kept(postgres, text, expected):
    """Each object with the rows for which the old and the new function do not agree."""
    with rehearsed(postgres, SETUP, text) as scene:
        found = kept_computed(scene)
    assert expected == [(item.rule, item.object, item.evidence["rows"]) for item in found]
    assert all(item.severity is B for item in found)


def test_what_is_said(postgres):
    """Cause, place, harm and cure."""
    with rehearsed(postgres, SETUP, REPLACE.format(PLAIN, "SELECT upper(t)")) as scene:
        first = kept_computed(scene)[0]
    assert (
        "Index label_plain of public.label keeps what the old function public.plain(t text) gave for 10 rows; another one is "
        "in its place by 20260301_change, line 1. Queries that use the index miss these rows or find wrong ones."
    ) == first.message.splitlines()[0]
    assert "\n    REINDEX INDEX CONCURRENTLY public.label_plain;\n" in first.message


def test_a_function_that_fails(postgres):
    """What cannot be counted is not taken for equal."""
    body = (
        "CREATE OR REPLACE FUNCTION plain(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RAISE ''no''; END'"
    )
    with rehearsed(postgres, SETUP, body) as scene:
        found = kept_computed(scene)
    assert [("object-changed", B, "public.label"), ("object-changed", B, "public.label")] == short(found)
