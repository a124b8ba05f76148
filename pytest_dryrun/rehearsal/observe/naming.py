"""Names of relations by their oids, and locks by these names: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pytest_dryrun.rehearsal.observe.event_triggers import SCHEMA
from pytest_dryrun.rehearsal.observe.observation import Held, strength, strongest
from pytest_dryrun.rehearsal.observe.windows import Event, Relation

INDEX_KINDS = frozenset({"i", "I"})


class Naming:
    """Names of relations by oid: as they were before, else as the events spelled them."""

    def __init__(self, before: Mapping[int, Relation], events: Iterable[Event]) -> None:
        self.before = before
        self.known = {relation.name: relation for relation in before.values()}
        self.built: set[int] = set()
        self.seen: dict[int, Relation] = {}
        for event in events:
            for oid, _, name, kind in event.get("locks", ()):
                if name is not None and oid not in before:
                    self.seen[oid] = Relation(name, kind, name)
            for oid, kind, identity in event.get("dropped", ()):
                self.seen.setdefault(oid, Relation(identity, {"table": "r", "index": "i"}.get(kind, ""), identity))

    def __call__(self, oid: int) -> Relation:
        """Name one relation; one that nobody ever named keeps its number."""
        found = self.before.get(oid) or self.seen.get(oid)
        return found or Relation(f"relation {oid}", "", f"relation {oid}")

    def held(self, locks: Iterable[tuple[int, str]]) -> tuple[Held, ...]:
        """Fold locks by relation, the strongest of each; indexes count only where their table is not locked as hard."""
        modes: dict[int, list[str]] = {}
        for oid, mode in locks:
            modes.setdefault(oid, []).append(mode)
        folded = {oid: strongest(found) for oid, found in modes.items()}
        tables = {self(oid).name: mode for oid, mode in folded.items()}
        held = []
        for oid, mode in folded.items():
            relation = self(oid)
            if not relation.kind:
                continue
            if relation.kind in INDEX_KINDS:
                loud = mode == "AccessExclusiveLock" and oid in self.before
                if not loud or strength(tables.get(relation.table, "")) >= strength(mode):
                    continue
            if relation.kind != "t" and not relation.name.startswith((f"{SCHEMA}.", "pg_toast.")):
                held.append(Held(relation.name, mode, relation.table, oid in self.before))
        return tuple(sorted(held, key=lambda lock: lock.relation))
