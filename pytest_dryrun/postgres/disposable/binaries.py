"""A disposable server from a PostgreSQL installation on this machine."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import tempfile
import time
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pytest_dryrun import processes
from pytest_dryrun.hosts.local import LocalHost
from pytest_dryrun.hosts.running import RunningProcess
from pytest_dryrun.model.errors import CommandFailed, DryRunError, TargetUnusable
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.postgres.disposable.installations import Installation, copy, find
from pytest_dryrun.postgres.disposable.settings import SUPERUSER, arguments
from pytest_dryrun.workspace import Workspace

__all__ = ["LocalServer", "find", "start"]

_INITDB_S = 60.0
_START_S = 30.0
_STOP_S = 7.0  # in an immediate shutdown the postmaster kills after 5 s what has not gone by itself
_PORT_TRIES = 5


class LocalServer:
    """A postmaster that is our child, on 127.0.0.1 with a random password; its data lies in the workspace."""

    host = LocalHost()

    def __init__(
        self, provider: str, conninfo: Conninfo, installation: Installation, folder: Path, process: RunningProcess
    ) -> None:
        self.provider = provider
        self.conninfo = conninfo
        self.tool_conninfo = conninfo
        self.version_num = 0
        self.skipped: tuple[str, ...] = ()
        self._installation = installation
        self._folder = folder
        self._process = process

    def tool(self, name: str) -> list[str]:
        """Begin an argv with a program of the server's own folder."""
        return [self._installation.program(name)]

    def process_ids(self) -> tuple[int, ...]:
        """List the numbers of the postmaster and its children."""
        if self._process.poll() is not None:
            return ()
        return tuple(process.pid for process in processes.kin(self._process.pid))

    def free_bytes(self) -> int:
        """Bytes that still fit into the data directory."""
        return self.host.free_bytes(str(self._folder))

    def stop(self) -> None:
        """Shut down at once (the data is thrown away), make sure that nothing runs, and remove the folder."""
        self._process.stop(timeout_s=_STOP_S, first_signal=signal.SIGQUIT)
        _remove(self._folder)


