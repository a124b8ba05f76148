# ruff: noqa: E501  (one case, one line)
"""A column that writers must name from now on is found where they relied on not naming it; a filled one passes."""

from __future__ import annotations

import pytest
from scenes import B, W, rehearsed

from pytest_dryrun.rehearsal.judge.required import required_columns

pytestmark = pytest.mark.live

SETUP = """
CREATE DOMAIN colour AS text DEFAULT 'red';
CREATE TYPE state AS ENUM ('new', 'done');
CREATE TABLE task (id serial PRIMARY KEY, title text NOT NULL, state state NOT NULL DEFAULT 'new', shade colour NOT NULL, hint text,
  twice int NOT NULL GENERATED ALWAYS AS (length(title) * 2) STORED);
INSERT INTO task (title, hint) SELECT 't' || n, 'h' FROM generate_series(1, 30) n;
CREATE TABLE step (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, task_id int NOT NULL REFERENCES task); INSERT INTO step (task_id) VALUES (1), (2);
CREATE TABLE vacant (id serial PRIMARY KEY, kind text NOT NULL DEFAULT 'x');
CREATE TABLE day (at int NOT NULL, n int NOT NULL DEFAULT 1) PARTITION BY RANGE (at); CREATE TABLE day_1 PARTITION OF day DEFAULT; INSERT INTO day VALUES (1, 1);
CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.state := coalesce(NEW.state, 'new'); RETURN NEW; END $$;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
"""
FILLED = "CREATE TRIGGER filling BEFORE INSERT ON task FOR EACH ROW EXECUTE FUNCTION fill();"
REFUSED = "CREATE TRIGGER refusing BEFORE INSERT ON task FOR EACH ROW EXECUTE FUNCTION refuse();"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("ALTER TABLE task ALTER state DROP DEFAULT;", [("state", B)], id="default dropped"),
        pytest.param("ALTER TABLE step DROP CONSTRAINT step_task_id_fkey; ALTER TABLE task ALTER id DROP DEFAULT, ALTER id TYPE text;", [("id", B)], id="serial to text"),
        pytest.param("ALTER TABLE step ALTER id DROP IDENTITY;", [("id", B)], id="identity dropped"),
        pytest.param("ALTER TABLE task ALTER twice DROP EXPRESSION;", [("twice", B)], id="expression dropped"),
        pytest.param("ALTER DOMAIN colour DROP DEFAULT;", [("shade", B)], id="the domain's default dropped"),
        pytest.param("ALTER TABLE task ALTER state DROP DEFAULT, ALTER id DROP DEFAULT;", [("id", B), ("state", B)], id="two at once"),
        pytest.param("ALTER TABLE day ALTER n DROP DEFAULT; ALTER TABLE day_1 ALTER n DROP DEFAULT;", [("n", B)], id="partitioned, told once"),
        pytest.param("ALTER TABLE task RENAME TO job; ALTER TABLE job RENAME state TO stage; ALTER TABLE job ALTER stage DROP DEFAULT;", [("stage", B)], id="renamed as well"),
        pytest.param(REFUSED + "ALTER TABLE task ALTER state DROP DEFAULT;", [("state", B)], id="no row can be tried"),
        pytest.param("ALTER TABLE task ADD COLUMN due text DEFAULT 'soon'; ALTER TABLE task ALTER due DROP DEFAULT; ALTER TABLE task ADD CONSTRAINT dated CHECK (due IS NOT NULL) NOT VALID;", [("due", B)], id="required by a check"),
        pytest.param("ALTER TABLE task ADD COLUMN due text; UPDATE task SET due = 'x'; ALTER TABLE task ADD CHECK (coalesce(due, '') <> '' AND task IS NOT NULL);", [("due", B)], id="by a check of the whole row"),
        pytest.param("ALTER TABLE task ADD COLUMN due text; UPDATE task SET due = 'x'; ALTER TABLE task ALTER due SET NOT NULL;", [("due", B)], id="new, filled, NOT NULL"),
        pytest.param("ALTER TABLE task ALTER hint SET NOT NULL;", [("hint", W)], id="nullable before"),
        pytest.param("ALTER TABLE task ADD CHECK (hint IS NOT NULL);", [("hint", W)], id="nullable before, by a check"),
        pytest.param("ALTER TABLE vacant ALTER kind DROP DEFAULT;", [("kind", W)], id="no rows yet"),
        pytest.param(FILLED + "ALTER TABLE task ALTER state DROP DEFAULT;", [], id="a trigger fills it"),
        pytest.param("ALTER TABLE task ALTER state DROP DEFAULT, ALTER state DROP NOT NULL;", [], id="NULL is welcome"),
        pytest.param("ALTER TABLE task ALTER state DROP DEFAULT; ALTER TABLE task ALTER state SET DEFAULT 'done';", [], id="another default"),
        pytest.param("ALTER TABLE step ALTER id DROP IDENTITY; CREATE SEQUENCE s START 3; ALTER TABLE step ALTER id SET DEFAULT nextval('s');", [], id="identity to a sequence"),
        pytest.param("ALTER TABLE task ADD COLUMN due text, ADD CHECK (due <> ''), ADD CHECK (due IS NULL OR hint IS NOT NULL), ADD CHECK (due IS NOT NULL OR title IS NOT NULL);", [], id="checks that NULL passes"),
        pytest.param("ALTER TABLE task ADD COLUMN due text NOT NULL DEFAULT 'x', ADD CHECK (due IS NOT NULL);", [], id="checked, with a default"),
        pytest.param("CREATE TABLE fresh (a int NOT NULL, b int CHECK (b IS NOT NULL));", [], id="new table"),
    ],
)  # fmt: skip
def test_what_a_writer_must_name(postgres, text, expected):
    """The column, and how bad that is for those who write today."""
    with rehearsed(postgres, SETUP, text) as scene:
        found = required_columns(scene)
    assert {"required-column"} >= {item.rule for item in found}
    assert expected == sorted((item.evidence["column"], item.severity) for item in found)


def test_what_is_said(postgres):
    """What changed, where, whom it hits, and what to do."""
    with rehearsed(postgres, SETUP, "SELECT 1;\nALTER TABLE task ALTER state DROP DEFAULT;") as scene:
        (found,) = required_columns(scene)
    assert (
        "Column public.task.state lost its default and must be given by every writer now (NOT NULL, no default), changed "
        "by 20260301_change, line 2: an INSERT of the running release that leaves it out fails." in found.message
    )
