# ruff: noqa: E501  (one case, one line)
"""What migrations did, judged on a real server: each danger is found, each harmless change is not."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from psycopg import sql

from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.model.values import Change, Finding, Severity, TableComparison
from pytest_dryrun.postgres.catalog import Catalog, read_catalog
from pytest_dryrun.postgres.catalog.difference import CatalogChange, difference
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.rehearsal.judge import columns, defaults, destructive, foreign_keys, names_gone, required, violations
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.sql.statements import cut

pytestmark = pytest.mark.live

HISTORY = frozenset({("public", "_prisma_migrations")})

SCHEMA = """
CREATE TYPE public.mood AS ENUM ('sad', 'ok');
CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION public.roll() RETURNS int LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN 1; END';
CREATE TABLE public."User" (id serial PRIMARY KEY, email varchar(50) NOT NULL, age int DEFAULT 3, mood public.mood, note text);
CREATE TABLE public.post (id serial PRIMARY KEY, author int NOT NULL, title text, a int, b int,
  CONSTRAINT post_author_fkey FOREIGN KEY (author) REFERENCES public."User" (id));
CREATE INDEX post_author_idx ON public.post (author);
CREATE TABLE public.empty (id int PRIMARY KEY, gone text);
CREATE TABLE public.pair (a int, b int, UNIQUE (a, b));
CREATE TABLE public._prisma_migrations (id text, logs text);
CREATE VIEW public.adults AS SELECT id, email FROM public."User" WHERE age > 17;
CREATE SCHEMA app; CREATE TABLE app.thing (id int); INSERT INTO app.thing VALUES (1), (2), (3);
INSERT INTO public."User" (email, age, note) SELECT 'u' || n, n, CASE WHEN n % 2 = 0 THEN 'x' END FROM generate_series(1, 10) n;
INSERT INTO public.post (author, title, a, b) SELECT 1 + n % 10, 't', n, n FROM generate_series(1, 20) n;
INSERT INTO public.pair SELECT n, n FROM generate_series(1, 5) n;
INSERT INTO public._prisma_migrations VALUES ('1', 'x');
"""


def migration(text: str, name: str = "20260101_change") -> Migration:
    """A pending migration with this text."""
    return Migration(name, f"{name}/migration.sql", text, "", cut(text))


def destroyed(scene: Scene) -> tuple[Finding, ...]:
    """What is lost, and which names are gone."""
    return (*destructive.destructive(scene), *names_gone.names_gone(scene))


@dataclass(frozen=True)
class Stage:
    """A database with data, and a second connection that sees it as it was."""

    connection: psycopg.Connection[Any]
    template: psycopg.Connection[Any]
    before: Catalog

    def after(self, text: str, ask: Callable[[Catalog, tuple[CatalogChange, ...]], Any] = lambda *both: both) -> Any:
        """Run a migration, ask something while its effects are there, and undo it."""
        with self.connection.transaction(force_rollback=True):
            self.connection.execute("SET LOCAL search_path = public")
            self.connection.execute(text)  # type: ignore[call-overload]
            self.connection.execute("SET LOCAL search_path = pg_catalog")
            after = read_catalog(self.connection)
            return ask(after, difference(self.before, after, follow_oids=True))

    def scene(self, text: str, after: Catalog, changes: Any, tables: tuple[TableComparison, ...] = ()) -> Scene:
        """What a judge sees; rows are counted as they are now, for the open migration holds locks."""
        files = [migration(text)] if text else []
        return Scene(self.before, after, changes, tables, files, self.template, self.connection, HISTORY)

    def destructive(self, text: str, *comparisons: TableComparison) -> tuple[Finding, ...]:
        """The verdict on one pending migration, its effects undone again."""
        try:
            return destroyed(self.scene(text, *self.after(text), comparisons))
        finally:
            self.connection.rollback()  # what a judge asked keeps no lock that the next test would wait for

    def foreign_keys(self, text: str) -> tuple[Finding, ...]:
        """The verdict on its foreign keys."""
        return self.after(text, lambda *seen: foreign_keys.foreign_keys(self.scene(text, *seen)))

    def columns(self, text: str) -> tuple[Finding, ...]:
        """The verdict on its new columns; rows are counted where the migration is, for it holds locks."""
        return self.after(
            text,
            lambda *seen: self.of_columns(replace(self.scene(text, *seen), template=self.connection)),
        )

    @staticmethod
    def of_columns(scene: Scene) -> tuple[Finding, ...]:
        """Both verdicts on columns."""
        return (*required.required_columns(scene), *columns.column_findings(scene))


@pytest.fixture(scope="module")
def stage(postgres: Conninfo) -> Iterator[Stage]:
    """A small database with rows; every test undoes what it does."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    database = postgres.database(name)
    with connect(postgres) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with connect(database) as connection, connect(database, statement_timeout_s=5) as template:
        connection.execute(SCHEMA)
        connection.autocommit = False
        with connection.transaction():
            before = read_catalog(connection)
        yield Stage(connection, template, before)
        connection.rollback()
    with connect(postgres) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def short(findings: tuple[Finding, ...]) -> list[tuple[str, Severity, str | None, int | None]]:
    """Rule, severity, table and line of each finding."""
    return [(item.rule, item.severity, item.table, item.line) for item in findings]


