"""How long a transaction may hold a table open: what a server's own statistics and its open sessions tell."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.postgres.connection import APPLICATION_NAME, Conninfo, connect
from pytest_dryrun.probes import statement_statistics as statistics

Connection = psycopg.Connection[tuple[Any, ...]]

_OPEN = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)) * 1000, 0)::float8 FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
    AND application_name <> %s
"""


_SEEN = "a transaction that was open while the run went on"


@dataclass(frozen=True, slots=True)
class LongestTransaction:
    """How long a transaction may last, in milliseconds, and how that is known; 0 where nobody knows.

    Where it is not `known`, one was seen that lasted so long, and others may last longer.
    """

    ms: float = 0.0
    source: str = ""
    known: bool = True

    def or_longer(self, other: LongestTransaction) -> LongestTransaction:
        """The longer of the two; it is known where either is."""
        longer = other if other.ms > self.ms else self
        return replace(longer, known=any(one.known and one.ms > 0 for one in (self, other)))


def of_server(target: Conninfo) -> LongestTransaction:
    """What a server tells of the transactions of one database; the view may be there or in `postgres`."""
    with connect(target) as connection:
        found = open_now(connection)
    for place in (target, target.database("postgres")):
        with suppress(TargetUnusable), connect(place) as connection:  # nobody owes us access to `postgres`
            found = found.or_longer(longest_statement(connection, target.dbname))
    return found


def open_now(connection: Connection) -> LongestTransaction:
    """The oldest transaction that others have open in this database at the moment."""
    row = connection.execute(_OPEN, (APPLICATION_NAME,)).fetchone()
    return LongestTransaction(float(row[0]) if row else 0.0, _SEEN, known=False)


def longest_statement(connection: Connection, database: str) -> LongestTransaction:
    """The longest SELECT, INSERT, UPDATE, DELETE or MERGE of others since the counters were reset.

    A transaction lasts at least as long as its longest statement. The extension lives in the connection's database,
    which need not be the `database` that is asked about. Nothing where the server counts no statements there.
    """
    if statistics.available(connection, create=False, others=False) is not None:
        return LongestTransaction()
    return LongestTransaction(
        statistics.longest_of_others(connection, database), "the longest statement in pg_stat_statements"
    )
