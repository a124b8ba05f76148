"""Applying to the target, and what is looked at afterwards: history, schema, rows, defaults, keys, indexes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import psycopg

from pytest_dryrun.migrations import History, Migrations, Status
from pytest_dryrun.model.errors import DryRunError, MigrationFailed
from pytest_dryrun.model.values import Change, Finding, Severity, TableComparison
from pytest_dryrun.postgres import fingerprint
from pytest_dryrun.postgres.catalog import Catalog, read_catalog
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.postgres.fingerprint.counters import tuple_counters
from pytest_dryrun.postgres.fingerprint.shapes import read_shapes
from pytest_dryrun.postgres.snapshot import reader, unreadable
from pytest_dryrun.probes.smoke import tail
from pytest_dryrun.rehearsal.judge.defaults import DefaultReadback, columns_default_readback, default_findings
from pytest_dryrun.rehearsal.judge.effects import Effect, effects
from pytest_dryrun.rehearsal.judge.foreign_keys import checked_by_restore, orphans
from pytest_dryrun.rehearsal.judge.positions import Positions, positions
from pytest_dryrun.rehearsal.judge.scene import is_history
from pytest_dryrun.rehearsal.judge.sequences import set_back
from pytest_dryrun.rehearsal.judge.soundness import as_judged, unsound
from pytest_dryrun.steps.comparing import compare_tables, schema_findings
from pytest_dryrun.steps.failures import failure_finding
from pytest_dryrun.steps.leftovers import Reached, Start, partial
from pytest_dryrun.steps.target import TargetDatabase
from pytest_dryrun.steps.tuples import COUNTERS_S, SETTLED_S, Counters, counted


@dataclass(frozen=True, slots=True)
class Applied:
    """What the deployment did to the target; `counters_before` are the tables' tuple counters just before it.

    `counted_s` is the time from that reading to the one of `counters_after`: others may have written all along.
    `output` are the last lines of what the deploy command printed, where it is one.
    """

    names: tuple[str, ...]
    duration_ms: float
    warnings: tuple[str, ...]
    failures: tuple[Finding, ...]
    counters_before: Counters
    prints_before: fingerprint.Fingerprint
    sequences_before: Positions
    counters_after: Counters
    counted_s: float
    output: str = ""


@dataclass(frozen=True, slots=True)
class SchemaAsRehearsed:
    """The target's schema beside the rehearsed one."""

    objects: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Integrity:
    """What became of the target's data."""

    tables: tuple[TableComparison, ...]
    rows_before: int
    rows_after: int
    row_findings: tuple[Finding, ...]
    defaults: tuple[DefaultReadback, ...]
    default_findings: tuple[Finding, ...]
    foreign_keys: int
    orphans: tuple[Finding, ...]
    indexes: int
    invalid: tuple[Finding, ...]


def apply(
    database: TargetDatabase,
    migrations: Migrations,
    backed_up: fingerprint.Fingerprint,
    *,
    timeout_s: float,
    start: Start | None = None,
    alone: bool = False,
) -> Applied:
    """Deploy what is pending to the target; a failure is part of the result, the target is not left out of sight.

    `backed_up` are the figures of the snapshot that the backup holds. `start` is where a copy can be brought to what
    the target should be after the last good file; its rows say what a failed file left only where we are `alone`.
    """
    counters = tuple_counters(database.conninfo, settled_s=SETTLED_S, timeout_s=COUNTERS_S)
    counted_at = time.monotonic()
    prints = _identified(backed_up, database.conninfo, timeout_s=timeout_s)
    with database.connect() as connection:
        sequences = positions(connection)
        before = migrations.status(connection)
    began = time.perf_counter()
    names: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    failures: tuple[Finding, ...] = ()
    output = ""
    try:
        done = migrations.deploy(database.conninfo, timeout_s=timeout_s)
        names, warnings, output = done.applied, (*done.warnings, *done.notices), tail(done.output)
    except MigrationFailed as error:
        names, told = _history_now(database, migrations, before)
        failed = failure_finding(error)
        if isinstance(told, Finding):
            failures = (failed, told)
        else:
            failures = (replace(failed, message=f"{failed.message} {told}"),)
            if start is not None:
                failures += _left_behind(database, start, prints, names, error, migrations.history(), alone=alone)
    duration_ms = (time.perf_counter() - began) * 1000
    # Settled: what the deployment itself reports late would pass for others' work.
    after = {} if failures else tuple_counters(database.conninfo, settled_s=SETTLED_S, timeout_s=COUNTERS_S)
    counted_s = time.monotonic() - counted_at
    return Applied(names, duration_ms, warnings, failures, counters, prints, sequences, after, counted_s, output)


