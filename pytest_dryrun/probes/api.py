"""The application's API: started on a free port or found running, asked for its health, and ended again."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import httpx
import psutil

from pytest_dryrun.model.errors import CommandFailed, TargetUnusable
from pytest_dryrun.probes.smoke import argv_of, clip, tail
from pytest_dryrun.processes import kin

_POLL_S = 0.1
_ATTEMPT_S = 5.0
_LEAST_S = 0.5
_STOP_S = 10.0
_MAX_BODY_BYTES = 64 * 1024 * 1024
_KEPT_BYTES = 4096
_NOT_OURS = "another process answers on its port"
_PORT_TAKEN = re.compile(r"EADDRINUSE|address (?:is )?already in use|port \S+ is (?:already )?in use", re.IGNORECASE)


class RunningProcess(Protocol):
    """A long-lived process that somebody else starts, and that we watch and end."""

    @property
    def pid(self) -> int:
        """Its process id; children are found through it."""
        ...

    def poll(self) -> int | None:
        """Its exit status, or None while it runs."""
        ...

    def tail(self, lines: int) -> str:
        """Give the last lines it printed on either stream."""
        ...

    def stop(self, timeout_s: float) -> None:
        """End it and its children: politely first, then not; harmless when it has ended already."""
        ...


Launch = Callable[[Sequence[str], Mapping[str, str], str], RunningProcess]
"""Starts `argv` with `env` added to the environment, in the folder `cwd`, and does not wait for it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one GET came back with; a `status` of 0 means that nothing came back, and `failure` says why."""

    path: str
    status: int
    duration_ms: float
    size_bytes: int = 0
    is_page: bool = False
    excerpt: str = ""
    failure: str = ""

    @property
    def problem(self) -> str:
        """Why this is no 2xx answer, in words; empty when it is one."""
        if self.failure:
            return f"GET {self.path}: {self.failure}"
        if not 200 <= self.status <= 299:
            said = f", saying {self.excerpt!r}" if self.excerpt else ""
            return f"GET {self.path} answered {self.status}{said}"
        return ""

    @property
    def health_problem(self) -> str:
        """Why this proves no health: as `problem`, or a web page, which a catch-all route gives for any path."""
        if self.is_page and not self.problem:
            return f"GET {self.path} answered {self.status} with an HTML page instead of a health report"
        return self.problem


@dataclass(frozen=True, slots=True)
class RunningApi:
    """An API that answers at `base_url`; `process` is None where it was not started here."""

    base_url: str
    token: str | None = None
    process: RunningProcess | None = None
    host: str = ""
    """The name to ask for, where that is not the one in `base_url`."""

    def __repr__(self) -> str:
        return f"RunningApi(base_url={self.base_url!r}, pid={self.pid})"

    @property
    def pid(self) -> int | None:
        """The started process, or None."""
        return self.process.pid if self.process else None

    def process_ids(self) -> tuple[int, ...]:
        """List the started process, its children, and what else lives in its session; empty when it is gone."""
        if self.process is None or self.process.poll() is not None:
            return ()
        return tuple(process.pid for process in kin(self.process.pid))

    def client(self, timeout_s: float = 10.0) -> httpx.Client:
        """Open a client for this API alone: bearer token, time limits, no proxy from the environment, no redirects."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if self.host:
            headers["Host"] = self.host
        return httpx.Client(base_url=self.base_url, headers=headers, timeout=timeout_s, trust_env=False)

    def stop(self) -> None:
        """End what was started here; an API that ran before is left alone. May be called twice."""
        if self.process:
            self.process.stop(_STOP_S)


def get(client: httpx.Client, path: str, *, timeout_s: float) -> Answer:
    """GET one path and read the whole answer; never raises for what an API may do.

    The time runs from the request to the last byte (`time.perf_counter`, so the client's own work is in it).
    `timeout_s` bounds connecting, each wait for bytes, and, checked between chunks, the whole body.
    """
    started = time.perf_counter()
    body, size = b"", 0

    def duration_ms() -> float:
        return (time.perf_counter() - started) * 1000

    try:
        with client.stream("GET", path, timeout=timeout_s) as response:
            for chunk in response.iter_bytes():
                size += len(chunk)
                body += chunk[: max(0, _KEPT_BYTES - len(body))]
                if duration_ms() > timeout_s * 1000:
                    return Answer(path, 0, duration_ms(), size, failure=f"not complete within {timeout_s:g} s")
                if size > _MAX_BODY_BYTES:
                    return Answer(path, 0, duration_ms(), size, failure=f"more than {_MAX_BODY_BYTES} bytes of body")
            taken_ms = duration_ms()
    except httpx.ConnectTimeout:
        return Answer(path, 0, duration_ms(), failure=f"no connection within {timeout_s:g} s")
    except httpx.TimeoutException:
        return Answer(path, 0, duration_ms(), size, failure=f"no answer within {timeout_s:g} s")
    except httpx.ConnectError as error:
        return Answer(path, 0, duration_ms(), failure=f"nothing accepts connections there ({error})")
    except httpx.RemoteProtocolError as error:
        return Answer(path, 0, duration_ms(), size, failure=f"the connection was dropped, or it is no HTTP ({error})")
    except httpx.TransportError as error:
        return Answer(
            path, 0, duration_ms(), size, failure=f"the connection was lost ({str(error) or type(error).__name__})"
        )
    except (httpx.DecodingError, httpx.InvalidURL) as error:
        return Answer(path, 0, duration_ms(), size, failure=f"the answer cannot be read ({error})")
    text = body.decode("utf-8", "replace").strip()
    words = text.split() if size == len(body) else text.split()[:-1]
    is_page = text[:15].lower().startswith(("<!doctype html", "<html"))
    return Answer(path, response.status_code, taken_ms, size, is_page, clip(" ".join(words), 200))


