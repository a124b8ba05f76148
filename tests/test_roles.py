"""The roles of a target on the disposable server: nobody may do there what they may not do on the target."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from pytest_dryrun.postgres import disposable as servers
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.postgres.disposable import Disposable
from pytest_dryrun.steps import from_host
from pytest_dryrun.workspace import Workspace

pytestmark = pytest.mark.live

RIGHTS = "SELECT rolname, rolsuper, rolcreatedb, rolcanlogin FROM pg_roles WHERE rolname = current_user"


@pytest.fixture
def start() -> Iterator[Callable[..., Disposable]]:
    """Start servers, each made by a role of the given name, that end with the test."""
    workspace = Workspace.create(f"tests-{uuid.uuid4().hex[:12]}")
    with ExitStack() as ending:
        ending.callback(workspace.close)

        def start(superuser: str = "postgres") -> Disposable:
            server = servers.start("binaries", workspace=workspace, superuser=superuser)
            ending.callback(server.stop)
            return server

        yield start


def managed(admin: Conninfo, user: str, rights: str) -> Conninfo:
    """Make the user whom a provider of managed servers gives its customers."""
    with connect(admin) as connection:
        given = sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'theirs' " + rights)
        connection.execute(given.format(sql.Identifier(user)))
    return replace(admin, user=user, password="theirs")


def test_a_user_called_postgres_is_no_superuser_where_it_is_none(start):
    """Managed servers give their customers such a one; what only a superuser can restore must be red for it."""
    theirs = start("rdsadmin")
    target = managed(theirs.conninfo, "postgres", "CREATEDB CREATEROLE")
    name = from_host.first_superuser(target)
    assert "rdsadmin" == name
    ours = start(name)

    login = from_host.copy_roles(target, ours.conninfo)

    with connect(login) as connection:
        assert ("postgres", False, True, True) == connection.execute(RIGHTS).fetchone()
    with connect(ours.conninfo) as connection:
        assert ("rdsadmin", True, True, True) == connection.execute(RIGHTS).fetchone()


def test_the_first_role_that_lost_its_rights_does_not_keep_them_here(start):
    """Before PostgreSQL 16 it can be made a role like any other."""
    theirs = start()
    managed(theirs.conninfo, "root", "SUPERUSER")
    with connect(replace(theirs.conninfo, user="root", password="theirs")) as connection:
        refused = theirs.version_num >= 160000
        with pytest.raises(psycopg.errors.FeatureNotSupported) if refused else nullcontext():
            connection.execute("ALTER ROLE postgres NOSUPERUSER")
    if refused:
        return
    name = from_host.first_superuser(theirs.conninfo)
    ours = start(name)

    login = from_host.copy_roles(theirs.conninfo, ours.conninfo)

    assert login.user == "postgres" != ours.conninfo.user
    with connect(login) as connection:
        row = connection.execute(RIGHTS).fetchone()
    assert row is not None
    assert not row[1]


def test_a_superuser_is_one_here_too(start):
    """The usual server, made by `postgres`, whose superuser the application uses."""
    theirs = start()
    ours = start(from_host.first_superuser(theirs.conninfo))

    assert from_host.copy_roles(theirs.conninfo, ours.conninfo) == ours.conninfo
