"""Constraints that nobody held against the rows: NOT VALID ones, and those stamped as valid by a write to the catalog.

Every check, foreign key, NOT NULL, unique index and exclusion constraint that is new in this run, or newly valid, is
counted against the rows, whatever the catalog says of it. Checks of domains are counted in `domains`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.model.scripts import Location
from pytest_dryrun.model.values import Finding
from pytest_dryrun.postgres.catalog import Catalog, CatalogObject
from pytest_dryrun.rehearsal.judge.conflicts import count_conflicts, keys_of
from pytest_dryrun.rehearsal.judge.counting import Counted, count_where, primary_key
from pytest_dryrun.rehearsal.judge.foreign_keys import ForeignKey, count_orphans
from pytest_dryrun.rehearsal.judge.remedies.constraints import validate
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.rehearsal.judge.unchecked import Unchecked
from pytest_dryrun.sql.names import bare, last, parts, quoted

_CHECK = """
SELECT pg_get_expr(conbin, conrelid), connoinherit,
       ARRAY(SELECT a.attname::text FROM unnest(conkey) k JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = k)
  FROM pg_constraint WHERE oid = %s"""
# What an index may ask of its rows, and what it is called then.
_OF_INDEXES = {"unique": "unique index", "exclusion": "exclusion constraint"}


@dataclass(frozen=True, slots=True)
class Demand:
    """What a constraint asks of the rows; `valid` as the catalog says, `identity` as a waiver names it."""

    kind: str
    item: CatalogObject
    valid: bool

    @property
    def table(self) -> str:
        """Whose rows are meant."""
        return str(self.item.parent)

    @property
    def identity(self) -> str:
        """The constraint, or the column that must not be NULL."""
        return self.item.identity

    @property
    def called(self) -> str:
        """Its kind and name in words."""
        return f"{self.kind} {last(self.identity)} of {self.table}"


def constraint_findings(scene: Scene) -> tuple[Finding, ...]:
    """`constraint-not-valid` and `constraint-violated`: what the rows on the copy say to each new constraint."""

    def place(demand: Demand) -> Location:
        names = [bare(parts(demand.table)[-1]), demand.item.name]
        return scene.find_first(names, ["add", "create", "validate", "set", "update"], ["alter"])

    demands = [demand for demand in demands_of(scene.before, scene.after) if not scene.is_history(demand.table)]
    return tuple(judged(scene.copy, demands, place))


def judged(
    connection: psycopg.Connection[Any], demands: Sequence[Demand], place: Callable[[Demand], Location]
) -> Iterator[Finding]:
    """The verdict on each demand, its rows counted now."""
    for demand in demands:
        if made := _finding(demand, _count(connection, demand), place(demand)):
            yield made


def demands_of(before: Catalog, after: Catalog) -> list[Demand]:
    """What is asked of rows now and was not, or not of the rows that were there.

    A new table's constraints were held against each row as it came, unless the table took the place of another.
    """
    tables = {item.identity: item.oid for item in before.of_kind("table")}
    oids = set(tables.values())
    lasting = {item.identity for item in after.of_kind("table") if item.oid in oids or item.identity in tables}
    found = [demand for demand in _demands(before, after) if demand.table in lasting or not demand.valid]
    asked = {demand.identity for demand in found}
    parents = {item.identity: item.attributes.get("inherits", ()) for item in after.of_kind("table")}
    # What a table asks of its heirs and partitions as well is counted there.
    return [
        demand
        for demand in found
        if not any(f"{parent}.{last(demand.identity)}" in asked for parent in parents.get(demand.table, ()))
        and demand.item.attributes.get("attached_to") not in asked
    ]


def _demands(before: Catalog, after: Catalog) -> Iterator[Demand]:
    known = {(item.kind, item.oid, item.number): item for item in before.objects}
    for item in after.of_kind("constraint", "column", "index"):
        old = known.get((item.kind, item.oid, item.number))
        if item.kind == "column":
            if item.attributes["not_null"] and (old is None or not old.attributes["not_null"] or _stamped(old, item)):
                yield Demand("NOT NULL", item, item.attributes.get("not_null_valid", True) is not False)
        elif item.kind == "index":
            asked = [kind for kind in _OF_INDEXES if item.details[kind]]
            there = old is not None and old.attributes["valid"] and all(old.details[kind] for kind in asked)
            if asked and item.attributes["valid"] and not there:
                yield Demand(_OF_INDEXES[asked[0]], item, valid=True)
        elif item.attributes["type"] in ("check", "foreign key") and item.details.get("enforced", True) is not False:
            valid = bool(item.attributes["valid"])
            if old is None or bool(old.attributes["valid"]) != valid or old.details.get("enforced", True) is False:
                yield Demand(item.attributes["type"], item, valid)


def _stamped(old: CatalogObject, new: CatalogObject) -> bool:
    return bool(old.attributes.get("not_null_valid", True) != new.attributes.get("not_null_valid", True))


def _count(connection: psycopg.Connection[Any], demand: Demand) -> Counted:
    """Rows that break it."""
    item, table = demand.item, demand.table
    if demand.kind == "foreign key":
        return count_orphans(connection, ForeignKey.of(item))
    alias = bare(last(table))  # a check may name its table
    shown = primary_key(connection, table)
    if demand.kind == "NOT NULL":
        # From PostgreSQL 17 on the planner takes the catalog's word, and answers IS NULL without a look.
        null = sql.SQL("num_nulls({}) > 0").format(sql.Identifier(alias, item.name))
        return count_where(connection, table, null, shown, alias=alias)
    try:
        if demand.kind in _OF_INDEXES.values():
            key = next(keys_of(connection, item.oid), None)
            return count_conflicts(connection, table, key) if key else "it is gone"
        row = connection.execute(_CHECK, (item.oid,)).fetchone()
    except psycopg.Error as error:
        return " ".join(str(error).split())
    if row is None:
        return "it is gone"
    expression, alone, columns = row
    broken = sql.SQL("NOT (") + sql.SQL(expression) + sql.SQL(")")
    named = [*shown, *(column for column in columns if column not in shown)]
    return count_where(connection, table, broken, named, alias=alias, heirs=not alone)


def _finding(demand: Demand, counted: Counted, place: Location) -> Finding | None:
    evidence: dict[str, Any] = {"table": demand.table, "constraint": last(demand.identity)}
    fails = "UPDATE of such a row"
    if demand.kind == "foreign key":
        evidence["referenced"] = demand.item.details["referenced"]
        fails = "change of their key"
    remedy = None if demand.item.kind == "index" else validate(demand.table, _named(demand))
    one = Unchecked(demand.called, demand.valid, demand.identity, fails, remedy)
    made = one.broken(counted, place, demand.table, evidence)
    return made if made or demand.valid else one.unbroken(place, demand.table, evidence)


def _named(demand: Demand) -> str:
    named = demand.item.attributes.get("not_null_name")
    return quoted(named) if named else last(demand.identity)
