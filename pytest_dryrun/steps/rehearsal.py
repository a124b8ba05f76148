"""The rehearsal: the pending migrations on a copy of the data, watched, and compared with the untouched template."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_dryrun.config import Performance, Stalls
from pytest_dryrun.migrations import Deployment, Migrations
from pytest_dryrun.model.errors import MigrationFailed
from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.model.values import Change, Finding, Severity, StatementRun, TableComparison
from pytest_dryrun.postgres import databases
from pytest_dryrun.postgres.catalog import Catalog, read_catalog
from pytest_dryrun.postgres.catalog.cluster import Cluster, read_cluster
from pytest_dryrun.postgres.catalog.difference import CatalogChange, difference
from pytest_dryrun.postgres.catalog.script import as_sql
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.postgres.fingerprint import Fingerprint
from pytest_dryrun.postgres.fingerprint.counters import tuple_counters
from pytest_dryrun.rehearsal.judge import lint, locks
from pytest_dryrun.rehearsal.judge.balance import balance
from pytest_dryrun.rehearsal.judge.columns import column_findings
from pytest_dryrun.rehearsal.judge.destructive import destructive
from pytest_dryrun.rehearsal.judge.foreign_keys import foreign_keys
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.rehearsal.judge.sequences import positions, set_back
from pytest_dryrun.rehearsal.judge.violations import VIOLATIONS, violations
from pytest_dryrun.rehearsal.observe import stalls
from pytest_dryrun.rehearsal.observe.attribution import attribute
from pytest_dryrun.rehearsal.observe.observation import Observed
from pytest_dryrun.rehearsal.observe.recorder import Recorder
from pytest_dryrun.steps.comparing import compare_tables
from pytest_dryrun.steps.tuples import SETTLED_S, counted


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What the pending migrations did to a copy. `failures` is empty where they all applied.

    `tables` compares the copy with the template row by row, `changes` their catalogs.
    The groups of findings are named after the checks that judge them.
    """

    conninfo: Conninfo
    duration_ms: float
    before: Catalog
    after: Catalog
    changes: tuple[CatalogChange, ...]
    diff_sql: str
    statements: tuple[StatementRun, ...]
    tables: tuple[TableComparison, ...]
    failures: tuple[Finding, ...]
    advice: tuple[Finding, ...] = ()
    destructive: tuple[Finding, ...] = ()
    foreign_keys: tuple[Finding, ...] = ()
    safe_defaults: tuple[Finding, ...] = ()
    indexes: tuple[Finding, ...] = ()
    stalls: tuple[Finding, ...] = ()
    longest_read_ms: float = 0.0
    longest_write_ms: float = 0.0
    notes: tuple[str, ...] = field(default=())

    @property
    def failed(self) -> str:
        """Why the migrations did not apply, in one line; empty where they did."""
        return self.failures[0].message.splitlines()[0] if self.failures else ""


@dataclass(frozen=True, slots=True)
class Template:
    """The untouched data and its own figures; `login` is who applies migrations to copies, None for the superuser."""

    conninfo: Conninfo
    prints: Fingerprint
    login: Conninfo | None = None


@dataclass(frozen=True, slots=True)
class Copies:
    """The two databases of a rehearsal: the untouched template and the copy that is migrated."""

    template: Conninfo
    copy: Conninfo


