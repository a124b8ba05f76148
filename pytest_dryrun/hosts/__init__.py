"""Where commands run: this machine, a container, a host behind SSH. One small port for all of them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ran to its end; the streams are decoded as UTF-8 with replacement."""

    argv: tuple[str, ...]
    exit_status: int
    stdout: str
    stderr: str
    duration_ms: float


class Host(Protocol):
    """Runs argv lists, each once and under a time limit; the adapter quotes, the caller never does."""

    @property
    def name(self) -> str:
        """What a reader calls this host: `this machine`, `container 3f2a…`, `deploy@staging`."""
        ...

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Completed:
        """Run a command to its end, whatever its exit status.

        `env` is added to the host's environment. Past `timeout_s` the whole process group is killed.
        Raises CommandFailed when it could not be started or did not end in time.
        """
        ...

    def stream(
        self, argv: Sequence[str], *, timeout_s: float, env: Mapping[str, str] | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Run a command and yield its stdout in chunks while it runs.

        When the iterator is exhausted the exit status is known: CommandFailed (with the tail of stderr) if not 0.
        Leaving the context early kills the process group.
        """
        ...

    def put(self, source: Path, destination: str) -> str:
        """Make a local file readable on this host and return its path there (the same path where nothing is copied)."""
        ...

    def free_bytes(self, path: str) -> int:
        """Bytes an unprivileged user may still write below `path` (nearest existing ancestor)."""
        ...


@runtime_checkable
class Fed(Host, Protocol):
    """A host whose commands can be given something to read."""

    def feed(
        self,
        argv: Sequence[str],
        given: Iterable[bytes],
        *,
        timeout_s: float,
        stop: threading.Event,
        env: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run a command to its end with `given` as its stdin, of which an empty piece says that there is nothing yet.

        A command that ends before it was given everything is no error: its exit status tells. What `given` raises
        kills the command's process group and is raised here; so does whoever sets `stop`, with CancelledError.
        """
        ...
