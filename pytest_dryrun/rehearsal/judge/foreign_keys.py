"""Foreign keys before and after: dropped, or new without an index; and rows without their parent.

How many rows violate a key is asked of the data itself, whatever `convalidated` says (manual: "ALTER TABLE", ADD
table_constraint).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.model.scripts import Location
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.catalog import Catalog, CatalogObject
from pytest_dryrun.postgres.catalog.difference import Action
from pytest_dryrun.rehearsal.judge.counting import Counted, count_where, finding, relation
from pytest_dryrun.rehearsal.judge.remedies.facts import Facts
from pytest_dryrun.rehearsal.judge.remedies.indexes import for_key
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.sql.names import bare, last, parts, quoted


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key by names alone, so that it can be asked of any copy; column names are bare.

    `temporal` marks one whose last columns are periods: those of the parents must cover that of the child.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    referenced: str
    referenced_columns: tuple[str, ...]
    full: bool
    operators: tuple[str, ...]
    temporal: bool = False

    @classmethod
    def of(cls, item: CatalogObject) -> ForeignKey:
        """The foreign key that a constraint of a catalog is."""
        facts = item.details
        columns, referenced = tuple(facts["columns"]), tuple(facts["referenced_columns"])
        operators, full = tuple(facts["operators"] or ()), facts["match"] == "f"
        temporal = bool(facts["period"])
        return cls(
            last(item.identity), str(item.parent), columns, facts["referenced"], referenced, full, operators, temporal
        )


def foreign_keys(scene: Scene) -> tuple[Finding, ...]:
    """What became of the foreign keys: dropped, or new and slow for want of an index."""
    found: list[Finding] = []
    for change in scene.changes:
        item = change.new or change.old
        if change.kind != "constraint" or item is None or item.attributes["type"] != "foreign key":
            continue
        place = scene.find([bare(parts(item.parent or "")[-1]), item.name], ["drop", "add", "alter", "create"])
        if change.action is Action.DROPPED and change.old:
            found.append(_dropped(change.old, scene.after, scene.copy, place))
        elif change.action is Action.CREATED and change.new and not _indexed(change.new, scene.after):
            found.append(_without_index(Facts(scene.before, scene.after), change.new, place))
    return tuple(found)


def _dropped(old: CatalogObject, after: Catalog, connection: psycopg.Connection[Any], place: Location) -> Finding:
    key = ForeignKey.of(old)
    replaced = next(
        (item for item in _keys(after) if item.details["enforced"] and _same(ForeignKey.of(item), key)), None
    )
    evidence = {"constraint": key.name, "columns": list(key.columns), "referenced": key.referenced}
    start = f"Foreign key {key.name} of {key.table} to {key.referenced} is dropped {place}"
    if replaced:
        said = f"{start}, and {last(replaced.identity)} takes its place."
        return finding("object-dropped", Severity.INFO, said, place, key.table, {"kind": "foreign key", **evidence})
    tables = {item.identity for item in after.of_kind("table")}
    columns = {item.name for item in after.children(key.table, "column")}
    if key.table not in tables or key.referenced not in tables or not columns.issuperset(key.columns):
        said = f"{start} together with what it joined. Nothing is left to check."
        return finding("object-dropped", Severity.WARNING, said, place, key.table, {"kind": "foreign key", **evidence})
    counted = count_orphans(connection, key)
    if isinstance(counted, str):
        said = f"{start}; whether it leaves rows without their parent could not be counted ({counted}). Keep the key."
        return finding("orphaned-rows", Severity.BLOCKER, said, place, key.table, {**evidence, "rows": None})
    rows, keys = counted
    if rows:
        said = (
            f"{start} and leaves {rows:,} rows without their parent ({', '.join(keys)}). Keep the key, or fix "
            "the rows first."
        )
        return finding(
            "orphaned-rows", Severity.BLOCKER, said, place, key.table, {**evidence, "rows": rows, "keys": list(keys)}
        )
    said = f"{start}. Every row still has its parent, but nothing keeps it so: add the key again, or say why it goes."
    return finding("object-dropped", Severity.WARNING, said, place, key.table, {"kind": "foreign key", **evidence})


def _without_index(facts: Facts, item: CatalogObject, place: Location) -> Finding:
    key = ForeignKey.of(item)
    said = (
        f"Foreign key {key.name} of {key.table} ({', '.join(key.columns)}) has no index, added {place}: each "
        "DELETE or key UPDATE in "
    )
    said += f"{key.referenced} reads all of {key.table}."
    remedy = for_key(facts, key.table, [quoted(one) for one in key.columns])
    evidence = {"constraint": key.name, "columns": list(key.columns)}
    return finding("foreign-key-without-index", Severity.WARNING, said, place, key.table, evidence, remedy=remedy)


def _same(one: ForeignKey, two: ForeignKey) -> bool:
    pairs = [sorted(zip(key.columns, key.referenced_columns, strict=True)) for key in (one, two)]
    return one.table == two.table and one.referenced == two.referenced and pairs[0] == pairs[1]


def _keys(catalog: Catalog) -> list[CatalogObject]:
    return [item for item in catalog.of_kind("constraint") if item.attributes["type"] == "foreign key"]


def _indexed(item: CatalogObject, catalog: Catalog) -> bool:
    """Whether a whole, valid index starts with the key's columns, in any order."""
    wanted = set(item.details["conkey"])
    return any(
        index.attributes["valid"]
        and not index.details["partial"]
        and set(index.details["keys"][: len(wanted)]) == wanted
        for index in catalog.children(str(item.parent), "index")
    )


