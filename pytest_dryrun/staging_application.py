"""The application of a staging host: it runs there already, and is asked through the tunnel."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

import httpx

from pytest_dryrun.hosts import Completed
from pytest_dryrun.model.errors import Blocked, ConfigurationError, TargetUnusable
from pytest_dryrun.postgres.connection import APPLICATION_NAME, Conninfo, connect
from pytest_dryrun.probes import api as api_probe
from pytest_dryrun.probes import statement_statistics, supervisor
from pytest_dryrun.probes.api import RunningApi
from pytest_dryrun.probes.host_resources import HostSampler
from pytest_dryrun.probes.statement_statistics import StatementStatistics
from pytest_dryrun.probes.supervisor import Supervised
from pytest_dryrun.probes.usage import Sampler
from pytest_dryrun.serving import Serving
from pytest_dryrun.staging_run import StagingRun
from pytest_dryrun.steps import performance, still_running
from pytest_dryrun.steps.memo import step
from pytest_dryrun.steps.restarting import Application, Restarted

_MOST_STATEMENTS = 100_000


class StagingApplication(Serving):
    """The steps that need the application, where it is somebody else's to start and stop."""

    run: StagingRun

    def __init__(self, run: StagingRun) -> None:
        super().__init__(run)
        run.when_logged_in = self.watch
        run.before_backup = self.require_latency
        run.before_deploying = self._before_deploying
        self._asked_at: Any = None

    @step("Opening a way to the API")
    def way(self) -> str:
        """The API's base URL as it is reached from here."""
        given = urlsplit(self.target.api.base_url)
        if given.scheme != "http" or given.hostname is None:
            raise ConfigurationError(
                f"[api] base_url is {self.target.api.base_url!r}.",
                "The API of a host is asked through the connection to it, so that URL is no use.",
                "Give the plain http URL that the host itself would use, such as http://127.0.0.1:3001.",
            )
        port = self.run.remote().forward(given.hostname, given.port or 80)
        return f"http://127.0.0.1:{port}{given.path}"

    def _start_api(self, conninfo: Conninfo) -> RunningApi:
        del conninfo  # which database it uses is its own business, and is looked at
        if not self.target.api.configured:
            return super()._start_api(self.run.database().conninfo)
        with connect(self.run.database().conninfo) as connection:
            row = connection.execute("SELECT clock_timestamp()").fetchone()
        self._asked_at = row[0] if row else None
        name = urlsplit(self.target.api.base_url).netloc
        return api_probe.connect(self.way(), self.target.api.token or None, host=name)

    def reaches_target(self, *, timeout_s: float = 5.0) -> bool:
        """Whether anybody but us has used the target, as the user of the `.env`, since the API was first asked.

        Sessions of others, an exporter's or a person's, prove nothing of the application.
        """
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND usename = session_user AND application_name IS DISTINCT FROM %s"
            " AND greatest(state_change, backend_start) >= %s"
        )
        deadline = time.monotonic() + timeout_s
        with connect(self.run.database().conninfo) as connection:
            while True:
                row = connection.execute(query, (APPLICATION_NAME, self._asked_at)).fetchone()
                if row and row[0]:
                    return True
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.2)

    def _sessions(self) -> int:
        return 0

    @step("Asking for the application's processes before the deployment")
    def processes_before(self) -> Sequence[Supervised]:
        """The application's processes as they were; whoever cannot tell them now could not tell them afterwards."""
        return self._application.processes()

    @step("Restarting the application")
    def restarted(self) -> Restarted:
        """The application's processes, after it was restarted on the migrated database, where that is configured.

        Whether it is healthy then is the next one's question.
        """
        self._watched()
        if command := self.target.api.restart:
            with self.run.journal().writing("restarting the application"):
                means = "The application may still be the one of before the deployment."
                self._application.restart(command, "api.restart", means=means)
            with self._start_api(self.run.database().conninfo).client() as client:
                self._application.unhealthy(client)
        return self._application.settled(self.processes_before())

    def open_bugs(self) -> tuple[str, ...]:
        """Those of every target, and processes of the application that did not stand being used."""
        found = super().open_bugs()
        if not self.crashes_are_counted:
            return found
        try:
            restarted = self.restarted().processes
        except Blocked:
            if not self.target.p0.command and not self.target.p0.logs:
                raise
            return found  # nobody has used the application
        now = self._application.processes()
        crashes = supervisor.crashes(restarted, now), supervisor.missing(self.processes_before(), now)
        return tuple(dict.fromkeys(chain(found, *crashes)))

    @property
    def crashes_are_counted(self) -> bool:
        """Whether the configured command tells how often a process was started again."""
        return supervisor.lists_processes(self.target.api.status)

    @property
    def _application(self) -> Application:
        return Application(self.target.api, self.run.host, self.run.directory_there)

    @step("Opening a client for the API")
    def client(self) -> httpx.Client:
        """A client with the API's base URL and token; the project's own checks write through it."""
        self.api()
        self.run.hold(self.run.journal().writing("checking the application through its API"))
        return super().client()

    @step("Watching memory and CPU of the host")
    def watch(self) -> HostSampler:
        """Watches the whole host, from the login on."""
        sampler = HostSampler(self.run.remote(), self.target.api.base_url)
        sampler.start()
        self.run.closing(sampler.end)
        return sampler

    @step("Beginning to judge memory and CPU of the host")
    def sampler(self) -> Sampler:
        """The same; what is judged begins when the migrated target is first used."""
        sampler = self.watch()
        sampler.mark()
        return sampler

    @step("Running the smoke command")
    def smoke(self) -> Completed:
        """The configured smoke command on the host."""
        self._watched()
        self.restarted()
        with self.run.journal().writing("running the smoke command"):
            return self._smoke(self._environment())

    def _environment(self) -> dict[str, str]:
        """What the smoke command is told of its target."""
        environment = {**still_running.marking(self.run.run_id), "DATABASE_URL": self.run.database().url_there}
        if self.target.api.configured:
            environment["API_BASE_URL"] = self.target.api.base_url
        return environment

    @step("Looking for pg_stat_statements")
    def statistics_at(self) -> Conninfo | str:
        """Where the view is, in the target or in `postgres`; or why it is nowhere, or not wanted.

        Nothing is created on the server. What others than the application's own user send is not asked for.
        """
        if not self.target.performance.slow_queries:
            return "[performance] slow_queries = false"
        target = self.run.database().conninfo
        reasons = []
        for place in (target, target.database("postgres")):
            if not (reason := self._not_counted(place)):
                return place
            reasons.append(reason)
        return "; ".join(dict.fromkeys(reasons))

    def _not_counted(self, place: Conninfo) -> str:
        """Why the view in this database tells nothing of the target; empty where it does."""
        try:
            with connect(place) as connection:
                if reason := statement_statistics.available(connection, create=False, others=False):
                    return reason
                # What this run itself has asked the target for is counted as well.
                if statement_statistics.top(connection, self.run.database().conninfo.dbname, 1):
                    return ""
        except TargetUnusable as error:  # nobody owes us access to `postgres`
            return error.what
        return "pg_stat_statements counts nothing (see its pg_stat_statements.track, and compute_query_id)"

    def require_latency(self) -> None:
        """Raise TargetUnusable where it is known already that nobody could tell the latency once it is migrated."""
        settings = self.target.performance
        if "latency" in self.run.loaded.not_required or not self.target.sends_statements:
            return
        if settings.timed and not settings.slow_queries:
            return
        means = "That would be NO-GO once the target is migrated, so nothing was touched."
        if not settings.slow_queries:
            raise TargetUnusable(
                "Nothing is timed, and [performance] slow_queries = false: nobody could tell the latency.",
                means,
                "Name [performance] requests or queries, or say in [decision.not_required] why latency is not.",
            )
        if isinstance(place := self.statistics_at(), str):
            first = "" if settings.timed else "name [performance] requests or queries to be timed and "
            raise TargetUnusable(
                f"Slow statements cannot be told: {place}.",
                means,
                "Let the server count them (library preloaded, and as a superuser CREATE EXTENSION pg_stat_statements"
                f" in postgres), or {first}set [performance] slow_queries = false.",
            )

    @step("Reading what pg_stat_statements has counted so far")
    def counted_before(self) -> tuple[Conninfo, tuple[StatementStatistics, ...]] | str:
        """The view's place, and the statements before the migrated target was first used; or why there are none."""
        place = self.statistics_at()
        if isinstance(place, str):
            return place
        try:
            return place, self._counted(place)
        except TargetUnusable as error:
            return error.what

    def _counted(self, place: Conninfo) -> tuple[StatementStatistics, ...]:
        with connect(place) as connection:
            return statement_statistics.top(connection, self.run.database().conninfo.dbname, _MOST_STATEMENTS)

    def statement_statistics(self) -> str:
        """Why the server has no statement statistics; empty where they are counted from here on."""
        counted = self.counted_before()
        return counted if isinstance(counted, str) else ""

    @step("Reading the statement statistics")
    def top_statements(self) -> performance.TopStatements:
        """The statements that took longest in total since the migrated target was first used."""
        self.run.migrated()
        counted = self.counted_before()
        if isinstance(counted, str):
            return performance.TopStatements(counted)
        place, before = counted
        try:
            now = self._counted(place)
        except TargetUnusable as error:
            return performance.TopStatements(error.what)
        since = statement_statistics.since(before, now)
        own = tuple(item for item in since if item.query != statement_statistics.HIDDEN)
        if not own:
            return performance.TopStatements("pg_stat_statements has counted nothing since the deployment")
        for hidden in {*since} - {*own}:
            self.run.note(
                f"{hidden.calls} calls of other roles than {place.user!r} were not judged, for it may not read them"
                f" ({hidden.mean_ms:.1f} ms on average; pg_read_all_stats would let it)."
            )
        return self._told(own)

    def _before_deploying(self) -> None:
        self.processes_before()
        self.timed_before()

    @step("Measuring latency before the deployment")
    def timed_before(self) -> performance.Timed | None:
        """The same requests and queries on the target as it was."""
        settings = self.target.performance
        if not settings.timed:
            return None
        if not settings.requests:
            return performance.timed(None, self.run.database().conninfo, settings)
        with self._start_api(self.run.database().conninfo).client() as client:
            return performance.timed(client, self.run.database().conninfo, settings)

    def _timed_before(self, *, requests: bool) -> tuple[performance.Timed | None, list[str]]:
        del requests
        return self.timed_before(), [
            "Latency is timed through the SSH connection; before is the target's own, just before the deployment."
        ]
