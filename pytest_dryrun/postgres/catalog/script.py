"""A difference between two catalogs as one SQL script that a person can read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from pytest_dryrun.postgres.catalog.difference import Action, CatalogChange

DEPENDENTS = ("event trigger", "trigger", "rule", "policy", "view", "materialized view")
FIRST = (
    "schema",
    "extension",
    "base type",
    "enum",
    "composite type",
    "range type",
    "domain",
    "collation",
    "foreign-data wrapper",
    "server",
)
ROUTINES = ("function", "procedure", "aggregate")
# Tables are dropped before the types and functions they use, schemas at the very end.
LAST = {"table": 0, "sequence": 1, "function": 2, "procedure": 2, "extension": 8, "schema": 9}
ORDER_IN_TABLE = ("table", "foreign table", "column", "constraint", "index", "statistics")


def as_sql(changes: Sequence[CatalogChange]) -> str:
    """The script that would lead from one schema to the other; empty where nothing differs.

    Grouped by table; what others depend on comes first, and foreign keys come after all tables.
    It is for reading and never run by the dry run: where no exact statement exists, a comment says what is different.
    """
    made = {change.identity for change in changes if change.action is Action.CREATED and change.kind == "table"}
    lost = {change.identity for change in changes if change.action is Action.DROPPED and change.kind == "table"}
    pieces = sorted(piece for number, change in enumerate(changes) for piece in _pieces(number, change, made, lost))
    blocks: list[str] = []
    group = None
    if any(change.kind in ROUTINES and change.action is not Action.DROPPED for change in changes):
        blocks.append("SET check_function_bodies = off;\n")
    for phase, _, heading, *_, text in pieces:
        if (phase, heading) != group:
            group = (phase, heading)
            blocks.append(f"\n-- {heading}\n" if blocks else f"-- {heading}\n")
        blocks.append(text + "\n")
    return "".join(blocks)


Piece = tuple[int, int, str, int, int, int, str]


def _pieces(number: int, change: CatalogChange, made: Collection[str], lost: set[str]) -> Iterable[Piece]:
    """The change's statements with where they stand: phase, rank, heading, order within the heading."""
    heading, kind, item = change.parent or change.identity, change.kind, change.new or change.old
    inner = ORDER_IN_TABLE.index(kind) if kind in ORDER_IN_TABLE else len(ORDER_IN_TABLE)
    oid = item.oid if item else 0
    foreign_key = kind == "constraint" and any(
        side and side.attributes["type"] == "foreign key" for side in (change.old, change.new)
    )
    if change.action is Action.RENAMED:
        inner = 0 if kind in ("table", "view", "materialized view", "schema", "enum") else 1
        yield (2, 0, heading, inner, oid, number, change.sql)
    elif change.action is Action.DROPPED:
        if (
            kind == "table"
            and item
            and "partition_bound" in item.attributes
            and lost.intersection(item.attributes.get("inherits", ()))
        ):
            text = f"-- table {change.identity} goes with {', '.join(item.attributes['inherits'])}"
            yield (12, LAST["table"], f"{kind} {change.identity}", 0, -oid, number, text)
        elif kind == "table" and change.identity in made:
            yield (0, 1, heading, 0, -oid, number, change.sql)
        elif foreign_key or kind in DEPENDENTS:
            yield (0, -oid, heading, 0, 0, number, change.sql)
        elif kind in ("column", "constraint", "index", "statistics", "comment"):
            yield (6, 0, heading, -inner, oid, number, change.sql)
        else:
            yield (12, LAST.get(kind, 5), f"{kind} {change.identity}", 0, -oid, number, change.sql)
    elif kind in FIRST:
        yield (1 if FIRST.index(kind) < 2 else 3, FIRST.index(kind), heading, 0, oid, number, change.sql)
    elif kind == "sequence":
        yield from _sequence(number, change, heading, oid)
    elif kind in ROUTINES:
        yield (5, oid, heading, 0, oid, number, change.sql)
    elif kind in ("table", "foreign table") and change.action is Action.CREATED:
        yield (8 if item and "inherits" in item.attributes else 7, 0, heading, inner, oid, number, change.sql)
    elif foreign_key:
        yield (10, 0, heading, inner, oid, number, change.sql)
    elif kind in ORDER_IN_TABLE and not (item and item.details.get("table_kind") == "m"):
        text = f"-- {kind} {change.identity} follows from the partitioned table" if _follows(change) else change.sql
        yield (9, 0, heading, inner, oid, number, text)
    elif kind == "comment":
        yield (13, 0, "comments", 0, oid, number, change.sql)
    else:
        yield (11, oid, heading, inner, oid, number, change.sql)


def _follows(change: CatalogChange) -> bool:
    """Whether a constraint or an index is made by the server, because the partitioned table has it."""
    new = change.new if change.action is Action.CREATED else None
    return new is not None and bool(new.details.get("inherited") or "attached_to" in new.attributes)


def _sequence(number: int, change: CatalogChange, heading: str, oid: int) -> Iterable[Piece]:
    """A sequence is there before the default that uses it, and owned after its column is there."""
    create = [line for line in change.sql.splitlines() if " OWNED BY " not in line]
    owned = [line for line in change.sql.splitlines() if " OWNED BY " in line]
    if create:
        yield (4, 0, heading, 0, oid, number, "\n".join(create))
    if owned:
        yield (9, 0, heading, 9, oid, number, "\n".join(owned))
