"""Several pending files of which a later one fails; what a rehearsal does to the history and to the server's roles."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from projects import SAFE, report, run, write
from walk import Walk, walking

from pytest_dryrun.model.values import CheckRecord, Outcome, Severity
from pytest_dryrun.postgres.disposable import Disposable

pytestmark = pytest.mark.live

FAILS = "SELECT 1 / 0;\n"
# Statements on their own, for the file holds transactions of its own.
HALF = """BEGIN;
CREATE TABLE audit (id int PRIMARY KEY);
INSERT INTO customer VALUES (9001, 'left behind');
COMMIT;
UPDATE "order" SET total = 0 WHERE id = 7;
SELECT 1 / 0;
"""
LEFT = [
    "table public.audit created",
    "constraint public.audit.audit_pkey created",
    "rows of public.customer: rows-added",
    'rows of public."order": content-changed',
]


def files(folder: Path, *pending: str) -> Path:
    """The tiny project with these pending files: 002, 003, ..."""
    write(folder, pending=pending[0])
    for number, text in enumerate(pending[1:], start=3):
        (folder / "migrations" / f"{number:03}_pending.sql").write_text(text, encoding="utf-8")
    return folder


def blockers(record: CheckRecord) -> dict[str, list[str]]:
    """What blocks, by rule, with what is said to be left."""
    found = [item for item in record.findings if item.severity is Severity.BLOCKER]
    return {item.rule: item.evidence.get("left", []) for item in found}


def reviewed(folder: Path, server: Disposable, *pending: str) -> dict[str, CheckRecord]:
    """Section 4 of a run of these files; its target is as it was."""
    with walking(files(folder, *pending), server) as walk:
        walk.passed(1, 2, 3)
        walk.sections(4)
        with psycopg.connect(**walk.run.database().conninfo.parameters()) as connection:
            assert [("001_init.sql",)] == connection.execute("SELECT name FROM dryrun_migrations").fetchall()
        return dict(walk.run.records)


def test_what_the_first_file_did_is_judged_although_the_second_fails(disposable, tmp_path):
    """Red for what was applied, blocked where nothing red was found, and nobody is accused of the first one's work."""
    seen = reviewed(tmp_path, disposable, "ALTER TABLE customer DROP COLUMN email, ADD COLUMN at date;\n", FAILS)
    assert {"statement-failed": []} == blockers(seen["schema-diff"])
    assert {"column-dropped"} == {*blockers(seen["no-destructive-operations"])} - {"required-column"}
    assert Outcome.FAILED is seen["no-destructive-operations"].outcome
    for slug in ("safe-defaults", "foreign-keys-preserve-integrity", "indexes-do-not-block", "running-release"):
        assert (Outcome.BLOCKED, ("schema-diff",)) == (seen[slug].outcome, seen[slug].blocked_by)


@pytest.mark.parametrize("first", [SAFE, None], ids=["behind a good file", "alone"])
def test_what_the_failed_file_itself_left_is_named(disposable, tmp_path, first):
    """Objects and rows by name, with the file; nothing of the file before it."""
    seen = reviewed(tmp_path, disposable, *filter(None, (first, HALF)))
    found = blockers(seen["schema-diff"])
    assert {"statement-failed", "partially-applied"} == {*found}
    assert sorted(LEFT) == sorted(found["partially-applied"])
    message = next(item.message for item in seen["schema-diff"].findings if item.rule == "partially-applied")
    assert message.startswith(f"{'003' if first else '002'}_pending.sql left part of its work behind: ")


def test_a_file_that_failed_did_not_roll_itself_back(disposable, tmp_path):
    """The server undid its work because a statement failed: that is said, and nothing of a ROLLBACK in the file."""
    failing = "CREATE TABLE audit (id int PRIMARY KEY);\nUPDATE customer SET id = id;\nALTER SEQUENCE nowhere CYCLE;\n"
    seen = reviewed(tmp_path, disposable, SAFE, failing)
    assert {"statement-failed": []} == blockers(seen["schema-diff"])


