"""Starting, finding, asking and ending an API: a real one, and every way in which one can misbehave."""

from __future__ import annotations

import contextlib
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx
import psutil
import pytest

from pytest_dryrun.model.errors import CommandFailed, ConfigurationError, TargetUnusable
from pytest_dryrun.probes import api

UVICORN = """
import argparse, os, subprocess, sys
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

def health(request):
    return JSONResponse({"status": "ok", "database": os.environ["DATABASE_URL"], "port": os.environ["PORT"]})

def me(request):
    return JSONResponse({"authorization": request.headers.get("authorization")})

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--braces")
options = parser.parse_args()
print("braces:", options.braces, flush=True)
subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
app = Starlette(routes=[Route("/health", health), Route("/me", me)])
uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning")
"""

# Starts faster than a framework, and answers by path: /STATUS/body.
PLAIN = """
import socketserver, sys, urllib.parse

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        _, status, body = urllib.parse.unquote(self.rfile.readline().split()[1].decode()).split("/", 2)
        while self.rfile.readline().strip():
            pass
        head = f"HTTP/1.1 {status} X\\r\\nContent-Length: {len(body)}\\r\\nConnection: close\\r\\n\\r\\n"
        self.wfile.write((head + body).encode())

socketserver.TCPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class Process:
    """A process with its output in a file: the least that fulfils `RunningProcess`."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: str, output: Path) -> None:
        self.output = output
        with output.open("wb") as sink:
            self.popen = subprocess.Popen(
                argv, env=env, cwd=cwd, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.popen.pid

    def poll(self) -> int | None:
        """Tell its exit status."""
        return self.popen.poll()

    def tail(self, lines: int) -> str:
        """Give its last lines."""
        return "\n".join(self.output.read_text(encoding="utf-8").splitlines()[-lines:])

    def stop(self, timeout_s: float) -> None:
        """End it and its children."""
        children = []
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.pid).children(recursive=True)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self.popen.terminate()
        try:
            self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait(timeout_s)


class Launcher:
    """Starts processes and remembers them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Process] = []

    def __call__(self, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> Process:  # noqa: D102
        output = self.folder / f"output-{len(self.started)}.txt"
        self.started.append(Process(argv, {"PATH": "/usr/bin:/bin", **env}, cwd, output))
        return self.started[-1]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launcher]:
    """Start processes, and end whatever a failing test left."""
    launcher = Launcher(tmp_path)
    yield launcher
    for process in launcher.started:
        process.stop(5)


def start(launch: Launcher, command: str, health: str = "/200/ok", **options) -> api.RunningApi:
    """Start an API whose script is in the launcher's folder."""
    (launch.folder / "app.py").write_text(UVICORN, encoding="utf-8")
    (launch.folder / "plain.py").write_text(PLAIN, encoding="utf-8")
    options.setdefault("timeout_s", 30)
    url = "postgresql://app@db/x"
    return api.start(command, directory=str(launch.folder), database_url=url, health=health, launch=launch, **options)


def command(*words: str) -> str:
    """Write a command line for this interpreter."""
    return shlex.join([sys.executable, "-S", *words])


SERVE = command("plain.py", "{port}")


def server(code: str) -> str:
    """Write a command line that serves the port of the environment by hand."""
    opening = "import os, socket, time; s = socket.create_server(('127.0.0.1', int(os.environ['PORT'])));"
    return command("-c", opening + code)


def test_an_api_is_started_asked_and_ended(launch, monkeypatch):
    """It gets a free port and the database, answers its client past any proxy, and is gone after `stop`."""
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    line = shlex.join([sys.executable, "app.py", "--port", "{port}", "--braces", "{a} {port}x {}"])
    running = start(launch, line, health="/health", token="t0ken")
    port = httpx.URL(running.base_url).port
    with running.client() as client:
        answer = api.health(client, "/health")
        assert (answer.status, answer.health_problem) == (200, "")
        assert answer.duration_ms > 0
        assert client.get("/health").json() == {"status": "ok", "database": "postgresql://app@db/x", "port": str(port)}
        assert client.get("/me").json() == {"authorization": "Bearer t0ken"}
    assert f"braces: {{a}} {port}x {{}}" in launch.started[0].tail(20)
    pids = running.process_ids()
    assert len(pids) == 2
    assert running.pid in pids
    assert "t0ken" not in repr(running)
    running.stop()
    running.stop()
    assert running.process_ids() == ()
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids)


