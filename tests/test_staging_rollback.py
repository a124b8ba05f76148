"""`[rollback] on_no_go = "run"` on the staging stand: what brings the target back, and what leaves that to a person."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from projects import outcome
from staging import REPOSITORY, Staging, staging_stand  # noqa: F401 - a fixture
from staging_runs import (  # noqa: F401 - two are fixtures
    PENDING,
    PRISMA,
    SLEEPS,
    SLOW,
    TIMED,
    applied,
    asleep,
    begin,
    configuration,
    contents,
    failed,
    finished,
    inside,
    nothing_is_left,
    own_stand,
    put,
    signed_in,
    starting,
    until,
    walked,
)
from walk import walking

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.model.values import Outcome
from pytest_dryrun.steps import holding, neighbours, way_back

pytestmark = pytest.mark.live

RUN = 'on_no_go = "run"\nrestart = "pm2 restart all"'
ONCE_RED = "command = \"sh -c 'test -e ../second || { touch ../second; echo no course >&2; exit 1; }'\""
SIGNED_IN = TIMED.replace('"/api/health"', '"/api/health", "/api/auth/me"')


def databases(stand: Staging) -> str:
    """The names of all databases there."""
    return stand.sql("SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database")


def told(document: dict[str, Any]) -> str:
    """What the report says of the rollback."""
    return "\n".join(document["rollback"]["said"])


def was_brought_back(document: dict[str, Any]) -> None:
    """It was migrated, and is what it was."""
    what = (document["target_migrated"], document["rolled_back"], document["rollback"]["outcome"])
    assert (True, True, "done") == what, told(document)


def test_a_target_that_does_not_stand_the_smoke_test_is_brought_back(stand, start, tmp_path):
    """Also where pytest itself stops at the first failure: the very rows, settings and grants of before, and an API."""
    stand.sql("ALTER DATABASE edfinance SET work_mem = '5MB'; REVOKE TEMPORARY ON DATABASE edfinance FROM PUBLIC;")
    before, there = contents(stand), databases(stand)
    (tmp_path / "dryrun.toml").write_text(configuration(stand, rollback=RUN, smoke=ONCE_RED), encoding="utf-8")
    status, said, document = finished(start(tmp_path, "-x"), tmp_path)
    assert 1 == status, said
    assert "failed" == outcome(document, "smoke-command")[0]
    assert ("ROLLBACK & FIX", True, True) == (
        document["headline"],
        document["target_migrated"],
        document["rolled_back"],
    )
    assert "done" == document["rollback"]["outcome"], told(document)
    assert "Restarted: pm2 restart all" in told(document)
    assert "/api/health: 200" in told(document)
    assert "The smoke command passed" in told(document)
    assert "has been rolled back" in said
    assert before == contents(stand)
    assert there == databases(stand)
    assert [] == applied(stand)
    nothing_is_left(stand)


ONLY_THERE = """DO $$ BEGIN
  IF current_database() = 'edfinance' THEN UPDATE "Coupon" SET "percentOff" = 7; END IF;
END $$;"""


def test_a_hazard_that_is_deployed_is_brought_back(stand, start, tmp_path):
    """What shows only when the target is migrated: NO-GO for its reason, and the very rows of before."""
    before, there = contents(stand), databases(stand)
    put(stand, "20991231000000_hazard", ONLY_THERE)
    (tmp_path / "dryrun.toml").write_text(configuration(stand, rollback=RUN), encoding="utf-8")
    status, said, document = finished(start(tmp_path), tmp_path)
    assert 1 == status, said
    assert "failed" == outcome(document, "rows-intact")[0]
    was_brought_back(document)
    assert before == contents(stand)
    assert there == databases(stand)
    nothing_is_left(stand)


OUTSIDE = """# Integrity

def test_something_else():
    assert False, "not a check"
