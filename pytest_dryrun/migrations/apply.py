"""Sends one migration's script as its tool would, watched if asked, and tells failures precisely."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from psycopg import sql

from pytest_dryrun.migrations import Observer
from pytest_dryrun.migrations.migrating import LimitReached, QueryFailed, Session
from pytest_dryrun.model.errors import MigrationFailed
from pytest_dryrun.model.scripts import Migration, Statement
from pytest_dryrun.sql.psql import for_psql_alone
from pytest_dryrun.sql.statements import (
    has_transaction_control,
    rolls_back_to,
    same_in_transaction,
    steppable,
)

_UNDONE = "Postgres undid everything this migration had done."
# active_sql_transaction (CONCURRENTLY, VACUUM), invalid_transaction_termination (a COMMIT inside a DO block).
_REFUSED_IN_TRANSACTION = frozenset({"25001", "2D000"})
_BEGINS = frozenset({"BEGIN", "START TRANSACTION"})
_UNSURE = "What it committed before it failed is still there."


def send_whole(session: Session, migration: Migration, observer: Observer | None = None) -> str:
    """Send the script as one simple query, as Prisma does up to 7.3.

    Raises MigrationFailed, and leaves no transaction open. There is nothing to warn of, so it returns an empty text.
    """
    control = has_transaction_control(migration.statements)
    with _telling(session, migration, _UNSURE if control or len(migration.statements) < 2 else _UNDONE):
        _send_whole(session, migration, observer)
        _closed(session, migration)
    return ""


def step_whole(session: Session, migration: Migration, observer: Observer) -> str:
    """Do the same one statement at a time inside BEGIN and COMMIT, so that each can be watched.

    Where that would not come to the same, or the server disagrees with the cut, the script is sent whole; returns a
    warning in the latter case.
    """
    control = has_transaction_control(migration.statements)
    if len(migration.statements) < 2 or (control and not steppable(migration.statements)):
        return send_whole(session, migration, observer)
    if not cut_holds(session, migration):
        send_whole(session, migration, observer)
        return _disagrees(migration)
    if control:
        with _telling(session, migration, _UNSURE):
            _step_blocks(session, migration, observer)
            _closed(session, migration)
    else:
        in_transaction(session, migration, observer)
    return ""


def _step_blocks(session: Session, migration: Migration, observer: Observer) -> None:
    """Do what one simple query with BEGIN and COMMIT inside does: between those, statements share a transaction too.

    PostgreSQL manual, "Multiple Statements in a Simple Query": a BEGIN takes what ran before it into its transaction.
    """
    explicit = False
    for statement in migration.statements:
        begins = statement.tag in _BEGINS
        ends = statement.tag in {"COMMIT", "ROLLBACK"} and not rolls_back_to(statement)
        with _named(session, migration, statement):
            if session.idle and not begins and not ends:
                session.script("BEGIN")
                explicit = False
            with _watched(observer, migration, statement):
                if not (begins and session.in_transaction and not explicit):
                    session.script(statement.sql)
        explicit = (explicit or begins) and not ends
    observer.ended(migration.name)
    if session.in_transaction and not explicit:
        with _named(session, migration, Statement("COMMIT", 0, "COMMIT")):
            session.script("COMMIT")


def cut_holds(session: Session, migration: Migration) -> bool:
    """Tell whether the server takes each statement as exactly one. It leaves errors in the server's log: for copies."""
    return session.parse_alone([statement.sql for statement in migration.statements])


def in_transaction(
    session: Session,
    migration: Migration,
    observer: Observer | None,
    *,
    finish: sql.Composed | None = None,
    one_by_one: bool = True,
) -> None:
    """Run the script, and then `finish`, in one transaction that is ours; raises MigrationFailed."""
    with _telling(session, migration, _UNDONE):
        session.script("BEGIN")
        if one_by_one:
            _send_each(session, migration, observer)
        else:
            _send_whole(session, migration, observer)
        if not session.in_transaction:
            raise MigrationFailed(
                f"Migration {migration.name} ended the transaction it was run in.",
                "It cannot be told what it left behind; it is not recorded as applied.",
                "Write BEGIN and COMMIT into the script itself, or neither.",
                migration=migration.name,
            )
        if finish is not None:
            session.bookkeep(finish)
        with _named(session, migration, Statement("COMMIT", 0, "COMMIT")):
            session.script("COMMIT")


