"""Which tables a database holds, what identifies a row of each, and what no fingerprint can vouch for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.model.errors import TargetUnusable

LARGE_OBJECTS = "pg_catalog.pg_largeobject"

_KINDS = {
    **dict.fromkeys(("int2", "int4", "int8"), "integer"),
    **dict.fromkeys(("float4", "float8"), "float"),
    **dict.fromkeys(("text", "varchar"), "text"),
    **{name: name for name in ("bool", "bpchar", "date", "numeric", "time", "timestamp", "timestamptz", "uuid")},
}

# Sizes are estimates, for the order of work: asking for the exact one would wait behind whoever locks a table.
# `base` walks a domain down to the type that stores its values.
_COLUMNS = """
WITH RECURSIVE base (oid, typmod, attrelid, attnum) AS (
    SELECT a.atttypid, a.atttypmod, a.attrelid, a.attnum
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND c.oid = ANY(%s)
    UNION ALL
    SELECT t.typbasetype, t.typtypmod, b.attrelid, b.attnum
    FROM base b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype = 'd'
)
SELECT b.attrelid, b.attnum, a.attname, format_type(a.atttypid, a.atttypmod), format_type(b.oid, b.typmod),
       tn.nspname, t.typname, t.typtype = 'e', ARRAY[pn.nspname::text, p.proname::text],
       CASE WHEN t.typtype = 'c' THEN ARRAY(
           SELECT ARRAY[m.attnum::text, m.attname::text, format_type(m.atttypid, m.atttypmod)]
           FROM pg_attribute m WHERE m.attrelid = t.typrelid AND m.attnum > 0 AND NOT m.attisdropped ORDER BY m.attnum)
       END
FROM base b
JOIN pg_attribute a ON a.attrelid = b.attrelid AND a.attnum = b.attnum
JOIN pg_type t ON t.oid = b.oid
JOIN pg_namespace tn ON tn.oid = t.typnamespace
JOIN pg_proc p ON p.oid = t.typoutput
JOIN pg_namespace pn ON pn.oid = p.pronamespace
WHERE t.typtype <> 'd'
ORDER BY b.attrelid, b.attnum
"""

_RELATIONS = """
SELECT c.oid, n.nspname, c.relname, format('%I.%I', n.nspname, c.relname),
       c.relkind::text, c.relispartition, c.relpersistence = 'u',
       greatest(c.relpages * 8192.0, pg_stat_get_live_tuples(c.oid) * 100)::int8,
       has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
       row_security_active(c.oid),
       (SELECT x.extname FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
          AND d.refclassid = 'pg_extension'::regclass LIMIT 1)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'm') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
ORDER BY n.nspname, c.relname
"""

# A partition whose concurrent detaching was broken off is no longer read through its parent.
_INHERITS = "SELECT inhrelid, inhparent FROM pg_inherits WHERE NOT inhdetachpending ORDER BY inhrelid, inhseqno"

# What a dump carries of an extension's own tables: the rows that a condition, a WHERE clause or nothing, lets through.
_CONFIGURATION = """
SELECT c.relation, coalesce(c.condition, '')
FROM pg_extension x, unnest(x.extconfig, x.extcondition) AS c (relation, condition)
"""

# Plain unique indexes over columns that cannot be null, the primary key first, then the narrowest.
_KEYS = """
SELECT i.indrelid, array(SELECT a.attname::text FROM generate_series(0, i.indnkeyatts - 1) p
                         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[p] ORDER BY p)
FROM pg_index i
WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND (i.indisprimary OR i.indimmediate)
  AND i.indrelid = ANY(%s)
  AND NOT EXISTS (SELECT FROM generate_series(0, i.indnkeyatts - 1) p
                  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[p] WHERE NOT a.attnotnull)
ORDER BY i.indrelid, i.indisprimary DESC, i.indnkeyatts, 2
"""


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `kind` says how its values are hashed, `output` is the function that prints them for pg_dump.

    `type` is the declared type, `base` the type below its domains, both as `format_type` spells them.
    `attributes` are those of a composite type: number, name and type.
    """

    attnum: int
    name: str
    type: str
    base: str
    kind: str
    output: tuple[str, ...]
    attributes: tuple[tuple[str, str, str], ...] = ()

    @property
    def kind_is_builtin(self) -> bool:
        """Whether every database knows the type: an enum or an extension's type may be missing elsewhere."""
        return self.kind != "label" and self.kind.rpartition(".")[0] in {"", "pg_catalog"}


