"""The catalogs that all databases of a server share, as one database is concerned by them.

Sources: the manual, "pg_shdepend", "Database Roles", "pg_db_role_setting".
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg

from pytest_dryrun.postgres.catalog.addresses import number
from pytest_dryrun.postgres.catalog.claims import Claims, claims
from pytest_dryrun.postgres.catalog.rows import Event, Row, RowChange, SystemTable, all_rows, paired, reading
from pytest_dryrun.postgres.catalog.rows import system_tables as every_table

# Whoever owns something here, was granted something, stands in a policy, has settings or asks just now; who belongs to
# them, and to what all of these belong. The role that initdb made appears in no dependency.
_ROLES = """
WITH RECURSIVE here AS (SELECT oid, datdba, datacl FROM pg_database WHERE datname = current_database()),
used AS (
  SELECT d.refobjid AS role FROM pg_shdepend d JOIN here ON d.dbid = here.oid
   WHERE d.refclassid = 'pg_authid'::regclass
  UNION SELECT d.refobjid FROM pg_shdepend d JOIN here ON d.objid = here.oid
   WHERE d.dbid = 0 AND d.classid = 'pg_database'::regclass AND d.refclassid = 'pg_authid'::regclass
  UNION SELECT datdba FROM here
  UNION SELECT a.grantee FROM here, aclexplode(here.datacl) a
  UNION SELECT s.setrole FROM pg_db_role_setting s JOIN here ON s.setdatabase = here.oid
  UNION SELECT oid FROM pg_authid WHERE rolname = session_user OR oid = 10),
down AS (SELECT role FROM used UNION SELECT m.member FROM down JOIN pg_auth_members m ON m.roleid = down.role),
up AS (SELECT role FROM down UNION SELECT m.roleid FROM up JOIN pg_auth_members m ON m.member = up.role)
SELECT role::int8 FROM up WHERE role <> 0
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The shared catalogs at one moment; `roles` are those that database `database` uses, by oid."""

    tables: tuple[SystemTable, ...] = field(repr=False)
    rows: Mapping[str, tuple[Row, ...]] = field(repr=False)
    roles: frozenset[int]
    database: int

    def role_names(self) -> dict[int, str]:
        """The names of all roles by oid."""
        return {number(row["oid"]): row["rolname"] or "" for row in self.rows["pg_authid"]}


def read_cluster(connection: psycopg.Connection[Any], known: Claims | None = None) -> Cluster:
    """Read every shared catalog in which a difference would be reported; secrets as digests.

    Raises TargetUnusable where the user may not read them all.
    """
    known = known or claims()
    left_out = known.left_out()
    secrets = {(line.catalog, line.column) for line in known.lines if line.secret}
    with reading(connection):
        tables = tuple(
            table
            for table in every_table(connection)
            if table.shared and not set(table.columns) <= left_out.get(table.name, frozenset())
        )
        rows = {
            table.name: tuple(_without_secrets(table.name, row, secrets) for row in all_rows(connection, table))
            for table in tables
        }
        roles = frozenset(role for (role,) in connection.execute(_ROLES))
        ((database,),) = connection.execute(
            "SELECT oid::int8 FROM pg_database WHERE datname = current_database()"
        ).fetchall()
    return Cluster(tables, rows, roles, database)


def _without_secrets(table: str, row: Row, secrets: Collection[tuple[str, str]]) -> Row:
    return {
        name: hashlib.sha256(value.encode()).hexdigest() if value and (table, name) in secrets else value
        for name, value in row.items()
    }


def cluster_changes(before: Cluster, after: Cluster, known: Claims | None = None) -> tuple[RowChange, ...]:
    """What became of the shared catalogs, as far as it concerns the database and the roles that it uses or used.

    A role or membership that came or went counts, whoever it is for: it was not there, or was there, for somebody.
    """
    left_out = (known or claims()).left_out()
    found = [
        change
        for table in before.tables
        for change in paired(
            table, before.rows[table.name], after.rows.get(table.name, ()), left_out.get(table.name, ())
        )
    ]
    roles = before.roles | after.roles
    roles |= {number(one.row["oid"]) for one in found if one.table == "pg_authid" and one.event is not Event.CHANGED}
    return tuple(change for change in found if _concerns(change, before.database, roles))


def _concerns(change: RowChange, database: int, roles: Collection[int]) -> bool:
    row, table = change.row, change.table
    if table == "pg_tablespace":
        return False  # no database's own: told as what reaches outside
    if table == "pg_database":
        return number(row["oid"]) == database
    if table == "pg_db_role_setting":
        owner = number(row["setdatabase"])
        return owner == database or (owner == 0 and number(row["setrole"]) in {0, *roles})
    if table == "pg_authid":
        return number(row["oid"]) in roles
    if table == "pg_auth_members":
        return bool({number(row["roleid"]), number(row["member"])} & set(roles))
    if table == "pg_subscription":
        return number(row["subdbid"]) == database
    if table in ("pg_shdescription", "pg_shseclabel"):
        return number(row["objoid"]) in {database, *roles}
    return True
