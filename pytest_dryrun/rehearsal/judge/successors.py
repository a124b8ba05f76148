"""What a table that took another one's place does not have: keys, triggers, policies, checks, defaults, indexes.

What belonged to the old table went with it, or stays with it under its new name, and no statement says so. Rows are
compared elsewhere, and so are required columns and privileges.
"""

from __future__ import annotations

from collections.abc import Iterator

from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.catalog import Catalog, CatalogObject
from pytest_dryrun.postgres.catalog.difference import Action
from pytest_dryrun.rehearsal.judge.counting import finding
from pytest_dryrun.rehearsal.judge.required import predecessors
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.sql.names import bare, last, parts


def successors_lack(scene: Scene) -> tuple[Finding, ...]:
    """`object-dropped` and `object-changed`: what a replaced table lost, and indexes made again without UNIQUE."""
    found: list[Finding] = []
    for now, then in predecessors(scene):
        if scene.is_history(now.identity) or then.details["partition"] or now.details["partition"]:
            continue
        if now.oid != then.oid:
            found += _lost(scene, then, now)
        else:
            found += _no_longer_unique(scene, then, now)
    return tuple(found)


def _lost(scene: Scene, then: CatalogObject, now: CatalogObject) -> Iterator[Finding]:
    table = now.identity
    columns = {item.name for item in scene.after.children(table, "column")}
    keys = [_key(scene.after, item) for item in scene.after.children(table, "index") if item.details["unique"]]
    others = {_key(scene.after, item) for item in scene.after.children(table, "index")}
    for index in scene.before.children(then.identity, "index"):
        names, rest = key = _key(scene.before, index)
        if not names <= columns:
            continue
        if index.details["unique"] and not any(held[1] == rest and held[0] <= names for held in keys):
            what = "Primary key" if _is_primary(scene.before, index) else "Unique index"
            text = "two rows may have the same key from now on, and every INSERT ... ON CONFLICT on it fails"
            # The key of a partitioned table must hold the columns of its partition key.
            wider = any(held[1] == rest and held[0] > names for held in keys)
            yield _told(scene, what, index, now, text, Severity.WARNING if wider else Severity.BLOCKER)
        elif not index.details["unique"] and key not in others:
            yield _told(scene, "Index", index, now, "queries that used it read the whole table", Severity.WARNING)
    mine = scene.after.children(table, "constraint")
    for item in scene.before.children(then.identity, "constraint"):
        kind, definition = item.attributes["type"], item.attributes["definition"]
        if kind not in ("check", "foreign key", "exclude"):
            continue
        if any(other.attributes["type"] == kind and _alike(other, item, definition) for other in mine):
            continue
        text = "rows that it kept out go in from now on"
        severity = Severity.WARNING if kind == "check" else Severity.BLOCKER
        yield _told(scene, kind.capitalize().replace("Exclude", "Exclusion constraint"), item, now, text, severity)
    triggers = {item.name for item in scene.after.children(table, "trigger")}
    for item in scene.before.children(then.identity, "trigger"):
        if item.name not in triggers and item.attributes["enabled"] != "D":
            text = "what it did for every row is not done any more"
            yield _told(scene, "Trigger", item, now, text, Severity.BLOCKER)
    if then.attributes.get("row_security") and not now.attributes.get("row_security"):
        text = "everybody who may read the table reads all of its rows"
        yield _told(scene, "Row security", then, now, text, Severity.BLOCKER)
    yield from _defaults(scene, then, now)


def _defaults(scene: Scene, then: CatalogObject, now: CatalogObject) -> Iterator[Finding]:
    """Defaults that went although the column may be left out: NULL stands there from now on."""
    gives = ("default", "identity", "expression")
    mine = {item.name: item for item in scene.after.children(now.identity, "column")}
    for item in scene.before.children(then.identity, "column"):
        new = mine.get(item.name)
        given = any(key in item.attributes for key in gives)
        if new is None or not given or any(key in new.attributes for key in gives) or new.attributes["not_null"]:
            continue
        text = "rows that leave the column out hold NULL there from now on"
        yield _told(scene, "The default of column", item, now, text, Severity.BLOCKER)


def _no_longer_unique(scene: Scene, then: CatalogObject, now: CatalogObject) -> Iterator[Finding]:
    """Unique indexes under whose names indexes stand that keep less apart; a dropped one is listed as that."""
    listed = {change.identity for change in scene.changes if change.action is Action.DROPPED}
    held = {item.identity: item for item in scene.after.children(now.identity, "index")}
    keys = [_key(scene.after, item) for item in held.values() if item.details["unique"]]
    for index in scene.before.children(then.identity, "index"):
        new = held.get(index.identity)
        if not index.details["unique"] or new is None or index.identity in listed:
            continue
        names, rest = _key(scene.before, index)
        # The server prints an expression otherwise where a column of it got another name or type.
        if new.details["unique"] and (new.oid == index.oid or (rest and _retyped(scene, now))):
            continue
        if any(other[1] == rest and other[0] <= names for other in keys):
            continue
        place = scene.find([bare(last(now.identity)), index.name], ["create", "index", "update"])
        what = "is UNIQUE over other columns or fewer rows" if new.details["unique"] else "is no longer UNIQUE"
        said = f"Index {index.identity} on {now.identity} {what}, made so {place}: two rows may have the old key in "
        said += "common from now on, and every INSERT ... ON CONFLICT on it fails. Make sure that it was meant."
        evidence = {"kind": "index", "object": index.identity}
        yield finding("object-changed", Severity.WARNING, said, place, now.identity, evidence, about=index.identity)


def _retyped(scene: Scene, table: CatalogObject) -> bool:
    mine = (change for change in scene.changes if change.kind == "column" and change.parent == table.identity)
    return any(change.action is Action.RENAMED or "type" in change.attributes for change in mine)


def _key(catalog: Catalog, index: CatalogObject) -> tuple[frozenset[str], str]:
    """The columns of an index, and how it reads them where that is more than plain columns."""
    numbers = index.details["keys"]
    names = {item.number: item.name for item in catalog.children(str(index.parent), "column")}
    rest = (
        "" if all(numbers) and not index.details["partial"] else index.attributes["definition"].partition(" USING ")[2]
    )
    return frozenset(names[number] for number in numbers if number in names), rest


def _is_primary(catalog: Catalog, index: CatalogObject) -> bool:
    mine = catalog.children(str(index.parent), "constraint")
    return any(item.attributes["type"] == "primary key" and item.details["index"] == index.oid for item in mine)


def _alike(other: CatalogObject, item: CatalogObject, definition: str) -> bool:
    """Whether another constraint of the same kind says the same, or stands under the same name instead."""
    if item.attributes["type"] == "foreign key":
        same = ("columns", "referenced", "referenced_columns")
        return all(other.details[key] == item.details[key] for key in same)
    return bool(other.attributes["definition"] == definition or other.name == item.name)


def _told(scene: Scene, what: str, item: CatalogObject, now: CatalogObject, harm: str, severity: Severity) -> Finding:
    table = now.identity
    place = scene.find([bare(parts(table)[-1])], ["rename", "create", "drop"])
    named = "" if item.kind == "table" else f" {last(item.identity)}"
    said = f"{what}{named} of {table} is not on the table that stands under this name now, put there {place}: {harm}. "
    said += "Make it on the new table before it takes the name."
    rule = "object-changed" if item.kind in ("table", "column") else "object-dropped"
    evidence = {"kind": item.kind, "object": item.identity}
    return finding(rule, severity, said, place, table, evidence, about=item.identity)
