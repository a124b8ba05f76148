"""Which object a row of a system catalog belongs to, and whose part that object is.

Source: the manual, "pg_depend" (the meaning of `deptype`) and the catalogs' own pages.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg

from pytest_dryrun.postgres.catalog import Catalog, CatalogObject
from pytest_dryrun.postgres.catalog.kinds import CATALOG_OF
from pytest_dryrun.postgres.catalog.rows import Row


class Address(NamedTuple):
    """An object as pg_depend names it: its catalog, its oid, and the column within it (0 for the whole)."""

    catalog: str
    oid: int
    sub: int = 0


# A comment is an object of its own in the by-name catalog.
COMMENT = "comment "
# Rows that are part of an object that stands in another catalog: the column that holds its oid, and that catalog.
PARTS = {
    "pg_aggregate": ("aggfnoid", "pg_proc"),
    "pg_amop": ("amopfamily", "pg_opfamily"),
    "pg_amproc": ("amprocfamily", "pg_opfamily"),
    "pg_enum": ("enumtypid", "pg_type"),
    "pg_foreign_table": ("ftrelid", "pg_class"),
    "pg_index": ("indexrelid", "pg_class"),
    "pg_inherits": ("inhrelid", "pg_class"),
    "pg_partitioned_table": ("partrelid", "pg_class"),
    "pg_publication_namespace": ("pnpubid", "pg_publication"),
    "pg_publication_rel": ("prpubid", "pg_publication"),
    "pg_range": ("rngtypid", "pg_type"),
    "pg_sequence": ("seqrelid", "pg_class"),
    "pg_subscription_rel": ("srsubid", "pg_subscription"),
    "pg_ts_config_map": ("mapcfg", "pg_ts_config"),
}
# Links of a row to what it is part of, where pg_depend may not tell or tells it only to the other side.
LINKS = {
    "pg_constraint": {
        "conrelid": "pg_class",
        "confrelid": "pg_class",
        "conparentid": "pg_constraint",
        "contypid": "pg_type",
    },
    "pg_trigger": {
        "tgrelid": "pg_class",
        "tgconstrrelid": "pg_class",
        "tgparentid": "pg_trigger",
        "tgconstraint": "pg_constraint",
    },
    "pg_publication_rel": {"prrelid": "pg_class"},
}
TABLE_KINDS = frozenset("rpf")


def address_of(item: CatalogObject, names: Mapping[int, str]) -> Address | None:
    """Where an object of the by-name catalog stands; `names` are the system catalogs by oid.

    None for a kind that is not known here: what stands there counts as listed by nobody.
    """
    if item.kind == "comment":
        return Address(COMMENT + names.get(item.details["class"], ""), item.oid, item.number)
    catalog = CATALOG_OF.get(item.kind)
    return Address(catalog, item.oid, item.number) if catalog else None


def addresses(catalog: Catalog, names: Mapping[int, str]) -> frozenset[Address]:
    """Every object that the by-name catalog has read."""
    return frozenset(filter(None, (address_of(item, names) for item in catalog.objects)))


def number(value: str | None) -> int:
    """An oid or attnum as a row holds it; 0 where there is none."""
    return int(value or 0)


def belongs_to(table: str, row: Row, names: Mapping[int, str], kinds: Mapping[int, str]) -> Address:
    """The object that a row is, or is a part of; `kinds` are relations' relkind by oid."""
    if table in PARTS:
        column, catalog = PARTS[table]
        return Address(catalog, number(row[column]))
    if table == "pg_attribute":
        relation, sub = number(row["attrelid"]), number(row["attnum"])
        return Address("pg_class", relation, sub if sub > 0 and kinds.get(relation) in TABLE_KINDS else 0)
    if table == "pg_attrdef":
        return Address("pg_class", number(row["adrelid"]), number(row["adnum"]))
    if table == "pg_rewrite" and row["rulename"] == "_RETURN":
        return Address("pg_class", number(row["ev_class"]))
    if table == "pg_constraint" and number(row["contypid"]):
        return Address("pg_type", number(row["contypid"]))
    if table == "pg_constraint" and row["contype"] == "n":
        return Address("pg_class", number(row["conrelid"]), number((row["conkey"] or "{0}").strip("{}").split(",")[0]))
    if table in ("pg_description", "pg_seclabel", "pg_init_privs", "pg_shdescription", "pg_shseclabel"):
        prefix = COMMENT if table in ("pg_description", "pg_shdescription") else ""
        sub = number(row.get("objsubid"))
        return Address(prefix + names.get(number(row["classoid"]), ""), number(row["objoid"]), sub)
    if table == "pg_depend":
        return Address(names.get(number(row["classid"]), ""), number(row["objid"]), number(row["objsubid"]))
    return Address(table, number(row.get("oid")))


