"""Which remedy a finding prints: the statement tells the kind, the catalogs tell what it made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_dryrun.postgres.catalog import CatalogObject
from pytest_dryrun.rehearsal.judge.remedies import columns, constraints, indexes, partitions, tables
from pytest_dryrun.rehearsal.judge.remedies.facts import Facts, spoken
from pytest_dryrun.rehearsal.judge.remedies.remedy import Family, Remedy, Step
from pytest_dryrun.sql.places import words

# A statement of this many characters is not printed again.
MOST_CHARACTERS = 600


@dataclass(frozen=True, slots=True)
class Remedies:
    """What to write instead of a statement, from the facts of a rehearsal."""

    facts: Facts

    def rewrite(self, sql: str, table: str) -> Remedy:
        """Instead of a statement that rewrote a table or a materialized view."""
        said = tuple(words(sql))
        if _follow(said, "refresh", "materialized"):
            return tables.refreshed(self.facts, table)
        if {"vacuum", "cluster"} & set(said[:1]):
            return tables.repacked()
        for column in self._new_columns(sql, table):
            if _costs(self.facts, column):
                return columns.new_column(self.facts, column)
        for kind in ("unlogged", "logged"):
            if _follow(said, "set", kind):
                return tables.persistence(unlogged=kind == "unlogged")
        if _follow(said, "set", "tablespace") or _follow(said, "set", "access"):
            return tables.storage()
        if _follow(said, "set", "expression"):
            return columns.recomputed()
        retyped = self._retyped(sql, table)
        if retyped or "type" in said:
            return columns.retyped(retyped)
        return unknown()

    def scan(self, sql: str, table: str, *, earlier: bool) -> Remedy:
        """Instead of a statement that read every row under a lock; `earlier` where it was taken before it."""
        said = tuple(words(sql))
        if _follow(said, "alter", "domain"):
            for domain in self._domains(sql):
                return constraints.domain(self.facts, domain, sql)
            return constraints.domain_validate()
        if _follow(said, "validate", "constraint") or (earlier and not self._alone(said)):
            return apart(sql)
        for root in reversed(list(self.facts.roots(self._now(table)))):
            if found := self._made(sql, root):
                return found
        referring = [
            item
            for item in self.facts.after.of_kind("constraint")
            if item.details.get("referenced") == self._now(table) and self.facts.is_new(item)
        ]
        for item in spoken(referring, sql):
            return constraints.checked(self.facts, item)
        return self.apart_or_unknown(sql, earlier=earlier)

    def apart_or_unknown(self, sql: str, *, earlier: bool) -> Remedy:
        """Where no catalog shows what the statement made."""
        if re.search(r"\bEXCLUDE\b", sql, re.IGNORECASE):
            return constraints.exclusion(None)
        return apart(sql) if earlier else unknown()

    def index(self, sql: str, table: str, index: str) -> Remedy:
        """Instead of a statement that built or rebuilt an index."""
        found = self.facts.after.find("index", index)
        if found is None:
            return unknown()
        if retyped := self._retyped(sql, table):
            return columns.retyped(retyped)
        if "reindex" in frozenset(words(sql)) or not self.facts.is_new(found):
            return indexes.rebuilt(self.facts, found, sql)
        constraint = self.facts.constraint_of(found)
        if constraint is not None:
            return constraints.unique(self.facts, constraint, sql)
        return indexes.built(self.facts, found)

    def drop_index(self, index: str) -> Remedy:
        """Instead of DROP INDEX."""
        return indexes.dropped(self.facts, index)

    def _now(self, table: str) -> str:
        found = self.facts.table(table)
        return found.identity if found else table

    def _alone(self, said: Sequence[str]) -> bool:
        """Whether the statement takes its own lock, however early another one was taken."""
        return said[:1] in (("alter",), ("create",), ("reindex",), ("do",)) and "refresh" not in said

    def _made(self, sql: str, table: str) -> Remedy | None:
        """What a statement demanded of the rows of a table."""
        if found := self._partition(sql, table):
            return found
        for column in self._new_columns(sql, table):
            return columns.new_column(self.facts, column)
        for item in self._constraints(sql, table):
            if item.attributes["type"] in ("check", "foreign key"):
                return constraints.checked(self.facts, item)
            return constraints.unique(self.facts, item, sql)
        demanded = spoken(self._demanded(table), sql)
        return constraints.not_null(self.facts, table, demanded) if demanded else None

    def _constraints(self, sql: str, table: str) -> Sequence[CatalogObject]:
        said = frozenset(words(sql))
        kinds = {"check": "check", "foreign key": "references", "unique": "unique", "primary key": "primary"}
        found = [
            item
            for item in self.facts.new("constraint", table)
            if kinds.get(item.attributes["type"], "exclude") in said or "do" in said
        ]
        return spoken(found, sql)

    def _partition(self, sql: str, table: str) -> Remedy | None:
        """A partition that came to the table, or beside the table where that is the default one."""
        said = tuple(words(sql))
        if "partition" not in said:
            return None
        old = {item.oid for item in self.facts.before.of_kind("table") if "partition_bound" in item.attributes}
        everywhere = self.facts.after.of_kind("table")
        fresh = [item for item in everywhere if "partition_bound" in item.attributes and item.oid not in old]
        near = [item for item in fresh if self.facts.parent(item.identity) in (table, self.facts.parent(table))]
        for item in spoken(near or [item for item in fresh if item.name in said], sql):
            made = _follow(said, "partition", "of") and self.facts.is_new(item) and len(sql) <= MOST_CHARACTERS
            return partitions.attached(self.facts, item, statement=sql if made else "")
        return None

    def _new_columns(self, sql: str, table: str) -> Sequence[CatalogObject]:
        """The columns that a statement added, the costly ones first, asked of the topmost table that has them."""
        said = tuple(words(sql))
        for root in reversed(list(self.facts.roots(self._now(table)))):
            found = [item for item in self.facts.new("column", root) if _adds(said, item.name)]
            if found:
                return sorted(found, key=lambda item: not _costs(self.facts, item))
        return ()

    def _demanded(self, table: str) -> list[CatalogObject]:
        """The columns that are NOT NULL now and were not."""
        old = {(item.oid, item.number): item for item in self.facts.before.of_kind("column")}
        return [
            item
            for item in self.facts.after.children(table, "column")
            if item.attributes["not_null"]
            and (known := old.get((item.oid, item.number))) is not None
            and not known.attributes["not_null"]
        ]

    def _retyped(self, sql: str, table: str) -> list[str]:
        old = {(item.oid, item.number): item for item in self.facts.before.of_kind("column")}
        kept = ("type", "collation")
        found = [
            item
            for item in self.facts.after.children(self._now(table), "column")
            if (known := old.get((item.oid, item.number))) is not None
            and any(known.attributes.get(key) != item.attributes.get(key) for key in kept)
        ]
        return [item.name for item in spoken(found, sql)] if "type" in frozenset(words(sql)) else []

    def _domains(self, sql: str) -> list[str]:
        said = frozenset(words(sql))
        found = [item for item in self.facts.after.of_kind("domain") if item.name in said]
        return [item.identity for item in sorted(found, key=lambda item: item.schema not in said)]


def _costs(facts: Facts, column: CatalogObject) -> bool:
    """Whether adding the column writes every row."""
    computed = {"identity", "expression"} & set(column.attributes) or column.details.get("volatile")
    domain = facts.after.find("domain", column.attributes["type"])
    return bool(computed) or (domain is not None and bool(columns.domain_checks(facts, domain)))


def _adds(said: Sequence[str], column: str) -> bool:
    """Whether a statement says ADD [COLUMN] [IF NOT EXISTS] with this name."""
    return any(
        _follow(said, *start, column) for start in (("add",), ("add", "column"), ("exists",), ("add", "column", "if"))
    )


def _follow(said: Sequence[str], *wanted: str) -> bool:
    """Whether these words follow each other somewhere in a statement."""
    return any(tuple(said[at : at + len(wanted)]) == wanted for at in range(len(said) - len(wanted) + 1))


def apart(sql: str) -> Remedy:
    """A statement that is harmless but for the locks of those before it."""
    lead = "Move it to a migration of its own: locks taken earlier are kept until the commit."
    text = sql.strip().rstrip(";")
    return Remedy(Family.APART, lead, (Step((text + ";",)),) if len(text) <= MOST_CHARACTERS else ())


def unknown() -> Remedy:
    """Where the copy does not show what the statement would have made."""
    lead = "Once the statement runs on the copy and stays, its remedy is printed here."
    return Remedy(Family.UNKNOWN, lead)