def send_each(session: Session, migration: Migration, observer: Observer | None = None) -> str:
    """Send every statement alone, as Prisma does from 7.4 and psql always; raises MigrationFailed.

    Each is put to the server's parser first. Where the server disagrees with the cut, the rest of the script is sent
    whole; returns a warning in that case.
    """
    with _telling(session, migration, _UNSURE if len(migration.statements) > 1 else _UNDONE):
        warning = _send_each(session, migration, observer, verify=session.parses)
        _closed(session, migration)
    return warning


def _send_whole(session: Session, migration: Migration, observer: Observer | None) -> None:
    single = len(migration.statements) == 1
    shown = migration.statements[0] if single else Statement(migration.sql, 1, "")
    with _watched(observer, migration, shown):
        try:
            session.script(migration.sql)
        except QueryFailed as failure:
            raise _failed(migration, failure, *_where(migration, failure)) from failure.error


def _send_each(
    session: Session, migration: Migration, observer: Observer | None, verify: Callable[[str], bool] | None = None
) -> str:
    for statement in migration.statements:
        if verify and session.idle and not verify(statement.sql):
            rest = _from_line(migration, statement)
            with _watched(observer, migration, rest), _named(session, migration, rest):
                session.script(rest.sql)
            return _disagrees(migration)
        alone = observer is not None and session.idle and same_in_transaction(statement)
        if observer is not None and alone and not observer.follows(migration.name, statement):
            _send_alone(session, migration, observer, statement)
        else:
            with _watched(observer, migration, statement), _named(session, migration, statement):
                session.script(statement.sql)
    if observer is not None:
        observer.ended(migration.name)
    return ""


def _send_alone(session: Session, migration: Migration, observer: Observer, statement: Statement) -> None:
    """Send a statement in a transaction of its own that stays open while the observer looks; it comes to the same.

    What Postgres refuses there, or what ends transactions itself, is rolled back and sent as it is.
    """
    with _named(session, migration, statement):
        session.script("BEGIN")
        try:
            with _watched(observer, migration, statement, alone=True):
                session.script(statement.sql)
        except QueryFailed as failure:
            if failure.error.sqlstate not in _REFUSED_IN_TRANSACTION:
                raise
        else:
            session.script("COMMIT")
            return
        session.roll_back()
        with _watched(observer, migration, statement):
            session.script(statement.sql)


def _from_line(migration: Migration, statement: Statement) -> Statement:
    """Take the script from this statement to its end."""
    offset = 0
    for each in migration.statements:
        offset = migration.sql.index(each.sql, offset)
        if each is statement:
            break
        offset += len(each.sql)
    return Statement(migration.sql[offset:], statement.line, "")


@contextmanager
def _watched(
    observer: Observer | None, migration: Migration, statement: Statement, *, alone: bool = False
) -> Iterator[None]:
    if observer is None or not statement.sql.strip():
        yield
        return
    observer.before(migration.name, statement, alone=alone)
    began = time.perf_counter()
    try:
        yield
    finally:
        observer.after(migration.name, statement, (time.perf_counter() - began) * 1000)


@contextmanager
def _named(session: Session, migration: Migration, statement: Statement) -> Iterator[None]:
    """Let a failure name this statement."""
    try:
        yield
    except QueryFailed as failure:
        raise _failed(
            migration, failure, statement, _error_line(failure, statement.sql, statement.line)
        ) from failure.error
    except LimitReached as limit:
        raise _too_long(session, migration, limit, statement) from limit.__cause__


@contextmanager
def _telling(session: Session, migration: Migration, left_behind: str) -> Iterator[None]:
    """Close the transaction of whatever failed, and complete its message with what was left behind."""
    try:
        yield
    except MigrationFailed as failure:
        if failure.sqlstate is None and session.connection.broken:  # no word of the server's own
            raise _lost(migration, failure.__cause__ or failure) from failure.__cause__
        session.roll_back()
        if not failure.means:
            failure.means = left_behind
            failure.args = (failure.what, failure.means, failure.next)
        raise
    except QueryFailed as failure:
        if failure.error.sqlstate is None and session.connection.broken:
            raise _lost(migration, failure.error) from failure.error
        session.roll_back()
        told = _failed(migration, failure, None, None)
        raise MigrationFailed(
            told.what, left_behind, told.next, migration=migration.name, sqlstate=told.sqlstate
        ) from failure.error
    except LimitReached as limit:
        session.roll_back()
        raise _too_long(session, migration, limit, None) from limit.__cause__
    except BaseException:
        session.roll_back()
        raise