def test_an_api_that_ends_shows_its_last_words(launch):
    """A crash at start is not waited for; its last lines are in the error."""
    with pytest.raises(CommandFailed) as caught:
        start(launch, command("-c", r"import sys; print('x\n' * 99, flush=True); sys.exit('no prisma client')"))
    assert caught.value.what.startswith("The API did not become healthy: it ended with status 1:")
    assert caught.value.next.endswith("no prisma client")
    assert len(caught.value.next.splitlines()) <= 21


def test_an_api_that_is_killed_is_said_to_be_killed(launch):
    """A signal (out of memory, say) is told apart from an exit status."""
    with pytest.raises(CommandFailed, match="it was ended by signal 9"):
        start(launch, command("-c", "import os; os.kill(os.getpid(), 9)"))


def test_an_api_that_never_listens_is_stopped(launch):
    """A silent process is given up after the time limit, and does not stay."""
    with pytest.raises(
        CommandFailed, match=r"not within 0.4 s; the last try: GET /200/ok: nothing accepts conn"
    ) as caught:
        start(launch, command("-c", "import time; time.sleep(60)"), timeout_s=0.4)
    assert caught.value.next.endswith("It printed nothing.")
    assert launch.started[0].poll() is not None


def test_an_api_that_accepts_and_says_nothing_is_stopped(launch):
    """A hanging health check is given up too."""
    with pytest.raises(CommandFailed, match="GET /200/ok: no answer within"):
        start(launch, server("time.sleep(60)"), timeout_s=0.4)
    assert launch.started[0].poll() is not None


@pytest.mark.parametrize(
    ("health", "words"),
    [
        ("/503/the%20pool%20is%20empty", "answered 503, saying 'the pool is empty'"),
        ("/200/<!DOCTYPE%20html><title>Welcome</title>", "answered 200 with an HTML page instead of a health report"),
        ("/307/", "answered 307"),
    ],
    ids=["503", "a web page", "a redirect"],
)
def test_an_unhealthy_api_says_why(launch, health, words):
    """An error, a catch-all route that answers any path with 200, and a login page are no health."""
    with pytest.raises(CommandFailed) as caught:
        start(launch, SERVE, health=health, timeout_s=1.5)
    assert f"GET {health} {words}" in caught.value.what
    assert launch.started[0].poll() is not None


def test_a_taken_port_is_tried_once_more_elsewhere(launch):
    """A port that was taken between choosing and listening costs one more try."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = iter([taken.getsockname()[1], api.free_port()])
        running = start(launch, SERVE, choose_port=lambda: next(ports))
        assert len(launch.started) == 2
        with running.client() as client:
            assert api.health(client, "/200/ok").status == 200


def test_an_api_that_says_its_port_is_taken_is_tried_once_more(launch):
    """The API's own words count where the operating system does not show who listens."""
    with pytest.raises(CommandFailed, match="it ended with status 1"):
        start(launch, command("-c", "raise SystemExit('Error: listen EADDRINUSE: address already in use :::3001')"))
    assert len(launch.started) == 2


def test_a_strangers_answer_is_not_taken_for_the_apis(launch):
    """When another program answers on the port, its health is not ours; two ports are tried, not more."""
    stranger = start(launch, SERVE)
    port = httpx.URL(stranger.base_url).port
    with pytest.raises(CommandFailed, match="another process answers on its port"):
        start(launch, command("-c", "import time; time.sleep(60)"), choose_port=lambda: port)
    assert [process.poll() is None for process in launch.started] == [True, False, False]


