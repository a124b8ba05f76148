"""What differs between two catalogs, object by object."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pytest_dryrun.postgres.catalog import Catalog, CatalogObject
from pytest_dryrun.postgres.catalog.statements import alter_sql, create_sql, drop_sql, rename_sql
from pytest_dryrun.sql.names import last, literal

# A row of these is data: made again under the same name it is another one.
DATA_KINDS = ("table", "column")
# Their identity is made of other objects' names; they have no name of their own that could change.
NAMELESS = ("comment", "default privileges", "cast", "user mapping", "transform")
# Their text is kept as it was typed: the server does not follow renames in it.
VERBATIM = ("function", "procedure", "aggregate", "comment", "event trigger")
# What a restore does not bring back, or brings back as the new server has it.
NOT_RESTORED = ("version", "disabled", "tablespace")
ROLE_ATTRIBUTES = ("owner", "grants", "roles")
QUERY_KINDS = ("view", "materialized view", "rule", "policy", "trigger")


class Action(StrEnum):
    """What became of one object."""

    CREATED = "created"
    DROPPED = "dropped"
    CHANGED = "changed"
    RENAMED = "renamed"


@dataclass(frozen=True, slots=True)
class CatalogChange:
    """One object that differs.

    `identity` is its name before (after, where it was created), `renamed_to` its new name.
    `attributes` names what differs where it was changed. `old` and `new` are the whole objects,
    None on the side where there is none.
    What belongs to a dropped table is not listed again, nor are the columns of a created one.
    """

    action: Action
    kind: str
    identity: str
    parent: str | None
    sql: str
    renamed_to: str | None = None
    attributes: tuple[str, ...] = ()
    old: CatalogObject | None = field(default=None, repr=False)
    new: CatalogObject | None = field(default=None, repr=False)

    @property
    def before(self) -> str | None:
        """The SQL that made the old object."""
        return self.old.definition if self.old else None

    @property
    def after(self) -> str | None:
        """The SQL that makes the new object."""
        return self.new.definition if self.new else None


def difference(before: Catalog, after: Catalog, *, follow_oids: bool, roles: bool = True) -> tuple[CatalogChange, ...]:
    """Every change that leads from one catalog to the other; empty for a faithful copy.

    With `follow_oids` both are the same database, or a copy made from a template: objects are paired by oid and attnum,
    so a rename is seen as one, and a table made again under its old name is seen as dropped and created.
    Without, they are paired by name, as after a restore: what pg_dump leaves out (an index that is not valid, the
    versions of extensions, tablespaces) does not count, nor does what every new database has, an empty schema `public`.
    Where the servers' major versions differ, only attributes that both know are compared, and queries without the
    qualifications that PostgreSQL prints since 16 only where they are needed.
    With `roles=False` owners, grants and default privileges are left out: a restore without the roles cannot have them.
    Members of extensions count only with `follow_oids`, and there not what came, went or changed along with the
    extension itself; a table of one that is gone does, for its rows are.
    """
    if not follow_oids:
        before, after = before.without_members(), after.without_members()
    moved = _moved_extensions(before, after)
    pairs, gone, come = _paired(before, after, follow_oids=follow_oids)
    pairs = [(old, new) for old, new in pairs if old.kind in DATA_KINDS or not _along(old, moved)]
    gone = [item for item in gone if item.kind in DATA_KINDS or not _along(item, moved)]
    come = [item for item in come if not _along(item, moved)]
    if not follow_oids:
        gone = [item for item in gone if not _not_dumped(item)]
        come = [item for item in come if not _always_there(item, after)]
    if not roles:
        gone = [item for item in gone if item.kind != "default privileges"]
        come = [item for item in come if item.kind != "default privileges"]
    ignored = (() if follow_oids else NOT_RESTORED) + (() if roles else ROLE_ATTRIBUTES)
    same_text = _renames([pair for pair in pairs if follow_oids])
    across = before.version_num // 10000 != after.version_num // 10000
    changes: list[CatalogChange] = []
    for old, new in pairs:
        if follow_oids:
            changes += _renamed(old, new)
        attributes = _differing(old, new, ignored, same_text, across=across)
        if attributes:
            sql = alter_sql(old, new, attributes)
            changes.append(
                CatalogChange(Action.CHANGED, old.kind, old.identity, old.parent, sql, None, attributes, old, new)
            )
    own = ("table", "foreign table")
    lost_tables, new_tables = ({item.identity for item in side if item.kind in own} for side in (gone, come))
    backed, backed_now = _backed(gone), _backed(come)
    changes += [
        CatalogChange(Action.DROPPED, item.kind, item.identity, item.parent, drop_sql(item), old=item)
        for item in gone
        if not _goes_with(item, lost_tables, backed, gone)
    ]
    changes += [
        CatalogChange(Action.CREATED, item.kind, item.identity, item.parent, create_sql(item), new=item)
        for item in come
        if not (item.kind == "column" and item.parent in new_tables) and not _backs_constraint(item, backed_now)
    ]
    changes += _column_order(before, after) if not follow_oids else []
    return tuple(sorted(changes, key=lambda change: (change.parent or change.identity, change.kind, change.identity)))


Pairs = list[tuple[CatalogObject, CatalogObject]]


def _paired(
    before: Catalog, after: Catalog, *, follow_oids: bool
) -> tuple[Pairs, list[CatalogObject], list[CatalogObject]]:
    """Pair the objects of both sides; what is left over is gone or has come."""
    left, right = list(before.objects), list(after.objects)
    pairs: Pairs = []
    if follow_oids:
        pairs, left, right = _pair(
            left, right, lambda item: (item.kind, item.details.get("class"), item.oid, item.number)
        )
        again = {item.identity for item in left if item.kind == "table"}

        def lone(item: CatalogObject) -> bool:
            """Whether an object of this name made again is another object."""
            return item.kind in DATA_KINDS or item.parent in again

        kept = [item for item in left if lone(item)], [item for item in right if lone(item)]
        rest = [item for item in left if not lone(item)], [item for item in right if not lone(item)]
        more, left, right = _pair(rest[0], rest[1], _by_name)
        return pairs + more, left + kept[0], right + kept[1]
    return _pair(left, right, _by_name)


def _by_name(item: CatalogObject) -> tuple[Any, ...]:
    return (item.kind, item.parent if item.kind != "index" else None, item.identity)


def _pair(
    left: Sequence[CatalogObject], right: Sequence[CatalogObject], key: Callable[[CatalogObject], tuple[Any, ...]]
) -> tuple[Pairs, list[CatalogObject], list[CatalogObject]]:
    known = {key(item): item for item in right}
    pairs = [(item, known.pop(key(item))) for item in left if key(item) in known]
    paired = {id(old) for old, _ in pairs}
    return pairs, [item for item in left if id(item) not in paired], list(known.values())


def _moved_extensions(before: Catalog, after: Catalog) -> Collection[str]:
    """Extensions that were made, dropped or updated."""
    known, now = (
        {item.name: item.attributes["version"] for item in side.of_kind("extension")} for side in (before, after)
    )
    return {name for name in known.keys() | now.keys() if known.get(name) != now.get(name)}


def _along(item: CatalogObject, moved: Collection[str]) -> bool:
    return item.details.get("extension") in moved


def _renamed(old: CatalogObject, new: CatalogObject) -> list[CatalogChange]:
    """A new name or schema of its own, not that of its table; labels of an enum by their oid."""
    changes = []
    # Indexes and owned sequences move with their table.
    moved = old.details.get("namespace") != new.details.get("namespace") and "owned_by" not in old.attributes
    if old.kind not in NAMELESS and old.oid == new.oid and (old.name != new.name or (moved and old.parent is None)):
        sql = rename_sql(old, new)
        changes.append(
            CatalogChange(Action.RENAMED, old.kind, old.identity, old.parent, sql, new.identity, (), old, new)
        )
    if old.kind == "enum":
        now = dict(zip(new.details["label_oids"] or (), new.attributes.get("labels", ()), strict=True))
        for oid, label in zip(old.details["label_oids"] or (), old.attributes.get("labels", ()), strict=True):
            if now.get(oid, label) != label:
                sql = f"ALTER TYPE {new.identity} RENAME VALUE {literal(label)} TO {literal(now[oid])};"
                names = (f"{old.identity}.{literal(label)}", f"{new.identity}.{literal(now[oid])}")
                changes.append(
                    CatalogChange(Action.RENAMED, "enum value", names[0], old.identity, sql, names[1], (), old, new)
                )
    return changes


def _renames(pairs: Sequence[tuple[CatalogObject, CatalogObject]]) -> Callable[[Any], Any]:
    """A function that makes text from before and after alike where only followed renames differ."""
    names: dict[str, str] = {}
    whole: dict[str, str] = {}
    for old, new in pairs:
        if old.kind in NAMELESS or old.oid != new.oid:
            continue
        place = f"\N{SECTION SIGN}{min(last(old.identity), last(new.identity))}"
        if old.name != new.name:
            names[last(old.identity)] = names[last(new.identity)] = place
        if old.schema != new.schema and old.parent is None:
            whole[old.identity] = whole[new.identity] = place
    if not names and not whole:
        return lambda value: value

    def text(value: str) -> str:
        for identity, place in whole.items():
            value = re.sub(rf'(?<![\w"$.]){re.escape(identity)}(?![\w"$])', place, value)
        value = re.sub(r'"(?:[^"]|"")+"|[^\W\d][\w$]*', lambda found: names.get(found[0], found[0]), value)
        return re.sub(r"(\N{SECTION SIGN}\S+) AS \1(?=[,\s]|$)", r"\1", value)

    def followed(value: Any) -> Any:
        if isinstance(value, str):
            return text(value)
        if isinstance(value, list):
            return [followed(item) for item in value]
        if isinstance(value, Mapping):
            return {text(key): followed(item) for key, item in value.items()}
        return value

    return followed


def _differing(
    old: CatalogObject, new: CatalogObject, ignored: Collection[str], same_text: Callable[[Any], Any], *, across: bool
) -> tuple[str, ...]:
    """The names of the attributes that differ."""
    keys = old.attributes.keys() | new.attributes.keys()
    if across:
        keys -= {"not_null_name", "not_null_valid", "not_null_no_inherit"}
        if old.kind in ("collation", "publication"):
            keys = old.attributes.keys() & new.attributes.keys()
    renamed_labels = _labels_followed(old, new)
    found = []
    for key in sorted(keys - set(ignored)):
        one, two = old.attributes.get(key), new.attributes.get(key)
        if (
            across and key == "grants"
        ):  # MAINTAIN exists from PostgreSQL 17 on, and an owner has it or not with the rest
            one, two = ([line for line in lines or () if " MAINTAIN " not in line] for lines in (one, two))
        if one == two or (key == "labels" and renamed_labels):
            continue
        if old.kind not in VERBATIM and same_text(one) == same_text(two):
            continue
        if across and old.kind in QUERY_KINDS and _loosely(one) == _loosely(two):
            continue
        found.append(key)
    return tuple(found)


def _labels_followed(old: CatalogObject, new: CatalogObject) -> bool:
    """Whether an enum's labels differ by renames alone, which are told apart already."""
    return old.oid == new.oid and old.kind == "enum" and old.details["label_oids"] == new.details["label_oids"]


