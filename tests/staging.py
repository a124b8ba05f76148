"""The staging stand for tests: brought up once for all processes, and lent to one test at a time.

In a module of tests: `from staging import Staging, staging_stand  # noqa: F401 - a fixture`, then ask for `staging`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
from needs import require

REPOSITORY = Path(__file__).parent.parent
CONTAINER = os.environ.get("DRYRUN_STAGING_NAME", "dryrun-staging")
_PORT = int(os.environ.get("DRYRUN_STAGING_PORT", "2222"))
_SCRIPT = REPOSITORY / "tests" / "stand" / "staging.sh"
_STATE = REPOSITORY / os.environ.get("DRYRUN_STAGING_STATE", ".staging")
_OURS = _STATE / "brought-up-by-tests"
_AS_AFTER_UP = _STATE / "as-after-up"
# Files that are there anyway, locked for as long as a process uses the stand, and as long as a test has it to itself.
_USERS = REPOSITORY / "tests" / "stand" / "staging" / "start"
_ALONE = REPOSITORY / "tests" / "stand" / "staging" / "reset"
_BUILD_S = 1200
_RESET_S = 120


@dataclass(frozen=True, slots=True)
class Staging:
    """How the stand is reached, and how it is put back."""

    host: str = "127.0.0.1"
    port: int = _PORT
    user: str = "deploy"
    key: Path = _STATE / "id_ed25519"
    known_hosts: Path = _STATE / "known_hosts"
    directory: str = "/var/www/edfinance/apps/api"

    def ssh(self, command: str, *, timeout_s: float = 120, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a line of shell there as `deploy` with OpenSSH's own client."""
        options = [f"UserKnownHostsFile={self.known_hosts}", "IdentitiesOnly=yes", "BatchMode=yes", "ConnectTimeout=10"]
        argv = ["ssh", "-F", "none", "-i", str(self.key), "-p", str(self.port)]
        argv += [word for option in options for word in ("-o", option)]
        argv += [f"{self.user}@{self.host}", command]
        return subprocess.run(argv, input=given, capture_output=True, text=True, timeout=timeout_s, check=False)

    def application(self, command: str, *, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a line of shell there in the application's directory."""
        return self.ssh(f"cd {self.directory} && {command}", timeout_s=timeout_s)

    def root(self, *argv: str, given: str = "") -> str:
        """Run a command there as root, past sshd; CalledProcessError when it fails."""
        whole = ["docker", "exec", "-i", CONTAINER, *argv]
        return subprocess.run(whole, input=given, capture_output=True, text=True, timeout=120, check=True).stdout

    def sql(self, script: str, database: str = "edfinance") -> str:
        """Let the server's superuser run SQL there, and give the rows as bare text."""
        psql = ["psql", "--no-psqlrc", "-qAt", "--set=ON_ERROR_STOP=1", f"--dbname={database}"]
        return self.root("runuser", "-u", "postgres", "--", *psql, given=script).strip()

    def reset(self) -> None:
        """Put database, files and API back to what they were after `staging-up`."""
        _script("reset", timeout_s=_RESET_S)

    @contextmanager
    def alone(self) -> Iterator[Staging]:
        """Lend the stand, as it is after `staging-up`, to nobody else meanwhile."""
        with _ALONE.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _AS_AFTER_UP.exists():
                self.reset()
            _AS_AFTER_UP.unlink(missing_ok=True)
            yield self

    def is_as_lent(self) -> None:
        """Say, while it is lent, that it is as it was: that spares the next one the two seconds of putting it back."""
        _AS_AFTER_UP.touch()


@pytest.fixture(scope="session", name="staging")
def staging_stand() -> Iterator[Staging]:
    """Use the stand that is up, or bring one up, which the last process that uses it takes away."""
    require(os.geteuid() == 0, "the staging stand is built and started by root")
    missing = [name for name in ("docker", "debootstrap", "npm", "ssh", "ssh-keygen") if shutil.which(name) is None]
    require(not missing, f"the staging stand needs {', '.join(missing)}")
    engine = subprocess.run(["docker", "info"], capture_output=True, timeout=60, check=False)
    require(engine.returncode == 0, "no Docker engine answers")
    with _USERS.open() as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        _bring_up()
        yield Staging()
        if _OURS.exists() and _last(users):
            _script("down", timeout_s=_RESET_S)


def _bring_up() -> None:
    with _ALONE.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        there = _STATE.joinpath("known_hosts").exists()
        done = _script("up", timeout_s=_BUILD_S, check=False)
        require(done.returncode == 0, f"the staging stand could not be brought up: {done.stderr[-500:]}")
        if not there:
            _OURS.touch()


def _last(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _script(what: str, *, timeout_s: float, check: bool = True) -> subprocess.CompletedProcess[str]:
    argv = ["bash", str(_SCRIPT), what]
    env = os.environ | {"DRYRUN_STAGING_LOCKED": "1"}  # who calls this holds the lock that it needs
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0 or not check, f"staging.sh {what}: {done.stdout[-500:]}{done.stderr[-1500:]}"
    return done