def linked(table: str, row: Row, address: Address) -> frozenset[Address]:
    """The other objects that a row names as what it is part of."""
    if address.catalog.startswith(COMMENT):
        return frozenset({address._replace(catalog=address.catalog.removeprefix(COMMENT))})
    return frozenset(
        Address(catalog, number(row[column])) for column, catalog in LINKS.get(table, {}).items() if number(row[column])
    )


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose part each object is, by how firmly: i, a, P, S as pg_depend says, e for a member of an extension."""

    of: Mapping[Address, frozenset[tuple[str, Address]]] = field(repr=False)

    def direct(self, address: Address, sorts: Collection[str]) -> frozenset[Address]:
        """What it is directly part of; a column's ties are its table's too, a comment's those of what it is about."""
        address = address._replace(catalog=address.catalog.removeprefix(COMMENT))
        found = self.of.get(address, frozenset())
        if address.sub:
            found |= self.of.get(address._replace(sub=0), frozenset())
        return frozenset(owner for sort, owner in found if sort in sorts)

    def all(self, address: Address, sorts: Collection[str]) -> frozenset[Address]:
        """What it is part of, directly or through others, itself left out; a column is part of its table."""
        seen: set[Address] = set()
        waiting = [address]
        while waiting:
            one = waiting.pop()
            for owner in self.direct(one, sorts) | ({one._replace(sub=0)} if one.sub else set()):
                if owner not in seen:
                    seen.add(owner)
                    waiting.append(owner)
        return frozenset(seen - {address})


_OWNERS = """
WITH RECURSIVE ties AS (
  SELECT d.* FROM unnest(%s::oid[], %s::oid[]) AS asked (class, object)
    JOIN pg_depend d ON d.classid = asked.class AND d.objid = asked.object AND d.deptype IN ('i', 'a', 'P', 'S', 'e')
  UNION
  SELECT d.* FROM ties JOIN pg_depend d ON d.classid = ties.refclassid AND d.objid = ties.refobjid
     AND d.deptype IN ('i', 'a', 'P', 'S', 'e'))
SELECT classid::int8, objid::int8, objsubid, refclassid::int8, refobjid::int8, refobjsubid, deptype::text FROM ties
"""


def owners(connection: psycopg.Connection[Any], asked: Iterable[Address], names: Mapping[int, str]) -> Owners:
    """Ask a database whose part these objects are."""
    numbers = {name: oid for oid, name in names.items()}
    pairs = {
        (numbers[name], address.oid) for address in asked if (name := address.catalog.removeprefix(COMMENT)) in numbers
    }
    found: dict[Address, set[tuple[str, Address]]] = defaultdict(set)
    rows = connection.execute(_OWNERS, ([pair[0] for pair in pairs], [pair[1] for pair in pairs])).fetchall()
    for class_oid, oid, sub, ref_class, ref_oid, ref_sub, sort in rows:
        owner = Address(names.get(ref_class, ""), ref_oid, ref_sub)
        found[Address(names.get(class_oid, ""), oid, sub)].add((sort, owner))
    return Owners({address: frozenset(ties) for address, ties in found.items()})
