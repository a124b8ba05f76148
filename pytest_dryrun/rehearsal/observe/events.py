"""From raw reports of the copy to statements with all that they did: pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from pytest_dryrun.model.values import Lock, Scan, StatementRun
from pytest_dryrun.rehearsal.observe.event_triggers import SCHEMA, rewrite_reason
from pytest_dryrun.rehearsal.observe.expectations import expect, resolve, words
from pytest_dryrun.rehearsal.observe.lock_timeout import LockTimeout
from pytest_dryrun.rehearsal.observe.observation import (
    STOP_READERS,
    STOP_WRITERS,
    Command,
    Held,
    Observed,
    Rewrite,
    strength,
    strongest,
)
from pytest_dryrun.rehearsal.observe.windows import Changed, Event, Relation, Window

INDEX_KINDS = frozenset({"i", "I"})
# What tells of a new file that no event reported, where nobody stepped through the files.
UNREPORTED = "unreported"


class Naming:
    """Names of relations by oid: as they were before, else as the events spelled them."""

    def __init__(self, before: Mapping[int, Relation], events: Iterable[Event]) -> None:
        self.before = before
        self.known = {relation.name: relation for relation in before.values()}
        self.built: set[int] = set()
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


def commands(
    events: Sequence[Event], names: Naming, aborted: frozenset[str] = frozenset()
) -> tuple[tuple[Event, Command], ...]:
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
            done.append((event, _command(start, inside, event, names, aborted)))
        elif open_starts:
            open_starts[-1][1].append(event)
    return tuple(done)


def _command(start: Event, inside: Sequence[Event], end: Event, names: Naming, aborted: frozenset[str]) -> Command:
    earlier = start.get("rows", {})
    read: dict[str, int] = {}
    for oid, counts in end.get("rows", {}).items():
        rows = int(counts[0]) - int(earlier.get(oid, (0,))[0])
        if rows > 0:
            read[names(int(oid)).name] = rows
    # An index of a partitioned table has no rows of its own; its leaves have, unless they were there already.
    again = end["tag"] == "REINDEX"
    indexed = {
        identity: names(table).name
        for oid, identity, table in end.get("indexes", ())
        if again or (oid not in names.before and oid not in names.built)
    }
    names.built.update(oid for oid, *_ in end.get("indexes", ()))
    objects = tuple(identity for _, _, identity, _ in end.get("objects", ()))
    # DROP INDEX CONCURRENTLY ends with a lock on an index that no query uses any more.
    gone = {oid for event in inside for oid, kind, _ in event.get("dropped", ()) if kind == "index"}
    return Command(
        tag=end["tag"],
        objects=objects,
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
        undone=end.get("xid") in aborted and not (objects and all(name.startswith("pg_temp") for name in objects)),
    )


class _BySession:
    """Events of each session in the order of their clocks, found by a window's bounds."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._events: dict[int, list[Event]] = {}
        for event in events:
            self._events.setdefault(event["pid"], []).append(event)
        for own in self._events.values():
            own.sort(key=lambda event: event["clock"])
        self._clocks = {pid: [event["clock"] for event in own] for pid, own in self._events.items()}

    def __iter__(self) -> Iterator[int]:
        return iter(self._events)

    def of(self, pid: int) -> Sequence[Event]:
        return self._events.get(pid, [])

    def inside(self, window: Window) -> Sequence[Event]:
        clocks = self._clocks.get(window.pid, [])
        return self.of(window.pid)[bisect_left(clocks, window.before_clock) : bisect_right(clocks, window.after_clock)]


def assemble(
    windows: Sequence[Window],
    events: Sequence[Event],
    before: Mapping[int, Relation],
    aborted: frozenset[str] = frozenset(),
) -> tuple[Observed, ...]:
    """Attribute events to the statements in whose window they happened, and carry locks through open transactions.

    `aborted` are the transactions that were rolled back, by number.
    """
    names = Naming(before, events)
    sessions = _BySession(events)
    timeout = LockTimeout()
    carried: dict[str, str] = {}
    open_transaction = ""
    observed = []
    for position, window in enumerate(windows):
        done = tuple(command for _, command in commands(sessions.inside(window), names, aborted))
        if window.alone or window.fresh or (window.transaction and window.transaction != open_transaction):
            carried, open_transaction = {}, ""
        rewrites = _rewrites(window, done, names)
        rebuilt = _rebuilt(window.changed, done, names)
        locks = _locks(window, done, rewrites, rebuilt, names)
        acquired = tuple(lock for lock in locks if strength(lock.mode) > strength(carried.get(lock.relation, "")))
        read = _read(window, done, names)
        sql = window.statement.sql
        run = StatementRun(
            window.migration, window.statement.line, sql, window.duration_ms, count=max(1, len(window.lines))
        )
        wrote = window.written or bool(window.changed)
        observed.append(
            Observed(
                run=_complete(run, locks, rewrites, done, read),
                tag=window.statement.tag,
                transaction=f"{window.pid} {window.transaction or open_transaction or f'statement {position}'}",
                started_s=window.started_s,
                ended_s=window.ended_s,
                acquired=acquired,
                commands=done,
                rewrites=rewrites,
                lock_timeout_ms=timeout.after(
                    sql,
                    session=(window.pid, window.lock_timeout_ms),
                    in_transaction=bool(window.transaction) and not window.alone,
                    told=done[-1].lock_timeout_ms if done else None,
                ),
                read=read,
                rebuilt=rebuilt,
                looked=window.looked,
                lines=window.lines,
                undone=any(command.undone for command in done) or (window.xid in aborted and wrote),
            )
        )
        stays = bool(window.transaction) and not window.alone
        open_transaction = window.transaction if stays else ""
        carried = {lock.relation: lock.mode for lock in names.held(window.held)} if stays else {}
    return tuple(observed)


