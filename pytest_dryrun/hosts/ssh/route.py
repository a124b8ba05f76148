"""How a host is reached: `dryrun.toml` first, then `~/.ssh/config` and `/etc/ssh/ssh_config`, jump hosts included."""

from __future__ import annotations

import getpass
import glob
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paramiko.config import SSHConfig
from paramiko.ssh_exception import SSHException

from pytest_dryrun.config import Ssh
from pytest_dryrun.model.errors import ConfigurationError

_SYSTEM = Path("/etc/ssh")
_DEEPEST = 16
_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")


@dataclass(frozen=True, slots=True)
class Hop:
    """One SSH server on the way; `alias` is its name as written, `label` what a reader calls it."""

    alias: str
    host: str
    port: int
    user: str
    keys: tuple[Path, ...]
    known_hosts: tuple[Path, ...]
    key_given: bool = False
    """The key stands in `dryrun.toml`: no other is tried."""
    identities_only: bool = False
    host_key_alias: str = ""
    proxy_command: str = ""

    @property
    def label(self) -> str:
        """What a reader calls it."""
        address = f"port {self.port}" if self.host == self.alias else f"{self.host} port {self.port}"
        return f"{self.user}@{self.alias} ({address})"

    @property
    def known_as(self) -> tuple[str, int]:
        """The name and port under which its key is looked up."""
        return (self.host_key_alias, 22) if self.host_key_alias else (self.host, self.port)


def find_route(settings: Ssh, base: Path | None = None) -> tuple[Hop, ...]:
    """List the servers to go through, the target last."""
    home = Path("~/.ssh").expanduser()
    try:
        config = SSHConfig.from_text("\n".join(_lines(home)))
        return _Resolver(config, home, settings, base or Path.cwd()).route()
    except (SSHException, ValueError, OSError) as error:
        raise ConfigurationError(
            f"The OpenSSH configuration ({home / 'config'}) cannot be used: {error}.",
            "Without it, it is not known how the host is reached, so nothing was connected.",
            f"Check it with: ssh -G {shlex.quote(settings.host)}",
        ) from error


class _Resolver:
    """Asks the OpenSSH configuration about one host after the other."""

    def __init__(self, config: SSHConfig, home: Path, settings: Ssh, base: Path) -> None:
        self._config = config
        self._home = home
        self._settings = settings
        self._given = settings.model_fields_set
        self._base = base

    def route(self) -> tuple[Hop, ...]:
        settings = self._settings
        port = settings.port if "port" in self._given else None
        keys = (self._place(settings.key),) if settings.key else ()
        return tuple(self._hops(settings.host, settings.user, port, keys=keys))

    def _hops(
        self,
        alias: str,
        user: str,
        port: int | None,
        *,
        keys: tuple[Path, ...] = (),
        jumps: str | None = None,
        depth: int = 0,
        target: bool = True,
    ) -> Iterator[Hop]:
        if depth > _DEEPEST:
            raise ValueError(f"ProxyJump of {alias} leads in a circle")
        found = self._config.lookup(alias)
        jumps = found.get("proxyjump") or "" if jumps is None else jumps
        if jumps.lower() == "none":
            jumps = ""
        if jumps:
            *before, last = (part.strip() for part in jumps.split(","))
            via_user, via_host, via_port = _address(last)
            # The hosts before the last one are that one's own jump hosts; without any, its own configuration says.
            rest = ",".join(before) or None
            yield from self._hops(via_host, via_user, via_port, jumps=rest, depth=depth + 1, target=False)
        yield Hop(
            alias=alias,
            host=found["hostname"],
            port=port or int(found.get("port", 22)),
            user=user or found.get("user") or getpass.getuser(),
            keys=keys or self._keys(found),
            known_hosts=self._known_hosts(found, target=target),
            key_given=bool(keys),
            identities_only=found.get("identitiesonly", "no").lower() == "yes",
            host_key_alias=found.get("hostkeyalias", ""),
            proxy_command="" if jumps else found.get("proxycommand") or "",
        )

    def _keys(self, found: Any) -> tuple[Path, ...]:
        named = [Path(text).expanduser() for text in found.get("identityfile", []) if text.lower() != "none"]
        return tuple(named) or tuple(self._home / name for name in _DEFAULT_KEYS)

    def _known_hosts(self, found: Any, *, target: bool) -> tuple[Path, ...]:
        """The file of `dryrun.toml` alone for the target; for a jump host it comes after its own files."""
        given = [self._place(self._settings.known_hosts)] if "known_hosts" in self._given else []
        own = found.get("userknownhostsfile") or f"{self._home}/known_hosts {self._home}/known_hosts2"
        shared = found.get("globalknownhostsfile") or f"{_SYSTEM}/ssh_known_hosts {_SYSTEM}/ssh_known_hosts2"
        files = [] if given and target else _files(own)
        return tuple(dict.fromkeys((*(given if target else []), *files, *given, *_files(shared))))

    def _place(self, text: str) -> Path:
        return self._base / Path(text).expanduser()


def _files(text: str) -> list[Path]:
    return [Path(part).expanduser() for part in shlex.split(text) if part.lower() != "none"]


def _address(text: str) -> tuple[str, str, int | None]:
    """Cut `[user@]host[:port]`, as ProxyJump spells it; a URI too."""
    user, _, place = text.removeprefix("ssh://").rstrip("/").rpartition("@")
    match = re.fullmatch(r"\[([^]]+)\](?::(\d+))?|([^:]+)(?::(\d+))?|(.+)", place)
    if match is None:
        raise ValueError(f"ProxyJump says {text!r}, which is no host")
    port = match[2] or match[4]
    return user, match[1] or match[3] or match[5], int(port) if port else None


def _lines(home: Path) -> Iterator[str]:
    """Yield the user's file, then the system's, with what they include put in their places."""
    yield from _included(home / "config", home, 0)
    yield "Host *"
    yield from _included(_SYSTEM / "ssh_config", _SYSTEM, 0)


def _included(path: Path, folder: Path, depth: int) -> Iterator[str]:
    """Yield the lines of a file; an Include below a `Host` line counts as if its own `Host` lines stood alone."""
    if depth > _DEEPEST:
        raise ValueError(f"{path} includes itself")
    if not path.is_file():
        return
    context = "Host *"
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if re.match(r"\s*(host|match)[\s=]", line, re.IGNORECASE):
            context = line
        if not (match := re.match(r"\s*include[\s=]+(.+)", line, re.IGNORECASE)):
            yield line
            continue
        for pattern in shlex.split(match[1]):
            for name in sorted(glob.glob(str(folder / Path(pattern).expanduser()))):  # noqa: PTH207 - may be absolute
                yield context
                yield from _included(Path(name), folder, depth + 1)
        yield context
