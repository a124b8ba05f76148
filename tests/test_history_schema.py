"""Prisma's history in another schema than public is bookkeeping there, too: read, written and judged by nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import CONFIGURATION, report, run, write
from walk import walking

from pytest_dryrun import config_file
from pytest_dryrun.migrations.command import with_parameters
from pytest_dryrun.model.errors import ConfigurationError
from pytest_dryrun.model.values import Outcome, Severity

FIRST, SECOND, THIRD = "20260101000000_init", "20260201000000_pending", "20260301000000_more"
INIT = """CREATE TABLE boat (id serial PRIMARY KEY, name text);
INSERT INTO boat (name) SELECT 'b' || g FROM generate_series(1, 50) g;
"""
LINES = 'tool = "prisma"\nschema = "harbour"\nprisma_version = "7.10.0"\n'


def project(folder: Path, lines: str = LINES) -> Path:
    """A Prisma project whose history and tables lie in the schema `harbour`."""
    text = CONFIGURATION.replace('tool = "sql"\n', lines).replace("001_init.sql", FIRST)
    write(folder, configuration=text.replace("FROM customer", "FROM harbour.boat"), pending=None, seed="SELECT 1;\n")
    (folder / "migrations" / "001_init.sql").unlink()
    pending = {
        SECOND: "ALTER TABLE boat ADD COLUMN sails int;\n",
        THIRD: "CREATE TABLE berth (id int PRIMARY KEY);\n",
    }
    for name, sql in {FIRST: INIT, **pending}.items():
        (folder / "migrations" / name).mkdir()
        (folder / "migrations" / name / "migration.sql").write_text(sql, encoding="utf-8")
    (folder / "migrations" / "migration_lock.toml").write_text('provider = "postgresql"\n', encoding="utf-8")
    return folder


@pytest.mark.live
def test_a_local_target_keeps_it_where_the_configuration_says(postgres, tmp_path):
    """GO, with what was applied before; nothing is said of the history's own rows."""
    del postgres  # skips where there are no programs
    folder = project(tmp_path)
    done = run(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    document = report(folder)
    assert ([FIRST], [SECOND, THIRD]) == (document["migrations"]["applied_before"], document["migrations"]["applied"])
    assert [] == [item for item in document["findings"] if "_prisma_migrations" in str(item)]


@pytest.mark.live
def test_what_a_migration_does_to_it_is_seen_there(disposable, tmp_path):
    """Rows that a migration deletes from it are missing, as they would be in public."""
    folder = project(tmp_path)
    path = folder / "migrations" / THIRD / "migration.sql"
    path.write_text("DELETE FROM \"_prisma_migrations\" WHERE migration_name < '202602';\n", encoding="utf-8")
    with walking(folder, disposable) as walk:
        walk.passed(1, 2, 3)
        record = walk.check("schema-diff")
    rules = [item.rule for item in record.findings if item.severity is Severity.BLOCKER]
    assert (Outcome.FAILED, ["history-changed"]) == (record.outcome, rules)


@pytest.mark.live
def test_a_url_that_says_otherwise_has_the_last_word(disposable, tmp_path):
    """As on a host, whose URL is read: the run keeps to the schema that it names."""
    with walking(project(tmp_path), disposable) as walk:
        assert frozenset({("harbour", "_prisma_migrations")}) == walk.run.migrations().history()
        walk.run.schema = "elsewhere"
        walk.run.memo.pop("native")
        assert frozenset({("elsewhere", "_prisma_migrations")}) == walk.run.migrations().history()


def test_plain_sql_has_its_history_in_public(tmp_path):
    """A schema for it is a configuration error, as is a key that only resembles this one."""
    with pytest.raises(ConfigurationError, match="`schema` is where another tool keeps its history"):
        config_file.load(project(tmp_path, 'tool = "sql"\nschema = "harbour"\n') / "dryrun.toml", "local")
    (tmp_path / "dryrun.toml").write_text(CONFIGURATION.replace('tool = "sql"', 'schemas = "x"'), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="unknown key, did you mean schema\\?"):
        config_file.load(tmp_path / "dryrun.toml", "local")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u@h:1/d", "postgresql://u@h:1/d?schema=harbour"),
        ("postgresql://u@localhost:1/d?host=%2Ftmp", "postgresql://u@localhost:1/d?host=%2Ftmp&schema=harbour"),
    ],
)
def test_prismas_own_programs_find_it_in_the_url(url, expected):
    """Beside whatever stands there."""
    assert (expected, url) == (with_parameters(url, "schema=harbour"), with_parameters(url, ""))
