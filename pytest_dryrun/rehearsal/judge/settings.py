"""The database as a whole and the roles it uses: settings, limits, who may connect, log in, and belongs to whom.

What takes something away from those who use the database now is a blocker; what only adds or loosens is told.
Sources: the manual, "ALTER DATABASE", "ALTER ROLE", "Role Membership", "Client Connection Defaults".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.catalog.addresses import number
from pytest_dryrun.postgres.catalog.claims import claims
from pytest_dryrun.postgres.catalog.naming import Naming
from pytest_dryrun.postgres.catalog.rows import Event, Row, RowChange
from pytest_dryrun.rehearsal.judge.privileges import Grants
from pytest_dryrun.rehearsal.judge.scene import Scene

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741

# What a waiver calls the database as a whole: the copy has another name than the target.
DATABASE = "database"
# Nothing that a statement returns or is allowed to do depends on these: memory, the planner's costs, the log.
_HARMLESS = ("log_", "track_", "auto_explain.", "pg_stat_statements.")
_COSTS = frozenset(
    {
        "application_name",
        "checkpoint_flush_after",
        "cpu_index_tuple_cost",
        "cpu_operator_cost",
        "cpu_tuple_cost",
        "effective_cache_size",
        "effective_io_concurrency",
        "hash_mem_multiplier",
        "jit",
        "maintenance_io_concurrency",
        "maintenance_work_mem",
        "max_parallel_maintenance_workers",
        "max_parallel_workers",
        "max_parallel_workers_per_gather",
        "parallel_setup_cost",
        "parallel_tuple_cost",
        "random_page_cost",
        "seq_page_cost",
        "temp_buffers",
        "work_mem",
    }
)


@dataclass(frozen=True, slots=True)
class _Told:
    """One change: whose it is, what changed, how bad that is, by which rule, and the words to find its statement."""

    whose: str
    name: str
    what: str
    severity: Severity
    words: tuple[str, ...]
    rule: str = "settings-changed"
    before: str | None = field(default=None)
    after: str | None = field(default=None)


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of roles, those that are gone included, and which are new."""

    roles: Mapping[int, str]
    new: frozenset[int]

    def role(self, oid: str | None) -> str:
        return self.roles.get(number(oid), f"role {oid}")


def settings_findings(
    scene: Scene, changes: Sequence[RowChange], naming: Naming, roles: Mapping[int, str]
) -> tuple[Finding, ...]:
    """What became of the database's own row, of settings, roles and memberships; one finding for each change."""
    unique = list({id(change): change for change in changes}.values())
    created = frozenset(
        number(change.row["oid"]) for change in unique if change.table == "pg_authid" and change.event is Event.ADDED
    )
    names = _Names(roles, created)
    found: list[_Told] = []
    for change in unique:
        found += _READERS[change.table](change, names, naming)
    return tuple(_finding(scene, told) for told in found)


def _finding(scene: Scene, told: _Told) -> Finding:
    place = scene.find(told.words, ["alter", "set", "reset", "grant", "revoke", "create", "drop"])
    remedy = {
        B: " Who uses the database now feels it at once: do it apart from the migration, or waive it with the reason.",
        W: " Make sure that it was meant.",
        I: "",
    }[told.severity]
    evidence = {"object": told.name, "before": told.before, "after": told.after}
    text = f"{told.whose}: {told.what}; done {place}.{remedy}"
    return Finding(told.rule, told.severity, text, place.migration, place.line, None, evidence, object=told.name)


def _settings(change: RowChange, names: _Names, naming: Naming) -> Iterator[_Told]:
    old, new = (_parsed(side["setconfig"] if side else None, naming) for side in (change.old, change.new))
    role, database = change.row["setrole"], number(change.row["setdatabase"])
    whose, name = (
        (f"Role {names.role(role)}" + (" in this database" if database else ""), names.role(role))
        if number(role)
        else ("The database" if database else "Every role", DATABASE if database else "all")
    )
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) == new.get(key):
            continue
        harmless = key.startswith(_HARMLESS) or key in _COSTS or number(role) in names.new
        yield _Told(
            whose,
            name,
            f"setting {key} was {_given(old.get(key))} and is {_given(new.get(key))} for every new session",
            W if harmless else B,
            (key,),
            before=old.get(key),
            after=new.get(key),
        )


def _given(value: str | None) -> str:
    return "not given" if value is None else repr(value)


def _parsed(value: str | None, naming: Naming) -> Mapping[str, str]:
    if value is None:
        return {}
    (found,) = naming.connection.execute("SELECT %s::text[]", (value,)).fetchall()
    return dict(item.split("=", 1) for item in found[0])


def _database(change: RowChange, names: _Names, naming: Naming) -> Iterator[_Told]:
    whose, name = "The database", DATABASE
    old, new = change.old, change.new
    if old is None or new is None:
        yield _Told(whose, name, f"its row is {change.event.value}", B, ("database",))
        return
    for column in change.columns:
        one, two = old[column], new[column]
        if column == "datacl":
            yield from _database_rights(Grants(naming.connection, names.roles), old, new, name)
        elif column == "datconnlimit":
            lower = number(two) >= 0 and (number(one) < 0 or number(two) < number(one))
            limits = [f"{value}" if number(value) >= 0 else "any number" for value in (one, two)]
            what = f"its connection limit was {limits[0]} and is {limits[1]}"
            yield _Told(whose, name, what, B if lower else I, ("connection", "limit"), before=one, after=two)
        elif column == "datallowconn":
            what = "nobody may connect to it any more" if two == "false" else "it may be connected to again"
            yield _Told(whose, name, what, B if two == "false" else I, ("allow_connections",), before=one, after=two)
        else:
            shown = [naming.value("pg_database", column, value) for value in (one, two)]
            what = f"{_words('pg_database', column)} was {shown[0]} and is {shown[1]}"
            soft = column in ("datdba", "datistemplate", "dattablespace")
            yield _Told(whose, name, what, W if soft else B, ("database",), before=shown[0], after=shown[1])


