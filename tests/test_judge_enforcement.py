# ruff: noqa: E501  (one case, one line)
"""A constraint whose triggers were switched off is found, whichever table it is on; what still acts passes."""

from __future__ import annotations

import pytest
from scenes import B, W, rehearsed

from pytest_dryrun.rehearsal.judge.enforcement import enforcement_off

pytestmark = pytest.mark.live

SETUP = """
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE ship (id int PRIMARY KEY, berth int CONSTRAINT one_berth UNIQUE DEFERRABLE, stay int4range,
  CONSTRAINT apart EXCLUDE USING gist (stay WITH &&) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE crew (id int PRIMARY KEY, ship_id int CONSTRAINT crew_ship REFERENCES ship);
CREATE TRIGGER noting AFTER INSERT ON crew FOR EACH ROW EXECUTE FUNCTION noted();
CREATE TABLE asleep (id int PRIMARY KEY, ship_id int CONSTRAINT asleep_ship REFERENCES ship);
ALTER TABLE asleep DISABLE TRIGGER ALL;
CREATE TABLE leg (at int, ship_id int CONSTRAINT leg_ship REFERENCES ship) PARTITION BY RANGE (at);
CREATE TABLE leg_1 PARTITION OF leg FOR VALUES FROM (0) TO (9); CREATE TABLE leg_2 PARTITION OF leg DEFAULT;
"""
OFF = (
    "UPDATE pg_trigger SET tgenabled = '{}' WHERE tgconstraint = (SELECT oid FROM pg_constraint WHERE conname = '{}');"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "ALTER TABLE crew DISABLE TRIGGER ALL;",
            [("public.crew.crew_ship", ["public.crew"])],
            id="foreign key, child",
        ),
        pytest.param(
            "ALTER TABLE ship DISABLE TRIGGER ALL;",
            [
                ("public.asleep.asleep_ship", ["public.ship"]),
                ("public.crew.crew_ship", ["public.ship"]),
                ("public.leg.leg_ship", ["public.ship"]),
                ("public.ship.apart", ["public.ship"]),
                ("public.ship.one_berth", ["public.ship"]),
            ],
            id="parent, deferrable unique and exclusion",
        ),
        pytest.param(
            "DO $$ DECLARE t text; BEGIN FOR t IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'crew'::regclass AND tgisinternal"
            " LOOP EXECUTE format('ALTER TABLE crew ENABLE REPLICA TRIGGER %I', t); END LOOP; END $$;",
            [("public.crew.crew_ship", ["public.crew"])],
            id="for replication alone",
        ),
        pytest.param(
            "ALTER TABLE leg_1 DISABLE TRIGGER ALL;", [("public.leg.leg_ship", ["public.leg_1"])], id="one partition"
        ),
        pytest.param(
            OFF.format("D", "crew_ship"), [("public.crew.crew_ship", ["public.crew", "public.ship"])], id="by catalog"
        ),
        pytest.param(
            "DELETE FROM pg_trigger WHERE tgconstraint = (SELECT oid FROM pg_constraint WHERE conname = 'crew_ship') AND tgrelid = 'crew'::regclass;",
            [("public.crew.crew_ship", [])],
            id="triggers gone",
        ),
        pytest.param(
            "ALTER TABLE crew ADD CONSTRAINT again FOREIGN KEY (ship_id) REFERENCES ship; ALTER TABLE crew DROP CONSTRAINT crew_ship; ALTER TABLE crew DISABLE TRIGGER ALL;",
            [("public.crew.again", ["public.crew"])],
            id="a new one",
        ),
        pytest.param("ALTER TABLE crew DISABLE TRIGGER USER;", [], id="user triggers only"),
        pytest.param("ALTER TABLE crew DISABLE TRIGGER ALL; ALTER TABLE crew ENABLE TRIGGER ALL;", [], id="on again"),
        pytest.param(OFF.format("A", "crew_ship"), [], id="always"),
        pytest.param("ALTER TABLE asleep RENAME TO awake;", [], id="off before"),
        pytest.param(
            "CREATE TABLE leg_3 PARTITION OF leg FOR VALUES FROM (20) TO (30); CREATE TABLE leg_4 (LIKE leg); ALTER TABLE leg ATTACH PARTITION leg_4 FOR VALUES FROM (30) TO (40); ALTER TABLE leg DETACH PARTITION leg_1;",
            [],
            id="partitions come and go",
        ),
        pytest.param(
            "ALTER TABLE crew DROP CONSTRAINT crew_ship; ALTER TABLE ship DROP CONSTRAINT one_berth;", [], id="dropped"
        ),
        pytest.param(
            "ALTER TABLE ship ALTER COLUMN id TYPE bigint; ALTER TABLE crew ALTER COLUMN ship_id TYPE bigint;",
            [],
            id="rebuilt",
        ),
    ],
)
def test_constraints_that_no_longer_act(postgres, text, expected):
    """Each constraint once, with the tables where it is off."""
    with rehearsed(postgres, SETUP, text) as scene:
        found = enforcement_off(scene)
    assert {("enforcement-off", B)} >= {(item.rule, item.severity) for item in found}
    assert expected == sorted((item.object, item.evidence["tables"]) for item in found)


def test_what_goes_in_from_now_on_is_said(postgres):
    """A unique constraint lets duplicates in, a foreign key orphans, or parents go."""
    with rehearsed(postgres, SETUP, "SELECT 1;\nALTER TABLE ship DISABLE TRIGGER ALL;") as scene:
        found = {item.object: item for item in enforcement_off(scene)}
    unique, key = found["public.ship.one_berth"], found["public.crew.crew_ship"]
    assert "Duplicates go in from now on.\nSwitch its triggers on again" in unique.message
    assert "\n    ALTER TABLE public.ship ENABLE TRIGGER ALL;" in unique.message
    assert "A row of public.ship can go although rows refer to it" in key.message
    assert (2, "public.crew", 2) == (key.line, key.table, unique.line)
    assert 1 == [item.cascaded for item in found.values()].count(False)


def test_not_enforced(newest):
    """From PostgreSQL 18 on: an enforced key that no longer is one is a blocker, a new one that never was a warning."""
    text = """ALTER TABLE crew ALTER CONSTRAINT crew_ship NOT ENFORCED;
      ALTER TABLE crew ADD CONSTRAINT positive CHECK (id > 0) NOT ENFORCED;"""
    with rehearsed(newest, SETUP, text) as scene:
        found = enforcement_off(scene)
    expected = [("public.crew.crew_ship", B), ("public.crew.positive", W)]
    assert expected == sorted((item.object, item.severity) for item in found)
