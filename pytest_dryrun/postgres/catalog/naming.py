"""Names for what stands in a system catalog as a number, for people to read."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import pq

from pytest_dryrun.postgres.catalog.addresses import COMMENT, Address, number
from pytest_dryrun.postgres.catalog.rows import Row

SHORT = 120
_LINKS = """
SELECT fktable::oid::regclass::text, fkcols[1], pktable::oid::int8 FROM pg_get_catalog_foreign_keys()
 WHERE array_length(fkcols, 1) = 1 AND NOT is_array
"""


class Named(NamedTuple):
    """What an object is, and its name: `function`, `pg_catalog.initcap(text)`."""

    kind: str
    identity: str

    def __str__(self) -> str:
        repeated = self.identity.startswith(f"{self.kind.split()[0]} ")
        return self.identity if repeated else f"{self.kind} {self.identity}"


@dataclass(frozen=True, slots=True)
class Naming:
    """Names objects of one database; `names` are its system catalogs by oid, `links` which column names what."""

    connection: psycopg.Connection[Any]
    names: Mapping[int, str] = field(repr=False)
    links: Mapping[tuple[str, str], int] = field(repr=False)

    def identify(self, address: Address) -> Named | None:
        """Ask the server for the name; None where it has none, or where the object is broken."""
        numbers = {name: oid for oid, name in self.names.items()}
        numbers["pg_largeobject_metadata"] = numbers.get("pg_largeobject", 0)
        comment = address.catalog.startswith(COMMENT)
        found = self._ask(
            "SELECT type, identity FROM pg_identify_object(%s::oid, %s::oid, %s)",
            numbers.get(address.catalog.removeprefix(COMMENT), 0),
            address.oid,
            address.sub,
        )
        if not found or found[1] is None:
            found = self._ask(
                "SELECT 'object', pg_describe_object(%s::oid, %s::oid, %s)",
                numbers.get(address.catalog.removeprefix(COMMENT), 0),
                address.oid,
                address.sub,
            )
        if not found or found[1] is None:
            return None
        return Named("comment on", f"{found[0]} {found[1]}") if comment else Named(*found)

    def row(self, table: str, row: Row, address: Address) -> Named:
        """The name of a row: its own where it has one, else that of the object it is a part of, and its key."""
        own = self.identify(Address(table, number(row["oid"]))) if number(row.get("oid")) else None
        if own is None and table == "pg_attribute":
            own = self.identify(Address("pg_class", number(row["attrelid"]), number(row["attnum"])))
        found = own or self.identify(address)
        if found is None:
            key = ", ".join(f"{name} {value}" for name, value in list(row.items())[:2])
            return Named(f"row of {table}", f"({key})")
        return found

    def value(self, table: str, column: str, value: str | None) -> str:
        """A value as people read it: the name of what a number stands for, long text cut short."""
        if value is None:
            return "none"
        target = self.links.get((table, column))
        if target is not None and value.lstrip("-").isdigit():
            if value == "0":
                return "none"
            found = self.identify(Address(self.names.get(target, ""), int(value)))
            return found.identity if found else value
        flat = " ".join(value.split())
        return flat if len(flat) <= SHORT else flat[: SHORT - 3] + "..."

    def _ask(self, query: LiteralString, *values: object) -> tuple[Any, ...] | None:
        idle = self.connection.info.transaction_status is pq.TransactionStatus.IDLE
        try:
            with nullcontext() if idle else self.connection.transaction():
                return self.connection.execute(query, values).fetchone()
        except psycopg.Error:
            # An object whose catalog rows contradict each other has no name; it is reported by its numbers.
            return None


def naming(connection: psycopg.Connection[Any], names: Mapping[int, str]) -> Naming:
    """Names in the database of this connection."""
    links = {(table, column): target for table, column, target in connection.execute(_LINKS).fetchall()}
    return Naming(connection, names, links)
