"""What still stands under its name and gives or keeps out less than before, with no row lost and no statement failing.

Enums with fewer values or another order, domains without a check, publications and tables that send fewer changes,
and what the server overlooks because a flag in its catalogs says that it is not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.catalog import CatalogObject
from pytest_dryrun.postgres.catalog.difference import Action, CatalogChange
from pytest_dryrun.rehearsal.judge.counting import finding
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.sql.names import bare, parts

_PUBLISHED = {"pubinsert": "INSERT", "pubupdate": "UPDATE", "pubdelete": "DELETE", "pubtruncate": "TRUNCATE"}
_SURE = "Make sure that it was meant."
# The server looks for these only where the flag says so. It may say so in vain; nothing but a write to the catalogs
# makes it deny what is there.
_OVERLOOKED = """
SELECT format('%I.%I', n.nspname, c.relname), flag
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL (
    SELECT 'relhasindex' AS flag WHERE NOT c.relhasindex AND EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid)
    UNION ALL SELECT 'relhastriggers'
      WHERE NOT c.relhastriggers AND EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal)
    UNION ALL SELECT 'relhasrules' WHERE NOT c.relhasrules AND EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid)
    UNION ALL SELECT 'relhassubclass'
      WHERE NOT c.relhassubclass AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid)
    UNION ALL SELECT 'relchecks'
      WHERE c.relchecks < (SELECT count(*) FROM pg_constraint WHERE conrelid = c.oid AND contype = 'c')
    UNION ALL SELECT 'atthasdef' WHERE EXISTS (SELECT FROM pg_attrdef d JOIN pg_attribute a
      ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE d.adrelid = c.oid AND NOT a.atthasdef)) found
 WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pytest_dryrun')
 ORDER BY 1, 2
