"""No code path writes to production: neither to a target of that role, nor to a database that is listed under one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from staging import Staging, staging_stand  # noqa: F401 - a fixture
from staging_runs import begin, borrowed_stand, configuration  # noqa: F401 - one is a fixture
from walk import Walk, walking

from pytest_dryrun.local_run import LocalRun
from pytest_dryrun.model.errors import ConfigurationError, TargetUnusable
from pytest_dryrun.postgres.disposable import Disposable
from pytest_dryrun.staging_access import StagingAccess
from pytest_dryrun.staging_application import StagingApplication
from pytest_dryrun.staging_copies import StagingCopies
from pytest_dryrun.staging_run import StagingRun
from pytest_dryrun.staging_serving import StagingServing

# What a staging run does that writes somewhere, or leads there; each asked for by itself.
STEPS = (
    "backup",
    "restored",
    "template",
    "rehearsal",
    "applied",
    "rollback",
    "bring_back",
    "login",
    "server",
    "deploying",
    "hold_again",
    "journal",
    "project_files",
    "replacing",
    "backup_room",
    "copy_bytes",
    "room_for_copies",
    "room_on_target",
    "integrity",
    "longest_transaction",
    "sent_statements",
)
# The same of what needs the application.
SERVING = ("api", "client", "restarted", "smoke", "latency", "open_bugs")


def tried(asked: Callable[[], object]) -> None:
    """Do a step; one that lasts as long as a block is entered."""
    done = asked()
    if isinstance(done, AbstractContextManager):
        with done:
            pass


@pytest.mark.parametrize("kind", [LocalRun, StagingRun], ids=["local", "staging"])
def test_a_run_of_a_production_target_cannot_be_made(kind, disposable, tmp_path):
    """Whoever comes by another way than the command line is refused as well."""
    text = '[project]\nname = "shop"\n[targets.live]\nrole = "production"\n[targets.live.ssh]\nhost = "127.0.0.1"\n'
    (tmp_path / "dryrun.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="which is never run"):
        Walk(tmp_path, disposable, name="live", kind=kind)


def public(*classes: type) -> set[str]:
    """The steps that these classes define."""
    found = {name: value for each in classes for name, value in vars(each).items() if not name.startswith("_")}
    return {name for name, value in found.items() if inspect.isfunction(value)}


def test_every_step_that_asks_for_the_database_is_tried():
    """A new public step of a staging run has to be listed here, or among those that touch no database."""
    harmless = {"access", "remote", "log_marks", "database", "read_status", "busy_tables", "files_now"}
    harmless |= {"tell_way_back", "copy_name", "rehearsed_migrations", "take_backup", "database_rooms"}
    assert {*STEPS} == public(StagingAccess, StagingCopies, StagingRun) - harmless | {"rehearsal", "applied", "backup"}
    looking = {"way", "reaches_target", "watch", "sampler"}
    reached = {"statistics_at", "counted_before", "statement_statistics", "top_statements"}
    reached |= {"timed_before", "processes_before", "roll_back", "require_latency"}
    assert {*SERVING} == public(StagingApplication, StagingServing) - looking - reached | {"api", "latency"}


@pytest.mark.live
@pytest.mark.parametrize("mode", ["print", "run"])
def test_no_step_writes_to_a_database_that_is_listed_under_production(
    borrowed: Staging, disposable: Disposable, tmp_path: Path, mode: str
):
    """Every step by itself ends at the guard; no file, no database, no row and no session of ours is there after it."""
    looks = (
        "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database",
        "SELECT count(*) FROM _prisma_migrations",
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
    )
    before = [borrowed.sql(look) for look in looks]
    rollback = f'on_no_go = "{mode}"'
    api = 'base_url = "http://127.0.0.1:3001"\nrestart = "pm2 restart all"\nstatus = "pm2 jlist"'
    rehearsal = 'provider = "target"' if mode == "run" else ""
    begin(borrowed, tmp_path, rollback=rollback, rehearsal=rehearsal, api=api, smoke='command = "touch smoked"')
    path = tmp_path / "dryrun.toml"
    listed = '\n[targets.live]\nrole = "production"\n[targets.live.database]\nname = "edfinance"\n'
    path.write_text(path.read_text(encoding="utf-8") + listed, encoding="utf-8")
    with walking(tmp_path, disposable, name="staging") as walk:
        walk.passed(1, 2, 3, 4)
        for name in STEPS:
            kept = {"remote": walk.run.memo.get("remote")} if "remote" in walk.run.memo else {}
            walk.run.memo.clear()
            walk.run.memo.update(kept)
            with pytest.raises(TargetUnusable, match="which is production"):
                tried(getattr(walk.run, name))
        for name in SERVING:
            walk.run.memo.clear()
            walk.run.memo.update(kept)
            walk.serving.memo.clear()
            with pytest.raises(TargetUnusable, match="which is production"):
                getattr(walk.serving, name)()
        walk.run.publish(target_migrated=True)
        walk.serving.roll_back()
        assert walk.run.parts.get("rolled_back") is None
    assert before == [borrowed.sql(look) for look in looks]
    assert "" == borrowed.root("ls", "-A", "/var/backups/edfinance").strip()