def health(client: httpx.Client, path: str, *, timeout_s: float = 5.0) -> Answer:
    """Ask for the API's health once; `health_problem` of the answer says what is wrong with it.

    Raises TargetUnusable when no answer came at all.
    """
    answer = get(client, path, timeout_s=timeout_s)
    if answer.failure:
        raise TargetUnusable(
            f"The API at {client.base_url} gave no answer: {answer.problem}.",
            "Nothing that needs the API can be checked.",
            "Check that it runs, and that its address and health path are the configured ones.",
        )
    return answer


def connect(base_url: str, token: str | None = None, *, host: str = "") -> RunningApi:
    """Take an API that already runs; nothing is asked of it yet, and `stop` leaves it alone."""
    return RunningApi(base_url.rstrip("/"), token, host=host)


def free_port() -> int:
    """Find a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(
    command: str,
    *,
    directory: str,
    database_url: str,
    health: str,
    launch: Launch,
    timeout_s: float = 30,
    token: str | None = None,
    choose_port: Callable[[], int] = free_port,
) -> RunningApi:
    """Start the API and return once it is healthy; `command` must stay in the foreground and listen itself.

    `{port}` in a word of the command is replaced, every other brace stays; PORT and DATABASE_URL are set.
    Should another program have taken the port meanwhile, one other port is tried.
    Raises CommandFailed, with the last lines it printed, when it ends, never becomes healthy within `timeout_s`, or
    when the answers come from somebody else's process. It does not run any more then.
    """
    words = argv_of(command, "api.start")
    words[0] = _program(words[0])

    def attempt() -> RunningApi | _Failure:
        port = choose_port()
        argv = [word.replace("{port}", str(port)) for word in words]
        process = _launched(launch, argv, {"DATABASE_URL": database_url, "PORT": str(port)}, directory)
        api = RunningApi(f"http://127.0.0.1:{port}", token, process)
        try:
            problem = _wait(api, process, health, port, timeout_s)
            if not problem:
                return api
            failure = _Failure(argv, problem, tail(process.tail(20)))
        except BaseException:
            process.stop(_STOP_S)
            raise
        process.stop(_STOP_S)
        return failure

    result = attempt()
    if isinstance(result, _Failure) and result.port_was_taken:
        result = attempt()
    if isinstance(result, _Failure):
        raise CommandFailed(
            f"The API did not become healthy: {result.problem}: {shlex.join(result.argv)}",
            "Nothing that needs the API can be checked; what was started is stopped.",
            f"Start it by hand in {directory}; it must stay in the foreground and listen on 127.0.0.1. "
            + (f"Its last output:\n{result.said}" if result.said else "It printed nothing."),
        )
    return result


@dataclass(frozen=True, slots=True)
class _Failure:
    """A start that came to nothing: why, and what the process said last."""

    argv: Sequence[str]
    problem: str
    said: str

    @property
    def port_was_taken(self) -> bool:
        return self.problem == _NOT_OURS or _PORT_TAKEN.search(self.said) is not None


def _launched(launch: Launch, argv: Sequence[str], env: Mapping[str, str], directory: str) -> RunningProcess:
    try:
        return launch(argv, env, directory)
    except OSError as error:
        raise CommandFailed(
            f"The API could not be started in {directory}: {shlex.join(argv)}: {error}",
            "Nothing that needs the API can be checked.",
            "Check that the program is installed and that the folder exists.",
        ) from error


def _wait(api: RunningApi, process: RunningProcess, path: str, port: int, timeout_s: float) -> str:
    """Ask until the API is healthy (empty) or cannot become it any more (why); a stranger on its port is not asked."""
    deadline = time.monotonic() + timeout_s
    with api.client() as client:
        while True:
            answer = None
            if not _is_taken(port, api):
                left_s = deadline - time.monotonic()
                answer = get(client, path, timeout_s=min(_ATTEMPT_S, max(left_s, _LEAST_S)))
            status = process.poll()
            if status is not None:
                return _ended(status)
            if answer is None or _is_taken(port, api):
                return _NOT_OURS
            if not answer.health_problem:
                return ""
            if time.monotonic() > deadline:
                return f"not within {timeout_s:g} s; the last try: {answer.health_problem}"
            time.sleep(_POLL_S)


def _ended(status: int) -> str:
    return f"it ended with status {status}" if status >= 0 else f"it was ended by signal {-status}"


def _program(word: str) -> str:
    """`python` and `python3` as PATH has them, and the running interpreter where PATH has none."""
    return sys.executable if word in {"python", "python3"} and shutil.which(word) is None else word


def _is_taken(port: int, api: RunningApi) -> bool:
    """Whether somebody listens on the port, and it is none of the API's processes; False where the OS does not tell.

    Who listens is asked before who belongs to the API: one that begins to listen in between is no stranger.
    """
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return False
    listeners = {
        entry.pid
        for entry in connections
        if entry.pid and entry.status == psutil.CONN_LISTEN and entry.laddr and entry.laddr.port == port
    }
    return bool(listeners) and not listeners & set(api.process_ids())
