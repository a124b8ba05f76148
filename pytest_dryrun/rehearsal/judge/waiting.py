"""How long others were kept waiting, and whether that grows with the table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pytest_dryrun.model.scripts import Location
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.rehearsal.judge.yardstick import BIG_TABLE_ROWS, TELLING_ROWS, Yardstick, milliseconds
from pytest_dryrun.rehearsal.observe.observation import Observed

# A note names no more tables than these.
FEW = 3
STALL = "Split the migration so that no long work happens between taking this lock and the commit."
WORK = "The statement itself takes so long: its finding in safe-defaults or indexes-do-not-block prints what to write."
# Statements that hold no more than they hold at once, however large the tables are.
_CONSTANT_TIME = frozenset(
    {
        "SET",
        "RESET",
        "SHOW",
        "BEGIN",
        "START",
        "COMMIT",
        "END",
        "ROLLBACK",
        "SAVEPOINT",
        "RELEASE",
        "LOCK",
        "COMMENT",
        "GRANT",
        "REVOKE",
    }
)


def reads_all(bench: Yardstick, table: str, rows: int) -> bool:
    """Whether so many rows are half of the table, or very many at scale."""
    return rows * 2 >= bench.tables[table][0] or (rows >= TELLING_ROWS and rows * bench.scale >= BIG_TABLE_ROWS)


def blocked(bench: Yardstick, where: Location, one: Observed, *, grows: bool) -> Iterator[Finding]:
    """Tell how long readers and writers were kept waiting by a statement, and would be at scale where that `grows`."""
    for stall in one.stalls:
        for rule, who, ms, limit_ms in (
            ("reads-blocked", "readers", stall.read_ms, bench.max_read_ms),
            ("writes-blocked", "writers", stall.write_ms, bench.max_write_ms),
        ):
            if ms <= 0:
                continue
            scaled_ms = ms * bench.scale if grows else ms
            severity = Severity.INFO
            if scaled_ms > limit_ms / 2:
                severity = Severity.BLOCKER if scaled_ms > limit_ms else Severity.WARNING
            remedy = "" if severity is Severity.INFO else f" {WORK if _works(bench, one) else STALL}"
            at_scale = (
                f"about {milliseconds(scaled_ms)} at scale {bench.scale:g}" if grows else "whatever the table's size"
            )
            yield Finding(
                rule,
                severity,
                f"{where.head}: {who} of {stall.table} were kept waiting {milliseconds(ms)} on the copy, {at_scale}; "
                f"the limit is {milliseconds(limit_ms)}.{remedy}",
                migration=where.migration,
                line=where.line,
                table=stall.table,
                evidence={
                    "table": stall.table,
                    "ms": round(ms, 1),
                    "scaled_ms": round(scaled_ms, 1),
                    "limit_ms": limit_ms,
                },
            )


def _works(bench: Yardstick, one: Observed) -> bool:
    """Whether the statement rewrote, read or indexed a table that held rows: a finding of its own says so."""
    rewritten = {rewrite.relation for rewrite in one.rewrites} | set(one.rebuilt.values())
    for command in one.commands:
        rewritten |= {rewrite.relation for rewrite in command.rewrites}
        rewritten |= set(command.indexed.values()) | set(command.read)
    return any(bench.holds_rows(table) for table in rewritten)


def growing(bench: Yardstick, placed: Sequence[Observed]) -> list[bool]:
    """Tell of each statement whether anything that ran from there to the commit takes longer on a larger table."""
    found: list[bool] = []
    following: Observed | None = None
    for one in reversed(placed):
        same = following is not None and following.transaction == one.transaction
        found.append(_takes_longer(bench, one) or (same and found[-1]))
        following = one
    return found[::-1]


def _takes_longer(bench: Yardstick, one: Observed) -> bool:
    """Tell whether this statement takes longer on a larger table; one that nobody looked at does."""
    if one.rewrites or one.rebuilt or any(command.read or command.indexed for command in one.commands):
        return True
    if any(reads_all(bench, table, rows) for table, rows in one.read.items() if bench.holds_rows(table)):
        return True
    if one.looked or one.commands:
        return False
    verb = (one.run.sql[:200].split() or [""])[0].upper().rstrip(";")
    return verb not in _CONSTANT_TIME


def too_small(bench: Yardstick, findings: Iterable[Finding]) -> tuple[str, ...]:
    """Say which tables of these findings are too small on the copy to tell anything about time."""
    small = dict.fromkeys(
        finding.table
        for finding in findings
        if finding.table and finding.table in bench.tables and bench.grown(finding.table) < TELLING_ROWS
    )
    if not small:
        return ()
    named = [bench.size(table) for table in small if table is not None]
    left = len(named) - FEW
    more = f" and {left} more table{'s' * (left > 1)}" if left > 0 else ""
    are = "is" if len(named) == 1 else "are"
    said = f"{', '.join(named[:FEW])}{more} {are} too small on the copy to tell how long production would wait"
    return (f"{said} (scale {bench.scale:g}).",)
