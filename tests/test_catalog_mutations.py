# ruff: noqa: E501  (one statement, one line)
"""Every column of the system catalogs is written over, one row of each sort: no difference goes missing.

The by-name catalog is taken to be blind here: nothing is listed, so that whatever is not harmless must be left for the
ledger to report. Parsed expressions, which it compares as text, are asked of the real one.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from catalog_stage import CatalogStage, staged
from psycopg import sql
from test_catalog_ledger import MORE
from test_catalog_restore import RICH
from test_versions import SUPPORTED, programs

from pytest_dryrun.model.errors import DryRunError
from pytest_dryrun.postgres import disposable
from pytest_dryrun.postgres.catalog import read_catalog
from pytest_dryrun.postgres.catalog.claims import SILENT, WHOLE_ROW, claims
from pytest_dryrun.postgres.catalog.cluster import cluster_changes, read_cluster
from pytest_dryrun.postgres.catalog.difference import difference
from pytest_dryrun.postgres.catalog.rows import Event, Row, SystemTable, all_rows, differing_rows, paired, system_tables
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.rehearsal.judge.accounts import Difference, accounts
from pytest_dryrun.rehearsal.judge.balance import distributed
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.workspace import Workspace

pytestmark = pytest.mark.live

WITHOUT_CONTRIB = MORE.replace("CREATE EXTENSION citext; CREATE EXTENSION pg_trgm;", "")

# Another value of each type, made of the old one.
OTHER = {
    "boolean": "NOT coalesce({0}, false)",
    '"char"': "CASE WHEN {0} = 'x' THEN 'y'::\"char\" ELSE 'x'::\"char\" END",
    "smallint": "(coalesce({0}, 0) + 1)::int2",
    "integer": "coalesce({0}, 0) + 1",
    "bigint": "coalesce({0}, 0) + 1",
    "real": "coalesce({0}, 0) + 1",
    "oid": "(coalesce({0}, 0)::int8 + 1)::oid",
    "regproc": "(coalesce({0}, 0)::int8 + 1)::oid::regproc",
    "name": "('o' || left(coalesce({0}::text, ''), 40))::name",
    "text": "coalesce({0}, '') || 'o'",
    "text[]": "coalesce({0}, '{{}}') || ARRAY['other=1']",
    '"char"[]': "coalesce({0}, '{{}}') || ARRAY['x'::\"char\"]",
    "oid[]": "coalesce({0}, '{{}}') || ARRAY[1::oid]",
    "smallint[]": "coalesce({0}, '{{}}') || ARRAY[1::int2]",
    "int2vector": "trim(coalesce({0}::text, '') || ' 1')::int2vector",
    "oidvector": "trim(coalesce({0}::text, '') || ' 1')::oidvector",
    "aclitem[]": "CASE WHEN {0} IS NULL THEN ARRAY[makeaclitem(0, 10, 'USAGE', false)] END",
    "timestamp with time zone": "coalesce({0}, '2030-01-01') + interval '1 day'",
    "pg_lsn": "'0/7'::pg_lsn",
    "bytea": "coalesce({0}, '') || 'o'::bytea",
}
# Conditions that part the rows of a catalog into sorts, beside who made them.
SORTS = {
    "pg_attribute": "(SELECT relkind FROM pg_class WHERE oid = attrelid)",
    "pg_class": "concat(relkind, relpersistence, relispartition)",
    "pg_constraint": "concat(contype, conparentid <> 0, contypid <> 0)",
    "pg_depend": "concat(deptype, refobjsubid > 0)",
    "pg_index": "concat(indisunique, indisprimary, (SELECT relkind FROM pg_class WHERE oid = indexrelid))",
    "pg_inherits": "(SELECT relkind FROM pg_class WHERE oid = inhrelid)",
    "pg_proc": "prokind",
    "pg_rewrite": "concat(ev_type, rulename = '_RETURN')",
    "pg_trigger": "concat(tgisinternal, tgparentid <> 0, tgconstraint <> 0)",
    "pg_type": "concat(typtype, typelem <> 0, typrelid <> 0, typisdefined)",
}
# Their sorts hang on the object they are about.
ABOUT = {
    "pg_depend": ("classid", "objid"),
    "pg_description": ("classoid", "objoid"),
    "pg_seclabel": ("classoid", "objoid"),
}
# Writing over these takes away what the comparison itself stands on, for every other row.
UNTOUCHED = {("pg_database", "datname"), ("pg_class", "relnamespace"), ("pg_authid", "rolsuper")}


@dataclass(frozen=True)
class Written:
    """One value that was written over, or one row that was deleted (`column` is `*`), as the ledger would name it."""

    table: str
    column: str
    key: tuple[str | None, ...]


@pytest.fixture(scope="module", params=[15, *SUPPORTED], ids="PostgreSQL {}".format)
def stage(request: pytest.FixtureRequest) -> Iterator[CatalogStage]:
    """A rich database and its copy, on each server at hand."""
    if request.param == 15:
        with staged(request.getfixturevalue("postgres"), RICH + MORE) as made:
            yield made
        return
    workspace = Workspace.create(f"tests-{uuid.uuid4().hex[:12]}")
    try:
        started = disposable.start("binaries", workspace=workspace, bindir=programs(request.param))
        try:
            with staged(started.conninfo, RICH + (MORE if contrib(started.conninfo) else WITHOUT_CONTRIB)) as made:
                yield made
        finally:
            started.stop()
    finally:
        workspace.close()


def contrib(conninfo: Conninfo) -> bool:
    """Whether the server has the extensions that come with PostgreSQL; the embedded ones have not."""
    with connect(conninfo) as connection:
        query = "SELECT count(*) FROM pg_available_extensions WHERE name IN ('citext', 'pg_trgm')"
        return connection.execute(query).fetchone() == (2,)


def chosen(stage: CatalogStage, table: SystemTable) -> list[tuple[Row, str]]:
    """One row of each sort, with its place on disk; of the server's own rows the youngest, which nothing stands on."""
    identity = "oid" if "oid" in table.columns else ABOUT.get(table.name, (None, table.columns[0]))[1]
    if table.name in ("pg_shdepend", "pg_largeobject", "pg_statistic", "pg_statistic_ext_data"):
        return []
    member = "false"
    if table.name in ABOUT:
        of, identity = ABOUT[table.name]
        member = (
            f"EXISTS (SELECT FROM pg_depend e WHERE e.classid = t.{of} AND e.objid = t.{identity} AND e.deptype = 'e')"
        )
    elif not table.shared:
        whose = "pg_class" if table.name in ("pg_attribute", "pg_index") else table.name
        member = (
            f"EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_catalog.{whose}'::regclass"
            f" AND e.objid::int8 = t.{identity}::oid::int8 AND e.deptype = 'e')"
        )
    sort = SORTS.get(table.name, "''")
    here = {
        "pg_database": "oid = (SELECT oid FROM pg_database WHERE datname = current_database())",
        "pg_authid": "rolname IN ('librarian', 'lenders')",
        "pg_auth_members": "member = 'librarian'::regrole",
        "pg_db_role_setting": "setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())",
        "pg_subscription": "false",
        "pg_shdescription": "objoid = 'librarian'::regrole",
        "pg_tablespace": "spcname = 'pg_global'",
        # The catalogs themselves and their types are what everything else is read with.
        "pg_class": "oid::int8 >= 12000",
        "pg_attribute": "attrelid::int8 >= 12000",
        "pg_index": "indexrelid::int8 >= 12000",
        "pg_type": "oid::int8 >= 12000",
    }.get(table.name, "true")
    rows = stage.copy.execute(
        f"SELECT DISTINCT ON (1, 2, 3) ({sort})::text, t.{identity}::oid::int8 < 16384, {member}, t.ctid::text"  # type: ignore[arg-type]
        f" FROM pg_catalog.{table.name} t WHERE {here} ORDER BY 1, 2, 3, t.{identity}::oid::int8 DESC"
    ).fetchall()
    return [({}, place) for *_, place in rows]