B, W, KNOWN = Severity.BLOCKER, Severity.WARNING, Severity.INFO
USER = 'public."User"'


def test_dropped_table_names_its_rows_and_its_place(stage: Stage):
    """A dropped table with rows is a blocker that says how many and where."""
    (found,) = stage.destructive("SELECT 1;\nDROP TABLE post;")
    assert ("table-dropped", B, "public.post", 2, {"rows": 20}) == (
        found.rule,
        found.severity,
        found.table,
        found.line,
        found.evidence,
    )
    assert "Table public.post with 20 rows is dropped by 20260101_change, line 2." in found.message


def test_dropped_tables_are_found_however_they_go(stage: Stage):
    """DO blocks, cascades and tables made again under their name are seen; an empty table is a warning."""
    assert [("table-dropped", B, "public.post", 1)] == short(
        stage.destructive("DO $$ BEGIN EXECUTE 'DROP TABLE ' || 'po' || 'st'; END $$;")
    )
    found = stage.destructive("DROP SCHEMA app CASCADE;")
    assert {("schema-dropped", B, None, 1), ("table-dropped", B, "app.thing", 1)} == set(short(found))
    assert [3] == [item.evidence["rows"] for item in found if item.rule == "schema-dropped"]
    (again,) = stage.destructive("DROP TABLE pair; CREATE TABLE pair (a int, b int);")
    assert "an empty one made under its name" in again.message
    assert [("table-dropped", W, "public.empty", 1)] == short(stage.destructive("DROP TABLE empty;"))
    assert () == stage.destructive("DROP TABLE _prisma_migrations;")


def test_dropped_columns_name_the_values_lost(stage: Stage):
    """A dropped column says how many values it held; one without values, or of an empty table, is a warning."""
    (found,) = stage.destructive('ALTER TABLE "User"\n DROP COLUMN note;')
    assert ("column-dropped", B, USER, 1) == short((found,))[0]
    assert {"column": "note", "rows": 10, "non_null": 5} == found.evidence
    assert [("column-dropped", W, USER, 1)] == short(stage.destructive('ALTER TABLE "User" DROP COLUMN mood;'))
    assert [("column-dropped", W, "public.empty", 1)] == short(stage.destructive("ALTER TABLE empty DROP COLUMN gone;"))
    again, *_ = stage.destructive("ALTER TABLE post DROP COLUMN title; ALTER TABLE post ADD COLUMN title text;")
    assert 20 == again.evidence["non_null"]
    cascade = stage.destructive("DROP TYPE mood CASCADE;")
    assert {("column-dropped", W, USER, 1), ("object-dropped", W, None, 1)} == set(short(cascade))


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        pytest.param('ALTER TABLE "User" RENAME TO person;', USER, "public.person", id="table"),
        pytest.param('ALTER TABLE "User" RENAME COLUMN email TO mail;', f"{USER}.email", f"{USER}.mail", id="column"),
        pytest.param("ALTER VIEW adults RENAME TO grown;", "public.adults", "public.grown", id="view"),
        pytest.param(
            "ALTER TYPE mood RENAME VALUE 'sad' TO 'it''s';",
            "public.mood.'sad'",
            "public.mood.'it''s'",
            id="enum value",
        ),
        pytest.param("ALTER TABLE post SET SCHEMA app;", "public.post", "app.post", id="schema of a table"),
    ],
)
def test_renames_of_what_is_in_use_are_blockers(stage: Stage, text: str, old: str, new: str):
    """A table, column, view or enum value under a new name fails the running release."""
    (found,) = stage.destructive(text)
    assert ("renamed", B, 1, old, new) == (
        found.rule,
        found.severity,
        found.line,
        found.evidence["old"],
        found.evidence["new"],
    )


