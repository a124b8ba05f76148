r"""Reads a plain dump as psql will, line by line: where it would lead away from the database it is loaded into.

Psql follows `\connect`, whatever database it was started for, and ends with status 0: the one that was named stays
empty. Rows after `COPY ... FROM stdin`, strings, quoted names, dollar-quoted bodies and comments are data, whatever
they hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_END_OF_ROWS = b"\\."
_COPY = re.compile(rb"\s*COPY\b.*\bFROM\s+STDIN\b[^;]*;\s*$", re.IGNORECASE)
_TABLE = re.compile(rb"\s*CREATE\s+(?:UNLOGGED\s+|FOREIGN\s+)?TABLE\b", re.IGNORECASE)
# What opens something that may hold anything, or leads away; tried in turn at each place of a line.
_EVENT = re.compile(
    rb"(?P<line>--)|(?P<block>/\*)|(?P<escaped>\bE')|(?P<string>')|(?P<name>\")"
    rb"|(?P<dollar>(?<![\w$\x80-\xff])\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$)"
    rb"|(?P<away>\\c(?:onnect)?(?![A-Za-z])|\bCREATE\s+DATABASE\b)",
    re.IGNORECASE,
)
_ENDS = {
    "string": re.compile(rb"'"),
    "escaped": re.compile(rb"\\.|'", re.DOTALL),
    "name": re.compile(rb'"'),
    "block": re.compile(rb"/\*|\*/"),
}


@dataclass(frozen=True, slots=True)
class PlainDump:
    """What a plain dump holds: where it first leads away (line 0 is nowhere), and whether it has tables."""

    line: int = 0
    text: str = ""
    tables: bool = False


def read(lines: Iterable[bytes]) -> PlainDump:
    """Read a dump up to the first line that leads away, or to its end; memory is that of its longest line."""
    reader = _Reader()
    for number, line in enumerate(lines, start=1):
        if reader.leads_away(line):
            return PlainDump(number, line.decode("utf-8", "replace").strip()[:200], reader.tables)
    return PlainDump(tables=reader.tables)


class _Reader:
    """Where psql's scanner stands: in nothing, in rows, or in what opened and has not ended."""

    def __init__(self) -> None:
        self.tables = False
        self._rows = False
        self._inside = ""
        self._end = re.compile(rb"")
        self._depth = 0

    def leads_away(self, line: bytes) -> bool:
        """Take the next line; whether psql would leave the database at it."""
        if self._rows:
            self._rows = line.rstrip(b"\r\n") != _END_OF_ROWS
            return False
        if not self._inside:
            self._rows = _COPY.match(line) is not None
            self.tables = self.tables or self._rows or _TABLE.match(line) is not None
        place = 0
        while True:
            if self._inside:
                place = self._skip(line, place)
                if place < 0:
                    return False
            found = _EVENT.search(line, place)
            if found is None or found.lastgroup == "line":
                return False
            if found.lastgroup == "away":
                return True
            self._open(str(found.lastgroup), found[0])
            place = found.end()

    def _open(self, kind: str, text: bytes) -> None:
        self._inside, self._depth = kind, 1
        self._end = re.compile(re.escape(text)) if kind == "dollar" else _ENDS[kind]

    def _skip(self, line: bytes, place: int) -> int:
        """Where what is open ends on this line, -1 where it does not."""
        for edge in self._end.finditer(line, place):
            if edge[0].startswith(b"\\"):
                continue
            self._depth += 1 if edge[0] == b"/*" else -1
            if self._depth == 0:
                self._inside = ""
                return edge.end()
        return -1