def _locks(
    window: Window, done: Sequence[Command], rewrites: Sequence[Rewrite], rebuilt: Mapping[str, str], names: Naming
) -> tuple[Held, ...]:
    """What was observed; what a new file proves; and for relations of which nothing was seen, the words."""
    locks = _merge([*(lock for command in done for lock in command.locks), *names.held(window.locks)])
    needed = [(rewrite.relation, STOP_READERS, "AccessExclusiveLock") for rewrite in rewrites]
    needed += [(table, STOP_WRITERS, "ShareLock") for table in rebuilt.values()]
    seen = {lock.relation: lock.mode for lock in locks}
    proven = [
        Held(relation, mode, relation, existed=True, observed=False)
        for relation, enough, mode in needed
        if seen.get(relation, "") not in enough and relation in names.known
    ]
    locks = _merge([*locks, *proven])
    if window.looked:
        return locks
    known = {lock.relation for lock in locks}
    return _merge([*locks, *(lock for lock in _from_words(window.statement.sql, names) if lock.relation not in known)])


def _rewrites(window: Window, done: Sequence[Command], names: Naming) -> tuple[Rewrite, ...]:
    told = tuple(rewrite for command in done for rewrite in command.rewrites)
    silent = (names(oid).name for oid in window.changed.rewritten)
    known = {rewrite.relation for rewrite in told}
    reason = _silent_reason(window.statement.sql)
    return (*told, *(Rewrite(relation, reason) for relation in silent if relation not in known))


def _rebuilt(changed: Changed, done: Sequence[Command], names: Naming) -> dict[str, str]:
    """Indexes with a new file, without those that a command told of together with its lock on the table.

    REINDEX SCHEMA has let go of every lock when its event fires.
    """
    known: set[str] = set()
    for command in done:
        locked = {lock.relation for lock in command.locks if lock.mode in STOP_WRITERS}
        known.update(index for index, table in command.indexed.items() if table in locked)
    found = [names(oid) for oid in changed.rebuilt]
    return {index.name: index.table for index in found if index.name not in known}


def _read(window: Window, done: Sequence[Command], names: Naming) -> dict[str, int]:
    """Rows that the statement read outside its DDL commands, per table; an index counts for its table."""
    read: dict[str, int] = {}
    for oid, rows in window.read.items():
        table = names(oid).table
        read[table] = read.get(table, 0) + rows
    for command in done:
        for table, rows in command.read.items():
            if table in read:
                read[table] -= rows
    return {table: rows for table, rows in read.items() if rows > 0 and table in names.known}


def from_events(
    events: Sequence[Event],
    before: Mapping[int, Relation],
    aborted: frozenset[str] = frozenset(),
    *,
    clock_offset_s: float,
    changed: Changed | None = None,
) -> tuple[Observed, ...]:
    """Tell one entry per DDL command where nobody stepped through the file: line 0, in the server's words.

    What got a new file in the whole run, `changed`, and was reported by none of them stands in a last entry each.
    """
    names = Naming(before, events)
    sessions = _BySession(events)
    observed = []
    for pid in sessions:
        carried: dict[str, str] = {}
        transaction = ""
        for end, command in commands(sessions.of(pid), names, aborted):
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
                    undone=command.undone,
                )
            )
    observed.sort(key=lambda one: one.ended_s)
    return (*observed, *_unreported(changed or Changed(), observed, names))


def _unreported(changed: Changed, observed: Sequence[Observed], names: Naming) -> Iterator[Observed]:
    """One entry for every new file that no event told of; at no time, so that no wait is put down to it."""
    never = float("inf")
    commands = [command for one in observed for command in one.commands]
    rewritten = {rewrite.relation for command in commands for rewrite in command.rewrites}
    for oid in changed.rewritten:
        if (table := names(oid).name) not in rewritten:
            run = StatementRun("", 0, f"(a new file of {table})", 0.0)
            rewrites = (Rewrite(table, "the migrations gave it a new file"),)
            yield Observed(_complete(run, (), rewrites, ()), UNREPORTED, f"file {oid}", never, never, rewrites=rewrites)
    for index, table in _rebuilt(changed, commands, names).items():
        run = StatementRun("", 0, f"(a new file of {index})", 0.0)
        yield Observed(run, UNREPORTED, f"file {index}", never, never, rebuilt={index: table})


def _silent_reason(sql: str) -> str:
    verb = (words(sql)[:1] or [""])[0].upper()
    if verb == "REFRESH":
        return "REFRESH computes every row again and puts the result in its place"
    return f"{verb} writes the table anew" if verb in ("CLUSTER", "VACUUM") else "the statement gave it a new file"


def _from_words(sql: str, names: Naming) -> tuple[Held, ...]:
    held = []
    for expectation in expect(sql):
        relation = names.known.get(resolve(expectation.table, names.known))
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
    run: StatementRun,
    locks: Sequence[Held],
    rewrites: Sequence[Rewrite],
    done: Sequence[Command],
    more: Mapping[str, int] | None = None,
) -> StatementRun:
    read = dict(more or {})
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
