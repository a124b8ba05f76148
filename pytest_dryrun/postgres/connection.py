"""Connecting to Postgres: where, how long we wait, and the settings that make its answers comparable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlencode

import psycopg

from pytest_dryrun.model.errors import TargetUnusable

APPLICATION_NAME = "pytest-dryrun"

# Text output of dates, floats and the like depends on these; pinned, two servers print the same value alike.
PINNED = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "search_path": "pg_catalog",
    "row_security": "off",
}
NONE: Mapping[str, str] = MappingProxyType({})
_SET = """
SELECT pg_catalog.set_config(name, value, false)
FROM ROWS FROM (pg_catalog.unnest(%s::pg_catalog.text[]), pg_catalog.unnest(%s::pg_catalog.text[]))
     AS settings (name, value)
"""


@dataclass(frozen=True, slots=True)
class Conninfo:
    """Where a database is and who we are there; no password ever shows in `repr`.

    `host` is a name, an address or a socket directory. `options` are further libpq parameters.
    """

    host: str
    port: int
    user: str
    dbname: str
    password: str = field(default="", repr=False)
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def database(self, dbname: str) -> Conninfo:
        """The same server and user, another database."""
        return replace(self, dbname=dbname)

    def as_user(self, login: Conninfo) -> Conninfo:
        """The same server and database, as who logs in there."""
        return replace(self, user=login.user, password=login.password)

    @property
    def is_socket(self) -> bool:
        """Whether the server is reached by a file rather than an address."""
        return self.host.startswith("/")

    def parameters(self) -> dict[str, str]:
        """The keyword parameters of libpq, password included."""
        values = {
            "host": self.host,
            "port": str(self.port),
            "user": self.user,
            "dbname": self.dbname,
            **dict(self.options),
        }
        if self.password:
            values["password"] = self.password
        return values

    def environment(self) -> dict[str, str]:
        """The same for pg_dump and friends: in the environment, so that no argv shows a password."""
        values = {"PGHOST": self.host, "PGPORT": str(self.port), "PGUSER": self.user, "PGDATABASE": self.dbname}
        if self.password:
            values["PGPASSWORD"] = self.password
        names = {option.keyword: option.envvar for option in psycopg.pq.Conninfo.get_defaults()}
        for key, value in self.options:
            if variable := names.get(key.encode()):
                values[variable.decode()] = value
        return values

    def url(self) -> str:
        """The `DATABASE_URL` spelling, every part percent-encoded; a socket directory goes into `host=`."""
        login = quote(self.user, safe="") + (":" + quote(self.password, safe="") if self.password else "")
        query = dict(self.options)
        if self.is_socket:
            place, query = f"localhost:{self.port}", {"host": self.host, **query}
        else:
            place = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        tail = "?" + urlencode(query, quote_via=quote) if query else ""
        return f"postgresql://{login}@{place}/{quote(self.dbname, safe='')}{tail}"


# What a database or role may set for its sessions, and what would keep ours from working there.
_FROM_THE_START = "-c statement_timeout=0 -c default_transaction_read_only=off"


def connect(
    conninfo: Conninfo,
    *,
    connect_timeout_s: int = 10,
    statement_timeout_s: float = 0,
    autocommit: bool = True,
    settings: Mapping[str, str] = NONE,
) -> psycopg.Connection[tuple[Any, ...]]:
    """Open a connection with pinned output settings and `row_security` off; `settings` are further ones.

    `search_path` is `pg_catalog` alone, so every relation must be named with its schema.
    Raises TargetUnusable with the reason in words when the server, the database or the login is not there.
    """
    chosen = {**PINNED, "statement_timeout": str(int(statement_timeout_s * 1000)), **settings}
    parameters: dict[str, Any] = {"connect_timeout": str(connect_timeout_s), "application_name": APPLICATION_NAME}
    parameters.update(conninfo.parameters())
    # With the start of the session: a database may give its sessions too little time to set anything.
    parameters["options"] = f"{parameters.get('options', '')} {_FROM_THE_START}".strip()
    try:
        connection = psycopg.connect(**parameters, autocommit=True)
    except psycopg.OperationalError as error:
        raise unusable(conninfo, error) from error
    try:
        # At once: each answer costs a way there and back.
        connection.execute(_SET, (list(chosen), list(chosen.values())))
        connection.autocommit = autocommit
    except BaseException:
        connection.close()
        raise
    return connection


def unusable(conninfo: Conninfo, error: psycopg.OperationalError) -> TargetUnusable:
    """Say in words why a connection was refused."""
    place = f"{conninfo.host}:{conninfo.port}"
    text = (
        " ".join(str(error).replace(conninfo.password, "***").split())
        if conninfo.password
        else " ".join(str(error).split())
    )
    if "password authentication failed" in text:
        return TargetUnusable(
            f"The server at {place} refused the password of user {conninfo.user!r}.",
            "This attempt read nothing and changed nothing.",
            "Check the credentials the target is configured with.",
        )
    if "does not exist" in text and "database" in text:
        return TargetUnusable(
            f"Database {conninfo.dbname!r} does not exist on {place}.",
            "It is not created: a typo in a name must not become an empty database.",
            "Check the database name the target is configured with.",
        )
    return TargetUnusable(
        f"No connection to database {conninfo.dbname!r} at {place}: {text}",
        "This attempt read nothing and changed nothing.",
        "Check that the server runs and is reachable from here.",
    )
