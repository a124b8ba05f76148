"""The accounts of the catalog ledger: every difference with its claim, and whether somebody has listed it already."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
    number,
    owners,
)
from pytest_dryrun.postgres.catalog.claims import WHOLE_ROW, Claim, Claims
from pytest_dryrun.postgres.catalog.difference import Action, CatalogChange
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

    `listed` names the attributes by which an object is listed there, `unpaired` what is created or dropped, `outside`
    what no migration is judged by.
    """

    before: frozenset[Address] = field(repr=False)
    after: frozenset[Address] = field(repr=False)
    listed: Mapping[Address, frozenset[str]] = field(repr=False)
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

    def _shown(self, item: Difference, where: Collection[Address]) -> bool:
        """Whether the schema difference lists one of these objects with an attribute that shows this difference."""
        attributes = item.claim.listed if item.claim else frozenset()
        return any(not attributes.isdisjoint(self.listed.get(one, ())) for one in where)

    def is_listed(self, item: Difference) -> bool:
        """Whether the schema difference shows this: the attribute, or the object or its owner as created or dropped.

        That another attribute of the same object is listed says nothing. What an extension came, went or was updated
        with is the extension's.
        """
        if item.claim and item.claim.judge == "privileges" and item.event is Event.CHANGED:
            return self._shown(item, {item.address})  # a table's row type has rights of its own
        whole = self._whole(item)
        extensions = {one for one in self._owners(item).all(item.address, "e") if one.catalog == "pg_extension"}
        if self._shown(item, whole | extensions) or self._came_or_went(item, whole):
            return True
        return any(one in self.unpaired or "version" in self.listed.get(one, ()) for one in extensions)

    def _came_or_went(self, item: Difference, whole: Collection[Address]) -> bool:
        if item.event is Event.CHANGED:
            return item.address in self.unpaired
        here, there = (self.after, self.before) if item.event is Event.ADDED else (self.before, self.after)
        return any(one in self.unpaired or (one in here and one not in there) for one in whole)

    def is_dropped_or_made(self, item: Difference) -> bool:
        """Whether the schema difference lists this very object as dropped or created."""
        return item.address in self.unpaired

    def is_granted_anew(self, item: Difference) -> bool:
        """Whether these are the rights on an object that was made again, which the schema difference compares."""
        return item.remade and item.claim is not None and bool(item.claim.listed)

    def is_near_a_listed_one(self, item: Difference) -> bool:
        """Whether the schema difference shows this at the object, or at the table that it stands in."""
        around = self._around(item)
        return self.is_listed(item) or self._shown(item, around) or not self.unpaired.isdisjoint(around)

    def is_compared(self, item: Difference) -> bool:
        """Whether the schema difference has compared this object's definition, and so found it equal or listed it.

        Of a column it has done so where it reads the column itself: a view's columns are in no difference.
        """
        whole = {item.address} if item.address.sub else self._whole(item)
        return self.is_listed(item) or any(one in self.before and one in self.after for one in whole)

    def is_reported(self, item: Difference, rules: Sequence[str], reported: Sequence[Finding]) -> bool:
        """Whether a judge of its own has reported this very object, or its table as a whole, by one of these rules."""
        starts = {item.address, *linked(item.row.table, item.row.row, item.address)}
        ties = self._owners(item)
        objects = starts.union(*(ties.all(start, ANY) for start in starts))
        tables = self._names(one._replace(sub=0) for one in objects | self._whole(item))
        own = self._names(objects)
        return any(
            one.rule in rules and (one.object in own if one.object else one.table in tables) and self._there(item, one)
            for one in reported
        )

    def _names(self, of: Iterable[Address]) -> frozenset[str]:
        return frozenset(name for one in of if (name := self.identities.get(one)))

    def _there(self, item: Difference, finding: Finding) -> bool:
        """Whether a finding about a constraint, which may be off on some tables alone, means this trigger's table."""
        tables = finding.evidence.get("tables") if item.row.table == "pg_trigger" else None
        return not tables or self.identities.get(Address("pg_class", number(item.row.row["tgrelid"]))) in tables


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
    torn = _torn(located, names)
    found: list[Difference] = []
    for number_of, (one, address) in enumerate(located):
        old = one.event is Event.REMOVED
        sort = sort_of(one.table, one.row, address, known[0 if old else 1], ties[0 if old else 1])
        found += [
            Difference(
                one,
                column,
                address,
                sort,
                None if number_of in torn else claims.claim(one.table, column, one.event, sort),
            )
            for column in one.columns or (WHOLE_ROW,)
        ]
    temporary = {
        Address("pg_class", oid)
        for connection in (scene.template, scene.copy)
        for (oid,) in connection.execute("SELECT oid::int8 FROM pg_class WHERE relpersistence = 't'")
    }
    return _opened(scene, names, ties, temporary), tuple(found)


def _torn(located: Sequence[tuple[RowChange, Address]], names: Mapping[int, str]) -> frozenset[int]:
    """Which of these are dependencies that are gone although nothing was done to either end: taken out by hand.

    What depends is another row where it was given a new definition; a column that is dropped is another row as well.
    """
    done = {address for one, address in located if one.table != "pg_depend"}
    done |= {Address(one.table, number(one.row.get("oid"))) for one, _ in located}
    gone = {Address(one.table, number(one.row.get("oid"))) for one, _ in located if one.event is Event.REMOVED}
    found = set()
    for position, (one, address) in enumerate(located):
        if one.table != "pg_depend" or one.event is not Event.REMOVED or one.row["deptype"] in ("x", "e"):
            continue
        row = one.row
        needed = Address(names.get(number(row["refclassid"]), ""), number(row["refobjid"]), number(row["refobjsubid"]))
        if done.isdisjoint({address, address._replace(sub=0)}) and needed not in gone | (done if needed.sub else set()):
            found.add(position)
    return frozenset(found)


def _opened(
    scene: Scene, names: Mapping[int, str], ties: tuple[Owners, Owners], temporary: Collection[Address]
) -> Accounts:
    listed: dict[Address, frozenset[str]] = defaultdict(frozenset)
    unpaired: set[Address] = set()
    for change in scene.changes:
        for item in (change.old, change.new):
            if item is not None and (address := address_of(item, names)):
                listed[address] |= shown_by(change)
                if change.action in (Action.CREATED, Action.DROPPED):
                    unpaired.add(address)
    identities = {
        address: item.identity
        for catalog in (scene.before, scene.after)
        for item in catalog.objects
        if (address := address_of(item, names))
    }
    return Accounts(
        addresses(scene.before, names),
        addresses(scene.after, names),
        listed,
        frozenset(unpaired),
        identities,
        frozenset({*_history(scene, scene.before, names), *_history(scene, scene.after, names), *temporary}),
        ties,
    )


def shown_by(change: CatalogChange) -> frozenset[str]:
    """The attributes that a change of the by-name catalog shows: `name` and `schema` of a rename, labels of an enum."""
    if change.action is not Action.RENAMED or change.old is None or change.new is None:
        return frozenset(change.attributes)
    if change.kind == "enum value":
        return frozenset({"labels"})
    moved = {"schema"} if change.old.schema != change.new.schema else set()
    return frozenset(moved | ({"name"} if change.old.name != change.new.name else set()))


def _history(scene: Scene, catalog: Catalog, names: Mapping[int, str]) -> Iterator[Address]:
    for table in catalog.of_kind("table"):
        if scene.is_history(table.identity) and (address := address_of(table, names)):
            yield address
