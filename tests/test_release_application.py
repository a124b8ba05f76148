"""A small application of yesterday against migrated databases: what breaks it is reported, what does not is not.

Each file of `release/breaks` names the one action that fails after it; after those of `release/keeps` all of them work.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from scenes import B, released_copies

from pytest_dryrun.postgres.connection import Conninfo, connect

pytestmark = pytest.mark.live

FOLDER = Path(__file__).parent / "release"
BREAKS, KEEPS = (sorted((FOLDER / kind).glob("*.sql")) for kind in ("breaks", "keeps"))
ROLES = ("shop_app", "shop_writers", "shop_report", "shop_guest")

Session = psycopg.Connection[Any]


def sign_up(app: Session) -> None:
    """A customer gives an address, the rest comes from defaults."""
    added = app.execute("INSERT INTO public.customer (email) VALUES (%s)", ("new@shop.example",))
    assert 1 == added.rowcount


def look_up(app: Session) -> None:
    """A page shows a customer by number; the driver sends the number's type."""
    row = app.execute("SELECT email, name FROM public.customer WHERE id = %s::integer", (42,)).fetchone()
    assert ("c42@shop.example", "n42") == row


def raise_credit(app: Session) -> None:
    """Support gives a customer something."""
    changed = app.execute("UPDATE public.customer SET credit = credit + %s WHERE id = %s::integer", (Decimal(5), 42))
    assert 1 == changed.rowcount


def order(app: Session) -> None:
    """A customer buys; the receipt is read back."""
    made = app.execute(
        "INSERT INTO public.purchase (customer_id, total, urgency) VALUES (%s, %s, 'urgent')", (42, Decimal("9.50"))
    )
    assert 1 == made.rowcount
    app.execute("SET CONSTRAINTS ALL IMMEDIATE")
    row = app.execute("SELECT count(*) FROM public.purchase WHERE customer_id = 42 AND total = 9.50").fetchone()
    assert (1,) == row


def cancel(app: Session) -> None:
    """A purchase is taken back."""
    assert 1 == app.execute("DELETE FROM public.purchase WHERE customer_id = %s", (7,)).rowcount


def quote(app: Session) -> None:
    """The shop asks the database for a discount."""
    assert (Decimal(2),) == app.execute("SELECT round(public.discount(%s), 2)", (Decimal(20),)).fetchone()


def report(app: Session) -> None:
    """The nightly report reads both views."""
    app.execute("SET SESSION AUTHORIZATION shop_report")
    assert (100,) == app.execute("SELECT count(*) FROM public.rich WHERE credit > 100").fetchone()
    assert (150,) == app.execute("SELECT count(total) FROM public.turnover").fetchone()


ACTIONS: dict[str, Callable[[Session], None]] = {
    one.__name__: one for one in (sign_up, look_up, raise_credit, order, cancel, quote, report)
}


def failing(database: Conninfo) -> set[str]:
    """The actions that do not work there; each is undone."""
    failed = set()
    with psycopg.connect(**database.parameters(), autocommit=True) as connection:
        for name, action in ACTIONS.items():
            try:
                with connection.transaction(force_rollback=True):
                    connection.execute("SET SESSION AUTHORIZATION shop_app")
                    action(connection)
            except (psycopg.Error, AssertionError):
                failed.add(name)
            connection.execute("RESET SESSION AUTHORIZATION")
    return failed


@pytest.fixture(autouse=True)
def no_roles_left(postgres: Conninfo):
    """Roles belong to the whole server."""
    yield
    with connect(postgres) as admin:
        for role in ROLES:
            admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


@pytest.mark.parametrize("path", [*BREAKS, *KEEPS], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_check_says_what_the_application_meets(postgres, path):
    """The application works before; what it meets afterwards is what the check says."""
    text = path.read_text(encoding="utf-8")
    setup = (FOLDER / "before.sql").read_text(encoding="utf-8")
    before: list[set[str]] = []
    with released_copies(postgres, setup, text, first=lambda untouched: before.append(failing(untouched))) as (
        _,
        copy,
        tried,
    ):
        after = failing(copy)
    assert [set()] == before
    blockers = [item for item in tried.findings if item.severity is B]
    if path.parent.name == "breaks":
        assert text.splitlines()[0].removeprefix("-- breaks: ") in after
        assert blockers
    else:
        assert set() == after
        assert [] == blockers


def test_the_set_is_large_enough():
    """Twenty ways to break a release, twenty that do not."""
    assert len(BREAKS) >= 20
    assert len(KEEPS) >= 20
