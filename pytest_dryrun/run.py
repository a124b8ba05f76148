"""One dry run of one target: opens things late, each once, and closes them always."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any

import psycopg

from pytest_dryrun.migrations import Migrations, Status
from pytest_dryrun.model.decision import Decision, decide, gate
from pytest_dryrun.model.errors import Blocked, DryRunError
from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.model.values import CheckRecord, CheckSpec, Outcome, Severity
from pytest_dryrun.postgres import databases, roles
from pytest_dryrun.probes.transactions import LongestTransaction
from pytest_dryrun.report import document
from pytest_dryrun.steps import application, proof
from pytest_dryrun.steps import target as names
from pytest_dryrun.steps.documentation import SLUG, History
from pytest_dryrun.steps.leftovers import Start
from pytest_dryrun.steps.memo import step
from pytest_dryrun.steps.rehearsal import Rehearsal, Template, rehearse
from pytest_dryrun.steps.rollback import RolledBack
from pytest_dryrun.steps.running_release import Trial
from pytest_dryrun.survey import Survey


class DryRun(Survey, ABC):
    """What the fixtures of one target hand out; where the target lives is a subclass's business."""

    # What depends on where the target lives.

    @abstractmethod
    def backup_room(self) -> proof.Room:
        """Free space against what the backup may need."""

    def database_rooms(self) -> tuple[proof.Room, ...]:
        """Free space against what databases may need that are made of the backup, where that can be told before."""
        return ()

    @abstractmethod
    def take_backup(self) -> proof.Taken:
        """Dump and fingerprint the target from one snapshot."""

    @abstractmethod
    def template(self) -> Template:
        """The untouched data, from which every other copy is made."""

    @abstractmethod
    def restored(self) -> proof.Restored:
        """The backup in a new database, compared with the snapshot."""

    @abstractmethod
    def rollback(self) -> RolledBack:
        """The migrated copy, replaced by the backup."""

    # Backup and rehearsal.

    _roles: tuple[roles.Roles, roles.Roles] | None = None

    @step("Backing up and fingerprinting the target")
    def backup(self) -> proof.Taken:
        """The backup and the fingerprint of the very same snapshot."""
        for room in (self.backup_room(), *self.database_rooms()):
            if shortage := room.shortage():
                raise Blocked(shortage, ("backup-space",))
        taken = self.take_backup()
        self.publish_backup(taken, 0.0)
        self.publish(not_verified=[f"{item.table}: {item.reason}" for item in taken.prints.not_verified])
        return taken

    def publish_backup(self, taken: proof.Taken, restore_ms: float) -> None:
        """Tell the reader of the page about the backup."""
        self.publish(
            backup={
                "file": taken.kept_at,
                "size_bytes": taken.size_bytes,
                "sha256": taken.sha256,
                "dump_ms": round(taken.dump_ms, 1),
                "restore_ms": round(restore_ms, 1),
            }
        )

    @step("Rehearsing the pending migrations on a copy")
    def rehearsal(self) -> Rehearsal:
        """The pending migrations on a copy that equals the backed-up target."""
        template = self.template()
        with self._roles_watched() as held:
            done = rehearse(
                self.server().conninfo,
                template.conninfo,
                template.prints,
                self.copy_name(names.REHEARSAL),
                self.rehearsed_migrations(),
                self.status().pending,
                in_transaction=self.status().mode == "whole-file",
                timeout_s=self.target.migrations.timeout_s,
                performance=self.target.performance,
                limits=self.target.stalls,
                held=held,
                beside=self.server().provider == "target",
                login=template.login,
                redact=self.redactor.text,
                native=self.native(),
                good=self.copy_name(names.GOOD),
                queue=self.copy_name(names.QUEUE),
                free_bytes=self.server().free_bytes,
                longest_transaction=self.longest_transaction,
                trial=Trial(
                    self.copy_name(names.RELEASE), self.target.running_release.time_limit_s, self.sent_statements()
                ),
            )
        self.publish(
            statements=done.statements,
            tables=done.tables,
            schema_diff=done.diff_sql,
            running_release=done.tried.as_document(),
        )
        self.note(*done.notes)
        return done

    def longest_transaction(self) -> LongestTransaction:
        """How long a transaction of the application may last: as configured, else unknown."""
        return LongestTransaction(self.target.stalls.longest_transaction_ms, "[stalls] longest_transaction_ms")

    @contextmanager
    def _roles_watched(self) -> Iterator[roles.Roles]:
        """Give the server's roles, which others share, and remember what a rehearsal does to them."""
        admin, copy = self.server().conninfo, self.copy_name(names.REHEARSAL)
        before = roles.read(admin, besides=copy)
        try:
            yield before
        finally:
            self._roles = before, roles.read(admin, besides=copy)
            if self.server().provider == "target":
                self.closing(self.undo_roles)

    def undo_roles(self) -> None:
        """Bring back the roles that the rehearsal changed, once; the migrated copy, which may name them, goes first.

        Where the target lives on the same server, its deployment would meet them. Raises DryRunError.
        """
        (before, after), self._roles = self._roles or (None, None), None
        if before is None or after is None or before == after:
            return
        admin = self.server().conninfo
        try:
            databases.drop(admin, self.copy_name(names.REHEARSAL))
            roles.undo(admin, before, after)
        except psycopg.Error as error:
            why = " ".join(str(error).split())
            raise DryRunError(
                f"What the rehearsal changed among the server's roles could not be undone: {why}",
                "Roles are the whole server's, so the target does not stand there as it was found.",
                "Compare the roles with those of before, by hand, and run again.",
            ) from error

    def sent_statements(self) -> tuple[str, ...]:
        """Statements that the application is known to send."""
        return self.target.performance.queries

    def copy_name(self, what: str) -> str:
        """What a copy of the target is called on the server that holds the copies."""
        return what

    def rehearsed_migrations(self) -> Migrations:
        """The migrations as they are applied to a copy."""
        self.destination()
        return self.migrations()

    def rehearsed(self) -> Rehearsal:
        """A rehearsal that ended well; what failed there blocks everything that asks for its effects."""
        done = self.rehearsal()
        done.hold()
        return done

    # The target.

    @step("Applying the pending migrations to the target")
    def applied(self) -> application.Applied:
        """The deployment; nothing is touched unless the gate holds in this very run: sections 1 to 4, and `stalls`.

        Nor unless the way back was walked: what section 8 tells of the copy is found out before the target changes.
        """
        self.hold_gate()
        self.rehearsed()
        self._hold_way_back()
        pending = self.status().pending
        with self.deploying():
            self.publish(target_migrated=bool(pending))
            done = application.apply(
                self.database(),
                self.migrations(),
                self.backup().prints,
                timeout_s=self.target.migrations.timeout_s,
                start=self._start_of_copies(),
                alone=self.target.role == "local",
            )
            self.publish(migrations={**self.parts["migrations"], "applied": list(done.names)})
        return done

    def _start_of_copies(self) -> Start:
        """From where a copy can be brought to what the target should be, should its deployment fail."""
        template, admin = self.template(), self.server().conninfo
        return Start(
            admin,
            template.conninfo,
            template.prints,
            self.copy_name(names.GOOD),
            self.native(),
            template.login,
            roles.read(admin),
            self.target.migrations.timeout_s,
        )

    def deploying(self) -> AbstractContextManager[None]:
        """What is done at the last moment before the target changes, and when it has changed."""
        self.hold_deployment()
        return nullcontext()

    def files_now(self) -> Sequence[Migration]:
        """The folder as a deployment would find it now."""
        return self.migrations().folder()

    def busy_tables(self) -> Collection[str]:
        """Tables of the target to which others wrote while the run went on."""
        return ()

    def hold_gate(self) -> None:
        """Raise Blocked unless sections 1 to 4 and `stalls` hold, each where its criterion is required."""
        against = gate(self.specs, self.records, not_required=self.loaded.not_required)
        if against:
            words = [f"{spec.number} {spec.slug} ({self._outcome(spec)})" for spec in against]
            raise Blocked("the target was not touched", tuple(spec.slug for spec in against), ", ".join(words))

    def _hold_way_back(self) -> None:
        """Raise Blocked unless the migrated copy could be replaced by the backup."""
        try:
            findings = self.rollback().findings
        except (DryRunError, psycopg.Error) as error:  # kept by the step, and told by the check of the rollback
            why = str(error).strip().splitlines()[0]
            raise Blocked(f"the target was not touched: {why}", ("rollback-restores",)) from error
        if blockers := [finding.message for finding in findings if finding.severity is Severity.BLOCKER]:
            raise Blocked(f"the target was not touched: {blockers[0]}", ("rollback-rows-match",))

    def hold_deployment(self) -> None:
        """Raise Blocked where the folder is not the rehearsed one, TargetUnusable where deploying leads elsewhere.

        Asked at the last moment: a release may have come meanwhile.
        """
        self.destination()
        rehearsed = self.status().pending
        now = {migration.name: migration.checksum for migration in self.files_now()}
        known = {*(migration.name for migration in rehearsed), *self.status().applied}
        changed = [item.name for item in rehearsed if now.get(item.name) != item.checksum]
        changed += [name for name in now if name not in known]
        if changed:
            raise Blocked(f"the target was not touched: since the rehearsal {', '.join(changed)} changed")

    def _outcome(self, spec: CheckSpec) -> str:
        record = self.records.get(spec.slug)
        return record.outcome.value if record else "was not run"

    def migrated(self) -> application.Applied:
        """A deployment that ended well."""
        done = self.applied()
        if done.failures:
            raise Blocked(done.failures[0].message.splitlines()[0], ("migrations-applied",))
        return done

    @step("Reading the migration status again")
    def status_after(self) -> Status:
        """Folder and history after the deployment."""
        self.applied()
        return self.read_status()

    @step("Comparing the target's schema with the rehearsed one")
    def schema_as_rehearsed(self) -> application.SchemaAsRehearsed:
        """The target's catalog beside the copy's."""
        self.migrated()
        return application.schema_as_rehearsed(self.database(), self.rehearsal().after)

    @step("Comparing every row of the target with the backup")
    def integrity(self) -> application.Integrity:
        """What became of the target's data."""
        applied, rehearsal = self.migrated(), self.rehearsal()
        found = application.integrity(
            self.database(),
            self.template().conninfo,
            self.backup().catalog,
            applied,
            (*rehearsal.destructive, *rehearsal.foreign_keys, *rehearsal.indexes),
            restore_proved=not self.restored().disproved,
            busy=self.busy_tables(),
            history=self.migrations().history(),
            redact=self.redactor.text,
            timeout_s=self.target.backup.timeout_s,
        )
        self.publish(tables=found.tables)
        missed = [f"{table.table}: {item}" for table in found.tables for item in table.not_verified]
        self.publish(not_verified=[*self.parts.get("not_verified", []), *missed])
        return found

    # Documentation.

    def history(self) -> History:
        """Where the run is written down."""
        self.applied()
        named = self.loaded.project.history
        needed = bool(self.parts.get("target_migrated") or self.parts.get("rolled_back"))
        return History(self.loaded.root / named if named else None, needed, self._document_if_documented)

    def verdict(self, records: Mapping[str, CheckRecord]) -> Decision:
        """What these records add up to, by the run's own configuration."""
        p95_ms = self.target.performance.p95_ms
        return decide(self.specs, records, not_required=self.loaded.not_required, p95_ms=p95_ms)

    def _document_if_documented(self) -> dict[str, Any]:
        """The document as things stand, the documentation's own check taken as passed."""
        records = {**self.records, SLUG: CheckRecord(SLUG, Outcome.PASSED)}
        verdict = self.verdict(records)
        head = document.heading(
            self.loaded.project, self.name, self.target.role, self.run_id, self.executed_by, self.started_at
        )
        made = document.build(head, self.specs, records, self.parts, verdict, finished_at=datetime.now(UTC))
        redacted: dict[str, Any] = self.redactor.json(made)
        return redacted
