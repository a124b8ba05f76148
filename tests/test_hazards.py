"""Every file of `examples/hazards/` ends with NO-GO for its stated reason, and a run leaves the target as it was.

A whole run a hazard would take a quarter of an hour. So the example's target and its backup are made once; from there
on each hazard goes its real way: the steps of a dry run, the shipped checks themselves, the decision.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from projects import criterion, outcome, run
from walk import Walk

from pytest_dryrun import config_file
from pytest_dryrun.migrations.prisma import PrismaMigrations
from pytest_dryrun.model.values import Outcome
from pytest_dryrun.postgres import databases
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.postgres.disposable import Disposable
from pytest_dryrun.steps import proof
from pytest_dryrun.steps.rehearsal import Template
from pytest_dryrun.steps.target import TargetDatabase, build_baseline

pytestmark = pytest.mark.live

REPOSITORY = Path(__file__).parent.parent
EXAMPLE = REPOSITORY / "examples" / "edfinance"
HAZARDS = sorted(path.parent for path in (REPOSITORY / "examples" / "hazards").glob("*/migration.sql"))
# The steps of a dry run give their databases names of their own; these are this file's.
TARGET, TEMPLATE = "hazard_target", "hazard_template"
SLEEPS_AT_MOST_S = 3


@dataclass(frozen=True, slots=True)
class Stage:
    """The example with all of its own migrations applied, and its backup."""

    server: Disposable
    template: Conninfo
    taken: proof.Taken


@pytest.fixture(scope="session")
def stage(disposable: Disposable, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Build the target as `dryrun.toml` says, apply the example's pending migrations, and back up."""
    settings = config_file.load(REPOSITORY / "dryrun.toml", "local").targets["local"]
    migrations = PrismaMigrations(EXAMPLE / settings.migrations.directory, version=None, project=EXAMPLE)
    database = build_baseline(disposable, settings.baseline, migrations, EXAMPLE, name=TEMPLATE, timeout_s=120)
    migrations.deploy(database.conninfo, timeout_s=120)
    dump = proof.here(database, tmp_path_factory.mktemp("backup"), "hazards.dump", 120)
    taken = proof.take(database, dump, timeout_s=120)
    return Stage(disposable, database.conninfo, taken)


def project(folder: Path, hazard: Path) -> Path:
    """Copy what a run reads of the example, put the hazard behind its migrations, beside the real `dryrun.toml`."""
    copy = folder / "examples" / "edfinance"
    copy.mkdir(parents=True)
    shutil.copy(EXAMPLE / "package.json", copy)
    shutil.copytree(EXAMPLE / "prisma", copy / "prisma")
    place = copy / "prisma" / "migrations" / migration_name(hazard)
    place.mkdir()
    shutil.copy(hazard / "migration.sql", place)
    text = (REPOSITORY / "dryrun.toml").read_text(encoding="utf-8")
    if hazard.name == "sleeps":
        text = text.replace('deploy = "native"', f'deploy = "native"\ntimeout_s = {SLEEPS_AT_MOST_S}')
    (folder / "dryrun.toml").write_text(text, encoding="utf-8")
    return folder


def migration_name(hazard: Path) -> str:
    """Name a hazard's folder so that it sorts behind every migration of the example."""
    return f"20991231000000_{hazard.name.replace('-', '_')}"


def begin(stage: Stage, folder: Path, hazard: Path, *, apply: bool) -> Walk:
    """Open a dry run whose sections 1 and 3 are done; where it is to `apply`, its target is a fresh copy."""
    walk = Walk(project(folder, hazard), stage.server)
    server, template = stage.server, stage.template
    conninfo = databases.copy(server.conninfo, template.dbname, TARGET) if apply else template
    tool_conninfo = server.tool_conninfo.database(conninfo.dbname)
    database = TargetDatabase(conninfo, server.host, server.tool, tool_conninfo)
    walk.done(database=database, backup=stage.taken, template=Template(template, stage.taken.prints))
    walk.passed(1, 3)
    return walk


def test_the_example_without_a_hazard_is_a_go(stage, tmp_path):
    """What turns the others red is the hazard alone: a harmless statement in its place is a GO."""
    harmless = tmp_path / "harmless"
    harmless.mkdir()
    (harmless / "migration.sql").write_text("-- Nothing.\nSELECT 1;\n", encoding="utf-8")
    walk = begin(stage, tmp_path / "project", harmless, apply=True)
    walk.sections(2, 4, 5, 6)
    assert {} == {slug: found.reason for slug, found in walk.run.records.items() if found.outcome is not Outcome.PASSED}
    assert walk.decision().go


