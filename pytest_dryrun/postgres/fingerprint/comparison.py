"""What became of every table between two states of one database: which rows, which columns, which keys.

The sums of both sides are compared first, in semantic mode. Only where they differ are the rows sorted into buckets by
the hash of their key, and only the hashes of unequal buckets travel: from the side after into a temporary table on the
side before, where two joins give exact figures. No row passes through this process in readable form but a few keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace

import psycopg

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.model.values import Change, TableComparison
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.postgres.fingerprint import Fingerprint, TableFingerprint, unread_figures
from pytest_dryrun.postgres.fingerprint.descent import left_ancestors, reading_less
from pytest_dryrun.postgres.fingerprint.examination import (
    Connection,
    Sides,
    values_in,
)
from pytest_dryrun.postgres.fingerprint.shapes import TableShape, Unverified, read_shapes
from pytest_dryrun.postgres.fingerprint.tables import compare_one, count, renamed, whole_member
from pytest_dryrun.postgres.parallel import spread
from pytest_dryrun.postgres.snapshot import join, reader, snapshot, unreadable

Name = tuple[str, str]


def compare(
    before: Fingerprint,
    before_conninfo: Conninfo,
    after_conninfo: Conninfo,
    *,
    settled: Mapping[int, str] | None = None,
    members: bool = False,
    workers: int = 2,
    statement_timeout_s: float = 3600,
) -> tuple[TableComparison, ...]:
    """Compare every table before and after a migration.

    `before` says what the migrated database looked like: `after_conninfo` is that database, or a template copy, so that
    oids and attnums follow a table or column through its renames. `before_conninfo` holds the old rows under the old
    names: the untouched template or a restored backup; temporary tables are made there, nothing else is written.
    `settled` are the tables that are known to hold their rows, by oid. `members` compares the tables of extensions too:
    both databases must be copies of one another, for no dump carries all of their rows.

    A table is found by its oid. Where another relation stands under its name now, the rows are looked for there, by
    column name and key: that is what became of them for everybody who goes by the name.
    Partitioned tables are compared as one, so rows may move between partitions; partitions whose figures differ follow
    as parts of it. Rows that left a partitioned table or an inheritance parent with a child are lost to the parent.

    Dropped columns are no change of content here, nor are columns that were NULL in every row and are filled. Lost wins
    over changed, changed over added; `columns_changed` is filled in each case. Rows without a key are a multiset: a
    changed row is then a lost and an added one, read as changed only where some columns kept all their values. A
    comparison that is `none` with `not_verified` is not equal.
    Tables whose rows no dump carries (foreign tables, materialized views) are left out.
    Raises TargetUnusable where a table of either side cannot be read, or the side before does not hold the rows that
    were counted.
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
            _silence_event_triggers(sides.before)
            pairs.append(sides)
        first = pairs[0]
        old_shapes, old_unverified = _shapes(first.before, members=members)
        new_shapes, new_unverified = _shapes(first.after, members=members)
        _refuse_unread(before.not_verified + old_unverified + new_unverified)
        scene = _Scene(
            old={(shape.schema, shape.name): shape for shape in old_shapes},
            new={shape.oid: shape for shape in new_shapes},
            names={(shape.schema, shape.name): shape for shape in new_shapes},
            settled=settled or {},
            unread={item.oid: item.reason for item in new_unverified},
        )
        tables = [*before.tables, *_members(before, old_shapes)] if members else list(before.tables)
        sizes = {shape.oid: shape.size_bytes for shape in new_shapes}
        tables.sort(key=lambda table: sizes.get(table.oid, 0), reverse=True)
        connections = [connection for sides in pairs for connection in (sides.before, sides.after)]
        found = [
            item
            for items in spread(pairs, tables, lambda sides, table: _table(sides, scene, table), connections)
            for item in items
        ]
        known = {heap.oid for table in tables for heap in (table, *table.leaves)}
        known |= {item.oid for item in before.not_verified}
        known |= {oid for table in tables if (oid := scene.successor(table)) is not None}
        created = [shape for shape in new_shapes if shape.oid not in known and not shape.root and not shape.extension]
        found += spread(pairs, created, lambda sides, shape: _created(sides.after, shape), connections)
    return tuple(sorted(reading_less(found, left_ancestors(tables, old_shapes, scene.new)), key=_order))


