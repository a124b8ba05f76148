"""A dry run of a staging host over SSH: its own database, tools and commands; the copies live here."""

from __future__ import annotations

import posixpath
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from pytest_dryrun.model.errors import Blocked, DryRunError, TargetUnusable
from pytest_dryrun.postgres import databases
from pytest_dryrun.postgres.connection import connect
from pytest_dryrun.postgres.fingerprint.counters import tuple_counters
from pytest_dryrun.probes import statement_statistics
from pytest_dryrun.staging_access import unserved
from pytest_dryrun.staging_copies import StagingCopies
from pytest_dryrun.steps import application, data_room, holding, neighbours, way_back, way_back_rights, way_back_typed
from pytest_dryrun.steps.memo import step
from pytest_dryrun.steps.tuples import busy


class StagingRun(StagingCopies):
    """The target is a database behind a host; it is migrated by its own command, and brought back."""

    def __init__(self, **of_the_session: Any) -> None:
        super().__init__(**of_the_session)
        self.before_deploying: Callable[[], object] = unserved
        self.changes_names = False
        """Set when the target and the restored database are about to change names."""

    def sent_statements(self) -> tuple[str, ...]:
        """Those of the configuration, and what the server has counted of the application's own user."""
        target = self.database().conninfo
        counted: tuple[str, ...] = ()
        for place in (target, target.database("postgres")):
            with suppress(TargetUnusable), connect(place) as connection:  # nobody owes us access to `postgres`
                if not counted and not statement_statistics.available(connection, create=False, others=False):
                    counted = statement_statistics.sent(connection, target.dbname)
        return (*super().sent_statements(), *counted)

    @contextmanager
    def deploying(self) -> Iterator[None]:
        """Time the application as it is, and tell the way back while there is one to tell."""
        self.before_deploying()
        self.log_marks()
        if changed := self.backup().changed():
            raise Blocked(f"the target was not touched: {changed}")
        commands = way_back_typed.commands(
            self.database(),
            self.backup().shape,
            self._backup_file,
            restart=self.target.restart_after_rollback,
            directory=self.directory_there,
            user=self.rollback().restored_as,
        )
        pending = ", ".join(item.name for item in self.status().pending)
        self.hold_deployment()
        with self.journal().writing(f"deploying {pending or 'nothing'}"):
            self._still_ours()
            self.tell_way_back("", commands=commands)
            yield

    def _still_ours(self) -> None:
        """Raise Blocked where the session is gone that keeps other dry runs out."""
        try:
            self._guard.execute("SELECT 1")
        except psycopg.OperationalError as error:
            why = " ".join(str(error).split())
            raise Blocked(
                "the target was not touched: the session that kept other dry runs out of it has ended"
                f" ({why}), so that another may have come; run again"
            ) from error

    @property
    def _backup_file(self) -> str:
        return posixpath.join(self._backups, self.backup().path.name)

    def tell_way_back(self, outcome: str, said: Sequence[str] = (), *, commands: Sequence[str] | None = None) -> None:
        """Tell the reader of the page how the target comes back, and what became of it."""
        told = self.parts.get("rollback", {})
        typed = list(commands) if commands is not None else told.get("commands", [])
        self.publish(rollback={"host": self.remote().name, "commands": typed, "outcome": outcome, "said": list(said)})

    @contextmanager
    def replacing(self) -> Iterator[None]:
        """Keep other dry runs out while the target is replaced by another database; raises where one has come already.

        What restarted the application may have ended our session in the target, and with it its lock.
        """
        conninfo = self.database().conninfo
        with holding.replacing(way_back_rights.administration(conninfo), conninfo.dbname):
            try:
                self._guard.execute("SELECT 1")
            except psycopg.OperationalError:
                self._guard = holding.hold(conninfo, replaced=True)
                self.closing(self._guard.close)
            yield

    def bring_back(self) -> way_back.BroughtBack:
        """Replace the migrated target by its backup."""
        if changed := self.backup().changed():
            raise DryRunError(changed, way_back_rights.STILL_MIGRATED, "Find a backup that is whole, and restore it.")
        data_room.require_still(self.database(), self._restored_bytes())
        beside = neighbours.named(self.database().conninfo.dbname, neighbours.BESIDE, self.run_id)
        with self.journal().writing(f"restoring the backup into {beside}, to take the target's place"):
            return way_back.bring_back(
                self.database(),
                self.backup(),
                self._backup_file,
                run_id=self.run_id,
                let_go=self._let_go,
                swapped=lambda: self.publish(rolled_back=True),
                timeout_s=self.target.backup.timeout_s,
            )

    def _restored_bytes(self) -> int:
        """What the backup took where it was restored; 0 where its server is gone, which the way back does without."""
        try:
            with connect(self.restored().conninfo) as connection:
                return databases.size_bytes(connection)
        except (DryRunError, psycopg.Error):
            return 0

    def _let_go(self) -> None:
        self.changes_names = True
        self._guard.close()

    def hold_again(self) -> None:
        """Keep others out of the database that took the target's place; raises TargetUnusable where one has come."""
        conninfo = self.database().conninfo
        try:
            self._guard = holding.hold(conninfo, replaced=True)
        except TargetUnusable as error:
            raise TargetUnusable(
                error.what,
                "The rows are back; not to disturb it, the application was neither restarted nor tried.",
                "Restart it when the other run has ended.",
            ) from error
        self.closing(self._guard.close)

    @step("Comparing every row of the target with the backup")
    def integrity(self) -> application.Integrity:
        """What became of the target's data; new columns' defaults are tried with rows that are rolled back."""
        self.migrated()
        with self.journal().writing("trying defaults with rows that are rolled back"):
            return super().integrity()

    def busy_tables(self) -> Collection[str]:
        """Tables to which others wrote, as long as what happened while deploying is no more than they may have done."""
        applied = self.applied()
        now = tuple_counters(self.database().conninfo, settled_s=0)
        readings = (self._counters, applied.counters_before, applied.counters_after, now)
        oids = busy(readings, deploying_s=applied.counted_s, watched_s=time.monotonic() - self._counted_at)
        return {table.table for table in applied.prints_before.tables if table.oid in oids}