"""


def test_a_failure_outside_the_checklist_brings_it_back_too(stand, start, tmp_path):
    """Whatever makes it a NO-GO after applying: the configuration wants the target to be what it was then."""
    before = contents(stand)
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "test_06_outside.py").write_text(OUTSIDE, encoding="utf-8")
    (tmp_path / "dryrun.toml").write_text(configuration(stand, rollback=RUN), encoding="utf-8")
    status, said, document = finished(start(tmp_path), tmp_path)
    assert 1 == status, said
    was_brought_back(document)
    assert before == contents(stand)


SMALL = "/var/lib/small"


@pytest.fixture
def cramped(stand: Staging) -> Iterator[Staging]:
    """The stand, whose database has a file system of 110 MB to itself."""
    stand.root("install", "-d", SMALL)
    inside("mount", "-t", "tmpfs", "-o", "size=110m", "none", SMALL)
    stand.root("install", "-d", "-o", "postgres", "-m", "0700", f"{SMALL}/data")
    stand.sql(f"CREATE TABLESPACE small LOCATION '{SMALL}/data'", "postgres")
    stand.sql("GRANT CREATE ON TABLESPACE small TO edfinance; DROP DATABASE edfinance WITH (FORCE)", "postgres")
    made = "CREATE DATABASE edfinance OWNER edfinance TEMPLATE edfinance_pristine TABLESPACE small STRATEGY FILE_COPY"
    stand.sql(made, "postgres")
    stand.ssh("pm2 restart all")
    yield stand
    stand.root("rm", "-f", f"{SMALL}/filling")
    there = "SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database d, pg_tablespace t"
    stand.sql(rf"{there} WHERE d.dattablespace = t.oid AND spcname = 'small' \gexec", "postgres")
    stand.sql("DROP TABLESPACE small", "postgres")
    inside("umount", SMALL)
    stand.root("rmdir", SMALL)


def test_a_server_without_room_for_a_second_copy(cramped, disposable, tmp_path):
    """A full disk stops the target: so it is asked before anything is written, and again before it is brought back."""
    with walked(cramped, tmp_path, disposable, rollback=RUN) as walk:
        walk.check("ssh-access")
        reason = failed(walk.check("backup-space"))
        assert f"{SMALL}/data has " in reason
        assert "MB free, bringing the target back may need " in reason
        walk.sections(2, 3, 4, 5)
        assert walk.run.records["migrations-applied"].outcome is not Outcome.PASSED
        assert not walk.run.parts.get("target_migrated")
    inside("mount", "-o", "remount,size=300m", SMALL)
    (tmp_path / "next").mkdir()
    with walked(cramped, tmp_path / "next", disposable, rollback=RUN) as walk:
        walk.sections(1, 2, 3, 4, 5)
        facts = {fact.name: fact.value for fact in walk.run.records["backup-space"].facts}
        assert facts["Needed for bringing the target back"] < facts["Free for bringing the target back"] < 300e6
        assert PENDING == applied(cramped)
        cramped.root("sh", "-c", f"head -c 200000000 /dev/zero >{SMALL}/filling")
        there = databases(cramped)
        walk.serving.roll_back()
        told = walk.run.parts["rollback"]
        assert "failed" == told["outcome"]
        assert "a full disk would stop the server, so it was not restored." in " ".join(told["said"])
        assert "The target is still the migrated database." in " ".join(told["said"])
        assert (there, PENDING) == (databases(cramped), applied(cramped))


@pytest.fixture
def plain(stand: Staging) -> Iterator[Staging]:
    """The stand, whose user may see nothing of the server but its own."""
    stand.sql("REVOKE pg_monitor FROM edfinance")
    yield stand
    stand.sql("GRANT pg_monitor TO edfinance; GRANT SELECT ON pg_stat_statements TO PUBLIC", "postgres")


def test_a_user_who_may_see_nothing_but_its_own(plain, disposable, tmp_path):
    """Room that it cannot ask for is said to be unknown; its own statements are enough to tell the slow ones."""
    with walked(plain, tmp_path, disposable, rollback=RUN) as walk:
        walk.sections(*range(1, 9))
        plain.sql("SELECT pg_sleep(1)")  # as somebody else
        walk.sections(9, 10)
        assert walk.decision().go, walk.run.records
        [room] = [text for text in walk.run.parts["notes"] if "full disk" in text]
        assert "how much still fits on the disk of the target's server is not known: user 'edfinance' may not" in room
        assert (
            '(GRANT pg_read_all_settings TO "edfinance" would let it). Bringing the target back may need 2 times'
            in room
        )
        [statements] = [fact.value for fact in walk.run.records["slow-queries"].facts]
        assert any('"User"' in text for text in statements)
        assert not any("pg_sleep" in text or "other roles" in text for text in statements)
        [note] = [text for text in walk.run.parts["notes"] if "pg_read_all_stats" in text]
        assert "calls of other roles than 'edfinance' were not judged, for it may not read them" in note


def test_copies_that_do_not_fit_here(stand, disposable, tmp_path):
    """Said before the dump is fetched, which would fill the disk."""
    with walked(stand, tmp_path, disposable, rehearsal='copy_size = "1000TB"') as walk:
        walk.check("ssh-access")
        reason = failed(walk.check("backup-space"))
        assert f"{walk.run.workspace().path} here has " in reason
        assert "MB free, the copies may need 3,000,000,000 MB: free space there, say what a copy takes" in reason
        assert '([rehearsal] copy_size), or let them stand beside the target (provider = "target")' in reason
        assert walk.check("backup-created").reason.startswith("blocked by backup-space: ")
        assert not (walk.run.workspace().path / "backup").exists()
    assert "" == stand.root("ls", "-A", "/var/backups/edfinance").strip()


# Slow statements


@pytest.fixture
def uncounted(stand: Staging) -> Iterator[Staging]:
    """The stand, whose server counts no statements."""
    stand.sql("DROP EXTENSION pg_stat_statements", "postgres")
    yield stand
    stand.sql("CREATE EXTENSION pg_stat_statements", "postgres")


@pytest.mark.parametrize(
    ("settings", "cure"),
    [
        (TIMED, "or set [performance] slow_queries = false"),
        ("", "or name [performance] requests or queries to be timed and set"),
    ],
    ids=["others are timed", "nothing else is timed"],
)
def test_a_server_that_counts_no_statements(uncounted, disposable, tmp_path, settings, cure):
    """Slow ones could not be told once it is migrated: so it is not, and hardly anything is done before."""
    with walked(uncounted, tmp_path, disposable, performance=settings) as walk:
        walk.sections(1, 2)
        reason = failed(walk.check("backup-created"))
        assert 3 == len(reason.splitlines())
        assert "Slow statements cannot be told: the extension pg_stat_statements is not in database 'edf" in reason
        assert "so nothing was touched" in reason
        assert "CREATE EXTENSION pg_stat_statements in postgres" in reason
        assert cure in reason
        assert walk.check("backup-restores").reason.startswith("blocked by backup-created: ")
    assert "" == uncounted.root("ls", "-A", "/var/backups/edfinance").strip()


def test_a_run_that_nothing_could_tell_of_the_latency_is_not_begun(stand, disposable, tmp_path):
    """The row would stay undetermined, which is NO-GO: known before the target is migrated."""
    with walked(stand, tmp_path, disposable, performance="slow_queries = false") as walk:
        walk.sections(1, 2)
        reason = failed(walk.check("backup-created"))
        assert "Nothing is timed, and [performance] slow_queries = false: nobody could tell the latency." in reason
        assert "Name [performance] requests or queries" in reason


def test_a_server_that_need_not_count_statements(uncounted, disposable, tmp_path):
    """Because the configuration does without, or without the whole row."""
    with walked(uncounted, tmp_path, disposable, performance=f"{TIMED}\nslow_queries = false") as walk:
        walk.sections(*range(1, 11))
        assert walk.decision().go, walk.run.records
        record = walk.run.records["slow-queries"]
        assert Outcome.NOT_APPLICABLE is record.outcome
        assert "the target has [performance] slow_queries = false" == record.reason
    (tmp_path / "next").mkdir()
    begin(uncounted, tmp_path / "next")
    with (tmp_path / "next" / "dryrun.toml").open("a", encoding="utf-8") as file:
        file.write('\n[decision.not_required]\nlatency = "nobody waits for it"\n')
    with walking(tmp_path / "next", disposable, name="staging") as walk:
        walk.sections(1, 2)
        assert walk.check("backup-created").outcome is Outcome.PASSED


def test_statements_that_are_not_counted_or_not_read(plain, disposable, tmp_path):
    """A view that is empty or closed is no view; and where it goes after that, the check is red and nothing else."""
    plain.sql("ALTER ROLE edfinance SET pg_stat_statements.track = 'none'")
    plain.sql("SELECT pg_stat_statements_reset()", "postgres")
    with walked(plain, tmp_path, disposable) as walk:
        walk.sections(1, 2)
        assert (
            "pg_stat_statements counts nothing (see its pg_stat_statements.track" in walk.check("backup-created").reason
        )
    plain.sql("ALTER ROLE edfinance RESET pg_stat_statements.track")
    revoke = "REVOKE SELECT ON pg_stat_statements FROM PUBLIC"
    plain.sql(revoke, "postgres")
    (tmp_path / "next").mkdir()
    with walked(plain, tmp_path / "next", disposable) as walk:
        walk.sections(1, 2)
        assert "permission denied for view pg_stat_statements" in failed(walk.check("backup-created"))
    plain.sql("GRANT SELECT ON pg_stat_statements TO PUBLIC", "postgres")
    (tmp_path / "last").mkdir()
    with walked(plain, tmp_path / "last", disposable) as walk:
        walk.sections(1, 2, 3, 4, 5, 6)
        plain.sql(revoke, "postgres")
        walk.sections(7, 8, 9)
        assert "which statements are slow cannot be told: " in failed(walk.run.records["slow-queries"])
        red = [slug for slug, record in walk.run.records.items() if record.outcome is not Outcome.PASSED]
        assert ["slow-queries"] == [slug for slug in red if walk.run.records[slug].outcome is Outcome.FAILED]


def interrupted(*_: Any, **__: Any) -> None:
    """What Ctrl-C does in the middle of something."""
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("part", "outcome", "said", "is_back"),
    [
        ("_restore", "", "", False),
        ("_renamed", "unknown", "State unknown: 'edfinance' is the migrated database or the restored one", False),
        (
            "databases.drop",
            "interrupted",
            "After that KeyboardInterrupt broke it off: the application may",
            True,
        ),
    ],
    ids=["restoring", "changing names", "clearing up"],
)
def test_ctrl_c_while_the_target_is_brought_back(
    stand, disposable, tmp_path, monkeypatch, part, outcome, said, is_back
):
    """What the target is then: still migrated, one of two, or what it was; no word says to roll that back again."""
    with walked(stand, tmp_path, disposable, rollback=RUN) as walk:
        walk.sections(1, 2, 3, 4, 5)
        assert PENDING == applied(stand)
        with monkeypatch.context() as patched:
            if part == "_renamed":
                renamed = way_back._renamed
                patched.setattr(way_back, part, lambda *given: (renamed(*given), interrupted()))
            elif is_back:
                drop = way_back.databases.drop
                patched.setattr(
                    way_back.databases,
                    "drop",
                    lambda admin, name: interrupted() if neighbours.ASIDE in name else drop(admin, name),
                )
            else:
                patched.setattr(way_back, part, interrupted)
            with pytest.raises(KeyboardInterrupt):
                walk.serving.roll_back()
        told = walk.run.parts["rollback"]
        assert outcome == told["outcome"]
        assert said in " ".join(told["said"])
        assert bool(walk.run.parts.get("rolled_back")) is is_back
        assert told["commands"]
        assert (applied(stand) == PENDING) is (part == "_restore")
    for name in stand.sql("SELECT datname FROM pg_database WHERE datname LIKE '%dryrun%'").splitlines():
        stand.sql(f'DROP DATABASE "{name}"', "postgres")


def test_a_rollback_of_which_nobody_knows_the_end_is_called_unknown(stand, disposable, tmp_path, monkeypatch):
    """The server does not answer any more in the moment that decides."""
    with walked(stand, tmp_path, disposable, rollback=RUN) as walk:
        walk.sections(1, 2, 3, 4, 5)
        last = way_back._renamed

        def renamed(*arguments: Any) -> bool:
            last(*arguments)
            stand.root("pkill", "-KILL", "-o", "-u", "postgres", "-x", "postgres")
            raise psycopg.OperationalError("the connection is lost")

        monkeypatch.setattr(way_back, "_renamed", renamed)
        walk.serving.roll_back()
        told = walk.run.parts["rollback"]
        assert "unknown" == told["outcome"]
        assert "State unknown: 'edfinance' is the migrated database or the restored one" in " ".join(told["said"])
        assert any("dropdb --if-exists --force edfinance" in line for line in told["commands"])
        assert not walk.run.parts.get("rolled_back")
    until(lambda: not stand.root("sh", "-c", "pgrep -u postgres -x postgres || true"), "the end of the server")
    stand.root("pg_ctlcluster", "15", "main", "start")
    stand.sql("DROP DATABASE IF EXISTS edfinance_none", "postgres")


def test_a_deployment_that_is_killed_half_way_is_brought_back(stand, start, tmp_path):
    """Prisma's own CLI dies in the last migration, its session goes on: both are told, and the target is as before."""
    put(stand, SLOW, SLEEPS)
    before, there = contents(stand), databases(stand)
    text = configuration(stand, migrations=PRISMA, rollback=RUN)
    (tmp_path / "dryrun.toml").write_text(text, encoding="utf-8")
    run = start(tmp_path)
    asleep(stand)
    stand.root("pkill", "-KILL", "-u", "deploy", "-f", "migrate deploy")
    status, said, document = finished(run, tmp_path)
    assert 1 == status, said
    state, reason = outcome(document, "migrations-applied")
    assert "failed" == state
    assert f"Before: 7 applied, pending {', '.join((*PENDING, SLOW))}. " in reason
    assert f"Now: 10 applied, of them new {', '.join(PENDING)}; pending" in reason
    assert f"{SLOW} began at" in reason
    assert "prisma migrate resolve" in reason
    assert (True, "done") == (document["rolled_back"], document["rollback"]["outcome"]), told(document)
    assert before == contents(stand)
    assert there == databases(stand)
    assert [] == applied(stand)
    nothing_is_left(stand)


