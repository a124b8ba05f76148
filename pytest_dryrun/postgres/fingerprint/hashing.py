"""How a value becomes 64 bits inside Postgres, and how the bits of a table are added up.

Types are not hashed by their own hash operator class: that only promises that equal values hash equal,
and several classes collide by design (numeric.c, hashfunc.c, jsonb_op.c, arrayfuncs.c of the server):
`hash_numeric` leaves out the sign, `hashint8` folds its halves so that 1 and 4294967296 meet,
`jsonb_hash` leaves out where arrays end, `hash_array` the dimensions.
Here a value is hashed natively where every bit counts, and everywhere else as the text its output function prints:
that text is what pg_dump carries, so it is the identity a restore has to keep.
It needs the pinned settings of `connect`.

One bound remains: timestamps and times fold to 32 bits first, so a single changed one escapes once in 2^32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from psycopg import sql

from pytest_dryrun.postgres.fingerprint.shapes import Column, TableShape

Mode = Literal["exact", "semantic"]

_SEED = 7046029254386353131
_NULL = 2545566395211041087
_ROW_SEED = 3935559000370003845
# How deep the hashes of a row's columns nest: the server and psycopg both read them by recursion.
_SECTION = 48

# {printed} is the value's output as text, {seed} a bigint, {mixed} the seed with its bits spread.
_ENCODERS = {
    "integer": "hashint4extended(0, {mixed} # {value}::int8)",
    "bool": "hashint4extended({value}::int4, {seed})",
    "uuid": "uuid_hash_extended({value}, {seed})",
    "text": 'hashtextextended({value}::text COLLATE "C", {seed})',
    "timestamp": "timestamp_hash_extended({value}, {seed})",
    # Shifted by nothing: to cast it in zone UTC gives the same, and costs twice as much.
    "timestamptz": "timestamp_hash_extended(timezone(interval '0', {value}), {seed})",
    "time": "time_hash_extended({value}, {seed})",
    "date": "CASE WHEN isfinite({value}) THEN hashint4extended({value} - date '2000-01-01', {seed}) "
    'ELSE hashtextextended({printed} COLLATE "C", {seed}) END',
}
_PRINTED = 'hashtextextended({printed} COLLATE "C", {seed})'
_FLOAT = (
    'CASE WHEN {value} = 0 THEN hashtextextended({zero} COLLATE "C", {seed}) '
    "ELSE hashfloat8extended({value}::float8, {seed}) END"
)
# The hash of a number leaves out its scale and its sign, so the seed tells the sign, by one that is no row's own.
# It tells powers of 10000 apart by their last bits alone, so these are spread.
_NUMBER = "hashint4extended(0, hash_numeric_extended({value}, CASE WHEN {value} < 0 THEN ~ {mixed} ELSE {seed} END))"
# Semantic mode: numeric loses trailing zeros of its scale, char(n) its padding, zero its sign.
_SEMANTIC = {
    # To the server's hash NaN and both infinities are one.
    "numeric": "CASE WHEN {value} = 'Infinity' THEN hashtextextended('Infinity' COLLATE \"C\", {seed}) "
    f"ELSE {_NUMBER} END",
    "bpchar": 'hashtextextended({value}::text COLLATE "C", {seed})',
    "float": _FLOAT.replace("{zero}", "'0'"),
}
_EXACT = {
    "numeric": 'hashtextextended({value}::text COLLATE "C", {seed})',
    "float": _FLOAT.replace("{zero}", "{printed}"),
}
# Exact figures are compared within one type: what another width would give does not matter.
_NARROW = "hashint4extended({value}::int4, {seed})"

# Kinds whose semantic hashes can be compared with one another: they print alike.
_GROUPS = {"bpchar": "text", "label": "text"}


@dataclass(frozen=True, slots=True)
class Value:
    """An expression of one kind, `type` as `format_type` spells it.

    Where `lossless` is given and not true, `otherwise` is hashed under another seed.
    """

    name: str
    kind: str
    type: str
    expression: sql.Composable
    output: tuple[str, ...]
    lossless: sql.Composable | None = None
    otherwise: Value | None = None


@dataclass(frozen=True, slots=True)
class Seed:
    """What binds a value to its row: `raw` tells rows apart, `mixed` does so with spread bits."""

    raw: sql.Composable
    mixed: sql.Composable


CONSTANT_SEED = Seed(sql.Literal(_SEED), sql.Literal(_SEED))


def comparable(one: str, other: str) -> bool:
    """Tell whether two kinds hash the same value alike in semantic mode."""
    return _GROUPS.get(one, one) == _GROUPS.get(other, other)


def value_of(column: Column) -> Value:
    """The column itself, below its domains, as a value."""
    expression: sql.Composable = sql.Identifier(column.name)
    if column.type != column.base:
        expression = cast(expression, column.base)
    return Value(column.name, column.kind, column.base, expression, column.output)


def cast(expression: sql.Composable, to: str) -> sql.Composable:
    """An explicit cast to a type as `format_type` spelled it."""
    return sql.SQL("({}::{})").format(expression, sql.SQL(to))


def printed(value: Value) -> sql.Composable:
    """The text that the type's output function, and so pg_dump, prints."""
    return sql.SQL("textin({}({}))").format(sql.Identifier(*value.output), value.expression)