def _silence_event_triggers(connection: Connection) -> None:
    """Keep the application's own event triggers from firing for the temporary tables that are made here.

    They would log what the plugin does among the rows that are compared, or refuse it. Who may not say so makes the
    temporary tables all the same; triggers that are ENABLE ALWAYS fire in any session before PostgreSQL 17.
    """
    with suppress(psycopg.errors.InsufficientPrivilege):
        if connection.info.server_version >= 170000:
            connection.execute("SET event_triggers = off")
        else:
            connection.execute("SET session_replication_role = replica")


def _order(item: TableComparison) -> tuple[str, bool, str]:
    return item.part_of or item.table, item.part_of is not None, item.table


@dataclass(frozen=True, slots=True)
class _Scene:
    """The tables of both sides: before by name, after by oid and by name."""

    old: Mapping[Name, TableShape]
    new: Mapping[int, TableShape]
    names: Mapping[Name, TableShape]
    settled: Mapping[int, str]
    unread: Mapping[int, str]

    def successor(self, table: TableFingerprint) -> int | None:
        """The oid of another relation that stands under the table's name now."""
        there = self.names.get((table.schema, table.name))
        return there.oid if there is not None and there.oid != table.oid else None


def _members(before: Fingerprint, shapes: Sequence[TableShape]) -> list[TableFingerprint]:
    """The tables of extensions of which a dump carries nothing; how many rows they hold was not counted."""
    known = {(table.schema, table.name) for table in before.tables}
    return [
        unread_figures(shape)
        for shape in shapes
        if shape.extension and shape.root is None and (shape.schema, shape.name) not in known
    ]


def _shapes(connection: Connection, *, members: bool) -> tuple[tuple[TableShape, ...], tuple[Unverified, ...]]:
    try:
        return read_shapes(connection, members=members)
    except psycopg.Error as error:
        raise unreadable("the catalog", error) from error


def _refuse_unread(unverified: Sequence[Unverified]) -> None:
    for item in unverified:
        # Sequences have no rows; what their positions come to is the proof's business.
        if not item.expected and not item.sequence:
            raise TargetUnusable(
                f"{item.table} cannot be compared: {item.reason}.",
                "Whether the migration kept its rows is not known, and unknown is not equal.",
                "Connect as a user who may read every table.",
            )


def _created(after: Connection, shape: TableShape) -> TableComparison:
    return TableComparison(shape.table, None, count(after, shape), Change.CREATED)


def _table(sides: Sides, scene: _Scene, table: TableFingerprint) -> list[TableComparison]:
    """What became of one table, under its oid or its name, and of its partitions."""
    old, new = scene.old.get((table.schema, table.name)), scene.new.get(table.oid)
    if table.oid in scene.unread:
        reason = f"the whole table: {scene.unread[table.oid]}"
        return [TableComparison(table.table, table.rows, None, Change.NONE, not_verified=(reason,))]
    if old is None:
        raise TargetUnusable(
            f"{table.table} is missing from the database that should hold the rows before the migration.",
            "Whether the migration kept its rows is not known, and unknown is not equal.",
            "Compare with the untouched template, or with a complete restore of the backup.",
        )
    if new is None:
        # What a member of an extension held was not counted before.
        rows = count(sides.before, old) if table.rows < 0 else table.rows
        found = TableComparison(table.table, rows, None, Change.DROPPED)
    elif table.oid in scene.settled and not whole_member(old):
        found = TableComparison(table.table, table.rows, table.rows, Change.NONE, renamed_to=renamed(table, new))
    else:
        found = compare_one(sides, table, old, new)
        if found.rows_lost and any(table.oid in shape.parents for shape in scene.new.values()):
            found = _moved_to_heirs(sides, table, old, new, found)
    successor = scene.successor(table)
    if successor is not None:
        found = _replaced(sides, table, old, scene.new[successor], found)
    if table.relkind != "p":
        return [found]
    leaves, moved = _leaves(sides, scene, table, found)
    return [replace(found, moved={**found.moved, **moved}) if found.rows_lost else found, *leaves]