def _left_behind(
    database: TargetDatabase,
    start: Start,
    prints: fingerprint.Fingerprint,
    good: Sequence[str],
    error: MigrationFailed,
    history: History,
    *,
    alone: bool,
) -> tuple[Finding, ...]:
    """What the file that failed itself left in the target, beside a copy that was brought to the file before it."""
    try:
        tables = compare_tables(prints, start.template, database.conninfo) if alone else ()
        with database.connect() as connection:
            found = Reached(read_catalog(connection), tables)
    except (DryRunError, psycopg.Error) as unread:
        text = f"What it left behind is not known: {str(unread).strip().splitlines()[0]}"
        return (Finding("partially-applied", Severity.BLOCKER, text, error.migration),)
    return partial(start, good, found, migration=error.migration, history=history)


def _history_now(
    database: TargetDatabase, migrations: Migrations, before: Status
) -> tuple[tuple[str, ...], Finding | str]:
    """What a deployment that failed has applied after all, and the state of the history: a finding if it is unknown."""
    try:
        with database.connect() as connection:
            now = migrations.status(connection)
    except (DryRunError, psycopg.Error) as error:
        why = str(error).strip().splitlines()[0]
        text = (
            f"How far it came is unknown, for the target cannot be read now: {why} Look before anything else is done."
        )
        return (), Finding("partially-applied", Severity.BLOCKER, text)
    names = tuple(name for name in now.applied if name not in before.applied)
    was, still = (_listed(item.name for item in status.pending) for status in (before, now))
    told = [
        f"Before: {len(before.applied)} applied, pending {was}.",
        f"Now: {len(now.applied)} applied, of them new {_listed(names)}; pending {still}.",
        *(finding.message for finding in now.findings if finding not in before.findings),
    ]
    return names, " ".join(told)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _identified(backed_up: fingerprint.Fingerprint, conninfo: Conninfo, *, timeout_s: float) -> fingerprint.Fingerprint:
    """The backup's figures with the oids and attnums that its tables have in the target now.

    Rows are compared with the backup's, so counting the target once more would say nothing new.
    """
    with closing(reader(conninfo, statement_timeout_s=timeout_s)) as connection:
        try:
            shapes, unverified = read_shapes(connection)
        except psycopg.Error as error:
            raise unreadable("the catalog", error) from error
    return replace(fingerprint.identified(backed_up, shapes), not_verified=unverified)


def schema_as_rehearsed(database: TargetDatabase, rehearsed: Catalog) -> SchemaAsRehearsed:
    """Compare the target's catalog with the one that the rehearsal ended with."""
    with database.connect() as connection:
        catalog = read_catalog(connection)
    # A copy has no subscriptions, only the comments on them, and no migration may change them.
    sides = (each.without("subscription") for each in (rehearsed, catalog))
    return SchemaAsRehearsed(
        len(catalog.objects), schema_findings(*sides, what="The target differs from the rehearsed schema")
    )


