"""How many tuples of each table a migration inserted, updated and deleted, as the server counted them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pytest_dryrun.model.values import TableComparison
from pytest_dryrun.postgres.catalog import Catalog
from pytest_dryrun.postgres.fingerprint.counters import TupleCounters

Counters = Mapping[int, TupleCounters]

# The migrating session has ended when counters are read, and reported with its end.
SETTLED_S = 0.2
# Where others write all the time, counters never stand still.
COUNTERS_S = 5.0
_AT_LEAST = 20
_TIMES = 5
# A session that goes on working reports what it did up to a second late: into the deployment, too.
_LATE_S = 1.0


def busy(readings: tuple[Counters, Counters, Counters, Counters], *, deploying_s: float, watched_s: float) -> set[int]:
    """Tables that others wrote to: between backup and deployment, or between its end and now.

    What was deleted and updated between the two readings around the deployment, `deploying_s` of the `watched_s`, may
    be theirs up to five times what they did in such a time before or after, and 20 rows at least; beyond that the
    deployment did it, and the table is no excuse.
    """
    backup, before, after, now = readings
    found = set()
    for oid in now:
        nothing = TupleCounters(0, 0, 0)
        steps = [each.get(oid, nothing) for each in (backup, before, after, now)]
        lost = [each.updated + each.deleted for each in steps]
        theirs = (lost[1] - lost[0]) + (lost[3] - lost[2])
        wrote = steps[0] != steps[1] or steps[2] != steps[3]
        reported_s = deploying_s + _LATE_S
        share = reported_s / max(watched_s - deploying_s, reported_s)
        if wrote and lost[2] - lost[1] <= max(_AT_LEAST, _TIMES * theirs * share):
            found.add(oid)
    return found


def counted(table: TableComparison, after: Catalog, before: Counters, now: Counters) -> TableComparison:
    """The comparison with the difference of two readings; left open where the table is gone or was not counted.

    Or where a partitioned table lost a partition, and what was counted there, meanwhile.
    """
    found = after.find("table", table.renamed_to or table.table)
    if found is None or found.oid not in now:
        return table
    old, new = before.get(found.oid, TupleCounters(0, 0, 0)), now[found.oid]
    writes = (new.inserted - old.inserted, new.updated - old.updated, new.deleted - old.deleted)
    if min(writes) < 0:
        return table
    return replace(table, inserted=writes[0], updated=writes[1], deleted=writes[2])
