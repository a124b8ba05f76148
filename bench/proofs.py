"""What a label claims, shown by plain psql sessions on a plain PostgreSQL server: the plugin has no part in it.

Session A is the migration, every other session is the application. See `labelled/` and README.md for the kinds.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import labels
from labels import Labelled, Proof

from pytest_dryrun.postgres.disposable import installations

OWNER = "app"
SUPERUSER = "postgres"
LIMIT_S = 120
_LOCKED_OUT = "55P03"
_OPEN = "the migration stands open"


@dataclass(frozen=True, slots=True)
class Answer:
    """What psql printed, and the error it ended with: an SQLSTATE where the server gave one."""

    output: str
    error: str


@dataclass(frozen=True, slots=True)
class Shown:
    """One proof, and whether it showed what it had to; `reason` says what was seen instead."""

    migration: str
    kind: str
    reason: str


class Plain:
    """A plain server with its programs: sockets only, and as another user where we are root, which it refuses."""

    def __init__(self, folder: Path, bindir: Path) -> None:
        self._folder = folder
        self._bindir = bindir
        self._user = ""
        if os.geteuid() == 0:
            known = {entry.pw_name: entry for entry in pwd.getpwall()}
            entry = known.get("postgres") or known["nobody"]
            self._user = entry.pw_name
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        folder.chmod(0o755)

    def create(self) -> None:
        """Make the cluster, start it, and fill one database for each base."""
        self._run("initdb", "-D", f"{self._folder}/data", "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C")
        self.start()
        self.must(f"CREATE ROLE {OWNER} LOGIN")
        for path in sorted(labels.BASES.glob("*.sql")):
            found = labels.base(path.stem)
            self.must(f'CREATE DATABASE "{path.stem}" OWNER {OWNER}')
            self.must(found.schema + found.seed, dbname=path.stem, user=OWNER)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = f"-c listen_addresses= -c unix_socket_directories={self._folder} -c fsync=off"
        self._run("pg_ctl", "-D", f"{self._folder}/data", "-w", "-l", f"{self._folder}/log", "-o", options, "start")

    def stop(self) -> None:
        """Stop as a crash does: nothing is written any more."""
        self._run("pg_ctl", "-D", f"{self._folder}/data", "-w", "-m", "immediate", "stop")

    @contextmanager
    def database(self, migration: Labelled) -> Iterator[str]:
        """Make a copy of the migration's base with its own rows, dropped afterwards; role settings go too."""
        name = "proof"  # the same each time: file nodes of two copies can be compared
        self.must(f'CREATE DATABASE {name} TEMPLATE "{migration.base}" OWNER {OWNER}')
        if migration.seed:
            self.must(migration.seed, dbname=name, user=OWNER)
        try:
            yield name
        finally:
            self.must(f"DROP DATABASE {name} WITH (FORCE)")
            self.must(f"ALTER ROLE {OWNER} RESET ALL")

    def psql(self, script: str, *, dbname: str, user: str, options: Iterable[str] = ()) -> Answer:
        """Run a script and end at its first error."""
        done = subprocess.run(
            [*self.argv(dbname, user), *options, "-f", "-"],
            input=script,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            env=self.environment(),
        )
        errors = [line for line in done.stderr.splitlines() if "ERROR:" in line or "FATAL:" in line or "error:" in line]
        failed = done.returncode != 0
        return Answer(done.stdout, (errors or done.stderr.splitlines() or ["failed"])[0] if failed else "")

    def must(self, script: str, *, dbname: str = "postgres", user: str = SUPERUSER) -> None:
        """Run a script that may not fail."""
        if error := self.psql(script, dbname=dbname, user=user).error:
            raise SystemExit(f"{error}: {script[:300]}")

    def argv(self, dbname: str, user: str) -> list[str]:
        """Spell psql so that errors show their SQLSTATE."""
        words = ["-XqAt", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=sqlstate", "-h", str(self._folder), "-U", user]
        return [str(self._bindir / "psql"), *words, "-d", dbname]

    def environment(self) -> dict[str, str]:
        """Nobody waits for a lock longer than this."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        return {**kept, "PGOPTIONS": "-c lock_timeout=300ms"}

    def _run(self, program: str, *arguments: str) -> None:
        argv = [str(self._bindir / program), *arguments]
        if self._user:
            argv = ["runuser", "-u", self._user, "--", *argv]
        done = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=LIMIT_S, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{program} ended with {done.returncode}: {done.stderr.decode()[-500:]}")


@contextmanager
def plain(bindir: Path | None = None) -> Iterator[Plain]:
    """Start a plain server with the bases in it, from this folder or the best this machine has; nothing is left."""
    folder = Path(tempfile.mkdtemp(prefix="dryrun-proofs-"))
    try:
        server = Plain(folder, bindir or installations.find("", None).bindir)
        server.create()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def show(server: Plain, migration: Labelled) -> list[Shown]:
    """Run every proof of one migration; a safe one that cannot be applied at all is shown as such."""
    user = SUPERUSER if migration.superuser else OWNER
    with server.database(migration) as dbname:  # of its own: a rollback does not give back what a sequence handed out
        before = [_ask(server, dbname, proof) for proof in migration.proofs]
    with server.database(migration) as dbname:
        *earlier, last = migration.pending
        applied = _apply(server, dbname, user, earlier, transaction=migration.transaction)
        during = {}
        meanwhile = {n: one for n, one in enumerate(migration.proofs) if one.kind in {"blocked", "open"}}
        if meanwhile:
            with _standing_open(server, dbname, user, last):
                during = {n: _ask(server, dbname, one) for n, one in meanwhile.items()}
        applied = applied or _apply(server, dbname, user, [last], transaction=migration.transaction)
        if any(proof.kind == "crash" for proof in migration.proofs):
            server.stop()
            server.start()
        after = [_ask(server, dbname, proof) for proof in migration.proofs]
    shown = [
        Shown(migration.name, one.kind, _judge(one, applied, before[n], during.get(n), after[n]))
        for n, one in enumerate(migration.proofs)
    ]
    return shown or [Shown(migration.name, "applies", f"it failed with {applied}" if applied else "")]


def _judge(proof: Proof, applied: str, before: Answer, during: Answer | None, after: Answer) -> str:
    """Say what was seen where that is not what the proof has to show; empty where it is."""
    seen = f"before {before.output!r} {before.error!r}, after {after.output!r} {after.error!r}"
    if proof.kind == "stops":
        right = bool(applied) and proof.state in applied and (not proof.script.strip() or before != after)
        return "" if right else f"the migration ended with {applied!r}; {seen}"
    if applied:
        return f"the migration failed with {applied}"
    if proof.kind == "blocked":
        right = not before.error and during is not None and _LOCKED_OUT in during.error
        return "" if right else f"while it stood open: {during}"
    if proof.kind == "open":
        return "" if during is not None and not during.error and not after.error else f"while it stood open: {during}"
    right = {
        "differs": not before.error and not after.error and before.output != after.output,
        "crash": not before.error and not after.error and before.output != after.output,
        "fails": not before.error and bool(after.error) and proof.state in after.error,
        "admits": bool(before.error) and proof.state in before.error and not after.error,
        "lacks": bool(after.error) and proof.state in after.error,
        "works": not before.error and before == after,
    }[proof.kind]
    return "" if right else seen


def _ask(server: Plain, dbname: str, proof: Proof) -> Answer:
    """Run an application's script in a new session, and leave nothing of it."""
    own = "\\connect" in proof.script  # a new connection inside the script is in no transaction of the old one
    script = proof.script if own else f"BEGIN;\n{proof.script}\nROLLBACK;\n"
    return server.psql(script, dbname=dbname, user=OWNER)


def _apply(server: Plain, dbname: str, user: str, files: Iterable[str], *, transaction: bool) -> str:
    """Apply files as a migration tool does; the first error, or nothing."""
    for text in files:
        answer = server.psql(text, dbname=dbname, user=user, options=["--single-transaction"] if transaction else [])
        if answer.error:
            return answer.error
    return ""


@contextmanager
def _standing_open(server: Plain, dbname: str, user: str, text: str) -> Iterator[None]:
    """Run a file as session A, hold its transaction open meanwhile, and roll it back."""
    session = subprocess.Popen(
        server.argv(dbname, user),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=server.environment(),
    )
    assert session.stdin is not None  # noqa: S101 - for the type checker: both are pipes
    assert session.stdout is not None  # noqa: S101
    try:
        session.stdin.write(f"BEGIN;\n{text}\n\\echo {_OPEN}\n")
        session.stdin.flush()
        for line in session.stdout:
            if line.strip() == _OPEN:
                break
        yield
    finally:
        session.stdin.write("ROLLBACK;\n")
        session.stdin.close()
        session.wait(timeout=LIMIT_S)
        session.stdout.close()
