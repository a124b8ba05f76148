"""Indexes and constraints that are there and do not do their work, on the copy and on the migrated target.

On the target each takes the place, and with it the waiver, that the rehearsal's finding about the same object has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import psycopg

from pytest_dryrun.model.scripts import Location
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.catalog import Catalog, CatalogObject
from pytest_dryrun.rehearsal.judge.counting import finding
from pytest_dryrun.rehearsal.judge.remedies.constraints import added_again, fire, validate
from pytest_dryrun.rehearsal.judge.remedies.facts import Facts
from pytest_dryrun.rehearsal.judge.remedies.indexes import invalid
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.rehearsal.judge.validity import Demand, demands_of, judged
from pytest_dryrun.sql.names import bare, last, parts

# What the rehearsal says of an object that is not sound.
_RULES = ("constraint-violated", "constraint-not-valid", "enforcement-off", "invalid-index")


def unfinished_indexes(scene: Scene) -> tuple[Finding, ...]:
    """`invalid-index`: an index that is new, or was valid, and serves no query."""
    found = []
    for item in scene.after.of_kind("index"):
        if not _sound(item) and _newly(item, scene.before) and not scene.is_history(str(item.parent)):
            place = scene.find([bare(parts(str(item.parent))[-1]), item.name], ["index", "attach", "update"])
            found.append(_index(Facts(scene.before, scene.after), item, place, new=True))
    return tuple(found)


def unsound(
    connection: psycopg.Connection[Any], before: Catalog, after: Catalog, rehearsed: Sequence[Finding] = ()
) -> tuple[Finding, ...]:
    """What of the target's indexes and constraints is not sound: as the rehearsal told, a blocker where it did not.

    What was so before these migrations is told as that. Rows are counted for constraints that are NOT VALID now.
    """
    known = _known(rehearsed)
    demands = {demand.identity: demand for demand in demands_of(before, after) if not demand.valid}
    found: list[Finding] = []
    for demand in demands.values():
        found += _counted(connection, demand, known.get(demand.identity))
    for item in after.of_kind("index", "constraint"):
        if _sound(item) or item.identity in demands:
            continue
        new = _newly(item, before)
        if new and item.identity in known:
            found.append(known[item.identity])
        elif item.kind == "index":
            found.append(_index(Facts(before, after), item, Location(), new=new))
        else:
            found.append(_constraint(item, new=new))
    return tuple(found)


def as_judged(found: Sequence[Finding], rehearsed: Sequence[Finding]) -> tuple[Finding, ...]:
    """Rows without a parent on the target, as the rehearsal's finding about the same key, where there is one."""
    known = {name: item for name, item in _known(rehearsed).items() if item.rule == "constraint-violated"}
    return tuple(known.get(item.object or "", item) for item in found)


def _known(rehearsed: Sequence[Finding]) -> Mapping[str, Finding]:
    return {item.object: item for item in rehearsed if item.object is not None and item.rule in _RULES}


def _counted(connection: psycopg.Connection[Any], demand: Demand, known: Finding | None) -> Iterator[Finding]:
    place = Location(known.migration, known.line) if known else Location()
    for made in judged(connection, [demand], lambda _: place):
        # Where the rows are closed to us, the copy's word stands: it held the same ones.
        same = known is not None and (known.rule == made.rule or made.evidence["rows"] is None)
        yield known if known is not None and same else made


def _newly(item: CatalogObject, before: Catalog) -> bool:
    """Whether it is new, or was sound; under another name it is the same one still."""
    same = [old for old in before.of_kind(item.kind) if old.oid == item.oid]
    old = same[0] if same else before.find(item.kind, item.identity)
    return old is None or _sound(old)


def _index(facts: Facts, item: CatalogObject, place: Location, *, new: bool) -> Finding:
    since = f"so since {place}" if new and place.migration else "new with these migrations"
    severity = Severity.BLOCKER if new else Severity.INFO
    said = f"Index {item.identity} on {item.parent} is not valid ({since if new else 'so before these migrations'})"
    if item.details["relkind"] == "I":
        severity = min(severity, Severity.WARNING, key=[Severity.INFO, Severity.WARNING, Severity.BLOCKER].index)
        said += ": not every partition has its part of it."
    else:
        said += ": it costs every write and serves no query."
    made = finding(
        "invalid-index", severity, said, place, item.parent, {"relation": item.identity}, remedy=invalid(facts, item)
    )
    return replace(made, object=item.identity)


def _constraint(item: CatalogObject, *, new: bool) -> Finding:
    name, severity = last(item.identity), Severity.BLOCKER if new else Severity.INFO
    state, remedy = "NOT VALID", validate(str(item.parent), name)
    if item.details.get("enforced", True) is False:
        state, remedy = "NOT ENFORCED", added_again(item)
    elif item.attributes.get("disabled"):
        state, remedy = "not enforced, for its triggers are disabled", fire([str(item.parent)])
    since = "new with these migrations" if new else "so before these migrations"
    said = f"Constraint {name} of {item.parent} is {state} ({since}): rows that break it may be there. "
    said += "Find and fix them."
    evidence = {"relation": item.parent, "constraint": name}
    return finding(
        "invalid-constraint", severity, said, Location(), item.parent, evidence, about=item.identity, remedy=remedy
    )


def _sound(item: CatalogObject) -> bool:
    if item.kind == "index":
        return bool(item.attributes["valid"] and item.attributes["ready"])
    return (
        bool(item.attributes["valid"])
        and not item.attributes.get("disabled")
        and item.details.get("enforced", True) is not False
    )
