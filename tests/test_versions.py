# ruff: noqa: E501  (a schema reads best with one object a line)
"""The oldest and the newest PostgreSQL that are supported, what lies between, and one that is too old.

The other live tests run on the one version that the machine has. Here whole runs and the proof of a backup are made
with programs of other versions, which `tests/stand/other-postgres.sh` fetches.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from needs import require
from projects import CONFIGURATION, INIT, SEED, criterion, outcome, report, run
from psycopg import sql
from test_catalog_restore import RICH

from pytest_dryrun.model.errors import DryRunError
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres import disposable
from pytest_dryrun.postgres.connection import connect
from pytest_dryrun.postgres.disposable import Disposable
from pytest_dryrun.postgres.disposable.settings import OLDEST_MAJOR
from pytest_dryrun.steps import proof
from pytest_dryrun.steps.loading import Loading
from pytest_dryrun.steps.target import TargetDatabase
from pytest_dryrun.workspace import Workspace

pytestmark = pytest.mark.live

TOO_OLD, SUPPORTED = 13, (14, 16, 17, 18)  # the other tests run on Debian's 15
PUBLIC_IS_OPEN, NEW_PUBLIC = 14, "DROP SCHEMA public CASCADE; CREATE SCHEMA public;"

# What a version can that the one before cannot: the catalog has to see it, and a restore has to bring it back.
NEW_IN = {
    15: """
CREATE TABLE one_null (a int UNIQUE NULLS NOT DISTINCT);
CREATE VIEW asked_as_caller WITH (security_invoker) AS SELECT a FROM one_null;
CREATE PUBLICATION some_columns FOR TABLE course (id, owner) WHERE (id > 5);
""",
    16: "CREATE TABLE stored (note text STORAGE EXTERNAL COMPRESSION pglz);",
    17: """
CREATE COLLATION code_points (provider = builtin, locale = 'C.UTF-8');
CREATE TABLE numbered (id int GENERATED ALWAYS AS IDENTITY, at date, note text COLLATE code_points) PARTITION BY RANGE (at);
""",
    18: """