def rehearse(
    admin: Conninfo,
    template: Conninfo,
    prints: Fingerprint,
    name: str,
    migrations: Migrations,
    pending: Sequence[Migration],
    *,
    in_transaction: bool,
    timeout_s: float,
    performance: Performance,
    limits: Stalls,
    login: Conninfo | None = None,
) -> Rehearsal:
    """Copy the template, apply what is pending, and find out what that did.

    `prints` are the template's own figures: they tell which tables the copy began with. `login` is whose session
    applies, with no more rights than in the target.
    """
    copies = Copies(template, databases.copy(admin, template.dbname, name))
    with connect(copies.template, statement_timeout_s=timeout_s) as connection:
        before = read_catalog(connection)
        sizes = table_sizes(connection)
        sequences = positions(connection)
    with connect(copies.copy, statement_timeout_s=timeout_s) as connection:
        shared = read_cluster(connection)
    probed = _touched_first(sizes, pending)
    applying = login.database(name) if login else copies.copy
    watched = _watch(copies.copy, applying, migrations, probed, timeout_s=timeout_s)
    with connect(copies.copy, statement_timeout_s=timeout_s) as connection:
        after = read_catalog(connection)
        moved = set_back(sequences, positions(connection), pending)
    changes = difference(before, after, follow_oids=True)
    counters = tuple_counters(copies.copy, settled_s=SETTLED_S)
    tables = compare_tables(prints, copies.template, copies.copy, copied=True)
    tables = tuple(counted(table, after, {}, counters) for table in tables)
    with (
        connect(copies.template, statement_timeout_s=timeout_s) as untouched,
        connect(copies.copy, statement_timeout_s=timeout_s) as migrated,
    ):
        scene = Scene(before, after, changes, tables, pending, untouched, migrated, migrations.history())
        found = Rehearsal(
            conninfo=copies.copy,
            duration_ms=watched.duration_ms,
            before=before,
            after=after,
            changes=changes,
            diff_sql=as_sql(changes),
            statements=tuple(item.run for item in watched.observed),
            tables=tables,
            failures=(*_failures(watched.error, scene), *_unapplied(watched.deployment, pending)),
            advice=lint.lint(pending, version_num=before.version_num, in_transaction=in_transaction),
            longest_read_ms=max((read for read, _ in watched.longest.values()), default=0.0),
            longest_write_ms=max((write for _, write in watched.longest.values()), default=0.0),
            destructive=(*moved, *_vanished(tables, changes)),
            notes=watched.notes,
        )
        judged = _judged(found, scene, watched, sizes, performance, limits)
        return _balanced(judged, scene, shared)


def _vanished(tables: Sequence[TableComparison], changes: Sequence[CatalogChange]) -> tuple[Finding, ...]:
    """What is gone with its rows although the catalog lists no drop: large objects are in no catalog of the schema."""
    listed = {change.identity for change in changes} | {change.parent for change in changes}
    gone = [table for table in tables if table.change is Change.DROPPED and table.rows_before]
    return tuple(
        Finding(
            "rows-lost",
            Severity.BLOCKER,
            f"{table.table}: all {table.rows_before:,} are gone. Keep them until nothing refers to them any more.",
            table=table.table,
            evidence={"rows_before": table.rows_before},
        )
        for table in gone
        if table.table not in listed
    )


@dataclass(frozen=True, slots=True)
class _Watched:
    """One apply on the copy as the recorder and the probes saw it."""

    deployment: Deployment | None
    error: MigrationFailed | None
    duration_ms: float
    observed: tuple[Observed, ...]
    longest: Mapping[str, tuple[float, float]]
    notes: tuple[str, ...]
    trouble: tuple[str, ...]


def _watch(
    copy: Conninfo, applying: Conninfo, migrations: Migrations, tables: Sequence[str], *, timeout_s: float
) -> _Watched:
    deployment, error = None, None
    with Recorder(copy) as recorder:
        recorder.install()
        with stalls.StallProbes(copy, tables, time_limit_s=timeout_s) as probes:
            began = time.perf_counter()
            try:
                deployment = migrations.deploy(applying, timeout_s=timeout_s, observer=recorder)
            except MigrationFailed as failure:
                error = failure
            duration_ms = (time.perf_counter() - began) * 1000
        recorder.remove()
        observed = attribute(recorder.observed(), probes.waits())
        trouble = recorder.trouble
    notes = []
    if probes.left_out:
        notes.append(
            f"{len(probes.left_out)} tables were not probed for stalls; the {len(probes.tables)} likeliest were."
        )
    if deployment is not None:
        notes += deployment.warnings
    return _Watched(deployment, error, duration_ms, observed, probes.longest(), tuple(notes), trouble)


