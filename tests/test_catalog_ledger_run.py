"""The catalog ledger in whole runs: what it finds decides, is waived by object, and nothing of ours shows up."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import CONFIGURATION, criterion, outcome, report, run, write

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("postgres")]  # without server programs `postgres` skips by name

LEDGER = {"unjudged-change", "object-changed", "privileges-changed", "trigger-disabled", "settings-changed"}
LIMITED = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 50', current_database()); END $$;\n"
WAIVED = """
[[waivers]]
rule = "settings-changed"
object = "database"
reason = "fifty are enough"
approver = "the owner"
expires = 2099-12-31
"""
ORDINARY = """
SET lock_timeout = '2s';
CREATE TABLE visit (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id bigint NOT NULL, note text);
CREATE INDEX visit_customer ON visit (customer_id);
CREATE VIEW visits AS SELECT customer_id, count(*) AS n FROM visit GROUP BY customer_id;
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER stamped BEFORE INSERT ON visit FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE TYPE channel AS ENUM ('web', 'shop');
ALTER TABLE customer ADD COLUMN country text;
COMMENT ON TABLE customer IS 'who buys';
CREATE TEMPORARY TABLE aside AS SELECT id, note FROM visit;
GRANT SELECT ON customer TO PUBLIC;
"""


def found(folder: Path) -> list[tuple[str, str, str | None, bool]]:
    """What the ledger has reported: rule, severity, object, waived."""
    findings = report(folder)["findings"]
    return [(one["rule"], one["severity"], one["object"], one["waived"]) for one in findings if one["rule"] in LEDGER]


def test_settings_of_the_database_are_no_go(tmp_path):
    """A limit on connections is felt by the running release at once."""
    folder = write(tmp_path, pending=LIMITED)
    assert 1 == run(folder).returncode
    assert [("settings-changed", "blocker", "database", False)] == found(folder)
    assert "failed" == outcome(report(folder), "running-release")[0]


def test_what_the_ledger_reports_is_waived_by_its_object(tmp_path):
    """The waiver names the database, and the run goes on."""
    folder = write(tmp_path, pending=LIMITED, configuration=CONFIGURATION + WAIVED)
    run(folder)
    assert [("settings-changed", "blocker", "database", True)] == found(folder)
    assert criterion(report(folder), "release-compatible")["met"] is True


def test_ordinary_work_and_the_plugin_itself_leave_nothing_to_report(tmp_path):
    """The recorder, its settings and event triggers, temporary tables and the history are nobody's finding."""
    folder = write(tmp_path, pending=ORDINARY)
    assert 0 == run(folder).returncode
    assert [] == found(folder)
