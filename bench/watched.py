"""How much longer a migration takes on the copy because it is watched: by recorder, probes of tables and of rows."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from figures import Figure, figure, interleaved, timed_ms
from server import Server, running

from pytest_dryrun.migrations.sql_folder import SqlFolder
from pytest_dryrun.postgres import databases
from pytest_dryrun.postgres.connection import connect
from pytest_dryrun.steps.watching import table_sizes, watch

TIMEOUT_S = 600
Taken = Mapping[str, Mapping[str, Sequence[float]]]
BASE = """
CREATE TABLE customer (id int PRIMARY KEY, name text NOT NULL, city text);
CREATE TABLE payment (id int PRIMARY KEY, customer int NOT NULL, amount numeric(10, 2) NOT NULL, note text);
CREATE INDEX payment_customer ON payment (customer);
INSERT INTO customer SELECT g, 'customer ' || g, 'city ' || g % 97 FROM generate_series(1, {rows} / 10) g;
INSERT INTO payment SELECT g, 1 + g % ({rows} / 10), g % 900, 'note ' || g FROM generate_series(1, {rows}) g;
"""
# Each takes more than a second at the full size: a build, a rewrite, a backfill, a scan, and work in one transaction.
SCRIPTS = {
    "index": "CREATE INDEX payment_note ON payment (note);",
    "concurrently": "CREATE INDEX CONCURRENTLY payment_note ON payment (note);",
    "rewrite": "ALTER TABLE payment ALTER COLUMN id TYPE bigint;",
    "backfill": "ALTER TABLE payment ADD COLUMN status text;\nUPDATE payment SET status = 'PAID';",
    "transaction": "BEGIN;\nUPDATE payment SET note = upper(note) WHERE id % 3 = 0;\n"
    "ALTER TABLE payment ADD FOREIGN KEY (customer) REFERENCES customer;\nCOMMIT;",
}


def measure(folder: Path, *, rows: int, rounds: int) -> Iterator[Figure]:
    """Deploy each script with and without being watched, in turn; the median of the ratios counts.

    The recorder has the copy build indexes with one process, so that the rows they read are counted. That is told
    apart: the bounded figure compares with a plain deploy to a copy that has the same setting.
    """
    with running() as server:
        server.sql("CREATE DATABASE watched_template", dbname="postgres")
        server.sql(BASE.format(rows=rows), "VACUUM ANALYZE", "CHECKPOINT", dbname="watched_template")
        taken: dict[str, dict[str, list[float]]] = {}
        for name, script in SCRIPTS.items():
            (folder / name).mkdir()
            (folder / name / "001_pending.sql").write_text(script, encoding="utf-8")
            taken[name] = interleaved(_ways(server, SqlFolder(folder / name)), rounds)
    yield _median("watched first pass / plain deploy", taken, "plain", rows, bound=1.1)
    yield _median("watched first pass / plain deploy, parallel index builds", taken, "parallel", rows, bound=None)


def _median(what: str, taken: Taken, theirs: str, rows: int, *, bound: float | None) -> Figure:
    ratios = {name: min(each["watched"]) / min(each[theirs]) for name, each in taken.items()}
    middle = statistics.median_low(ratios.values())
    name = next(name for name, ratio in ratios.items() if ratio == middle)
    return figure(
        what,
        ("watched", taken[name]["watched"]),
        (theirs, taken[name][theirs]),
        bound=bound,
        note=f"the median over {len(SCRIPTS)} migrations of {rows:,} rows, that of {name!r}",
        detail={"ratios": {each: round(ratio, 3) for each, ratio in ratios.items()}},
    )


def _ways(server: Server, migrations: SqlFolder) -> dict[str, Callable[[], float]]:
    admin = server.conninfo

    def parallel() -> float:
        copy = databases.copy(admin, "watched_template", "watched_copy")
        return timed_ms(lambda: migrations.deploy(copy, timeout_s=TIMEOUT_S))

    def plain() -> float:
        copy = databases.copy(admin, "watched_template", "watched_copy")
        server.sql("ALTER DATABASE watched_copy SET max_parallel_maintenance_workers = 0", dbname="postgres")
        return timed_ms(lambda: migrations.deploy(copy, timeout_s=TIMEOUT_S))

    def watched() -> float:
        copy = databases.copy(admin, "watched_template", "watched_copy")
        with connect(copy) as connection:
            tables = list(table_sizes(connection))
        return watch(copy, copy, migrations, tables, timeout_s=TIMEOUT_S).duration_ms

    return {"watched": watched, "plain": plain, "parallel": parallel}
