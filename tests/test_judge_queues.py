"""The verdict on queues: how long everybody would wait, when that is too long, and what to do. From made-up runs."""

from __future__ import annotations

import pytest
from test_locks import AX, REMEDIES, SHARE, TABLES, USER, command, held, migration, observed

from pytest_dryrun.model.scripts import Location, Migration
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.probes.transactions import LongestTransaction
from pytest_dryrun.rehearsal.judge.queues import Deploying, Queuer, lock_queue, queuers, remedy
from pytest_dryrun.rehearsal.judge.yardstick import Yardstick
from pytest_dryrun.rehearsal.observe.observation import Observed
from pytest_dryrun.rehearsal.observe.queueing import Queue

SQL = Deploying("sql", whole_file=False)
UNKNOWN = LongestTransaction()


def found(*observations: Observed, migrations: tuple[Migration, ...] = ()) -> tuple[Queuer, ...]:
    """Find the statements behind which others queue, with limits of one second for readers and two for writers."""
    return queuers(Yardstick(TABLES, 1, 1000, 2000, REMEDIES), observations, migrations)


def altered(mode: str, timeout_ms: int, *, existed: bool = True) -> Observed:
    """Make an ALTER TABLE with its lock and its lock_timeout."""
    table = USER if existed else "public.created_just_now"
    locks = (held(table, mode, existed=existed),)
    return observed("ALTER TABLE t ADD a int", command("ALTER TABLE", locks=locks, lock_timeout_ms=timeout_ms))


@pytest.mark.parametrize(
    ("one", "limit_ms"),
    [
        pytest.param(altered(AX, 0), 1000, id="no timeout"),
        pytest.param(altered(AX, 1001), 1000, id="a timeout over the limit"),
        pytest.param(altered(AX, 1000), None, id="a timeout within the limit"),
        pytest.param(altered(SHARE, 1001), None, id="within the limit of writers"),
        pytest.param(altered(SHARE, 0), 2000, id="writers alone"),
        pytest.param(altered(AX, 0, existed=False), None, id="new table"),
        pytest.param(altered("ShareUpdateExclusiveLock", 0), None, id="mild lock"),
    ],
)
def test_who_would_make_others_queue(one: Observed, limit_ms: float | None) -> None:
    """A lock on an existing table that conflicts with readers or writers, unless its wait ends within the limits."""
    assert ([] if limit_ms is None else [limit_ms]) == [each.limit_ms for each in found(one)]


def test_unknown_lock_timeout_is_read_from_the_file() -> None:
    """Where nobody could tell the value, a SET earlier in the file counts, and none at all does not."""
    one = observed("TRUNCATE t", acquired=(held(USER, AX),), lock_timeout_ms=None)
    assert 1 == len(found(one, migrations=(migration("SELECT 1", "SELECT 1"),)))
    assert () == found(one, migrations=(migration("SET lock_timeout = '1s'", "SELECT 1"),))


def test_statements_nothing_was_seen_of_are_judged_by_their_words() -> None:
    """A statement behind a failure, or without a recorder, is still not taken for harmless."""
    pending = migration('CREATE INDEX i ON "User" (a)', "ALTER TABLE post ADD UNIQUE (a)", "UPDATE post SET a = 1")
    assert [("m", 1), ("m", 2)] == [each.place for each in found(migrations=(pending,))]


def judged(one: Queuer, longest: LongestTransaction, queue: Queue | None = None) -> list[Finding]:
    """Judge one statement."""
    return list(lock_queue([one], {} if queue is None else {one.place: queue}, longest, SQL))


@pytest.mark.parametrize(
    ("timeout_ms", "longest_ms", "expected"),
    [
        pytest.param(0, 0, (Severity.WARNING, None), id="nobody knows how long"),
        pytest.param(30_000, 0, (Severity.WARNING, None), id="no longer than the timeout"),
        pytest.param(0, 1001, (Severity.BLOCKER, 1001), id="as long as a transaction"),
        pytest.param(5000, 60_000, (Severity.BLOCKER, 5000), id="the timeout comes first"),
        pytest.param(60_000, 5000, (Severity.BLOCKER, 5000), id="the transaction ends first"),
        pytest.param(0, 1000, None, id="short transactions"),
    ],
)
def test_how_long_is_arithmetic(
    timeout_ms: int, longest_ms: float, expected: tuple[Severity, float | None] | None
) -> None:
    """The shorter of both; a blocker over the limits, nothing within them, a warning where it is not known."""
    one = Queuer(Location("m", 3, "ALTER TABLE t ADD a int"), {USER: AX}, timeout_ms, 1000)
    told = judged(one, LongestTransaction(longest_ms, "the tests"))
    assert ([] if expected is None else [expected]) == [(each.severity, each.evidence.get("ms")) for each in told]


