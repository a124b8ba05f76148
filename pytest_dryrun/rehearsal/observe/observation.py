"""What the recorder saw and the probes felt, as frozen values: more than the report shows, all that a verdict needs.

Times named `_s` are this process's monotonic clock, so that windows of statements and waits of probes can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pytest_dryrun.model.values import StatementRun

# Table-level locks from weakest to strongest (PostgreSQL manual, "Explicit Locking", table 13.2).
MODES = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
# A SELECT takes AccessShareLock, an INSERT, UPDATE or DELETE RowExclusiveLock; these are the modes they wait for.
STOP_READERS = frozenset({"AccessExclusiveLock"})
STOP_WRITERS = frozenset({"ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"})


def strength(mode: str) -> int:
    """Rank a mode as pg_locks spells it; an unknown one is weaker than all."""
    return MODES.index(mode) if mode in MODES else -1


def strongest(modes: Iterable[str]) -> str:
    """Pick the strongest of some modes, `""` of none."""
    return max(modes, key=strength, default="")


@dataclass(frozen=True, slots=True)
class Held:
    """A lock held on one relation; `table` is the relation itself, or the table an index belongs to.

    `existed` tells that the relation was there before the rehearsal. `observed` is False where the server could not be
    asked in time and the statement's words say which lock it takes.
    """

    relation: str
    mode: str
    table: str
    existed: bool
    observed: bool = True


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A heap that was written anew, with Postgres' reason in words."""

    relation: str
    reason: str


@dataclass(frozen=True, slots=True)
class Command:
    """One DDL command the server ran, at top level or inside a DO block or function.

    `objects` are the identities it created or altered; `indexed` maps an index it built to the index's table,
    `unindexed` an index it dropped, of those that existed before the rehearsal.
    `read` are rows read per relation while it ran, `dropped` pairs of object type and identity, cascades included.
    `locks` were held when it ended, earlier ones of the same transaction included. `lock_timeout_ms` 0 means none.
    `undone` tells that its transaction was rolled back, `taken_back` that a part of it was, this command with it.
    """

    tag: str
    objects: tuple[str, ...]
    indexed: Mapping[str, str]
    unindexed: Mapping[str, str]
    read: Mapping[str, int]
    rewrites: tuple[Rewrite, ...]
    dropped: tuple[tuple[str, str], ...]
    locks: tuple[Held, ...]
    duration_ms: float
    lock_timeout_ms: int
    undone: bool = False
    taken_back: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """One probe of one table that waited for a lock; `kind` is `read` or `write`."""

    table: str
    kind: str
    started_s: float
    ended_s: float

    @property
    def ms(self) -> float:
        """How long it waited."""
        return (self.ended_s - self.started_s) * 1000


@dataclass(frozen=True, slots=True)
class Stall:
    """The longest anybody was kept from one table by one statement."""

    table: str
    read_ms: float
    write_ms: float


@dataclass(frozen=True, slots=True)
class RowWait:
    """How long one transaction kept rows of one table from everybody who wants to write them.

    It began no earlier than `started_s`: before, no row was found that a writer could not have. `confirmed` tells that
    a writer of ours was refused such a row. `rows` were counted while it lasted, 0 where there was no time for it.
    """

    table: str
    started_s: float
    ended_s: float
    confirmed: bool = False
    rows: int = 0


@dataclass(frozen=True, slots=True)
class RowLock:
    """Rows of one table that one statement's transaction kept locked, and for how long, until it ended."""

    table: str
    rows: int
    ms: float
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Observed:
    """One statement with everything that was seen of it; `run` is the part the report prints.

    `tag` is the command's name. `transaction` is equal for statements of one transaction. `acquired` are the locks this
    statement added to what its transaction held. `lock_timeout_ms` is None where it could not be known.
    `read` are rows read by what is no DDL command, per relation; `rebuilt` maps an index that got a new file to its
    table. `looked` tells that the server was asked what the statement had done, so that its words say nothing more.
    `lines` are all lines that this entry stands for, where statements of one shape were watched as one.
    `changed_rows` are rows updated or deleted per table, `row_locks` those that its transaction kept locked.
    `undone` tells that it did work in a transaction that was rolled back without an error. `failed` are the tags of DDL
    commands that began inside it and did not end. `reached` is what it tried outside the database, and was refused.
    `taken_back` counts parts of a transaction that wrote something and
    were rolled back while it ran; `wrote` are the rows that it wrote, and how many of them it inserted, by table,
    those included.
    """

    run: StatementRun
    tag: str
    transaction: str
    started_s: float
    ended_s: float
    acquired: tuple[Held, ...] = ()
    commands: tuple[Command, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()
    lock_timeout_ms: int | None = None
    stalls: tuple[Stall, ...] = field(default=())
    read: Mapping[str, int] = field(default_factory=dict)
    rebuilt: Mapping[str, str] = field(default_factory=dict)
    looked: bool = False
    lines: tuple[int, ...] = ()
    undone: bool = False
    failed: tuple[str, ...] = ()
    reached: tuple[str, ...] = ()
    changed_rows: Mapping[str, int] = field(default_factory=dict)
    row_locks: tuple[RowLock, ...] = ()
    taken_back: int = 0
    wrote: Mapping[str, tuple[int, int]] = field(default_factory=dict)
