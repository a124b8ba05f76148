"""The SSH host and a staging backup against OpenSSH's own client; needs the stand of `make staging-up`."""

from __future__ import annotations

import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import runbook
from figures import Figure, figure, interleaved, timed_ms
from server import TIMEOUT_S, Server, running

from pytest_dryrun.config import Ssh
from pytest_dryrun.hosts import ssh
from pytest_dryrun.hosts.ssh import SshHost
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.steps import from_host, proof, way_in
from pytest_dryrun.steps.loading import Loading
from pytest_dryrun.steps.target import TargetDatabase

STAND = Path(__file__).parent.parent / ".staging"
CONTAINER, DATABASE, ROLE, RESTORED = "dryrun-staging", "bench", "bench", "restored"
BACKUPS = "/var/backups/edfinance"
COMMANDS = 20
SETTINGS = Ssh(
    host="127.0.0.1",
    port=2222,
    user="deploy",
    key=str(STAND / "id_ed25519"),
    known_hosts=str(STAND / "known_hosts"),
)


def measure(folder: Path, *, scale: float, rounds: int) -> Iterator[Figure]:
    """Twenty short commands, then backup, copy, restore and proof of a database of the runbook's kind."""
    with tempfile.TemporaryDirectory(prefix="dryrun-bench-ssh-", dir="/tmp") as place:
        options = _options(f"{place}/socket")
        with ssh.connect(SETTINGS) as host, running() as server:
            _openssh(options, "true")
            yield _commands(host, options, rounds)
            secret, size_bytes = _fill(server, folder, scale)
            try:
                yield _backup(host, server, options, folder, secret, size_bytes, rounds)
            finally:
                _inside("dropdb", "--if-exists", "--force", DATABASE)
                _inside("dropuser", "--if-exists", ROLE)
                _openssh(options, f"rm -f {BACKUPS}/bench-*")
                subprocess.run(["ssh", *options, "-O", "exit", "deploy@127.0.0.1"], check=False, capture_output=True)


def _commands(host: SshHost, options: Sequence[str], rounds: int) -> Figure:
    def ours() -> float:
        return timed_ms(lambda: [host.run(["true"], timeout_s=30) for _ in range(COMMANDS)])

    taken = interleaved(
        {
            "ours": ours,
            "ssh": lambda: timed_ms(lambda: [_openssh(options, "true") for _ in range(COMMANDS)]),
        },
        max(rounds, 3),
    )
    return figure(
        "SSH commands / ssh, multiplexed",
        (f"{COMMANDS} commands over the open connection", taken["ours"]),
        (f"ssh host true {COMMANDS} times, ControlMaster", taken["ssh"]),
        bound=1.0,
        note="Each of ours carries its environment and its process group; each of theirs starts a client process.",
    )


def _backup(
    host: SshHost,
    server: Server,
    options: Sequence[str],
    folder: Path,
    secret: str,
    size_bytes: int,
    rounds: int,
) -> Figure:
    there = Conninfo("127.0.0.1", 5432, ROLE, DATABASE, secret)
    here = way_in.tunnelled(host, there)
    database = TargetDatabase(here, host, way_in.tools(host, way_in.identify(here).version_num, ("pg_dump",)), there)
    copy = folder / "copied.dump"
    restore = [*server.disposable.tool("pg_restore"), "--no-owner", "--jobs=2", f"--dbname={RESTORED}", str(copy)]

    def empty() -> None:
        server.sql(f"DROP DATABASE IF EXISTS {RESTORED}", dbname="postgres")

    def ours() -> float:
        empty()
        from_host.copy_roles(here, server.conninfo)
        copy.unlink(missing_ok=True)
        loading = Loading(server.disposable, RESTORED, timeout_s=TIMEOUT_S)
        name = f"bench-{uuid.uuid4().hex}.dump"
        dump = from_host.there(host, database, BACKUPS, name, copy, timeout_s=TIMEOUT_S, loading=loading)

        def prove() -> None:
            taken = proof.take(database, dump, timeout_s=TIMEOUT_S)
            found = proof.loaded(taken, loading, timeout_s=TIMEOUT_S)
            loading.close()
            if found.findings:
                raise SystemExit(f"the restore was not proved: {found.findings[:3]}")

        return timed_ms(prove)

    def by_hand() -> None:
        path = f"{BACKUPS}/bench-by-hand.dump"
        _openssh(options, f"pg_dump -Fc -f {path} '{there.url()}'")
        _run(["scp", "-q", *options, f"deploy@127.0.0.1:{path}", str(copy)])
        server.sql(f"CREATE DATABASE {RESTORED} TEMPLATE template0", dbname="postgres")
        server.command(restore, dbname=RESTORED)

    def theirs() -> float:
        empty()
        return timed_ms(by_hand)

    taken = interleaved({"ours": ours, "by hand": theirs}, rounds)
    return figure(
        "backup and proof over SSH / by hand",
        ("dump there, copy and restore meanwhile, compare every value", taken["ours"]),
        ("ssh pg_dump -Fc, scp, pg_restore -j2", taken["by hand"]),
        bound=1.2,
        note=f"A database of {size_bytes / 1e6:.0f} MB on the staging stand, which is on this machine.",
    )


def _fill(server: Server, folder: Path, scale: float) -> tuple[str, int]:
    project = folder / "over-ssh"
    project.mkdir()
    size_bytes = runbook.fill(server, project, scale)
    secret = uuid.uuid4().hex
    _inside("psql", "-qc", f"CREATE ROLE {ROLE} LOGIN PASSWORD '{secret}'")
    _inside("createdb", f"--owner={ROLE}", DATABASE)
    with (project / "baseline.dump").open("rb") as dump:
        argv = ["pg_restore", "--no-owner", f"--role={ROLE}", f"--dbname={DATABASE}"]
        subprocess.run(_docker(*argv), stdin=dump, check=True, timeout=TIMEOUT_S)
    _inside("psql", "-qc", "ANALYZE", DATABASE)
    return secret, size_bytes


def _docker(*argv: str) -> list[str]:
    return ["docker", "exec", "-i", CONTAINER, "runuser", "-u", "postgres", "--", *argv]


def _inside(*argv: str) -> None:
    _run(_docker(*argv))


def _run(argv: Sequence[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        raise SystemExit(f"{argv[0]} ended with {done.returncode}: {done.stderr[-1000:]}")


def _options(socket: str) -> list[str]:
    words = [
        f"ControlPath={socket}",
        "ControlMaster=auto",
        "ControlPersist=60",
        f"UserKnownHostsFile={SETTINGS.known_hosts}",
        f"IdentityFile={SETTINGS.key}",
        "IdentitiesOnly=yes",
        f"Port={SETTINGS.port}",
    ]
    return ["-F", "none", *(word for one in words for word in ("-o", one))]


def _openssh(options: Sequence[str], command: str) -> None:
    _run(["ssh", *options, "deploy@127.0.0.1", command])
