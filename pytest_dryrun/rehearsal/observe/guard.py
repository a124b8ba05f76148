"""Keeps a migration on a copy from reaching outside, while the recorder watches, and tells of each attempt.

What exists in the copy is closed already (`postgres.outside`). An extension that the migration itself creates is closed
as soon as it is there. Commands about subscriptions are refused before they begin: they reach the publisher.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from pytest_dryrun.postgres.outside import CLOSE_EXTENSIONS, REFUSED

TRIGGERS = ("pytest_dryrun_guard_start", "pytest_dryrun_guard_end")
# The recorder's event for an attempt; `what` is what was refused.
EVENT = "outside"
# ALTER FOREIGN DATA WRAPPER could give back the handler that is closed.
_REFUSED_TAGS = ("CREATE SUBSCRIPTION", "ALTER SUBSCRIPTION", "DROP SUBSCRIPTION", "ALTER FOREIGN DATA WRAPPER")
_CLOSING_TAGS = ("CREATE EXTENSION", "ALTER EXTENSION", "CREATE FOREIGN DATA WRAPPER")

_REACHED = """
CREATE FUNCTION pytest_dryrun.reached(what text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog {settings}
AS $reached$
BEGIN
    RAISE {level} '%', {token} || ' ' || jsonb_build_object(
        'event', 'outside', 'what', what, 'pid', pg_backend_pid(),
        'clock', extract(epoch FROM clock_timestamp())::float8,
        'transaction', extract(epoch FROM transaction_timestamp())::text)::text;
END
$reached$
"""
_REFUSE = """
CREATE FUNCTION pytest_dryrun.refuse() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
AS $refuse$
BEGIN
    PERFORM pytest_dryrun.reached(TG_TAG);
    RAISE EXCEPTION USING ERRCODE = {code},
        MESSAGE = TG_TAG || ' reaches outside the database. On a copy it is refused';
END
$refuse$
"""
_CLOSE = """
CREATE FUNCTION pytest_dryrun.close() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog
AS $close$ BEGIN {closing}; END $close$
"""


def create(connection: psycopg.Connection[Any], *, settings: str, level: str, token: str) -> tuple[str, ...]:
    """Create functions and event triggers in the recorder's schema; they speak as its own do. Gives their names."""
    words = {"settings": sql.SQL(settings), "level": sql.SQL(level), "token": sql.Literal(token)}
    connection.execute(sql.SQL(_REACHED).format(**words))
    connection.execute(sql.SQL(_REFUSE).format(code=sql.Literal(REFUSED)))
    connection.execute(sql.SQL(_CLOSE).format(closing=sql.SQL(CLOSE_EXTENSIONS)))
    events = (("ddl_command_start", _REFUSED_TAGS, "refuse"), ("ddl_command_end", _CLOSING_TAGS, "close"))
    for name, (event, tags, function) in zip(TRIGGERS, events, strict=True):
        connection.execute(
            sql.SQL("CREATE EVENT TRIGGER {} ON {} WHEN TAG IN ({}) EXECUTE FUNCTION pytest_dryrun.{}()").format(
                sql.Identifier(name),
                sql.SQL(event),
                sql.SQL(", ").join(map(sql.Literal, tags)),
                sql.Identifier(function),
            )
        )
    return TRIGGERS
