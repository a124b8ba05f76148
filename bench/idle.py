"""What an installed but idle plugin adds to the start of pytest."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from figures import Figure, figure, interleaved
from packaging.requirements import Requirement

OURS = "pytest-migration-dryrun"
TIMEOUT_S = 600


def measure(folder: Path, *, rounds: int) -> Iterator[Figure]:
    """Build three environments of the same packages and start pytest in each in turn."""
    bare, without, with_plugin = (folder / name for name in ("bare", "without", "with"))
    needed = _closure(OURS)
    _environment(bare, _closure("pytest"))
    _environment(without, needed)
    _environment(with_plugin, needed)
    _install(with_plugin)
    tests = folder / "empty"
    tests.mkdir()
    (tests / "test_empty.py").touch()
    for environment in (bare, without, with_plugin):
        _checked(environment, tests, plugin=environment == with_plugin)
    places = {"bare": bare, "without": without, "with": with_plugin}
    cpu: dict[str, list[float]] = {name: [] for name in places}
    taken = interleaved({name: _starter(place, tests, cpu[name]) for name, place in places.items()}, rounds)
    note = (
        f"`pytest --collect-only` on an empty test file, {rounds} runs of each in turn, medians."
        " Both environments hold the same packages, the plugin's dependencies among them; one holds the plugin as well."
    )
    detail = {
        "cpu_ratio": statistics.median(cpu["with"]) / statistics.median(cpu["without"]),
        "fastest_ratio": min(taken["with"]) / min(taken["without"]),
    }
    yield figure(
        "pytest start with / without the plugin",
        ("with", taken["with"]),
        ("without", taken["without"]),
        bound=1.03,
        note=note,
        pick=statistics.median,
        detail=detail,
    )
    yield figure(
        "pytest start with all of it / pytest alone",
        ("with", taken["with"]),
        ("pytest alone", taken["bare"]),
        bound=None,
        note="Against an environment with pytest only: pytest-html and (by httpx) anyio, on which the plugin depends,"
        " are pytest plugins too and load at every start.",
        pick=statistics.median,
    )


def _closure(name: str) -> list[Distribution]:
    """A distribution's dependencies as they are installed here; `name` itself too, unless it is ours."""
    found: dict[str, Distribution] = {}
    queue = [name]
    while queue:
        key = re.sub(r"[-_.]+", "-", queue.pop()).lower()
        if key in found:
            continue
        try:
            found[key] = distribution(key)
        except PackageNotFoundError:
            continue  # an optional one
        wanted = (Requirement(text) for text in found[key].requires or ())
        queue += [each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    found.pop(OURS, None)
    return list(found.values())


def _environment(place: Path, distributions: list[Distribution]) -> None:
    """A virtual environment whose packages are links to the ones of this one."""
    _run([sys.executable, "-m", "venv", "--without-pip", str(place)])
    site = _site(place)
    for each in distributions:
        for top in sorted({file.parts[0] for file in each.files or () if file.parts[0] not in {"..", "__pycache__"}}):
            link = site / top
            if not link.exists():
                link.symlink_to(Path(str(each.locate_file(top))).resolve())


def _install(place: Path) -> None:
    """Put the plugin into an environment as its wheel would: the package with its checks, metadata and record."""
    source, site = Path(__file__).parent.parent, _site(place)
    no_caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source / "pytest_dryrun", site / "pytest_dryrun", ignore=no_caches)
    shutil.copytree(source / "checks", site / "pytest_dryrun" / "checks", ignore=no_caches)
    ours = distribution(OURS)
    metadata = site / next(file.parts[0] for file in ours.files or () if file.parts[0].endswith(".dist-info"))
    metadata.mkdir()
    for name in ("METADATA", "entry_points.txt"):
        (metadata / name).write_text(ours.read_text(name) or "", encoding="utf-8")
    files = [path for top in (site / "pytest_dryrun", metadata) for path in sorted(top.rglob("*")) if path.is_file()]
    record = "".join(f"{path.relative_to(site)},,\n" for path in files)
    (metadata / "RECORD").write_text(record, encoding="utf-8")


def _site(place: Path) -> Path:
    [site] = place.glob("lib/python*/site-packages")
    return site


def _argv(place: Path, tests: Path) -> list[str]:
    options = ["--collect-only", "-q", "-p", "no:cacheprovider"]
    return [str(place / "bin" / "python"), "-m", "pytest", *options, str(tests)]


def _starter(place: Path, tests: Path, cpu: list[float]):  # noqa: ANN202
    argv = _argv(place, tests)
    environment = _clean()

    def start() -> float:
        began = time.perf_counter()
        process = os.posix_spawn(
            argv[0],
            argv,
            environment,
            file_actions=[(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)],
        )
        _, _, used = os.wait4(process, 0)
        taken = (time.perf_counter() - began) * 1000
        cpu.append((used.ru_utime + used.ru_stime) * 1000)
        return taken

    return start


def _checked(place: Path, tests: Path, *, plugin: bool) -> None:
    """Make sure that each side is what it is called; this also fills the byte code caches."""
    argv = [*_argv(place, tests), "--trace-config"]
    for _ in range(2):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=_clean())
    if done.returncode != 5 or ("pytest_dryrun.plugin" in done.stdout) is not plugin:
        raise SystemExit(f"{place.name}: exit status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _clean() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "PYTHON"))}


def _run(argv: list[str]) -> None:
    if shutil.which(argv[0]) is None:
        raise SystemExit(f"{argv[0]} is not there")
    subprocess.run(argv, check=True, timeout=TIMEOUT_S, stdout=subprocess.DEVNULL)
