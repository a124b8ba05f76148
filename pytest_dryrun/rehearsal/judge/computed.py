"""What the server computed by a function and keeps, where the migrations put another function in its place.

Index entries, stored generated columns, the partition a row lies in and checks that rows have passed stay as the old
function made them (manual: "CREATE FUNCTION", IMMUTABLE; "CREATE INDEX", "Notes"). So each row is computed by the new
function and again by the old one, which is put back for that in a transaction that is rolled back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.catalog.difference import CatalogChange
from pytest_dryrun.rehearsal.judge.counting import count_where, finding, primary_key
from pytest_dryrun.rehearsal.judge.remedies.facts import Facts
from pytest_dryrun.rehearsal.judge.remedies.indexes import rebuilt
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.sql.names import bare, identifier, last, parts

# The functions that were replaced, and those whose bodies speak of them: the server knows nothing of the latter.
_CALLERS = """
WITH RECURSIVE mine (oid, name) AS (
    SELECT oid, proname FROM pg_proc WHERE oid = ANY(%s)
    UNION SELECT p.oid, p.proname FROM pg_proc p
    JOIN mine ON p.prosrc ~* ('\\m' || regexp_replace(mine.name, '\\W', '.', 'g') || '\\M') WHERE p.oid >= 16384)
SELECT array_agg(oid::int8) FROM mine
"""
# Whatever of a table was computed by one of them, apart from what the migrations built anew.
_KEPT = """
SELECT DISTINCT 'index', i.indexrelid::int8, format('%%I.%%I', n.nspname, ic.relname),
       format('%%I.%%I', tn.nspname, t.relname), ic.relfilenode::int8,
       array_remove(pg_get_expr(i.indpred, i.indrelid)
         || ARRAY(SELECT pg_get_indexdef(i.indexrelid, k, false) FROM generate_series(1, i.indnkeyatts) k
                   WHERE i.indkey[k - 1] = 0), NULL), ''
  FROM pg_depend d JOIN pg_index i ON i.indexrelid = d.objid JOIN pg_class ic ON ic.oid = i.indexrelid
  JOIN pg_namespace n ON n.oid = ic.relnamespace JOIN pg_class t ON t.oid = i.indrelid
  JOIN pg_namespace tn ON tn.oid = t.relnamespace
 WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_proc'::regclass AND d.refobjid = ANY(%(functions)s)
   AND t.relkind IN ('r', 'm')
UNION ALL
SELECT DISTINCT 'column', a.attrelid::int8, format('%%I.%%I.%%I', n.nspname, c.relname, a.attname),
       format('%%I.%%I', n.nspname, c.relname), 0, ARRAY[pg_get_expr(e.adbin, e.adrelid)], a.attname::text
  FROM pg_depend d JOIN pg_attrdef e ON e.oid = d.objid JOIN pg_class c ON c.oid = e.adrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = e.adnum AND a.attgenerated = 's'
 WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_proc'::regclass AND d.refobjid = ANY(%(functions)s)
   AND c.relkind IN ('r', 'p') AND NOT c.relispartition
UNION ALL
SELECT DISTINCT 'partition key', c.oid::int8, format('%%I.%%I', n.nspname, c.relname),
       format('%%I.%%I', n.nspname, c.relname), 0, ARRAY[pg_get_expr(p.partexprs, p.partrelid)], ''
  FROM pg_depend d JOIN pg_partitioned_table p ON p.partrelid = d.objid JOIN pg_class c ON c.oid = p.partrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_proc'::regclass AND d.refobjid = ANY(%(functions)s)
   AND p.partexprs IS NOT NULL
UNION ALL
SELECT DISTINCT 'check', k.oid::int8, format('%%I.%%I.%%I', n.nspname, c.relname, k.conname),
       format('%%I.%%I', n.nspname, c.relname), 0, ARRAY[pg_get_expr(k.conbin, k.conrelid)], ''
  FROM pg_depend d JOIN pg_constraint k ON k.oid = d.objid JOIN pg_class c ON c.oid = k.conrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE d.classid = 'pg_constraint'::regclass AND d.refclassid = 'pg_proc'::regclass AND d.refobjid = ANY(%(functions)s)
   AND k.contype = 'c' AND k.convalidated AND k.coninhcount = 0
 ORDER BY 1, 3
