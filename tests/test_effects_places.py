"""Names and writes are found in a migration's text, and told from what only looks like them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dryrun.model.scripts import Location, Migration, Statement
from pytest_dryrun.sql.names import bare, last, parts
from pytest_dryrun.sql.places import find, words, writes


def migration(*statements: tuple[str, str], name: str = "m") -> Migration:
    """A migration of statements with their tags, one a line."""
    cut = tuple(Statement(text, line, tag) for line, (text, tag) in enumerate(statements, 1))
    return Migration(name, name, "", "", cut)


@pytest.mark.parametrize(
    ("text", "tag", "expected"),
    [
        pytest.param(
            'UPDATE "User" SET a = 1 -- where', "UPDATE", ("update", ("User",), False, True), id="a comment is no WHERE"
        ),
        pytest.param("UPDATE t SET a = 'where'", "UPDATE", ("update", ("t",), False, True), id="a string is no WHERE"),
        pytest.param(
            "UPDATE t SET a = (SELECT 1 WHERE true)",
            "UPDATE",
            ("update", ("t",), False, True),
            id="WHERE of a subquery",
        ),
        pytest.param(
            "UPDATE ONLY public.t SET a = 1 WHERE b", "UPDATE", ("update", ("public", "t"), True, True), id="filtered"
        ),
        pytest.param('DELETE FROM "a.b"."c d" x', "DELETE", ("delete", ("a.b", "c d"), False, True), id="quoted names"),
        pytest.param(
            "WITH x AS (DELETE FROM q RETURNING *) SELECT * FROM x WHERE y",
            "SELECT",
            ("delete", ("q",), False, True),
            id="in a CTE",
        ),
        pytest.param(
            "DO $$ BEGIN DELETE FROM t; UPDATE_x(); END $$", "DO", ("delete", ("t",), False, False), id="in a DO block"
        ),
        pytest.param(
            "DO $$ BEGIN EXECUTE 'UPDATE t SET a = 1'; IF x THEN y; END IF; END $$",
            "DO",
            ("update", ("t",), False, False),
            id="executed text",
        ),
        pytest.param(
            "CREATE FUNCTION f() RETURNS int AS $f$ DELETE FROM t $f$",
            "CREATE FUNCTION",
            ("delete", ("t",), False, False),
            id="a body",
        ),
        pytest.param("TRUNCATE TABLE a", "TRUNCATE TABLE", ("truncate", ("a",), False, True), id="truncate"),
    ],
)
def test_writes_are_found(text: str, tag: str, expected: tuple[str, tuple[str, ...], bool, bool]):
    """Verb, table, filter and directness of a write."""
    (found,) = writes([migration((text, tag))])
    assert expected == (found.verb, found.table, found.filtered, found.direct)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1 FOR UPDATE OF t",
        "SELECT 1 FOR NO KEY UPDATE",
        "CREATE TRIGGER a AFTER UPDATE OR DELETE ON b FOR EACH ROW EXECUTE FUNCTION c()",
        "CREATE TRIGGER a BEFORE TRUNCATE ON b EXECUTE FUNCTION c()",
        "CREATE TABLE a (b int REFERENCES c ON DELETE CASCADE ON UPDATE CASCADE)",
        "INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = 1",
        "-- DELETE FROM t\nSELECT 1",
    ],
)
def test_what_only_looks_like_a_write_is_none(text: str):
    """Row locks, triggers, actions of foreign keys, upserts and comments write nothing by themselves."""
    assert () == writes([migration((text, ""))])


def test_truncate_names_all_its_tables():
    """TRUNCATE of several tables is one write for each."""
    found = writes([migration(('TRUNCATE a, ONLY public."B" *, c CASCADE', "TRUNCATE TABLE"))])
    assert [("a",), ("public", "B"), ("c",)] == [write.table for write in found]
    assert found[1].on('public."B"')
    assert not found[1].on('app."B"')
    assert found[0].on("app.a")


def test_the_most_telling_statement_is_found():
    """All names beat one name, a name beats a cascade; else the only migration without a line; else nothing."""
    pending = [
        migration(("DROP TABLE x CASCADE", "DROP TABLE"), ("ALTER TABLE t ADD c int", "ALTER TABLE"), name="one"),
        migration(("ALTER TABLE t DROP d", "ALTER TABLE"), ('ALTER TABLE t\n DROP "C"', "ALTER TABLE"), name="two"),
    ]
    assert ("two", 2) == (find(pending, ["t", "C"], ["drop"]).migration, find(pending, ["t", "C"], ["drop"]).line)
    assert ("two", 1) == (find(pending, ["t", "e"], ["drop"]).migration, find(pending, ["t", "e"], ["drop"]).line)
    assert ("one", 1) == (find(pending, ["zz"], ["drop"]).migration, find(pending, ["zz"], ["drop"]).line)
    assert Location("one") == find(pending[:1], ["zz"], ["rename"])
    assert Location() == find(pending, ["zz"], ["rename"])
    assert "by a pending migration" == str(Location())
    assert "by one, line 3" == str(Location("one", 3))
    assert ["one:3", "one, DROP TABLE t", "a pending migration, DROP TABLE t"] == [
        place.head
        for place in (
            Location("one", 3, "DROP TABLE t"),
            Location("one", None, " DROP TABLE t"),
            Location(sql="DROP TABLE t"),
        )
    ]


@given(
    st.lists(
        st.text(st.characters(blacklist_characters="\x00", blacklist_categories=["Cs"]), min_size=1),
        min_size=1,
        max_size=3,
    )
)
def test_qualified_names_survive_quoting(names: list[str]):
    """Whatever a name holds, its quoted form is taken apart into the same name."""
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    identity = ".".join(quoted)
    assert names == [bare(part) for part in parts(identity)]
    assert quoted[-1] == last(identity)


@given(st.text(max_size=60))
def test_any_text_can_be_read(text: str):
    """Text that is no SQL at all does no harm."""
    assert isinstance(list(words(text)), list)
    assert isinstance(writes([migration((text, ""))]), tuple)


def test_the_actions_of_a_foreign_key_are_not_what_its_statement_does():
    """ON DELETE CASCADE in one pending migration does not take the blame for what another one changes."""
    key = "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES c (id) ON DELETE CASCADE ON UPDATE CASCADE"
    innocent = migration((key, "ALTER TABLE"), name="key")
    changing = migration(("SELECT tidy()", "SELECT"), name="tidy")
    assert Location() == find([innocent, changing], ["payment"], ["update", "delete"])
    dropping = migration(("DROP TABLE c CASCADE", "DROP TABLE"), name="drop")
    assert "drop" == find([innocent, dropping], ["a", "a_b_fkey"], ["drop"]).migration


def test_a_label_is_found_in_its_string_constant():
    """A renamed value of an enum stands in quotes, and is found although another migration is pending."""
    renaming = migration(("ALTER TYPE status RENAME VALUE 'PUBLISHED' TO 'LIVE'", "ALTER TYPE"), name="renaming")
    other = migration(("ALTER TABLE t RENAME COLUMN a TO b", "ALTER TABLE"), name="other")
    assert "renaming" == find([other, renaming], ["PUBLISHED", "LIVE"], ["rename", "set"]).migration
