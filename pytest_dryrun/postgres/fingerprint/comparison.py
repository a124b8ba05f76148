"""What became of every table between two states of one database: which rows, which columns, which keys.

The sums of both sides are compared first, in semantic mode. Only where they differ are the rows sorted into buckets by
the hash of their key, and only the hashes of unequal buckets travel: from the side after into a temporary table on the
side before, where two joins give exact figures. No row passes through this process in readable form but a few keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing

import psycopg
from psycopg import sql

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.model.values import Change, TableComparison
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.postgres.fingerprint import Fingerprint, TableFingerprint
from pytest_dryrun.postgres.fingerprint.examination import UNCHANGED, Connection, Sides, examine, totals
from pytest_dryrun.postgres.fingerprint.hashing import hashes
from pytest_dryrun.postgres.fingerprint.pairing import pair
from pytest_dryrun.postgres.fingerprint.shapes import TableShape, Unverified, read_shapes
from pytest_dryrun.postgres.parallel import spread
from pytest_dryrun.postgres.snapshot import join, reader, snapshot, unreadable


def compare(
    before: Fingerprint,
    before_conninfo: Conninfo,
    after_conninfo: Conninfo,
    *,
    workers: int = 2,
    statement_timeout_s: float = 3600,
) -> tuple[TableComparison, ...]:
    """Compare every table before and after a migration.

    `before` says what the migrated database looked like: `after_conninfo` is that database, or a template copy, so that
    oids and attnums follow a table or column through its renames. `before_conninfo` holds the old rows under the old
    names: the untouched template or a restored backup; temporary tables are made there, nothing else is written.

    Dropped columns are no change of content here. Lost wins over changed, changed over added; `columns_changed` is
    filled in each case. Rows without a key are a multiset: a changed row is then a lost and an added one, read as
    changed only where some columns kept all their values. A comparison that is `none` with `not_verified` is not equal.
    Tables whose rows no dump carries (foreign tables, materialized views, those of extensions) are left out.
    Raises TargetUnusable where a table of either side cannot be read.
    """
    with ExitStack() as stack:
        taken = stack.enter_context(snapshot(after_conninfo, statement_timeout_s=statement_timeout_s))
        pairs = []
        for _ in range(max(1, workers)):
            sides = Sides(
                stack.enter_context(closing(reader(before_conninfo, statement_timeout_s=statement_timeout_s))),
                stack.enter_context(closing(reader(after_conninfo, statement_timeout_s=statement_timeout_s))),
            )
            join(sides.after, taken.id)
            pairs.append(sides)
        first = pairs[0]
        old_shapes, old_unverified = _shapes(first.before)
        new_shapes, new_unverified = _shapes(first.after)
        _refuse_unread(before.not_verified + old_unverified + new_unverified)
        old = {(shape.schema, shape.name): shape for shape in old_shapes}
        new = {shape.oid: shape for shape in new_shapes}
        excluded = {item.oid: item.reason for item in new_unverified}

        def work(sides: Sides, table: TableFingerprint) -> TableComparison:
            if table.oid in excluded:
                reason = f"the whole table: {excluded[table.oid]}"
                return TableComparison(table.table, table.rows, None, Change.NONE, not_verified=(reason,))
            return _compare(sides, table, old.get((table.schema, table.name)), new.get(table.oid))

        sizes = {shape.oid: shape.size_bytes for shape in new_shapes}
        tables = sorted(before.tables, key=lambda table: sizes.get(table.oid, 0), reverse=True)
        connections = [connection for sides in pairs for connection in (sides.before, sides.after)]
        known = {table.oid for table in before.tables} | {item.oid for item in before.not_verified}
        found = spread(pairs, tables, work, connections)
        created = [shape for shape in new_shapes if shape.oid not in known and not shape.is_partition]
        found += spread(pairs, created, lambda sides, shape: _created(sides.after, shape), connections)
    return tuple(sorted(found, key=lambda item: item.table))


def _shapes(connection: Connection) -> tuple[tuple[TableShape, ...], tuple[Unverified, ...]]:
    try:
        return read_shapes(connection)
    except psycopg.Error as error:
        raise unreadable("the catalog", error) from error


def _refuse_unread(unverified: Sequence[Unverified]) -> None:
    for item in unverified:
        # Sequences have no rows; what their positions come to is the proof's business.
        if not item.expected and "sequence" not in item.reason:
            raise TargetUnusable(
                f"{item.table} cannot be compared: {item.reason}.",
                "Whether the migration kept its rows is not known, and unknown is not equal.",
                "Connect as a user who may read every table.",
            )


def _created(after: Connection, shape: TableShape) -> TableComparison:
    try:
        row = after.execute(sql.SQL("SELECT count(*) FROM {}").format(shape.source())).fetchone()
    except psycopg.Error as error:
        raise unreadable(shape.table, error) from error
    return TableComparison(shape.table, None, row[0] if row else 0, Change.CREATED)


def _compare(
    sides: Sides, identity: TableFingerprint, old: TableShape | None, new: TableShape | None
) -> TableComparison:
    if new is None:
        return TableComparison(identity.table, identity.rows, None, Change.DROPPED)
    if old is None:
        raise TargetUnusable(
            f"{identity.table} is missing from the database that should hold the rows before the migration.",
            "Whether the migration kept its rows is not known, and unknown is not equal.",
            "Compare with the untouched template, or with a complete restore of the backup.",
        )
    try:
        pairing = pair(identity, old, new, sides.before)
        before, after = (hashes(*pairing.side(number), "semantic") for number in (0, 1))
        sums = totals(sides.before, before, old), totals(sides.after, after, new)
        verdict = UNCHANGED if sums[0] == sums[1] else examine(sides, pairing, (before, after), sums)
    except psycopg.Error as error:
        raise unreadable(identity.table, error) from error
    return TableComparison(
        table=identity.table,
        rows_before=sums[0][0],
        rows_after=sums[1][0],
        change=verdict.change,
        columns_changed=verdict.columns,
        keys=verdict.keys,
        renamed_to=new.table if new.table != identity.table else None,
        not_verified=pairing.not_verified,
    )