def test_a_transaction_that_was_seen_is_no_bound() -> None:
    """A long one is enough to know that others wait too long; a short one says nothing of those nobody saw."""
    one = Queuer(Location("m", 3, "ALTER TABLE t ADD a int"), {USER: AX}, 0, 1000)
    seen = LongestTransaction(3, "seen", known=False)
    assert [Severity.WARNING] == [each.severity for each in judged(one, seen)]
    assert [Severity.BLOCKER] == [each.severity for each in judged(one, LongestTransaction(3000, "seen", known=False))]
    assert [] == judged(one, LongestTransaction(2, "counted").or_longer(seen))
    assert [Severity.WARNING] == [each.severity for each in judged(one, UNKNOWN.or_longer(seen))]


def test_what_is_told_of_a_queue() -> None:
    """Place, lock, who waits and how long, what was seen on the copy, and the remedy."""
    one = Queuer(Location("m", 3, "ALTER TABLE t ADD a int"), {USER: AX}, 0, 1000)
    (told,) = judged(one, LongestTransaction(5000, "[stalls] longest_transaction_ms"), Queue(True, ("readers",)))
    assert (
        'm:3: takes AccessExclusiveLock on public."User", and no lock_timeout is set. It waits for every transaction'
        " that has the table open, and readers and writers queue behind it. That is 5,000 ms: as long as a transaction"
        " may last ([stalls] longest_transaction_ms). The limit is 1,000 ms. On a copy with one transaction left open,"
        f" it waited, and readers behind it. {remedy(1000, SQL)}"
    ) == told.message
    assert ("lock-queue", "m", 3, USER) == (told.rule, told.migration, told.line, told.table)
    assert {
        "statement": "ALTER TABLE t ADD a int", "locks": {USER: AX}, "lock_timeout_ms": 0, "limit_ms": 1000,
        "ms": 5000, "known_from": "[stalls] longest_transaction_ms", "queued_behind_it": ["readers"], "not_shown": "",
    } == told.evidence  # fmt: skip
    (short,) = judged(Queuer(one.where, one.modes, 3000, 1000), LongestTransaction(9000, "x"))
    assert "lock_timeout ends the wait only after 3,000 ms" in short.message
    assert "That is 3,000 ms: the lock_timeout in force, since a transaction may last 9,000 ms (x)." in short.message
    (unknown,) = judged(one, UNKNOWN)
    assert "How long transactions last is unknown; [stalls] longest_transaction_ms tells it." in unknown.message


def test_what_did_not_wait_on_the_copy_makes_nobody_queue() -> None:
    """What was shown counts; what could not be shown is told from the lock."""
    one = Queuer(Location("m", 3, "LOCK t NOWAIT"), {USER: AX}, 0, 1000)
    assert [] == judged(one, UNKNOWN, Queue())
    (told,) = judged(one, UNKNOWN, Queue(reason="no time"))
    assert "no time" == told.evidence["not_shown"]


def test_the_remedy_fits_the_tool() -> None:
    """Every tool can have the role's setting; Prisma's URL, history and whole files are its own."""
    plain = remedy(1000, SQL)
    assert "ALTER ROLE deployer SET lock_timeout = '1000ms'" in plain
    assert "SET lock_timeout = 0" in plain
    assert "prisma" not in plain
    each, whole = remedy(500, Deploying("prisma", whole_file=False)), remedy(500, Deploying("prisma", whole_file=True))
    for text in (each, whole):
        assert "options=-c%20lock_timeout%3D500ms" in text
        assert "P3009): npx prisma migrate resolve --rolled-back NAME, then deploy again" in text
    assert "write SET lock_timeout = 0" in each
    assert "write SET lock_timeout = 0" not in whole
    assert "deployed with options=-c%20lock_timeout%3D0" in whole