def encode(value: Value, seed: Seed, mode: Mode) -> sql.Composable:
    """The 64-bit hash of a value as SQL; NULL for NULL."""
    template = _template(value, mode)
    parts = {"value": value.expression, "printed": printed(value), "seed": seed.raw, "mixed": seed.mixed}
    encoded = sql.SQL(template).format(**parts)
    if value.lossless is None or value.otherwise is None:
        return encoded
    other = sql.SQL("(~ {})").format(seed.mixed)
    lost = sql.SQL(_PRINTED).format(printed=printed(value.otherwise), seed=other)
    return sql.SQL("CASE WHEN {} THEN {} ELSE {} END").format(value.lossless, encoded, lost)


def _template(value: Value, mode: Mode) -> str:
    # Where a scale is declared, every value prints with it, and infinity is none; `numeric(10,2)[]` is another kind.
    if value.kind == "numeric" and value.type.startswith("numeric("):
        return _NUMBER
    if mode == "semantic":
        return _SEMANTIC.get(value.kind) or _ENCODERS.get(value.kind, _PRINTED)
    if value.type in {"smallint", "integer"}:
        return _NARROW
    return _EXACT.get(value.kind) or _ENCODERS.get(value.kind, _PRINTED)


def chain(values: Sequence[Value], start: int, mode: Mode) -> sql.Composable:
    """One hash over several values in this order; NULL is a value of its own."""
    links = [
        sql.SQL("coalesce({}, {})").format(encode(value, CONSTANT_SEED, mode), sql.Literal(_NULL)) for value in values
    ]
    return _fold(links, start)


def _fold(links: Sequence[sql.Composable], start: int) -> sql.Composable:
    """Hash the links in turn; many of them by sections, for expressions nest no deeper than that."""
    if len(links) > _SECTION:
        sections = [links[first : first + _SECTION] for first in range(0, len(links), _SECTION)]
        return _fold([_fold(section, start) for section in sections], start)
    total: sql.Composable = sql.Literal(start)
    for link in links:
        total = sql.SQL("hashint4extended(0, {} # {})").format(total, link)
    return total


def seed_of(key: Sequence[Value], mode: Mode) -> Seed:
    """The seed of a row: a single integer key itself, else the chained hash of its key."""
    if len(key) == 1 and key[0].kind == "integer" and key[0].lossless is None:
        raw = sql.SQL("{}::int8").format(key[0].expression)
        return Seed(raw, encode(key[0], CONSTANT_SEED, mode))
    chained = chain(key, _SEED, mode)
    return Seed(chained, chained)


@dataclass(frozen=True, slots=True)
class Hashes:
    """The hashes of one row: `row` identifies it, `columns` bind each value to it.

    With a key, `row` is the hash of the key. Without one it is the hash of the whole row, and the columns stand alone.
    """

    keyed: bool
    row: sql.Composable
    columns: tuple[sql.Composable, ...]

    def sums(self) -> sql.Composable:
        """The select list that adds a table up: count, row hashes, then each column. Addition, never XOR."""
        # sum(bigint) is exact: 128-bit inside, numeric outside.
        parts = [sql.SQL("coalesce(sum({}), 0)").format(part) for part in (self.row, *self.columns)]
        return sql.SQL(", ").join([sql.SQL("count(*)"), *parts])


def hashes(values: Sequence[Value], key: Sequence[Value], mode: Mode) -> Hashes:
    """Bind every value to the row that `key` names; an empty key makes the table a multiset of whole rows."""
    if not key:
        row = chain(sorted(values, key=lambda value: value.name), _ROW_SEED, mode)
        return Hashes(False, row, tuple(encode(value, CONSTANT_SEED, mode) for value in values))
    seed = seed_of(key, mode)
    alone = key[0].name if len(key) == 1 else None
    columns = (seed.mixed if value.name == alone else encode(value, seed, mode) for value in values)
    return Hashes(True, seed.mixed, tuple(columns))


def shape_hashes(shape: TableShape, mode: Mode) -> Hashes:
    """The hashes of a table by its first key."""
    values = {column.name: value_of(column) for column in shape.columns}
    key = [values[name] for name in shape.keys[0]] if shape.keys else []
    return hashes(list(values.values()), key, mode)
