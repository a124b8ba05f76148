"""Copies on the target's own server, `[rehearsal] provider = "target"`, on the staging stand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from projects import outcome
from staging import Staging, staging_stand  # noqa: F401 - a fixture
from staging_runs import (  # noqa: F401 - two are fixtures
    PENDING,
    configuration,
    failed,
    finished,
    nothing_is_left,
    own_stand,
    starting,
    walked,
    whole_run,
)

from pytest_dryrun.errors import TargetUnusable
from pytest_dryrun.hosts.local import LocalHost
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.postgres.disposable import Disposable
from pytest_dryrun.steps import beside
from pytest_dryrun.steps.target import TargetDatabase
from pytest_dryrun.values import Outcome

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("staging")]

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


def test_a_user_who_is_no_superuser_is_told_first(stand, disposable, tmp_path):
    """Nothing could watch the rehearsal, so nothing is begun."""
    with walked(stand, tmp_path, disposable, rehearsal=BESIDE) as walk:
        assert walk.check("ssh-access").outcome is Outcome.PASSED
        assert "is no superuser, and copies beside the target need one" in failed(walk.check("database-credentials"))


def test_a_server_without_room_for_copies_is_left_alone(disposable: Disposable, database: Conninfo, monkeypatch):
    """A full disk would stop the target itself."""
    target = TargetDatabase(database, LocalHost(), disposable.tool, database)
    monkeypatch.setattr(beside, "ROOM", 10**9)
    with pytest.raises(TargetUnusable, match=r"copies may need .* MB"):
        beside.serve(target, "20261122T010203Z-ab12")
