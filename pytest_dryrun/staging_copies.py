"""The backup of a staging host's database, and the copies that are made of it."""

from __future__ import annotations

import time
from abc import ABC
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg

from pytest_dryrun.config import size_bytes
from pytest_dryrun.migrations import Migrations
from pytest_dryrun.model.errors import Blocked, CommandFailed, DryRunError, TargetUnusable
from pytest_dryrun.model.values import Severity
from pytest_dryrun.postgres import disposable, outside
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.postgres.disposable import Disposable
from pytest_dryrun.postgres.fingerprint.counters import tuple_counters
from pytest_dryrun.probes import transactions
from pytest_dryrun.probes.transactions import LongestTransaction
from pytest_dryrun.staging_access import StagingAccess, unserved
from pytest_dryrun.steps import (
    beside,
    data_room,
    from_host,
    neighbours,
    proof,
    still_running,
    way_back,
    way_back_rights,
    way_back_typed,
)
from pytest_dryrun.steps import target as names
from pytest_dryrun.steps.loading import Loading
from pytest_dryrun.steps.memo import step
from pytest_dryrun.steps.rehearsal import Template
from pytest_dryrun.steps.rollback import BESIDE_STEPS, STEPS, RolledBack
from pytest_dryrun.steps.tuples import Counters

COPIES = 3
"""The template, the copy that is migrated, and one on which the running release is tried."""


