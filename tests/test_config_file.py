"""`dryrun.toml`: found where it should be, read for the chosen targets, every mistake told at once."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import get_args

import pytest

from pytest_dryrun.config import DecisionTable, Project, Table, Target, WaiverTable, size_bytes
from pytest_dryrun.config_file import find, load
from pytest_dryrun.model.errors import ConfigurationError
from pytest_dryrun.model.waivers import Waiver

MINIMAL = """
[project]
name = "shop"
[targets.local]
role = "local"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "dryrun.toml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(folder: Path, text: str, wanted: str = "local") -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(write(folder, text), wanted, {})
    return str(caught.value)


def test_the_nearest_file_upwards_is_found(tmp_path):
    """A run from a subfolder uses the project's file."""
    path = write(tmp_path, MINIMAL)
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert path == find(tmp_path / "a" / "b", None)


def test_a_named_file_is_used_and_must_be_there(tmp_path):
    """`--dryrun-config` is relative to where pytest was called."""
    path = write(tmp_path, MINIMAL)
    assert path == find(tmp_path, "dryrun.toml")
    with pytest.raises(ConfigurationError, match="is not there"):
        find(tmp_path, "other.toml")


def test_no_file_at_all_says_what_to_write(tmp_path, monkeypatch):
    """Three lines: what, what it means, what to do."""
    monkeypatch.setattr(Path, "is_file", lambda _: False)
    with pytest.raises(ConfigurationError) as caught:
        find(tmp_path, None)
    assert len(str(caught.value).splitlines()) == 3
    assert "--dryrun-config" in caught.value.next


def test_defaults_are_those_of_the_documentation(tmp_path):
    """A minimal target is a Prisma project rehearsed by whatever server can be had."""
    target = load(write(tmp_path, MINIMAL), "local", {}).targets["local"]
    assert ("prisma", "prisma/migrations", "native") == (
        target.migrations.tool,
        target.migrations.directory,
        target.migrations.deploy,
    )
    assert target.postgres.provider == "auto"
    assert target.performance.p95_ms == 500
    assert target.performance.samples == 200
    assert (1000, 1000) == (target.stalls.max_read_ms, target.stalls.max_write_ms)
    assert 0 == target.stalls.longest_transaction_ms


def test_every_mistake_is_told_at_once_with_its_key(tmp_path):
    """Unknown keys, wrong types, wrong values and impossible combinations, in one go."""
    text = mistakes(
        tmp_path,
        """
[project]
name = "shop"
nmae = 3
[targets.local]
role = "local"
directory = 4
[targets.local.postgres]
provider = "docker"
[targets.local.ssh]
host = "x"
[targets.local.baseline]
dump = "a.dump"
seed = "b.sql"
[targets.local.performance]
p95_ms = -3
requests = ["api"]
[targets.local.backup]
min_free = "much"
directory = "a\\u0000b"
[targets.local.api]
start = "a"
base_url = "b"
token = "${NOPE}"
[decision.not_required]
no-p0 = "x"
[[waivers]]
rule = "rows-lots"
[[waivers]]
rule = "rows-lost"
""",
    )
    for expected in (
        "targets.local.api.token: the environment variable NOPE is not set",
        'targets.local.ssh: cannot stand with role = "local"',
        "project.nmae: unknown key, did you mean name?",
        "targets.local.directory: found 4",
        "targets.local.postgres.provider: found 'docker', allowed: 'auto', 'container', 'binaries' or 'embedded'",
        "targets.local.baseline: `dump` alone",
        "targets.local.performance.p95_ms: found -3",
        "targets.local.performance.requests[0]: found 'api', allowed: a path that starts with \"/\"",
        "targets.local.backup.min_free: found 'much', allowed: a size",
        "targets.local.backup.directory: found 'a\\x00b', allowed: a path without NUL bytes",
        "targets.local.api: `start` or `base_url`",
        "decision: no-p0 is always required",
        "waivers[0]: rule: there is no rule 'rows-lots', did you mean 'rows-lost'?",
        "waivers[1]: name the migration, or the object as the finding names it",
    ):
        assert expected in text
    assert text.splitlines()[0].endswith("14 mistakes:")


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ('[decision.not_required]\nspeed = "x"', "unknown criterion 'speed'"),
        ('[decision.not_required]\nlatency = " "', "latency is dropped without a reason"),
        ('[targets.local.performance]\nrequests = ["/a"]', "performance.requests are timed through an API: configure"),
        (
            '[targets.local.api]\nstart = "x"\nrestart = "y"',
            "api.restart and api.status are about an API that a staging",
        ),
        ('[targets.local.api]\nbase_url = "http://a:99999"', "targets.local.api: Port out of range"),
        ("[targets.local.smoke]\ncomand = 'x'", "targets.local.smoke.comand: unknown key, did you mean command?"),
        ("[targets.local.api]\nstart = '${GONE}'", "api.start: the environment variable GONE is not set"),
        ("[targetz]", "targetz: unknown key, did you mean targets?"),
        ('[[waivers]]\nmigration = "m"', "waivers[0].rule: missing"),
        (
            '[targets.local.migrations]\ntool = "sql"\nschema = "shop"',
            "`schema` is where another tool keeps its history",
        ),
        (
            '[[waivers]]\nrule = "a"\nmigration = "m"\nwhy = "x"',
            "waivers[0].why: unknown key, allowed: rule, migration",
        ),
    ],
)
def test_a_mistake_names_what_is_allowed(tmp_path, table, expected):
    """Each message ends in something to type."""
    assert expected in mistakes(tmp_path, MINIMAL + table)


