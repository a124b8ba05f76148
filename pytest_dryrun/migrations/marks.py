"""Marks of other tools in a folder of SQL files: each file of theirs holds a way down, or is one.

Run as plain SQL the way down would follow the way up, and both together look as if nothing had happened.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pytest_dryrun.model.errors import ConfigurationError

# Source: the tools' own documentation and parsers; a mark stands at the start of a line, whatever surrounds it.
_IN_TEXT = (
    (re.compile(r"^[ \t]*--[ \t]*migrate:(?:up|down)\b.*", re.IGNORECASE | re.MULTILINE), "dbmate"),
    (re.compile(r"^[ \t]*--.*\+goose\b.*", re.IGNORECASE | re.MULTILINE), "goose"),
    (re.compile(r"^[ \t]*--[ \t]*\+migrate\s+(?:up|down)\b.*", re.IGNORECASE | re.MULTILINE), "sql-migrate"),
    (re.compile(r"^[ \t]*--[ \t]*(?:up|down) migration[ \t\r]*$", re.IGNORECASE | re.MULTILINE), "node-pg-migrate"),
    (re.compile(r"^[ \t]*--[ \t]*liquibase formatted sql\b.*", re.IGNORECASE | re.MULTILINE), "Liquibase"),
    (re.compile(r"^[ \t]*--[ \t]*//\s*@undo\b.*", re.IGNORECASE | re.MULTILINE), "MyBatis Migrations"),
)
_IN_NAME = (
    (re.compile(r"\.(?:up|down)\.sql$", re.IGNORECASE), "golang-migrate"),
    (re.compile(r"^(?:[VUB]\d[\d._]*|R)__.*\.sql$"), "Flyway"),
)
# A way down beside its way up, as several tools name the two: 003_stock.sql and 003_stock_down.sql.
_DOWN = re.compile(r"^(?P<base>.+)[._-](?:down|undo|revert|rollback)\.sql$", re.IGNORECASE)
_UP = ("", ".up", "_up", "-up", ".do", "_do", "-do", ".deploy", "_deploy", "-deploy")


@dataclass(frozen=True, slots=True)
class Mark:
    """What proves another tool: the text of a mark with its line, or, in line 0, the file's name."""

    text: str
    line: int
    tool: str


class ForeignFolder(ConfigurationError):
    """The folder is another tool's."""


def foreign(name: str, sql: str) -> Mark | None:
    """The first mark of another tool in a file or in its name; None where it is plain SQL."""
    for pattern, tool in _IN_NAME:
        if pattern.search(name):
            return Mark(name, 0, tool)
    found = [
        (match.start(), Mark(match[0].strip(), sql.count("\n", 0, match.end()) + 1, tool))
        for pattern, tool in _IN_TEXT
        if (match := pattern.search(sql))
    ]
    return min(found, key=lambda item: item[0])[1] if found else None


def undone(names: Iterable[str]) -> tuple[str, str] | None:
    """The first file that undoes another one of the folder, by their names, and the other one."""
    known = {name.lower(): name for name in names}
    for name in known.values():
        if down := _DOWN.match(name):
            for suffix in _UP:
                if up := known.get(f"{down['base']}{suffix}.sql".lower()):
                    return name, up
    return None


def refuse(directory: str, files: Mapping[str, str]) -> None:
    """Raise ForeignFolder for a folder of files (name to text) that are another tool's, or undo each other."""
    for name, sql in files.items():
        if mark := foreign(name, sql):
            where = f"the mark `{mark.text}` in line {mark.line}" if mark.line else "its name"
            raise _refusal(f"{directory}/{name} belongs to {mark.tool}, as {where} says, and {mark.tool}")
    if pair := undone(files):
        raise _refusal(f"{directory}/{pair[0]} undoes {pair[1]}, by their names, and a tool that has ways down")


def _refusal(what: str) -> ForeignFolder:
    return ForeignFolder(
        f"{what} is not known yet.",
        'tool = "sql" would run the way down right behind the way up. Nothing was run and nothing was touched.',
        "Name a folder in [migrations] directory whose files only lead forward, without such marks and names.",
    )
