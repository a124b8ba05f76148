"""Sessions of our own work in any database, whatever it sets for those that connect to it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from psycopg import sql

from pytest_dryrun.postgres.connection import Conninfo, connect

pytestmark = pytest.mark.live


def test_what_a_database_sets_for_its_sessions_does_not_reach_ours(database: Conninfo):
    """Neither a time limit that nothing fits in nor read-only transactions, from the session's first moment on."""
    with connect(database) as connection:
        name = sql.Identifier(database.dbname)
        for setting in ("statement_timeout = '1ms'", "default_transaction_read_only = on", "search_path = nowhere"):
            connection.execute(sql.SQL("ALTER DATABASE {} SET {}").format(name, sql.SQL(setting)))
    with connect(database, statement_timeout_s=7) as connection:
        query = "SELECT setting, reset_val FROM pg_settings WHERE name = 'statement_timeout'"
        assert [("7000", "0")] == connection.execute(query).fetchall()
        connection.execute("CREATE TABLE public.kept (id int)")
        assert [("pg_catalog",)] == connection.execute("SHOW search_path").fetchall()


def test_options_of_a_url_are_kept_beside_ours(database: Conninfo):
    """Whoever gives the server options in the URL gets them."""
    given = replace(database, options=(*database.options, ("options", "-c work_mem=7MB")))
    with connect(given) as connection:
        assert [("7MB",)] == connection.execute("SHOW work_mem").fetchall()
