"""The whole checklist against the same runbook typed by hand, one command after another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from figures import Figure, figure, interleaved
from server import TIMEOUT_S, Server, running

BASELINE, TARGET, BACK = "baseline", "target", "rolled_back"
TABLES = ("customer", "product", "purchase", "purchase_line", "event")

SCHEMA = """
CREATE TABLE customer (
    id bigint NOT NULL, email text NOT NULL, name text NOT NULL, created_at timestamptz NOT NULL,
    newsletter boolean NOT NULL
);
CREATE TABLE product (
    id integer NOT NULL, sku text NOT NULL, title text NOT NULL, price numeric(10, 2) NOT NULL,
    attributes jsonb NOT NULL
);
CREATE TABLE purchase (
    id bigint NOT NULL, customer_id bigint NOT NULL, placed_at timestamptz NOT NULL, status text NOT NULL,
    total numeric(12, 2) NOT NULL, note text
);
CREATE TABLE purchase_line (
    id bigint NOT NULL, purchase_id bigint NOT NULL, product_id integer NOT NULL, quantity smallint NOT NULL,
    price numeric(10, 2) NOT NULL
);
CREATE TABLE event (
    id uuid NOT NULL, customer_id bigint, kind text NOT NULL, at timestamptz NOT NULL, payload jsonb NOT NULL
);
"""
# Added to the filled tables, which is faster.
CONSTRAINTS = """
ALTER TABLE customer ADD PRIMARY KEY (id), ADD UNIQUE (email);
ALTER TABLE product ADD PRIMARY KEY (id), ADD UNIQUE (sku);
ALTER TABLE purchase ADD PRIMARY KEY (id), ADD FOREIGN KEY (customer_id) REFERENCES customer;
ALTER TABLE purchase_line ADD PRIMARY KEY (id), ADD FOREIGN KEY (purchase_id) REFERENCES purchase,
    ADD FOREIGN KEY (product_id) REFERENCES product;
ALTER TABLE event ADD PRIMARY KEY (id), ADD FOREIGN KEY (customer_id) REFERENCES customer;
CREATE INDEX purchase_customer ON purchase (customer_id);
CREATE INDEX purchase_placed ON purchase (placed_at);
CREATE INDEX purchase_line_purchase ON purchase_line (purchase_id);
CREATE INDEX event_at ON event (at);
"""
# `{n}` stands for a thousand at full size.
FILL = (
    """INSERT INTO customer SELECT i, 'c' || i || '@example.com', 'Customer ' || md5(i::text),
       timestamptz '2021-01-01 UTC' + i * interval '7 minutes', i % 3 = 0 FROM generate_series(1, 200 * {n}) i""",
    """INSERT INTO product SELECT i, 'SKU-' || md5(i::text), 'Product ' || i, (i % 900)::numeric / 7,
       jsonb_build_object('colour', 'c' || i % 12, 'grams', i % 2500) FROM generate_series(1, 20 * {n}) i""",
    """INSERT INTO purchase SELECT i, 1 + i * 7919 % (200 * {n}), timestamptz '2022-01-01 UTC' + i * interval '83 s',
       (array['PAID', 'SHIPPED', 'CANCELLED'])[1 + i % 3], (i % 30011)::numeric / 13,
       CASE WHEN i % 5 = 0 THEN 'left at the door, ' || md5(i::text) END
       FROM generate_series(1::bigint, 900 * {n}) i""",
    """INSERT INTO purchase_line SELECT i, 1 + i / 2 % (900 * {n}), 1 + i * 31 % (20 * {n}), 1 + i % 4,
       (i % 900)::numeric / 7 FROM generate_series(1::bigint, 1800 * {n}) i""",
    """INSERT INTO event SELECT md5(i::text)::uuid, 1 + i * 104729 % (200 * {n}), 'kind-' || i % 9,
       timestamptz '2023-01-01 UTC' + i * interval '41 s',
       jsonb_build_object('path', '/p/' || i % 5000, 'ms', i % 777, 'agent', 'Mozilla/5.0 ' || md5((i % 99)::text))
       FROM generate_series(1::bigint, 400 * {n}) i""",
)
MIGRATIONS = {
    "001_country.sql": "SET lock_timeout = '2s';\nALTER TABLE customer ADD country text NOT NULL DEFAULT 'SE';\n",
    "002_refund.sql": "CREATE TABLE refund (id bigint PRIMARY KEY, amount numeric(12, 2) NOT NULL, reason text);\n",
    "003_customer_name.sql": "CREATE INDEX CONCURRENTLY customer_name ON customer (name);\n",
}
CONFIGURATION = """
[project]
name = "bench"
executed_by = "make bench"

[targets.local]
role = "local"

[targets.local.postgres]
provider = "binaries"
bindir = "{bindir}"

[targets.local.baseline]
dump = "baseline.dump"

[targets.local.migrations]
tool = "sql"
directory = "migrations"

[targets.local.performance]
queries = ["SELECT * FROM purchase WHERE customer_id = 4711 ORDER BY placed_at DESC LIMIT 20"]

[targets.local.backup]
min_free = "1MB"

