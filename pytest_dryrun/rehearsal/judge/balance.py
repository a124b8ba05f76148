"""The catalog ledger: every row of the system catalogs that differs is claimed by exactly one judge, or is a blocker.

What the claims leave to others is checked: the schema difference must have listed the object, a judge of its own must
have reported it. Where nobody did, it is reported here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.catalog.addresses import Address, number
from pytest_dryrun.postgres.catalog.claims import SILENT, WHOLE_ROW, Claims, claims
from pytest_dryrun.postgres.catalog.cluster import Cluster, cluster_changes
from pytest_dryrun.postgres.catalog.naming import Named, Naming, naming
from pytest_dryrun.postgres.catalog.rows import Event, SystemTable, differing_rows, system_tables
from pytest_dryrun.rehearsal.judge.accounts import Accounts, Difference, accounts
from pytest_dryrun.rehearsal.judge.privileges import Grants, privilege_findings
from pytest_dryrun.rehearsal.judge.remade import remade
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.rehearsal.judge.settings import settings_findings
from pytest_dryrun.sql.names import bare, parts

FEW = 5
# More findings than this about the same attributes are one.
SEPARATE = 8
# pg_trigger.tgenabled and its like: what fires in an ordinary session.
FIRES = {"O": "enabled", "A": "enabled always", "D": "disabled", "R": "enabled for replicas only"}
VERBS = ["alter", "create", "drop", "comment", "security", "update", "insert", "delete", "grant", "revoke"]

Sides = tuple[Naming, Naming]


def balance(
    scene: Scene, before: Cluster, after: Cluster, reported: Sequence[Finding], known: Claims | None = None
) -> tuple[Finding, ...]:
    """Close the ledger: what of the system catalogs differs and is neither listed nor reported nor harmless.

    `before` and `after` are the shared catalogs, `reported` is what the other judges have found, `known` another list
    of claims than the one that is shipped. Raises TargetUnusable where the catalogs cannot be read.
    """
    known = known or claims()
    changes = [*differing_rows(scene.template, scene.copy, known.left_out()), *cluster_changes(before, after, known)]
    if not changes:
        return ()
    tables = {table.name: table for table in system_tables(scene.template)}
    names = {table.oid: table.name for table in tables.values()}
    books, differences = accounts(scene, changes, known, names)
    sides = naming(scene.template, names), naming(scene.copy, names)
    open_items = [item for item in differences if not books.is_outside(item)]
    by_judge = distributed(books, open_items, reported)
    for item in remade(books, open_items, sides, known):
        by_judge["ledger" if item.claim and item.claim.judge == "ledger" else "privileges"].append(item)
    roles = {**before.role_names(), **after.role_names()}
    told = [(item, books.is_granted_anew(item) or books.is_listed(item)) for item in by_judge["privileges"]]
    rights = privilege_findings(scene, Grants(scene.copy, roles).changed(sides[1], told))
    return (
        *_changed(scene, by_judge["unjudged"], sides, tables, "unjudged-change", Severity.BLOCKER),
        *settings_findings(scene, [item.row for item in by_judge["settings"]], sides[1], roles),
        *_switched(scene, by_judge["triggers"], sides),
        *rights,
        *_changed(scene, by_judge["ledger"], sides, tables, "object-changed", Severity.WARNING),
        *_changed(scene, by_judge["note"], sides, tables, "object-changed", Severity.INFO),
    )


def distributed(
    books: Accounts, items: Iterable[Difference], reported: Sequence[Finding]
) -> dict[str, list[Difference]]:
    """What is left to report, by how it is reported."""
    found: dict[str, list[Difference]] = defaultdict(list)
    for item in items:
        claim = item.claim
        if claim is None or claim.judge == "key":
            found["unjudged"].append(item)
        elif claim.judge in SILENT:
            continue
        elif claim.judge in ("privileges", "triggers", "settings", "ledger"):
            if item.event is Event.CHANGED or not books.is_listed(item):
                found[claim.judge].append(item)
        elif claim.judge == "note":
            if not books.is_near_a_listed_one(item):
                found["note"].append(item)
        elif claim.judge == "definition":
            if not books.is_compared(item):
                found["ledger"].append(item)
        elif claim.judge == "enforcement-off" and item.column == "tgenabled":
            # That the schema difference lists it does not say that it is harmless.
            if not books.is_reported(item, claim.rules, reported):
                found["triggers"].append(item)
        elif not books.is_listed(item) and not books.is_reported(item, claim.rules, reported):
            found["ledger"].append(item)
    return found


def _name(item: Difference, sides: Sides) -> Named:
    side, row = (sides[0], item.row.old) if item.event is Event.REMOVED else (sides[1], item.row.new)
    return side.row(item.row.table, row or {}, item.address)


def _changed(
    scene: Scene,
    items: Sequence[Difference],
    sides: Sides,
    tables: Mapping[str, SystemTable],
    rule: str,
    severity: Severity,
) -> tuple[Finding, ...]:
    """One finding for each way in which objects differ, with as many objects as differ in that way."""
    rows: dict[int, list[Difference]] = defaultdict(list)
    for item in items:
        rows[id(item.row)].append(item)
    alike: dict[tuple[object, ...], list[list[Difference]]] = defaultdict(list)
    for one in rows.values():
        values = tuple((item.column, *_raw(item)) for item in one if item.column != WHOLE_ROW)
        alike[one[0].row.table, one[0].event, one[0].sort.get("deptype"), values].append(one)
    merged: dict[tuple[object, ...], list[list[Difference]]] = defaultdict(list)
    shapes: dict[tuple[object, ...], int] = defaultdict(int)
    for key in alike:
        shapes[_shape(key)] += 1
    for key, groups in alike.items():
        merged[key if shapes[_shape(key)] <= SEPARATE else _shape(key)] += groups
    return tuple(_told(scene, groups, sides, tables, rule, severity) for groups in merged.values())


def _shape(key: tuple[object, ...]) -> tuple[object, ...]:
    table, event, sort, values = key
    return (table, event, sort, tuple(value[0] for value in values))  # type: ignore[attr-defined]


def _raw(item: Difference) -> tuple[str | None, str | None]:
    return (item.row.old or {}).get(item.column), (item.row.new or {}).get(item.column)


def _told(
    scene: Scene,
    groups: Sequence[Sequence[Difference]],
    sides: Sides,
    tables: Mapping[str, SystemTable],
    rule: str,
    severity: Severity,
) -> Finding:
    first = groups[0]
    few = list(dict.fromkeys(_name(group[0], sides) for group in groups[:FEW]))
    what = _what(first, sides, tables, several=len(groups) > 1)
    rest = ", ..." if len(groups) > len(few) else ""
    many = str(few[0]) if len(groups) == 1 else f"{len(groups)} objects ({', '.join(map(str, few))}{rest})"
    identity = few[0].identity
    place = scene.find([_last(identity)], VERBS)
    if rule == "unjudged-change":
        reason = "No judge knows what that means, so nothing is decided for you"
        remedy = "Find out what it does, and waive this finding with what you saw."
    else:
        reason = "The schema difference does not show it"
        remedy = "Make sure that it was meant."
    text = f"{many[:1].upper()}{many[1:]}{what}; done {place}. {reason}. {remedy}"
    relation = few[0].identity if few[0].kind in _RELATIONS else None
    evidence = {
        "catalog": first[0].row.table,
        "event": first[0].event.value,
        "attributes": [item.column for item in first if item.column != WHOLE_ROW],
        "objects": [str(name) for name in few],
        "count": len(groups),
        **_before_and_after(first, sides),
    }
    return Finding(
        rule,
        severity,
        text,
        place.migration,
        place.line,
        relation,
        evidence,
        object=None if relation else identity,
    )


_RELATIONS = ("table", "view", "materialized view", "foreign table", "sequence")


def _before_and_after(items: Sequence[Difference], sides: Sides) -> dict[str, dict[str, str]]:
    """The values of the first object before and after, for programs; secrets are left out."""
    shown = [item for item in items if item.column != WHOLE_ROW and not _is_secret(item)]
    return {
        end: {item.column: side.value(item.row.table, item.column, _raw(item)[place]) for item in shown}
        for place, (end, side) in enumerate(zip(("before", "after"), sides, strict=True))
        if shown
    }


def _last(identity: str) -> str:
    head = identity.split("(", maxsplit=1)[0] if not identity.startswith("(") else identity
    return bare(parts(head.split(" on ", maxsplit=1)[0].strip())[-1])


def _what(items: Sequence[Difference], sides: Sides, tables: Mapping[str, SystemTable], *, several: bool) -> str:
    """What differs in one row, in words: the attribute, before and after."""
    row = items[0].row
    if items[0].event is Event.CHANGED:
        return ": " + "; ".join(_value(item, sides, tables[row.table]) for item in items)
    came = "new" if items[0].event is Event.ADDED else "gone"
    if row.table == "pg_depend":
        side = sides[0] if row.event is Event.REMOVED else sides[1]
        target = Address(side.names.get(number(row.row["refclassid"]), ""), number(row.row["refobjid"]))
        words = items[0].claim.words if items[0].claim else "dependency"
        return f": {words} is {came} ({side.identify(target) or target.catalog})"
    return f" {'are' if several else 'is'} {came}"


# A column of these that no line of the list knows may hold a password.
_GUARDED = frozenset({"pg_authid", "pg_foreign_server", "pg_subscription", "pg_user_mapping"})


def _is_secret(item: Difference) -> bool:
    return item.claim.secret if item.claim else item.row.table in _GUARDED


def _value(item: Difference, sides: Sides, table: SystemTable) -> str:
    words = item.claim.words if item.claim else f"{item.row.table}.{item.column}"
    if _is_secret(item):
        return f"{words} is not what it was"
    if item.column in table.trees:
        return f"{words} is another expression"
    old, new = (
        side.value(item.row.table, item.column, values.get(item.column))
        for side, values in zip(sides, (item.row.old or {}, item.row.new or {}), strict=True)
    )
    return f"{words}: {old} -> {new}" if old != new else f"{words} is not what it was"


_OF_CONSTRAINTS = "of a constraint"


def _switched(scene: Scene, items: Sequence[Difference], sides: Sides) -> tuple[Finding, ...]:
    """Triggers and rules that fire otherwise than before: one finding for those of one name."""
    alike: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for item in items:
        if item.event is Event.CHANGED:
            named = _name(item, sides)
            name, _, table = named.identity.rpartition(" on ") if " on " in named.identity else (named.identity, "", "")
            if "internal" in item.sort:
                named, name = Named("trigger", ""), _OF_CONSTRAINTS
            old, new = _raw(item)
            alike[named.kind, name, old or "", new or ""].append(table)
    found = []
    for (kind, name, old, new), tables in alike.items():
        places = list(dict.fromkeys(tables))
        place = scene.find([_last(places[0]) if places[0] else _last(name), bare(name)], ["disable", "enable", "alter"])
        silent = old in "OA" and new in "DR"
        on = f" on {', '.join(places[:FEW])}" if places[0] else ""
        on += f" and {len(places) - FEW} more" if len(places) > FEW else ""
        state = f"was {FIRES.get(old, old)} and is {FIRES.get(new, new)}"
        remedy = " It no longer fires for ordinary sessions: enable it again, or drop it if it is not needed."
        found.append(
            Finding(
                "trigger-disabled",
                Severity.WARNING if silent else Severity.INFO,
                f"{kind.capitalize()} {name}{on} {state}; done {place}.{remedy if silent else ''}",
                place.migration,
                place.line,
                places[0] or None,
                {"trigger": name, "tables": places[:50], "attribute": "enabled", "before": old, "after": new},
                object=name if name != _OF_CONSTRAINTS else None,
            )
        )
    return tuple(found)
