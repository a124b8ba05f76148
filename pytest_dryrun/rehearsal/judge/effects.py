"""What became of rows, table by table, as losses that can be excused one by one; on a copy and on the target alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_dryrun.model.values import Change, ChangedValue, TableComparison


@dataclass(frozen=True, slots=True)
class Effect:
    """One loss: `rule` and `table` tell it from the others of a run, together with `about`, a column or a table.

    `what` is a sentence without its full stop.
    """

    rule: str
    table: str
    what: str
    comparison: TableComparison
    about: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)


def effects(tables: Sequence[TableComparison]) -> Iterator[Effect]:
    """Every loss of rows and values. Parts of a partitioned table speak where they were dropped."""
    for item in tables:
        if item.part_of is None:
            yield from _effects(item, [part for part in tables if part.part_of == item.table])


def _effects(item: TableComparison, parts: Sequence[TableComparison]) -> Iterator[Effect]:
    if item.change is Change.DROPPED:
        if item.rows_before:
            yield Effect("table-dropped", item.table, f"{item.table} is gone with its {item.rows_before:,} rows", item)
        return
    if item.change is Change.CREATED:
        return
    dropped = [part for part in parts if part.change is Change.DROPPED and part.rows_before]
    if explained(item, dropped):
        for part in dropped:
            what = f"{part.table}, a partition of {item.table}, is gone with its {part.rows_before:,} rows"
            yield Effect("table-dropped", part.table, what, part)
    else:
        yield from _rows_lost(item)
    if item.columns_changed or item.change is Change.CONTENT_CHANGED:
        yield _content_changed(item)
    if item.columns_gone:
        held = ", ".join(f"{column} ({values:,} values)" for column, values in item.columns_gone.items())
        what = f"The table that stands under the name {item.table} now lacks columns that were there: {held}"
        evidence = {"columns": dict(item.columns_gone), "non_null": sum(item.columns_gone.values())}
        yield Effect("column-dropped", item.table, what, item, "", evidence)
    for reason in item.not_verified:
        what = f"Whether the values of {item.table} stayed as they were could not be verified: {reason}"
        yield Effect("not-verified", item.table, what, item, reason, {"reason": reason})
    # A part that stands alone now was compared for itself.
    for part in parts:
        for reason in part.not_verified:
            what = f"Whether the values of {part.table} stayed as they were could not be verified: {reason}"
            yield Effect("not-verified", part.table, what, part, reason, {"reason": reason})


def explained(item: TableComparison, dropped: Sequence[TableComparison]) -> bool:
    """Whether the rows that a partitioned table lost are those of its dropped partitions, no more and no fewer.

    Where rows were deleted besides, equal numbers may be chance.
    """
    return bool(dropped) and not item.deleted and lost(item) == sum(part.rows_before or 0 for part in dropped)


def lost(item: TableComparison) -> int:
    """How many rows a comparison found lost, kept elsewhere or not."""
    if item.change is not Change.ROWS_LOST:
        return 0
    return item.rows_lost or max((item.rows_before or 0) - (item.rows_after or 0), 0)


def _rows_lost(item: TableComparison) -> Iterator[Effect]:
    if item.change is not Change.ROWS_LOST:
        return
    before, after = item.rows_before or 0, item.rows_after or 0
    many = lost(item)
    # Which keys went which way is not known.
    alone = len(item.moved) + (many > sum(item.moved.values())) == 1
    keys = item.keys if alone else ()
    for other, held in item.moved.items():
        rows = min(held, many)  # some may have been written back
        if not rows:
            continue
        what = (
            f"{rows:,} of {before:,} rows are no longer read through {item.table}{some(keys)}: "
            f"they are kept in {other}, which stands beside it now"
        )
        evidence = {
            "rows_before": before,
            "rows_after": after,
            "rows_lost": rows,
            "kept_in": other,
            "keys": list(keys),
        }
        yield Effect("rows-lost", item.table, what, item, other, evidence)
        many -= rows
    if item.moved and many <= 0:
        return
    counted = f"{many:,} of {before:,} rows" if many else f"Some of {before:,} rows"
    under = ", under whose name another table stands now," if item.replaced else ""
    what = f"{counted} of {item.table}{under} are gone{some(keys)}, {after:,} are there afterwards"
    if item.rekeyed:
        few = ", ".join(f"{old} became {new}" for old, new in list(item.rekeyed.items())[:3])
        what = f"The keys of {counted} of {item.table} changed (for example {few}); all their other values are there"
    evidence = {"rows_before": before, "rows_after": after, "rows_lost": many or None, "keys": list(keys)}
    yield Effect("rows-lost", item.table, what, item, "", {**evidence, **_writes(item)})


def _content_changed(item: TableComparison) -> Effect:
    columns = list(item.columns_changed)
    if item.values_changed:
        values = " and ".join(f"{count:,} of {column}" for column, count in item.values_changed.items())
        rows = f" in {item.rows_changed:,} of {item.rows_before:,} rows" if item.rows_changed else ""
        what = f"Existing values in {item.table} are not what they were: {values}{rows}"
    else:
        named = f" of {', '.join(columns)}" if columns else ""
        rows = f" in {item.rows_changed:,} rows" if item.rows_changed else ""
        what = f"Existing values{named} in {item.table} are not what they were{rows}"
    shown = "; ".join(
        f"{sample.key}: {sample.column} {_value(sample.before)} became {_value(sample.after)}"
        for sample in item.samples[:3]
    )
    lost_too = item.change is Change.ROWS_LOST
    what += f" (for example {shown})" if shown else "" if lost_too else some(item.keys)
    if item.replaced:
        what += "; another table stands under its name now"
    evidence = {
        "columns": columns,
        "rows": item.rows_changed,
        "values": dict(item.values_changed),
        "keys": list(dict.fromkeys(sample.key for sample in item.samples)) if lost_too else list(item.keys),
        "samples": [_sample(sample) for sample in item.samples],
    }
    return Effect("content-changed", item.table, what, item, "", {**evidence, **_writes(item)})


def _sample(sample: ChangedValue) -> dict[str, str | None]:
    return {"key": sample.key, "column": sample.column, "before": sample.before, "after": sample.after}


def _value(text: str | None) -> str:
    return "NULL" if text is None else f"'{text}'"


def _writes(item: TableComparison) -> dict[str, Any]:
    """What the server counted: writes, of which one row may have taken several."""
    counted = {"inserted": item.inserted, "updated": item.updated, "deleted": item.deleted}
    return {"writes": counted} if any(value is not None for value in counted.values()) else {}


def some(keys: Sequence[str]) -> str:
    """A few keys in brackets."""
    return f" (for example {', '.join(keys[:3])})" if keys else ""
