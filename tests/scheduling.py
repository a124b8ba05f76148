"""Which worker of xdist takes which tests: whole files, those of the staging stand by one worker, long ones first."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

STAND = "the staging stand"
"""The tests that use it: one has it to itself, so on several workers they would wait for each other."""

# Of other files: all else of theirs needs no stand.
ON_THE_STAND = frozenset(
    {
        "tests/test_bench.py::test_the_figures_over_ssh_are_measured_on_the_stand",
        "tests/test_host_resources.py::test_an_api_under_pm2_has_its_own_group_through_a_restart",
        "tests/test_host_resources.py::test_the_listener_of_another_user_is_told_and_not_guessed",
        "tests/test_host_resources.py::test_the_workers_of_a_pm2_cluster_count_and_its_other_applications_do_not",
        "tests/test_production.py::test_no_step_writes_to_a_database_that_is_listed_under_production",
    }
)
# What takes a minute or more; begun last, it would have one worker at work and the others idle.
LONG = (
    STAND,
    "tests/test_bench.py",
    "tests/test_red_checks.py",
    "tests/test_dry_run.py",
    "tests/test_bad_input.py",
    "tests/test_hazards.py",
    "tests/test_catalog_mutations.py",
    "tests/test_effects_live.py",
    "tests/test_disposable.py",
    "tests/test_wheel.py",
)


def scope(nodeid: str) -> str:
    """What a worker takes as a whole: a file, so that what its tests share is made once; the stand's tests as one."""
    file, _, test = nodeid.partition("::")
    on_the_stand = file.startswith("tests/test_staging") or f"{file}::{test.partition('[')[0]}" in ON_THE_STAND
    return STAND if on_the_stand else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Tell xdist who takes what."""
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test that asks for the staging stand and would not be run by the worker that has it."""
    for item in items:
        if "staging" in getattr(item, "fixturenames", ()) and scope(item.nodeid) != STAND:
            raise pytest.UsageError(f"{item.nodeid} uses the staging stand: name it in tests/scheduling.py")


class Scheduling(LoadScopeScheduling):
    """Scopes in the random order of the run, after the long ones; the order within a scope stays random."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)

    def _assign_work_unit(self, node: Any) -> None:
        first = next((name for name in LONG if name in self.workqueue), None)
        if first:
            self.workqueue.move_to_end(first, last=False)
        super()._assign_work_unit(node)