def _loosely(value: Any) -> Any:
    """A query without qualifications, parentheses and spacing; its strings stay as they are."""
    if isinstance(value, str):
        found = re.findall(r"""'(?:[^']|'')*'|"(?:[^"]|"")+"\.?|[^\W\d][\w$]*\.?|\d+|\S""", value)
        return [part for part in found if part not in "()" and not (part.endswith(".") and len(part) > 1)]
    return value


def _not_dumped(item: CatalogObject) -> bool:
    return item.kind == "index" and not item.attributes["valid"] and item.details["table_kind"] != "p"


def _always_there(item: CatalogObject, after: Catalog) -> bool:
    if item.kind == "comment":
        return item.identity in ("schema public", "extension plpgsql")
    if item.kind == "schema" and item.identity == "public":
        return not any(other.schema == "public" for other in after.objects)
    return item.kind == "extension" and item.identity == "plpgsql"


Backed = Collection[tuple[str, int]]


def _backed(side: Sequence[CatalogObject]) -> Backed:
    """The names and indexes of constraints that are indexes at heart; an index comes and goes with its constraint."""
    return {(item.name, item.details["index"]) for item in side if item.kind == "constraint"}


def _backs_constraint(item: CatalogObject, backed: Backed) -> bool:
    return item.kind == "index" and (item.details["constraint"], item.oid) in backed


