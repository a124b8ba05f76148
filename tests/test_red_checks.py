"""Every check of the shipped checklist can be red: each is shown refusing the real thing, in words that help.

Most tests walk through the steps of a dry run without pytest, so that something can happen in between; two whole runs
show that what is red there is red for a user.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from projects import CONFIGURATION, INIT, SAFE, SEED, criterion, outcome, report, run, write
from walk import Walk, walking

from pytest_dryrun import checklist
from pytest_dryrun.hosts.local import LocalHost
from pytest_dryrun.model.values import CheckRecord, Outcome, Severity
from pytest_dryrun.postgres import backup
from pytest_dryrun.postgres.disposable import Disposable, start
from pytest_dryrun.postgres.snapshot import snapshot
from pytest_dryrun.workspace import Workspace

pytestmark = pytest.mark.live

SHOWN: set[str] = set()


def red(*slugs: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Say which checks a test shows red, so that none is forgotten."""
    SHOWN.update(slugs)
    return lambda function: function


def failed(record: CheckRecord) -> str:
    """The reason of a check that failed; broken or blocked would not do."""
    assert record.outcome is Outcome.FAILED, (record.slug, record.outcome, record.reason)
    return record.reason


def rules(record: CheckRecord) -> set[str]:
    """The rules that block."""
    return {finding.rule for finding in record.findings if finding.severity is Severity.BLOCKER}


def configured(**tables: str) -> str:
    """The tiny project's configuration; each table of the target gets these lines in front of its own."""
    text = CONFIGURATION
    for table, lines in tables.items():
        heading = f"[targets.local.{table}]\n"
        if heading not in text:
            text += f"\n{heading}"
        keys = {line.split(" = ")[0] for line in lines.splitlines()}
        head, _, rest = text.partition(heading)
        own, mark, others = rest.partition("\n[")
        kept = "\n".join(line for line in own.splitlines() if line.split(" = ")[0] not in keys)
        text = f"{head}{heading}{lines}\n{kept}\n{mark}{others}"
    return text


@pytest.fixture(scope="module")
def server(postgres: object) -> Iterator[Disposable]:
    """A server for the databases that a whole module goes on from; `postgres` skips where there are no programs."""
    del postgres
    workspace = Workspace.create(f"tests-{uuid.uuid4().hex[:12]}")
    try:
        started = start("binaries", workspace=workspace)
        yield started
        started.stop()
    finally:
        workspace.close()