def _closed(session: Session, migration: Migration) -> None:
    """Refuse a script that left a transaction open: nothing it did there would outlive the session."""
    if session.idle:
        return
    raise MigrationFailed(
        f"Migration {migration.name} left a transaction open: a BEGIN without its COMMIT.",
        "What it did since that BEGIN was rolled back; it is not recorded as applied.",
        "End the transaction in the script, or remove the BEGIN.",
        migration=migration.name,
        line=next((each.line for each in reversed(migration.statements) if each.tag in _BEGINS), None),
    )


def _where(migration: Migration, failure: QueryFailed) -> tuple[Statement | None, int | None]:
    """Find the statement a whole script failed at: by the error's position, or by how many succeeded before it."""
    line = _error_line(failure, migration.sql, 1)
    if line is not None and failure.error.diag.statement_position:
        offset = int(failure.error.diag.statement_position) - 1
        inside, at = None, 0
        for each in migration.statements:
            at = migration.sql.index(each.sql, at)
            if at > offset:
                break
            inside, at = each, at + len(each.sql)
        return inside, line
    if failure.done < len(migration.statements):
        return migration.statements[failure.done], None
    return None, None


def _error_line(failure: QueryFailed, text: str, first_line: int) -> int | None:
    position = failure.error.diag.statement_position
    return first_line + text.count("\n", 0, int(position) - 1) if position else None


def _failed(
    migration: Migration, failure: QueryFailed, statement: Statement | None, line: int | None
) -> MigrationFailed:
    error = failure.error
    primary = " ".join((error.diag.message_primary or str(error)).split())
    code = f" ({error.sqlstate})" if error.sqlstate else ""
    at = f" in line {line or (statement.line if statement else None)}" if line or (statement and statement.line) else ""
    text = f": {_short(statement.sql).rstrip(';')}." if statement else "."
    only_psql = for_psql_alone(migration) if error.sqlstate == "42601" or "COPY" in primary else None
    if only_psql:
        line, said = only_psql
        return MigrationFailed(
            f"Migration {migration.name} failed in line {line}: {said}{code}.",
            "",
            'Write it in SQL (rows as INSERT ... VALUES), or let psql run the file: tool = "command".',
            migration=migration.name,
            line=line,
            sqlstate=error.sqlstate,
            statement=statement.sql if statement else "",
        )
    hint = " ".join((error.diag.message_hint or error.diag.message_detail or "").split())
    return MigrationFailed(
        f"Migration {migration.name} failed{at}: {primary}{code}{text}",
        "",
        f"Postgres adds: {hint}" if hint else "Correct the migration, or the data it stumbles over, and run again.",
        migration=migration.name,
        line=(statement.line or None) if statement else line,
        sqlstate=error.sqlstate,
        statement=statement.sql if statement else "",
    )


def _lost(migration: Migration, error: BaseException) -> MigrationFailed:
    """Say that nobody knows: the server goes on with what it was sent, and does not need us to commit it."""
    return MigrationFailed(
        f"The connection to the database was lost while migration {migration.name} ran"
        f" ({' '.join(str(error).split())}). State unknown: it may be applied, undone, or still running.",
        "What stands before it is applied.",
        "Look whether it still runs (pg_stat_activity), then what it left behind, before anything is run again.",
        migration=migration.name,
    )


def _too_long(
    session: Session, migration: Migration, limit: LimitReached, statement: Statement | None
) -> MigrationFailed:
    at = f", at line {statement.line}: {_short(statement.sql)}" if statement and statement.line else ""
    return MigrationFailed(
        f"Migration {migration.name} ran past the time limit of {session.timeout_s:g} s{at}.",
        f"It was cancelled. {_UNSURE}"
        if limit.cancelled
        else "The server did not let go of it and may still be running it.",
        "Find out what it waited for or make it faster; raise the time limit only if it may really take that long.",
        migration=migration.name,
        line=(statement.line or None) if statement else None,
        sqlstate="57014" if limit.cancelled else None,
        statement=statement.sql if statement else "",
    )


def _disagrees(migration: Migration) -> str:
    return (
        f"{migration.name}: the server does not take the statements as they were cut, so the text was sent whole;"
        " single statements could not be watched."
    )


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 120 else flat[:119] + "…"
