"""How many tuples were inserted, updated and deleted per table, as the server's cumulative statistics count them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from pytest_dryrun.postgres.connection import Conninfo, connect

# A partitioned table has no rows of its own: what is written to it is counted where it lands.
_QUERY = """
WITH RECURSIVE below (top, relid) AS (
    SELECT oid, oid FROM pg_class WHERE relkind = 'p'
    UNION SELECT b.top, i.inhrelid FROM below b JOIN pg_inherits i ON i.inhparent = b.relid
)
SELECT s.relid::int8, s.n_tup_ins, s.n_tup_upd, s.n_tup_del
FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid AND c.relkind <> 'p'
UNION ALL
SELECT b.top::int8, sum(s.n_tup_ins)::int8, sum(s.n_tup_upd)::int8, sum(s.n_tup_del)::int8
FROM below b JOIN pg_stat_user_tables s ON s.relid = b.relid GROUP BY b.top
"""
# Since PostgreSQL 15 a session reports before it leaves this list (pgstat_shutdown_hook, pgstat_beshutdown_hook).
_REPORTS_BEFORE_IT_LEAVES = 150000
_OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

_TICK_S = 0.05


@dataclass(frozen=True, slots=True)
class TupleCounters:
    """Tuples of one table since its statistics began; rolled-back changes count too, TRUNCATE does not."""

    inserted: int
    updated: int
    deleted: int


def tuple_counters(
    conninfo: Conninfo, *, settled_s: float = 1.0, timeout_s: float = 15.0
) -> Mapping[int, TupleCounters]:
    """Read the counters by oid once they stood still for `settled_s`, or nobody else is there who might report.

    Take the difference of two readings. Sessions report when they end, else at most a second (while busy) or ten (when
    idle) late; the manual's page on cumulative statistics. So disconnect whoever wrote before. After `timeout_s` the
    last reading counts.
    """
    with closing(connect(conninfo, statement_timeout_s=timeout_s)) as connection:
        deadline = time.monotonic() + timeout_s
        leave_at_once = connection.info.server_version >= _REPORTS_BEFORE_IT_LEAVES
        last, since = connection.execute(_QUERY).fetchall(), time.monotonic()
        while time.monotonic() < min(since + settled_s, deadline):
            alone = leave_at_once and connection.execute(_OTHERS).fetchone() == (0,)
            if not alone:
                time.sleep(min(_TICK_S, settled_s))  # nothing tells when a session has reported
            connection.execute("SELECT pg_stat_clear_snapshot()")
            current = connection.execute(_QUERY).fetchall()
            if alone:
                last = current
                break
            if sorted(current) != sorted(last):
                last, since = current, time.monotonic()
    return {oid: TupleCounters(*counts) for oid, *counts in last}
