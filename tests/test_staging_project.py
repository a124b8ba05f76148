"""What a project brings along on a staging host: its own checks, its P0 list and logs, and its secrets."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest
from projects import outcome
from staging import Staging, staging_stand  # noqa: F401 - a fixture
from staging_runs import (
    PENDING,
    applied,
    configuration,
    cut,
    failed,
    finished,
    own_stand,  # noqa: F401 - a fixture
    password,
    processes_seen,
    signed_in,
    starting,  # noqa: F401 - a fixture
    told_nowhere,
    until,
    wait_for,
    walked,
    whole_run,
)

from pytest_dryrun.model.redaction import MASK
from pytest_dryrun.model.values import Outcome

pytestmark = pytest.mark.live

OWN = '''"""Smoke"""

from pytest_dryrun import check


@check("auth-flow", criterion="crud-pass")
def test_auth_flow(api, record):
    """Who has signed in is known."""
    answer = api.get("/api/auth/me")
    record.fact("Signed in as", answer.json().get("id", "nobody"))
    assert answer.status_code == 200, answer.text

'''


def test_a_projects_own_checks_reach_the_application_with_their_token(stand, start, tmp_path):
    """Through the tunnel; P0 command and logs are asked on the host, and what they say counts."""
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "test_07_own.py").write_text(OWN, encoding="utf-8")
    stand.application("mkdir -p log && echo 'ERROR: long ago' > log/app.log")
    bugs = 'command = "true"\nlogs = ["log/app.log"]'
    status, said, document = whole_run(start, tmp_path, configuration(stand, api=signed_in(stand), p0=bugs))
    assert 0 == status, said
    facts = {fact["name"]: fact["value"] for check in document["checks"] for fact in check["facts"]}
    assert "passed" == outcome(document, "auth-flow")[0]
    assert facts["Signed in as"] not in {"", "nobody"}
    assert "passed" == outcome(document, "p0-bugs")[0]
    assert PENDING == applied(stand)


@pytest.mark.parametrize(
    ("bugs", "says"),
    [
        ('command = "echo BUG-1 the payments are gone"', "BUG-1 the payments are gone"),
        ('logs = ["log/app.log"]', "FATAL: out of seats"),
        ('command = "cat no-such-list"', "The P0 bug command failed with status 1"),
    ],
    ids=["an open bug", "a new line of a log", "nobody knows"],
)
def test_what_speaks_against_a_go_on_the_host_is_told(stand, disposable, tmp_path, bugs, says):
    """Logs count from the first login on."""
    stand.application("mkdir -p log && echo 'FATAL: long ago' > log/app.log")
    with walked(stand, tmp_path, disposable, p0=bugs) as walk:
        assert walk.check("ssh-access").outcome is Outcome.PASSED
        stand.application("echo 'FATAL: out of seats' >> log/app.log")
        reason = failed(walk.check("p0-bugs"))
        assert says in reason
        assert "long ago" not in reason
        assert not walk.decision().go


# What a failing run may print of what it was given.
LOUD = 'sh -c \'echo "$DATABASE_URL"; cat .env; echo "{token}" >&2; exit 1\''
FAILING = {
    "a smoke command that prints them": {"smoke": f'command = """{LOUD}"""'},
    "a deployment that prints them": {
        "migrations": f'tool = "sql"\ndirectory = "sql"\ndeploy = """{LOUD}"""',
    },
    "a rollback": {"smoke": f'command = """{LOUD}"""', "rollback": 'on_no_go = "run"\nrestart = "pm2 restart all"'},
    "a link that is cut": {"smoke": 'command = "sleep 300"'},
}


@pytest.mark.parametrize("what", FAILING)
def test_no_secret_is_told_where_a_run_fails(stand, start, tmp_path, monkeypatch, what):
    """Neither the password of the `.env` nor the token, as they are or percent-encoded, wherever a run leaves words."""
    token = f"t/k+{secrets.token_urlsafe(16)}%"
    monkeypatch.setenv("STAGING_TOKEN", token)
    other = secrets.token_urlsafe(16)
    stand.application(f"echo JWT_SECRET={other} >> .env")
    tables = {name: text.replace("{token}", token) for name, text in FAILING[what].items()}
    api = 'base_url = "http://127.0.0.1:3001"\ntoken = "${STAGING_TOKEN}"'
    if "sql" in tables.get("migrations", ""):
        stand.application("mkdir sql && echo 'CREATE TABLE one (id int);' > sql/001_one.sql")
    (tmp_path / "dryrun.toml").write_text(configuration(stand, api=api, **tables), encoding="utf-8")
    with processes_seen() as processes:
        run = start(tmp_path)
        if "link" in what:
            wait_for(stand, "sleep 300")
            cut(stand)
        status, said, document = finished(run, tmp_path)
    stand.ssh("pkill -x sleep")
    assert 1 == status, said
    assert ("ROLLBACK & FIX", True) == (document["headline"], document["target_migrated"])
    assert ("rollback" in what) is document["rolled_back"]
    # The token stands in the command that the configuration gives: that is its author's own doing.
    processes = {line for line in processes if "sh -c" not in line}
    told_nowhere([password(stand), token, other], stand, tmp_path, said, processes)
    assert "link" in what or MASK in said


def test_no_secret_is_told_where_the_password_is_wrong(stand, start, tmp_path):
    """The server's own words name the user, not what was tried."""
    secret = password(stand)
    wrong = f"wr@ng/{secrets.token_urlsafe(12)}"
    spelled = wrong.replace("@", "%40").replace("/", "%2F")
    stand.application(f"sed -i 's#//edfinance:[^@]*@#//edfinance:{spelled}@#' .env")
    with processes_seen() as processes:
        status, said, document = whole_run(start, tmp_path, configuration(stand))
    assert 1 == status, said
    assert "refused the password of user 'edfinance'" in outcome(document, "database-credentials")[1]
    processes = {line for line in processes if "sed -i" not in line}
    told_nowhere([secret, wrong, spelled], stand, tmp_path, said, processes)


def test_somebody_elses_session_does_not_prove_what_the_application_uses(stand, disposable, tmp_path):
    """An exporter or a forgotten psql has nothing to say, whether the target's own user may see it or not."""
    sleeps = "psql -U postgres -d edfinance -c 'SELECT pg_sleep(8)'"
    with walked(stand, tmp_path, disposable) as walk, ThreadPoolExecutor(1) as pool:
        walk.sections(1)
        stand.ssh("pm2 stop all")
        walk.serving._start_api(walk.run.database().conninfo)
        busy = pool.submit(stand.root, "runuser", "-u", "postgres", "--", "sh", "-c", sleeps)
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        until(lambda: stand.sql(query) == "1", "somebody else's session")
        assert not walk.serving.reaches_target(timeout_s=1)
        busy.result()


def test_a_password_that_is_a_name_everywhere_does_not_hide_the_names(stand, disposable, tmp_path):
    """The way back is typed at night from the page: `dropdb --force [redacted]` helps nobody."""
    url = "postgresql://edfinance:edfinance@127.0.0.1:5432/edfinance"
    stand.sql("ALTER ROLE edfinance PASSWORD 'edfinance'")
    stand.application(f"echo DATABASE_URL={url} > .env")
    with walked(stand, tmp_path, disposable) as walk:
        walk.sections(1)
        assert Outcome.PASSED is walk.run.records["database-credentials"].outcome
        assert "dropdb --force edfinance" == walk.run.redactor.text("dropdb --force edfinance")
        assert MASK == walk.run.redactor.text(url)
        assert any("cannot be kept out of the reports" in note for note in walk.run.parts["notes"])