@pytest.mark.parametrize(
    "text",
    [
        "[project",
        "[project]\nname = 'x'",
        "targets = 3\n[project]\nname = 'x'",
        "[project]\nname='x'\n[targets.'../x']\nrole='local'",
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path, text):
    """No TOML, no targets, targets that are no tables, a target named like a way out of the report folder."""
    assert "dryrun.toml" in mistakes(tmp_path, text)


def test_a_file_that_is_not_utf8_is_refused(tmp_path):
    """The bytes are named, nothing is guessed."""
    path = tmp_path / "dryrun.toml"
    path.write_bytes(b"[project]\nname = '\xff'")
    with pytest.raises(ConfigurationError, match="cannot be read as TOML"):
        load(path, "local", {})


def test_an_unknown_target_lists_the_known_ones(tmp_path):
    """And proposes the nearest."""
    text = mistakes(tmp_path, MINIMAL, "locla")
    assert "has no target 'locla'" in text
    assert "Targets it has: local. Did you mean local?" in text


def test_names_and_globs_choose_targets_once_and_in_order(tmp_path):
    """`A,B` or a glob; a target named twice runs once."""
    more = MINIMAL + '[targets.other]\nrole = "local"\n[targets.last]\nrole = "local"\n'
    assert ["last", "local"] == list(load(write(tmp_path, more), "last,lo*,last", {}).targets)


def test_variables_are_taken_for_the_targets_that_run_and_count_as_secrets(tmp_path):
    """Another target's missing variable does not matter here."""
    text = (
        MINIMAL
        + '[targets.local.api]\nstart = "x"\ntoken = "${TOKEN}"\n'
        + '[targets.other]\nrole = "local"\ndirectory = "${UNSET}"\n'
    )
    loaded = load(write(tmp_path, text), "local", {"TOKEN": "s3cret-token"})
    assert loaded.targets["local"].api.token == "s3cret-token"
    assert frozenset({"s3cret-token"}) == loaded.secrets
    assert "s3cret-token" not in repr(loaded.targets["local"])


PRODUCTION = """
[targets.staging]
role = "staging"
[targets.live]
role = "production"
[targets.live.api]
token = "${NOBODY_NEEDS}"
[targets.live.database]
system_identifier = "${LIVE_SYSTEM}"
"""


def test_what_lists_production_is_known_to_a_staging_run(tmp_path):
    """Filled in from the environment, missing is a mistake, and it is no secret; a local run needs none of it."""
    path = write(tmp_path, MINIMAL + PRODUCTION)
    loaded = load(path, "staging", {"LIVE_SYSTEM": "7412345678901234567"})
    assert "7412345678901234567" == loaded.production["live"].database.system_identifier
    assert frozenset() == loaded.secrets
    with pytest.raises(ConfigurationError, match=r"live\.database\.system_identifier: .*LIVE_SYSTEM is not set"):
        load(path, "staging", {})
    assert ["local"] == list(load(path, "local", {}).targets)


@pytest.mark.parametrize(
    ("rollback", "expected"), [("", "pm2 restart all"), ('[targets.far.rollback]\nrestart = "b"', "b")]
)
def test_what_restarts_the_application_does_so_after_a_rollback_too(tmp_path, rollback, expected):
    """One command is enough, and another one can be given."""
    text = '[targets.far]\nrole = "staging"\n[targets.far.api]\nbase_url = "http://a"\nrestart = "pm2 restart all"\n'
    loaded = load(write(tmp_path, MINIMAL + text + rollback), "far", {})
    assert expected == loaded.targets["far"].restart_after_rollback


def test_a_loaded_file_knows_its_folder_and_whether_there_is_an_api(tmp_path):
    """Relative paths start beside `dryrun.toml`; dropped criteria keep their reasons."""
    text = MINIMAL + 'directory = "app"\n[targets.local.backup]\nmin_free = "1GB"\n[targets.local.performance]\n'
    text += 'requests = ["/a"]\n[targets.local.api]\nstart = "x"\n[decision.not_required]\nlatency = "no queries"\n'
    loaded = load(write(tmp_path, text), "local", {})
    assert tmp_path == loaded.root
    assert loaded.targets["local"].api.configured
    assert {"latency": "no queries"} == loaded.not_required


def test_what_the_project_table_takes_from_the_environment_is_meant_to_be_shown(tmp_path):
    """A ticket's number is no secret."""
    path = write(tmp_path, MINIMAL.replace('name = "shop"', 'name = "shop"\nepic = "${TICKET}"'))
    loaded = load(path, "local", {"TICKET": "2000"})
    assert "2000" == loaded.project.epic
    assert frozenset() == loaded.secrets


def test_a_mistake_never_shows_a_secret(tmp_path):
    """A secret in the wrong place is named by its key, not by its value."""
    path = write(tmp_path, MINIMAL + '[targets.local.performance]\nrequests = ["${TOKEN}"]\n')
    with pytest.raises(ConfigurationError) as caught:
        load(path, "local", {"TOKEN": "s3cret-token"})
    assert "requests[0]" in str(caught.value)
    assert "s3cret-token" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"), [("500MB", 500_000_000), ("1.5 GiB", 1610612736), ("2kB", 2000), ("7B", 7), ("1TB", 10**12)]
)
def test_sizes_in_words(text, expected):
    """Decimal and binary units."""
    assert expected == size_bytes(text)