@pytest.fixture(scope="module")
def proved(server: Disposable, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """A dry run whose sections 1 to 4 passed, and whose target is not touched yet."""
    with walking(write(tmp_path_factory.mktemp("proved")), server) as walk:
        walk.sections(1, 2, 3, 4)
        fine = {Outcome.PASSED, Outcome.NOT_APPLICABLE}
        assert {} == {slug: found.reason for slug, found in walk.run.records.items() if found.outcome not in fine}
        yield walk


@pytest.fixture(scope="module")
def migrated(proved: Walk, tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """The same run with its target migrated."""
    walk = proved.fork(write(tmp_path_factory.mktemp("migrated")))
    assert walk.check("migrations-applied").outcome is Outcome.PASSED
    return walk


@pytest.fixture
def before(proved: Walk, tmp_path: Path) -> Iterator[Walk]:
    """Go on from just before the target is touched."""
    walk = proved.fork(write(tmp_path))
    yield walk
    walk.run.close()


@pytest.fixture
def after(migrated: Walk, tmp_path: Path) -> Iterator[Walk]:
    """Go on from just after the deployment."""
    walk = migrated.fork(write(tmp_path))
    yield walk
    walk.run.close()


@pytest.fixture
def with_configuration(migrated: Walk, tmp_path: Path) -> Iterator[Callable[..., Walk]]:
    """Go on from just after the deployment with another configuration, beside other files."""
    walks: list[Walk] = []

    def begin(files: dict[str, str] | None = None, **tables: str) -> Walk:
        for name, text in (files or {}).items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        walks.append(migrated.fork(write(tmp_path, configuration=configured(**tables))))
        return walks[-1]

    yield begin
    for walk in walks:
        walk.run.close()


# 1 Environment


@red("ssh-access")
@pytest.mark.usefixtures("postgres")
def test_a_host_that_does_not_answer(tmp_path):
    """Nothing is tried without the connection: every other check is blocked, and says by what."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = f"""
[project]
name = "shop"

[targets.staging]
role = "staging"

[targets.staging.ssh]
host = "127.0.0.1"
port = {port}
user = "deploy"

[targets.staging.backup]
directory = "/var/backups/shop"
"""
    (tmp_path / "dryrun.toml").write_text(text, encoding="utf-8")
    done = run(tmp_path, target="staging")
    assert done.returncode == 1, done.stdout + done.stderr
    document = json.loads((tmp_path / "reports" / "staging" / "report.json").read_text(encoding="utf-8"))
    assert ("NO-GO", False) == (document["decision"], document["target_migrated"])
    state, reason = outcome(document, "ssh-access")
    assert "failed" == state
    assert f"(port {port}) refused the connection" in reason
    rest = {check["slug"]: check for check in document["checks"] if check["slug"] != "ssh-access"}
    assert {"blocked", "not-applicable"} == {check["outcome"] for check in rest.values()}
    assert outcome(document, "backup-created")[1].startswith("blocked by ssh-access: ")


@red("database-credentials")
@pytest.mark.parametrize(
    ("change", "what", "means"),
    [
        ({"password": "wrong"}, "refused the password of user 'postgres'", "changed nothing"),
        ({"dbname": "edfinanze"}, "Database 'edfinanze' does not exist", "a typo in a name must not become"),
        ({"port": 1}, "No connection to database", "changed nothing"),
    ],
    ids=["wrong password", "no such database", "server down"],
)
def test_wrong_credentials_open_nothing_and_create_nothing(proved, tmp_path, change, what, means):
    """What is wrong stands in the message, the password does not, and no database is made."""
    walk = proved.fork(write(tmp_path))
    ours = walk.run.database()
    walk.done(database=replace(ours, conninfo=replace(ours.conninfo, **change)))
    reason = failed(walk.check("database-credentials"))
    assert what in reason.splitlines()[0]
    assert means in reason.splitlines()[1]
    assert 3 == len(reason.splitlines())
    assert ours.conninfo.password not in reason
    with psycopg.connect(**ours.conninfo.parameters()) as connection:
        assert connection.execute("SELECT 1 FROM pg_database WHERE datname = 'edfinanze'").fetchone() is None


@red("schema-version")
def test_another_major_version_is_told_and_an_unreadable_history_fails(proved, tmp_path):
    """The version alone is a warning; a schema version that cannot be read is red."""
    walk = proved.fork(write(tmp_path))
    ours = walk.run.database()
    walk.done(database=replace(ours, _identity=replace(ours.identify(), version_num=130000)))
    record = walk.check("schema-version")
    assert (Outcome.PASSED, ["version-differs"]) == (record.outcome, [finding.rule for finding in record.findings])
    assert "The target runs PostgreSQL 13, the copy " in record.findings[0].message
    walk = proved.fork(write(tmp_path))
    del walk.run.memo["status"]
    walk.execute("ALTER TABLE public.dryrun_migrations RENAME COLUMN checksum TO sum")
    assert "What is applied cannot be told. Nothing was touched." in failed(walk.check("schema-version"))


@red("backup-space")
def test_a_disk_too_small_for_the_backup(proved, tmp_path):
    """Both figures and the remedy; the backup itself is not tried."""
    walk = proved.fork(write(tmp_path, configuration=configured(backup='min_free = "1000TB"')))
    for name in ("backup", "backup_room"):
        del walk.run.memo[name]
    reason = failed(walk.check("backup-space"))
    assert re.search(r"has [\d,]+ MB free, the backup may need 1,000,000,000 MB: free space there or name", reason)
    record = walk.check("backup-created")
    assert record.outcome is Outcome.BLOCKED
    assert record.reason.startswith("blocked by backup-space: ")
    assert not (tmp_path / "reports").exists()


# 2 Migration status

STRANGE_HISTORY = """
UPDATE public.dryrun_migrations SET checksum = repeat('0', 64);
INSERT INTO public.dryrun_migrations VALUES ('000_gone.sql', repeat('0', 64), now(), 1);
INSERT INTO public.dryrun_migrations VALUES ('000_half.sql', repeat('0', 64));
"""


@red("migration-status")
def test_a_history_that_is_not_what_the_folder_says(proved, tmp_path):
    """An edited file, one that is gone and one that never finished are three findings, each with its remedy."""
    walk = proved.fork(write(tmp_path))
    del walk.run.memo["status"]
    walk.execute(*filter(None, map(str.strip, STRANGE_HISTORY.split(";"))))
    record = walk.check("migration-status")
    reason = failed(record)
    assert {"edited-migration", "missing-migration", "failed-migration"} == rules(record)
    for said in ("was edited after it was applied", "Restore the file", "began and never finished"):
        assert said in reason


@red("migration-status")
def test_a_status_command_that_sees_it_otherwise(proved, tmp_path):
    """Where the tool's own command says up to date and we see something pending, one is wrong: red."""
    command = f'{sys.executable} -c "print(12345)"'
    walk = proved.fork(write(tmp_path, configuration=configured(migrations=f"status = '{command}'")))
    reason = failed(walk.check("migration-status"))
    assert "our own reading says: 1 pending" in reason
    assert "12345" in reason


@red("pending-migrations")
def test_waivers_that_excuse_nothing(proved, tmp_path):
    """One without a reason and one that expired are red before anything is rehearsed."""
    waivers = (
        '[[waivers]]\nrule = "column-dropped"\nmigration = "002_pending.sql"\n'
        '[[waivers]]\nrule = "renamed"\nmigration = "002_pending.sql"\nreason = "old"\nexpires = 2020-01-01\n'
    )
    record = proved.fork(write(tmp_path, configuration=CONFIGURATION + waivers)).check("pending-migrations")
    assert "gives no reason, so it excuses nothing" in failed(record)
    assert {"waiver-without-reason", "waiver-expired"} == rules(record)


# 3 Backup


@red("backup-created")
@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["/nowhere/pg_dump"], "/nowhere/pg_dump"),
        (["sh", "-c", "head -c 5000 /dev/zero; echo 'pg_dump: error: query failed' >&2; exit 1"], "query failed"),
    ],
    ids=["no pg_dump", "fails half way"],
)
def test_a_dump_that_fails(proved, tmp_path, argv, says):
    """pg_dump's own words; nothing half is left, and nothing goes on from there."""
    walk = proved.fork(write(tmp_path))
    for name in ("backup", "template", "restored", "rehearsal"):
        walk.run.memo.pop(name, None)
    walk.done(database=replace(walk.run.database(), tool=lambda _: argv))
    assert says in failed(walk.check("backup-created"))
    assert [] == [path for path in (tmp_path / "reports").rglob("*") if path.is_file()]
    assert walk.check("backup-restores").reason.startswith("blocked by backup-created: ")
    assert walk.check("schema-diff").reason.startswith("blocked by backup-created: ")


