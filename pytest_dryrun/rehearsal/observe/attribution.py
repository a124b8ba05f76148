"""Which statement kept a probe waiting: pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pytest_dryrun.model.values import StatementRun
from pytest_dryrun.rehearsal.observe.observation import STOP_READERS, STOP_WRITERS, Observed, Stall, Wait
from pytest_dryrun.rehearsal.observe.stalls import longest_waits

_NOBODY = -1


def attribute(observed: Sequence[Observed], waits: Iterable[Wait]) -> tuple[Observed, ...]:
    """Give every wait to the statement that caused it, and return the statements with their stalls.

    That is the first statement the wait overlaps which took a lock the probe had to wait for; locks last until the
    commit, so a statement's time lasts until something begins after its transaction. Where no such lock was seen, it is
    the statement the wait overlaps longest; where no statement was seen at that time, an entry of its own (line 0) is
    added.
    """
    collected: dict[int, list[Wait]] = {}
    spans = _spans(observed)
    for wait in waits:
        collected.setdefault(_culprit(observed, spans, wait), []).append(wait)
    if _NOBODY in collected:
        collected[len(observed)] = lost = collected.pop(_NOBODY)
        run = StatementRun("", 0, "(no statement was seen at that time)", 0.0)
        started_s, ended_s = min(wait.started_s for wait in lost), max(wait.ended_s for wait in lost)
        observed = (*observed, Observed(run, "", "unseen", started_s, ended_s))
    result = []
    for position, one in enumerate(observed):
        longest = longest_waits(own := collected.get(position, []), dict.fromkeys(wait.table for wait in own))
        stalls = tuple(Stall(table, read_ms, write_ms) for table, (read_ms, write_ms) in longest.items())
        run = replace(
            one.run,
            read_stall_ms=max((stall.read_ms for stall in stalls), default=0.0),
            write_stall_ms=max((stall.write_ms for stall in stalls), default=0.0),
        )
        result.append(replace(one, run=run, stalls=stalls))
    return tuple(result)


def _culprit(observed: Sequence[Observed], spans: Sequence[tuple[float, float]], wait: Wait) -> int:
    stopping = STOP_READERS if wait.kind == "read" else STOP_WRITERS
    overlapping = [
        (position, min(end_s, wait.ended_s) - max(start_s, wait.started_s))
        for position, (start_s, end_s) in enumerate(spans)
        if start_s < wait.ended_s and end_s > wait.started_s
    ]
    for position, _ in overlapping:
        locks = (lock for lock in observed[position].acquired if lock.table == wait.table)
        if any(lock.mode in stopping for lock in locks):
            return position
    return max(overlapping, key=lambda entry: entry[1])[0] if overlapping else _NOBODY


def _spans(observed: Sequence[Observed]) -> list[tuple[float, float]]:
    """Measure the statements' times: to the end of the transaction, that is until something else begins."""
    spans: list[tuple[float, float]] = []
    end_s, following = float("inf"), None
    for one in reversed(observed):
        if following is not None and one.transaction != following.transaction:
            end_s = following.started_s
        spans.append((one.started_s, max(end_s, one.ended_s)))
        following = one
    return spans[::-1]
