"""Reading the system catalogs in one transaction, under settings that do not depend on the session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import pq

# Names are spelled out under this search path; compiling catalog queries costs ten times what running them does.
SETTINGS = {"search_path": "pg_catalog", "statement_timeout": "120s", "jit": "off"}


@contextmanager
def pinned(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Read in one repeatable-read transaction, or in the one that is open already, whose settings come back."""
    idle = connection.info.transaction_status is pq.TransactionStatus.IDLE
    with connection.transaction():
        if idle:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        old = {name: connection.execute("SELECT current_setting(%s)", (name,)).fetchall()[0][0] for name in SETTINGS}
        _set(connection, SETTINGS)
        yield
        _set(connection, old)


def _set(connection: psycopg.Connection[Any], settings: Mapping[str, str]) -> None:
    for item in settings.items():
        connection.execute("SELECT set_config(%s, %s, true)", item)
