"""One command in a container, through the engine's exec: begun when it can be killed, and ended with its family."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

from docker.errors import DockerException
from docker.models.containers import Container

from pytest_dryrun.hosts.given import Given
from pytest_dryrun.hosts.output import not_started, too_slow
from pytest_dryrun.model.errors import CommandFailed

_CHUNK_BYTES = 1 << 18
_KILL_S = 5.0
_TICK_S = 0.05

# The shell waits for a line from us: the engine may send output together with the head of its answer, where the client
# library would lose it. It says its process number, which is also its group's, and waits again, for nothing may begin
# that we could not kill: stdout and stderr are carried side by side, a first output could overtake the number.
_WRAPPER = """
read -r go || exit 125
if [ -n "$1" ]; then cd -- "$1" 2>/dev/null || { echo "the folder is not there" >&2; exit 127; }; fi
shift
command -v -- "$1" >/dev/null 2>&1 || { echo "the program is not there" >&2; exit 127; }
echo $$ >&2
read -r go || exit 125
[ "$go" = fed ] || exec "$@" </dev/null
exec "$@"
"""

_GO, _FED = b"go\n", b"fed\n"


class Execution:
    """One command in a container, from its start until it has ended or is killed."""

    def __init__(
        self,
        container: Container,
        argv: Sequence[str],
        env: Mapping[str, str] | None,
        cwd: str | None,
        given: Given | None = None,
    ) -> None:
        self._container = container
        self._given = given
        self._all_given = False
        self._api = container.client.api
        self._argv = argv
        self._pid: int | None = None
        self._status: int | None = None
        self._cwd = cwd
        command = ["sh", "-c", _WRAPPER, "sh", cwd or "", *argv]  # the engine would create a missing folder
        try:
            made = self._api.exec_create(container.id, command, stdin=True, environment=dict(env or {}))
            self._id: str = made["Id"]
            stream = self._api.exec_start(self._id, socket=True)
        except (DockerException, OSError) as error:
            raise not_started(argv, cwd, str(error)) from error
        self._stream = stream  # keeps the answer it belongs to, and so the socket, open
        self._socket: Any = getattr(stream, "_sock", stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._status is None:
                self._kill()
        finally:
            # The library hangs the answer it belongs to on the stream; closing the stream first makes that one fail.
            getattr(self._stream, "_response", self._stream).close()
            self._socket.close()

    def chunks(self, timeout_s: float) -> Iterator[tuple[int, bytes]]:
        """Yield (1, stdout) and (2, stderr) as they come, until the command has closed both."""
        deadline = time.monotonic() + timeout_s
        frames = self._frames(deadline)
        try:
            self._begin(frames)
            yield from frames
            self._await_end(deadline)
        except TimeoutError as error:
            raise too_slow(self._argv, timeout_s) from error
        except (DockerException, OSError) as error:
            raise self._lost(str(error)) from error

    def exit_status(self) -> int:
        """Tell how the command ended."""
        if self._status is None:
            raise self._lost("the engine knows no exit status")
        return self._status

    def _begin(self, frames: Iterator[tuple[int, bytes]]) -> None:
        """Wait for the process number, and only then let the command begin."""
        self._socket.sendall(_GO)
        said = bytearray()
        for _, chunk in frames:
            said += chunk
            if b"\n" in said:
                break
        first, ended, _ = said.partition(b"\n")
        if not ended or not first.isdigit():
            self._status = 127
            reason = first.decode(errors="replace") or "it did not say its process number"
            raise not_started(self._argv, self._cwd, reason)
        self._pid = int(first)
        self._socket.sendall(_GO if self._given is None else _FED)

    def _frames(self, deadline: float) -> Iterator[tuple[int, bytes]]:
        """Cut the engine's stream into its frames: kind, three zeros, length in four bytes (Docker's attach format)."""
        data = bytearray()
        while True:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            if self._pid is not None and self._given is not None:
                self._give(self._given, deadline)
            received = self._socket.recv(_CHUNK_BYTES)
            if time.monotonic() > deadline:
                raise TimeoutError
            if not received:
                break
            data += received
            while len(data) >= 8 and len(data) >= 8 + (size := int.from_bytes(data[4:8], "big")):
                yield data[0], bytes(data[8 : 8 + size])
                del data[: 8 + size]
        if data:
            raise self._lost("the engine's stream broke off")

    def _give(self, given: Given, deadline: float) -> None:
        """Write what there is until there is something to be read."""
        poller = select.poll()
        while time.monotonic() < deadline:
            try:
                piece = given.next()
                if given.ended and not self._all_given:
                    self._all_given = True
                    self._socket.shutdown(socket.SHUT_WR)
                poller.register(self._socket, select.POLLIN | (select.POLLOUT if piece else 0))
                happened = [event for _, event in poller.poll(_TICK_S * 1000)]
                if any(event & ~select.POLLOUT for event in happened):
                    return
                if happened:
                    given.written(self._socket.send(piece))
            except BrokenPipeError:
                given.refused()
        raise TimeoutError

    def _await_end(self, deadline: float) -> None:
        while (state := self._api.exec_inspect(self._id))["Running"]:
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(0.02)
        self._status = state["ExitCode"]

    def _kill(self) -> None:
        """End the command with its group; one that was not let begin ends by itself when the stream is closed."""
        if self._pid is None:
            return
        with suppress(DockerException, OSError, TimeoutError):
            script = ["sh", "-c", 'kill -s KILL -- "-$1"', "sh", str(self._pid)]
            made = self._api.exec_create(self._container.id, script)
            self._api.exec_start(made["Id"])
            self._await_end(time.monotonic() + _KILL_S)

    def _lost(self, reason: str) -> CommandFailed:
        return CommandFailed(
            f"The link to {self._argv[0]} in container {self._container.short_id} was lost: {reason}",
            "What it has done is not known.",
            "Check that the container engine is healthy, and run again.",
        )
