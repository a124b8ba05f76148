"""One command on a host behind SSH: its secrets stay out of the process list, and it can be ended with its family."""

from __future__ import annotations

import re
import select
import signal
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Self

import paramiko
from paramiko.ssh_exception import SSHException

from pytest_dryrun.hosts.output import STDERR, STDOUT, last_words, not_started, shown, too_slow
from pytest_dryrun.hosts.ssh.ending import END_S, end
from pytest_dryrun.hosts.ssh.link import Link
from pytest_dryrun.hosts.ssh.script import script, wrapper
from pytest_dryrun.model.errors import CommandFailed

_CHUNK_BYTES = 1 << 18
_TICK_S = 0.05
_LINGER_S = 0.5
# After this a child that prints on and on behind an ended command is not waited for either.
_LONGEST_LINGER_S = 10.0
# OpenSSH's CHAN_RBUF.
_ONE_READ_BYTES = 1 << 14
_BROKEN = (SSHException, EOFError, OSError)


class Execution:
    """One command, from its start until it has ended or is killed."""

    def __init__(
        self,
        link: Link,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None,
        cwd: str | None,
        stop: threading.Event | None = None,
    ) -> None:
        self._link = link
        self._stop = stop or threading.Event()
        self._argv = tuple(argv)
        self._cwd = cwd
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._script = script(link.mark, argv, env or {}, cwd)
        self._open = ExitStack()
        self._heads = {STDOUT: bytearray(), STDERR: bytearray()}
        self._pid: int | None = None
        self._sent = False
        self._out_of_reach = False
        self._called_unknown = False
        self._status: int | None = None

    def __enter__(self) -> Self:
        if self._link.lost:
            raise self._link.down(f"{shown(self._argv)} could not be started")
        try:
            with self._told():
                self._open.enter_context(self._link.seat(self._deadline))
                shell = wrapper(self._link.mark)
                session = self._link.session(lambda channel: channel.exec_command(shell), self._deadline)
                self._channel: paramiko.Channel = self._open.enter_context(session)
                self._received = self._streams()
                self._begin()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        with self._open:
            if not self._sent or self._out_of_reach or self._status is not None:
                return
            if not self._link.lost and self._kill():
                return
            if not self._link.lost:
                left = self._still_running("was given up before its end")
            elif self._called_unknown:
                return
            else:
                left = self._unknown("it was to be ended")
            # Whoever gave it up because the connection went is told what that means for the command.
            if error is None or (isinstance(error, CancelledError) and self._link.lost):
                raise left from error
            error.add_note(str(left))

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """Yield (1, stdout) and (2, stderr) as they come, until the command has ended."""
        with self._told():
            yield from self._behind_the_mark()

    def exit_status(self) -> int:
        """Tell how the command ended, negative for a signal."""
        if self._status is None:
            raise self._unknown("no exit status came")
        return self._status

    def _begin(self) -> None:
        """Wait for the process number, which the mark comes with, and only then say what is to be done."""
        wanted = re.compile(re.escape(self._link.mark.encode()) + rb" (\d+)\n")
        for number, chunk in self._received:
            self._heads[number] += chunk
            if match := wanted.search(self._heads[STDERR]):
                self._pid = int(match[1])
                del self._heads[STDERR][: match.end()]
                self._sent = True
                self._channel.settimeout(max(0.01, self._deadline - time.monotonic()))
                self._channel.sendall(self._script)
                self._channel.shutdown_write()
                return
        raise self._never_began()

    def _behind_the_mark(self) -> Iterator[tuple[int, bytes]]:
        """Pass on what comes after the mark in each stream; stderr's says why nothing was started, where it is so."""
        wanted = re.compile(re.escape(self._link.mark.encode()) + rb"([^\n]*)\n")
        began: set[int] = set()
        for number, chunk in chain(((number, b"") for number in (STDOUT, STDERR)), self._received):
            if number in began:
                yield number, chunk
                continue
            head = self._heads[number]
            head += chunk
            if match := wanted.search(head):
                if match[1]:
                    self._status = 127
                    raise not_started(self._argv, self._cwd, match[1].decode(errors="replace").strip())
                began.add(number)
                if rest := bytes(head[match.end() :]):
                    yield number, rest
        if STDERR not in began:
            raise self._never_began()

    def _never_began(self) -> CommandFailed:
        if self._status is None:
            return self._unknown("the connection broke off")
        said = " ".join(head.decode(errors="replace") for head in self._heads.values())
        return not_started(self._argv, self._cwd, last_words(said.replace(self._link.mark, "")))

    def _streams(self) -> Iterator[tuple[int, bytes]]:
        """Yield both streams as they come; a child that stays in the background with them open is not waited for."""
        channel = self._channel
        poller = select.poll()
        poller.register(channel.fileno(), select.POLLIN)
        silent_since = ended_at = None
        while True:
            if time.monotonic() > self._deadline:
                self._take_status()
                raise TimeoutError
            if self._stop.is_set():
                raise CancelledError
            closed = channel.eof_received or channel.closed  # read before the streams: what came earlier is there
            if ended_at is None and channel.status_event.is_set():
                ended_at = time.monotonic()
            if (yield from self._what_is_here()):
                silent_since = None
                continue
            if closed:
                break
            if ended_at is not None:
                now = time.monotonic()
                silent_since = silent_since or now
                long = now - ended_at > _LONGEST_LINGER_S
                if long or now - silent_since > _LINGER_S:
                    came = yield from self._what_comes_now()
                    if came < (_ONE_READ_BYTES if long else 1):
                        break
                    silent_since = None
            poller.poll(_TICK_S * 1000)
        if self._link.lost and not channel.eof_received:
            raise EOFError("before all that it printed was here")
        if not channel.status_event.wait(max(0.0, self._deadline - time.monotonic())):
            raise TimeoutError
        self._take_status()

    def _take_status(self) -> None:
        """Keep how the command ended, where that has come."""
        signum = self._link.signals.get(self._channel.chanid)
        if signum is not None:
            self._status = -signum
        elif self._channel.status_event.is_set() and self._channel.exit_status >= 0:
            self._status = self._channel.exit_status

    def _what_is_here(self) -> Generator[tuple[int, bytes], None, int]:
        """Yield what has come of both streams; returns how many bytes that were."""
        came = 0
        channel = self._channel
        streams = (STDOUT, channel.recv_ready, channel.recv), (STDERR, channel.recv_stderr_ready, channel.recv_stderr)
        for number, ready, read in streams:
            if ready():
                chunk = read(_CHUNK_BYTES)
                came += len(chunk)
                yield number, chunk
        return came

    def _what_comes_now(self) -> Generator[tuple[int, bytes], None, int]:
        """Yield what comes until the server has answered twice; less than it reads at once is no backlog.

        The exit status can come before the end of the output, and something else may hold the streams open for ever.
        The server sends in order, and before it answers for the second time it has looked at the streams: what an ended
        command had left in them by then has come, or at least as much as is read of a stream at once.
        """
        for _ in range(2):
            self._link.round_trip(self._deadline)
        return (yield from self._what_is_here())

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Put into words what can go wrong on the way."""
        try:
            yield
        except TimeoutError as error:
            if not self._sent:
                late = f"{self._link.name} did not begin within {self._timeout_s:g} s"
                raise not_started(self._argv, self._cwd, late) from error
            if self._status is not None:
                raise self._not_all_here() from error
            if self._kill():
                raise too_slow(self._argv, self._timeout_s) from error
            raise self._still_running(f"did not end within {self._timeout_s:g} s") from error
        except _BROKEN as error:
            raise self._unknown(str(error)) from error

    def _kill(self) -> bool:
        """End the command with its family; False where something of it may be left."""
        if self._pid is None:
            return True
        if end(self._link, self._pid, time.monotonic() + END_S):
            self._status = -signal.SIGKILL
        else:
            self._out_of_reach = True
        return not self._out_of_reach

    def _not_all_here(self) -> CommandFailed:
        return CommandFailed(
            f"{shown(self._argv)} ended with status {self._status} on {self._link.name}, and not all that it printed"
            f" came within {self._timeout_s:g} s.",
            "It has done what it does; what it said is not complete.",
            "Look at the connection, or raise its time limit.",
        )

    def _still_running(self, what: str) -> CommandFailed:
        return CommandFailed(
            f"{shown(self._argv)} {what}, and could not be ended on {self._link.name}.",
            f"State unknown: it may still be running there (process group {self._pid}).",
            "Log in and look; end it by hand, as the user it runs as, before anything is run again.",
        )

    def _unknown(self, reason: str) -> CommandFailed:
        if not self._sent:
            return not_started(self._argv, self._cwd, f"{self._link.name} gives no session ({last_words(reason)})")
        self._called_unknown = True
        return CommandFailed(
            f"The connection to {self._link.name} was lost while {shown(self._argv)} ran ({last_words(reason)}).",
            f"State unknown: it may have ended, or may still be running there (process group {self._pid}).",
            "Log in and look at what it did before anything is run again; nothing was repeated.",
        )
