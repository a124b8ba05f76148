"""Cutting SQL into statements: where they end, where they begin, what they are, and what is written above them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dryrun.sql.statements import cut, has_transaction_control, inline_waivers, refuses_transaction


def read_waivers(script: str) -> tuple[tuple[str, str, int | None], ...]:
    """Rule, reason and line of every waiver in a script."""
    return tuple((item.rule, item.reason, item.line) for item in inline_waivers(script, migration="m", source="m.sql"))


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param("SELECT 'a;b'; SELECT 2", ["SELECT 'a;b'", "SELECT 2"], id="semicolon in a string"),
        pytest.param(r"SELECT 'a\'; SELECT 2;", [r"SELECT 'a\'", "SELECT 2"], id="backslash in a plain string"),
        pytest.param(r"SELECT E'a\';b'; SELECT 2;", [r"SELECT E'a\';b'", "SELECT 2"], id="backslash in an E string"),
        pytest.param("SELECT 'it''s;'; SELECT 2", ["SELECT 'it''s;'", "SELECT 2"], id="doubled quote"),
        pytest.param(
            'ALTER TABLE "a;b" ADD c int; SELECT 2', ['ALTER TABLE "a;b" ADD c int', "SELECT 2"], id="quoted name"
        ),
        pytest.param("DO $$ BEGIN; END $$; SELECT 2", ["DO $$ BEGIN; END $$", "SELECT 2"], id="dollar quotes"),
        pytest.param(
            "SELECT $a$ ; $$ ; $b$ $a$; SELECT 2", ["SELECT $a$ ; $$ ; $b$ $a$", "SELECT 2"], id="dollar tags"
        ),
        pytest.param("SELECT 1 /* a /* ; */ ; */ ; SELECT 2", ["SELECT 1", "SELECT 2"], id="nested comments"),
        pytest.param("SELECT 1 -- ; '\n; SELECT 2", ["SELECT 1", "SELECT 2"], id="line comment"),
        pytest.param("SELECT a # b; SELECT j #> '{a}'", ["SELECT a # b", "SELECT j #> '{a}'"], id="operators with #"),
        pytest.param("SELECT go; SELECT 2", ["SELECT go", "SELECT 2"], id="another dialect's separator"),
        pytest.param(
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3",
            [
                "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
                "SELECT 3",
            ],
            id="function body in SQL",
        ),
        pytest.param(
            "CREATE RULE r AS ON INSERT TO t DO (SELECT CASE WHEN true THEN 1 END; SELECT 2); SELECT 3",
            ["CREATE RULE r AS ON INSERT TO t DO (SELECT CASE WHEN true THEN 1 END; SELECT 2)", "SELECT 3"],
            id="rule",
        ),
        pytest.param(
            "BEGIN; SELECT CASE WHEN true THEN 1 END; COMMIT",
            ["BEGIN", "SELECT CASE WHEN true THEN 1 END", "COMMIT"],
            id="BEGIN",
        ),
        pytest.param("-- only\n/* comments */\n;;\n", [], id="comments only"),
    ],
)
def test_cuts_as_psql_does(script: str, expected: list[str]) -> None:
    """Only semicolons that end a statement cut."""
    assert expected == [statement.sql.split(" /*")[0].split(" --")[0] for statement in cut(script)]


def test_lines_are_those_of_the_first_word() -> None:
    """A statement starts where its first word stands, not at the comments before it."""
    script = "-- CreateTable\r\nCREATE TABLE a (\r\n  id int);\r\n\r\n/* x\r\n */ ALTER TABLE a ADD b int; SELECT 1;"
    assert [2, 6, 6] == [statement.line for statement in cut(script)]
    assert "CREATE TABLE a (\r\n  id int)" == cut(script)[0].sql


@pytest.mark.parametrize(
    ("script", "tag"),
    [
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "CREATE INDEX"),
        ("create temp table t (as_ int)", "CREATE TABLE"),
        ("CREATE TABLE t AS SELECT 1", "CREATE TABLE AS"),
        ("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS ''", "CREATE FUNCTION"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1", "CREATE MATERIALIZED VIEW"),
        ("CREATE CONSTRAINT TRIGGER t AFTER INSERT ON x", "CREATE TRIGGER"),
        ("ALTER TABLE ONLY t ADD c int", "ALTER TABLE"),
        ("DROP USER joe", "DROP ROLE"),
        ("WITH a AS (DELETE FROM b RETURNING 1) INSERT INTO c SELECT * FROM a", "INSERT"),
        ("(SELECT 1)", ""),
        ("TRUNCATE a", "TRUNCATE TABLE"),
        ("END", "COMMIT"),
        ("START TRANSACTION", "START TRANSACTION"),
        ("DO $$ BEGIN END $$", "DO"),
        ("UPDATE t SET a = 1", "UPDATE"),
        ("SET lock_timeout = '1s'", "SET"),
        ("COMMENT ON TABLE a IS 'x'", "COMMENT"),
    ],
)
def test_tags_are_spelled_as_postgres_spells_them(script: str, tag: str) -> None:
    """The tag is the command's name in the server's words."""
    assert tag == cut(script)[0].tag


@pytest.mark.parametrize(
    "word", ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a", "START TRANSACTION", "END", "RELEASE a"]
)
def test_transaction_control_is_seen(word: str) -> None:
    """Each command that begins, ends or subdivides a transaction counts."""
    assert has_transaction_control(cut(f"SELECT 1; {word}; SELECT 2"))
    assert not has_transaction_control(cut(f"SELECT '{word}'; DO $$ {word} $$"))


@pytest.mark.parametrize(
    ("script", "refused"),
    [
        ("CREATE INDEX CONCURRENTLY i ON t (a)", True),
        ("DROP INDEX CONCURRENTLY i", True),
        ("REINDEX (CONCURRENTLY) TABLE t", True),
        ("REINDEX (TABLESPACE fast, VERBOSE) INDEX CONCURRENTLY i", True),
        ("REINDEX (TABLESPACE fast, VERBOSE) INDEX i", False),
        ("ALTER TABLE t DETACH PARTITION p CONCURRENTLY", True),
        ("VACUUM t", True),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY v", False),
        ("CREATE INDEX i ON t (a) /* CONCURRENTLY */", False),
        ('ALTER TABLE t ADD "CONCURRENTLY" int', False),
    ],
)
def test_what_a_transaction_refuses(script: str, refused: bool) -> None:  # noqa: FBT001
    """Commands that Postgres answers with 25001 inside a transaction are known."""
    assert refused is refuses_transaction(cut(script)[0])


def test_waivers_name_the_statement_below() -> None:
    """A waiver belongs to the next statement, other comments between them or not."""
    script = "-- dryrun: allow column-dropped because moved to b\n-- AlterTable\nALTER TABLE a DROP b;\n"
    assert (("column-dropped", "moved to b", 3),) == read_waivers(script)


def test_waivers_that_are_not_above_a_statement_excuse_none_below() -> None:
    """Inside a statement, or behind one, a waiver keeps its own line; inside a string it is none."""
    script = (
        "ALTER TABLE a\n  -- dryrun: allow x because inside\n  DROP b; -- dryrun: allow y because behind\n"
        "SELECT '\n-- dryrun: allow z because string\n';\n"
    )
    assert (("x", "inside", 2), ("y", "behind", 3)) == read_waivers(script)


def test_waivers_without_reason_and_unreadable_ones_are_kept() -> None:
    """What cannot excuse anything is still seen, so that it can be told."""
    script = "-- dryrun: allow x\n-- dryrun: alow y because z\nSELECT 1;"
    assert (("x", "", 3), ("alow y because z", "", 3)) == read_waivers(script)


@given(
    st.lists(
        st.sampled_from(
            [
                "SELECT 1",
                "UPDATE t SET a = ';'",
                "DO $x$ ; $x$",
                'SELECT ";"',
                r"SELECT E'\';'",
                "SELECT (1)",
                "SELECT /* ; */ 1",
            ]
        ),
        max_size=8,
    ),
    st.sampled_from([";", " ;\n", ";\r\n-- c;\r\n", ";/* a /* ; */ ; */"]),
)
def test_what_was_joined_is_cut_again(statements: list[str], separator: str) -> None:
    """Cutting undoes joining, whatever the statements hold."""
    assert statements == [statement.sql for statement in cut(separator.join([*statements, ""]))]


@given(st.text(alphabet="'\"$;/*-\\\n aE(B", max_size=40))
def test_any_text_is_cut_without_error_and_without_invention(script: str) -> None:
    """Every statement is a part of the text, in order, and starts on the line it says."""
    offset = 0
    for statement in cut(script):
        offset = script.index(statement.sql, offset)
        assert statement.line <= script.count("\n", 0, offset) + 1
        offset += len(statement.sql)


def test_half_a_megabyte_of_inserts_is_cut_in_seconds() -> None:
    """Size costs time in proportion, and no stack."""
    script = "INSERT INTO \"User\" (id, name) VALUES (1, 'O''Neill; x');\n" * 9_000
    began = time.perf_counter()
    assert 9_000 == len(cut(script))
    assert 30 > time.perf_counter() - began
