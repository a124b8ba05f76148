"""Applying on a copy while it is watched: by the recorder from inside, by probes from outside."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from pytest_dryrun.migrations import Deployment, Migrations
from pytest_dryrun.model.errors import MigrationFailed, TargetUnusable
from pytest_dryrun.model.scripts import Migration
from pytest_dryrun.postgres import outside
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.rehearsal.observe import stalls
from pytest_dryrun.rehearsal.observe.attribution import attribute
from pytest_dryrun.rehearsal.observe.observation import Observed
from pytest_dryrun.rehearsal.observe.recorder import Recorder
from pytest_dryrun.rehearsal.observe.row_locks import attribute_rows
from pytest_dryrun.rehearsal.observe.row_waits import RowProbes


@dataclass(frozen=True, slots=True)
class Watched:
    """One apply on the copy as the recorder and the probes saw it."""

    deployment: Deployment | None
    error: MigrationFailed | None
    duration_ms: float
    observed: tuple[Observed, ...]
    longest: Mapping[str, tuple[float, float]]
    notes: tuple[str, ...]
    trouble: tuple[str, ...]


def watch(
    copy: Conninfo, applying: Conninfo, migrations: Migrations, tables: Sequence[str], *, timeout_s: float
) -> Watched:
    """Deploy what is pending to the copy; that it fails is part of what was seen. `tables` are probed for stalls."""
    deployment, error = None, None
    with Recorder(copy) as recorder:
        recorder.install()
        with stalls.StallProbes(copy, tables, time_limit_s=timeout_s) as probes, RowProbes(copy, tables) as row_probes:
            began = time.perf_counter()
            try:
                deployment = migrations.deploy(applying, timeout_s=timeout_s, observer=recorder)
            except MigrationFailed as failure:
                error = failure
            duration_ms = (time.perf_counter() - began) * 1000
            for each in (row_probes, probes):
                _stopped(each, failed=error is not None)
        recorder.remove()
        observed = attribute_rows(attribute(recorder.observed(), probes.waits()), row_probes.waits())
        trouble = recorder.trouble
    notes = []
    if probes.left_out:
        notes.append(
            f"{len(probes.left_out)} tables were not probed for stalls; the {len(probes.tables)} likeliest were."
        )
    if deployment is not None:
        notes += deployment.warnings
    return Watched(deployment, error, duration_ms, observed, probes.longest(), tuple(notes), trouble)


def _stopped(probes: stalls.StallProbes | RowProbes, *, failed: bool) -> None:
    """End the probes; that they broke down says nothing more where the migration failed, and may be its doing."""
    try:
        probes.stop()
    except TargetUnusable:
        if not failed:
            raise


def table_sizes(connection: psycopg.Connection[Any]) -> dict[str, tuple[int, int]]:
    """Rows (as ANALYZE counted them) and bytes of every table and materialized view outside the system's schemas."""
    rows = connection.execute(
        "SELECT format('%I.%I', n.nspname, c.relname), greatest(c.reltuples, 0)::bigint, pg_table_size(c.oid)"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'm')"
        " AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pytest_dryrun')"
        " AND n.nspname !~ '^pg_(toast|temp)'"
    ).fetchall()
    return {name: (int(count), int(size)) for name, count, size in rows}


def probeable(sizes: Mapping[str, tuple[int, int]], connection: psycopg.Connection[Any]) -> dict[str, tuple[int, int]]:
    """Those of these tables that can be read without asking another server."""
    fed = outside.fed_from_outside(connection)
    return {name: size for name, size in sizes.items() if name not in fed}


def touched_first(sizes: Mapping[str, tuple[int, int]], pending: Sequence[Migration]) -> list[str]:
    """Every table, those that the pending files mention first, then the biggest."""
    text = "\n".join(migration.sql for migration in pending)
    return sorted(sizes, key=lambda name: (name.rpartition(".")[2].strip('"') not in text, -sizes[name][1]))
