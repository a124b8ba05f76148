"""Prisma's history on a real server: every state told apart, with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from pytest_dryrun.migrations import Status
from pytest_dryrun.migrations.prisma import PrismaMigrations
from pytest_dryrun.migrations.prisma_bookkeeping import create_table
from pytest_dryrun.migrations.scripts import checksum
from pytest_dryrun.model.errors import ConfigurationError, TargetUnusable
from pytest_dryrun.model.values import Severity
from pytest_dryrun.postgres.connection import Conninfo, connect

pytestmark = pytest.mark.live
SCRIPT = "SELECT 1;\n"
NOW, LATER = "2026-01-01 00:00:00+00", "2026-01-01 00:00:01+00"


class Target:
    """A database with Prisma's table, and a folder."""

    def __init__(self, conninfo: Conninfo, folder: Path, connection: psycopg.Connection[Any]) -> None:
        self.conninfo = conninfo
        self.folder = folder
        self.connection = connection
        self.migrations = PrismaMigrations(folder, "6.19.3", folder)

    def file(self, *names: str) -> None:
        """Write migrations."""
        for name in names:
            (self.folder / name).mkdir()
            (self.folder / name / "migration.sql").write_text(SCRIPT)

    def row(self, name: str, **columns: Any) -> None:
        """Record a migration, applied unless the columns say otherwise."""
        values = {
            "id": name + str(len(columns)),
            "migration_name": name,
            "checksum": checksum(SCRIPT),
            "started_at": NOW,
        }
        values |= {"finished_at": LATER, "applied_steps_count": 1} | columns
        self.connection.execute(
            sql.SQL("INSERT INTO public._prisma_migrations ({}) VALUES ({})").format(
                sql.SQL(", ").join(map(sql.Identifier, values)), sql.SQL(", ").join(map(sql.Literal, values.values()))
            )
        )

    def status(self) -> Status:
        """Ask as a dry run asks: in a read-only transaction with pinned settings."""
        with connect(self.conninfo, autocommit=False) as connection:
            connection.read_only = True
            return self.migrations.status(connection)

    def told(self) -> list[tuple[str, str, str | None]]:
        """Every finding but the one about the lock file: rule, severity, migration."""
        found = self.status().findings
        return [(each.rule, str(each.severity), each.migration) for each in found if each.rule != "migration-lock"]


@pytest.fixture
def target(database: Conninfo, tmp_path: Path) -> Iterator[Target]:
    """Open a database whose history is still empty."""
    with psycopg.connect(**database.parameters(), autocommit=True) as connection:
        connection.execute(create_table("public"))
        yield Target(database, tmp_path, connection)


def test_applied_and_pending(target: Target) -> None:
    """What has a finished row is applied, in the order it began; the rest is pending; nothing is found."""
    target.file("1_a", "2_b", "3_c")
    target.row("2_b", started_at=LATER)
    target.row("1_a")
    status = target.status()
    assert ("prisma", "6.19.3", "whole-file") == (status.tool, status.version, status.mode)
    assert (("1_a", "2_b"), "2_b", ["3_c"]) == (status.applied, status.current, [each.name for each in status.pending])
    assert [] == target.told()


def test_no_table_in_an_empty_database(target: Target) -> None:
    """Everything is pending, and that is fine."""
    target.connection.execute("DROP TABLE public._prisma_migrations")
    target.file("1_a")
    status = target.status()
    assert ((), ["1_a"], None) == (status.applied, [each.name for each in status.pending], status.current)
    assert [] == target.told()


def test_no_table_in_a_database_that_is_not_empty(target: Target) -> None:
    """Unmanaged: deploy refuses as Prisma does."""
    target.connection.execute("DROP TABLE public._prisma_migrations; CREATE TABLE public.users (id int)")
    target.file("1_a")
    assert [("drift", "blocker", None)] == target.told()
    message = target.status().findings[0].message
    assert "not managed by Prisma Migrate: schema public holds 1 tables (users)" in message
    assert "P3005" in message
    with pytest.raises(TargetUnusable, match="P3005"):
        target.migrations.deploy(target.conninfo, timeout_s=5)


def test_a_table_in_another_schema(target: Target) -> None:
    """The history may be where the URL's `schema` points."""
    target.connection.execute("CREATE SCHEMA app; ALTER TABLE public._prisma_migrations SET SCHEMA app")
    target.file("1_a")
    assert [("drift", "blocker", None)] == target.told()
    assert "but app has one" in target.status().findings[0].message


def test_failed(target: Target) -> None:
    """Neither finished nor rolled back: not applied, not pending, and its log is shown."""
    target.file("1_a", "2_b")
    target.row("1_a", finished_at=None, applied_steps_count=0, logs="ERROR:\n  no such column")
    status = target.status()
    assert ((), ["2_b"]) == (status.applied, [each.name for each in status.pending])
    assert [("failed-migration", "blocker", "1_a")] == target.told()
    assert "P3009. Its log says: ERROR: no such column See what it left behind" in status.findings[0].message
    with pytest.raises(TargetUnusable, match="P3009"):
        target.migrations.deploy(target.conninfo, timeout_s=5)