class StagingCopies(StagingAccess, ABC):
    """Copies on a disposable server here, or beside the target."""

    def __init__(self, **of_the_session: Any) -> None:
        super().__init__(**of_the_session)
        self._counters: Counters = {}
        self._counted_at = 0.0
        self._loads: Loading | None = None
        self.before_backup: Callable[[], object] = unserved

    @step("Starting a disposable PostgreSQL")
    def server(self) -> Disposable:
        """The server for the copies: a disposable one of the target's major version, or the target's own."""
        if self.beside:
            copies = self.copy_name("*")
            self.hold(self.journal().writing(f"making and dropping the databases {copies} beside the target"))
            return self.serve(beside.serve(self.database(), self.run_id))
        major = self.database().identify().version_num // 10000
        provider = self.target.rehearsal.provider
        return self.serve(
            disposable.start(
                provider,
                workspace=self.workspace(),
                image=f"postgres:{major}",
                major=major,
                superuser=from_host.first_superuser(self.database().conninfo),
            )
        )

    def longest_transaction(self) -> LongestTransaction:
        """As configured, else what the target's statistics and its open sessions tell."""
        configured = super().longest_transaction()
        return configured if configured.ms else transactions.of_server(self.database().conninfo)

    @step("Measuring the room for a backup")
    def backup_room(self) -> proof.Room:
        """Free space on the host against what the backup may need, once what killed runs left is gone."""
        conninfo = self.database().conninfo
        from_host.clear(self.remote(), self._backups, self.name, self.runs_of_others)
        if neighbours.left(conninfo):
            self.journal()
        return proof.room(self.database(), self._backups, size_bytes(self.target.backup.min_free))

    def database_rooms(self) -> tuple[proof.Room, ...]:
        """Free space for the copies here, and for what is to stand beside the target, where that can be told."""
        rooms = (None if self.beside else self.room_for_copies(), self.room_on_target())
        return tuple(room for room in rooms if room is not None)

    @step("Measuring how large a copy may be")
    def copy_bytes(self) -> int:
        """What a copy of the target takes: as configured, or as much as the target, which may be bloated."""
        told = self.target.rehearsal.copy_size
        return size_bytes(told) if told else self.database().size_bytes()

    @step("Measuring the room for the copies")
    def room_for_copies(self) -> proof.Room:
        """Free space where the disposable server keeps its data."""
        needed = (COPIES + self.rolls_back) * self.copy_bytes()
        server = self.server()
        place = "the Docker engine" if server.provider == "container" else str(self.workspace().path)
        return proof.Room(
            f"{place} here",
            server.free_bytes(),
            needed,
            purpose="the copies",
            remedy="free space there, say what a copy takes ([rehearsal] copy_size), or let them stand beside the"
            ' target (provider = "target")',
        )

    @step("Measuring the room beside the target")
    def room_on_target(self) -> proof.Room | None:
        """Free space on the disk of the target's server; None where nothing is put there, and where nobody can tell."""
        database, purpose = self.database(), self._put_beside
        if not purpose:
            return None
        setting = '[rehearsal] provider = "auto"' if self.beside else '[rollback] on_no_go = "print"'
        try:
            place, free = data_room.look(database)
        except data_room.Unmeasured as error:
            self.note(
                f"A full disk would stop the target's server, and {error.what}. {purpose.capitalize()} may need"
                f" {self._room_beside} times the size of the target."
            )
            return None
        remedy = f"free space there, say what a copy takes ([rehearsal] copy_size), or set {setting}"
        return proof.Room(place, free, self._room_beside * self.copy_bytes(), purpose=purpose, remedy=remedy)

    @property
    def _put_beside(self) -> str:
        """What is to stand beside the target for a while."""
        if self.beside:
            return "the copies beside the target"
        return "bringing the target back" if self.rolls_back else ""

    @property
    def _room_beside(self) -> int:
        """How many databases of its size have to fit beside the target."""
        return (COPIES if self.beside else 0) + self.rolls_back + 1  # which sorting, checkpoints or the backup may need

    def take_backup(self) -> proof.Taken:
        """Dump on the host and fingerprint through the tunnel, from one snapshot."""
        self.before_backup()
        name = f"{self.name}-{self.run_id}.dump"
        timeout_s = self.target.backup.timeout_s
        copy = None if self.beside else self.workspace().path / "backup" / name
        loading = None if self.beside else self._loading()
        dump = from_host.there(
            self.remote(),
            self.database(),
            self._backups,
            name,
            copy,
            timeout_s=timeout_s,
            loading=loading,
            env=still_running.marking(self.run_id),
        )
        self._counters = tuple_counters(self.database().conninfo, settled_s=0)
        self._counted_at = time.monotonic()
        with self.journal().writing(f"writing the backup {name}"):
            return proof.take(self.database(), dump, timeout_s=timeout_s)

    def _loading(self) -> Loading | None:
        """The backup's way into the template; None where there is no server for it, which who asks for one is told."""
        with suppress(DryRunError, psycopg.Error, OSError):
            self.login()
            self._loads = Loading(self.server(), names.TEMPLATE, timeout_s=self.target.backup.timeout_s)
            self.closing(self._loads.close)
        return self._loads

    @step("Copying the target's roles")
    def login(self) -> Conninfo:
        """Who applies migrations to copies: the target's own user."""
        if self.beside:
            return self.server().conninfo
        conninfo = from_host.copy_roles(self.database().conninfo, self.server().conninfo)
        self.redactor.add(conninfo.password)
        return conninfo

    @step("Restoring the backup and comparing every row")
    def restored(self) -> proof.Restored:
        """The backup in a new database: the template of every copy."""
        taken = self.backup()
        self.login()
        timeout_s = self.target.backup.timeout_s
        if self._loads is not None and not self._loads.abandoned:
            restored = proof.loaded(taken, self._loads, timeout_s=timeout_s)
        else:
            restored = proof.restore(self.server(), taken, self.copy_name(names.TEMPLATE), timeout_s=timeout_s)
        with connect(restored.conninfo, statement_timeout_s=timeout_s) as connection:
            outside.analyze(connection)
        self.publish_backup(taken, restored.restore_ms)
        return restored

    def template(self) -> Template:
        """The restored backup, where it is proved to be the target."""
        restored = self.restored()
        if restored.disproved:
            raise Blocked("the copy is not the target, so a rehearsal on it would prove nothing", ("backup-restores",))
        return Template(restored.conninfo, restored.prints, self.login())

    def rehearsed_migrations(self) -> Migrations:
        """Copies are out of the host's reach: they are migrated natively."""
        return self.native()

    @step("Rolling the migrated copy back to the backup")
    def rollback(self) -> RolledBack:
        """The migrated copy, replaced by the backup as it lies on the host now."""
        self.rehearsed()
        self.undo_roles()
        self.backup().hold()
        conninfo = self.database().conninfo
        steps = BESIDE_STEPS if self.rolls_back else STEPS
        if self.beside:  # whose user is a superuser
            return RolledBack.of(self._restored_over_copy(None), steps, restored_as=conninfo.user)
        own = self.login() if way_back_rights.may_replace(conninfo) else None
        restored = self._restored_as(own) if own else None
        if restored is None:
            own, restored = None, self._restored_over_copy(None)
        self.publish_backup(self.backup(), restored.restore_ms)
        superuser = self.server().conninfo.user  # called as the target's own
        if superuser == from_host.NO_SUPERUSER:
            superuser = way_back_typed.SUPERUSER
        return RolledBack.of(restored, steps, restored_as=own.user if own else superuser)

    def _restored_as(self, own: Conninfo) -> proof.Restored | None:
        """The backup restored as the target's own user; None where only a superuser can, and nobody else has to."""
        try:
            restored = self._restored_over_copy(own)
        except (CommandFailed, TargetUnusable):  # no word of who may do what
            raise
        except DryRunError as error:
            if self.rolls_back:
                raise DryRunError(
                    error.what,
                    f'With on_no_go = "run" {own.user!r} of the .env would have to do it, and on the copy could not.',
                    f'Give the user what it lacks, or set [rollback] on_no_go = "print". {error.next}',
                ) from error
            why = error.what
        else:
            if self.rolls_back or not restored.disproved:
                return restored
            why = next(found.message for found in restored.findings if found.severity is Severity.BLOCKER)
        self.note(f"Only a superuser can restore the backup, {own.user!r} of the .env cannot: {why}")
        return None

    def _restored_over_copy(self, login: Conninfo | None) -> proof.Restored:
        """What the run would do itself, or else what is typed."""
        server, taken, copy = self.server(), self.backup(), self.copy_name(names.REHEARSAL)
        timeout_s = self.target.backup.timeout_s
        if not self.rolls_back:
            return proof.restore(server, taken, copy, timeout_s=timeout_s, login=login)
        beside, aside = self.copy_name(neighbours.BESIDE), self.copy_name(neighbours.ASIDE)
        return way_back.walk(server, taken, copy, beside=beside, aside=aside, timeout_s=timeout_s, login=login)
