"""What became of every table and of the schema, between two databases that ought to be equal or nearly so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pytest_dryrun.model.values import ChangedValue, Finding, Severity, TableComparison
from pytest_dryrun.postgres import fingerprint
from pytest_dryrun.postgres.catalog import Catalog
from pytest_dryrun.postgres.catalog.difference import difference
from pytest_dryrun.postgres.connection import Conninfo
from pytest_dryrun.postgres.fingerprint import comparison
from pytest_dryrun.postgres.fingerprint.keeping import kept
from pytest_dryrun.postgres.fingerprint.proof import proof

WORKERS = 2
SHOWN_CHARACTERS = 60


def compare_tables(
    before: fingerprint.Fingerprint,
    before_conninfo: Conninfo,
    after_conninfo: Conninfo,
    *,
    copied: bool = False,
    redact: Callable[[str], str] = str,
) -> tuple[TableComparison, ...]:
    """What became of every table; `before` are exact figures of the rows in `before_conninfo`.

    Where a table's exact figures stayed what they were, that settles it, and the side before need not be read again.
    `copied` promises that the database after began as a copy of the one whose figures these are, made since; then the
    tables of extensions are compared too. `redact` takes the run's secrets out of values before these are shortened.
    Raises TargetUnusable where `before_conninfo` no longer holds the rows that were counted there.
    """
    same = kept(after_conninfo, before, copied=copied, workers=WORKERS)
    found = comparison.compare(before, before_conninfo, after_conninfo, settled=same, members=copied, workers=WORKERS)
    return tuple(replace(item, samples=tuple(_shown(value, redact) for value in item.samples)) for item in found)


def _shown(value: ChangedValue, redact: Callable[[str], str]) -> ChangedValue:
    """A value without secrets, then shortened: half of a secret would not be known for one."""
    before, after = (None if text is None else redact(text) for text in (value.before, value.after))
    texts = [None if text is None else _short(text) for text in (before, after)]
    if before is not None and after is not None and before != after and texts[0] == texts[1]:
        pairs = enumerate(zip(before, after, strict=False))
        place = next((number for number, (old, new) in pairs if old != new), min(len(before), len(after)))
        texts = [_around(text, place) for text in (before, after)]
    return ChangedValue(redact(value.key), value.column, *texts)


def _around(text: str, place: int) -> str:
    """A piece of a text around where it differs from another that looks the same when shortened; spaces stay."""
    first = max(0, place - SHOWN_CHARACTERS // 2)
    piece = text[first : first + SHOWN_CHARACTERS]
    spelled = piece.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    return f"{'...' if first else ''}{spelled}{'...' if first + SHOWN_CHARACTERS < len(text) else ''}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARACTERS else line[:SHOWN_CHARACTERS] + "..."


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