@pytest.mark.parametrize(
    ("settings", "by_cli"),
    [
        ('deploy = "npx prisma migrate deploy"', True),
        ('deploy = "native"', False),
        ('tool = "sql"\ndeploy = "./deploy"', False),
    ],
    ids=["its command", "native", "another tool's command"],
)
def test_who_deploys(tmp_path, settings, by_cli):
    """Prisma's CLI, or we from its folder, or another command."""
    text = f"{MINIMAL}\n[targets.local.migrations]\n{settings}\n"
    assert by_cli is load(write(tmp_path, text), "local", {}).targets["local"].migrations.by_prisma_cli


@pytest.mark.parametrize(
    ("lines", "command"),
    [
        ("", ""),
        ('tool = "sql"\ndeploy = "./deploy"\nstatus = "./status"', ""),
        ('deploy = "npx prisma migrate deploy"', "npx prisma migrate status"),
        (
            "deploy = \"npx prisma migrate deploy --schema 'a b.prisma'\"",
            "npx prisma migrate status --schema 'a b.prisma'",
        ),
        ('deploy = "npx prisma migrate deploy"\nstatus = "make status"', "make status"),
        ('deploy = "make deploy"', ""),
        ("deploy = \"sh -c 'npx prisma migrate deploy; node seed.js'\"", ""),
        ('deploy = "npx prisma migrate deploy \'"', ""),
    ],
)
def test_where_prismas_cli_leads_is_asked_by_a_command_that_does_nothing_else(tmp_path, lines, command):
    """Made of one that only deploys; of a script nobody knows what the rest does."""
    target = load(write(tmp_path, MINIMAL + f"[targets.local.migrations]\n{lines}\n"), "local", {}).targets["local"]
    assert command == target.migrations.asks_destination


