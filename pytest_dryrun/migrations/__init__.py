"""Migrations as a project keeps them: what is on disk, what the database says it has, and how they are applied."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import psycopg

from pytest_dryrun.model.scripts import Migration, Statement
from pytest_dryrun.model.values import Finding
from pytest_dryrun.postgres.connection import Conninfo


@dataclass(frozen=True, slots=True)
class Status:
    """What disk and database say together, at one moment.

    `mode` is how a file is executed, `whole-file` or `per-statement`, and `mode_reason` why.
    `findings` carry every state that is not simply applied or pending (drift, edited, missing or failed migrations).
    """

    tool: str
    version: str
    mode: str
    mode_reason: str
    applied: tuple[str, ...]
    pending: tuple[Migration, ...]
    current: str | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Deployment:
    """What an apply did: names in order, wall time, the server's notices (cut at a sensible length)."""

    applied: tuple[str, ...]
    duration_ms: float
    notices: tuple[str, ...] = ()
    output: str = ""
    warnings: tuple[str, ...] = field(default=())


# Tables of a migration tool's own, by schema and name, both without quotes.
History = frozenset[tuple[str, str]]


class Observer(Protocol):
    """Watches an apply on a disposable copy, statement by statement."""

    def connected(self, connection: psycopg.Connection[Any]) -> None:
        """The migrating session is open.

        While a transaction is open in it, the observer may ask it what the catalogs and statistics say, and no more:
        nothing that a migration could notice.
        """
        ...

    def follows(self, migration: str, statement: Statement) -> bool:
        """Whether the statement is one more of a run of its like, at which nobody looks singly."""
        ...

    def before(self, migration: str, statement: Statement, *, alone: bool = False) -> None:
        """The statement is sent next; `alone` in a transaction that was begun for it and ends after `after`.

        The same statement once more means that it was refused in such a transaction and is sent without one.
        """
        ...

    def after(self, migration: str, statement: Statement, duration_ms: float) -> None:
        """The statement ended, well or not."""
        ...

    def ended(self, migration: str) -> None:
        """The script's last statement ended well; its transaction may still be open."""
        ...


class Migrations(Protocol):
    """A migration tool's folder, history and way of applying."""

    @property
    def tool(self) -> str:
        """`prisma` or `sql`."""
        ...

    def history(self) -> History:
        """The tables that are the tool's own bookkeeping."""
        ...

    def folder(self) -> tuple[Migration, ...]:
        """Read the folder in the order the tool applies it; raises ConfigurationError for what it could not run."""
        ...

    def status(self, connection: psycopg.Connection[Any]) -> Status:
        """Compare folder and history, read-only; raises TargetUnusable when the history cannot be read."""
        ...

    def deploy(
        self, conninfo: Conninfo, *, timeout_s: float, through: str | None = None, observer: Observer | None = None
    ) -> Deployment:
        """Apply what is pending (up to and including `through`), with the tool's own bookkeeping.

        With an `observer` the statements of a file are stepped one by one, inside one transaction where the tool would
        have sent the file whole, so that each can be watched. Raises MigrationFailed.
        """
        ...
