"""How one look at a host is read: the kernel's figures, the processes, and the door that the API stands behind."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pytest_dryrun.probes.host_look import Look, Process, cores_and_looks, door

HEAD = "ticks 100 pages 4096 cores 4"
BLOCK = [
    "at 1000.50 3000.00",
    "cpu  1000 20 300 90000 50 7 3 0 0 0",
    "MemTotal:       16000000 kB",
    "MemAvailable:    4000000 kB",
    "load 1.25 0.50 0.10 1/200 4711",
    "listener found",
    "server 77 1 5000 250 50 100 0 3000 2000 postgres",
    "api 91 90 90000 100 0 0 5 2500 2200 PM2 v5) God",
    "end",
]


def test_one_look_is_read_as_the_kernel_means_it():
    """Ticks and pages become seconds and bytes; a name may hold anything; what a login shell says is passed over."""
    cores, look, *none = cores_and_looks(["Welcome to staging!", "end", HEAD, *BLOCK])
    server = Process(77, 1, 50.0, 4.0, 1000 * 4096, 2000 * 4096, "postgres")
    api = Process(91, 90, 900.0, 1.05, 300 * 4096, 2200 * 4096, "PM2 v5) God")
    used = 12_000_000 * 1024
    expected = Look(1000.5, 13.3, used, 16_000_000 * 1024, 1.25, (server,), (api,), "found", veiled=False)
    assert (4, expected, []) == (cores, look, none)


def test_a_host_that_hides_the_processes_of_others_says_so():
    """Else what cannot be seen would pass for what is not there."""
    _, look = cores_and_looks([HEAD, *BLOCK[:5], "veiled", "end"])
    assert isinstance(look, Look)
    assert (True, (), "") == (look.veiled, look.server, look.listener)


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (1, "cpu  one two three"),
        (1, "cpu  1 2"),
        (6, "server 77 1 5000 250 50 100 0 3000"),
        (4, "load"),
        (2, "MemTotal: 12 pages"),
        (3, "MemFree: 12 kB"),
    ],
    ids=["no number", "too few", "half a process", "nothing", "another unit", "another figure"],
)
def test_a_figure_that_is_none_is_refused(place, line):
    """It is not taken for a zero."""
    block = [*BLOCK[:place], line, *BLOCK[place + 1 :]]
    with pytest.raises(ValueError, match=r"not enough values|invalid literal|could not convert|no figure for MemAvail"):
        list(cores_and_looks([HEAD, *block]))


def test_half_a_look_is_none():
    """A look counts when it is complete."""
    assert [4] == list(cores_and_looks([HEAD, *BLOCK[:-1]]))


@pytest.mark.parametrize(
    ("url", "port", "addresses"),
    [
        (
            "http://127.0.0.1:3001/api",
            3001,
            ("0100007F", "0000000000000000FFFF00000100007F", "00000000", "0" * 32),
        ),
        ("http://[::1]:8080", 8080, ("00000000000000000000000001000000", "0" * 32)),
        (
            "http://localhost",
            80,
            (
                "00000000000000000000000001000000",
                "0" * 32,
                "0100007F",
                "0000000000000000FFFF00000100007F",
                "00000000",
            ),
        ),
    ],
    ids=["IPv4", "IPv6", "by name"],
)
def test_the_door_is_spelled_as_the_kernel_does(url, port, addresses):
    """The address itself comes before the one that stands for all."""
    found = door(url)
    assert found is not None
    assert (port, addresses, f"{port:04X}") == (found.port, found.addresses, found.arguments[0])


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def test_the_kernel_spells_it_so(family):
    """A real socket is found under one of the spellings."""
    with socket.socket(family) as one:
        one.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        one.listen()
        found = door(f"http://localhost:{one.getsockname()[1]}")
        assert found is not None
        table = Path("/proc/net/tcp" if family == socket.AF_INET else "/proc/net/tcp6").read_text(encoding="ascii")
        places = {line.split()[1] for line in table.splitlines()}
        assert places & {f"{address}:{found.arguments[0]}" for address in found.addresses}


@pytest.mark.parametrize("url", ["http://10.0.0.7:3001", "http://api.internal", "http://[fe80::1]:3001", "http:///x"])
def test_what_need_not_be_the_host_itself_has_no_door(url):
    """Whoever listens on that port here may be somebody else."""
    assert door(url) is None
