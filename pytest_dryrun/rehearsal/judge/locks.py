"""The verdict on locks: what the migrations kept others from doing, how long, and what to write instead. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_dryrun.model.scripts import Location, Migration
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.rehearsal.judge.remedies.choice import Remedies
from pytest_dryrun.rehearsal.judge.remedies.remedy import advised, once
from pytest_dryrun.rehearsal.judge.row_locks import rows_locked
from pytest_dryrun.rehearsal.judge.waiting import blocked, growing, reads_all, too_small
from pytest_dryrun.rehearsal.judge.yardstick import (
    Yardstick,
    milliseconds,
    those_waiting,
)
from pytest_dryrun.rehearsal.observe.expectations import expect, resolve
from pytest_dryrun.rehearsal.observe.observation import STOP_READERS, STOP_WRITERS, Command, Held, Observed
from pytest_dryrun.rehearsal.observe.placement import place, unseen
from pytest_dryrun.rehearsal.observe.unstepped import UNREPORTED

_INDEX_COMMANDS = frozenset({"CREATE INDEX", "REINDEX"})


@dataclass(frozen=True, slots=True)
class LockVerdict:
    """Findings by the check they belong to (`indexes` is `indexes-do-not-block`), and what a reader must know."""

    safe_defaults: tuple[Finding, ...] = ()
    indexes: tuple[Finding, ...] = ()
    stalls: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


def judge(
    observed: Sequence[Observed],
    migrations: Sequence[Migration],
    tables: Mapping[str, tuple[int, int]],
    *,
    scale: float,
    max_read_ms: float,
    max_write_ms: float,
    remedies: Remedies,
) -> LockVerdict:
    """Judge what the rehearsal showed; where nothing was seen of a statement, its words are judged instead.

    `observed` come from the recorder, with stalls attributed; `migrations` are the pending ones, `tables` maps every
    qualified and quoted table that existed before to its rows and bytes. `scale` is production's size divided by the
    copy's. An effect that grows with the table is a blocker when it passes a limit at scale or touches BIG_TABLE_ROWS
    at scale, else a warning; tables that are new or empty cannot hurt anybody. `remedies` know what the migrations
    made.
    """
    bench = Yardstick(tables, scale, max_read_ms, max_write_ms, remedies)
    placed = place(observed, migrations)
    safe: list[Finding] = []
    indexes: list[Finding] = []
    stalls: list[Finding] = []
    grows = growing(bench, placed)
    for position, one in enumerate(placed):
        where = Location(one.run.migration or None, one.run.line or None, one.run.sql)
        for command in one.commands:
            safe.extend(_rewritten(bench, where, command))
            safe.extend(_scanned(bench, where, command, one))
            indexes.extend(_indexes(bench, where, command))
        unmeasured = one.tag == UNREPORTED
        ms = None if unmeasured else one.run.duration_ms
        safe.extend(_silent(bench, where, one, ms))
        safe.extend(_read(bench, where, one))
        indexes.extend(_rebuilt(bench, where, one, ms))
        if not one.looked and not one.commands and not one.rewrites and not one.rebuilt:
            by_words = _by_words(bench, where, one.run.duration_ms, one.acquired)
            safe.extend(finding for finding in by_words if finding.rule != "index-blocks-writes")
            indexes.extend(finding for finding in by_words if finding.rule == "index-blocks-writes")
        stalls.extend(blocked(bench, where, one, grows=grows[position]))
    stalls.extend(rows_locked(bench, placed))
    seen = {(finding.rule, finding.table) for finding in (*safe, *indexes)}
    for where in unseen(placed, migrations):
        for finding in _by_words(bench, where, None):
            if (finding.rule, finding.table) not in seen:
                (indexes if finding.rule == "index-blocks-writes" else safe).append(finding)
    return LockVerdict(once(safe), once(indexes), tuple(stalls), too_small(bench, (*safe, *indexes, *stalls)))


def _rewritten(bench: Yardstick, where: Location, command: Command) -> Iterator[Finding]:
    for rewrite in command.rewrites:
        if bench.holds_rows(rewrite.relation):
            yield _rewrite(bench, where, rewrite.relation, rewrite.reason, command.duration_ms)


def _silent(bench: Yardstick, where: Location, one: Observed, ms: float | None) -> Iterator[Finding]:
    """Find rewrites that no event reported: a new file told."""
    told = {rewrite for command in one.commands for rewrite in command.rewrites}
    for rewrite in one.rewrites:
        if rewrite not in told and bench.holds_rows(rewrite.relation):
            yield _rewrite(bench, where, rewrite.relation, rewrite.reason, ms)


def _rebuilt(bench: Yardstick, where: Location, one: Observed, ms: float | None) -> Iterator[Finding]:
    """Find indexes that were built anew, by their new files."""
    modes = {lock.relation: lock.mode for lock in one.run.locks}
    for index, table in one.rebuilt.items():
        if bench.holds_rows(table):
            mode = modes.get(table, "")
            yield _build(bench, where, table, index=index, mode=mode if mode in STOP_WRITERS else "ShareLock", ms=ms)


def _read(bench: Yardstick, where: Location, one: Observed) -> Iterator[Finding]:
    """Find rows that a query, DML or a function read under a lock that keeps writers out.

    A few rows found by an index take no longer on a larger table.
    """
    modes = {lock.relation: lock.mode for lock in one.run.locks}
    fresh = {lock.relation for lock in one.acquired}
    done = {*(rewrite.relation for rewrite in one.rewrites), *one.rebuilt.values()}
    done.update(table for command in one.commands for table in command.indexed.values())
    for table, rows in one.read.items():
        mode = modes.get(table, "")
        if table in done or mode not in STOP_WRITERS or not bench.holds_rows(table):
            continue
        if reads_all(bench, table, rows):
            yield _scan(bench, where, table, mode=mode, rows=rows, ms=one.run.duration_ms, earlier=table not in fresh)


def _rewrite(
    bench: Yardstick, where: Location, table: str, reason: str, ms: float | None, *, seen: bool = True
) -> Finding:
    verb = "was" if seen else "would be"
    made = Finding(
        "table-rewritten",
        bench.severity(table, "AccessExclusiveLock", ms),
        f"{where.head}: {bench.size(table)} {verb} rewritten, because {reason}; readers and writers wait meanwhile. "
        f"{bench.measured(ms)}",
        migration=where.migration,
        line=where.line,
        table=table,
        evidence=bench.evidence(table, ms, reason=reason),
    )
    return advised(made, bench.remedies.rewrite(where.sql, table))


def _scanned(bench: Yardstick, where: Location, command: Command, one: Observed) -> Iterator[Finding]:
    """Find rows read under a lock that keeps writers out; index builds and rewrites have rules of their own."""
    modes = {lock.relation: lock.mode for lock in command.locks}
    fresh = {lock.relation for lock in one.acquired}
    rewritten = {rewrite.relation for rewrite in (*command.rewrites, *one.rewrites)}
    if command.tag == "REFRESH MATERIALIZED VIEW":
        return  # CONCURRENTLY reads the view under a lock that keeps no reader out, and it has no writers
    built = set(command.indexed.values()) if command.tag in _INDEX_COMMANDS else set()
    for table, rows in command.read.items():
        mode = modes.get(table, "")
        if table in rewritten or table in built or mode not in STOP_WRITERS or not bench.holds_rows(table):
            continue
        earlier = table not in fresh
        yield _scan(bench, where, table, mode=mode, rows=rows, ms=command.duration_ms, earlier=earlier)


def _scan(
    bench: Yardstick,
    where: Location,
    table: str,
    *,
    mode: str,
    rows: int | None,
    ms: float | None,
    earlier: bool = False,
) -> Finding:
    read = f"{rows:,} rows were read" if rows is not None else "every row would be read"
    kept = " taken earlier in the same transaction" if earlier else ""
    made = Finding(
        "scanned-under-lock",
        bench.severity(table, mode, ms),
        f"{where.head}: {read} from {bench.size(table)} under {mode}{kept}, so {those_waiting(mode)} wait meanwhile. "
        f"{bench.measured(ms)}",
        migration=where.migration,
        line=where.line,
        table=table,
        evidence=bench.evidence(table, ms, lock=mode, rows_read=rows),
    )
    return advised(made, bench.remedies.scan(where.sql, table, earlier=earlier))


def _indexes(bench: Yardstick, where: Location, command: Command) -> Iterator[Finding]:
    modes = {lock.relation: lock.mode for lock in command.locks}
    if command.tag in _INDEX_COMMANDS:
        for index, table in command.indexed.items():
            if modes.get(table, "") in STOP_WRITERS and bench.holds_rows(table):
                yield _build(bench, where, table, index=index, mode=modes[table], ms=command.duration_ms)
    if command.tag == "DROP INDEX":
        for index, table in command.unindexed.items():
            if modes.get(table, "") in STOP_READERS and bench.holds_rows(table):
                yield _unbuild(bench, where, table, index, command.duration_ms)


def _build(bench: Yardstick, where: Location, table: str, *, index: str, mode: str, ms: float | None) -> Finding:
    verb = "was" if ms is not None else "would be"
    made = Finding(
        "index-blocks-writes",
        bench.severity(table, mode, ms),
        f"{where.head}: index {index} {verb} built on {bench.size(table)} without CONCURRENTLY; "
        f"{those_waiting(mode)} wait meanwhile. {bench.measured(ms)}",
        migration=where.migration,
        line=where.line,
        table=table,
        evidence=bench.evidence(table, ms, index=index, lock=mode),
    )
    return advised(made, bench.remedies.index(where.sql, table, index))


def _unbuild(bench: Yardstick, where: Location, table: str, index: str, ms: float) -> Finding:
    """Tell of a dropped index; that takes as long on a large table as on a small one, so nothing is scaled."""
    severity = Severity.BLOCKER if ms > bench.limit_ms("AccessExclusiveLock") else Severity.WARNING
    made = Finding(
        "index-blocks-writes",
        severity,
        f"{where.head}: index {index} of {bench.size(table)} was dropped without CONCURRENTLY; readers and writers "
        f"wait for it, and it waits for every open transaction on the table. Measured {milliseconds(ms)} on the copy.",
        migration=where.migration,
        line=where.line,
        table=table,
        evidence={"table": table, "index": index, "lock": "AccessExclusiveLock", "ms": round(ms, 1)},
    )
    return advised(made, bench.remedies.drop_index(index))


def _by_words(bench: Yardstick, where: Location, ms: float | None, locks: Iterable[Held] = ()) -> list[Finding]:
    """Judge a statement that left no report: an older REINDEX, a statement that failed or was never reached."""
    findings = []
    owners = {lock.relation: lock.table for lock in locks}
    for expectation in expect(where.sql):
        named = resolve(expectation.table, {**bench.tables, **owners})
        table = owners.get(named, named)
        if not bench.holds_rows(table):
            continue
        if expectation.effect == "rewrite":
            findings.append(_rewrite(bench, where, table, "such a statement converts every row", ms, seen=False))
        elif expectation.effect == "scan":
            findings.append(_scan(bench, where, table, mode=expectation.mode, rows=None, ms=ms))
        elif expectation.effect == "index-build":
            index = expectation.subject or "(unnamed)"
            findings.append(_build(bench, where, table, index=index, mode=expectation.mode, ms=ms))
    return findings