def test_who_had_signed_in_before_is_known_after_the_rollback(stand, start, tmp_path):
    """The requests that need the token are made again, with it."""
    api = signed_in(stand)
    before = contents(stand)
    text = configuration(stand, rollback=RUN, smoke=ONCE_RED, api=api, performance=SIGNED_IN)
    (tmp_path / "dryrun.toml").write_text(text, encoding="utf-8")
    status, said, document = finished(start(tmp_path, "-x"), tmp_path)
    assert 1 == status, said
    assert (True, "done") == (document["rolled_back"], document["rollback"]["outcome"]), told(document)
    assert "/api/auth/me: 200 in" in told(document)
    assert before == contents(stand)
    nothing_is_left(stand)


def test_who_had_signed_in_before_and_is_not_known_any_more_is_told(stand, start, tmp_path):
    """The application answers, and its users cannot use it: rolled back, but not called done."""
    forgets = """sh -c '. ./.env; psql -c "DELETE FROM \\"Session\\"" "${DATABASE_URL%%\\?*}"; pm2 restart all'"""
    rollback = f"on_no_go = \"run\"\nrestart = '''{forgets}'''"
    text = configuration(stand, rollback=rollback, smoke=ONCE_RED, api=signed_in(stand), performance=SIGNED_IN)
    (tmp_path / "dryrun.toml").write_text(text, encoding="utf-8")
    status, said, document = finished(start(tmp_path, "-x"), tmp_path)
    assert 1 == status, said
    assert (True, "incomplete") == (document["rolled_back"], document["rollback"]["outcome"]), told(document)
    assert "/api/auth/me: " in told(document)
    assert "401" in told(document)
    assert "The smoke command passed" not in told(document)
    assert "401" in said


