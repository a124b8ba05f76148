"""What a statement's words say it will lock, read and rewrite: used only where the copy could not be asked.

The table of locks is the PostgreSQL manual's ("Explicit Locking", "ALTER TABLE"), corrected by measurements on
14 to 18: UNIQUE, CHECK and EXCLUDE constraints take ACCESS EXCLUSIVE, a foreign key SHARE ROW EXCLUSIVE on both tables.
Statements inside DO blocks and functions are not seen here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlparse import tokens as kinds

from pytest_dryrun.sql.lexer import tokens, unquoted
from pytest_dryrun.sql.names import quoted

Effect = Literal["", "scan", "rewrite", "index-build", "index-drop"]

# A name, a mode and an effect stand at the head of a statement; a bulk INSERT may be megabytes long.
_HEAD_CHARACTERS = 20_000
_VOLATILE = re.compile(r"\b(CLOCK_TIMESTAMP|RANDOM|GEN_RANDOM_UUID|UUID_GENERATE_V\d\w*|NEXTVAL|TIMEOFDAY|UUIDV[47])$")
_SERIAL = {"SERIAL", "BIGSERIAL", "SMALLSERIAL", "SERIAL4", "SERIAL8", "SERIAL2"}
_ROW_WRITERS = {"INSERT": "INTO", "UPDATE": "", "DELETE": "FROM", "MERGE": "INTO", "COPY": ""}
_SKIPPED = {"TABLE", "IF", "EXISTS", "ONLY", "NOT"}


@dataclass(frozen=True, slots=True)
class Expectation:
    """One lock a statement takes; `table` is the name as written, folded and quoted (`public."User"` or `"User"`).

    For `index-drop` and for REINDEX INDEX it names the index. `subject` is the index or constraint named, if any.
    """

    table: str
    mode: str
    effect: Effect = ""
    subject: str = ""


def words(sql: str) -> list[str]:
    """Cut a statement into words: keywords in upper case, names folded and quoted, literals as `''`."""
    return list(_words(sql[:_HEAD_CHARACTERS]))


def _words(sql: str) -> Iterator[str]:
    for _, kind, value in tokens(sql):
        if kind in kinds.Comment or kind in kinds.Whitespace:
            continue
        if kind is kinds.String.Symbol:
            yield quoted(unquoted(value))
        elif kind in kinds.Literal and kind not in kinds.Number:
            yield "''"
        else:
            yield value


def _name(parts: Sequence[str]) -> tuple[str, int]:
    """Read a possibly qualified name at the head of `parts`: the name and how many words it took."""
    if not parts:
        return "", 0
    found, used = [_fold(parts[0])], 1
    while used + 1 < len(parts) and parts[used] == ".":
        found.append(_fold(parts[used + 1]))
        used += 2
    return ".".join(found), used


def _fold(word: str) -> str:
    return word if word.startswith('"') else quoted(word.lower())


def _after(parts: list[str], keyword: str) -> list[str]:
    upper = [word.upper() for word in parts]
    return parts[upper.index(keyword) + 1 :] if keyword in upper else []


def _without(parts: list[str], skipped: Iterable[str]) -> list[str]:
    """Drop leading noise words such as IF EXISTS ONLY."""
    noise = set(skipped)
    position = 0
    while position < len(parts) and parts[position].upper() in noise:
        position += 1
    return parts[position:]


def _options(parts: list[str]) -> tuple[set[str], list[str]]:
    """Read `( VERBOSE, CONCURRENTLY )` at the head."""
    if parts[:1] != ["("]:
        return set(), parts
    end = parts.index(")") if ")" in parts else len(parts) - 1
    return {word.upper() for word in parts[1:end]}, parts[end + 1 :]


def _top_level(parts: list[str]) -> list[list[str]]:
    """Cut at commas that stand outside parentheses."""
    depth, pieces = 0, [list[str]()]
    for word in parts:
        depth += (word in {"(", "["}) - (word in {")", "]"})
        if word == "," and depth == 0:
            pieces.append([])
        else:
            pieces[-1].append(word)
    return pieces


def _names(parts: list[str]) -> list[str]:
    return [name for piece in _top_level(parts) if (name := _name(_without(piece, _SKIPPED))[0])]


def expect(sql: str) -> tuple[Expectation, ...]:
    """Read one statement; nothing for a statement that locks no existing table, or that cannot be read."""
    parts = [word for word in words(sql) if word != ";"]
    upper = [word.upper() for word in parts]
    match upper[:2]:
        case ["CREATE", _] if "INDEX" in upper[1:3]:
            return _create_index(parts, upper)
        case ["DROP", "INDEX"]:
            mode = "ShareUpdateExclusiveLock" if "CONCURRENTLY" in upper else "AccessExclusiveLock"
            effect: Effect = "" if "CONCURRENTLY" in upper else "index-drop"
            names = _names(_without(parts[2:], {"CONCURRENTLY", *_SKIPPED}))
            return tuple(
                Expectation(name, mode, effect, name) for name in names if name.upper() not in {"CASCADE", "RESTRICT"}
            )
        case ["ALTER", "TABLE"]:
            return _alter_table(_without(parts[2:], _SKIPPED))
        case ["CREATE", "TRIGGER"] | ["CREATE", "CONSTRAINT"] if "ON" in upper:
            return (Expectation(_name(_after(parts, "ON"))[0], "ShareRowExclusiveLock"),)
        case ["DROP", "TRIGGER"] if "ON" in upper:
            return (Expectation(_name(_after(parts, "ON"))[0], "AccessExclusiveLock"),)
        case ["DROP", "TABLE"]:
            return tuple(Expectation(name, "AccessExclusiveLock") for name in _names(parts[2:]))
        case ["REFRESH", "MATERIALIZED"]:
            concurrently = "CONCURRENTLY" in upper
            name = _name(_without(parts[3:], {"CONCURRENTLY"}))[0]
            if concurrently:
                return (Expectation(name, "ExclusiveLock", "scan"),)
            return (Expectation(name, "AccessExclusiveLock", "rewrite"),)
        case [verb, *_]:
            return _simple(verb, parts)
    return ()


def _simple(verb: str, parts: list[str]) -> tuple[Expectation, ...]:
    upper = [word.upper() for word in parts]
    if verb == "REINDEX":
        options, rest = _options(parts[1:])
        if (
            "CONCURRENTLY" in options
            or "CONCURRENTLY" in upper
            or not rest
            or rest[0].upper() not in {"INDEX", "TABLE"}
        ):
            return ()
        mode = "ShareLock" if rest[0].upper() == "TABLE" else "AccessExclusiveLock"
        name = _name(rest[1:])[0]
        return (Expectation(name, mode, "index-build", name),)
    if verb == "TRUNCATE":
        return tuple(Expectation(name, "AccessExclusiveLock") for name in _names(parts[1:]))
    if verb == "LOCK":
        mode_words = upper[upper.index("IN") + 1 : -1] if "IN" in upper else ["ACCESS", "EXCLUSIVE"]
        mode = "".join(word.capitalize() for word in mode_words if word not in {"MODE", "NOWAIT"}) + "Lock"
        names = parts[1 : upper.index("IN")] if "IN" in upper else parts[1:]
        return tuple(Expectation(name, mode) for name in _names(names))
    if verb in {"CLUSTER", "VACUUM"}:
        options, rest = _options(parts[1:])
        full = verb == "CLUSTER" or "FULL" in options or "FULL" in upper[1:3]
        names = _names(_without(rest, {"FULL", "VERBOSE", "ANALYZE", "FREEZE"}))
        if verb == "CLUSTER":
            names = [_name(_without(rest, {"VERBOSE"}))[0]] if rest else []
        mode = "AccessExclusiveLock" if full else "ShareUpdateExclusiveLock"
        return tuple(Expectation(name, mode, "rewrite" if full else "") for name in names if name)
    if verb in _ROW_WRITERS:
        rest = _without(parts[1:], {_ROW_WRITERS[verb], "ONLY"})
        return (Expectation(_name(rest)[0], "RowExclusiveLock"),) if rest and rest[0] != "(" else ()
    return ()


def _create_index(parts: list[str], upper: list[str]) -> tuple[Expectation, ...]:
    target = _name(_without(_after(parts, "ON"), {"ONLY"}))[0]
    before = _without(
        parts[1 : upper.index("ON")] if "ON" in upper else [], {"UNIQUE", "INDEX", "CONCURRENTLY", *_SKIPPED}
    )
    if "CONCURRENTLY" in upper:
        return (Expectation(target, "ShareUpdateExclusiveLock", "", _name(before)[0]),)
    return (Expectation(target, "ShareLock", "index-build", _name(before)[0]),)


def _alter_table(parts: list[str]) -> tuple[Expectation, ...]:
    table, used = _name(parts)
    rest = parts[used + 1 :] if parts[used : used + 1] == ["*"] else parts[used:]
    return tuple(found for action in _top_level(rest) for found in _action(table, action))


def _action(table: str, action: list[str]) -> tuple[Expectation, ...]:
    upper = [word.upper() for word in action]
    text = " ".join(upper)
    if text.startswith("VALIDATE CONSTRAINT"):
        return (Expectation(table, "ShareUpdateExclusiveLock", ""),)
    if text.startswith(("ATTACH PARTITION", "SET STATISTICS", "CLUSTER ON")) or re.match(
        r"ALTER (COLUMN )?\S+ SET STATISTICS", text
    ):
        return (Expectation(table, "ShareUpdateExclusiveLock"),)
    if text.startswith(("ENABLE TRIGGER", "DISABLE TRIGGER")):
        return (Expectation(table, "ShareRowExclusiveLock"),)
    if re.match(r"ADD (CONSTRAINT \S+ )?FOREIGN KEY", text):
        effect: Effect = "" if "NOT VALID" in text else "scan"
        parent = _name(_after(action, "REFERENCES"))[0]
        return (
            Expectation(table, "ShareRowExclusiveLock", effect),
            Expectation(parent, "ShareRowExclusiveLock", effect),
        )
    if re.match(r"ADD (CONSTRAINT \S+ )?(CHECK|UNIQUE|PRIMARY KEY|EXCLUDE)", text):
        quick = "NOT VALID" in text or "USING INDEX" in text
        return (Expectation(table, "AccessExclusiveLock", "" if quick else "scan"),)
    if re.match(r"ALTER (COLUMN )?\S+ SET NOT NULL", text):
        return (Expectation(table, "AccessExclusiveLock", "scan"),)
    if re.match(r"ALTER (COLUMN )?\S+ (SET DATA )?TYPE\b", text) or re.match(
        r"SET (UNLOGGED|LOGGED|TABLESPACE|ACCESS METHOD)", text
    ):
        return (Expectation(table, "AccessExclusiveLock", "rewrite"),)
    if upper[:1] == ["ADD"] and upper[1:2] != ["CONSTRAINT"]:
        computed = any(_VOLATILE.search(word) for word in upper[2:]) if "DEFAULT" in upper else False
        if computed or _SERIAL & set(upper) or ("GENERATED" in upper and ("STORED" in upper or "IDENTITY" in upper)):
            return (Expectation(table, "AccessExclusiveLock", "rewrite"),)
        if "CHECK" in upper or "UNIQUE" in upper or "PRIMARY KEY" in text:
            return (Expectation(table, "AccessExclusiveLock", "scan"),)
    return (Expectation(table, "AccessExclusiveLock"),)


def resolve(name: str, tables: Iterable[str]) -> str:
    """Find the known qualified name that a written one means: itself, else in `public`, else the only one so named."""
    known = list(tables)
    if name in known:
        return name
    candidates = [table for table in known if table.endswith("." + name)]
    if f"public.{name}" in candidates:
        return f"public.{name}"
    return candidates[0] if len(candidates) == 1 else name