def test_perhaps_still_running(target: Target) -> None:
    """An open row while somebody holds Prisma's lock may be a run in progress."""
    target.file("1_a")
    target.row("1_a", finished_at=None, applied_steps_count=0)
    target.connection.execute("SET application_name = 'npx'; SELECT pg_advisory_lock(72707369)")
    message = target.status().findings[0].message
    assert f"may still be running: Backend {target.connection.info.backend_pid} (npx, user" in message


def test_rolled_back_and_retried(target: Target) -> None:
    """A rolled-back migration is pending again; one that was retried with a fixed file is simply applied."""
    target.file("1_a", "2_b")
    target.row("1_a", checksum="0" * 64, finished_at=None, rolled_back_at=NOW, applied_steps_count=0)
    target.row("1_a", started_at=LATER)
    target.row("2_b", checksum="0" * 64, finished_at=None, rolled_back_at=LATER, applied_steps_count=0)
    status = target.status()
    assert (("1_a",), ["2_b"]) == (status.applied, [each.name for each in status.pending])
    assert [("drift", "info", "1_a"), ("drift", "info", "2_b")] == target.told()
    assert "is pending and deploy applies it again" in status.findings[1].message


def test_edited_missing_and_out_of_order(target: Target) -> None:
    """Three states that Prisma does not show, each with its own rule."""
    target.file("1_a", "2_b", "3_c")
    target.row("2_b", checksum="0" * 64)
    target.row("0_gone", started_at=LATER)
    target.row("3_c", started_at=LATER)
    expected = [
        ("missing-migration", "blocker", "0_gone"),
        ("edited-migration", "blocker", "2_b"),
        ("drift", "blocker", "1_a"),
    ]
    assert expected == target.told()
    assert "it sorts before 3_c, which is already applied" in target.status().findings[2].message


def test_stamped_by_hand(target: Target) -> None:
    """What `migrate resolve --applied` wrote is a warning: nobody ran it."""
    target.file("1_a")
    target.row("1_a", finished_at=NOW, applied_steps_count=0, logs="")
    assert [("drift", "warning", "1_a")] == target.told()
    assert "stamped as applied by hand" in target.status().findings[0].message


def test_an_ambiguous_order(target: Target) -> None:
    """It blocks and deploy refuses while it touches a pending migration, and is a warning afterwards."""
    target.file("1_init", "10_x")
    assert [("drift", "blocker", None)] == target.told()
    with pytest.raises(TargetUnusable, match="whether 10_x or 1_init comes first"):
        target.migrations.deploy(target.conninfo, timeout_s=5)
    target.row("1_init")
    target.row("10_x")
    assert [("drift", "warning", None)] == target.told()


@pytest.mark.parametrize("grant", ["", "GRANT SELECT (id) ON public._prisma_migrations TO reader"])
def test_permission_denied_is_not_absence(target: Target, grant: str) -> None:
    """A missing grant must not look like a new database."""
    target.file("1_a")
    target.connection.execute("DROP ROLE IF EXISTS reader; CREATE ROLE reader; " + grant)
    try:
        with connect(target.conninfo) as connection:
            connection.execute("SET ROLE reader")
            with pytest.raises(TargetUnusable, match=r"Permission denied .*\(42501\)"):
                target.migrations.status(connection)
    finally:
        target.connection.execute("DROP OWNED BY reader; DROP ROLE reader")


def test_another_programs_table_is_refused(target: Target) -> None:
    """A table of that name with other columns, and a view, are no history."""
    target.file("1_a")
    target.connection.execute("ALTER TABLE public._prisma_migrations DROP COLUMN checksum")
    with pytest.raises(TargetUnusable, match='column "checksum" does not exist'):
        target.status()
    target.connection.execute("DROP TABLE public._prisma_migrations; CREATE VIEW public._prisma_migrations AS SELECT 1")
    with pytest.raises(TargetUnusable, match="is not an ordinary table"):
        target.status()


def test_prisma_8_is_refused(target: Target) -> None:
    """Its schema, and its version."""
    target.file("1_a")
    with pytest.raises(ConfigurationError, match=r"Prisma 8\.1\.0"):
        PrismaMigrations(target.folder, "8.1.0", target.folder).status(target.connection)
    target.connection.execute("CREATE SCHEMA prisma_contract")
    with pytest.raises(TargetUnusable, match="managed by Prisma 8"):
        target.status()


def test_a_missing_lock_file_is_recorded(target: Target) -> None:
    """Prisma does without it, so it is information."""
    target.file("1_a")
    assert [("migration-lock", Severity.INFO)] == [(each.rule, each.severity) for each in target.status().findings]
    (target.folder / "migration_lock.toml").write_text('provider = "postgresql"')
    assert () == target.status().findings