def test_harmless_changes_are_no_findings(stage: Stage):
    """Adding, widening and renaming an index destroy nothing."""
    text = """ALTER TABLE post ADD COLUMN c int DEFAULT 1; CREATE TABLE fresh (id int); ALTER INDEX post_author_idx RENAME TO x;
    ALTER TABLE post ALTER COLUMN a TYPE bigint; CREATE VIEW v AS SELECT 1; ALTER TYPE mood ADD VALUE 'great';"""
    unchanged = TableComparison("public.post", 20, 20, Change.NONE, inserted=0, updated=0, deleted=0)
    assert () == stage.destructive(text, unchanged)


def test_objects_without_rows(stage: Stage):
    """A dropped view breaks who reads it; an index, a trigger's function or a constraint is shown."""
    found = stage.destructive(
        "DROP VIEW adults; DROP INDEX post_author_idx; DROP FUNCTION touch(); ALTER TABLE pair DROP CONSTRAINT pair_a_b_key;"
    )
    assert {("view", 1), ("index", 1), ("function", 1), ("constraint", 1)} == {
        (item.evidence["kind"], item.line) for item in found
    }
    severities = {item.evidence["kind"]: item.severity for item in found if item.rule == "object-dropped"}
    assert {"view": B, "index": W, "function": W, "constraint": W} == severities


def test_rows_and_values_say_what_became_of_them(stage: Stage):
    """Lost rows, a TRUNCATE and changed values are one blocker each, counted, at the statement that did it."""
    lost = TableComparison("public.post", 20, 0, Change.ROWS_LOST, keys=("id=1",))
    assert [("truncated", B, "public.post", 1)] == short(stage.destructive("TRUNCATE post;", lost))
    assert [("rows-lost", B, "public.post", 2)] == short(stage.destructive("SELECT 1;\nDELETE FROM public.post;", lost))
    updated = TableComparison(USER, 10, 10, Change.CONTENT_CHANGED, columns_changed=("note",), keys=("id=7",))
    found = stage.destructive("UPDATE \"User\" SET note = 'where';", updated)
    assert [("content-changed", B, USER, 1)] == short(found)
    assert "note" in found[0].message
    assert "id=7" in found[0].message


def test_writes_that_change_nothing_are_no_findings(stage: Stage):
    """Values set to what they were, a table emptied and filled again, bodies that never ran, an empty table."""
    same = TableComparison("public.post", 20, 20, Change.NONE, updated=20, deleted=0, inserted=0)
    assert () == stage.destructive("UPDATE post SET a = a WHERE id > 0;", same)
    assert () == stage.destructive("TRUNCATE post;", same)
    body = "CREATE FUNCTION never() RETURNS void LANGUAGE sql AS 'DELETE FROM public.post';"
    assert () == stage.destructive(body, same)
    assert () == stage.destructive("DELETE FROM empty;", TableComparison("public.empty", 0, 0, Change.NONE))


def test_what_a_trigger_deletes_is_told_too(stage: Stage):
    """No statement names the table: the migration is known, the line is not."""
    by_trigger = TableComparison("public.pair", 5, 4, Change.ROWS_LOST, keys=("a=1",), deleted=1)
    (found,) = stage.destructive("INSERT INTO empty VALUES (1);", by_trigger)
    assert ("rows-lost", "20260101_change", None, 1) == (
        found.rule,
        found.migration,
        found.line,
        found.evidence["rows_lost"],
    )


def test_unverified_columns_and_bookkeeping(stage: Stage):
    """What could not be compared is said; the tool's own table is left alone."""
    open_question = TableComparison("public.post", 20, 20, Change.NONE, not_verified=("title: no hash for its type",))
    assert [("not-verified", B)] == [
        (item.rule, item.severity) for item in stage.destructive("SELECT 1;", open_question)
    ]
    own = TableComparison("public._prisma_migrations", 1, 0, Change.ROWS_LOST, deleted=1)
    assert () == stage.destructive("SELECT 1;", own)


