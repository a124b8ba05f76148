"""From raw reports of the copy to statements with all that they did: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_dryrun.model.values import Lock, Scan, StatementRun
from pytest_dryrun.rehearsal.observe.event_triggers import SCHEMA, rewrite_reason
from pytest_dryrun.rehearsal.observe.expectations import expect, resolve, words
from pytest_dryrun.rehearsal.observe.lock_timeout import LockTimeout
from pytest_dryrun.rehearsal.observe.observation import Command, Held, Observed, Rewrite, strength, strongest

Event = Mapping[str, Any]

INDEX_KINDS = frozenset({"i", "I"})


@dataclass(frozen=True, slots=True)
class Relation:
    """One relation as the catalog named it before the rehearsal: qualified and quoted; `table` is an index's table."""

    name: str
    kind: str
    table: str


@dataclass(frozen=True, slots=True)
class Window:
    """One statement as the observer saw it from outside.

    `before_clock` and `after_clock` are the server's clock (epoch seconds), `started_s` and `ended_s` ours.
    `transaction` is its start time as the server spells it while it is still open after the statement, else `""`;
    `locks` are then the locks it held, as oid and mode. `rewritten` are oids whose file changed.
    `lock_timeout_ms` is what the session started with.
    """

    migration: str
    sql: str
    line: int
    tag: str
    duration_ms: float
    pid: int
    before_clock: float
    after_clock: float
    started_s: float
    ended_s: float
    transaction: str = ""
    locks: tuple[tuple[int, str], ...] = ()
    rewritten: tuple[int, ...] = ()
    lock_timeout_ms: int | None = None


class Naming:
    """Names of relations by oid: as they were before, else as the events spelled them."""

    def __init__(self, before: Mapping[int, Relation], events: Iterable[Event]) -> None:
        self.before = before
        self.seen: dict[int, Relation] = {}
        for event in events:
            for oid, _, name, kind in event.get("locks", ()):
                if name is not None and oid not in before:
                    self.seen[oid] = Relation(name, kind, name)
            for oid, kind, identity in event.get("dropped", ()):
                self.seen.setdefault(oid, Relation(identity, {"table": "r", "index": "i"}.get(kind, ""), identity))

    def __call__(self, oid: int) -> Relation:
        """Name one relation; one that nobody ever named keeps its number."""
        found = self.before.get(oid) or self.seen.get(oid)
        return found or Relation(f"relation {oid}", "", f"relation {oid}")

    def held(self, locks: Iterable[tuple[int, str]]) -> tuple[Held, ...]:
        """Fold locks by relation, the strongest of each; indexes count only where their table is not locked as hard."""
        modes: dict[int, list[str]] = {}
        for oid, mode in locks:
            modes.setdefault(oid, []).append(mode)
        folded = {oid: strongest(found) for oid, found in modes.items()}
        tables = {self(oid).name: mode for oid, mode in folded.items()}
        held = []
        for oid, mode in folded.items():
            relation = self(oid)
            if not relation.kind:
                continue
            if relation.kind in INDEX_KINDS:
                loud = mode == "AccessExclusiveLock" and oid in self.before
                if not loud or strength(tables.get(relation.table, "")) >= strength(mode):
                    continue
            if relation.kind != "t" and not relation.name.startswith((f"{SCHEMA}.", "pg_toast.")):
                held.append(Held(relation.name, mode, relation.table, oid in self.before))
        return tuple(sorted(held, key=lambda lock: lock.relation))


def commands(events: Sequence[Event], names: Naming) -> tuple[tuple[Event, Command], ...]:
    """Pair starts and ends of DDL commands of one session; a command that never ended left nothing to tell.

    Each is returned with the event that ended it. A DROP INDEX CONCURRENTLY and its kind have a start in another
    transaction than their end.
    """
    open_starts: list[tuple[Event, list[Event]]] = []
    done: list[tuple[Event, Command]] = []
    for event in events:
        if event["event"] == "ddl_command_start":
            open_starts.append((event, []))
        elif event["event"] == "ddl_command_end":
            start, inside = event, []
            while open_starts:
                candidate, inner = open_starts.pop()
                if candidate["tag"] == event["tag"]:
                    start, inside = candidate, inner
                    break
            done.append((event, _command(start, inside, event, names)))
        elif open_starts:
            open_starts[-1][1].append(event)
    return tuple(done)


def _command(start: Event, inside: Sequence[Event], end: Event, names: Naming) -> Command:
    earlier = start.get("rows", {})
    read: dict[str, int] = {}
    for oid, counts in end.get("rows", {}).items():
        rows = int(counts[0]) - int(earlier.get(oid, (0,))[0])
        if rows > 0:
            read[names(int(oid)).name] = rows
    indexed = {
        identity: names(table).name for _, kind, identity, table in end.get("objects", ()) if kind == "index" and table
    }
    # DROP INDEX CONCURRENTLY ends with a lock on an index that no query uses any more.
    gone = {oid for event in inside for oid, kind, _ in event.get("dropped", ()) if kind == "index"}
    return Command(
        tag=end["tag"],
        objects=tuple(identity for _, _, identity, _ in end.get("objects", ())),
        indexed=indexed,
        unindexed={
            identity: names(oid).table
            for event in inside
            for oid, kind, identity in event.get("dropped", ())
            if kind == "index" and oid in names.before
        },
        read=read,
        rewrites=tuple(
            Rewrite(names(event["relation"]).name, rewrite_reason(event["reason"]))
            for event in inside
            if "relation" in event
        ),
        dropped=tuple((kind, identity) for event in inside for _, kind, identity in event.get("dropped", ())),
        locks=names.held((oid, mode) for oid, mode, *_ in end.get("locks", ()) if oid not in gone),
        duration_ms=max(0.0, (end["clock"] - start["clock"]) * 1000),
        lock_timeout_ms=int(end.get("lock_timeout_ms", start.get("lock_timeout_ms", 0))),
    )