def _goes_with(
    item: CatalogObject, lost_tables: Collection[str], backed: Backed, gone: Sequence[CatalogObject]
) -> bool:
    if item.kind == "comment":
        thing = item.details["object"]
        own = {name for other in gone for name in (other.identity, f"{last(other.identity)} on {other.parent}")}
        inside = any(thing.startswith(f"{table}.") or thing.endswith(f" on {table}") for table in lost_tables)
        return thing in own or inside
    if item.kind == "sequence" and "owned_by" in item.attributes:
        column = item.attributes["owned_by"]
        return any(other.kind == "column" and other.identity == column for other in gone)
    return item.parent in lost_tables or _backs_constraint(item, backed)


def _column_order(before: Catalog, after: Catalog) -> list[CatalogChange]:
    """Tables whose columns are the same but stand in another order: `SELECT *` and COPY without a list would differ."""
    changes = []
    orders: list[dict[str, list[str]]] = [{}, {}]
    for order, catalog in zip(orders, (before, after), strict=True):
        for column in catalog.of_kind("column"):
            order.setdefault(str(column.parent), []).append(column.name)
    for table in orders[0].keys() & orders[1].keys():
        old, new = orders[0][table], orders[1][table]
        if sorted(old) == sorted(new) and old != new:
            sql = f"-- the columns of {table} stand in another order: {', '.join(new)}"
            items = (before.find("table", table), after.find("table", table))
            changes.append(CatalogChange(Action.CHANGED, "table", table, None, sql, None, ("column_order",), *items))
    return changes
