"""A finding's message as prose and code: lines that are indented by four spaces are SQL, to be pasted as they stand."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

INDENT = "    "


def indented(statements: Iterable[str]) -> str:
    """Statements as lines of code."""
    return "\n".join(INDENT + line for statement in statements for line in statement.splitlines())


def blocks(message: str) -> tuple[tuple[bool, str], ...]:
    """The message in turns of prose and code, the code without its indent; True marks code."""
    found = []
    for code, group in groupby(message.splitlines(), key=lambda line: line.startswith(INDENT)):
        lines = list(group)
        found.append((code, "\n".join(line.removeprefix(INDENT) if code else line for line in lines)))
    return tuple(found)


def prose(message: str) -> str:
    """The message on one line, without its code and the lines that lead to it."""
    found = blocks(message)
    leads = [bool(following) and following[0][0] for following in (found[at + 1 :] for at in range(len(found)))]
    kept = [
        line
        for (code, text), lead in zip(found, leads, strict=True)
        if not code
        for line in (text.splitlines()[:-1] if lead else text.splitlines())
    ]
    return " ".join(" ".join(kept).split())