def _moved_to_heirs(
    sides: Sides, table: TableFingerprint, old: TableShape, new: TableShape, found: TableComparison
) -> TableComparison:
    """What was lost to the table alone, where the same rows are read through it still, from tables that inherit."""
    whole = replace(old, keys=(), heirs=True), replace(new, keys=(), heirs=True)
    counted = replace(table, rows=count(sides.before, whole[0]))
    read = compare_one(sides, counted, *whole)
    if read.change not in {Change.NONE, Change.ROWS_ADDED} or read.not_verified:
        return found
    return replace(found, change=Change.NONE, rows_lost=0, keys=(), samples=())


def _replaced(
    sides: Sides, table: TableFingerprint, old: TableShape, successor: TableShape, kept: TableComparison
) -> TableComparison:
    """What became of the rows under the table's name, where another relation stands now.

    `kept` is what became of the table itself: where it holds its rows still, they are not gone from the database.
    """
    there = {column.name: column.attnum for column in successor.columns}
    attnums = {name: there[name] for name in table.attnums if name in there}
    gone = [name for name in table.attnums if name not in there]
    found = compare_one(sides, replace(table, attnums=attnums), old, successor)
    try:
        held = values_in(sides.before, old, gone) if gone else ()
    except psycopg.Error as error:
        raise unreadable(table.table, error) from error
    whole = kept.change in {Change.NONE, Change.ROWS_ADDED} and not kept.not_verified
    moved = {kept.renamed_to: found.rows_lost} if whole and kept.renamed_to and found.rows_lost else {}
    return replace(
        found,
        renamed_to=kept.renamed_to,
        replaced=True,
        columns_gone=dict(zip(gone, held, strict=True)),
        moved=moved,
    )


def _leaves(
    sides: Sides, scene: _Scene, table: TableFingerprint, whole: TableComparison
) -> tuple[list[TableComparison], dict[str, int]]:
    """The partitions that are gone, stand elsewhere now, or hold more or fewer rows than before.

    And where the rows of those that stand elsewhere are all kept: how many, by the name of the table to read them from.
    """
    found: list[TableComparison] = []
    moved: dict[str, int] = {}
    for leaf in table.leaves:
        new = scene.new.get(leaf.oid)
        if new is None:
            item = TableComparison(leaf.table, leaf.rows, None, Change.DROPPED)
        elif new.root != table.oid:
            old = scene.old.get((leaf.schema, leaf.name))
            item = TableComparison(leaf.table, leaf.rows, leaf.rows, Change.NONE)
            if leaf.oid not in scene.settled and old is not None:
                item = compare_one(sides, leaf, old, new)
            stands = (scene.new.get(new.root or 0) or new).table
            item = replace(item, renamed_to=stands if stands != leaf.table else None)
            if item.change in {Change.NONE, Change.ROWS_ADDED} and not item.not_verified:
                moved[stands] = moved.get(stands, 0) + leaf.rows
        else:
            rows = leaf.rows if leaf.oid in scene.settled else count(sides.after, new)
            if rows == leaf.rows:
                continue
            fewer = Change.ROWS_LOST if whole.rows_lost else Change.NONE
            change = Change.ROWS_ADDED if rows > leaf.rows else fewer
            item = TableComparison(leaf.table, leaf.rows, rows, change, renamed_to=renamed(leaf, new))
        found.append(replace(item, part_of=table.table))
    return found, moved