@pytest.mark.parametrize(
    ("view", "severity"),
    [
        ("", B),
        ('CREATE VIEW "User" AS SELECT * FROM member;', W),
        ('CREATE VIEW "User" AS SELECT id, email FROM member;', B),
        ('CREATE VIEW "User" AS SELECT DISTINCT * FROM member;', B),
    ],
    ids=["no view", "a view that takes every write", "a view that lacks columns", "a view that takes no write"],
)
def test_a_view_under_the_old_name_serves_the_running_release(stage: Stage, view: str, severity: Severity):
    """A renamed table is a warning only where every old statement goes on working."""
    text = f'ALTER TABLE "User" RENAME TO member; {view}'
    found = stage.after(text, lambda *seen: destroyed(stage.scene(text, *seen)))
    assert [(severity, 1)] == [(item.severity, item.line) for item in found if item.rule == "renamed"]


def test_a_count_that_fails_stays_a_blocker(stage: Stage):
    """Where the template cannot be asked, the loss is not taken for nothing."""
    after, changes = stage.after("DROP TABLE empty; ALTER TABLE pair DROP COLUMN b;")
    with stage.template.transaction(force_rollback=True):
        stage.template.execute("DROP TABLE public.empty, public.pair")
        found = destroyed(stage.scene("", after, changes))
    assert {("table-dropped", B), ("column-dropped", B)} == {
        (item.rule, item.severity) for item in found if item.rule != "object-dropped"
    }
    assert all("could not be counted" in item.message for item in found if item.rule != "object-dropped")


def test_dropped_foreign_keys(stage: Stage):
    """A dropped key is a warning, a blocker where it leaves orphans, and info where another takes its place."""
    drop = "ALTER TABLE post DROP CONSTRAINT post_author_fkey;"
    assert [("object-dropped", W, "public.post", 1)] == short(stage.foreign_keys(drop))
    (found,) = stage.foreign_keys(drop + '\nDELETE FROM "User" WHERE id = 2;')
    assert ("orphaned-rows", B, 2, ["author=2"]) == (
        found.rule,
        found.severity,
        found.evidence["rows"],
        found.evidence["keys"],
    )
    again = stage.foreign_keys(
        drop + '\nALTER TABLE post ADD CONSTRAINT other FOREIGN KEY (author) REFERENCES "User" (id);'
    )
    assert [("object-dropped", KNOWN)] == [(item.rule, item.severity) for item in again]


def test_new_foreign_keys(stage: Stage):
    """A key without an index is shown, in an old table or in a new one."""
    add = 'ALTER TABLE post ADD CONSTRAINT k FOREIGN KEY (a) REFERENCES "User" (id) NOT VALID;'
    assert [("foreign-key-without-index", W)] == [(f.rule, f.severity) for f in stage.foreign_keys(add)]
    fresh = 'CREATE TABLE child (id int PRIMARY KEY REFERENCES "User" (id), other int REFERENCES "User" (id));'
    assert [["other"]] == [f.evidence["columns"] for f in stage.foreign_keys(fresh)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "INSERT INTO kid VALUES (1, 1), (7, 7), (7, 7), (NULL, 7)",
            (2, ["a=7, b=7"]),
            id="MATCH SIMPLE: a NULL has no parent to miss",
        ),
        pytest.param(
            "INSERT INTO full_kid VALUES (1, 1), (NULL, NULL), (NULL, 7), (8, 8)",
            (2, ["a=8, b=8", "a=NULL, b=7"]),
            id="MATCH FULL: all NULL or none",
        ),
        pytest.param("INSERT INTO part_kid VALUES (1, 1), (9, 9)", (1, ["a=9, b=9"]), id="partitioned"),
        pytest.param("INSERT INTO kid VALUES (1, 1), (NULL, NULL)", None, id="none"),
    ],
)
def test_orphans_are_counted(stage: Stage, text: str, expected: tuple[int, list[str]] | None):
    """Rows without a parent are counted by the rules of the key, whether or not it is enforced."""
    tables = """
    CREATE TABLE kid (a int, b int, CONSTRAINT fk FOREIGN KEY (a, b) REFERENCES pair (a, b));
    CREATE TABLE full_kid (a int, b int, CONSTRAINT fk FOREIGN KEY (a, b) REFERENCES pair (a, b) MATCH FULL);
    CREATE TABLE part_kid (a int, b int, CONSTRAINT fk FOREIGN KEY (a, b) REFERENCES pair (a, b)) PARTITION BY LIST (a);
    CREATE TABLE part_kid_1 PARTITION OF part_kid DEFAULT;
    SET LOCAL session_replication_role = replica; """
    found = stage.after(tables + text, lambda after, _: foreign_keys.orphans(stage.connection, after))
    assert ([expected] if expected else []) == [(item.evidence["rows"], item.evidence["keys"]) for item in found]
    assert all((item.rule, item.severity) == ("orphaned-rows", B) for item in found)


