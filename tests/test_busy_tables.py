"""Who wrote to a table while the run went on: others, as far as their pace before and after explains it."""

from __future__ import annotations

import pytest

from pytest_dryrun.postgres.fingerprint.counters import TupleCounters
from pytest_dryrun.steps.tuples import busy


def counters(*lost: int) -> tuple[dict[int, TupleCounters], ...]:
    """Four readings of one table (oid 7) by what was deleted in all."""
    return tuple({7: TupleCounters(0, 0, deleted)} for deleted in lost)


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ((0, 0, 0, 0), False),
        ((0, 0, 500, 500), False),
        ((0, 1, 1, 1), True),
        ((0, 0, 0, 1), True),
        ((0, 1, 20, 20), True),
        ((0, 1, 900, 900), False),
        ((0, 900, 1000, 1000), True),
    ],
    ids=[
        "nobody wrote",
        "the deployment alone",
        "others before",
        "others afterwards",
        "a few while deploying",
        "one row does not excuse nine hundred",
        "at their pace",
    ],
)
def test_what_others_may_have_done(lost, expected):
    """Ten seconds of deploying in a hundred that were watched."""
    assert expected is (7 in busy(counters(*lost), deploying_s=10, watched_s=100))


def test_a_table_that_is_new_is_nobodys():
    """It was not there before, so only the deployment can have filled it."""
    nothing: dict[int, TupleCounters] = {}
    there = {9: TupleCounters(5, 0, 0)}
    assert set() == busy((nothing, nothing, there, there), deploying_s=1, watched_s=60)


@pytest.mark.parametrize(("while_deploying", "expected"), [(95, True), (600, False)])
def test_a_short_deployment_beside_steady_writers(while_deploying, expected):
    """What they did in the second before it is counted in it, and what they do after it is not counted yet."""
    readings = counters(0, 460, 460 + while_deploying, 460 + while_deploying)
    assert expected is (7 in busy(readings, deploying_s=0.1, watched_s=5.5))
