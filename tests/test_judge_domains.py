# ruff: noqa: E501  (one case, one line)
"""Checks of domains: rows that break one are counted where no server held the check against them."""

from __future__ import annotations

import pytest
from scenes import B, I, rehearsed

from pytest_dryrun.rehearsal.judge.domains import domain_findings

pytestmark = pytest.mark.live

SETUP = """
CREATE DOMAIN grams AS int; CREATE DOMAIN dose AS grams; CREATE DOMAIN old AS int CONSTRAINT was CHECK (VALUE > 0);
CREATE TABLE jar (id int PRIMARY KEY, weight grams, value int);
INSERT INTO jar SELECT n, n - 3, 1 FROM generate_series(1, 20) n;
INSERT INTO jar VALUES (99, NULL, 1);
CREATE TABLE "Odd jar" (id int PRIMARY KEY, "a weight" dose, list grams[]);
INSERT INTO "Odd jar" VALUES (1, 5, '{1,-2}'), (2, 6, '{}'), (3, -7, NULL);
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("ALTER DOMAIN grams ADD CONSTRAINT c CHECK (VALUE > -10) NOT VALID", [("constraint-not-valid", I, None, 0)], id="none breaks"),
        pytest.param(
            "ALTER DOMAIN grams ADD CONSTRAINT c CHECK (VALUE > 0) NOT VALID",
            [("constraint-violated", B, 'public."Odd jar"', 1), ("constraint-violated", B, 'public."Odd jar"', 1), ("constraint-violated", B, "public.jar", 3)],
            id="some break, through another domain and in arrays too",
        ),
        pytest.param("ALTER DOMAIN dose ADD CONSTRAINT c CHECK (VALUE > 0) NOT VALID", [("constraint-violated", B, 'public."Odd jar"', 1)], id="only the domain above"),
        pytest.param(
            "ALTER DOMAIN dose ADD CONSTRAINT c CHECK (VALUE > 0) NOT VALID; UPDATE pg_constraint SET convalidated = true WHERE conname = 'c'",
            [("constraint-violated", B, 'public."Odd jar"', 1)],
            id="stamped valid",
        ),
        pytest.param("ALTER DOMAIN dose ADD CONSTRAINT c CHECK (VALUE > -10) NOT VALID; ALTER DOMAIN dose VALIDATE CONSTRAINT c", [], id="validated"),
        pytest.param("ALTER DOMAIN old RENAME CONSTRAINT was TO became; CREATE DOMAIN fresh AS int CHECK (VALUE > 5)", [], id="a new domain, a new name"),
    ],
)  # fmt: skip
def test_rows_are_counted(postgres, text, expected):
    """Each column with the rows that break the check; NULL breaks none."""
    with rehearsed(postgres, SETUP, text) as scene:
        found = domain_findings(scene)
    assert expected == [(item.rule, item.severity, item.table, item.evidence["rows"]) for item in found]


def test_what_is_said(postgres):
    """The domain, the column, a few keys, and what happens from now on."""
    with rehearsed(postgres, SETUP, "ALTER DOMAIN grams ADD CONSTRAINT heavy CHECK (VALUE > 0) NOT VALID;") as scene:
        made = domain_findings(scene)[-1]
    assert "public.grams.heavy" == made.object
    assert made.message.startswith(
        "Check heavy of domain public.grams is NOT VALID, added by 20260301_change, line 1, and 3 rows break it in column "
        "weight of public.jar (id=1, weight=-2; id=2, weight=-1; id=3, weight=0). Every statement that writes such a "
    )
