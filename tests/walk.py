"""A dry run without pytest: the real steps, the shipped checks and the decision, so that a test can step in between."""

from __future__ import annotations

import importlib.util
import inspect
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest

from pytest_dryrun import checklist, config_file, fixtures
from pytest_dryrun.collecting import turn
from pytest_dryrun.judging import Phases
from pytest_dryrun.ledger import new_run_id
from pytest_dryrun.local_run import LocalRun
from pytest_dryrun.model.decision import Decision, decide
from pytest_dryrun.model.redaction import Redactor
from pytest_dryrun.model.values import CheckRecord, CheckSpec, Outcome
from pytest_dryrun.postgres import databases
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.postgres.disposable import Disposable
from pytest_dryrun.progress import silent
from pytest_dryrun.recording import Record
from pytest_dryrun.run import DryRun
from pytest_dryrun.serving import Serving
from pytest_dryrun.staging_run import StagingRun
from pytest_dryrun.staging_serving import StagingServing
from pytest_dryrun.steps import target as names


class Walk:
    """One dry run of a target of a folder's `dryrun.toml`, on a disposable server that is there already."""

    def __init__(
        self,
        folder: Path,
        server: Disposable,
        *,
        own_checks: bool = True,
        name: str = "local",
        kind: type[DryRun] | None = None,
    ) -> None:
        loaded = config_file.load(folder / "dryrun.toml", name)
        own = [folder / "checks"] if own_checks and (folder / "checks").is_dir() else []
        self.specs: tuple[CheckSpec, ...] = checklist.read([checklist.shipped_folder(), *own])
        fitting = StagingRun if loaded.targets[name].role == "staging" else LocalRun
        self.run: DryRun = (kind or fitting)(
            name=name,
            target=loaded.targets[name],
            loaded=loaded,
            specs=self.specs,
            run_id=new_run_id(),
            directory=folder / "reports" / name,
            redactor=Redactor(loaded.secrets),
            executed_by="the tests",
            started_at=datetime.now(UTC),
            progress=silent,
        )
        self.serving = StagingServing(self.run) if isinstance(self.run, StagingRun) else Serving(self.run)
        self.done(server=server)

    def done(self, **steps: Any) -> None:
        """Take these steps as done, with these results."""
        self.run.memo.update({name: (value, None) for name, value in steps.items()})

    def check(self, slug: str) -> CheckRecord:
        """Carry out one check as pytest would, and keep its record."""
        spec = next(spec for spec in self.specs if spec.slug == slug)
        phases = Phases()
        phases.record = record = Record(lambda finding: self.run.waivers().apply(finding))

        def call() -> None:
            function = getattr(module(Path(spec.path)), spec.function)
            asked = inspect.signature(function).parameters
            function(**{name: record if name == "record" else self._fixture(name) for name in asked})

        seen = pytest.CallInfo.from_call(call, when="call")
        phases.see(seen, owner=self.run.owner(seen.excinfo.value, slug) if seen.excinfo else None)
        self.run.records[slug] = phases.finished(slug)
        return self.run.records[slug]

    def sections(self, *numbers: int) -> None:
        """Carry out every check of these sections, in the order of a run."""
        for spec in sorted(self.specs, key=turn):
            if turn(spec)[0] in numbers:
                self.check(spec.slug)

    def passed(self, *numbers: int) -> None:
        """Take every check of these sections as passed."""
        found = (CheckRecord(spec.slug, Outcome.PASSED) for spec in self.specs if turn(spec)[0] in numbers)
        self.run.records.update({record.slug: record for record in found})

    def fork(self, folder: Path) -> Walk:
        """Go on from here with the configuration of another folder, on a copy of the target."""
        other = Walk(folder, self.run.server())
        ours = self.run.database()
        conninfo = databases.copy(self.run.server().conninfo, ours.conninfo.dbname, f"fork_{uuid.uuid4().hex[:8]}")
        tool_conninfo = ours.tool_conninfo.database(conninfo.dbname)
        own = {"workspace", "native", "log_marks", "waivers"}
        other.run.memo.update({name: kept for name, kept in self.run.memo.items() if name not in own})
        other.run.records.update(self.run.records)
        other.run.parts.update(self.run.parts)
        other.done(database=replace(ours, conninfo=conninfo, tool_conninfo=tool_conninfo, _identity=None))
        return other

    def execute(self, *statements: str) -> None:
        """Do something to the target, as somebody else would."""
        execute(self.run.database().conninfo, *statements)

    def decision(self) -> Decision:
        """Decide over the whole checklist, whatever was not carried out taken as passed."""
        rest = {spec.slug: CheckRecord(spec.slug, Outcome.PASSED) for spec in self.specs}
        return decide(self.specs, {**rest, **self.run.records})

    def reasons(self, slug: str) -> list[str]:
        """What the matrix says of one check."""
        number = next(spec.number for spec in self.specs if spec.slug == slug)
        said = [reason for row in self.decision().criteria for reason in row.reasons]
        return [reason for reason in said if reason.startswith(f"{number} {slug} ")]

    def _fixture(self, name: str) -> Any:
        ours = {"dryrun": self.run, "serving": self.serving}
        if name in ours:
            return ours[name]
        given: Callable[..., Any] = getattr(fixtures, name).__wrapped__
        asked = inspect.signature(given).parameters
        return given(**{each: self._fixture(each) for each in asked})


@contextmanager
def walking(folder: Path, server: Disposable, **options: Any) -> Iterator[Walk]:
    """Walk through a dry run, and leave none of its databases on the server."""
    walk = Walk(folder, server, **options)
    try:
        yield walk
    finally:
        walk.run.close()
        for name in (names.TARGET, names.TEMPLATE, names.REHEARSAL, names.BEFORE):
            databases.drop(server.conninfo, name)


def execute(conninfo: Conninfo, *statements: str) -> None:
    """Run statements one after another, each in a transaction of its own."""
    with psycopg.connect(**conninfo.parameters(), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def module(path: Path) -> ModuleType:
    """Import a file of checks by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded
