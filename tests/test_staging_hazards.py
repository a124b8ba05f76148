"""A hazard of each rule, pending on the staging host, is a NO-GO for its reason, and nothing is touched.

All of them are tried by `test_hazards.py`; what is judged is the same on every host.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from staging import REPOSITORY, Staging, staging_stand  # noqa: F401 - a fixture
from staging_runs import (
    applied,
    begin,
    walked,
)
from walk import Walk

from pytest_dryrun.model.values import Outcome
from pytest_dryrun.postgres.disposable import Disposable

pytestmark = pytest.mark.live

ALL = sorted(path.parent for path in (REPOSITORY / "examples" / "hazards").glob("*/migration.sql"))
RULES = {tomllib.loads((path / "expected.toml").read_text(encoding="utf-8"))["rule"]: path for path in reversed(ALL)}
# What is special on a host: a statement that never ends, a session that stays open, rows that others write.
SPECIAL = {"sleeps", "transaction-left-open", "insert-fires-trigger"}
HAZARDS = sorted({*RULES.values(), *(path for path in ALL if path.name in SPECIAL)})
# What two runs of the same connection share: the host, its database, and the proved backup of it.
SHARED = {"remote", "database", "log_marks", "backup_room", "backup", "login", "restored"}
ROWS = """
SELECT sum((xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %I.%I', schemaname, relname),
    false, true, '')))[1]::text::bigint), count(*), (SELECT count(*) FROM pg_class)
FROM pg_stat_user_tables
"""


def migration_name(hazard: Path) -> str:
    """Name a hazard's folder so that it sorts behind every migration of the example."""
    return f"20991231000000_{hazard.name.replace('-', '_')}"


def put(stand: Staging, hazard: Path) -> str:
    """Have a hazard pending on the host; the folder that holds it there."""
    place = f"{stand.directory}/prisma/migrations/{migration_name(hazard)}"
    text = (hazard / "migration.sql").read_text(encoding="utf-8")
    stand.root("sh", "-c", 'mkdir "$1" && cat >"$1/migration.sql"', "sh", place, given=text)
    return place


@dataclass(frozen=True, slots=True)
class Proved:
    """The stand, and a run of it whose backup is proved."""

    stand: Staging
    walk: Walk


@pytest.fixture(scope="module")
def proved(staging: Staging, disposable: Disposable, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proved]:
    """Log in, back up, restore and compare once for all hazards; after them the host's database is what it was."""
    with staging.alone(), walked(staging, tmp_path_factory.mktemp("proved"), disposable) as walk:
        walk.sections(1, 3)
        bad = {slug: record.reason for slug, record in walk.run.records.items() if record.outcome is Outcome.FAILED}
        assert {} == bad
        rows = staging.sql(ROWS)
        yield Proved(staging, walk)
        assert rows == staging.sql(ROWS)
        assert [] == applied(staging)


def go_on(proved: Proved, folder: Path, limit: str) -> Walk:
    """Another run of the same host and backup, which reads the migrations anew."""
    text = f"timeout_s = {limit}" if limit else ""
    walk = Walk(begin(proved.stand, folder, migrations=text), proved.walk.run.server(), name="staging")
    walk.run.memo.update({name: kept for name, kept in proved.walk.run.memo.items() if name in SHARED})
    walk.run.schema = proved.walk.run.schema
    walk.run.records.update(proved.walk.run.records)
    return walk


@pytest.mark.parametrize("hazard", HAZARDS, ids=lambda p: p.name)
def test_a_hazard_that_is_pending_on_the_host(proved, tmp_path, hazard):
    """The named check is red, by the named rule, and the host is not touched."""
    expected = tomllib.loads((hazard / "expected.toml").read_text(encoding="utf-8"))
    slug = expected["check"]
    place = put(proved.stand, hazard)
    walk = go_on(proved, tmp_path, "3" if hazard.name == "sleeps" else "")
    try:
        walk.sections(2, 4)
        record = walk.run.records[slug] if slug in walk.run.records else walk.check(slug)
        walk.check("migrations-applied")
    finally:
        walk.run.close()
        proved.stand.root("rm", "-r", place)
    told = {name: (str(found.outcome), found.reason) for name, found in walk.run.records.items() if found.reason}
    assert record.outcome is Outcome.FAILED, told
    against = [finding for finding in record.findings if finding.severity == "blocker" and not finding.waived]
    # What a trigger or a cascade does stands in no pending file: then nobody is named, and never an innocent one.
    blamed = {item.migration for item in against if item.rule == expected["rule"]}
    assert blamed <= {migration_name(hazard), None}, told
    assert migration_name(hazard) in blamed or hazard.name == "insert-fires-trigger", told
    assert expected["says"] in record.reason, told
    if "sqlstate" in expected:
        assert expected["sqlstate"] in {finding.evidence.get("sqlstate") for finding in against}, told
    assert not walk.decision().go
    assert any(" failed: " in reason for reason in walk.reasons(slug)), walk.decision()
    assert "the target was not touched" in walk.run.records["migrations-applied"].reason, told
