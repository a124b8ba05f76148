"""A target's `.env`: read as the application's own loader reads it, never executed, never filled from ours."""

from __future__ import annotations

import io
import logging
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pytest_dryrun.model.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_BYTES = 256 * 1024
_MEANS = "Without credentials nothing can be reached, so nothing was touched."


# What people call secrets: words that may be glued to others (PGPASSWORD), and such that stand alone (a compass is no
# pass, a monkey no key).
_GLUED = re.compile(r"secret|token|passw(?:or)?d|passphrase|credential|apikey|pwd")
_ALONE = re.compile(r"(?:api|app|db|user|my)?(?:pass|key|jwt|sk|salt|private|dsn|auth|webhook)s?")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# A login in a URL, up to the next @ and, where the password holds what ought to have been encoded, up to the last.
_LOGINS = (re.compile(r"://[^/\s@:]*:([^/\s@]+)@"), re.compile(r"://[^/\s@:]*:(?!\d+/)(\S+)@"))
_SETTING = re.compile(r"true|false|yes|no|none|null|on|off|\d{1,6}", re.IGNORECASE)
_LONG_ENOUGH = 12


def variable(data: bytes, name: str, *, place: str) -> str:
    """The value of one variable: quotes, `export`, comments and CRLF understood, `${...}` left as it stands.

    `place` names the file for people. Raises ConfigurationError where the file is no `.env` or lacks the variable; no
    message shows any value.
    """
    values = _values(data, place)
    if value := values.get(name):
        return value
    known = ", ".join(sorted(key for key, given in values.items() if key.isidentifier() and given)) or "none"
    raise ConfigurationError(
        f"{place} {'gives' if name in values else 'has'} no {'value for ' if name in values else ''}{name}.",
        _MEANS,
        f"Name the variable in [database] variable; the file's variables are: {known}.",
    )


def secrets(data: bytes, *, place: str) -> tuple[str, ...]:
    """The other values of the file that look like secrets by the name of their variable, and passwords in its URLs."""
    found = []
    for name, value in _values(data, place).items():
        if value and not _SETTING.fullmatch(value) and _looks_secret(name, value):
            found.append(value)
        logins = [match[1] for each in _LOGINS for match in each.finditer(value or "")]
        found += [spelled for login in logins for spelled in (login, unquote(login))]
    return tuple(dict.fromkeys(found))


def _looks_secret(name: str, value: str) -> bool:
    """A name that ends with a word for secrets tells it, one that holds such a word where the value is no word."""
    words = [word.lower() for word in _WORD.findall(name)]
    if words[-2:] in (["webhook", "url"], ["webhook", "uri"]):
        return True
    secret = [bool(_GLUED.search(word) or _ALONE.fullmatch(word)) for word in words]
    return secret[-1:] == [True] or (any(secret) and len(value) >= _LONG_ENOUGH and not value.isalpha())


def _values(data: bytes, place: str) -> dict[str, str | None]:
    from dotenv import dotenv_values

    if len(data) > LARGEST_BYTES:
        raise ConfigurationError(
            f"{place} has more than {LARGEST_BYTES // 1024} kB: that is no file of settings.",
            _MEANS,
            "Name the application's own file in [database] env_file.",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _no_text(place, f"byte {error.start + 1} is not UTF-8") from error
    if "\x00" in text:
        raise _no_text(place, f"byte {text.index(chr(0)) + 1} is NUL")
    with _quiet():
        return dict(dotenv_values(stream=io.StringIO(text.replace("\r\n", "\n")), interpolate=False))


def _no_text(place: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{place} is no text file: {why}.", _MEANS, "Name the application's own file in [database] env_file."
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Lines that the parser does not understand are its business with a logger; what is missing is ours to tell."""
    logger = logging.getLogger("dotenv.main")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
