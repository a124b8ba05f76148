"""The application of a staging host under pm2: restarted on the migrated database, online, and no crash unseen."""

from __future__ import annotations

import pytest
from staging import Staging, staging_stand  # noqa: F401 - a fixture
from staging_runs import configuration, failed, own_stand, walked  # noqa: F401 - one is a fixture

from pytest_dryrun.model.values import Outcome

pytestmark = pytest.mark.live

API = 'base_url = "http://127.0.0.1:3001"\nstatus = "pm2 jlist"'
RESTARTED = f'{API}\nrestart = "pm2 restart all"'
# Whoever listens where the API is asked.
KILL = """command = "sh -c 'pkill -KILL -f s[t]art-api; pkill -KILL -f a[p]i.py; sleep 2'\""""


def pm2(stand: Staging, command: str) -> None:
    """Let the user of the application tell pm2 something."""
    done = stand.application(f"pm2 {command}")
    assert done.returncode == 0, done.stderr


def facts(walk, slug: str) -> dict[str, object]:
    """What a check has recorded."""
    return {fact.name: fact.value for fact in walk.run.records[slug].facts}


def test_the_application_is_restarted_on_the_migrated_database(stand, disposable, tmp_path):
    """As the production deployment will do it, before anybody asks the API; the restart itself is no crash."""
    with walked(stand, tmp_path, disposable, api=RESTARTED) as walk:
        walk.sections(1, 2, 3, 4, 5)
        before = stand.ssh("pgrep -f api.py").stdout
        walk.sections(7, 9)

        assert before != stand.ssh("pgrep -f api.py").stdout
        told = facts(walk, "api-health")
        assert "pm2 restart all" == told["Restarted"]
        [process] = told["Processes"]
        assert process.startswith("api: online, restarted")
        assert Outcome.PASSED is walk.run.records["p0-bugs"].outcome
        assert walk.decision().go, walk.run.records


def test_a_process_that_is_not_online_is_named(stand, disposable, tmp_path):
    """The API answers, and a worker beside it does not run any more; what was stopped before is only shown."""
    pm2(stand, "start 'sleep 1000' --name worker && pm2 start 'sleep 1001' --name spare && pm2 stop spare")
    try:
        with walked(stand, tmp_path, disposable, api=f"{API}\ntimeout_s = 3") as walk:
            walk.sections(1, 2, 3, 4, 5)
            pm2(stand, "stop worker")
            assert "worker is stopped, not online" == failed(walk.check("api-health"))
            assert ["api: online", "worker: stopped", "spare: stopped"] == [
                told.partition(",")[0] for told in facts(walk, "api-health")["Processes"]
            ]
            assert not walk.decision().go
    finally:
        pm2(stand, "delete worker spare")


def test_a_crash_while_the_application_is_used_is_seen(stand, disposable, tmp_path):
    """Pm2 has it online again before anybody looks, and no log tells."""
    with walked(stand, tmp_path, disposable, api=API, smoke=KILL) as walk:
        walk.sections(1, 2, 3, 4, 5, 7)
        assert Outcome.PASSED is walk.run.records["smoke-command"].outcome
        assert "api ended while it was used, and was restarted once" in failed(walk.check("p0-bugs"))
        assert not walk.decision().go


@pytest.mark.parametrize(
    ("restart", "says"),
    [
        ("sh -c 'echo no such process >&2; exit 1'", "ended with status 1: no such process"),
        ("pm2 stop all", "api is stopped, not online"),
    ],
    ids=["the restart fails", "it does not come back"],
)
def test_an_application_that_does_not_come_back_is_red(stand, disposable, tmp_path, restart, says):
    """The deployment would have ended there."""
    api = f'{API}\nrestart = "{restart}"\ntimeout_s = 3'
    with walked(stand, tmp_path, disposable, api=api, p0='command = "true"') as walk:
        walk.sections(1, 2, 3, 4, 5, 7)
        assert says in failed(walk.run.records["api-health"])
        assert walk.check("p0-bugs").outcome in {Outcome.FAILED, Outcome.BLOCKED}
        assert not walk.decision().go


def test_nothing_is_asked_of_pm2_before_the_target_is_migrated(stand, disposable, tmp_path):
    """A run that is stopped by its gate neither restarts the application nor calls its absence a bug."""
    with walked(stand, tmp_path, disposable, api=RESTARTED, backup='directory = "/proc/none"') as walk:
        before = stand.ssh("pgrep -f api.py").stdout
        walk.sections(1, 2, 3, 4, 5, 7)
        record = walk.check("p0-bugs")

        assert Outcome.BLOCKED is record.outcome
        assert "restarted" not in walk.serving.memo or walk.serving.memo["restarted"][1] is not None
        assert before == stand.ssh("pgrep -f api.py").stdout


def test_a_status_that_cannot_be_told_keeps_the_target_as_it_is(stand, disposable, tmp_path):
    """Who cannot say before the deployment what runs could not say it afterwards."""
    api = API.replace("pm2 jlist", "env PM2_HOME=/tmp/nobodys pm2 jlist")
    with walked(stand, tmp_path, disposable, api=api) as walk:
        walk.sections(1, 2, 3, 4, 5)
        assert "lists no process (status 0)" in failed(walk.run.records["migrations-applied"])
        assert not walk.run.parts.get("target_migrated")
    stand.ssh("PM2_HOME=/tmp/nobodys pm2 kill; rm -rf /tmp/nobodys")


def test_a_command_that_tells_nothing_is_refused_before_anything_is_done(staging, pytester):
    """`pm2 status` ends with 0 whatever state the application is in."""
    text = configuration(staging, api=API.replace("jlist", "status"))
    (pytester.path / "dryrun.toml").write_text(text, encoding="utf-8")

    ended = pytester.runpytest_subprocess("--dryrun-target=staging")

    assert 4 == ended.ret
    assert "ends with status 0 whatever it shows" in ended.stderr.str()
