"""Rows that are there, as text: what an application would read and write again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from pytest_dryrun.rehearsal.release.operations import Row
from pytest_dryrun.rehearsal.release.relations import Relation
from pytest_dryrun.sql.names import quoted

# Rows in which a column that may be NULL is looked for as NULL.
_LOOKED_AT = 1000
# Leaves of a partitioned table of which one row each is taken.
_LEAVES = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """A few rows of one relation, and which columns some row leaves NULL. `trouble` says why none could be read."""

    rows: tuple[Row, ...]
    often_null: frozenset[str] = frozenset()
    trouble: str = ""


def sample(connection: psycopg.Connection[Any], relation: Relation) -> Sample:
    """The first and the last row by key, or any; of a partitioned table one of each of its first leaves."""
    if not relation.columns:
        return Sample((), trouble="it has no columns")
    values = ", ".join(f"{quoted(column.name)}::text" for column in relation.columns)
    names = [column.name for column in relation.columns]
    try:
        with connection.transaction():
            queries = _queries(connection, relation, values)
            found = [tuple(row) for query in queries for row in connection.execute(query)]
            often_null = _often_null(connection, relation)
    except psycopg.Error as error:
        said = (error.diag.message_primary or " ".join(str(error).split())).strip()
        return Sample((), trouble=f"its rows cannot be read: {error.sqlstate} {said}")
    rows = tuple(dict(zip(names, row, strict=True)) for row in dict.fromkeys(found))
    return Sample(rows, often_null)


def _queries(connection: psycopg.Connection[Any], relation: Relation, values: str) -> list[str]:
    if relation.kind == "p":
        leaves = connection.execute(
            "SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_partition_tree(%s::oid::regclass) t"
            " JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE t.isleaf AND pg_relation_size(c.oid) > 0 LIMIT %s",
            (relation.oid, _LEAVES),
        ).fetchall()
        return [f"SELECT {values} FROM {leaf} LIMIT 1" for (leaf,) in leaves]
    if not relation.key:
        return [f"SELECT {values} FROM {relation.name} LIMIT 1"]
    ways = [", ".join(f"{quoted(name)}{way}" for name in relation.key) for way in ("", " DESC")]
    return [f"SELECT {values} FROM {relation.name} ORDER BY {order} LIMIT 1" for order in ways]


def _often_null(connection: psycopg.Connection[Any], relation: Relation) -> frozenset[str]:
    able = [column.name for column in relation.columns if not column.not_null]
    if not able or relation.kind not in "rp":
        return frozenset()
    asked = ", ".join(f"coalesce(bool_or({quoted(name)} IS NULL), false)" for name in able)
    picked = ", ".join(quoted(name) for name in able)
    query = f"SELECT {asked} FROM (SELECT {picked} FROM {relation.name} LIMIT {_LOOKED_AT}) few"
    answer = connection.execute(query).fetchone() or ()
    return frozenset(name for name, null in zip(able, answer, strict=True) if null)
