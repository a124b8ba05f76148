"""From a route to a connection: sockets, the host's key, the login. Nothing is sent to a host that is not known."""

from __future__ import annotations

import logging
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import paramiko
from paramiko.common import MSG_CHANNEL_REQUEST
from paramiko.ssh_exception import ChannelException, IncompatiblePeer, SSHException

from pytest_dryrun.hosts.ssh import known_hosts, refusals
from pytest_dryrun.hosts.ssh.identities import log_in
from pytest_dryrun.hosts.ssh.known_hosts import Verdict
from pytest_dryrun.hosts.ssh.route import Hop
from pytest_dryrun.model.errors import TargetUnusable

_KEEPALIVE_S = 15
_DEAD_S = 60
_JOIN_S = 5.0
_LOG = "pytest_dryrun.ssh"
# Who reads from a connection leaves this before it closes the channels, and only after that is the transport no longer
# "active": a channel that is closed by the connection's end would look like one that the server has closed.
_READING: Collection[object] | None = vars(paramiko.transport).get("_active_threads")


class Transport(paramiko.Transport):
    """A connection that also keeps the signals that ended commands (RFC 4254, 6.10), which paramiko passes over."""

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self.signals: dict[int, int] = {}
        self.set_log_channel(_LOG)  # what the library logs is said in our own words
        table: dict[int, Any] = getattr(self, "_channel_handler_table", {})
        self._channel_handler_table = {**table, MSG_CHANNEL_REQUEST: self._request}

    @property
    def lost(self) -> bool:
        """Whether the connection is gone; known before its channels are closed."""
        return not self.is_active() or (_READING is not None and self not in _READING)

    def _request(self, channel: Any, message: paramiko.Message) -> None:
        copy = paramiko.Message(message.get_remainder())
        if copy.get_text() == "exit-signal":
            copy.get_boolean()
            name = copy.get_text()
            self.signals[channel.chanid] = getattr(signal, f"SIG{name}", signal.NSIG)
            channel.status_event.set()
        channel._handle_request(message)  # noqa: SLF001 - there is no public way to see an exit-signal


class Connection:
    """The way to a host: a transport for each hop, the last one the target's."""

    def __init__(self, target: Hop) -> None:
        self.target = target
        self.host_key = ""
        self.transports: list[Transport] = []
        self.commands: list[subprocess.Popen[bytes]] = []

    @property
    def transport(self) -> Transport:
        """The target's."""
        return self.transports[-1]

    def close(self) -> None:
        """Hang up, the far end first."""
        for transport in reversed(self.transports):
            transport.close()
            transport.sock.close()
            if transport.ident:  # it was started; the library does not wait for its own thread
                transport.join(_JOIN_S)
        for command in self.commands:
            command.kill()
            command.wait()


def connected(route: Sequence[Hop], timeout_s: float) -> Connection:
    """Go through every hop of the route within the time; what was opened is closed where one of them refuses."""
    logging.getLogger(_LOG).setLevel(logging.CRITICAL + 1)
    deadline = time.monotonic() + timeout_s
    connection = Connection(route[-1])
    try:
        for hop in route:
            _open(connection, hop, deadline, timeout_s)
    except BaseException:
        connection.close()
        raise
    connection.transport.set_keepalive(_KEEPALIVE_S)
    return connection


def _open(connection: Connection, hop: Hop, deadline: float, timeout_s: float) -> None:
    behind = bool(connection.transports)
    transport = Transport(_socket(connection, hop, deadline, timeout_s))
    connection.transports.append(transport)
    entries = known_hosts.read(hop.known_hosts)
    _prefer(transport, known_hosts.known_kinds(entries, *hop.known_as))
    left_s = max(0.1, deadline - time.monotonic())
    transport.banner_timeout = transport.handshake_timeout = left_s
    try:
        transport.start_client(timeout=left_s)
        key: Any = transport.get_remote_server_key()  # raises where the time was over before there is one
    except IncompatiblePeer as error:
        raise refusals.incompatible(hop, str(error)) from error
    except (SSHException, EOFError, OSError) as error:
        if time.monotonic() >= deadline - 0.05:
            raise refusals.silent(hop, timeout_s) from error
        raise refusals.not_ssh(hop, str(error)) from error
    judgement = known_hosts.judge(entries, *hop.known_as, key.get_name(), key.asbytes())
    if judgement.verdict is not Verdict.KNOWN:
        raise refusals.host_key(hop, judgement, key.get_name(), key.asbytes(), scannable=not behind)
    connection.host_key = f"{key.get_name()} {known_hosts.fingerprint(key.asbytes())}"
    log_in(transport, hop, deadline)


def _socket(connection: Connection, hop: Hop, deadline: float, timeout_s: float) -> Any:
    left_s = max(0.1, deadline - time.monotonic())
    if connection.transports:
        try:
            return connection.transport.open_channel(
                "direct-tcpip", (hop.host, hop.port), ("127.0.0.1", 0), timeout=left_s
            )
        except ChannelException as error:
            raise refusals.jump_refused(hop, connection.transport.getpeername(), error.text) from error
        except (SSHException, EOFError, OSError) as error:
            raise refusals.silent(hop, timeout_s) from error
    if hop.proxy_command:
        ours, theirs = socket.socketpair()
        with theirs:
            argv = ["sh", "-c", f"exec {hop.proxy_command}"]
            process = subprocess.Popen(
                argv, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.DEVNULL, start_new_session=True
            )
        connection.commands.append(process)
        return ours
    try:
        direct = socket.create_connection((hop.host, hop.port), timeout=left_s)
    except OSError as error:
        _refused(hop, error, timeout_s)
    with suppress(OSError):  # where the kernel cannot, a dead link shows later
        direct.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        direct.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_S * 1000)
    return direct


def _refused(hop: Hop, error: OSError, timeout_s: float) -> NoReturn:
    if isinstance(error, socket.gaierror):
        raise refusals.no_address(hop, error.strerror or str(error)) from error
    if isinstance(error, TimeoutError):
        raise refusals.silent(hop, timeout_s) from error
    if isinstance(error, ConnectionRefusedError):
        raise TargetUnusable(
            f"{hop.label} refused the connection: nothing listens there.",
            "The host was not reached, so nothing of this target is known.",
            f"Check that sshd runs there and that the port is right: ssh -p {hop.port} {shlex.quote(hop.host)}",
        ) from error
    raise refusals.unreachable(hop, error.strerror or str(error)) from error


def _prefer(transport: Transport, kinds: Sequence[str]) -> None:
    """Ask for the key types that are known first, then for the others, as OpenSSH does (HostKeyAlgorithms)."""
    options = transport.get_security_options()
    offered = list(options.key_types)
    wanted = [name for kind in kinds for name in _algorithms(kind) if name in offered]
    options.key_types = tuple(dict.fromkeys((*wanted, *offered)))


def _algorithms(kind: str) -> tuple[str, ...]:
    return ("rsa-sha2-512", "rsa-sha2-256") if kind == "ssh-rsa" else (kind,)
