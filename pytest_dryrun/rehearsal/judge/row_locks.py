"""How long rows stayed locked, and whether that grows with the table. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pytest_dryrun.model.scripts import Location
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.rehearsal.judge.waiting import growing, reads_all
from pytest_dryrun.rehearsal.judge.yardstick import Yardstick, milliseconds
from pytest_dryrun.rehearsal.observe.observation import STOP_WRITERS, Observed, RowLock

_REMEDY = "Write rows in batches of about 1,000, each in a transaction of its own, and commit before other work begins."
_LIMIT = re.compile(r"\b(?:LIMIT|FETCH\s+(?:FIRST|NEXT))\s+(\d[\d_]*)\b", re.IGNORECASE)


def rows_locked(bench: Yardstick, placed: Sequence[Observed]) -> tuple[Finding, ...]:
    """Tell how long a writer of such a row would have to wait, where that writer could write the table at all.

    At scale only where the number of rows grows with the table, or where what runs until the commit does.
    """
    grows = growing(bench, placed)
    found: list[Finding] = []
    for position, one in enumerate(placed):
        after = placed[position + 1 : position + 2]
        later = bool(after) and after[0].transaction == one.transaction and grows[position + 1]
        modes = {lock.relation: lock.mode for lock in one.run.locks}
        for lock in one.row_locks:
            if bench.holds_rows(lock.table) and modes.get(lock.table, "") not in STOP_WRITERS:
                found.extend(_judge(bench, one, lock, later=later))
    return tuple(found)


def _judge(bench: Yardstick, one: Observed, lock: RowLock, *, later: bool) -> Iterator[Finding]:
    where = Location(one.run.migration or None, one.run.line or None, one.run.sql)
    factor = bench.scale if later else _factor(bench, one, lock)
    scaled_ms = lock.ms * factor
    if scaled_ms <= bench.max_write_ms / 2:
        return
    over = scaled_ms > bench.max_write_ms
    rows = f"{lock.rows:,} rows" if lock.rows else "rows"
    at_scale = (
        f"about {milliseconds(scaled_ms)} at scale {bench.scale:g}"
        if factor != 1 or bench.scale == 1
        else "whatever the table's size"
    )
    remedy = f" {_REMEDY}" if over else ""
    yield Finding(
        "rows-locked",
        Severity.BLOCKER if over else Severity.WARNING,
        f"{where.head}: {rows} of {bench.size(lock.table)} stayed locked for {milliseconds(lock.ms)} on the copy, from"
        f" the first write to the commit, {at_scale}. Whoever writes one of them waits as long; the limit is"
        f" {milliseconds(bench.max_write_ms)}.{remedy}",
        migration=where.migration,
        line=where.line,
        table=lock.table,
        evidence={
            "table": lock.table,
            "rows": lock.rows,
            "ms": round(lock.ms, 1),
            "scaled_ms": round(scaled_ms, 1),
            "limit_ms": bench.max_write_ms,
            "writer_refused": lock.confirmed,
        },
    )


def _factor(bench: Yardstick, one: Observed, lock: RowLock) -> float:
    """How much longer it takes at scale: as much as there are more rows, and a LIMIT that was reached allows no more.

    Rows that nobody counted are taken to be all of them, or as many as a LIMIT allows: a batch may be too short.
    """
    caps = [int(number.replace("_", "")) for number in _LIMIT.findall(one.run.sql)]
    cap = next((number for number in sorted(caps) if number >= lock.rows), 0)
    if cap:
        return min(bench.scale, cap / (lock.rows or cap)) if bench.scale > 1 else 1.0
    if not lock.rows or reads_all(bench, lock.table, lock.rows):
        return bench.scale
    return 1.0
