"""Which column of a table is which after a migration, and how values are compared where the type changed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.postgres.fingerprint import TableFingerprint
from pytest_dryrun.postgres.fingerprint.hashing import CONSTANT_SEED, Value, cast, comparable, encode, printed, value_of
from pytest_dryrun.postgres.fingerprint.shapes import Column, TableShape

# Casts that forget by design what their type does not keep: whitespace and the order of keys.
_ONE_WAY = {("pg_catalog.json", "pg_catalog.jsonb"), ("text", "pg_catalog.jsonb")}

# Of keys that stand twice in one object, jsonb keeps the last (PostgreSQL manual 8.14): what the others hold is lost.
_ALL_KEPT = """
NOT EXISTS (
    WITH RECURSIVE part (value) AS (
        SELECT {document}::json
        UNION ALL
        SELECT inner_part.value FROM part, LATERAL (
            SELECT member.value FROM json_each({object}) AS member
            UNION ALL
            SELECT item.value FROM json_array_elements({array}) AS item
        ) AS inner_part
    )
    SELECT FROM part, LATERAL (
        SELECT FROM json_each({object}) AS member
        GROUP BY member.key HAVING count(DISTINCT member.value::text) > 1
    ) AS repeated
)
"""
_OBJECT = sql.SQL("CASE json_typeof(part.value) WHEN 'object' THEN part.value ELSE '{}' END")
_ARRAY = sql.SQL("CASE json_typeof(part.value) WHEN 'array' THEN part.value ELSE '[]' END")


@dataclass(frozen=True, slots=True)
class Pairing:
    """One table on both sides: `values` before and after run in step, `key` counts into them.

    `names` are the columns' names before, `now` those after.
    `not_verified` names the columns that could not be paired, with the reason.
    """

    before: TableShape
    after: TableShape
    names: tuple[str, ...]
    now: tuple[str, ...]
    values: tuple[tuple[Value, Value], ...]
    key: tuple[int, ...]
    not_verified: tuple[str, ...]

    def side(self, number: int) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
        """The values and the key of one side: 0 before, 1 after."""
        values = tuple(pair[number] for pair in self.values)
        return values, tuple(values[index] for index in self.key)


def pair(
    identity: TableFingerprint,
    before: TableShape,
    after: TableShape,
    connection: psycopg.Connection[tuple[Any, ...]],
) -> Pairing:
    """Follow each column from before to after by its attnum in `identity`; dropped columns are left out.

    Same kind of type on both sides: compared as they are (widened integers, varchar and text, enum and text by label).
    Otherwise the old value is cast to the new type on the before side (`connection`), and has to survive the way back:
    what a cast rounds or cuts off is a changed value. `json` or text to `jsonb` is only cast forward, and loses what
    repeated keys hold. A cast that does not exist or fails on the data leaves the column not verified.
    """
    now = {column.attnum: column for column in after.columns}
    then = {column.name: column for column in before.columns}
    names: list[str] = []
    named_now: list[str] = []
    values: list[tuple[Value, Value]] = []
    not_verified: list[str] = []
    for name, attnum in identity.attnums.items():
        if attnum not in now:
            continue
        if name not in then:
            not_verified.append(f"{name}: the database to compare with does not have this column")
            continue
        found = _values(then[name], now[attnum], before, connection)
        if isinstance(found, str):
            not_verified.append(f"{name}: {found}")
        else:
            names.append(name)
            named_now.append(now[attnum].name)
            values.append(found)
    survivors = [[names.index(part) for part in key] for key in before.keys if set(key) <= set(names)]
    key = tuple(survivors[0]) if survivors else ()
    return Pairing(before, after, tuple(names), tuple(named_now), tuple(values), key, tuple(not_verified))


def without(pairing: Pairing, columns: Collection[str]) -> Pairing:
    """The same pairing without some columns, none of which is part of the key."""
    stay = [index for index, name in enumerate(pairing.names) if name not in columns]
    return replace(
        pairing,
        names=tuple(pairing.names[index] for index in stay),
        now=tuple(pairing.now[index] for index in stay),
        values=tuple(pairing.values[index] for index in stay),
        key=tuple(stay.index(index) for index in pairing.key),
    )


def _values(
    old: Column, new: Column, table: TableShape, connection: psycopg.Connection[tuple[Any, ...]]
) -> tuple[Value, Value] | str:
    before, after = value_of(old), value_of(new)
    # Both sides carry the name before: hashing a row sorts by it.
    after = replace(after, name=before.name)
    if comparable(old.kind, new.kind):
        return before, _old_attributes(old, new, after)
    if not new.kind_is_builtin:
        return f"its type changed from {old.type} to {new.type}, which the database before does not know"
    forward = cast(before.expression, new.base)
    lossless: sql.Composable = sql.SQL("true")
    if (old.kind, new.kind) in _ONE_WAY:
        lossless = sql.SQL(_ALL_KEPT).format(document=before.expression, object=_OBJECT, array=_ARRAY)
    else:
        back = replace(before, expression=cast(forward, old.base))
        original = encode(before, CONSTANT_SEED, "semantic")
        lossless = sql.SQL("({} = {})").format(encode(back, CONSTANT_SEED, "semantic"), original)
    casted = replace(after, expression=forward, lossless=lossless, otherwise=before)
    failure = _try(connection, casted, table)
    if failure:
        return f"its type changed from {old.type} to {new.type}, and the old values cannot be cast: {failure}"
    if new.kind == "integer":
        # An integer that stands alone as key is its own seed; cast, it is not: both sides have to hash it alike.
        after = replace(after, lossless=sql.SQL("true"), otherwise=after)
    return casted, after


def _old_attributes(old: Column, new: Column, after: Value) -> Value:
    """The value of a composite type that got more attributes, with those alone that it had before."""
    now = {number: (name, kind) for number, name, kind in new.attributes}
    if len(new.attributes) <= len(old.attributes) or not old.attributes:
        return after
    if any(number not in now or now[number][1] != kind for number, _, kind in old.attributes):
        return after
    parts = [
        sql.SQL("({}).{}").format(after.expression, sql.Identifier(now[number][0])) for number, *_ in old.attributes
    ]
    # A value that is NULL has no attributes; one whose attributes are all NULL is not NULL.
    row = sql.SQL("CASE WHEN num_nulls({}) = 0 THEN ROW({}) END").format(after.expression, sql.SQL(", ").join(parts))
    return replace(after, expression=row, output=("pg_catalog", "record_out"))


def _try(connection: psycopg.Connection[tuple[Any, ...]], value: Value, table: TableShape) -> str:
    """Evaluate the cast over every row and return why it fails, empty where it does not."""
    hashed = encode(value, CONSTANT_SEED, "semantic")
    try:
        connection.execute(sql.SQL("SELECT sum({}) FROM {}").format(hashed, table.source()))
    except (psycopg.DataError, psycopg.ProgrammingError, psycopg.NotSupportedError) as error:
        return error.diag.message_primary or type(error).__name__
    return ""


def key_text(columns: Sequence[str], values: Sequence[Value]) -> sql.Composable:
    """A key as a person reads it: `id=42`, `a=1, b=2`."""
    parts: list[sql.Composable] = []
    for name, value in zip(columns, values, strict=True):
        shown = value.otherwise or value
        text = sql.SQL("left({}, 200)").format(printed(shown))
        parts.append(sql.SQL("{} || {}").format(sql.Literal(f"{name}="), text))
    return sql.SQL(" || ', ' || ").join(parts)
