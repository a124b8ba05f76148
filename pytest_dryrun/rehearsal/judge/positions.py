"""Where every sequence stands, and which columns it feeds: no snapshot shows it, so it is read before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.sql.names import identifier

# Columns asked at once for their highest value; each takes a lock on its table, its partitions and indexes.
_AT_ONCE = 20
_RANGES = {"int2": 2**15, "int4": 2**31, "int8": 2**63}

_SEQUENCES = """
SELECT s.seqrelid::int8, format('%I.%I', n.nspname, c.relname),
       CASE WHEN has_sequence_privilege(c.oid, 'SELECT, USAGE') THEN pg_sequence_last_value(c.oid) END,
       has_sequence_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE'),
       s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcycle
  FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pytest_dryrun')"""

# A default that makes something else of the number than the number itself, or its cast to another integer, is left
# out. Asked of the parsed expression: to print it the server would lock the table.
_FEEDS = """
SELECT f.sequence::int8, c.oid::int8, format('%I.%I', n.nspname, c.relname), a.attnum, a.attname, t.typname,
       has_column_privilege(c.oid, a.attnum, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE') AND EXISTS (
         SELECT FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_am am ON am.oid = ic.relam
          WHERE i.indrelid = c.oid AND i.indkey[0] = a.attnum AND i.indpred IS NULL AND i.indisvalid
            AND am.amname = 'btree'),
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indkey[0] = a.attnum AND i.indisunique)
  FROM (SELECT d.objid AS sequence, d.refobjid AS relation, d.refobjsubid AS number FROM pg_depend d
         WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
           AND d.deptype = 'i'
         UNION
        SELECT d.refobjid, ad.adrelid, ad.adnum FROM pg_depend d JOIN pg_attrdef ad ON ad.oid = d.objid
         WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
           AND ad.adbin::text ~ '^{FUNCEXPR :funcid ((480|714|1781) .*:args [(]{FUNCEXPR :funcid )?1574 ') f
  JOIN pg_sequence s ON s.seqrelid = f.sequence JOIN pg_class c ON c.oid = f.relation
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = f.number
  JOIN pg_type own ON own.oid = a.atttypid
  JOIN pg_type t ON t.oid = CASE own.typtype WHEN 'd' THEN own.typbasetype ELSE own.oid END
 WHERE t.typname IN ('int2', 'int4', 'int8', 'numeric') AND c.relpersistence <> 't' AND c.relkind IN ('r', 'p')
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pytest_dryrun')
 ORDER BY 3, 4"""
_TABLES = "SELECT c.oid::int8, format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = "
_TABLES += "c.relnamespace WHERE c.relkind IN ('r', 'p')"


@dataclass(frozen=True, slots=True)
class Feed:
    """A column that takes its values from a sequence; `known` where its lowest and highest value could be asked.

    Both are None in an empty table. `limit` is the first number that its type no longer holds.
    """

    oid: int
    table: str
    number: int
    column: str
    limit: int | None
    unique: bool
    known: bool = False
    lowest: int | None = None
    highest: int | None = None

    @property
    def called(self) -> str:
        """As a message names it."""
        return f"{self.table}, column {self.column}"


@dataclass(frozen=True, slots=True)
class Position:
    """One sequence: where it stands, how it goes on, and what it feeds. `last` is its last number, or its next one."""

    oid: int
    name: str
    last: int
    used: bool
    step: int
    minimum: int
    maximum: int
    cycles: bool
    feeds: tuple[Feed, ...] = ()

    @property
    def next(self) -> int:
        """The number it hands out next, were there no end; one that cycles begins again."""
        if self.wraps:
            return self.minimum if self.step > 0 else self.maximum
        return self.last + self.step if self.used else self.last

    @property
    def wraps(self) -> bool:
        """Whether the next number is its first one again."""
        number = self.last + self.step if self.used else self.last
        return self.cycles and not self.minimum <= number <= self.maximum

    @property
    def size(self) -> int:
        """How many numbers its range holds."""
        return (self.maximum - self.minimum) // abs(self.step) + 1

    @property
    def exhausted(self) -> str:
        """Why it hands out no number any more; empty where it does."""
        if not self.minimum <= self.next <= self.maximum:
            return f"its range ends at {self.maximum if self.step > 0 else self.minimum:,}"
        for feed in self.feeds:
            if feed.limit is not None and not -feed.limit <= self.next < feed.limit:
                return f"{feed.called} holds no such number"
        return ""

    def behind(self, feed: Feed) -> bool:
        """Whether it stands among the numbers that the column has already."""
        if feed.highest is None or feed.lowest is None:
            return False
        return self.next <= feed.highest if self.step > 0 else self.next >= feed.lowest


