"""Databases as wholes: what one is like, making another like it, copying and dropping."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.postgres.connection import Conninfo, connect

# As pg_dump tells them apart (its source, variable_is_guc_list_quote).
_LISTS = frozenset(
    {
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    }
)

SESSION_MS = 5000
"""How long a session of ours may take to end."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which database a connection really reached, whatever name led there."""

    system_identifier: str
    oid: int
    name: str
    version: str
    version_num: int
    started_at_s: str
    """When the server began, in seconds since 1970: a clone of a cluster has the same identifiers."""


# The fields of an Identity, in their order; also asked through psql.
IDENTITY: LiteralString = (
    "SELECT (pg_control_system()).system_identifier::text, d.oid, d.datname,"
    " current_setting('server_version'), current_setting('server_version_num')::int,"
    " extract(epoch FROM pg_postmaster_start_time())::text"
    " FROM pg_database d WHERE d.datname = current_database()"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What `pg_dump` of one database leaves out: owner, encoding, collation, settings and grants of the whole.

    `settings` are `name=value`, `role_settings` the same for one role each (`ALTER ROLE ... IN DATABASE`). `grants` are
    grantee ('' is PUBLIC), privilege and whether it may be passed on; None where nobody ever granted or revoked any.
    """

    owner: str
    encoding: str
    collate: str
    ctype: str
    provider: str
    locale: str
    settings: tuple[str, ...]
    role_settings: tuple[tuple[str, str], ...] = ()
    grants: tuple[tuple[str, str, bool], ...] | None = None
    connection_limit: int = -1
    tablespace: str = "pg_default"
    comment: str = ""


def identify(connection: psycopg.Connection[Any]) -> Identity:
    """Read who answered: system identifier (pg_control_system), database oid and name, server version."""
    return Identity(*_there(connection.execute(IDENTITY).fetchone()))


def shape(connection: psycopg.Connection[Any], name: str | None = None) -> Shape:
    """Read what another database must have to be like this one (or that of a name); local and ICU providers alike."""
    version = connection.info.server_version
    provider = "d.datlocprovider" if version >= 150000 else "'c'"
    locale = "d.datlocale" if version >= 170000 else "d.daticulocale" if version >= 150000 else "NULL"
    row = connection.execute(
        f"SELECT d.oid, pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,"
        f" {provider}, coalesce({locale}, ''), d.datconnlimit, t.spcname, d.datacl IS NULL,"
        " coalesce(shobj_description(d.oid, 'pg_database'), '')"
        " FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace"
        " WHERE d.datname = coalesce(%s, current_database())",
        (name,),
    ).fetchone()
    oid, owner, encoding, collate, ctype, kind, locale_name, limit, tablespace, plain, comment = _there(row)
    settings = connection.execute(
        "SELECT CASE setrole WHEN 0 THEN '' ELSE pg_get_userbyid(setrole) END, unnest(setconfig)"
        " FROM pg_db_role_setting WHERE setdatabase = %s",
        (oid,),
    ).fetchall()
    grants = connection.execute(
        "SELECT CASE a.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(a.grantee) END, a.privilege_type, a.is_grantable"
        " FROM pg_database d, aclexplode(d.datacl) a WHERE d.oid = %s ORDER BY 1, 2, 3",
        (oid,),
    ).fetchall()
    return Shape(
        owner,
        encoding,
        collate,
        ctype,
        kind,
        locale_name,
        tuple(setting for role, setting in settings if not role),
        tuple(sorted((role, setting) for role, setting in settings if role)),
        None if plain else tuple(grants),
        limit,
        tablespace,
        comment,
    )


def create(admin: Conninfo, name: str, like: Shape) -> Conninfo:
    """Create an empty database of this shape; roles and the tablespace must exist on the server to count.

    Without its owner there the admin owns it. Raises psycopg.Error where the admin may not do all of that.
    """
    with connect(admin) as connection:
        roles = _names(connection, "SELECT rolname FROM pg_roles")
        parts = [
            sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}").format(
                sql.Identifier(name), sql.Literal(like.encoding), sql.Literal(like.collate), sql.Literal(like.ctype)
            )
        ]
        if like.owner in roles:
            parts.append(sql.SQL("OWNER {}").format(sql.Identifier(like.owner)))
        if like.provider == "i":
            parts.append(sql.SQL("LOCALE_PROVIDER icu ICU_LOCALE {}").format(sql.Literal(like.locale)))
        elif like.provider == "b":
            parts.append(sql.SQL("LOCALE_PROVIDER builtin BUILTIN_LOCALE {}").format(sql.Literal(like.locale)))
        # Even a superuser's default may not be named by everybody.
        others = _names(connection, "SELECT spcname FROM pg_tablespace") - {"pg_default"}
        if like.tablespace in others:
            parts.append(sql.SQL("TABLESPACE {}").format(sql.Identifier(like.tablespace)))
        connection.execute(sql.SQL(" ").join(parts))
        for statement in properties(name, like, roles):
            connection.execute(statement)
    return admin.database(name)


def properties(name: str, like: Shape, roles: Collection[str]) -> list[sql.Composed]:
    """Give a database the settings, grants, limit and comment of a shape; of the roles only these count."""
    whole = sql.Identifier(name)
    found = [sql.SQL("ALTER DATABASE {} SET {}").format(whole, assignment(setting)) for setting in like.settings]
    if like.grants is not None:
        found.append(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(whole))
        if like.owner in roles:
            found.append(sql.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(whole, sql.Identifier(like.owner)))
    for grantee, privilege, passed_on in like.grants or ():
        if not grantee or grantee in roles:
            to = sql.Identifier(grantee) if grantee else sql.SQL("PUBLIC")
            option = sql.SQL(" WITH GRANT OPTION" if passed_on else "")
            found.append(sql.SQL("GRANT {} ON DATABASE {} TO {}").format(sql.SQL(privilege), whole, to) + option)
    found += [
        sql.SQL("ALTER ROLE {} IN DATABASE {} SET {}").format(sql.Identifier(role), whole, assignment(setting))
        for role, setting in like.role_settings
        if role in roles
    ]
    if like.connection_limit >= 0:
        found.append(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(whole, sql.Literal(like.connection_limit)))
    if like.comment:
        found.append(sql.SQL("COMMENT ON DATABASE {} IS {}").format(whole, sql.Literal(like.comment)))
    return found


def _names(connection: psycopg.Connection[Any], query: LiteralString) -> frozenset[str]:
    return frozenset(name for (name,) in connection.execute(query).fetchall())


def assignment(setting: str) -> sql.Composable:
    """`name TO value` from how the catalog keeps it (`name=value`); lists of names are kept quoted already."""
    key, _, value = setting.partition("=")
    name = sql.SQL(".").join(map(sql.Identifier, key.split(".")))
    listed = key in _LISTS and value
    return sql.SQL("{} TO {}").format(name, sql.SQL(value) if listed else sql.Literal(value))


def copy(admin: Conninfo, template: str, name: str) -> Conninfo:
    """Copy a database to which nobody is connected: files, oids and shape; replaces one of that name.

    On PostgreSQL 15 and later by copying files (`STRATEGY FILE_COPY`), several times faster than through the log.
    """
    drop(admin, name)
    with connect(admin) as connection:
        like = shape(connection, template)
        strategy = sql.SQL(" STRATEGY FILE_COPY" if connection.info.server_version >= 150000 else "")
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
            sql.Identifier(name), sql.Identifier(template), sql.Identifier(like.owner)
        )
        try:
            connection.execute(statement + strategy)
        except psycopg.errors.ObjectInUse as error:
            raise TargetUnusable(
                f"The database {template!r} could not be copied: somebody is connected to it.",
                "The rehearsal needs an untouched copy, so it cannot go on.",
                f"End the other sessions ({error.diag.message_detail or 'see pg_stat_activity'}) and run again.",
            ) from error
        for one in properties(name, like, _names(connection, "SELECT rolname FROM pg_roles")):
            connection.execute(one)
    return admin.database(name)


def drop(admin: Conninfo, name: str) -> None:
    """Drop a database of ours, ending the sessions in it; no error when it is not there."""
    with connect(admin) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def end_sessions(connection: psycopg.Connection[Any], name: str, *, wait_ms: int = 0) -> None:
    """End every session in a database that this user may end; no error for one that it may not.

    Each is waited for so long, where it does not end at once.
    """
    pids = connection.execute("SELECT pid FROM pg_stat_activity WHERE datname = %s", (name,)).fetchall()
    for (pid,) in pids:
        with suppress(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT pg_terminate_backend(%s, %s)", (pid, wait_ms))


def size_bytes(connection: psycopg.Connection[Any]) -> int:
    """What the current database takes on disk."""
    row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return int(_there(row)[0])


def _there(row: tuple[Any, ...] | None) -> tuple[Any, ...]:
    """The row about a database that is always listed."""
    if row is None:
        raise LookupError("the server does not list the database that is asked about")
    return row
