"""One dry run of a target at a time on this machine: who writes its reports holds their folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

import pytest


def lock(directory: Path) -> IO[str]:
    """Hold a target's folder for this run; UsageError when another dry run has it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = (directory / ".lock").open("a+")
    except OSError as error:
        raise pytest.UsageError(
            f"The report folder {directory} cannot be written: {error.strerror}.\n"
            "Without a report there is no decision, so nothing was run and nothing was touched.\n"
            "Make it writable, or name another one with --dryrun-report."
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        holder = handle.read().strip() or "unknown"
        handle.close()
        raise pytest.UsageError(
            f"Another dry run of this target is going on (process {holder}).\n"
            "Two at once would judge each other's work, so this one did nothing.\n"
            "Wait for it, or give this one its own --dryrun-report and target."
        ) from None
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle
