"""What every judge of a rehearsal may look at: both catalogs, what became of the tables, and both databases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from pytest_dryrun.migrations import History
from pytest_dryrun.model.scripts import Location, Migration
from pytest_dryrun.model.values import TableComparison
from pytest_dryrun.postgres.catalog import Catalog
from pytest_dryrun.postgres.catalog.difference import CatalogChange
from pytest_dryrun.sql.names import bare, parts
from pytest_dryrun.sql.places import Write, find, writes


@dataclass(frozen=True, slots=True)
class Scene:
    """One rehearsal as judges see it.

    `template` is connected to the untouched copy, `copy` to the migrated one. `changes` lead from one catalog to the
    other, followed by oid; `tables` compares their rows. `history` are the migration tool's own tables: what it writes
    there is no effect of a migration.
    """

    before: Catalog
    after: Catalog
    changes: Sequence[CatalogChange]
    tables: Sequence[TableComparison]
    migrations: Sequence[Migration]
    template: psycopg.Connection[Any]
    copy: psycopg.Connection[Any]
    history: History = frozenset()

    def is_history(self, table: str) -> bool:
        """Whether this quoted name is that of the migration tool's own table."""
        return is_history(table, self.history)

    def find(self, names: Sequence[str], verbs: Sequence[str]) -> Location:
        """The statement that names all of `names` with one of `verbs`, else the most plausible one."""
        return find(self.migrations, names, verbs)

    def find_first(self, names: Sequence[str], *verbs: Sequence[str]) -> Location:
        """The statement that names all of `names` with one of the first verbs, else of the next ones."""
        places = [self.find(names, some) for some in verbs]
        return next((place for place in places if place.line is not None), places[-1])

    def writes(self) -> tuple[Write, ...]:
        """Every UPDATE, DELETE and TRUNCATE that the pending files hold."""
        return writes(self.migrations)


def is_history(table: str, history: History) -> bool:
    """Whether this quoted, qualified name is one of a tool's own tables, or of something in it."""
    return tuple(bare(part) for part in parts(table)[:2]) in history
