"""A `.env` is read as applications read it; what is no `.env` is refused, and no message shows a value."""

from __future__ import annotations

import pytest

from pytest_dryrun.env_file import secrets, variable
from pytest_dryrun.model.errors import ConfigurationError

URL = "postgresql://app:s3cret@localhost/shop"


@pytest.mark.parametrize(
    "text",
    [
        f"DATABASE_URL={URL}\n",
        f'DATABASE_URL="{URL}"\n',
        f"DATABASE_URL='{URL}'",
        f"export DATABASE_URL={URL}\n",
        f"# comment\n\nOTHER=1\nDATABASE_URL = {URL} # the database\n",
        f"OTHER=1\r\nDATABASE_URL={URL}\r\nLAST=2\r\n",
        f"\ufeffDATABASE_URL={URL}\n",
        f"DATABASE_URL=postgresql://old\nDATABASE_URL={URL}\n",
        f"this line means nothing to anybody\nDATABASE_URL={URL}\n",
    ],
    ids=[
        "plain",
        "double quotes",
        "single quotes",
        "export",
        "comments and spaces",
        "CRLF",
        "BOM",
        "the last one counts",
        "a line that is none",
    ],
)
def test_the_spellings_of_one_value(text, caplog):
    """Each gives the same URL, and nothing is said about the rest of the file."""
    assert URL == variable(text.encode(), "DATABASE_URL", place=".env")
    assert [] == caplog.records


def test_nothing_is_filled_in_from_our_own_environment(monkeypatch):
    """A value that refers to another variable is left as it stands."""
    monkeypatch.setenv("DB_PASSWORD", "of this machine")
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/other")
    text = "DATABASE_URL=postgresql://app:${DB_PASSWORD}@localhost/shop\n"
    assert "postgresql://app:${DB_PASSWORD}@localhost/shop" == variable(text.encode(), "DATABASE_URL", place=".env")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "has no DATABASE_URL"),
        (b"OTHER=s3cret\n", "the file's variables are: OTHER"),
        (b"DATABASE_URL=\n", "gives no value for DATABASE_URL"),
        (b"DATABASE_URL\n", "gives no value for DATABASE_URL"),
        (b"\x7fELF\x02\x01\x01\x00\x00", "is no text file"),
        (b"DATABASE_URL=caf\xe9\n", "byte 17 is not UTF-8"),
        (b"A=s3cret\n" * 200_000, "more than 256 kB"),
    ],
    ids=["empty", "another variable", "empty value", "no value", "binary", "Latin-1", "1.8 MB"],
)
def test_what_is_refused(data, says):
    """Three lines, the file named, no value shown."""
    with pytest.raises(ConfigurationError) as refused:
        variable(data, "DATABASE_URL", place="/srv/app/.env on deploy@staging")
    assert says in str(refused.value)
    assert "/srv/app/.env on deploy@staging" in refused.value.what
    assert "s3cret" not in str(refused.value)


def test_what_else_is_secret_is_known_by_its_name_or_its_place():
    """Whatever a deploy command prints of its environment; ordinary settings stay readable."""
    text = """
JWT_SECRET="j-1"
STRIPE_APIKEY=s-2
SMTP_PASS=mail4
DB_PASSPHRASE=of words
JWT=a.b.c
STRIPE_SK=sk_live
SLACK_WEBHOOK_URL=https://hooks.example/T0/B0/x
SECRET_KEY_BASE=0123456789abcdef
REDIS_URL=redis://:r%40-3@cache:6379/0
BROKER=amqp://u:p/5@6@broker/
SMTP_URL=smtp://user:mail-7@mail.example.com/?from=noreply@example.com
CACHES=redis://u:one-8@h1:6379,redis://u:two-9@h2:6379
PGPASSWORD=pg-10
SESSIONSECRETS=s-11
jwtSecret=s-12
stripeAPIKey2=s-13
"""
    found = {"j-1", "s-2", "mail4", "of words", "a.b.c", "sk_live", "https://hooks.example/T0/B0/x", "0123456789abcdef"}
    found |= {"r%40-3", "r@-3", "p/5@6", "mail-7", "one-8", "two-9", "pg-10", "s-11", "s-12", "s-13"}
    assert found <= {*secrets(text.encode(), place="a file")}


def test_ordinary_settings_stay_readable():
    """Half a word, a switch, a number, a name: hidden everywhere, they would make a page of nothing."""
    text = """
NODE_ENV=production
PORT=3001
EMPTY_TOKEN=
AUTH_STRATEGY=local
AUTH_ENABLED=true
KEYCLOAK_REALM=shop
AUTH_FIELD=email
TOKEN_TTL=3600
COOKIE_NAME=session
PASSWORD_RESET_TEMPLATE=customers
COMPASS=north
MONKEY=george
PUBLIC_URL=https://example.test:443/@scope/page
"""
    assert () == secrets(text.encode(), place="a file")
