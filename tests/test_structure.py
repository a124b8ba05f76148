"""The floors of the package: an import points down, adapters do not know each other, and idling costs no driver."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_dryrun

PACKAGE = Path(pytest_dryrun.__file__).parent

# From the ground up; a module may import from its own line and the lines above it.
FLOORS = [
    ["model", "processes", "stash", ""],
    ["sql", "ledger", "progress", "workspace"],
    ["config", "config_file", "env_file", "checklist"],
    ["hosts"],
    ["postgres"],
    ["migrations", "probes"],
    ["rehearsal", "report"],
    ["steps", "judging", "recording"],
    [
        "refusals",
        "journal",
        "survey",
        "run",
        "local_run",
        "staging_access",
        "staging_copies",
        "staging_run",
        "options",
        "hookspecs",
        "collecting",
        "spreading",
    ],
    ["serving", "staging_application", "staging_serving"],
    ["state"],
    ["closing", "preparing", "folder_lock"],
    ["session"],
    ["listener"],
    ["plugin", "fixtures"],
]
# Pairs of one floor, or of neighbours, that must not know each other.
STRANGERS = [("probes", "migrations"), ("migrations", "probes"), ("report", "rehearsal"), ("rehearsal", "report")]
NO_PYTEST = [
    "model",
    "sql",
    "hosts",
    "postgres",
    "migrations",
    "probes",
    "rehearsal",
    "report",
    "config",
]


def part_of(path: Path) -> str:
    """The first name below the package: `postgres`, `decision`, `` for the package itself."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py").replace("__init__", "")


def imports(path: Path) -> set[str]:
    """Every module a file imports, wherever in it, for typing only included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def runtime_imports(path: Path) -> set[str]:
    """The same without what stands below `if TYPE_CHECKING:`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    ]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pytest_dryrun"):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("pytest_dryrun")}
    return found


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "checks" not in path.relative_to(PACKAGE).parts[:1])


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    """A module imports from its own floor or from one below."""
    level = {name: number for number, names in enumerate(FLOORS) for name in names}
    here = part_of(path)
    assert here in level, f"{here} has no floor yet"
    for name in runtime_imports(path):
        parts = name.split(".")[1:]
        there = parts[0] if parts and parts[0] in level else ""
        assert level[there] <= level[here], f"{path.name} imports {name}"
        assert (here, there) not in STRANGERS or there == here, f"{path.name} imports {name}"


@pytest.mark.parametrize("part", NO_PYTEST)
def test_below_the_steps_nobody_knows_pytest(part):
    """Adapters, values and renderers can be used, and tested, without it."""
    for path in (path for path in MODULES if part_of(path) == part):
        assert not [name for name in imports(path) if name.split(".")[0] in {"pytest", "_pytest"}], path


@pytest.mark.parametrize("path", sorted((PACKAGE / "model").glob("*.py")), ids=lambda path: path.name)
def test_the_ground_floor_is_the_standard_library_alone(path):
    """What decides depends on nothing that could change under it."""
    allowed = sys.stdlib_module_names | {"pytest_dryrun"}
    assert {name.split(".")[0] for name in imports(path)} <= allowed


def test_an_idle_plugin_loads_no_driver_and_no_template_engine(tmp_path):
    """A plain pytest run with the plugin installed imports nothing that costs."""
    (tmp_path / "test_x.py").write_text(
        "import sys\ndef test_x():\n"
        "    heavy = {'psycopg', 'paramiko', 'docker', 'testcontainers', 'pydantic', 'httpx', 'rich', 'sqlparse'}\n"
        "    assert 'pytest_dryrun.plugin' in sys.modules\n"
        "    assert not heavy & set(sys.modules)\n"
        "    assert 'pytest_dryrun.session' not in sys.modules\n",
        encoding="utf-8",
    )
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert "dry run" not in done.stdout
