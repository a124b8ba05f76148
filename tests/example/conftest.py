"""The example's database and its API, before and after the pending migrations; seeded once, copied from then on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from pytest_dryrun.postgres.connection import Conninfo

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "edfinance"
LAST_OF_BASELINE = "20260216090000_reporting"


def migrate(connection: psycopg.Connection[Any], *, pending: bool) -> None:
    """Apply the baseline's migrations, or those after it, each file as one query."""
    for folder in sorted(path.parent for path in EXAMPLE.glob("prisma/migrations/*/migration.sql")):
        if pending is (folder.name > LAST_OF_BASELINE):
            connection.execute((folder / "migration.sql").read_bytes())


@contextmanager
def created(postgres: Conninfo, template: str) -> Iterator[Conninfo]:
    """A database made from a template and dropped at the end."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
    with psycopg.connect(**postgres.parameters(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {template}").format(**names))
        yield postgres.database(name)
        admin.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**names))


@contextmanager
def served(url: str) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """The API as a process on a free port, with a client for it, from when it listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = [sys.executable, "api.py", "--port", str(port)]
    process = subprocess.Popen(argv, cwd=EXAMPLE, env={**os.environ, "DATABASE_URL": url})
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            deadline = time.monotonic() + 30
            while True:
                try:
                    client.get("/api/health")
                    break
                except httpx.ConnectError:
                    assert process.poll() is None, "the API ended instead of listening"
                    assert time.monotonic() < deadline, "the API does not listen"
                    time.sleep(0.05)
            yield process, client
    finally:
        process.kill()
        process.wait(timeout=10)


@pytest.fixture(scope="session")
def seeded(postgres: Conninfo) -> Iterator[Conninfo]:
    """The baseline with its seed; a template that nobody writes to."""
    with created(postgres, "template0") as conninfo:
        with psycopg.connect(**conninfo.parameters(), autocommit=True) as connection:
            migrate(connection, pending=False)
            connection.execute((EXAMPLE / "seed.sql").read_bytes())
        yield conninfo


@pytest.fixture(scope="session")
def before(postgres: Conninfo, seeded: Conninfo) -> Iterator[Conninfo]:
    """A copy of the baseline as it is."""
    with created(postgres, seeded.dbname) as conninfo:
        yield conninfo


@pytest.fixture(scope="session")
def after(postgres: Conninfo, seeded: Conninfo) -> Iterator[Conninfo]:
    """A copy of the baseline with the pending migrations."""
    with created(postgres, seeded.dbname) as conninfo:
        with psycopg.connect(**conninfo.parameters(), autocommit=True) as connection:
            migrate(connection, pending=True)
            # What a file sets must not leak into the next one's session.
            assert connection.execute("SHOW lock_timeout").fetchone() == ("0",)
        yield conninfo


@pytest.fixture(scope="session")
def client_before(before: Conninfo) -> Iterator[httpx.Client]:
    """A client of the API on the schema before."""
    with served(before.url()) as (_, client):
        yield client


@pytest.fixture(scope="session")
def client_after(after: Conninfo) -> Iterator[httpx.Client]:
    """A client of the API on the schema after, its URL in Prisma's spelling."""
    with served(after.url() + ("&" if "?" in after.url() else "?") + "schema=public&connection_limit=5") as (_, client):
        yield client


@pytest.fixture(params=["before", "after"])
def application(request: pytest.FixtureRequest) -> Conninfo:
    """The database of one of the two."""
    found: Conninfo = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def client(application: Conninfo, request: pytest.FixtureRequest) -> httpx.Client:
    """The client of that one's API."""
    name = "client_before" if application == request.getfixturevalue("before") else "client_after"
    found: httpx.Client = request.getfixturevalue(name)
    return found


@pytest.fixture
def serve() -> Any:
    """Give a way to start the API on any database: a context of its process and a client."""
    return served
