"""How fast the dry run is, as ratios measured in one run, and how often it is right; see README.md beside this file."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fingerprints
import idle
import labelled
import over_ssh
import runbook
import watched
from figures import Figure, machine, show, write

PARTS = ("fingerprint", "checklist", "watched", "idle", "ssh", "labelled")


def main() -> None:
    """Measure, write `results.json`, print the table.

    Exit status 1 where a bound is missed or a verdict is wrong; never with --quick.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small data, one round: does it run at all")
    parser.add_argument("--only", choices=PARTS, action="append", help="one part (may be repeated)")
    parser.add_argument("--no-peers", action="store_true", help="leave reladiff out: nothing is downloaded")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results.json", metavar="FILE")
    arguments = parser.parse_args()
    facts = machine()
    with tempfile.TemporaryDirectory(prefix="dryrun-bench-") as folder:
        found = []
        for one in _measure(Path(folder), arguments.only or PARTS, quick=arguments.quick, peers=not arguments.no_peers):
            print(f"{one.figure}: {one.ratio:.3f}", flush=True)
            found.append(one)
    verdicts: dict[str, Any] | None = None
    if "labelled" in (arguments.only or PARTS):
        verdicts = labelled.measure(2 if arguments.quick else None)
    facts["load_after"] = machine()["load"]
    write(arguments.output, found, facts, quick=arguments.quick, labelled=verdicts)
    show(found, quick=arguments.quick)
    if verdicts is not None:
        labelled.sum_up(verdicts)
    print(f"written to {arguments.output}")
    missed = any(one.met is False for one in found) or (verdicts is not None and labelled.wrong(verdicts))
    if not arguments.quick and missed:
        raise SystemExit(1)


def _measure(folder: Path, parts: tuple[str, ...] | list[str], *, quick: bool, peers: bool) -> Iterator[Figure]:
    if "fingerprint" in parts:
        yield from fingerprints.measure(folder, rows=20_000 if quick else 3_000_000, peers=peers)
    if "checklist" in parts:
        yield from runbook.measure(folder, scale=0.01 if quick else 1.0, rounds=1 if quick else 2)
    if "watched" in parts:
        yield from watched.measure(folder, rows=20_000 if quick else 1_000_000, rounds=1 if quick else 3)
    if "ssh" in parts and over_ssh.STAND.joinpath("known_hosts").exists():
        yield from over_ssh.measure(folder, scale=0.01 if quick else 1.0, rounds=1 if quick else 2)
    elif "ssh" in parts:
        print("SSH is left out: no staging stand is up (make staging-up)")
    if "idle" in parts:
        yield from idle.measure(folder, rounds=2 if quick else 40)


if __name__ == "__main__":
    main()