def _words(table: str, column: str) -> str:
    lines = claims().about(table, column, Event.CHANGED)
    return lines[0].words if lines else column


def _database_rights(grants: Grants, old: Row, new: Row, name: str) -> Iterator[_Told]:
    had, have = grants.rights("pg_database", old, new), grants.rights("pg_database", new, old)
    for grantee, right in sorted(had - have):
        severity = B if right.startswith("CONNECT") else W
        rule = "settings-changed" if severity is B else "privileges-changed"
        yield _Told("The database", name, f"{grantee} loses {right}", severity, ("revoke", "database"), rule)
    for grantee, right in sorted(have - had):
        yield _Told("The database", name, f"{grantee} gets {right}", I, ("grant", "database"), "privileges-changed")


# What a role may do by itself: whether losing it stops what it does now, and whether gaining it is told as a warning.
_ATTRIBUTES = {
    "rolsuper": ("is a superuser", B, W),
    "rolbypassrls": ("sees rows that policies hide", B, W),
    "rolinherit": ("uses the rights of the roles it belongs to", B, W),
    "rolcreaterole": ("may create roles", W, W),
    "rolcreatedb": ("may create databases", W, W),
    "rolreplication": ("may replicate", W, W),
    "rolcanlogin": ("may log in", B, I),
}


def _role(change: RowChange, names: _Names, naming: Naming) -> Iterator[_Told]:
    del names, naming
    name = change.row["rolname"] or ""
    whose = f"Role {name}"
    old, new = change.old, change.new
    if old is None:
        powers = [
            words for column, (words, _, gained) in _ATTRIBUTES.items() if gained is W and change.row[column] == "true"
        ]
        strong = [words for words in powers if "rights of the roles" not in words]
        what = f"it is new{' and ' + ', '.join(strong) if strong else ''}"
        yield _Told(whose, name, what, W if strong else I, (name,), "privileges-changed")
        return
    if new is None:
        yield _Told(whose, name, "it is dropped", B if old["rolcanlogin"] == "true" else W, (name,))
        return
    for column in change.columns:
        one, two = old[column], new[column]
        if column in _ATTRIBUTES:
            words, lost, gained = _ATTRIBUTES[column]
            has = two == "true"
            rule = "privileges-changed" if (gained if has else lost) is W else "settings-changed"
            what = f"it {words} now" if has else f"it {words} no longer"
            yield _Told(whose, name, what, gained if has else lost, (name,), rule, one, two)
        elif column == "rolpassword":
            # Without a password before, nobody logged in with one.
            what = "its password is gone" if two is None else "its password is another one"
            yield _Told(whose, name, what, B if one is not None else I, (name,))
        elif column == "rolconnlimit":
            lower = number(two) >= 0 and (number(one) < 0 or number(two) < number(one))
            limits = [f"{value}" if number(value) >= 0 else "any number" for value in (one, two)]
            what = f"its connection limit was {limits[0]} and is {limits[1]}"
            yield _Told(whose, name, what, B if lower else I, (name,), before=one, after=two)
        elif column == "rolvaliduntil":
            shorter = two is not None and two != "infinity" and (one is None or one == "infinity" or two < one)
            what = f"its password was valid until {one or 'forever'} and is until {two or 'forever'}"
            yield _Told(whose, name, what, B if shorter else I, (name,), before=one, after=two)
        else:
            what = f"{_words('pg_authid', column)} was {one} and is {two}"
            yield _Told(whose, str(one) if column == "rolname" else name, what, B, (str(two),), before=one, after=two)


def _member(change: RowChange, names: _Names, naming: Naming) -> Iterator[_Told]:
    del naming
    role, member = (names.role(change.row[column]) for column in ("roleid", "member"))
    fresh = not names.new.isdisjoint({number(change.row["roleid"]), number(change.row["member"])})
    rule, whose, words = "privileges-changed", f"Role {member}", (role, member)
    if change.event is Event.CHANGED:
        for column in change.columns:
            one, two = ((side or {}).get(column) for side in (change.old, change.new))
            what = f"as a member of {role}, {_words('pg_auth_members', column)} was {one} and is {two}"
            yield _Told(whose, member, what, W, words, rule, one, two)
        return
    gone = change.event is Event.REMOVED
    what = f"it no longer belongs to {role} and loses what that may do" if gone else f"it belongs to {role} now"
    yield _Told(whose, member, what, I if fresh and not gone else W, words, rule)


_READERS: Mapping[str, Callable[[RowChange, _Names, Naming], Iterator[_Told]]] = {
    "pg_db_role_setting": _settings,
    "pg_database": _database,
    "pg_authid": _role,
    "pg_auth_members": _member,
}
