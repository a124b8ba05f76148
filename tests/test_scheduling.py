"""Spread over workers, the tests of the staging stand are run by one of them, and files stay whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from scheduling import LONG, ON_THE_STAND, STAND, scope

HOOKS = "from scheduling import pytest_collection_modifyitems, pytest_xdist_make_scheduler"
TOLD = """
import os
from pathlib import Path
import pytest
@pytest.mark.parametrize("number", range(5))
def test_it(number):
    with Path("told").open("a") as told:
        told.write(f"{Path(__file__).stem} {os.environ['PYTEST_XDIST_WORKER']}\\n")
"""


@pytest.fixture
def folder(pytester: pytest.Pytester, monkeypatch) -> pytest.Pytester:
    """A project of its own with the same two hooks."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=":")
    pytester.mkdir("tests").joinpath("conftest.py").write_text(HOOKS)
    return pytester


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        ("tests/test_staging_faults.py::test_a[x::y]", STAND),
        ("tests/test_bench.py::test_the_figures_over_ssh_are_measured_on_the_stand", STAND),
        ("tests/test_bench.py::test_a_missed_bound_is_called_missed", "tests/test_bench.py"),
        (
            "tests/test_production.py::test_no_step_writes_to_a_database_that_is_listed_under_production[run]",
            STAND,
        ),
        ("tests/test_locks.py::test_a[tests/test_staging.py::x]", "tests/test_locks.py"),
    ],
)
def test_what_a_worker_takes_as_a_whole(nodeid, expected):
    """A file, except what uses the stand."""
    assert expected == scope(nodeid)


def test_files_stay_whole_and_one_worker_has_the_stand(folder):
    """Two files of the stand, two others, two workers."""
    for name in ("test_staging_one", "test_staging_two", "test_three", "test_four"):
        folder.path.joinpath("tests", f"{name}.py").write_text(TOLD)
    folder.runpytest_subprocess("-n2").assert_outcomes(passed=20)
    pairs = {tuple(line.split()) for line in (folder.path / "told").read_text().splitlines()}
    assert 4 == len(pairs)
    workers = dict(pairs)
    assert workers["test_staging_one"] == workers["test_staging_two"]
    assert 2 == len({*workers.values()})


def test_a_test_of_the_stand_that_nobody_named_is_refused(folder):
    """It would wait for those that have the stand, on a worker that could do something else."""
    text = "import pytest\n@pytest.fixture\ndef staging(): pass\ndef test_it(staging): pass\n"
    folder.path.joinpath("tests", "test_other.py").write_text(text)
    done = folder.runpytest_subprocess("tests")
    done.stderr.fnmatch_lines(["*tests/test_other.py::test_it uses the staging stand: name it in tests/scheduling.py"])
    assert pytest.ExitCode.USAGE_ERROR == done.ret


def test_what_is_named_exists():
    """A file or a test that got another name would lose its place without a word."""
    tests = Path(__file__).parent
    for nodeid in (*ON_THE_STAND, *LONG[1:]):
        file, _, name = nodeid.partition("::")
        assert f"def {name}" in (tests.parent / file).read_text()
