"""Commands that are given something to read, here and in a container: all of it, and never half as if it were whole."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from itertools import repeat

import pytest
from engine import IMAGE, lacking
from needs import require

from pytest_dryrun.hosts import Fed
from pytest_dryrun.hosts.local import LocalHost
from pytest_dryrun.model.errors import CommandFailed
from pytest_dryrun.postgres import disposable as servers
from pytest_dryrun.workspace import Workspace

pytestmark = pytest.mark.xdist_group("container")

NEVER = threading.Event()


@pytest.fixture(scope="module", params=["here", pytest.param("in a container", marks=pytest.mark.live)], name="host")
def fed_host(request: pytest.FixtureRequest) -> Iterator[Fed]:
    """Take this machine, then a container."""
    if request.param == "here":
        yield LocalHost()
        return
    require(not lacking(), lacking())
    workspace = Workspace.create(f"tests-{time.monotonic_ns()}")
    try:
        server = servers.start("container", workspace=workspace, image=IMAGE)
        assert isinstance(server.host, Fed)
        yield server.host
        server.stop()
    finally:
        workspace.close()


def test_a_command_reads_what_it_is_given_to_the_end(host):
    """More than any pipe holds goes in, and the end of it is seen."""
    pieces = [os.urandom(100_000) for _ in range(100)]

    ended = host.feed(["sha256sum"], iter(pieces), timeout_s=30, stop=NEVER)

    assert (0, f"{hashlib.sha256(b''.join(pieces)).hexdigest()}  -\n") == (ended.exit_status, ended.stdout)


def test_what_comes_out_meanwhile_never_blocks_what_goes_in(host):
    """Megabytes of either at once."""
    ended = host.feed(["cat"], (b"x" * 100_000 for _ in range(100)), timeout_s=30, stop=NEVER)

    assert (0, 10_000_000) == (ended.exit_status, len(ended.stdout))


def test_an_empty_piece_only_says_that_there_is_nothing_yet(host):
    """What comes later is read too, and the environment is there as ever."""
    pieces = iter([b"a", b"", b"", b"b", b""])

    ended = host.feed(["sh", "-c", 'cat; echo "$A"'], pieces, timeout_s=30, stop=NEVER, env={"A": "1"})

    assert (0, "ab1\n") == (ended.exit_status, ended.stdout)


def test_a_command_that_reads_no_further_is_judged_by_its_status(host):
    """Nobody is blamed for a pipe that nobody reads."""
    given = (b"x" * 100_000 for _ in range(100))

    ended = host.feed(["sh", "-c", "head -c 3; exit 4"], given, timeout_s=30, stop=NEVER)

    assert (4, "xxx") == (ended.exit_status, ended.stdout)


@pytest.mark.parametrize("piece", [b"", b"x" * 100_000], ids=["nothing comes", "nobody reads"])
def test_a_command_that_is_fed_can_be_ended_from_outside(host, piece):
    """Whether it waits for us or we for it, nothing of it is left."""
    stop = threading.Event()
    timer = threading.Timer(0.5, stop.set)
    timer.start()

    with pytest.raises(CancelledError):
        host.feed(["sh", "-c", "sleep 7531 & wait"], repeat(piece), timeout_s=30, stop=stop)

    timer.join()
    assert not running(host, "7531")


def test_what_goes_wrong_with_what_is_given_is_raised_and_ends_the_command(host):
    """Half of something must not be taken for all of it."""

    def given():
        yield b"half"
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        host.feed(["sh", "-c", "cat >/dev/null; exec sleep 7532"], given(), timeout_s=30, stop=NEVER)

    assert not running(host, "7532")


def test_a_command_that_takes_too_long_to_read_is_killed(host):
    """The time limit holds for the whole of it."""
    with pytest.raises(CommandFailed, match=r"did not end within 1 s"):
        host.feed(["sleep", "7533"], iter([b"x" * 10_000_000]), timeout_s=1, stop=NEVER)

    assert not running(host, "7533")


def test_a_program_that_is_not_there_is_named(host):
    """It is not blamed on what it was given."""
    with pytest.raises(CommandFailed, match="no-such-program could not be started"):
        host.feed(["no-such-program"], iter([b"x"]), timeout_s=20, stop=NEVER)


def running(host: Fed, seconds: str) -> str:
    """The processes of that host that sleep for so long."""
    script = 'for each in /proc/[0-9]*/cmdline; do tr "\\0" " " <"$each" 2>/dev/null; echo; done | grep "^sleep $1 "'
    return host.run(["sh", "-c", script, "sh", seconds], timeout_s=20).stdout
