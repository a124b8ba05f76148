"""Columns that a writer must name from now on, and the running release does not know or does not name.

A row without the column is tried on the copy and rolled back: where a trigger fills it, nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.catalog import Catalog, CatalogObject
from pytest_dryrun.rehearsal.judge.counting import count_rows, finding
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.rehearsal.judge.trial import insert_row, row_values
from pytest_dryrun.sql.names import bare, identifier, last, parts

# Rows that a new check is asked about, the column taken away.
_SAMPLE = 1000


@dataclass(frozen=True, slots=True)
class Required:
    """A column that must be given. `old` is the column before, None for a new one; `check` demands it, else NOT NULL.

    `relied` where writers could count on a default until now.
    """

    column: CatalogObject
    old: CatalogObject | None
    table_before: str
    relied: bool
    check: CatalogObject | None = None

    @property
    def table(self) -> str:
        """Its table's name now."""
        return str(self.column.parent)


def required_columns(scene: Scene) -> tuple[Finding, ...]:
    """`required-column`: a blocker where the running release relied on not naming the column, else a warning."""
    found = [item for item in _demanded(scene) if not scene.is_history(item.table)]
    asked = {item.column.identity for item in found}
    parents = {item.identity: item.attributes.get("inherits", ()) for item in scene.after.of_kind("table")}
    tried: list[Finding] = []
    for table in dict.fromkeys(item.table for item in found):
        mine = [
            item
            for item in found
            if item.table == table
            and not any(f"{parent}.{last(item.column.identity)}" in asked for parent in parents.get(table, ()))
        ]
        tried += [_finding(scene, item) for item in _still_missing(scene, mine)]
    return tuple(tried)


def has_value(column: CatalogObject, catalog: Catalog) -> bool:
    """Whether a writer that does not name the column still gives it a value."""
    if any(key in column.attributes for key in ("default", "identity", "expression")):
        return True
    domain = catalog.find("domain", column.attributes["type"])
    return domain is not None and "default" in domain.attributes


def predecessors(scene: Scene) -> Iterator[tuple[CatalogObject, CatalogObject]]:
    """Every table of now with the one that writers knew under its name, or that it was itself.

    Where another table took a name, the old one under its new name is nobody's table.
    """
    by_oid = {item.oid: item for item in scene.before.of_kind("table")}
    by_name = {item.identity: item for item in by_oid.values()}
    for now in scene.after.of_kind("table"):
        then = by_name.get(now.identity) if now.oid not in by_oid else by_oid[now.oid]
        if then is not None:
            yield now, then


def _former(scene: Scene) -> dict[str, CatalogObject]:
    """What each column of now was, by its identity."""
    numbers = {(item.oid, item.number): item for item in scene.before.of_kind("column")}
    names = {item.identity: item for item in scene.before.of_kind("column")}
    found: dict[str, CatalogObject] = {}
    for now, then in predecessors(scene):
        for column in scene.after.children(now.identity, "column"):
            same = now.oid == then.oid
            old = (
                numbers.get((column.oid, column.number))
                if same
                else names.get(f"{then.identity}.{last(column.identity)}")
            )
            if old is not None:
                found[column.identity] = old
    return found


def _demanded(scene: Scene) -> Iterator[Required]:
    tables = {now.identity: then.identity for now, then in predecessors(scene)}
    known = _former(scene)
    for column in scene.after.of_kind("column"):
        table = str(column.parent)
        if table not in tables or has_value(column, scene.after):
            continue
        old = known.get(column.identity)
        relied = old is None or has_value(old, scene.before)
        if column.attributes["not_null"]:
            if relied or (old is not None and not old.attributes["not_null"]):
                yield Required(column, old, tables[table], relied)
        elif check := _refusing(scene, column):
            yield Required(column, old, tables[table], relied, check)


