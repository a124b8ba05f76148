"""What keeps the application running says of it: pm2 by its list, any other supervisor by its exit status."""

from __future__ import annotations

import json
import posixpath
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_dryrun.errors import CommandFailed, ConfigurationError
from pytest_dryrun.hosts import Host
from pytest_dryrun.hosts.output import last_words
from pytest_dryrun.probes.smoke import argv_of, clip, plain, run_command

_KEY = "api.status"
_MEANS = "Whether the application keeps running on this database is not proven."
_NAME_LENGTH = 60


@dataclass(frozen=True, slots=True)
class Supervised:
    """One process as its supervisor sees it; `restarts` counts from whenever the supervisor began to count."""

    name: str
    status: str
    restarts: int

    @property
    def online(self) -> bool:
        """Whether it runs and is meant to."""
        return self.status == "online"

    def __str__(self) -> str:
        return f"{self.name}: {self.status}{f', restarted {_times(self.restarts)}' if self.restarts else ''}"


def refuse_deaf(command: str) -> None:
    """Raise ConfigurationError for a command that ends with 0 whatever state the application is in."""
    argv = argv_of(command, _KEY)
    if _is_pm2(argv) and "jlist" not in argv:
        raise ConfigurationError(
            f"{_KEY}: {command!r} ends with status 0 whatever it shows.",
            "An application that has crashed would pass for one that runs; nothing was run.",
            'Write "pm2 jlist": its list can be read by a program.',
        )


def ask(command: str, *, host: Host, cwd: str | None, timeout_s: float) -> tuple[Supervised, ...]:
    """The processes as pm2 lists them; none for another supervisor, whose exit status 0 is then all it says.

    Raises CommandFailed where the command fails or does not list what it should. pm2's list is never shown as it is: it
    holds the whole environment of every process.
    """
    argv = argv_of(command, _KEY)
    if not _is_pm2(argv):
        run_command(argv, name="status command", means=_MEANS, host=host, cwd=cwd, env=None, timeout_s=timeout_s)
        return ()
    done = host.run(argv, timeout_s=timeout_s, cwd=cwd)
    found = _listed(plain(done.stdout)) if done.exit_status == 0 else ()
    if not found:
        raise CommandFailed(
            f"{shlex.join(argv)} on {host.name} lists no process (status {done.exit_status}):"
            f" {last_words(plain(done.stderr))}",
            _MEANS,
            "Run it by hand, as the user who logs in: pm2 keeps a list of its own for every user.",
        )
    return found


def problems(processes: Sequence[Supervised]) -> tuple[str, ...]:
    """What is wrong with them: whatever is not online."""
    return tuple(f"{one.name} is {one.status}, not online" for one in processes if not one.online)


def crashes(before: Sequence[Supervised], now: Sequence[Supervised]) -> tuple[str, ...]:
    """Processes that were restarted meanwhile, or are gone, though nobody has asked for that."""
    then = {one.name: one for one in before}
    still = {one.name for one in now}
    more = [(one.name, one.restarts - then[one.name].restarts) for one in now if one.name in then]
    return (
        *(f"{name} crashed and was restarted {_times(count)} while it was used" for name, count in more if count > 0),
        *(f"{name} is not there any more" for name in then if name not in still),
        *problems(now),
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _is_pm2(argv: Sequence[str]) -> bool:
    return any(posixpath.basename(word) == "pm2" for word in argv)


def _listed(text: str) -> tuple[Supervised, ...]:
    """The processes of the line that is pm2's list; other lines tell of its daemon."""
    for line in reversed(text.splitlines()):
        if line.startswith("["):
            try:
                entries: Any = json.loads(line)
                names = [entry["name"] for entry in entries]
                return tuple(_supervised(entry, alone=names.count(entry["name"]) == 1) for entry in entries)
            except (ValueError, KeyError, TypeError):
                continue
    return ()


def _supervised(entry: Any, *, alone: bool) -> Supervised:
    """One entry of the list; the instances of one application are told apart by their numbers."""
    name = clip(str(entry["name"]), _NAME_LENGTH)
    about = entry["pm2_env"]
    return Supervised(name if alone else f"{name} {entry['pm_id']}", str(about["status"]), int(about["restart_time"]))
