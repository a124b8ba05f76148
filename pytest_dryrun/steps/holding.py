"""One dry run of a database at a time: a lock in it, and another beside it while it is replaced."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import psycopg

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.postgres.connection import Conninfo, connect

# One dry run of a database at a time; the two halves spell the key of a session's advisory lock.
LOCK = (0x64727972, 0x756E0001)
# The same while the database itself is replaced, in another one and by the name.
REPLACING = 0x64727973
_REPLACED = (
    "SELECT l.pid, a.usename, a.backend_start::text FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)"
    " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid::int8 = %s"
    " AND l.objid::int8 = hashtext(current_database())::int8 & 4294967295"
)
_AGAIN_S = 5.0


def hold(conninfo: Conninfo, *, replaced: bool = False) -> psycopg.Connection[tuple[object, ...]]:
    """Keep every other dry run out of a database for as long as the connection lives.

    `replaced`: it is this run that has replaced it; whoever else is in it then is about to be sent away.
    Raises TargetUnusable, which names who holds it.
    """
    with ExitStack() as until_it_is_ours:
        connection = until_it_is_ours.enter_context(closing(connect(conninfo)))
        connection.execute("SET idle_session_timeout = 0")
        patience = time.monotonic() + (_AGAIN_S if replaced else 0.0)
        while not _taken(connection, replaced=replaced):
            if time.monotonic() > patience:
                raise _held(connection)
            time.sleep(0.1)
        until_it_is_ours.pop_all()
    return connection


def _taken(connection: psycopg.Connection[tuple[object, ...]], *, replaced: bool) -> bool:
    """Take the lock, where nobody has it and nobody else replaces the database, before that nor after."""
    if not replaced and connection.execute(_REPLACED, (REPLACING,)).fetchone():
        return False
    (taken,) = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", LOCK).fetchone() or (False,)
    return bool(taken) and (replaced or not connection.execute(_REPLACED, (REPLACING,)).fetchone())


def _held(connection: psycopg.Connection[tuple[object, ...]]) -> TargetUnusable:
    """Say who holds a database."""
    replacer = connection.execute(_REPLACED, (REPLACING,)).fetchone()
    holder = (
        replacer
        or connection.execute(
            "SELECT a.pid, a.usename, a.backend_start::text FROM pg_locks l"
            " JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2"
            " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND l.classid::int8 = %s AND l.objid::int8 = %s",
            LOCK,
        ).fetchone()
    )
    who = "unknown" if holder is None else f"server process {holder[0]} of {holder[1]}, since {holder[2]}"
    return TargetUnusable(
        f"Another dry run {'is rolling back' if replacer else 'holds'} this database ({who}).",
        "Two at once would judge each other's work, so this one did nothing.",
        "Wait for it. Where it was killed, its session ends when the server notices; pg_terminate_backend ends it now.",
    )


@contextmanager
def replacing(admin: Conninfo, name: str) -> Iterator[None]:
    """Keep every other dry run out of the database of this name while it is replaced: no lock in it would last."""
    with closing(connect(admin)) as connection:
        connection.execute("SET idle_session_timeout = 0")
        query = "SELECT pg_try_advisory_lock(%s, hashtext(%s))"
        (taken,) = connection.execute(query, (REPLACING, name)).fetchone() or (False,)
        if not taken:
            raise TargetUnusable(
                f"Another dry run is rolling {name!r} back.",
                "This one did not touch it.",
                "Wait for it, and look what it came to.",
            )
        yield