"""
_HARM = {
    "relhasindex": "its indexes: new rows are missing in them, and nothing keeps keys apart",
    "relhastriggers": "its triggers: they no longer fire",
    "relhasrules": "its rules: they no longer apply",
    "relhassubclass": "its children: their rows are no longer read with it",
    "relchecks": "its checks: rows that they kept out go in",
    "atthasdef": "its defaults: columns that are left out are NULL",
}


def narrowed(scene: Scene) -> tuple[Finding, ...]:
    """`object-dropped` and `object-changed` about objects that were changed, not dropped."""
    found: list[Finding] = []
    for change in scene.changes:
        if change.action is not Action.CHANGED or change.old is None or change.new is None:
            continue
        if change.kind == "enum" and "labels" in change.attributes:
            found += _enum(scene, change, change.old, change.new)
        elif change.kind == "domain" and "constraints" in change.attributes:
            found += _domain(scene, change, change.old, change.new)
        elif change.kind == "publication":
            found += _publication(scene, change, change.old, change.new)
        elif change.kind == "table" and change.new.attributes.get("replica_identity") == "NOTHING":
            found += _replica_identity(scene, change)
    return (*found, *_overlooked(scene))


def _overlooked(scene: Scene) -> Iterator[Finding]:
    known = {(table, flag) for table, flag in scene.template.execute(_OVERLOOKED)}
    for table, flag in scene.copy.execute(_OVERLOOKED):
        if (table, flag) in known:
            continue
        place = scene.find_first([flag], ["update"], ["do", "select"])
        said = f"The server overlooks from now on what {table} has, for {flag} in the catalogs denies it, written "
        said += f"{place}. It overlooks {_HARM[flag]}. Set the flag as it was, and leave the system catalogs alone."
        evidence = {"kind": "table", "object": table, "flag": flag}
        yield finding("object-changed", Severity.BLOCKER, said, place, table, evidence, about=table)


def _enum(scene: Scene, change: CatalogChange, old: CatalogObject, new: CatalogObject) -> Iterator[Finding]:
    """Values that are gone, and the order of those that stay. In place, only a write to pg_enum does either."""
    place = scene.find([bare(parts(change.identity)[-1])], ["type", "update", "delete"])
    in_place = old.oid == new.oid
    labels, now = ([*item.attributes.get("labels", ())] for item in (old, new))
    # A label that was renamed is the same one, by its oid.
    ids, ids_now = (item.details["label_oids"] or [] for item in (old, new)) if in_place else (labels, now)
    gone = [label for key, label in zip(ids, labels, strict=True) if key not in ids_now]
    if gone:
        values = ", ".join(map(repr, gone))
        if in_place:
            said = f"{values} of enum {change.identity} {'are' if gone[1:] else 'is'} deleted from pg_enum {place}. "
            said += "Rows and indexes that hold such a value can no longer be read, and the server does not look. "
            said += "Make a new type without it, and change the columns to that."
        else:
            said = f"Enum {change.identity} is made again without {values} {place}. A release that still writes these "
            said += "values fails: take them out of use first."
        severity = Severity.BLOCKER if in_place else Severity.WARNING
        evidence = {"kind": "enum value", "object": change.identity, "values": gone}
        yield finding("object-dropped", severity, said, place, None, evidence)
    if [key for key in ids if key in ids_now] != [key for key in ids_now if key in ids]:
        said = f"The values of enum {change.identity} are put in another order {place}: {_few(labels)} before, "
        said += f"{_few(now)} now. ORDER BY, <, >, min and max give other results from now on, and nothing fails. "
        if in_place:
            said += "The order was written into pg_enum, so indexes on such columns are still sorted the old way, and "
            said += "queries that use them miss rows. Make a new type, and change the columns to that."
        else:
            said += _SURE
        severity = Severity.BLOCKER if in_place else Severity.WARNING
        evidence = {"kind": "enum", "object": change.identity, "before": labels, "after": now}
        yield finding("object-changed", severity, said, place, None, evidence, about=change.identity)


def _few(labels: Sequence[str]) -> str:
    return ", ".join(map(repr, labels[:8])) + (", ..." if len(labels) > 8 else "")


def _domain(scene: Scene, change: CatalogChange, old: CatalogObject, new: CatalogObject) -> Iterator[Finding]:
    """Checks that are gone under any name; one that says something else under its old name is listed."""
    checks, now = (item.attributes.get("constraints") or {} for item in (old, new))
    for name, definition in checks.items():
        if name in now or definition in now.values():
            continue
        identity = f"{change.identity}.{name}"
        place = scene.find([bare(name)], ["drop", "delete"])
        said = f"Check {name} of domain {change.identity} is dropped {place}: values that it kept out go in from now "
        said += f"on, in every column of this type. {_SURE}"
        evidence = {"kind": "constraint", "object": identity, "definition": definition}
        yield finding("object-dropped", Severity.WARNING, said, place, None, evidence, about=identity)


def _publication(scene: Scene, change: CatalogChange, old: CatalogObject, new: CatalogObject) -> Iterator[Finding]:
    then, now = old.attributes, new.attributes
    less = [f"any {word}" for key, word in _PUBLISHED.items() if then[key] and not now[key]]
    if not now["puballtables"]:
        less += ["every table"] if then["puballtables"] else []
        renamed = {item.identity: item.renamed_to for item in scene.changes if item.renamed_to}
        tables = {item["table"]: item for item in now.get("tables") or ()}
        for item in then.get("tables") or ():
            table = renamed.get(item["table"]) or item["table"]
            if table not in tables:
                less.append(f"table {table}")
                continue
            mine = tables[table]
            less += [f"all columns of {table}"] if mine.get("columns") not in (None, item.get("columns")) else []
            less += [f"all rows of {table}"] if mine.get("where") not in (None, item.get("where")) else []
        schemas = [renamed.get(name) or name for name in then.get("schemas") or ()]
        less += [f"schema {name}" for name in schemas if name not in (now.get("schemas") or ())]
    if less:
        place = scene.find([bare(change.identity)], ["alter", "drop", "update", "delete"])
        said = f"Publication {change.identity} no longer sends {', '.join(less)}, changed {place}: subscribers keep "
        said += f"the rows that they have, get no further changes, and nobody is told. {_SURE}"
        evidence = {"kind": "publication", "object": change.identity, "no_longer": less}
        yield finding("object-changed", Severity.WARNING, said, place, None, evidence, about=change.identity)


def _replica_identity(scene: Scene, change: CatalogChange) -> Iterator[Finding]:
    if "replica_identity" not in change.attributes:
        return
    place = scene.find([bare(parts(change.identity)[-1])], ["replica", "alter", "update"])
    said = f"{change.identity} has REPLICA IDENTITY NOTHING, set {place}: the stream of changes no longer says which "
    said += "row was updated or deleted, and where a publication sends these, every UPDATE and DELETE of the table "
    said += f"fails. {_SURE}"
    evidence = {"kind": "table", "object": change.identity}
    yield finding("object-changed", Severity.WARNING, said, place, change.identity, evidence)
