# ruff: noqa: E501  (one case, one line)
"""A DELETE that takes more along than before is shown under any constraint's name; renamed and kept keys pass."""

from __future__ import annotations

import pytest
from scenes import W, rehearsed

from pytest_dryrun.rehearsal.judge.key_actions import cascades_added

pytestmark = pytest.mark.live

SETUP = """
CREATE TABLE band (id int PRIMARY KEY, code text UNIQUE); INSERT INTO band VALUES (1, 'a'), (2, 'b');
CREATE TABLE song (id int PRIMARY KEY, band_id int CONSTRAINT song_band REFERENCES band, title text);
INSERT INTO song VALUES (1, 1, 'x'), (2, 1, 'y'), (3, NULL, 'z');
CREATE TABLE gig (id int PRIMARY KEY, band_id int REFERENCES band ON DELETE CASCADE, hall int);
CREATE TABLE play (at int, band_id int REFERENCES band) PARTITION BY RANGE (at); CREATE TABLE play_1 PARTITION OF play DEFAULT;
"""
NEW_NAME = "ALTER TABLE song ADD CONSTRAINT other FOREIGN KEY (band_id) REFERENCES band (id) ON DELETE CASCADE NOT VALID; ALTER TABLE song VALIDATE CONSTRAINT other;"
AGAIN = "ALTER TABLE song DROP CONSTRAINT song_band, ADD CONSTRAINT song_band FOREIGN KEY (band_id) REFERENCES band ON DELETE {};"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            NEW_NAME + "ALTER TABLE song DROP CONSTRAINT song_band;",
            [("DELETE", "CASCADE", ["NO ACTION"], 2)],
            id="replaced under another name",
        ),
        pytest.param(NEW_NAME, [("DELETE", "CASCADE", ["NO ACTION"], 2)], id="beside one without"),
        pytest.param(AGAIN.format("CASCADE"), [("DELETE", "CASCADE", ["NO ACTION"], 2)], id="under the same name"),
        pytest.param(AGAIN.format("SET NULL"), [("DELETE", "SET NULL", ["NO ACTION"], 2)], id="set null"),
        pytest.param(
            AGAIN.format("NO ACTION ON UPDATE CASCADE"), [("UPDATE", "CASCADE", ["NO ACTION"], 2)], id="on update"
        ),
        pytest.param(
            "ALTER TABLE song RENAME band_id TO group_id; ALTER TABLE song RENAME TO track; ALTER TABLE band RENAME TO groups;"
            "ALTER TABLE track DROP CONSTRAINT song_band, ADD CONSTRAINT t FOREIGN KEY (group_id) REFERENCES groups ON DELETE CASCADE;",
            [("DELETE", "CASCADE", ["NO ACTION"], 2)],
            id="everything renamed",
        ),
        pytest.param(
            "ALTER TABLE gig ADD CONSTRAINT g FOREIGN KEY (hall) REFERENCES band ON DELETE CASCADE;",
            [("DELETE", "CASCADE", [], 0)],
            id="a link that was not there",
        ),
        pytest.param(
            "ALTER TABLE play DROP CONSTRAINT play_band_id_fkey, ADD FOREIGN KEY (band_id) REFERENCES band ON DELETE CASCADE;",
            [("DELETE", "CASCADE", ["NO ACTION"], 0)],
            id="partitioned child, told once",
        ),
        pytest.param(
            "CREATE TABLE song_new (LIKE song INCLUDING ALL); INSERT INTO song_new SELECT * FROM song; DROP TABLE song;"
            "ALTER TABLE song_new RENAME TO song; ALTER TABLE song ADD FOREIGN KEY (band_id) REFERENCES band ON DELETE CASCADE;",
            [("DELETE", "CASCADE", ["NO ACTION"], 2)],
            id="the child made again",
        ),
        pytest.param(AGAIN.format("RESTRICT"), [], id="stricter"),
        pytest.param("ALTER TABLE gig RENAME CONSTRAINT gig_band_id_fkey TO k;", [], id="only the name"),
        pytest.param(
            "ALTER TABLE gig DROP CONSTRAINT gig_band_id_fkey; ALTER TABLE gig ADD CONSTRAINT k FOREIGN KEY (band_id) REFERENCES band ON DELETE CASCADE;",
            [],
            id="cascaded before, another name",
        ),
        pytest.param(
            "CREATE TABLE fan (id int, band_id int REFERENCES band ON DELETE CASCADE ON UPDATE CASCADE);",
            [],
            id="new child",
        ),
        pytest.param(
            "ALTER TABLE gig ADD COLUMN singer int REFERENCES band ON DELETE SET NULL ON UPDATE CASCADE;",
            [],
            id="new column",
        ),
    ],
)
def test_what_goes_along(postgres, text, expected):
    """The action, what it was before, and how many rows have a parent at all."""
    with rehearsed(postgres, SETUP, text) as scene:
        found = cascades_added(scene)
    assert [("cascade-added", W)] * len(expected) == [(item.rule, item.severity) for item in found]
    told = [tuple(item.evidence[key] for key in ("on", "action", "before", "rows")) for item in found]
    assert expected == told


def test_the_warning_names_both_tables(postgres):
    """What is said once, in one breath."""
    with rehearsed(postgres, SETUP, NEW_NAME) as scene:
        (found,) = cascades_added(scene)
    assert ("public.song", "public.song.other", 1) == (found.table, found.object, found.line)
    assert (
        "DELETE of a row in public.band deletes its rows in public.song now: foreign key other, ON DELETE CASCADE "
        "(before: NO ACTION), changed by 20260301_change, line 1. 2 rows there have a parent." in found.message
    )
