"""Reads migration scripts from disk, refuses what Postgres could not run, and knows their checksums."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pytest_dryrun.model.errors import ConfigurationError
from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.sql.statements import cut, inline_waivers

_UNTOUCHED = "Nothing was read from the database and nothing was touched."


def migration(name: str, path: Path) -> Migration:
    """Read one script under the name its history knows it by. Raises ConfigurationError."""
    sql = read_script(path)
    waivers = inline_waivers(sql, migration=name, source=str(path))
    return Migration(name, str(path), sql, checksum(sql), cut(sql), waivers)


def read_script(path: Path) -> str:
    """Read a script as it will be sent: UTF-8 and newlines untouched.

    Refused: bytes that are not UTF-8 (Prisma since 6.6 would silently send U+FFFD instead), a byte order mark (Postgres
    answers 42601), a NUL (libpq would send only what stands before it), and a file with nothing in it.
    Comments alone are fine.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}.", _UNTOUCHED, "Restore the file, or make it readable."
        ) from error
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            f"{path} is not UTF-8: byte 0x{data[error.start]:02x} in line {line}.",
            f"What the database would receive is not what the file says. {_UNTOUCHED}",
            "Save the file as UTF-8.",
        ) from error
    if text.startswith("\ufeff"):
        raise ConfigurationError(
            f"{path} begins with a byte order mark (BOM).",
            f"Postgres would refuse the script with a syntax error (42601). {_UNTOUCHED}",
            "Save the file as UTF-8 without BOM.",
        )
    if "\0" in text:
        raise ConfigurationError(
            f"{path} contains a NUL byte in line {text.count(chr(10), 0, text.index(chr(0))) + 1}.",
            f"Whatever stands behind it would not be sent. {_UNTOUCHED}",
            "Remove the NUL byte.",
        )
    if not text.strip():
        raise ConfigurationError(
            f"{path} is empty.",
            f"A migration without a single statement or comment is a file somebody forgot to fill. {_UNTOUCHED}",
            "Write the migration, delete it, or say in a comment that it is empty on purpose.",
        )
    return text


def checksum(text: str) -> str:
    """Hash a script as Prisma does: SHA-256 of its UTF-8 text, lower-case hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def unchanged(stored: str, text: str) -> bool:
    """Tell whether a recorded checksum is this script's, in any of the spellings that Prisma accepts.

    Newlines may have been turned by git (LF and CRLF), and a value that is not 64 long was written by an engine that
    forgot to pad its bytes with zeros (prisma-engines issue 1887).
    """
    for spelling in (text, text.replace("\r\n", "\n"), text.replace("\n", "\r\n")):
        digest = hashlib.sha256(spelling.encode()).digest()
        if stored == (digest.hex() if len(stored) == 64 else "".join(f"{byte:x}" for byte in digest)):
            return True
    return False


def readable_folder(directory: Path) -> list[os.DirEntry[str]]:
    """List a migrations folder, names in byte order. Raises ConfigurationError where it is not a readable folder."""
    try:
        with os.scandir(directory) as entries:
            return sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise ConfigurationError(
            f"The migrations folder {directory} cannot be read: {error.strerror}.",
            f"Without it nobody can say what is pending. {_UNTOUCHED}",
            "Set `directory` in the target's `migrations` table to the folder that holds the migrations.",
        ) from error


def checked_name(name: str, path: str, *, limit_bytes: int) -> str:
    """Return the name, or refuse one that its history could not hold."""
    encoded = os.fsencode(name)
    if len(encoded) > limit_bytes:
        raise ConfigurationError(
            f"The migration name {name[:60]!r}... in {path} has {len(encoded)} bytes; {limit_bytes} are allowed.",
            f"The migration's history could not record it. {_UNTOUCHED}",
            "Give the migration a shorter name.",
        )
    try:
        encoded.decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"The migration name {encoded!r} is not UTF-8.",
            f"The migration's history could not record it. {_UNTOUCHED}",
            "Rename the migration.",
        ) from error
    return name
