# ruff: noqa: E501  (one case, one line)
"""Constraints that no server held against the rows: counted, whatever the catalog says of them."""

from __future__ import annotations

import re

import pytest
from scenes import B, I, W, rehearsed

from pytest_dryrun.model.values import Finding
from pytest_dryrun.rehearsal.judge.foreign_keys import orphans
from pytest_dryrun.rehearsal.judge.soundness import as_judged, unfinished_indexes, unsound
from pytest_dryrun.rehearsal.judge.validity import constraint_findings

pytestmark = pytest.mark.live

SETUP = """
CREATE TABLE maker (id int PRIMARY KEY); INSERT INTO maker SELECT generate_series(1, 5);
CREATE TABLE clock (id int PRIMARY KEY, maker_id int, price numeric, mark text, label text);
CREATE INDEX clock_mark ON clock (mark);
INSERT INTO clock SELECT n, 1 + n % 7, n * 10, CASE WHEN n % 4 > 0 THEN 'm' || n % 6 END, 'l' || n FROM generate_series(1, 20) n;
CREATE TABLE tick (at int, note text) PARTITION BY RANGE (at);
CREATE TABLE tick_1 PARTITION OF tick FOR VALUES FROM (0) TO (10); CREATE TABLE tick_2 PARTITION OF tick DEFAULT;
INSERT INTO tick SELECT n, CASE WHEN n > 3 THEN 'x' END FROM generate_series(1, 15) n;
CREATE TABLE device (id int); CREATE TABLE watch () INHERITS (device); INSERT INTO device VALUES (1); INSERT INTO watch VALUES (-1), (-2);
CREATE TABLE old (id int CONSTRAINT was CHECK (id > 0)); INSERT INTO old VALUES (1);
ALTER TABLE old ADD CONSTRAINT loose CHECK (id > 5) NOT VALID;
"""
STAMP = "UPDATE pg_constraint SET convalidated = true WHERE conname = '{}';"
NULLS = "UPDATE pg_attribute SET attnotnull = true WHERE attrelid = '{}'::regclass AND attname = '{}';"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("ALTER TABLE clock ADD CONSTRAINT c CHECK (price > 0) NOT VALID;", [("constraint-not-valid", I, 0)], id="check, none breaks"),
        pytest.param("ALTER TABLE clock ADD CONSTRAINT c CHECK (price > 50) NOT VALID;", [("constraint-violated", B, 5)], id="check, some break"),
        pytest.param("ALTER TABLE clock ADD CONSTRAINT c FOREIGN KEY (maker_id) REFERENCES maker NOT VALID;", [("constraint-violated", B, 6)], id="foreign key, some break"),
        pytest.param("DELETE FROM clock WHERE maker_id > 5; ALTER TABLE clock ADD CONSTRAINT c FOREIGN KEY (maker_id) REFERENCES maker NOT VALID;", [("constraint-not-valid", I, 0)], id="foreign key, none breaks"),
        pytest.param("ALTER TABLE clock ADD CONSTRAINT c CHECK (mark <> 'zz') NOT VALID;", [("constraint-not-valid", I, 0)], id="NULL breaks no check"),
        pytest.param("ALTER TABLE clock ADD CONSTRAINT c CHECK (clock.* IS NOT NULL) NOT VALID;", [("constraint-violated", B, 5)], id="check of a whole row"),
        pytest.param("ALTER TABLE tick ADD CONSTRAINT c CHECK (at < 12) NOT VALID;", [("constraint-violated", B, 4)], id="partitioned, told once"),
        pytest.param("ALTER TABLE device ADD CONSTRAINT c CHECK (id > 0) NOT VALID;", [("constraint-violated", B, 2)], id="inherited, told once"),
        pytest.param("ALTER TABLE device ADD CONSTRAINT c CHECK (id > 0) NO INHERIT NOT VALID;", [("constraint-not-valid", I, 0)], id="not inherited"),
        pytest.param("ALTER TABLE clock ADD CONSTRAINT c CHECK (price > 50) NOT VALID;" + STAMP.format("c"), [("constraint-violated", B, 5)], id="check stamped valid"),
        pytest.param("ALTER TABLE clock ADD CONSTRAINT c FOREIGN KEY (maker_id) REFERENCES maker NOT VALID;" + STAMP.format("c"), [("constraint-violated", B, 6)], id="foreign key stamped valid"),
        pytest.param("ALTER TABLE tick ADD CONSTRAINT c CHECK (at < 12) NOT VALID;" + STAMP.format("c"), [("constraint-violated", B, 4)], id="check stamped valid on a partitioned table"),
        pytest.param(STAMP.format("loose"), [("constraint-violated", B, 1)], id="an old one stamped valid"),
        pytest.param("UPDATE pg_constraint SET convalidated = false WHERE conname = 'was';", [("constraint-not-valid", I, 0)], id="made not valid"),
        pytest.param(NULLS.format("clock", "mark"), [("constraint-violated", B, 5)], id="NOT NULL stamped"),
        pytest.param(NULLS.format("tick", "note"), [("constraint-violated", B, 3)], id="NOT NULL stamped on a partitioned table"),
        pytest.param("UPDATE pg_index SET indisunique = true WHERE indexrelid = 'clock_mark'::regclass;", [("constraint-violated", B, 14)], id="unique stamped"),
        pytest.param("CREATE INDEX i ON clock (maker_id); UPDATE pg_index SET indisunique = true WHERE indexrelid = 'i'::regclass;", [("constraint-violated", B, 20)], id="new index stamped unique"),
        pytest.param(
            "CREATE TABLE clock_new (LIKE clock INCLUDING ALL); ALTER TABLE clock_new ADD CONSTRAINT c CHECK (price > 50) NOT VALID;"
            "INSERT INTO clock_new SELECT * FROM clock WHERE price > 50; DROP TABLE clock; ALTER TABLE clock_new RENAME TO clock;",
            [("constraint-not-valid", I, 0)],
            id="the table made again",
        ),
        pytest.param("ALTER TABLE clock ADD CONSTRAINT c CHECK (price > 0) NOT VALID; ALTER TABLE clock VALIDATE CONSTRAINT c;", [], id="validated"),
        pytest.param("ALTER TABLE clock ADD CHECK (price > 0), ALTER label SET NOT NULL, ADD UNIQUE (label); CREATE UNIQUE INDEX ON clock (mark, label); CREATE UNIQUE INDEX ON clock (lower(label)) WHERE id > 3;", [], id="ordinary constraints"),
        pytest.param("UPDATE clock SET maker_id = 1; ALTER TABLE clock ADD FOREIGN KEY (maker_id) REFERENCES maker; ALTER TABLE clock ALTER maker_id TYPE bigint;", [], id="ordinary foreign key"),
        pytest.param("ALTER TABLE old RENAME TO older; ALTER TABLE older RENAME CONSTRAINT loose TO looser;", [], id="not valid before"),
        pytest.param("CREATE TABLE fresh (id int UNIQUE NOT NULL, m int REFERENCES maker, CHECK (id > 0)); INSERT INTO fresh VALUES (1, 1);", [], id="new table"),
        pytest.param("CREATE TABLE tick_3 PARTITION OF tick FOR VALUES FROM (50) TO (60); ALTER TABLE tick ALTER at SET NOT NULL;", [], id="partitions"),
    ],
)  # fmt: skip
def test_rows_are_counted(postgres, text, expected):
    """Each constraint once, with the rows that break it."""
    with rehearsed(postgres, SETUP, text) as scene:
        found = constraint_findings(scene)
    assert expected == [(item.rule, item.severity, item.evidence["rows"]) for item in found]