@pytest.mark.parametrize("hazard", HAZARDS, ids=lambda path: path.name)
def test_every_hazard_is_a_no_go_for_its_stated_reason(stage, tmp_path, hazard):
    """The named check is red, by the named rule, in words that say what is meant."""
    expected = tomllib.loads((hazard / "expected.toml").read_text(encoding="utf-8"))
    slug = expected["check"]
    found_on_the_target = slug in {"schema-as-rehearsed", "rows-intact", "indexes-valid", "no-orphaned-foreign-keys"}
    walk = begin(stage, tmp_path, hazard, apply=found_on_the_target)
    walk.sections(*((2, 4, 5, 6) if found_on_the_target else (2, 4)))
    record = walk.run.records[slug] if slug in walk.run.records else walk.check(slug)

    told = {name: (str(found.outcome), found.reason) for name, found in walk.run.records.items() if found.reason}
    assert record.outcome is Outcome.FAILED, told
    against = [finding for finding in record.findings if finding.severity == "blocker" and not finding.waived]
    ours = [finding for finding in against if finding.rule == expected["rule"]]
    assert ours, told
    # What is found on the target after applying is told of the object; no file is blamed.
    assert {finding.migration for finding in ours} == {None if found_on_the_target else migration_name(hazard)}
    assert expected["says"] in record.reason, told
    if "sqlstate" in expected:
        assert expected["sqlstate"] in {finding.evidence.get("sqlstate") for finding in against}, told
    assert not walk.decision().go
    assert any(" failed: " in reason for reason in walk.reasons(slug)), walk.decision()


def test_the_table_of_hazards_says_what_the_files_say():
    """The README lists every hazard, with the check and the rule of its `expected.toml`."""
    lines = (REPOSITORY / "examples" / "hazards" / "README.md").read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if line.startswith("| [`")]
    expected = {path: tomllib.loads((path / "expected.toml").read_text(encoding="utf-8")) for path in HAZARDS}
    ends = {path.name: f"| `{said['check']}`: `{said['rule']}` |" for path, said in expected.items()}
    assert sorted(ends) == sorted(line.split("`")[1] for line in listed)
    for line in listed:
        assert line.endswith(ends[line.split("`")[1]])


@pytest.mark.parametrize(
    ("name", "slug", "says"),
    [
        ("drop-table", "no-destructive-operations", 'Table public."Session" with '),
        ("required-column", "schema-diff", "23502"),
        ("index-blocks-writes", "indexes-do-not-block", "CREATE INDEX CONCURRENTLY"),
    ],
)
@pytest.mark.usefixtures("postgres")
def test_a_whole_run_ends_with_exit_1_and_leaves_the_target_alone(tmp_path, monkeypatch, name, slug, says):
    """A user's own command: NO-GO, the reason in the report and in the terminal, nothing applied."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)  # whose python the API needs
    hazard = REPOSITORY / "examples" / "hazards" / name
    project(tmp_path, hazard)
    for path in (*EXAMPLE.glob("*.py"), EXAMPLE / "seed.sql"):
        shutil.copy(path, tmp_path / "examples" / "edfinance")
    configuration = tmp_path / "dryrun.toml"
    text = configuration.read_text(encoding="utf-8")
    configuration.write_text(text.replace('provider = "auto"', 'provider = "binaries"'), encoding="utf-8")
    done = run(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    document = json.loads((tmp_path / "reports" / "local" / "report.json").read_text(encoding="utf-8"))
    assert ("NO-GO", "NO-GO", False) == (document["decision"], document["headline"], document["target_migrated"])
    state, reason = outcome(document, slug)
    assert state == "failed"
    assert says in reason
    line = next(check for check in document["checks"] if check["slug"] == slug)
    assert any(slug in text for text in criterion(document, line["criterion"])["reasons"])
    printed = " ".join(done.stdout.split())
    assert f"{line['number']} {line['title']}: failed" in printed
    assert says in printed
    state, reason = outcome(document, "migrations-applied")
    assert state == "blocked"
    assert re.search(rf"{line['number']} {slug} \(?failed", reason)
    assert [] == document["migrations"]["applied"]
    assert migration_name(hazard) in document["migrations"]["pending"]
    assert not (tmp_path / "reports" / "MIGRATION_HISTORY.md").exists()
