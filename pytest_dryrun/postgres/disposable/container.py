"""A disposable server in a container, on the engine that testcontainers finds.

The workspace's journal takes the place of testcontainers' Ryuk: it needs no second, privileged container.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import psutil
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container
from testcontainers.core.docker_client import DockerClient

from pytest_dryrun.hosts.container import ContainerHost
from pytest_dryrun.hosts.output import last_words
from pytest_dryrun.model.errors import CommandFailed, DryRunError, TargetUnusable
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.postgres.disposable.settings import OLDEST_MAJOR, PRELOAD, arguments
from pytest_dryrun.workspace import Workspace

_CALL_S = 60
_READY_S = 60.0
_SETTLED_S = 1.0
_REGISTRY_S = {True: 30, False: 5}  # where the container was asked for by name, and where it is one of several
_PULL_S = 900
_PORT = 5432
# The first process of a container is given every orphan. A postmaster takes the end of one that was killed for a crash
# of its own, and restarts the server (postmaster.c, reaper): a shell stands in its place, and only waits.
_FIRST = ["sh", "-c", '"$@" & wait "$!"', "sh"]


class ContainerServer:
    """A container that publishes its server on this machine's loopback alone, with a random password."""

    provider = "container"

    def __init__(self, client: DockerClient, container: Container, conninfo: Conninfo, workspace: Workspace) -> None:
        self.conninfo = conninfo
        self.tool_conninfo = replace(conninfo, host="127.0.0.1", port=_PORT)
        self.host = ContainerHost(container)
        self.skipped: tuple[str, ...] = ()
        with connect(conninfo) as connection:
            self.version_num = connection.info.server_version
            query = "SELECT (SELECT setting FROM pg_config WHERE name = 'BINDIR'), current_setting('data_directory')"
            row = connection.execute(query).fetchone()
        self._bindir, self._data_directory = row or ("", "/")
        self._client = client
        self._container = container
        self._workspace = workspace
        self._stopped = False

    def tool(self, name: str) -> list[str]:
        """Begin an argv with a program of the server's own folder, inside the container."""
        return [f"{self._bindir}/{name}"]

    def process_ids(self) -> tuple[int, ...]:
        """List the server's processes as this machine numbers them; empty where the engine is not on this kernel."""
        if self._stopped:
            return ()
        try:
            first = int(_state(self._container)["State"]["Pid"])
            status = Path(f"/proc/{first}/status").read_text()
            numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
            if len(numbers) < 3 or numbers[-1] != "1":
                return ()
            children = psutil.Process(first).children(recursive=True)
            return tuple(child.pid for child in children if child.name() == "postgres")
        except (DockerException, OSError, StopIteration, psutil.Error):
            return ()

    def free_bytes(self) -> int:
        """Bytes that still fit into the data directory."""
        return self.host.free_bytes(self._data_directory)

    def stop(self) -> None:
        """Remove the container with its volume, and make sure that it is gone."""
        if self._stopped:
            return
        _remove(self._client, self._container.name or "")
        self._stopped = True
        self._workspace.forget_container(self._container.name or "")
        self._client.client.close()


def start(
    workspace: Workspace, image: str, settings: Mapping[str, str], *, superuser: str, patient: bool
) -> ContainerServer:
    """Start a container of `image`; whatever interrupts this leaves nothing of it.

    Not `patient`, it gives up soon where the image would have to be pulled and its registry does not answer.
    """
    _refuse_without_engine()
    client = _engine()
    try:
        _provide(client, image, patient=patient)
        try:
            return _launch(client, workspace, image, superuser, arguments(_inside(settings), preload=True))
        except DryRunError as error:
            if f'access file "{PRELOAD}"' not in error.what:
                raise
        return _launch(client, workspace, image, superuser, arguments(_inside(settings), preload=False))
    except BaseException:
        client.client.close()
        raise


def remove_container(name: str) -> None:
    """Remove a container that a killed run left; one that is gone already is fine."""
    _refuse_without_engine()
    client = _engine()
    try:
        _remove(client, name)
    finally:
        client.client.close()


def _inside(settings: Mapping[str, str]) -> dict[str, str]:
    """Let the server listen on all addresses of the container, which has only its own; the password still holds."""
    return {**settings, "listen_addresses": "*"}


def _launch(
    client: DockerClient, workspace: Workspace, image: str, superuser: str, options: list[str]
) -> ContainerServer:
    name = f"pytest-dryrun-{workspace.run_id}-{secrets.token_hex(3)}"
    password = secrets.token_urlsafe(24)
    environment = {
        "POSTGRES_USER": superuser,
        "POSTGRES_DB": "postgres",
        "POSTGRES_PASSWORD": password,
        "POSTGRES_HOST_AUTH_METHOD": "scram-sha-256",
        "POSTGRES_INITDB_ARGS": _initdb_arguments(client, image),
    }
    # Noted before it exists: a kill in between leaves a note of nothing, not a container without a note.
    workspace.journal_container(name)
    try:
        with _said_by_engine(f"No container of {image} could be started"):
            container = client.create(
                image,
                entrypoint=[*_FIRST, *(client.client.images.get(image).attrs["Config"].get("Entrypoint") or ())],
                command=["postgres", *options],
                environment=environment,
                ports={f"{_PORT}/tcp": ("127.0.0.1", None)},  # type: ignore[dict-item]  # None: the engine chooses
                labels={"pytest-dryrun.run": workspace.run_id},
                name=name,
                shm_size="1g",  # parallel queries put their memory there; the engine's own limit is 64 MB
            )
            client.start(container)
        return ContainerServer(client, container, _ready(container, image, superuser, password), workspace)
    except BaseException:
        _remove_unfinished(client, name)
        workspace.forget_container(name)
        raise


