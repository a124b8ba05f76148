"""The hazards do what their `expected.toml` says, on a real database, before any part of the dry run looks at them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from pytest_dryrun.postgres.connection import Conninfo

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
HAZARDS = sorted(path.parent for path in (EXAMPLES / "hazards").glob("*/migration.sql"))
JUDGES = {
    "schema-diff",
    "no-destructive-operations",
    "safe-defaults",
    "foreign-keys-preserve-integrity",
    "indexes-do-not-block",
    "stalls",
    "running-release",
}
RULES = {
    *("table-dropped", "column-dropped", "schema-dropped", "rows-lost", "content-changed", "truncated"),
    *("renamed", "table-rewritten", "scanned-under-lock", "index-blocks-writes", "reads-blocked"),
    *("required-column", "unsafe-default", "constraint-violated", "orphaned-rows"),
    *("statement-failed", "partially-applied"),
}


def expected(hazard: Path) -> dict[str, str]:
    """What a hazard's `expected.toml` says."""
    values: dict[str, str] = tomllib.loads((hazard / "expected.toml").read_text())
    return values


@pytest.mark.parametrize("hazard", HAZARDS, ids=lambda path: path.name)
def test_expectation_is_complete(hazard: Path):
    """Every hazard names a known rule, a known check and what the reason says, and the README has it."""
    values = expected(hazard)
    assert {"rule", "check", "says"} == set(values) - {"sqlstate"}
    assert values["rule"] in RULES
    assert values["check"] in JUDGES
    assert f"[`{hazard.name}`]({hazard.name}/migration.sql)" in (EXAMPLES / "hazards" / "README.md").read_text()


def test_every_rule_has_a_hazard():
    """No rule of the list goes without a migration that breaks it."""
    assert {expected(hazard)["rule"] for hazard in HAZARDS} == RULES


@pytest.mark.live
@pytest.mark.parametrize("hazard", HAZARDS, ids=lambda path: path.name)
def test_hazard_runs_as_expected(hazard: Path, after: Conninfo):
    """Sent whole, the way Prisma up to 7.3 does, the file ends with the SQLSTATE it announces, or without an error.

    Whole also means undone whole: a division by zero at the end shows that all before it ran, and gives the next
    hazard the same database.
    """
    with psycopg.connect(**after.parameters(), autocommit=True) as connection:
        sleeps_forever = expected(hazard).get("sqlstate") == "57014"
        connection.execute(f"SET statement_timeout = {1000 if sleeps_forever else 60000}")
        with pytest.raises(psycopg.Error) as caught:
            connection.execute((hazard / "migration.sql").read_bytes() + b";\nSELECT 1 / 0")
        assert expected(hazard).get("sqlstate", "22012") == caught.value.sqlstate
        left_open = connection.info.transaction_status is not TransactionStatus.IDLE
        assert (hazard.name == "transaction-left-open") is left_open
        connection.rollback()
        stayed = connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = '\"Course\"'::regclass AND attname = 'level'"
        ).fetchall()
        assert ([("level",)] if hazard.name == "commit-in-the-middle" else []) == stayed
        connection.execute('ALTER TABLE "Course" DROP COLUMN IF EXISTS "level"')
