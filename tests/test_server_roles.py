# ruff: noqa: E501  (changes read best with one a line)
"""Roles that a migration on a copy changes for the whole server are brought back, and nothing else is."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from pytest_dryrun.postgres import disposable, roles
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.workspace import Workspace

pytestmark = pytest.mark.live

SETUP = """
CREATE ROLE clerk LOGIN PASSWORD 'stored somewhere' CONNECTION LIMIT 7 VALID UNTIL '2031-01-01' NOINHERIT;
CREATE ROLE readers; CREATE ROLE writers CREATEDB; CREATE ROLE nobody_yet;
GRANT readers TO clerk WITH ADMIN OPTION; GRANT pg_monitor TO readers;
ALTER ROLE clerk SET work_mem = '8MB'; ALTER ROLE clerk SET search_path = a, "B c"; ALTER ROLE ALL SET lock_timeout = '9s';
COMMENT ON ROLE clerk IS 'the ''clerk''';
"""


@pytest.fixture
def admin() -> Iterator[Conninfo]:
    """A server of its own, for roles are everybody's on it, with some."""
    workspace = Workspace.create(f"tests-{uuid.uuid4().hex[:12]}")
    try:
        server = disposable.start("binaries", workspace=workspace)
        execute(server.conninfo, SETUP)
        execute(server.conninfo, "CREATE DATABASE copy")
        yield server.conninfo
        server.stop()
    finally:
        workspace.close()


def execute(conninfo: Conninfo, text: str) -> None:
    """Run statements as somebody's session does."""
    with psycopg.connect(**conninfo.parameters(), autocommit=True) as connection:
        connection.execute(sql.SQL(text))  # type: ignore[arg-type]


def test_whatever_a_copy_did_to_roles_is_undone(admin):
    """One change after another, each undone once the copy is gone."""
    changes = [
        "CREATE ROLE reporting NOLOGIN; GRANT USAGE ON SCHEMA public TO reporting; GRANT CONNECT ON DATABASE copy TO reporting",
        "CREATE ROLE batch LOGIN PASSWORD 'x' IN ROLE readers; ALTER ROLE batch SET work_mem = '1MB'; COMMENT ON ROLE batch IS 'b'",
        "CREATE ROLE shop_owner; CREATE SCHEMA theirs AUTHORIZATION shop_owner; GRANT pg_read_all_data TO shop_owner",
        "ALTER ROLE clerk NOLOGIN SUPERUSER INHERIT CONNECTION LIMIT -1 VALID UNTIL 'infinity'",
        "ALTER ROLE clerk PASSWORD 'another'",
        "ALTER ROLE clerk PASSWORD NULL",
        "ALTER ROLE writers PASSWORD 'first one'",
        "ALTER ROLE clerk RENAME TO secretary; GRANT writers TO secretary",
        "DROP ROLE clerk",
        "DROP ROLE readers",
        "DROP ROLE nobody_yet; CREATE ROLE nobody_yet SUPERUSER",
        "GRANT writers TO clerk",
        "REVOKE readers FROM clerk",
        "REVOKE ADMIN OPTION FOR readers FROM clerk; REVOKE pg_monitor FROM readers; GRANT pg_signal_backend TO clerk",
        "ALTER ROLE clerk SET work_mem = '1GB'; ALTER ROLE writers SET statement_timeout = '1s'",
        "ALTER ROLE clerk RESET ALL; ALTER ROLE ALL SET lock_timeout = '1s'; ALTER ROLE clerk IN DATABASE postgres SET jit = off",
        "ALTER ROLE clerk IN DATABASE copy SET work_mem = '2MB'; ALTER DATABASE copy SET jit = off",
        "COMMENT ON ROLE clerk IS NULL; COMMENT ON ROLE readers IS 'they read'",
    ]
    before = roles.read(admin)
    for change in changes:
        execute(admin.database("copy"), change)
        after = roles.read(admin, besides="copy")
        execute(admin, "DROP DATABASE copy")
        roles.undo(admin, before, after)
        now = roles.read(admin)
        assert sorted(before.roles.values(), key=str) == sorted(now.roles.values(), key=str), change
        assert (before.members, before.settings) == (now.members, now.settings), change
        execute(admin, "CREATE DATABASE copy")
        before = now  # with new oids where roles were dropped


def test_what_others_changed_meanwhile_stays(admin):
    """On a server that is not ours alone: only the difference of the rehearsal is undone."""
    before = roles.read(admin)
    execute(admin.database("copy"), "CREATE ROLE reporting; ALTER ROLE clerk NOLOGIN; GRANT writers TO clerk")
    after = roles.read(admin, besides="copy")
    execute(admin, "CREATE ROLE of_others IN ROLE readers; ALTER ROLE writers SET work_mem = '3MB'")
    roles.undo(admin, before, after)
    now = roles.read(admin)
    assert {role.name for role in now.roles.values()} - {role.name for role in before.roles.values()} == {"of_others"}
    assert {"of_others"} == {each.member for each in now.members - before.members}
    assert {("", "writers"): ("work_mem=3MB",)} == dict(now.settings.items() - before.settings.items())


def test_names_are_free_again_for_a_while(admin):
    """A second copy can be brought to where the first is: what it creates and drops there is gone behind it."""
    before = roles.read(admin)
    execute(
        admin.database("copy"), "CREATE ROLE reporting; GRANT USAGE ON SCHEMA public TO reporting; DROP ROLE nobody_yet"
    )
    after = roles.read(admin)
    with roles.as_before(admin, before):
        execute(admin, "CREATE ROLE reporting; DROP ROLE nobody_yet")
    now = roles.read(admin)
    assert after == now
    with roles.as_before(admin, before):
        pass
    assert {role.name for role in after.roles.values()} == {role.name for role in roles.read(admin).roles.values()}
