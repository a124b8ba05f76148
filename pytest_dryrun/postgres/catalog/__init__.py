"""The catalog of a database as one comparable value: everything of a schema that pg_dump would write.

The values are read under `search_path = pg_catalog`, so that every name comes with its schema.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.postgres.catalog.definitions import definition
from pytest_dryrun.postgres.catalog.kinds import CATALOG_OF
from pytest_dryrun.postgres.catalog.pinned import pinned
from pytest_dryrun.postgres.catalog.queries import MEMBERS, queries
from pytest_dryrun.sql.names import last


@dataclass(frozen=True, slots=True)
class CatalogObject:
    """One object of a database.

    `identity` is its quoted, qualified name; `parent` the table that a column, constraint, index, trigger, rule or
    policy belongs to; `name` and `schema` are bare.
    `attributes` is what is compared, `definition` the SQL that would make it.
    `oid`, `number` (a column's attnum), `position` and `details` are this database's own and never compared.
    """

    kind: str
    identity: str
    oid: int = field(compare=False)
    definition: str = field(repr=False)
    attributes: Mapping[str, Any]
    parent: str | None = None
    name: str = ""
    schema: str = ""
    number: int = field(default=0, compare=False)
    position: int = field(default=0, compare=False)
    details: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def is_about(self, kind: str) -> bool:
        """Whether this is an object of a kind, or a comment on one."""
        return self.kind == kind or (self.kind == "comment" and self.identity.startswith(f"{kind} "))


@dataclass(frozen=True, slots=True)
class Catalog:
    """All objects of one database, in an order that does not depend on their oids."""

    version_num: int = field(compare=False)
    objects: tuple[CatalogObject, ...] = field(repr=False)
    _named: Mapping[tuple[str, str], CatalogObject] = field(init=False, compare=False, repr=False)
    _of_tables: Mapping[tuple[str, str], tuple[CatalogObject, ...]] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        children: dict[tuple[str, str], list[CatalogObject]] = defaultdict(list)
        for item in self.objects:
            if item.parent is not None:
                children[item.parent, item.kind].append(item)
        object.__setattr__(self, "_named", {(item.kind, item.identity): item for item in self.objects})
        object.__setattr__(self, "_of_tables", {key: tuple(items) for key, items in children.items()})

    def of_kind(self, *kinds: str) -> tuple[CatalogObject, ...]:
        """The objects of these kinds."""
        return tuple(item for item in self.objects if item.kind in kinds)

    def find(self, kind: str, identity: str) -> CatalogObject | None:
        """The object of this kind and name."""
        return self._named.get((kind, identity))

    def without_members(self) -> Catalog:
        """The same without what belongs to extensions: a dump leaves that to them."""
        if not any("extension" in item.details for item in self.objects):
            return self
        return Catalog(self.version_num, tuple(item for item in self.objects if "extension" not in item.details))

    def without(self, kind: str) -> Catalog:
        """The same without the objects of a kind, and without the comments on them."""
        left = (item for item in self.objects if not item.is_about(kind))
        return Catalog(self.version_num, tuple(left))

    def children(self, table: str, kind: str) -> tuple[CatalogObject, ...]:
        """What belongs to a table; columns in their order."""
        return self._of_tables.get((table, kind), ())


def read_catalog(connection: psycopg.Connection[Any], *, members: bool = False) -> Catalog:
    """Read the catalog in one repeatable-read transaction, or in the one that is open already.

    With `members` the objects of extensions are there too, each with its extension's name among the details.
    Raises TargetUnusable when the server refuses or does not answer in time.
    """
    version_num = connection.info.server_version
    try:
        with pinned(connection):
            with connection.pipeline():
                cursors = [connection.execute(query) for query in queries(version_num, members=members)]
                belonging = connection.execute(MEMBERS) if members else None
            rows = [row for cursor in cursors for row in cursor.fetchall()]
            if belonging is not None:
                rows = _marked(rows, belonging.fetchall())
    except psycopg.Error as error:
        raise TargetUnusable(
            f"The catalog could not be read: {' '.join(str(error).split())}",
            "Without it nothing can be said about the schema, so the dry run cannot go on.",
            "Check that the user may read the system catalogs and that the server is healthy.",
        ) from error
    return Catalog(version_num, tuple(_objects(rows)))


def _marked(rows: Sequence[Sequence[Any]], belonging: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    """The rows, those of extensions with the extension's name among their details."""
    by_name = {(catalog, oid): extension for catalog, _, oid, extension in belonging}
    by_oid = {(classid, oid): extension for _, classid, oid, extension in belonging}
    tables = {row[5]: by_name.get(("pg_class", row[1])) for row in rows if CATALOG_OF.get(row[0]) == "pg_class"}

    def extension(row: Sequence[Any]) -> str | None:
        if row[0] == "comment":
            return by_oid.get((row[9]["class"], row[1]))
        own = by_name.get((CATALOG_OF.get(row[0], ""), row[1]))
        return own or (tables.get(row[6]) if row[6] is not None else None)

    return [(*row[:9], {**row[9], "extension": found}) if (found := extension(row)) else row for row in rows]


def _objects(rows: Sequence[Sequence[Any]]) -> Iterator[CatalogObject]:
    columns: dict[str, list[tuple[str, Mapping[str, Any]]]] = defaultdict(list)
    for kind, _, _, _, _, identity, parent, _, attributes, _ in sorted(rows, key=lambda row: row[7]):
        if kind == "column":
            columns[parent].append((last(identity), attributes))
    for kind, oid, number, schema, name, identity, parent, position, attributes, details in sorted(rows, key=_order):
        text = definition(kind, identity, parent, attributes, columns=columns.get(identity, ()), details=details)
        yield CatalogObject(kind, identity, oid, text, attributes, parent, name, schema, number, position, details)


def _order(row: Sequence[Any]) -> tuple[Any, ...]:
    kind, identity, parent, position = row[0], row[5], row[6], row[7]
    return (parent or identity, parent is not None, kind, position, identity)