AUTHOR = "public.post.post_author_fkey"
BOTH = {"public.post", USER}


@pytest.mark.parametrize(
    ("text", "unchanged", "expected"),
    [
        pytest.param("SELECT 1;", BOTH, {AUTHOR}, id="same key, same rows"),
        pytest.param("SELECT 1;", {"public.post"}, set(), id="rows of the parent changed"),
        pytest.param("SELECT 1;", {USER}, set(), id="rows of the child changed"),
        pytest.param(
            'ALTER TABLE post DROP CONSTRAINT post_author_fkey; ALTER TABLE post ADD CONSTRAINT post_author_fkey FOREIGN KEY (a) REFERENCES "User" (id) NOT VALID;',
            BOTH,
            set(),
            id="another key under its name",
        ),
        pytest.param(
            "ALTER TABLE post ALTER CONSTRAINT post_author_fkey DEFERRABLE;", BOTH, set(), id="definition changed"
        ),
        pytest.param(
            'ALTER TABLE post ADD CONSTRAINT late FOREIGN KEY (a) REFERENCES "User" (id) NOT VALID;',
            BOTH,
            {AUTHOR},
            id="a new key beside it",
        ),
        pytest.param("ALTER TABLE post DROP CONSTRAINT post_author_fkey;", BOTH, set(), id="key dropped"),
    ],
)
def test_only_a_key_and_tables_that_stayed_are_checked_by_the_restore(
    stage: Stage, text: str, unchanged: set[str], expected: set[str]
):
    """The restore checked the key as it was, over the rows as they were, and nothing else."""
    assert expected == stage.after(
        text, lambda after, _: foreign_keys.checked_by_restore(stage.before, after, unchanged)
    )


def test_a_key_that_was_never_validated_is_not_checked_by_the_restore(stage: Stage):
    """pg_restore adds it NOT VALID again: no row is read."""
    add = 'ALTER TABLE post ADD CONSTRAINT late FOREIGN KEY (a) REFERENCES "User" (id) NOT VALID;'

    def both_times(after: Catalog, _: object) -> frozenset[str]:
        return foreign_keys.checked_by_restore(after, after, BOTH)

    assert {AUTHOR} == stage.after(add, both_times)


