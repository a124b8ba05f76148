"""The waivers of a run: from `dryrun.toml`, and from the comments of the pending files."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_dryrun.config import Waiver
from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.model.waivers import Grant


def grants(configured: Sequence[Waiver], file: str, pending: Sequence[Migration]) -> list[Grant]:
    """What either place grants; `file` names the configuration for people."""
    given = [
        Grant(item.rule, item.migration, item.reason, file, approver=item.approver, expires=item.expires)
        for item in configured
    ]
    given += [
        Grant(item.rule, migration.name, item.reason, migration.path, item.line, _statement(migration, item.line))
        for migration in pending
        for item in migration.waivers
    ]
    return given


def _statement(migration: Migration, line: int) -> str:
    return next((statement.sql for statement in migration.statements if statement.line == line), "")
