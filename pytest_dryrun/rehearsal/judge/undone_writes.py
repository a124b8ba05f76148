"""Rows that a statement wrote and an exception handler took back: the migration counts as applied without them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import psycopg

from pytest_dryrun.model.scripts import Location
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.rehearsal.judge.undone import DONE_ALREADY, RAISED, Handler, handlers_of
from pytest_dryrun.rehearsal.observe.observation import Observed
from pytest_dryrun.sql.places import words

# A row that is there already is refused, or somebody else was first: the block is left out, or done once more.
_REFUSED = frozenset({"unique_violation", "exclusion_violation", "23505", "23p01"})
_MORE_THAN_A_ROW = frozenset({"update", "delete", "merge", "select"})
_ONCE_MORE = frozenset(
    {"lock_not_available", "deadlock_detected", "serialization_failure", "55p03", "40p01", "40001", "57014"}
)
# Functions of the user's, and for each table those that its triggers run.
_FUNCTIONS = "SELECT proname, prosrc FROM pg_catalog.pg_proc WHERE oid >= 16384 AND prosrc IS NOT NULL"
_TRIGGERS = """
SELECT format('%I.%I', n.nspname, c.relname), p.proname FROM pg_catalog.pg_trigger t
  JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid WHERE NOT t.tgisinternal
"""


def undone_writes(
    observed: Sequence[Observed], *databases: psycopg.Connection[tuple[object, ...]]
) -> tuple[Finding, ...]:
    """Find statements that wrote rows which an exception handler undid; judge only what applied.

    The server counts what was written and undone again, and gives a part of a transaction that wrote something a number
    of its own. `databases` are asked for the functions and triggers that a statement may run. Who raises an exception
    to undo a trial, and catches just that, means it. A row that is refused because it is there already is ordinary
    work, and so is a handler that writes something else: both are warnings, for what stood before it in the block is
    undone as well.
    """
    found = []
    for one in observed:
        unknown = not one.looked  # its transaction had ended before anybody could ask what it had written
        if not one.taken_back or not (one.wrote or unknown) or one.undone or _told_already(one):
            continue
        handlers = handlers_of(one.run.sql)
        called = not handlers
        if called:
            handlers = tuple(_called(one, databases))
        named = frozenset(name.lower() for handler in handlers for name in handler.catches)
        if not handlers or named <= RAISED:
            continue
        found.append(_finding(one, handlers, called=called))
    return tuple(found)


def _told_already(one: Observed) -> bool:
    """Whether DDL in it failed or was undone, which is told of itself."""
    return bool(one.failed) or any(each.taken_back for each in one.commands)


def _finding(one: Observed, handlers: Sequence[Handler], *, called: bool) -> Finding:
    names = tuple(dict.fromkeys(name for handler in handlers for name in handler.catches))
    where = Location(one.run.migration or None, one.run.line or None, one.run.sql)
    by = f"EXCEPTION WHEN {' OR '.join(names)}" + (" in a function that it runs" if called else "")
    tables = list(one.wrote)
    known = [table for table in tables if not table.startswith("relation ")]
    few = ", ".join(known[:3]) + (f" and {len(known) - 3} more tables" if len(known) > 3 else "")
    mild = _is_ordinary(one, handlers)
    cure = (
        "Look whether that block wrote anything else."
        if mild
        else "Let the error fail the migration, or catch only the error that you expect and do its work in the handler."
    )
    times = f", {one.taken_back:,} times" if one.taken_back > 1 else ""
    text = (
        f"{where.head}: it wrote rows{f' in {few}' if few else ''}, then an error came, and {by} caught it."
        f" PostgreSQL undid what that block had written{times}. The migration counts as applied, and"
        f" those rows are not there. {cure}"
    )
    evidence = {
        "caught_by": list(names),
        "undone": one.taken_back,
        "written": {key: n for key, (n, _) in one.wrote.items()},
    }
    severity = Severity.WARNING if mild else Severity.BLOCKER
    table = known[0] if len(known) == 1 else None
    return Finding("rolled-back-itself", severity, text, where.migration, where.line, table, evidence=evidence)


def _is_ordinary(one: Observed, handlers: Sequence[Handler]) -> bool:
    """Whether this may be an upsert, or work that is tried again: what the handlers catch and do tells."""
    expected = _REFUSED | _ONCE_MORE | DONE_ALREADY | RAISED
    if all(handler.works or {name.lower() for name in handler.catches} <= expected for handler in handlers):
        return True
    refused = any(not _REFUSED.isdisjoint(name.lower() for name in handler.catches) for handler in handlers)
    if not one.wrote:
        text = list(words(one.run.sql))
        row_by_row = "values" in text and text.count("insert") <= one.taken_back
        return not _MORE_THAN_A_ROW & set(text) and (refused or row_by_row)
    written, inserted = (sum(rows[place] for rows in one.wrote.values()) for place in (0, 1))
    # Each block that was undone had inserted the one row that was refused.
    return written == inserted and (refused or written <= one.taken_back)


def _called(one: Observed, databases: Sequence[psycopg.Connection[tuple[object, ...]]]) -> Iterator[Handler]:
    """The handlers of every function that the statement names, or that a trigger on a table it wrote to runs."""
    bodies: dict[str, str] = {}
    waiting = set(words(one.run.sql))
    for database in databases:
        for name, body in database.execute(_FUNCTIONS):
            bodies[str(name)] = f"{bodies.get(str(name), '')};{body}"
        waiting |= {str(name) for table, name in database.execute(_TRIGGERS) if table in one.wrote}
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in bodies and name not in seen:
            seen.add(name)
            waiting |= set(words(bodies[name]))
            yield from handlers_of(bodies[name])