CREATE TABLE stay (room int4range, during tstzrange, PRIMARY KEY (room, during WITHOUT OVERLAPS));
CREATE TABLE guest (room int4range, during tstzrange, FOREIGN KEY (room, PERIOD during) REFERENCES stay (room, PERIOD during));
CREATE TABLE made (a int NOT NULL, doubled int GENERATED ALWAYS AS (a * 2) VIRTUAL, CONSTRAINT small CHECK (a < 100) NOT ENFORCED);
ALTER TABLE made ADD COLUMN late int, ADD CONSTRAINT late_is_there NOT NULL late NOT VALID;
INSERT INTO made (a, late) VALUES (1, 1), (2, 2);
INSERT INTO stay VALUES ('[1,1]', '[2026-01-01,2026-02-01)'); INSERT INTO guest VALUES ('[1,1]', '[2026-01-05,2026-01-07)');
""",
}

PRISMA = CONFIGURATION.replace('tool = "sql"', 'tool = "prisma"\nprisma_version = "7.4.0"').replace(
    'directory = "migrations"', 'directory = "prisma/migrations"'
)
FIRST, SECOND = "20260101000000_init", "20260201000000_pending"
SAFE = """
SET lock_timeout = '2s';
ALTER TABLE customer ADD COLUMN country varchar(2) NOT NULL DEFAULT 'SE';
CREATE TABLE visit (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customer (id));
CREATE INDEX visit_customer ON visit (customer_id);
INSERT INTO visit (customer_id) SELECT id FROM customer WHERE id <= 20;
"""
HARMFUL = """
SET lock_timeout = '2s';
ALTER TABLE "order" ALTER COLUMN total TYPE double precision;
ALTER TABLE customer DROP COLUMN email;
"""

versions = pytest.mark.parametrize("major", SUPPORTED, ids="PostgreSQL {}".format)
edges = pytest.mark.parametrize("major", [SUPPORTED[0], SUPPORTED[-1]], ids="PostgreSQL {}".format)


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """Open a workspace for the servers of one test."""
    made = Workspace.create(f"tests-{uuid.uuid4().hex[:12]}")
    yield made
    made.close()


def programs(major: int) -> str:
    """Where the programs of a version are; skips by name where they are not."""
    folder = os.environ.get("DRYRUN_TEST_POSTGRES", "")
    found = Path(folder) / str(major) / "bin"
    reason = (
        f"PostgreSQL {major} is not there (tests/stand/other-postgres.sh fetches it, DRYRUN_TEST_POSTGRES names it)"
    )
    require(folder and (found / "postgres").is_file(), reason)
    return str(found)


def project(folder: Path, bindir: str, pending: str) -> Path:
    """A Prisma project with one pending migration, rehearsed with the programs in `bindir`."""
    text = PRISMA.replace('provider = "binaries"', f'provider = "binaries"\nbindir = "{bindir}"')
    text = text.replace("001_init.sql", FIRST)
    (folder / "seed.sql").write_text(SEED, encoding="utf-8")
    (folder / "dryrun.toml").write_text(text, encoding="utf-8")
    for name, content in ((FIRST, INIT), (SECOND, pending)):
        place = folder / "prisma" / "migrations" / name
        place.mkdir(parents=True)
        (place / "migration.sql").write_text(content, encoding="utf-8")
    (folder / "prisma" / "migrations" / "migration_lock.toml").write_text('provider = "postgresql"\n', encoding="utf-8")
    return folder


@versions
def test_a_safe_migration_is_go(tmp_path, major):
    """Backup, proof, rehearsal, Prisma's bookkeeping, comparison and the way back hold on this version."""
    done = run(project(tmp_path, programs(major), SAFE))
    assert done.returncode == 0, done.stdout + done.stderr
    document = report(tmp_path)
    assert ("GO", f"{major}.") == (document["decision"], document["versions"]["server"][:3])
    assert [] == document["not_verified"]
    assert [SECOND] == document["migrations"]["applied"]
    assert {"customer": (500, 500, "none"), "order": (2000, 2000, "none"), "visit": (None, 20, "created")} == {
        table["table"].removeprefix("public.").strip('"'): (table["rows_before"], table["rows_after"], table["change"])
        for table in document["tables"]
        if "_prisma" not in table["table"]
    }
    added = next(item for item in document["statements"] if "ADD COLUMN country" in item["sql"])
    assert [{"relation": "public.customer", "mode": "AccessExclusiveLock"}] == added["locks"]
    assert [] == added["rewrites"]


@edges
def test_a_destructive_migration_is_no_go(tmp_path, major):
    """The recorder sees the lock and the rewrite, the values that go are counted, and the target is not touched."""
    done = run(project(tmp_path, programs(major), HARMFUL))
    assert done.returncode == 1, done.stdout + done.stderr
    document = report(tmp_path)
    assert ("NO-GO", False) == (document["decision"], document["target_migrated"])
    state, reason = outcome(document, "no-destructive-operations")
    assert "failed" == state
    assert "email" in reason
    assert "500" in reason
    assert criterion(document, "no-data-loss")["met"] is False
    rewritten = next(item for item in document["statements"] if "double precision" in item["sql"])
    assert {"relation": 'public."order"', "mode": "AccessExclusiveLock"} in rewritten["locks"]
    assert ['public."order"'] == [text.split(":")[0] for text in rewritten["rewrites"]]


