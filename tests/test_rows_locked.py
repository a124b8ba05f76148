"""Rows that stay locked, end to end: a migration on a real copy, watched and judged."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from test_locks import REMEDIES

from pytest_dryrun.migrations.sql_folder import SqlFolder
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.rehearsal.judge import locks
from pytest_dryrun.steps.watching import table_sizes, watch

pytestmark = pytest.mark.live

ROWS = 3_000
BATCHES = """BEGIN;
SELECT 1;
COMMIT;
DO $$ DECLARE done int; BEGIN
  LOOP
    UPDATE seat SET taken = true WHERE id IN (SELECT id FROM seat WHERE taken IS NULL ORDER BY id LIMIT 300);
    GET DIAGNOSTICS done = ROW_COUNT;
    EXIT WHEN done = 0;
    PERFORM pg_sleep(0.05);
    COMMIT;
  END LOOP;
END $$;
"""
LONG = "BEGIN;\n{};\nSELECT pg_sleep(0.4);\nCOMMIT;\n"


def rows_locked(database: Conninfo, folder: Path, script: str, scale: float) -> list[Finding]:
    """Deploy a script to a copy, watched, and give what is told of locked rows."""
    (folder / "001_pending.sql").write_text(script, encoding="utf-8")
    with psycopg.connect(**database.parameters(), autocommit=True) as session:
        session.execute("CREATE TABLE seat (id int PRIMARY KEY, taken bool)")
        session.execute(f"INSERT INTO seat SELECT g FROM generate_series(1, {ROWS}) g".encode())
        session.execute("ANALYZE")
    with connect(database) as connection:
        sizes = table_sizes(connection)
    migrations = SqlFolder(folder)
    seen = watch(database, database, migrations, list(sizes), timeout_s=60)
    assert seen.error is None
    pending = migrations.folder()
    verdict = locks.judge(
        seen.observed, pending, sizes, scale=scale, max_read_ms=2000, max_write_ms=2000, remedies=REMEDIES
    )
    return [found for found in verdict.stalls if found.rule == "rows-locked"]


@pytest.mark.parametrize(
    ("statement", "scale", "rows"),
    [
        pytest.param("UPDATE seat SET taken = true", 10, ROWS, id="every row, at scale"),
        pytest.param("DELETE FROM seat WHERE id % 2 = 0", 10, ROWS // 2, id="half of them"),
        pytest.param("SELECT FROM seat FOR UPDATE", 10, ROWS, id="FOR UPDATE"),
    ],
)
def test_rows_that_grow_with_the_table_are_locked_too_long(
    database: Conninfo, tmp_path: Path, statement: str, scale: float, rows: int
) -> None:
    """From the statement that takes them to the commit, multiplied by the scale."""
    (found,) = rows_locked(database, tmp_path, LONG.format(statement), scale)
    assert (Severity.BLOCKER, 2, "public.seat", rows) == (
        found.severity, found.line, found.table, found.evidence["rows"],
    )  # fmt: skip
    assert found.evidence["writer_refused"] is True
    assert 300 < found.evidence["ms"]
    assert found.evidence["scaled_ms"] == pytest.approx(scale * found.evidence["ms"], rel=0.01)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(LONG.format("UPDATE seat SET taken = true WHERE id = 7"), id="one row"),
        pytest.param(LONG.format("INSERT INTO seat SELECT g FROM generate_series(9000, 12000) g"), id="new rows"),
        pytest.param(BATCHES, id="batches with a commit after each"),
    ],
)
def test_rows_that_do_not_grow_are_as_long_as_measured(database: Conninfo, tmp_path: Path, script: str) -> None:
    """A single row, new rows and batches of one size keep nobody waiting longer on a larger table."""
    assert [] == rows_locked(database, tmp_path, script, 50)
