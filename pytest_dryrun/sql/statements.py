"""Cuts SQL text into statements, as psql would, and reads what is written beside them.

Where a statement ends is decided as in psql's scanner: at a semicolon outside parentheses and outside the body of a
`CREATE FUNCTION ... BEGIN ATOMIC`. The text is never grouped or parsed, so a file's size costs time, not stack.
The server stays the authority on a cut; see `apply`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from sqlparse import tokens as kinds

from pytest_dryrun.model.scripts import Statement
from pytest_dryrun.model.waivers import Waiver
from pytest_dryrun.sql.lexer import tokens

_WAIVER = re.compile(r"--\s*dryrun:\s*(.*)", re.IGNORECASE)
_ALLOW = re.compile(r"allow\s+(\S+)(?:\s+because\b\s*(.*))?\s*$", re.IGNORECASE)

_MODIFIERS = {
    "OR",
    "REPLACE",
    "TEMP",
    "TEMPORARY",
    "GLOBAL",
    "LOCAL",
    "UNLOGGED",
    "UNIQUE",
    "RECURSIVE",
    "TRUSTED",
    "CONSTRAINT",
}
_LONG_OBJECTS = (
    ("ACCESS", "METHOD"), ("DEFAULT", "PRIVILEGES"), ("EVENT", "TRIGGER"), ("FOREIGN", "DATA", "WRAPPER"),
    ("FOREIGN", "TABLE"), ("LARGE", "OBJECT"), ("MATERIALIZED", "VIEW"), ("OPERATOR", "CLASS"), ("OPERATOR", "FAMILY"),
    ("TEXT", "SEARCH", "CONFIGURATION"), ("TEXT", "SEARCH", "DICTIONARY"), ("TEXT", "SEARCH", "PARSER"),
    ("TEXT", "SEARCH", "TEMPLATE"), ("USER", "MAPPING"),
)  # fmt: skip
_ALIASES = {
    "TRUNCATE": "TRUNCATE TABLE", "LOCK": "LOCK TABLE", "END": "COMMIT", "ABORT": "ROLLBACK", "VALUES": "SELECT",
    "TABLE": "SELECT", "ANALYSE": "ANALYZE", "DECLARE": "DECLARE CURSOR", "CLOSE": "CLOSE CURSOR",
}  # fmt: skip
_TWO_WORDS = {
    ("START", "TRANSACTION"), ("SET", "CONSTRAINTS"), ("PREPARE", "TRANSACTION"), ("COMMIT", "PREPARED"),
    ("ROLLBACK", "PREPARED"), ("SECURITY", "LABEL"), ("REASSIGN", "OWNED"), ("DROP", "OWNED"), ("ALTER", "SYSTEM"),
}  # fmt: skip
_TRANSACTION_CONTROL = {
    "BEGIN", "START TRANSACTION", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PREPARE TRANSACTION",
    "COMMIT PREPARED", "ROLLBACK PREPARED",
}  # fmt: skip
_ALONE_TAGS = {
    "VACUUM", "ALTER SYSTEM", "CREATE DATABASE", "DROP DATABASE", "CREATE TABLESPACE", "DROP TABLESPACE",
    "CREATE SUBSCRIPTION", "DROP SUBSCRIPTION",
}  # fmt: skip
_SAME_IN_TRANSACTION = {
    "CREATE", "ALTER", "DROP", "COMMENT", "GRANT", "REVOKE", "TRUNCATE", "CLUSTER", "REFRESH", "REINDEX", "SELECT",
    "INSERT", "UPDATE", "DELETE", "MERGE", "DO", "CALL", "EXECUTE", "ANALYZE", "IMPORT", "SECURITY",
    "REASSIGN", "EXPLAIN",
}  # fmt: skip
_TO = re.compile(r"\bTO\b", re.IGNORECASE)
_CHAIN = re.compile(r"(?:COMMIT|END|ROLLBACK|ABORT)\b.*\bCHAIN\b", re.IGNORECASE | re.DOTALL)
_PLAIN_BEGIN = re.compile(r"(?:BEGIN(?:\s+(?:WORK|TRANSACTION))?|START\s+TRANSACTION)", re.IGNORECASE)
_ENDS_TRANSACTION = re.compile(r"\b(COMMIT|ROLLBACK)\b", re.IGNORECASE)
_CONCURRENT_TAGS = {"CREATE INDEX", "DROP INDEX", "REINDEX", "ALTER TABLE"}


@lru_cache(maxsize=1024)  # a folder is read again by each step of a dry run, and lexing is what costs
def cut(sql: str) -> tuple[Statement, ...]:
    """Cut a script into its statements; what holds only comments is none.

    A statement's text is exact, from its first word to its last, without the semicolon that ends it.
    """
    return tuple(piece.statement(sql) for piece in _pieces(sql) if piece.start is not None)


def inline_waivers(sql: str, *, migration: str, source: str) -> tuple[Waiver, ...]:
    """Read the `-- dryrun: allow RULE because REASON` comments, each with the statement below it.

    One that does not stand on lines of its own above a statement carries its own line and so excuses only a
    statement that starts there. One that cannot be read carries its whole text as the rule, and no reason.
    """
    waivers: list[Waiver] = []
    if _WAIVER.search(sql) is None:
        return ()
    starts = {statement.line: statement.sql for statement in reversed(cut(sql))}
    for piece in _pieces(sql):
        for offset, text in piece.comments:
            match = _WAIVER.match(text)
            if match is None:
                continue
            allow = _ALLOW.match(match[1])
            rule, reason = (allow[1], (allow[2] or "").strip()) if allow else (match[1].strip(), "")
            alone = not sql[sql.rfind("\n", 0, offset) + 1 : offset].strip()
            above = alone and piece.start is not None and offset < piece.start
            line = piece.line if above else sql.count("\n", 0, offset) + 1
            waivers.append(Waiver(rule, migration, reason, source, line, starts.get(line, "")))
    return tuple(waivers)


def has_transaction_control(statements: Sequence[Statement]) -> bool:
    """Tell whether a script begins, ends or subdivides transactions itself."""
    return any(statement.tag in _TRANSACTION_CONTROL for statement in statements)


def refuses_transaction(statement: Statement) -> bool:
    """Tell whether Postgres refuses this statement inside a transaction block (SQLSTATE 25001)."""
    if statement.tag in _ALONE_TAGS:
        return True
    if statement.tag not in _CONCURRENT_TAGS:
        return False
    words = [value.upper() for _, kind, value in tokens(statement.sql) if kind is kinds.Keyword]
    if statement.tag == "ALTER TABLE":
        return "DETACH" in words and "CONCURRENTLY" in words
    if statement.tag == "REINDEX":  # its options come first, in brackets
        return bool({"CONCURRENTLY", "DATABASE", "SYSTEM", "SCHEMA"} & set(words[:8]))
    return "CONCURRENTLY" in words[:4]


def rolls_back_to(statement: Statement) -> bool:
    """Tell whether this ROLLBACK leads to a savepoint, so that its transaction goes on."""
    return statement.tag == "ROLLBACK" and _TO.search(statement.sql) is not None


def steppable(statements: Sequence[Statement]) -> bool:
    """Tell whether a script that is sent whole comes to the same when its transactions are begun one after another.

    Not so with savepoints outside BEGIN, which such a script may not use, and with BEGIN's options after other work.
    """
    explicit, worked = False, False
    for statement in statements:
        within = statement.tag in {"SAVEPOINT", "RELEASE"} or rolls_back_to(statement)
        if within and not explicit:
            return False
        if statement.tag in {"PREPARE TRANSACTION", "COMMIT PREPARED", "ROLLBACK PREPARED"} or _CHAIN.match(
            statement.sql
        ):
            return False
        if statement.tag in {"BEGIN", "START TRANSACTION"}:
            if worked and _PLAIN_BEGIN.fullmatch(statement.sql) is None:
                return False
            explicit = True
        elif statement.tag in {"COMMIT", "ROLLBACK"} and not within:
            explicit, worked = False, False
        else:
            worked = True
    return True


def same_in_transaction(statement: Statement) -> bool:
    """Tell whether this statement, sent alone, comes to the same between BEGIN and COMMIT, as far as words tell.

    What Postgres refuses there (SQLSTATE 25001, 2D000) has to be sent again without; what could have an effect before
    it is refused is none.
    """
    if statement.tag.split(" ")[0] not in _SAME_IN_TRANSACTION or refuses_transaction(statement):
        return False
    return statement.tag not in {"DO", "CALL"} or _ENDS_TRANSACTION.search(statement.sql) is None


@dataclass(slots=True)
class _Piece:
    """One stretch of a script up to a semicolon: its statement's offsets, comments, words outside parentheses."""

    start: int | None = None
    end: int = 0
    line: int = 0
    comments: list[tuple[int, str]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def statement(self, sql: str) -> Statement:
        return Statement(sql[self.start : self.end], self.line, _tag(self.words))


def _pieces(sql: str) -> Iterator[_Piece]:
    """Follow psql's scanner: nesting of parentheses, and of BEGIN, CASE and END in SQL-standard function bodies."""
    piece, parentheses, bodies = _Piece(), 0, 0
    line, counted = 1, 0
    for offset, kind, value in tokens(sql):
        if kind is kinds.Whitespace:
            continue
        if kind in kinds.Comment:
            piece.comments.append((offset, value))
            continue
        if value == ";" and parentheses <= 0 and bodies == 0:
            yield piece
            piece, parentheses = _Piece(), 0
            continue
        if piece.start is None:
            line, counted = line + sql.count("\n", counted, offset), offset
            piece.start, piece.line = offset, line
        piece.end = offset + len(value)
        if kind is kinds.Punctuation:
            parentheses += {"(": 1, ")": -1}.get(value, 0)
        elif kind is kinds.Keyword and parentheses <= 0:
            word = value.upper()
            bodies = max(0, bodies + _body_step(piece.words, word, bodies))
            piece.words.append(word)
    yield piece


def _body_step(words: list[str], word: str, bodies: int) -> int:
    if word not in {"BEGIN", "CASE", "END"} or words[:1] != ["CREATE"]:
        return 0
    kind = words[3:4] if words[1:3] == ["OR", "REPLACE"] else words[1:2]
    if kind not in (["FUNCTION"], ["PROCEDURE"]):
        return 0
    if word == "BEGIN":
        return 1
    if word == "CASE":
        return 1 if bodies else 0
    return -1


def _tag(words: Sequence[str]) -> str:
    if not words:
        return ""
    first = words[0]
    if tuple(words[:2]) in _TWO_WORDS:
        return " ".join(words[:2])
    if first == "WITH":
        return next((word for word in words if word in {"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES"}), "")
    if first in {"CREATE", "ALTER", "DROP"}:
        return _object_tag(words)
    if first == "REFRESH":
        return "REFRESH MATERIALIZED VIEW"
    if first == "IMPORT":
        return "IMPORT FOREIGN SCHEMA"
    if first == "DISCARD":
        return " ".join(words[:2])
    if first == "SELECT" and "INTO" in words:
        return "SELECT INTO"
    return _ALIASES.get(first, first)


def _object_tag(words: Sequence[str]) -> str:
    verb, rest = words[0], list(words[1:])
    while rest and rest[0] in _MODIFIERS:
        rest.pop(0)
    kind = next((long for long in _LONG_OBJECTS if tuple(rest[: len(long)]) == long), tuple(rest[:1]))
    if kind == ("USER",):
        kind = ("ROLE",)
    if kind == ("PROCEDURAL",):
        kind = ("LANGUAGE",)
    as_query = verb == "CREATE" and kind == ("TABLE",) and "AS" in rest
    return " ".join((verb, *kind, *(("AS",) if as_query else ())))
