# ruff: noqa: E501  (one case, one line)
"""Dropped indexes: no loss where an equal one does their work, a warning where it does not."""

from __future__ import annotations

import pytest
from scenes import B, I, W, rehearsed

from pytest_dryrun.rehearsal.judge.destructive import destructive
from pytest_dryrun.rehearsal.judge.names_gone import names_gone

pytestmark = pytest.mark.live

SETUP = """
CREATE TABLE part (id int NOT NULL, code text NOT NULL, kind text, weight int);
CREATE UNIQUE INDEX part_id ON part (id); CREATE UNIQUE INDEX part_two ON part (id, code); CREATE INDEX part_code ON part (code);
CREATE UNIQUE INDEX part_c ON part (code COLLATE "C"); CREATE UNIQUE INDEX part_like ON part (code text_pattern_ops);
CREATE UNIQUE INDEX part_down ON part (id DESC); CREATE UNIQUE INDEX part_some ON part (id) WHERE weight > 1;
CREATE UNIQUE INDEX part_more ON part (id) INCLUDE (weight); CREATE INDEX part_lower ON part (lower(code));
INSERT INTO part SELECT n, 'c' || n FROM generate_series(1, 20) n;
"""
KEY = "ALTER TABLE part ADD CONSTRAINT part_key PRIMARY KEY (id);"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(KEY + "DROP INDEX part_id;", I, id="a primary key in its place"),
        pytest.param("DROP INDEX part_id;" + KEY, I, id="the index dropped first"),
        pytest.param("ALTER TABLE part ADD UNIQUE (code); DROP INDEX part_code;", I, id="an index that was not unique"),
        pytest.param("CREATE INDEX again ON part (code) WITH (fillfactor = 70); DROP INDEX part_code;", I, id="built again under another name"),
        pytest.param("ALTER TABLE part ADD UNIQUE (id) INCLUDE (weight); DROP INDEX part_more;", I, id="with the same columns besides"),
        pytest.param("DROP INDEX part_id;", W, id="nothing in its place"),
        pytest.param("CREATE INDEX again ON part (id); DROP INDEX part_id;", W, id="one that is not unique"),
        pytest.param("ALTER TABLE part ADD UNIQUE (id) DEFERRABLE; DROP INDEX part_id;", W, id="one that is checked later"),
        pytest.param("ALTER TABLE part ADD UNIQUE (code, id); DROP INDEX part_two;", W, id="another order of columns"),
        pytest.param(KEY + "DROP INDEX part_two;", W, id="fewer columns"),
        pytest.param(KEY + "DROP INDEX part_more;", W, id="without the columns besides"),
        pytest.param(KEY + "DROP INDEX part_down;", W, id="another direction"),
        pytest.param(KEY + "DROP INDEX part_some;", W, id="a partial one"),
        pytest.param("ALTER TABLE part ADD UNIQUE (code); DROP INDEX part_c;", W, id="another collation"),
        pytest.param("ALTER TABLE part ADD UNIQUE (code); DROP INDEX part_like;", W, id="another operator class"),
        pytest.param("CREATE INDEX again ON part (upper(code)); DROP INDEX part_lower;", W, id="an expression"),
        pytest.param(KEY + "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'part_key'::regclass; DROP INDEX part_id;", W, id="one that is not valid"),
        pytest.param("ALTER TABLE part REPLICA IDENTITY USING INDEX part_id;" + KEY + "DROP INDEX part_id;", I, id="made the replica identity in this run"),
    ],
)  # fmt: skip
def test_a_dropped_index(postgres, text, expected):
    """An equal index is valid, as unique, and has the same columns, order, collations and operator classes."""
    with rehearsed(postgres, SETUP, text) as scene:
        found = [item for item in names_gone(scene) if item.rule == "object-dropped"]
    assert [expected] == [item.severity for item in found]


def test_a_replica_identity_is_more_than_its_columns(postgres):
    """Subscribers stop at the next UPDATE where it goes."""
    setup = SETUP + "ALTER TABLE part REPLICA IDENTITY USING INDEX part_id;"
    with rehearsed(postgres, setup, KEY + "DROP INDEX part_id;") as scene:
        (found,) = names_gone(scene)
    with rehearsed(
        postgres, setup, KEY + "ALTER TABLE part REPLICA IDENTITY USING INDEX part_key; DROP INDEX part_id;"
    ) as scene:
        (moved,) = names_gone(scene)
    assert (W, I) == (found.severity, moved.severity)


def test_nulls_that_are_equal_are_not_kept_out_by_an_index_to_which_they_differ(newest):
    """NULLS NOT DISTINCT is part of what an index keeps out."""
    setup = SETUP + "CREATE UNIQUE INDEX part_kind ON part (weight, id) NULLS NOT DISTINCT;"
    severities = []
    for nulls in ("NULLS NOT DISTINCT", ""):
        text = f"ALTER TABLE part ADD UNIQUE {nulls} (weight, id); DROP INDEX part_kind;"
        with rehearsed(newest, setup, text) as scene:
            severities += [item.severity for item in names_gone(scene)]
    assert [I, W] == severities


def test_what_is_said_of_a_replaced_index(postgres):
    """Which index does the work now, and that nothing is lost."""
    with rehearsed(postgres, SETUP, KEY + "\nDROP INDEX part_id;") as scene:
        (found,) = names_gone(scene)
    expected = (
        "Index public.part_id on public.part is dropped by 20260301_change, line 2. part_key, the index of a "
        "constraint, has the same columns in the same order and does its work: nothing is lost."
    )
    assert (expected, "public.part_key") == (found.message, found.evidence["replacement"])


DOUBLE = "CREATE TABLE item (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED); INSERT INTO item SELECT g, g FROM generate_series(1, 5) g;"


@pytest.mark.parametrize(
    ("again", "expected"),
    [
        ("twice int GENERATED ALWAYS AS (n * 2) STORED", I),
        ("twice int GENERATED ALWAYS AS (n * 3) STORED", B),
        ("twice bigint GENERATED ALWAYS AS (n * 2) STORED", B),
        ("twice int", B),
    ],
)
def test_a_generated_column_that_is_added_again(postgres, again, expected):
    """Its values are computed from the row, so the same expression and type give them all back."""
    with rehearsed(
        postgres, DOUBLE, f"ALTER TABLE item DROP COLUMN twice; ALTER TABLE item ADD COLUMN {again};"
    ) as scene:
        assert [expected] == [item.severity for item in destructive(scene) if item.rule == "column-dropped"]
