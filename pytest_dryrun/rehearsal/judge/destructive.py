"""What the rehearsed migrations destroyed: objects that held data, rows, values, names in use.

Judged on what happened on the copy, by the catalogs' difference and the tables' comparison.
The migrations' text only tells where.
How many rows and values were there is counted in the untouched template.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pytest_dryrun.model.scripts import Location
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.catalog import Catalog, CatalogObject
from pytest_dryrun.postgres.catalog.difference import Action, CatalogChange
from pytest_dryrun.rehearsal.judge.counting import count_rows, finding
from pytest_dryrun.rehearsal.judge.narrowed import narrowed
from pytest_dryrun.rehearsal.judge.rows import foreign_made_again, rows, stands_in
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


# INSERT, UPDATE and DELETE as pg_relation_is_updatable counts them (manual: "System Catalog Information Functions").
_WRITABLE = 8 | 4 | 16


def destructive(scene: Scene) -> tuple[Finding, ...]:
    """Every destructive effect, with the table, the rows, and the migration and line where they can be told.

    A count that fails or takes too long does not make the loss smaller: it stays a blocker and says so.
    """
    found: list[Finding] = []
    for change in scene.changes:
        if scene.is_history(change.parent or change.identity):
            continue
        if change.action is Action.DROPPED:
            found += _dropped(scene, change)
        elif change.action is Action.RENAMED and change.kind in IN_USE:
            found.append(_renamed(scene, change))
    return (*found, *narrowed(scene), *rows(scene))


def _dropped(scene: Scene, change: CatalogChange) -> Iterator[Finding]:
    names = [bare(part) for part in parts(change.identity)]
    if change.kind == "table":
        yield _table_dropped(scene, change, names, stands_in(scene, change.identity))
    elif change.kind == "column":
        yield _column_dropped(scene, change)
    elif change.kind == "schema":
        yield _schema_dropped(scene, change)
    elif change.kind in NO_ROWS and not (
        change.kind == "constraint" and change.old and change.old.attributes["type"] == "foreign key"
    ):
        if change.kind == "sequence" and change.old and change.old.attributes.get("owned_by"):
            return
        named = (
            bare(change.identity.split("(", maxsplit=1)[0].rpartition(".")[2]) if "(" in change.identity else names[-1]
        )
        place = scene.find([named], ["drop"])
        if change.kind == "index" and change.old and (equal := _equal_index(change.old, scene.after)):
            yield _index_replaced(change.old, equal, place)
            return
        on = f" on {change.parent}" if change.parent else ""
        yield finding(
            "object-dropped",
            Severity.WARNING,
            f"{change.kind.capitalize()} {change.identity}{on} is dropped {place}. No row is lost with it, but "
            "what relies on it fails or "
            "works otherwise: make sure that the running release does not.",
            place,
            change.parent,
            {"kind": change.kind, "object": change.identity},
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


def _table_dropped(scene: Scene, change: CatalogChange, names: Sequence[str], accounted: str) -> Finding:
    with_schema = any(other.kind == "schema" and other.identity == parts(change.identity)[0] for other in scene.changes)
    place = scene.find(names if with_schema else names[-1:], ["drop"])
    counted = count_rows(scene.template, change.identity)
    held = f"with {counted[0]:,} rows" if isinstance(counted, tuple) else f"whose rows could not be counted ({counted})"
    empty = isinstance(counted, tuple) and counted[0] == 0
    said = f"Table {change.identity} {held} is dropped {place}"
    evidence = {"rows": counted[0] if isinstance(counted, tuple) else None}
    if accounted:
        return finding("table-dropped", Severity.INFO, f"{said}: {accounted}.", place, change.identity, evidence)
    again = any(other.action is Action.CREATED and other.identity == change.identity for other in scene.changes)
    return finding(
        "table-dropped",
        Severity.WARNING if empty else Severity.BLOCKER,
        f"{said}{', and an empty one made under its name' if again else ''}. "
        "Stop using it in one release, and drop it in a later migration, after its rows were archived.",
        place,
        change.identity,
        evidence,
    )


def _column_dropped(scene: Scene, change: CatalogChange) -> Finding:
    table, column = str(change.parent), bare(parts(change.identity)[-1])
    place = scene.find([bare(parts(table)[-1]), column], ["drop"])
    if change.old and _computed_again(change.old, scene.after):
        said = f"Column {change.identity} is dropped {place}, and added again with the same type and expression. Every"
        said += " value is computed again from the row: nothing is lost."
        return finding("column-dropped", Severity.INFO, said, place, table, {"column": column})
    if foreign_made_again(scene, table):
        said = (
            f"Column {change.identity} goes {place} with its foreign table, which is made again with the same columns,"
        )
        said += " server and options. Its rows are on the other server: nothing is lost."
        return finding("column-dropped", Severity.INFO, said, place, table, {"column": column})
    counted = count_rows(scene.template, table, column)
    if isinstance(counted, tuple):
        rows, values = counted
        held = f"which holds {values:,} values in {rows:,} rows"
        evidence: dict[str, Any] = {"column": column, "rows": rows, "non_null": values}
    else:
        rows, values, held, evidence = (
            None,
            None,
            f"whose values could not be counted ({counted})",
            {"column": column, "rows": None},
        )
    return finding(
        "column-dropped",
        Severity.WARNING if values == 0 else Severity.BLOCKER,
        f"Column {change.identity}, {held}, is dropped {place}. "
        "Stop reading and writing it in one release, and drop it in a later one, after its values were moved or "
        "archived.",
        place,
        table,
        evidence,
    )


def _computed_again(old: CatalogObject, after: Catalog) -> bool:
    """Whether a generated column stands under the name of this one now, and gives the same values."""
    new = after.find("column", old.identity)
    same = ("expression", "type", "collation")
    return bool(
        new
        and old.attributes.get("expression")
        and all(old.attributes.get(key) == new.attributes.get(key) for key in same)
    )


def _schema_dropped(scene: Scene, change: CatalogChange) -> Finding:
    place = scene.find([bare(change.identity)], ["drop"])
    tables = [
        other.identity
        for other in scene.changes
        if other.action is Action.DROPPED and other.kind == "table" and parts(other.identity)[0] == change.identity
    ]
    counted = [count_rows(scene.template, table) for table in tables]
    known = [count[0] for count in counted if isinstance(count, tuple)]
    rows = sum(known)
    lost = rows > 0 or len(known) < len(counted)
    unknown = "" if len(known) == len(counted) else f", and {len(counted) - len(known)} tables could not be counted"
    return finding(
        "schema-dropped",
        Severity.BLOCKER if lost else Severity.WARNING,
        f"Schema {change.identity} with {len(tables)} tables and {rows:,} rows{unknown} is dropped {place}. "
        "Drop what is no longer used table by table, after its rows were archived.",
        place,
        None,
        {"schema": change.identity, "tables": tables, "rows": rows},
    )


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
