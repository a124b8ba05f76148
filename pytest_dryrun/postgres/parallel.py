"""Working through tables over several connections, the largest first."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, CancelledError, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import psycopg

Worker = TypeVar("Worker")
Item = TypeVar("Item")
Result = TypeVar("Result")

_CANCEL_TIMEOUT_S = 5.0
_POLL_S = 0.2  # how late a `stop` from outside is seen


def spread(
    workers: Sequence[Worker],
    items: Sequence[Item],
    work: Callable[[Worker, Item], Result],
    connections: Sequence[psycopg.Connection[tuple[Any, ...]]],
    stop: threading.Event | None = None,
) -> list[Result]:
    """Give each worker the next item as soon as it is free; the results come in any order.

    The first error, Ctrl-C and whoever sets `stop` end the work: statements that still run on `connections` are
    cancelled. Raises CancelledError where `stop` ended it.
    """
    queue = deque(items)
    results: list[Result] = []
    halt = threading.Event()

    def drain(worker: Worker) -> None:
        while not halt.is_set():
            try:
                item = queue.popleft()
            except IndexError:
                return
            try:
                results.append(work(worker, item))
            except BaseException:
                halt.set()
                raise

    with ThreadPoolExecutor(max_workers=len(workers), thread_name_prefix="dryrun-tables") as pool:
        running = [pool.submit(drain, worker) for worker in workers]
        try:
            _collect(running, stop)
        except BaseException:
            halt.set()
            # Again and again: a statement that begins just after one cancellation is not touched by it.
            while not all(future.done() for future in running):
                for connection in connections:
                    if not connection.closed:
                        connection.cancel_safe(timeout=_CANCEL_TIMEOUT_S)
                wait(running, timeout=_POLL_S)
            raise
    return results


def _collect(running: Sequence[Future[None]], stop: threading.Event | None) -> None:
    """Wait for everybody; raise the first error, or CancelledError once `stop` is set."""
    pending = set(running)
    while pending:
        done, pending = wait(pending, timeout=_POLL_S, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
        if pending and stop is not None and stop.is_set():
            raise CancelledError
