"""The server that benchmarks run on: a disposable one, as the dry run itself starts it."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.postgres.disposable import Disposable, start
from pytest_dryrun.workspace import Workspace

TIMEOUT_S = 1800


@dataclass(frozen=True, slots=True)
class Server:
    """A running server and its own client programs."""

    disposable: Disposable

    @property
    def conninfo(self) -> Conninfo:
        """The superuser's way in."""
        return self.disposable.conninfo

    @property
    def bindir(self) -> str:
        """Where its programs are."""
        return str(Path(self.disposable.tool("psql")[0]).parent)

    def tool(self, name: str, *arguments: str, dbname: str, stdin: Path | None = None) -> str:
        """Run one of the server's programs against a database; what it printed."""
        return self.command([*self.disposable.tool(name), *arguments], dbname=dbname, stdin=stdin)

    def command(self, argv: Sequence[str], *, dbname: str, stdin: Path | None = None) -> str:
        """Run any command with the server in its environment; a failure ends the benchmark with its words."""
        environment = {**os.environ, **self.conninfo.database(dbname).environment()}
        with (stdin or Path(os.devnull)).open("rb") as source:
            done = subprocess.run(
                list(argv),
                stdin=source,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
                env=environment,
            )
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def sql(self, *statements: str, dbname: str) -> str:
        """Run statements with psql, each in a transaction of its own; bare values come back."""
        words = [word for statement in statements for word in ("--command", statement)]
        return self.tool("psql", "-XqAt", "--set=ON_ERROR_STOP=1", *words, dbname=dbname).strip()


@contextmanager
def running() -> Iterator[Server]:
    """Start a disposable server from this machine's own PostgreSQL; nothing of it is left."""
    workspace = Workspace.create(f"bench-{uuid.uuid4().hex[:12]}")
    try:
        disposable = start("binaries", workspace=workspace)
        try:
            yield Server(disposable)
        finally:
            disposable.stop()
    finally:
        workspace.close()
