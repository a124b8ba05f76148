"""The room on the disk of the target's own server, for databases that are to stand beside the target."""

from __future__ import annotations

import psycopg
from psycopg import sql

from pytest_dryrun.model.errors import CommandFailed, DryRunError
from pytest_dryrun.steps import way_back_rights
from pytest_dryrun.steps.target import TargetDatabase
from pytest_dryrun.steps.way_in import COMMAND_S

# The session's own process shows that the server runs on this host, and not behind one of its ports; where processes
# of others are hidden (proc(5), hidepid), so is the first.
_LOOK = """
{ read -r name <"/proc/$1/comm"; } 2>/dev/null
case $name in *postgres* | postmaster) ;; *) [ -r /proc/1/comm ] || exit 5; exit 3 ;; esac
[ -d "$2" ] || exit 4
"""
_WHY = {
    3: "it has no process on {host}: it runs in a container of it, or on another machine",
    4: "the login user cannot look at {place} on {host}",
    5: "{host} hides the processes of others from the login user",
}


class Unmeasured(DryRunError):
    """Nobody can tell how much fits there."""


def look(database: TargetDatabase) -> tuple[str, int]:
    """Where the database lies on its host, and the bytes that still fit there; raises Unmeasured."""
    host, user = database.host, database.conninfo.user
    with database.connect() as connection:
        place, pid = connection.execute(
            "SELECT CASE WHEN t.spcname <> 'pg_default' THEN pg_tablespace_location(t.oid)"
            " WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('data_directory') END,"
            " pg_backend_pid()"
            " FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname = current_database()"
        ).fetchone() or (None, 0)
        if place is None:
            grant = sql.SQL("GRANT pg_read_all_settings TO {}").format(sql.Identifier(user)).as_string(connection)
            raise _unmeasured(f"user {user!r} may not ask where the server keeps its data ({grant} would let it)")
        try:
            looked = host.run(["sh", "-c", _LOOK, "sh", str(pid), str(place)], timeout_s=COMMAND_S)
            if looked.exit_status == 0:
                return str(place), host.free_bytes(str(place))
        except CommandFailed as error:
            raise _unmeasured(error.what.rstrip(".")) from error
    why = _WHY.get(looked.exit_status, "the look at {place} on {host} failed").format(host=host.name, place=place)
    raise _unmeasured(why)


def require_still(database: TargetDatabase, needed_bytes: int) -> None:
    """Raise where a restored database does not fit beside the migrated target; what cannot be told now is tried."""
    try:
        place, free = look(database)
    except (DryRunError, psycopg.Error):  # the migrated database itself need not let anybody in
        return
    if free < needed_bytes:
        raise DryRunError(
            f"{place} on {database.host.name} has {free / 1e6:,.0f} MB free, the restored database may need"
            f" {needed_bytes / 1e6:,.0f} MB: a full disk would stop the server, so it was not restored.",
            way_back_rights.STILL_MIGRATED,
            "Make room there, then type the commands of the way back.",
        )


def _unmeasured(why: str) -> Unmeasured:
    return Unmeasured(
        f"how much still fits on the disk of the target's server is not known: {why}",
        "A full disk would stop the target itself.",
        "Look at it there.",
    )
