"""Roles of a whole server, which a migration on a copy may change for every other database: read, compared, undone.

A dump of one database holds none of them, and dropping the copy takes none of them back. Reading needs a superuser,
for passwords are among them; these are brought back as they are stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.postgres.databases import assignment

_FLAGS = ("superuser", "inherit", "createrole", "createdb", "login", "replication", "bypassrls")
_ASIDE = "_dryrun_aside"


@dataclass(frozen=True, slots=True)
class Role:
    """One role: its flags in the order of `_FLAGS`, and what else `ALTER ROLE` sets."""

    name: str
    flags: tuple[bool, ...]
    connection_limit: int
    valid_until: str | None
    password: str | None = field(repr=False)
    comment: str | None


@dataclass(frozen=True, slots=True)
class Membership:
    """One grant of a role to another; the last two are None before PostgreSQL 16."""

    role: str
    member: str
    grantor: str
    admin: bool
    inherits: bool | None
    sets: bool | None


@dataclass(frozen=True, slots=True)
class Roles:
    """Every role by its oid, who is a member of whom, and settings by database and role ('' is all of them)."""

    roles: Mapping[int, Role]
    members: frozenset[Membership]
    settings: Mapping[tuple[str, str], tuple[str, ...]]


def read(admin: Conninfo, *, besides: str = "") -> Roles:
    """Read the server's roles; settings of the database `besides` are its own and left out."""
    with connect(admin) as connection:
        return _read(connection, besides)


def _read(connection: psycopg.Connection[Any], besides: str) -> Roles:
    recent = connection.info.server_version >= 160000
    roles = {
        int(oid): Role(name, tuple(flags), limit, until, password, comment)
        for oid, name, flags, limit, until, password, comment in connection.execute(
            "SELECT oid::int8, rolname::text, ARRAY[rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin,"
            " rolreplication, rolbypassrls], rolconnlimit, rolvaliduntil::text, rolpassword,"
            " shobj_description(oid, 'pg_authid') FROM pg_authid WHERE rolname !~ '^pg_'"
        ).fetchall()
    }
    options = "m.inherit_option, m.set_option" if recent else "NULL::bool, NULL::bool"
    members = connection.execute(
        "SELECT r.rolname::text, u.rolname::text, coalesce(g.rolname::text, ''), m.admin_option, "
        + options
        + " FROM pg_auth_members m JOIN pg_authid r ON r.oid = m.roleid JOIN pg_authid u ON u.oid = m.member"
        " LEFT JOIN pg_authid g ON g.oid = m.grantor"
    ).fetchall()
    settings = connection.execute(
        "SELECT coalesce(d.datname::text, ''), coalesce(r.rolname::text, ''), s.setconfig FROM pg_db_role_setting s"
        " LEFT JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_authid r ON r.oid = s.setrole"
        " WHERE d.datname IS DISTINCT FROM %s",
        (besides,),
    ).fetchall()
    return Roles(
        roles,
        frozenset(Membership(*row) for row in members),
        {(database, role): tuple(values) for database, role, values in settings},
    )


def undo(admin: Conninfo, before: Roles, after: Roles) -> None:
    """Bring back what differs between two moments, and nothing else; whatever refers to a new role has to be gone.

    All of it or nothing. Raises psycopg.Error.
    """
    if before == after:
        return
    with connect(admin) as connection, connection.transaction():
        # Passwords, as they are stored, are nobody's to read in a log.
        connection.execute("SET LOCAL log_statement = 'none'")
        connection.execute("SET LOCAL log_min_duration_statement = -1")
        connection.execute("SET LOCAL log_min_error_statement = 'panic'")
        for command in _undoing(before, after):
            connection.execute(command)


def _undoing(before: Roles, after: Roles) -> Iterator[sql.Composed]:
    for oid in after.roles.keys() - before.roles.keys():
        yield from _dropping(after.roles[oid].name)
    for oid in after.roles.keys() & before.roles.keys():
        old, new = before.roles[oid], after.roles[oid]
        if old.name != new.name:
            yield sql.SQL("ALTER ROLE {} RENAME TO {}").format(sql.Identifier(new.name), sql.Identifier(old.name))
        if old != new:
            yield from _shaping(old, limited=new.valid_until is not None)
    for oid in before.roles.keys() - after.roles.keys():
        old = before.roles[oid]
        yield sql.SQL("CREATE ROLE {}").format(sql.Identifier(old.name))
        yield from _shaping(old)
    yield from _memberships(before, after)
    yield from _settings(before, after)


def _dropping(name: str) -> Iterator[sql.Composed]:
    yield sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name))  # grants on what all databases share
    yield sql.SQL("DROP ROLE {}").format(sql.Identifier(name))