@pytest.mark.parametrize(
    ("unchanged", "expected"),
    [
        pytest.param(BOTH, [("late", 10)], id="the settled key is left out, the one NOT VALID is counted"),
        pytest.param({"public.post"}, [("late", 10), ("post_author_fkey", 1)], id="the parent's rows changed"),
        pytest.param(set(), [("late", 10), ("post_author_fkey", 1)], id="nothing is settled"),
    ],
)
def test_keys_are_counted_unless_the_restore_has_settled_them(
    stage: Stage, unchanged: set[str], expected: list[tuple[str, int]]
):
    """Rows without a parent are there for both keys, so that what is left out can be seen."""
    text = """ALTER TABLE post ADD CONSTRAINT late FOREIGN KEY (a) REFERENCES "User" (id) NOT VALID;
      SET LOCAL session_replication_role = replica; UPDATE post SET author = 99 WHERE id = 20;"""

    def counted(after: Catalog, _: object) -> tuple[Finding, ...]:
        settled = foreign_keys.checked_by_restore(after, after, unchanged)
        return foreign_keys.orphans(stage.connection, after, settled)

    found = stage.after(text, counted)
    assert expected == sorted((item.evidence["constraint"], item.evidence["rows"]) for item in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "ALTER TABLE post ADD COLUMN c int;\nUPDATE post SET c = 1;\nALTER TABLE post ALTER COLUMN c SET NOT NULL;",
            [("required-column", B)],
            id="filled, then NOT NULL",
        ),
        pytest.param(
            "ALTER TABLE post ADD COLUMN c int NOT NULL DEFAULT 1; ALTER TABLE post ALTER COLUMN c DROP DEFAULT;",
            [("required-column", B)],
            id="default taken away",
        ),
        pytest.param("ALTER TABLE empty ADD COLUMN c int NOT NULL;", [("required-column", W)], id="no rows yet"),
        pytest.param(
            "ALTER TABLE post ADD COLUMN c uuid DEFAULT gen_random_uuid();",
            [("unsafe-default", B)],
            id="volatile default",
        ),
        pytest.param(
            "ALTER TABLE post ADD COLUMN c int DEFAULT roll();",
            [("unsafe-default", B)],
            id="volatile function of our own",
        ),
        pytest.param("ALTER TABLE post ADD COLUMN c bigserial;", [("unsafe-default", B)], id="serial"),
        pytest.param(
            "ALTER TABLE empty ADD COLUMN c uuid DEFAULT gen_random_uuid();",
            [("unsafe-default", W)],
            id="volatile default, no rows",
        ),
        pytest.param(
            "ALTER TABLE post ADD COLUMN c uuid; ALTER TABLE post ALTER COLUMN c SET DEFAULT gen_random_uuid();",
            [],
            id="default set after",
        ),
        pytest.param("ALTER TABLE post ADD COLUMN c timestamptz NOT NULL DEFAULT now();", [], id="stable default"),
        pytest.param("ALTER TABLE post ADD COLUMN c int NOT NULL DEFAULT 5;", [], id="constant default"),
        pytest.param("CREATE TABLE fresh (id int NOT NULL, u uuid DEFAULT gen_random_uuid());", [], id="new table"),
        pytest.param(
            "ALTER TABLE post ALTER COLUMN title SET NOT NULL;", [("required-column", W)], id="existing column"
        ),
        pytest.param("ALTER TABLE post ALTER COLUMN author SET DEFAULT 1;", [], id="default added"),
    ],
)
def test_new_columns(stage: Stage, text: str, expected: list[tuple[str, Severity]]):
    """Columns that old writers or rows cannot satisfy, and volatile defaults, are found; safe ones are not."""
    assert expected == [(item.rule, item.severity) for item in stage.columns(text)]


