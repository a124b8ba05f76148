"""What the running release can read and write: relations, columns, keys and sequences of the untouched data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from pytest_dryrun.postgres.catalog.pinned import pinned

# INSERT, UPDATE and DELETE as pg_relation_is_updatable counts them (manual: "System Catalog Information Functions").
INSERT, UPDATE, DELETE = 8, 4, 16

# Extensions' own relations belong to their releases. What reads a foreign table would reach another server.
_RELATIONS = """
WITH RECURSIVE far AS (
  SELECT oid FROM pg_class WHERE relkind = 'f'
  UNION SELECT above.oid FROM far JOIN (
      SELECT d.refobjid AS below, r.ev_class AS oid FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
       WHERE d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_rewrite'::regclass
      UNION ALL SELECT inhrelid, inhparent FROM pg_inherits) above ON above.below = far.oid)
SELECT c.oid::int8, format('%%I.%%I', n.nspname, c.relname), c.relkind::text, c.relrowsecurity,
       CASE c.relkind WHEN 'm' THEN 0 WHEN 'v' THEN pg_relation_is_updatable(c.oid, true) ELSE 28 END,
       EXISTS (SELECT FROM far WHERE far.oid = c.oid),
       EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgtype & 64 <> 0)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND (%s OR NOT c.relispartition) AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pytest_dryrun') AND n.nspname !~ '^pg_(toast|temp)'
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                     AND d.deptype = 'e')
 ORDER BY c.oid
"""
# A cast to a type without its modifier: `character` and `bit` alone would mean one character, one bit.
_COLUMNS = """
WITH RECURSIVE base AS (
  SELECT oid AS type, oid AS deep, typtype, typbasetype, typdefault IS NOT NULL AS given FROM pg_type
  UNION ALL
  SELECT base.type, t.oid, t.typtype, t.typbasetype, base.given OR t.typdefault IS NOT NULL
    FROM base JOIN pg_type t ON t.oid = base.typbasetype WHERE base.typtype = 'd')
SELECT a.attrelid::int8, a.attname::text,
       CASE base.deep WHEN 'bpchar'::regtype THEN 'bpchar' WHEN 'bpchar[]'::regtype THEN 'bpchar[]'
            WHEN 'bit'::regtype THEN 'pg_catalog."bit"' WHEN 'bit[]'::regtype THEN 'pg_catalog."bit"[]'
            ELSE format_type(base.deep, NULL) END,
       a.attnotnull,
       base.given OR a.attidentity <> '' OR (a.atthasdef AND a.attgenerated = ''),
       a.attgenerated <> '' OR a.attidentity = 'a'
         OR (c.relkind = 'v' AND NOT pg_column_is_updatable(c.oid, a.attnum, true)
             AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgtype & 64 <> 0)),
       EXISTS (SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod AND m.amname = 'btree'
                WHERE o.opcdefault AND (o.opcintype = base.deep
                   OR (o.opcintype = 'anyarray'::regtype AND e.typelem <> 0 AND e.typlen = -1
                       AND EXISTS (SELECT FROM pg_opclass p WHERE p.opcdefault AND p.opcintype = e.typelem))
                   OR (o.opcintype = 'anyenum'::regtype AND e.typtype = 'e')
                   OR (o.opcintype = 'text'::regtype AND e.oid = 'varchar'::regtype)
                   OR (o.opcintype = 'anyrange'::regtype AND e.typtype = 'r')))
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  JOIN base ON base.type = a.atttypid AND base.typtype <> 'd' JOIN pg_type e ON e.oid = base.deep
 WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid = ANY (%s)
 ORDER BY a.attrelid, a.attnum
"""
# The best key of each relation first: the primary one, then unique ones without expressions, conditions and NULLs.
_INDEXES = """
SELECT i.indrelid::int8, i.indexrelid::int8, i.indisprimary,
       i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indisvalid
         AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
                            AND NOT a.attnotnull),
       ARRAY(SELECT a.attname::text FROM unnest(i.indkey[:i.indnkeyatts - 1]) WITH ORDINALITY k (number, place)
               JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place),
       format('%%I.%%I', n.nspname, c.relname), i.indisunique OR i.indisexclusion
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE i.indrelid = ANY (%s) ORDER BY i.indrelid, i.indisprimary DESC, i.indexrelid
"""
# Sequences that a column's default or identity takes its numbers from.
_SEQUENCES = """
SELECT DISTINCT relation::int8, format('%%I.%%I', n.nspname, s.relname), q.seqincrement
  FROM (SELECT d.refobjid AS relation, d.objid AS sequence FROM pg_depend d
         WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
        UNION
        SELECT a.adrelid, d.refobjid FROM pg_depend d JOIN pg_attrdef a ON a.oid = d.objid
         WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass) found
  JOIN pg_class s ON s.oid = found.sequence AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace
  JOIN pg_sequence q ON q.seqrelid = s.oid
 WHERE relation = ANY (%s)
"""
# What refers to a relation: the rows that go, or stand in the way, when one of its own is deleted.
_CHILDREN = """
SELECT k.confrelid::int8, format('%%I.%%I', n.nspname, c.relname),
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u (number, place)
               JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number ORDER BY u.place),
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u (number, place)
               JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number ORDER BY u.place),
       k.conrelid::int8
  FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = ANY (%s)