@red("backup-created")
def test_a_folder_that_cannot_be_made_and_a_file_that_others_can_read(proved, tmp_path):
    """The place is named; a backup that others can read is refused although it is complete."""
    walk = proved.fork(write(tmp_path, configuration=configured(backup='directory = "dryrun.toml/backup"')))
    for name in ("backup", "backup_room"):
        del walk.run.memo[name]
    assert "dryrun.toml/backup" in failed(walk.check("backup-created"))
    walk = proved.fork(write(tmp_path))
    del walk.run.memo["backup"]
    walk.run.backup().path.chmod(0o644)
    assert "can be read by others (mode 644)" in failed(walk.check("backup-created"))


def spoiled(walk: Walk, spoil: Callable[[bytes], bytes], *options: str) -> None:
    """Take a backup of the target, and change its file afterwards."""
    taken = walk.run.backup()
    if options:
        database = walk.run.database()
        with snapshot(database.conninfo) as instant:
            archive = backup.dump(
                LocalHost(),
                database.tool("pg_dump"),
                database.tool_conninfo,
                snapshot_id=instant.id,
                directory=taken.path.parent,
                name=taken.path.name,
                timeout_s=60,
                options=options,
            )
        taken = replace(taken, archive=archive)
        walk.done(backup=taken)
    taken.path.write_bytes(spoil(taken.path.read_bytes()))


