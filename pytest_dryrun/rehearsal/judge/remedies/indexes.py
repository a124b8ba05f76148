"""Indexes: built, rebuilt and dropped while others write."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_dryrun.postgres.catalog import CatalogObject
from pytest_dryrun.rehearsal.judge.remedies.facts import Facts, beside, named
from pytest_dryrun.rehearsal.judge.remedies.remedy import Family, Remedy, Step
from pytest_dryrun.sql.names import last

# What a REINDEX CONCURRENTLY that was interrupted leaves (manual: "REINDEX", Rebuilding Indexes Concurrently).
_LEFT = re.compile(r"_cc(new|old)\d*\"?$")


def built(facts: Facts, index: CatalogObject) -> Remedy:
    """An index that is new, or a part of a partitioned one that is."""
    top = whole(facts, index)
    if top.details["relkind"] == "I":
        return _of_partitioned(facts, top)
    lead = "Writers go on while Postgres builds it CONCURRENTLY."
    return Remedy(Family.INDEX, lead, (Step((concurrently(index),), alone=True),))


def whole(facts: Facts, index: CatalogObject) -> CatalogObject:
    """The index of which this one is a part, itself where it is none."""
    above = index.attributes.get("attached_to")
    found = facts.after.find("index", above) if above else None
    return whole(facts, found) if found else index


def concurrently(index: CatalogObject) -> str:
    """CREATE INDEX CONCURRENTLY for an index as it is."""
    text = re.sub(r"^CREATE (UNIQUE )?INDEX ", r"CREATE \1INDEX CONCURRENTLY ", index.attributes["definition"])
    return _placed(index, text) + ";"


def _placed(index: CatalogObject, definition: str) -> str:
    """The definition with the index's tablespace, which the server does not print."""
    if "tablespace" not in index.attributes:
        return definition
    head, where, condition = definition.rpartition(" WHERE ") if index.details["partial"] else (definition, "", "")
    return f"{head} TABLESPACE {index.attributes['tablespace']}{where}{condition}"


def parts_of(facts: Facts, index: CatalogObject) -> list[CatalogObject]:
    """The parts of a partitioned index on the partitions, of all levels, those above first."""
    found = [item for item in facts.after.of_kind("index") if item.attributes.get("attached_to") == index.identity]
    return [one for item in found for one in (item, *parts_of(facts, item))]


def attach(items: Sequence[CatalogObject]) -> tuple[str, ...]:
    """ATTACH each part, those of the lowest level first."""
    return tuple(
        f"ALTER INDEX {item.attributes['attached_to']} ATTACH PARTITION {item.identity};" for item in reversed(items)
    )


def _of_partitioned(facts: Facts, top: CatalogObject) -> Remedy:
    below = parts_of(facts, top)
    skeleton = [item for item in (top, *below) if item.details["relkind"] == "I"]
    fresh = [item for item in below if item.details["relkind"] == "i" and facts.is_new(item)]
    lead = (
        "An index of a partitioned table cannot be built CONCURRENTLY, those of its partitions can: create it ON ONLY "
    )
    lead += "the table, which reads nothing, then its parts, and attach them."
    steps = (
        Step(tuple(item.attributes["definition"] + ";" for item in skeleton)),
        Step(tuple(concurrently(item) for item in fresh), alone=True),
        Step(attach(below)),
    )
    return Remedy(Family.INDEX_OF_PARTITIONED, lead, steps)


def rebuilt(facts: Facts, item: CatalogObject, statement: str) -> Remedy:
    """An index that a REINDEX, or another place for it, built again."""
    index = item.identity
    constraint = facts.constraint_of(item)
    if constraint is not None and constraint.attributes["type"] == "exclude":
        lead = "There is no online way: the index of an exclusion constraint cannot be rebuilt CONCURRENTLY. "
        return Remedy(Family.REINDEX_EXCLUSION, lead + "Rebuild it in a maintenance window.")
    old = facts.before.find("index", index)
    space = item.attributes.get("tablespace", "pg_default")
    moved = old is not None and old.attributes.get("tablespace", "pg_default") != space
    option = f" (TABLESPACE {space})" if moved and "tablespace" in statement.lower() else ""
    lead = "Readers and writers go on while Postgres rebuilds it CONCURRENTLY."
    return Remedy(Family.REINDEX, lead, (Step((f"REINDEX{option} INDEX CONCURRENTLY {index};",), alone=True),))


