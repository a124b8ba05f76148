"""Secrets never reach a file or the terminal: every spelling of a known one is replaced."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "[redacted]"
SHORTEST = 4


class Redactor:
    """Knows the run's secrets and takes them out of text.

    A secret shorter than four characters is refused by `add`: hiding it would mangle every text and hide nothing.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._spellings: set[str] = set()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> bool:
        """Hide this secret from now on, as it is and as URLs, HTML, JSON and base64 spell it; False when too short."""
        if len(secret) < SHORTEST:
            return False
        self._spellings |= spellings(secret)
        return True

    def text(self, text: str) -> str:
        """The text without any known secret; longest spelling first, so that no tail is left over."""
        for spelling in sorted(self._spellings, key=len, reverse=True):
            text = text.replace(spelling, MASK)
        return text

    def json(self, value: Any) -> Any:
        """The same for every string, keys included, of a JSON-like value."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.json(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.json(item) for item in value]
        return value


def spellings(secret: str) -> set[str]:
    """How one secret may be written down by programs that quote, escape or encode it."""
    percent = quote(secret, safe="")
    quoted = {secret, percent, percent.replace("%", "%25"), quote(secret), quote_plus(secret)}
    quoted.add(_lower_escapes(percent))
    quoted |= {html.escape(secret), json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    quoted |= {repr(secret)[1:-1], secret.replace("'", "''"), secret.replace("'", r"\'"), secret.replace("\\", "\\\\")}
    encoded = base64.b64encode(secret.encode()).decode()
    quoted |= {encoded, encoded.rstrip("=")}
    return {item for item in quoted if len(item) >= SHORTEST}


def _lower_escapes(percent: str) -> str:
    """Percent-escapes in lower case (`%2f`), as some programs write them."""
    pieces = percent.split("%")
    return pieces[0] + "".join("%" + piece[:2].lower() + piece[2:] for piece in pieces[1:])
