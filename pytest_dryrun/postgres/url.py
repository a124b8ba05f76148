"""A `DATABASE_URL` as libpq and Prisma understand it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from psycopg import pq

from pytest_dryrun.model.errors import ConfigurationError
from pytest_dryrun.postgres.connection import Conninfo

SCHEMES = ("postgresql", "postgres")
DEFAULT_PORT = 5432
# Where Debian's and Red Hat's servers put their socket.
SOCKET_DIRECTORY = "/var/run/postgresql"
# Prisma's own parameters (its manual, "PostgreSQL: Arguments"); libpq would refuse them.
PRISMA_ONLY = frozenset(
    {
        "schema",
        "connection_limit",
        "pool_timeout",
        "socket_timeout",
        "statement_cache_size",
        "pgbouncer",
        "sslaccept",
        "sslidentity",
        "single_use_connections",
        "max_idle_connection_lifetime",
        "max_connection_lifetime",
    }
)
# In Prisma's sense these are the server's certificate and the password of its own PKCS 12 file (its manual, as above);
# libpq's are a client's, and come with its key.
_CERTIFICATE = ("sslcert", "sslpassword")
# Files of the host that say where the database is, or who we are: nobody here reads them.
_UNREAD = ("service", "servicefile")
_MEANS = "Without credentials nothing can be reached, so nothing was touched."
_FIRST_PORT, _LAST_PORT = 1, 65535


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Where an application's database is, as seen from where the application runs, and the schema Prisma uses there."""

    conninfo: Conninfo
    schema: str
    prisma: Mapping[str, str] = field(repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown of it."""
        other = (self.prisma.get("sslpassword", ""), dict(self.conninfo.options).get("sslpassword", ""))
        return tuple(secret for secret in (self.conninfo.password, *other) if secret)


def parse(text: str, *, name: str, user: str) -> DatabaseUrl:
    """Read a URL whose variable is called `name`; `user` is who logs in where it names nobody.

    Raises ConfigurationError for what libpq and Prisma would not take, and for a pooler; no message shows the URL.
    """
    try:
        split = urlsplit(text.strip())
    except ValueError:  # whose message may hold the password
        raise _wrong(name, "its address cannot be read; is an IPv6 address closed by ]?") from None
    if split.scheme not in SCHEMES:
        raise _wrong(name, f"it begins with {split.scheme + ':' if split.scheme else 'no scheme'!r}, not postgresql://")
    if split.fragment:
        raise _wrong(name, "a # of the password must be percent-encoded")
    login, _, place = split.netloc.rpartition("@")
    if "," in place:
        raise _wrong(name, "it names several hosts; a dry run is about one server")
    login_user, _, password = login.partition(":")
    host, port = _place(place, name)
    query = _query(split.query, name)
    host = query.pop("host", "") or host or SOCKET_DIRECTORY
    if "port" in query:
        port = _port(query.pop("port"), name)
    who = query.pop("user", "") or unquote(login_user) or user
    dbname = query.pop("dbname", "") or unquote(split.path.removeprefix("/")) or who
    secret = query.pop("password", "") or unquote(password)
    only = PRISMA_ONLY if "sslkey" in query else PRISMA_ONLY.union(_CERTIFICATE)
    prisma = {key: query.pop(key) for key in list(query) if key in only}
    if prisma.get("pgbouncer") == "true":
        raise ConfigurationError(
            f"{name} goes through a pooler (pgbouncer=true).",
            "Locks, snapshots and session settings do not survive one, so nothing was touched.",
            "Name the variable with the direct URL in [database] variable.",
        )
    unread = (*_UNREAD, *(() if secret else ("passfile",)))
    if named := next((key for key in unread if key in query), ""):
        raise _wrong(name, f"its parameter {named!r} leads to a file that only the host reads; write out what it says")
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    if unknown := sorted(set(query) - known):
        raise _wrong(name, f"neither libpq nor Prisma knows its parameter {unknown[0]!r}")
    conninfo = Conninfo(host, port, who, dbname, secret, tuple(sorted(query.items())))
    return DatabaseUrl(conninfo, prisma.get("schema") or "public", prisma)


def prisma_url(found: DatabaseUrl) -> str:
    """The same as Prisma wants it, its own parameters included."""
    url = found.conninfo.url()
    tail = "&".join(f"{key}={quote(value, safe='')}" for key, value in found.prisma.items())
    return url + ("&" if "?" in url else "?") * bool(tail) + tail


def _place(place: str, name: str) -> tuple[str, int]:
    if place.startswith("["):
        host, _, rest = place[1:].partition("]")
        return host, _port(rest.removeprefix(":"), name)
    host, _, port = place.partition(":")
    return unquote(host), _port(port, name)


def _port(text: str, name: str) -> int:
    if not text:
        return DEFAULT_PORT
    if not text.isascii() or not text.isdigit() or not _FIRST_PORT <= int(text) <= _LAST_PORT:
        raise _wrong(
            name, "its port is no number from 1 to 65535 (a @, : or / of the password must be percent-encoded)"
        )
    return int(text)


def _query(text: str, name: str) -> dict[str, str]:
    # A plus sign is a plus sign: libpq decodes %XX alone.
    pairs = parse_qsl(text.replace("+", "%2B"), keep_blank_values=True)
    if len({key for key, _ in pairs}) != len(pairs):
        raise _wrong(name, "it gives a parameter twice")
    return dict(pairs)


def _wrong(name: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{name} is no URL of a PostgreSQL database: {why}.",
        _MEANS,
        "Compare it with what the application itself uses.",
    )