def start(
    workspace: Workspace,
    installation: Installation,
    settings: Mapping[str, str],
    *,
    superuser: str = SUPERUSER,
    provider: str = "binaries",
) -> LocalServer:
    """Make a cluster in the workspace and start it; whatever interrupts this leaves nothing of it."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=workspace.path))
    folder.chmod(0o711)
    try:
        user = _other_user()
        installation = _usable(installation, user, workspace)
        password = secrets.token_urlsafe(24)
        _initdb(installation, LocalHost(user), folder, superuser, password)
        options = arguments(
            {"unix_socket_directories": "", **settings}, preload=installation.has_statement_statistics()
        )
        way_in = Conninfo("127.0.0.1", 0, superuser, "postgres", password)
        return _launch(workspace, installation, LocalHost(user), folder, way_in, options=options, provider=provider)
    except BaseException:
        _remove(folder)
        raise


def _other_user() -> str | None:
    """Name whom the server runs as where we are root: PostgreSQL refuses root (pg_ctl's manual page)."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in known:
            return name
    raise DryRunError(
        "PostgreSQL refuses to run as root, and this machine has neither a user `postgres` nor `nobody`.",
        "There is no local server to rehearse on.",
        "Run the dry run as another user than root.",
    )


def _usable(installation: Installation, user: str | None, workspace: Workspace) -> Installation:
    """Copy an installation that the server's user cannot reach, below /root for example, into the workspace."""
    if user is None or _runs(installation, user):
        return installation
    destination = workspace.path / f"installation-{zlib.crc32(os.fsencode(installation.bindir)):08x}"
    if not destination.exists():
        unfinished = Path(tempfile.mkdtemp(dir=workspace.path))
        copy(installation, unfinished)
        unfinished.rename(destination)
    [bindir] = destination.glob("*/*/bin")
    return replace(installation, bindir=bindir)


def _runs(installation: Installation, user: str) -> bool:
    try:
        return (
            LocalHost(user).run([installation.program("initdb"), "--version"], timeout_s=10, cwd="/").exit_status == 0
        )
    except CommandFailed:
        return False


def _initdb(installation: Installation, host: LocalHost, folder: Path, superuser: str, password: str) -> None:
    data = folder / "data"
    data.mkdir(mode=0o700)
    secret = folder / "password"
    secret.touch(mode=0o600)
    secret.write_text(password + "\n")
    if host.user:
        account = pwd.getpwnam(host.user)
        for place in (data, secret):
            os.chown(place, account.pw_uid, account.pw_gid)
    fixed = ["--username", superuser, "--pwfile", str(secret), "--auth", "scram-sha-256", "--encoding", "UTF8"]
    fixed += ["--no-sync", "--no-instructions", *(["--no-data-checksums"] if installation.major >= 18 else [])]
    try:
        for locale in ("C.UTF-8", "C"):  # not every system has the first
            argv = [installation.program("initdb"), "-D", str(data), *fixed, "--locale", locale, "--lc-messages", "C"]
            ended = host.run(argv, timeout_s=_INITDB_S, cwd="/", env={"LC_ALL": "C"})
            if ended.exit_status == 0:
                return
            if "invalid locale" not in ended.stderr:
                break
    finally:
        secret.unlink()
    raise DryRunError(
        f"initdb of PostgreSQL {installation.major} failed: {_one_line(ended.stderr)}",
        "There is no server to rehearse on.",
        f"Look at its message; the programs are in {installation.bindir}, the data would be in {folder.parent}.",
    )


def _launch(
    workspace: Workspace,
    installation: Installation,
    host: LocalHost,
    folder: Path,
    way_in: Conninfo,
    *,
    options: list[str],
    provider: str,
) -> LocalServer:
    output = folder / "postmaster.out"
    for _ in range(_PORT_TRIES):
        port = _free_port()
        argv = [installation.program("postgres"), "-D", str(folder / "data"), *options, "-c", f"port={port}"]
        process = host.start(argv, output=output, workspace=workspace, cwd="/", env={"LC_ALL": "C"})
        conninfo = replace(way_in, port=port)
        server = LocalServer(provider, conninfo, installation, folder, process)
        try:
            if _ready(process, folder / "data" / "postmaster.pid"):
                with connect(conninfo) as connection:
                    server.version_num = connection.info.server_version
                return server
        except BaseException:
            process.stop(timeout_s=_STOP_S, first_signal=signal.SIGQUIT)
            raise
        process.stop(timeout_s=0)
        said = _said(process, folder)
        if "could not create any TCP/IP sockets" not in said:
            break
    raise DryRunError(
        f"The server of PostgreSQL {installation.major} did not start: {said}",
        "There is no server to rehearse on.",
        "Look at its message above.",
    )


def _ready(process: RunningProcess, pidfile: Path) -> bool:
    """Wait until the last line of postmaster.pid says `ready`, as pg_ctl does; False where the server has ended."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        try:
            if pidfile.read_text().splitlines()[-1].strip() == "ready":
                return True
        except (OSError, IndexError):
            pass  # not written yet
        time.sleep(0.01)
    raise TargetUnusable(
        f"The disposable server was not ready within {_START_S:g} s: {_said(process, pidfile.parent.parent)}",
        "There is no server to rehearse on.",
        "Look at what else keeps this machine busy, and run again.",
    )


def _said(process: RunningProcess, folder: Path) -> str:
    """Read the server's last words: from its log once the collector has taken over, else from its output."""
    try:
        log = (folder / "data" / "log" / "dryrun.log").read_text(errors="replace")
    except FileNotFoundError:
        log = ""
    return _one_line(log or process.tail(5))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _one_line(text: str) -> str:
    return " ".join(text.split())[-600:] or "it gave no reason"


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise DryRunError(
            f"The folder {folder} of a disposable server could not be removed: {error.strerror or error}.",
            "A copy of the database may still lie there.",
            f"Remove {folder} by hand.",
        ) from error