def test_what_is_said(postgres):
    """Count, a few keys, the place, what happens from now on; or the statement that validates."""
    text = """SELECT 1;
      ALTER TABLE clock ADD CONSTRAINT "Dear" CHECK (price > 150) NOT VALID;
      ALTER TABLE clock ADD CONSTRAINT cheap CHECK (price < 5000) NOT VALID;"""
    with rehearsed(postgres, SETUP, text) as scene:
        cheap, dear = sorted(constraint_findings(scene), key=lambda item: item.rule)
    assert (2, 'public.clock."Dear"', "public.clock") == (dear.line, dear.object, dear.table)
    assert re.search(r"15 rows break it \(id=\d+, price=\d+; .*\)\. Every UPDATE of such a row fails", dear.message)
    assert "ALTER TABLE public.clock VALIDATE CONSTRAINT cheap;" in cheap.message


def test_not_null_not_valid(newest):
    """From PostgreSQL 18 on NOT NULL may wait as well."""
    text = "ALTER TABLE clock ADD CONSTRAINT a NOT NULL mark NOT VALID, ADD CONSTRAINT b NOT NULL label NOT VALID;"
    with rehearsed(newest, SETUP, text) as scene:
        found = {item.object: (item.rule, item.severity) for item in constraint_findings(scene)}
        later = [item.message for item in constraint_findings(scene) if item.object == "public.clock.label"]
    expected = {"public.clock.mark": ("constraint-violated", B), "public.clock.label": ("constraint-not-valid", I)}
    assert expected == found
    assert later[0].endswith("ALTER TABLE public.clock VALIDATE CONSTRAINT b;")


