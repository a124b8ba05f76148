"""A backup that is restored while it still comes in."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from pytest_dryrun.hosts import Fed
from pytest_dryrun.postgres import backup, databases
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.postgres.disposable import Disposable


class Loading:
    """Restores tables and rows from what has come, and the rest, indexes above all, once the archive is whole.

    What goes wrong in it is told by `finish`: whether a backup can be taken is another question.
    """

    def __init__(self, server: Disposable, name: str, *, timeout_s: float) -> None:
        if not isinstance(server.host, Fed):
            raise TypeError(f"nothing can be given to a command on {server.host.name}")
        self._host = server.host
        self._server = server
        self.name = name
        self._timeout_s = timeout_s
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dryrun-loading")
        self._loaded: Future[float] | None = None

    def begin(self, shape: databases.Shape, pieces: Iterable[bytes]) -> None:
        """Restore into a new database of this shape, in the background; an empty piece says that no more is there yet.

        What stood under its name is dropped, with its sessions.
        """
        self._loaded = self._pool.submit(self._load, shape, pieces)

    def finish(self, archive: Path) -> tuple[Conninfo, float]:
        """Restore the rest from the whole archive; gives the new database and the milliseconds since it was begun.

        Raises DryRunError where the backup, or what came of it, does not restore.
        """
        if self._loaded is None:
            raise LookupError("nothing was begun")
        began = self._loaded.result()
        backup.restore(
            self._host,
            self._server.tool("pg_restore"),
            archive,
            self._server.tool_conninfo.database(self.name),
            timeout_s=self._timeout_s,
            options=("--section=post-data",),
        )
        return self._server.conninfo.database(self.name), (time.perf_counter() - began) * 1000

    def close(self) -> None:
        """Give up what still goes on."""
        self._stop.set()
        self._pool.shutdown()

    def _load(self, shape: databases.Shape, pieces: Iterable[bytes]) -> float:
        began = time.perf_counter()
        databases.drop(self._server.conninfo, self.name)
        databases.create(self._server.conninfo, self.name, shape)
        options = backup.restoring(self.name, "--section=pre-data", "--section=data", jobs=1)
        done = self._host.feed(
            [*self._server.tool("pg_restore"), *options],
            pieces,
            timeout_s=self._timeout_s,
            stop=self._stop,
            env=self._server.tool_conninfo.database(self.name).environment(),
        )
        if done.exit_status:
            raise backup.not_restored("that came in", done.stderr)
        return began
