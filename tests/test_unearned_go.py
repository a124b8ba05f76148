"""Ways to a GO that was not earned, each tried for real, each closed."""

from __future__ import annotations

import sys

import pytest
from projects import CONFIGURATION, SAFE, outcome, report, run, write

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("postgres")]  # without server programs `postgres` skips by name


OWN = '''
"""Own"""
import pytest
from pytest_dryrun import check
from pytest_dryrun.model.values import Finding, Severity

BLOCKER = Finding("rows-lost", Severity.BLOCKER, "two rows are gone")

@check("with-subtests")
def test_with_subtests(subtests):
    """Its second part fails."""
    for number in range(3):
        with subtests.test(number=number):
            assert number != 1

@pytest.fixture
def late(record):
    yield
    record.note([BLOCKER])

@check("late-finding")
def test_late_finding(late):
    """A finding comes while its fixture ends."""

@check("talked-away")
def test_talked_away(record):
    """First a finding, then an excuse."""
    record.note([BLOCKER])
    record.not_applicable("it is Friday")

@check("turned-green")
def test_turned_green():
    """Somebody's hook turns it red after we have seen it."""
'''
HOOKS = """
import pytest

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if item.name.startswith("test_turned_green") and report.when == "call":
        report.outcome, report.longrepr = "failed", "a soft assertion of another plugin"
    return report

@pytest.hookimpl(trylast=True)
def pytest_sessionfinish():
    pytest.exit("all is well", returncode=0)
"""


def test_a_check_cannot_talk_its_way_out(tmp_path):
    """Failing subtests, late findings, excuses after findings, other plugins' verdicts and exit statuses."""
    folder = write(tmp_path, checks={"test_09_own.py": OWN})
    (folder / "conftest.py").write_text(HOOKS, encoding="utf-8")
    done = run(folder)
    assert done.returncode == 1, done.stdout
    document = report(folder)
    assert document["decision"] == "NO-GO"
    for slug in ("with-subtests", "late-finding", "talked-away", "turned-green"):
        assert "failed" == outcome(document, slug)[0], slug


def test_a_fixture_in_the_place_of_a_step_is_refused(tmp_path):
    """A project's `rollback` would prove a rollback that never was."""
    folder = write(tmp_path)
    text = "import pytest\n@pytest.fixture(scope='session')\ndef rollback():\n    return None\n"
    (folder / "conftest.py").write_text(text, encoding="utf-8")
    done = run(folder)
    assert done.returncode == 4
    assert "The fixture 'rollback' of conftest stands in the place of the dry run's own" in done.stdout + done.stderr


def test_assertions_that_were_optimized_away_are_noticed(tmp_path):
    """`-O` with plain assertions would pass everything."""
    done = run(write(tmp_path), "--assert=plain", PYTHONOPTIMIZE="1")
    assert done.returncode == 4
    assert "assertions are left out" in done.stderr


PENDING = """
SET lock_timeout = '2s';
SELECT setval('customer_number_seq', 1, false);
-- dryrun: allow table-dropped because nobody reads the scratch table
DROP TABLE scratch CASCADE;
SELECT tidy();
"""
INIT = """
CREATE TABLE customer (id bigint PRIMARY KEY, number serial, name text NOT NULL, email text);
CREATE TABLE "order" (id bigint PRIMARY KEY, customer_id bigint NOT NULL, total numeric NOT NULL);
CREATE TABLE scratch (id int PRIMARY KEY);
INSERT INTO scratch VALUES (1);
CREATE FUNCTION tidy() RETURNS void LANGUAGE sql AS 'DROP TABLE "order"';
"""
SEED = """
INSERT INTO customer (id, name) SELECT i, 'c' || i FROM generate_series(1, 300) i;
INSERT INTO "order" SELECT i, i, i FROM generate_series(1, 200) i;
"""


def test_a_waiver_does_not_stretch_and_a_sequence_is_not_set_back(tmp_path):
    """What a function drops is not waived with the table above it; a reset sequence is a blocker of its own."""
    folder = write(tmp_path, pending=PENDING, init=INIT, seed=SEED)
    assert run(folder).returncode == 1
    document = report(folder)
    found = {
        (item["rule"], item["table"]): item["waived"] for item in document["findings"] if item["severity"] == "blocker"
    }
    assert found[("table-dropped", "public.scratch")] is True
    assert found[("table-dropped", 'public."order"')] is False
    assert found[("sequence-reset", "public.customer_number_seq")] is False
    assert document["target_migrated"] is False


EDITING = """
from pathlib import Path
from pytest_dryrun import check

@check("editing")
def test_editing(rehearsal):
    '''Edits the migration after it was rehearsed.'''
    path = Path("migrations/002_pending.sql")
    path.write_text(path.read_text() + "DELETE FROM customer;")
"""


def test_what_was_not_rehearsed_is_not_applied(tmp_path):
    """A file edited between rehearsal and apply stops the run before the target."""
    folder = write(tmp_path, checks={"test_04_own.py": EDITING})
    assert run(folder).returncode == 1
    state, reason = outcome(report(folder), "migrations-applied")
    assert ("blocked", True) == (state, "since the rehearsal 002_pending.sql changed" in reason)
    assert report(folder)["target_migrated"] is False


STRANGER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_an_api_that_uses_another_database_proves_nothing(tmp_path):
    """It answers, and the target never saw a session of it; a project variable that looks like a number is shown."""
    configuration = CONFIGURATION.replace('name = "tiny"', 'name = "tiny"\nepic = "${TICKET}"')
    configuration = configuration[: configuration.index("[decision")]
    configuration += f'[targets.local.api]\nstart = "{sys.executable} api.py {{port}}"\nhealth = "/health"\n'
    folder = write(tmp_path, configuration=configuration, pending=SAFE)
    (folder / "api.py").write_text(STRANGER, encoding="utf-8")
    assert run(folder, TICKET="2000").returncode == 1
    document = report(folder)
    assert "2000" == document["project"]["epic"]
    state, reason = outcome(document, "api-health")
    assert ("failed", True) == (state, "no session in the target was used by it" in reason)


def test_a_folder_without_migrations_is_not_nothing_to_do(tmp_path):
    """A wrong path must not become a GO over nothing."""
    folder = write(tmp_path, configuration=CONFIGURATION.replace('directory = "migrations"', 'directory = "empty"'))
    (folder / "empty").mkdir()
    assert run(folder).returncode != 0
    assert "holds no *.sql files" in outcome(report(folder), "database-credentials")[1]


def test_a_failure_that_was_expected_outside_the_checklist_forbids_nothing(tmp_path):
    """What pytest itself does not call a failure is none."""
    text = '"""Own"""\nimport pytest\n\n@pytest.mark.xfail(reason="known")\ndef test_known():\n    raise ValueError\n'
    done = run(write(tmp_path, checks={"test_06_own.py": text}))
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "GO" == report(tmp_path)["decision"]
