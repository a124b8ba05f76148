"""The SQL that makes a disposable copy report its own DDL from inside the migrating session.

Sources: PostgreSQL manual, "Event Triggers", "Event Trigger Functions", "Error Reporting and Logging", "pg_locks" and
"The Cumulative Statistics System" (the `pg_stat_get_xact_*` functions see only the calling session).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.rehearsal.observe import guard

SCHEMA = "pytest_dryrun"
EVENTS = ("ddl_command_start", "ddl_command_end", "sql_drop", "table_rewrite")

# Bits of pg_event_trigger_table_rewrite_reason() (src/include/commands/event_trigger.h, PostgreSQL 14 to 18).
REWRITE_REASONS = {
    1: "LOGGED or UNLOGGED was switched",
    2: "a new column's default must be computed for every row",
    4: "a column's type changed and every value must be converted",
    8: "the table access method changed",
}

# The function must not write (a transaction id would make DROP INDEX CONCURRENTLY fail) and must not fail: whatever
# goes wrong inside is reported instead of reaching the migration. Its SET clauses end with it; lock_timeout is not
# among them.
_FUNCTION = """
CREATE FUNCTION pytest_dryrun.observe() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog {settings}
AS $observe$
DECLARE
    said jsonb := jsonb_build_object(
        'event', TG_EVENT, 'tag', TG_TAG, 'pid', pg_backend_pid(),
        'clock', extract(epoch FROM clock_timestamp())::float8,
        'transaction', extract(epoch FROM transaction_timestamp())::text);
BEGIN
    BEGIN
        said := said || jsonb_build_object('xid', pg_current_xact_id_if_assigned()::text);
        IF TG_EVENT IN ('ddl_command_start', 'ddl_command_end') THEN
            said := said || jsonb_build_object(
                'lock_timeout_ms', (extract(epoch FROM current_setting('lock_timeout')::interval) * 1000)::int8,
                'statement_timeout_ms',
                (extract(epoch FROM current_setting('statement_timeout')::interval) * 1000)::int8,
                'rows', (SELECT coalesce(
                        jsonb_object_agg(oid::text, jsonb_build_array(read, inserted, updated, deleted)), '{{}}')
                    FROM (SELECT coalesce(i.indrelid, c.oid) AS oid,
                            sum(pg_stat_get_xact_tuples_returned(c.oid)) AS read,
                            sum(pg_stat_get_xact_tuples_inserted(c.oid)) AS inserted,
                            sum(pg_stat_get_xact_tuples_updated(c.oid)) AS updated,
                            sum(pg_stat_get_xact_tuples_deleted(c.oid)) AS deleted
                        FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
                        WHERE c.relkind IN ('r', 'm', 'i') AND c.oid >= 16384 GROUP BY 1) counted
                    WHERE read + inserted + updated + deleted > 0));
        END IF;
        IF TG_EVENT = 'ddl_command_end' THEN
            said := said || jsonb_build_object(
                -- The innermost subtransaction that wrote: each holds its own number, those rolled back no longer do.
                'subxid', (SELECT max(transactionid::text::int8)::text FROM pg_locks
                    WHERE pid = pg_backend_pid() AND locktype = 'transactionid' AND mode = 'ExclusiveLock'),
                'locks', (SELECT coalesce(jsonb_agg(jsonb_build_array(
                            l.relation::int8, l.mode,
                            quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind)), '[]')
                    FROM pg_locks l
                    LEFT JOIN pg_class c ON c.oid = l.relation
                    LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.granted AND l.relation >= 16384
                        AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())),
                'objects', (SELECT coalesce(jsonb_agg(jsonb_build_array(
                            o.objid::int8, o.object_type, o.object_identity, i.indrelid::int8)), '[]')
                    FROM pg_event_trigger_ddl_commands() o LEFT JOIN pg_index i
                        ON i.indexrelid = o.objid AND o.classid = 'pg_class'::regclass),
                'indexes', (WITH RECURSIVE built AS (
                        SELECT o.objid AS oid FROM pg_event_trigger_ddl_commands() o
                        WHERE o.classid = 'pg_class'::regclass
                        UNION SELECT h.inhrelid FROM pg_inherits h JOIN built ON h.inhparent = built.oid)
                    SELECT coalesce(jsonb_agg(jsonb_build_array(c.oid::int8,
                            quote_ident(n.nspname) || '.' || quote_ident(c.relname), i.indrelid::int8)), '[]')
                    FROM built JOIN pg_class c ON c.oid = built.oid JOIN pg_index i ON i.indexrelid = c.oid
                    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'i'));
        ELSIF TG_EVENT = 'sql_drop' THEN
            said := said || jsonb_build_object(
                'dropped', (SELECT coalesce(
                        jsonb_agg(jsonb_build_array(objid::int8, object_type, object_identity)), '[]')
                    FROM pg_event_trigger_dropped_objects() WHERE (original OR normal) AND NOT is_temporary));
        ELSIF TG_EVENT = 'table_rewrite' THEN
            said := said || jsonb_build_object(
                'relation', pg_event_trigger_table_rewrite_oid()::int8,
                'reason', pg_event_trigger_table_rewrite_reason());
        END IF;
    EXCEPTION WHEN OTHERS THEN
        said := said || jsonb_build_object('trouble', SQLERRM);
    END;
    RAISE {level} '%', {token} || ' ' || said::text;
