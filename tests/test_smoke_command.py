"""The smoke command: green, red, empty, missing and hanging are five different things."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dryrun.hosts import Completed
from pytest_dryrun.hosts.local import LocalHost
from pytest_dryrun.model.errors import CommandFailed, ConfigurationError
from pytest_dryrun.probes import smoke

ENV = {"API_BASE_URL": "http://127.0.0.1:1", "DATABASE_URL": "postgresql://app@db/x"}


def run(command: str, cwd: Path, timeout_s: float = 20) -> Completed:
    """Run it on this machine."""
    return smoke.run(command, host=LocalHost(), cwd=str(cwd), env=ENV, timeout_s=timeout_s)


def python(code: str) -> str:
    """Write a command line that runs a bit of Python."""
    return shlex.join([sys.executable, "-c", code])


def test_a_green_command_gets_its_environment(tmp_path):
    """The command learns where the API and the database are, and runs in its folder."""
    code = "import os; print(os.environ['API_BASE_URL'], os.environ['DATABASE_URL'], os.getcwd())"
    completed = run(python(code), tmp_path)
    assert completed.exit_status == 0
    assert completed.stdout == f"http://127.0.0.1:1 postgresql://app@db/x {tmp_path}\n"


def test_a_failing_command_shows_its_last_lines(tmp_path):
    """Of a long red run the end is shown, without colours."""
    code = r"import sys; print('\n'.join(f'line {n}' for n in range(100))); sys.exit('\x1b[31m1 failing\x1b[0m')"
    with pytest.raises(CommandFailed, match="The smoke command failed with status 1 after") as caught:
        run(python(code), tmp_path)
    assert caught.value.means == "The claim that the application works on this database is not proven."
    assert caught.value.next.endswith("line 99\n1 failing")
    assert "line 79" not in caught.value.next


def test_a_silent_failure_is_said_to_be_silent(tmp_path):
    """A command that prints nothing is told apart from one whose output was lost."""
    with pytest.raises(CommandFailed, match="It printed nothing"):
        run("false", tmp_path)


def test_a_missing_command_is_said_not_to_start(tmp_path):
    """A program that is not installed is not a failing test."""
    with pytest.raises(
        CommandFailed, match="smoke command came to no end of its own: no-such-program --all could not be started"
    ):
        run("no-such-program --all", tmp_path)


def test_a_missing_program_behind_a_shell_is_said_to_be_missing(tmp_path):
    """A shell's 127 is not a red test either."""
    with pytest.raises(CommandFailed, match=r"or a program it calls was not found on this machine \(status 127\)"):
        run("sh -c 'no-such-program --all'", tmp_path)


def test_a_hanging_command_is_ended_and_named(tmp_path):
    """A command that does not end in time is killed and said to have hung."""
    with pytest.raises(
        CommandFailed, match=r"smoke command came to no end of its own: sleep 60 did not end within 0\.3 s"
    ):
        run("sleep 60", tmp_path, timeout_s=0.3)


@pytest.mark.parametrize(
    "output",
    [
        "\n\n  0 passing (2ms)\n",
        "# tests 0\n# pass 0\n",
        "\u2139 tests 0\n\u2139 pass 0\n",
        "No tests found, exiting with code 0\n",
        "No test files found, exiting with code 0\n",
        'No projects matched the filters in "/app"\n',
    ],
    ids=["mocha", "node tap", "node spec", "jest", "vitest", "pnpm"],
)
def test_a_command_that_ran_no_test_is_not_green(tmp_path, output):
    """Status 0 of a runner whose filter matched nothing proves nothing."""
    with pytest.raises(CommandFailed, match="ended with status 0 but ran no test"):
        run(python(f"import sys; sys.stdout.buffer.write({output.encode()!r})"), tmp_path)


@pytest.mark.parametrize("output", ["0 passing\n4 passing\n", "# tests 3\n", "all good, 0 failing\n"])
def test_a_command_that_ran_tests_is_green(tmp_path, output):
    """A workspace in which one package has no smoke test is no reason to doubt the others."""
    assert output == run(python(f"print({output!r}, end='')"), tmp_path).stdout


@pytest.mark.parametrize(
    "command", ["true && npm test", "npm test | tee log", "npm test; true", "npm test > log", "npm test &", "a&&b"]
)
def test_what_needs_a_shell_is_refused(tmp_path, command):
    """`true && npm test` without a shell is a success of `true` that tests nothing."""
    with pytest.raises(ConfigurationError, match=r"smoke\.command: .* but no shell runs it"):
        run(command, tmp_path)


def test_an_open_quotation_is_refused(tmp_path):
    """A command that cannot be split is a configuration error that names its key."""
    with pytest.raises(
        ConfigurationError, match=r"smoke\.command: .* cannot be split into words: No closing quotation"
    ):
        run("npm test 'x", tmp_path)


def test_an_empty_command_is_refused(tmp_path):
    """Blanks are no command."""
    with pytest.raises(ConfigurationError, match=r"smoke\.command: the command is empty"):
        run("  ", tmp_path)


def test_quoted_operators_are_arguments():
    """What a shell would pass on is passed on."""
    expected = ["sh", "-c", "a | b", "x>y", "it's", "&"]
    assert expected == smoke.argv_of("""sh -c 'a | b' "x>y" it\\'s \\&""", "smoke.command")


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
def test_any_quoted_argv_survives(argv):
    """Quoting an argv and splitting it again gives the same argv, operators included."""
    assert argv == smoke.argv_of(shlex.join(argv), "smoke.command")


@given(st.text(), st.integers(1, 50))
def test_a_clipped_text_holds_whole_words_only(text, length):
    """No half of a word, which might be half of a secret, is left at the cut."""
    clipped = smoke.clip(text, length)
    assert clipped == text or set(clipped.removesuffix("...").split()) <= set(text.split())


def test_a_secret_at_the_cut_goes_as_a_whole():
    """A connection URL that reaches over the limit is left out."""
    assert smoke.clip("see postgresql://app:hunter2@db/x", 25) == "see ..."


def test_python_in_a_command_is_the_interpreter_that_runs_us():
    """Whatever PATH says; every other brace stays."""
    expected = [sys.executable, "api.py", "--port", "{port}", f"--with={sys.executable}"]
    assert expected == smoke.argv_of("{python} api.py --port {port} --with={python}", "api.start")
