"""Whole runs whose migrations reach outside, or only look as if they did."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import SEED, outcome, report, run, write

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("postgres")]  # without server programs `postgres` skips by name

ROLE = "CREATE ROLE reporting NOLOGIN;\nGRANT SELECT ON customer TO reporting;\n"
CAUGHT = """{waiver}DO $$ BEGIN PERFORM pg_reload_conf(); EXCEPTION WHEN OTHERS THEN RAISE NOTICE 'not now'; END $$;
"""
WAIVER = "-- dryrun: allow reaches-outside because the server may read its files again at any time\n"
# What nobody listens to: a migration that leaves it alone must neither need it nor stumble over it.
FOREIGN = """
CREATE EXTENSION postgres_fdw;
CREATE SERVER gone FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1', dbname 'gone');
CREATE USER MAPPING FOR PUBLIC SERVER gone OPTIONS (user 'u', password 'not-in-the-report');
CREATE FOREIGN TABLE far (id int) SERVER gone;
CREATE TABLE reading (id int, y int) PARTITION BY LIST (y);
CREATE TABLE reading_now PARTITION OF reading FOR VALUES IN (2026);
CREATE FOREIGN TABLE reading_old PARTITION OF reading FOR VALUES IN (2019) SERVER gone;
CREATE SUBSCRIPTION theirs CONNECTION 'host=127.0.0.1 port=1 password=not-in-the-report' PUBLICATION p
    WITH (connect = false, slot_name = NONE);
COMMENT ON SUBSCRIPTION theirs IS 'orders of the shop';
"""


def outside(folder: Path) -> list[tuple[int, bool]]:
    """Line and whether it is waived, of each finding."""
    return [(one["line"], one["waived"]) for one in report(folder)["findings"] if one["rule"] == "reaches-outside"]


def test_a_role_is_made_on_the_target_although_the_rehearsal_made_it(tmp_path):
    """Roles are the whole server's, and the copy's one is gone before the target's turn."""
    done = run(write(tmp_path, pending=ROLE))
    assert 0 == done.returncode, done.stdout


def test_a_database_is_not_made_anywhere(tmp_path):
    """The rehearsal does not run it, the target is not touched, and a waiver changes neither."""
    folder = write(tmp_path, pending=f"{WAIVER}CREATE DATABASE reports;\n")
    done = run(folder)
    assert 1 == done.returncode, done.stdout
    document = report(folder)
    assert [(2, True)] == outside(folder)
    assert "blocked" == outcome(document, "no-destructive-operations")[0]
    assert ("NO-GO", []) == (document["decision"], document["migrations"]["applied"])


@pytest.mark.parametrize(("waiver", "status"), [("", 1), (WAIVER, 0)], ids=["open", "waived"])
def test_a_caught_error_may_be_waived(tmp_path, waiver, status):
    """The rehearsal itself was harmless and came to its end, so the finding is all that stands in the way."""
    folder = write(tmp_path, pending=CAUGHT.format(waiver=waiver))
    done = run(folder)
    assert status == done.returncode, done.stdout
    assert [(2 if waiver else 1, bool(waiver))] == outside(folder)


def test_a_database_with_links_to_others_is_migrated_as_any(tmp_path):
    """Foreign tables, a foreign partition and a subscription are in the way of nothing."""
    folder = write(tmp_path, seed=SEED + FOREIGN)
    done = run(folder)
    assert 0 == done.returncode, done.stdout
    assert [] == outside(folder)
    assert "not-in-the-report" not in (folder / "reports" / "local" / "report.json").read_text(encoding="utf-8")
