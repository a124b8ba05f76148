"""The staging stand is what it says: a host behind SSH with three migrations pending and a database of its own."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator

import pytest
from staging import CONTAINER, Staging, staging_stand  # noqa: F401 - a fixture

pytestmark = pytest.mark.live

PENDING = ["20260302020000_payment_status_index", "20260303020000_course_language", "20260304020000_learning_goals"]
HEALTH = "curl -fsS --retry 20 --retry-connrefused --retry-delay 1 http://127.0.0.1:3001/api/health"
ROWS = (
    "SELECT migration_name, checksum, length(id), id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-4', finished_at > started_at,"
    " logs IS NULL, rolled_back_at IS NULL, applied_steps_count FROM _prisma_migrations ORDER BY started_at"
)


@pytest.fixture
def stand(staging: Staging) -> Iterator[Staging]:
    """Have the stand to oneself, as it is after `staging-up`."""
    with staging.alone():
        yield staging


def pending(stand: Staging) -> tuple[int, list[str]]:
    """Ask Prisma's own `migrate status` for its exit status and the migrations it lists as pending."""
    done = stand.application("npx prisma migrate status")
    lines = done.stdout.partition("Following migrations have not yet been applied:")[2].splitlines()
    return done.returncode, [line for line in lines if line[:8].isdigit()]


def test_prisma_sees_three_pending_migrations(stand: Staging) -> None:
    """They are those of the example, and the status is Prisma's own for pending: 1."""
    assert (1, PENDING) == pending(stand)


def test_prisma_deploys_them_and_reset_takes_them_back(stand: Staging) -> None:
    """Every row of the history looks alike, the API goes on after a restart, and afterwards all is as before."""
    before = stand.sql(ROWS)
    assert 7 == len(before.splitlines())
    done = stand.application("npx prisma migrate deploy")
    assert 0 == done.returncode, done.stdout + done.stderr
    assert (0, []) == pending(stand)
    after = [line.split("|") for line in stand.sql(ROWS).splitlines()]
    assert PENDING == [row[0] for row in after[7:]]
    assert [["36", "t", "t", "t", "t", "1"]] * 10 == [row[2:] for row in after]
    sums = stand.application("sha256sum prisma/migrations/*/migration.sql | cut -d' ' -f1").stdout.split()
    assert sums == [row[1] for row in after]
    assert "t" == stand.sql("SELECT bool_and(indisvalid) FROM pg_index")
    restarted = stand.application(f"pm2 restart all && {HEALTH}")
    assert 0 == restarted.returncode, restarted.stderr
    stand.application("rm -r prisma .env; touch stray /var/backups/edfinance/left.dump; createdb nothing")
    stand.reset()
    assert before == stand.sql(ROWS)
    assert (1, PENDING) == pending(stand)
    assert "" == stand.application("find stray /var/backups/edfinance -mindepth 0 -type f 2>/dev/null").stdout
    assert "600 deploy" == stand.application("stat -c '%a %U' .env").stdout.strip()


def test_the_application_answers_and_its_smoke_test_passes(stand: Staging) -> None:
    """Its API runs under pm2 on the host's own loopback, with the data of the seed."""
    answer = stand.ssh(HEALTH)
    assert '{"status": "ok"}' == answer.stdout, answer.stderr
    smoke = stand.application("pnpm --filter edfinance test:smoke")
    assert 0 == smoke.returncode, smoke.stdout + smoke.stderr
    assert "# pass 2" in smoke.stdout
    assert "No projects matched" not in smoke.stdout + smoke.stderr
    assert "20000" == stand.sql('SELECT count(*) FROM "User"')


def test_postgres_is_reached_through_the_host_alone(stand: Staging) -> None:
    """Neither the published ports nor the container's address lead to it; on the host a password is asked for."""
    published = subprocess.run(["docker", "port", CONTAINER], capture_output=True, text=True, timeout=30, check=True)
    assert "22/tcp -> 127.0.0.1:2222" == published.stdout.strip()
    address = stand.root("hostname", "-i").split()[0]
    socket.create_connection((address, 22), timeout=10).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address, 5432), timeout=10)
    refused = stand.ssh("psql --no-password postgresql://edfinance@127.0.0.1/edfinance -c 'SELECT 1'")
    assert "no password supplied" in refused.stderr
    assert "SCRAM-SHA-256" == stand.sql(
        "SELECT split_part(rolpassword, '$', 1) FROM pg_authid WHERE rolname = 'edfinance'"
    )


def test_the_owner_backs_up_and_sees_statistics_but_is_no_superuser(stand: Staging) -> None:
    """The role of `.env` dumps all of its database with the server's own pg_dump, and may make a database beside it."""
    url = '. ./.env; URL="${DATABASE_URL%\\?*}"'
    dumped = stand.application(f'{url}; pg_dump -Fc -f /var/backups/edfinance/a.dump "$URL" && pg_dump --version')
    assert 0 == dumped.returncode, dumped.stderr
    assert " 15." in dumped.stdout
    query = (
        "SELECT rolsuper, rolcreatedb, current_setting('data_directory'), (SELECT count(*) > 0 FROM pg_stat_statements"
        " WHERE query <> '<insufficient privilege>' AND userid <> r.oid) FROM pg_roles r WHERE rolname = current_user"
    )
    seen = stand.application(f'{url}; psql -At "${{URL%/*}}/postgres" -c "{query}"')
    assert "f|t|/var/lib/postgresql/15/main|t" == seen.stdout.strip(), seen.stderr


def test_an_unknown_host_and_another_user_are_refused(stand: Staging, tmp_path) -> None:
    """Only `deploy` gets in, only from where the host is known, and it is known by its ed25519 key alone."""
    (tmp_path / "known_hosts").touch()
    unknown = Staging(known_hosts=tmp_path / "known_hosts").ssh("true")
    assert "Host key verification failed" in unknown.stderr
    assert "Permission denied (publickey)" in Staging(user="root").ssh("true").stderr
    assert ["ssh-ed25519"] == [line.split()[1] for line in stand.known_hosts.read_text().splitlines()]
