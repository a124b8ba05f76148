"""This machine: commands run to their end, commands that stream, and processes that stay."""

from __future__ import annotations

import os
import pwd
import secrets
import selectors
import subprocess
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pytest_dryrun import processes
from pytest_dryrun.hosts import Completed
from pytest_dryrun.hosts.given import Given
from pytest_dryrun.hosts.output import Kept, ended_badly, not_started, too_slow
from pytest_dryrun.hosts.running import KILL_S, RunningProcess
from pytest_dryrun.processes import COOKIE
from pytest_dryrun.workspace import Workspace

_CHUNK_BYTES = 1 << 18
_TICK_S = 0.05
_LINGER_S = 0.5


@dataclass(frozen=True, slots=True)
class LocalHost:
    """Runs commands here, each in a session of its own, so that a Ctrl-C in the terminal reaches only us.

    `user` is another user of this machine to run them as, which only root can ask for.
    """

    user: str | None = None

    @property
    def name(self) -> str:
        """What a reader calls this host."""
        return "this machine"

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Completed:
        """Run a command to its end; of each stream at most the last 64 MiB are kept, and a first line says so.

        A child that stays in the background with our pipe open is not waited for.
        """
        return self._run(argv, None, timeout_s, env, cwd)

    def feed(
        self,
        argv: Sequence[str],
        given: Iterable[bytes],
        *,
        timeout_s: float,
        stop: threading.Event,
        env: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run a command to its end with `given` as its stdin."""
        return self._run(argv, Given(given, stop), timeout_s, env, None)

    def _run(
        self,
        argv: Sequence[str],
        given: Given | None,
        timeout_s: float,
        env: Mapping[str, str] | None,
        cwd: str | None,
    ) -> Completed:
        streams = {1: Kept(), 2: Kept()}
        began = time.monotonic()
        with self._spawned(argv, env, cwd, fed=given is not None) as process:
            for number, chunk in _chunks(process, argv, began + timeout_s, timeout_s, given):
                streams[number].add(chunk)
            status = process.wait()
        duration_ms = (time.monotonic() - began) * 1000
        return Completed(tuple(argv), status, streams[1].text(), streams[2].text(), duration_ms)

    @contextmanager
    def stream(
        self, argv: Sequence[str], *, timeout_s: float, env: Mapping[str, str] | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Run a command and yield its stdout in chunks; the time limit holds for the whole of it, reader included."""
        with self._spawned(argv, env, None) as process, closing(_stdout(process, argv, timeout_s)) as chunks:
            yield chunks

    def start(
        self,
        argv: Sequence[str],
        *,
        output: Path,
        workspace: Workspace,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> RunningProcess:
        """Start a process that stays until it is stopped; stdout and stderr go to the file `output`.

        The workspace's journal knows it, so that it is ended even where we are killed.
        """
        output.touch(mode=0o600)
        cookie = f"{workspace.path}/{secrets.token_hex(4)}"
        with output.open("ab") as sink:
            process = self._popen(argv, {**(env or {}), COOKIE: cookie}, cwd, stdout=sink, stderr=subprocess.STDOUT)
        running = RunningProcess(process, output, cookie, workspace)
        try:
            workspace.journal_process(process.pid)
        except BaseException:
            running.stop(timeout_s=0)
            raise
        return running

    def put(self, source: Path, destination: str) -> str:  # noqa: ARG002
        """Nothing is copied: the file is here."""
        return str(source)

    def free_bytes(self, path: str) -> int:
        """Bytes an unprivileged user may still write below `path` (statvfs(3), f_bavail)."""
        place = Path(path).absolute()
        while not place.exists():
            place = place.parent
        state = os.statvfs(place)
        return state.f_bavail * state.f_frsize

    @contextmanager
    def _spawned(
        self, argv: Sequence[str], env: Mapping[str, str] | None, cwd: str | None, *, fed: bool = False
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Hand out a process with pipes; whatever leaves this early leaves nothing of it running."""
        streams = {"stdin": subprocess.PIPE} if fed else {}
        process = self._popen(argv, env or {}, cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **streams)
        try:
            yield process
        finally:
            if process.returncode is None:  # not reaped, so its number still stands for its group
                processes.kill_all(lambda: processes.kin(process.pid), KILL_S)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(KILL_S)
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe:
                    pipe.close()

    def _popen(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: str | None, **streams: Any
    ) -> subprocess.Popen[bytes]:
        options: dict[str, Any] = {}
        try:
            if self.user:
                options = {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []}
            return subprocess.Popen(
                list(argv),
                env={**os.environ, **env},
                cwd=cwd,
                start_new_session=True,
                **{"stdin": subprocess.DEVNULL, **streams},
                **options,
            )
        except (OSError, KeyError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise not_started(argv, cwd, reason) from error


def _stdout(process: subprocess.Popen[bytes], argv: Sequence[str], timeout_s: float) -> Generator[bytes, None, None]:
    errors = Kept()
    for number, chunk in _chunks(process, argv, time.monotonic() + timeout_s, timeout_s):
        if number == 1:
            yield chunk
        else:
            errors.add(chunk)
    if status := process.wait():
        raise ended_badly(argv, status, errors.text())


def _chunks(
    process: subprocess.Popen[bytes],
    argv: Sequence[str],
    deadline: float,
    timeout_s: float,
    given: Given | None = None,
) -> Iterator[tuple[int, bytes]]:
    """Yield (1, stdout) and (2, stderr) as they come, until both are closed and the process has ended."""
    ended_at: float | None = None
    unread = {1, 2}
    with selectors.DefaultSelector() as selector:
        for number, pipe in ((1, process.stdout), (2, process.stderr)):
            if pipe:
                selector.register(pipe, selectors.EVENT_READ, number)
        while unread or process.poll() is None:
            now = time.monotonic()
            if now > deadline:
                raise too_slow(argv, timeout_s)
            if given is not None and process.stdin:
                _give(process.stdin, given, selector)
            events = selector.select(_TICK_S) if selector.get_map() else []
            for key, _ in events:
                if key.data == 0:
                    continue  # there is room in its stdin
                if chunk := os.read(key.fd, _CHUNK_BYTES):
                    yield key.data, chunk
                else:
                    selector.unregister(key.fileobj)
                    unread.discard(key.data)
            if not selector.get_map():
                _wait_briefly(process)
            elif not events and _ended(process.pid):
                ended_at = ended_at or now
                if now - ended_at > _LINGER_S:
                    return


def _give(stdin: IO[bytes], given: Given, selector: selectors.BaseSelector) -> None:
    """Write what there is and has room, and have the selector wait for room only where more is there to be written."""
    waiting = not stdin.closed and stdin in selector.get_map()
    try:
        while piece := given.next():
            os.set_blocking(stdin.fileno(), False)
            given.written(os.write(stdin.fileno(), piece))
    except BlockingIOError:
        if not waiting:
            selector.register(stdin, selectors.EVENT_WRITE, 0)
        return
    except BrokenPipeError:
        given.refused()
    if waiting:
        selector.unregister(stdin)
    if given.ended:
        stdin.close()


def _wait_briefly(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_TICK_S)
    except subprocess.TimeoutExpired:
        return


def _ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
