"""The statements a server spent its time on, as pg_stat_statements counts them, where the server has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.probes.smoke import clip

_EXTENSION = "pg_stat_statements"
_LONGEST_QUERY = 10_000
_TRANSACTIONAL = r"^\s*(\(\s*)*(select|with|insert|update|delete|merge|values|table)\M"
_TABLES = r"\m(from|into|update)\M"
# What this plugin asks names the server's own catalogs and functions, or those of the fingerprint.
_OURS = r"hash\w*extended\(|\mpg_|\mset_config\("
_MOST = 1000
_NOT_TOLD = "<insufficient privilege>"
HIDDEN = "(statements of other roles, whose text this one may not read)"

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class StatementStatistics:
    """One normalised statement since the counters were reset; times are the server's own, without the network."""

    query: str
    calls: int
    mean_ms: float
    max_ms: float
    total_ms: float
    rows: int


def available(connection: Connection, *, create: bool = True, others: bool = True) -> str | None:
    """Why this server's statistics cannot be had through this connection, or None when they can.

    Without `create` the extension must be there already; without `others` this role's own statements are enough.

    They can when the library is preloaded (its settings are known only then; a placeholder in postgresql.conf does not
    show in pg_settings), when the extension is in this database or may be created here, and when this role may read
    what other roles ran (PostgreSQL manual, "pg_stat_statements").
    """
    with _told("be asked for"):
        loaded, installable, created, superuser, reads_all = _one(
            connection,
            """
            SELECT EXISTS (SELECT FROM pg_settings WHERE name = 'pg_stat_statements.max'),
                   EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_stat_statements'),
                   EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements'),
                   rolsuper, pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
              FROM pg_roles WHERE rolname = current_user
            """,
        )
    if not installable and not created:
        return "the server has no pg_stat_statements: it comes with PostgreSQL's contrib package"
    if not loaded:
        return "pg_stat_statements is not in the server's shared_preload_libraries"
    if not created and not (superuser and create):
        missing = f"the extension pg_stat_statements is not in database {connection.info.dbname!r}"
        return f"{missing}, and only a superuser may create it" if create else missing
    if others and not reads_all:
        return f"role {connection.info.user!r} may not read the statements of others (pg_read_all_stats)"
    return None


def enable(connection: Connection, *, target: str) -> None:
    """Create the extension in the connection's database, for disposable servers only.

    The view shows every database of the server, so it is created beside the `target` (in `postgres`, say), whose schema
    must stay what the migrations make it: refused in the target itself.
    """
    if connection.info.dbname == target:
        raise TargetUnusable(
            f"pg_stat_statements must not be created in {target!r}, the database that is judged.",
            "Its schema would no longer be what the migrations make it.",
            "Connect to another database of the same server, such as `postgres`.",
        )
    with _told("be enabled"):
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements WITH SCHEMA public")


def reset(connection: Connection, database: str) -> None:
    """Forget what was counted for one database; the counters of all others stay."""
    with _told("be reset"):
        query = sql.SQL("SELECT {}(0, %s, 0)").format(_named(connection, "pg_stat_statements_reset"))
        connection.execute(query, (_oid(connection, database),))


def top(connection: Connection, database: str, n: int) -> tuple[StatementStatistics, ...]:
    """List the `n` statements one database's server processes spent most time on in total, the slowest first.

    Statements of several roles count together, and as one all those whose text this role may not read (`HIDDEN`).
    Statements inside functions are left out where the view can tell (version 1.9, PostgreSQL 14), because the calling
    statement holds their time. A query's text is cut at 10,000 characters.
    """
    with _told("be read"):
        view = _named(connection, _EXTENSION)
        columns = _columns(connection, view)
        suffix = (
            "exec_time" if "total_exec_time" in columns else "time"
        )  # before version 1.8 there was one kind of time
        toplevel = sql.SQL("AND toplevel") if "toplevel" in columns else sql.SQL("")
        query = sql.SQL(
            """
            SELECT left(min(query), %s), sum(calls)::bigint, sum({total}) / greatest(sum(calls), 1), max({longest}),
                   sum({total}), sum(rows)::bigint
              FROM {view} WHERE dbid = %s {toplevel}
             GROUP BY queryid HAVING sum(calls) > 0 ORDER BY sum({total}) DESC, queryid LIMIT %s
            """
        ).format(
            total=sql.Identifier(f"total_{suffix}"),
            longest=sql.Identifier(f"max_{suffix}"),
            view=view,
            toplevel=toplevel,
        )
        found = connection.execute(query, (_LONGEST_QUERY + 1, _oid(connection, database), n)).fetchall()
    return tuple(
        StatementStatistics(
            HIDDEN if text == _NOT_TOLD else clip(text or "(its text is not known)", _LONGEST_QUERY),
            calls,
            float(mean),
            float(longest),
            float(total),
            count,
        )
        for text, calls, mean, longest, total, count in found
    )


