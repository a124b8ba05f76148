"""What bad input gets: a clear error of three lines, exit 4 or NO-GO, and nothing touched.

A backup that does not fit, an API that is never healthy and smoke commands that prove nothing are in
`test_red_checks.py`; a second run of the same target is in `test_dry_run.py`.
"""

from __future__ import annotations

import html
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import projects
import psycopg
import pytest
from projects import CONFIGURATION, INIT, SAFE, SEED, outcome, report, write
from walk import walking

from pytest_dryrun.migrations.prisma import PrismaMigrations
from pytest_dryrun.migrations.sql_folder import SqlFolder
from pytest_dryrun.model.errors import ConfigurationError
from pytest_dryrun.model.values import Outcome
from pytest_dryrun.postgres.disposable import Disposable


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest as a user does, in a folder of its own."""
    return projects.run(folder, *arguments, target="")


# Configuration: exit 4, and not even a folder for the report.


@pytest.mark.parametrize(
    ("change", "arguments", "says"),
    [
        (lambda _: None, (), ["No dryrun.toml in ", "nothing was touched", "Write a dryrun.toml beside the project"]),
        (
            lambda text: text.replace("samples = 20", "sample = 20\nlimit = '${NOWHERE_SET}'"),
            (),
            [
                "has 3 mistakes:",
                "dryrun.toml: targets.local.performance.limit: the environment variable NOWHERE_SET is not set",
                "dryrun.toml: targets.local.performance.sample: unknown key, did you mean samples?",
                "Mend them all; each line names the key.",
            ],
        ),
        (str, ("--dryrun-target=locl",), ["has no target 'locl'.", "Targets it has: local. Did you mean local?"]),
        (str, ("--dryrun-config=other.toml",), ["other.toml is not there.", "Name an existing file"]),
        (lambda text: text + "[", (), ["cannot be read as TOML", "Mend the file."]),
        (
            lambda text: text.replace('role = "local"', 'role = "staging"').partition("[targets.local.postgres]")[0],
            (),
            ["cannot be run: [ssh] is missing: how is the host reached?", "Nothing was run and nothing was touched."],
        ),
        (
            lambda text: (
                text.replace('tool = "sql"', 'tool = "prisma"\ndeploy = "npm run up"')
                + '[targets.local.smoke]\ncommand = "a | b"\n[targets.local.p0]\ncommand = "c > d"\n'
            ),
            (),
            ["cannot be run: smoke.command: ", "; p0.command: ", "nothing tells which database it leads to"],
        ),
        (
            lambda text: (
                text.replace('role = "local"', 'role = "staging"').partition("[targets.local.postgres]")[0]
                + '[targets.local.ssh]\nhost = "h"\nuser = "u"\n[targets.local.backup]\ndirectory = "/b"\n'
                + '[targets.local.smoke]\ncommand = "{python} smoke.py"\n'
            ),
            (),
            ["cannot be run: smoke.command: {python} is the interpreter that runs pytest here", "runs on the host"],
        ),
        (
            lambda text: text.replace('role = "local"', 'role = "production"').partition("[targets.local.postgres]")[0],
            (),
            ['has role = "production", which is never run', "Nothing was run and nothing was touched."],
        ),
    ],
    ids=[
        "no file",
        "unknown key and missing variable",
        "unknown target",
        "other file",
        "no TOML",
        "staging without SSH",
        "commands that cannot be run",
        "our interpreter on another host",
        "production",
    ],
)
def test_a_configuration_that_cannot_be_run_is_exit_4(tmp_path, change, arguments, says):
    """What is wrong, that nothing was touched, what to do; no report, no history, no trace of Python."""
    write(tmp_path)
    text = change(CONFIGURATION)
    (tmp_path / "dryrun.toml").unlink() if text is None else (tmp_path / "dryrun.toml").write_text(text)
    done = run(tmp_path, "--dryrun-target=local", *arguments)
    assert done.returncode == 4, done.stdout + done.stderr
    for line in says:
        assert line in done.stderr
    assert "nothing was touched" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert {"dryrun.toml", "migrations", "seed.sql"} >= {path.name for path in tmp_path.iterdir()}


def test_a_check_file_with_a_syntax_error_is_exit_4(tmp_path):
    """The checklist cannot be known, so nothing runs."""
    write(tmp_path, checks={"test_07_own.py": "from pytest_dryrun import check\n\ndef test_(:\n"})
    done = run(tmp_path, "--dryrun-target=local")
    assert done.returncode == 4
    assert "test_07_own.py:3 is not Python" in done.stderr
    assert "nothing was touched" in done.stderr
    assert not (tmp_path / "reports").exists()


# The migrations folder.


def files(folder: Path, **contents: bytes) -> Path:
    """Write files; two underscores stand for a folder."""
    for name, content in contents.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


BAD_FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent": (lambda folder: SqlFolder(folder / "nowhere"), "nowhere cannot be read: No such file or directory."),
    "no migration.sql": (
        lambda folder: PrismaMigrations(files(folder, **{"001_x__README": b"-"}), version="6.19.3", project=folder),
        "001_x holds no migration.sql",
    ),
    "not UTF-8": (lambda folder: SqlFolder(files(folder, **{"001.sql": b"-- caf\xe9\n"})), "001.sql is not UTF-8"),
    "empty": (lambda folder: SqlFolder(files(folder, **{"001.sql": b" \n"})), "001.sql is empty."),
    "BOM": (lambda folder: SqlFolder(files(folder, **{"001.sql": b"\xef\xbb\xbfSELECT 1;"})), "byte order mark"),
    "NUL": (lambda folder: SqlFolder(files(folder, **{"001.sql": b"SELECT 1;\n\0"})), "NUL byte in line 2"),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_a_folder_that_cannot_be_run_is_refused_before_anything_is_touched(tmp_path, case):
    """Which file, what it would have meant, what to do."""
    make, says = BAD_FOLDERS[case]
    with pytest.raises(ConfigurationError) as refused:
        make(tmp_path).folder()
    lines = str(refused.value).splitlines()
    assert 3 == len(lines)
    assert says.lower() in lines[0].lower()
    assert "othing was touched." in lines[1]


@pytest.mark.live
@pytest.mark.usefixtures("postgres")
def test_a_whole_run_without_its_migrations_is_no_go(tmp_path):
    """The first check that needs them says so; the others are blocked by it; no check passes by accident."""
    write(tmp_path, configuration=CONFIGURATION.replace('"migrations"', '"migration"'))
    done = run(tmp_path, "--dryrun-target=local")
    assert done.returncode == 1
    document = report(tmp_path)
    assert ("NO-GO", False) == (document["decision"], document["target_migrated"])
    state, reason = outcome(document, "database-credentials")
    assert "failed" == state
    assert "migration cannot be read: No such file or directory." in reason
    assert "Set `directory` in the target's `migrations` table" in reason
    assert set() == {check["slug"] for check in document["checks"] if check["outcome"] == "passed"}
    assert "blocked by database-credentials" in outcome(document, "backup-created")[1]


# The baseline.


def baseline(lines: str) -> str:
    """The tiny project's configuration with another baseline."""
    head, _, rest = CONFIGURATION.partition("[targets.local.baseline]\n")
    return f"{head}[targets.local.baseline]\n{lines}\n\n{rest.partition(chr(10) * 2)[2]}"