def read_back(stage: Stage, text: str) -> tuple[defaults.DefaultReadback, ...]:
    """The defaults of the columns a migration adds, tried while they are there."""
    return stage.after(text, lambda after, _: defaults.columns_default_readback(stage.connection, stage.before, after))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "ALTER TABLE post ADD COLUMN c text NOT NULL DEFAULT 'it''s'", [("c", True, 20, 0)], id="constant"
        ),
        pytest.param(
            "ALTER TABLE \"User\" ADD COLUMN c mood DEFAULT 'ok', ADD COLUMN d json DEFAULT '{}'",
            [("c", True, 10, 0), ("d", True, 10, 0)],
            id="enum and json",
        ),
        pytest.param(
            "ALTER TABLE post ADD COLUMN c uuid DEFAULT gen_random_uuid()", [("c", True, 20, 0)], id="volatile"
        ),
        pytest.param("ALTER TABLE post ADD COLUMN c timestamptz(0) DEFAULT now()", [("c", True, 20, 0)], id="stable"),
        pytest.param("ALTER TABLE empty ADD COLUMN c int DEFAULT 4", [("c", True, 0, 0)], id="empty table"),
        pytest.param("ALTER TABLE pair ADD COLUMN c int DEFAULT 4", [("c", True, 5, 0)], id="unique columns"),
        pytest.param(
            "ALTER TABLE post ADD COLUMN c int; ALTER TABLE post ALTER COLUMN c SET DEFAULT 1",
            [("c", True, 20, 20)],
            id="old rows hold NULL",
        ),
        pytest.param(
            'CREATE TABLE fresh (id serial PRIMARY KEY, u int NOT NULL REFERENCES "User", at text NOT NULL, c int DEFAULT 3)',
            [("id", True, None, None), ("c", True, None, None)],
            id="new table",
        ),
        pytest.param(
            "CREATE TABLE seen (day date PRIMARY KEY, c int DEFAULT 3); INSERT INTO seen VALUES ('2024-02-29')",
            [("c", True, None, None)],
            id="a date in the key",
        ),
        pytest.param("CREATE TABLE alone (c int DEFAULT 3)", [("c", True, None, None)], id="nothing to give"),
        pytest.param(
            "ALTER TABLE post ADD COLUMN c int DEFAULT 1, ADD CHECK (b < 0) NOT VALID",
            [("c", True, 20, 0)],
            id="a nullable column is left out",
        ),
        pytest.param(
            "ALTER TABLE post ADD COLUMN c int DEFAULT 1, ADD CHECK (author < 0) NOT VALID",
            [("c", None, 20, 0)],
            id="no row can be made",
        ),
        pytest.param(
            "ALTER TABLE post ADD COLUMN c int DEFAULT 1; CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql "
            "AS 'BEGIN NEW.c := 2; RETURN NEW; END'; CREATE TRIGGER t BEFORE INSERT ON post FOR EACH ROW EXECUTE FUNCTION touch()",
            [("c", False, 20, 0)],
            id="a trigger overrules it",
        ),
    ],
)
def test_defaults_are_inserted_and_read_back(stage: Stage, text: str, expected: list[tuple[Any, ...]]):
    """A default is verified by a real row; what cannot be tried is not verified, with the reason."""
    found = read_back(stage, text)
    assert expected == [(item.column, item.verified, item.rows, item.rows_null) for item in found]
    assert all(item.reason for item in found if not item.verified)
    assert [20] == [row[0] for row in stage.template.execute("SELECT count(*) FROM public.post")]


def test_defaults_become_findings():
    """A default that a trigger overrules is a blocker; rows without it and defaults not tried are warnings."""
    made = [
        defaults.DefaultReadback("public.t", "c", "1", verified, "why", rows, null)
        for verified, rows, null in ((True, 5, 0), (False, 5, 0), (None, 5, 0), (True, 5, 2))
    ]
    assert [("unsafe-default", B), ("unsafe-default", W), ("unsafe-default", W)] == [
        (f.rule, f.severity) for f in defaults.default_findings(made)
    ]
    assert ["1, inserted and read back", "1, WRONG: why", "1, not verified: why"] == [item.outcome for item in made[:3]]


def test_made_up_values_that_do_not_fit_are_one_note(stage: Stage):
    """A table that refuses the made-up row (check, partition bound, domain) says nothing about its defaults."""
    found = read_back(
        stage,
        "CREATE TABLE code (id serial PRIMARY KEY, c text NOT NULL CHECK (c ~ '^[A-Z]{3}$'), n int DEFAULT 1); "
        "CREATE TABLE day (at date NOT NULL DEFAULT current_date, n int DEFAULT 1) PARTITION BY RANGE (at)",
    )
    findings = defaults.default_findings(found)
    assert [("unsafe-default", Severity.INFO)] * 2 == [(f.rule, f.severity) for f in findings]
    assert {"public.code", "public.day"} == {f.table for f in findings}
    assert (
        "The defaults of new columns of public.day (at, n) were not tried: the table does not take the values that were "
        'made up for its other columns. No row could be made: no partition of relation "day" found for row.'
    ) in [f.message for f in findings]


def test_an_insert_that_fails_for_another_reason_is_a_warning(stage: Stage):
    """A trigger that reads what is not there breaks every INSERT, not only a made-up one."""
    found = read_back(
        stage,
        "ALTER TABLE post ADD COLUMN c int DEFAULT 1; CREATE OR REPLACE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN NEW.missing := 2; RETURN NEW; END'; "
        "CREATE TRIGGER t BEFORE INSERT ON post FOR EACH ROW EXECUTE FUNCTION broken()",
    )
    assert [("unsafe-default", W)] == [(f.rule, f.severity) for f in defaults.default_findings(found)]