def assemble(
    windows: Sequence[Window], events: Sequence[Event], before: Mapping[int, Relation]
) -> tuple[Observed, ...]:
    """Attribute events to the statements in whose window they happened, and carry locks through open transactions."""
    names = Naming(before, events)
    timeout = LockTimeout()
    carried: dict[str, str] = {}
    open_transaction = ""
    observed = []
    for position, window in enumerate(windows):
        inside = [
            event
            for event in events
            if event["pid"] == window.pid and window.before_clock <= event["clock"] <= window.after_clock
        ]
        done = tuple(command for _, command in commands(inside, names))
        if window.transaction != open_transaction and not (open_transaction and not window.transaction):
            carried = {}
        locks = _merge([*(lock for command in done for lock in command.locks), *names.held(window.locks)])
        if not window.transaction:
            locks = _merge([*locks, *_from_words(window.sql, names)])
        acquired = tuple(lock for lock in locks if strength(lock.mode) > strength(carried.get(lock.relation, "")))
        rewrites = (
            *(rewrite for command in done for rewrite in command.rewrites),
            *(Rewrite(names(oid).name, _silent_reason(window.sql)) for oid in window.rewritten),
        )
        key = window.transaction or open_transaction or f"statement {position}"
        run = StatementRun(window.migration, window.line, window.sql, window.duration_ms)
        observed.append(
            Observed(
                run=_complete(run, locks, rewrites, done),
                tag=window.tag,
                transaction=f"{window.pid} {key}",
                started_s=window.started_s,
                ended_s=window.ended_s,
                acquired=acquired,
                commands=done,
                rewrites=rewrites,
                lock_timeout_ms=timeout.after(
                    window.sql,
                    session=(window.pid, window.lock_timeout_ms),
                    in_transaction=bool(window.transaction),
                    told=done[-1].lock_timeout_ms if done else None,
                ),
            )
        )
        open_transaction = window.transaction
        carried = {lock.relation: lock.mode for lock in names.held(window.locks)} if window.transaction else {}
    return tuple(observed)


def from_events(
    events: Sequence[Event], before: Mapping[int, Relation], *, clock_offset_s: float
) -> tuple[Observed, ...]:
    """Tell one entry per DDL command where nobody stepped through the file: line 0, in the server's words."""
    names = Naming(before, events)
    observed = []
    for pid in dict.fromkeys(event["pid"] for event in events):
        carried: dict[str, str] = {}
        transaction = ""
        for end, command in commands([event for event in events if event["pid"] == pid], names):
            if end["transaction"] != transaction:
                transaction, carried = end["transaction"], {}
            acquired = tuple(
                lock for lock in command.locks if strength(lock.mode) > strength(carried.get(lock.relation, ""))
            )
            carried.update((lock.relation, lock.mode) for lock in acquired)
            spelled = " ".join((command.tag, *command.objects[:3], *(identity for _, identity in command.dropped[:1])))
            run = StatementRun("", 0, spelled, command.duration_ms)
            ended_s = end["clock"] - clock_offset_s
            observed.append(
                Observed(
                    run=_complete(run, command.locks, command.rewrites, (command,)),
                    tag=command.tag,
                    transaction=f"{pid} {transaction}",
                    started_s=ended_s - command.duration_ms / 1000,
                    ended_s=ended_s,
                    acquired=acquired,
                    commands=(command,),
                    rewrites=command.rewrites,
                    lock_timeout_ms=command.lock_timeout_ms,
                )
            )
    return tuple(sorted(observed, key=lambda one: one.ended_s))


def _silent_reason(sql: str) -> str:
    return " ".join(word.upper() for word in words(sql)[:1]) + " writes the table anew"


def _from_words(sql: str, names: Naming) -> tuple[Held, ...]:
    known = {relation.name: relation for relation in names.before.values()}
    held = []
    for expectation in expect(sql):
        relation = known.get(resolve(expectation.table, known))
        if relation is None:
            continue
        held.append(Held(relation.name, expectation.mode, relation.table, existed=True, observed=False))
        if relation.kind in INDEX_KINDS and expectation.effect == "index-build":
            # REINDEX INDEX: the index is locked away, its table is locked against writers.
            held.append(Held(relation.table, "ShareLock", relation.table, existed=True, observed=False))
    return tuple(held)


def _merge(locks: Iterable[Held]) -> tuple[Held, ...]:
    merged: dict[str, Held] = {}
    for lock in locks:
        if lock.relation not in merged or strength(lock.mode) > strength(merged[lock.relation].mode):
            merged[lock.relation] = lock
    return tuple(sorted(merged.values(), key=lambda lock: lock.relation))


def _complete(
    run: StatementRun, locks: Sequence[Held], rewrites: Sequence[Rewrite], done: Sequence[Command]
) -> StatementRun:
    read: dict[str, int] = {}
    for command in done:
        for relation, rows in command.read.items():
            read[relation] = read.get(relation, 0) + rows
    return replace(
        run,
        locks=tuple(Lock(lock.relation, lock.mode) for lock in locks),
        rewrites=tuple(f"{rewrite.relation}: {rewrite.reason}" for rewrite in rewrites),
        scanned=tuple(Scan(relation, rows) for relation, rows in read.items()),
        dropped=tuple(f"{kind} {identity}" for command in done for kind, identity in command.dropped),
    )
