"""Statements that the release is known to send: they are parsed before and after the migrations, never run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from sqlparse import tokens as kinds

from pytest_dryrun.sql.lexer import tokens

# What can be prepared (manual: "PREPARE").
_PREPARED = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES", "WITH"})
# What reads the system's catalogs or hashes values is a tool's or our own.
_TOOLS = re.compile(r"\b(pg_\w+|information_schema|hash\w*extended)\b", re.IGNORECASE)


def chosen(texts: Iterable[str]) -> tuple[str, ...]:
    """Those that can be prepared and that an application sends, each once."""
    found = dict.fromkeys(text.strip().rstrip(";") for text in texts)
    return tuple(text for text in found if _verb(text) in _PREPARED and not _TOOLS.search(text))


def parse(
    connection: psycopg.Connection[Any], texts: Sequence[str], search_path: str
) -> dict[str, psycopg.Error | None]:
    """What the server says to each of them, None where it parses; names are looked up along this search path."""
    found: dict[str, psycopg.Error | None] = {}
    for text in texts:
        try:
            with connection.transaction(force_rollback=True):
                connection.execute("SELECT set_config('search_path', %s, true)", (search_path,))
                connection.execute(f"PREPARE dryrun_statement AS {text}".encode(), prepare=False)
                connection.execute("DEALLOCATE dryrun_statement")  # the one thing that a rollback leaves
        except psycopg.Error as error:
            found[text] = error
        else:
            found[text] = None
    return found


def without_values(text: str) -> str:
    """The statement with a question mark for every literal: values are nobody's business."""
    pieces: list[str] = []
    for _, kind, value in tokens(text):
        if kind in kinds.Comment:
            continue
        parameter = kind is kinds.Number and pieces[-1:] == ["$"]
        hidden = kind in kinds.Literal and kind is not kinds.String.Symbol and not parameter
        pieces.append("?" if hidden else value)
    return " ".join("".join(pieces).split())


def _verb(text: str) -> str:
    for _, kind, value in tokens(text):
        if kind in kinds.Whitespace or kind in kinds.Comment or value == "(":
            continue
        return value.upper()
    return ""
