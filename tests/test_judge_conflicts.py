# ruff: noqa: E501  (one case, one line)
"""Exclusion constraints, periods and loose collations: rows that break them are counted, whatever the catalog says."""

from __future__ import annotations

import pytest
from scenes import B, I, W, rehearsed

from pytest_dryrun.rehearsal.judge.foreign_keys import orphans
from pytest_dryrun.rehearsal.judge.soundness import unsound
from pytest_dryrun.rehearsal.judge.validity import constraint_findings
from pytest_dryrun.rehearsal.judge.violations import violations

pytestmark = pytest.mark.live

ROOMS = """
CREATE TABLE stay (id int PRIMARY KEY, room int, during int4range, kept bool DEFAULT true);
INSERT INTO stay SELECT n, n % 3, int4range(n * 10, n * 10 + 5) FROM generate_series(1, 20) n;
INSERT INTO stay VALUES (30, 1, '[11,13)'), (31, 2, '[11,13)'), (32, NULL, NULL), (33, 2, 'empty'), (34, 2, 'empty');
CREATE INDEX stay_during ON stay USING gist (during);
CREATE TABLE visit (at int, during int4range) PARTITION BY RANGE (at);
CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM (0) TO (10); CREATE TABLE visit_2 PARTITION OF visit DEFAULT;
INSERT INTO visit SELECT n, int4range(n * 10, n * 10 + 5) FROM generate_series(1, 15) n;
CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE word (id int, strict text, spelled text COLLATE loose);
INSERT INTO word VALUES (1, 'ada', 'ada'), (2, 'Ada', 'Ada'), (3, 'bob', 'bob'), (4, NULL, NULL);
CREATE INDEX word_spelled ON word (spelled); CREATE INDEX word_strict ON word (strict);
CREATE INDEX word_made_loose ON word (strict COLLATE loose); CREATE INDEX word_made_strict ON word (spelled COLLATE "C");
"""
FREE = "DELETE FROM stay WHERE id IN (30, 31);"
EXCLUDE = "ALTER TABLE stay ADD CONSTRAINT c EXCLUDE USING gist (during WITH &&)"
# Rows put in while the index is not written, or while the triggers of a deferrable constraint do not fire.
UNREADY = "UPDATE pg_index SET indisready = {ready} WHERE indexrelid = '{index}'::regclass;"
BLIND = UNREADY.format(ready="false", index="{index}") + "{rows};" + UNREADY.format(ready="true", index="{index}")
REPLICA = "SET session_replication_role = replica;"
TWICE = "INSERT INTO stay VALUES (40, 1, '[21,23)'), (41, 1, '[22,24)')"
STAMPED = """
CREATE TABLE model (during int4range, CONSTRAINT c EXCLUDE USING gist (during WITH &&));
UPDATE pg_index SET indisexclusion = true WHERE indexrelid = 'stay_during'::regclass;
UPDATE pg_constraint SET conrelid = 'stay'::regclass, conindid = 'stay_during'::regclass, conkey = '{3}' WHERE conname = 'c';
UPDATE pg_index SET indisexclusion = false WHERE indexrelid = 'c'::regclass;
"""
UNIQUE = "UPDATE pg_index SET indisunique = true WHERE indexrelid = '{}'::regclass;"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(STAMPED, [("constraint-violated", B, 3)], id="an index made an exclusion constraint by a write to the catalog"),
        pytest.param(FREE + EXCLUDE + " DEFERRABLE;" + REPLICA + TWICE, [("constraint-violated", B, 3)], id="rows put in as a replica"),
        pytest.param(FREE + EXCLUDE + ";" + BLIND.format(index="c", rows=TWICE), [("constraint-violated", B, 3)], id="rows that the index does not hold"),
        pytest.param(FREE + EXCLUDE + " WHERE (kept);" + BLIND.format(index="c", rows=TWICE), [("constraint-violated", B, 3)], id="partial, rows inside"),
        pytest.param(FREE + EXCLUDE + " WHERE (NOT kept);" + BLIND.format(index="c", rows=TWICE), [], id="partial, rows outside"),
        pytest.param(FREE + EXCLUDE, [], id="an ordinary exclusion constraint"),
        pytest.param(FREE + "ALTER TABLE stay ADD EXCLUDE (id WITH =), ADD EXCLUDE USING gist ((int4range(id, id + 1)) WITH &&);", [], id="over btree, over an expression"),
        pytest.param("CREATE TABLE inn (during int4range, EXCLUDE USING gist (during WITH &&)); INSERT INTO inn VALUES ('[1,3)');", [], id="new table"),
        pytest.param(UNIQUE.format("word_spelled"), [("constraint-violated", B, 2)], id="unique stamped, equal under the column's collation"),
        pytest.param(UNIQUE.format("word_made_loose"), [("constraint-violated", B, 2)], id="unique stamped, equal under the index's collation"),
        pytest.param(UNIQUE.format("word_strict") + UNIQUE.format("word_made_strict"), [], id="unique stamped, not equal byte by byte"),
        pytest.param("DELETE FROM word WHERE id = 2; CREATE UNIQUE INDEX ON word (spelled); CREATE UNIQUE INDEX ON word (lower(strict) COLLATE loose)", [], id="ordinary unique indexes under a loose collation"),
        pytest.param("CREATE UNIQUE INDEX ON word (strict text_pattern_ops);", [], id="an operator class with the usual equality"),
    ],
)  # fmt: skip
def test_rows_are_counted(postgres, text, expected):
    """Each constraint once, with the rows that break it; the index of the constraint itself is not believed."""
    with rehearsed(postgres, ROOMS, text) as scene:
        found = constraint_findings(scene)
        left = scene.copy.execute("SELECT count(*) FROM pg_class WHERE relname LIKE 'pytest_dryrun%'").fetchone()
    assert expected == [(item.rule, item.severity, item.evidence["rows"]) for item in found]
    assert (0,) == left


