"""A row like one that is there, tried on a copy and rolled back: keys fresh, the rest as its model has it.

A rolled-back INSERT leaves one trace: sequences behind serial columns go on by one (manual: "Sequence Manipulation
Functions").
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.postgres.catalog import Catalog, CatalogObject
from pytest_dryrun.sql.names import identifier

# An expression that gives a value no row has yet, by the beginning of the type's name; {0} is the column, {1} the
# table.
FRESH = {
    "uuid": "pg_catalog.gen_random_uuid()",
    "smallint": "(SELECT coalesce(max({0}), 0) + 1 FROM {1})",
    "integer": "(SELECT coalesce(max({0}), 0) + 1 FROM {1})",
    "bigint": "(SELECT coalesce(max({0}), 0) + 1 FROM {1})",
    "numeric": "(SELECT coalesce(max({0}), 0) + 1 FROM {1})",
    "text": "pg_catalog.md5(pg_catalog.random()::text)",
    "character": "pg_catalog.md5(pg_catalog.random()::text)",
    "timestamp": "pg_catalog.clock_timestamp()",
    "date": "(SELECT coalesce(max({0}), current_date) + 1 FROM {1} WHERE isfinite({0}))",
}
# A value that will do where there is no row to take one from.
PLAIN = {
    "boolean": "false",
    "smallint": "1",
    "integer": "1",
    "bigint": "1",
    "numeric": "1",
    "real": "1",
    "double": "1",
    "date": "now()",
}
PLAIN |= {
    "text": "'x'",
    "character": "'x'",
    "timestamp": "now()",
    "time": "'12:00'",
    "json": "'{{}}'",
    "jsonb": "'{{}}'",
}
PLAIN |= {"uuid": "pg_catalog.gen_random_uuid()", "bytea": "''", "interval": "'1 day'"}


def insert_row(
    connection: psycopg.Connection[Any],
    table: str,
    names: Sequence[sql.Identifier],
    values: Sequence[sql.Composable],
    shown: Sequence[sql.Composable],
) -> tuple[Any, ...] | None:
    """What the new row shows of itself, rolled back again; None where a rule or trigger took the row."""
    parts = sql.SQL(", ").join(names), sql.SQL(", ").join(values), sql.SQL(", ").join(shown)
    if names:
        # One row in any case: from one that is there, or from nothing where the table is empty.
        text = sql.SQL(
            "INSERT INTO {0} ({1}) SELECT {2} FROM (SELECT) one LEFT JOIN (SELECT * FROM {0} LIMIT 1) model ON "
            "true RETURNING {3}"
        )
    else:
        text = sql.SQL("INSERT INTO {0} DEFAULT VALUES RETURNING {3}")
    query = text.format(identifier(table), *parts)
    with connection.transaction(force_rollback=True):
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        return connection.execute(query).fetchone()


def row_values(
    catalog: Catalog, table: str, without: Collection[str] = (), given: Collection[str] = ()
) -> tuple[list[sql.Identifier], list[sql.Composable]]:
    """Columns that must be given and the expressions that give them; all others are left to their defaults.

    Those of `without` are left out although they must be given, those of `given` are given although they need not be.
    """
    unique = {
        name
        for item in catalog.children(table, "index")
        if item.details["unique"]
        for name in _index_columns(catalog, item)
    }
    parents = {
        column: (item.details["referenced"], parent)
        for item in catalog.children(table, "constraint")
        if item.attributes["type"] == "foreign key"
        for column, parent in zip(item.details["columns"], item.details["referenced_columns"], strict=True)
    }
    names: list[sql.Identifier] = []
    values: list[sql.Composable] = []
    for column in catalog.children(table, "column"):
        facts = column.attributes
        if column.name in without or any(key in facts for key in ("default", "identity", "expression")):
            continue
        if not (facts["not_null"] or column.name in unique or column.name in given):
            continue
        names.append(sql.Identifier(column.name))
        model = sql.Identifier("model", column.name)
        if column.name in unique and column.name not in parents:
            value = _of_type(FRESH, facts["type"], column.name, table)
            length = facts["type"].startswith("character") and sql.SQL("CAST({} AS {})").format(
                value, sql.SQL(facts["type"])
            )
            values.append(length or value)
        elif column.name in parents:
            parent, referenced = parents[column.name]
            some = sql.SQL("(SELECT {} FROM {} LIMIT 1)").format(sql.Identifier(referenced), identifier(parent))
            values.append(sql.SQL("coalesce({}, {})").format(model, some))
        else:
            values.append(sql.SQL("coalesce({}, {})").format(model, _plain(catalog, facts["type"], column.name, table)))
    return names, values


def _index_columns(catalog: Catalog, index: CatalogObject) -> list[str]:
    numbers = set(index.details["keys"])
    return [column.name for column in catalog.children(str(index.parent), "column") if column.number in numbers]


def _plain(catalog: Catalog, type_name: str, column: str, table: str) -> sql.Composable:
    enum = catalog.find("enum", type_name)
    if enum and enum.attributes.get("labels"):
        return sql.Literal(enum.attributes["labels"][0])
    if type_name.endswith("[]"):
        return sql.SQL("'{{}}'").format()
    return _of_type(PLAIN, type_name, column, table)


def _of_type(expressions: dict[str, str], type_name: str, column: str, table: str) -> sql.Composable:
    for start, expression in expressions.items():
        if type_name.startswith(start):
            return sql.SQL(expression).format(sql.Identifier(column), identifier(table))
    return sql.SQL("NULL")
