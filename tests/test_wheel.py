"""The built wheel, installed into a clean environment, runs the shipped checklist in somebody else's folder."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from projects import outcome, report, write

pytestmark = pytest.mark.live
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of this source tree."""
    folder = tmp_path_factory.mktemp("wheel")
    argv = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(argv, check=True, capture_output=True, timeout=300)
    return next(folder.glob("*.whl"))


def test_the_wheel_carries_checks_templates_and_types(wheel):
    """Everything that is read at run time is in it, and nothing of the tests."""
    names = zipfile.ZipFile(wheel).namelist()
    for expected in (
        "pytest_dryrun/checks/test_01_environment.py",
        "pytest_dryrun/checks/test_10_documentation.py",
        "pytest_dryrun/postgres/catalog/claims.tsv",
        "pytest_dryrun/py.typed",
    ):
        assert expected in names
    assert any(name.startswith("pytest_dryrun/report/templates/") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "examples/", "checks/"))]


def test_the_installed_wheel_runs_in_an_empty_project_folder(wheel, tmp_path, postgres):
    """A fresh environment with nothing but the wheel: GO for a safe migration, exit 0."""
    del postgres
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", str(wheel)], check=True, timeout=600, capture_output=True
    )
    project = write(tmp_path / "project")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "PYTHON"))}
    argv = [python, "-m", "pytest", "--dryrun-target=local"]
    done = subprocess.run(argv, cwd=project, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert report(project)["decision"] == "GO"
    assert outcome(report(project), "rows-intact")[0] == "passed"
    listed = subprocess.run(
        [*argv, "--dryrun-list"], cwd=project, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert listed.returncode == 0
    assert "no-destructive-operations" in listed.stdout
