"""Targets that are not run, or not like this: said before anything is begun."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from pytest_dryrun.config import Target
from pytest_dryrun.model.errors import ConfigurationError
from pytest_dryrun.probes import supervisor
from pytest_dryrun.probes.smoke import PYTHON, argv_of


def refuse(name: str, target: Target) -> None:
    """Raise ConfigurationError for a target that no code of ours may write to, or that could not be run to its end."""
    if target.role == "production":
        raise ConfigurationError(
            f'Target {name!r} has role = "production", which is never run: a dry run applies migrations.',
            "Nothing was run and nothing was touched.",
            'Rehearse with a target of role = "local" or "staging".',
        )
    problems = [*_command_problems(target), *(_staging_problems(target) if target.role == "staging" else ())]
    if target.migrations.by_prisma_cli and not target.migrations.asks_destination:
        problems.append("[migrations] deploy is a command and status is none: nothing tells which database it leads to")
    if problems:
        raise ConfigurationError(
            f"Target {name!r} cannot be run: {'; '.join(problems)}.",
            "Nothing was run and nothing was touched.",
            f"Correct [targets.{name}] in dryrun.toml.",
        )


def _staging_problems(target: Target) -> Iterator[str]:
    """What a staging target cannot have, or lacks."""
    if target.ssh is None:
        yield "[ssh] is missing: how is the host reached?"
    if target.api.start:
        yield "[api] start: on a staging host the API runs already; give its base_url"
    if target.api.base_url and not target.api.base_url.startswith("http://"):
        yield "[api] base_url is asked through the connection to the host, so it has to be plain http"
    if not target.backup.directory:
        yield "[backup] directory is missing: where on the host may backups lie?"


def _command_problems(target: Target) -> Iterator[str]:
    """Commands that could not be run as they stand, and one that would say nothing."""
    commands = {
        "migrations.deploy": "" if target.migrations.deploy == "native" else target.migrations.deploy,
        "migrations.status": target.migrations.status,
        "api.start": target.api.start,
        "api.restart": target.api.restart,
        "smoke.command": target.smoke.command,
        "p0.command": target.p0.command,
        "rollback.restart": target.rollback.restart,
    }
    for key, command in {**commands, "api.status": target.api.status}.items():
        if PYTHON in command and target.role != "local":
            yield (
                f"{key}: {PYTHON} is the interpreter that runs pytest here, and {command!r} runs on the host"
                " (name the host's own interpreter)"
            )
    checks: list[Callable[[], object]] = [
        partial(argv_of, command, key) for key, command in commands.items() if command
    ]
    if target.api.status:
        checks.append(partial(supervisor.refuse_deaf, target.api.status))
    for check in checks:
        try:
            check()
        except ConfigurationError as error:
            yield f"{error.what.rstrip('.')} ({error.next.rstrip('.')})"
