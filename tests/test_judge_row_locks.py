"""Rows that stay locked: by which statement, how long at scale, and when that is too long. From made-up runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_locks import AX, USER, held, observed, verdict

from pytest_dryrun.model.values import Lock, Severity
from pytest_dryrun.rehearsal.observe.observation import Observed, RowLock, RowWait
from pytest_dryrun.rehearsal.observe.row_locks import attribute_rows

WRITES = "RowExclusiveLock"


def update(rows: int, ms: float, sql: str = "UPDATE t SET a = 1") -> Observed:
    """Make an UPDATE whose rows stayed locked."""
    return observed(sql, acquired=(held(USER, WRITES),), row_locks=(RowLock(USER, rows, ms, confirmed=True),))


def test_rows_that_stay_locked_are_told() -> None:
    """The message names place, rows, table, measured and scaled time, and what to write instead."""
    (found,) = verdict(update(50_000, 900.0), scale=2.0).stalls
    assert (
        'm:3: 50,000 rows of public."User" (50,000 rows, 8.0 MiB) stayed locked for 900 ms on the copy, from the first'
        " write to the commit, about 1,800 ms at scale 2. Whoever writes one of them waits as long; the limit is"
        " 1,000 ms. Write rows in batches of about 1,000, each in a transaction of its own, and commit before other"
        " work begins."
    ) == found.message
    assert ("rows-locked", Severity.BLOCKER, "m", 3, USER) == (
        found.rule, found.severity, found.migration, found.line, found.table,
    )  # fmt: skip
    assert {
        "table": USER, "rows": 50_000, "ms": 900.0, "scaled_ms": 1800.0, "limit_ms": 1000, "writer_refused": True,
    } == found.evidence  # fmt: skip


@pytest.mark.parametrize(
    ("one", "scale", "expected"),
    [
        pytest.param(update(50_000, 100), 1, [], id="short"),
        pytest.param(update(50_000, 600), 1, [(Severity.WARNING, 600)], id="more than half the limit"),
        pytest.param(update(50_000, 100), 50, [(Severity.BLOCKER, 5000)], id="all rows, at scale"),
        pytest.param(update(30, 100), 50, [], id="a few rows, whatever the table's size"),
        pytest.param(update(30, 1100), 50, [(Severity.BLOCKER, 1100)], id="a few rows, too long as it is"),
        pytest.param(update(3_000, 100), 50, [(Severity.BLOCKER, 5000)], id="a part, and very many rows at scale"),
        pytest.param(update(0, 100), 50, [(Severity.BLOCKER, 5000)], id="rows that nobody counted"),
        pytest.param(
            update(30_000, 100, "UPDATE t SET a = 1 WHERE id IN (SELECT id FROM t LIMIT 30000)"), 50, [],
            id="a batch that reached its LIMIT",
        ),
        pytest.param(
            update(30_000, 100, "DELETE FROM t WHERE id IN (SELECT id FROM t FETCH FIRST 240000 ROWS ONLY)"), 50,
            [(Severity.WARNING, 800)], id="a LIMIT that was not reached",
        ),
    ],
)  # fmt: skip
def test_time_is_scaled_where_the_rows_grow(
    one: Observed, scale: float, expected: list[tuple[Severity, float]]
) -> None:
    """More rows at scale take longer; a batch takes as long on a large table as on a small one."""
    found = verdict(one, scale=scale).stalls
    assert expected == [(each.severity, each.evidence["scaled_ms"]) for each in found]


def test_work_that_follows_in_the_transaction_grows_too() -> None:
    """Three rows that stay locked while an index is built are locked as long as that takes at scale."""
    build = observed("UPDATE t SET b = 1", read={USER: 50_000})
    assert [5000] == [each.evidence["scaled_ms"] for each in verdict(update(3, 100), build, scale=50).stalls]
    other = replace(build, transaction="other")
    assert [] == list(verdict(update(3, 100), other, scale=50).stalls)


def test_rows_of_a_table_that_nobody_may_write_are_not_told_again() -> None:
    """Where the table itself is locked, everybody who writes waits, and that has a rule of its own."""
    one = update(50_000, 5000)
    locked = replace(one, run=replace(one.run, locks=(Lock(USER, AX),)))
    assert ["rows-locked"] == [each.rule for each in verdict(one).stalls]
    assert [] == list(verdict(locked).stalls)


def ran(started_s: float, ended_s: float, transaction: str = "t", **facts: object) -> Observed:
    """Make a statement that ran from then to then."""
    return observed("UPDATE t", started_s=started_s, ended_s=ended_s, transaction=transaction, **facts)


def test_locked_rows_belong_to_the_statement_that_wrote_first() -> None:
    """Later writes of its transaction add their rows; the time ends with the transaction."""
    first, second = ran(1, 2, changed_rows={USER: 10}), ran(2, 3, changed_rows={USER: 5})
    statements = [ran(0, 1), first, second, ran(3.5, 4, "other", changed_rows={USER: 900})]
    given = attribute_rows(statements, [RowWait(USER, 0.5, 3.4, confirmed=True)])
    assert [(), (RowLock(USER, 15, 2400.0, confirmed=True),), (), ()] == [one.row_locks for one in given]


def test_a_transaction_that_only_inserted_keeps_nobody_waiting() -> None:
    """Its rows conflict with equal keys alone; a SELECT FOR UPDATE is told by the writer that was refused."""
    assert [()] == [one.row_locks for one in attribute_rows([ran(0, 9)], [RowWait(USER, 1, 8)])]
    seen = attribute_rows([ran(0, 9)], [RowWait(USER, 1, 8, confirmed=True, rows=7)])
    assert [(RowLock(USER, 7, 7000.0, confirmed=True),)] == [one.row_locks for one in seen]


def test_rows_that_nobody_was_seen_to_lock_are_not_lost() -> None:
    """Where no statement was seen at that time, as of a tool that nobody steps, they get an entry of their own."""
    waits = [RowWait(USER, 1, 3, confirmed=True, rows=9), RowWait(USER, 4, 5)]
    (one,) = attribute_rows([], waits)
    assert (RowLock(USER, 9, 2000.0, confirmed=True),) == one.row_locks
    (found,) = verdict(one).stalls
    assert ("rows-locked", Severity.BLOCKER, None) == (found.rule, found.severity, found.migration)


def test_a_run_of_statements_counts_the_longest_of_its_transactions() -> None:
    """How many transactions a run was is not known, so its rows are not added up."""
    run = ran(0, 9, changed_rows={USER: 9_000}, lines=(1, 2, 3))
    waits = [RowWait(USER, 1, 1.1, confirmed=True, rows=100), RowWait(USER, 2, 2.4, confirmed=True, rows=100)]
    (one,) = attribute_rows([run], waits)
    assert [(100, 400)] == [(lock.rows, round(lock.ms)) for lock in one.row_locks]
