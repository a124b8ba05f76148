"""The rehearsal: the pending migrations on a copy of the data, watched, and compared with the untouched template."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_dryrun.config import Performance, Stalls
from pytest_dryrun.migrations import Deployment, Migrations, Status
from pytest_dryrun.model.errors import Blocked, DryRunError, MigrationFailed, TargetUnusable
from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.model.values import Finding, Severity, StatementRun, TableComparison
from pytest_dryrun.postgres import databases, roles
from pytest_dryrun.postgres.catalog import Catalog, read_catalog
from pytest_dryrun.postgres.catalog.cluster import Cluster, read_cluster
from pytest_dryrun.postgres.catalog.difference import CatalogChange, difference
from pytest_dryrun.postgres.catalog.script import as_sql
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.postgres.fingerprint import Fingerprint
from pytest_dryrun.postgres.fingerprint.counters import tuple_counters
from pytest_dryrun.postgres.fingerprint.shapes import Unverified
from pytest_dryrun.rehearsal.judge import lint, locks
from pytest_dryrun.rehearsal.judge.balance import balance
from pytest_dryrun.rehearsal.judge.columns import column_findings
from pytest_dryrun.rehearsal.judge.destructive import destructive
from pytest_dryrun.rehearsal.judge.enforcement import enforcement_off
from pytest_dryrun.rehearsal.judge.foreign_keys import foreign_keys
from pytest_dryrun.rehearsal.judge.history import history_changed
from pytest_dryrun.rehearsal.judge.key_actions import cascades_added
from pytest_dryrun.rehearsal.judge.persistence import data_at_risk
from pytest_dryrun.rehearsal.judge.positions import positions
from pytest_dryrun.rehearsal.judge.required import required_columns
from pytest_dryrun.rehearsal.judge.rows import not_verified
from pytest_dryrun.rehearsal.judge.scene import Scene, is_history
from pytest_dryrun.rehearsal.judge.sequences import set_back
from pytest_dryrun.rehearsal.judge.soundness import unfinished_indexes
from pytest_dryrun.rehearsal.judge.undone import applied_only, undone
from pytest_dryrun.rehearsal.judge.validity import constraint_findings
from pytest_dryrun.rehearsal.judge.violations import VIOLATIONS, violations
from pytest_dryrun.rehearsal.observe import stalls
from pytest_dryrun.rehearsal.observe.attribution import attribute
from pytest_dryrun.rehearsal.observe.folding import fold
from pytest_dryrun.rehearsal.observe.observation import Observed, strength
from pytest_dryrun.rehearsal.observe.recorder import Recorder
from pytest_dryrun.steps import target as names
from pytest_dryrun.steps.comparing import compare_tables
from pytest_dryrun.steps.leftovers import Reached, Start, partial
from pytest_dryrun.steps.tuples import SETTLED_S, counted

# The weakest lock that lets a statement write.
WRITES = strength("RowExclusiveLock")


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
    undone: tuple[Finding, ...] = ()
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

    def hold(self) -> None:
        """Raise Blocked where they did not: what was judged then is not the whole, so nothing passes for it."""
        if self.failed:
            raise Blocked(self.failed, ("schema-diff",))


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
    redact: Callable[[str], str] = str,
    native: Migrations | None = None,
    good: str = names.GOOD,
) -> Rehearsal:
    """Copy the template, apply what is pending, and find out what that did.

    `prints` are the template's own figures: they tell which tables the copy began with. `login` is whose session
    applies, with no more rights than in the target. `redact` takes the run's secrets out of a text. `native` is how a
    copy is brought to the last good file where a later one failed, `migrations` itself where nobody is named, and
    `good` what that copy is called.
    """
    held = roles.read(admin)
    copies = Copies(template, databases.copy(admin, template.dbname, name))
    with connect(copies.template, statement_timeout_s=timeout_s) as connection:
        before = read_catalog(connection, members=True)
        sizes = {
            name: size for name, size in table_sizes(connection).items() if not is_history(name, migrations.history())
        }
        sequences = positions(connection)
        status = migrations.status(connection)
    with connect(copies.copy, statement_timeout_s=timeout_s) as connection:
        shared = read_cluster(connection)
    probed = _touched_first(sizes, pending)
    applying = login.database(name) if login else copies.copy
    watched = _watch(copies.copy, applying, migrations, probed, timeout_s=timeout_s)
    with connect(copies.copy, statement_timeout_s=timeout_s) as connection:
        after = read_catalog(connection, members=True)
        moved = set_back(sequences, positions(connection), pending)
    changes = difference(before, after, follow_oids=True)
    counters = tuple_counters(copies.copy, settled_s=SETTLED_S)
    tables = compare_tables(prints, copies.template, copies.copy, copied=True, redact=redact)
    tables = tuple(counted(table, after, {}, counters) for table in tables)
    with (
        connect(copies.template, statement_timeout_s=timeout_s) as untouched,
        connect(copies.copy, statement_timeout_s=timeout_s) as migrated,
    ):
        scene = Scene(before, after, changes, tables, pending, untouched, migrated, migrations.history())
        failures = _failures(watched.error, scene)
        if watched.error is None:
            failures = _unapplied(watched.deployment, pending)
            failures += history_changed(status, migrations.status(migrated), pending, migrations.history())
        found = Rehearsal(
            conninfo=copies.copy,
            duration_ms=watched.duration_ms,
            before=before,
            after=after,
            changes=changes,
            diff_sql=as_sql(changes),
            statements=fold(item.run for item in watched.observed),
            tables=tables,
            failures=failures,
            advice=lint.lint(pending, version_num=before.version_num, in_transaction=in_transaction),
            longest_read_ms=max((read for read, _ in watched.longest.values()), default=0.0),
            longest_write_ms=max((write for _, write in watched.longest.values()), default=0.0),
            destructive=moved,
            notes=watched.notes,
        )
        judged = _judged(found, scene, watched, sizes, performance, limits, prints.not_verified)
        found = _balanced(judged, scene, shared)
    if watched.error is None:
        return found
    start = Start(admin, template, prints, good, native or migrations, login, held, timeout_s)
    left = _left_behind(start, watched.error, status, migrations, Reached(after, tables), copies.copy)
    return replace(found, failures=(*found.failures, *left))


def _left_behind(
    start: Start, error: MigrationFailed, before: Status, migrations: Migrations, found: Reached, copy: Conninfo
) -> tuple[Finding, ...]:
    """What the failed file itself left on the copy, beside one that was brought to the file before it."""
    try:
        with connect(copy) as connection:
            applied = migrations.status(connection).applied
    except DryRunError:  # it broke the history itself, which the difference shows
        applied = before.applied
    good = [name for name in applied if name not in before.applied]
    return partial(start, good, found, migration=error.migration, history=migrations.history())


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
            _stopped(probes, failed=error is not None)
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


def _stopped(probes: stalls.StallProbes, *, failed: bool) -> None:
    """End the probes; that they broke down says nothing more where the migration failed, and may be its doing."""
    try:
        probes.stop()
    except TargetUnusable:
        if not failed:
            raise


def _judged(
    found: Rehearsal,
    scene: Scene,
    watched: _Watched,
    sizes: Mapping[str, tuple[int, int]],
    performance: Performance,
    limits: Stalls,
    unverified: Sequence[Unverified],
) -> Rehearsal:
    unseen = [
        Finding("not-observed", Severity.BLOCKER, f"The recorder could not see everything the migration did: {text}")
        for text in watched.trouble
    ]
    written = {lock.relation for item in watched.observed for lock in item.run.locks if strength(lock.mode) >= WRITES}
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
        undone=undone(applied_only(watched.observed, watched.error), scene.migrations),
        destructive=(
            *found.destructive,
            *destructive(scene),
            *data_at_risk(scene),
            *not_verified(scene, unverified, written),
        ),
        foreign_keys=(
            *foreign_keys(scene),
            *constraint_findings(scene),
            *cascades_added(scene),
            *enforcement_off(scene),
        ),
        safe_defaults=(*column_findings(scene), *required_columns(scene), *verdict.safe_defaults, *unseen),
        indexes=(*verdict.indexes, *unfinished_indexes(scene)),
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
    """Why the migrations did not apply, and which rows were in the way."""
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
    """Rows (as ANALYZE counted them) and bytes of every table and materialized view outside the system's schemas."""
    rows = connection.execute(  # type: ignore[attr-defined]
        "SELECT format('%I.%I', n.nspname, c.relname), greatest(c.reltuples, 0)::bigint, pg_table_size(c.oid)"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'm')"
        " AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pytest_dryrun')"
        " AND n.nspname !~ '^pg_(toast|temp)'"
    ).fetchall()
    return {name: (int(count), int(size)) for name, count, size in rows}


def _touched_first(sizes: Mapping[str, tuple[int, int]], pending: Sequence[Migration]) -> list[str]:
    """Every table, those that the pending files mention first, then the biggest."""
    text = "\n".join(migration.sql for migration in pending)
    return sorted(sizes, key=lambda name: (name.rpartition(".")[2].strip('"') not in text, -sizes[name][1]))