def _shaping(role: Role, *, limited: bool = False) -> Iterator[sql.Composed]:
    """Make a role what it was; no date, where one is set now (`limited`), can only be said as an infinite one."""
    flags = [sql.SQL(("" if set_ else "NO") + flag) for flag, set_ in zip(_FLAGS, role.flags, strict=True)]
    until = role.valid_until or ("infinity" if limited else None)
    yield sql.SQL("ALTER ROLE {} WITH {} CONNECTION LIMIT {} PASSWORD {}{}").format(
        sql.Identifier(role.name),
        sql.SQL(" ").join(flags),
        sql.Literal(role.connection_limit),
        sql.Literal(role.password),
        sql.SQL(" VALID UNTIL {}").format(sql.Literal(until)) if until else sql.SQL(""),
    )
    yield sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(role.name), sql.Literal(role.comment))


def _memberships(before: Roles, after: Roles) -> Iterator[sql.Composed]:
    """Grants taken and given; those of new roles went with them, and those of renamed ones carry the old name again."""
    back = {after.roles[oid].name: before.roles[oid].name for oid in after.roles.keys() & before.roles.keys()}
    standing = {
        replace(each, role=back[each.role], member=back[each.member], grantor=back.get(each.grantor, each.grantor))
        for each in after.members
        if each.role in back and each.member in back
    } | {each for each in after.members if each.role.startswith("pg_") and each.member in back}
    for each in standing - before.members:
        yield sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(each.role), sql.Identifier(each.member)) + _by(each)
    for each in before.members - standing:
        if each.inherits is None:
            options: sql.Composable = sql.SQL(" WITH ADMIN OPTION" if each.admin else "")
        else:
            words = (each.admin, each.inherits, each.sets)
            options = sql.SQL(" WITH ADMIN {}, INHERIT {}, SET {}").format(*map(sql.SQL, (_word(w) for w in words)))
        granting = sql.SQL("GRANT {} TO {}").format(sql.Identifier(each.role), sql.Identifier(each.member))
        yield granting + options + _by(each)


def _word(value: bool | None) -> str:  # noqa: FBT001 - one value of a catalog
    return "TRUE" if value else "FALSE"


def _by(each: Membership) -> sql.Composed:
    return sql.SQL(" GRANTED BY {}").format(sql.Identifier(each.grantor)) if each.grantor else sql.Composed([])


def _settings(before: Roles, after: Roles) -> Iterator[sql.Composed]:
    """Settings as they were, of roles that are there again and of databases."""
    back = {after.roles[oid].name: before.roles[oid].name for oid in after.roles.keys() & before.roles.keys()}
    standing = {
        (database, back.get(role, role)): values
        for (database, role), values in after.settings.items()
        if not role or role in back
    }
    for key in sorted(before.settings.keys() | standing.keys()):
        if before.settings.get(key) == standing.get(key):
            continue
        database, role = key
        place: sql.Composable = sql.SQL(" IN DATABASE {}").format(sql.Identifier(database)) if database else sql.SQL("")
        whose = sql.SQL("ROLE {}{}").format(sql.Identifier(role) if role else sql.SQL("ALL"), place)
        yield sql.SQL("ALTER {} RESET ALL").format(whose)
        for value in before.settings.get(key, ()):
            yield sql.SQL("ALTER {} SET {}").format(whose, assignment(value))


@contextmanager
def as_before(admin: Conninfo, before: Roles) -> Iterator[None]:
    """For a while, let names of roles be free or taken as they were `before`, whatever else refers to the roles now.

    New roles are renamed and renamed back; dropped ones stand there again, and are gone behind it.
    """
    now = read(admin)
    known = {role.name for role in before.roles.values()}
    new = [role.name for role in now.roles.values() if role.name not in known]
    gone = [role for role in before.roles.values() if role.name not in {each.name for each in now.roles.values()}]
    rename = sql.SQL("ALTER ROLE {} RENAME TO {}")
    with connect(admin) as connection:
        for name in new:
            connection.execute(rename.format(sql.Identifier(name), sql.Identifier(name[:40] + _ASIDE)))
        for role in gone:
            for command in (sql.SQL("CREATE ROLE {}").format(sql.Identifier(role.name)), *_shaping(role)):
                connection.execute(command)
    try:
        yield
    finally:
        with connect(admin) as connection:
            there = {role.name for role in _read(connection, "").roles.values()}
            for name in {*new, *(role.name for role in gone)} & there:
                for command in _dropping(name):
                    connection.execute(command)
            for name in new:
                connection.execute(rename.format(sql.Identifier(name[:40] + _ASIDE), sql.Identifier(name)))
