"""A dry run of a host behind SSH, on the staging stand: a GO, what refuses it, what disturbs it, and what is left."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from projects import criterion, outcome
from sshd import keygen
from staging import CONTAINER, REPOSITORY, Staging, staging_stand  # noqa: F401 - a fixture
from staging_runs import (
    PENDING,
    PRISMA,
    applied,
    borrowed_stand,  # noqa: F401 - a fixture
    configuration,
    containers,
    failed,
    finished,
    image_of_its_version,  # noqa: F401 - a fixture
    inside,
    nothing_is_left,
    own_stand,  # noqa: F401 - a fixture
    password,
    processes_seen,
    starting,  # noqa: F401 - a fixture
    told_nowhere,
    wait_for,
    walked,
    whole_run,
)
from walk import walking

from pytest_dryrun.model.values import Outcome

pytestmark = pytest.mark.live


def pending(stand: Staging) -> list[str]:
    """What Prisma itself still lists."""
    lines = stand.application("npx prisma migrate status").stdout.splitlines()
    return [line for line in lines if line[:8].isdigit()]


@contextmanager
def traffic(script: str) -> Iterator[None]:
    """Run statements on the host, again and again, beside what happens in the block."""
    again = f"while cat <<'SQL'\n{script}\nSQL\ndo sleep 0.05; done"
    psql = "runuser -u postgres -- psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --dbname=edfinance"
    argv = ["docker", "exec", CONTAINER, "timeout", "300", "sh", "-c", f"({again}) | {psql}"]
    going = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield
        assert going.poll() is None, "the traffic came to a stop"
    finally:
        subprocess.run(["docker", "exec", CONTAINER, "pkill", "-x", "psql"], check=False)
        going.communicate(timeout=60)


# GO


def test_the_command_of_the_readme_ends_with_go(stand, start, tmp_path):
    """Over SSH, through the tunnel, with the host's own pg_dump and Prisma; and the password is nowhere."""
    secret = password(stand)
    arguments = [f"--dryrun-report={tmp_path / 'reports'}"]
    with processes_seen() as processes:
        status, said, document = finished(start(REPOSITORY, *arguments), tmp_path)
    assert 0 == status, said
    assert ("GO", True, "staging") == (document["decision"], document["target_migrated"], document["role"])
    assert PENDING == document["migrations"]["applied"]
    assert [] == pending(stand)
    assert {"passed", "not-applicable"} == {check["outcome"] for check in document["checks"]}
    kept = document["backup"]["file"].removeprefix("deploy@127.0.0.1:")
    assert f"{document['backup']['sha256']}  {kept}" == stand.ssh(f"sha256sum {kept}").stdout.strip()
    assert "600 700" == stand.ssh(f"stat -c %a {kept} /var/backups/edfinance | xargs").stdout.strip()
    facts = {fact["name"]: fact["value"] for check in document["checks"] for fact in check["facts"]}
    assert "deploy@127.0.0.1" == facts["Host"].rpartition(" on ")[2]
    assert "Linux" in facts["System"]
    assert facts["Server version"].startswith("15.")
    assert facts["pg_dump"].startswith("pg_dump (PostgreSQL) 15.")
    assert "6.19.3" == facts["Prisma"]
    assert facts["Node"].startswith("v")
    assert facts["Schema version"] < PENDING[0]
    assert "All migrations have been successfully applied" in facts["Deploy command"]
    said_before, said_after = (
        next(fact["value"] for fact in check["facts"] if fact["name"] == "Status command")
        for check in document["checks"]
        if check["slug"] in {"migration-status", "status-after-apply"}
    )
    assert "have not yet been applied" in said_before
    assert "Database schema is up to date" in said_after
    assert "edfinance" == facts["Restored as"]
    assert len(document["load"]["series"]) > 10
    assert any("pg_dump" in line for line in processes), "the process list was not read while the backup ran"
    told_nowhere([secret], stand, tmp_path, said, processes)
    nothing_is_left(stand)