[decision.not_required]
crud-pass = "the project has no API"
"""


def measure(folder: Path, *, scale: float, rounds: int) -> Iterator[Figure]:
    """Fill a database, keep it as the baseline of both sides, and walk both ways in turn."""
    project = folder / "project"
    (project / "migrations").mkdir(parents=True)
    for name, text in MIGRATIONS.items():
        (project / "migrations" / name).write_text(text, encoding="utf-8")
    with running() as server:
        size_bytes = fill(server, project, scale)
        (project / "dryrun.toml").write_text(CONFIGURATION.format(bindir=server.bindir), encoding="utf-8")
        steps: list[dict[str, float]] = []
        reports: list[dict[str, Any]] = []
        taken = interleaved(
            {"checklist": lambda: _checklist(project, reports), "by hand": lambda: _by_hand(server, project, steps)},
            rounds,
        )
    fastest = min(range(rounds), key=taken["checklist"].__getitem__)
    yield figure(
        "checklist / runbook by hand",
        ("the whole checklist", taken["checklist"]),
        ("the runbook by hand", taken["by hand"]),
        bound=1.0,
        note=f"A database of {size_bytes / 1e6:.0f} MB in {len(TABLES)} tables. By hand: pg_dump (plain), sha256sum,"
        " the migrations with psql, the rows of each table, psql < dump into a new database; the server runs."
        " Checklist: from the start of pytest to its end, starting and removing its server included,"
        " filling its target from the baseline's dump taken out.",
        detail={
            "database_bytes": size_bytes,
            "by_hand_ms": {
                key: round(value, 1) for key, value in min(steps, key=lambda one: sum(one.values())).items()
            },
            "checklist_ms": reports[fastest],
        },
    )


def fill(server: Server, project: Path, scale: float) -> int:
    """Fill a database, keep it as `baseline.dump` in the folder, and say how large it was."""
    server.sql(f"CREATE DATABASE {BASELINE}", dbname="postgres")
    n = max(1, round(1125 * scale))
    statements = [*SCHEMA.split(";")[:-1], *(each.format(n=n) for each in FILL), *CONSTRAINTS.split(";")[:-1]]
    server.sql(*statements, "VACUUM ANALYZE", dbname=BASELINE)
    server.tool("pg_dump", "--format=custom", "--compress=1", f"--file={project / 'baseline.dump'}", dbname=BASELINE)
    size_bytes = int(server.sql(f"SELECT pg_database_size('{BASELINE}')", dbname="postgres"))
    server.sql(f"DROP DATABASE {BASELINE}", dbname="postgres")
    return size_bytes


def _by_hand(server: Server, project: Path, taken: list[dict[str, float]]) -> float:
    """Restore the baseline as the dry run does, then type the runbook."""
    server.sql(f"DROP DATABASE IF EXISTS {TARGET}", f"CREATE DATABASE {TARGET} TEMPLATE template0", dbname="postgres")
    server.tool("pg_restore", "--jobs=2", f"--dbname={TARGET}", str(project / "baseline.dump"), dbname=TARGET)
    server.sql("ANALYZE", dbname=TARGET)
    dump = project.parent / "by-hand.sql"
    steps: dict[str, float] = {}

    def step(name: str, argv: Sequence[str], *, dbname: str = TARGET, stdin: Path | None = None) -> None:
        began = time.perf_counter()
        server.command(argv, dbname=dbname, stdin=stdin)
        steps[name] = steps.get(name, 0.0) + (time.perf_counter() - began) * 1000

    tool = server.disposable.tool
    psql = [*tool("psql"), "-X", "-q", "--set=ON_ERROR_STOP=1"]
    step("pg_dump", [*tool("pg_dump"), f"--file={dump}"])
    step("sha256sum", ["sha256sum", str(dump)])
    for name in MIGRATIONS:
        step("apply", [*psql, f"--file={project / 'migrations' / name}"])
    for table in TABLES:
        step("row counts", [*psql, f"--command=SELECT count(*) FROM {table}"])
    step("restore", [*tool("createdb"), BACK], dbname="postgres")
    step("restore", psql, dbname=BACK, stdin=dump)
    dump.unlink()
    server.sql(f"DROP DATABASE {BACK}", f"DROP DATABASE {TARGET}", dbname="postgres")
    taken.append({name: round(value, 1) for name, value in steps.items()})
    return sum(steps.values())


def _checklist(project: Path, reports: list[dict[str, Any]]) -> float:
    """Run pytest as a user does; the plugin `clock` says how long filling the target took."""
    clock = project.parent / "clock.json"
    argv = [sys.executable, "-m", "pytest", "--dryrun-target=local", "-q", "-p", "clock"]
    argv += ["-p", "no:randomly", "-p", "no:hypothesispytest"]  # of our own tests, not of a user's project
    path = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))
    # An installed package is compiled; so is what a project has run once.
    unwanted = ("PYTEST_", "PYTHONDONTWRITEBYTECODE")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(unwanted)}
    environment |= {"PYTHONPATH": path, "DRYRUN_BENCH_CLOCK": str(clock)}
    began = time.perf_counter()
    done = subprocess.run(
        argv, cwd=project, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    whole_ms = (time.perf_counter() - began) * 1000
    if done.returncode != 0:
        raise SystemExit(f"the checklist did not end with GO:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
    baseline_ms = json.loads(clock.read_text(encoding="utf-8"))["baseline_ms"]
    report = json.loads((project / "reports" / "local" / "report.json").read_text(encoding="utf-8"))
    checks = {check["slug"]: round(check["duration_ms"], 1) for check in report["checks"]}
    checks["database-credentials"] = round(checks["database-credentials"] - baseline_ms, 1)
    rest = whole_ms - baseline_ms - sum(checks.values())
    reports.append(
        {**checks, "(start, end and report of pytest)": round(rest, 1), "(baseline, not counted)": baseline_ms}
    )
    return whole_ms - baseline_ms
