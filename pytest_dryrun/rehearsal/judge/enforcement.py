"""Constraints that stand there and no longer keep anything out: their triggers do not fire for ordinary sessions.

A foreign key, and a unique or exclusion constraint that is deferrable, is enforced by the server's own triggers,
which a superuser or a table's owner can switch off (manual: "ALTER TABLE", DISABLE TRIGGER). From PostgreSQL 18 on a
constraint may be NOT ENFORCED as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.rehearsal.judge.counting import finding
from pytest_dryrun.rehearsal.judge.remedies.constraints import added_again, fire, triggers_gone
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.sql.names import bare, last

# Clones on partitions are told with the constraint that they were made from. A foreign key between plain tables has
# four triggers; anything less was taken away behind the server's back.
_STATES = """
WITH RECURSIVE root (oid, top) AS (
  SELECT oid, oid FROM pg_constraint WHERE conparentid = 0 AND contype IN ('f', 'u', 'p', 'x', 'c')
   UNION ALL SELECT c.oid, r.top FROM pg_constraint c JOIN root r ON c.conparentid = r.oid),
states AS (
  SELECT t.tgconstraint AS oid, jsonb_build_array(c.oid::int8, format('%I.%I', n.nspname, c.relname)) AS place,
         bool_or(t.tgenabled = 'R') AS replica,
         bool_or(t.tgenabled IN ('D', 'R') OR NOT c.relhastriggers) AS off
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE t.tgisinternal AND t.tgconstraint <> 0 GROUP BY t.tgconstraint, c.oid, n.nspname, c.relname),
counts AS (SELECT tgconstraint AS oid, count(*) AS triggers FROM pg_trigger WHERE tgisinternal GROUP BY 1)
SELECT r.top::int8, format('%I.%I', tn.nspname, t.relname), quote_ident(k.conname),
       CASE k.contype WHEN 'f' THEN 'foreign key' WHEN 'u' THEN 'unique constraint' WHEN 'p' THEN 'primary key'
                      WHEN 'c' THEN 'check' ELSE 'exclusion constraint' END,
       CASE WHEN f.relname IS NOT NULL THEN format('%I.%I', fn.nspname, f.relname) END, bool_and({enforced}),
       coalesce(jsonb_agg(DISTINCT s.place) FILTER (WHERE s.off), '[]'), coalesce(bool_or(s.replica), false),
       bool_and({enforced}) AND k.contype = 'f' AND t.relkind = 'r' AND f.relkind = 'r'
         AND coalesce(max(counts.triggers), 0) < 4
  FROM root r JOIN pg_constraint k ON k.oid = r.top JOIN pg_class t ON t.oid = k.conrelid
  JOIN pg_namespace tn ON tn.oid = t.relnamespace LEFT JOIN states s ON s.oid = r.oid
  LEFT JOIN counts ON counts.oid = r.top
  LEFT JOIN (pg_class f JOIN pg_namespace fn ON fn.oid = f.relnamespace) ON f.oid = k.confrelid AND k.contype = 'f'
 WHERE tn.nspname !~ '^pg_' AND tn.nspname NOT IN ('information_schema', 'pytest_dryrun')
 GROUP BY r.top, tn.nspname, t.relname, t.relkind, k.conname, k.contype, fn.nspname, f.relname, f.relkind"""


@dataclass(frozen=True, slots=True)
class Enforcement:
    """How far one constraint, with its clones on partitions, is enforced; `off` are the tables where it is not."""

    oid: int
    table: str
    name: str
    kind: str
    referenced: str | None
    enforced: bool
    off: Mapping[int, str]
    replica: bool
    missing: bool

    @property
    def whole(self) -> bool:
        """Whether everything that enforces it acts for ordinary sessions."""
        return self.enforced and not self.off and not self.missing


def enforcement(connection: psycopg.Connection[Any]) -> Mapping[int, Enforcement]:
    """Every constraint by its oid."""
    enforced = "k.conenforced" if connection.info.server_version >= 180000 else "true"
    rows = connection.execute(_STATES.replace("{enforced}", enforced)).fetchall()
    return {
        oid: Enforcement(oid, table, name, kind, referenced, whole, dict(off), replica, missing)
        for oid, table, name, kind, referenced, whole, off, replica, missing in rows
    }


def enforcement_off(scene: Scene) -> tuple[Finding, ...]:
    """`enforcement-off`: constraints that kept rows out before and let them in now, or that never will."""
    before = enforcement(scene.template)
    named = {(item.table, item.name): item for item in before.values()}
    found: list[Finding] = []
    for item in enforcement(scene.copy).values():
        known = before.get(item.oid) or named.get((item.table, item.name))
        if item.whole or scene.is_history(item.table) or not _worse(item, known):
            continue
        made = _finding(scene, item, known)
        # One statement may switch off several: its waiver is about them all.
        again = any((made.migration, made.line) == (other.migration, other.line) for other in found)
        found.append(replace(made, cascaded=made.cascaded or again))
    return tuple(found)


def _newly_off(now: Enforcement, known: Enforcement | None) -> list[str]:
    if known is None:
        return sorted(now.off.values())
    return sorted(now.off[oid] for oid in now.off if oid not in known.off and now.off[oid] not in known.off.values())


def _worse(now: Enforcement, known: Enforcement | None) -> bool:
    if known is None:
        return True
    return (known.enforced and not now.enforced) or bool(_newly_off(now, known)) or (now.missing and not known.missing)


def _finding(scene: Scene, now: Enforcement, known: Enforcement | None) -> Finding:
    new = _newly_off(now, known)
    names = [bare(last(new[0]))] if new and now.table not in new else [bare(last(now.table)), bare(now.name)]
    place = scene.find(names, ["trigger", "enforced", "alter", "update"])
    start = f"{now.kind.capitalize()} {now.name} of {now.table} is no longer enforced"
    severity, remedy = Severity.BLOCKER, None
    if not now.enforced:
        if known is None:
            severity, start = Severity.WARNING, f"{now.kind.capitalize()} {now.name} of {now.table} is NOT ENFORCED"
        said = f"{start}, made so {place}: nothing checks it, whatever the schema shows."
        item = scene.after.find("constraint", f"{now.table}.{now.name}")
        remedy = added_again(item) if item else None
    elif new:
        how = "fire for replication alone" if now.replica else "do not fire"
        said = f"{start}: its triggers on {', '.join(new)} {how}, switched {place}. {_harm(now, new)}"
        remedy = fire(new)
    else:
        said = f"{start}: its triggers are gone from the catalog, taken away {place}. {_harm(now, new)}"
        remedy = triggers_gone()
    evidence = {"constraint": now.name, "relation": now.table, "tables": new}
    elsewhere = now.table not in new and any(bare(last(name)) in place.sql for name in new)
    about = f"{now.table}.{now.name}"
    return finding(
        "enforcement-off", severity, said, place, now.table, evidence, about=about, cascaded=elsewhere, remedy=remedy
    )


def _harm(now: Enforcement, places: Sequence[str]) -> str:
    if now.kind != "foreign key":
        return "Duplicates go in from now on."
    if now.referenced in places and now.table not in places:
        return f"A row of {now.referenced} can go although rows refer to it, and nothing cascades."
    return f"Rows go in without their parent in {now.referenced} from now on."
