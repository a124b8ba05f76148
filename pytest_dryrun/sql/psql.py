"""What only psql understands in a script: its own commands, and rows behind COPY. The server refuses both."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.sql.lexer import tokens

_COPY = re.compile(r"\s*COPY\b.*\bFROM\s+STDIN\b", re.IGNORECASE | re.DOTALL)
_COMMAND = re.compile(r"\\(?:[A-Za-z_]+\+?|\S)")


def for_psql_alone(migration: Migration) -> tuple[int, str] | None:
    r"""The first line that only psql understands, with what it is as a sentence; None where there is none.

    Outside strings, quoted names and comments a backslash has no place in SQL, so it begins a command such as `\set`.
    """
    return min((*_copies(migration), *_commands(migration.sql)), default=None)


def _copies(migration: Migration) -> Iterator[tuple[int, str]]:
    for statement in migration.statements:
        if statement.tag == "COPY" and _COPY.match(statement.sql):
            said = "COPY ... FROM stdin reads the lines behind it. Only psql sends them; the server gets no rows"
            yield statement.line, said
            return


def _commands(sql: str) -> Iterator[tuple[int, str]]:
    if "\\" not in sql:
        return
    for offset, _, value in tokens(sql):
        if value == "\\" and (found := _COMMAND.match(sql, offset)):
            yield sql.count("\n", 0, offset) + 1, f"{found[0]} is a command of psql; the server does not know it"
            return
