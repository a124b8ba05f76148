"""Tables and sequences that became UNLOGGED: the next crash empties them, and no standby ever holds their rows.

Source: the manual, "CREATE TABLE", UNLOGGED. A partitioned table holds no rows; its partitions are judged one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from pytest_dryrun.model.scripts import Location
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.rehearsal.judge.counting import count_rows, finding
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.sql.names import bare, parts

_REMEDY = (
    "Nothing makes this safe online: leave the table logged (SET LOGGED rewrites it again), and keep UNLOGGED for rows "
    "that may be lost."
)
_STORED = """
SELECT c.oid::int8, format('%I.%I', n.nspname, c.relname), c.relkind::text, c.relpersistence = 'u', c.relispartition,
       (SELECT d.refobjid::int8 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
           AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
           AND c.relkind = 'S' LIMIT 1)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'S') AND c.relpersistence <> 't'
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pytest_dryrun')"""


@dataclass(frozen=True, slots=True)
class Stored:
    """A table or sequence with a file of its own; `owner` is the oid of the table whose column owns the sequence."""

    oid: int
    name: str
    kind: str
    unlogged: bool
    partition: bool
    owner: int | None


def data_at_risk(scene: Scene) -> tuple[Finding, ...]:
    """Tables and sequences whose content the next crash takes, and that were safe before, or stand for such a one."""
    before, after = _stored(scene.template), _stored(scene.copy)
    by_name = {item.name: item for item in before.values()}
    found: list[Finding] = []
    for item in after.values():
        old = before.get(item.oid) or by_name.get(item.name)
        if not item.unlogged or (old is not None and old.unlogged) or scene.is_history(item.name):
            continue
        place = scene.find([bare(parts(item.name)[-1])], ["unlogged", "table", "rename"])
        if item.kind == "r":
            found.append(_table(scene, item, old, place))
        else:
            owner = after.get(item.owner or 0)
            if owner is None or not owner.unlogged:
                found += _sequence(item, old, place)
    return tuple(found)


def _stored(connection: psycopg.Connection[Any]) -> Mapping[int, Stored]:
    return {row[0]: Stored(*row) for row in connection.execute(_STORED)}


def _table(scene: Scene, item: Stored, old: Stored | None, place: Location) -> Finding:
    counted = count_rows(scene.copy, item.name, only=True)
    rows = counted[0] if isinstance(counted, tuple) else None
    held = f"{rows:,} rows" if rows is not None else f"rows that could not be counted ({counted})"
    start = f"Table {item.name} is UNLOGGED now, made so {place}"
    if old is not None and old.oid != item.oid:
        start += f", in the place of the table that had this name ({old.name})"
    evidence = {"rows": rows, "kind": "table"}
    if rows == 0:
        said = f"{start}. It holds no rows yet; what is written to it goes with the next crash and reaches no standby."
        severity = Severity.WARNING if old is not None or item.partition else Severity.INFO
    elif old is None and not item.partition:
        said = f"{start}. It is new; its {held} go with the next crash and reach no standby."
        severity = Severity.WARNING
    else:
        said = f"{start}: its {held} are lost with the next crash and are on no standby. {_REMEDY}"
        severity = Severity.BLOCKER
    return finding("data-at-risk", severity, said, place, item.name, evidence)


def _sequence(item: Stored, old: Stored | None, place: Location) -> Iterator[Finding]:
    """An unlogged sequence of a table that is logged itself: it begins anew after a crash, below the table's keys."""
    said = (
        f"Sequence {item.name} is UNLOGGED now, made so {place}: after the next crash it begins anew and hands out "
        "numbers that are taken. Leave it logged."
    )
    severity = Severity.BLOCKER if old is not None or item.owner is not None else Severity.INFO
    yield finding("data-at-risk", severity, said, place, item.name, {"kind": "sequence"})