def test_values_that_no_second_run_would_give_are_nobodys_leftovers(disposable, tmp_path):
    """The clock and random values differ between two copies, and that is all."""
    first = "ALTER TABLE customer ADD COLUMN token text DEFAULT gen_random_uuid()::text;\n"
    first += 'INSERT INTO "order" SELECT 5000 + i, 1, random() FROM generate_series(1, 5) i;\n'
    seen = reviewed(tmp_path, disposable, first, FAILS)
    assert {"statement-failed": []} == blockers(seen["schema-diff"])


def test_a_role_of_the_first_file_keeps_nobody_from_finding_out(disposable, tmp_path):
    """It exists on the server when a second copy is made; afterwards it is gone from there, for the target needs it."""
    first = "CREATE ROLE several_files; GRANT SELECT ON customer TO several_files;\n"
    with walking(files(tmp_path, first, HALF), disposable) as walk:
        walk.passed(1, 2, 3)
        found = blockers(walk.check("schema-diff"))
        walk.check("backup-restores")
    assert sorted(LEFT) == sorted(found["partially-applied"])
    with psycopg.connect(**disposable.conninfo.parameters()) as connection:
        assert [] == connection.execute("SELECT rolname FROM pg_roles WHERE rolname ~ '^several_files'").fetchall()


@pytest.mark.parametrize(
    ("pending", "says"),
    [
        (
            "DELETE FROM public.dryrun_migrations WHERE name < '002';\n",
            "no longer recorded as applied: 001_init.sql; pending again, so the next deployment runs them",
        ),
        ("UPDATE dryrun_migrations SET checksum = 'x';\n", "001_init.sql was edited after it was applied."),
        ("UPDATE dryrun_migrations SET applied_at = NULL;\n", "001_init.sql began and never finished"),
    ],
    ids=["deleted", "checksum", "unfinished"],
)
def test_a_history_that_a_migration_changed_is_seen_on_the_copy(disposable, tmp_path, pending, says):
    """Before the target is touched, with the statement's place."""
    record = reviewed(tmp_path, disposable, SAFE + pending)["schema-diff"]
    (found,) = [item for item in record.findings if item.severity is Severity.BLOCKER]
    assert ("history-changed", "002_pending.sql", 3) == (found.rule, found.migration, found.line)
    assert says in found.message


def test_ordinary_files_leave_the_history_as_it_has_to_be(disposable, tmp_path):
    """Two of them, and a table whose name only resembles the history's."""
    second = "CREATE TABLE dryrun_migrations_of_ours (id int);\n"
    assert Outcome.PASSED is reviewed(tmp_path, disposable, SAFE, second)["schema-diff"].outcome


def applied(walk: Walk) -> CheckRecord:
    """The deployment to the target."""
    walk.passed(1, 2, 3, 4)
    return walk.check("migrations-applied")


def test_what_a_failed_file_left_on_the_target_is_named(disposable, tmp_path):
    """Where the copy had no trouble: beside a copy that was brought to the file before it."""
    late = HALF.replace("SELECT 1 / 0;\n", "ALTER TABLE customer ADD COLUMN late int;\n")
    with walking(files(tmp_path, SAFE, late), disposable) as walk:
        walk.run.rehearsal()
        walk.execute("ALTER TABLE customer ADD COLUMN late int")
        record = applied(walk)
    found = blockers(record)
    assert {"statement-failed", "partially-applied"} == {*found}
    assert {*LEFT} < {*found["partially-applied"]}
    assert not [item for item in found["partially-applied"] if "country" in item]
    assert "Now: 2 applied, of them new 002_pending.sql; pending" in record.reason


def test_roles_that_a_migration_makes_and_changes_are_ordinary_work(postgres, tmp_path):
    """What the rehearsal left on the server does not meet the target's deployment, which lives there too."""
    del postgres  # skips where there are no programs
    first = "CREATE ROLE reporting NOLOGIN; CREATE ROLE analyst LOGIN PASSWORD 'x' IN ROLE reporting;\n"
    first += "GRANT SELECT ON customer TO reporting; ALTER ROLE analyst SET statement_timeout = '9s';\n"
    done = run(files(tmp_path, first, "ALTER ROLE analyst RENAME TO analysts; GRANT pg_monitor TO analysts;\n"))
    document = report(tmp_path)
    failed = [(check["slug"], check["reason"]) for check in document["checks"] if check["outcome"] == "failed"]
    assert ([], ["002_pending.sql", "003_pending.sql"]) == (failed, document["migrations"]["applied"]), done.stdout