def one_bit(data: bytes, wanted: bytes) -> bytes:
    """Flip the lowest bit of the last byte of a text that stands in a file once."""
    assert data.count(wanted) == 1
    at = data.index(wanted) + len(wanted) - 1
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@red("backup-restores", "backup-checksum")
@pytest.mark.parametrize(
    ("spoil", "options", "says"),
    [
        (lambda data: data[: len(data) * 3 // 4], (), "could not be restored"),
        (lambda data: data[:-1], (), ""),
        (
            lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 0xFF]) + data[len(data) // 2 + 1 :],
            (),
            "could not be restored",
        ),
        (lambda data: one_bit(data, b"\tcustomer 477"), ("--compress=0",), "the values of name differ"),
    ],
    ids=["cut at 75 %", "last byte gone", "one byte flipped", "one bit of a value flipped"],
)
def test_a_spoiled_archive_is_no_backup(disposable, tmp_path, spoil, options, says):
    """Restoring fails, or every row is compared and the difference is named; without a way back nothing is applied.

    The rehearsal needs no backup to be telling, so it tells what it can.
    """
    with walking(write(tmp_path), disposable) as walk:
        spoiled(walk, spoil, *options)
        record = walk.check("backup-restores")
        assert walk.check("schema-diff").outcome is Outcome.PASSED
        if says or record.outcome is not Outcome.PASSED:
            assert says in failed(record)
            applied = walk.check("migrations-applied")
            assert applied.outcome is Outcome.BLOCKED
            assert "3.2 backup-restores (failed)" in applied.reason
        checksum = walk.check("backup-checksum")
        assert checksum.outcome is not Outcome.PASSED, "the file is not the one that was written"
        assert not walk.decision().go


@red("backup-checksum")
def test_a_file_that_changes_after_it_was_proved(disposable, tmp_path):
    """Both checksums are named."""
    with walking(write(tmp_path), disposable) as walk:
        assert walk.check("backup-restores").outcome is Outcome.PASSED
        with walk.run.backup().path.open("ab") as file:
            file.write(b"x")
        reason = failed(walk.check("backup-checksum"))
        assert walk.run.backup().sha256 in reason
        assert backup.checksum(walk.run.backup().path) in reason


# 4 Review

# The index takes its time, however fast the machine: eight of the rows are slow.
HARMFUL = """
CREATE FUNCTION slow(n numeric) RETURNS numeric IMMUTABLE LANGUAGE plpgsql AS
$$ BEGIN IF n > 2490 THEN PERFORM pg_sleep(0.05); END IF; RETURN n; END $$;
ALTER TABLE customer DROP COLUMN email;
ALTER TABLE customer ADD COLUMN country text NOT NULL DEFAULT 'SE';
ALTER TABLE customer ALTER COLUMN country DROP DEFAULT;
ALTER TABLE "order" ALTER COLUMN total TYPE numeric(14, 4);
CREATE INDEX order_total ON "order" (slow(total));
ALTER TABLE "order" DROP CONSTRAINT order_customer_id_fkey;
DELETE FROM customer WHERE id = 1;
"""


@red("no-destructive-operations", "safe-defaults", "foreign-keys-preserve-integrity", "indexes-do-not-block")
@red("running-release", "stalls")
def test_one_migration_can_be_red_in_six_ways(disposable, tmp_path):
    """Each check tells its own part, and the target stays what it was."""
    settings = configured(performance="scale = 1000.0", stalls="max_write_ms = 0.001\nmax_read_ms = 0.001")
    with walking(write(tmp_path, pending=HARMFUL, configuration=settings), disposable) as walk:
        walk.passed(1, 2, 3)
        walk.sections(4)
        expected = {
            "no-destructive-operations": ({"column-dropped", "rows-lost"}, "email"),
            "safe-defaults": ({"table-rewritten"}, 'public."order"'),
            "running-release": ({"required-column"}, "country"),
            "foreign-keys-preserve-integrity": ({"orphaned-rows"}, "order_customer_id_fkey"),
            "indexes-do-not-block": ({"index-blocks-writes"}, "CONCURRENTLY"),
            "stalls": ({"writes-blocked"}, "were kept waiting"),
        }
        for slug, (wanted, says) in expected.items():
            record = walk.run.records.get(slug) or walk.check(slug)
            assert says in failed(record)
            assert wanted <= rules(record)
        record = walk.check("migrations-applied")
        assert record.outcome is Outcome.BLOCKED
        assert "target was not touched" in record.reason
        assert re.search(r"4\.2 no-destructive-operations \(?failed", record.reason)
        assert ("001_init.sql",) == walk.run.read_status().applied


@red("no-destructive-operations")
@pytest.mark.parametrize(
    ("unlinked", "says"),
    [
        ("4711, 4712", "pg_catalog.pg_largeobject: all 2 are gone"),
        ("4712", "pg_catalog.pg_largeobject"),
    ],
    ids=["all of them", "one of two"],
)
def test_large_objects_that_a_migration_deletes(disposable, tmp_path, unlinked, says):
    """No catalog of the schema lists them, so that their rows alone tell; the target keeps them."""
    seed = SEED + "SELECT lo_from_bytea(4711, 'the contract'), lo_from_bytea(4712, 'its annex');\n"
    pending = f"SELECT lo_unlink(loid) FROM unnest(ARRAY[{unlinked}]) AS gone (loid);\n"
    with walking(write(tmp_path, seed=seed, pending=pending), disposable) as walk:
        walk.passed(1, 2, 3)
        walk.sections(4)
        record = walk.run.records["no-destructive-operations"]
        assert says in failed(record)
        assert {"rows-lost"} == rules(record)
        applied = walk.check("migrations-applied")
        assert applied.outcome is Outcome.BLOCKED
        assert re.search(r"4\.2 no-destructive-operations \(?failed", applied.reason)
        assert not walk.decision().go
        with psycopg.connect(**walk.run.database().conninfo.parameters()) as connection:
            kept = connection.execute("SELECT lo_get(oid) FROM pg_largeobject_metadata ORDER BY oid").fetchall()
        assert [(b"the contract",), (b"its annex",)] == kept


@red("schema-diff")
def test_a_migration_that_fails_on_the_copy(disposable, tmp_path):
    """The server's words, the statement's line, and that the target was not touched."""
    with walking(write(tmp_path, pending="SELECT 1;\nALTER TABLE nothing ADD COLUMN x text;\n"), disposable) as walk:
        walk.passed(1, 2, 3)
        record = walk.check("schema-diff")
        assert 'in line 2: relation "nothing" does not exist (42P01)' in failed(record)
        assert (2, "42P01") == (record.findings[-1].line, record.findings[-1].evidence["sqlstate"])
        assert "blocked by schema-diff: " in walk.check("safe-defaults").reason


@red("schema-diff")
def test_a_deploy_command_that_applies_nothing(disposable, tmp_path):
    """Status 0 is no proof: what the history says after it is. The target is not touched."""
    with walking(write(tmp_path, configuration=configured(migrations='deploy = "true"')), disposable) as walk:
        walk.passed(1, 2, 3)
        record = walk.check("schema-diff")
        assert "ended without an error, but 002_pending.sql is not applied" in failed(record)


ELSEWHERE = """#!/bin/sh
echo 'Datasource "db": PostgreSQL database "shop_production", schema "public" at "db.prod:5432"'
case $* in *status) exit 1 ;; esac
touch deployed
"""


@red("schema-diff")
@pytest.mark.parametrize("deploy", ["sh prisma.sh migrate deploy", 'deploy"\nstatus = "sh prisma.sh migrate status'])
def test_a_deploy_command_that_would_lead_elsewhere_is_not_run(disposable, tmp_path, deploy):
    """The tool's own configuration names another database than it is given: not even the copy is migrated by it."""
    settings = f'tool = "prisma"\nprisma_version = "6.19.3"\ndeploy = "{deploy}"'
    write(tmp_path, configuration=configured(migrations=settings, baseline='through = "20260101000000_init"'))
    for name, text in (("20260101000000_init", INIT), ("20260201000000_more", SAFE)):
        (tmp_path / "migrations" / name).mkdir()
        (tmp_path / "migrations" / name / "migration.sql").write_text(text, encoding="utf-8")
    (tmp_path / "prisma.sh").write_text(ELSEWHERE, encoding="utf-8")
    with walking(tmp_path, disposable) as walk:
        walk.passed(1, 2, 3)
        reason = failed(walk.check("schema-diff"))
        assert "works on database shop_production at db.prod:5432, the credentials lead to dryrun_target" in reason
        assert not walk.decision().go
    assert not (tmp_path / "deployed").exists()


# 5 Apply


@red("migrations-applied", "status-after-apply")
def test_a_deployment_that_fails_on_the_target_alone(before):
    """Somebody holds a lock that nobody held on the copy: red, the way back is named, nothing goes on from there."""
    with psycopg.connect(**before.run.database().conninfo.parameters()) as holder:
        holder.execute("LOCK TABLE customer IN ACCESS SHARE MODE")
        record = before.check("migrations-applied")
    assert "canceling statement due to lock timeout (55P03)" in failed(record)
    assert {"statement-failed"} == rules(record)
    assert "Now: 1 applied, of them new none; pending 002_pending.sql." in failed(record)
    assert "still pending: 002_pending.sql" in failed(before.check("status-after-apply"))
    for slug in ("schema-as-rehearsed", "rows-intact", "latency-p95"):
        assert before.check(slug).reason.startswith("blocked by migrations-applied: ")
    assert before.run.parts["target_migrated"] is True


@red("migrations-applied")
def test_an_object_that_appeared_on_the_target_meanwhile(before):
    """The copy did not have it, so the rehearsal passed; the target refuses."""
    before.execute("ALTER TABLE customer ADD COLUMN country text")
    assert 'column "country" of relation "customer" already exists (42701)' in failed(
        before.check("migrations-applied")
    )


@red("status-after-apply")
def test_a_history_that_loses_its_entry(after):
    """The deployment said that it was done, and the database says that it is not."""
    after.execute("DELETE FROM public.dryrun_migrations WHERE name = '002_pending.sql'")
    assert "still pending: 002_pending.sql" in failed(after.check("status-after-apply"))


@red("schema-as-rehearsed")
def test_a_column_that_somebody_adds_in_between(after):
    """The target is not what was rehearsed."""
    after.execute("ALTER TABLE customer ADD COLUMN surprise text")
    record = after.check("schema-as-rehearsed")
    assert "The target differs from the rehearsed schema: column public.customer.surprise created" in failed(record)
    assert {"drift"} == rules(record)


# 6 Integrity


@red("rows-intact")
@pytest.mark.parametrize(
    ("statement", "rule", "says"),
    [
        (
            'DELETE FROM "order" WHERE id = 7',
            "rows-lost",
            '1 of 2,000 rows of public."order" are gone (for example id=7), 1,999 are there afterwards',
        ),
        (
            "UPDATE customer SET name = 'somebody' WHERE id = 7",
            "content-changed",
            " rows (for example id=7: name ",
        ),
        ('DROP TABLE "order"', "table-dropped", 'public."order" is gone with its 2,000 rows'),
    ],
    ids=["a row is gone", "a value is changed", "a table is gone"],
)
def test_data_that_changes_on_the_target_alone(after, statement, rule, says):
    """The copy kept it, the target did not: which row, and the way back."""
    after.execute(statement)
    record = after.check("rows-intact")
    assert says in failed(record)
    assert "which did not happen on the copy. Roll back from the backup." in record.reason
    assert {rule} == rules(record), record.reason


@red("column-defaults")
def test_a_trigger_that_overrides_a_default(after):
    """A new row does not carry the value that the schema promises; the row that showed it is gone again."""
    after.execute(
        "CREATE FUNCTION override() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN NEW.country := 'XX'; RETURN NEW; END $$",
        "CREATE TRIGGER override BEFORE INSERT ON customer FOR EACH ROW EXECUTE FUNCTION override()",
    )
    reason = failed(after.check("column-defaults"))
    assert "country" in reason
    assert "XX" in reason
    with psycopg.connect(**after.run.database().conninfo.parameters()) as connection:
        assert (500,) == connection.execute("SELECT count(*) FROM customer").fetchone()


@red("no-orphaned-foreign-keys")
def test_rows_without_a_parent(after):
    """Counted for a foreign key that the server itself believes in."""
    after.execute("SET session_replication_role = replica; DELETE FROM customer WHERE id IN (3, 4)")
    record = after.check("no-orphaned-foreign-keys")
    assert {"orphaned-rows"} == rules(record)
    assert "8" in failed(record)
    assert "order_customer_id_fkey" in record.reason


@red("indexes-valid")
def test_an_index_that_was_left_half_built(after):
    """A failed CREATE UNIQUE INDEX CONCURRENTLY leaves one behind."""
    with pytest.raises(psycopg.errors.UniqueViolation):
        after.execute('CREATE UNIQUE INDEX CONCURRENTLY one_order_each ON "order" (customer_id)')
    record = after.check("indexes-valid")
    assert "Index public.one_order_each" in failed(record)
    assert {"invalid-index"} == rules(record)


# 7 Smoke, 8 Rollback: an API of twenty lines that behaves as its arguments say.

API = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import psycopg

port, how = int(sys.argv[1]), sys.argv[2]
print("the last words of the API", flush=True)
if how == "exits":
    sys.exit("no module named 'everything'")
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    new = connection.execute("SELECT 1 FROM pg_attribute WHERE attname = 'country'").fetchone() is not None
if how == "needs-new" and not new:
    sys.exit('column "country" does not exist')


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        html, fine = how == "html", how in {"fine", "html", "needs-new"} or (how == "old-fails" and new)
        fine = fine or (how == "old-fails" and self.path == "/api/health")
        self.send_response(200 if fine else 503)
        self.send_header("Content-Type", "text/html" if html else "application/json")
        self.end_headers()
        self.wfile.write(b"<!DOCTYPE html><p>Welcome" if html else b'{"status": "%s"}' % how.encode())

    def log_message(self, *arguments):
        pass


HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def api(how: str, timeout_s: float = 10) -> str:
    """The lines of `[api]` for an API that behaves like this."""
    return f"start = '{sys.executable} api.py {{port}} {how}'\ntimeout_s = {timeout_s}"


@red("api-health")
@pytest.mark.parametrize(
    ("how", "timeout_s", "says"),
    [
        ("exits", 20, ("no module named 'everything'", "the last words of the API")),
        ("ill", 2, ("503", "the last words of the API")),
        ("html", 2, ("an HTML page instead of a health report",)),
    ],
    ids=["exits at once", "never healthy", "answers with a page"],
)
def test_an_api_that_is_not_healthy(with_configuration, how, timeout_s, says):
    """Why, and what it printed last; what needs it afterwards is blocked."""
    walk = with_configuration({"api.py": API}, api=api(how, timeout_s))
    reason = failed(walk.check("api-health"))
    for text in says:
        assert text in reason
    assert "Nothing that needs the API can be checked" in reason
    assert walk.check("memory").reason.startswith("blocked by api-health: ")


@red("smoke-command", "rollback-smoke")
@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("no-such-program --smoke", "no-such-program"),
        (f"{sys.executable} -c \"print('3 of 4 tests failed'); raise SystemExit(1)\"", "3 of 4 tests failed"),
        (f'{sys.executable} -c "import time; time.sleep(60)"', "1 s"),
        (f"{sys.executable} -c \"print('  0 passing (2ms)')\"", "ran no test"),
    ],
    ids=["not found", "fails", "hangs", "runs nothing"],
)
def test_a_smoke_command_that_proves_nothing(with_configuration, command, says):
    """Told apart, with its last output."""
    walk = with_configuration(smoke=f"command = '''{command}'''\ntimeout_s = 1")
    assert says in failed(walk.check("smoke-command"))
    assert walk.run.records["smoke-command"].outcome is Outcome.FAILED


