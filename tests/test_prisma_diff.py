"""Prisma's own difference: which command asks for it, and what becomes of its answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_dryrun.hosts.local import LocalHost
from pytest_dryrun.steps.prisma_diff import PrismaDiff, arguments, ask

SCHEMA = "prisma/schema.prisma"
OLD = ["--from-schema-datasource", SCHEMA, "--to-schema-datamodel", SCHEMA, "--script"]
NEW = ["--from-config-datasource", "--to-schema", SCHEMA, "--script"]
# What Prisma 6.19 prints where its configuration holds an adapter.
REFUSAL = """Loaded Prisma config from prisma.config.ts.

Error:
Passing the --from-schema-datasource flag to the prisma migrate diff command is not supported when
defining an adapter in Prisma config file (e.g., `prisma.config.ts`).

More information about this limitation: https://pris.ly/d/schema-engine-limitations
"""


@pytest.mark.parametrize(
    ("deploy", "version", "expected"),
    [
        ("npx prisma migrate deploy", "6.19.3", ["npx", "prisma", "migrate", "diff", *OLD]),
        ("npx prisma migrate deploy", "5.0.0", ["npx", "prisma", "migrate", "diff", *OLD]),
        ("npx prisma migrate deploy", "7.0.0", ["npx", "prisma", "migrate", "diff", *NEW]),
        ("npx prisma migrate deploy", "10.1.0", ["npx", "prisma", "migrate", "diff", *NEW]),
        (
            "pnpm --filter api exec prisma migrate deploy",
            "7.1.0",
            ["pnpm", "--filter", "api", "exec", "prisma", "migrate", "diff", *NEW],
        ),
        (
            "prisma migrate deploy --config a.ts --schema=b",
            "7.0.0",
            [
                "prisma",
                "migrate",
                "diff",
                "--from-config-datasource",
                "--to-schema",
                "b",
                "--script",
                "--config",
                "a.ts",
            ],
        ),
        ("npm run migrate", "6.19.3", []),
        ("npx prisma migrate deploy", "", []),
    ],
)
def test_the_command_that_asks(deploy, version, expected):
    """Its options are those of the version; a command that is not Prisma's own is none."""
    assert expected == arguments(deploy, version, SCHEMA)


def asked(project: Path, script: str, *, timeout_s: float = 30, deploy: str = "./prisma migrate deploy") -> PrismaDiff:
    """What is made of a CLI that does this."""
    if script:
        (project / "prisma.sh").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (project / "prisma.sh").chmod(0o700)
    return ask(
        deploy.replace("./prisma", "./prisma.sh"),
        "6.19.3",
        "prisma/migrations",
        host=LocalHost(),
        cwd=str(project),
        environment={"DATABASE_URL": "postgresql://a:secret@127.0.0.1/b"},
        timeout_s=timeout_s,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a schema file."""
    (tmp_path / "prisma" / "migrations").mkdir(parents=True)
    (tmp_path / SCHEMA).touch()
    return tmp_path


def test_the_script_is_what_it_printed(project):
    """The way to the database is in the environment, never in the arguments."""
    found = asked(
        project, 'echo "Loaded Prisma config from prisma.config.ts.\n"; echo "-- $*"; test -n "$DATABASE_URL"'
    )
    assert f"-- migrate diff {' '.join(OLD)}" == str(found)
    assert "" == found.unavailable


def test_nothing_printed_is_no_difference(project):
    """The options ask for a script; an empty one says so."""
    assert "-- no difference" == str(asked(project, "true"))


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (f"cat >&2 <<'E'\n{REFUSAL}E\nexit 1", "Passing the --from-schema-datasource flag to the prisma migrate diff"),
        ("exit 3", "it ended with status 3 and said nothing"),
        ("echo P1001; exit 1", "P1001"),
        ("sleep 60", "1 s"),
        ("", "prisma.sh"),
    ],
    ids=["refused", "silent", "other words", "hangs", "not there"],
)
def test_why_there_is_none(project, script, says):
    """Its own words; nothing else depends on it, so nothing is raised."""
    found = asked(project, script, timeout_s=1 if "sleep" in script else 30)
    assert says in found.unavailable
    assert "More information" not in found.unavailable
    assert str(found).startswith("not to be had: ")


def test_no_schema_file(project):
    """It is looked for beside the migrations."""
    (project / SCHEMA).unlink()
    assert "neither prisma/schema.prisma nor prisma/schema" in asked(project, "true").unavailable


def test_a_schema_file_that_the_deploy_command_names(project):
    """It need not lie where Prisma looks by itself."""
    (project / SCHEMA).unlink()
    found = asked(project, 'echo "-- $*"', deploy="./prisma migrate deploy --schema db/own.prisma")
    assert "--to-schema-datamodel db/own.prisma --script" in found.script


def test_a_long_complaint_is_cut_between_words(project):
    """Half of a secret would not be recognised as one."""
    found = asked(project, 'echo postgresql://a:secretsecret@h/b "$(yes word | head -n 58 | tr "\\n" " ")"; exit 1')
    assert "secret" not in found.unavailable
    assert found.unavailable.startswith("word")


def test_a_command_that_is_not_prismas_own(project):
    """What a script of the project does is not known, so it is not changed into anything else."""
    assert "'make deploy'" in asked(project, "true", deploy="make deploy").unavailable
