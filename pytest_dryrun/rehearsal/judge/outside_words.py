"""What would reach outside the database as soon as it runs, on a copy too: read from the text, before it runs.

Nothing in a database can refuse a superuser COPY ... TO PROGRAM, CREATE DATABASE or ALTER SYSTEM. So these are looked
for in the pending files: the statements themselves, what DO blocks execute, and functions that a statement calls. Text
that is put together while it runs is not seen; only a deploying role that is no superuser keeps that from harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_dryrun.model.scripts import Location, Migration, Statement
from pytest_dryrun.model.values import Finding
from pytest_dryrun.rehearsal.judge.outside import CURE, finding
from pytest_dryrun.sql.places import CLOSE, OPEN, words

READ = "This was read from the text, because running it on a copy would do the harm already. Nothing was run."
_OF_DATABASES = "A copy has another name. Say it with current_database(): DO $$ BEGIN EXECUTE format(...); END $$."
# Commands that exist outside transactions and functions alone, so that the statement itself is all there is to read.
_ALONE = {
    "CREATE DATABASE": "makes a database",
    "DROP DATABASE": "drops a database",
    "CREATE TABLESPACE": "makes a tablespace",
    "DROP TABLESPACE": "drops a tablespace",
    "ALTER TABLESPACE": "changes a tablespace",
    "ALTER SYSTEM": "changes the settings of the whole server",
}
_DEFINING = ("CREATE FUNCTION", "CREATE PROCEDURE")
# What names a function without calling it.
_ABOUT = (
    *_DEFINING, "ALTER FUNCTION", "ALTER PROCEDURE", "ALTER ROUTINE", "DROP FUNCTION", "DROP PROCEDURE", "DROP ROUTINE",
    "GRANT", "REVOKE", "COMMENT",
)  # fmt: skip
_ROLES = ("role", "user", "group")
_PLACEHOLDER = "%"


@dataclass(frozen=True, slots=True)
class _Told:
    """What a statement would do, in words behind its place, what it does it to, and another cure than the usual one."""

    what: str
    objects: tuple[str, ...]
    cure: str = CURE


def foreseen(
    migrations: Sequence[Migration], bodies: Mapping[str, str], *, shared: bool = False
) -> tuple[Finding, ...]:
    """Find the statements that must not run, even on a copy.

    `bodies` are the texts of the database's own functions by bare name. `shared` tells that the copies stand on the
    target's own server, where every role is the target's too.
    """
    created = set(_created_roles(migrations)) if shared else None
    bodies = {**bodies, **_defined(migrations)}
    found = []
    for migration in migrations:
        for statement in migration.statements:
            where = Location(migration.name, statement.line, statement.sql)
            found += [
                finding(f"{where.head}: {told.what}. {READ} {told.cure}", where, told.objects)
                for told in dict.fromkeys(_reaching(statement, bodies, created))
            ]
    return tuple(found)


def _reaching(statement: Statement, bodies: Mapping[str, str], created: set[str] | None) -> Iterator[_Told]:
    found = list(words(statement.sql))
    if statement.tag in _ALONE:
        yield _Told(f"{statement.tag} {_ALONE[statement.tag]}", (_named(found[2:]),))
        return
    runs = statement.tag == "DO"
    text = found if runs else _outer(found)
    if statement.tag in ("COPY", "DO"):
        yield from _copies(text)
    if statement.tag in ("ALTER DATABASE", "ALTER ROLE", "GRANT", "REVOKE", "COMMENT", "DO"):
        yield from _databases(text)
    if created is not None:
        yield from _roles(statement, text, created)
    if statement.tag.startswith(_ABOUT):
        return
    for name in bodies.keys() & set(found):
        for told in _copies(list(words(bodies[name]))):
            yield _Told(f"{told.what}, in the function {name} that it calls", (*told.objects, name))


def _outer(found: Iterable[str]) -> list[str]:
    """The words outside string constants; of a constant only its beginning and end are left."""
    depth, outer = 0, []
    for word in found:
        depth += (word == OPEN) - (word == CLOSE)
        if depth == 0 or (word == OPEN and depth == 1):
            outer.append(word)
    return outer


def _copies(text: Sequence[str]) -> Iterator[_Told]:
    """COPY to or from a program or a file of the server; a placeholder of format() is taken for one of both."""
    for position, word in enumerate(text):
        if word != "copy":
            continue
        after = _behind_a_relation(text, position + 1)
        way, what = (*text[after : after + 2], "", "")[:2]
        if way not in ("to", "from"):
            continue
        direction = "to" if way == "to" else "from"
        if what == "program":
            yield _Told(f"COPY {direction.upper()} PROGRAM runs a program on the server's machine", ("program",))
        elif what == OPEN or (what in (_PLACEHOLDER, CLOSE) and _is_put_together(text, position)):
            verb = "writes" if way == "to" else "reads"
            yield _Told(f"COPY {direction.upper()} a file {verb} a file of the server's machine", ("file",))


def _is_put_together(text: Sequence[str], position: int) -> bool:
    """Whether a constant that begins here is executed, or filled by format(); others are messages."""
    before = list(text[max(0, position - 3) : position])
    return before[-2:] == ["execute", OPEN] or before == ["format", "(", OPEN]


def _behind_a_relation(text: Sequence[str], position: int) -> int:
    """Where what follows a relation begins: `s.t (a, b)`, `(SELECT ...)`, `%I.%I`."""
    depth = 0
    while position < len(text):
        word = text[position]
        depth += (word == "(") - (word == ")")
        if depth == 0 and word in ("to", "from", ";", OPEN, CLOSE):
            return position
        position += 1
    return position


def _databases(text: Sequence[str]) -> Iterator[_Told]:
    """Commands about a database that is named: never the copy, which nobody can know by name."""
    for position, word in enumerate(text):
        named = text[position + 1 : position + 2]
        before = text[position - 1] if position else ""
        if word != "database" or not named or named[0] in (_PLACEHOLDER, OPEN, CLOSE, "|", "||", ";", ")"):
            continue
        if before in ("alter", "on", "in"):
            what = f"it changes the database {named[0]}, which is another one than the copy"
            yield _Told(what, (named[0],), _OF_DATABASES)


def _roles(statement: Statement, text: Sequence[str], created: set[str]) -> Iterator[_Told]:
    """On the target's own server: what happens to a role that was there before the migration."""
    for position, word in enumerate(text):
        if word in ("alter", "drop") and text[position + 1 : position + 2] and text[position + 1] in _ROLES:
            name = _named(text[position + 2 :])
            if name and name not in created | {_PLACEHOLDER}:
                yield _Told(f"it changes the role {name}, which the target's own server shares with the copy", (name,))
    if statement.tag in ("GRANT", "REVOKE") and "on" not in text:
        name = text[-1] if "to" not in text else text[text.index("to") + 1]
        if name not in created:
            yield _Told(f"it changes what the role {name} belongs to, on the target's own server", (name,))


def _created_roles(migrations: Sequence[Migration]) -> Iterator[str]:
    for migration in migrations:
        for statement in migration.statements:
            text = list(words(statement.sql))
            for position in range(len(text) - 2):
                if text[position] == "create" and text[position + 1] in _ROLES:
                    yield text[position + 2]


def _defined(migrations: Sequence[Migration]) -> dict[str, str]:
    """The texts of functions that the files define, by bare name."""
    found = {}
    for migration in migrations:
        for statement in migration.statements:
            if statement.tag.startswith(_DEFINING):
                text = list(words(statement.sql))
                at = next((n for n, word in enumerate(text) if word in ("function", "procedure")), 0)
                end = text.index("(", at) if "(" in text[at:] else at + 2
                found[text[end - 1]] = statement.sql
    return found


def _named(text: Sequence[str]) -> str:
    """The name with which a command goes on, behind IF EXISTS and the like."""
    return next((word for word in text if word not in ("if", "not", "exists", "set", "reset")), "")
