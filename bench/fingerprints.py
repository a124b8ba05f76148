"""The fingerprint of one big table against counting it, dumping it and reladiff's checksums of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from figures import Figure, figure, interleaved, timed_ms
from server import TIMEOUT_S, Server, running

from pytest_dryrun.postgres import fingerprint
from pytest_dryrun.postgres.snapshot import reader

RELADIFF = ("reladiff==0.6.0", "psycopg2-binary>=2.9.9", "setuptools<81")
ROUNDS = 3

# Payments as a shop keeps them. The last column of the second table is jsonb, the costliest type to print.
COLUMNS = {
    "id": ("bigint PRIMARY KEY", "i"),
    "customer_id": ("integer NOT NULL", "(hashint8extended(i, 1) & 262143)::int"),
    "amount": ("numeric(12, 2) NOT NULL", "round((hashint8extended(i, 2) & 16777215)::numeric / 100, 2)"),
    "reference": ("text NOT NULL", "'INV-' || md5(i::text)"),
    "created_at": ("timestamptz NOT NULL", "timestamptz '2024-01-01 UTC' + i * interval '11.370251 seconds'"),
    "settled": ("boolean NOT NULL", "i % 7 <> 0"),
}
LAST = {
    "payment": ("fee", "double precision", "CASE WHEN i % 11 > 0 THEN (i % 9973) * 0.0137 END"),
    "payment_json": (
        "details",
        "jsonb",
        """CASE WHEN i % 11 > 0 THEN jsonb_build_object('currency', (array['EUR', 'SEK', 'USD'])[1 + i % 3],
           'attempt', i % 4) END""",
    ),
}


def measure(folder: Path, *, rows: int, peers: bool) -> Iterator[Figure]:
    """Fill a table of `rows` rows in a database of its own and yield the figures."""
    python = _reladiff(folder) if peers else None
    with running() as server:
        for table in LAST:
            _fill(server, table, rows)
        yield from _figures(server, rows, python)


def _fill(server: Server, table: str, rows: int) -> None:
    columns = {**COLUMNS, LAST[table][0]: LAST[table][1:]}
    declared = ", ".join(f"{name} {kind}" for name, (kind, _) in columns.items())
    values = ", ".join(value for _, value in columns.values())
    server.sql(f"CREATE DATABASE {table}", dbname="postgres")
    server.sql(
        f"CREATE TABLE {table} ({declared})",
        f"INSERT INTO {table} SELECT {values} FROM generate_series(1::bigint, {rows}) i",
        f"VACUUM (FREEZE, ANALYZE) {table}",
        dbname=table,
    )


def _figures(server: Server, rows: int, python: str | None) -> Iterator[Figure]:
    with (
        closing(reader(server.conninfo.database("payment"), statement_timeout_s=TIMEOUT_S)) as plain,
        closing(reader(server.conninfo.database("payment_json"), statement_timeout_s=TIMEOUT_S)) as json_too,
    ):
        actions = {
            "count": lambda: timed_ms(lambda: plain.execute("SELECT count(*) FROM public.payment").fetchone()),
            "exact": lambda: _fingerprint(server, "payment", "exact", rows),
            "semantic": lambda: _fingerprint(server, "payment", "semantic", rows),
            "count json": lambda: timed_ms(
                lambda: json_too.execute("SELECT count(*) FROM public.payment_json").fetchone()
            ),
            "exact json": lambda: _fingerprint(server, "payment_json", "exact", rows),
            "dump": lambda: timed_ms(lambda: _dump(server)),
        }
        if python:
            actions["reladiff"] = lambda: _checksum(server, python, rows)
        for action in actions.values():
            action()  # what comes first pays for cold caches
        taken = interleaved(actions, ROUNDS)
    mixed = "bigint key, integer, numeric(12,2), text, timestamptz, boolean, double precision"
    data = f"{rows:,} rows of 7 columns: {mixed}. The fingerprint is the whole call, connections and catalog included."
    ours = ("fingerprint, exact", taken["exact"])
    semantic = ("fingerprint, semantic", taken["semantic"])
    count, dump = ("count(*)", taken["count"]), ("pg_dump | sha256sum", taken["dump"])
    yield figure("fingerprint / count(*)", ours, count, bound=6, note=f"{data} count(*) with the same settings.")
    yield figure("fingerprint / dump", ours, dump, bound=0.3, note=f"{data} pg_dump in the plain format.")
    if python:
        yield figure(
            "reladiff / fingerprint",
            ours,
            ("reladiff count_and_checksum", taken["reladiff"]),
            bound=3,
            note=f"{data} {RELADIFF[0]}, the whole table as one segment; connecting and its import are not counted.",
            faster=True,
        )
    yield figure("semantic fingerprint / count(*)", semantic, count, bound=6, note=data)
    yield figure("semantic fingerprint / dump", semantic, dump, bound=0.3, note=data)
    yield figure(
        "fingerprint with jsonb / count(*)",
        ("fingerprint, exact", taken["exact json"]),
        ("count(*)", taken["count json"]),
        bound=None,
        note="The same table with jsonb instead of double precision: its text is built for every row.",
    )


def _fingerprint(server: Server, dbname: str, mode: fingerprint.Mode, rows: int) -> float:
    found = fingerprint.take(server.conninfo.database(dbname), mode=mode)
    [table] = found.tables
    if (table.rows, len(table.columns)) != (rows, 7):
        raise SystemExit(f"the fingerprint saw {table.rows} rows of {len(table.columns)} columns")
    return found.duration_ms


def _dump(server: Server) -> None:
    pg_dump = server.disposable.tool("pg_dump")[0]
    server.command(["bash", "-c", 'set -o pipefail; "$0" --table=payment | sha256sum', pg_dump], dbname="payment")


def _checksum(server: Server, python: str, rows: int) -> float:
    argv = [python, str(Path(__file__).parent / "reladiff_checksum.py"), *COLUMNS, LAST["payment"][0]]
    said = json.loads(server.command(argv, dbname="payment").splitlines()[-1])
    if said["rows"] != rows:
        raise SystemExit(f"reladiff saw {said['rows']} rows")
    return float(said["milliseconds"])


def _reladiff(folder: Path) -> str:
    """An environment with reladiff alone, so that its dependencies never meet ours."""
    place = folder / "reladiff"
    argv = [sys.executable, "-m", "venv", str(place)]
    subprocess.run(argv, check=True, timeout=TIMEOUT_S)
    python = str(place / "bin" / "python")
    argv = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *RELADIFF]
    subprocess.run(argv, check=True, timeout=TIMEOUT_S, stdout=subprocess.DEVNULL)
    return python