def count_orphans(connection: psycopg.Connection[Any], key: ForeignKey) -> Counted:
    """Child rows without a parent, and a few of their keys; a text says why they could not be counted.

    A row with a NULL in the key has no parent to miss (MATCH SIMPLE); under MATCH FULL it must be NULL in all columns
    or in none.
    """
    child = [sql.Identifier("child", column) for column in key.columns]
    parent = [sql.Identifier("parent", column) for column in key.referenced_columns]
    operators = [sql.SQL(operator) for operator in key.operators] or [sql.SQL("=")] * len(child)
    # conpfeqop compares the parent's value with the child's, in this order.
    joined = sql.SQL(" AND ").join(
        sql.SQL("{} {} {}").format(*both) for both in zip(parent, operators, child, strict=True)
    )
    try:
        whole = relation(connection, key.referenced)
    except psycopg.Error as error:
        return " ".join(str(error).split())
    missing = sql.SQL("NOT EXISTS (SELECT FROM {} AS parent WHERE {})").format(whole, joined)
    if key.temporal:
        # As the server asks (ri_triggers.c); an empty period of a child has no parent either.
        covered = sql.SQL("{} OPERATOR(pg_catalog.<@) pg_catalog.range_agg({})").format(child[-1], parent[-1])
        missing = sql.SQL("NOT EXISTS (SELECT FROM {} AS parent WHERE {} HAVING {})").format(whole, joined, covered)
    filled = sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(column) for column in child)
    orphan = sql.SQL("({} AND {})").format(filled, missing)
    if key.full and len(child) > 1:
        nulls = sql.SQL("num_nulls({})").format(sql.SQL(", ").join(child))
        orphan = sql.SQL("({} OR ({} > 0 AND {} < {}))").format(orphan, nulls, nulls, sql.Literal(len(child)))
    return count_where(connection, key.table, orphan, key.columns, alias="child")


def orphans(
    connection: psycopg.Connection[Any], catalog: Catalog, settled: Collection[str] = ()
) -> tuple[Finding, ...]:
    """Rows without their parent, for every foreign key, valid or not; empty when there are none.

    `settled` names constraints (their identities) that were counted otherwise.
    """
    found = []
    for item in _keys(catalog):
        if item.identity in settled:
            continue
        key = ForeignKey.of(item)
        counted = count_orphans(connection, key)
        evidence: dict[str, Any] = {"constraint": key.name, "referenced": key.referenced}
        if isinstance(counted, str):
            said = (
                f"Rows of {key.table} without their parent in {key.referenced} could not be counted for "
                f"{key.name}: {counted}"
            )
            evidence["rows"] = None
        elif counted[0]:
            rows, keys = counted
            said = (
                f"{rows:,} rows of {key.table} have no parent in {key.referenced} ({', '.join(keys)}), though "
                f"{key.name} demands one. "
            )
            said += "Fix or remove them, then validate the key."
            evidence |= {"rows": rows, "keys": list(keys)}
        else:
            continue
        found.append(
            finding("orphaned-rows", Severity.BLOCKER, said, Location(), key.table, evidence, about=item.identity)
        )
    return tuple(found)


def checked_by_restore(before: Catalog, after: Catalog, unchanged: Collection[str]) -> frozenset[str]:
    """Find the foreign keys that a restore has checked, by their identities.

    pg_restore adds every validated key to the restored rows, so the server reads them all. That holds for the target
    where the key is what it was and both of its tables are among those proved to hold the very same rows.
    """
    found = set()
    for item in _keys(after):
        old = before.find("constraint", item.identity)
        same = old is not None and old.definition == item.definition and old.attributes["valid"]
        if same and item.parent in unchanged and ForeignKey.of(item).referenced in unchanged:
            found.add(item.identity)
    return frozenset(found)
