"""Names that the running release uses and that are gone or renamed: no row is lost, but what names them fails."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg

from pytest_dryrun.model.scripts import Location
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.catalog import Catalog, CatalogObject
from pytest_dryrun.postgres.catalog.difference import Action, CatalogChange
from pytest_dryrun.rehearsal.judge.counting import finding
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.sql.names import bare, last, parts

IN_USE = (
    "table",
    "foreign table",
    "column",
    "enum value",
    "view",
    "materialized view",
    "schema",
    "enum",
    "function",
    "procedure",
)
# Dropping these loses no row, but what used them fails or works otherwise. Foreign keys are judged with the foreign
# keys.
NO_ROWS: tuple[str, ...] = (
    "view",
    "materialized view",
    "foreign table",
    "function",
    "procedure",
    "aggregate",
    "trigger",
    "constraint",
    "index",
    "sequence",
)
NO_ROWS += (
    "policy",
    "rule",
    "enum",
    "domain",
    "composite type",
    "range type",
    "base type",
    "extension",
    "publication",
    "event trigger",
)


# What a statement of the release names, and what it calls.
USED = frozenset({"view", "materialized view", "foreign table", "sequence"})
CALLED = frozenset({"function", "procedure", "aggregate"})

# INSERT, UPDATE and DELETE as pg_relation_is_updatable counts them (manual: "System Catalog Information Functions").
_WRITABLE = 8 | 4 | 16


def names_gone(scene: Scene) -> tuple[Finding, ...]:
    """`renamed` and `object-dropped`, with the migration and line where they can be told."""
    found: list[Finding] = []
    for change in scene.changes:
        if scene.is_history(change.parent or change.identity):
            continue
        if change.action is Action.DROPPED:
            found += _dropped(scene, change)
        elif change.action is Action.RENAMED and change.kind in IN_USE:
            found.append(_renamed(scene, change))
        elif change.kind == "enum" and change.old and change.new:
            found += _labels_gone(scene, change)
    return tuple(found)


def _dropped(scene: Scene, change: CatalogChange) -> Iterator[Finding]:
    old = change.old
    if change.kind not in NO_ROWS or old is None:
        return
    if change.kind == "constraint" and old.attributes["type"] == "foreign key":
        return
    if change.kind == "sequence" and old.attributes.get("owned_by"):
        return
    head = bare(parts(change.identity.split("(", maxsplit=1)[0])[-1])
    named = head if change.kind in CALLED else bare(parts(change.identity)[-1])
    place = scene.find([named], ["drop"])
    if change.kind == "index" and (equal := _equal_index(old, scene.after)):
        yield _index_replaced(old, equal, place)
        return
    on = f" on {change.parent}" if change.parent else ""
    used = change.kind in USED or (change.kind in CALLED and not _called_still(scene, old.oid))
    what = f"{change.kind.capitalize()} {change.identity}{on} is dropped {place}. "
    if used:
        what += "No row is lost with it, but a release that uses it fails: drop it when no release does."
    else:
        what += "No row is lost with it, but what relies on it fails or works otherwise: make sure that the running "
        what += "release does not."
    severity = Severity.BLOCKER if used else Severity.WARNING
    yield finding(
        "object-dropped", severity, what, place, change.parent, {"kind": change.kind, "object": change.identity}
    )


def _equal_index(old: CatalogObject, after: Catalog) -> CatalogObject | None:
    """An index that does all the work of a dropped one; those with expressions or predicates are not compared."""

    def plain(item: CatalogObject) -> bool:
        return all(item.details["keys"]) and not item.details["partial"] and not item.details["exclusion"]

    same = ("relid", "shape")
    for item in after.of_kind("index"):
        if (
            plain(old)
            and plain(item)
            and all(item.details[key] == old.details[key] for key in same)
            and item.attributes["valid"]
            and item.attributes["ready"]
            and item.details["unique"] >= old.details["unique"]
            and item.attributes.get("replica_identity", False) >= old.attributes.get("replica_identity", False)
        ):
            return item
    return None


def _index_replaced(old: CatalogObject, equal: CatalogObject, place: Location) -> Finding:
    by = ", the index of a constraint," if equal.details["constraint"] else ""
    said = f"Index {old.identity} on {old.parent} is dropped {place}. {last(equal.identity)}{by} has the same columns "
    said += "in the same order and does its work: nothing is lost."
    evidence = {"kind": "index", "object": old.identity, "replacement": equal.identity}
    return finding("object-dropped", Severity.INFO, said, place, old.parent, evidence)


def _called_still(scene: Scene, oid: int) -> bool:
    """Whether nobody calls it by name, or another function takes such a call now; the call is only parsed."""
    row = scene.template.execute(
        "SELECT format('%%I.%%I', n.nspname, p.proname), p.prokind::text, array_to_string(ARRAY("
        "SELECT format_type(t.oid, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY a (oid, place)"
        " JOIN pg_type t ON t.oid = a.oid ORDER BY a.place), ', '), cardinality(p.proargtypes::oid[]),"
        " p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype)"
        " FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = %s",
        (oid,),
    ).fetchone()
    if row is None or row[4]:
        return True
    name, kind, types, count, _ = row
    given = ", ".join(f"${number}" for number in range(1, count + 1))
    if kind != "f":  # CALL cannot be prepared, and an aggregate has more ways to be called than one
        return False
    try:
        with scene.copy.transaction():
            scene.copy.execute(f"PREPARE dryrun_call{f' ({types})' if types else ''} AS SELECT {name}({given})")
            scene.copy.execute("DEALLOCATE dryrun_call")
    except psycopg.Error:
        return False
    return True


def _renamed(scene: Scene, change: CatalogChange) -> Finding:
    new = str(change.renamed_to)
    if change.kind == "enum value":
        old_name, new_name = (
            name.rpartition(".'")[2].removesuffix("'").replace("''", "'") for name in (change.identity, new)
        )
    else:
        old_name, new_name = (bare(parts(name.split("(", maxsplit=1)[0])[-1]) for name in (change.identity, new))
    table = change.parent if change.kind == "column" else change.identity if change.kind == "table" else None
    place = scene.find([old_name, new_name], ["rename", "set"])
    said = f"{change.kind.capitalize()} {change.identity} is renamed to {new} {place}. "
    served = change.kind == "table" and _view_serves(scene, change)
    if served:
        said += "A view under the old name takes every read and write of the running release. Drop it in a later one."
    else:
        said += (
            "The running release still uses the old name and fails from that moment on: add the new one, let both live "
            "for a release, then drop the old one."
        )
    evidence = {"kind": change.kind, "old": change.identity, "new": new}
    return finding("renamed", Severity.WARNING if served else Severity.BLOCKER, said, place, table, evidence)


def _view_serves(scene: Scene, change: CatalogChange) -> bool:
    """Whether a view under the table's old name has all of its columns and takes every kind of write."""
    row = scene.copy.execute(
        "SELECT pg_relation_is_updatable(c.oid, true) & %s = %s, ARRAY(SELECT a.attname::text FROM pg_attribute a"
        " WHERE a.attrelid = c.oid AND a.attnum > 0) FROM pg_class c WHERE c.oid = to_regclass(%s) AND c.relkind = 'v'",
        (_WRITABLE, _WRITABLE, change.identity),
    ).fetchone()
    columns = {item.name for item in scene.before.children(change.identity, "column")}
    return row is not None and bool(row[0]) and columns <= set(row[1])


def _labels_gone(scene: Scene, change: CatalogChange) -> Iterator[Finding]:
    if change.old is None or change.new is None or change.old.oid == change.new.oid:
        return
    gone = [
        label
        for label in change.old.attributes.get("labels", ())
        if label not in change.new.attributes.get("labels", ())
    ]
    if gone:
        place = scene.find([bare(parts(change.identity)[-1])], ["type"])
        yield finding(
            "object-dropped",
            Severity.BLOCKER,
            f"Enum {change.identity} is made again without {', '.join(map(repr, gone))} {place}. A release that "
            "still writes or compares these values "
            "fails: take them out of use first.",
            place,
            None,
            {"kind": "enum value", "object": change.identity, "values": gone},
        )
