"""Copies that stand beside the target, on its own server: for a database whose dump is too large to be carried away.

The rehearsal is watched by event triggers, so the target's user has to be a superuser. The copies are named after
the target and the run and are dropped at its end; the target's own sessions share the server with them.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from pytest_dryrun.hosts import Host
from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.postgres import databases
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.steps import data_room, neighbours, way_back_rights
from pytest_dryrun.steps import target as names
from pytest_dryrun.steps.target import TargetDatabase


def administration(conninfo: Conninfo) -> Conninfo:
    """A superuser's way into the target's server; raises TargetUnusable where its user is none."""
    with connect(conninfo) as connection:
        row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if row is None or not row[0]:
        raise TargetUnusable(
            f"User {conninfo.user!r} of the .env is no superuser, and copies beside the target need one.",
            "Event triggers watch the rehearsal, and nobody else may create them; nothing was touched.",
            'Set [rehearsal] provider to "auto": then the copies live on a disposable server here.',
        )
    try:
        return way_back_rights.administration(conninfo)
    except TargetUnusable as error:
        raise TargetUnusable(
            error.what,
            "Copies beside the target could not be made, so nothing was touched.",
            'Look at the server, or set [rehearsal] provider to "auto".',
        ) from error


def serve(database: TargetDatabase, run_id: str) -> Beside:
    """Let copies stand on the target's server, where its user is a superuser."""
    admin = administration(database.conninfo)
    tool_conninfo = database.tool_conninfo.database(admin.dbname)
    return Beside(admin, tool_conninfo, database.host, database.identify().version_num, database, run_id)


@dataclass(slots=True)
class Beside:
    """The target's own server in the place of a disposable one."""

    conninfo: Conninfo
    tool_conninfo: Conninfo
    host: Host
    version_num: int
    database: TargetDatabase
    run_id: str
    provider: str = "target"
    skipped: tuple[str, ...] = (
        "the target's own; what the rehearsal measured shared the machine with everything else there",
    )

    def tool(self, name: str) -> list[str]:
        """Begin the argv of one of the server's client programs on its host."""
        return self.database.tool(name)

    def process_ids(self) -> tuple[int, ...]:
        """Its processes are not here."""
        return ()

    def free_bytes(self) -> int:
        """Bytes that still fit where the backup's host keeps the server's data."""
        return data_room.look(self.database)[1]

    def stop(self) -> None:
        """Drop this run's copies; the server goes on."""
        with ExitStack() as each_of_them:  # one that cannot be dropped does not keep the others
            for what in (names.TEMPLATE, names.REHEARSAL, names.GOOD, names.QUEUE, names.RELEASE):
                copy = neighbours.named(self.database.conninfo.dbname, what, self.run_id)
                each_of_them.callback(databases.drop, self.conninfo, copy)