@pytest.mark.parametrize(
    ("statement", "state", "expected"),
    [
        pytest.param("ALTER TABLE post ADD CONSTRAINT big CHECK (a > 5)", "23514", ("big", 5, "id=1"), id="check"),
        pytest.param(
            "ALTER TABLE post ADD COLUMN x int, ADD CHECK ((a > 5) AND (b > 0)) -- why, not",
            "23514",
            ("post_check", 5, "id=1"),
            id="check among actions",
        ),
        pytest.param('ALTER TABLE "User" ALTER COLUMN note SET NOT NULL', "23502", ("note", 5, "id=1"), id="not null"),
        pytest.param(
            "ALTER TABLE public.post ADD COLUMN c int NOT NULL;", "23502", ("c", 20, "id=1"), id="new column, not null"
        ),
        pytest.param("CREATE UNIQUE INDEX i ON post (author)", "23505", ("(author)", 20, "1"), id="unique index"),
        pytest.param(
            "create unique index concurrently if not exists i on only public.post using btree (lower(title), (a % 2)) where a > 10",
            "23505",
            ("(lower(title), ((a % 2))) WHERE (a > 10)", 10, "t, 0"),
            id="unique expressions, partial",
        ),
        pytest.param(
            "ALTER TABLE ONLY post ADD CONSTRAINT u UNIQUE (title, author)",
            "23505",
            ("(title, author)", 20, "t, 1"),
            id="unique constraint",
        ),
        pytest.param(
            'ALTER TABLE post ADD FOREIGN KEY (a) REFERENCES "User" (id) ON DELETE CASCADE',
            "23503",
            ("post_a_fkey", 10, "a=11"),
            id="foreign key",
        ),
        pytest.param(
            "ALTER TABLE post ADD CONSTRAINT self FOREIGN KEY (a) REFERENCES post (id)",
            "23503",
            None,
            id="foreign key to itself, unbroken",
        ),
    ],
)
def test_violations_are_counted(stage: Stage, statement: str, state: str, expected: tuple[str, int, str] | None):
    """The rows that break a pending constraint are counted, with a few of them; nothing is left behind."""
    stage.template.execute("CREATE TABLE public.left_alone ()")
    found = violations.violations(
        stage.template, statement, sqlstate=state, message="the server's words", migration="m", line=3
    )
    tables = [
        row[0]
        for row in stage.template.execute("SELECT relname FROM pg_class WHERE relname LIKE 'pytest_dryrun%%'", ())
    ]
    stage.template.execute("DROP TABLE public.left_alone")
    assert [] == tables
    (only,) = found
    assert ("constraint-violated", B, "m", 3) == (only.rule, only.severity, only.migration, only.line)
    if expected is None:
        assert only.evidence["rows"] is None
        assert "the server's words" in only.message
    else:
        name, rows, key = expected
        assert (name, rows) == (only.evidence["constraint"], only.evidence["rows"])
        assert key in only.evidence["keys"]
        assert f"{rows:,} rows of" in only.message


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("INSERT INTO post SELECT 1", id="no DDL"),
        pytest.param("ALTER TABLE nowhere ADD CHECK (a > 1)", id="no such table"),
        pytest.param("ALTER TABLE post ADD CHECK (nothing > 1)", id="no such column"),
        pytest.param("ALTER TABLE post ADD EXCLUDE USING btree (a WITH =)", id="exclusion"),
        pytest.param("ALTER TABLE post ADD CHECK (a > 0", id="half a statement"),
    ],
)
def test_violations_that_cannot_be_counted_say_so(stage: Stage, statement: str):
    """What cannot be counted is a blocker all the same, with the server's own message."""
    (found,) = violations.violations(stage.template, statement, sqlstate="23514", message="row is violated")
    assert ("constraint-violated", B, None) == (found.rule, found.severity, found.evidence["rows"])
    assert "row is violated" in found.message
    assert "could not be counted" in found.message
    assert () == violations.violations(stage.template, statement, sqlstate="42601", message="syntax")


def test_a_constraint_being_validated_is_counted(stage: Stage):
    """VALIDATE CONSTRAINT that fails counts by the constraint that is there."""
    with stage.template.transaction(force_rollback=True):
        stage.template.execute("ALTER TABLE public.post ADD CONSTRAINT late CHECK (a > 18) NOT VALID")
        (found,) = violations.violations(stage.template, "ALTER TABLE post VALIDATE CONSTRAINT late", sqlstate="23514")
    assert ("late", 18) == (found.evidence["constraint"], found.evidence["rows"])