"""


@dataclass(frozen=True, slots=True)
class _Kept:
    """Something that was computed by a replaced function: what kind of thing, on which table, by which expressions."""

    kind: str
    oid: int
    name: str
    table: str
    file: int
    expressions: tuple[str, ...]
    column: str


def kept_computed(scene: Scene) -> tuple[Finding, ...]:
    """`object-changed` and `constraint-violated`: what no longer agrees with the function that is there now."""
    replaced = [
        change
        for change in scene.changes
        if change.kind == "function" and change.old and change.new and "definition" in change.attributes
    ]
    if not replaced:
        return ()
    oids = [change.new.oid for change in replaced if change.new]
    functions = (scene.copy.execute(_CALLERS, (oids,)).fetchone() or (oids,))[0]
    found: list[Finding] = []
    rows = scene.copy.execute(_KEPT, {"functions": functions}).fetchall()
    for kind, oid, name, table, file, expressions, column in rows:
        item = _Kept(kind, oid, name, table, file, tuple(expressions), column)
        if not scene.is_history(item.table) and not _built_anew(scene, item):
            found += _judged(scene, item, replaced)
    return tuple(found)


def _built_anew(scene: Scene, item: _Kept) -> bool:
    """Whether an index has another file than before the migrations: it was built in them, or again."""
    if item.kind != "index":
        return False
    row = scene.template.execute("SELECT relfilenode::int8 FROM pg_class WHERE oid = %s", (item.oid,)).fetchone()
    return row is None or row[0] != item.file


def _judged(scene: Scene, item: _Kept, replaced: Sequence[CatalogChange]) -> Iterator[Finding]:
    counted = _count(scene, item, replaced)
    if isinstance(counted, int) and not counted:
        return
    names = [bare(parts(change.identity.partition("(")[0])[-1]) for change in replaced]
    place = next((one for name in names if (one := scene.find([name], ["function"])).line is not None), None)
    place = place or scene.find(names[:1], ["function"])
    many = f"{counted:,} rows" if isinstance(counted, int) else f"rows that could not be counted ({counted})"
    functions = ", ".join(change.identity for change in replaced)
    start = f"{item.kind[0].upper()}{item.kind[1:]} {last(item.name)} of {item.table}"
    instead = f"another one is in its place {place}"
    kept = scene.after.find("index", item.name)
    remedy = rebuilt(Facts(scene.before, scene.after), kept, "") if kept else None
    said = {
        "index": f"{start} keeps what the old function {functions} gave for {many}; {instead}. Queries that use the "
        f"index miss these rows or find wrong ones.",
        "column": f"{start} keeps what the old function {functions} gave for {many}; {instead}. Each value changes "
        "with the next UPDATE of its row, and in a restore of a dump. Write the rows again in batches.",
        "partition key": f"Table {item.table} is partitioned by function {functions}, and {instead}: {many} lie in "
        "partitions where no query looks for them. Put the old function back, or move the rows.",
        "check": f"{start} is marked as valid, but {many} break it since function {functions} was replaced {place}: "
        "every UPDATE of such a row fails. Fix these rows first.",
    }[item.kind]
    rule = "constraint-violated" if item.kind == "check" else "object-changed"
    evidence = {
        "kind": item.kind,
        "object": item.name,
        "rows": counted if isinstance(counted, int) else None,
        "functions": [change.identity for change in replaced],
    }
    about = None if item.kind == "partition key" else item.name
    yield finding(rule, Severity.BLOCKER, said, place, item.table, evidence, about=about, remedy=remedy)


def _count(scene: Scene, item: _Kept, replaced: Sequence[CatalogChange]) -> int | str:
    """Rows for which the two functions do not agree; of a stored column or a check, rows that the new one denies."""
    connection = scene.copy
    [expression, *_] = item.expressions
    if item.kind in ("column", "check"):
        stored = sql.SQL("NOT ({})").format(sql.SQL(expression))
        if item.kind == "column":
            value = sql.Identifier(bare(last(item.table)), item.column)
            stored = sql.SQL("{} IS DISTINCT FROM ({})").format(value, sql.SQL(expression))
        found = count_where(
            connection,
            item.table,
            stored,
            primary_key(connection, item.table),
            alias=bare(last(item.table)),
            search_path="public",
        )
        return found if isinstance(found, str) else found[0]
    values = sql.SQL(", ").join(sql.SQL("({})::text").format(sql.SQL(one)) for one in item.expressions)
    rows = sql.SQL("SELECT tableoid AS part, ctid AS place, ARRAY[{}] AS given FROM {}").format(
        values, identifier(item.table)
    )
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("SET LOCAL search_path = public")
            connection.execute(sql.SQL("CREATE TEMP TABLE dryrun_computed ON COMMIT DROP AS {}").format(rows))
            for change in replaced:
                if change.old:
                    connection.execute(change.old.attributes["definition"].encode())
            query = sql.SQL(
                "SELECT count(*) FROM ({}) AS old JOIN pg_temp.dryrun_computed AS new USING (part, place)"
                " WHERE old.given IS DISTINCT FROM new.given"
            ).format(rows)
            return int((connection.execute(query).fetchone() or (0,))[0])
    except psycopg.Error as error:
        return " ".join(str(error).split())