def _judged(
    found: Rehearsal,
    scene: Scene,
    watched: _Watched,
    sizes: Mapping[str, tuple[int, int]],
    performance: Performance,
    limits: Stalls,
) -> Rehearsal:
    if found.failures:
        return found
    unseen = [
        Finding("not-observed", Severity.BLOCKER, f"The recorder could not see everything the migration did: {text}")
        for text in watched.trouble
    ]
    verdict = locks.judge(
        watched.observed,
        scene.migrations,
        sizes,
        scale=performance.scale,
        max_read_ms=limits.max_read_ms,
        max_write_ms=limits.max_write_ms,
    )
    return replace(
        found,
        destructive=(*found.destructive, *destructive(scene)),
        foreign_keys=foreign_keys(scene),
        safe_defaults=(*column_findings(scene), *verdict.safe_defaults, *unseen),
        indexes=verdict.indexes,
        stalls=verdict.stalls,
        notes=(*found.notes, *verdict.notes),
    )


def _balanced(judged: Rehearsal, scene: Scene, shared: Cluster) -> Rehearsal:
    """Close the ledger over what the judges have found: what nobody lists or reports is reported now."""
    reported = (*judged.destructive, *judged.foreign_keys, *judged.safe_defaults, *judged.indexes)
    rest = balance(scene, shared, read_cluster(scene.copy), reported)
    return replace(judged, destructive=(*judged.destructive, *rest))


def failure_finding(error: MigrationFailed) -> Finding:
    """A migration that did not apply, as a finding."""
    evidence = {"sqlstate": error.sqlstate, "statement": error.statement[:2000]}
    # Where a command failed, how far it came is all that anybody knows.
    text = " ".join(filter(None, (error.what, error.means if error.migration is None else "", error.next)))
    return Finding("statement-failed", Severity.BLOCKER, text, error.migration, error.line, evidence=evidence)


def _failures(error: MigrationFailed | None, scene: Scene) -> tuple[Finding, ...]:
    """Why the migrations did not apply, which rows were in the way, and what was left behind."""
    if error is None:
        return ()
    found = [failure_finding(error)]
    if error.sqlstate in VIOLATIONS:
        found += violations(
            scene.copy,
            error.statement,
            sqlstate=error.sqlstate,
            message=error.what,
            migration=error.migration,
            line=error.line,
        )
    left = [
        f"{change.kind} {change.identity} {change.action.value}"
        for change in scene.changes
        if not scene.is_history(change.parent or change.identity)
    ]
    left += [
        f"rows of {table.table}: {table.change.value}"
        for table in scene.tables
        if table.change in {Change.ROWS_ADDED, Change.ROWS_LOST, Change.CONTENT_CHANGED}
        and not scene.is_history(table.table)
    ]
    if left:
        text = (
            f"The failed migration left part of its work behind: {'; '.join(left[:10])}"
            f"{f' and {len(left) - 10} more' if len(left) > 10 else ''}. It has to be undone or finished by hand."
        )
        found.append(
            Finding("partially-applied", Severity.BLOCKER, text, error.migration, evidence={"left": left[:50]})
        )
    return tuple(found)


def _unapplied(deployment: Deployment | None, pending: Sequence[Migration]) -> tuple[Finding, ...]:
    """A deployment that ended well without having applied everything: a rehearsal of nothing proves nothing."""
    missing = [item.name for item in pending if deployment is not None and item.name not in deployment.applied]
    if not missing:
        return ()
    text = (
        f"The deployment on the copy ended without an error, but {', '.join(missing)} is not applied there. "
        "It must apply every pending migration to the database that DATABASE_URL names."
    )
    return (Finding("partially-applied", Severity.BLOCKER, text, missing[0], evidence={"not_applied": missing}),)


def table_sizes(connection: object) -> dict[str, tuple[int, int]]:
    """Rows (as ANALYZE counted them) and bytes of every ordinary table outside the system's schemas."""
    rows = connection.execute(  # type: ignore[attr-defined]
        "SELECT format('%I.%I', n.nspname, c.relname), greatest(c.reltuples, 0)::bigint, pg_table_size(c.oid)"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p')"
        " AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pytest_dryrun')"
        " AND n.nspname !~ '^pg_(toast|temp)'"
    ).fetchall()
    return {name: (int(count), int(size)) for name, count, size in rows}


def _touched_first(sizes: Mapping[str, tuple[int, int]], pending: Sequence[Migration]) -> list[str]:
    """Every table, those that the pending files mention first, then the biggest."""
    text = "\n".join(migration.sql for migration in pending)
    return sorted(sizes, key=lambda name: (name.rpartition(".")[2].strip('"') not in text, -sizes[name][1]))
