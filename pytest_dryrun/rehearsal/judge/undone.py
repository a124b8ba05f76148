"""Work that a migration undid itself: it counts as applied, and is not there. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pytest_dryrun.model.errors import MigrationFailed
from pytest_dryrun.model.scripts import Location, Migration
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.rehearsal.observe.observation import Observed
from pytest_dryrun.sql.places import CLOSE, OPEN, words

_ROLLBACK = re.compile(r"\s*(ROLLBACK|ABORT)\b(?!\s+PREPARED\b)(?!.*\bTO\b)", re.IGNORECASE)
_TO = re.compile(
    r"""\s*ROLLBACK\s+(?:(?:WORK|TRANSACTION)\s+)?TO\s+(?:SAVEPOINT\s+)?(?P<name>\S+)""", re.IGNORECASE | re.VERBOSE
)
# What an exception handler may catch without hiding anything: that something is there already, or gone already.
DONE_ALREADY = frozenset(
    {
        *("duplicate_object", "duplicate_table", "duplicate_column", "duplicate_function", "duplicate_schema"),
        *("undefined_object", "undefined_table", "undefined_column", "undefined_function", "invalid_schema_name"),
        *("42710", "42p07", "42701", "42723", "42p06", "42704", "42p01", "42703", "42883", "3f000"),
    }
)
RAISED = frozenset({"raise_exception", "p0001"})
# What a handler may do in place of what failed.
_WORK = frozenset({"insert", "update", "delete", "merge", "execute", "call"})
_SAVEPOINT = re.compile(r"\s*SAVEPOINT\s+(\S+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Handler:
    """One exception handler: the conditions it catches, as it spells them, and whether it writes something itself."""

    catches: tuple[str, ...] = ()
    works: bool = False


def applied_only(observed: Sequence[Observed], error: MigrationFailed | None) -> tuple[Observed, ...]:
    """Leave out what a migration that failed did, and whatever the server undid together with it."""
    if error is None:
        return tuple(observed)
    if error.migration is None:
        return ()
    failed = {one.transaction for one in observed if one.run.migration in ("", error.migration)}
    return tuple(one for one in observed if one.transaction not in failed)


def undone(observed: Sequence[Observed], migrations: Sequence[Migration]) -> tuple[Finding, ...]:
    """Find transactions that did work and were rolled back although nothing failed; judge only what applied.

    Work that the same run did again in a transaction that was committed is there. A ROLLBACK TO a savepoint leaves the
    rest of its transaction, so it is a warning.
    """
    kept = {_text(one) for one in observed if not one.undone}
    by_transaction: dict[tuple[str, str], list[Observed]] = {}
    for one in observed:
        if one.undone and _text(one) not in kept:
            by_transaction.setdefault((one.run.migration, one.transaction), []).append(one)
    ends = {one.transaction: one for one in observed if _ROLLBACK.match(one.run.sql)}
    whole = (_finding(lost, ends.get(key[1]), migrations) for key, lost in by_transaction.items())
    return (*whole, *_to_savepoints(observed))


def _finding(lost: Sequence[Observed], end: Observed | None, migrations: Sequence[Migration]) -> Finding:
    first = lost[0].run
    migration = first.migration or (migrations[0].name if len(migrations) == 1 else "")
    line = (end or lost[0]).run.line
    where = Location(migration or None, line or None, first.sql)
    who = "a ROLLBACK in the file undid" if end is not None else "a transaction that was rolled back had done"
    return Finding(
        "rolled-back-itself",
        Severity.BLOCKER,
        f"{where.head}: {who} {_said(lost)}. Nothing failed, so the migration is recorded as applied, and that is not"
        " there. Write COMMIT where it says ROLLBACK, or take the statements out.",
        migration=migration or None,
        line=line or None,
        evidence={"undone": [one.run.sql[:200] for one in lost[:20]]},
    )


def _to_savepoints(observed: Sequence[Observed]) -> Iterator[Finding]:
    since: dict[str, int] = {}
    transaction = ""
    for position, one in enumerate(observed):
        if one.transaction != transaction:
            since, transaction = {}, one.transaction
        if made := _SAVEPOINT.match(one.run.sql):
            since[made[1].lower()] = position
        back = _TO.match(one.run.sql)
        if back is None or back["name"].lower() not in since:
            continue
        lost = [each for each in observed[since[back["name"].lower()] : position] if each.commands or each.rewrites]
        if lost:
            where = Location(one.run.migration or None, one.run.line or None, one.run.sql)
            yield Finding(
                "rolled-back-itself",
                Severity.WARNING,
                f"{where.head}: ROLLBACK TO undid {_said(lost)}. Take both out, or RELEASE the savepoint.",
                migration=where.migration,
                line=where.line,
                evidence={"undone": [each.run.sql[:200] for each in lost[:20]]},
            )


def caught(observed: Sequence[Observed]) -> tuple[Finding, ...]:
    """Find DDL commands whose error an exception handler caught; judge only what applied.

    A handler for nothing but what says that the work is done already is ordinary, idempotent work.
    """
    found = []
    for one in observed:
        handled = conditions(one.run.sql)
        if not one.failed or (handled and {name.lower() for name in handled} <= DONE_ALREADY):
            continue
        where = Location(one.run.migration or None, one.run.line or None, one.run.sql)
        by = f"EXCEPTION WHEN {' OR '.join(handled)}" if handled else "an EXCEPTION block of what it calls"
        commands = ", ".join(dict.fromkeys(one.failed))
        text = (
            f"{where.head}: {commands} failed in it, and {by} caught the error. The migration counts as applied, and"
            " what the command was to do is not done. Catch only what says that it is there already (duplicate_object,"
            " duplicate_table, duplicate_column), and let everything else fail."
        )
        evidence = {"failed": list(one.failed), "caught_by": list(handled)}
        found.append(
            Finding("rolled-back-itself", Severity.BLOCKER, text, where.migration, where.line, evidence=evidence)
        )
    return tuple(found)


def taken_back(observed: Sequence[Observed]) -> tuple[Finding, ...]:
    """Find DDL that an exception handler undid together with what failed after it; judge only what applied.

    What the same run did again is there. Who raises an exception to undo a trial, and catches just that, means it. What
    a ROLLBACK TO undid is told by `undone`.
    """
    kept = {(each.tag, each.objects) for one in observed for each in one.commands if not each.taken_back}
    ends = {one.transaction: number for number, one in enumerate(observed) if _TO.match(one.run.sql)}
    found = []
    for position, one in enumerate(observed):
        lost = [each for each in one.commands if each.taken_back and (each.tag, each.objects) not in kept]
        handled = conditions(one.run.sql)
        meant = bool(handled) and {name.lower() for name in handled} <= RAISED
        if not lost or meant or position < ends.get(one.transaction, 0):
            continue
        where = Location(one.run.migration or None, one.run.line or None, one.run.sql)
        by = f"EXCEPTION WHEN {' OR '.join(handled)}" if handled else "an EXCEPTION block of what it calls"
        done = [" ".join((each.tag, *each.objects[:1])) for each in lost]
        few = ", ".join(dict.fromkeys(done[:3])) + (f" and {len(done) - 3} more" if len(done) > 3 else "")
        text = (
            f"{where.head}: {few} succeeded in it, then something after it failed, and {by} caught the error and undid"
            " both. The migration counts as applied, and that work is not there. Let the error fail the migration, or"
            " give what may fail a block of its own."
        )
        evidence = {"undone": done[:20], "caught_by": list(handled)}
        found.append(
            Finding("rolled-back-itself", Severity.BLOCKER, text, where.migration, where.line, evidence=evidence)
        )
    return tuple(found)


def conditions(sql: str) -> tuple[str, ...]:
    """What the exception handlers of a body catch, as they spell it."""
    return tuple(dict.fromkeys(name for handler in handlers_of(sql) for name in handler.catches))


def handlers_of(sql: str) -> tuple[Handler, ...]:
    """The exception handlers of a text, those of bodies in it included."""
    found: list[Handler] = []
    handlers, inside = False, False
    text = list(words(sql))
    for position, item in enumerate(text):
        if item == "exception" and text[position + 1 : position + 2] == ["when"]:
            handlers = True
        elif handlers and item in ("when", "then"):
            inside = item == "when"
            if inside:
                found.append(Handler())
        elif inside and item not in ("or", "sqlstate", OPEN, CLOSE):
            found[-1] = replace(found[-1], catches=(*found[-1].catches, item))
        elif handlers and found and item in _WORK:
            found[-1] = replace(found[-1], works=True)
        elif handlers and item == "end":
            handlers = False
    return tuple(found)


def _said(lost: Sequence[Observed]) -> str:
    more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
    return "; ".join(_text(one)[:80] for one in lost[:3]) + more


def _text(one: Observed) -> str:
    return " ".join(one.run.sql.split())
