"""Rights that are read, not tried: those of every role on relations and functions, before and after."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg

from pytest_dryrun.rehearsal.release.relations import Inventory, Relation
from pytest_dryrun.rehearsal.release.roles import Users, users

# Who may call a function, of those who log in or are named among its rights.
_CALLERS = """
SELECT p.oid::regprocedure::text, r.rolname::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
  CROSS JOIN pg_roles r
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
   AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) AND NOT r.rolsuper AND r.rolname !~ '^pg_'
   AND (r.rolcanlogin OR EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = r.oid))
   AND has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_function_privilege(r.oid, p.oid, 'EXECUTE')
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                     AND d.deptype = 'e')
"""
_FUNCTIONS = "SELECT oid::regprocedure::text FROM pg_proc"

Lost = tuple[str, str, str, tuple[str, ...]]
"""What the right was on, the role, the kind of statement, and the columns where it is not lost on all of them."""


def callers(connection: psycopg.Connection[Any]) -> Mapping[str, frozenset[str]]:
    """The roles that may call each function."""
    found: dict[str, set[str]] = defaultdict(set)
    for function, role in connection.execute(_CALLERS):
        found[function].add(role)
    return {function: frozenset(roles) for function, roles in found.items()}


def rights_lost(
    connection: psycopg.Connection[Any],
    order: Sequence[Relation],
    before: Mapping[str, Users],
    called: Mapping[str, frozenset[str]],
    now: Inventory,
) -> Iterator[Lost]:
    """What each role may no longer do with what is still there; roles that are gone are reported as such."""
    left = {str(name) for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
    here = [now.relations[one.name] for one in order if one.name in now.relations]
    people = users(connection, here)
    for relation in here:
        held = {user.role: user.rights for user in people[relation.name].everybody}
        names = {column.name for column in relation.columns}
        for user in before[relation.name].everybody:
            if user.role not in left:
                continue
            for verb, columns in user.rights.items():
                if verb not in held.get(user.role, {}):
                    yield relation.name, user.role, verb, ()
                elif (has := held[user.role][verb]) is not None:
                    lost = sorted(((names if columns is None else columns) & names) - has)
                    if lost:
                        yield relation.name, user.role, verb, tuple(lost)
    there = {str(name) for (name,) in connection.execute(_FUNCTIONS)}
    still = callers(connection)
    for function, roles in called.items():
        if function in there:
            yield from ((function, role, "EXECUTE", ()) for role in sorted((roles & left) - still.get(function, set())))
