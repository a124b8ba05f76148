"""Copies on the target's own server, `[rehearsal] provider = "target"`, on the staging stand."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest
from projects import outcome
from staging import Staging, staging_stand  # noqa: F401 - a fixture
from staging_runs import (  # noqa: F401 - two are fixtures
    PENDING,
    begin,
    configuration,
    failed,
    nothing_is_left,
    own_stand,
    starting,
    until,
    walked,
    whole_run,
)
from walk import walking

from pytest_dryrun import workspace
from pytest_dryrun.model.values import Outcome
from pytest_dryrun.steps.host_journal import HostJournal

pytestmark = pytest.mark.live

BESIDE = 'provider = "target"'
DATABASES = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database"


@pytest.fixture
def mighty(stand: Staging) -> Iterator[Staging]:
    """The stand, the user of whose `.env` is a superuser."""
    stand.sql("ALTER ROLE edfinance SUPERUSER")
    yield stand
    stand.sql("ALTER ROLE edfinance NOSUPERUSER")


def test_copies_beside_the_target_lead_to_go(mighty, start, tmp_path):
    """The dump never leaves the host, every section is really done, and nothing stays on the server."""
    there = mighty.sql(DATABASES)
    status, said, document = whole_run(start, tmp_path, configuration(mighty, rehearsal=BESIDE))
    assert 0 == status, said
    assert "target" == document["versions"]["provider"]
    assert PENDING == document["migrations"]["applied"]
    assert "passed" == outcome(document, "backup-restores")[0]
    assert any(statement["locks"] for statement in document["statements"])
    assert there == mighty.sql(DATABASES)
    nothing_is_left(mighty)


def test_a_migration_that_loses_data_is_found_on_a_copy_beside_the_target(mighty, start, tmp_path):
    """NO-GO, the target untouched, the copies gone."""
    there = mighty.sql(DATABASES)
    place = f"{mighty.directory}/prisma/migrations/20991231000000_goodbye"
    mighty.ssh(f"mkdir {place} && echo 'DELETE FROM \"Session\";' > {place}/migration.sql")
    rows = mighty.sql('SELECT count(*) FROM "Session"')
    status, said, document = whole_run(start, tmp_path, configuration(mighty, rehearsal=BESIDE))
    assert 1 == status, said
    assert ("NO-GO", False) == (document["headline"], document["target_migrated"])
    assert "failed" == outcome(document, "no-destructive-operations")[0]
    assert rows == mighty.sql('SELECT count(*) FROM "Session"')
    assert there == mighty.sql(DATABASES)


COPIES = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE datname LIKE '%dryrun%'"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_copies_go_with_a_run_that_is_broken_off(mighty, start, disposable, tmp_path, signum):
    """They carry its name, and are gone with it, or with the next one where it could not clear up any more."""
    (tmp_path / "dryrun.toml").write_text(configuration(mighty, rehearsal=BESIDE), encoding="utf-8")
    run = start(tmp_path)
    until(lambda: "_dryrun_template_" in mighty.sql(COPIES), "a copy")
    copies = mighty.sql(COPIES)
    run.send_signal(signum)
    run.communicate(timeout=60)
    document = json.loads((tmp_path / "reports" / "staging" / "report.json").read_text(encoding="utf-8"))
    assert document["run_id"].lower().replace("-", "_") in copies
    if signum is signal.SIGKILL:
        assert "_dryrun_template_" in mighty.sql(COPIES)
        with walked(mighty, tmp_path, disposable) as walk:
            walk.sections(1)
            notes = " ".join(walk.run.parts["notes"])
            assert "making and dropping the databases edfinance_*_" in notes
            assert all(f"{name}; it was dropped" in notes for name in copies.split())
        workspace.sweep()
    assert "" == mighty.sql(COPIES)
    nothing_is_left(mighty)


def test_every_write_is_noted_on_the_host_before_it_is_done(mighty, disposable, tmp_path, monkeypatch):
    """The whole of a run, from the copies to the way back, in the order in which it is done."""
    monkeypatch.setattr(HostJournal, "close", lambda _: None)  # so that it can be read
    api = 'base_url = "http://127.0.0.1:3001"\nrestart = "pm2 restart all"'
    rollback = 'on_no_go = "run"'
    tables = {"api": api, "rehearsal": BESIDE, "rollback": rollback, "smoke": 'command = "true"'}
    begin(mighty, tmp_path, **tables)
    with walking(tmp_path, disposable, name="staging") as walk:
        del walk.run.memo["server"]
        walk.sections(*range(1, 11))
        assert walk.decision().go, walk.run.records
        walk.serving.roll_back()
        assert "done" == walk.run.parts["rollback"]["outcome"], walk.run.parts["rollback"]
    journal = mighty.root(
        "sh", "-c", "cat /var/backups/edfinance/.staging-*.journal; rm /var/backups/edfinance/.*.journal"
    )
    entries = [line.split(" ", 2)[1:] for line in journal.splitlines() if line]
    begun = [what for word, what in entries if word == "began"]
    expected = [
        "making and dropping the databases edfinance_*_",
        "writing the backup staging-",
        f"deploying {', '.join(PENDING)}",
        "trying defaults with rows that are rolled back",
        "restarting the application",
        "checking the application through its API",
        "running the smoke command",
        "restoring the backup into edfinance_dryrun_restored_",
        "restarting and trying the rolled-back application",
    ]
    assert [True] * len(expected) == [one.startswith(head) for one, head in zip(begun, expected, strict=True)], begun
    assert sorted(begun) == sorted(what for word, what in entries if word == "ended")


def test_a_user_who_is_no_superuser_is_told_first(stand, disposable, tmp_path):
    """Nothing could watch the rehearsal, so nothing is begun."""
    with walked(stand, tmp_path, disposable, rehearsal=BESIDE) as walk:
        assert walk.check("ssh-access").outcome is Outcome.PASSED
        assert "is no superuser, and copies beside the target need one" in failed(walk.check("database-credentials"))


def test_a_server_without_room_for_copies_is_left_alone(mighty, disposable, tmp_path):
    """A full disk would stop the target itself."""
    with walked(mighty, tmp_path, disposable, rehearsal=f'{BESIDE}\ncopy_size = "1000TB"') as walk:
        walk.check("ssh-access")
        reason = failed(walk.check("backup-space"))
        assert "/var/lib/postgresql/15/main has " in reason
        assert "MB free, the copies beside the target may need 4,000,000,000 MB" in reason
        assert 'copy_size), or set [rehearsal] provider = "auto"' in reason
        assert "the copies may need" not in reason
        assert walk.check("backup-created").reason.startswith(
            "blocked by backup-space: /var/lib/postgresql/15/main has"
        )
    assert "" == mighty.sql(COPIES)
