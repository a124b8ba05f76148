"""From raw reports of the copy to statements with all that they did: pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from pytest_dryrun.model.values import Lock, Scan, StatementRun
from pytest_dryrun.rehearsal.observe import guard
from pytest_dryrun.rehearsal.observe.event_triggers import SCHEMA, rewrite_reason
from pytest_dryrun.rehearsal.observe.expectations import expect, resolve, words
from pytest_dryrun.rehearsal.observe.lock_timeout import LockTimeout
from pytest_dryrun.rehearsal.observe.naming import INDEX_KINDS, Naming
from pytest_dryrun.rehearsal.observe.observation import (
    STOP_READERS,
    STOP_WRITERS,
    Command,
    Held,
    Observed,
    Rewrite,
    strength,
)
from pytest_dryrun.rehearsal.observe.windows import Changed, Event, Relation, Window


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


def unfinished(events: Sequence[Event]) -> tuple[str, ...]:
    """The tags of DDL commands of one session that began and never ended: they failed, whoever caught the error."""
    begun: list[str] = []
    failed: list[str] = []
    for event in events:
        if event["event"] == "ddl_command_start":
            begun.append(event["tag"])
        elif event["event"] == "ddl_command_end" and event["tag"] in begun:
            while begun and (tag := begun.pop()) != event["tag"]:
                failed.append(tag)
    return (*failed, *begun)


def reached(events: Sequence[Event]) -> tuple[str, ...]:
    """What these events tell that was tried outside the database, each once."""
    return tuple(dict.fromkeys(event["what"] for event in events if event["event"] == guard.EVENT))


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
    # GRANT and ALTER DEFAULT PRIVILEGES name no object.
    objects = tuple(identity for _, _, identity, _ in end.get("objects", ()) if identity)
    temporary = bool(objects) and all(name.startswith("pg_temp") for name in objects)
    undone = end.get("xid") in aborted
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
        undone=undone and not temporary,
        taken_back=not undone and not temporary and end.get("subxid") in aborted,
    )


class BySession:
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
        """One session's events."""
        return self._events.get(pid, [])

    def inside(self, window: Window) -> Sequence[Event]:
        """Those between a window's bounds."""
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
    sessions = BySession(events)
    timeout = LockTimeout()
    carried: dict[str, str] = {}
    open_transaction = ""
    observed = []
    for position, window in enumerate(windows):
        done = tuple(command for _, command in commands(sessions.inside(window), names, aborted))
        if window.alone or window.fresh or (window.transaction and window.transaction != open_transaction):
            carried, open_transaction = {}, ""
        rewrites = _rewrites(window, done, names)
        rebuilt = rebuilt_indexes(window.changed, done, names)
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
                run=complete(run, locks, rewrites, done, read),
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
                changed_rows={names(oid).table: rows - new for oid, (rows, new) in window.wrote.items() if rows > new},
                looked=window.looked,
                lines=window.lines,
                failed=unfinished(sessions.inside(window)),
                reached=reached(sessions.inside(window)),
                taken_back=window.taken_back,
                wrote=_wrote(window, names),
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


def rebuilt_indexes(changed: Changed, done: Sequence[Command], names: Naming) -> dict[str, str]:
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


def _wrote(window: Window, names: Naming) -> dict[str, tuple[int, int]]:
    """Rows that the statement wrote and inserted, per table; the recorder's own notes are left out."""
    named = {names(oid).name: rows for oid, rows in window.wrote.items()}
    return {table: rows for table, rows in named.items() if not table.startswith(f"{SCHEMA}.")}


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


def complete(
    run: StatementRun,
    locks: Sequence[Held],
    rewrites: Sequence[Rewrite],
    done: Sequence[Command],
    more: Mapping[str, int] | None = None,
) -> StatementRun:
    """Fill in what the report shows of a statement; `more` are rows read outside its DDL commands."""
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
