"""A real sshd on a loopback port, with host keys and users' keys of its own, for the tests of what goes through SSH."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from needs import require

from pytest_dryrun import processes
from pytest_dryrun.config import Ssh
from pytest_dryrun.hosts import ssh
from pytest_dryrun.hosts.ssh import SshHost

USER = getpass.getuser()
_PROGRAM = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
_CONFIG = """
{extra}
ListenAddress 127.0.0.1
Port {port}
{host_keys}
PidFile none
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
# Without it bash reads the .bashrc of whoever runs the tests.
SetEnv SHLVL=2
Subsystem sftp internal-sftp
MaxStartups 100
"""


def keygen(path: Path, *options: str, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Make a key pair."""
    argv = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "dry run test", "-f", str(path), *options]
    subprocess.run(argv, check=True, timeout=60, stdin=subprocess.DEVNULL)
    return path


def fingerprint(path: Path) -> str:
    """The fingerprint as OpenSSH itself spells it."""
    argv = ["ssh-keygen", "-lf", f"{path}.pub"]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout.split()[1]


class Sshd:
    """One server in a folder: its keys and configuration may be changed between `stop` and `start`."""

    def __init__(self, folder: Path, *, kinds: tuple[str, ...] = ("ed25519",), extra: str = "") -> None:
        require(_PROGRAM and shutil.which("ssh-keygen"), "sshd and ssh-keygen are not installed")
        self.folder = folder
        self.extra = extra
        folder.mkdir(parents=True, exist_ok=True)
        self.host_keys = [keygen(folder / f"host_{kind}", kind=kind) for kind in kinds]
        self.key = keygen(folder / "id")
        (folder / "authorized_keys").write_text(Path(f"{self.key}.pub").read_text())
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.known_hosts = folder / "known_hosts"
        self.trust()
        self.process: subprocess.Popen[bytes] | None = None

    def trust(self) -> None:
        """Write known_hosts as it should be."""
        lines = [f"[127.0.0.1]:{self.port} {Path(f'{key}.pub').read_text()}" for key in self.host_keys]
        self.known_hosts.write_text("".join(lines))

    def settings(self, **changes: object) -> Ssh:
        """What dryrun.toml would say."""
        given = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": USER,
            "key": str(self.key),
            "known_hosts": str(self.known_hosts),
        }
        return Ssh(**{name: value for name, value in {**given, **changes}.items() if value is not None})

    def start(self) -> None:
        """Start it and wait until it answers."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd insists on it when it runs as root
        config = self.folder / "sshd_config"
        host_keys = "\n".join(f"HostKey {key}" for key in self.host_keys)
        config.write_text(
            _CONFIG.format(port=self.port, host_keys=host_keys, folder=self.folder, extra=self.extra), encoding="utf-8"
        )
        with (self.folder / "sshd.log").open("ab") as log:
            self.process = subprocess.Popen([_PROGRAM or "sshd", "-D", "-e", "-f", str(config)], stderr=log)
        deadline = time.monotonic() + 15
        while True:
            assert self.process.poll() is None, (self.folder / "sshd.log").read_text()
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as link:
                    assert link.recv(4) == b"SSH-"
                    return
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def sessions(self) -> list[int]:
        """The server's processes for the connections it has now."""
        assert self.process
        family = {process.pid for process in processes.kin(self.process.pid)} - {self.process.pid}
        return [pid for pid in family if _name(pid) == "sshd"]

    def send(self, signum: int) -> None:
        """Signal the server's processes for the connections it has now."""
        for pid in self.sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)

    def cut(self) -> None:
        """Cut every connection as a crash would, and leave what was started through it running."""
        self.send(signal.SIGKILL)

    def stop(self) -> None:
        """Stop listening and cut every connection."""
        if self.process is None:
            return
        self.cut()
        self.process.kill()
        self.process.wait()
        self.process = None


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


@pytest.fixture(scope="module", name="host")
def host_logged_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHost]:
    """Log in to a server of the module's own once: `from sshd import host_logged_in  # noqa: F401 - a fixture`."""
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    server.start()
    with ssh.connect(server.settings()) as host:
        yield host
    server.stop()