def documented() -> dict[str, dict[str, str]]:
    """Every key of docs/configuration.md with its default, by its table."""
    text = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text(encoding="utf-8")
    tables: dict[str, dict[str, str]] = {}
    for part in re.split(r"^#+ `\[+", text, flags=re.MULTILINE)[1:]:
        name, _, rest = part.partition("]")
        rows = re.findall(r"^\| `(\w+)` \|(.*?)\| ", rest, flags=re.MULTILINE)
        tables[name.removeprefix("targets.NAME.")] = {key: default.strip() for key, default in rows}
    return tables


def _spelled(value: object) -> str:
    """A value as TOML writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_every_key_is_documented_with_its_default():
    """The page cannot fall behind the file's own description."""
    models = {"project": Project, "targets.NAME": Target, "decision": DecisionTable, "waivers": WaiverTable}
    tables = {name for name, field in Target.model_fields.items() if name not in {"role", "directory"}}
    for name in tables:
        kind = Target.model_fields[name].annotation
        models[name] = next(one for one in (kind, *get_args(kind)) if isinstance(one, type) and issubclass(one, Table))
    found = documented()
    assert {*models} == {*found}
    for name, model in models.items():
        keys = {field.alias or key for key, field in model.model_fields.items()}
        assert keys - tables == {*found[name]}, name
        for key, field in model.model_fields.items():
            if key in found[name] and (field.is_required() or isinstance(field.default, (int, float))):
                default = "required" if field.is_required() else f"`{_spelled(field.default)}`"
                assert default == found[name][key], f"{name}.{key}"


@pytest.mark.parametrize(
    ("tables", "timed", "sends"),
    [
        ("", False, False),
        ('[targets.local.performance]\nqueries = ["SELECT 1"]', True, True),
        ('[targets.local.api]\nstart = "serve"', False, True),
        ('[targets.local.api]\nstart = "serve"\n[targets.local.performance]\nrequests = ["/api/health"]', True, True),
    ],
    ids=["nothing", "queries", "an API", "its requests"],
)
def test_what_is_timed_and_what_sends_statements(tmp_path, tables, timed, sends):
    """An API has the database work before any of its requests is timed."""
    target = load(write(tmp_path, f"{MINIMAL}\n{tables}\n"), "local", {}).targets["local"]
    assert (timed, sends) == (target.performance.timed, target.sends_statements)


def test_a_configured_waiver_is_the_one_that_the_run_applies(tmp_path):
    """Every key comes through, and the file it stands in is named."""
    table = '[[waivers]]\nrule = "rows-lost"\nobject = "public.log"\nreason = "old"\napprover = "Ada"\n'
    table += "expires = 2027-01-01\n"
    (configured,) = load(write(tmp_path, MINIMAL + table), "local", {}).waivers
    expected = Waiver("rows-lost", None, "old", "dryrun.toml", None, "", "Ada", date(2027, 1, 1), "public.log")
    assert expected == configured.waiver("dryrun.toml")
