"""The accounts of the catalog ledger: every difference with its claim, and whether somebody has listed it already."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_dryrun.model.values import Finding
from pytest_dryrun.postgres.catalog import Catalog
from pytest_dryrun.postgres.catalog.addresses import (
    Address,
    Owners,
    address_of,
    addresses,
    belongs_to,
    linked,
    owners,
)
from pytest_dryrun.postgres.catalog.claims import WHOLE_ROW, Claim, Claims
from pytest_dryrun.postgres.catalog.difference import Action
from pytest_dryrun.postgres.catalog.rows import Event, RowChange
from pytest_dryrun.postgres.catalog.sorts import relations, sort_of
from pytest_dryrun.rehearsal.judge.scene import Scene

# Ties of pg_depend: made by the server as a part (i), of a partitioned table's (P, S), gone with it (a), extension (e).
PART, ANY = "iP", "iPSae"


@dataclass(frozen=True, slots=True)
class Difference:
    """One value, or one whole row (`column` is `*`), that differs, the object it is about, and who claims it.

    `remade` where the object was dropped and made again under its name, so that the row is another one.
    """

    row: RowChange
    column: str
    address: Address
    sort: Mapping[str, str]
    claim: Claim | None
    remade: bool = False

    @property
    def event(self) -> Event:
        """What became of it."""
        return self.row.event


@dataclass(frozen=True, slots=True)
class Accounts:
    """What the by-name catalogs have read before and after, what their difference lists, and whose part is what.

    `unpaired` is what it lists as created or dropped, `outside` what no migration is judged by.
    """

    before: frozenset[Address] = field(repr=False)
    after: frozenset[Address] = field(repr=False)
    listed: frozenset[Address] = field(repr=False)
    unpaired: frozenset[Address] = field(repr=False)
    identities: Mapping[Address, str] = field(repr=False)
    outside: frozenset[Address] = field(repr=False)
    ties: tuple[Owners, Owners] = field(repr=False)

    def _owners(self, item: Difference) -> Owners:
        return self.ties[0] if item.event is Event.REMOVED else self.ties[1]

    def _whole(self, item: Difference) -> frozenset[Address]:
        """The object and everything that it is a part of."""
        ties = self._owners(item)
        if item.event is Event.CHANGED:
            return frozenset({item.address} | ties.all(item.address, PART) - {item.address._replace(sub=0)})
        starts = {item.address} | linked(item.row.table, item.row.row, item.address)
        return frozenset(starts.union(*(ties.all(start, ANY) for start in starts)))

    def is_outside(self, item: Difference) -> bool:
        """Whether this is about the migration tool's own table, or about a session's temporary one."""
        return not self.outside.isdisjoint(self._around(item))

    def _around(self, item: Difference) -> frozenset[Address]:
        """The same, and what the object stands in without being made with it: a column's table."""
        links = linked(item.row.table, item.row.row, item.address)
        return self._whole(item) | links | {item.address._replace(sub=0)}

    def is_listed(self, item: Difference) -> bool:
        """Whether the schema difference lists this object, or what it came, went or was updated with."""
        whole = self._whole(item)
        extensions = self._owners(item).all(item.address, "e")
        if not self.listed.isdisjoint(whole | {one for one in extensions if one.catalog == "pg_extension"}):
            return True
        if item.event is Event.CHANGED:
            return False
        here, there = (self.after, self.before) if item.event is Event.ADDED else (self.before, self.after)
        return any(one in here and one not in there for one in whole)

    def is_dropped_or_made(self, item: Difference) -> bool:
        """Whether the schema difference lists this very object as dropped or created."""
        return item.address in self.unpaired

    def is_near_a_listed_one(self, item: Difference) -> bool:
        """Whether the schema difference lists the object, or the table that it stands in."""
        return self.is_listed(item) or not self.listed.isdisjoint(self._around(item))

    def is_compared(self, item: Difference) -> bool:
        """Whether the schema difference has compared this object's definition, and so found it equal or listed it.

        Of a column it has done so where it reads the column itself: a view's columns are in no difference.
        """
        whole = {item.address} if item.address.sub else self._whole(item)
        return self.is_listed(item) or any(one in self.before and one in self.after for one in whole)

    def is_reported(self, item: Difference, rules: Sequence[str], reported: Sequence[Finding]) -> bool:
        """Whether a judge of its own has reported this object, or its table, by one of these rules."""
        about = {self.identities.get(one) for one in {*self._whole(item), item.address._replace(sub=0)}} - {None}
        about |= {
            self.identities.get(one._replace(sub=0))
            for start in (item.address, *linked(item.row.table, item.row.row, item.address))
            for one in (start, *self._owners(item).all(start, ANY))
        } - {None}
        return any(one.rule in rules and {one.table, one.object} & about for one in reported)


def accounts(
    scene: Scene, changes: Sequence[RowChange], claims: Claims, names: Mapping[int, str]
) -> tuple[Accounts, tuple[Difference, ...]]:
    """Open the accounts for these row changes; `names` are the system catalogs by oid."""
    sides = [[(one.table, side) for one in changes if (side := getattr(one, end))] for end in ("old", "new")]
    known = [relations(connection, rows) for connection, rows in zip((scene.template, scene.copy), sides, strict=True)]
    kinds = {**known[0].kinds, **known[1].kinds}
    located = [(one, belongs_to(one.table, one.row, names, kinds)) for one in changes]
    asked = {address for _, address in located}.union(*(linked(one.table, one.row, at) for one, at in located))
    asked |= {one._replace(sub=0) for one in asked}
    ties = owners(scene.template, asked, names), owners(scene.copy, asked, names)
    found: list[Difference] = []
    for one, address in located:
        old = one.event is Event.REMOVED
        sort = sort_of(one.table, one.row, address, known[0 if old else 1], ties[0 if old else 1])
        found += [
            Difference(one, column, address, sort, claims.claim(one.table, column, one.event, sort))
            for column in one.columns or (WHOLE_ROW,)
        ]
    temporary = {
        Address("pg_class", oid)
        for connection in (scene.template, scene.copy)
        for (oid,) in connection.execute("SELECT oid::int8 FROM pg_class WHERE relpersistence = 't'")
    }
    return _opened(scene, names, ties, temporary), tuple(found)


def _opened(
    scene: Scene, names: Mapping[int, str], ties: tuple[Owners, Owners], temporary: Collection[Address]
) -> Accounts:
    listed = {
        address: change.action in (Action.CREATED, Action.DROPPED)
        for change in scene.changes
        for item in (change.old, change.new)
        if item is not None and (address := address_of(item, names))
    }
    identities = {
        address: item.identity
        for catalog in (scene.before, scene.after)
        for item in catalog.objects
        if (address := address_of(item, names))
    }
    return Accounts(
        addresses(scene.before, names),
        addresses(scene.after, names),
        frozenset(listed),
        frozenset(address for address, alone in listed.items() if alone),
        identities,
        frozenset({*_history(scene, scene.before, names), *_history(scene, scene.after, names), *temporary}),
        ties,
    )


def _history(scene: Scene, catalog: Catalog, names: Mapping[int, str]) -> Iterator[Address]:
    for table in catalog.of_kind("table"):
        if scene.is_history(table.identity) and (address := address_of(table, names)):
            yield address
