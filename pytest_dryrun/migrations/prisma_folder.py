"""Reads a Prisma migrations folder: which migrations there are, in which order, for which database."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from pytest_dryrun.migrations.scripts import checked_name, migration, readable_folder
from pytest_dryrun.model.errors import ConfigurationError
from pytest_dryrun.model.scripts import Migration

LOCK_FILE = "migration_lock.toml"
# Where ICU's root collation puts ASCII punctuation: before digits, these in this order (Unicode's DUCET, CLDR root).
_PUNCTUATION = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$"
_PROVIDER = re.compile(r"^provider\s*=\s*[\"']?([^\"'\s#]*)")


def read_folder(directory: Path) -> tuple[Migration, ...]:
    """Read every migration, in the byte order of the names.

    As the CLI does it, only directories directly below count (no files, no links), and each must hold `migration.sql`.
    Raises ConfigurationError for what Prisma or Postgres could not run, and for a folder of Prisma 8.
    """
    found: list[Migration] = []
    for entry in readable_folder(directory):
        if not entry.is_dir(follow_symlinks=False):
            continue
        folder = Path(entry.path)
        name = checked_name(entry.name, str(directory), limit_bytes=200)
        if (folder / "ops.json").exists():
            raise _prisma_8(folder / "ops.json")
        script = folder / "migration.sql"
        if not script.is_file():
            raise ConfigurationError(
                f"{folder} holds no migration.sql (Prisma would stop with P3015).",
                "The migration it stands for cannot be applied. Nothing was touched.",
                "Restore the file, or remove the folder if it is not a migration.",
            )
        found.append(migration(name, script))
    check_provider(directory / LOCK_FILE)
    return tuple(found)


def check_provider(lock_file: Path) -> None:
    """Refuse a folder made for another database, as Prisma does with P3019; a missing lock file is no error."""
    if not lock_file.is_file():
        return
    for line in lock_file.read_text("utf-8", "replace").splitlines():
        if not line.startswith("provider"):
            continue
        match = _PROVIDER.match(line)
        provider = match[1] if match else ""
        if provider not in {"postgresql", "postgres"}:
            raise ConfigurationError(
                f"{lock_file} says provider {provider!r}; these migrations were made for another database.",
                "Prisma would refuse them on Postgres with P3019. Nothing was touched.",
                "Point `directory` at the Postgres migrations.",
            )
        return


def ambiguous_names(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pairs of neighbours in byte order that a locale sorts the other way round; empty where all machines agree.

    Prisma sorted by bytes through 6.5 and by JavaScript's `localeCompare`, which asks the machine's locale, from 6.6.0.
    """
    by_bytes = sorted(names, key=lambda name: name.encode())
    if by_bytes == sorted(names, key=collation_key):
        return ()
    return tuple(pair for pair in pairwise(by_bytes) if collation_key(pair[0]) > collation_key(pair[1]))


def collation_key(name: str) -> tuple[object, ...]:
    """Approximate ICU's root collation: punctuation, digits, letters; then accents; then lower before upper case.

    Verified against Node for ASCII names. Languages sort accented letters differently among themselves; where that
    matters the byte order, which puts them last, differs from this one.
    """
    decomposed = unicodedata.normalize("NFD", name)
    base = [char for char in decomposed if not unicodedata.combining(char)]
    accents = "".join(char for char in decomposed if unicodedata.combining(char))
    primary = tuple(_primary(char) for char in base)
    return (primary, accents, tuple(char.isupper() for char in base), name)


def _primary(char: str) -> tuple[int, int, str]:
    if char.isspace():
        return (0, 0, char)
    if char in _PUNCTUATION:
        return (1, _PUNCTUATION.index(char), "")
    if char.isdigit():
        return (2, 0, char)
    return (3, 0, char.casefold())


def _prisma_8(path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{path} belongs to Prisma 8, whose migrations are graphs of operations, not SQL files.",
        "Reading it as a classic folder would report nothing pending. Nothing was touched.",
        "Use a project on Prisma 7 or earlier; Prisma 8 is not supported yet.",
    )
