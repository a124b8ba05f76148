# ruff: noqa: E501  (one case, one line)
"""What a table that took another one's place lost is told, though no statement drops it; a faithful one passes."""

from __future__ import annotations

import pytest
from scenes import B, W, rehearsed

from pytest_dryrun.rehearsal.judge.required import required_columns
from pytest_dryrun.rehearsal.judge.successors import successors_lack

pytestmark = pytest.mark.live

SETUP = """
CREATE TABLE harbour (id int PRIMARY KEY); INSERT INTO harbour VALUES (1), (2);
CREATE TABLE ship (id serial PRIMARY KEY, name text NOT NULL UNIQUE, flag text DEFAULT 'NL', tons int CHECK (tons > 0), home int REFERENCES harbour);
INSERT INTO ship (name, tons, home) SELECT 's' || g, g, 1 FROM generate_series(1, 20) g;
CREATE INDEX ship_tons ON ship (tons); CREATE UNIQUE INDEX ship_lower ON ship (lower(name)) WHERE tons > 3;
CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER seen BEFORE UPDATE ON ship FOR EACH ROW EXECUTE FUNCTION seen();
ALTER TABLE ship ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON ship USING (tons < 50);
"""
SWAP = (
    "INSERT INTO ship_new SELECT * FROM ship; ALTER TABLE ship RENAME TO ship_old; ALTER TABLE ship_new RENAME TO ship;"
)
REST = "ALTER TABLE ship ADD FOREIGN KEY (home) REFERENCES harbour; ALTER TABLE ship ENABLE ROW LEVEL SECURITY; CREATE TRIGGER seen BEFORE UPDATE ON ship FOR EACH ROW EXECUTE FUNCTION seen(); "
REST += "CREATE POLICY mine ON ship USING (tons < 50);"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f"CREATE TABLE ship_new (LIKE ship INCLUDING ALL); {SWAP} {REST}", [], id="everything is there again"),
        pytest.param(
            f"CREATE TABLE ship_new (LIKE ship INCLUDING ALL); {SWAP}",
            [("public.ship", "object-changed", B), ("public.ship.seen", "object-dropped", B), ("public.ship.ship_home_fkey", "object-dropped", B)],
            id="key, trigger and row security stay behind",
        ),
        pytest.param(
            f"CREATE TABLE ship_new (LIKE ship INCLUDING DEFAULTS); {SWAP} {REST}",
            [
                ("public.ship.ship_tons_check", "object-dropped", W),
                ("public.ship_lower", "object-dropped", B),
                ("public.ship_name_key", "object-dropped", B),
                ("public.ship_pkey", "object-dropped", B),
                ("public.ship_tons", "object-dropped", W),
            ],
            id="indexes and checks",
        ),
        pytest.param(
            f"CREATE TABLE ship_new (LIKE ship INCLUDING INDEXES INCLUDING CONSTRAINTS); ALTER TABLE ship_new ALTER id SET DEFAULT 1; {SWAP} {REST}",
            [("public.ship.flag", "object-changed", B)],
            id="a default",
        ),
        pytest.param(
            "CREATE TABLE harbour_new (id int NOT NULL, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at); CREATE TABLE harbour_all PARTITION OF harbour_new DEFAULT;"
            "INSERT INTO harbour_new SELECT id, '2025-01-01' FROM harbour; DROP TABLE harbour CASCADE; ALTER TABLE harbour_new RENAME TO harbour;",
            [("public.harbour_pkey", "object-dropped", W)],
            id="a wider key, as partitions need",
        ),
        pytest.param("DROP INDEX ship_lower; CREATE INDEX ship_lower ON ship (lower(name))", [("public.ship_lower", "object-changed", W)], id="no longer unique"),
        pytest.param("DROP INDEX ship_lower; CREATE UNIQUE INDEX ship_lower ON ship (lower(name)) WHERE tons > 9", [("public.ship_lower", "object-changed", W)], id="unique for fewer rows"),
        pytest.param("ALTER TABLE ship DROP CONSTRAINT ship_name_key, ADD CONSTRAINT ship_name_key UNIQUE (name, home)", [("public.ship_name_key", "object-changed", W)], id="unique over more columns"),
        pytest.param("ALTER TABLE ship DROP CONSTRAINT ship_name_key, ADD CONSTRAINT ship_name_key UNIQUE (name) DEFERRABLE; ALTER TABLE ship ALTER name TYPE varchar(99)", [], id="the same key, made again"),
        pytest.param("DROP INDEX ship_lower; CREATE UNIQUE INDEX ship_lower ON ship (lower(name)) WHERE tons > 3; REINDEX TABLE ship; ALTER INDEX ship_tons RENAME TO s", [], id="made again, renamed"),
        pytest.param("ALTER TABLE ship RENAME TO boat; ALTER TABLE boat RENAME COLUMN tons TO weight", [], id="renamed"),
    ],
)  # fmt: skip
def test_left_behind(postgres, text, expected):
    """Object, rule and severity of each loss."""
    with rehearsed(postgres, SETUP, text) as scene:
        found = successors_lack(scene)
    assert expected == sorted((item.object, item.rule, item.severity) for item in found)


def test_a_number_that_no_sequence_gives_any_more(postgres):
    """LIKE alone leaves the default of a serial key behind: every INSERT of the running release fails."""
    with rehearsed(postgres, SETUP, f"CREATE TABLE ship_new (LIKE ship); {SWAP}") as scene:
        found = required_columns(scene)
    assert [("required-column", B, "public.ship", "id")] == [
        (item.rule, item.severity, item.table, item.evidence["column"]) for item in found
    ]


def test_a_faithful_successor_demands_nothing_new(postgres):
    """Defaults that came along serve the same writers."""
    with rehearsed(postgres, SETUP, f"CREATE TABLE ship_new (LIKE ship INCLUDING ALL); {SWAP}") as scene:
        assert () == required_columns(scene)


def test_what_is_said(postgres):
    """Object, place, harm and cure."""
    with rehearsed(postgres, SETUP, f"CREATE TABLE ship_new (LIKE ship INCLUDING DEFAULTS); {SWAP} {REST}") as scene:
        [said] = [item.message for item in successors_lack(scene) if item.object == "public.ship_pkey"]
    assert (
        "Primary key ship_pkey of public.ship is not on the table that stands under this name now, put there by "
        "20260301_change, line 1: two rows may have the same key from now on, and every INSERT ... ON CONFLICT on it fails. "
        "Make it on the new table before it takes the name."
    ) == said
