"""A backup that is restored while it still comes in."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from pytest_dryrun.hosts import Fed
from pytest_dryrun.postgres import backup, databases
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.postgres.disposable import Disposable

# What is restored from what has come. Grants are not: a whole restore gives them last of all, and an index whose
# expression calls a function of somebody else's is built with them or without.
_FIRST = ("--section=pre-data", "--section=data", "--no-privileges")


class Loading:
    """Restores tables and rows from what has come, and the rest, indexes above all, once the archive is whole.

    Everything is restored in the order of a whole restore. What goes wrong in it is told by `finish`: whether a backup
    can be taken is another question.
    """

    def __init__(self, server: Disposable, name: str, *, timeout_s: float) -> None:
        if not isinstance(server.host, Fed):
            raise TypeError(f"nothing can be given to a command on {server.host.name}")
        self._host = server.host
        self.server = server
        self.name = name
        self._timeout_s = timeout_s
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dryrun-loading")
        self._loaded: Future[float] | None = None
        self.abandoned = False

    def begin(self, shape: databases.Shape, pieces: Iterable[bytes]) -> None:
        """Restore into a new database of this shape, in the background; an empty piece says that no more is there yet.

        What stood under its name is dropped, with its sessions.
        """
        self._loaded = self._pool.submit(self._load, shape, pieces)

    def finish(self, archive: Path) -> tuple[Conninfo, float]:
        """Restore the rest from the whole archive; gives the new database and the milliseconds that all of it took.

        Raises DryRunError where the backup, or what came of it, does not restore.
        """
        if self._loaded is None:
            raise LookupError("nothing was begun")
        first_ms = self._loaded.result()
        began = time.perf_counter()
        place = self._host.put(archive, f"/tmp/{archive.name}")  # noqa: S108 - inside a container of our own
        rest = archive.with_name(f"{archive.name}.rest")
        rest.write_text("".join(self._rest(place)), encoding="utf-8")
        listed = self._host.put(rest, f"/tmp/{rest.name}")  # noqa: S108 - the same
        backup.restore(
            self._host,
            self.server.tool("pg_restore"),
            Path(place),
            self.server.tool_conninfo.database(self.name),
            timeout_s=self._timeout_s,
            options=(f"--use-list={listed}",),
            in_place=True,
        )
        return self.server.conninfo.database(self.name), first_ms + (time.perf_counter() - began) * 1000

    def abandon(self) -> None:
        """Give up, because what is restored is not what has come to lie in the archive."""
        self.abandoned = True
        self.close()

    def close(self) -> None:
        """Give up what still goes on."""
        self._stop.set()
        self._pool.shutdown()

    def _load(self, shape: databases.Shape, pieces: Iterable[bytes]) -> float:
        began = time.perf_counter()
        databases.drop(self.server.conninfo, self.name)
        databases.create(self.server.conninfo, self.name, shape)
        # So long the dump may take, and so long the rest of it to come; the same again for what is left to load then.
        done = self._host.feed(
            [*self.server.tool("pg_restore"), *backup.restoring(self.name, *_FIRST, jobs=1)],
            pieces,
            timeout_s=3 * self._timeout_s,
            stop=self._stop,
            env=self.server.tool_conninfo.database(self.name).environment(),
        )
        if done.exit_status:
            raise backup.not_restored("that came in", done.stderr)
        return (time.perf_counter() - began) * 1000

    def _rest(self, place: str) -> Iterator[str]:
        """The entries of the archive that are not restored yet, as `pg_restore --use-list` takes them."""
        done = set(self._listed(place, *_FIRST))
        return (f"{entry}\n" for entry in self._listed(place) if entry not in done)

    def _listed(self, place: str, *options: str) -> list[str]:
        done = self._host.run([*self.server.tool("pg_restore"), "--list", *options, place], timeout_s=self._timeout_s)
        if done.exit_status:
            raise backup.not_restored(Path(place).name, done.stderr)
        return [line for line in done.stdout.split("\n") if line and not line.startswith(";")]
