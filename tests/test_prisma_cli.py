"""Our applier beside the real Prisma CLI: what each writes, the other must accept."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
from needs import require

from pytest_dryrun.hosts.local import LocalHost
from pytest_dryrun.migrations.prisma import PrismaMigrations
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.steps import prisma_diff

pytestmark = pytest.mark.live
VERSION = "6.19.3"
CLI = "node_modules/prisma/build/index.js"
CONFIG = """import { defineConfig } from "prisma/config";
import { PrismaPg } from "@prisma/adapter-pg";
export default defineConfig({
  experimental: { adapter: true }, engine: "js", schema: "prisma/schema.prisma",
  adapter: async () => new PrismaPg({ connectionString: process.env.DATABASE_URL }),
});
"""
SCHEMA = 'datasource db {\n  provider = "postgresql"\n  url = env("DATABASE_URL")\n}\n'


@pytest.fixture(scope="session")
def installed() -> Path:
    """Install the CLI once, without its native engines, which no package registry holds."""
    require(shutil.which("npm") is not None, "npm is not installed")
    folder = Path.home() / ".cache" / "pytest-dryrun-tests" / f"prisma-{VERSION}"
    if not (folder / "node_modules" / "@prisma" / "adapter-pg").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        packages = [f"prisma@{VERSION}", "@prisma/adapter-pg@7.0.0"]
        npm = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *packages]
        ran = subprocess.run(npm, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
        require(ran.returncode == 0, f"npm could not install Prisma: {ran.stderr[-200:]}")
    return folder


@pytest.fixture
def project(installed: Path, tmp_path: Path) -> Path:
    """Make an application with two migrations."""
    (tmp_path / "node_modules").symlink_to(installed / "node_modules")
    (tmp_path / "prisma.config.ts").write_text(CONFIG)
    folder = tmp_path / "prisma" / "migrations"
    for name, script in {
        "20250101000000_a": "CREATE TABLE a (id int);\nINSERT INTO a VALUES (1);\n",
        "20250102000000_b": "ALTER TABLE a ADD b text;\n",
    }.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "migration.sql").write_text(script)
    (folder / "migration_lock.toml").write_text('provider = "postgresql"\n')
    (tmp_path / "prisma" / "schema.prisma").write_text(SCHEMA)
    return tmp_path


def environment(project: Path, database: Conninfo) -> dict[str, str]:
    """What the CLI is told: where the database is, and not to fetch anything."""
    engine = project / "engine"
    engine.touch(0o755)
    return {
        "DATABASE_URL": database.url(),
        "PRISMA_QUERY_ENGINE_LIBRARY": str(engine),
        "PRISMA_SCHEMA_ENGINE_BINARY": str(engine),
        "CHECKPOINT_DISABLE": "1",
        "PRISMA_HIDE_UPDATE_MESSAGE": "1",
    }


def cli(project: Path, database: Conninfo, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the project's own `prisma`."""
    env = os.environ | environment(project, database)
    argv = ["node", CLI, *arguments]
    return subprocess.run(argv, cwd=project, env=env, capture_output=True, text=True, check=False, timeout=120)


def written(database: Conninfo) -> tuple[list[Any], list[Any], list[Any]]:
    """Everything about the history but its ids and times: columns, key, rows."""
    with psycopg.connect(**database.parameters()) as connection:
        columns = connection.execute(
            "SELECT attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid)"
            " FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
            " WHERE attrelid = 'public._prisma_migrations'::regclass AND attnum > 0 ORDER BY attnum"
        ).fetchall()
        keys = connection.execute(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = 'public._prisma_migrations'::regclass"
        ).fetchall()
        rows = connection.execute(
            "SELECT migration_name, checksum, length(id), id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-4', finished_at > started_at,"
            " logs, rolled_back_at, applied_steps_count FROM public._prisma_migrations ORDER BY started_at"
        ).fetchall()
    return columns, keys, rows