def test_what_is_said(postgres):
    """Count, a few keys, and a remedy that the server takes: there is nothing to validate."""
    with rehearsed(postgres, ROOMS, STAMPED) as scene:
        (made,) = constraint_findings(scene)
    expected = (
        "Exclusion constraint stay_during of public.stay is marked as valid by 20260301_change, line 4, though 3 rows "
        "break it ([10,15); [11,13)): the server never held it against them. "
        "Fix these rows, and drop it and create it again."
    )
    assert expected == made.message
    assert ("public.stay_during", "public.stay") == (made.object, made.table)


OWN_EQUALITY = """
CREATE OPERATOR CLASS by_length FOR TYPE text USING btree FAMILY short AS OPERATOR 1 <#, OPERATOR 2 <=#, OPERATOR 3 =#, OPERATOR 4 >=#, OPERATOR 5 >#, FUNCTION 1 compared(text, text);
"""


def test_what_cannot_be_counted_is_said(postgres):
    """An equality that the type does not have by itself, an exclusion without operators: a warning, not silence."""
    setup = (
        ROOMS
        + "CREATE FUNCTION compared(text, text) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT length($1) - length($2)';"
    )
    for name, sign in (("<#", "<"), ("<=#", "<="), ("=#", "="), (">=#", ">="), (">#", ">")):
        setup += f"CREATE FUNCTION \"{name}\"(text, text) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT length($1) {sign} length($2)';"
        setup += f'CREATE OPERATOR {name} (FUNCTION = "{name}", LEFTARG = text, RIGHTARG = text);'
    setup += "CREATE OPERATOR FAMILY short USING btree;" + OWN_EQUALITY
    text = "CREATE UNIQUE INDEX own ON word (strict by_length) WHERE id > 2; UPDATE pg_index SET indisexclusion = true WHERE indexrelid = 'stay_during'::regclass;"
    with rehearsed(postgres, setup, text) as scene:
        own, bare = sorted(constraint_findings(scene), key=lambda item: str(item.object))
    assert [(W, None), (W, None)] == [(item.severity, item.evidence["rows"]) for item in (own, bare)]
    assert "could not be counted (its operator class has an equality of its own). Count them by hand." in own.message
    assert "could not be counted (the catalog names no operators for it)" in bare.message


PERIODS = """
CREATE EXTENSION btree_gist;
CREATE TABLE price (item int, valid int4range, PRIMARY KEY (item, valid WITHOUT OVERLAPS));
INSERT INTO price VALUES (1, '[1,5)'), (1, '[5,9)'), (2, '[1,5)'), (2, '[6,9)');
CREATE TABLE sale (id int PRIMARY KEY, item int, valid int4range, many int4multirange);
INSERT INTO sale VALUES (1, 1, '[2,8)'), (2, 2, '[2,8)'), (3, 2, '[2,4)'), (4, 3, '[1,2)'), (5, NULL, '[1,2)'), (6, 1, 'empty');
CREATE TABLE spell (id int, valid int4range, many int4multirange DEFAULT '{[1,2)}');
INSERT INTO spell VALUES (1, '[1,5)'), (1, '[5,9)'), (2, '[1,5)');
CREATE TABLE reigned (id int, during int4range) PARTITION BY RANGE (id); CREATE TABLE reigned_1 PARTITION OF reigned DEFAULT;
INSERT INTO reigned VALUES (1, '[1,5)'), (2, '[1,5)');
"""
PERIOD = "ALTER TABLE sale ADD CONSTRAINT c FOREIGN KEY (item, PERIOD valid) REFERENCES price (item, PERIOD valid)"
MORE = "INSERT INTO spell (id, valid) VALUES (1, '[4,6)'), (3, '[1,2)')"
UNSAID = "ALTER TABLE spell ADD CONSTRAINT c UNIQUE (id, valid WITHOUT OVERLAPS);"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(PERIOD + " NOT VALID", [("constraint-violated", B, 3)], id="a foreign key over periods, some break"),
        pytest.param("DELETE FROM sale WHERE id IN (2, 4, 6);" + PERIOD + " NOT VALID", [("constraint-not-valid", I, 0)], id="a foreign key over periods, none breaks"),
        pytest.param(PERIOD + " NOT VALID; UPDATE pg_constraint SET convalidated = true WHERE conname = 'c'", [("constraint-violated", B, 3)], id="a foreign key over periods stamped valid"),
        pytest.param("DELETE FROM sale WHERE id IN (2, 4, 6);" + PERIOD, [], id="an ordinary foreign key over periods"),
        pytest.param(UNSAID + BLIND.format(index="c", rows=MORE), [("constraint-violated", B, 3)], id="WITHOUT OVERLAPS, rows that the index does not hold"),
        pytest.param(UNSAID + BLIND.format(index="c", rows="INSERT INTO spell (id, valid) VALUES (7, 'empty')"), [("constraint-violated", B, 1)], id="WITHOUT OVERLAPS, an empty period"),
        pytest.param(UNSAID + "ALTER TABLE reigned ADD EXCLUDE USING gist (id WITH =, during WITH &&);", [], id="ordinary ones, on a partitioned table too"),
        pytest.param("ALTER TABLE reigned ADD CONSTRAINT c EXCLUDE USING gist (id WITH =, during WITH &&);" + BLIND.format(index="reigned_1_id_during_excl", rows="INSERT INTO reigned VALUES (1, '[4,6)'), (4, '[1,2)')"), [("constraint-violated", B, 2)], id="partitioned, told once"),
        pytest.param("ALTER TABLE spell ADD COLUMN n int GENERATED ALWAYS AS IDENTITY, ADD UNIQUE (n, many WITHOUT OVERLAPS)", [], id="over multiranges"),
    ],
)  # fmt: skip
def test_periods_are_counted(newest, text, expected):
    """PostgreSQL 18: parents must cover the whole period of a child, and no two periods of one key may overlap."""
    with rehearsed(newest, PERIODS, text) as scene:
        found = constraint_findings(scene)
    assert expected == [(item.rule, item.severity, item.evidence["rows"]) for item in found]


