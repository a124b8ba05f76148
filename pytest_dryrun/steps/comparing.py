"""What became of every table and of the schema, between two databases that ought to be equal or nearly so."""

from __future__ import annotations

from dataclasses import replace

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.model.values import Change, Finding, Severity, TableComparison
from pytest_dryrun.postgres import fingerprint
from pytest_dryrun.postgres.catalog import Catalog
from pytest_dryrun.postgres.catalog.difference import difference
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.postgres.fingerprint import comparison
from pytest_dryrun.postgres.fingerprint.proof import proof
from pytest_dryrun.postgres.fingerprint.shapes import Unverified

WORKERS = 2


def compare_tables(
    before: fingerprint.Fingerprint, before_conninfo: Conninfo, after_conninfo: Conninfo, *, copied: bool = False
) -> tuple[TableComparison, ...]:
    """What became of every table; `before` are exact figures of the rows in `before_conninfo`.

    Where a table's exact figures stayed what they were, that settles it, and the side before need not be read again.
    `copied` promises that the database after began as a copy of the one whose figures these are, made since.
    Raises TargetUnusable where `before_conninfo` no longer holds the rows that were counted there.
    """
    same = fingerprint.kept(after_conninfo, before, copied=copied, workers=WORKERS)
    settled = [table for table in before.tables if table.oid in same]
    # Known, so that they do not pass for created.
    known = [Unverified(table.oid, table.table, "settled by its figures", expected=True) for table in settled]
    rest = replace(
        before,
        tables=tuple(table for table in before.tables if table.oid not in same),
        not_verified=(*before.not_verified, *known),
    )
    unchanged = (
        TableComparison(
            table.table,
            table.rows,
            table.rows,
            Change.NONE,
            renamed_to=same[table.oid] if same[table.oid] != table.table else None,
        )
        for table in settled
    )
    found = comparison.compare(rest, before_conninfo, after_conninfo, workers=WORKERS)
    counted = {table.table: table.rows for table in rest.tables}
    for item in found:
        if item.table in counted and item.rows_before != counted[item.table]:
            raise TargetUnusable(
                f"The copy of {item.table} holds {item.rows_before} rows; {counted[item.table]} were counted in it"
                " before.",
                "Somebody changed the copy since it was proved, so what became of the table's rows is not known.",
                "Leave the disposable server alone and run again.",
            )
    return tuple(sorted((*found, *unchanged), key=lambda item: item.table))


def row_differences(expected: fingerprint.Fingerprint, found: fingerprint.Fingerprint) -> list[Finding]:
    """Everything that keeps two databases from being proved equal; what a dump never carries is only told."""
    return [
        Finding(
            "restore-differs",
            Severity.BLOCKER if item.disproves else Severity.INFO,
            item.message,
            table=item.table,
            evidence={"kind": item.kind.value, "columns": list(item.columns)},
        )
        for item in proof(expected, found)
    ]


def schema_findings(
    expected: Catalog, found: Catalog, *, what: str = "The restored schema differs"
) -> tuple[Finding, ...]:
    """Every object that differs between two schemas that ought to be equal."""
    return tuple(
        Finding(
            "drift",
            Severity.BLOCKER,
            f"{what}: {change.kind} {change.identity} {change.action.value}",
            evidence={"sql": change.sql},
        )
        for change in difference(expected, found, follow_oids=False)
    )