def test_an_application_that_stays_away_is_told(stand, start, tmp_path):
    """The rows are back, the restart fails: not called done, and it is said what is wrong."""
    before = contents(stand)
    failing = 'on_no_go = "run"\nrestart = "sh -c \'echo no such process >&2; exit 7\'"'
    broken = "command = \"sh -c 'exit 1'\""
    (tmp_path / "dryrun.toml").write_text(configuration(stand, rollback=failing, smoke=broken), encoding="utf-8")
    status, said, document = finished(start(tmp_path, "-x"), tmp_path)
    assert 1 == status, said
    assert (True, "incomplete") == (document["rolled_back"], document["rollback"]["outcome"])
    assert "ended with status 7: no such process" in told(document)
    assert "ended with status 7" in said
    assert before == contents(stand)


def test_a_link_that_is_lost_leaves_the_way_back_to_a_person(stand, start, tmp_path):
    """Nothing can be done from here: the report says so, and holds what is to be typed."""
    put(stand, SLOW, SLEEPS)
    text = configuration(stand, rollback=RUN)
    (tmp_path / "dryrun.toml").write_text(text, encoding="utf-8")
    run = start(tmp_path)
    asleep(stand)
    stand.root("pkill", "-KILL", "-u", "deploy", "sshd")
    status, said, document = finished(run, tmp_path)
    assert 1 == status, said
    assert (True, False, "failed") == (
        document["target_migrated"],
        document["rolled_back"],
        document["rollback"]["outcome"],
    )
    assert "Not rolled back: this has to be done by hand" in said
    assert "dropdb --if-exists --force edfinance" in said.replace("\n", " ")


