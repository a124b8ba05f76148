"""What the tests of more than one part need: a real PostgreSQL server and fresh databases on it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from needs import require
from psycopg import sql
from scheduling import pytest_collection_modifyitems, pytest_xdist_make_scheduler  # noqa: F401 - hooks

from pytest_dryrun.model.errors import DryRunError
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.postgres.disposable import Disposable, installations, start
from pytest_dryrun.workspace import Workspace

pytest_plugins = ["pytester"]


@pytest.fixture(scope="session")
def disposable() -> Iterator[Disposable]:
    """Start a real server from this machine's own installation, one for each test session and worker."""
    reason = ""
    try:
        installations.find("", None)
    except DryRunError as error:
        reason = error.what
    require(not reason, reason)
    workspace = Workspace.create(f"tests-{uuid.uuid4().hex[:12]}")
    try:
        server = start("binaries", workspace=workspace)
        yield server
        server.stop()
    finally:
        workspace.close()


@pytest.fixture(scope="session")
def postgres(disposable: Disposable) -> Conninfo:
    """Give a superuser's way into a real server that lives as long as the test session."""
    return disposable.conninfo


@pytest.fixture(scope="session")
def newest() -> Iterator[Conninfo]:
    """Give a superuser's way into the newest PostgreSQL at hand, for what came with 17 and 18."""
    bindir = Path(os.environ.get("DRYRUN_TEST_POSTGRES", "/nowhere")) / "18" / "bin"
    require((bindir / "postgres").exists(), "DRYRUN_TEST_POSTGRES names no folder with PostgreSQL 18 in it")
    workspace = Workspace.create(f"tests-{uuid.uuid4().hex[:12]}")
    try:
        server = start("binaries", workspace=workspace, bindir=str(bindir))
        yield server.conninfo
        server.stop()
    finally:
        workspace.close()


@pytest.fixture
def newest_database(newest: Conninfo) -> Iterator[Conninfo]:
    """Make a fresh, empty database there, dropped afterwards."""
    yield from _database(newest)


@pytest.fixture
def database(postgres: Conninfo) -> Iterator[Conninfo]:
    """Make a fresh, empty database, dropped afterwards."""
    yield from _database(postgres)


def _database(server: Conninfo) -> Iterator[Conninfo]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(**server.parameters(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield server.database(name)
    with psycopg.connect(**server.parameters(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
