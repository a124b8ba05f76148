"""Rows that a unique index or an exclusion constraint refuses, found with the operators that the index itself uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg import sql

from pytest_dryrun.rehearsal.judge.counting import Counted, count_duplicates, relation

# Whether two values are equal is asked with the default operator of their type, which another operator class may not
# share. WITHOUT OVERLAPS is an exclusion under the name of a unique constraint (manual: "CREATE TABLE", UNIQUE).
_KEYS = """
SELECT coalesce(quote_ident(k.conname), ''), m.amname,
       ARRAY(SELECT pg_get_indexdef(i.indexrelid, s, false) FROM generate_series(1, i.indnkeyatts) s ORDER BY s),
       ARRAY(SELECT CASE WHEN c.oid IS NULL THEN '' ELSE format(' COLLATE %%I.%%I', n.nspname, c.collname) END
               FROM generate_series(1, i.indnkeyatts) s
               LEFT JOIN (pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace)
                 ON c.oid = i.indcollation[s - 1] ORDER BY s),
       ARRAY(SELECT format('%%I.%%I', n.nspname, o.opcname)
               FROM unnest(i.indclass::oid[]) WITH ORDINALITY u(oid, s)
               JOIN pg_opclass o ON o.oid = u.oid JOIN pg_namespace n ON n.oid = o.opcnamespace ORDER BY u.s),
       ARRAY(SELECT format('OPERATOR(%%I.%%s)', n.nspname, o.oprname)
               FROM unnest(k.conexclop) WITH ORDINALITY u(oid, s)
               JOIN pg_operator o ON o.oid = u.oid JOIN pg_namespace n ON n.oid = o.oprnamespace ORDER BY u.s),
       coalesce(pg_get_expr(i.indpred, i.indrelid), ''),
       NOT coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false),
       coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false),
       CASE WHEN i.indisexclusion AND k.conexclop IS NULL THEN 'the catalog names no operators for it'
            WHEN NOT i.indisexclusion AND EXISTS (
              SELECT FROM unnest(i.indclass::oid[]) u(oid) JOIN pg_opclass o ON o.oid = u.oid
                JOIN pg_opclass d ON d.opcmethod = o.opcmethod AND d.opcintype = o.opcintype AND d.opcdefault
                JOIN pg_amop mine ON (mine.amopfamily, mine.amoplefttype, mine.amoprighttype, mine.amopstrategy)
                                   = (o.opcfamily, o.opcintype, o.opcintype, 3)
                JOIN pg_amop usual ON (usual.amopfamily, usual.amoplefttype, usual.amoprighttype, usual.amopstrategy)
                                    = (d.opcfamily, d.opcintype, d.opcintype, 3)
               WHERE mine.amopopr <> usual.amopopr)
            THEN 'its operator class has an equality of its own' ELSE '' END
  FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
  LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
 WHERE i.{column} = %s AND (i.indisunique OR i.indisexclusion) ORDER BY i.indexrelid"""
_HELD = "pytest_dryrun_held"


@dataclass(frozen=True, slots=True)
class Key:
    """What an index asks of any two rows; `name` is its constraint's quoted name, empty where it has none.

    `columns` are its columns and expressions, each with a collation and an operator class. With `operators` it is an
    exclusion: no two rows may answer true to all of them. `period` says that its last column may not be empty, too.
    `obstacle` says why rows cannot be counted by it; empty where they can.
    """

    name: str
    method: str
    columns: tuple[str, ...]
    collations: tuple[str, ...]
    classes: tuple[str, ...]
    operators: tuple[str, ...]
    predicate: str
    nulls_distinct: bool
    period: bool
    obstacle: str

    @property
    def expressions(self) -> tuple[str, ...]:
        """Its columns and expressions, to be compared as it compares them."""
        return tuple(f"({column}){by}" for column, by in zip(self.columns, self.collations, strict=True))


def keys_of(
    connection: psycopg.Connection[Any], oid: int, column: Literal["indexrelid", "indrelid"] = "indexrelid"
) -> Iterator[Key]:
    """The key of one index, or those of every unique index and exclusion constraint of a relation."""
    query = sql.SQL(_KEYS).format(column=sql.Identifier(column))
    for name, method, columns, collations, classes, operators, *rest in connection.execute(query, (oid,)).fetchall():
        yield Key(name, method, tuple(columns), tuple(collations), tuple(classes), tuple(operators), *rest)


def count_conflicts(connection: psycopg.Connection[Any], table: str, key: Key) -> Counted:
    """Rows that break the key, a few of their values; a text says why they could not be counted.

    For an exclusion the connection must be to a disposable copy: what is made there is rolled back.
    """
    if key.obstacle:
        return key.obstacle
    if not key.operators:
        return count_duplicates(connection, table, key.expressions, key.predicate, nulls_distinct=key.nulls_distinct)
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("SET LOCAL constraint_exclusion = off")
            _hold(connection, table, key)
            row = connection.execute(_broken(key)).fetchone()
    except psycopg.Error as error:
        return " ".join(str(error).split())
    return (int(row[0]), tuple(row[1] or ())) if row else (0, ())


def _hold(connection: psycopg.Connection[Any], table: str, key: Key) -> None:
    """Put the values into a table with an index of its own: the real one may lack the very rows that break it."""
    values = [f"{expression} AS k{number}" for number, expression in enumerate(key.expressions)]
    wanted = [f"{expression} IS NOT NULL" for expression in key.expressions]
    wanted += [f"({key.predicate})"] if key.predicate else []
    query = sql.SQL("CREATE TEMPORARY TABLE {} AS SELECT {} FROM {} WHERE {}").format(
        sql.Identifier(_HELD),
        sql.SQL(", ".join(values)),
        relation(connection, table),
        sql.SQL(" AND ".join(wanted)),
    )
    connection.execute(query)
    compared = ", ".join(f"k{number} {name}" for number, name in enumerate(key.classes))
    using = sql.SQL("CREATE INDEX ON pg_temp.{} USING {} ({})").format(
        sql.Identifier(_HELD), sql.Identifier(key.method), sql.SQL(compared)
    )
    connection.execute(using)
    connection.execute(sql.SQL("ANALYZE pg_temp.{}").format(sql.Identifier(_HELD)))


def _broken(key: Key) -> sql.Composed:
    pairs = [f"one.k{number} {operator} two.k{number}" for number, operator in enumerate(key.operators)]
    shown = " || ', ' || ".join(f"one.k{number}::text" for number in range(len(key.columns)))
    empty = f"pg_catalog.isempty(one.k{len(key.columns) - 1}) OR " if key.period else ""
    return sql.SQL(
        "WITH broken AS (SELECT left({shown}, 200) AS shown FROM pg_temp.{held} AS one WHERE {empty}"
        "EXISTS (SELECT FROM pg_temp.{held} AS two WHERE two.ctid <> one.ctid AND {pairs})) "
        "SELECT count(*), (SELECT array_agg(shown ORDER BY shown) FROM "
        "(SELECT DISTINCT shown FROM broken ORDER BY shown LIMIT 3) few) FROM broken"
    ).format(shown=sql.SQL(shown), held=sql.Identifier(_HELD), empty=sql.SQL(empty), pairs=sql.SQL(" AND ".join(pairs)))
