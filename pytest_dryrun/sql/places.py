"""Which statement of which pending migration did it: names found in the text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from sqlparse import tokens as kinds

from pytest_dryrun.model.scripts import Location, Migration, Statement
from pytest_dryrun.sql.lexer import tokens, unquoted
from pytest_dryrun.sql.names import bare, parts

# A statement is read up to here; a megabyte of INSERTs is not searched to its end.
READ_CHARACTERS = 200_000
# The ends of a string constant or a dollar-quoted body among the words; no SQL word looks like them.
OPEN, CLOSE = "\x02", "\x03"
# A backslash counts in E'' strings alone.
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def words(sql: str) -> Iterator[str]:
    """The words of a statement: names without quotes, unquoted ones and keywords in lower case, punctuation as it is.

    The insides of string constants and dollar-quoted bodies are read as SQL too, for that is what DO and EXECUTE run.
    """
    for _, kind, value in tokens(sql[:READ_CHARACTERS]):
        if kind in kinds.Comment or kind in kinds.Whitespace:
            continue
        if kind is kinds.String.Symbol:
            yield unquoted(value)
        elif kind in kinds.Literal and kind not in kinds.Number:
            inner = _inside(value)
            yield OPEN
            yield from words(inner) if inner != value else (value,)
            yield CLOSE
        elif kind is kinds.Keyword:
            yield value.lower()
        else:
            yield value


def _inside(value: str) -> str:
    if value.startswith("$") and value.count("$") >= 4:
        mark = value[: value.index("$", 1) + 1]
        return value[len(mark) : -len(mark)]
    opened = value.find("'")
    if opened >= 0 and value.endswith("'") and len(value) > opened + 1:
        inner = value[opened + 1 : -1].replace("''", "'")
        return _ESCAPED.sub(r"\1", inner) if value[:opened].upper() == "E" else inner
    return value


def find(migrations: Sequence[Migration], names: Sequence[str], verbs: Sequence[str]) -> Location:
    """The statement that names all of `names` with one of `verbs`, else the most plausible one.

    `names` are bare, the most telling last: (table, column). After a statement that names them all comes one that names
    the last, then one that names the first, then one that can reach anything unnamed (DO, CALL, CASCADE); of equals the
    first. Where none fits and a single migration is pending, it is that one, without a line.
    """
    best: tuple[int, Location] = (0, Location())
    for migration in migrations:
        for statement in migration.statements:
            score = _score(statement, names, verbs)
            if score > best[0]:
                best = (score, Location(migration.name, statement.line, statement.sql))
    if best[0] == 0 and len(migrations) == 1:
        return Location(migrations[0].name)
    return best[1]


def _score(statement: Statement, names: Sequence[str], verbs: Sequence[str]) -> int:
    text = statement.sql[:READ_CHARACTERS].lower()
    if not any(verb in text for verb in verbs):  # to read every word of a big file costs seconds
        return 0
    found = _known(statement.sql)
    names = [name if name in found else name.lower() for name in names]  # a label stands in a string constant
    verb = any(verb in found for verb in verbs)
    if names and verb and all(name in found for name in names):
        return 4
    if names and verb and names[-1] in found:
        return 3
    if names and verb and names[0] in found:
        return 2
    return 1 if verb and ("cascade" in found or statement.tag in ("DO", "CALL")) else 0


def find_all(migrations: Sequence[Migration], names: Sequence[str], tags: Sequence[str]) -> list[Location]:
    """Every statement that names all of `names` and whose tag begins with one of `tags`."""
    return [
        Location(migration.name, statement.line, statement.sql)
        for migration in migrations
        for statement in migration.statements
        if statement.tag.startswith(tuple(tags)) and all(name in _known(statement.sql) for name in names)
    ]


@lru_cache(maxsize=4096)
def _known(sql: str) -> frozenset[str]:
    """The words of a statement, without the actions of a foreign key: those are done later, by somebody else."""
    found = list(words(sql))
    actions = {
        position
        for position, (first, second) in enumerate(pairwise(found))
        if first == "on" and second in ("delete", "update")
    }
    return frozenset(word for position, word in enumerate(found) if not actions & set(range(position - 2, position)))


@dataclass(frozen=True, slots=True)
class Write:
    """An UPDATE, DELETE or TRUNCATE found in a text: which table (bare parts), and whether a WHERE narrows it.

    `direct` where the statement itself runs it, not a body it defines or executes. `columns` are those that an UPDATE
    sets, empty where they are not known.
    """

    verb: str
    table: tuple[str, ...]
    filtered: bool
    place: Location
    direct: bool
    columns: tuple[str, ...] = ()

    def on(self, table: str) -> bool:
        """Whether this is about the table of that quoted name; an unqualified name is taken for it in any schema."""
        named = tuple(bare(part) for part in parts(table))
        return self.table == named or self.table == named[-1:]


def writes(migrations: Sequence[Migration]) -> tuple[Write, ...]:
    """Every UPDATE, DELETE and TRUNCATE that the texts hold, in bodies and string constants too."""
    return tuple(write for migration in migrations for write in _written_by(migration))


@lru_cache(maxsize=512)
def _written_by(migration: Migration) -> tuple[Write, ...]:
    return tuple(
        write
        for statement in migration.statements
        if any(verb in statement.sql[:READ_CHARACTERS].lower() for verb in ("update", "delete", "truncate"))
        for write in _writes(statement, Location(migration.name, statement.line, statement.sql))
    )


def _writes(statement: Statement, place: Location) -> Iterator[Write]:
    found = list(words(statement.sql))
    quoted = 0
    defines = statement.tag.startswith("CREATE")
    for position, item in enumerate(found):
        quoted += (item == OPEN) - (item == CLOSE)
        if item not in ("update", "delete", "truncate"):
            continue
        before = found[position - 1] if position else ";"
        if item == "update" and before in ("for", "on", "do", "key", "or", "before", "after", "instead"):
            continue
        if item == "delete" and (position + 1 >= len(found) or found[position + 1] != "from"):
            continue
        if item == "truncate" and before in ("before", "after", "or"):
            continue
        after = position + 1
        while after < len(found) and found[after] in ("from", "only", "table"):
            after += 1
        for table, end in _tables(found, after, several=item == "truncate"):
            columns = _assigned(found, end) if item == "update" else ()
            yield Write(item, table, _filtered(found, end), place, direct=not quoted and not defines, columns=columns)


def _tables(found: Sequence[str], position: int, *, several: bool) -> Iterator[tuple[tuple[str, ...], int]]:
    while position < len(found):
        if found[position] == "only" and position + 1 < len(found):
            position += 1
        name = [found[position]]
        while position + 2 < len(found) and found[position + 1] == ".":
            position += 2
            name.append(found[position])
        yield tuple(name), position + 1
        position += 1
        if several and position < len(found) and found[position] == "*":
            position += 1
        if not several or position >= len(found) or found[position] != ",":
            return
        position += 1


def _assigned(found: Sequence[str], position: int) -> tuple[str, ...]:
    """The columns that stand left of the equal signs behind SET; none where there is no SET near."""
    names: list[str] = []
    near = found[position : position + 4]
    if "set" not in near:
        return ()
    depth, name_follows, listed = 0, True, False
    for item in found[position + near.index("set") + 1 :]:
        if item in ("(", OPEN):
            listed = listed or (name_follows and depth == 0)
            depth += 1
        elif item in (")", CLOSE):
            depth, listed, name_follows = depth - 1, False, False
        elif depth == 0 and item in ("where", "from", "returning", ";"):
            break
        elif item == ",":
            name_follows = depth == 0 or listed
        elif name_follows:
            names.append(item)
            name_follows = False
        if depth < 0:
            break
    return tuple(names)


def _filtered(found: Sequence[str], position: int) -> bool:
    """Whether a WHERE follows at the same level of parentheses and quotes, before the statement ends."""
    depth = 0
    for item in found[position:]:
        depth += (item in ("(", OPEN)) - (item in (")", CLOSE))
        if depth < 0 or (item == ";" and depth == 0):
            return False
        if item == "where" and depth == 0:
            return True
    return False