"""
# Every table with the root of its partitions.
_TABLES = """
SELECT c.oid::int8, coalesce(pg_partition_root(c.oid), c.oid)::int8, format('%I.%I', n.nspname, c.relname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pytest_dryrun')
   AND n.nspname !~ '^pg_(toast|temp)'
"""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `type` as a cast spells it, without modifier and with domains replaced by what they are made of.

    `default` where a writer that does not name it still gives a value, `kept` where no writer may give one.
    `comparable` where the type has an equality.
    """

    name: str
    type: str
    not_null: bool
    default: bool
    kept: bool
    comparable: bool


@dataclass(frozen=True, slots=True)
class Child:
    """A foreign key that refers to a relation: the table it stands on, its columns, and those it refers to."""

    table: str
    oid: int
    columns: tuple[str, ...]
    referenced: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view or materialized view as the database describes it.

    `name` is quoted and qualified. `writes` are INSERT, UPDATE and DELETE as far as the kind of relation takes them.
    `key` names the columns that find one row, empty where none do. `sequences` are name and increment.
    """

    oid: int
    name: str
    kind: str
    row_security: bool
    writes: int
    far: bool
    instead: bool
    columns: tuple[Column, ...] = ()
    key: tuple[str, ...] = ()
    indexed: tuple[str, ...] = ()
    uniques: frozenset[str] = frozenset()
    sequences: tuple[tuple[str, int], ...] = ()
    children: tuple[Child, ...] = ()

    def column(self, name: str) -> Column | None:
        """The column of this bare name."""
        return next((column for column in self.columns if column.name == name), None)


@dataclass(frozen=True, slots=True)
class Inventory:
    """The relations of one database by name, and the root of every table's partitions by oid."""

    relations: Mapping[str, Relation]
    roots: Mapping[int, int]
    names: Mapping[int, str] = field(repr=False)


def inventory(connection: psycopg.Connection[Any], *, leaves: bool = False) -> Inventory:
    """Read what the application's statements can name: nothing of an extension, partitions only with `leaves`."""
    with pinned(connection):
        rows = connection.execute(_RELATIONS, (leaves,)).fetchall()
        oids = [row[0] for row in rows]
        columns: dict[int, list[Column]] = defaultdict(list)
        for oid, *facts in connection.execute(_COLUMNS, (oids,)):
            columns[oid].append(Column(*facts))
        keys, indexed, uniques = _indexes(connection, oids)
        sequences: dict[int, list[tuple[str, int]]] = defaultdict(list)
        for oid, name, increment in connection.execute(_SEQUENCES, (oids,)):
            sequences[oid].append((name, increment))
        children: dict[int, list[Child]] = defaultdict(list)
        for oid, table, own, referenced, child in connection.execute(_CHILDREN, (oids,)):
            children[oid].append(Child(table, child, tuple(own), tuple(referenced)))
        tables = connection.execute(_TABLES).fetchall()
    relations = {
        name: Relation(
            oid=oid,
            name=name,
            kind=kind,
            row_security=row_security,
            writes=writes,
            far=far,
            instead=instead,
            columns=tuple(columns[oid]),
            key=keys.get(oid, ()),
            indexed=tuple(indexed[oid]),
            uniques=frozenset(uniques[oid]),
            sequences=tuple(sequences[oid]),
            children=tuple(children[oid]),
        )
        for oid, name, kind, row_security, writes, far, instead in rows
    }
    return Inventory(relations, {oid: root for oid, root, _ in tables}, {oid: name for oid, _, name in tables})


def _indexes(
    connection: psycopg.Connection[Any], oids: Sequence[int]
) -> tuple[dict[int, tuple[str, ...]], dict[int, dict[str, None]], dict[int, list[str]]]:
    """The best key, the columns that stand first in an index, and the unique indexes of each relation."""
    keys: dict[int, tuple[str, ...]] = {}
    indexed: dict[int, dict[str, None]] = defaultdict(dict)
    uniques: dict[int, list[str]] = defaultdict(list)
    for oid, _, primary, usable, columns, name, unique in connection.execute(_INDEXES, (list(oids),)):
        if unique:
            uniques[oid].append(name.rpartition(".")[2])
        if columns:
            indexed[oid][columns[0]] = None
        if oid not in keys and columns and (primary or usable):
            keys[oid] = tuple(columns)
    return keys, indexed, uniques


def in_order(found: Inventory, pending: str) -> list[Relation]:
    """The relations that the pending files mention, then their neighbours by foreign keys, then the others."""
    low = pending.lower()
    touched = {name for name, one in found.relations.items() if _bare(name).lower() in low}
    oids = {found.relations[name].oid for name in touched}
    near = {name for name, one in found.relations.items() if any(child.oid in oids for child in one.children)} | {
        child.table for name in touched for child in found.relations[name].children
    }
    return sorted(found.relations.values(), key=lambda one: (one.name not in touched, one.name not in near, one.oid))


def _bare(name: str) -> str:
    return name.rpartition(".")[2].strip('"')
