"""Which statement took rows or values along that it does not name: by inheritance and the actions of foreign keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_dryrun.model.scripts import Location
from pytest_dryrun.model.values import Change, TableComparison
from pytest_dryrun.rehearsal.judge.effects import lost
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.sql.places import Write, words

# Every table that a table inherits from or is a partition of, however far up.
_ABOVE = """
WITH RECURSIVE above (oid, parent) AS (
    SELECT inhrelid, inhparent FROM pg_inherits
    UNION SELECT a.oid, i.inhparent FROM above a JOIN pg_inherits i ON i.inhrelid = a.parent
)
SELECT format('%%I.%%I', n.nspname, c.relname)
FROM above a JOIN pg_class c ON c.oid = a.parent JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.oid = to_regclass(%s)
"""
# Every partition of a table, however far down.
_PARTITIONS = """
WITH RECURSIVE below (oid) AS (
    SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass(%s)
    UNION SELECT i.inhrelid FROM below b JOIN pg_inherits i ON i.inhparent = b.oid
)
SELECT format('%%I.%%I', n.nspname, c.relname)
FROM below b JOIN pg_class c ON c.oid = b.oid AND c.relispartition JOIN pg_namespace n ON n.oid = c.relnamespace
"""
_SETS = ("n", "d")


@dataclass(frozen=True, slots=True)
class Cascade:
    """The statement that set it off, the table it names, and how it reached the other one."""

    place: Location
    table: str
    how: str


@dataclass(frozen=True, slots=True)
class _Key:
    child: str
    parent: str
    on_delete: str
    on_update: str


def cascade(scene: Scene, table: str, change: Change) -> Cascade | None:
    """What took rows of a table along (`rows-lost`) or changed its values (`content-changed`), if anything did."""
    for parent in above(scene, table):
        for verb in ("delete", "truncate") if change is Change.ROWS_LOST else ("update",):
            for write in _writes(scene, parent, verb):
                return Cascade(write.place, parent, "inheritance")
    keys = _keys(scene)
    if change is Change.ROWS_LOST:
        return next(_deleted_from(scene, keys, table, seen=frozenset()), None)
    return next(_changed_by(scene, keys, table, seen=frozenset()), None)


def _keys(scene: Scene) -> list[_Key]:
    """The foreign keys before the migrations, by name."""
    found = [item for item in scene.before.of_kind("constraint") if item.attributes["type"] == "foreign key"]
    return [
        _Key(str(item.parent), item.details["referenced"], item.details["on_delete"], item.details["on_update"])
        for item in sorted(found, key=lambda item: item.name)
    ]


def above(scene: Scene, table: str) -> list[str]:
    """The tables through which the rows of this one are read and written too."""
    return [row[0] for row in scene.template.execute(_ABOVE, (table,)).fetchall()]


def _deleted_from(scene: Scene, keys: Sequence[_Key], table: str, *, seen: frozenset[str]) -> Iterator[Cascade]:
    """Statements that delete from a parent, its parent and so on, as far as ON DELETE CASCADE leads down again."""
    for key in keys:
        if key.child != table or key.parent in seen | {table}:
            continue
        for write in _writes(scene, key.parent, "truncate"):
            if "cascade" in words(write.place.sql):
                yield Cascade(write.place, key.parent, "TRUNCATE ... CASCADE")
        if key.on_delete == "c" and _lost_rows(scene, key.parent):
            for write in _writes(scene, key.parent, "delete"):
                yield Cascade(write.place, key.parent, "ON DELETE CASCADE")
            yield from _deleted_from(scene, keys, key.parent, seen=seen | {table})


def _changed_by(scene: Scene, keys: Sequence[_Key], table: str, *, seen: frozenset[str]) -> Iterator[Cascade]:
    for key in keys:
        if key.child != table or key.parent in seen | {table}:
            continue
        if key.on_delete in _SETS and _lost_rows(scene, key.parent):
            how = "ON DELETE SET NULL" if key.on_delete == "n" else "ON DELETE SET DEFAULT"
            for write in _writes(scene, key.parent, "delete"):
                yield Cascade(write.place, key.parent, how)
            for above in _deleted_from(scene, keys, key.parent, seen=frozenset({table})):
                yield Cascade(above.place, above.table, how)
        if key.on_update in ("c", *_SETS) and _changed(scene, key.parent):
            for write in _writes(scene, key.parent, "update"):
                yield Cascade(write.place, key.parent, "ON UPDATE")
            if key.on_update == "c":
                yield from _changed_by(scene, keys, key.parent, seen=seen | {table})


def _writes(scene: Scene, table: str, verb: str) -> list[Write]:
    """The statements that write to a table or one of its parts, those that do so themselves first."""
    names = names_of(scene, table)
    found = [write for write in scene.writes() if write.verb == verb and any(write.on(name) for name in names)]
    return sorted(found, key=lambda write: not write.direct)


def names_of(scene: Scene, table: str) -> list[str]:
    """What statements may call a table: its name before and now, and those of its partitions."""
    names = [table]
    for item in scene.tables:
        if table in (item.table, item.part_of):
            names += [item.table, *filter(None, (item.renamed_to,))]
    names += [row[0] for row in scene.template.execute(_PARTITIONS, (table,)).fetchall()]
    return list(dict.fromkeys(names))


def _of(scene: Scene, table: str) -> TableComparison | None:
    return next((item for item in scene.tables if item.table == table), None)


def _lost_rows(scene: Scene, table: str) -> bool:
    """Whether rows were deleted from a table, though others may stand there now."""
    item = _of(scene, table)
    return item is not None and (lost(item) > 0 or bool(item.deleted) or item.change is Change.DROPPED)


def _changed(scene: Scene, table: str) -> bool:
    item = _of(scene, table)
    return item is not None and bool(item.columns_changed or item.updated or lost(item))