def test_an_application_that_uses_a_socket(stand, start, tmp_path):
    """Its programs go through the socket, we through the address of the same server, and that is proved."""
    hba = "/etc/postgresql/15/main/pg_hba.conf"
    stand.root("sed", "-i.kept", "-E", "s/^(local +all +all +)peer/\\1scram-sha-256/", hba)
    try:
        stand.root("pg_ctlcluster", "15", "main", "reload")
        stand.application("sed -i 's#127.0.0.1:5432#localhost#; s#?#?host=/var/run/postgresql\\&#' .env")
        status, said, document = whole_run(start, tmp_path, configuration(stand, migrations=PRISMA))
    finally:
        stand.root("mv", f"{hba}.kept", hba)
        stand.root("pg_ctlcluster", "15", "main", "reload")
    assert 0 == status, said
    assert PENDING == document["migrations"]["applied"]
    facts = {fact["name"]: fact["value"] for check in document["checks"] for fact in check["facts"]}
    assert facts["Difference as Prisma sees it"].startswith(
        "not to be had: Passing the --from-schema-datasource flag to the prisma migrate diff command is not supported"
    ), "the CLI of the stand has its adapter in prisma.config.ts, and Prisma 6 refuses then"
    assert "PGHOST=/var/run/postgresql" in " ".join(document["rollback"]["commands"])
    nothing_is_left(stand)


def test_copies_in_a_container_lead_to_go(stand, start, image, tmp_path):
    """The dump is given to the container's own pg_restore while it comes in, and the container goes with the run."""
    status, said, document = whole_run(start, tmp_path, configuration(stand, rehearsal='provider = "container"'))
    assert 0 == status, said
    assert "container" == document["versions"]["provider"], image
    assert {"Begun", "Restored as"} <= {fact["name"] for check in document["checks"] for fact in check["facts"]}
    assert "" == containers(document["run_id"])
    nothing_is_left(stand)


def test_live_traffic_is_not_blamed_on_the_migrations(stand, start, tmp_path):
    """Others insert, update and delete all the time: the proof of the backup stays exact, and the verdict is GO."""
    script = (
        'INSERT INTO "Session" (id, "userId", "tokenHash", "expiresAt") SELECT gen_random_uuid()::text,'
        " id, decode(md5(random()::text), 'hex'), now() FROM \"User\" ORDER BY random() LIMIT 5;"
        ' UPDATE "User" SET name = name || \'.\' WHERE id IN (SELECT id FROM "User" ORDER BY random() LIMIT 5);'
        ' DELETE FROM "Session" WHERE id IN (SELECT id FROM "Session" ORDER BY random() LIMIT 3);'
    )
    with traffic(script):
        status, said, document = whole_run(start, tmp_path, configuration(stand))
    assert 0 == status, said
    assert "passed" == outcome(document, "backup-restores")[0]
    rules = {finding["rule"]: finding["severity"] for finding in document["findings"]}
    assert "warning" == rules["changed-by-others"]


# NO-GO, and nothing is touched


def test_a_migration_that_loses_data_never_reaches_the_host(stand, start, tmp_path):
    """It is found on the copy here; on the host it stays pending."""
    place = f"{stand.directory}/prisma/migrations/20991231000000_goodbye"
    stand.ssh(f"mkdir {place} && echo 'DROP TABLE \"Enrollment\" CASCADE;' > {place}/migration.sql")
    status, said, document = whole_run(start, tmp_path, configuration(stand))
    assert 1 == status, said
    assert ("NO-GO", False) == (document["headline"], document["target_migrated"])
    assert "failed" == outcome(document, "no-destructive-operations")[0]
    assert "the target was not touched" in outcome(document, "migrations-applied")[1]
    assert [] == applied(stand)
    assert "Enrollment" == stand.sql("SELECT relname FROM pg_class WHERE relname = 'Enrollment'")
    nothing_is_left(stand)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ("rm .env", ".env on deploy@127.0.0.1 could not be read"),
        ("head -c 3000 /bin/ls > .env", "is no text file"),
        ("yes A=1 | head -c 1000000 > .env", "larger than"),
        ("sed -i s/DATABASE_URL/OTHER_URL/ .env", "the file's variables are: OTHER_URL"),
        ("sed -i 's#//edfinance:[^@]*@#//edfinance:wrong-one@#' .env", "refused the password of user 'edfinance'"),
        ("sed -i 's#/edfinance?#/edfinanze?#' .env", "Database 'edfinanze' does not exist"),
        ("sed -i 's#:5432#:5433#' .env", "Check that the server runs"),
        ("sed -i 's#:5432#:5433#; s#?#?host=/tmp\\&#' .env", "names the socket /tmp, to which no tunnel leads, and at"),
        ("sed -i 's#?#?host=/var/run/postgresql\\&#' .env", "Peer authentication failed"),
    ],
    ids=[
        "absent",
        "binary",
        "1 MB",
        "another variable",
        "wrong password",
        "unknown database",
        "nobody listens",
        "a socket alone",
        "a socket that lets another user in",
    ],
)
def test_credentials_that_lead_nowhere(borrowed, disposable, tmp_path, spoil, says):
    """What is wrong, without any value; nothing is created."""
    secret = password(borrowed)
    assert 0 == borrowed.application(f"cp -p .env /tmp/env && {spoil}").returncode
    try:
        with walked(borrowed, tmp_path, disposable) as walk:
            assert walk.check("ssh-access").outcome is Outcome.PASSED
            reason = failed(walk.check("database-credentials"))
            assert says in reason
            assert secret not in reason
            assert walk.check("backup-created").reason.startswith("blocked by database-credentials: ")
    finally:
        assert 0 == borrowed.application("mv /tmp/env .env").returncode
    assert "0" == borrowed.sql("SELECT count(*) FROM pg_database WHERE datname = 'edfinanze'")


