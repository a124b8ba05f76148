"""Memory, processor time and load of a whole host, sampled there from /proc and read here while a run goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from pytest_dryrun.hosts import Host
from pytest_dryrun.hosts.output import lines
from pytest_dryrun.model.errors import CommandFailed, TargetUnusable
from pytest_dryrun.probes.host_look import SCRIPT, Door, Look, Process, cores_and_looks, door
from pytest_dryrun.probes.usage import Account, LoadCurve, Resources, Seen, Tally, Usage

SERVER, API = "PostgreSQL", "API"
_LONGEST_S = 24 * 3600.0
# It is looked once a second; a host that is too busy for that is slow, and not silent.
_SILENT_S = 10.0
_PATIENCE_S = 15.0
_KIND = "RSS, what is shared counted once"
_MOST_PROGRAMS = 5

_Key = tuple[int, float]


@dataclass(slots=True)
class _Group:
    """Some processes of the host: what they hold alone, and what they share once."""

    account: Account = field(default_factory=Account)
    tally: Tally[_Key] = field(default_factory=Tally)
    titles: dict[str, None] = field(default_factory=dict)

    def add(self, t_s: float, processes: Iterable[Process], last_at_s: float) -> int:
        """Enter a look and tell the memory in use, in bytes; what had begun at the last one had used its time then."""
        seen = {(one.pid, one.start_s): one for one in processes}
        memory_bytes = sum(one.private_bytes for one in seen.values())
        memory_bytes += max((one.shared_bytes for one in seen.values()), default=0)
        used_s = self.tally.gained_s(
            {key: Seen(one.pid, one.parent, one.cpu_s) for key, one in seen.items()}, lambda key: key[1] < last_at_s
        )
        self.account.add(t_s, used_s=used_s, memory_bytes=memory_bytes, processes=len(seen))
        self.titles |= {one.title: None for one in seen.values()}
        return memory_bytes


@dataclass(slots=True)
class _Books:
    """Everything that the looks so far came to."""

    server: _Group = field(default_factory=_Group)
    api: _Group = field(default_factory=_Group)
    rest: Account = field(default_factory=Account)
    load: LoadCurve = field(default_factory=LoadCurve)
    first: Look | None = None
    last: Look | None = None
    looks: int = 0
    memory_peak_bytes: int = 0
    veiled: bool = False
    listeners: dict[str, None] = field(default_factory=dict)

    def add(self, look: Look) -> None:
        """Enter a look; the rest is what the machine did, less what is known whose it was."""
        first, last = self.first or look, self.last or look
        t_s = look.at_s - first.at_s
        known_bytes = sum(
            group.add(t_s, processes, last.at_s)
            for group, processes in ((self.server, look.server), (self.api, look.api))
        )
        known_s = self.server.account.used_s + self.api.account.used_s
        self.rest.add(
            t_s,
            used_s=max(0.0, look.busy_s - first.busy_s - known_s - self.rest.used_s),
            memory_bytes=max(0, look.memory_bytes - known_bytes),
            processes=0,
        )
        self.load.add(t_s, look.load)
        self.first, self.last, self.looks = first, look, self.looks + 1
        self.memory_peak_bytes = max(self.memory_peak_bytes, look.memory_bytes)
        self.veiled = self.veiled or look.veiled
        self.listeners[look.listener] = None


class HostSampler:
    """Samples a host from `start` to `stop`, once a second, by one command that stays.

    The API's processes are those that serve the port of `base_url` there. Whose a process is that nobody can tell is
    not guessed: it is in the rest, which says so by its name. What is judged begins at `mark`.
    """

    def __init__(self, host: Host, base_url: str = "") -> None:
        self._host = host
        self._base_url = base_url
        self._door: Door | None = door(base_url) if base_url else None
        self._ended = threading.Event()
        self._first = threading.Event()
        self._marking, self._marked = False, threading.Event()
        self._thread = threading.Thread(target=self._watch, name="dryrun-host-resources", daemon=True)
        self._books = self._whole = _Books()
        self._cores = 1
        self._failure = ""
        self._began = self._looked_at = self._ended_at = 0.0

    def start(self) -> None:
        """Begin; the first look is there when this returns, or what kept it away is told by `stop`."""
        self._began = time.monotonic()
        self._thread.start()
        self._first.wait(timeout=_PATIENCE_S)

    def mark(self) -> None:
        """Let what `stop` tells begin here; all from `start` on is its `whole` then."""
        self._began = time.monotonic()
        self._marking = True
        if self._thread.is_alive():
            self._marked.wait(timeout=_PATIENCE_S)

    def end(self) -> None:
        """Leave the host alone; may be called twice."""
        self._ended_at = self._ended_at or time.monotonic()
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=_PATIENCE_S)

    def stop(self) -> Resources:
        """Tell what was used; may be called twice. Raises TargetUnusable where it was not watched to the end."""
        self.end()
        books, last = self._books, self._books.last
        silent_s = self._ended_at - self._looked_at
        failure = self._failure
        if not failure and last is None:
            failure = "it never answered."
        elif not failure and (self._marking or books.looks < 2 or silent_s > _SILENT_S):
            failure = f"it hardly answered, the last time {silent_s:.0f} s before the end."
        if failure or last is None:
            raise TargetUnusable(
                f"Memory and CPU of {self._host.name} were not measured: {failure}",
                "What the migrated application needs is not known.",
                "Check that the host has /proc, getconf, awk and ls, and what ended the command there.",
            )
        whole = self._told(self._whole) if self._whole is not books else None
        return replace(self._told(books), duration_ms=(time.monotonic() - self._began) * 1000, whole=whole)

    def _told(self, books: _Books) -> Resources:
        first, last = books.first, books.last
        return Resources(
            duration_ms=(last.at_s - first.at_s) * 1000 if first and last else 0.0,
            samples=books.looks,
            memory_total_bytes=last.total_bytes if last else 0,
            memory_peak_bytes=books.memory_peak_bytes,
            cpu_count=self._cores,
            load=books.load.result(self._cores),
            groups=self._groups(books),
        )

    def _groups(self, books: _Books) -> tuple[Usage, ...]:
        server, api = self._server(books), self._api(books)
        mixed = [SERVER] if books.veiled else []
        mixed += [API] if api and api.not_measured else []
        rest = f"{', '.join(mixed)} and everything else" if mixed else "Everything else"
        return (server, *([api] if api else []), books.rest.usage(rest, "used of the machine's"))

    def _server(self, books: _Books) -> Usage:
        veiled = "the host shows the login user no processes of other users (hidepid)" if books.veiled else ""
        unseen = "no process of it was seen on the host"
        return _usage(SERVER, books.server, veiled or unseen, partly=veiled)

    def _api(self, books: _Books) -> Usage | None:
        if not self._base_url:
            return None
        doubt = self._doubt(books)
        programs = tuple(books.api.titles)[:_MOST_PROGRAMS]
        nobody = f"nobody was seen to listen on port {self._door.port} of the host" if self._door else ""
        return _usage(API, books.api, doubt or nobody, partly=doubt, programs=programs)

    def _doubt(self, books: _Books) -> str:
        """Why some or all of the API's processes may be others than those that were seen; empty where none are."""
        if self._door is None:
            return f"{self._base_url} need not lead to the host itself, as a URL with 127.0.0.1 or localhost would"
        for state in books.listeners:
            what, _, whose = state.partition(" ")
            if what == "hidden":
                return (
                    f"port {self._door.port} belongs to a process of the user with number {whose},"
                    " which the login user may not look into"
                )
            if what == "passes":
                return f"on port {self._door.port} listens {whose}, which passes on what it is asked"
        return ""

    def _watch(self) -> None:
        arguments = self._door.arguments if self._door else ("", "")
        try:
            with self._host.stream(["sh", "-c", SCRIPT, "sh", *arguments], timeout_s=_LONGEST_S) as chunks:
                self._read(lines(chunks))
        except CommandFailed as error:
            self._fail(error.what)
        except ValueError as error:
            self._fail(f"what it said was not understood: {error}.")
        finally:
            self._first.set()
            self._marked.set()

    def _read(self, given: Iterable[str]) -> None:
        for found in cores_and_looks(given):
            if isinstance(found, int):
                self._cores = found
                continue
            if self._marking:
                self._books, self._marking = _Books(), False
            self._books.add(found)
            self._looked_at = time.monotonic()
            if self._whole is not self._books:
                self._whole.add(found)
                self._marked.set()
            self._first.set()
            if self._ended.is_set() and self._books.looks > 1:
                return
        self._fail("the command there ended by itself.")

    def _fail(self, why: str) -> None:
        """Keep why the watch ended early: what was used from then on nobody knows."""
        if not (self._ended.is_set() and self._books.looks > 1):
            self._failure = why


def _usage(name: str, group: _Group, unseen: str, *, partly: str, programs: tuple[str, ...] = ()) -> Usage:
    if not group.account.processes_peak:
        return Usage(name, None, "", None, None, 0, not_measured=unseen)
    return group.account.usage(name, _KIND, partly, programs)