def integrity(
    database: TargetDatabase,
    template: Conninfo,
    before: Catalog,
    applied: Applied,
    rehearsed: Sequence[Finding],
    *,
    restore_proved: bool,
    busy: Collection[str] = (),
    history: History = frozenset(),
    redact: Callable[[str], str] = str,
    timeout_s: float,
) -> Integrity:
    """Compare the target with what it was, and try its defaults, keys and indexes.

    `before` is the target's own catalog before the deployment, `rehearsed` what was found on the copy; where
    fingerprints differ, rows are looked up in the template. `restore_proved` says that the backup restored to equal
    rows and schema.
    `history` are the tool's own tables.
    Others wrote to `busy` tables since the backup: what differs there need not be the migrations' doing.
    `redact` takes the run's secrets out of a text.
    """
    tables = compare_tables(applied.prints_before, template, database.conninfo, redact=redact)
    counters = tuple_counters(database.conninfo, settled_s=SETTLED_S, timeout_s=COUNTERS_S)
    with connect(database.conninfo, statement_timeout_s=timeout_s) as connection:
        after = read_catalog(connection)
        readback = columns_default_readback(connection, before, after, history)
        unchanged = {table.table for table in tables if table.change is Change.NONE and not table.not_verified}
        settled = checked_by_restore(before, after, unchanged) if restore_proved else frozenset()
        orphaned = as_judged(orphans(connection, after, settled), rehearsed)
        invalid = unsound(connection, before, after, rehearsed)
        moved = set_back(applied.sequences_before, positions(connection))
    tables = tuple(counted(table, after, applied.counters_before, counters) for table in tables)
    return Integrity(
        tables=tables,
        rows_before=sum(table.rows_before or 0 for table in tables if table.part_of is None),
        rows_after=sum(table.rows_after or 0 for table in tables if table.part_of is None),
        row_findings=(*row_findings(tables, rehearsed, busy, history), *_as_rehearsed(moved, rehearsed)),
        defaults=readback,
        default_findings=default_findings(readback),
        foreign_keys=len([item for item in after.of_kind("constraint") if "FOREIGN KEY" in item.definition]),
        orphans=orphaned,
        indexes=len(after.of_kind("index")),
        invalid=invalid,
    )


def row_findings(
    tables: Sequence[TableComparison],
    rehearsed: Sequence[Finding],
    busy: Collection[str] = (),
    history: History = frozenset(),
) -> tuple[Finding, ...]:
    """Rows or values of the target that are no longer what they were.

    In a `busy` table, to which others wrote, a difference that the copy did not show is theirs as far as anybody can
    tell: it is told, and the copy's word stands. What the rehearsal did to the same table lends its rule, migration and
    line: a waiver given there holds here.
    """
    mine = [table for table in tables if not is_history(table.table, history)]
    return tuple(_row_finding(effect, rehearsed, busy=_busy(effect.comparison, busy)) for effect in effects(mine))


def _busy(table: TableComparison, busy: Collection[str]) -> bool:
    return table.table in busy or table.part_of in busy


def _as_rehearsed(found: Sequence[Finding], rehearsed: Sequence[Finding]) -> list[Finding]:
    """The target's findings with the place that the rehearsal gave the same ones."""
    known = {(finding.rule, finding.severity, finding.table): finding for finding in rehearsed}
    return [known.get((finding.rule, finding.severity, finding.table), finding) for finding in found]


# What a rehearsal may have called the same thing.
_CAUSES = {
    "table-dropped": {"table-dropped", "schema-dropped"},
    "rows-lost": {"rows-lost", "truncated"},
}


def _row_finding(effect: Effect, rehearsed: Sequence[Finding], *, busy: bool) -> Finding:
    causes = _CAUSES.get(effect.rule, {effect.rule})
    same = [item for item in rehearsed if item.table == effect.table and item.rule in causes]
    same = [item for item in same if item.evidence.get("kept_in") == effect.evidence.get("kept_in")]
    cause = next((item for item in same if item.severity is not Severity.INFO), None)
    if cause is None and busy and effect.rule in {"rows-lost", "content-changed"}:
        text = (
            f"{effect.what}. Others wrote to this table while the run went on, and on the copy the migrations did not"
            " do this: it is taken for their work."
        )
        return Finding("changed-by-others", Severity.WARNING, text, table=effect.table, evidence=effect.evidence)
    why = "as on the copy" if cause else "which did not happen on the copy"
    return Finding(
        cause.rule if cause else effect.rule,
        cause.severity if cause else Severity.BLOCKER,
        f"{effect.what}, {why}. Roll back from the backup.",
        cause.migration if cause else None,
        cause.line if cause else None,
        effect.table,
        effect.evidence,
        cascaded=cause is not None and cause.cascaded,
    )