def second(data: bytes) -> bytes:
    """Another value in one row."""
    return one_bit(data, b"\tcustomer 477")


@red("rollback-restores", "rollback-rows-match")
def test_a_way_back_that_does_not_lead_back(disposable, tmp_path):
    """A backup that was changed before the migrated copy was replaced by it is found out in the rows.

    A disk that lies from the first byte on shows the checksum that was written.
    """
    with walking(write(tmp_path), disposable) as walk:
        spoiled(walk, second, "--compress=0")
        taken = walk.run.backup()
        lied = replace(taken.archive, sha256=backup.checksum(taken.path))
        walk.done(backup=replace(taken, archive=lied))
        assert walk.check("rollback-restores").outcome is Outcome.PASSED
        assert "public.customer: the values of name differ" in failed(walk.check("rollback-rows-match"))
    with walking(write(tmp_path), disposable) as walk:
        spoiled(walk, lambda data: data[: len(data) * 3 // 4])
        assert "could not be restored" in failed(walk.check("rollback-restores"))
        assert walk.check("rollback-rows-match").reason.startswith("blocked by rollback-restores: ")
        assert not walk.decision().go


@red("rollback-restores")
def test_a_backup_that_changes_after_the_way_back_was_walked(disposable, tmp_path):
    """The file that the target would be restored from is no longer the one that was tried."""
    with walking(write(tmp_path), disposable) as walk:
        walk.passed(1, 2)
        walk.sections(3, 4)
        with walk.run.backup().path.open("ab") as file:
            file.write(b"x")
        assert "is no longer the file that was restored" in failed(walk.check("rollback-restores"))
        assert not walk.decision().go


@red("migrations-applied", "rollback-restores", "rollback-rows-match")
@pytest.mark.parametrize("cut", [False, True], ids=["other rows", "not whole"])
def test_no_target_is_migrated_without_a_way_back(disposable, tmp_path, cut):
    """Whether the backup leads back is known before anything is applied, whatever sections 1 to 4 said."""
    with walking(write(tmp_path), disposable) as walk:
        spoiled(walk, (lambda data: data[: len(data) * 3 // 4]) if cut else second, "--compress=0")
        taken = walk.run.backup()
        walk.done(backup=replace(taken, archive=replace(taken.archive, sha256=backup.checksum(taken.path))))
        walk.passed(1, 2, 3, 4)
        record = walk.check("migrations-applied")
        slug = "rollback-restores" if cut else "rollback-rows-match"
        assert record.outcome is Outcome.BLOCKED
        assert record.reason.startswith(f"blocked by {slug}: the target was not touched: ")
        assert not walk.run.parts.get("target_migrated")
        assert walk.run.read_status().pending
        walk.sections(8)
        failed(walk.run.records[slug])


@red("rollback-health")
def test_a_release_that_does_not_start_on_the_old_schema(with_configuration):
    """The way back leads to an application that is down."""
    walk = with_configuration({"api.py": API}, api=api("needs-new"))
    assert walk.check("api-health").outcome is Outcome.PASSED
    assert 'column "country" does not exist' in failed(walk.check("rollback-health"))


@red("rollback-smoke")
def test_a_request_that_fails_after_the_rollback(with_configuration):
    """It is healthy, and it does not work."""
    walk = with_configuration({"api.py": API}, api=api("old-fails"), performance='requests = ["/orders"]')
    assert walk.check("rollback-health").outcome is Outcome.PASSED
    assert "GET /orders answered 503" in failed(walk.check("rollback-smoke"))


# 9 Performance

BUSY = "SELECT count(*) FROM generate_series(1, 200000)"


@red("latency-p95", "slow-queries")
def test_a_query_that_takes_too_long(with_configuration):
    """The query, its p95 and the limit; the server's own statistics name it too, where it has them."""
    walk = with_configuration(performance='samples = 20\np95_ms = 5\nqueries = ["SELECT pg_sleep(0.02)"]')
    reason = failed(walk.check("latency-p95"))
    assert re.search(r"p95 is \d+\.\d ms \(.*pg_sleep.*\), the limit is 5 ms", reason)
    record = walk.check("slow-queries")
    if record.outcome is Outcome.NOT_APPLICABLE:
        assert "pg_stat_statements" in record.reason
    else:
        assert "ms on average (" in failed(record)
        assert "pg_sleep" in record.reason


@red("memory", "cpu", "p0-bugs", "history-recorded")
def test_limits_bugs_and_a_history_that_cannot_be_written(with_configuration, tmp_path):
    """Peak and limit; every bug and every new line of a log; the file that could not be written."""
    (tmp_path / "app.log").write_text("2026-01-01 00:00:00 ERROR of yesterday\n", encoding="utf-8")
    (tmp_path / "docs" / "MIGRATION_HISTORY.md").mkdir(parents=True)
    walk = with_configuration(
        performance=f'max_memory = "1MB"\nmax_cpu_percent = 0.0001\nqueries = ["{BUSY}"]',
        p0=f"command = '''{sys.executable} -c \"print('BUG-7: money is lost')\"'''\nlogs = [\"app.log\"]",
    )
    assert re.search(r"[\d,]+ MB at the peak, 1 MB allowed; most of it was PostgreSQL", failed(walk.check("memory")))
    assert "0.0001 % allowed" in failed(walk.check("cpu"))
    with (tmp_path / "app.log").open("a", encoding="utf-8") as log:
        log.write("2026-01-02 00:00:00 INFO fine\n2026-01-02 00:00:01 ERROR the disk is full\n")
    reason = failed(walk.check("p0-bugs"))
    assert ["BUG-7: money is lost", "app.log: 2026-01-02 00:00:01 ERROR the disk is full"] == reason.splitlines()[:2]
    assert "yesterday" not in reason
    assert "MIGRATION_HISTORY.md" in failed(walk.check("history-recorded"))


# Whole runs: what is red above is red for a user.

MEDDLING = '''
"""Somebody else is at work on the target: right after the deployment, and before anything looks at it."""
from pytest_dryrun.stash import SESSION

STATEMENTS = (
    """DELETE FROM public."order" WHERE id = 7""",
    "SET session_replication_role = replica",
    "DELETE FROM public.customer WHERE id = 3",
    "ALTER TABLE public.customer ADD COLUMN surprise text",
    "DELETE FROM public.dryrun_migrations WHERE name = '002_pending.sql'",
)


def pytest_runtest_setup(item):
    if item.name.startswith("test_status_after_apply"):
        with item.config.stash[SESSION].runs["local"].database().connect() as connection:
            for statement in STATEMENTS:
                connection.execute(statement)
        with open("app.log", "a") as log:
            log.write("2026-01-02 00:00:01 FATAL out of orders\\n")
'''


@pytest.mark.usefixtures("postgres")
def test_a_whole_run_with_somebody_else_at_work(tmp_path):
    """Exit 1, ROLLBACK & FIX, and every red check with its reason in the report and on the page."""
    settings = configured(
        performance=f'max_memory = "1MB"\nmax_cpu_percent = 0.0001\np95_ms = 0.001\nqueries = ["{BUSY}"]',
        p0='logs = ["app.log"]',
        smoke="command = 'no-such-program'",
    )
    settings = settings.replace('history = "docs/MIGRATION_HISTORY.md"', 'history = "dryrun.toml/HISTORY.md"')
    write(tmp_path, configuration=settings)
    (tmp_path / "meddling.py").write_text(MEDDLING, encoding="utf-8")
    (tmp_path / "app.log").touch()
    done = run(tmp_path, "-p", "meddling")
    assert done.returncode == 1, done.stdout + done.stderr
    document = report(tmp_path)
    assert ("NO-GO", "ROLLBACK & FIX", True) == (
        document["decision"],
        document["headline"],
        document["target_migrated"],
    )
    expected = {
        "status-after-apply": "still pending: 002_pending.sql",
        "schema-as-rehearsed": "surprise",
        "rows-intact": "which did not happen on the copy",
        "no-orphaned-foreign-keys": "order_customer_id_fkey",
        "smoke-command": "no-such-program",
        "latency-p95": "the limit is 0.001 ms",
        "memory": "1 MB allowed",
        "cpu": "0.0001 % allowed",
        "p0-bugs": "out of orders",
        "history-recorded": "HISTORY.md",
    }
    page = (tmp_path / "reports" / "local" / "signoff.html").read_text(encoding="utf-8")
    for slug, says in expected.items():
        state, reason = outcome(document, slug)
        assert ("failed", True) == (state, says in reason), (slug, state, reason)
        assert says in page
    assert {"no-data-loss", "migrations-applied", "no-p0", "latency"} <= {
        row["id"] for row in document["criteria"] if row["met"] is False
    }
    assert criterion(document, "rollback-proven")["met"] is True


TAMPERING = """
from pytest_dryrun.stash import SESSION


def pytest_runtest_setup(item):
    if item.name.startswith("test_backup_restores"):
        path = item.config.stash[SESSION].runs["local"].backup().path
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
"""


@pytest.mark.usefixtures("postgres")
def test_a_whole_run_whose_backup_is_spoiled(tmp_path):
    """The rehearsal still tells what the migrations would do; there is no way back, so nothing is applied."""
    write(tmp_path)
    (tmp_path / "tampering.py").write_text(TAMPERING, encoding="utf-8")
    done = run(tmp_path, "-p", "tampering")
    assert done.returncode == 1, done.stdout + done.stderr
    document = report(tmp_path)
    assert ("NO-GO", "NO-GO", False) == (document["decision"], document["headline"], document["target_migrated"])
    state, reason = outcome(document, "backup-restores")
    assert "failed" == state
    assert "could not be restored" in reason
    assert "passed" == outcome(document, "schema-diff")[0]
    for slug in ("backup-checksum", "rollback-restores"):
        assert "blocked" == outcome(document, slug)[0]
        assert "backup-restores" in outcome(document, slug)[1]
    assert re.search(r"3\.2 backup-restores \(?failed", outcome(document, "migrations-applied")[1])
    assert any("3.2 backup-restores failed" in reason for reason in criterion(document, "no-data-loss")["reasons"])


def test_no_check_of_the_checklist_was_forgotten():
    """Every slug that ships has a test above that shows it red."""
    assert {spec.slug for spec in checklist.read([checklist.shipped_folder()])} == SHOWN
