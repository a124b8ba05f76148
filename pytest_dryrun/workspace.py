"""One run's private folder on this machine, and the end of what killed runs left behind."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from pytest_dryrun import processes
from pytest_dryrun.model.errors import DryRunError
from pytest_dryrun.processes import Process

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHUTDOWN_S = (
    7.0  # an immediate shutdown gives its backends 5 s before it kills them (pmstart.c's SIGKILL_CHILDREN_AFTER_SECS)
)
_KILL_S = 5.0


class Workspace:
    """A folder that lives as long as its run: locked while the run lives, with a journal of what must not outlive it.

    Folders may be crossed but not listed by other users (0711), because a server started as another user works in one.
    The journal is a folder of empty files whose names say everything, so that no kill can leave half an entry.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock

    @classmethod
    def create(cls, run_id: str, base: Path | None = None) -> Workspace:
        """Make the folder of a new run below `base` (by default one for this user in the folder for temporary files).

        Raises DryRunError where a run with this id has a folder already, or the base belongs to somebody else.
        """
        if not _RUN_ID.fullmatch(run_id):
            raise ValueError(f"not a run id: {run_id!r}")
        base = _checked(_real(base))
        path = base / run_id
        with _base_lock(base):
            try:
                path.mkdir()
            except FileExistsError as error:
                raise DryRunError(
                    f"The folder {path} of run {run_id!r} exists already.",
                    "Two runs must not share one folder, so nothing was started.",
                    "Start the run again; it gets another id.",
                ) from error
            path.chmod(0o711)
            (path / "journal").mkdir(mode=0o700)
            lock = _take(path)
        if lock is None:
            raise DryRunError(
                f"The lock of the new folder {path} is taken.",
                "Nothing was started.",
                "Start the run again; if it happens again, the file system there does not know locks: set TMPDIR.",
            )
        return cls(path, lock)

    @property
    def run_id(self) -> str:
        """The run this folder belongs to."""
        return self.path.name

    def journal_process(self, pid: int) -> None:
        """Note a long-lived process; one that has ended already needs no note."""
        if process := processes.identify(pid):
            self._note(f"process-{process.pid}-{process.started}")

    def forget_process(self, pid: int) -> None:
        """Strike a process out that has ended."""
        for entry in (self.path / "journal").glob(f"process-{pid}-*"):
            entry.unlink(missing_ok=True)

    def journal_container(self, name: str) -> None:
        """Note a container by its id or by the name it is about to get."""
        self._note(f"container-{name}")

    def forget_container(self, name: str) -> None:
        """Strike a container out that is gone."""
        (self.path / "journal" / f"container-{name}").unlink(missing_ok=True)

    def close(self) -> None:
        """End what the run started here and remove the folder; a second call does nothing.

        Raises DryRunError when something is left; then the journal stays, so that the next sweep finds it.
        """
        if self._lock is None:
            return
        lock, self._lock = self._lock, None
        try:
            _end_processes(self.path)
            containers = _containers(self.path)
            _remove(self.path, keep_journal=bool(containers))
        finally:
            os.close(lock)
        if containers:
            raise DryRunError(
                f"Still there after the run: {', '.join(f'container {name}' for name in containers)}.",
                "The dry run did not clean up after itself; the database copy in it still exists.",
                f"Remove it with `docker rm -f -v {' '.join(containers)}`; the next dry run tries it again too.",
            )

    def _note(self, name: str) -> None:
        (self.path / "journal" / name).touch(mode=0o600)


class Swept(NamedTuple):
    """What a sweep did, one sentence for each thing: those it removed, and those it had to leave."""

    removed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def sweep(base: Path | None = None, remove_container: Callable[[str], None] | None = None) -> Swept:
    """Remove what killed runs left: their processes, containers and folders.

    A folder is a killed run's when its lock can be taken; the kernel gives a lock back when its process dies.
    What cannot be removed stays noted for the next sweep.
    """
    base = _real(base)
    if not base.is_dir():
        return Swept()
    _checked(base)
    removed: list[str] = []
    left: list[str] = []
    for path, lock in _abandoned(base):
        try:
            removed += [f"Process {item.pid} of the killed run {path.name} was ended." for item in _end_processes(path)]
            for name in _containers(path):
                if refusal := _not_removed(path, name, remove_container):
                    left.append(f"Container {name} of the killed run {path.name} {refusal}")
                else:
                    removed.append(f"Container {name} of the killed run {path.name} was removed.")
            kept = _containers(path)
            _remove(path, keep_journal=bool(kept))
            if not kept:
                removed.append(f"The folder {path} of the killed run {path.name} was removed.")
        except DryRunError as error:
            left.append(f"Not everything of the killed run {path.name} could be removed: {error.what}")
        finally:
            os.close(lock)
    return Swept(tuple(removed), tuple(left))


