"""The migration tool's own status command: which database it says it reached."""

from __future__ import annotations

import shlex

import pytest

from pytest_dryrun.hosts.local import LocalHost
from pytest_dryrun.migrations import Status
from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.steps.status import StatusAnswer, StatusCommand

UP_TO_DATE = Status("prisma", "6.19.3", "whole-file", "", ("a",), (), "a", ())
SOCKET, ADDRESS = "/var/run/postgresql:5432", "127.0.0.1:5432"


def rules(said: str, place: str) -> list[str]:
    """What is found where a command says that it reached this, and our credentials lead to `place`."""
    line = f'Datasource "db": PostgreSQL database "shop", schema "public"{said}'
    given = {"DATABASE_URL": "postgresql://app:pw@localhost:5432/shop?host=/var/run/postgresql"}
    command = StatusCommand(f"echo {shlex.quote(line)}", LocalHost(), "/", given, 30, "shop", place)
    return [finding.rule for finding in command.ask(UP_TO_DATE).findings]


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ("", ADDRESS),
        (' at "localhost:5432"', ADDRESS),
        (' at "127.0.0.1:5432"', ADDRESS),
        ("", SOCKET),
        (' at "localhost:5432"', SOCKET),
        (' at "localhost"', SOCKET),
        (' at "/var/run/postgresql"', SOCKET),
    ],
)
def test_a_command_that_may_well_mean_the_same_database(said, place):
    """One machine's own address in any spelling, the socket itself, or no place at all."""
    assert [] == rules(said, place)


@pytest.mark.parametrize(
    ("said", "place"),
    [
        (' at "db.prod:5432"', SOCKET),
        (' at "db.prod:5432"', ADDRESS),
        (' at "127.0.0.1:5433"', ADDRESS),
        (' at "localhost.prod:5432"', SOCKET),
        (' at "localhost:6543"', SOCKET),
        (' at "/var/run/other"', SOCKET),
        (' at "localhost"', "127.0.0.1:6543"),
        (' at "127.0.0.1:5432"\nDatasource "db": PostgreSQL database "prod" at "db.prod:5432"', ADDRESS),
    ],
)
def test_a_command_that_works_on_another_server(said, place):
    """A database of the same name elsewhere is red, however it agrees about what is pending."""
    assert ["drift"] == rules(said, place)


def test_a_command_that_works_on_another_database():
    """The name alone tells them apart."""
    command = StatusCommand("echo 'PostgreSQL database \"shop_production\"'", LocalHost(), "/", {}, 30, "shop", SOCKET)
    assert ["drift"] == [finding.rule for finding in command.ask(UP_TO_DATE).findings]


@pytest.mark.parametrize(("must_name", "rules"), [(True, ["drift"]), (False, [])])
def test_a_command_that_names_no_database(must_name, rules):
    """Where a tool of its own deploys, it has to be known where that leads; elsewhere its status is enough."""
    command = StatusCommand("echo all is well", LocalHost(), "/", {}, 30, "shop", ADDRESS, must_name=must_name)
    answer = command.ask(UP_TO_DATE)
    assert rules == [finding.rule for finding in answer.findings]
    assert "all is well" == answer.said
    if must_name:
        with pytest.raises(TargetUnusable, match="does not say which database it works on"):
            command.hold_destination()
    assert all("does not say which database it works on" in finding.message for finding in answer.findings)


def test_what_it_prints_is_kept_without_its_colours():
    """The page shows it whichever way the check ends."""
    command = StatusCommand("printf '\\033[31mred\\033[0m\\nlast'", LocalHost(), "/", {}, 30, "shop", ADDRESS)
    assert "red\nlast" == command.ask(UP_TO_DATE).said
    assert StatusAnswer("", ()) == StatusCommand("", LocalHost(), "/", {}, 30, "shop", ADDRESS).ask(UP_TO_DATE)