@pytest.mark.live
@pytest.mark.parametrize(
    ("lines", "seed", "says"),
    [
        ('through = "001_init.sql"\nseed = "sead.sql"', SEED, "sead.sql is not there."),
        ('through = "001_init.sql"\nseed = "seed.sql"', "SELECT 1;\nINSERT INTO nothing VALUES (1);\n", "seed.sql:2:"),
        ('through = "001_initial"', SEED, "the folder holds no such migration."),
        ('dump = "backup.dump"', SEED, "backup.dump is not there."),
    ],
    ids=["no seed", "failing seed", "no such migration", "no dump"],
)
def test_a_baseline_that_cannot_be_built(disposable, tmp_path, lines, seed, says):
    """The file and the remedy; nothing is backed up or rehearsed on half a target."""
    with walking(write(tmp_path, configuration=baseline(lines), seed=seed), disposable) as walk:
        record = walk.check("database-credentials")
        assert (Outcome.FAILED, 3) == (record.outcome, len(record.reason.splitlines()))
        assert says in record.reason.splitlines()[0]
        assert walk.check("backup-created").reason.startswith("blocked by database-credentials: ")


@pytest.fixture(scope="module")
def dumps(disposable: Disposable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny project's baseline as pg_dump writes it, in three formats."""
    folder = tmp_path_factory.mktemp("dumps")
    with walking(write(folder / "source"), disposable) as walk:
        database = walk.run.database()
        for form in ("plain", "custom", "directory"):
            argv = [*database.tool("pg_dump"), f"--format={form}", f"--file={folder / form}"]
            environment = {**os.environ, **database.tool_conninfo.environment()}
            subprocess.run(argv, env=environment, check=True, timeout=60)
    return folder


@pytest.mark.live
@pytest.mark.parametrize("form", ["plain", "custom", "directory"])
def test_a_dump_of_any_format_can_be_the_baseline(disposable, tmp_path, dumps, form):
    """Its rows and its migration history are there, so only what came later is pending."""
    write(tmp_path, configuration=baseline(f'dump = "{dumps / form}"'))
    with walking(tmp_path, disposable) as walk:
        assert walk.check("database-credentials").outcome is Outcome.PASSED
        assert walk.check("migration-status").outcome is Outcome.PASSED
        assert ["002_pending.sql"] == [each.name for each in walk.run.status().pending]
        with psycopg.connect(**walk.run.database().conninfo.parameters()) as connection:
            assert (2000,) == connection.execute('SELECT count(*) FROM "order"').fetchone()


@pytest.mark.live
@pytest.mark.parametrize(
    ("form", "cut"),
    [
        ("plain", lambda data: data[: data.index(b"\n700\t") + 1]),
        ("plain", lambda data: data[: data.index(b"ALTER TABLE ONLY public.customer")]),
        ("custom", lambda data: data[: len(data) * 3 // 4]),
    ],
    ids=["plain, within the rows", "plain, between statements", "custom"],
)
def test_a_truncated_dump_is_no_baseline(disposable, tmp_path, dumps, form, cut):
    """Half of the rows would be rehearsed on without a word; psql itself sees nothing wrong with it."""
    (tmp_path / "cut.dump").write_bytes(cut((dumps / form).read_bytes()))
    with walking(write(tmp_path, configuration=baseline('dump = "cut.dump"')), disposable) as walk:
        record = walk.check("database-credentials")
        assert record.outcome is Outcome.FAILED
        assert "cut.dump" in record.reason.splitlines()[0]
        assert "Without its baseline the local target" in record.reason


@pytest.mark.live
def test_a_dump_that_leads_to_a_database_of_its_own_is_no_baseline(disposable, tmp_path, dumps):
    """Psql would follow it and leave the target empty, where `CREATE ... IF NOT EXISTS` passes for everything."""
    text = (dumps / "plain").read_text(encoding="utf-8")
    led = text.replace("SET ", "CREATE DATABASE harbour;\n\\connect harbour\nSET ", 1)
    (tmp_path / "led.dump").write_text(led, encoding="utf-8")
    with walking(write(tmp_path, configuration=baseline('dump = "led.dump"')), disposable) as walk:
        reason = walk.check("database-credentials").reason
        assert "led.dump leads to a database of its own in line" in reason
        assert "CREATE DATABASE harbour;" in reason
        assert "take out CREATE DATABASE and \\connect." in reason
    with psycopg.connect(**disposable.conninfo.parameters()) as connection:
        assert connection.execute("SELECT 1 FROM pg_database WHERE datname = 'harbour'").fetchone() is None


@pytest.mark.live
def test_a_target_that_is_empty_after_its_dump_is_refused(disposable, tmp_path, dumps):
    """Whatever took the tables away again: nobody rehearses on nothing."""
    text = (dumps / "plain").read_text(encoding="utf-8")
    emptied = text.replace("-- PostgreSQL database dump complete", "DROP SCHEMA public CASCADE;\n-- dump complete")
    (tmp_path / "emptied.dump").write_text(emptied, encoding="utf-8")
    with walking(write(tmp_path, configuration=baseline('dump = "emptied.dump"')), disposable) as walk:
        assert "has tables, and the target has none after it was loaded" in walk.check("database-credentials").reason


# SQL that does what nobody expects.

MEGABYTE = """
DO $$ BEGIN
    FOR i IN 1..1100 LOOP RAISE WARNING '% %', i, repeat('x', 1000); END LOOP;
END $$;
"""


@pytest.mark.live
@pytest.mark.parametrize(
    ("pending", "says"),
    [
        ("BEGIN;\nALTER TABLE customer ADD COLUMN x text;\n", "left a transaction open: a BEGIN without its COMMIT."),
        ("SELECT pg_sleep(600);\n", "ran past the time limit of 2 s"),
        ("ROLLBACK;\nBEGIN;\nSELECT 1;\n", "left a transaction open"),
    ],
    ids=["left open", "too slow", "rolled back and left open"],
)
def test_sql_that_does_not_come_to_an_end_is_refused_on_the_copy(disposable, tmp_path, pending, says):
    """Red in the review, so that the target never meets it."""
    settings = CONFIGURATION.replace('directory = "migrations"', 'directory = "migrations"\ntimeout_s = 2')
    with walking(write(tmp_path, pending=pending, configuration=settings), disposable) as walk:
        walk.passed(1, 2, 3)
        record = walk.check("schema-diff")
        assert record.outcome is Outcome.FAILED
        assert says in record.reason
        assert "002_pending.sql" in record.reason
        assert walk.check("migrations-applied").outcome is Outcome.BLOCKED
        assert ("001_init.sql",) == walk.run.read_status().applied


@pytest.mark.live
@pytest.mark.parametrize(
    "pending",
    ["SELECT pg_catalog.set_config('search_path', '', false);\n", "SET search_path = elsewhere;\n", MEGABYTE],
    ids=["search_path emptied, as pg_dump does", "search_path set", "a megabyte of warnings"],
)
def test_sql_that_is_odd_but_harmless_is_applied_and_recorded(disposable, tmp_path, pending):
    """The history is written in its own schema, and what is kept of the notices can be read."""
    with walking(write(tmp_path, pending=SAFE + pending), disposable) as walk:
        walk.passed(1, 3)
        walk.sections(2, 4, 5)
        told = {slug: found.reason for slug, found in walk.run.records.items() if found.outcome is not Outcome.PASSED}
        assert {} == told
        warnings = walk.run.applied().warnings
        assert sum(map(len, warnings)) < 60_000
        if pending is MEGABYTE:
            assert any("more notices" in text for text in warnings)


STRANGE = ["it's", 'say "cheese"', "dots.and spaces", "<script>alert(1)</script>", "&amp;", "%s {0}", "ü" * 31 + "x"]


@pytest.mark.live
@pytest.mark.usefixtures("postgres")
def test_strange_names_are_a_go_and_are_escaped_on_the_page(tmp_path):
    """Quotes, spaces, dots, HTML and 63 bytes in names of tables and columns: backed up, compared, shown."""
    names = ['"' + name.replace('"', '""') + '"' for name in STRANGE]
    assert 63 == len(STRANGE[-1].encode())
    tables = [
        f"CREATE TABLE {name} ({name} text PRIMARY KEY, {other} int NOT NULL DEFAULT 1);"
        for name, other in zip(names, [*names[1:], names[0]], strict=True)
    ]
    rows = [f"INSERT INTO {name} VALUES ('<b>1</b>'), ('x''y');" for name in names]
    pending = ["SET lock_timeout = '2s';"] + [
        f'ALTER TABLE {name} ADD COLUMN "<i>new</i> {number}" int NOT NULL DEFAULT 0;'
        for number, name in enumerate(names)
    ]
    write(tmp_path, init=INIT + "\n".join(tables), seed=SEED + "\n".join(rows), pending="\n".join(pending))
    done = run(tmp_path, "--dryrun-target=local")
    assert done.returncode == 0, done.stdout + done.stderr
    document = report(tmp_path)
    shown = {table["table"] for table in document["tables"]}
    assert {f"public.{name}" for name in names} <= shown
    page = (tmp_path / "reports" / "local" / "signoff.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert "<i>new" not in page
    for name in names:
        assert html.escape(f"public.{name}", quote=True).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page


# Checks that cannot be collected, and runs that are no dry run.


@pytest.mark.live
@pytest.mark.usefixtures("postgres")
def test_a_check_file_that_does_not_import_is_exit_2_and_no_go(tmp_path):
    """Named in the report; none of its checks can have passed."""
    text = "import no_such_module\nfrom pytest_dryrun import check\n@check('own')\ndef test_own():\n    '''Own.'''\n"
    write(tmp_path, checks={"test_07_own.py": text})
    done = run(tmp_path, "--dryrun-target=local")
    assert done.returncode == 2, done.stdout + done.stderr
    document = report(tmp_path)
    assert ("NO-GO", True) == (document["decision"], document["finished"])
    assert any("test_07_own.py" in note and "no_such_module" in note for note in document["notes"])
    assert "not-run" == outcome(document, "own")[0]


def test_the_list_is_printed_and_nothing_runs(tmp_path):
    """Number, slug, criterion, blocking or not, title; the project's own checks are among them."""
    own = "from pytest_dryrun import check\n@check('own', criterion='latency', blocking=False)\ndef test_own():\n"
    write(tmp_path, checks={"test_09_own.py": own + "    '''Our own line.'''\n"})
    done = run(tmp_path, "--dryrun-target=local", "--dryrun-list")
    assert 0 == done.returncode
    lines = done.stdout.splitlines()
    assert lines[0] == "checklist for target local: 36 checks"
    assert any(line.split()[:4] == ["3.2", "backup-restores", "no-data-loss", "blocking"] for line in lines)
    assert any(line.split()[:4] == ["9.7", "own", "latency", "advisory"] and "Our own line" in line for line in lines)
    assert not (tmp_path / "reports").exists()
    alone = run(tmp_path, "--dryrun-list")
    assert (4, True) == (alone.returncode, "--dryrun-list prints the checklist of a target" in alone.stderr)


LOOKING = """
import sys

def pytest_sessionfinish():
    print("loaded:", sorted({"psycopg", "paramiko", "pydantic", "httpx", "sqlparse"} & set(sys.modules)))
"""
ORDINARY = "def test_ordinary():\n    pass\n"
OWN = "from pytest_dryrun import check\n\n@check('own')\ndef test_own(api, record):\n    '''Own.'''\n    assert 0\n"


def test_pytest_without_a_target_runs_no_check_and_loads_no_driver(tmp_path):
    """Checks are deselected, whatever they ask for; other tests run; a broken dryrun.toml is not even read."""
    write(tmp_path, configuration="[", checks={"test_07_own.py": OWN, "test_other.py": ORDINARY})
    (tmp_path / "looking.py").write_text(LOOKING, encoding="utf-8")
    done = run(tmp_path, "-p", "looking", "checks")
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "1 passed, 1 deselected" in done.stdout
    assert "loaded: []" in done.stdout
    assert not (tmp_path / "reports").exists()


def test_the_plugin_can_be_switched_off(tmp_path):
    """Then its options are unknown, and pytest is what it was."""
    write(tmp_path, checks={"test_other.py": ORDINARY})
    off = ("-p", "no:pytest_dryrun.plugin")
    assert "1 passed" in run(tmp_path, *off, "checks").stdout
    done = run(tmp_path, *off, "--dryrun-target=local")
    assert (4, True) == (done.returncode, "unrecognized arguments: --dryrun-target=local" in done.stderr)


@pytest.mark.parametrize("part", ["pytest_dryrun.listener", "pytest_dryrun.fixtures"])
def test_no_part_of_the_plugin_can_be_switched_off_with_a_target(tmp_path, part):
    """What is left would run checks and decide nothing: that must not end with 0."""
    write(tmp_path)
    done = run(tmp_path, "--dryrun-target=local", "-p", f"no:{part}")
    assert 4 == done.returncode
    assert f"-p no:{part} turns off a part of the dry run." in done.stderr
    assert not (tmp_path / "reports").exists()


@pytest.mark.live
@pytest.mark.usefixtures("postgres")
def test_no_neighbour_is_needed(tmp_path):
    """Without pytest-html, xdist, the cache, the terminal reporter and randomly a GO is still a GO."""
    write(tmp_path)
    off = [word for name in ("html", "xdist", "cacheprovider", "terminal", "randomly") for word in ("-p", f"no:{name}")]
    done = run(tmp_path, "--dryrun-target=local", *off)
    assert 0 == done.returncode, done.stdout + done.stderr
    document = report(tmp_path)
    assert ("GO", None) == (document["decision"], document["artifacts"]["annex"])
    assert not (tmp_path / "reports" / "local" / "pytest.html").exists()


BREAKING = """
from pytest_dryrun.run import DryRun

def broken(self, **options):
    raise RuntimeError("the machine is on fire")

DryRun.__init__ = broken
"""


def test_a_run_that_cannot_be_opened_says_why_of_every_check(tmp_path):
    """No check is lost without a reason, although there is no dry run that could have kept it."""
    write(tmp_path)
    (tmp_path / "breaking.py").write_text(BREAKING, encoding="utf-8")
    done = run(tmp_path, "--dryrun-target=local", "-p", "breaking")
    assert 1 == done.returncode, done.stdout + done.stderr
    document = report(tmp_path)
    assert ("NO-GO", True) == (document["decision"], document["finished"])
    assert {"broken"} == {check["outcome"] for check in document["checks"]}
    assert "RuntimeError: the machine is on fire" == outcome(document, "ssh-access")[1]
