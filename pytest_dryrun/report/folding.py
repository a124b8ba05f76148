"""What a page shows of very much: everything that matters, some of the rest, and how much more there is.

report.json holds it all. Each limit is about reading: nobody reads the 201st table that did not change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_dryrun.report import words

MOST_STATEMENTS = 200
MOST_TABLES = 200
MOST_CHANGED_TABLES = 400
MOST_FINDINGS_OF_A_RULE = 50
MOST_REASONS_OF_A_RULE = 10
MOST_ITEMS = 200
LONGEST_SQL, LONGEST_SQL_OF_MANY, MANY = 6000, 800, 40

Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown of a list, and in words what is not; empty where it is shown whole."""

    items: Sequence[Any]
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration's statements on the copy: those that are shown, and the figures of all of them."""

    name: str
    statements: Shown
    count: int
    duration_ms: float
    read_stall_ms: float
    write_stall_ms: float


def some(items: Sequence[Any], most: int = MOST_ITEMS) -> Shown:
    """The first ones of a list."""
    hidden = len(items) - most
    return Shown(items) if hidden <= 0 else Shown(items[:most], (f"and {hidden:,} more in report.json",))


def findings(items: Iterable[Item], most: int = MOST_FINDINGS_OF_A_RULE) -> Shown:
    """The first findings of each rule and severity."""
    met: Counter[tuple[str, str]] = Counter()
    shown = []
    for item in items:
        kind = (item["rule"], item["severity"])
        met[kind] += 1
        if met[kind] <= most:
            shown.append(item)
    more = [(rule, severity, number - most) for (rule, severity), number in met.items() if number > most]
    return Shown(shown, tuple(f"and {n:,} more {severity} {rule} in report.json" for rule, severity, n in more))


def tables(items: Sequence[Item]) -> Shown:
    """Every table that changed or is not verified, the worst first where there are too many, and some of the others."""
    moved = [item for item in items if item["change"] != "none" or item["not_verified"] or item["columns_changed"]]
    kept = moved
    if len(moved) > MOST_CHANGED_TABLES:
        tones = ("bad", "warn", "quiet")
        kept = sorted(moved, key=lambda item: tones.index(words.change(item["change"]).tone))[:MOST_CHANGED_TABLES]
    marked = {id(item) for item in moved}
    rest = [item for item in items if id(item) not in marked]
    room = max(MOST_TABLES - len(kept), 0)
    wanted = {id(item) for item in [*kept, *rest[:room]]}
    more = [(len(moved) - len(kept), "changed"), (len(rest) - len(rest[:room]), "did not change")]
    return Shown(
        [item for item in items if id(item) in wanted],
        tuple(f"and {number:,} more that {what}, in report.json" for number, what in more if number > 0),
    )


def by_migration(statements: Sequence[Item]) -> list[Migration]:
    """The statements of each migration: those with an effect on others before those without, in their order."""
    heavy = [item for item in statements if _weighs(item)]
    rest = [item for item in statements if not _weighs(item)]
    wanted = {id(item) for item in [*heavy, *rest][:MOST_STATEMENTS]}
    groups: dict[str, list[Item]] = {}
    for item in statements:
        groups.setdefault(item["migration"], []).append(item)
    return [_migration(name, items, wanted) for name, items in groups.items()]


def _weighs(item: Item) -> bool:
    return bool(item["dropped"] or item["rewrites"] or item["read_stall_ms"] or item["write_stall_ms"])


def _migration(name: str, items: Sequence[Item], wanted: set[int]) -> Migration:
    shown = [item for item in items if id(item) in wanted]
    left_out = [item for item in items if id(item) not in wanted]
    light = "" if any(map(_weighs, left_out)) else " that dropped, rewrote and blocked nothing"
    more = (f"and {sum(item['count'] for item in left_out):,} more{light}, in report.json",) if left_out else ()
    return Migration(
        name,
        Shown(shown, more),
        sum(item["count"] for item in items),
        sum(item["duration_ms"] for item in items),
        max(item["read_stall_ms"] for item in items),
        max(item["write_stall_ms"] for item in items),
    )


def longest_sql(migrations: Sequence[Migration]) -> int:
    """How much of a statement is shown: less where many are."""
    return LONGEST_SQL_OF_MANY if sum(len(one.statements.items) for one in migrations) > MANY else LONGEST_SQL