END
$observe$
"""

# The log must get the line, the client must not, and no STATEMENT or CONTEXT line may repeat the migration's text.
_TO_LOG = """SET client_min_messages = error SET log_min_messages = log
SET log_min_error_statement = panic SET log_error_verbosity = terse"""
_TO_CLIENT = "SET client_min_messages = notice"


def create(connection: psycopg.Connection[Any], token: str, *, to_log: bool) -> frozenset[tuple[object, ...]]:
    """Create schema, function and triggers, and return their state as `standing` tells it.

    `token` opens every line so that nothing else is taken for a report. They fire ALWAYS: with
    `session_replication_role = replica` too.
    """
    with _unheard(connection):
        connection.execute("CREATE SCHEMA pytest_dryrun")
        connection.execute(
            sql.SQL(_FUNCTION).format(
                settings=sql.SQL(_TO_LOG if to_log else _TO_CLIENT),
                level=sql.SQL("LOG" if to_log else "NOTICE"),
                token=sql.Literal(token),
            )
        )
        for event in EVENTS:
            connection.execute(
                sql.SQL("CREATE EVENT TRIGGER {} ON {} EXECUTE FUNCTION pytest_dryrun.observe()").format(
                    sql.Identifier(f"pytest_dryrun_{event}"), sql.SQL(event)
                )
            )
        how = {"settings": _TO_LOG if to_log else _TO_CLIENT, "level": "LOG" if to_log else "NOTICE"}
        guards = guard.create(connection, token=token, **how)
        for name in (*(f"pytest_dryrun_{event}" for event in EVENTS), *guards):
            connection.execute(sql.SQL("ALTER EVENT TRIGGER {} ENABLE ALWAYS").format(sql.Identifier(name)))
    return standing(connection)


def standing(connection: psycopg.Connection[Any]) -> frozenset[tuple[object, ...]]:
    """Read the triggers with all that decides what they do: it must be the same at the end as it was at the beginning.

    Whoever dropped one and created it again gave it another oid.
    """
    rows = connection.execute(
        "SELECT e.oid::int8, e.evtname::text, e.evtenabled::text, e.evttags::text, p.oid::int8,"
        " md5(concat_ws(chr(1), p.prosrc, p.proconfig::text, p.prosecdef::text, p.proowner::text, p.prolang::text))"
        " FROM pg_event_trigger e LEFT JOIN pg_proc p ON p.oid = e.evtfoid WHERE e.evtname LIKE 'pytest\\_dryrun\\_%'"
    )
    return frozenset(rows)


def drop(connection: psycopg.Connection[Any]) -> None:
    """Drop all of it, triggers first; what is not there is no trouble."""
    for name in (*(f"pytest_dryrun_{event}" for event in EVENTS), *guard.TRIGGERS):
        connection.execute(sql.SQL("DROP EVENT TRIGGER IF EXISTS {}").format(sql.Identifier(name)))
    with _unheard(connection):
        connection.execute("DROP SCHEMA IF EXISTS pytest_dryrun CASCADE")


@contextmanager
def _unheard(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Keep the application's own event triggers from firing for what the recorder does, inside one transaction.

    `session_replication_role = replica` stops those that are simply enabled (superusers only, so no ordinary session
    can do the same); the others are disabled and enabled again, which itself fires none.
    """
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        others = connection.execute(
            "SELECT evtname::text, evtenabled::text FROM pg_event_trigger"
            " WHERE evtenabled IN ('A', 'R') AND evtname NOT LIKE 'pytest\\_dryrun\\_%'"
        ).fetchall()
        change = sql.SQL("ALTER EVENT TRIGGER {} {}")
        for name, _ in others:
            connection.execute(change.format(sql.Identifier(name), sql.SQL("DISABLE")))
        yield
        for name, enabled in others:
            how = "ENABLE ALWAYS" if enabled == "A" else "ENABLE REPLICA"
            connection.execute(change.format(sql.Identifier(name), sql.SQL(how)))


def rewrite_reason(bits: int) -> str:
    """Say Postgres' reason for a rewrite in words."""
    words = [text for bit, text in REWRITE_REASONS.items() if bits & bit]
    return "; ".join(words) or f"reason {bits}"
