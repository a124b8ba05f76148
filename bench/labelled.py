"""Does a GO mean safe and a NO-GO unsafe: every migration of `labelled/` through the plugin, as a user runs it.

`labelled.py --help` says how; README.md beside this file says what.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import labels
import proofs
from labels import Labelled

from pytest_dryrun.postgres.disposable import installations

LIMIT_S = 600
CONFIGURATION = """\
[project]
name = "{name}"
executed_by = "bench"

[targets.local]
role = "local"

[targets.local.postgres]
provider = "binaries"
bindir = "{bindir}"

[targets.local.baseline]
through = "001_before.sql"
seed = "seed.sql"

[targets.local.migrations]
tool = "sql"
directory = "migrations"

[targets.local.performance]
scale = {scale}

[decision.not_required]
crud-pass = "there is no application"
latency = "nothing is timed here"
"""


@dataclass(frozen=True, slots=True)
class Told:
    """What one run said of one migration.

    `wrong` is empty or one of: `passed` (unsafe, and GO), `other reason` (unsafe, and stopped for none of the expected
    rules), `stopped` (safe, and no GO), `untold` (safe, and the warning that is due was not given), `broken` (no
    verdict).
    """

    name: str
    family: str
    unsafe: bool
    decision: str
    wrong: str
    rules: tuple[str, ...]
    reasons: tuple[str, ...]
    seconds: float


def project(migration: Labelled, folder: Path, *, bindir: str = "") -> Path:
    """Write the project that a user would have: migrations, seed and configuration."""
    base = labels.base(migration.base)
    (folder / "migrations").mkdir(parents=True)
    (folder / "migrations" / "001_before.sql").write_text(base.schema, encoding="utf-8")
    for number, text in enumerate(migration.pending, 2):
        (folder / "migrations" / f"{number:03d}_pending.sql").write_text(text, encoding="utf-8")
    (folder / "seed.sql").write_text(base.seed + migration.seed, encoding="utf-8")
    configuration = CONFIGURATION.format(name=migration.name, scale=migration.scale, bindir=bindir)
    (folder / "dryrun.toml").write_text(configuration, encoding="utf-8")
    return folder


def run(migration: Labelled, *, keep: Path | None = None, bindir: str = "") -> Told:
    """Run the whole checklist on one migration, and hold the verdict against the label."""
    with tempfile.TemporaryDirectory(prefix="dryrun-labelled-") as top:
        folder = project(migration, Path(top) / migration.name, bindir=bindir)
        began = time.perf_counter()
        argv = [sys.executable, "-m", "pytest", "--dryrun-target=local", "-p", "no:cacheprovider"]
        try:
            done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        except subprocess.TimeoutExpired:  # no verdict, and the others go on
            return judge(migration, None, 2, f"it did not end within {LIMIT_S} s", LIMIT_S)
        seconds = time.perf_counter() - began
        written = folder / "reports" / "local" / "report.json"
        report = json.loads(written.read_text(encoding="utf-8")) if written.exists() else None
        if keep is not None:
            (folder / "terminal.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
            shutil.copytree(folder, keep / migration.name, dirs_exist_ok=True)
    return judge(migration, report, done.returncode, (done.stdout + done.stderr)[-2000:], seconds)


def judge(
    migration: Labelled, report: Mapping[str, Any] | None, exit_status: int, terminal: str, seconds: float
) -> Told:
    """Hold a report against the label. Exit status and decision have to agree, or there is no verdict."""

    def told(decision: str, wrong: str, rules: Iterable[str], reasons: Iterable[str]) -> Told:
        return Told(
            migration.name,
            migration.family,
            migration.unsafe,
            decision,
            wrong,
            tuple(sorted(set(rules))),
            tuple(reasons),
            round(seconds, 1),
        )

    if report is None or not report["finished"] or {"GO": 0, "NO-GO": 1}.get(report["decision"]) != exit_status:
        said = report["decision"] if report else "none"
        return told(said, "broken", (), [f"exit status {exit_status}", *terminal.strip().splitlines()[-5:]])
    findings = [one for one in report["findings"] if not one["rule"].startswith("lint/") and not one["waived"]]
    blockers = [one for one in findings if one["severity"] == "blocker"]
    reasons = [f"{one['rule']}: {one['message']}" for one in blockers]
    reasons += [f"{one['slug']} {one['outcome']}: {one['reason']}" for one in _not_passed(report)]
    if report["decision"] == "GO":
        rules = [one["rule"] for one in findings if one["severity"] != "info"]
        untold = bool(migration.told) and not migration.told & set(rules)
        return told("GO", "passed" if migration.unsafe else "untold" if untold else "", rules, ())
    rules = [one["rule"] for one in blockers]
    if migration.unsafe:
        return told("NO-GO", "" if migration.rules & set(rules) else "other reason", rules, reasons)
    return told("NO-GO", "stopped", rules, reasons)


def run_all(migrations: Sequence[Labelled], *, jobs: int, keep: Path | None = None, bindir: str = "") -> Iterator[Told]:
    """Run many beside each other, in their order; those that need a newer server than this machine has are left out."""
    major = installations.find(bindir, None).major
    fitting = [one for one in migrations if one.server <= major]
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda one: run(one, keep=keep, bindir=bindir), fitting)


def document(told: Sequence[Told], shown: Sequence[proofs.Shown], seconds: float) -> dict[str, Any]:
    """What `results.json` says of the set: counts, and by name whatever is wrong."""
    return {
        "migrations": len(told),
        "unsafe": sum(one.unsafe for one in told),
        "safe": sum(not one.unsafe for one in told),
        "wrong": {
            kind: [asdict(one) for one in told if one.wrong == kind]
            for kind in ("passed", "stopped", "other reason", "untold", "broken")
        },
        "proofs": len(shown),
        "proofs_failed": [asdict(one) for one in shown if one.reason],
        "seconds": round(seconds, 1),
        "seconds_each": round(sum(one.seconds for one in told) / max(1, len(told)), 1),
    }


def measure(count: int | None = None) -> dict[str, Any]:
    """Run the set, or a sample of it, and every proof of what was run; print as it goes, and give the document."""
    migrations = labels.read() if count is None else labels.sample(labels.read(), count)
    began = time.perf_counter()
    shown = list(prove(migrations))
    told = []
    for one in run_all(migrations, jobs=os.cpu_count() or 1):
        told.append(one)
        show(one)
    return document(told, shown, time.perf_counter() - began)


def prove(migrations: Iterable[Labelled], *, bindir: str = "") -> Iterator[proofs.Shown]:
    """Show every harm and every calm on a plain server; print what did not show."""
    installation = installations.find(bindir, None)
    with proofs.plain(installation.bindir) as server:
        for migration in migrations:
            if migration.server > installation.major:
                continue
            for shown in proofs.show(server, migration):
                if shown.reason:
                    print(f"NOT SHOWN {migration.family}/{shown.migration} {shown.kind}: {shown.reason}", flush=True)
                yield shown


def show(told: Told) -> None:
    """Print one line, and why where it is wrong."""
    label = "unsafe" if told.unsafe else "safe"
    head = f"{told.wrong.upper() or 'right':12s} {label:6s} {told.family}/{told.name}"
    print(f"{head}: {told.decision}, {', '.join(told.rules) or 'no rule'} ({told.seconds:.1f} s)", flush=True)
    for reason in told.reasons if told.wrong else ():
        print(f"             {' '.join(reason.split())[:300]}", flush=True)


def wrong(found: Mapping[str, Any]) -> bool:
    """Tell whether a document holds anything that is not as the labels say."""
    return any(found["wrong"].values()) or bool(found["proofs_failed"])


def main() -> None:
    """Run what was asked for and sum it up; exit status 1 where anything is not as its label says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="migrations or families; none: all")
    parser.add_argument("--sample", type=int, metavar="N", help="only N of them, spread over the families")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="runs beside each other")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the projects with their reports there")
    parser.add_argument("--bindir", default="", metavar="DIR", help="the programs of the PostgreSQL to use")
    parser.add_argument("--harm", action="store_true", help="the psql proofs alone; the plugin is not run")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # servers are stopped on the way out
    bindir = str(Path(arguments.bindir).resolve()) if arguments.bindir else ""
    names = set(arguments.names)
    migrations = tuple(one for one in labels.read() if not names or {one.name, one.family} & names)
    if unknown := names - {one.name for one in migrations} - {one.family for one in migrations}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    if arguments.sample:
        migrations = labels.sample(migrations, arguments.sample)
    began = time.perf_counter()
    told: list[Told] = []
    shown: list[proofs.Shown] = []
    if arguments.harm:
        shown = list(prove(migrations, bindir=bindir))
    else:
        for one in run_all(migrations, jobs=arguments.jobs, keep=arguments.keep, bindir=bindir):
            told.append(one)
            show(one)
    found = document(told, shown, time.perf_counter() - began)
    sum_up(found)
    raise SystemExit(wrong(found))


def sum_up(found: Mapping[str, Any]) -> None:
    """Print the counts."""
    if found["migrations"]:
        counts = ", ".join(f"{kind} {len(many)}" for kind, many in found["wrong"].items())
        print(f"{found['migrations']} migrations, {found['unsafe']} unsafe and {found['safe']} safe; wrong: {counts}")
    if found["proofs"]:
        print(f"{found['proofs']} proofs, {len(found['proofs_failed'])} did not show what they should")
    print(f"{found['seconds']} s")


def _not_passed(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Blocking checks that failed for themselves; those that only wait for others say nothing new."""
    return [one for one in report["checks"] if one["blocking"] and one["outcome"] in {"failed", "broken"}]


if __name__ == "__main__":
    main()