def _refusing(scene: Scene, column: CatalogObject) -> CatalogObject | None:
    """A check of this run that refuses rows like those that are there, were the column left out."""
    before = {item.oid for item in scene.before.of_kind("constraint")}
    for check in scene.after.children(str(column.parent), "constraint"):
        new = check.attributes["type"] == "check" and check.oid not in before and check.details["enforced"]
        if new and _refuses(scene, check, column):
            return check
    return None


def _refuses(scene: Scene, check: CatalogObject, column: CatalogObject) -> bool:
    query = "SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint WHERE oid = %s AND %s = ANY (conkey)"
    row = scene.copy.execute(query, (check.oid, column.number)).fetchone()
    if row is None:
        return False
    table = str(column.parent)
    columns = sql.SQL(", ").join(
        sql.SQL("NULL::{} AS {}").format(sql.SQL(item.attributes["type"]), sql.Identifier(item.name))
        if item.name == column.name
        else sql.Identifier(item.name)
        for item in scene.after.children(table, "column")
    )
    asked = sql.SQL("SELECT EXISTS (SELECT FROM (SELECT {} FROM {} LIMIT {}) AS {} WHERE NOT ({}))").format(
        columns, identifier(table), sql.Literal(_SAMPLE), sql.Identifier(bare(last(table))), sql.SQL(row[0])
    )
    try:
        with scene.copy.transaction():
            answer = scene.copy.execute(asked).fetchone()
    except psycopg.Error:  # a row of the table as a whole, or a domain: the trial alone tells
        return True
    return bool(answer and answer[0])


def _still_missing(scene: Scene, demanded: Sequence[Required]) -> Iterator[Required]:
    """Those without which a row is refused; one that is refused for another reason proves nothing, so they stay."""
    left, proven = list(demanded), set[str]()
    known = _former(scene)
    while left:
        columns = scene.after.children(left[0].table, "column")
        given = {item.name for item in columns if item.identity in known} | proven
        without = {item.column.name for item in left}
        names, values = row_values(scene.after, left[0].table, without, given)
        try:
            if insert_row(scene.copy, left[0].table, names, values, [sql.SQL("1")]) is not None:
                return
        except (psycopg.errors.NotNullViolation, psycopg.errors.CheckViolation) as error:
            told = [item for item in left if _told(error, item)]
            if told:
                yield told[0]
                left.remove(told[0])
                proven.add(told[0].column.name)
                continue
        except psycopg.Error:  # the row is refused for a reason of its own
            pass
        yield from left
        return


def _told(error: psycopg.Error, item: Required) -> bool:
    if item.check is not None:
        return error.diag.constraint_name == item.check.name
    return error.diag.column_name == item.column.name


def _finding(scene: Scene, item: Required) -> Finding:
    column, name = item.column.identity, item.column.name
    names = [bare(parts(item.table)[-1]), item.check.name if item.check else name]
    place = scene.find(names, ["add", "alter", "set", "drop"])
    counted = count_rows(scene.template, item.table_before)
    rows = counted[0] if isinstance(counted, tuple) else None
    severity = Severity.BLOCKER if item.relied and rows != 0 else Severity.WARNING
    how = f"check {item.check.name} demands it" if item.check else "NOT NULL, no default"
    if item.old is None:
        held = "no rows yet" if rows == 0 else f"{rows:,} rows" if rows is not None else "rows that are not counted"
        what = "is NOT NULL without a default" if item.check is None else f"has no default, and {how}"
        said = f"Column {column} {what}, added {place} to a table with {held}: every INSERT of the running release "
        said += "fails. Give it a default, or add it nullable, fill it, and demand it in a later release."
    elif item.relied:
        said = f"Column {column} lost its default and must be given by every writer now ({how}), changed {place}: an "
        said += "INSERT of the running release that leaves it out fails. Keep the default until no release needs it."
    else:
        said = f"Column {column} must be given by every writer now ({how}), changed {place}: an INSERT of the running "
        said += "release that leaves it out fails. Make sure that none does, or keep a default."
    evidence = {"column": name, "rows": rows, "check": item.check.name if item.check else None}
    return finding("required-column", severity, said, place, item.table, evidence)
