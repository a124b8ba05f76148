"""Copies reach nothing outside themselves: foreign servers, dblink, subscriptions and the server's own switches.

A copy of a database knows the addresses and passwords of other servers. So in every copy the functions through which
a session reaches them are replaced by ones that refuse, with the SQLSTATE `REFUSED`: the handlers of foreign-data
wrappers, the connecting functions of extensions, and functions that act on the whole server. Servers, user mappings,
options and foreign tables stay as they are, so that catalogs of copies and target can be compared. A function of the
server itself is found by its number, whatever its row says (fmgr.c, `fmgr_isbuiltin`), so it is renamed and another
one takes its name.
Subscriptions are dropped from a restored copy, after they were compared: none is carried by CREATE DATABASE ...
TEMPLATE, and dropping one that knows its slot would reach the publisher.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.postgres.connection import Conninfo, connect

# A class that the SQL standard leaves to implementations (manual, "PostgreSQL Error Codes").
REFUSED = "ZDR01"
# What others on the same server, its files, its publishers or its standbys would feel.
_OF_THE_SERVER = (
    "lo_export", "lo_import",
    "pg_terminate_backend", "pg_cancel_backend",
    "pg_reload_conf", "pg_rotate_logfile", "pg_promote",
    "pg_switch_wal", "pg_create_restore_point", "pg_log_standby_snapshot",
    "pg_start_backup", "pg_stop_backup", "pg_backup_start", "pg_backup_stop",
    "pg_wal_replay_pause", "pg_wal_replay_resume",
    "pg_create_physical_replication_slot", "pg_create_logical_replication_slot", "pg_drop_replication_slot",
    "pg_copy_physical_replication_slot", "pg_copy_logical_replication_slot", "pg_replication_slot_advance",
    "pg_sync_replication_slots",
    "pg_replication_origin_create", "pg_replication_origin_drop", "pg_replication_origin_advance",
    "pg_stat_reset_shared", "pg_stat_reset_slru", "pg_stat_reset_replication_slot",
    "pg_log_backend_memory_contexts",
)  # fmt: skip
# Extensions that exist to reach another server, a file or a session; of dblink what opens a connection.
_EXTENSIONS = (
    "adminpack", "amqp", "aws_commons", "aws_lambda", "aws_ml", "aws_s3", "dblink", "http", "pg_background", "pg_cron",
    "pg_net", "pg_partman_bgw", "pgagent", "plproxy",
)  # fmt: skip
_OF_DBLINK = ("dblink", "dblink_connect", "dblink_connect_u", "dblink_exec")
_RENAMED = "_dryrun_kept_"

# While a recorder watches, it hears of each attempt, also where the migration swallows the error.
_BODY = """
BEGIN
    IF pg_catalog.to_regprocedure('pytest_dryrun.reached(pg_catalog.text)') IS NOT NULL THEN
        PERFORM pytest_dryrun.reached(@what@);
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'ZDR01', MESSAGE = @what@ ||
        ' reaches outside the database. On a copy it is refused';
END
"""


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _body(what: str) -> str:
    """A replacement's body as an expression; `what` is the expression of what it is called."""
    quoted = _BODY.replace("'", "''")
    return f"replace('{quoted}', '@what@', quote_literal({what}))"