def default_base() -> Path:
    """Say where this user's runs have their folders.

    For root it must be a place that the user a server drops to can reach, whatever TMPDIR says.
    """
    places = [Path(tempfile.gettempdir())]
    if os.geteuid() == 0:
        places += [Path("/tmp"), Path("/var/tmp")]  # noqa: S108
        places = [place for place in places if _open_to_all(place.resolve())] or places
    return places[0].resolve() / f"pytest-dryrun-{os.geteuid()}"


def _real(base: Path | None) -> Path:
    """Spell the base as the kernel spells the folders of its processes; a link in its own place is not followed."""
    return base.parent.resolve() / base.name if base else default_base()


def _open_to_all(place: Path) -> bool:
    return all(folder.is_dir() and folder.stat().st_mode & stat.S_IXOTH for folder in (place, *place.parents))


def _checked(base: Path) -> Path:
    """Make the base where it is missing; refuse one that another user could have prepared for us."""
    with suppress(FileExistsError):
        base.mkdir(mode=0o711, parents=True)
        base.chmod(0o711)
    state = base.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid() or state.st_mode & 0o022:
        raise DryRunError(
            f"{base} is not a folder that belongs to this user alone.",
            "A dry run keeps copies of your data there, so it was not used.",
            "Remove it, or point TMPDIR at a folder of your own.",
        )
    return base


@contextmanager
def _base_lock(base: Path) -> Iterator[None]:
    """Hold still what creates and claims folders, so that a folder is never seen between its making and its locking."""
    handle = os.open(base / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _take(path: Path) -> int | None:
    """Take the lock of a folder; None where its run lives."""
    handle = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def _abandoned(base: Path) -> list[tuple[Path, int]]:
    claimed: list[tuple[Path, int]] = []
    with _base_lock(base):
        for path in sorted(base.iterdir()):
            if path.is_dir() and not path.is_symlink():
                with suppress(FileNotFoundError):  # another sweep is just finishing with it
                    if (lock := _take(path)) is not None:
                        claimed.append((path, lock))
    return claimed


def _end_processes(path: Path) -> tuple[Process, ...]:
    """End everything the run of this folder started, servers first and in their own way; say what was ended."""
    journalled = _journalled(path)

    def strays() -> tuple[Process, ...]:
        found = [*processes.marked(f"{path}/"), *processes.servers_below(path)]
        for process in processes.living(journalled):
            found += processes.kin(process.pid)
        return tuple(dict.fromkeys(found))

    ended = strays()
    postmasters = tuple(process for process in processes.servers_below(path) if process.pid in _postmaster_pids(path))
    for postmaster in postmasters:
        with suppress(PermissionError):
            processes.send(postmaster, signal.SIGQUIT)
    processes.wait_gone(postmasters, _SHUTDOWN_S)
    if left := processes.kill_all(lambda: (*processes.living(ended), *strays()), _KILL_S):
        raise DryRunError(
            f"Process {', '.join(str(process.pid) for process in left)} of run {path.name} could not be ended.",
            "Something the dry run started is still running.",
            "End it by hand, as the user it runs as.",
        )
    return ended


def _postmaster_pids(path: Path) -> set[int]:
    """Read the numbers of the servers from the first line of each `postmaster.pid` (storage-file-layout)."""
    found: set[int] = set()
    for pattern in ("*/postmaster.pid", "*/*/postmaster.pid"):
        for file in path.glob(pattern):
            with suppress(OSError, ValueError, IndexError):
                found.add(int(file.read_text().split()[0]))
    return found


def _journalled(path: Path) -> tuple[Process, ...]:
    entries = [entry.name.split("-", 2) for entry in (path / "journal").glob("process-*")]
    return tuple(Process(int(pid), started) for _, pid, started in entries)


def _containers(path: Path) -> tuple[str, ...]:
    return tuple(sorted(entry.name.removeprefix("container-") for entry in (path / "journal").glob("container-*")))


def _not_removed(path: Path, name: str, remove_container: Callable[[str], None] | None) -> str:
    """Remove one container and its note; a text says why it is still there."""
    if remove_container is None:
        return "was left: nothing here can reach its engine."
    try:
        remove_container(name)
    except DryRunError as error:
        return f"could not be removed: {error.what}"
    (path / "journal" / f"container-{name}").unlink(missing_ok=True)
    return ""


def _remove(path: Path, *, keep_journal: bool) -> None:
    try:
        for entry in path.iterdir():
            if keep_journal and entry.name in {"journal", "lock"}:
                continue
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        if not keep_journal:
            path.rmdir()
    except OSError as error:
        raise DryRunError(
            f"The folder {path} could not be removed: {error.strerror or error}.",
            "A copy of the database may still lie there.",
            f"Remove {path} by hand.",
        ) from error
