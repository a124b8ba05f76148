"""Deploys with the project's own command, the one the production deployment uses, and believes only the history."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from pytest_dryrun.hosts import Completed, Host
from pytest_dryrun.migrations import Deployment, History, Migrations, Observer, Status
from pytest_dryrun.model.errors import CommandFailed, ConfigurationError, DryRunError, MigrationFailed
from pytest_dryrun.model.redaction import Redactor
from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.postgres.connection import NONE, Conninfo, connect

_TAIL_LINES = 20


class CommandMigrations:
    """Folder and status of `inner`, applied by running `argv` in `cwd` on `host` with DATABASE_URL set, and `env`.

    `url` is how the host reaches the target, where that is not as we reach it; where it is, `parameters` are added.
    """

    def __init__(
        self,
        inner: Migrations,
        argv: Sequence[str],
        host: Host,
        cwd: str,
        *,
        url: str = "",
        parameters: str = "",
        env: Mapping[str, str] = NONE,
    ) -> None:
        self._inner = inner
        self._argv = tuple(argv)
        self._host = host
        self._cwd = cwd
        self._url = url
        self._parameters = parameters
        self._env = env

    @property
    def tool(self) -> str:
        """The name of the tool in `dryrun.toml`."""
        return self._inner.tool

    def history(self) -> History:
        """The tables that are the tool's own bookkeeping."""
        return self._inner.history()

    def folder(self) -> tuple[Migration, ...]:
        """Read the folder; raises ConfigurationError."""
        return self._inner.folder()

    def status(self, connection: psycopg.Connection[Any]) -> Status:
        """Compare folder and history, read-only."""
        return self._inner.status(connection)

    def deploy(
        self, conninfo: Conninfo, *, timeout_s: float, through: str | None = None, observer: Observer | None = None
    ) -> Deployment:
        """Run the command once; what it applied is the difference of the history before and after.

        Raises MigrationFailed when it ends with another status than 0, or the database does not answer afterwards.
        The observer is not called: the command has its own session. A command cannot be told to stop at `through`.
        """
        if through is not None:
            raise ConfigurationError(
                f"A deploy command applies everything that is pending; it cannot stop at {through!r}.",
                "Nothing was touched.",
                'Apply the baseline with `deploy = "native"`.',
            )
        before = self._applied(conninfo)
        began = time.perf_counter()
        try:
            env = {**self._env, "DATABASE_URL": self._url or with_parameters(conninfo.url(), self._parameters)}
            completed = self._host.run(self._argv, timeout_s=timeout_s, env=env, cwd=self._cwd)
        except CommandFailed as error:
            raise MigrationFailed(
                _redacted(conninfo, error.what),
                error.means,
                error.next,
            ) from error
        output = _redacted(conninfo, completed.stdout + completed.stderr)
        try:
            now = self._applied(conninfo)
        except (DryRunError, psycopg.Error) as error:
            told = error.what if isinstance(error, DryRunError) else " ".join(str(error).split())
            unknown = f"State unknown: what it applied cannot be read now. {_redacted(conninfo, told)}"
            raise self._ended(completed, output, unknown) from error
        if completed.exit_status:
            raise self._ended(completed, output, f"{len(now) - len(before)} migrations were applied before it failed.")
        return Deployment(
            applied=tuple(name for name in now if name not in set(before)),
            duration_ms=(time.perf_counter() - began) * 1000,
            output=output,
            warnings=("The deploy command has its own session, so its statements were not stepped.",)
            if observer
            else (),
        )

    def _applied(self, conninfo: Conninfo) -> tuple[str, ...]:
        with connect(conninfo, statement_timeout_s=60) as connection:
            return self._inner.status(connection).applied

    def _ended(self, completed: Completed, output: str, means: str) -> MigrationFailed:
        tail = "\n".join(line for line in output.splitlines()[-_TAIL_LINES:] if line.strip())
        return MigrationFailed(
            f"Deploy command {' '.join(self._argv)!r} ended with status {completed.exit_status} on {self._host.name}.",
            means,
            f"Its last output:\n{tail}",
        )


def with_parameters(url: str, parameters: str) -> str:
    """A URL with parameters that its program knows, and libpq need not."""
    return url + ("&" if "?" in url else "?") * bool(parameters) + parameters


def _redacted(conninfo: Conninfo, text: str) -> str:
    return Redactor((conninfo.password, conninfo.url())).text(text) if conninfo.password else text
