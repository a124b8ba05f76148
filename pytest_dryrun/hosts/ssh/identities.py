"""Who we are to a host: key files, the agent's keys, and the login with the first one it takes."""

from __future__ import annotations

import base64
import binascii
import shlex
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import paramiko
from paramiko.pkey import UnknownKeyType
from paramiko.ssh_exception import AuthenticationException, BadAuthenticationType, SSHException

from pytest_dryrun.hosts.ssh.known_hosts import fingerprint
from pytest_dryrun.hosts.ssh.route import Hop
from pytest_dryrun.model.errors import ConfigurationError, TargetUnusable

_HEAD = "-----BEGIN OPENSSH PRIVATE KEY-----"
_MAGIC = b"openssh-key-v1\0"
_CLOSED = "The dry run cannot log in, so nothing of this target is known."


@dataclass(frozen=True, slots=True)
class Identity:
    """A key to try, and what a reader calls it."""

    name: str
    key: paramiko.PKey


class _Locked(Exception):
    """A key file that only its passphrase opens."""


def log_in(transport: paramiko.Transport, hop: Hop, deadline: float) -> None:
    """Try each key once; TargetUnusable says which ones were refused."""
    refused: list[str] = []
    with closing(_agent()) as agent:
        for identity in _identities(hop, agent.get_keys()):
            refused.append(f"{identity.name} ({fingerprint(identity.key.asbytes())})")
            transport.auth_timeout = max(0.1, deadline - time.monotonic())
            try:
                if further := transport.auth_publickey(hop.user, identity.key):
                    _unfinished(hop, further)
            except BadAuthenticationType as error:
                _unfinished(hop, error.allowed_types, error)
            except AuthenticationException as error:
                if transport.is_active():
                    continue
                _refuse(hop, refused, error)
            except (SSHException, EOFError, OSError) as error:
                _refuse(hop, refused, error)
            else:
                return
    _refuse(hop, refused, None)


def _identities(hop: Hop, held: tuple[paramiko.AgentKey, ...]) -> Iterator[Identity]:
    """The keys of files first, through the agent where it holds them, then what else the agent holds."""
    used = set()
    for path in hop.keys:
        try:
            identity = Identity(str(path), _load(path))
        except FileNotFoundError as error:
            if hop.key_given:
                raise _unusable(path, "it does not exist", f"Check `key` in dryrun.toml: {path}") from error
            continue
        except _Locked as error:
            blob = _public_part(path)
            mine = [key for key in held if key.asbytes() == blob]
            if not mine and not hop.key_given:
                continue
            if not mine:
                raise _unusable(
                    path, "it is encrypted, and no agent holds it", f"Unlock it for this session: ssh-add {path}"
                ) from error
            identity = Identity(f"{path}, held by the agent", mine[0])
        used.add(identity.key.asbytes())
        yield identity
    if not hop.key_given and not hop.identities_only:
        for key in held:
            if key.asbytes() not in used:
                yield Identity(f"the agent's {key.comment or 'key'}", key)


def _load(path: Path) -> paramiko.PKey:
    try:
        return paramiko.PKey.from_path(str(path))
    except TypeError as error:
        raise _Locked from error
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unusable(
            path, error.strerror or str(error), f"Make it readable for the user who runs the dry run: {path}"
        ) from error
    except (ValueError, SSHException, UnknownKeyType) as error:
        raise _unusable(
            path,
            "it is no private key in OpenSSH's format",
            f"Check it with: ssh-keygen -yf {path}; one in another format is rewritten by: ssh-keygen -pf {path}",
        ) from error


def _public_part(path: Path) -> bytes | None:
    """The public key of a locked file: OpenSSH's own format shows it, for others there is the .pub file."""
    try:
        text = path.read_text(encoding="ascii")
        if _HEAD in text:
            data = base64.b64decode(text.partition(_HEAD)[2].partition("-----")[0])
            message = paramiko.Message(data[len(_MAGIC) :])
            for _ in range(3):  # cipher, kdf, kdf options
                message.get_string()
            message.get_int()
            return message.get_string()
        public = path.with_name(f"{path.name}.pub").read_text(encoding="utf-8")
        return base64.b64decode(public.split()[1])
    except (OSError, ValueError, IndexError, binascii.Error):
        return None


def _agent() -> paramiko.Agent:
    try:
        return paramiko.Agent()
    except (SSHException, OSError) as error:
        raise ConfigurationError(
            f"The SSH agent does not answer: {error}.",
            "Its keys cannot be used, so nothing was connected.",
            "Start it again, or take SSH_AUTH_SOCK out of the environment.",
        ) from error


def _unfinished(hop: Hop, allowed: list[str], error: Exception | None = None) -> NoReturn:
    raise TargetUnusable(
        f"{hop.label} wants more than a key, or no key at all: {', '.join(allowed)}.",
        _CLOSED,
        "Allow this user to log in with a key alone (AuthenticationMethods and PubkeyAuthentication there).",
    ) from error


def _refuse(hop: Hop, refused: list[str], error: Exception | None) -> NoReturn:
    if not refused:
        raise TargetUnusable(
            f"There is no key to log in to {hop.label} with.",
            _CLOSED,
            "Name one as `key` in dryrun.toml, or load it: ssh-add FILE",
        ) from error
    raise TargetUnusable(
        f"{hop.label} refused every key: {', '.join(refused)}.",
        _CLOSED,
        f"Check the user name and that ~{hop.user}/.ssh/authorized_keys there holds the key; try: "
        f"ssh -p {hop.port} {shlex.quote(f'{hop.user}@{hop.host}')}",
    ) from error


def _unusable(path: Path, reason: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"The key {path} cannot be used: {reason}.", _CLOSED, remedy)
