"""What the folder of a local target says before anything starts: mistakes that are configuration errors."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pytest_dryrun.config import Target
from pytest_dryrun.migrations import marks
from pytest_dryrun.migrations.prisma_folder import read_folder
from pytest_dryrun.migrations.sql_folder import SqlFolder
from pytest_dryrun.model.errors import ConfigurationError
from pytest_dryrun.model.rules import unknown
from pytest_dryrun.model.scripts import Migration


def look(root: Path, target: Target) -> None:
    """Raise ConfigurationError for another tool's folder, and for waivers of pending files that excuse nothing.

    `root` is where the target's directory begins. Of a dump's history nothing is known yet, so which files are pending
    is not either; what else is wrong with a folder belongs to the check that reads it.
    """
    folder = root / target.directory / target.migrations.directory
    try:
        migrations = SqlFolder(folder).folder() if target.migrations.tool == "sql" else read_folder(folder)
    except marks.ForeignFolder:
        raise
    except ConfigurationError:
        return
    if not target.baseline.dump:
        applied = target.baseline.through.encode()
        refuse_waivers(each for each in migrations if not applied or each.name.encode() > applied)


def refuse_waivers(migrations: Iterable[Migration]) -> None:
    """Raise one ConfigurationError that lists every waiver inside these files for a rule that none may name."""
    problems = [
        f"{waiver.source}, above line {waiver.line}: {problem}"
        for migration in migrations
        for waiver in migration.waivers
        if " " not in waiver.rule and (problem := unknown(waiver.rule))
    ]
    if problems:
        count = "A waiver excuses" if len(problems) == 1 else f"{len(problems)} waivers excuse"
        raise ConfigurationError(
            f"{count} nothing: {'; '.join(problems)}.",
            "Nothing was run and nothing was touched.",
            "Name the rule as the finding names it, or remove the waiver.",
        )
