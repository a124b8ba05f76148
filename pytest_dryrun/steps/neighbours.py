"""The databases of a run that stand beside the target on its server: their names, and what killed runs left of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import psycopg

from pytest_dryrun.postgres import databases
from pytest_dryrun.postgres.connection import Conninfo, connect

# What a restored database is called before it takes the target's place, and a migrated one after that.
BESIDE, ASIDE = "dryrun_restored", "dryrun_migrated"
# NAMEDATALEN - 1 (PostgreSQL's pg_config_manual.h).
_LONGEST_BYTES = 63


def named(name: str, what: str, run_id: str) -> str:
    """The name of a database of one run beside the one called `name`; of at most 63 bytes."""
    return _with_suffix(name, f"_{what}_{run_id}".lower().replace("-", "_"))


def _with_suffix(name: str, suffix: str) -> str:
    """The name, cut where both would be too long, and told apart then from others that begin alike."""
    room = _LONGEST_BYTES - len(suffix)
    if len(name.encode()) <= room:
        return name + suffix
    digest = f"_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return name.encode()[: room - len(digest)].decode(errors="ignore") + digest + suffix


def left(conninfo: Conninfo) -> tuple[str, ...]:
    """The databases that killed runs left beside one; whoever calls this holds it, so that none of them lives."""
    pattern = re.compile(r"_dryrun_(?:restored|migrated|template|rehearsal|good)_\d{8}t\d{6}z_[0-9a-f]{4}")
    with connect(conninfo) as connection:
        rows = connection.execute(
            "SELECT datname FROM pg_database WHERE pg_has_role(datdba, 'USAGE') ORDER BY datname"
        ).fetchall()
    named_here = []
    for name in (str(row[0]) for row in rows):
        found = pattern.search(name)
        if found and name == _with_suffix(conninfo.dbname, found[0]):
            named_here.append(name)
    return tuple(named_here)


def clear(conninfo: Conninfo, names: Sequence[str]) -> tuple[str, ...]:
    """Drop what killed runs left, and tell of it."""
    told = []
    for name in names:
        try:
            databases.drop(conninfo, name)
        except psycopg.Error as error:
            why = " ".join(str(error).split())
            told.append(f"A killed run has left the database {name}, and it could not be dropped: {why}")
        else:
            told.append(f"A killed run had left the database {name}; it was dropped.")
    return tuple(told)
