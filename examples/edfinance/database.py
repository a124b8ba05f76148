"""Where the platform's data is: `DATABASE_URL` as Prisma writes it, and a few connections that are kept open."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg.rows import dict_row

Connection = psycopg.Connection[dict[str, Any]]

# Parameters that Prisma reads from a connection URL and libpq does not know, or reads otherwise.
PRISMA_ONLY = frozenset({
    "schema", "connection_limit", "pool_timeout", "pgbouncer", "socket_timeout", "statement_cache_size",
    "single_use_connections", "max_connection_lifetime", "max_idle_connection_lifetime", "sslidentity", "sslaccept",
})  # fmt: skip


def database_url() -> str:
    """Take `DATABASE_URL` from the environment in the spelling that libpq understands."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    query = [(name, value) for name, value in parse_qsl(parts.query) if name not in PRISMA_ONLY]
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))


class Pool:
    """Up to `size` connections; one that broke is closed and replaced when it is next needed."""

    def __init__(self, url: str, size: int = 8) -> None:
        self._url = url
        self._places: queue.LifoQueue[Connection | None] = queue.LifoQueue()
        for _ in range(size):
            self._places.put(None)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection for one transaction: committed at the end, rolled back when anything is raised.

        Raises psycopg.OperationalError when the database is not there within a few seconds.
        """
        try:
            connection = self._places.get(timeout=5)
        except queue.Empty:
            raise psycopg.OperationalError("every connection is busy") from None
        try:
            if connection is None or connection.closed:
                connection = self._connect()
            with connection.transaction():
                yield connection
        finally:
            self._places.put(None if connection is None or connection.broken else connection)

    def close(self) -> None:
        """Close what is not lent out."""
        while not self._places.empty():
            connection = self._places.get_nowait()
            if connection is not None:
                connection.close()

    def _connect(self) -> Connection:
        return psycopg.connect(
            self._url,
            autocommit=True,
            row_factory=dict_row,
            connect_timeout=3,
            application_name="edfinance",
            options="-c statement_timeout=5s -c idle_in_transaction_session_timeout=10s",
        )
