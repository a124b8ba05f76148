"""Files of other tools are refused by what marks them; plain SQL that only resembles them is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from projects import CONFIGURATION, run, write

from pytest_dryrun import config_file
from pytest_dryrun.migrations.marks import Mark, foreign, undone
from pytest_dryrun.model.errors import ConfigurationError
from pytest_dryrun.steps import early_look


@pytest.mark.parametrize(
    ("name", "sql", "mark"),
    [
        ("1_a.sql", "-- migrate:up\nSELECT 1;\n", Mark("-- migrate:up", 1, "dbmate")),
        ("1_a.sql", "SELECT 1;\n  --migrate:down\n", Mark("--migrate:down", 2, "dbmate")),
        ("1_a.sql", "-- +goose Down\n", Mark("-- +goose Down", 1, "goose")),
        ("1_a.sql", "\n\n-- +GOOSE StatementBegin", Mark("-- +GOOSE StatementBegin", 3, "goose")),
        ("1_a.sql", "-- +migrate Down\n", Mark("-- +migrate Down", 1, "sql-migrate")),
        ("1_a.sql", "-- Down Migration\n", Mark("-- Down Migration", 1, "node-pg-migrate")),
        ("1_a.sql", "--liquibase formatted sql\n", Mark("--liquibase formatted sql", 1, "Liquibase")),
        ("1_a.down.sql", "SELECT 1;", Mark("1_a.down.sql", 0, "golang-migrate")),
        ("V2__b.sql", "SELECT 1;", Mark("V2__b.sql", 0, "Flyway")),
        ("U2.1__b.sql", "SELECT 1;", Mark("U2.1__b.sql", 0, "Flyway")),
        ("R__views.sql", "SELECT 1;", Mark("R__views.sql", 0, "Flyway")),
        ("003_scale_down.sql", "-- migrate users up to the new plan\nSELECT 1;", None),
        ("Verify__a.sql", "-- a down migration is not needed\nSELECT '-- migrate:down';", None),
        ("V2_b.sql", "SELECT 1;", None),
    ],
)
def test_which_tool_a_file_belongs_to(name, sql, mark):
    """By name or by the first mark, with its line."""
    assert mark == foreign(name, sql)


@pytest.mark.parametrize(
    ("names", "pair"),
    [
        (["1_a.sql", "1_a_down.sql"], ("1_a_down.sql", "1_a.sql")),
        (["1_a_up.sql", "1_a_down.sql"], ("1_a_down.sql", "1_a_up.sql")),
        (["1_a.do.sql", "1_a.undo.sql"], ("1_a.undo.sql", "1_a.do.sql")),
        (["1_a_deploy.sql", "1_a_revert.sql"], ("1_a_revert.sql", "1_a_deploy.sql")),
        (["1_scale_down.sql", "2_scale_up.sql"], None),
        (["1_scale_down.sql"], None),
    ],
)
def test_files_that_undo_each_other(names, pair):
    """Only where both stand there; a word in a name alone says nothing."""
    assert pair == undone(names)


DBMATE = """-- migrate:up
ALTER TABLE customer RENAME email TO mail;
-- migrate:down
ALTER TABLE customer RENAME mail TO email;
"""
WAIVED = """-- dryrun: allow column-droped because nobody reads it
ALTER TABLE customer DROP COLUMN email;
-- dryrun: allow drift because we know
SELECT 1;
"""


@pytest.mark.parametrize(
    ("pending", "says"),
    [
        (
            DBMATE,
            [
                "002_pending.sql belongs to dbmate, as the mark `-- migrate:up` in line 1 says, and dbmate is not",
                'tool = "sql" would run the way down right behind the way up.',
            ],
        ),
        (
            WAIVED,
            [
                "2 waivers excuse nothing: ",
                "002_pending.sql, above line 2: there is no rule 'column-droped', did you mean 'column-dropped'?; ",
                "002_pending.sql, above line 4: drift cannot be waived: ",
            ],
        ),
    ],
    ids=["another tool's file", "waivers for no rule"],
)
def test_a_folder_that_is_a_configuration_error_ends_with_4(tmp_path, pending, says):
    """Before anything starts: no server, no report."""
    done = run(write(tmp_path, pending=pending))
    assert done.returncode == 4, done.stdout + done.stderr
    for text in says:
        assert text in done.stderr
    assert "nothing was touched" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "reports").exists()


def looked_at(folder: Path, baseline: str) -> None:
    """Look at a project early whose file 002 has a waiver for a rule that is none."""
    write(folder, pending=WAIVED, configuration=re.sub(r"through = .*\nseed = .*", baseline, CONFIGURATION))
    early_look.look(folder, config_file.load(folder / "dryrun.toml", "local").targets["local"])


@pytest.mark.parametrize(
    "baseline", ['through = "002_pending.sql"', 'dump = "backup.dump"'], ids=["applied", "nobody knows yet"]
)
def test_a_waiver_of_a_file_that_is_not_known_to_be_pending_is_left_alone(tmp_path, baseline):
    """Applied files are not edited, whatever they once excused; of a dump's history nothing is known early."""
    looked_at(tmp_path, baseline)


@pytest.mark.parametrize("baseline", ['through = "001_init.sql"', ""], ids=["after the baseline", "no baseline"])
def test_a_waiver_of_a_pending_file_has_to_name_a_rule(tmp_path, baseline):
    """With file, line and the nearest name."""
    with pytest.raises(ConfigurationError, match=r"002_pending\.sql, above line 2: there is no rule 'column-droped'"):
        looked_at(tmp_path, baseline)
