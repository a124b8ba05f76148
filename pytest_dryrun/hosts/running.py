"""A process of this machine that stays until it is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from pytest_dryrun import processes
from pytest_dryrun.model.errors import CommandFailed
from pytest_dryrun.processes import Process
from pytest_dryrun.workspace import Workspace

KILL_S = 5.0


class RunningProcess:
    """A process that stays until `stop`, with everything it starts."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path, cookie: str, workspace: Workspace) -> None:
        self._process = process
        self._output = output
        self._cookie = cookie
        self._workspace = workspace

    @property
    def pid(self) -> int:
        """The number of the process, which is also that of its session and group."""
        return self._process.pid

    def poll(self) -> int | None:
        """Tell the exit status, negative for a signal; None while it runs."""
        if self._process.returncode is not None:
            return self._process.returncode
        # It is left a zombie until `stop`: so long its number, by which its family is found, is nobody else's.
        state = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        if state is None:
            return None
        return state.si_status if state.si_code == os.CLD_EXITED else -state.si_status

    def tail(self, lines: int) -> str:
        """Read the last lines of what it printed."""
        with self._output.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 65536))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])

    def stop(self, timeout_s: float = 10.0, first_signal: int = signal.SIGTERM) -> None:
        """Ask it to end, wait, then kill it and everything it started; a second call does nothing.

        Raises CommandFailed when something of it is still there.
        """
        if self._process.returncode is not None:
            return
        family = self._family()
        if self.poll() is None:
            os.killpg(self.pid, first_signal)
            deadline = time.monotonic() + timeout_s
            while self.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
        left = processes.kill_all(lambda: (*processes.living(family), *self._family()), KILL_S)
        if left:
            raise CommandFailed(
                f"Process {', '.join(str(process.pid) for process in left)} could not be ended.",
                "Something the dry run started is still running.",
                "End it by hand, as the user it runs as.",
            )
        self._process.wait(KILL_S)
        self._workspace.forget_process(self.pid)

    def _family(self) -> tuple[Process, ...]:
        return tuple({*processes.kin(self.pid), *processes.marked(self._cookie)})
