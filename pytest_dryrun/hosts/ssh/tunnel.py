"""A port of this machine's loopback that leads, over the verified connection, to an address as seen from the host."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

import paramiko
from paramiko.ssh_exception import ChannelException, SSHException

_CHUNK_BYTES = 1 << 16
_OPEN_S = 15.0
_JOIN_S = 5.0
_RESET = struct.pack("ii", 1, 0)


class Tunnel:
    """Listens until it is closed; each connection has a channel of its own."""

    def __init__(self, transport: paramiko.Transport, host: str, port: int) -> None:
        self._transport = transport
        self._target = (host, port)
        self._lock = threading.Lock()
        self._open: set[socket.socket | paramiko.Channel] = set()
        self._threads: set[threading.Thread] = set()
        self._closed = False
        self.refusal = ""
        """What the host said when it last refused a connection."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def close(self) -> None:
        """End the listening socket, every connection and every thread."""
        with self._lock:
            self._closed = True
            ends, threads = list(self._open), list(self._threads)
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the one who accepts
        self._listener.close()
        for end in ends:
            with suppress(OSError, EOFError, SSHException):
                end.shutdown(2)
            end.close()
        for thread in threads:
            thread.join(_JOIN_S)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=self._work, args=(work, arguments), name=f"tunnel-{self.port}", daemon=True)
        with self._lock:
            if not self._closed:
                self._threads.add(thread)
                thread.start()
                return
        for argument in arguments:  # too late: nobody will serve it
            if isinstance(argument, socket.socket):
                argument.close()

    def _work(self, work: Callable[..., None], arguments: tuple[object, ...]) -> None:
        try:
            work(*arguments)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, near)

    def _serve(self, near: socket.socket) -> None:
        with near:
            try:
                far = self._transport.open_channel("direct-tcpip", self._target, near.getpeername(), timeout=_OPEN_S)
            except (SSHException, EOFError, OSError) as error:
                self.refusal = error.text if isinstance(error, ChannelException) else str(error)
                with suppress(OSError):
                    near.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, _RESET
                    )  # an error at once, not an empty answer
                return
            with self._lock:
                if self._closed:
                    far.close()
                    return
                self._open |= {near, far}
            near.settimeout(None)
            # An answer in two pieces would wait 40 ms for the first one's acknowledgement.
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            upward = threading.Thread(target=_pour, args=(near, far), name=f"tunnel-{self.port}-up", daemon=True)
            upward.start()
            try:
                _pour(far, near)
                if far.closed:  # gone altogether: nobody will read what still comes from here
                    with suppress(OSError):
                        near.shutdown(socket.SHUT_RDWR)
                upward.join()
            finally:
                far.close()
                with self._lock:
                    self._open -= {near, far}


def _pour(source: socket.socket | paramiko.Channel, sink: socket.socket | paramiko.Channel) -> None:
    """Copy one direction to its end, and pass the end on; the other direction goes on."""
    try:
        while chunk := source.recv(_CHUNK_BYTES):
            sink.sendall(chunk)
    except (OSError, EOFError, SSHException):
        with suppress(OSError, EOFError, SSHException):
            sink.shutdown(2)
            source.shutdown(2)
        return
    with suppress(OSError, EOFError, SSHException):
        sink.shutdown(1)
