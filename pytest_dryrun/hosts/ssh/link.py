"""One verified connection, shared by everything that goes to a host: seats for sessions, and whether it is lost."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import paramiko
from paramiko.ssh_exception import ChannelException, SSHException

from pytest_dryrun.hosts.ssh.connecting import Connection
from pytest_dryrun.model.errors import CommandFailed

# sshd's MaxSessions is 10 unless it is told otherwise: one is for files, one for ending a command.
_SEATS = 8
_PATIENCE_S = 3.0
_TICK_S = 0.05


class Link:
    """Opens sessions on the one connection."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.connection = connection
        self.name = name
        self.mark = f"dryrun-{secrets.token_hex(8)}"
        self._seats = threading.BoundedSemaphore(_SEATS)
        self._asking = threading.Lock()

    @property
    def lost(self) -> bool:
        """Whether the connection is gone."""
        return self.connection.transport.lost

    @property
    def signals(self) -> dict[int, int]:
        """The signals that ended commands, by channel."""
        return self.connection.transport.signals

    @contextmanager
    def seat(self, deadline: float) -> Iterator[None]:
        """Wait for one of the sessions that the server grants at once; TimeoutError past the deadline."""
        if not self._seats.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise TimeoutError
        try:
            yield
        finally:
            self._seats.release()

    @contextmanager
    def session(self, start: Callable[[paramiko.Channel], None], deadline: float) -> Iterator[paramiko.Channel]:
        """Start something on a channel of its own; TimeoutError past the deadline, SSHException where it cannot be."""
        channel = self._channel(deadline)
        try:
            channel.settimeout(_left(deadline))
            # The library waits for the server's word for ever.
            limit = threading.Timer(_left(deadline), channel.close)
            limit.daemon = True
            limit.start()
            try:
                start(channel)
            except SSHException as error:
                if self.lost or time.monotonic() < deadline:
                    raise
                raise TimeoutError from error
            finally:
                limit.cancel()
            yield channel
        finally:
            channel.close()
            self.signals.pop(channel.chanid, None)

    def round_trip(self, deadline: float) -> None:
        """Wait for the server to answer; what it had sent before is here then."""
        with self._asking:
            try:
                self.connection.transport.open_session(timeout=_left(deadline)).close()
            except ChannelException:  # one session too many: that is an answer
                pass
            except SSHException as error:
                if self.lost or time.monotonic() < deadline:
                    raise
                raise TimeoutError from error

    def _channel(self, deadline: float) -> paramiko.Channel:
        """Open a channel; where the server still counts one that has just ended, ask again: nothing was started."""
        patience = min(deadline, time.monotonic() + _PATIENCE_S)
        while True:
            try:
                return self.connection.transport.open_session(timeout=_left(deadline))
            except SSHException as error:  # two refusals at once: the library gives its reason to one of them only
                if self.lost:
                    raise
                if time.monotonic() > deadline:
                    raise TimeoutError from error
                if time.monotonic() > patience:
                    raise
                time.sleep(_TICK_S)

    def down(self, what: str) -> CommandFailed:
        """Say that something was never begun, because the connection had gone before."""
        return CommandFailed(
            f"{what}: the connection to {self.name} is gone.",
            "It was not begun, so it changed nothing.",
            "Check the host and the network, and run again.",
        )


def _left(deadline: float) -> float:
    return max(0.01, deadline - time.monotonic())
