"""What becomes UNLOGGED is found with its rows; scratch tables and logged ones pass."""

from __future__ import annotations

import pytest
from needs import require
from scenes import B, I, W, rehearsed, short

from pytest_dryrun.postgres.connection import connect
from pytest_dryrun.rehearsal.judge.persistence import data_at_risk

pytestmark = pytest.mark.live

SETUP = """
CREATE TABLE parcel (id serial PRIMARY KEY, weight int);
INSERT INTO parcel (weight) SELECT n FROM generate_series(1, 40) n;
CREATE TABLE vacant (id int);
CREATE UNLOGGED TABLE cache (k int); INSERT INTO cache VALUES (1);
CREATE TABLE scan (at int NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE scan_1 PARTITION OF scan FOR VALUES FROM (0) TO (10); CREATE TABLE scan_2 PARTITION OF scan DEFAULT;
INSERT INTO scan SELECT generate_series(1, 5);
"""
SWAP = """CREATE UNLOGGED TABLE parcel_new (LIKE parcel INCLUDING ALL); INSERT INTO parcel_new SELECT * FROM parcel;
ALTER TABLE parcel RENAME TO parcel_old; ALTER TABLE parcel_new RENAME TO parcel;"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("ALTER TABLE parcel SET UNLOGGED;", [("data-at-risk", B, "public.parcel")], id="set unlogged"),
        pytest.param(
            "DO $$ BEGIN EXECUTE 'ALTER TABLE par' || 'cel SET UNLOGGED'; END $$;",
            [("data-at-risk", B, "public.parcel")],
            id="inside DO",
        ),
        pytest.param("ALTER TABLE scan_1 SET UNLOGGED;", [("data-at-risk", B, "public.scan_1")], id="one partition"),
        pytest.param(
            "ALTER TABLE parcel RENAME TO box; ALTER TABLE box SET UNLOGGED;",
            [("data-at-risk", B, "public.box")],
            id="renamed as well",
        ),
        pytest.param(SWAP, [("data-at-risk", B, "public.parcel")], id="replaced by an unlogged one"),
        pytest.param("ALTER TABLE vacant SET UNLOGGED;", [("data-at-risk", W, "public.vacant")], id="no rows yet"),
        pytest.param(
            "CREATE UNLOGGED TABLE scratch (k int); INSERT INTO scratch VALUES (1);",
            [("data-at-risk", W, "public.scratch")],
            id="new scratch table with rows",
        ),
        pytest.param(
            "CREATE UNLOGGED TABLE scratch (k serial);", [("data-at-risk", I, "public.scratch")], id="new scratch table"
        ),
        pytest.param(
            "ALTER SEQUENCE parcel_id_seq SET UNLOGGED;", [("data-at-risk", B, "public.parcel_id_seq")], id="a sequence"
        ),
        pytest.param("ALTER TABLE cache SET LOGGED; CREATE TABLE more (id serial);", [], id="logged"),
        pytest.param("ALTER TABLE cache RENAME TO hot; INSERT INTO hot VALUES (2);", [], id="unlogged before"),
    ],
)
def test_unlogged_tables(postgres, text, expected):
    """Rows that were safe are a blocker; new scratch tables are shown; what was unlogged before is nobody's news."""
    with connect(postgres) as connection:
        able = "ALTER SEQUENCE" not in text or connection.info.server_version >= 150000
        require(able, "sequences may be UNLOGGED from PostgreSQL 15 on")
    with rehearsed(postgres, SETUP, text) as scene:
        assert expected == short(data_at_risk(scene))


def test_an_unlogged_table_is_told_with_its_rows_and_no_false_remedy(postgres):
    """There is no way to do this online, so none is advised."""
    with rehearsed(postgres, SETUP, "SELECT 1;\nALTER TABLE parcel SET UNLOGGED;") as scene:
        (found,) = data_at_risk(scene)
    assert (2, 40) == (found.line, found.evidence["rows"])
    assert "its 40 rows are lost with the next crash and are on no standby. Nothing makes this safe" in found.message
