"""New constraints of tables without a row: nobody could try whether the running release writes what they refuse."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.catalog import CatalogObject
from pytest_dryrun.rehearsal.judge.counting import finding, is_empty
from pytest_dryrun.rehearsal.judge.required import predecessors
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.sql.names import bare, last

# An expression has no column here.
_COLUMNS = """
SELECT k.oid, ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
                    WHERE a.attrelid = k.relation AND a.attnum = ANY (k.numbers))
  FROM (SELECT oid, conrelid, conkey FROM pg_catalog.pg_constraint
        UNION ALL SELECT indexrelid, indrelid, indkey::int2[] FROM pg_catalog.pg_index) k(oid, relation, numbers)
 WHERE k.oid = ANY (%s)
"""


def untried_constraints(scene: Scene) -> tuple[Finding, ...]:
    """`old-release-breaks`, a warning, for each new constraint over columns that a release knows of an empty table."""
    known = {item.oid for kind in ("constraint", "index") for item in scene.before.of_kind(kind)}
    found: list[Finding] = []
    for now, then in predecessors(scene):
        new = [item for item in _constraints(scene, now.identity) if item.oid not in known]
        if not new or scene.is_history(now.identity) or not is_empty(scene.template, then.identity):
            continue
        old = {item.name for item in scene.before.children(then.identity, "column")}
        columns = {oid: set(names) for oid, names in scene.copy.execute(_COLUMNS, ([item.oid for item in new],))}
        found += [_finding(scene, item) for item in new if _felt(item, columns.get(item.oid, set()), old)]
    return tuple(found)


def _constraints(scene: Scene, table: str) -> Iterator[CatalogObject]:
    """Its constraints and its unique indexes, those once that are both, and none that it only inherits."""
    for item in scene.after.children(table, "constraint"):
        if item.details["enforced"] and not item.details["inherited"]:
            yield item
    for item in scene.after.children(table, "index"):
        if item.details["unique"] and item.details["constraint"] is None and "attached_to" not in item.attributes:
            yield item


def _felt(item: CatalogObject, columns: set[str], old: set[str]) -> bool:
    """Whether the release can break it: rows of its own hold NULL in new columns, which no key minds."""
    if item.attributes.get("type") == "check":
        return bool(columns & old)
    return columns <= old


def _finding(scene: Scene, item: CatalogObject) -> Finding:
    table = str(item.parent)
    kind = item.attributes["type"] if item.kind == "constraint" else "unique index"
    name = bare(last(item.identity))
    place = scene.find([bare(last(table)), name], ["create", "alter"])
    said = (
        f"The {kind} {name} of {table} is new, made {place}. The table has no row, so nobody could try whether the "
        "running release writes what it refuses. Make sure that it does not, or add it when the next release runs."
    )
    evidence = {"kind": kind, "constraint": name}
    return finding("old-release-breaks", Severity.WARNING, said, place, table, evidence)
