"""A host behind SSH: one verified connection for commands, files and tunnels. Importing this loads no driver."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_dryrun.config import Ssh

if TYPE_CHECKING:
    from pytest_dryrun.hosts.ssh.host import SshHost

__all__ = ["GROUP", "SshHost", "connect"]

GROUP = "PYTEST_DRYRUN_GROUP"
"""Names the variable by which each command and all that it starts know the command's process group."""


def connect(settings: Ssh, *, timeout_s: float = 20, base: Path | None = None) -> SshHost:
    """Log in to a host and keep the connection until `close`; within `timeout_s`, jump hosts included.

    What `settings` say wins over `~/.ssh/config`; their relative paths are relative to `base`.
    Raises TargetUnusable where the host cannot be reached, is not the one that is known, or does not let us in;
    ConfigurationError where a key file or `~/.ssh/config` cannot be used.
    """
    from pytest_dryrun.hosts.ssh.connecting import connected
    from pytest_dryrun.hosts.ssh.host import SshHost
    from pytest_dryrun.hosts.ssh.route import find_route

    route = find_route(settings, base)
    return SshHost(connected(route, timeout_s), f"{route[-1].user}@{settings.host}")


def __getattr__(name: str) -> Any:
    if name == "SshHost":
        from pytest_dryrun.hosts.ssh.host import SshHost

        return SshHost
    raise AttributeError(name)
