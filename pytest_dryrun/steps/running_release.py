"""The running release: what it does is tried on copies that are thrown away, before the migrations and after them.

The first pass has to end before anything is migrated on that server: roles, memberships and roles' settings belong to
the whole of it. Neither pass uses the template or the rehearsed copy itself: counters of tuples would move there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from pytest_dryrun.migrations import History
from pytest_dryrun.model.errors import DryRunError, TargetUnusable
from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.model.values import Finding
from pytest_dryrun.postgres import databases
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.rehearsal.judge.scene import is_history
from pytest_dryrun.rehearsal.release.practice import NotTried, Practised, practise
from pytest_dryrun.rehearsal.release.replay import replay
from pytest_dryrun.rehearsal.release.verdict import confirmed, verdict

# Of the time limit, what the untouched data may take: there everything is tried by several ways.
_FIRST = 0.6


@dataclass(frozen=True, slots=True)
class Trial:
    """How the running release is tried: what the throw-away copy is called, and how long that may take in all.

    `statements` are known to be sent by it.
    """

    copy: str
    time_limit_s: float
    statements: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Tried:
    """What trying came to: findings, how many statements were tried, what could not be, and how long it took."""

    findings: tuple[Finding, ...] = ()
    statements: int = 0
    relations: int = 0
    not_tried: tuple[NotTried, ...] = field(default=())
    duration_ms: float = 0.0
    trouble: DryRunError | None = None

    def hold(self) -> None:
        """Raise what kept the running release from being tried."""
        if self.trouble is not None:
            raise self.trouble

    def as_document(self) -> dict[str, Any]:
        """As the report holds it."""
        return {
            "statements": self.statements,
            "relations": self.relations,
            "not_tried": [str(item) for item in self.not_tried],
            "duration_ms": round(self.duration_ms, 1),
        }


def before(
    admin: Conninfo, template: Conninfo, trial: Trial, pending: Sequence[Migration], history: History
) -> Practised | DryRunError:
    """Try everything that the release may do on a copy of the untouched data.

    An error is kept: it belongs to the check of the running release, and what else the rehearsal shows goes on.
    """
    text = "\n".join(migration.sql for migration in pending)
    try:
        with _thrown_away(admin, template, trial.copy) as connection:
            deadline = time.monotonic() + trial.time_limit_s * _FIRST
            return practise(connection, text, lambda name: is_history(name, history), deadline, trial.statements)
    except DryRunError as error:
        return error


def after(
    admin: Conninfo,
    migrated: Conninfo,
    trial: Trial,
    practised: Practised | DryRunError,
    pending: Sequence[Migration],
    release: Sequence[Finding],
    others: Sequence[Finding],
) -> Tried:
    """Try it again on a copy of the migrated data, to which nobody is connected.

    `release` are findings about the running release that were made without trying, `others` all others: who names
    a cause keeps it.
    """
    if isinstance(practised, DryRunError):
        return Tried(tuple(release), trouble=practised)
    try:
        with _thrown_away(admin, migrated, trial.copy) as connection:
            spent_s = min(practised.duration_ms / 1000, trial.time_limit_s * _FIRST)
            done = replay(connection, practised, time.monotonic() + trial.time_limit_s - spent_s)
    except DryRunError as error:
        return Tried(tuple(release), trouble=error)
    special = confirmed(release, done.breaks)
    return Tried(
        (*special, *verdict(pending, done.breaks, (*special, *others))),
        done.tried,
        sum(bool(one) for one in practised.proven.values()),
        (*practised.not_tried, *done.not_tried),
        practised.duration_ms + done.duration_ms,
    )


@contextmanager
def _thrown_away(admin: Conninfo, source: Conninfo, name: str) -> Iterator[psycopg.Connection[Any]]:
    """A session on a copy that is dropped afterwards."""
    copy = databases.copy(admin, source.dbname, name)
    try:
        with connect(copy) as connection:
            yield connection
    except psycopg.Error as error:
        raise TargetUnusable(
            f"What the running release does could not be tried: {' '.join(str(error).split())}",
            "Whether it keeps working is not known, so the dry run cannot say so.",
            "Look at the server's log, and run again.",
        ) from error
    finally:
        databases.drop(admin, name)
