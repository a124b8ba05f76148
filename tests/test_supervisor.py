"""What keeps the application running: pm2's list is read, its secrets are not shown, and silence is no good news."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest

from pytest_dryrun.hosts.local import LocalHost
from pytest_dryrun.model.errors import CommandFailed, ConfigurationError
from pytest_dryrun.probes.supervisor import Supervised, ask, crashes, lists_processes, missing, refuse_deaf

HOST = LocalHost()
SECRET = "postgresql://app:hunter2@127.0.0.1/shop"


def entry(name: str, status: str = "online", restarts: int = 0, number: int = 0, **about: object) -> dict[str, object]:
    """One process as pm2 lists it, environment and all."""
    told = {"status": status, "restart_time": restarts, "DATABASE_URL": SECRET, "env": {"DATABASE_URL": SECRET}}
    return {"pid": 17, "name": name, "pm_id": number, "monit": {"memory": 1}, "pm2_env": told | about}


@pytest.fixture
def pm2(tmp_path):
    """Have a program called pm2 that prints what it is told, and give the command that asks it for its list."""

    def says(text: str, status: int = 0) -> str:
        (tmp_path / "said").write_text(text, encoding="utf-8")
        program = tmp_path / "pm2"
        program.write_text(f'#!/bin/sh\ncat "{tmp_path}/said"\necho "no daemon" >&2\nexit {status}\n', encoding="utf-8")
        program.chmod(0o755)
        return f"{program} jlist"

    return says


def told(command: str) -> tuple[Supervised, ...]:
    """What the command tells."""
    return ask(command, host=HOST, cwd=None, timeout_s=20)


def process(number: int, app: str, status: str = "online", restarts: int = 0, *, kept_up: bool = True) -> Supervised:
    """One process as it is told."""
    return Supervised(number, app, app, status, restarts, kept_up)


def test_every_process_of_pm2_is_told_with_its_restarts(pm2):
    """Whatever pm2 says of its daemon first; instances of one application are told apart, its own modules left out."""
    listed = [
        entry("web", number=3),
        entry("web", restarts=2, number=4),
        entry("worker", "errored", 16, number=5),
        entry("pm2-logrotate", "errored", number=0, pmx_module=True),
    ]

    found = told(pm2(f"[PM2] Spawning PM2 daemon with pm2_home=/home/x\n{json.dumps(listed)}\n"))

    assert ["web 3: online", "web 4: online, restarted 2 times", "worker: errored, restarted 16 times"] == [
        str(one) for one in found
    ]


def test_a_process_that_is_meant_to_end_need_not_be_online(pm2):
    """What runs at night is stopped by day, and counts each night as a restart."""
    [nightly] = told(pm2(json.dumps([entry("nightly", "online", 30, autorestart=False, cron_restart="0 3 * * *")])))

    assert not nightly.kept_up
    assert () == crashes([nightly], [replace(nightly, status="stopped", restarts=31)])


@pytest.mark.parametrize(("cron", "counted"), [("0 3 * * *", False), ("0", True), (None, True)])
def test_a_server_that_is_restarted_every_night_has_to_be_online_all_the_same(pm2, cron, counted):
    """Its restarts say nothing then; that it is down says everything."""
    [server] = told(pm2(json.dumps([entry("api", cron_restart=cron)])))

    assert counted is bool(crashes([server], [replace(server, restarts=1)]))
    assert ("api is errored, not online",) == missing([server], [replace(server, status="errored")])


def test_a_command_behind_a_shell_is_read_all_the_same(pm2):
    """Where pm2 is there for a login shell alone."""
    command = pm2(json.dumps([entry("api", "errored")]))

    assert ["api: errored"] == [str(one) for one in told(f"sh -c '{command}'")]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "[PM2] Spawning PM2 daemon\n", '[{"name": "web"}]', '[{"name": "web"', '["web"]', '[{"pm2_env": {}}]'],
    ids=["nothing", "no process", "no list", "another list", "half a list", "words", "no name"],
)
def test_a_list_without_a_process_proves_nothing(pm2, text):
    """Another user's pm2 knows nothing of the application."""
    with pytest.raises(CommandFailed, match=r"pm2 jlist on this machine lists no process \(status 0\): no daemon"):
        told(pm2(text))


def test_a_list_that_fails_is_told_without_what_it_printed(pm2):
    """The whole environment of every process stands in it."""
    with pytest.raises(CommandFailed, match=r"lists no process \(status 3\): no daemon") as caught:
        told(pm2(json.dumps([entry("web")]), status=3))

    assert "hunter2" not in str(caught.value)


