"""Two databases, one a copy of the other, and the catalog ledger closed over what a statement does to the copy."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.model.values import Finding
from pytest_dryrun.postgres import databases
from pytest_dryrun.postgres.catalog import Catalog, read_catalog
from pytest_dryrun.postgres.catalog.claims import Claims
from pytest_dryrun.postgres.catalog.cluster import Cluster, read_cluster
from pytest_dryrun.postgres.catalog.difference import difference
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.rehearsal.judge.balance import balance
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.sql.statements import cut

HISTORY = frozenset({("public", "_prisma_migrations")})


@dataclass(frozen=True)
class CatalogStage:
    """An untouched database and its copy; what is done to the copy is undone after each question."""

    template: psycopg.Connection[Any]
    copy: psycopg.Connection[Any]
    before: Catalog
    shared: Cluster

    def told(self, text: str, reported: tuple[Finding, ...] = ()) -> tuple[Finding, ...]:
        """What the ledger reports about a migration with this text."""
        with self.copy.transaction(force_rollback=True):
            self.copy.execute("SET LOCAL search_path = public, pg_catalog")
            self.copy.execute(text)  # type: ignore[call-overload]
            self.copy.execute("SET LOCAL search_path = pg_catalog")
            return self.closed(text, reported)

    def closed(self, text: str, reported: tuple[Finding, ...] = (), known: Claims | None = None) -> tuple[Finding, ...]:
        """Close the ledger over the copy as it is now."""
        after = read_catalog(self.copy)
        changes = difference(self.before, after, follow_oids=True)
        files = [Migration("20260101_change", "20260101_change/migration.sql", text, "", cut(text))]
        scene = Scene(self.before, after, changes, (), files, self.template, self.copy, HISTORY)
        return balance(scene, self.shared, read_cluster(self.copy, known), reported, known)


@contextmanager
def staged(postgres: Conninfo, schema: str) -> Iterator[CatalogStage]:
    """Make the two databases, the second by copying the first, and drop both afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with connect(postgres) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        with psycopg.connect(**postgres.database(name).parameters(), autocommit=True) as connection:
            connection.execute(schema)  # type: ignore[call-overload]
        copy = databases.copy(postgres, name, f"{name}_copy")
        with connect(postgres.database(name)) as template, connect(copy) as migrated:
            before, shared = read_catalog(template), read_cluster(migrated)
            yield CatalogStage(template, migrated, before, shared)
    finally:
        for each in (f"{name}_copy", name):
            databases.drop(postgres, each)