def keys_at(stage: CatalogStage, table: SystemTable, place: str) -> tuple[str | None, ...]:
    """The key of the row at a place, as text."""
    columns = sql.SQL(", ").join(
        sql.SQL("{}::{}text").format(sql.Identifier(name), sql.SQL("oid::" if kind.startswith("reg") else ""))
        for name, kind in zip(table.columns, table.types, strict=True)
        if name in (table.key or table.columns)
    )
    query = sql.SQL("SELECT {} FROM {} WHERE ctid = %s::tid").format(columns, sql.Identifier("pg_catalog", table.name))
    return tuple(stage.copy.execute(query, (place,)).fetchall()[0])


def write_over(stage: CatalogStage, table: SystemTable, place: str) -> list[Written]:
    """Give every column of one row another value; a column that the server refuses is left out."""
    done = []
    key = keys_at(stage, table, place)
    for column, kind in zip(table.columns, table.types, strict=True):
        if column in table.key or not table.key or kind not in OTHER or (table.name, column) in UNTOUCHED:
            continue
        statement = sql.SQL("UPDATE {} SET {} = {} WHERE ctid = %s::tid RETURNING ctid::text").format(
            sql.Identifier("pg_catalog", table.name),
            sql.Identifier(column),
            sql.SQL(OTHER[kind]).format(sql.Identifier(column)),
        )
        try:
            with stage.copy.transaction():
                ((place,),) = stage.copy.execute(statement, (place,)).fetchall()
        except psycopg.Error:
            continue
        done.append(Written(table.name, column, key))
    return done


