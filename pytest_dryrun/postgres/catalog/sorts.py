"""Of which sort a row of a system catalog is: what the conditions in claims.tsv ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg

from pytest_dryrun.postgres.catalog.addresses import Address, Owners, number
from pytest_dryrun.postgres.catalog.rows import FIRST_USER_OID, Row

# Where the sort of row stands in the row itself.
OWN = {
    "pg_class": ("relkind",),
    "pg_constraint": ("contype",),
    "pg_proc": ("prokind",),
    "pg_type": ("typtype",),
    "pg_depend": ("deptype",),
    "pg_collation": ("collprovider",),
    "pg_default_acl": ("defaclobjtype",),
}
# The column that names the relation a row is about.
ABOUT = {
    "pg_class": "oid",
    "pg_attribute": "attrelid",
    "pg_attrdef": "adrelid",
    "pg_index": "indexrelid",
    "pg_inherits": "inhrelid",
    "pg_rewrite": "ev_class",
    "pg_trigger": "tgrelid",
    "pg_sequence": "seqrelid",
    "pg_depend": "objid",
}


@dataclass(frozen=True, slots=True)
class Relations:
    """What the sorts of rows need to know about the relations they are about, by oid."""

    kinds: Mapping[int, str] = field(repr=False)
    toast: frozenset[int] = field(repr=False)


_RELATIONS = """
SELECT oid::int8, relkind::text, relkind = 't' OR relnamespace = 'pg_toast'::regnamespace
  FROM pg_class WHERE oid = ANY (%s::oid[])
"""


def relations(connection: psycopg.Connection[Any], rows: Iterable[tuple[str, Row]]) -> Relations:
    """Ask for the relations that these rows, each with its catalog, are about."""
    asked = {number(row[ABOUT[table]]) for table, row in rows if table in ABOUT}
    found = connection.execute(_RELATIONS, (sorted(asked),)).fetchall()
    return Relations({oid: kind for oid, kind, _ in found}, frozenset(oid for oid, _, toast in found if toast))


def sort_of(table: str, row: Row, address: Address, known: Relations, owners: Owners) -> dict[str, str]:
    """The sort of a row, as names with values: `relkind`, `contype` and the like as the catalog holds them.

    Without values: `builtin` (made by initdb), `member` (of an extension), `internal` (a trigger of a constraint),
    `cloned` (from the same of a partitioned table), `toast` (a toast table or its index), `temporary` (a schema for
    temporary tables), `follows` (a row type or an array type), `owned` (a sequence of a column), `owning` (the tie that
    says so).
    """
    sort = {name: row[name] or "" for name in OWN.get(table, ())}
    if table in ABOUT:
        about = number(row[ABOUT[table]])
        sort.setdefault("relkind", known.kinds.get(about, ""))
        if about in known.toast:
            sort["toast"] = ""
    if address.oid < FIRST_USER_OID:
        sort["builtin"] = ""
    if owners.direct(address, "e"):
        sort["member"] = ""
    sort.update(dict.fromkeys(_flags(table, row, sort, owners, known, address), ""))
    return sort


def _flags(
    table: str, row: Row, sort: Mapping[str, str], owners: Owners, known: Relations, address: Address
) -> Iterable[str]:
    if table == "pg_trigger":
        # Up to PostgreSQL 14 what is cloned to a partition says that it is internal, too.
        if row["tgisinternal"] == "true" and number(row["tgconstraint"]):
            yield "internal"
        if number(row["tgparentid"]):
            yield "cloned"
    if table == "pg_constraint" and number(row["conparentid"]):
        yield "cloned"
    if table == "pg_namespace" and (row["nspname"] or "").startswith(("pg_temp_", "pg_toast_temp_")):
        yield "temporary"
    if table == "pg_type" and _follows(row, address, owners):
        yield "follows"
    if table == "pg_class" and sort["relkind"] == "S" and _columns(owners.direct(address, "ai")):
        yield "owned"
    if table == "pg_depend" and number(row["refobjsubid"]) and known.kinds.get(number(row["objid"])) == "S":
        yield "owning"


def _columns(found: Iterable[Address]) -> bool:
    return any(owner.catalog == "pg_class" and owner.sub for owner in found)


def _follows(row: Row, address: Address, owners: Owners) -> bool:
    """Whether a type was made together with a relation or another type, whose name and place it follows."""
    made_for = owners.direct(address, "i")
    if row["typtype"] == "c":
        return any(owner.catalog == "pg_class" for owner in made_for)
    return row["typtype"] == "b" and any(owner.catalog == "pg_type" for owner in made_for)
