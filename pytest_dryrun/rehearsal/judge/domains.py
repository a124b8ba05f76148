"""Checks of domains that nobody held against the rows: each new NOT VALID one, and each newly stamped as valid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.model.values import Finding
from pytest_dryrun.rehearsal.judge.counting import count_where, primary_key
from pytest_dryrun.rehearsal.judge.remedies.constraints import domain_validate
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.rehearsal.judge.unchecked import Unchecked
from pytest_dryrun.sql.names import bare, last

_CHECKS = """
SELECT k.oid::int8, t.oid::int8, format('%I.%I', n.nspname, t.typname), quote_ident(k.conname), k.convalidated,
       pg_get_expr(k.conbin, 0), format_type(t.typbasetype, t.typtypmod)
  FROM pg_constraint k JOIN pg_type t ON t.oid = k.contypid JOIN pg_namespace n ON n.oid = t.typnamespace
 WHERE k.contype = 'c' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pytest_dryrun')
 ORDER BY 3, 4"""
# Columns of the domain, of domains over it, and of arrays of these; a column that a table inherits is asked for there.
_COLUMNS = """
WITH RECURSIVE mine (oid) AS (
    SELECT %s::oid UNION SELECT t.oid FROM pg_type t JOIN mine ON t.typtype = 'd' AND t.typbasetype = mine.oid),
arrays (oid) AS (
    SELECT t.typarray FROM pg_type t JOIN mine USING (oid) WHERE t.typarray <> 0
    UNION SELECT t.oid FROM pg_type t JOIN arrays ON t.typtype = 'd' AND t.typbasetype = arrays.oid)
SELECT format('%%I.%%I', n.nspname, c.relname), a.attname, a.atttypid IN (SELECT oid FROM arrays)
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE a.atttypid IN (SELECT oid FROM mine UNION SELECT oid FROM arrays) AND a.attnum > 0 AND NOT a.attisdropped
   AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND n.nspname <> 'pytest_dryrun'
 ORDER BY 1, 2"""


@dataclass(frozen=True, slots=True)
class _Check:
    """One check of a domain; `expression` speaks of VALUE, and `base` is the type below the domain."""

    oid: int
    type_oid: int
    domain: str
    name: str
    valid: bool
    expression: str
    base: str

    @property
    def identity(self) -> str:
        """As a waiver names it."""
        return f"{self.domain}.{self.name}"


def domain_findings(scene: Scene) -> tuple[Finding, ...]:
    """`constraint-violated` and `constraint-not-valid`: what the rows on the copy say to each of these checks."""
    before = {item.oid: item for item in _checks(scene.template)}
    there = {item.domain for item in before.values()} | {item.identity for item in scene.before.of_kind("domain")}
    found: list[Finding] = []
    for item in _checks(scene.copy):
        old = before.get(item.oid)
        new = old is None and not (item.valid and item.domain not in there)
        if new or (old is not None and old.valid != item.valid):
            found += _judged(scene, item)
    return tuple(found)


def _checks(connection: psycopg.Connection[Any]) -> Iterator[_Check]:
    for row in connection.execute(_CHECKS).fetchall():
        yield _Check(*row)


def _judged(scene: Scene, check: _Check) -> Iterator[Finding]:
    place = scene.find_first(
        [bare(last(check.domain)), bare(check.name)], ["add", "create", "validate", "update"], ["alter"]
    )
    called, fails = f"check {check.name} of domain {check.domain}", "statement that writes such a value"
    one = Unchecked(called, check.valid, check.identity, fails, domain_validate())
    broken = False
    for table, column, is_array in scene.copy.execute(_COLUMNS, (check.type_oid,)).fetchall():
        shown = (*primary_key(scene.copy, table), column)
        counted = count_where(scene.copy, table, _breaks(check, column, is_array=is_array), shown)
        evidence = {"table": table, "column": column, "constraint": check.name}
        if made := one.broken(counted, place, table, evidence, f" in column {column} of {table}"):
            broken = True
            yield made
    if not broken and not check.valid:
        yield one.unbroken(place, None, {"constraint": check.name})


def _breaks(check: _Check, column: str, *, is_array: bool) -> sql.Composable:
    """The condition on a row whose value, below its domains, fails the check."""
    value = sql.SQL("{}::{}").format(sql.Identifier("row", column), sql.SQL(check.base + ("[]" if is_array else "")))
    if is_array:
        value = sql.SQL("unnest({})").format(value)
    return sql.SQL("EXISTS (SELECT FROM (SELECT {} AS value) AS held WHERE NOT ({}))").format(
        value, sql.SQL(check.expression)
    )
