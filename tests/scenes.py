"""Real rehearsals for tests of judges: a database, an untouched copy of it, and migrations run on the other."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.catalog import read_catalog
from pytest_dryrun.postgres.catalog.difference import difference
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.rehearsal.judge.causes import causes
from pytest_dryrun.rehearsal.judge.destructive import destructive
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.sql.statements import cut
from pytest_dryrun.steps import running_release
from pytest_dryrun.steps.running_release import Trial, Tried

B, W, I = Severity.BLOCKER, Severity.WARNING, Severity.INFO  # noqa: E741  (as in the contract's columns)


def migration(text: str, name: str = "20260301_change") -> Migration:
    """A pending migration with this text."""
    return Migration(name, f"{name}/migration.sql", text, "", cut(text))


@contextmanager
def prepared(postgres: Conninfo, setup: str, *pending: str) -> Iterator[tuple[Conninfo, Conninfo, list[Migration]]]:
    """A database that `setup` made, a copy of it, and the files that are pending."""
    names = [f"test_{uuid.uuid4().hex[:12]}" for _ in range(2)]
    template, copy = (postgres.database(name) for name in names)
    files = [migration(text, f"2026030{number}_change") for number, text in enumerate(pending, 1)]
    with connect(postgres) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(names[0])))
        with connect(template, settings={"search_path": "public"}) as connection:
            connection.execute(setup)  # type: ignore[call-overload]
        both = (sql.Identifier(name) for name in reversed(names))
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*both))
    try:
        yield template, copy, files
    finally:
        with connect(postgres) as admin:
            for name in names:
                admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _scene(untouched: psycopg.Connection[Any], migrated: psycopg.Connection[Any], files: list[Migration]) -> Scene:
    before, after = read_catalog(untouched, members=True), read_catalog(migrated, members=True)
    changes = difference(before, after, follow_oids=True)
    return Scene(before, after, changes, (), files, untouched, migrated)


@contextmanager
def rehearsed(postgres: Conninfo, setup: str, *pending: str) -> Iterator[Scene]:
    """What judges see after `pending` ran, file by file, on a copy of a database that `setup` made."""
    with prepared(postgres, setup, *pending) as (template, copy, files):
        for text in pending:
            with connect(copy, settings={"search_path": "public", "allow_system_table_mods": "on"}) as connection:
                connection.execute(text)  # type: ignore[call-overload]
        with connect(template) as untouched, connect(copy) as migrated:
            yield _scene(untouched, migrated, files)


@contextmanager
def released_copies(
    postgres: Conninfo,
    setup: str,
    *pending: str,
    time_limit_s: float = 60,
    statements: tuple[str, ...] = (),
    first: Callable[[Conninfo], object] = lambda _: None,
) -> Iterator[tuple[Conninfo, Conninfo, Tried]]:
    """Both databases, and what the trial of the running release says, with what other judges name of its causes.

    `first` is called with the untouched database before anything is migrated: roles are the whole server's.
    """
    trial = Trial(f"test_{uuid.uuid4().hex[:12]}", time_limit_s, statements)
    with prepared(postgres, setup, *pending) as (template, copy, files):
        first(template)
        practised = running_release.before(postgres, template, trial, files, frozenset())
        for file in files:
            with connect(copy, settings={"search_path": "public", "allow_system_table_mods": "on"}) as connection:
                connection.execute(file.sql)  # type: ignore[call-overload]
        with connect(template) as untouched, connect(copy) as migrated:
            scene = _scene(untouched, migrated, files)
            release, others = causes(scene), destructive(scene)
        yield template, copy, running_release.after(postgres, copy, trial, practised, files, release, others)


@contextmanager
def released(postgres: Conninfo, setup: str, *pending: str, **how: Any) -> Iterator[Tried]:
    """What the trial of the running release says of `pending`."""
    with released_copies(postgres, setup, *pending, **how) as (_, _, tried):
        yield tried


def short(findings: tuple[Finding, ...]) -> list[tuple[str, Severity, str | None]]:
    """Rule, severity and table of each finding, sorted."""
    return sorted((item.rule, item.severity, item.table) for item in findings)
