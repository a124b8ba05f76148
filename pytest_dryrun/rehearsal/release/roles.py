"""Who uses a relation: the roles that have rights there, one for each set of rights, or one made for the purpose.

Superusers are left out: no right and no policy holds for them, so what they can do shows nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from pytest_dryrun.rehearsal.release.relations import Relation

STAND_IN = "pytest_dryrun_application"
"""A role that reads and writes everything and bypasses no policy; it is made in a transaction that is rolled back."""

MAKE_STAND_IN = f"CREATE ROLE {STAND_IN} NOLOGIN IN ROLE pg_read_all_data, pg_write_all_data"

VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE")
# With row security each role may see other rows: so many are tried.
MANY = 8

_RIGHTS = """
SELECT c.oid::int8, r.rolname::text, r.rolcanlogin, c.relowner = r.oid,
       has_table_privilege(r.oid, c.oid, 'SELECT'), has_table_privilege(r.oid, c.oid, 'INSERT'),
       has_table_privilege(r.oid, c.oid, 'UPDATE'), has_table_privilege(r.oid, c.oid, 'DELETE'),
       has_any_column_privilege(r.oid, c.oid, 'SELECT'), has_any_column_privilege(r.oid, c.oid, 'INSERT'),
       has_any_column_privilege(r.oid, c.oid, 'UPDATE'),
       EXISTS (SELECT FROM aclexplode(c.relacl) a WHERE a.grantee = r.oid)
       OR EXISTS (SELECT FROM pg_attribute t, aclexplode(t.attacl) a WHERE t.attrelid = c.oid AND a.grantee = r.oid)
  FROM pg_class c CROSS JOIN pg_roles r
 WHERE c.oid = ANY (%s) AND NOT r.rolsuper AND r.rolname !~ '^pg_'
   AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
   AND (r.rolcanlogin OR c.relowner = r.oid OR c.relacl IS NOT NULL
        OR EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attacl IS NOT NULL))
"""
_COLUMN_RIGHTS = """
SELECT a.attrelid::int8, r.rolname::text, a.attname::text, has_column_privilege(r.oid, a.attrelid, a.attnum, 'SELECT'),
       has_column_privilege(r.oid, a.attrelid, a.attnum, 'INSERT'),
       has_column_privilege(r.oid, a.attrelid, a.attnum, 'UPDATE')
  FROM unnest(%s::int8[], %s::text[]) pair (relation, role) JOIN pg_roles r ON r.rolname = pair.role
  JOIN pg_attribute a ON a.attrelid = pair.relation AND a.attnum > 0 AND NOT a.attisdropped
"""
_SETTINGS = """
SELECT coalesce(r.rolname::text, ''), s.setdatabase <> 0, unnest(s.setconfig)
  FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole
 WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
"""
# What decides how long something may take, or whether a session may write at all, is compared, not tried.
_NOT_TRIED: tuple[str, ...] = (
    "statement_timeout",
    "lock_timeout",
    "idle_",
    "default_transaction",
    "transaction",
    "log",
    "role",
    "session_",
)
_NOT_TRIED += ("auto_explain", "pg_stat", "track_", "client_", "event_triggers", "jit")


@dataclass(frozen=True, slots=True)
class User:
    """A role, and for each kind of statement the columns that it may use, None for all of them.

    A kind of statement that it may not use at all is missing from `rights`.
    """

    role: str
    rights: Mapping[str, frozenset[str] | None] = field(hash=False)

    def may(self, verb: str, column: str) -> bool:
        """Whether it may name this column in such a statement."""
        if verb not in self.rights:
            return False
        columns = self.rights[verb]
        return columns is None or column in columns

    @property
    def stands_in(self) -> bool:
        """Whether no role of the server has any right here, so that one is made."""
        return self.role == STAND_IN


@dataclass(frozen=True, slots=True)
class Users:
    """Everybody who uses one relation, and the few who are tried for all of them."""

    everybody: tuple[User, ...]
    tried: tuple[User, ...]


def users(connection: psycopg.Connection[Any], relations: Sequence[Relation]) -> dict[str, Users]:
    """The users of each relation, by its name."""
    by_oid = {one.oid: one for one in relations}
    rows = connection.execute(_RIGHTS, (list(by_oid),)).fetchall()
    partly = [row for row in rows if any(any_ and not whole for any_, whole in zip(row[8:11], row[4:7], strict=True))]
    columns = _column_rights(connection, partly)
    found: dict[int, list[tuple[bool, User]]] = defaultdict(list)
    for oid, role, login, owner, *rights, named in rows:
        whole, some = rights[:4], [*rights[4:], False]
        held: dict[str, frozenset[str] | None] = {}
        for verb, all_of_it, part in zip(VERBS, whole, some, strict=True):
            if all_of_it:
                held[verb] = None
            elif part:
                held[verb] = columns[oid, role, verb]
        if held and (login or named or owner):
            found[oid].append((owner and not (login or named), User(role, held)))
    return {one.name: _chosen(one, found.get(oid, [])) for oid, one in by_oid.items()}


def _column_rights(
    connection: psycopg.Connection[Any], rows: Sequence[Sequence[Any]]
) -> dict[tuple[int, str, str], frozenset[str]]:
    if not rows:
        return {}
    named: dict[tuple[int, str, str], set[str]] = defaultdict(set)
    pairs = [row[0] for row in rows], [row[1] for row in rows]
    for oid, role, column, *rights in connection.execute(_COLUMN_RIGHTS, pairs):
        for verb, may in zip(VERBS, rights, strict=False):
            if may:
                named[oid, role, verb].add(column)
    return {key: frozenset(value) for key, value in named.items()}


def _chosen(relation: Relation, known: Sequence[tuple[bool, User]]) -> Users:
    """An owner that nobody logs in as only counts where there is nobody else."""
    people = [user for owner_only, user in known if not owner_only] or [user for _, user in known]
    if not people:
        made = User(STAND_IN, dict.fromkeys(VERBS))
        return Users((), (made,))
    alike: dict[tuple[tuple[str, frozenset[str] | None], ...], list[User]] = defaultdict(list)
    for user in people:
        alike[tuple(sorted(user.rights.items(), key=lambda item: item[0]))].append(user)
    few = people[:MANY] if relation.row_security else [group[0] for group in alike.values()]
    return Users(tuple(people), tuple(few))


def settings(connection: psycopg.Connection[Any]) -> Mapping[str, Mapping[str, str]]:
    """What the database and roles set for their sessions, by role; '' is everybody (manual: "ALTER ROLE").

    A role's own setting wins over the database's, and one for the role in this database over both.
    """
    found: dict[str, dict[str, str]] = {"": {}}
    rows = sorted(connection.execute(_SETTINGS).fetchall(), key=lambda row: row[1])
    for role, _, setting in rows:
        name, _, value = setting.partition("=")
        if not name.lower().startswith(_NOT_TRIED):
            found.setdefault(role, {})[name] = value
    return found


def session_settings(known: Mapping[str, Mapping[str, str]], role: str) -> dict[str, str]:
    """The settings that a new session of this role begins with."""
    return {"search_path": '"$user", public', "row_security": "on", **known.get("", {}), **known.get(role, {})}
