"""The rehearsal: the pending migrations on a copy of the data, watched, and compared with the untouched template."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_dryrun.config import Performance, Stalls
from pytest_dryrun.migrations import Migrations
from pytest_dryrun.model.errors import Blocked
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
from pytest_dryrun.probes.transactions import LongestTransaction
from pytest_dryrun.rehearsal.judge import lint, locks
from pytest_dryrun.rehearsal.judge.balance import balance
from pytest_dryrun.rehearsal.judge.causes import causes
from pytest_dryrun.rehearsal.judge.columns import column_findings
from pytest_dryrun.rehearsal.judge.computed import kept_computed
from pytest_dryrun.rehearsal.judge.destructive import destructive
from pytest_dryrun.rehearsal.judge.domains import domain_findings
from pytest_dryrun.rehearsal.judge.enforcement import enforcement_off
from pytest_dryrun.rehearsal.judge.foreign_keys import foreign_keys
from pytest_dryrun.rehearsal.judge.history import history_changed
from pytest_dryrun.rehearsal.judge.outside import elsewhere, swallowed
from pytest_dryrun.rehearsal.judge.persistence import data_at_risk
from pytest_dryrun.rehearsal.judge.positions import positions
from pytest_dryrun.rehearsal.judge.queues import Deploying, lock_queue, queuers
from pytest_dryrun.rehearsal.judge.remedies.choice import Remedies
from pytest_dryrun.rehearsal.judge.remedies.facts import Facts
from pytest_dryrun.rehearsal.judge.rows import not_verified
from pytest_dryrun.rehearsal.judge.scene import Scene, is_history
from pytest_dryrun.rehearsal.judge.sequences import set_back
from pytest_dryrun.rehearsal.judge.soundness import unfinished_indexes
from pytest_dryrun.rehearsal.judge.successors import successors_lack
from pytest_dryrun.rehearsal.judge.undone import applied_only, caught, taken_back, undone
from pytest_dryrun.rehearsal.judge.undone_writes import undone_writes
from pytest_dryrun.rehearsal.judge.validity import constraint_findings
from pytest_dryrun.rehearsal.judge.yardstick import Yardstick
from pytest_dryrun.rehearsal.observe.folding import fold
from pytest_dryrun.rehearsal.observe.observation import strength
from pytest_dryrun.steps import running_release
from pytest_dryrun.steps import target as names
from pytest_dryrun.steps.comparing import compare_tables
from pytest_dryrun.steps.failures import failures, left_behind, unapplied
from pytest_dryrun.steps.leftovers import Reached, Start
from pytest_dryrun.steps.outside import not_run, stopped_before
from pytest_dryrun.steps.second_pass import SecondPass, second_pass
from pytest_dryrun.steps.tuples import SETTLED_S, counted
from pytest_dryrun.steps.watching import Watched, probeable, table_sizes, touched_first, watch

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
    second_pass_ms: float = 0.0
    longest_row_lock_ms: float = 0.0
    release: tuple[Finding, ...] = ()
    tried: running_release.Tried = field(default_factory=running_release.Tried)
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
    held: roles.Roles,
    beside: bool = False,
    trial: running_release.Trial,
    login: Conninfo | None = None,
    redact: Callable[[str], str] = str,
    native: Migrations | None = None,
    good: str = names.GOOD,
    queue: str = names.QUEUE,
    free_bytes: Callable[[], int],
    longest_transaction: Callable[[], LongestTransaction],
) -> Rehearsal:
    """Copy the template, apply what is pending, and find out what that did.

    `prints` are the template's own figures: they tell which tables the copy began with. `login` is whose session
    applies, with no more rights than in the target. `held` are the server's roles as they are, `beside` tells that it
    is the target's own. What would reach outside the database as soon as it ran is not run. `redact` takes the run's
    secrets out of a text. `native` is how a copy is brought to the last good file where a later one failed,
    `migrations` itself where nobody is named, and `good` what that copy is called, `queue` that of the second pass, for
    which `free_bytes` has to leave room. `longest_transaction` tells how long transactions last; it is asked twice.
    `trial` is how the running release is tried, before and after.
    """
    practised = running_release.before(admin, template, trial, pending, migrations.history())
    copies = Copies(template, databases.copy(admin, template.dbname, name))
    with connect(copies.template, statement_timeout_s=timeout_s) as connection:
        before = read_catalog(connection, members=True)
        sizes = {
            name: size for name, size in table_sizes(connection).items() if not is_history(name, migrations.history())
        }
        probed = touched_first(probeable(sizes, connection), pending)
        stopped = stopped_before(connection, pending, shared=beside)
        sequences = positions(connection)
        status = migrations.status(connection)
    with connect(copies.copy, statement_timeout_s=timeout_s) as connection:
        shared = read_cluster(connection)
    longest = longest_transaction()
    applying = login.database(name) if login else copies.copy
    watched = not_run(stopped) or watch(copies.copy, applying, migrations, probed, timeout_s=timeout_s)
    with connect(copies.copy, statement_timeout_s=timeout_s) as connection:
        after = read_catalog(connection, members=True)
        moved = set_back(sequences, positions(connection), pending)
    remedies = Remedies(Facts(before, after))
    bench = Yardstick(sizes, performance.scale, limits.max_read_ms, limits.max_write_ms, remedies)
    asked = queuers(bench, watched.observed, pending)
    again = SecondPass()
    if watched.error is None:
        deploying = native or migrations
        again = second_pass(admin, copies.template, queue, deploying, asked, login=login, free_bytes=free_bytes)
    queued = lock_queue(
        asked, again.shown, longest.or_longer(longest_transaction()), Deploying(migrations.tool, in_transaction)
    )
    changes = difference(before, after, follow_oids=True)
    counters = tuple_counters(copies.copy, settled_s=SETTLED_S)
    tables = compare_tables(prints, copies.template, copies.copy, copied=True, redact=redact)
    tables = tuple(counted(table, after, {}, counters) for table in tables)
    with (
        connect(copies.template, statement_timeout_s=timeout_s) as untouched,
        connect(copies.copy, statement_timeout_s=timeout_s) as migrated,
    ):
        scene = Scene(before, after, changes, tables, pending, untouched, migrated, migrations.history())
        failed = stopped or failures(watched.error, scene)
        if watched.error is None:
            failed = unapplied(watched.deployment, pending)
            failed += history_changed(status, migrations.status(migrated), pending, migrations.history())
        found = Rehearsal(
            conninfo=copies.copy,
            duration_ms=watched.duration_ms,
            before=before,
            after=after,
            changes=changes,
            diff_sql=as_sql(changes),
            statements=fold(item.run for item in watched.observed),
            tables=tables,
            failures=failed,
            advice=lint.lint(pending, version_num=before.version_num, in_transaction=in_transaction),
            longest_read_ms=max((read for read, _ in watched.longest.values()), default=0.0),
            longest_write_ms=max((write for _, write in watched.longest.values()), default=0.0),
            destructive=moved,
            notes=(*watched.notes, *filter(None, (again.left_out,))),
            stalls=tuple(queued),
            second_pass_ms=again.duration_ms,
            longest_row_lock_ms=max((lock.ms for item in watched.observed for lock in item.row_locks), default=0.0),
        )
        judged = _judged(found, scene, watched, sizes, performance, limits, prints.not_verified)
        found = _balanced(judged, scene, shared)
    if watched.error is None:
        others = (*found.destructive, *found.foreign_keys, *found.safe_defaults, *found.indexes)
        tried = running_release.after(admin, copies.copy, trial, practised, pending, found.release, others)
        return replace(found, release=tried.findings, tried=tried)
    if stopped or any(one.reached for one in watched.observed):
        return found  # what was refused is not tried on another copy
    start = Start(admin, template, prints, good, native or migrations, login, held, timeout_s)
    left = left_behind(start, watched.error, status, migrations, Reached(after, tables), copies.copy)
    return replace(found, failures=(*found.failures, *left))


def _judged(
    found: Rehearsal,
    scene: Scene,
    watched: Watched,
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
        remedies=Remedies(Facts.of(scene)),
    )
    return replace(
        found,
        undone=(
            *undone(applied_only(watched.observed, watched.error), scene.migrations),
            *(
                (
                    *caught(watched.observed),
                    *taken_back(watched.observed),
                    *undone_writes(watched.observed, scene.template, scene.copy),
                )
                if watched.error is None
                else ()
            ),
            *swallowed(watched.observed, watched.error),
        ),
        destructive=(
            *found.destructive,
            *destructive(scene),
            *data_at_risk(scene),
            *kept_computed(scene),
            *successors_lack(scene),
            *not_verified(scene, unverified, written),
        ),
        foreign_keys=(
            *foreign_keys(scene),
            *constraint_findings(scene),
            *domain_findings(scene),
            *enforcement_off(scene),
        ),
        safe_defaults=(*column_findings(scene), *verdict.safe_defaults),
        release=causes(scene),
        indexes=(*verdict.indexes, *unfinished_indexes(scene)),
        stalls=(*found.stalls, *verdict.stalls, *unseen),
        notes=(*found.notes, *verdict.notes),
    )


def _balanced(judged: Rehearsal, scene: Scene, shared: Cluster) -> Rehearsal:
    """Close the ledger over what the judges have found: what nobody lists or reports is reported now."""
    reported = (*judged.destructive, *judged.foreign_keys, *judged.safe_defaults, *judged.indexes, *judged.release)
    now = read_cluster(scene.copy)
    rest = balance(scene, shared, now, reported)
    settings = tuple(item for item in rest if item.rule == "settings-changed")
    others = tuple(item for item in rest if item.rule != "settings-changed")
    return replace(
        judged,
        destructive=(*judged.destructive, *others),
        release=(*judged.release, *settings),
        undone=(*judged.undone, *elsewhere(scene, shared, now)),
    )
