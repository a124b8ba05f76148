"""What a failed migration itself left behind: its database beside one that stands where the last good file left it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import psycopg

from pytest_dryrun.migrations import History, Migrations
from pytest_dryrun.model.errors import DryRunError
from pytest_dryrun.model.values import Change, Finding, Severity, TableComparison
from pytest_dryrun.postgres import databases
from pytest_dryrun.postgres.catalog import Catalog, read_catalog
from pytest_dryrun.postgres.catalog.difference import difference
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.postgres.fingerprint import Fingerprint
from pytest_dryrun.postgres.roles import Roles, as_before
from pytest_dryrun.rehearsal.judge.scene import is_history
from pytest_dryrun.steps.comparing import compare_tables

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a database is: its catalog, and what became of the tables that the template began with."""

    catalog: Catalog
    tables: tuple[TableComparison, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """Where every copy begins, and how one is brought to the last good file: natively, as `login` where there is one.

    `name` is what the copy is called on the server that `admin` leads to; `prints` are the template's own figures,
    `roles` the server's before anything was applied.
    """

    admin: Conninfo
    template: Conninfo
    prints: Fingerprint
    name: str
    native: Migrations
    login: Conninfo | None
    roles: Roles
    timeout_s: float

    def reached(self, conninfo: Conninfo, *, copied: bool) -> Reached:
        """How far a database is that began like the template; `copied` as `compare_tables` has it."""
        tables = compare_tables(self.prints, self.template, conninfo, copied=copied)
        with connect(conninfo, statement_timeout_s=self.timeout_s) as connection:
            return Reached(read_catalog(connection), tables)

    def through(self, good: Sequence[str]) -> Reached:
        """How far a new copy is after these files; it is dropped again. Raises DryRunError or psycopg.Error."""
        if not good:
            with connect(self.template, statement_timeout_s=self.timeout_s) as connection:
                return Reached(read_catalog(connection), ())
        conninfo = databases.copy(self.admin, self.template.dbname, self.name)
        try:
            applying = self.login.database(self.name) if self.login else conninfo
            with ExitStack() as behind:
                behind.enter_context(as_before(self.admin, self.roles))
                behind.callback(databases.drop, self.admin, self.name)  # which may refer to roles that go
                self.native.deploy(applying, timeout_s=self.timeout_s, through=good[-1])
                return self.reached(conninfo, copied=True)
        finally:
            databases.drop(self.admin, self.name)


def partial(
    start: Start,
    good: Sequence[str],
    found: Reached,
    *,
    migration: str | None,
    history: History,
) -> tuple[Finding, ...]:
    """What the file behind the last good one left in a database, as a finding; none where it left nothing.

    `found` is how far that database is.
    """
    what = migration or "The migration that failed"
    try:
        left = differences(start.through(good), found, history)
    except (DryRunError, psycopg.Error) as error:
        why = str(error).strip().splitlines()[0]
        text = (
            f"Whether {what} left part of its work behind is not known: the files before it ({', '.join(good)}) could"
            f" not be applied to another copy. {why}"
        )
        return (Finding("partially-applied", Severity.BLOCKER, text, migration),)
    if not left:
        return ()
    more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
    text = (
        f"{what} left part of its work behind: {'; '.join(left[:SHOWN])}{more}."
        " It has to be undone or finished by hand."
    )
    return (Finding("partially-applied", Severity.BLOCKER, text, migration, evidence={"left": left[:50]}),)


def differences(expected: Reached, found: Reached, history: History) -> list[str]:
    """Objects by name, then tables whose rows are other ones; a tool's own tables are left out.

    Where the good files themselves changed a table's values, two runs of them need not give the same ones (now(),
    random()): there the numbers of rows speak alone.
    """
    # A copy has no subscriptions, and the target may.
    catalogs = (each.catalog.without("subscription") for each in (expected, found))
    left = [
        f"{change.kind} {change.identity} {change.action.value}"
        for change in difference(*catalogs, follow_oids=False)
        if not is_history(change.parent or change.identity, history)
    ]
    before = {table.table: table for table in expected.tables}
    for table in found.tables:
        if table.change is Change.DROPPED or is_history(table.table, history):
            continue
        good = before.get(table.table)
        if good is None or good.change is Change.NONE:
            if table.change in {Change.ROWS_ADDED, Change.ROWS_LOST, Change.CONTENT_CHANGED}:
                left.append(f"rows of {table.table}: {table.change.value}")
        elif good.rows_after != table.rows_after:
            left.append(f"rows of {table.table}: {good.rows_after} without it, {table.rows_after} with it")
    return left