def left_to_report(stage: CatalogStage) -> dict[Written, str]:
    """What the ledger is left with where nothing is listed, and by which of its ways."""
    changes = [
        *differing_rows(stage.template, stage.copy, claims().left_out()),
        *cluster_changes(stage.shared, read_cluster(stage.copy)),
    ]
    scene = Scene(stage.before, stage.before, (), (), (), stage.template, stage.copy)
    tables = system_tables(stage.template)
    books, differences = accounts(scene, changes, claims(), {table.oid: table.name for table in tables})
    keys = {table.name: table.key or table.columns for table in tables}

    def named(item: Difference) -> Written:
        row = item.row.old or item.row.new or {}
        return Written(item.row.table, item.column, tuple(row[name] for name in keys[item.row.table]))

    kept = [item for item in differences if not books.is_outside(item)]
    found = {named(item): way for way, items in distributed(books, kept, ()).items() for item in items}
    return found | dict.fromkeys(_tablespaces(stage), "reaches outside")


def _tablespaces(stage: CatalogStage) -> Iterator[Written]:
    """What `reaches-outside` tells of tablespaces: they are no database's own."""
    (table,) = (each for each in stage.shared.tables if each.name == "pg_tablespace")
    now = read_cluster(stage.copy)
    for change in paired(table, stage.shared.rows[table.name], now.rows[table.name], ()):
        old, new = change.old or {}, change.new or {}
        columns = [column for column in table.columns if old.get(column) != new.get(column)]
        key = tuple(change.row[name] for name in table.key or table.columns)
        yield from (Written(table.name, column, key) for column in ("*", *columns))


def may_be_silent(table: str, column: str, event: Event) -> bool:
    """Whether any line says that such a difference does no harm, or is compared as text."""
    return any(line.judge in SILENT | {"definition"} for line in claims().about(table, column, event))


def test_no_value_that_is_written_over_goes_missing(stage: CatalogStage):
    """One row of each sort, every column: told by the ledger, unless the list says that it never matters."""
    written: list[Written] = []
    with stage.copy.transaction(force_rollback=True):
        tables = system_tables(stage.template)
        places = [(table, place) for table in tables for _, place in chosen(stage, table)]
        stage.copy.execute("SET LOCAL allow_system_table_mods = on")
        for table, place in places:
            written += write_over(stage, table, place)
        told = left_to_report(stage)
    missing = [one for one in written if one not in told and not may_be_silent(one.table, one.column, Event.CHANGED)]
    assert [] == missing, missing
    assert 350 < len({(one.table, one.column) for one in written})


