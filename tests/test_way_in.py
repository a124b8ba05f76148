"""The way into a host's database: what of its URL counts here, a pooler in between, and two servers at one address."""

from __future__ import annotations

import socket
import socketserver
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql
from sshd import host_logged_in  # noqa: F401 - a fixture

from pytest_dryrun.model.errors import ConfigurationError, TargetUnusable
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.steps import way_in
from pytest_dryrun.steps.target import TargetDatabase

pytestmark = pytest.mark.live


class Pooler(socketserver.ThreadingTCPServer):
    """Passes everything on, and gives each session a process number of its own, as a pooler does."""

    daemon_threads = True

    def __init__(self, behind: Conninfo) -> None:
        self.behind = behind
        super().__init__(("127.0.0.1", 0), Passing)


class Passing(socketserver.BaseRequestHandler):
    """One session."""

    server: Pooler

    def handle(self) -> None:
        """Carry both directions until the client has ended."""
        with socket.create_connection((self.server.behind.host, self.server.behind.port)) as server:
            back = threading.Thread(target=self.pass_back, args=(server,))
            back.start()
            while data := self.request.recv(65536):
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
            back.join()

    def pass_back(self, server: socket.socket) -> None:
        """BackendKeyData: its kind, its length, the process number, the key."""
        head = b"K\x00\x00\x00\x0c"
        while data := server.recv(65536):
            at = data.find(head)
            if at >= 0:
                data = data[: at + len(head)] + (99).to_bytes(4, "big") + data[at + len(head) + 4 :]
            self.request.sendall(data)


@contextmanager
def pooling(conninfo: Conninfo) -> Iterator[int]:
    """A port where a pooler listens."""
    with Pooler(conninfo) as pooler:
        thread = threading.Thread(target=pooler.serve_forever)
        thread.start()
        try:
            yield pooler.server_address[1]
        finally:
            pooler.shutdown()
            thread.join()


def test_what_lies_on_the_host_alone_is_left_out_here(host, database):
    """Certificates, password files and waiting times; the server is asked for TLS all the same, and nothing else."""
    given = {"sslrootcert": "/no/ca.pem", "sslcert": "/no/me.crt", "sslkey": "/no/me.key", "sslpassword": "x"}
    given |= {"passfile": "/no/pass", "connect_timeout": "0", "application_name": "shop", "keepalives": "1"}
    there = replace(database, options=tuple(sorted(given.items())))

    here = way_in.tunnelled(host, there)

    assert (("keepalives", "1"),) == here.options
    assert ("127.0.0.1", database.dbname) == (here.host, here.dbname)
    assert database.port != here.port
    connect(here).close()
    with pytest.raises(TargetUnusable, match="server does not support SSL, but SSL was required"):
        way_in.tunnelled(host, replace(database, options=(("sslmode", "verify-full"),)))


def test_an_address_beside_the_name_is_where_the_server_is(host, database):
    """Libpq would go there at once, past the tunnel."""
    there = replace(database, host="no.such.host.example", options=(("hostaddr", database.host),))

    here = way_in.tunnelled(host, there)

    assert ("127.0.0.1", ()) == (here.host, here.options)
    connect(here).close()


def test_a_pooler_is_refused_before_anything_is_set(host, database):
    """Locks and snapshots would go to whoever comes next."""
    with pooling(database) as port, pytest.raises(ConfigurationError) as caught:
        way_in.tunnelled(host, replace(database, port=port))

    assert f"127.0.0.1:{port} on {host.name} is a pooler" in caught.value.what
    assert "nothing was touched" in caught.value.means


@pytest.fixture
def other(database) -> Iterator[Conninfo]:
    """Another database of the same server."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(**database.parameters(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield database.database(name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_two_databases_at_one_address_are_told_apart(host, disposable, database, other):
    """The tunnel and the host's own psql have to meet in one: by system identifier, oid and name."""
    way_in.same_database(TargetDatabase(database, host, disposable.tool, database))

    with pytest.raises(TargetUnusable) as caught:
        way_in.same_database(TargetDatabase(database, host, disposable.tool, other))

    assert f"|{database.dbname}|" in caught.value.what.partition(", psql on")[0]
    assert f"|{other.dbname}|" in caught.value.what.partition(", psql on")[2]
    assert "Two servers answer to one address" in caught.value.means


def test_a_psql_that_does_not_get_in_is_told(host, disposable, database):
    """The application's own way in is not open."""
    elsewhere = replace(database, dbname="no_such_database")

    with pytest.raises(TargetUnusable, match=r'psql on .* does not reach the database: .*"no_such_database" does not'):
        way_in.same_database(TargetDatabase(database, host, disposable.tool, elsewhere))


def test_a_host_with_another_version_alone_is_refused(host):
    """A client of another major version fails, or leaves things out."""
    with pytest.raises(TargetUnusable, match=r"has no pg_dump of PostgreSQL 99, which the server is \(pg_dump"):
        way_in.tools(host, 990001, ["pg_dump"])


def test_shadow_databases_are_listed(database):
    """Prisma leaves one behind where it is killed."""
    name = f"prisma_migrate_shadow_db_{uuid.uuid4()}"
    with closing(psycopg.connect(**database.parameters(), autocommit=True)) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        try:
            [told] = way_in.leftovers(database)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
    assert name in told
    assert "dropped by hand" in told
