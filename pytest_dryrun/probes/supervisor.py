"""What keeps the application running says of it: pm2 by its list, any other supervisor by its exit status."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_dryrun.hosts import Host
from pytest_dryrun.hosts.output import last_words
from pytest_dryrun.model.errors import CommandFailed, ConfigurationError
from pytest_dryrun.probes.smoke import argv_of, clip, plain, run_command

_KEY = "api.status"
_MEANS = "Whether the application keeps running on this database is not proven."
_NAME_LENGTH = 60
# The program by its name, also inside a shell's argument, behind npx, with a version; no folder of that name.
_NAME = r"""(?:^|[\s;&|('"/])pm2(?:@\S+)?(?=[\s;&|)'"]|$)"""
_PM2 = re.compile(_NAME)
# A word of pm2's own behind it. Without one it may be the unit of that name, where the command is about units.
_ASKED = re.compile(
    rf"{_NAME}(?:\s+-\S+)*\s+(?:jlist|prettylist|slist|list|ls|l|ps|status|show|describe|info|desc|ping|id|pid|env)\b"
)
_UNIT_STATUS = re.compile(r"(?:^|[\s/])(?:rc-)?service\s+pm2\S*\s+status\b")
_UNITS = re.compile(r"(?:^|[\s/])(?:systemctl|service|rc-service)\s")
_LIST = re.compile(r"(?<![\w-])jlist(?![\w-])")


@dataclass(frozen=True, slots=True)
class Supervised:
    """One process as pm2 sees it; `restarts` counts from whenever pm2 began to count.

    `kept_up`: it is started again whenever it ends, so that it has to be online. `by_the_clock`: it is started again at
    set times too, so that its restarts say nothing.
    """

    number: int
    app: str
    name: str
    status: str
    restarts: int
    kept_up: bool = True
    by_the_clock: bool = False

    @property
    def online(self) -> bool:
        """Whether it runs."""
        return self.status == "online"

    def __str__(self) -> str:
        return f"{self.name}: {self.status}{f', restarted {_times(self.restarts)}' if self.restarts else ''}"


def lists_processes(command: str) -> bool:
    """Whether the command tells of every process, so that crashes can be counted."""
    if _ASKED.search(command) and not _UNIT_STATUS.search(command):
        return True
    return bool(_PM2.search(command)) and not _UNITS.search(command)


def refuse_deaf(command: str) -> None:
    """Raise ConfigurationError for a command that ends with 0 whatever state the application is in."""
    argv_of(command, _KEY)
    if lists_processes(command) and not _LIST.search(command):
        raise ConfigurationError(
            f"{_KEY}: {command!r} ends with status 0 whatever it shows.",
            "An application that has crashed would pass for one that runs; nothing was run.",
            'Write "pm2 jlist": its list can be read by a program.',
        )


def ask(command: str, *, host: Host, cwd: str | None, timeout_s: float) -> tuple[Supervised, ...]:
    """The processes as pm2 lists them, its own modules left out; none for another supervisor: it has said all by then.

    Raises CommandFailed where the command fails or does not list what it should. pm2's list is never shown as it is: it
    holds the whole environment of every process.
    """
    argv = argv_of(command, _KEY)
    if not lists_processes(command):
        run_command(argv, name="status command", means=_MEANS, host=host, cwd=cwd, env=None, timeout_s=timeout_s)
        return ()
    done = host.run(argv, timeout_s=timeout_s, cwd=cwd)
    found = _listed(plain(done.stdout)) if done.exit_status == 0 else ()
    if not found:
        raise CommandFailed(
            f"{command} on {host.name} lists no process (status {done.exit_status}): {last_words(plain(done.stderr))}",
            _MEANS,
            "Run it by hand, as the user who logs in: pm2 keeps a list of its own for every user.",
        )
    return found


def missing(before: Sequence[Supervised], now: Sequence[Supervised]) -> tuple[str, ...]:
    """What was online and is not any more, though it ought to be, and what is new and is not; else it may be down."""
    wanted = Counter(one.app for one in before if one.online and one.kept_up)
    known = {one.app for one in before}
    stopped = {(one.app, one.number) for one in before if not one.online}
    down = [
        one
        for one in now
        if one.kept_up and not one.online and (one.app, one.number) not in stopped
        if one.app in wanted or one.app not in known
    ]
    told = {one.app for one in down}
    online = Counter(one.app for one in now if one.online)
    fewer = [(app, count) for app, count in wanted.items() if online[app] < count and app not in told]
    return (
        *(f"{one.name} is {one.status}, not online" for one in down),
        *(f"of {clip(app, _NAME_LENGTH)}, {online[app]} of {count} are online" for app, count in fewer),
    )


def crashes(before: Sequence[Supervised], now: Sequence[Supervised]) -> tuple[str, ...]:
    """Processes that were started again meanwhile, or are not online any more, though nobody has asked for that."""
    then = {(one.app, one.number): one.restarts for one in before if one.kept_up and not one.by_the_clock}
    more = [(one.name, one.restarts - then.get((one.app, one.number), one.restarts)) for one in now]
    return (
        *(f"{name} ended while it was used, and was restarted {_times(count)}" for name, count in more if count > 0),
        *missing(before, now),
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _listed(text: str) -> tuple[Supervised, ...]:
    """The processes of the line that is pm2's list; other lines tell of its daemon."""
    for line in reversed(text.split("\n")):
        if line.startswith("["):
            try:
                entries: Any = [one for one in json.loads(line) if not one["pm2_env"].get("pmx_module")]
                names = [one["name"] for one in entries]
                return tuple(_supervised(one, alone=names.count(one["name"]) == 1) for one in entries)
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
    return ()


def _supervised(entry: Any, *, alone: bool) -> Supervised:
    """One entry of the list; the instances of one application are told apart by their numbers."""
    about, number = entry["pm2_env"], int(entry["pm_id"])
    name = clip(str(entry["name"]), _NAME_LENGTH)
    return Supervised(
        number,
        str(entry["name"]),
        name if alone else f"{name} {number}",
        str(about["status"]),
        int(about["restart_time"]),
        kept_up=about.get("autorestart", True) is not False,
        by_the_clock=str(about.get("cron_restart") or "0") != "0",
    )
