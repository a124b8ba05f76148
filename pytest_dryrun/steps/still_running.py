"""Commands on a host that go on although the run that began them was killed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_dryrun.errors import TargetUnusable
from pytest_dryrun.steps.way_in import COMMAND_S

if TYPE_CHECKING:
    from pytest_dryrun.hosts.ssh.host import SshHost

_VARIABLE = "PYTEST_DRYRUN_RUN"
_PATIENCE_S = 5.0
# What a command leaves behind on purpose, a daemon, leads a group of its own or is in somebody else's; what belongs to
# the command is in its group, whether its leader lives or not. proc(5): the fifth word of `stat` is the group.
_SCRIPT = """
marked() { tr '\\0' '\\n' <"/proc/$1/environ" 2>/dev/null | grep -qx "$2"; }
for each in /proc/[0-9]*; do
    pid=${each#/proc/}
    marked "$pid" "$1" || continue
    group=$(sed 's/.*) //' "$each/stat" 2>/dev/null | cut -d' ' -f3)
    [ ! -e "/proc/$group" ] || marked "$group" "$1" || continue
    printf '%s %s\\n' "$pid" "$(tr '\\0' ' ' <"$each/cmdline" 2>/dev/null | cut -c1-200)"
done
"""


def marking(run_id: str) -> Mapping[str, str]:
    """The environment by which a run's commands are known again."""
    return {_VARIABLE: run_id}


def refuse_unfinished(host: SshHost, run_id: str, told: str) -> None:
    """Raise TargetUnusable where a command of a killed run goes on; `told` is what that run was doing."""
    patience = time.monotonic() + _PATIENCE_S
    while found := _of_run(host, run_id):
        if time.monotonic() > patience:
            numbers = " ".join(line.partition(" ")[0] for line in found)
            raise TargetUnusable(
                f"{told} Its command still runs on {host.name}: {'; '.join(found)}.",
                "What that changes would be taken for this run's doing, so this one did nothing.",
                f"Wait for it, or end it on the host: kill {numbers}",
            )
        time.sleep(0.5)


def _of_run(host: SshHost, run_id: str) -> list[str]:
    argv = ["sh", "-c", _SCRIPT, "sh", f"{_VARIABLE}={run_id}"]
    return [" ".join(line.split()) for line in host.run(argv, timeout_s=COMMAND_S).stdout.splitlines()]