@dataclass(frozen=True, slots=True)
class Positions:
    """Every sequence by its oid, and every table's name by its oid."""

    sequences: Mapping[int, Position]
    tables: Mapping[int, str]

    def find(self, other: Position) -> Position | None:
        """The same sequence, or the one of the same name."""
        named = (item for item in self.sequences.values() if item.name == other.name)
        return self.sequences.get(other.oid) or next(named, None)

    def feeding(self, feed: Feed) -> Iterator[tuple[Position, Feed]]:
        """What fed this column; that of a table of the same name where the table is another one."""
        for item in self.sequences.values():
            for known in item.feeds:
                same = (known.oid, known.number) == (feed.oid, feed.number)
                if same or (known.oid != feed.oid and (known.table, known.column) == (feed.table, feed.column)):
                    yield item, known


def positions(connection: psycopg.Connection[Any]) -> Positions:
    """Read where every sequence stands; values of columns are asked of indexes alone, and never waited for long."""
    with connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '2s'")
        found = connection.execute(_SEQUENCES).fetchall()
        begun = _begun(connection, [(row[0], row[1]) for row in found if row[2] is None and row[3]])
        feeds = _valued(connection, connection.execute(_FEEDS).fetchall())
        tables = dict(connection.execute(_TABLES).fetchall())
    sequences = {}
    for oid, name, last, _, start, step, minimum, maximum, cycles in found:
        stands = last if last is not None else begun.get(oid, start)
        mine = tuple(feed for sequence, feed in feeds if sequence == oid)
        sequences[oid] = Position(oid, name, stands, last is not None, step, minimum, maximum, cycles, mine)
    return Positions(sequences, tables)


def _begun(connection: psycopg.Connection[Any], names: Sequence[tuple[int, str]]) -> dict[int, int]:
    """The first number of sequences that handed out none yet: `setval(..., false)` leaves another than their start."""
    query = sql.SQL("SELECT {}::int8, last_value FROM {}")
    found: dict[int, int] = {}
    for start in range(0, len(names), 100):
        some = names[start : start + 100]
        each = [query.format(sql.Literal(oid), identifier(name)) for oid, name in some]
        found |= dict(connection.execute(sql.SQL(" UNION ALL ").join(each)).fetchall())
    return found


def _valued(connection: psycopg.Connection[Any], rows: Sequence[tuple[Any, ...]]) -> list[tuple[int, Feed]]:
    """Each sequence's columns with their lowest and highest value, where an index tells."""
    feeds = [
        (sequence, Feed(oid, table, number, column, _RANGES.get(kind), unique), bool(indexed))
        for sequence, oid, table, number, column, kind, indexed, unique in rows
    ]
    asked = [index for index, (_, _, indexed) in enumerate(feeds) if indexed]
    values: dict[int, tuple[int | None, int | None]] = {}
    for start in range(0, len(asked), _AT_ONCE):
        some = asked[start : start + _AT_ONCE]
        try:
            values |= _values(connection, {index: feeds[index][1] for index in some})
        except psycopg.Error:  # one of them is locked, or closed to us: each alone
            for index in some:
                with suppress(psycopg.Error):
                    values |= _values(connection, {index: feeds[index][1]})
    return [
        (sequence, replace(feed, known=True, lowest=values[index][0], highest=values[index][1]))
        if index in values
        else (sequence, feed)
        for index, (sequence, feed, _) in enumerate(feeds)
    ]


def _values(connection: psycopg.Connection[Any], feeds: Mapping[int, Feed]) -> dict[int, tuple[int | None, int | None]]:
    query = sql.SQL("SELECT {}, floor(min({column}))::numeric, ceil(max({column}))::numeric FROM {}")
    each = [
        query.format(sql.Literal(index), identifier(feed.table), column=sql.Identifier(feed.column))
        for index, feed in feeds.items()
    ]
    with connection.transaction():
        rows = connection.execute(sql.SQL(" UNION ALL ").join(each)).fetchall()
    return {
        index: (None if lowest is None else int(lowest), None if highest is None else int(highest))
        for index, lowest, highest in rows
    }