def test_orphans_over_periods_are_counted_on_the_target(newest):
    """A valid key that every row keeps is no finding; one that is not is told with its rows."""
    text = (
        PERIOD
        + " NOT VALID; CREATE TABLE kept (item int, valid int4range, FOREIGN KEY (item, PERIOD valid) REFERENCES price); INSERT INTO kept VALUES (1, '[2,8)')"
    )
    with rehearsed(newest, PERIODS, text) as scene:
        found = orphans(scene.copy, scene.after)
        target = unsound(scene.copy, scene.before, scene.after)
    assert [("orphaned-rows", "public.sale.c", 3)] == [
        (item.rule, item.object, item.evidence["rows"]) for item in found
    ]
    assert [("constraint-violated", "public.sale.c", 3)] == [
        (item.rule, item.object, item.evidence["rows"]) for item in target
    ]
    assert "item=2, valid=[2,8)" in found[0].message


@pytest.mark.parametrize(
    ("statement", "state", "expected"),
    [
        pytest.param(EXCLUDE, "23P01", ("c", 3, "[10,15)"), id="exclusion"),
        pytest.param("ALTER TABLE stay ADD EXCLUDE USING gist (during WITH &&) WHERE (room > 1)", "23P01", None, id="exclusion, partial and kept"),
        pytest.param("CREATE UNIQUE INDEX ON word (spelled)", "23505", ("(spelled)", 2, "ada"), id="unique under a loose collation"),
    ],
)  # fmt: skip
def test_a_refused_constraint_is_counted(postgres, statement, state, expected):
    """The statement that fails over the rows that are there says how many, by its constraint's own name."""
    with rehearsed(postgres, ROOMS) as scene:
        (found,) = violations(scene.template, statement, sqlstate=state, message="conflict", migration="m", line=1)
    _told(found, expected)


@pytest.mark.parametrize(
    ("statement", "state", "expected"),
    [
        pytest.param(PERIOD, "23503", ("c", 3, "item=2, valid=[2,8)"), id="foreign key over periods"),
        pytest.param("ALTER TABLE sale ADD PRIMARY KEY (item, valid WITHOUT OVERLAPS)", "23P01", ("sale_pkey", 3, "2, [2,8)"), id="primary key without overlaps"),
        pytest.param("ALTER TABLE sale ADD EXCLUDE USING gist (item WITH =, valid WITH &&)", "23P01", ("sale_item_valid_excl", 2, "2, [2,4)"), id="exclusion of two columns"),
    ],
)  # fmt: skip
def test_a_refused_period_is_counted(newest, statement, state, expected):
    """The same on PostgreSQL 18."""
    with rehearsed(newest, PERIODS.replace("sale (id int PRIMARY KEY,", "sale (id int,")) as scene:
        found = violations(scene.template, statement, sqlstate=state, message="conflict", migration="m", line=1)
    _told(next(item for item in found if item.evidence["constraint"] != "item"), expected)


def _told(found, expected):
    assert ("constraint-violated", B, "m", 1) == (found.rule, found.severity, found.migration, found.line)
    if expected is None:
        assert "could not be counted (no row breaks stay_during_excl in the copy" in found.message
    else:
        name, rows, key = expected
        assert (name, rows) == (found.evidence["constraint"], found.evidence["rows"])
        assert key in found.evidence["keys"]
        assert f"{rows:,} rows of" in found.message
