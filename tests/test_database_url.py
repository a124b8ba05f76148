"""A `DATABASE_URL` with everything that libpq and Prisma allow in one, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from pytest_dryrun.model.errors import ConfigurationError
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.postgres.url import DatabaseUrl, parse, prisma_url


def read(text: str) -> DatabaseUrl:
    """Parse it as the variable DATABASE_URL of the user `deploy`."""
    return parse(text, name="DATABASE_URL", user="deploy")


@pytest.mark.parametrize(
    ("text", "conninfo", "schema"),
    [
        ("postgresql://app:pw@db:5433/shop", Conninfo("db", 5433, "app", "shop", "pw"), "public"),
        ("postgres://app:pw@db/shop?schema=core", Conninfo("db", 5432, "app", "shop", "pw"), "core"),
        (
            "postgresql://app:p%40%3A%2F%3F%23w@127.0.0.1/shop?connection_limit=5&sslmode=require",
            Conninfo("127.0.0.1", 5432, "app", "shop", "p@:/?#w", (("sslmode", "require"),)),
            "public",
        ),
        ("postgresql://app:pw@[::1]:6432/shop", Conninfo("::1", 6432, "app", "shop", "pw"), "public"),
        (
            "postgresql://app:pw@localhost:5433/shop?host=/run/pg",
            Conninfo("/run/pg", 5433, "app", "shop", "pw"),
            "public",
        ),
        ("postgresql:///shop", Conninfo("/var/run/postgresql", 5432, "deploy", "shop"), "public"),
        ("postgresql://app@%2Frun%2Fpg/shop", Conninfo("/run/pg", 5432, "app", "shop"), "public"),
        ("postgresql://app:pw@db", Conninfo("db", 5432, "app", "app", "pw"), "public"),
        ("postgresql://app:a+b@db/my%20shop?user=o", Conninfo("db", 5432, "o", "my shop", "a+b"), "public"),
        (" postgresql://app:pw@db/shop?application_name=a+b\n", None, "public"),
    ],
    ids=[
        "all parts",
        "schema",
        "percent-encoded",
        "IPv6",
        "socket by parameter",
        "all defaults",
        "socket as host",
        "database of the user's name",
        "plus signs and spaces",
        "blanks around",
    ],
)
def test_what_both_understand(text, conninfo, schema):
    """The parts, percent-decoded; Prisma's own parameters are kept apart from libpq's."""
    found = read(text)
    assert schema == found.schema
    if conninfo is not None:
        assert conninfo == found.conninfo
        assert conninfo.password not in repr(found.conninfo) or not conninfo.password
    else:
        assert (("application_name", "a+b"),) == found.conninfo.options


@given(
    user=st.text(min_size=1).filter(lambda text: "\x00" not in text and text.isprintable()),
    password=st.text().filter(lambda text: "\x00" not in text and text.isprintable()),
    dbname=st.text(min_size=1).filter(lambda text: "\x00" not in text and text.isprintable()),
)
def test_whatever_a_name_holds_comes_back(user, password, dbname):
    """What we spell is what libpq and we ourselves read again."""
    url = Conninfo("db.example", 5433, user, dbname, password, (("sslmode", "prefer"),)).url()
    found = read(url).conninfo
    assert (user, password, dbname) == (found.user, found.password, found.dbname)
    theirs = conninfo_to_dict(url)
    assert (user, dbname) == (theirs["user"], theirs["dbname"])


def test_prisma_gets_its_own_parameters_back():
    """A URL that is written anew for the deploy command keeps schema and limits."""
    text = "postgresql://app:p%40w@db:5433/shop?schema=my%20core&connection_limit=3&sslmode=require"
    found = read(text)
    again = read(prisma_url(found))
    assert found == again
    assert "my core" == again.schema


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no scheme"),
        ("mysql://app:s3cret@db/shop", "mysql:"),
        ("s3cret", "no scheme"),
        ("postgresql://app:s3cret@one,two/shop", "several hosts"),
        ("postgresql://app:s3cret@db:port/shop", "no number"),
        ("postgresql://app:s3cret/tail@db/shop", "percent-encoded"),
        ("postgresql://app:s3cret@db:70000/shop", "no number"),
        ("postgresql://app:s3cret@[::1/shop", "closed by ]"),
        ("postgresql://app:s3cret#tail@db/shop", "percent-encoded"),
        ("postgresql://app:s3cret@db/shop?nonsense=1", "'nonsense'"),
        ("postgresql://app:s3cret@db/shop?sslmode=a&sslmode=b", "twice"),
        ("postgresql://app:s3cret@db:6543/shop?pgbouncer=true", "pooler"),
        ("postgresql://app@db/shop?passfile=/s3cret", "'passfile' leads to a file that only the host reads"),
        ("postgresql://app:s3cret@db/shop?service=main", "'service' leads to a file that only the host reads"),
    ],
    ids=[
        "empty",
        "another database",
        "no URL",
        "several hosts",
        "port in words",
        "slash in the password",
        "port too large",
        "open IPv6 address",
        "hash in the password",
        "unknown parameter",
        "parameter twice",
        "pooler",
        "password file",
        "service file",
    ],
)
def test_what_is_refused(text, says):
    """In words, and without the URL, which holds the password."""
    with pytest.raises(ConfigurationError) as refused:
        read(text)
    assert says in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_a_certificate_is_prismas_or_libpqs():
    """Without a key it is what Prisma calls `sslcert`, the server's own, which libpq would take for a client's."""
    prismas = read("postgresql://app:pw@db/shop?sslcert=ca.pem&sslidentity=id.p12&sslpassword=s3cret")
    libpqs = read("postgresql://app:pw@db/shop?sslcert=me.crt&sslkey=me.key&sslpassword=s3cret")

    assert () == prismas.conninfo.options
    assert {"sslcert": "ca.pem", "sslidentity": "id.p12", "sslpassword": "s3cret"} == prismas.prisma
    assert (("sslcert", "me.crt"), ("sslkey", "me.key"), ("sslpassword", "s3cret")) == libpqs.conninfo.options
    for found in (prismas, libpqs):
        assert ("pw", "s3cret") == found.secrets
        assert "s3cret" not in repr(found)