def test_no_row_that_is_deleted_goes_missing(stage: CatalogStage):
    """One row of each sort of each catalog: told by the ledger, unless the list says that it never matters."""
    deleted: list[Written] = []
    with stage.copy.transaction(force_rollback=True):
        tables = system_tables(stage.template)
        places = [(table, place) for table in tables for _, place in chosen(stage, table)]
        keys = [(table, place, keys_at(stage, table, place)) for table, place in places]
        stage.copy.execute("SET LOCAL allow_system_table_mods = on")
        for table, place, key in keys:
            if table.name in ("pg_database", "pg_authid"):
                continue
            statement = sql.SQL("DELETE FROM {} WHERE ctid = %s::tid").format(sql.Identifier("pg_catalog", table.name))
            stage.copy.execute(statement, (place,))
            deleted.append(Written(table.name, WHOLE_ROW, key))
        told = left_to_report(stage)
    missing = [one for one in deleted if one not in told and not may_be_silent(one.table, WHOLE_ROW, Event.REMOVED)]
    assert [] == missing, missing
    assert 45 < len({one.table for one in deleted})


TREES = {
    "pg_attrdef.adbin": "UPDATE pg_attrdef SET adbin = (SELECT adbin FROM pg_attrdef o WHERE o.adrelid = pg_attrdef.adrelid AND o.oid <> pg_attrdef.oid LIMIT 1) WHERE adrelid = 'public.\"User\"'::regclass AND adnum = 5",
    "pg_constraint.conbin": "UPDATE pg_constraint SET conbin = (SELECT conbin FROM pg_constraint WHERE conname = 'late') WHERE conname = 'User_price_check'",
    "pg_index.indpred": "UPDATE pg_index SET indpred = NULL WHERE indexrelid = 'public.course_owner_idx'::regclass",
    "pg_index.indexprs": "UPDATE pg_index SET indexprs = NULL WHERE indexrelid = 'public.course_expr'::regclass",
    "pg_class.relpartbound": "UPDATE pg_class SET relpartbound = (SELECT relpartbound FROM pg_class WHERE relname = 'shelf_2') WHERE relname = 'shelf_1'",
    "pg_policy.polqual": "UPDATE pg_policy SET polqual = polwithcheck",
    "pg_policy.polwithcheck": "UPDATE pg_policy SET polwithcheck = polqual",
    "pg_rewrite.ev_action": "UPDATE pg_rewrite SET ev_action = (SELECT ev_action FROM pg_rewrite WHERE ev_class = 'public.checked'::regclass) WHERE ev_class = 'public.people'::regclass",
    "pg_trigger.tgqual": "UPDATE pg_trigger SET tgqual = NULL WHERE tgname = 'touched'",
    "pg_proc.prosqlbody": "UPDATE pg_proc SET prosqlbody = NULL WHERE proname = 'atomic'",
}  # fmt: skip


@pytest.mark.parametrize("statement", TREES.values(), ids=TREES)
def test_no_expression_that_is_exchanged_goes_missing(stage: CatalogStage, statement):
    """A tree of the user's own is compared as text: listed, told, or the reading fails and nothing is decided."""
    with stage.copy.transaction(force_rollback=True):
        stage.copy.execute("SET LOCAL allow_system_table_mods = on")
        done = stage.copy.execute(statement)
        assert 0 < done.rowcount
        try:
            changes = difference(stage.before, read_catalog(stage.copy), follow_oids=True)
            seen = bool(changes) or bool(stage.closed(""))
        except DryRunError:
            seen = True
        except psycopg.Error:
            seen = True
    assert seen


def test_rows_of_every_catalog_are_read(stage: CatalogStage):
    """Every catalog with rows is read as a whole, whatever its columns are called."""
    for table in system_tables(stage.template):
        if table.name not in ("pg_statistic", "pg_largeobject"):
            assert all(set(row) == set(table.columns) for row in all_rows(stage.template, table)[:3])
