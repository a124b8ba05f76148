"""What a plain dump would do to psql: where it leads away, and what only looks like it."""

from __future__ import annotations

import io

import pytest

from pytest_dryrun.postgres.plain_dump import PlainDump, read


def seen(text: str) -> PlainDump:
    """Read a dump from its text."""
    return read(io.BytesIO(text.encode()))


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("SET x = 1;\n\\connect harbour\n", 2, "\\connect harbour"),
        ("\\c harbour\n", 1, "\\c harbour"),
        ("\\connect -reuse-previous=on \"dbname='harbour'\"\n", 1, "\\connect -reuse-previous=on \"dbname='harbour'\""),
        (
            "CREATE DATABASE harbour OWNER a;\n",
            1,
            "CREATE DATABASE harbour OWNER a;",
        ),
        ("create  database harbour;\n", 1, "create  database harbour;"),
        ("SELECT 'it''s'; \\c other\n", 1, "SELECT 'it''s'; \\c other"),
        ("COPY t (a) FROM stdin;\n\\connect in rows\n\\.\n\\connect out\n", 4, "\\connect out"),
        ("SELECT $a$ \\c x $b$ $a$; \\c y\n", 1, "SELECT $a$ \\c x $b$ $a$; \\c y"),
        ("/* /* nested */ \\c x */ \\c y\n", 1, "/* /* nested */ \\c x */ \\c y"),
        ("SELECT E'\\'' ;\n\\c y\n", 2, "\\c y"),
        ("SELECT '\\';\n\\c y\n", 2, "\\c y"),
    ],
)
def test_what_leads_away_is_found(text, line, found):
    """By its line and its text, behind whatever stands before it."""
    assert (line, found) == (seen(text).line, seen(text).text)


@pytest.mark.parametrize(
    "text",
    [
        "COPY public.t (a) FROM stdin;\n\\connect harbour\nCREATE DATABASE x\n\\.\n",
        "COPY public.t (a) FROM stdin WITH (FORMAT csv);\n\\c\n\\.\nSELECT 1;\n",
        "INSERT INTO t VALUES ('\n\\connect harbour\nCREATE DATABASE x;\n');\n",
        "CREATE FUNCTION f() RETURNS void AS $_$\nCREATE DATABASE x;\n\\c y\n$_$;\n",
        "COMMENT ON TABLE t IS 'it''s\n\\connect harbour';\n",
        'CREATE TABLE "\n\\connect harbour" (a int);\n',
        "-- \\connect harbour\n/* \\c\n\\connect x */\n",
        "SELECT E'\\'\n\\c x';\n",
        "\\restrict abc\n\\conninfo\n\\copy t from 'x'\n\\unrestrict abc\n",
        "GRANT CREATE ON DATABASE harbour TO x;\nALTER TABLE create_database ADD x int;\n",
        "SELECT a$b$c FROM t;\nSELECT 1;\n",
        "SELECT $1;\n",
    ],
)
def test_what_only_looks_like_it_is_data(text):
    """Rows, strings, bodies, names and comments may hold anything."""
    assert 0 == seen(text).line


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("SET x = 1;\n", False),
        ("CREATE TABLE t (a int);\n", True),
        ("CREATE UNLOGGED TABLE t (a int);\n", True),
        ("COPY t (a) FROM stdin;\n1\n\\.\n", True),
        ("COMMENT ON SCHEMA s IS '\nCREATE TABLE t (a int);\n';\n", False),
    ],
)
def test_whether_a_dump_has_tables(text, tables):
    """A database that is empty afterwards is another one than the dump's."""
    assert tables is seen(text).tables