def longest_of_others(connection: Connection, database: str) -> float:
    """How long the longest SELECT, INSERT, UPDATE, DELETE or MERGE of one database took, in milliseconds; 0 for none.

    What this plugin itself sent is left out, and so is what names no table and what this role may not read.
    """
    with _told("be read"):
        view = _named(connection, _EXTENSION)
        longest = "max_exec_time" if "max_exec_time" in _columns(connection, view) else "max_time"
        query = sql.SQL(
            "SELECT coalesce(max({longest}), 0)::float8 FROM {view} WHERE dbid = %s"
            " AND query ~* %s AND query ~* %s AND query !~* %s"
        ).format(longest=sql.Identifier(longest), view=view)
        return float(_one(connection, query, (_oid(connection, database), _TRANSACTIONAL, _TABLES, _OURS))[0])


def sent(connection: Connection, database: str) -> tuple[str, ...]:
    """The statements that this role itself has sent to one database, those of other tools under its name included.

    Statements inside functions and those longer than 10,000 characters are left out; the commonest come first.
    """
    with _told("be read"):
        view = _named(connection, _EXTENSION)
        suffix = sql.SQL("AND toplevel") if "toplevel" in _columns(connection, view) else sql.SQL("")
        query = sql.SQL(
            """
            SELECT query FROM {view}
             WHERE dbid = %s AND userid = (SELECT oid FROM pg_roles WHERE rolname = current_user) {toplevel}
               AND length(query) <= %s
             GROUP BY query ORDER BY sum(calls) DESC LIMIT %s
            """
        ).format(view=view, toplevel=suffix)
        rows = connection.execute(query, (_oid(connection, database), _LONGEST_QUERY, _MOST)).fetchall()
    return tuple(text for (text,) in rows)


def since(
    before: Sequence[StatementStatistics], after: Sequence[StatementStatistics]
) -> tuple[StatementStatistics, ...]:
    """What was counted between two readings of a server whose counters are not ours to reset; slowest in total first.

    The longest call is only known over the whole life of the counters, so it is left at that.
    """
    known = {item.query: item for item in before}
    found = []
    for item in after:
        old = known.get(item.query)
        if old is None or old.calls > item.calls:  # new, or somebody else has reset the counters
            found.append(item)
        elif calls := item.calls - old.calls:
            total_ms = max(0.0, item.total_ms - old.total_ms)
            rows = item.rows - old.rows
            found.append(StatementStatistics(item.query, calls, total_ms / calls, item.max_ms, total_ms, rows))
    return tuple(sorted(found, key=lambda item: (-item.total_ms, item.query)))


class _told:  # noqa: N801 - reads as a phrase where it is used
    """Turns the driver's refusal into words."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, psycopg.Error):
            said = error.diag.message_primary or " ".join(str(error).split())
            raise TargetUnusable(
                f"The statement statistics cannot {self._doing}: {said}",
                "The slowest statements are not known.",
                "Check pg_stat_statements on this server: preloaded, created, readable by this role.",
            ) from error


def _one(connection: Connection, query: Any, parameters: tuple[Any, ...] = ()) -> tuple[Any, ...]:
    row = connection.execute(query, parameters or None).fetchone()
    return row or ()


def _named(connection: Connection, name: str) -> sql.Identifier:
    """Name an object of the extension with the schema that the extension lives in."""
    row = _one(
        connection,
        "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = %s",
        (_EXTENSION,),
    )
    if not row:
        raise TargetUnusable(
            f"The extension pg_stat_statements is not in database {connection.info.dbname!r}.",
            "The slowest statements are not known.",
            "On a disposable server it is enabled first; elsewhere ask the server's owner for it.",
        )
    return sql.Identifier(row[0], name)


def _columns(connection: Connection, view: sql.Identifier) -> frozenset[str]:
    """List the view's columns, which follow the extension's version: an upgraded server may keep an older one."""
    query = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
    return frozenset(row[0] for row in connection.execute(query, (view.as_string(connection),)).fetchall())


def _oid(connection: Connection, database: str) -> int:
    row = _one(connection, "SELECT oid FROM pg_database WHERE datname = %s", (database,))
    if not row:
        raise TargetUnusable(
            f"Database {database!r} does not exist on this server.",
            "The slowest statements are not known.",
            "Check the database's name.",
        )
    return int(row[0])
