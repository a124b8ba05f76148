"""Rows that are there under another key: every other value of the table is what it was."""

from __future__ import annotations

from dataclasses import replace

from psycopg import sql

from pytest_dryrun.postgres.fingerprint.examination import Sides, Verdict, totals
from pytest_dryrun.postgres.fingerprint.hashing import hashes
from pytest_dryrun.postgres.fingerprint.pairing import Pairing, key_text, without


def rekeyed(sides: Sides, pairing: Pairing, verdict: Verdict) -> dict[str, str]:
    """A few keys before and after, of a table that lost keys and nothing else; empty where it lost more than that.

    The rows without their keys are compared as a multiset. A key whose other values stand in several rows is left out.
    """
    names = {pairing.names[index] for index in pairing.key}
    if not verdict.rows_lost or not names or len(names) == len(pairing.names):
        return {}
    rest = without(replace(pairing, key=()), names)
    before, after = (hashes(*rest.side(number), "semantic") for number in (0, 1))
    if totals(sides.before, before, pairing.before)[:2] != totals(sides.after, after, pairing.after)[:2]:
        return {}
    labels = [key_text([pairing.names[index] for index in pairing.key], pairing.side(number)[1]) for number in (0, 1)]
    query = sql.SQL("SELECT {}, min({}) FROM {} WHERE {} = ANY(%s) GROUP BY 1 HAVING count(*) = 1")
    old = sides.before.execute(
        query.format(before.row, labels[0], pairing.before.source(), labels[0]), (list(verdict.keys),)
    ).fetchall()
    new = sides.after.execute(
        query.format(after.row, labels[1], pairing.after.source(), after.row), ([row[0] for row in old],)
    ).fetchall()
    now: dict[int, str] = {row[0]: row[1] for row in new}
    return {label: now[row] for row, label in sorted(old, key=lambda one: one[1]) if row in now}