@dataclass(frozen=True, slots=True)
class TableShape:
    """A table whose rows can be read; `keys` are its candidate keys, the one to use first, empty without any.

    `table` is the quoted, qualified name a report shows.
    A partitioned table stands for its `leaves`, the partitions on this server that hold rows (`local` are their names);
    `foreign` are those on another one. What is below it knows it as its `root`, and goes by its keys.
    A plain table stands for its inheritance children only where `heirs` says so; `parents` are the tables it inherits
    from.
    Of a table of an `extension`, a dump carries the rows that `condition` lets through.
    """

    oid: int
    schema: str
    name: str
    table: str
    relkind: str
    is_partition: bool
    volatile: bool
    size_bytes: int
    columns: tuple[Column, ...]
    keys: tuple[tuple[str, ...], ...]
    root: int | None = None
    leaves: tuple[int, ...] = ()
    foreign: tuple[str, ...] = ()
    local: tuple[sql.Identifier, ...] = ()
    parents: tuple[int, ...] = ()
    extension: str = ""
    condition: str = ""
    heirs: bool = False

    def source(self) -> sql.Composable:
        """What stands behind FROM."""
        if self.table == LARGE_OBJECTS:
            body = "(SELECT oid AS loid, sha256(lo_get(oid)) AS data FROM pg_largeobject_metadata) AS objects"
            return sql.SQL(body)
        named = sql.Identifier(self.schema, self.name)
        if self.condition:
            return sql.SQL("(SELECT * FROM ONLY {} {}) AS dumped").format(named, sql.SQL(self.condition))
        if self.relkind != "p" and not self.heirs:
            return sql.SQL("ONLY {}").format(named)
        if not self.foreign:
            return named
        # Another server is not asked: its partitions are left out, the others are not.
        columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in self.columns)
        parts = [sql.SQL("SELECT {} FROM ONLY {}").format(columns, leaf) for leaf in self.local]
        none = sql.SQL("SELECT {} FROM {} WHERE false").format(columns, named)
        return sql.SQL("({}) AS leaves").format(_union(parts or [none]))


def _union(selects: Sequence[sql.Composable]) -> sql.Composable:
    """All rows of some queries, by halves: the server reads a row of UNIONs by recursion."""
    if len(selects) == 1:
        return selects[0]
    half = len(selects) // 2
    return sql.SQL("({}) UNION ALL ({})").format(_union(selects[:half]), _union(selects[half:]))


@dataclass(frozen=True, slots=True)
class Unverified:
    """Something whose rows no figure vouches for.

    `expected` is True where a dump does not carry the rows either (foreign table, materialized view, extension),
    False where they ought to have been read and could not be: that must never pass for equal.
    `elsewhere` marks rows that are on another server, `sequence` a sequence, which has a position and no rows.
    """

    oid: int
    table: str
    reason: str
    expected: bool
    elsewhere: bool = False
    sequence: bool = False


def read_shapes(
    connection: psycopg.Connection[tuple[Any, ...]], *, members: bool = False
) -> tuple[tuple[TableShape, ...], tuple[Unverified, ...]]:
    """Read what can be fingerprinted, partitions included, and what cannot, with the reason.

    `members` reads the tables of extensions whole, where else only what a dump carries of them is read.
    Raises TargetUnusable where row-level security would hide rows from this user.
    """
    relations = connection.execute(_RELATIONS).fetchall()
    oids = [row[0] for row in relations]
    columns = _columns(connection, oids)
    keys: dict[int, list[tuple[str, ...]]] = {}
    for oid, names in connection.execute(_KEYS, (oids,)):
        keys.setdefault(oid, []).append(tuple(names))
    family = _Family.read(connection)
    dumped: dict[int, str] = dict(connection.execute(_CONFIGURATION).fetchall())
    shapes: list[TableShape] = []
    unverified: list[Unverified] = []
    for oid, schema, name, table, relkind, is_partition, volatile, size, *access in relations:
        readable, secured, extension = access
        reason = _why_excluded(relkind, extension, readable_member=members or oid in dumped)
        if reason:
            unverified.append(Unverified(oid, table, reason, expected=True, elsewhere=relkind == "f"))
        elif not readable:
            reason = "permission denied: this user may not SELECT from it"
            unverified.append(Unverified(oid, table, reason, expected=False))
        elif secured:
            raise TargetUnusable(
                f"Row-level security hides rows of {table} from this user.",
                "A fingerprint of the rest would pass for the whole table, so none is taken.",
                "Connect as the table's owner, a superuser or a role with BYPASSRLS.",
            )
        else:
            facts = (tuple(columns.get(oid, ())), tuple(keys.get(oid, ())))
            shape = TableShape(oid, schema, name, table, relkind, is_partition, volatile, size, *facts)
            if extension:
                shape = replace(shape, extension=extension, condition="" if members else dumped[oid])
            shapes.append(shape)
    shapes = _related(shapes, family, {row[0]: row for row in relations})
    _add_large_objects(connection, shapes, unverified)
    return tuple(shapes), tuple(unverified)


