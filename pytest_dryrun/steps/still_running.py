"""Commands on a host that go on although the run that began them was killed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_dryrun.hosts.ssh import GROUP
from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.probes.smoke import clip
from pytest_dryrun.steps.way_in import COMMAND_S

if TYPE_CHECKING:
    from pytest_dryrun.hosts.ssh.host import SshHost

_VARIABLE = "PYTEST_DRYRUN_RUN"
_PATIENCE_S = 5.0
_LONGEST = 200
# A daemon that a command leaves behind on purpose has a group of its own, or somebody else's: it is not the command any
# more. proc(5): the fifth word of `stat`, the third behind the name, is the group.
_SCRIPT = f"""
for each in /proc/[0-9]*; do
    known=$(tr '\\0' '\\n' <"$each/environ" 2>/dev/null) || continue
    printf '%s\\n' "$known" | grep -qx "{_VARIABLE}=$1" || continue
    group=$(sed 's/.*) //' "$each/stat" 2>/dev/null | cut -d' ' -f3)
    printf '%s\\n' "$known" | grep -qx "{GROUP}=$group" || continue
    printf '%s %s %s\\n' "$group" "${{each#/proc/}}" "$(tr '\\0\\n' '  ' <"$each/cmdline" 2>/dev/null)"
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
            lines = "; ".join(clip(line, _LONGEST) for _, line in found)
            groups = sorted({f"-{group}" for group, _ in found})
            raise TargetUnusable(
                f"{told} Its command still runs on {host.name}: {lines}.",
                "What that changes would be taken for this run's doing, so this one did nothing.",
                f"Wait for it, or end it on the host: kill -- {' '.join(groups)}",
            )
        time.sleep(0.5)


def _of_run(host: SshHost, run_id: str) -> list[tuple[str, str]]:
    """The group, and the number and words, of each process of the commands of a run."""
    said = host.run(["sh", "-c", _SCRIPT, "sh", run_id], timeout_s=COMMAND_S).stdout
    lines = [" ".join(line.split()).partition(" ") for line in said.split("\n") if line.strip()]
    return [(group, line) for group, _, line in lines]
