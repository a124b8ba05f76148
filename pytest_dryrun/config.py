"""What `dryrun.toml` may say, as typed values; reading the file is `config_file`'s business."""

from __future__ import annotations

import re
import shlex
from datetime import date
from itertools import pairwise
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pytest_dryrun.model import rules
from pytest_dryrun.model.decision import ALWAYS_REQUIRED, TITLES
from pytest_dryrun.model.waivers import Waiver

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)\s*$")
_FACTORS = {
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
    "KIB": 1024,
    "MIB": 1024**2,
    "GIB": 1024**3,
    "TIB": 1024**4,
}


def size_bytes(text: str) -> int:
    """`500MB`, `1.5 GiB` and the like in bytes; ValueError for anything else."""
    match = _SIZE.match(text)
    if match is None:
        raise ValueError('a size like "500MB" or "1.5GiB"')
    return int(float(match[1]) * _FACTORS[match[2].upper()])


def _size(text: str) -> str:
    size_bytes(text)
    return text


def _path(text: str) -> str:
    if "\x00" in text:
        raise ValueError("a path without NUL bytes")
    return text


def _http_path(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError('a path that starts with "/"')
    return text


Size = Annotated[str, AfterValidator(_size)]
PathText = Annotated[str, AfterValidator(_path)]
HttpPath = Annotated[str, AfterValidator(_http_path)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Provider = Literal["auto", "container", "binaries", "embedded"]


class Table(BaseModel):
    """A table of `dryrun.toml`: unknown keys and wrong types are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Project(Table):
    """`[project]`: who signs what."""

    name: str = Field(min_length=1)
    epic: str = ""
    executed_by: str = ""
    reviewed_by: str = ""
    next_step: str = ""
    history: PathText = ""


class Postgres(Table):
    """`[targets.NAME.postgres]`: the disposable server of a local target."""

    provider: Provider = "auto"
    image: str = "postgres:16"
    bindir: PathText = ""


class Baseline(Table):
    """`[targets.NAME.baseline]`: what a local database holds before the dry run."""

    through: str = ""
    seed: PathText = ""
    dump: PathText = ""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.dump and (self.through or self.seed):
            raise ValueError("`dump` alone, or `through` and `seed`: a dump already says what the database holds")
        return self


class MigrationsTable(Table):
    """`[targets.NAME.migrations]`: whose migrations, and how they are deployed."""

    tool: Literal["prisma", "sql"] = "prisma"
    directory: PathText = "prisma/migrations"
    history_schema: str = Field(default="", alias="schema")  # pydantic's models have a method of that name
    deploy: str = "native"
    status: str = ""
    prisma_version: str = ""
    timeout_s: Positive = 600

    @model_validator(mode="after")
    def _whose_history(self) -> Self:
        if self.history_schema and self.tool == "sql":
            raise ValueError("`schema` is where another tool keeps its history; that of `sql` is in public")
        return self

    @property
    def by_prisma_cli(self) -> bool:
        """Whether Prisma's own CLI deploys, and not we from its folder."""
        return self.tool == "prisma" and self.deploy != "native"

    @property
    def asks_destination(self) -> str:
        """The command that tells which database Prisma's CLI works on; empty where none is known.

        Only of a command that does nothing but deploy another one can be made.
        """
        if not self.by_prisma_cli:
            return ""
        if self.status:
            return self.status
        try:
            words = shlex.split(self.deploy)
        except ValueError:  # told where the command is looked at
            return ""
        at = next((i for i, pair in enumerate(pairwise(words)) if pair == ("migrate", "deploy")), None)
        return "" if at is None else shlex.join([*words[: at + 1], "status", *words[at + 2 :]])


class Api(Table):
    """`[targets.NAME.api]`: the application, started here or already running."""

    start: str = ""
    base_url: str = ""
    health: HttpPath = "/api/health"
    token: str = Field(default="", repr=False)
    restart: str = ""
    status: str = ""
    timeout_s: Positive = 30
    restart_timeout_s: Positive = 300

    @model_validator(mode="after")
    def _one_api(self) -> Self:
        if self.start and self.base_url:
            raise ValueError("`start` or `base_url`: an API is started here or runs somewhere already")
        return self

    @model_validator(mode="after")
    def _a_port_is_one(self) -> Self:
        _ = urlsplit(self.base_url).port  # ValueError for what is none
        return self

    @property
    def configured(self) -> bool:
        """Whether the target has an API at all."""
        return bool(self.start or self.base_url)


class Smoke(Table):
    """`[targets.NAME.smoke]`: the project's own smoke test."""

    command: str = ""
    timeout_s: Positive = 600


class Performance(Table):
    """`[targets.NAME.performance]`: what is timed, how often, and what is too slow or too much."""

    p95_ms: Positive = 500
    samples: Annotated[int, Field(ge=20, le=100_000)] = 200
    requests: tuple[HttpPath, ...] = ()
    queries: tuple[str, ...] = ()
    scale: Positive = 1.0
    max_memory: Size | None = None
    max_cpu_percent: Annotated[float, Field(gt=0, le=100)] = 95
    slow_queries: bool = True

    @property
    def timed(self) -> bool:
        """Whether anything is timed; requests only ever stand here where there is an API to answer them."""
        return bool(self.requests or self.queries)


class Stalls(Table):
    """`[targets.NAME.stalls]`: the longest time a migration may keep others waiting, at `scale`.

    `longest_transaction_ms` is how long a transaction of the application may last; 0 where that is not known.
    """

    max_read_ms: Positive = 1000
    max_write_ms: Positive = 1000
    longest_transaction_ms: NotNegative = 0


class RunningRelease(Table):
    """`[targets.NAME.running_release]`: how long what the running release does may be tried, in seconds."""

    time_limit_s: Positive = 60


class P0(Table):
    """`[targets.NAME.p0]`: where open P0 bugs show."""

    command: str = ""
    logs: tuple[PathText, ...] = ()
    timeout_s: Positive = 120


class Ssh(Table):
    """`[targets.NAME.ssh]`: how a staging or production host is reached."""

    host: str
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: str = ""
    key: PathText = ""
    known_hosts: PathText = "~/.ssh/known_hosts"


class Database(Table):
    """`[targets.NAME.database]`: where the credentials of a staging or production database stand."""

    env_file: PathText = ".env"
    variable: str = "DATABASE_URL"
    # Of a production target: what no other target may turn out to be.
    name: str = ""
    system_identifier: str = ""


class Backup(Table):
    """`[targets.NAME.backup]`: where the backup lies and the room it needs."""

    directory: PathText = ""
    min_free: Size = "500MB"
    timeout_s: Positive = 3600


class RehearsalTable(Table):
    """`[targets.NAME.rehearsal]`: where the disposable copies of a staging database live, and what one takes there."""

    provider: Literal["auto", "container", "binaries", "embedded", "target"] = "auto"
    copy_size: Size | None = None


class Rollback(Table):
    """`[targets.NAME.rollback]`: what happens to staging when the decision after applying is NO-GO."""

    on_no_go: Literal["print", "run"] = "print"
    restart: str = ""


# Tables that make sense for some roles only.
LOCAL_ONLY = ("postgres", "baseline")
REMOTE_ONLY = ("ssh", "database", "rehearsal", "rollback")


class Target(Table):
    """`[targets.NAME]`: one database and its application."""

    role: Literal["local", "staging", "production"]
    directory: PathText = "."
    postgres: Postgres = Postgres()
    baseline: Baseline = Baseline()
    migrations: MigrationsTable = MigrationsTable()
    api: Api = Api()
    smoke: Smoke = Smoke()
    performance: Performance = Performance()
    stalls: Stalls = Stalls()
    running_release: RunningRelease = RunningRelease()
    p0: P0 = P0()
    ssh: Ssh | None = None
    database: Database = Database()
    backup: Backup = Backup()
    rehearsal: RehearsalTable = RehearsalTable()
    rollback: Rollback = Rollback()

    @model_validator(mode="after")
    def _requests_have_somebody_to_answer(self) -> Self:
        if self.performance.requests and not self.api.configured:
            raise ValueError("performance.requests are timed through an API: configure [api], or leave them away")
        return self

    @model_validator(mode="after")
    def _only_what_runs_is_restarted(self) -> Self:
        if (self.api.restart or self.api.status) and not (self.role == "staging" and self.api.base_url):
            raise ValueError("api.restart and api.status are about an API that a staging host runs: give its base_url")
        return self

    @property
    def sends_statements(self) -> bool:
        """Whether anything is configured that has the migrated database work."""
        return self.api.configured or bool(self.performance.queries)

    @property
    def restart_after_rollback(self) -> str:
        """What the application needs when its database came back."""
        return self.rollback.restart or self.api.restart


class WaiverTable(Table):
    """`[[waivers]]`: excuses one finding of a migration or of an object, for a reason, until a day.

    A missing reason or a past day does not make the file invalid: each is a finding of its own.
    """

    rule: str = Field(min_length=1)
    migration: Annotated[str, Field(min_length=1)] | None = None
    object: Annotated[str, Field(min_length=1)] | None = None
    reason: str = ""
    approver: str = ""
    expires: date | None = None

    @model_validator(mode="after")
    def _names_a_rule_and_what_it_is_for(self) -> Self:
        if problem := rules.unknown(self.rule):
            raise ValueError(f"rule: {problem}")
        if self.migration is None and self.object is None:
            raise ValueError("name the migration, or the object as the finding names it")
        return self

    def waiver(self, source: str) -> Waiver:
        """The waiver that the run applies; `source` names this file for people."""
        return Waiver(
            self.rule,
            self.migration,
            self.reason,
            source,
            approver=self.approver,
            expires=self.expires,
            object=self.object,
        )


class DecisionTable(Table):
    """`[decision]`: rows of the matrix that do not apply to this project, each with its reason."""

    not_required: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _only_what_may_be_dropped(self) -> Self:
        for criterion, reason in self.not_required.items():
            if criterion not in TITLES:
                raise ValueError(
                    f"unknown criterion {criterion!r}, allowed: {', '.join(sorted(set(TITLES) - ALWAYS_REQUIRED))}"
                )
            if criterion in ALWAYS_REQUIRED:
                raise ValueError(f"{criterion} is always required and cannot be dropped")
            if not reason.strip():
                raise ValueError(f"{criterion} is dropped without a reason")
        return self


class Configuration(Table):
    """The whole file."""

    project: Project
    targets: dict[str, Target] = Field(min_length=1)
    decision: DecisionTable = DecisionTable()
    waivers: tuple[WaiverTable, ...] = ()