@dataclass(frozen=True, slots=True)
class _Family:
    """Who inherits from whom, by oid: partitions and inheritance children alike."""

    parents: Mapping[int, tuple[int, ...]]
    children: Mapping[int, tuple[int, ...]]

    @classmethod
    def read(cls, connection: psycopg.Connection[tuple[Any, ...]]) -> _Family:
        parents: dict[int, tuple[int, ...]] = {}
        children: dict[int, tuple[int, ...]] = {}
        for child, parent in connection.execute(_INHERITS):
            parents[child] = (*parents.get(child, ()), parent)
            children[parent] = (*children.get(parent, ()), child)
        return cls(parents, children)

    def below(self, oid: int) -> Iterator[int]:
        """Every partition below a partitioned table."""
        for child in self.children.get(oid, ()):
            yield child
            yield from self.below(child)


def _related(shapes: list[TableShape], family: _Family, relations: Mapping[int, tuple[Any, ...]]) -> list[TableShape]:
    """Let partitioned tables know their leaves, what is below them their root, and children their parents."""
    by_oid = {shape.oid: shape for shape in shapes}
    tops = [shape for shape in shapes if shape.relkind == "p" and shape.oid not in family.parents]
    roots = {oid: top for top in tops for oid in family.below(top.oid)}
    found = []
    for shape in shapes:
        root = roots.get(shape.oid)
        related = replace(shape, root=root.oid, keys=root.keys) if root is not None else shape
        if shape.relkind == "p":
            below = [relations[oid] for oid in family.below(shape.oid) if oid in relations]
            leaves = [by_oid[row[0]] for row in below if row[4] == "r" and row[0] in by_oid]
            related = replace(
                related,
                leaves=tuple(leaf.oid for leaf in leaves),
                foreign=tuple(row[3] for row in below if row[4] == "f"),
                local=tuple(sql.Identifier(leaf.schema, leaf.name) for leaf in leaves),
                size_bytes=sum(leaf.size_bytes for leaf in leaves),
            )
        elif root is None:
            related = replace(related, parents=family.parents.get(shape.oid, ()))
        found.append(related)
    return found


def _columns(connection: psycopg.Connection[tuple[Any, ...]], oids: list[int]) -> Mapping[int, list[Column]]:
    found: dict[int, list[Column]] = {}
    for row in connection.execute(_COLUMNS, (oids,)):
        relation, attnum, name, declared, base, schema, typname, is_enum, output, members = row
        kind = f"{schema}.{typname}"
        if is_enum or typname == "citext":
            kind = "label"
        elif schema == "pg_catalog":
            kind = _KINDS.get(typname, kind)
        found.setdefault(relation, []).append(
            Column(attnum, name, declared, base, kind, tuple(output), tuple(tuple(one) for one in members or ()))
        )
    return found


def _why_excluded(relkind: str, extension: str | None, *, readable_member: bool) -> str:
    if relkind == "f":
        return "foreign table: its rows live on another server"
    if relkind == "m":
        return "materialized view: a restore computes it anew"
    if extension and not readable_member:
        return f"belongs to extension {extension}: the extension fills it"
    return ""


def _add_large_objects(
    connection: psycopg.Connection[tuple[Any, ...]], shapes: list[TableShape], unverified: list[Unverified]
) -> None:
    """Treat large objects as one more table, keyed by `loid`, where there are any."""
    row = connection.execute(
        "SELECT count(*), 'pg_largeobject'::regclass::oid, current_setting('is_superuser') = 'on' "
        "FROM pg_largeobject_metadata"
    ).fetchone()
    count, oid, is_superuser = row or (0, 0, False)
    if count and is_superuser:
        # lo_get gives the bytes of a whole object: pages may be cut otherwise after a restore.
        columns = (
            Column(1, "loid", "oid", "oid", "pg_catalog.oid", ("pg_catalog", "oidout")),
            Column(3, "data", "bytea", "bytea", "pg_catalog.bytea", ("pg_catalog", "byteaout")),
        )
        shape = TableShape(
            oid, "pg_catalog", "pg_largeobject", LARGE_OBJECTS, "r", False, False, 0, columns, (("loid",),)
        )
        shapes.append(shape)
    elif count:
        reason = f"{count} large objects: only a superuser may read them all"
        unverified.append(Unverified(oid, LARGE_OBJECTS, reason, expected=False))
