"""What a DELETE or a change of a key takes along now and did not before, whatever the foreign keys are called.

Compared per child table, child columns and parent: several foreign keys over the same columns all act (manual: "CREATE
TABLE", REFERENCES).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from psycopg import sql

from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.catalog import Catalog, CatalogObject
from pytest_dryrun.rehearsal.judge.counting import count_where, finding
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.sql.names import bare, last, parts

ACTIONS = {"c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT", "a": "NO ACTION", "r": "RESTRICT"}
ON_DELETE = {"c": "deletes its rows in {child}", "n": "sets {columns} of its rows in {child} to NULL"}
ON_DELETE["d"] = "sets {columns} of its rows in {child} to the default"
ON_UPDATE = {**ON_DELETE, "c": "changes {columns} of its rows in {child}"}


@dataclass(frozen=True, slots=True)
class Link:
    """Columns of a child that refer to a parent, as the database before the migrations names them."""

    child: str
    columns: tuple[str, ...]
    parent: str


@dataclass(slots=True)
class Acting:
    """What all foreign keys of one link do on DELETE and on UPDATE of a key; which key does it."""

    on_delete: dict[str, CatalogObject] = field(default_factory=dict)
    on_update: dict[str, CatalogObject] = field(default_factory=dict)


def cascades_added(scene: Scene) -> tuple[Finding, ...]:
    """`cascade-added`: rows that go, or change, along with their parent from now on.

    A link that is new counts where it deletes: what was never there did not refer to anybody before.
    """
    names, columns = _former_names(scene.before, scene.after)
    before, after = _acting(scene.before, {}, {}), _acting(scene.after, names, columns)
    tables = {item.identity for item in scene.before.of_kind("table")}
    found: list[Finding] = []
    for link, acting in after.items():
        known = before.get(link)
        if link.child not in tables:
            continue
        for action, key in acting.on_delete.items():
            if action in ON_DELETE and (action not in known.on_delete if known else action == "c"):
                found.append(_finding(scene, key, "DELETE", action, known.on_delete if known else {}))
        for action, key in acting.on_update.items():
            if action in ON_UPDATE and known is not None and action not in known.on_update:
                found.append(_finding(scene, key, "UPDATE", action, known.on_update))
    return tuple(found)


def _former_names(before: Catalog, after: Catalog) -> tuple[Mapping[str, str], Mapping[tuple[str, str], str]]:
    """Tables and columns of today that were called otherwise; one made again under an old name stands for that one."""
    tables = {item.oid: item.identity for item in before.of_kind("table")}
    columns = {(item.oid, item.number): item.name for item in before.of_kind("column")}
    named = {item.identity: tables[item.oid] for item in after.of_kind("table") if item.oid in tables}
    inside = {
        (str(item.parent), item.name): columns[item.oid, item.number]
        for item in after.of_kind("column")
        if (item.oid, item.number) in columns
    }
    return named, inside


def _acting(catalog: Catalog, names: Mapping[str, str], columns: Mapping[tuple[str, str], str]) -> dict[Link, Acting]:
    links: dict[Link, Acting] = {}
    for item in catalog.of_kind("constraint"):
        if item.attributes["type"] != "foreign key" or item.details.get("enforced", True) is False:
            continue
        child, parent = str(item.parent), str(item.details["referenced"])
        own = tuple(sorted(columns.get((child, name), name) for name in item.details["columns"]))
        acting = links.setdefault(Link(names.get(child, child), own, names.get(parent, parent)), Acting())
        acting.on_delete.setdefault(item.details["on_delete"], item)
        acting.on_update.setdefault(item.details["on_update"], item)
    return links


def _finding(scene: Scene, key: CatalogObject, verb: str, action: str, known: Mapping[str, CatalogObject]) -> Finding:
    child, parent, columns = str(key.parent), str(key.details["referenced"]), key.details["columns"]
    done = (ON_DELETE if verb == "DELETE" else ON_UPDATE)[action].format(child=child, columns=", ".join(columns))
    filled = (sql.SQL("{} IS NOT NULL").format(sql.Identifier("child", name)) for name in columns)
    counted = count_where(scene.copy, child, sql.SQL(" AND ").join(filled), (), alias="child")
    rows = counted[0] if isinstance(counted, tuple) else None
    referring = f"{rows:,} rows there have a parent" if rows is not None else "how many rows have a parent is unknown"
    was = " and ".join(sorted(ACTIONS[one] for one in known)) or "no foreign key"
    names = [bare(parts(child)[-1]), key.name]
    place = scene.find_first(names, ["add", "create", "references"], ["alter", "update"])
    of = "a row" if verb == "DELETE" else "a key"
    said = (
        f"{verb} of {of} in {parent} {done} now: foreign key {last(key.identity)}, ON {verb} {ACTIONS[action]} "
        f"(before: {was}), changed {place}. {referring[0].upper()}{referring[1:]}. Make sure that no release counts on "
        f"the old way, or keep NO ACTION."
    )
    evidence = {"constraint": last(key.identity), "tables": [child, parent], "on": verb, "rows": rows}
    evidence |= {"action": ACTIONS[action], "before": sorted(ACTIONS[one] for one in known)}
    return finding("cascade-added", Severity.WARNING, said, place, child, evidence, about=key.identity)
