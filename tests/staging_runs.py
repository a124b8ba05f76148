"""What tests of staging runs share: a configuration, whole runs by a process of their own, walks, what may be left.

Its fixtures are imported by their functions' names: `borrowed_stand`, `own_stand`, `starting`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest
from engine import IMAGE
from projects import environment
from staging import CONTAINER, Staging
from walk import Walk, walking

from pytest_dryrun import workspace
from pytest_dryrun.model.values import CheckRecord, Outcome
from pytest_dryrun.postgres.disposable import Disposable

PENDING = ["20260302020000_payment_status_index", "20260303020000_course_language", "20260304020000_learning_goals"]


# Only tests of what Prisma's own command line does need it: each call takes four seconds.
PRISMA = 'deploy = "npx prisma migrate deploy"\nstatus = "npx prisma migrate status"'

# The container sees the CPU of the whole machine, on which other tests run.
TIMED = 'requests = ["/api/health"]\nsamples = 20\nmax_cpu_percent = 100'

SLOW = "20991231000000_slow"
# Copies have other names, so that it takes its time on the target alone.
SLEEPS = """CREATE TABLE "Slow" ("id" INTEGER NOT NULL, CONSTRAINT "Slow_pkey" PRIMARY KEY ("id"));
SELECT pg_sleep(CASE current_database() WHEN 'edfinance' THEN 600 ELSE 0 END);
"""
ASLEEP = "FROM pg_stat_activity WHERE datname = 'edfinance' AND wait_event = 'PgSleep'"


@pytest.fixture(name="stand")
def own_stand(staging: Staging) -> Iterator[Staging]:
    """Have the stand to oneself, as it is after `staging-up`."""
    with staging.alone():
        yield staging


@pytest.fixture(name="borrowed")
def borrowed_stand(staging: Staging, request: pytest.FixtureRequest) -> Iterator[Staging]:
    """The same for a test that leaves the stand as it found it, or fails: so the next one need not put it back."""
    failed_before = request.session.testsfailed
    with staging.alone():
        yield staging
        if request.session.testsfailed == failed_before:
            staging.is_as_lent()


def configuration(stand: Staging, **tables: str) -> str:
    """A `dryrun.toml` for the stand; each table of the target may be given anew."""
    given = {
        "migrations": "",
        "backup": 'directory = "/var/backups/edfinance"\nmin_free = "10MB"',
        "api": 'base_url = "http://127.0.0.1:3001"',
        "performance": TIMED,
        **tables,
    }
    text = f"""
[project]
name = "edfinance"

[targets.staging]
role = "staging"
directory = "{stand.directory}"

[targets.staging.ssh]
host = "{stand.host}"
port = {stand.port}
user = "{stand.user}"
key = "{stand.key}"
known_hosts = "{stand.known_hosts}"
"""
    return text + "".join(f"\n[targets.staging.{name}]\n{body}\n" for name, body in given.items() if body)


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(name="start")
def starting() -> Iterator[Start]:
    """Runs pytest as a user does; whatever the test comes to, nothing of it goes on."""
    begun: list[subprocess.Popen[str]] = []

    def go(folder: Path, *arguments: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "pytest", "--dryrun-target=staging", "-p", "no:randomly", *arguments]
        run = subprocess.Popen(
            argv, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        begun.append(run)
        return run

    yield go
    for run in begun:
        if run.poll() is None:
            run.terminate()
    for run in begun:
        try:
            run.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            run.kill()
            run.communicate()
            workspace.sweep()


def finished(run: subprocess.Popen[str], folder: Path) -> tuple[int, str, dict[str, Any]]:
    """Its exit status, what it printed, and its report."""
    said, _ = run.communicate(timeout=300)
    assert run.returncode in {0, 1, 2}, said
    document = json.loads((folder / "reports" / "staging" / "report.json").read_text(encoding="utf-8"))
    return run.returncode, said, document


def whole_run(start: Start, folder: Path, text: str) -> tuple[int, str, dict[str, Any]]:
    """Write the configuration and run it to its end."""
    (folder / "dryrun.toml").write_text(text, encoding="utf-8")
    return finished(start(folder), folder)


def applied(stand: Staging) -> list[str]:
    """What the history on the host says of the migrations that were pending."""
    query = "SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL ORDER BY started_at OFFSET 7"
    return stand.sql(query).splitlines()


def password(stand: Staging) -> str:
    """The password that stands in the `.env`."""
    url = stand.application("cat .env").stdout.partition("=")[2].strip().strip('"')
    found = urlsplit(url).password
    assert found
    assert unquote(found) != found, "the stand's password is one that has to be percent-encoded"
    return unquote(found)


def nothing_is_left(stand: Staging) -> None:
    """No session, no lock, no copy, no half a file, no process of a run is left on the host."""
    left = "pgrep -u deploy -f 'pg_dump|migrate deploy|awk -v port=' || true"
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pytest-dryrun'"
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    until(lambda: stand.sql(sessions) == "0", "the end of every session", patience_s=20)
    until(lambda: stand.sql(locks) == "0", "the end of every lock", patience_s=20)
    assert "" == stand.sql("SELECT string_agg(datname, ' ') FROM pg_database WHERE datname LIKE '%dryrun%'")
    assert "" == stand.root("sh", "-c", "find /var/backups/edfinance -name '.*.part' -o -name '.*.journal'")
    until(lambda: stand.root("sh", "-c", left) == "", "the end of every process", patience_s=20)


@contextmanager
def processes_seen() -> Iterator[set[str]]:
    """Read the host's process list all the time; every command line that stood there is in the set afterwards."""
    look = ["docker", "exec", CONTAINER, "timeout", "300", "sh", "-c", "while ps axww -o args=; do sleep 0.1; done"]
    looking = subprocess.Popen(look, stdout=subprocess.PIPE, text=True)
    seen: set[str] = set()

    def read() -> None:
        assert looking.stdout
        with looking.stdout as lines:
            seen.update(line.rstrip("\n") for line in lines)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield seen
    finally:
        subprocess.run(["docker", "exec", CONTAINER, "pkill", "-f", "while ps axww"], check=False)
        thread.join(timeout=60)
        looking.wait(timeout=60)


