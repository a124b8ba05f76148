"""Targets that are not run, or not like this: said before anything is begun."""

from __future__ import annotations

from pytest_dryrun.config import Target
from pytest_dryrun.errors import ConfigurationError
from pytest_dryrun.probes import supervisor
from pytest_dryrun.probes.smoke import argv_of


def refuse(name: str, target: Target) -> None:
    """Raise ConfigurationError for a target that no code of ours may write to, or that could not be run to its end."""
    if target.role == "production":
        raise ConfigurationError(
            f'Target {name!r} has role = "production", which is never run: a dry run applies migrations.',
            "Nothing was run and nothing was touched.",
            'Rehearse with a target of role = "local" or "staging".',
        )
    if target.role == "staging":
        _refuse_staging(name, target)


def _refuse_staging(name: str, target: Target) -> None:
    """Raise ConfigurationError for what a staging target cannot have, or not yet."""
    problems = {
        "[ssh] is missing: how is the host reached?": target.ssh is None,
        "[api] start: on a staging host the API runs already; give its base_url": bool(target.api.start),
        "[api] base_url is asked through the connection to the host, so it has to be plain http": bool(
            target.api.base_url
        )
        and not target.api.base_url.startswith("http://"),
        "[migrations] deploy is a command and status is none: nothing would tell which database it leads to": (
            target.migrations.by_prisma_cli and not target.migrations.status
        ),
        "[backup] directory is missing: where on the host may backups lie?": not target.backup.directory,
    }
    for key, command in (
        ("migrations.deploy", target.migrations.deploy),
        ("migrations.status", target.migrations.status),
        ("api.restart", target.api.restart),
        ("smoke.command", target.smoke.command),
        ("p0.command", target.p0.command),
        ("rollback.restart", target.rollback.restart),
    ):
        if command and command != "native":
            argv_of(command, key)
    if target.api.status:
        supervisor.refuse_deaf(target.api.status)
    if found := [text for text, holds in problems.items() if holds]:
        raise ConfigurationError(
            f"Target {name!r} cannot be run: {'; '.join(found)}.",
            "Nothing was run and nothing was touched.",
            f"Correct [targets.{name}] in dryrun.toml.",
        )
