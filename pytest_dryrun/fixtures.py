"""The fixtures of a dry run; registered only with `--dryrun-target`.

Each is one step of the run, taken when the first check asks for it. A step that fails fails the check that asked first;
every later one is *blocked by* that check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import httpx
import pytest

from pytest_dryrun.collecting import slug_of
from pytest_dryrun.config import Target
from pytest_dryrun.hosts import Completed
from pytest_dryrun.judging import Phases
from pytest_dryrun.migrations import Status
from pytest_dryrun.model.values import Finding
from pytest_dryrun.model.waivers import Waivers
from pytest_dryrun.probes import api as api_probe
from pytest_dryrun.recording import Record
from pytest_dryrun.run import DryRun
from pytest_dryrun.serving import Serving
from pytest_dryrun.session import PHASES
from pytest_dryrun.stash import SESSION
from pytest_dryrun.steps import application, performance, proof
from pytest_dryrun.steps import rehearsal as rehearsal_step
from pytest_dryrun.steps import rollback as rollback_step
from pytest_dryrun.steps.documentation import History
from pytest_dryrun.steps.prisma_diff import PrismaDiff
from pytest_dryrun.steps.restarting import Restarted
from pytest_dryrun.steps.status import StatusCommand
from pytest_dryrun.steps.target import Access, TargetDatabase


@pytest.fixture(scope="session")
def dryrun_target(request: pytest.FixtureRequest) -> str:
    """The name of the target that this test runs for."""
    return str(request.param)


@pytest.fixture(autouse=True, scope="session")
def dryrun(request: pytest.FixtureRequest, dryrun_target: str) -> DryRun:
    """The dry run of the target: what the other fixtures are steps of."""
    return request.config.stash[SESSION].run(dryrun_target)


@pytest.fixture(scope="session")
def serving(request: pytest.FixtureRequest, dryrun: DryRun) -> Serving:
    """The steps of the dry run that need the application."""
    return request.config.stash[SESSION].serving(dryrun)


@pytest.fixture(scope="session")
def target(dryrun: DryRun) -> Target:
    """The target as `dryrun.toml` configures it."""
    return dryrun.target


@pytest.fixture(autouse=True)
def record(request: pytest.FixtureRequest, dryrun: DryRun) -> Record:
    """Records facts and findings of this check: `fact`, `note`, `judge`, `not_applicable`."""
    made = Record(lambda finding: dryrun.waivers().apply(finding))
    if slug_of(request.node) is not None:
        request.node.stash[PHASES] = Phases(made)
    return made


@pytest.fixture(scope="session")
def database(dryrun: DryRun) -> TargetDatabase:
    """The target's database."""
    return dryrun.database()


@pytest.fixture(scope="session")
def version_differences(dryrun: DryRun) -> Sequence[Finding]:
    """A warning where copies run on another major version than the target."""
    return dryrun.version_differences()


@pytest.fixture(scope="session")
def programs(dryrun: DryRun) -> Mapping[str, str]:
    """The versions of pg_dump, migration tool and Node, as they work on the target."""
    return dryrun.programs()


@pytest.fixture
def ssh_access(dryrun: DryRun) -> Callable[[], Access]:
    """Logs in to the target's host."""
    return dryrun.access


@pytest.fixture(scope="session")
def status(dryrun: DryRun) -> Status:
    """Migrations applied and pending, before the run applies anything."""
    return dryrun.status()


@pytest.fixture(scope="session")
def status_command(dryrun: DryRun) -> StatusCommand:
    """The configured status command, compared with our own reading."""
    return dryrun.status_command()


@pytest.fixture(scope="session")
def prisma_diff(dryrun: DryRun) -> PrismaDiff | None:
    """What Prisma's CLI sees between database and schema file, where it deploys."""
    return dryrun.prisma_diff()


@pytest.fixture(scope="session")
def waivers(dryrun: DryRun) -> Waivers:
    """Every waiver of this run."""
    return dryrun.waivers()


@pytest.fixture(scope="session")
def backup_room(dryrun: DryRun) -> proof.Room:
    """Free space where the backup will lie."""
    return dryrun.backup_room()


@pytest.fixture(scope="session")
def database_rooms(dryrun: DryRun) -> tuple[proof.Room, ...]:
    """Free space where databases will be made of a host's backup: copies, and what would take the target's place."""
    return dryrun.database_rooms()