def filled(server: Disposable, *statements: str) -> TargetDatabase:
    """A database of a server that is there, with a schema."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(**server.conninfo.parameters(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    conninfo = server.conninfo.database(name)
    with psycopg.connect(**conninfo.parameters(), autocommit=True) as connection:
        for text in statements:
            connection.execute(text)
    return TargetDatabase(conninfo, server.host, server.tool, server.tool_conninfo.database(name))


def blocking(findings: tuple[Finding, ...]) -> list[str]:
    """What a check would be red for."""
    return [found.message for found in findings if found.severity is not Severity.INFO]


@versions
def test_a_restore_leaves_no_difference(workspace, tmp_path, major):
    """Nearly every kind of object, with what this version added, equals itself; a changed value and comment do not."""
    server = disposable.start("binaries", workspace=workspace, bindir=programs(major))
    try:
        # What pg_dump of 14 loses of a schema `public` that was made anew has a test of its own.
        rich = RICH if major > PUBLIC_IS_OPEN else RICH.replace(NEW_PUBLIC, "")
        database = filled(server, rich, *(text for since, text in NEW_IN.items() if since <= major))
        assert major == server.version_num // 10000

        taken = proof.take(database, proof.here(database, tmp_path, "rich.dump", 60), timeout_s=60)
        restored = proof.restore(server, taken, "restored", timeout_s=60)
        loading = Loading(server, "loaded", timeout_s=60)
        loading.begin(taken.shape, iter([taken.path.read_bytes()]))
        loaded = proof.loaded(taken, loading, timeout_s=60)
        loading.close()

        assert [] == blocking(restored.findings) == blocking(loaded.findings)
        assert {"public.course": 1, "public.log": 1, 'public."User"': 2}.items() <= {
            table.table: table.rows for table in restored.prints.tables
        }.items()
        with connect(restored.conninfo) as connection:
            connection.execute("""UPDATE public."User" SET email = 'e@f' WHERE id = 2""")
            connection.execute("COMMENT ON COLUMN public.course.owner IS 'somebody'")
        _, findings = proof.compare(taken, restored.conninfo, timeout_s=60)
        value, comment = blocking(findings)
        assert 'public."User": the values of email differ' in value
        assert "public.course.owner" in comment
    finally:
        server.stop()


def test_what_a_dump_of_14_loses_of_the_schema_public_is_named(workspace, tmp_path):
    """Up to 14 everybody may create in `public`; where it was made anew without that, a restore opens it again."""
    server = disposable.start("binaries", workspace=workspace, bindir=programs(PUBLIC_IS_OPEN))
    try:
        database = filled(server, NEW_PUBLIC)
        taken = proof.take(database, proof.here(database, tmp_path, "public.dump", 60), timeout_s=60)
        restored = proof.restore(server, taken, "restored", timeout_s=60)
        assert ["The restored schema differs: schema public changed"] == blocking(restored.findings)
        assert "GRANT CREATE ON SCHEMA public TO PUBLIC" in restored.findings[0].evidence["sql"]
    finally:
        server.stop()


def test_a_server_that_is_too_old_is_refused_by_its_version(workspace):
    """Three lines, whatever else the folder lacks, and nothing is started."""
    bindir = programs(TOO_OLD)

    with pytest.raises(DryRunError) as refused:
        disposable.start("binaries", workspace=workspace, bindir=bindir)

    assert (
        f"PostgreSQL here is too old: {TOO_OLD} in {bindir}; {OLDEST_MAJOR} is the oldest that can be used.\n"
        "Older servers lack what the fingerprint and the recorder read.\n"
        f"Point `bindir` at PostgreSQL {OLDEST_MAJOR} or newer, or use the provider `container` or `embedded`."
    ) == str(refused.value)
    assert {"lock", "journal"} == {entry.name for entry in workspace.path.iterdir()}


def test_a_whole_run_on_a_server_that_is_too_old(tmp_path):
    """NO-GO with the reason on the page; no backup, no history, nothing applied."""
    folder = project(tmp_path, programs(TOO_OLD), SAFE)
    done = run(folder)
    assert done.returncode == 1, done.stdout + done.stderr
    document = report(folder)
    assert ("NO-GO", False, []) == (
        document["decision"],
        document["target_migrated"],
        [check["slug"] for check in document["checks"] if check["outcome"] == "passed"],
    )
    state, reason = outcome(document, "database-credentials")
    assert ("failed", 3) == (state, len(reason.splitlines()))
    assert f"too old: {TOO_OLD} in" in reason
    assert "blocked" == outcome(document, "migrations-applied")[0]
    assert not (folder / "docs").exists()
    assert not (folder / "reports" / "local" / "backup").exists()
    assert f"too old: {TOO_OLD} in" in (folder / "reports" / "local" / "signoff.html").read_text(encoding="utf-8")