def test_a_database_that_prisma_would_create_is_not_created(borrowed, disposable, tmp_path):
    """Its `migrate deploy` makes one that is missing: it is never let that far, whichever check is asked for."""
    there = borrowed.sql("SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database")
    assert 0 == borrowed.application("cp -p .env /tmp/env && sed -i 's#/edfinance?#/edfinanze?#' .env").returncode
    try:
        with walked(borrowed, tmp_path, disposable, migrations=PRISMA) as walk:
            walk.passed(1, 2, 3, 4)
            for slug in (
                "migration-status",
                "schema-diff",
                "migrations-applied",
                "status-after-apply",
                "smoke-command",
            ):
                walk.check(slug)
            assert not walk.run.parts.get("target_migrated")
            assert "Database 'edfinanze' does not exist" in failed(walk.run.records["migration-status"])
    finally:
        assert 0 == borrowed.application("mv /tmp/env .env").returncode
    assert there == borrowed.sql("SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database")


def other_host_key(folder: Path) -> None:
    """Have another key known for the host."""
    host = (folder / "known_hosts").read_text(encoding="utf-8").split(" ")[0]
    key = Path(f"{keygen(folder / 'impostor')}.pub").read_text(encoding="utf-8")
    (folder / "known_hosts").write_text(f"{host} {key}", encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (other_host_key, "has changed: seen ssh-ed25519 SHA256:"),
        (lambda folder: (folder / "known_hosts").write_text(""), "is not known"),
        (lambda folder: keygen(folder / "other").rename(folder / "key"), "refused"),
    ],
    ids=["a changed host key", "an unknown host", "a wrong key"],
)
def test_a_host_that_is_not_the_one_meant_is_never_entered(borrowed, start, tmp_path, spoil, says):
    """A whole run: one red check that says what to do, everything else blocked by it, and a page to show."""
    for name, source in (("known_hosts", borrowed.known_hosts), ("key", borrowed.key)):
        (tmp_path / name).write_bytes(source.read_bytes())
        (tmp_path / name).chmod(0o600)
    spoil(tmp_path)
    text = configuration(borrowed).replace(str(borrowed.known_hosts), str(tmp_path / "known_hosts"))
    status, said, document = whole_run(start, tmp_path, text.replace(str(borrowed.key), str(tmp_path / "key")))
    assert 1 == status, said
    assert ("NO-GO", False) == (document["decision"], document["target_migrated"])
    state, reason = outcome(document, "ssh-access")
    assert "failed" == state
    assert says in reason
    others = {check["outcome"] for check in document["checks"] if check["slug"] != "ssh-access"}
    assert {"blocked", "not-applicable"} == others


