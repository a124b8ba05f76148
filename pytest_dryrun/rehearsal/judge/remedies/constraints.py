"""Constraints: added, and validated, while others read and write."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_dryrun.postgres.catalog import CatalogObject
from pytest_dryrun.rehearsal.judge.remedies import indexes
from pytest_dryrun.rehearsal.judge.remedies.facts import Facts, named
from pytest_dryrun.rehearsal.judge.remedies.remedy import Family, Remedy, Step
from pytest_dryrun.sql.names import last, quoted

NAMED_NOT_NULL = 18  # NOT NULL is a constraint that may be NOT VALID from this version on


@dataclass(frozen=True, slots=True)
class Parts:
    """The statements of a remedy by the migration they may stand in: added at once, validated, finished."""

    first: tuple[str, ...] = ()
    then: tuple[str, ...] = ()
    last: tuple[str, ...] = ()

    def steps(self, *, end: Sequence[str] = ()) -> tuple[Step, ...]:
        """A migration for each."""
        return Step(self.first), Step(self.then), Step((*self.last, *end))


def not_null_parts(facts: Facts, table: str, columns: Sequence[CatalogObject]) -> Parts:
    """How columns become NOT NULL."""
    if facts.major >= NAMED_NOT_NULL:
        wanted = {last(item.identity): item.attributes.get("not_null_name") for item in columns}
        named_so = {column: quoted(name) if name else None for column, name in wanted.items()}
        return required_parts(table, named_so, major=facts.major)
    return required_parts(table, dict.fromkeys(last(item.identity) for item in columns), major=facts.major)


def required_parts(table: str, columns: dict[str, str | None], *, major: int) -> Parts:
    """The same from names alone: quoted columns, each with the name of its constraint where that is known."""
    names = {column: name or named(table, column, "not_null") for column, name in columns.items()}
    validate = tuple(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name};" for name in names.values())
    if major >= NAMED_NOT_NULL:
        add = (
            f"ALTER TABLE {table} ADD CONSTRAINT {name} NOT NULL {column} NOT VALID;" for column, name in names.items()
        )
        return Parts(tuple(add), validate)
    add = (
        f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({column} IS NOT NULL) NOT VALID;"
        for column, name in names.items()
    )
    # In one ALTER TABLE the constraint would go first, and the rows would be read again.
    end = (f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL;" for column in names)
    drop = (f"ALTER TABLE {table} DROP CONSTRAINT {name};" for name in names.values())
    return Parts(tuple(add), validate, (*end, *drop))


def not_null(facts: Facts, table: str, columns: Sequence[CatalogObject]) -> Remedy:
    """Columns that must not be NULL from now on."""
    lead = "Add it NOT VALID, which reads nothing, and validate it later, while others read and write."
    if facts.major < NAMED_NOT_NULL:
        lead = (
            "A valid CHECK proves it, so that SET NOT NULL reads nothing. Others read and write while it is validated."
        )
    return Remedy(Family.NOT_NULL, lead, not_null_parts(facts, table, columns).steps())


def unique(facts: Facts, item: CatalogObject, statement: str) -> Remedy:
    """A unique constraint or primary key."""
    index = facts.index_of(item)
    if item.attributes["type"] == "exclude" or index is None or "WITHOUT OVERLAPS" in item.attributes["definition"]:
        return exclusion(item)
    root = list(facts.roots(str(item.parent)))[-1]
    if root != item.parent:
        item = next(
            (
                one
                for one in facts.new("constraint", root)
                if (own := facts.index_of(one)) and indexes.whole(facts, index).oid == own.oid
            ),
            item,
        )
    table = str(item.parent)
    nullable = _nullable(facts, item)
    if facts.partitioned(table):
        return _unique_of_partitioned(facts, item, nullable)
    given = re.search(r"\bUSING\s+INDEX\s+(?!TABLESPACE\b)(\"(?:[^\"]|\"\")+\"|[\w$]+)", statement, re.IGNORECASE)
    if given:
        name = given[1] if given[1].startswith('"') else given[1].lower()
        lead = f"A primary key makes {_columns(nullable)} NOT NULL and reads every row for it. Make that so first."
        add = (_using(item, name),)
        return Remedy(Family.USING_INDEX, lead, not_null_parts(facts, table, nullable).steps(end=add))
    lead = "Build its index CONCURRENTLY; the constraint then takes it over and reads nothing."
    parts = not_null_parts(facts, table, nullable)
    build = Step((indexes.concurrently(index),), alone=True)
    add = (_using(item, last(index.identity)),)
    if nullable:
        lead += f" Before that, make {_columns(nullable)} NOT NULL."
    return Remedy(Family.UNIQUE, lead, (Step(parts.first), Step(parts.then), build, Step((*parts.last, *add))))


def _columns(columns: Sequence[CatalogObject]) -> str:
    return f"{'column' if len(columns) == 1 else 'columns'} {', '.join(last(item.identity) for item in columns)}"


def _using(item: CatalogObject, index: str) -> str:
    kind = "PRIMARY KEY" if item.attributes["type"] == "primary key" else "UNIQUE"
    late = (" DEFERRABLE" if item.attributes.get("deferrable") else "") + (
        " INITIALLY DEFERRED" if item.attributes.get("deferred") else ""
    )
    return f"ALTER TABLE {item.parent} ADD CONSTRAINT {last(item.identity)} {kind} USING INDEX {index}{late};"


def _nullable(facts: Facts, item: CatalogObject) -> list[CatalogObject]:
    """Columns of a primary key that were not NOT NULL before."""
    index = facts.index_of(item)
    if item.attributes["type"] != "primary key" or index is None:
        return []
    old = {(column.oid, column.number): column for column in facts.before.of_kind("column")}
    found = facts.columns(str(item.parent), index.details["keys"])
    return [
        column
        for column in found
        if (known := old.get((column.oid, column.number))) is not None and not known.attributes["not_null"]
    ]


def _unique_of_partitioned(facts: Facts, item: CatalogObject, nullable: Sequence[CatalogObject]) -> Remedy:
    top = facts.index_of(item)
    below = indexes.parts_of(facts, top) if top else []
    owners = {
        one.details["index"]: one
        for one in facts.after.of_kind("constraint")
        if one.attributes["type"] == item.attributes["type"]
    }
    split = [owners[one.oid] for one in below if one.details["relkind"] == "I"]
    fresh = [one for one in below if one.details["relkind"] == "i" and facts.is_new(one)]
    parts = not_null_parts(facts, str(item.parent), nullable)
    skeleton = tuple(
        f"ALTER TABLE ONLY {one.parent} ADD CONSTRAINT {last(one.identity)} {one.attributes['definition']};"
        for one in (item, *split)
    )
    add = tuple(_using(owners[one.oid], last(one.identity)) for one in fresh)
    lead = (
        "Add it to the partitioned table alone, which reads nothing; build each partition's index CONCURRENTLY, make "
    )
    lead += "it that partition's constraint, and attach it."
    steps = (
        Step(parts.first),
        Step(parts.then),
        Step((*parts.last, *skeleton)),
        Step(tuple(indexes.concurrently(one) for one in fresh), alone=True),
        Step((*add, *indexes.attach(below))),
    )
    return Remedy(Family.UNIQUE_OF_PARTITIONED, lead, steps)


def exclusion(item: CatalogObject | None) -> Remedy:
    """A constraint whose index cannot be built apart from it."""
    kind = "UNIQUE or PRIMARY KEY with WITHOUT OVERLAPS" if item and item.attributes["type"] != "exclude" else "EXCLUDE"
    lead = f"There is no online way to add {kind}: its index cannot be built apart from it. Add it in a maintenance "
    return Remedy(Family.EXCLUDE, lead + "window, or create a new table that has it and move the rows over.")


def checked(facts: Facts, item: CatalogObject) -> Remedy:
    """A check or foreign key."""
    table, name, definition = str(item.parent), last(item.identity), item.attributes["definition"]
    if item.attributes["type"] == "foreign key" and facts.partitioned(table) and facts.major < NAMED_NOT_NULL:
        return _key_of_partitioned(facts, item)
    lead = "Add it NOT VALID, which reads nothing, and validate it later, while others read and write."
    steps = (
        Step((f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition} NOT VALID;",)),
        Step((f"ALTER TABLE {table} VALIDATE CONSTRAINT {name};",)),
    )
    return Remedy(Family.CHECK, lead, steps)


def _key_of_partitioned(facts: Facts, item: CatalogObject) -> Remedy:
    table, name, definition = str(item.parent), last(item.identity), item.attributes["definition"]
    leaves = list(facts.leaves(table))
    lead = f"PostgreSQL {facts.major} takes no NOT VALID foreign key of a partitioned table. Validate one of each "
    lead += "partition first; the table's own then takes those over and reads nothing."
    steps = (
        Step(tuple(f"ALTER TABLE {leaf} ADD CONSTRAINT {name} {definition} NOT VALID;" for leaf in leaves)),
        Step(tuple(f"ALTER TABLE {leaf} VALIDATE CONSTRAINT {name};" for leaf in leaves)),
        Step((f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition};",)),
    )
    return Remedy(Family.KEY_OF_PARTITIONED, lead, steps)


def validate(table: str, name: str) -> Remedy:
    """A constraint that is NOT VALID and that no row breaks; names are quoted."""
    text = f"ALTER TABLE {table} VALIDATE CONSTRAINT {name};"
    lead = "Validate it; others read and write meanwhile."
    return Remedy(Family.VALIDATE, lead, (Step((text,), title="in a migration of a later release"),))


def domain(facts: Facts, identity: str, statement: str) -> Remedy:
    """A check of a domain that is new, or is validated."""
    old, now = facts.before.find("domain", identity), facts.after.find("domain", identity)
    known = old.attributes.get("constraints", {}) if old else {}
    fresh = {
        name: text for name, text in (now.attributes.get("constraints", {}) if now else {}).items() if name not in known
    }
    if not fresh or re.search(r"\bVALIDATE\s+CONSTRAINT\b", statement, re.IGNORECASE):
        return domain_validate()
    add = tuple(
        f"ALTER DOMAIN {identity} ADD CONSTRAINT {name} {text.removesuffix(' NOT VALID')} NOT VALID;"
        for name, text in fresh.items()
    )
    lead = "Add it NOT VALID: it reads nothing, and every new value is checked."
    return Remedy(Family.DOMAIN, lead, (Step(add),), end=domain_validate().lead)


def domain_validate() -> Remedy:
    """The old values of a domain."""
    lead = (
        "There is no online way to validate a domain: VALIDATE CONSTRAINT reads every table that uses it while their "
    )
    return Remedy(Family.DOMAIN_VALIDATE, lead + "writers wait. Do it in a maintenance window, or leave it NOT VALID.")


def added_again(item: CatalogObject) -> Remedy:
    """A check or foreign key that is NOT ENFORCED."""
    table, name = str(item.parent), last(item.identity)
    definition = re.sub(r"( NOT (VALID|ENFORCED))+$", "", item.attributes["definition"])
    lead = "Add it again: NOT VALID it reads nothing, and is validated later, while others read and write."
    steps = (
        Step((f"ALTER TABLE {table} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {definition} NOT VALID;",)),
        Step((f"ALTER TABLE {table} VALIDATE CONSTRAINT {name};",)),
    )
    return Remedy(Family.ADDED_AGAIN, lead, steps)


def fire(tables: Sequence[str]) -> Remedy:
    """Triggers of constraints that are switched off."""
    texts = tuple(f"ALTER TABLE {table} ENABLE TRIGGER ALL;" for table in tables)
    return Remedy(Family.TRIGGERS, "Switch its triggers on again, then check the rows.", (Step(texts),))


def triggers_gone() -> Remedy:
    """A foreign key whose triggers were deleted from the catalog: even DROP CONSTRAINT fails then (XX000)."""
    lead = "There is no online way to bring them back: the catalog is damaged, and DROP CONSTRAINT fails. Take the "
    return Remedy(Family.TRIGGERS_GONE, lead + "statement out of the migration.")
