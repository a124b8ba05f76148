"""Which tables hold exactly the rows that an earlier fingerprint counted."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace

import psycopg

from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.postgres.fingerprint import Fingerprint, TableFingerprint, figures, joined
from pytest_dryrun.postgres.fingerprint.shapes import TableShape, read_shapes
from pytest_dryrun.postgres.fingerprint.unmoved import Held, unmoved
from pytest_dryrun.postgres.parallel import spread
from pytest_dryrun.postgres.snapshot import snapshot, unreadable


def kept(
    conninfo: Conninfo,
    before: Fingerprint,
    *,
    copied: bool = False,
    workers: int = 2,
    statement_timeout_s: float = 3600,
) -> Mapping[int, str]:
    """Find the tables that hold exactly the rows of an earlier, exact fingerprint: their oids, and their names now.

    Tables are found by oid, columns by attnum, name and type; columns that came later are left out. A table that is
    not in the answer is not proved equal: it differs, or is shaped in a way that its figures alone cannot settle.
    Tuple headers are asked first, and what they do not settle is hashed. `copied` promises that the database is a copy
    of the one that was fingerprinted, or a copy of such a copy, made since.
    """
    if before.mode != "exact":
        raise ValueError("only exact figures prove that rows stayed the same")
    with ExitStack() as stack:
        taken = stack.enter_context(snapshot(conninfo, statement_timeout_s=statement_timeout_s))
        first = taken.connection
        if first.info.server_version // 10000 != before.version_num // 10000:
            return {}
        try:
            shapes, _ = read_shapes(first)
        except psycopg.Error as error:
            raise unreadable("the catalog", error) from error
        old = {heap.oid: heap for table in before.tables for heap in table.heaps}
        wanted = [former for shape in shapes if shape.oid in old and (former := _as_before(old[shape.oid], shape))]
        wanted.sort(key=lambda shape: shape.size_bytes, reverse=True)
        others = min(workers, len(wanted)) - 1
        connections = [first, *joined(stack, conninfo, taken.id, others, statement_timeout_s)]
        held = [Held(shape, heap, old[shape.oid].rows) for shape in wanted if (heap := old[shape.oid].heap)]
        settled = unmoved(connections, before.instant, held, copied=copied)
        rest = [shape for shape in wanted if shape.oid not in settled]
        found = spread(connections, rest, lambda one, shape: figures(one, shape, "exact"), connections)
    same = {table.oid: table.table for table in found if _sums(table) == _sums(old[table.oid])}
    same |= {item.oid: item.table for item in wanted if item.oid in settled}
    now = {item.oid: item for item in shapes}
    for table in before.tables:
        shape = now.get(table.oid) if table.relkind == "p" else None
        leaves = {leaf.oid for leaf in table.leaves}
        if shape and leaves == set(shape.leaves) and leaves <= same.keys() and _as_before(table, shape):
            same[table.oid] = shape.table
    return same


def _as_before(table: TableFingerprint, shape: TableShape) -> TableShape | None:
    """The table with its former columns and key alone; None where one of them is gone, renamed or of another type."""
    now = {column.attnum: column for column in shape.columns}
    columns = [now.get(attnum) for attnum in table.attnums.values()]
    same = [column for column in columns if column and column.type == table.types.get(column.name)]
    if [column.name for column in same] != list(table.attnums):
        return None
    return replace(shape, columns=tuple(same), keys=(table.key,) if table.key else ())


def _sums(table: TableFingerprint) -> tuple[int, int, Mapping[str, int]]:
    return table.rows, table.row_sum, table.columns
