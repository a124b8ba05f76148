"""Rows that are no longer read through an inheritance parent, for the child that holds them left it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_dryrun.model.values import Change, TableComparison
from pytest_dryrun.postgres.fingerprint import TableFingerprint
from pytest_dryrun.postgres.fingerprint.shapes import TableShape


@dataclass(frozen=True, slots=True)
class Left:
    """A child that its parent no longer reads: the parent's name before, the child's name now, the child's rows."""

    parent: str
    child: str
    rows: int


def left_ancestors(
    tables: Iterable[TableFingerprint], before: Sequence[TableShape], after: Mapping[int, TableShape]
) -> tuple[Left, ...]:
    """Every table that inherited from another one, however far up, and does not now; both still there."""
    counted = {(table.schema, table.name): table for table in tables}
    old = {shape.oid: shape for shape in before}
    found = []
    for shape in before:
        child = counted.get((shape.schema, shape.name))
        now = after.get(child.oid) if child else None
        if child is None or now is None or child.rows <= 0:
            continue
        still = set(_above(now, after))
        for oid in dict.fromkeys(_above(shape, old)):
            above = old.get(oid)
            parent = counted.get((above.schema, above.name)) if above else None
            if parent and parent.oid in after and parent.oid not in still:
                found.append(Left(parent.table, now.table, child.rows))
    return tuple(found)


def _above(shape: TableShape, shapes: Mapping[int, TableShape]) -> Iterator[int]:
    for oid in shape.parents:
        yield oid
        if oid in shapes:
            yield from _above(shapes[oid], shapes)


def reading_less(found: Sequence[TableComparison], left: Sequence[Left]) -> Iterator[TableComparison]:
    """The comparisons, with the rows that left a parent lost to it and kept where they are."""
    for item in found:
        mine = {one.child: one.rows for one in left if one.parent == item.table}
        if not mine or item.rows_before is None or item.replaced or item.part_of:
            yield item
            continue
        rows = sum(mine.values())
        yield replace(
            item,
            rows_before=item.rows_before + rows,
            change=Change.ROWS_LOST,
            rows_lost=(item.rows_lost or 0) + rows,
            moved={**item.moved, **mine},
        )
