"""Who would queue behind a statement that waits for one open transaction, and for how long. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_dryrun.model.scripts import Location, Migration
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.probes.transactions import LongestTransaction
from pytest_dryrun.rehearsal.judge.yardstick import Yardstick, milliseconds, those_waiting
from pytest_dryrun.rehearsal.observe.expectations import Expectation, expect, resolve
from pytest_dryrun.rehearsal.observe.observation import STOP_READERS, STOP_WRITERS, Observed
from pytest_dryrun.rehearsal.observe.placement import place, text_lock_timeout_ms, unseen
from pytest_dryrun.rehearsal.observe.queueing import Place, Queue

_CONCURRENTLY = (
    "Before a CONCURRENTLY statement write SET lock_timeout = 0, after it RESET lock_timeout: a timeout would leave an"
    " invalid index."
)


@dataclass(frozen=True, slots=True)
class Deploying:
    """By which tool, and whether it sends a file whole."""

    tool: str
    whole_file: bool


@dataclass(frozen=True, slots=True)
class Queuer:
    """A statement that waits for open transactions longer than the limits allow, or as long as they last.

    `modes` are its locks by table, `lock_timeout_ms` 0 where none is in force.
    """

    where: Location
    modes: Mapping[str, str]
    lock_timeout_ms: int
    limit_ms: float

    @property
    def place(self) -> Place:
        """Where it stands; line 0 where that is not known."""
        return self.where.migration or "", self.where.line or 0

    @property
    def who(self) -> str:
        """Who queues behind it."""
        return those_waiting("AccessExclusiveLock" if STOP_READERS & set(self.modes.values()) else "ShareLock")


def queuers(bench: Yardstick, observed: Sequence[Observed], migrations: Sequence[Migration]) -> tuple[Queuer, ...]:
    """Every statement with a lock that conflicts with readers or writers and no `lock_timeout` within the limits.

    Where nothing was seen of a statement, its words say which locks it takes.
    """
    placed = place(observed, migrations)
    found = [_seen(bench, one, migrations) for one in placed]
    found += [_by_words(bench, where, migrations) for where in unseen(placed, migrations)]
    return tuple(one for one in found if one is not None and not 0 < one.lock_timeout_ms <= one.limit_ms)


def _seen(bench: Yardstick, one: Observed, migrations: Sequence[Migration]) -> Queuer | None:
    where = Location(one.run.migration or None, one.run.line or None, one.run.sql)
    locks = [lock for lock in one.acquired if lock.mode in STOP_WRITERS and lock.existed and lock.table in bench.tables]
    timeouts: list[int | None] = [command.lock_timeout_ms for command in one.commands] or [one.lock_timeout_ms]
    if None in timeouts:
        timeouts = [text_lock_timeout_ms(where, migrations)]
    known = [timeout or 0 for timeout in timeouts]
    return _queuer(bench, where, {lock.table: lock.mode for lock in locks}, 0 if 0 in known else max(known))


def _by_words(bench: Yardstick, where: Location, migrations: Sequence[Migration]) -> Queuer | None:
    def counts(expectation: Expectation) -> bool:
        return expectation.mode in STOP_WRITERS and resolve(expectation.table, bench.tables) in bench.tables

    modes = {resolve(entry.table, bench.tables): entry.mode for entry in expect(where.sql) if counts(entry)}
    return _queuer(bench, where, modes, text_lock_timeout_ms(where, migrations) or 0)


def _queuer(bench: Yardstick, where: Location, modes: Mapping[str, str], lock_timeout_ms: int) -> Queuer | None:
    if not modes:
        return None
    return Queuer(where, modes, lock_timeout_ms, min(bench.limit_ms(mode) for mode in modes.values()))


def lock_queue(
    found: Sequence[Queuer], shown: Mapping[Place, Queue], longest: LongestTransaction, way: Deploying
) -> Iterator[Finding]:
    """Tell how long everybody would wait: as long as a transaction lasts, or until the `lock_timeout` ends the wait.

    A blocker where it is known how long transactions last and that is over the limits, a warning where it is not.
    A statement that did not wait on the copy, for a transaction that held its tables open, is left out.
    """
    for one in found:
        seen = shown.get(one.place)
        if seen is not None and not seen.reason and not seen.waited:
            continue
        wait_ms = min(longest.ms, one.lock_timeout_ms or math.inf)
        if wait_ms > one.limit_ms:
            yield _finding(one, seen, longest, wait_ms, way)
        elif not (longest.known and longest.ms):
            yield _finding(one, seen, longest, None, way)


def _finding(
    one: Queuer, seen: Queue | None, longest: LongestTransaction, wait_ms: float | None, way: Deploying
) -> Finding:
    tables = ", ".join(one.modes)
    timeout = (
        f"lock_timeout ends the wait only after {milliseconds(one.lock_timeout_ms)}"
        if one.lock_timeout_ms
        else "no lock_timeout is set"
    )
    how_long = (
        f"How long transactions last is unknown; [stalls] longest_transaction_ms tells it. The limit is"
        f" {milliseconds(one.limit_ms)}."
        if wait_ms is None
        else f"That is {milliseconds(wait_ms)}: {_why(one, longest, wait_ms)}. The limit is"
        f" {milliseconds(one.limit_ms)}."
    )
    return Finding(
        "lock-queue",
        Severity.WARNING if wait_ms is None else Severity.BLOCKER,
        f"{one.where.head}: takes {', '.join(sorted(set(one.modes.values())))} on {tables}, and {timeout}. It waits for"
        f" every transaction that has the table open, and {one.who} queue behind it. {how_long}"
        f"{_shown(seen)} {remedy(one.limit_ms, way)}",
        migration=one.where.migration,
        line=one.where.line,
        table=next(iter(one.modes)),
        evidence={
            "statement": one.where.sql[:500],
            "locks": dict(one.modes),
            "lock_timeout_ms": one.lock_timeout_ms,
            "limit_ms": one.limit_ms,
            **({} if wait_ms is None else {"ms": round(wait_ms, 1), "known_from": longest.source}),
            **({} if seen is None else {"queued_behind_it": list(seen.behind), "not_shown": seen.reason}),
        },
    )


def _why(one: Queuer, longest: LongestTransaction, wait_ms: float) -> str:
    return (
        f"the lock_timeout in force, since a transaction may last {milliseconds(longest.ms)} ({longest.source})"
        if (one.lock_timeout_ms == wait_ms)
        else f"as long as a transaction may last ({longest.source})"
    )


def _shown(seen: Queue | None) -> str:
    if seen is None or not seen.waited:
        return ""
    who = " and ".join(seen.behind)
    return f" On a copy with one transaction left open, it waited{f', and {who} behind it' if who else ''}."


def remedy(limit_ms: float, way: Deploying) -> str:
    """How to have a migration give up in time, for the tool that deploys, and what to do when it did."""
    value = f"{max(1, math.floor(limit_ms))}ms"
    once = (
        f"Have it give up in time, once and for all: ALTER ROLE deployer SET lock_timeout = '{value}', as who deploys"
    )
    if way.tool != "prisma":
        return f"{once}. {_CONCURRENTLY} After a timeout nothing of that file counts as applied: deploy again."
    alone = (
        "A file with a CONCURRENTLY statement is deployed with options=-c%20lock_timeout%3D0: a timeout would leave an"
        " invalid index."
        if way.whole_file
        else _CONCURRENTLY
    )
    return (
        f"{once}, or add options=-c%20lock_timeout%3D{value} to its DATABASE_URL. {alone} After a timeout Prisma"
        " refuses to go on (P3009): npx prisma migrate resolve --rolled-back NAME, then deploy again."
    )
