"""One statement, or a run of statements of one shape, as the observer saw it from outside."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_dryrun.model.scripts import Statement
from pytest_dryrun.rehearsal.observe.folding import shape, watched_as_one
from pytest_dryrun.rehearsal.observe.looking import Inside

Event = Mapping[str, Any]

# A statement of a run that took longer may have read much, and is looked at like the first one.
_QUICK_MS = 20.0


@dataclass(frozen=True, slots=True)
class Relation:
    """One relation as the catalog named it before the rehearsal: qualified and quoted; `table` is an index's table."""

    name: str
    kind: str
    table: str


@dataclass(frozen=True, slots=True)
class Changed:
    """Relations, by oid, that got a new file: tables written anew or emptied, indexes built anew on a kept table."""

    rewritten: tuple[int, ...] = ()
    emptied: tuple[int, ...] = ()
    rebuilt: tuple[int, ...] = ()

    def plus(self, more: Changed) -> Changed:
        """Both together."""
        return Changed(
            tuple(dict.fromkeys((*self.rewritten, *more.rewritten))),
            tuple(dict.fromkeys((*self.emptied, *more.emptied))),
            tuple(dict.fromkeys((*self.rebuilt, *more.rebuilt))),
        )

    def __bool__(self) -> bool:
        return bool(self.rewritten or self.emptied or self.rebuilt)


@dataclass(frozen=True, slots=True)
class Window:
    """One statement as the observer saw it from outside.

    `before_clock` and `after_clock` are the server's clock (epoch seconds), `started_s` and `ended_s` ours.
    `transaction` is its start time as the server spells it where it was still open after the statement, else `""`;
    `held` are then the locks it held, as oid and mode, and `locks` those and what was seen while it ran.
    `alone` tells that the transaction was begun for this statement, `fresh` that none was open before it.
    `looked` tells that the server was asked while the transaction was open. `read` are rows by oid, `written` whether
    any row was written, `wrote` how many and how many of them were inserted, by oid; `taken_back` how many parts of
    transactions with a number of their own were rolled back while it ran. `xid` is the transaction's number where it
    had one. `lines` are those of the whole run. `lock_timeout_ms` is what the session started with.
    """

    migration: str
    statement: Statement
    duration_ms: float
    pid: int
    before_clock: float
    after_clock: float
    started_s: float
    ended_s: float
    transaction: str = ""
    held: tuple[tuple[int, str], ...] = ()
    locks: tuple[tuple[int, str], ...] = ()
    changed: Changed = field(default_factory=Changed)
    read: Mapping[int, int] = field(default_factory=dict)
    written: bool = False
    wrote: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    taken_back: int = 0
    xid: str = ""
    alone: bool = False
    fresh: bool = True
    looked: bool = False
    lines: tuple[int, ...] = ()
    lock_timeout_ms: int | None = None


class Opening:
    """A window that is still open."""

    def __init__(
        self, migration: str, statement: Statement, begun: tuple[float, int], *, alone: bool, fresh: bool
    ) -> None:
        self.migration = migration
        self.statement = statement
        self.shape = shape(statement.sql) if watched_as_one(statement.tag) else ""
        self.alone = alone
        self.fresh = fresh
        self.polled = False
        self.unlooked = 0
        self.looked = False
        self.transaction = ""
        self.held: tuple[tuple[int, str], ...] = ()
        self.locks: dict[tuple[int, str], None] = {}
        self.after_clock = self._before_clock = begun[0]
        self.next_xid = begun[1]
        self.taken_back = 0
        self._started_s = self._ended_s = time.monotonic()
        self._duration_ms = 0.0
        self._lines: list[int] = []
        self._quick = True
        self._changed = Changed()
        self._read: dict[int, int] = {}
        self._wrote: dict[int, tuple[int, int]] = {}
        self._xid = ""

    def goes_on(self, migration: str, statement: Statement) -> bool:
        """Whether this statement continues the run: the same shape, after one that was quick."""
        if not self.shape or not self._quick or migration != self.migration:
            return False
        return watched_as_one(statement.tag) and shape(statement.sql) == self.shape

    def ran(self, statement: Statement, duration_ms: float) -> bool:
        """Count one statement, and tell whether to look now: a quick one is looked at later, with its run."""
        self._ended_s = time.monotonic()
        self._duration_ms += duration_ms
        self._quick = duration_ms < _QUICK_MS
        self._lines.append(statement.line)
        if len(self._lines) > 1 and self._quick:
            self.unlooked += 1
            return False
        return True

    def count(self, look: Inside, baseline: Inside | None) -> None:
        """Add the rows that were read and written since the last look of the same transaction."""
        earlier = baseline.counts if baseline else {}
        for oid, (read, written, inserted) in look.counts.items():
            before = earlier.get(oid, (0, 0, 0))
            if read > before[0]:
                self._read[oid] = self._read.get(oid, 0) + read - before[0]
            if written > before[1]:
                known = self._wrote.get(oid, (0, 0))
                self._wrote[oid] = known[0] + written - before[1], known[1] + inserted - before[2]
        self._xid = look.xid or self._xid

    def changed(self, changed: Changed) -> None:
        """Note new files; a table that the words empty, with rows put in again, was not rewritten."""
        if changed.rewritten and "TRUNCATE" in self.statement.sql.upper():
            changed = Changed((), (*changed.emptied, *changed.rewritten), changed.rebuilt)
        self._changed = self._changed.plus(changed)

    def window(self, pid: int, lock_timeout_ms: int | None) -> Window:
        """Close it."""
        return Window(
            migration=self.migration,
            statement=self.statement,
            duration_ms=self._duration_ms,
            pid=pid,
            before_clock=self._before_clock,
            after_clock=self.after_clock,
            started_s=self._started_s,
            ended_s=self._ended_s,
            transaction=self.transaction,
            held=self.held,
            locks=tuple(self.locks),
            changed=self._changed,
            read=self._read,
            written=bool(self._wrote),
            wrote=self._wrote,
            taken_back=self.taken_back,
            xid=self._xid,
            alone=self.alone,
            fresh=self.fresh,
            looked=self.looked,
            lines=tuple(self._lines),
            lock_timeout_ms=lock_timeout_ms,
        )