def test_what_we_deploy_is_what_prisma_deploys(database: Conninfo, postgres: Conninfo, project: Path) -> None:
    """Table, key and rows are equal, and Prisma finds a database that we deployed up to date."""
    migrations = PrismaMigrations(project / "prisma" / "migrations", None, project)
    other = postgres.database(database.dbname + "_cli")
    with psycopg.connect(**postgres.parameters(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {other.dbname}")
    try:
        ran = cli(project, other, "migrate", "deploy")
        assert 0 == ran.returncode, ran.stdout + ran.stderr
        assert ("20250101000000_a", "20250102000000_b") == migrations.deploy(database, timeout_s=30).applied
        assert written(other) == written(database)
        status = cli(project, database, "migrate", "status")
        assert 0 == status.returncode, status.stdout + status.stderr
        assert "Database schema is up to date!" in status.stdout
        with connect(other) as connection:
            ours = migrations.status(connection)
        assert (2, (), ()) == (len(ours.applied), ours.pending, ours.findings)
        assert VERSION == ours.version
    finally:
        with psycopg.connect(**postgres.parameters(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {other.dbname} WITH (FORCE)")


def test_a_failure_stops_both(database: Conninfo, project: Path) -> None:
    """What we record as failed stops Prisma's deploy (P3009), and its `resolve` makes it pending for us again."""
    migrations = PrismaMigrations(project / "prisma" / "migrations", None, project)
    script = project / "prisma" / "migrations" / "20250102000000_b" / "migration.sql"
    script.write_text("SELECT 1/0;")
    with pytest.raises(Exception, match="division by zero"):
        migrations.deploy(database, timeout_s=30)
    assert "P3009" in cli(project, database, "migrate", "deploy").stderr
    ran = cli(project, database, "migrate", "resolve", "--rolled-back", "20250102000000_b")
    assert 0 == ran.returncode, ran.stdout + ran.stderr
    script.write_text("SELECT 1;")
    assert ("20250102000000_b",) == migrations.deploy(database, timeout_s=30).applied


def test_the_remedies_of_a_queue(database: Conninfo, project: Path) -> None:
    """The URL's options end the wait; Prisma then refuses to go on (P3009), until `resolve` and one more deploy."""
    assert 0 == cli(project, database, "migrate", "deploy").returncode
    name = "20250103000000_c"
    script = project / "prisma" / "migrations" / name / "migration.sql"
    script.parent.mkdir()
    script.write_text("ALTER TABLE a ADD c text;")
    patient = Conninfo(
        database.host, database.port, database.user, database.dbname, database.password,
        (*database.options, ("options", "-c lock_timeout=300ms")),
    )  # fmt: skip
    assert "options=-c%20lock_timeout%3D300ms" in patient.url()
    with psycopg.connect(**database.parameters()) as reader:
        reader.execute("SELECT FROM a")
        ran = cli(project, patient, "migrate", "deploy")
        assert "canceling statement due to lock timeout" in ran.stdout + ran.stderr
    assert "P3009" in cli(project, patient, "migrate", "deploy").stderr
    ran = cli(project, patient, "migrate", "resolve", "--rolled-back", name)
    assert 0 == ran.returncode, ran.stdout + ran.stderr
    ran = cli(project, patient, "migrate", "deploy")
    assert 0 == ran.returncode, ran.stdout + ran.stderr


def test_a_difference_that_the_cli_does_not_give_is_told_in_its_words(database: Conninfo, project: Path) -> None:
    """Prisma 6 compares no live database where its configuration holds an adapter."""
    found = prisma_diff.ask(
        f"node {CLI} migrate deploy",
        VERSION,
        "prisma/migrations",
        host=LocalHost(),
        cwd=str(project),
        environment=environment(project, database),
        timeout_s=60,
    )
    words = "Passing the --from-schema-datasource flag to the prisma migrate diff command is not supported"
    assert found.unavailable.startswith(words)
    assert "" == found.script