def test_another_supervisor_is_taken_at_its_exit_status(tmp_path):
    """Status 0 is all it says; any other is told with its words."""
    quoted = f"{sys.executable} -c"

    assert () == told(f"{quoted} 'print(1)'")
    with pytest.raises(CommandFailed, match=r"The status command failed with status 3") as caught:
        told(f"""{quoted} 'print("shop.service is failed"); raise SystemExit(3)'""")
    assert "shop.service is failed" in str(caught.value)
    with pytest.raises(CommandFailed, match="could not be started"):
        told(str(tmp_path / "no-such-program"))


@pytest.mark.parametrize(
    "command",
    [
        "pm2 status",
        "npx pm2 ls",
        "/usr/bin/pm2 describe api",
        "pm2",
        "bash -lc 'pm2 status'",
        "npx pm2@latest list",
        "pm2 --silent ls",
        "docker compose exec service pm2 list",
    ],
)
def test_a_pm2_command_that_always_succeeds_is_refused(command):
    """It would show a crashed application, and end with 0."""
    with pytest.raises(ConfigurationError, match="ends with status 0 whatever it shows") as caught:
        refuse_deaf(command)

    assert 'Write "pm2 jlist"' in str(caught.value)


@pytest.mark.parametrize(
    ("command", "listing"),
    [
        ("pm2 jlist", True),
        ("npx pm2@5 jlist --silent", True),
        ("bash -lc 'pm2 jlist'", True),
        ("sudo -u service pm2 jlist", True),
        ("docker compose exec service pm2 jlist", True),
        ("sh -c 'cd /srv/service && pm2 jlist'", True),
        ("service pm2 status", False),
        ("systemctl is-active shop", False),
        ("systemctl is-active my-pm2-like", False),
        ("systemctl is-active pm2", False),
        ("systemctl is-active pm2.service", False),
        ("sh /home/d/.pm2/ok.sh", False),
    ],
)
def test_a_command_that_says_something_is_taken(command, listing):
    """The list for programs, or whatever has an exit status that means something."""
    refuse_deaf(command)

    assert listing is lists_processes(command)


def test_a_process_that_crashes_while_it_is_used_is_named():
    """It is online again by the time somebody looks: its count tells."""
    before = [process(1, "web", restarts=4), process(2, "worker"), process(3, "mail", restarts=1)]
    now = [process(1, "web", restarts=6), process(2, "worker", "waiting restart", 1), process(4, "new", "errored")]

    assert (
        "web ended while it was used, and was restarted 2 times",
        "worker ended while it was used, and was restarted once",
        "worker is waiting restart, not online",
        "new is errored, not online",
        "of mail, 0 of 1 are online",
    ) == crashes(before, now)
    assert () == crashes(before, before)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ([process(1, "a")], [process(1, "a", "errored")], ("a is errored, not online",)),
        ([process(1, "a")], [process(7, "a")], ()),
        ([process(1, "a")], [process(7, "a"), process(8, "a", "launching")], ("a is launching, not online",)),
        ([process(1, "a"), process(2, "a", "stopped")], [process(1, "a"), process(2, "a", "stopped")], ()),
        ([process(1, "a", "stopped")], [process(1, "a", "stopped")], ()),
        ([process(1, "a", kept_up=False)], [], ()),
        ([process(1, "x" * 70)], [], ("of ..., 0 of 1 are online",)),
        ([process(0, "a", "stopped"), process(1, "b")], [process(0, "b", "errored")], ("b is errored, not online",)),
        ([process(1, "a")], [process(1, "a"), process(2, "new", "errored")], ("new is errored, not online",)),
        ([process(n, "a") for n in range(4)], [process(7, "a")], ("of a, 1 of 4 are online",)),
    ],
    ids=[
        "down",
        "made anew",
        "one more instance",
        "one stopped before",
        "stopped before",
        "ended",
        "a long name",
        "numbers given out again",
        "new and down",
        "fewer instances",
    ],
)
def test_what_was_online_has_to_be_so_again(before, now, expected):
    """By its number, or its name where the restart made it anew; what was down before is nobody's fault now."""
    assert expected == missing(before, now)


def test_names_too_long_to_be_shown_do_not_hide_each_other():
    """Their numbers tell them apart."""
    before = [process(1, "x" * 70), process(2, "x" * 70)]

    assert 1 == len(crashes(before, [process(1, "x" * 70, restarts=3), before[1]]))
