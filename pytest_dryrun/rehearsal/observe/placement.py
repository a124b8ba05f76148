"""Which statement of which file a report of the copy belongs to, where nobody stepped through the files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pytest_dryrun.model.scripts import Location, Migration
from pytest_dryrun.rehearsal.observe.expectations import words
from pytest_dryrun.rehearsal.observe.lock_timeout import lock_timeout_set
from pytest_dryrun.rehearsal.observe.observation import Observed
from pytest_dryrun.rehearsal.observe.unstepped import UNREPORTED
from pytest_dryrun.sql.names import bare, parts
from pytest_dryrun.sql.places import find, writes


def _statements(migrations: Sequence[Migration]) -> list[Location]:
    return [Location(one.name, statement.line, statement.sql) for one in migrations for statement in one.statements]


def place(observed: Sequence[Observed], migrations: Sequence[Migration]) -> tuple[Observed, ...]:
    """Give every report without a place the next statement, in order, with the same command and the same name in it.

    DDL from inside a DO block or a function finds none, and keeps line 0. A new file that no event reported is put down
    to the statement whose words fit best, and left out where they empty the table.
    """
    statements = _statements(migrations)
    spelled: dict[int, _Spelled] = {}
    only = migrations[0].name if len(migrations) == 1 else ""
    position = 0
    placed: list[Observed] = []
    for one in observed:
        if one.tag == UNREPORTED:
            placed.extend(_unreported(one, migrations))
            continue
        if one.run.line or one.run.migration or not one.commands:
            placed.append(one)
            continue
        found = next(
            (i for i in range(position, len(statements)) if _same(one, _spell(statements[i], i, spelled))), None
        )
        if found is None:
            placed.append(replace(one, run=replace(one.run, migration=only)))
            continue
        where, position = statements[found], found + 1
        placed.append(
            replace(one, run=replace(one.run, migration=where.migration or "", line=where.line or 0, sql=where.sql))
        )
    return tuple(placed)


def _unreported(one: Observed, migrations: Sequence[Migration]) -> Iterator[Observed]:
    relation = next(iter((*(rewrite.relation for rewrite in one.rewrites), *one.rebuilt)))
    table = next(iter(one.rebuilt.values()), relation)
    if any(write.verb == "truncate" and write.on(table) for write in writes(migrations)):
        return
    names = [bare(parts(table)[-1]), bare(parts(relation)[-1])]
    where = find(migrations, list(dict.fromkeys(names)), ("cluster", "vacuum", "refresh", "reindex"))
    run = replace(one.run, migration=where.migration or "", line=where.line or 0, sql=where.sql or one.run.sql)
    yield replace(one, run=run)


@dataclass(frozen=True, slots=True)
class _Spelled:
    """A statement's words: in upper case without noise, and as names."""

    upper: tuple[str, ...]
    folded: frozenset[str]


def _spell(where: Location, position: int, known: dict[int, _Spelled]) -> _Spelled:
    if position not in known:
        spelled = words(where.sql)
        upper = tuple(word.upper() for word in spelled if word.upper() not in {"UNIQUE", "OR", "REPLACE"})
        known[position] = _Spelled(upper, frozenset(word if word.startswith('"') else word.lower() for word in spelled))
    return known[position]


def _same(one: Observed, spelled: _Spelled) -> bool:
    tag = tuple(one.tag.split())
    if spelled.upper[: len(tag)] != tag:
        return False
    command = one.commands[0]
    names = {
        identity.split(" on ")[0].rsplit(".", 1)[-1]
        for identity in (*command.objects, *(i for _, i in command.dropped))
    }
    folded = spelled.folded
    return not names or bool(names & folded) or bool({t.rsplit(".", 1)[-1] for t in command.indexed.values()} & folded)


def unseen(observed: Sequence[Observed], migrations: Sequence[Migration]) -> Iterator[Location]:
    """Walk through the statements of which nothing was seen."""
    seen = {(one.run.migration, line) for one in observed for line in (one.run.line, *one.lines)}
    return (where for where in _statements(migrations) if (where.migration, where.line) not in seen)


def text_lock_timeout_ms(where: Location, migrations: Sequence[Migration]) -> int | None:
    """Read which `lock_timeout` the file itself had set by then, 0 where it had set none."""
    value: int | None = 0
    for statement in _statements([one for one in migrations if one.name == where.migration]):
        if (statement.line or 0) >= (where.line or 0):
            break
        found = lock_timeout_set(statement.sql)
        value = found if found is not None else value
    return value