def told_nowhere(hidden: Sequence[str], stand: Staging, folder: Path, said: str, processes: set[str]) -> None:
    """No secret, percent-encoded or not, in what a run printed and wrote, in the server's log or a process list."""
    reports = [path for path in (folder / "reports").rglob("*") if path.is_file()]
    assert any(path.name == "signoff.html" for path in reports)
    log = stand.root("sh", "-c", "cat /var/log/postgresql/*.log")
    texts = [said, log, *processes, *(path.read_text(errors="replace") for path in reports)]
    for secret in hidden:
        for spelled in {secret, quote(secret, safe="")}:
            assert not [text[:200] for text in texts if spelled in text]


def begin(stand: Staging, folder: Path, **tables: str) -> Path:
    """Write the configuration of a run that a test walks through itself."""
    (folder / "dryrun.toml").write_text(configuration(stand, **tables), encoding="utf-8")
    return folder


def failed(record: CheckRecord) -> str:
    """The reason of a check that is red."""
    assert record.outcome is Outcome.FAILED, record
    return record.reason


@contextmanager
def walked(stand: Staging, folder: Path, server: Disposable, **tables: str) -> Iterator[Walk]:
    """A run of the stand on a disposable server of the tests."""
    with walking(begin(stand, folder, **tables), server, name="staging") as walk:
        yield walk


def wait_for(stand: Staging, pattern: str) -> None:
    """Wait until a process of this kind runs on the host."""
    asked = f"pgrep -u deploy -f '{pattern}' || true"
    until(lambda: stand.root("sh", "-c", asked), f"a process like {pattern!r}", patience_s=240)


def until(holds: Callable[[], object], what: str, *, patience_s: float = 60, tick_s: float = 0.1) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, f"this never came: {what}"
        time.sleep(tick_s)


def put(stand: Staging, name: str, text: str) -> None:
    """Have one more migration pending on the host."""
    place = f"{stand.directory}/prisma/migrations/{name}"
    stand.root("sh", "-c", 'mkdir "$1" && cat >"$1/migration.sql"', "sh", place, given=text)


def asleep(stand: Staging) -> None:
    """Wait until that migration is under way."""
    until(lambda: stand.sql(f"SELECT 1 {ASLEEP}"), "the migration that sleeps", patience_s=240)


def signed_in(stand: Staging) -> str:
    """The token of somebody who has signed in before the run, and the API's configuration with it."""
    token = secrets.token_urlsafe(32)
    hashed = hashlib.sha256(token.encode()).hexdigest()
    stand.sql(
        'INSERT INTO "Session" (id, "tokenHash", "userId", "expiresAt")'
        f""" SELECT 'signed-in', decode('{hashed}', 'hex'), min(id), now() + interval '1 day' FROM "User\""""
    )
    return f'base_url = "http://127.0.0.1:3001"\ntoken = "{token}"'


def cut(stand: Staging) -> None:
    """End every session of `deploy`, as a lost network would."""
    stand.root("pkill", "-KILL", "-u", "deploy", "-x", "sshd")


def inside(*argv: str) -> None:
    """Run a command of this machine among the mounts of the stand, which may not mount anything itself."""
    pid = subprocess.run(
        ["docker", "inspect", "--format={{.State.Pid}}", CONTAINER], capture_output=True, text=True, check=True
    ).stdout.strip()
    subprocess.run(["nsenter", f"--target={pid}", "--mount", *argv], check=True)


@pytest.fixture(name="image")
def image_of_its_version() -> Iterator[str]:
    """Have the image at hand that a run of the stand asks for, as where a registry can be reached."""
    name = "postgres:15"
    subprocess.run(["docker", "tag", IMAGE, name], check=True, timeout=60)
    yield name
    subprocess.run(["docker", "image", "rm", name], check=True, timeout=60, capture_output=True)


def containers(run_id: str) -> str:
    """The containers of a run."""
    argv = ["docker", "ps", "-aq", "--filter", f"label=pytest-dryrun.run={run_id}-staging"]
    return subprocess.run(argv, check=True, timeout=60, capture_output=True, text=True).stdout


def contents(stand: Staging) -> list[str]:
    """Every line of a plain dump, and the shape of the database itself."""
    dump = stand.root("runuser", "-u", "postgres", "--", "pg_dump", "edfinance")
    shape = stand.sql(
        "SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype, datacl, s.setconfig"
        " FROM pg_database d LEFT JOIN pg_db_role_setting s ON s.setdatabase = d.oid WHERE datname = 'edfinance'"
    )
    # Each dump of a patched pg_dump carries a word of its own.
    return [*sorted(line for line in dump.splitlines() if "restrict " not in line), shape]
