"""Which statement locked the rows that a writer could not have: pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pytest_dryrun.model.values import StatementRun
from pytest_dryrun.rehearsal.observe.observation import Observed, RowLock, RowWait, strength

_LOCKS_ROWS = strength("RowShareLock")


def attribute_rows(observed: Sequence[Observed], waits: Iterable[RowWait]) -> tuple[Observed, ...]:
    """Give every wait for rows to the first statement of its transaction that locked some, and return the statements.

    A statement's own count of rows is exact for UPDATE and DELETE; what locks rows otherwise is counted by the probe.
    A transaction that only inserted rows keeps nobody waiting who does not insert an equal key: it is left out.
    """
    found: dict[int, dict[str, RowLock]] = {}
    lost: list[Observed] = []
    for wait in waits:
        positions = _transaction(observed, wait)
        if not positions:
            lost += _unseen(wait)
            continue
        rows = max(wait.rows, sum(_changed(observed[position], wait.table) for position in positions))
        if not rows and not wait.confirmed:
            continue
        lock = _lock([observed[position] for position in positions], wait, rows)
        own = found.setdefault(positions[0], {})
        if lock.ms > own.get(wait.table, RowLock(wait.table, 0, 0.0, confirmed=False)).ms:
            own[wait.table] = lock
    given = (
        replace(one, row_locks=tuple(found[position].values())) if position in found else one
        for position, one in enumerate(observed)
    )
    return (*given, *lost)


def _unseen(wait: RowWait) -> list[Observed]:
    """An entry of its own for rows that were locked while no statement was seen."""
    if not wait.confirmed:
        return []
    run = StatementRun("", 0, "(no statement was seen at that time)", 0.0)
    lock = RowLock(wait.table, wait.rows, (wait.ended_s - wait.started_s) * 1000, confirmed=True)
    return [Observed(run, "", "unseen", wait.started_s, wait.ended_s, row_locks=(lock,))]


def _lock(statements: Sequence[Observed], wait: RowWait, rows: int) -> RowLock:
    """No row is locked before the first of these statements begins."""
    started_s = max(wait.started_s, statements[0].started_s)
    return RowLock(wait.table, rows, max(0.0, wait.ended_s - started_s) * 1000, wait.confirmed)


def _transaction(observed: Sequence[Observed], wait: RowWait) -> list[int]:
    """The statements of the transaction that has these rows: the first one that touched them, and what follows it.

    A wait is seen a little late, so a statement's time lasts until the next one begins.
    """
    ends = [*(one.started_s for one in observed[1:]), float("inf")]
    overlapping = [
        position
        for position, one in enumerate(observed)
        if one.started_s < wait.ended_s and max(one.ended_s, ends[position]) > wait.started_s
    ]
    transactions = {observed[position].transaction for position in overlapping}
    own = [p for p, one in enumerate(observed) if one.transaction in transactions and one.started_s < wait.ended_s]
    touching = [p for p in own if _changed(observed[p], wait.table)]
    touching = touching or [p for p in own if _may_lock(observed[p], wait.table)]
    if not touching:
        return overlapping[:1]
    return [p for p in touching if observed[p].transaction == observed[touching[0]].transaction]


def _may_lock(one: Observed, table: str) -> bool:
    return any(lock.relation == table and strength(lock.mode) >= _LOCKS_ROWS for lock in one.run.locks)


def _changed(one: Observed, table: str) -> int:
    """Rows it updated or deleted; of a run of statements nobody knows how many transactions they were."""
    return one.changed_rows.get(table, 0) if len(one.lines) < 2 else 0