def _ready(container: Container, image: str, superuser: str, password: str) -> Conninfo:
    """Wait for the server on the published port, or, from inside another container, on the container's own address."""
    deadline = time.monotonic() + _READY_S
    reason = ""
    while time.monotonic() < deadline:
        with _said_by_engine(f"The container of {image} was lost"):
            state = _state(container)
        if state["State"]["Status"] in {"exited", "dead"}:
            said = last_words(_log(container)).replace(password, "***")
            raise DryRunError(
                f"The server in a container of {image} did not start: {said}",
                "There is no server to rehearse on.",
                "Look at its message above; the image has to be a PostgreSQL one.",
            )
        for host, port in _addresses(state):
            conninfo = Conninfo(host, port, superuser, "postgres", password)
            try:
                connect(conninfo, connect_timeout_s=2).close()
            except TargetUnusable as error:
                reason = error.what
            else:
                return conninfo
        time.sleep(0.05)
    raise TargetUnusable(
        f"The server in a container of {image} was not ready within {_READY_S:g} s. {reason}",
        "There is no server to rehearse on.",
        "Look at what else keeps this machine busy, and run again.",
    )


def _state(container: Any) -> Any:  # the client library has no types for its calls
    container.reload()
    return container.attrs


def _log(container: Any) -> str:
    text: bytes = container.logs(tail=20)
    return text.decode(errors="replace")


def _addresses(state: Any) -> Iterator[tuple[str, int]]:
    network = state["NetworkSettings"]
    for binding in (network["Ports"] or {}).get(f"{_PORT}/tcp") or ():
        yield "127.0.0.1", int(binding["HostPort"])
    for attached in network["Networks"].values():
        if attached["IPAddress"]:
            yield attached["IPAddress"], _PORT


def _initdb_arguments(client: DockerClient, image: str) -> str:
    fixed = "--encoding=UTF8 --locale=C.UTF-8 --lc-messages=C --no-sync"
    with _said_by_engine(f"The image {image} cannot be read"):
        variables = client.client.images.get(image).attrs["Config"].get("Env") or []
    major = next((int(value.partition("=")[2]) for value in variables if value.startswith("PG_MAJOR=")), None)
    if major is not None and major < OLDEST_MAJOR:
        raise DryRunError(
            f"The image {image} holds PostgreSQL {major}; {OLDEST_MAJOR} is the oldest that can be used.",
            "Older servers lack what the fingerprint and the recorder read.",
            "Name a newer image.",
        )
    return f"{fixed} --no-data-checksums" if major is not None and major >= 18 else fixed


def _refuse_without_engine() -> None:
    """Refuse at once, before any client library is asked, where the usual socket has nobody behind it."""
    place = urlparse(os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
    elsewhere = [Path.home() / ".docker" / "config.json", Path.home() / ".testcontainers.properties"]
    if place.scheme != "unix" or ("DOCKER_HOST" not in os.environ and any(file.exists() for file in elsewhere)):
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(place.path)
        except OSError as error:
            raise _no_engine(f"{place.path}: {error.strerror or error}") from error


def _engine() -> DockerClient:
    try:
        client = DockerClient(timeout=_CALL_S)
    except (DockerException, OSError) as error:
        raise _no_engine(last_words(str(error))) from error
    host = urlparse(client.client.api.base_url).hostname
    if host not in {"localhost", "127.0.0.1", "::1"}:
        client.client.close()
        raise _no_engine(f"it is on another machine ({host}), whose loopback cannot be reached from here")
    return client


def _no_engine(reason: str) -> DryRunError:
    return DryRunError(
        f"No container engine can be used here: {reason}.",
        "There is no container to rehearse in.",
        "Start Docker, or use the provider `binaries` or `embedded`.",
    )


def _provide(client: DockerClient, image: str, *, patient: bool) -> None:
    """Have the image here: present, or pulled after its registry has answered in time."""
    with _said_by_engine(f"The image {image} cannot be had"):
        try:
            client.client.images.get(image)
        except NotFound:
            client.client.api.timeout = _REGISTRY_S[patient]
            client.client.images.get_registry_data(image)
            client.client.api.timeout = _PULL_S
            client.client.images.pull(image)
    client.client.api.timeout = _CALL_S


def _remove(client: DockerClient, name: str) -> None:
    """Remove a container and ask for it again, because only its absence counts."""
    with _said_by_engine(f"The container {name} could not be removed"), suppress(NotFound):
        client.client.containers.get(name).remove(force=True, v=True)
        client.client.containers.get(name)
        raise CommandFailed(
            f"The container {name} is still there after it was removed.",
            "A copy of the database may be left on this machine.",
            f"Remove it by hand: docker rm -f -v {name}",
        )


def _remove_unfinished(client: DockerClient, name: str) -> None:
    """Remove a container whose making was broken off: the engine may go on making it, also after it was removed."""
    began = absent_since = time.monotonic()
    while (now := time.monotonic()) - absent_since < _SETTLED_S and now - began < _CALL_S:
        try:
            client.client.containers.get(name).remove(force=True, v=True)
        except NotFound:
            time.sleep(0.1)
        except APIError:  # the engine is about to do it already
            absent_since = time.monotonic()
            time.sleep(0.1)
        else:
            absent_since = time.monotonic()
    _remove(client, name)


@contextmanager
def _said_by_engine(what: str) -> Iterator[None]:
    try:
        yield
    except (DockerException, OSError) as error:
        reason: Any = getattr(error, "explanation", None) or error
        raise DryRunError(
            f"{what}: {last_words(str(reason)).rstrip('.')}.",
            "The container engine did not do what the dry run needs.",
            "Check the engine and the image, or use the provider `binaries` or `embedded`.",
        ) from error