def dropped(facts: Facts, index: str) -> Remedy:
    """An index that was there before."""
    old = facts.before.find("index", index)
    if old is not None and (old.details["relkind"] == "I" or "attached_to" in old.attributes):
        lead = (
            "There is no online way: an index of a partitioned table cannot be dropped CONCURRENTLY. The DROP itself "
        )
        lead += "is short; it is the wait for its lock that must be limited, by lock_timeout and a retry."
        return Remedy(Family.DROP_PARTITIONED_INDEX, lead)
    lead = "CONCURRENTLY waits for the others instead of making them wait."
    return Remedy(Family.DROP_INDEX, lead, (Step((f"DROP INDEX CONCURRENTLY {index};",), alone=True),))


def for_key(facts: Facts, table: str, columns: Sequence[str]) -> Remedy:
    """An index on the columns of a foreign key; `columns` are quoted."""
    keys = ", ".join(columns)
    if not facts.partitioned(table):
        text = f"CREATE INDEX CONCURRENTLY ON {table} ({keys});"
        return Remedy(Family.INDEX_OF_KEY, "An index on these columns serves it.", (Step((text,), alone=True),))
    below = _all_below(facts, table)
    names = {each: named(each, *columns, "idx", taken=facts.names(each)) for each in (table, *below)}
    split = [each for each in names if facts.partitioned(each)]
    leaves = [each for each in names if not facts.partitioned(each)]
    steps = (
        Step(tuple(f"CREATE INDEX {names[each]} ON ONLY {each} ({keys});" for each in split)),
        Step(tuple(f"CREATE INDEX CONCURRENTLY {names[each]} ON {each} ({keys});" for each in leaves), alone=True),
        Step(
            tuple(
                f"ALTER INDEX {_in(str(facts.parent(each)), names)} ATTACH PARTITION {_in(each, names)};"
                for each in reversed(below)
            )
        ),
    )
    return Remedy(Family.INDEX_OF_PARTITIONED_KEY, "Indexes on these columns serve it.", steps)


def _all_below(facts: Facts, table: str) -> list[str]:
    return [name for item in facts.partitions(table) for name in (item.identity, *_all_below(facts, item.identity))]


def _in(table: str, names: dict[str, str]) -> str:
    return beside(table, names[table])


def invalid(facts: Facts, index: CatalogObject) -> Remedy:
    """An index that is not valid."""
    if index.details["relkind"] == "I":
        return _missing(facts, index)
    if _LEFT.search(index.identity):
        lead = "A REINDEX CONCURRENTLY that did not end left it. Drop it."
        return Remedy(Family.LEFT_INDEX, lead, (Step((f"DROP INDEX CONCURRENTLY {index.identity};",), alone=True),))
    lead = "Rebuild it; where rows break a unique index, fix them first."
    text = f"REINDEX INDEX CONCURRENTLY {index.identity};"
    return Remedy(Family.INVALID_INDEX, lead, (Step((text,), alone=True),))


def _missing(facts: Facts, index: CatalogObject) -> Remedy:
    """The parts that direct partitions lack: those that fit are attached, the others built first."""
    held = {
        item.parent for item in facts.after.of_kind("index") if item.attributes.get("attached_to") == index.identity
    }
    body = index.attributes["definition"].partition(" USING ")[2]
    create, join = [], []
    for partition in facts.partitions(str(index.parent)):
        table = partition.identity
        if table in held or facts.partitioned(table):
            continue
        fitting = next(
            (
                item
                for item in facts.after.children(table, "index")
                if "attached_to" not in item.attributes
                and item.attributes["valid"]
                and item.details["unique"] == index.details["unique"]
                and item.attributes["definition"].partition(" USING ")[2] == body
            ),
            None,
        )
        if fitting is None:
            name = facts.unused(table, last(index.identity), "part")
            unique = "UNIQUE " if index.details["unique"] else ""
            create.append(f"CREATE {unique}INDEX CONCURRENTLY {name} ON {table} USING {body};")
        identity = fitting.identity if fitting else beside(table, name)
        join.append(f"ALTER INDEX {index.identity} ATTACH PARTITION {identity};")
    lead = "It becomes valid when every partition has its part."
    return Remedy(Family.INDEX_MISSING, lead, (Step(tuple(create), alone=True), Step(tuple(join))))
