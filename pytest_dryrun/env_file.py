"""A target's `.env`: read as the application's own loader reads it, never executed, never filled from ours."""

from __future__ import annotations

import io
import logging
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pytest_dryrun.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_BYTES = 256 * 1024
_MEANS = "Without credentials nothing can be reached, so nothing was touched."


# What people call secrets, as words of a variable's name; and URLs that hold a login, whose password may hold what
# ought to have been encoded.
_WORDS = "secret token pass(?:word|wd|phrase)? pwd key jwt sk salt credential private dsn auth webhook(?:_?ur[li])?"
_MAY_BE_SECRET = rf"(?<![a-z])(?:api|app|db|user|my)?(?:{'|'.join(_WORDS.split())})s?(?:_?\d+)?"
_IN_NAME = re.compile(rf"{_MAY_BE_SECRET}(?![a-z])", re.IGNORECASE)
_ENDS_NAME = re.compile(rf"{_MAY_BE_SECRET}$", re.IGNORECASE)
_LOGIN = re.compile(r"://[^/\s@:]*:(?!\d+/)(\S+)@")
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
        if value and not _SETTING.fullmatch(value):
            unlikely_a_word = len(value) >= _LONG_ENOUGH and not value.isalpha()
            if _ENDS_NAME.search(name) or (_IN_NAME.search(name) and unlikely_a_word):
                found.append(value)
        if value and (login := _LOGIN.search(value)):
            found += [login[1], unquote(login[1])]
    return tuple(found)


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
