"""Statements of one shape, which differ in their constants alone: watched and shown as one. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from pytest_dryrun.model.values import Lock, Scan, StatementRun
from pytest_dryrun.rehearsal.observe.observation import strength

_CONSTANT = re.compile(
    r"""(?:\b[EBXN])?'(?:[^']++|'')*+' | (?<![\w"])-?\d[\w.]*+ | \b(?:NULL|TRUE|FALSE|DEFAULT)\b""",
    re.VERBOSE | re.IGNORECASE,
)
_ROWS = re.compile(r"(\([^()]*+\))(?:\s*,\s*\([^()]*+\))+")
_ROW_WRITERS = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"})


def shape(sql: str) -> str:
    """Write a statement with `?` for every constant; an INSERT of many rows has the shape of one row."""
    text = _CONSTANT.sub("?", sql)
    return " ".join(_ROWS.sub(r"\1", text).split())


def watched_as_one(tag: str) -> bool:
    """Whether a run of such statements may be looked at as one: they change rows and nothing else."""
    return tag in _ROW_WRITERS


def fold(runs: Iterable[StatementRun]) -> tuple[StatementRun, ...]:
    """Make one entry of consecutive statements of one shape in one migration."""
    folded: list[StatementRun] = []
    last = None
    for run in runs:
        key = (run.migration, shape(run.sql))
        if folded and key == last:
            folded[-1] = _add(folded[-1], run)
        else:
            folded.append(run)
        last = key
    return tuple(folded)


def _add(one: StatementRun, more: StatementRun) -> StatementRun:
    locks: dict[str, Lock] = {}
    for lock in (*one.locks, *more.locks):
        if lock.relation not in locks or strength(lock.mode) > strength(locks[lock.relation].mode):
            locks[lock.relation] = lock
    read: dict[str, int] = {}
    for scan in (*one.scanned, *more.scanned):
        read[scan.relation] = read.get(scan.relation, 0) + scan.rows
    return replace(
        one,
        duration_ms=one.duration_ms + more.duration_ms,
        locks=tuple(locks.values()),
        rewrites=tuple(dict.fromkeys((*one.rewrites, *more.rewrites))),
        scanned=tuple(Scan(relation, rows) for relation, rows in read.items()),
        dropped=tuple(dict.fromkeys((*one.dropped, *more.dropped))),
        read_stall_ms=max(one.read_stall_ms, more.read_stall_ms),
        write_stall_ms=max(one.write_stall_ms, more.write_stall_ms),
        count=one.count + more.count,
    )