def test_ctrl_c_while_deploying_leaves_the_way_back_to_a_person(stand, start, tmp_path):
    """Whoever interrupts is there: the report knows that the target was being migrated, and how it comes back."""
    put(stand, SLOW, SLEEPS)
    text = configuration(stand, rollback=RUN)
    (tmp_path / "dryrun.toml").write_text(text, encoding="utf-8")
    run = start(tmp_path)
    asleep(stand)
    run.send_signal(signal.SIGINT)
    status, said, document = finished(run, tmp_path)
    assert 2 == status, said
    assert ("ROLLBACK & FIX", True, False) == (
        document["headline"],
        document["target_migrated"],
        document["rolled_back"],
    )
    assert any("dropdb --if-exists --force edfinance" in line for line in document["rollback"]["commands"])
    assert "already migrated: roll it back" in said.replace("\n", " ")
    nothing_is_left(stand)


def test_another_run_that_came_while_the_databases_changed_names_is_not_disturbed(stand, disposable, tmp_path):
    """The lock goes with the database that is replaced: somebody else may hold the new one."""
    with walked(stand, tmp_path, disposable, rollback=RUN) as walk:
        conninfo = walk.run.database().conninfo
        stand.sql("SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE locktype = 'advisory'")
        with closing(holding.hold(conninfo)), pytest.raises(TargetUnusable) as caught:
            walk.run.hold_again()
        assert "Another dry run holds this database" in caught.value.what
        assert "neither restarted nor tried" in caught.value.means
        walk.run.hold_again()
        with pytest.raises(TargetUnusable, match="Another dry run holds"):
            holding.hold(conninfo)


def test_a_user_who_could_not_bring_it_back_is_told_first(stand, disposable, tmp_path: Path):
    """Before anything is backed up or applied."""
    stand.sql("ALTER ROLE edfinance NOCREATEDB")
    try:
        with walked(stand, tmp_path, disposable, rollback=RUN) as walk:
            assert walk.check("ssh-access").outcome is Outcome.PASSED
            assert "may not create databases" in failed(walk.check("database-credentials"))
    finally:
        stand.sql("ALTER ROLE edfinance CREATEDB")
