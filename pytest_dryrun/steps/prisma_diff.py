"""What Prisma itself sees between the target's database and the project's schema: `prisma migrate diff`.

It is shown beside our own difference and decides nothing: Prisma models no triggers, functions, CHECK constraints,
policies or grants, and it compares with the schema file rather than with what the migrations do.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pytest_dryrun.hosts import Completed, Host
from pytest_dryrun.hosts.output import last_part
from pytest_dryrun.model.errors import CommandFailed
from pytest_dryrun.probes.smoke import argv_of, plain

# The CLI takes some seconds to start; a difference of a thousand tables one more.
LONGEST_S = 120.0
# Since 7.0 the database comes from prisma.config.ts alone, and the options are called otherwise.
_SINCE_7 = ("--from-config-datasource", "--to-schema")
_BEFORE_7 = ("--from-schema-datasource", "{schema}", "--to-schema-datamodel")
_SEVEN = 7
_FIRST_EXISTING = 'for place; do if [ -e "$place" ]; then printf %s "$place"; exit; fi; done'
_LOADED = re.compile(r"(?m)^(?:Loaded Prisma config|Prisma schema loaded|Environment variables loaded) from .*\n+")


@dataclass(frozen=True, slots=True)
class PrismaDiff:
    """The script that would bring the database to the schema file, or why Prisma gave none."""

    script: str = ""
    unavailable: str = ""

    def __str__(self) -> str:
        """For the page."""
        return f"not to be had: {self.unavailable}" if self.unavailable else self.script


def arguments(deploy: str, version: str, schema: str) -> list[str]:
    """Turn the deploy command into one that asks for the difference; empty where it is not Prisma's own command.

    `version` is Prisma's, whose options differ before and from 7; `schema` is the file or folder of its schema.
    """
    words = argv_of(deploy, "migrations.deploy")
    major = re.match(r"\d+", version)
    pairs = list(pairwise(words))
    if major is None or ("migrate", "deploy") not in pairs:
        return []
    at = pairs.index(("migrate", "deploy"))
    given = _options(words[at + 2 :])
    schema = given.get("--schema", schema)
    options = _SINCE_7 if int(major[0]) >= _SEVEN else _BEFORE_7
    config = ["--config", given["--config"]] if "--config" in given else []
    asked = [option.format(schema=schema) for option in options]
    return [*words[: at + 1], "diff", *asked, schema, "--script", *config]


def _options(words: Sequence[str]) -> dict[str, str]:
    """Options with their values, given as `--name value` or `--name=value`."""
    joined = {name: value for name, sign, value in (word.partition("=") for word in words) if sign}
    return joined | {name: value for name, value in pairwise(words) if name.startswith("--")}


def ask(
    deploy: str,
    version: str,
    migrations: str,
    *,
    host: Host,
    cwd: str,
    environment: Mapping[str, str],
    timeout_s: float,
) -> PrismaDiff:
    """Ask the CLI that deploys, where it works; `migrations` is the folder beside which the schema lies.

    Whatever keeps Prisma from answering is told in its own words: nothing depends on the answer.
    """
    beside = posixpath.dirname(posixpath.normpath(migrations))
    places = [posixpath.join(beside, name) for name in ("schema.prisma", "schema")]
    limit_s = min(timeout_s, LONGEST_S)
    if not arguments(deploy, version, places[0]):
        why = f"of {deploy!r} and Prisma's version ({version or 'unknown'}) no such command can be made"
        return PrismaDiff(unavailable=why)
    try:
        found = host.run(["sh", "-c", _FIRST_EXISTING, "sh", *places], timeout_s=limit_s, cwd=cwd).stdout
        if not found and "--schema" not in deploy:
            return PrismaDiff(unavailable=f"there is neither {' nor '.join(places)}")
        done = host.run(arguments(deploy, version, found), timeout_s=limit_s, env=environment, cwd=cwd)
    except CommandFailed as error:
        return PrismaDiff(unavailable=error.what)
    if done.exit_status:
        return PrismaDiff(unavailable=_refusal(done))
    return PrismaDiff(_LOADED.sub("", plain(done.stdout)).strip() or "-- no difference")


def _refusal(done: Completed) -> str:
    """The paragraph of its error, on one line."""
    said = plain(done.stdout + "\n" + done.stderr)
    paragraph = re.search(r"^Error:\s*(.+?)(?:\n\s*\n|\Z)", said, re.MULTILINE | re.DOTALL)
    words = paragraph[1] if paragraph else last_part(said, 300)
    return " ".join(words.split()) or f"it ended with status {done.exit_status} and said nothing"
