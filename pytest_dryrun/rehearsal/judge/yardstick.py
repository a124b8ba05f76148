"""What every rule on locks measures with: limits, scale, sizes, and how numbers are spoken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_dryrun.model.values import Severity
from pytest_dryrun.rehearsal.judge.remedies.choice import Remedies
from pytest_dryrun.rehearsal.observe.observation import STOP_READERS

# From this many rows at production's scale on, an effect that grows with the table blocks, whatever the copy's clock
# said: the copy has warm caches, no fsync and nobody else on the machine.
BIG_TABLE_ROWS = 100_000
# Below this many rows at scale neither time nor row count of the copy tells anything about production.
TELLING_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What every rule measures with, and what it advises."""

    tables: Mapping[str, tuple[int, int]]
    scale: float
    max_read_ms: float
    max_write_ms: float
    remedies: Remedies

    def limit_ms(self, mode: str) -> float:
        """Tell how long a lock of this mode may last."""
        return min(self.max_read_ms, self.max_write_ms) if mode in STOP_READERS else self.max_write_ms

    def grown(self, table: str) -> float:
        """Estimate the rows production has."""
        return self.tables[table][0] * self.scale

    def severity(self, table: str, mode: str, ms: float | None) -> Severity:
        """Judge an effect that grows with the table."""
        too_long = ms is not None and ms * self.scale > self.limit_ms(mode)
        return Severity.BLOCKER if too_long or self.grown(table) >= BIG_TABLE_ROWS else Severity.WARNING

    def holds_rows(self, table: str) -> bool:
        """Tell whether the table existed before, with rows in it."""
        return self.tables.get(table, (0, 0))[0] > 0

    def measured(self, ms: float | None) -> str:
        """Say what was measured and what that means at scale."""
        if ms is None:
            return "It was not measured; this is what Postgres does with such a statement."
        return (
            f"Measured {milliseconds(ms)} on the copy, about {milliseconds(ms * self.scale)} at scale {self.scale:g}."
        )

    def size(self, table: str) -> str:
        """Name a table with its size on the copy."""
        rows, size_bytes = self.tables[table]
        return f"{table} ({rows:,} rows, {sizes(size_bytes)})"

    def evidence(self, table: str, ms: float | None, **more: object) -> dict[str, object]:
        """Collect the figures a program may read."""
        rows, size_bytes = self.tables[table]
        times = {} if ms is None else {"ms": round(ms, 1), "scaled_ms": round(ms * self.scale, 1)}
        return {"table": table, "rows": rows, "bytes": size_bytes, "scale": self.scale, **times, **more}


def those_waiting(mode: str) -> str:
    """Say who waits for a lock of this mode."""
    return "readers and writers" if mode in STOP_READERS else "writers"


def milliseconds(value: float) -> str:
    """Write a duration."""
    return f"{value:,.0f} ms" if value >= 10 else f"{value:.1f} ms"


def sizes(value: int) -> str:
    """Write a size in binary units."""
    size, unit = float(value), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
