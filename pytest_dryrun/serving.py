"""The application on the migrated and on the rolled-back database: API, smoke, latency, resources, bugs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import httpx

from pytest_dryrun.hosts import Completed
from pytest_dryrun.hosts.local import LocalHost
from pytest_dryrun.hosts.running import RunningProcess
from pytest_dryrun.model.errors import CommandFailed, ConfigurationError
from pytest_dryrun.postgres import databases
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.probes import api as api_probe
from pytest_dryrun.probes import bugs, statement_statistics
from pytest_dryrun.probes import smoke as smoke_probe
from pytest_dryrun.probes.api import RunningApi
from pytest_dryrun.probes.resources import ResourceSampler
from pytest_dryrun.probes.statement_statistics import StatementStatistics
from pytest_dryrun.probes.usage import Sampler
from pytest_dryrun.run import DryRun
from pytest_dryrun.steps import performance
from pytest_dryrun.steps import target as names
from pytest_dryrun.steps.memo import step
from pytest_dryrun.steps.restarting import Restarted
from pytest_dryrun.steps.rollback import SmokeOutcome, smoke_requests


class Serving:
    """The steps that need the application; the data they need are steps of `run`."""

    def __init__(self, run: DryRun) -> None:
        self.run = run
        self.target = run.target
        self.progress = run.progress
        self.memo: dict[str, Any] = {}
        self._sessions_before = 0

    def _launch(self, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> RunningProcess:
        folder = self.run.workspace().path
        output = folder / f"api-{len(list(folder.glob('api-*.log')))}.log"
        return LocalHost().start(argv, output=output, workspace=self.run.workspace(), env=env, cwd=cwd)

    def _start_api(self, conninfo: Conninfo) -> RunningApi:
        settings = self.target.api
        if not settings.configured:
            raise ConfigurationError(
                "No [api] is configured for this target.",
                "Nothing that needs the API can be checked.",
                "Configure [targets.NAME.api].",
            )
        if settings.base_url:
            return api_probe.connect(settings.base_url, settings.token or None)
        return api_probe.start(
            settings.start,
            directory=str(self.run.root),
            database_url=conninfo.url(),
            health=settings.health,
            launch=self._launch,
            timeout_s=settings.timeout_s,
            token=settings.token or None,
        )

    def _watched(self) -> None:
        """Count statements and sample resources from here on: whatever uses the migrated target first begins it."""
        self.run.migrated()
        self.statement_statistics()
        self.sampler()

    @step("Starting the API on the migrated database")
    def api(self) -> RunningApi:
        """The API on the target, after the deployment."""
        self._watched()
        self.restarted()
        self._sessions_before = self._sessions()
        running = self._start_api(self.run.database().conninfo)
        self.run.closing(running.stop)
        return running

    def restarted(self) -> Restarted:
        """The processes of an application that runs already; here it is started on the migrated database."""
        return Restarted((), ())

    @property
    def crashes_are_counted(self) -> bool:
        """Whether somebody keeps the application running and tells how often it had to be started again."""
        return False

    def _sessions(self) -> int:
        """Sessions that the target's database has seen so far (pg_stat_database, PostgreSQL 14 and later)."""
        with connect(self.run.server().conninfo) as connection:
            query = "SELECT sessions FROM pg_stat_database WHERE datname = %s"
            row = connection.execute(query, (self.run.database().conninfo.dbname,)).fetchone()
        return int(row[0]) if row else 0

    def reaches_target(self, *, timeout_s: float = 5.0) -> bool:
        """Whether anybody opened a session in the target since the API was started; nobody else does meanwhile.

        Sessions report when they become idle, at most a second late.
        """
        deadline = time.monotonic() + timeout_s
        while self._sessions() <= self._sessions_before:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    @step("Opening a client for the API")
    def client(self) -> httpx.Client:
        """A client with the API's base URL and token."""
        client = self.api().client()
        self.run.closing(client.close)
        return client

    @step("Starting the resource sampler")
    def sampler(self) -> Sampler:
        """Watches the server's and the API's processes."""
        groups = {"PostgreSQL": self.run.server().process_ids}
        if self.target.api.start:
            groups["API"] = lambda: self.memo["api"][0].process_ids() if self.memo.get("api", (None,))[0] else ()
        sampler = ResourceSampler(groups)
        sampler.start()
        self.run.closing(sampler.stop)
        return sampler

    @step("Running the smoke command")
    def smoke(self) -> Completed:
        """The configured smoke command against the migrated target."""
        self._watched()
        environment = {"DATABASE_URL": self.run.database().conninfo.url()}
        if self.target.api.configured:
            environment["API_BASE_URL"] = self.api().base_url
        return self._smoke(environment)

    def _smoke(self, environment: Mapping[str, str]) -> Completed:
        settings = self.target.smoke
        return smoke_probe.run(
            settings.command,
            host=self.run.host,
            cwd=self.run.directory_there,
            env=environment,
            timeout_s=settings.timeout_s,
        )

    @step("Starting the API on the rolled-back copy")
    def rolled_back_api(self) -> RunningApi:
        """The API on the rolled-back copy."""
        running = self._start_api(self.run.rollback().conninfo)
        self.run.closing(running.stop)
        return running

    def rolled_back_smoke(self) -> SmokeOutcome:
        """Requests and smoke command against the rolled-back copy."""
        running = self.rolled_back_api()
        url = self.run.rollback().conninfo.url()
        command = (
            (lambda: self._smoke({"DATABASE_URL": url, "API_BASE_URL": running.base_url}))
            if self.target.smoke.command
            else None
        )
        with running.client() as client:
            return smoke_requests(client, self.target.performance.requests, command)

    def roll_back(self) -> None:
        """Bring the migrated target back after a NO-GO, where that is wanted; a local one ends with its run."""

    @step("Enabling pg_stat_statements")
    def statement_statistics(self) -> str:
        """Why the server has no statement statistics; empty where they are counted from here on."""
        with connect(self.run.server().conninfo) as connection:
            reason = statement_statistics.available(connection)
            if reason is None:
                statement_statistics.enable(connection, target=self.run.database().conninfo.dbname)
                statement_statistics.reset(connection, self.run.database().conninfo.dbname)
        return reason or ""

    @step("Measuring latency before and after")
    def latency(self) -> performance.LatencyComparison:
        """The same requests and queries on a copy of the unmigrated data and on the target."""
        settings = self.target.performance
        if not settings.timed:
            return performance.LatencyComparison(configured=False, before=None, after=None)
        self._watched()
        after = performance.timed(self.client() if settings.requests else None, self.migrated_database(), settings)
        before, notes = self._timed_before(requests=bool(settings.requests and self.target.api.start))
        compared = performance.compared(before, after, settings.p95_ms, notes)
        self.run.publish(latency=compared.as_document())
        self.run.note(*compared.notes)
        return compared

    def migrated_database(self) -> Conninfo:
        """The target, once it is migrated."""
        self.run.migrated()
        return self.run.database().conninfo

    def _timed_before(self, *, requests: bool) -> tuple[performance.Timed | None, list[str]]:
        """Time the template, or a copy of it for an API; one that does not start on the old schema leaves this open."""
        template = self.run.template().conninfo
        if not requests:
            return performance.timed(None, template, self.target.performance), []  # queries are kept from writing
        admin = self.run.server().conninfo
        copy = databases.copy(admin, template.dbname, names.BEFORE)
        try:
            with ExitStack() as stack:
                running = self._start_api(copy)
                stack.callback(running.stop)
                client = stack.enter_context(running.client())
                return performance.timed(client, copy, self.target.performance), []
        except CommandFailed as error:
            return None, [f"Latency before the migration could not be measured: {error.what}"]
        finally:
            databases.drop(admin, copy.dbname)

    @step("Reading the statement statistics")
    def top_statements(self) -> performance.TopStatements:
        """The statements that took longest in total since the migrated target was first used."""
        self.run.migrated()
        if reason := self.statement_statistics():
            return performance.TopStatements(f"{reason} (this is the disposable server's own choice of programs)")
        with connect(self.run.server().conninfo) as connection:
            rows = statement_statistics.top(connection, self.run.database().conninfo.dbname, 1000)
        return self._told(rows)

    def _told(self, rows: tuple[StatementStatistics, ...]) -> performance.TopStatements:
        self.run.publish(
            top_statements=[
                {"query": row.query, "calls": row.calls, "mean_ms": row.mean_ms, "max_ms": row.max_ms}
                for row in rows[:10]
            ]
        )
        return performance.TopStatements("", rows)

    @step("Reading memory and CPU")
    def resources(self) -> performance.Consumption:
        """What server and API used while the smoke and latency checks ran."""
        if self.target.api.configured:
            self.client()
        self.run.migrated()
        self.latency()
        measured = self.sampler().stop()
        drawn = measured.whole or measured
        self.run.publish(resources=drawn.groups, load=drawn.load, resources_of_run=measured.whole is not None)
        return performance.consumption(measured, self.target.performance)

    def open_bugs(self) -> tuple[str, ...]:
        """Open P0 bugs and new severe lines of the configured logs."""
        settings = self.target.p0
        found = (
            bugs.open_bugs(
                settings.command, host=self.run.host, cwd=self.run.directory_there, timeout_s=settings.timeout_s
            )
            if settings.command
            else ()
        )
        return (*found, *self.run.log_marks().new_severe_lines())
