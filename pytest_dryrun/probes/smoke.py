"""The project's own smoke command: run once, and told apart when it is missing, red, empty or hanging."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping

from pytest_dryrun.hosts import Completed, Host
from pytest_dryrun.model.errors import CommandFailed, ConfigurationError

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_QUOTED = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*\"""", re.DOTALL)
_OPERATOR = re.compile(r"[|&;<>]+")
_TAIL_LINES = 20
PYTHON = "{python}"
_LINE_LENGTH = 300

# What runners say that end with status 0 although no test ran: mocha with a --grep that matches nothing, node:test,
# jest and vitest with --passWithNoTests, pnpm with a --filter that matches no package.
_NOTHING_RAN = re.compile(
    r"^\s*0 passing\b|^(?:#|\u2139) tests 0\s*$"
    r"|^No test(?: file)?s found, exiting with code 0|^No projects matched the filters",
    re.MULTILINE,
)
_SOMETHING_RAN = re.compile(r"\b[1-9]\d* pass(?:ing|ed)\b|^(?:#|\u2139) (?:tests|pass) [1-9]", re.MULTILINE)


def argv_of(command: str, key: str) -> list[str]:
    """Split a configured command as a POSIX shell would; `key` is its place in `dryrun.toml`.

    `{python}` in a word is the interpreter that runs us, whatever PATH says: what it runs is installed beside pytest.

    No shell runs it, so an unquoted `&&`, `|`, `;`, `>` or the like would become an argument and
    `true && test` a success that tested nothing: refused. Raises ConfigurationError.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigurationError(
            f"{key}: {command!r} cannot be split into words: {error}.",
            "Nothing was run.",
            "Close the quotation marks in the command.",
        ) from error
    if not words:
        raise ConfigurationError(
            f"{key}: the command is empty.", "Nothing was run.", "Write a command, or leave the key out."
        )
    if operator := _OPERATOR.search(_QUOTED.sub("_", command)):
        raise ConfigurationError(
            f"{key}: {command!r} uses {operator.group()!r}, but no shell runs it.",
            "The operator and all behind it would be handed to the first program as arguments; nothing was run.",
            f"Put the line into a script, or write it as sh -c {shlex.quote(command)}",
        )
    return [word.replace(PYTHON, sys.executable) for word in words]


def plain(text: str) -> str:
    """Take terminal colours out of a text."""
    return _ANSI.sub("", text)


def clip(text: str, length: int) -> str:
    """Shorten a text to at most `length` characters and a mark, between words.

    A word is kept or left out as a whole, for half of a secret would not be recognised and redacted any more.
    """
    if len(text) <= length:
        return text
    kept = text[: length + 1]
    return (kept[:-1] if kept[-1].isspace() else re.sub(r"\S+$", "", kept)) + "..."


def tail(text: str, lines: int = _TAIL_LINES) -> str:
    """Give the last lines that say something, without terminal colours and each cut to a readable length."""
    kept = [line.rstrip() for line in plain(text).splitlines() if line.strip()]
    return "\n".join(clip(line, _LINE_LENGTH) for line in kept[-lines:])


def output_tail(completed: Completed) -> str:
    """Tell what a command said last, stdout before stderr, or that it said nothing."""
    parts = [part for part in (tail(completed.stdout), tail(completed.stderr)) if part]
    return "Its last output:\n" + "\n".join(parts) if parts else "It printed nothing."


def run_command(
    argv: list[str],
    *,
    name: str,
    means: str,
    host: Host,
    cwd: str | None,
    env: Mapping[str, str] | None,
    timeout_s: float,
) -> Completed:
    """Run a configured command once; `name` is what an error calls it, `means` what its failing means.

    Raises CommandFailed in other words for a command that is not there, one that was still running when its time was
    over, and one that ended with another status than 0.
    """
    shown = shlex.join(argv)
    try:
        completed = host.run(argv, timeout_s=timeout_s, env=env, cwd=cwd)
    except CommandFailed as error:
        raise CommandFailed(
            f"The {name} came to no end of its own: {error.what}", f"{error.means} {means}", error.next
        ) from error
    if completed.exit_status in {126, 127}:
        raise CommandFailed(
            f"The {name} or a program it calls was not found on {host.name} (status {completed.exit_status}): {shown}",
            means,
            f"Install the program or correct the command. {output_tail(completed)}",
        )
    if completed.exit_status != 0:
        raise CommandFailed(
            f"The {name} failed with status {completed.exit_status} after "
            f"{completed.duration_ms / 1000:.1f} s: {shown}",
            means,
            f"Read its output, and run it by hand. {output_tail(completed)}",
        )
    return completed


def run(command: str, *, host: Host, cwd: str | None, env: Mapping[str, str], timeout_s: float) -> Completed:
    """Run the smoke command; `env` carries API_BASE_URL and DATABASE_URL.

    Status 0 is not enough: output in which a known test runner says that it ran no test is a failure too.
    """
    argv = argv_of(command, "smoke.command")
    means = "The claim that the application works on this database is not proven."
    completed = run_command(argv, name="smoke command", means=means, host=host, cwd=cwd, env=env, timeout_s=timeout_s)
    output = plain(f"{completed.stdout}\n{completed.stderr}")
    nothing = _NOTHING_RAN.search(output)
    if nothing and not _SOMETHING_RAN.search(output):
        raise CommandFailed(
            f"The smoke command ended with status 0 but ran no test: {shlex.join(argv)}",
            f"{means} Its output says {nothing.group().strip()!r}.",
            f"Correct its filter so that it selects tests. {output_tail(completed)}",
        )
    return completed
