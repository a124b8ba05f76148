"""Partitions: attached, or made beside a default one, without reading rows under a lock."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_dryrun.postgres.catalog import CatalogObject
from pytest_dryrun.rehearsal.judge.remedies.constraints import Parts
from pytest_dryrun.rehearsal.judge.remedies.facts import Facts
from pytest_dryrun.rehearsal.judge.remedies.indexes import concurrently
from pytest_dryrun.rehearsal.judge.remedies.remedy import Family, Remedy, Step
from pytest_dryrun.sql.names import last

# What a hash partition demands names its table by oid, which is another one in each database.
_HASH = re.compile(r"satisfies_hash_partition\('\d+'::oid")


def attached(facts: Facts, partition: CatalogObject, *, statement: str = "") -> Remedy:
    """A partition that is new to its table; `statement` made it there, else it existed before and was attached."""
    table, parent = partition.identity, str(facts.parent(partition.identity))
    bound = _HASH.sub(f"satisfies_hash_partition('{parent}'::regclass::oid", facts.bounds.get(table) or "true")
    default = _default(facts, parent)
    own, rest = facts.unused(table, "bound"), facts.unused(default or table, "rest")
    first, then, end = list[str](), list[str](), list[str]()
    if not statement:
        first.append(f"ALTER TABLE {table} ADD CONSTRAINT {own} CHECK {_in_brackets(bound)} NOT VALID;")
        then.append(f"ALTER TABLE {table} VALIDATE CONSTRAINT {own};")
        end.append(f"ALTER TABLE {table} DROP CONSTRAINT {own};")
    if default is not None and default != table:
        first.append(f"ALTER TABLE {default} ADD CONSTRAINT {rest} CHECK (NOT {_in_brackets(bound)}) NOT VALID;")
        then.append(f"ALTER TABLE {default} VALIDATE CONSTRAINT {rest};")
        end.append(f"ALTER TABLE {default} DROP CONSTRAINT {rest};")
    if statement:
        lead = "Prove first, by a CHECK, that the default partition holds no row of the new one; then its rows are not "
        lead += "read."
        made = statement.strip().rstrip(";") + ";"
        return Remedy(Family.NEW_PARTITION, lead, Parts(tuple(first), tuple(then), (made,)).steps(end=end))
    lead = "Prove the bounds first, by a CHECK on the new partition"
    beside = default is not None and default != table
    lead += " and its opposite on the default one; then no row is read." if beside else "; then no row is read."
    attach = f"ALTER TABLE {parent} ATTACH PARTITION {table} {partition.attributes['partition_bound']};"
    parts = Parts((*first, *_keys(facts, table, parent)), (*then, *_validated(facts, table, parent)), (attach,))
    indexes = list(_indexes(facts, table))
    build = Step(tuple(concurrently(item) for item in indexes), alone=True)
    own_keys = tuple(_constraint(facts, item) for item in indexes if facts.constraint_of(item))
    one, two, three = parts.steps(end=end)
    return Remedy(Family.ATTACH, lead, (one, two, build, Step((*own_keys, *three.statements))))


def _in_brackets(condition: str) -> str:
    return condition if condition.startswith("(") and condition.endswith(")") else f"({condition})"


def _default(facts: Facts, parent: str) -> str | None:
    found = facts.partitions(parent)
    return next((item.identity for item in found if item.attributes["partition_bound"] == "DEFAULT"), None)


def _indexes(facts: Facts, table: str) -> Iterator[CatalogObject]:
    """Indexes that ATTACH would build."""
    for item in facts.new("index", table):
        if "attached_to" in item.attributes and item.details["relkind"] == "i":
            yield item


def _constraint(facts: Facts, item: CatalogObject) -> str:
    owner = facts.constraint_of(item)
    kind = "PRIMARY KEY" if owner and owner.attributes["type"] == "primary key" else "UNIQUE"
    name = last(item.identity)
    return f"ALTER TABLE {item.parent} ADD CONSTRAINT {name} {kind} USING INDEX {name};"


def _foreign(facts: Facts, table: str, parent: str) -> list[CatalogObject]:
    """The partitioned table's foreign keys that the partition lacks: ATTACH would hold them against every row."""
    own = {item.attributes["definition"] for item in facts.before.children(table, "constraint")}
    found = [item for one in facts.roots(parent) for item in facts.after.children(one, "constraint")]
    return [
        item for item in found if item.attributes["type"] == "foreign key" and item.attributes["definition"] not in own
    ]


def _keys(facts: Facts, table: str, parent: str) -> Iterator[str]:
    for item in _foreign(facts, table, parent):
        yield f"ALTER TABLE {table} ADD CONSTRAINT {last(item.identity)} {item.attributes['definition']} NOT VALID;"


def _validated(facts: Facts, table: str, parent: str) -> Iterator[str]:
    for item in _foreign(facts, table, parent):
        yield f"ALTER TABLE {table} VALIDATE CONSTRAINT {last(item.identity)};"
