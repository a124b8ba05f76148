"""What must not run on a copy at all is read from the text, and nothing else is taken for it."""

from __future__ import annotations

import pytest
from scenes import migration

from pytest_dryrun.rehearsal.judge.outside_words import foreseen

HARM = [
    ("CREATE DATABASE other", "CREATE DATABASE makes a database", "other"),
    ("DROP DATABASE IF EXISTS other", "DROP DATABASE drops a database", "other"),
    ("CREATE TABLESPACE fast LOCATION '/mnt/fast'", "CREATE TABLESPACE makes a tablespace", "fast"),
    ("ALTER TABLESPACE fast SET (seq_page_cost = 1)", "ALTER TABLESPACE changes a tablespace", "fast"),
    ("ALTER SYSTEM SET work_mem = '1GB'", "ALTER SYSTEM changes the settings of the whole server", "work_mem"),
    ("COPY t TO PROGRAM 'curl http://x'", "COPY TO PROGRAM runs a program", "program"),
    (
        "copy public.t (a, b) from program 'cat /etc/passwd' with (format csv)",
        "COPY FROM PROGRAM runs a program",
        "program",
    ),
    ("COPY (SELECT a FROM t WHERE b IN (SELECT 1)) TO '/tmp/x.csv'", "COPY TO a file writes a file", "file"),
    ("COPY t FROM E'/srv/in.csv'", "COPY FROM a file reads a file", "file"),
    ("DO $$ BEGIN EXECUTE 'COPY t TO PROGRAM ''cat'''; END $$", "COPY TO PROGRAM runs a program", "program"),
    ("DO $$ BEGIN COPY t TO '/tmp/x'; END $$", "COPY TO a file writes a file", "file"),
    (
        "DO $$ BEGIN EXECUTE format('COPY %I.%I TO %L', 'public', 't', '/tmp/x'); END $$",
        "COPY TO a file writes a file",
        "file",
    ),
    ("DO $$ BEGIN EXECUTE 'COPY t TO ' || quote_literal('/tmp/x'); END $$", "COPY TO a file writes a file", "file"),
    ("ALTER DATABASE shop SET work_mem = '8MB'", "it changes the database shop", "shop"),
    ("GRANT CONNECT ON DATABASE shop TO app", "it changes the database shop", "shop"),
    ("COMMENT ON DATABASE shop IS 'x'", "it changes the database shop", "shop"),
    ("ALTER ROLE app IN DATABASE shop SET jit = off", "it changes the database shop", "shop"),
    (
        "SELECT export_all()",
        "COPY TO PROGRAM runs a program on the server's machine, in the function export_all that it calls",
        "program",
    ),
]
HARMLESS = [
    "COPY t FROM stdin",
    "COPY t (a) TO STDOUT",
    "INSERT INTO help VALUES ('COPY t TO PROGRAM ''x'', CREATE DATABASE y, ALTER SYSTEM SET z')",
    "DO $$ BEGIN RAISE NOTICE 'copy rows to %', 'x'; END $$",
    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET jit = off', current_database()); END $$",
    "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || quote_ident(current_database()) || ' SET jit = off'; END $$",
    "CREATE ROLE reporting; GRANT SELECT ON t TO reporting; GRANT reporting TO app; ALTER ROLE app SET jit = off",
    "CREATE TABLE copy (database text, program text)",
    "UPDATE copy SET program = 'x' FROM database",
    "COMMENT ON FUNCTION export_all() IS 'x'; GRANT EXECUTE ON FUNCTION export_all() TO app",
    "CREATE FUNCTION later() RETURNS void LANGUAGE plpgsql AS $$ BEGIN COPY t TO PROGRAM 'cat'; END $$",
    "/* CREATE DATABASE x */ SELECT 1 -- COPY t TO PROGRAM 'x'",
]
BODIES = {"export_all": "BEGIN COPY t TO PROGRAM 'cat'; END"}


@pytest.mark.parametrize(("text", "said", "name"), HARM, ids=[text[:60] for text, _, _ in HARM])
def test_what_would_be_felt_is_named(text, said, name):
    """With its place, and with the word that it was read and not tried."""
    (found,) = foreseen([migration(f"SELECT 1;\n{text};")], BODIES)
    assert ("reaches-outside", 2, name) == (found.rule, found.line, found.object)
    assert found.message.startswith(f"20260301_change:2: {said}")
    assert "This was read from the text" in found.message


@pytest.mark.parametrize("text", HARMLESS, ids=[text[:60] for text in HARMLESS])
def test_nothing_else_is(text):
    """Words in constants, comments and names of objects are no commands; a definition runs nothing."""
    assert () == foreseen([migration(text)], BODIES)


def test_a_function_that_the_files_define_and_call_is_read():
    """It is in no catalog yet."""
    defined = "CREATE FUNCTION later() RETURNS void LANGUAGE plpgsql AS $$ BEGIN COPY t TO '/tmp/x'; END $$;\n"
    (found,) = foreseen([migration(f"{defined}SELECT later();")], {})
    assert (2, {"file", "later"}) == (found.line, {*found.evidence["objects"]})


SHARED = [
    ("ALTER ROLE app NOLOGIN", "app"),
    ("DROP USER IF EXISTS app", "app"),
    ("ALTER ROLE ALL SET jit = off", "all"),
    ("GRANT readers TO app", "app"),
    ("REVOKE readers FROM app", "app"),
    ("DO $$ BEGIN ALTER ROLE app SET jit = off; END $$", "app"),
]


@pytest.mark.parametrize(("text", "role"), SHARED)
def test_roles_of_the_targets_own_server_are_left_alone(text, role):
    """Beside the target everybody would feel it until it is undone; on a server of ours nobody does."""
    assert () == foreseen([migration(text)], {})
    (found,) = foreseen([migration(text)], {}, shared=True)
    assert ("reaches-outside", role) == (found.rule, found.object)


@pytest.mark.parametrize(
    "text",
    [
        "CREATE ROLE reporting; ALTER ROLE reporting SET jit = off; GRANT readers TO reporting; DROP ROLE reporting",
        "GRANT SELECT ON t TO app; REVOKE ALL ON t FROM app; ALTER TABLE t OWNER TO app",
    ],
)
def test_roles_that_a_migration_makes_may_be_changed_there(text):
    """They are taken away again before the target's turn."""
    assert () == foreseen([migration(text)], {}, shared=True)
