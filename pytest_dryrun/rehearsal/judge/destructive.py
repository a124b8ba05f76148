"""What the rehearsed migrations destroyed: objects that held data, rows, values, names in use.

Judged on what happened on the copy, by the catalogs' difference and the tables' comparison.
The migrations' text only tells where.
How many rows and values were there is counted in the untouched template.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.catalog import Catalog, CatalogObject
from pytest_dryrun.postgres.catalog.difference import Action, CatalogChange
from pytest_dryrun.rehearsal.judge.counting import count_rows, finding
from pytest_dryrun.rehearsal.judge.narrowed import narrowed
from pytest_dryrun.rehearsal.judge.rows import foreign_made_again, rows, stands_in
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.sql.names import bare, parts


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
    return (*found, *narrowed(scene), *rows(scene))


def _dropped(scene: Scene, change: CatalogChange) -> Iterator[Finding]:
    names = [bare(part) for part in parts(change.identity)]
    if change.kind == "table":
        yield _table_dropped(scene, change, names, stands_in(scene, change.identity))
    elif change.kind == "column":
        yield _column_dropped(scene, change)
    elif change.kind == "schema":
        yield _schema_dropped(scene, change)


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