def test_two_dry_runs_of_one_database(borrowed, disposable, tmp_path):
    """The second is told who holds it, wherever it was started."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with walked(borrowed, tmp_path / "one", disposable) as first:
        assert first.check("database-credentials").outcome is Outcome.PASSED
        with walked(borrowed, tmp_path / "two", disposable) as second:
            assert "Another dry run holds this database" in failed(second.check("database-credentials"))
    with walked(borrowed, tmp_path / "two", disposable) as second:
        assert second.check("database-credentials").outcome is Outcome.PASSED


@pytest.mark.parametrize("listed", ["name", "system_identifier"])
def test_a_database_that_is_listed_under_production(borrowed, disposable, tmp_path, listed):
    """A staging host whose `.env` leads to production is refused before anything is written."""
    value = {
        "name": "edfinance",
        "system_identifier": borrowed.sql("SELECT system_identifier FROM pg_control_system()"),
    }
    text = configuration(borrowed) + '\n[targets.live]\nrole = "production"\n[targets.live.database]\n'
    (tmp_path / "dryrun.toml").write_text(text + f'{listed} = "{value[listed]}"\n', encoding="utf-8")
    with walking(tmp_path, disposable, name="staging") as walk:
        reason = failed(walk.check("database-credentials"))
    assert "This is the database of target 'live', which is production" in reason
    assert "" == borrowed.root("ls", "-A", "/var/backups/edfinance").strip()


def test_a_disk_that_is_full(stand, disposable, tmp_path):
    """pg_dump's own words, nothing half is left, and nothing goes on from there."""
    stand.root("mkdir", "/var/backups/small")
    inside("mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "none", "/var/backups/small")
    try:
        small = 'directory = "/var/backups/small"\nmin_free = "1kB"'
        with walked(stand, tmp_path, disposable, backup=small) as walk:
            assert "/var/backups/small has" in failed(walk.check("backup-space"))
            room = walk.run.backup_room()
            walk.done(backup_room=type(room)(room.directory, 10**12, 1))
            assert "No space left on device" in failed(walk.check("backup-created"))
            assert walk.check("backup-restores").reason.startswith("blocked by backup-created: ")
        assert "" == stand.root("ls", "-A", "/var/backups/small").strip()
    finally:
        inside("umount", "/var/backups/small")
        stand.root("rmdir", "/var/backups/small")


def test_a_backup_that_changes_on_the_host(stand, disposable, tmp_path):
    """The file that staging would be restored from is asked for once more at the end."""
    with walked(stand, tmp_path, disposable) as walk:
        walk.sections(1, 2, 3, 4)
        assert walk.check("rollback-restores").outcome is Outcome.PASSED
        del walk.run.memo["rollback"]
        stand.ssh("echo x >> /var/backups/edfinance/*.dump")
        assert "is no longer the file that was restored" in failed(walk.check("rollback-restores"))


# The link


def test_a_link_that_is_cut_while_deploying(stand, start, tmp_path):
    """The state is unknown, and the page says so; a following run finds everything as it is."""
    pending = r"""status = "sh -c 'echo PostgreSQL database \\\"edfinance\\\"; false'" """
    slow = f'deploy = "sleep 600"\n{pending}'
    (tmp_path / "dryrun.toml").write_text(configuration(stand, migrations=slow), encoding="utf-8")
    run = start(tmp_path)
    wait_for(stand, "sleep 600")
    stand.root("pkill", "-KILL", "-u", "deploy", "sshd")
    status, said, document = finished(run, tmp_path)
    assert 1 == status, said
    assert ("ROLLBACK & FIX", True) == (document["headline"], document["target_migrated"])
    state, reason = outcome(document, "migrations-applied")
    assert "failed" == state
    assert "unknown" in reason
    assert criterion(document, "migrations-applied")["met"] is False
    stand.root("pkill", "-u", "deploy", "-x", "sleep")
    status, said, _ = whole_run(start, tmp_path, configuration(stand))
    assert 0 == status, said
    nothing_is_left(stand)


def test_ctrl_c_while_the_backup_is_written(stand, start, tmp_path):
    """Exit 2, an unfinished NO-GO, and nothing of the run on the host: no dump, no process, no session."""
    (tmp_path / "dryrun.toml").write_text(configuration(stand), encoding="utf-8")
    # Stopped where it can be interrupted: the example's dump would be written before anybody looks.
    stopping = "while ! pkill -STOP -u deploy -f '^[^ ]*pg_dump .*--snapshot='; do sleep 0.01; done"
    watcher = subprocess.Popen(["docker", "exec", CONTAINER, "timeout", "90", "sh", "-c", stopping])
    run = start(tmp_path)
    assert 0 == watcher.wait(timeout=120)
    run.send_signal(signal.SIGINT)
    status, said, document = finished(run, tmp_path)
    assert 2 == status, said
    assert "NO-GO" == document["decision"]
    assert "passed" == outcome(document, "pending-migrations")[0]
    assert "passed" != outcome(document, "backup-created")[0]
    nothing_is_left(stand)
    assert "" == stand.root("ls", "-A", "/var/backups/edfinance").strip()