def test_the_target_is_judged_as_the_copy_was(postgres):
    """The same finding with its place, so that a waiver holds; what the copy did not show is a blocker."""
    text = """ALTER TABLE clock ADD CONSTRAINT c FOREIGN KEY (maker_id) REFERENCES maker NOT VALID;
      ALTER TABLE clock ADD CONSTRAINT fine CHECK (price > 0) NOT VALID;
      ALTER TABLE old DISABLE TRIGGER ALL;"""
    with rehearsed(postgres, SETUP, text) as scene:
        copy = constraint_findings(scene)
        target = unsound(scene.copy, scene.before, scene.after, copy)
        unseen = unsound(scene.copy, scene.before, scene.after)
        parents = as_judged(orphans(scene.copy, scene.after), copy)
        scene.copy.execute("ALTER TABLE public.clock DROP CONSTRAINT fine; INSERT INTO public.clock VALUES (99, 1, -1)")
        scene.copy.execute("ALTER TABLE public.clock ADD CONSTRAINT fine CHECK (price > 0) NOT VALID")

    def told(found: tuple[Finding, ...]) -> set[tuple[object, ...]]:
        return {(item.rule, item.severity, item.object, item.line) for item in found}

    known = ("invalid-constraint", I, "public.old.loose", None)
    violated = ("constraint-violated", B, "public.clock.c", 1)
    assert {violated, ("constraint-not-valid", I, "public.clock.fine", 2), known} == told(target)
    assert {violated} == told(parents)
    expected = {
        ("constraint-violated", B, "public.clock.c", None),
        ("constraint-not-valid", I, "public.clock.fine", None),
        known,
    }
    assert expected == told(unseen)


def test_indexes_that_are_not_valid(postgres):
    """A broken one is a blocker with its place; one over partitions that waits for its parts is a warning."""
    text = """CREATE INDEX part_by_part ON ONLY tick (at);
      UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'clock_mark'::regclass;"""
    with rehearsed(postgres, SETUP, text) as scene:
        found = unfinished_indexes(scene)
        target = unsound(scene.copy, scene.before, scene.after, found)
    expected = [("public.clock_mark", B, 2), ("public.part_by_part", W, 1)]
    assert expected == sorted((item.object, item.severity, item.line) for item in found)
    assert expected == sorted(
        (item.object, item.severity, item.line) for item in target if item.rule == "invalid-index"
    )


def test_rows_that_are_closed_on_the_target(postgres):
    """The copy's word stands where it was asked; where it was not, what cannot be counted is a blocker."""
    text = "ALTER TABLE clock ADD CONSTRAINT fine CHECK (price > 0) NOT VALID;"
    with rehearsed(postgres, SETUP, text) as scene:
        copy = constraint_findings(scene)
        scene.copy.execute("SET ROLE pg_monitor")
        known = unsound(scene.copy, scene.before, scene.after, copy)
        unknown = unsound(scene.copy, scene.before, scene.after)
    assert copy[0] in known
    (blind,) = (item for item in unknown if item.object == "public.clock.fine")
    assert ("constraint-violated", B, None) == (blind.rule, blind.severity, blind.evidence["rows"])
    assert "could not be counted (permission denied for table clock)" in blind.message