# Those that are there now; once more it changes nothing. It is run by an event trigger too, where an extension comes.
# A handler may return anything: the server calls it without asking.
CLOSE_EXTENSIONS = f"""
UPDATE pg_catalog.pg_proc p SET prolang = l.oid, probin = NULL, prosecdef = true, proparallel = 'u',
    prosrc = {_body("coalesce('foreign-data wrapper ' || w.fdwname, 'function ' || p.proname)")},
    prorettype = CASE WHEN w.fdwname IS NULL THEN p.prorettype ELSE 'pg_catalog.void'::pg_catalog.regtype END
FROM pg_catalog.pg_proc q
JOIN pg_catalog.pg_language l ON l.lanname = 'plpgsql'
LEFT JOIN (SELECT fdwhandler, min(fdwname::pg_catalog.text) AS fdwname
    FROM pg_catalog.pg_foreign_data_wrapper GROUP BY 1) w ON w.fdwhandler = q.oid
WHERE p.oid = q.oid AND p.prolang IN (SELECT oid FROM pg_catalog.pg_language WHERE lanname IN ('c', 'internal'))
    AND (w.fdwhandler IS NOT NULL OR EXISTS (
        SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid
        WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e'
            AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND x.extname IN ({_names(_EXTENSIONS)})
            AND (x.extname <> 'dblink' OR p.proname IN ({_names(_OF_DBLINK)}))))
"""
_CLOSE_SERVER = f"""
WITH kept AS (
    UPDATE pg_catalog.pg_proc p SET proname = '{_RENAMED}' || p.proname
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname IN ({_names(_OF_THE_SERVER)})
        AND p.prolang = (SELECT oid FROM pg_catalog.pg_language WHERE lanname = 'internal') RETURNING p.oid)
SELECT count(*) FROM kept
"""
_REFUSE_SERVER = f"""
INSERT INTO pg_catalog.pg_proc SELECT (jsonb_populate_record(p, jsonb_build_object(
    'oid', pg_nextoid('pg_catalog.pg_proc', 'oid', 'pg_catalog.pg_proc_oid_index')::text,
    'proname', n.name, 'prolang', (SELECT oid FROM pg_catalog.pg_language WHERE lanname = 'plpgsql')::text,
    'prosecdef', true, 'proparallel', 'u', 'prosrc', {_body("'function ' || n.name")}) ||
    CASE WHEN n.twice THEN '{{"proargnames": null}}' ELSE '{{}}' END::jsonb)).*
FROM pg_catalog.pg_proc p, LATERAL (SELECT substr(p.proname, length('{_RENAMED}') + 1) AS name,
    (SELECT count(*) > count(DISTINCT each) FROM unnest(p.proargnames) each) AS twice) n
WHERE starts_with(p.proname, '{_RENAMED}') AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc r
    WHERE r.proname = n.name AND r.pronamespace = p.pronamespace AND r.proargtypes = p.proargtypes)
"""
_SUBSCRIPTIONS = """
SELECT subname FROM pg_catalog.pg_subscription
WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
"""
# One of the server's own functions, whatever it is called here.
_OWN = f"""
SELECT p.proname FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE l.lanname = 'internal' AND p.pronamespace = 'pg_catalog'::regnamespace
    AND p.proname IN (%(name)s::text, '{_RENAMED}' || %(name)s::text)
"""
# Relations through which rows of foreign tables are read: parents of foreign partitions and children.
_FED_FROM_OUTSIDE = """
WITH RECURSIVE fed AS (
    SELECT i.inhparent AS oid FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relkind = 'f'
    UNION SELECT i.inhparent FROM pg_inherits i JOIN fed ON fed.oid = i.inhrelid)
SELECT format('%I.%I', n.nspname, c.relname) FROM fed JOIN pg_class c ON c.oid = fed.oid
    JOIN pg_namespace n ON n.oid = c.relnamespace
"""
# ANALYZE without a name takes these; of a parent it samples the children too.
_ANALYZED = """
SELECT format('%I.%I', n.nspname, c.relname), n.nspname, c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't'
"""


def close(conninfo: Conninfo) -> None:
    """Keep a copy from reaching anything outside itself from now on, and every copy that is made of it.

    `conninfo` is a superuser's. Sessions that are open already may have looked functions up. Raises TargetUnusable.
    """
    try:
        with connect(conninfo, statement_timeout_s=60) as connection:
            detach(connection)
            with connection.transaction():
                connection.execute(CLOSE_EXTENSIONS)
                connection.execute(_CLOSE_SERVER)
                connection.execute(_REFUSE_SERVER)
    except psycopg.Error as error:
        raise TargetUnusable(
            f"The copy {conninfo.dbname!r} could not be kept from reaching other servers:"
            f" {' '.join(str(error).split())}",
            "What a migration does there could be felt outside, so nothing was run on it.",
            "Check that the server of the copies lets its superuser change the copy's catalog.",
        ) from error


def detach(connection: psycopg.Connection[Any]) -> None:
    """Drop the subscriptions of this database without a word to their publishers; they keep their slots."""
    for (name,) in connection.execute(_SUBSCRIPTIONS).fetchall():
        whole = sql.Identifier(name)
        connection.execute(sql.SQL("ALTER SUBSCRIPTION {} DISABLE").format(whole))
        connection.execute(sql.SQL("ALTER SUBSCRIPTION {} SET (slot_name = NONE)").format(whole))
        connection.execute(sql.SQL("DROP SUBSCRIPTION {}").format(whole))


def terminate(connection: psycopg.Connection[Any], pids: Sequence[int]) -> int:
    """End sessions of our own, in a copy as well, as a superuser; gives how many of them were there still."""
    query = sql.SQL("SELECT count(pg_catalog.{}(pid, 0)) FROM pg_stat_get_activity(NULL) WHERE pid = ANY(%s)")
    name = _own(connection, "pg_terminate_backend")
    ((count,),) = connection.execute(query.format(name), (list(pids),)).fetchall()
    return int(count)


def cancel(connection: psycopg.Connection[Any], pid: int) -> None:
    """End what a session of our own is doing, in a copy as well, as a superuser."""
    connection.execute(sql.SQL("SELECT pg_catalog.{}(%s)").format(_own(connection, "pg_cancel_backend")), (pid,))


def _own(connection: psycopg.Connection[Any], function: str) -> sql.Identifier:
    ((name,),) = connection.execute(_OWN, {"name": function}).fetchall()
    return sql.Identifier(name)


def fed_from_outside(connection: psycopg.Connection[Any]) -> frozenset[str]:
    """The quoted names of relations that have foreign tables among their partitions or children."""
    return frozenset(name for (name,) in connection.execute(_FED_FROM_OUTSIDE).fetchall())


def analyze(connection: psycopg.Connection[Any]) -> None:
    """ANALYZE whatever can be sampled without asking another server."""
    fed = fed_from_outside(connection)
    if not fed:
        connection.execute("ANALYZE")
        return
    for name, *parts in connection.execute(_ANALYZED).fetchall():
        if name not in fed:
            connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(*parts)))