@pytest.fixture(scope="session")
def backup(dryrun: DryRun) -> proof.Taken:
    """The backup, and the fingerprint of the same snapshot."""
    return dryrun.backup()


@pytest.fixture(scope="session")
def restored(dryrun: DryRun) -> proof.Restored:
    """The backup restored into a new database and compared."""
    return dryrun.restored()


@pytest.fixture(scope="session")
def rehearsal(dryrun: DryRun) -> rehearsal_step.Rehearsal:
    """The pending migrations applied to a copy."""
    return dryrun.rehearsal()


@pytest.fixture(scope="session")
def rehearsed(rehearsal: rehearsal_step.Rehearsal, dryrun: DryRun) -> rehearsal_step.Rehearsal:
    """The same, where they applied without an error."""
    del rehearsal
    return dryrun.rehearsed()


@pytest.fixture(scope="session")
def applied(dryrun: DryRun) -> application.Applied:
    """The pending migrations applied to the target; blocked unless sections 1 to 4 and `stalls` hold."""
    return dryrun.applied()


@pytest.fixture(scope="session")
def status_after(dryrun: DryRun) -> Status:
    """Migrations applied and pending afterwards."""
    return dryrun.status_after()


@pytest.fixture(scope="session")
def schema_as_rehearsed(dryrun: DryRun) -> application.SchemaAsRehearsed:
    """The target's schema beside the rehearsed one."""
    return dryrun.schema_as_rehearsed()


@pytest.fixture(scope="session")
def integrity(dryrun: DryRun) -> application.Integrity:
    """What became of the target's data."""
    return dryrun.integrity()


@pytest.fixture
def api_health(dryrun: DryRun, serving: Serving) -> Callable[[], api_probe.Answer]:
    """Asks the API on the migrated target for its health."""
    return lambda: api_probe.health(serving.client(), dryrun.target.api.health)


@pytest.fixture
def api_reaches_target(serving: Serving) -> Callable[[], bool]:
    """Tells whether the API has opened a session in the target since it was started."""
    return serving.reaches_target


@pytest.fixture
def api_restarted(serving: Serving) -> Callable[[], Restarted]:
    """Restarts the application on the migrated target, where that is configured, and lists its processes."""
    return serving.restarted


@pytest.fixture
def crashes_are_counted(serving: Serving) -> bool:
    """Whether the open bugs hold processes that crashed."""
    return serving.crashes_are_counted


@pytest.fixture(scope="session")
def api(serving: Serving) -> httpx.Client:
    """A client of the API on the migrated target, with its base URL and token."""
    return serving.client()


@pytest.fixture
def smoke_command(serving: Serving) -> Callable[[], Completed]:
    """Runs the configured smoke command."""
    return serving.smoke


@pytest.fixture(scope="session")
def rollback(dryrun: DryRun) -> rollback_step.RolledBack:
    """The migrated copy, rolled back to the backup."""
    return dryrun.rollback()


@pytest.fixture
def rolled_back_health(dryrun: DryRun, serving: Serving) -> Callable[[], api_probe.Answer]:
    """Asks the API on the rolled-back copy for its health."""

    def ask() -> api_probe.Answer:
        with serving.rolled_back_api().client() as client:
            return api_probe.health(client, dryrun.target.api.health)

    return ask


@pytest.fixture
def rolled_back_smoke(serving: Serving) -> Callable[[], rollback_step.SmokeOutcome]:
    """Smokes the application on the rolled-back copy."""
    return serving.rolled_back_smoke


@pytest.fixture(scope="session")
def latency(serving: Serving) -> performance.LatencyComparison:
    """Requests and queries timed before and after."""
    return serving.latency()


@pytest.fixture(scope="session")
def top_statements(serving: Serving) -> performance.TopStatements:
    """What pg_stat_statements saw."""
    return serving.top_statements()


@pytest.fixture(scope="session")
def resources(serving: Serving) -> performance.Consumption:
    """Memory and CPU of server and API during the smoke and latency checks."""
    return serving.resources()


@pytest.fixture
def open_bugs(serving: Serving) -> Callable[[], Sequence[str]]:
    """Lists open P0 bugs and new severe log lines."""
    return serving.open_bugs


@pytest.fixture(scope="session")
def history(dryrun: DryRun) -> History:
    """The migration history."""
    return dryrun.history()
