"""Files of relations: a new one proves a rewrite, a build or an emptying that no event reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from pytest_dryrun.rehearsal.observe.looking import Inside, new_files, sum_of_files
from pytest_dryrun.rehearsal.observe.windows import Changed, Relation

_INDEX = "i"


class Files:
    """The files that the relations of the copy have, followed from statement to statement.

    `total` is the sum of all file numbers: while it stays, nothing got a new one.
    """

    def __init__(self, files: Mapping[int, int], total: int = 0) -> None:
        self._first = dict(files)
        self._now = dict(files)
        self._ever = {oid: {file} for oid, file in files.items()}
        self._total = total

    def changes(
        self, session: psycopg.Connection[Any] | None, look: Inside | None, relations: Mapping[int, Relation]
    ) -> Changed:
        """What got a new file since the last call; `look` is what the session itself said in its open transaction.

        A file that comes back with a rolled-back transaction is not new. Raises LookFailed.
        """
        if session is None:
            return Changed()
        total = look.files if look else sum_of_files(session)
        if total == self._total:
            return Changed()
        self._total = total
        found = new_files(session, self._now)
        new = {oid: empty for oid, (file, empty) in found.items() if file not in self._ever[oid]}
        for oid, (file, _) in found.items():
            self._now[oid] = file
            self._ever[oid].add(file)
        return _sorted_out(new, relations)

    def since_the_beginning(self, session: psycopg.Connection[Any], relations: Mapping[int, Relation]) -> Changed:
        """What has another file than at first."""
        return _sorted_out({oid: empty for oid, (_, empty) in new_files(session, self._first).items()}, relations)


def _sorted_out(new: Mapping[int, bool], relations: Mapping[int, Relation]) -> Changed:
    """Tell tables from indexes; the indexes of a table with a new file follow it."""
    tables = {oid: empty for oid, empty in new.items() if relations[oid].kind in ("r", "m")}
    moved = {relations[oid].name for oid in tables}
    return Changed(
        rewritten=tuple(oid for oid, empty in tables.items() if not empty),
        emptied=tuple(oid for oid, empty in tables.items() if empty),
        rebuilt=tuple(
            oid
            for oid in new
            if relations[oid].kind == _INDEX
            and relations[oid].table not in moved
            and not relations[oid].table.startswith("pg_toast.")
        ),
    )
