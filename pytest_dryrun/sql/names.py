"""Names and literals as the server spells them, without asking it."""

from __future__ import annotations

import re

from psycopg import sql


def literal(text: str) -> str:
    """A text as a string constant that means the same under either setting of standard_conforming_strings."""
    quoted = text.replace("'", "''")
    return "E'" + quoted.replace("\\", "\\\\") + "'" if "\\" in quoted else f"'{quoted}'"


def parts(identity: str) -> tuple[str, ...]:
    """The parts of a qualified name as they are quoted: `public."a.b"` is (`public`, `"a.b"`)."""
    found: list[str] = []
    current, quoted = "", False
    for char in identity:
        if char == '"':
            quoted = not quoted
        if char == "." and not quoted:
            found, current = [*found, current], ""
        else:
            current += char
    return (*found, current)


def last(identity: str) -> str:
    """An object's own name, quoted where it must be."""
    return parts(identity)[-1]


def bare(part: str) -> str:
    """A name without its quotes."""
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def identifier(identity: str) -> sql.Identifier:
    """A qualified name as psycopg composes it."""
    return sql.Identifier(*(bare(part) for part in parts(identity)))


def quoted(name: str) -> str:
    """Quote an identifier as quote_ident would, short of knowing every reserved word."""
    return name if re.fullmatch(r"[a-z_][a-z0-9_$]*", name) else '"' + name.replace('"', '""') + '"'