def test_ctrl_c_while_waiting_leaves_nothing(launch):
    """An interrupt in the middle of the start stops what was started."""

    def interrupt(argv: Sequence[str], env: Mapping[str, str], cwd: str) -> Process:
        process = launch(argv, env, cwd)
        process.poll = lambda: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore[method-assign]
        return process

    with pytest.raises(KeyboardInterrupt):
        api.start(
            command("-c", "import time; time.sleep(60)"),
            directory=str(launch.folder),
            database_url="",
            health="/",
            launch=interrupt,
        )
    assert launch.started[0].popen.poll() is not None


def test_a_missing_program_is_said_to_be_missing(launch):
    """What cannot be started is no crashed API."""
    with pytest.raises(CommandFailed, match=r"The API could not be started in .*: no-such-program.*No such file"):
        start(launch, "no-such-program --port {port}")


def test_a_command_for_a_shell_is_refused(launch):
    """Nothing is started where a shell would be needed."""
    with pytest.raises(ConfigurationError, match=r"api\.start: 'npm run build && npm start' uses '&&'"):
        start(launch, "npm run build && npm start")
    assert launch.started == []


@pytest.mark.parametrize("name", ["python", "python3"])
def test_python_is_this_interpreter_where_path_has_none(launch, monkeypatch, name):
    """On a machine without `python` the example still starts."""
    monkeypatch.setenv("PATH", str(launch.folder))
    start(launch, f"{name} -S plain.py {{port}}")
    assert launch.started[0].popen.args == [sys.executable, "-S", "plain.py", launch.started[0].popen.args[-1]]


def test_python_of_path_comes_first(launch, monkeypatch):
    """The project's own interpreter is preferred."""
    own = launch.folder / "python"
    own.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", str(launch.folder), prepend=":")
    assert api._program("python") == "python"


def test_an_api_that_runs_already_is_left_alone():
    """It is not ours to stop, and its processes are not known."""
    running = api.connect("http://127.0.0.1:3001/", "t0ken")
    running.stop()
    assert (running.pid, running.process_ids(), running.base_url) == (None, (), "http://127.0.0.1:3001")


def test_an_api_that_refuses_connections_is_unusable():
    """A wrong address is said in words."""
    words = "gave no answer: GET /health: nothing accepts connections there"
    running = api.connect(f"http://127.0.0.1:{api.free_port()}")
    with running.client() as client, pytest.raises(TargetUnusable, match=words):
        api.health(client, "/health")


@contextlib.contextmanager
def raw(reply: bytes, drip: bytes = b"", pause_s: float = 0.05) -> Iterator[str]:
    """Serve one connection with bytes of our own choice, then drip more of them until the other side hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(reply)
            while drip:
                connection.sendall(drip)
                time.sleep(pause_s)

    thread = threading.Thread(target=serve)
    thread.start()
    with listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"", "the connection was dropped, or it is no HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the connection was dropped, or it is no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "the connection was dropped, or it is no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "the answer cannot be read"),
    ],
    ids=["hangs up", "speaks SSH", "stops in the body", "says gzip and sends none"],
)
def test_what_is_no_answer_is_said_in_words(reply, words):
    """No misbehaviour of a server escapes as a driver's exception."""
    with raw(reply) as url, api.connect(url).client() as client:
        answer = api.get(client, "/x", timeout_s=2)
    assert answer.status == 0
    assert answer.problem.startswith(f"GET /x: {words}")


def test_an_answer_that_never_ends_is_given_up():
    """A body that keeps dripping does not hold the run: the limit is on the whole answer."""
    opening = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
    with raw(opening, b"x") as url, api.connect(url).client() as client:
        answer = api.get(client, "/x", timeout_s=0.3)
    assert answer.problem == "GET /x: not complete within 0.3 s"


def test_a_long_answer_is_shown_by_its_beginning():
    """An error page of a megabyte does not fill the report."""
    body = b"word " * 200_000
    opening = b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n" % len(body)
    with raw(opening + body) as url, api.connect(url).client() as client:
        answer = api.get(client, "/x", timeout_s=5)
    assert len(body) == answer.size_bytes
    assert len(answer.problem) < 250
