"""Whether a restored database holds what the original held: every table, every row, every value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from pytest_dryrun.postgres.fingerprint import Fingerprint, SequenceState, TableFingerprint


class Kind(StrEnum):
    """What differs. `excluded` alone is no difference: a dump does not carry these rows; it is listed to be seen."""

    MISSING = "missing"
    EXTRA = "extra"
    ROWS = "rows"
    COLUMNS = "columns"
    CONTENT = "content"
    SEQUENCE = "sequence"
    NOT_VERIFIED = "not-verified"
    EXCLUDED = "excluded"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that keeps two databases from being proved equal, said in words; `table` is its quoted name."""

    table: str
    kind: Kind
    message: str
    columns: tuple[str, ...] = ()

    @property
    def disproves(self) -> bool:
        """Whether equality is not proved because of it."""
        return self.kind is not Kind.EXCLUDED


def proof(before: Fingerprint, after: Fingerprint) -> tuple[Difference, ...]:
    """Compare by name, exactly; the restore is proved where nothing in the answer `disproves` it.

    Sequences may stand further than before, never short of it: pg_dump reads them outside the snapshot.
    """
    if before.mode != after.mode:
        raise ValueError("two fingerprints of different modes say nothing about each other")
    return (*_not_verified(before, after), *_tables(before, after), *_sequences(before, after))


def _not_verified(before: Fingerprint, after: Fingerprint) -> Iterator[Difference]:
    seen = set()
    for side, fingerprint in (("original", before), ("restored", after)):
        for item in fingerprint.not_verified:
            kind = Kind.EXCLUDED if item.expected else Kind.NOT_VERIFIED
            if (item.table, kind) not in seen:
                seen.add((item.table, kind))
                yield Difference(
                    item.table, kind, f"{item.table} was not verified in the {side} database: {item.reason}."
                )


def _tables(before: Fingerprint, after: Fingerprint) -> Iterator[Difference]:
    old = {(table.schema, table.name): table for table in before.tables}
    new = {(table.schema, table.name): table for table in after.tables}
    for name, table in old.items():
        if name not in new:
            yield Difference(
                table.table, Kind.MISSING, f"{table.table} ({table.rows} rows) is missing from the restore."
            )
        else:
            yield from _table(table, new[name], _version_hint(before, after))
            yield from _leaves(table, new[name])
    for name, table in new.items():
        if name not in old:
            yield Difference(table.table, Kind.EXTRA, f"{table.table} ({table.rows} rows) is only in the restore.")


def _leaves(old: TableFingerprint, new: TableFingerprint) -> Iterator[Difference]:
    """Partitions that are missing or new. Rows may lie in others than before: a dump may load them through the root."""
    names = {(leaf.schema, leaf.name) for leaf in new.leaves}, {(leaf.schema, leaf.name) for leaf in old.leaves}
    for leaf in old.leaves:
        if (leaf.schema, leaf.name) not in names[0]:
            yield Difference(leaf.table, Kind.MISSING, f"{leaf.table}, a partition of {old.table}, is missing.")
    for leaf in new.leaves:
        if (leaf.schema, leaf.name) not in names[1]:
            yield Difference(
                leaf.table, Kind.EXTRA, f"{leaf.table}, a partition of {old.table}, is only in the restore."
            )


def _table(old: TableFingerprint, new: TableFingerprint, hint: str) -> Iterator[Difference]:
    names = sorted({*old.columns, *new.columns})
    reshaped = tuple(name for name in names if old.types.get(name) != new.types.get(name))
    if reshaped:
        message = f"{old.table}: columns {', '.join(reshaped)} are missing, new or of another type."
        yield Difference(old.table, Kind.COLUMNS, message, reshaped)
    if old.key != new.key:
        message = f"{old.table}: its rows are identified by ({', '.join(new.key)}), not by ({', '.join(old.key)})."
        yield Difference(old.table, Kind.COLUMNS, message, old.key)
    if old.rows != new.rows:
        # Every sum differs then; naming all columns would say nothing.
        yield Difference(old.table, Kind.ROWS, f"{old.table} has {new.rows} rows instead of {old.rows}.")
        return
    changed = tuple(name for name in names if old.columns.get(name) != new.columns.get(name) and name not in reshaped)
    if changed:
        message = f"{old.table}: the values of {', '.join(changed)} differ.{hint}"
        yield Difference(old.table, Kind.CONTENT, message, changed)
    elif old.row_sum != new.row_sum and not reshaped and old.key == new.key:
        message = f"{old.table}: the columns hold the same values, but in other rows.{hint}"
        yield Difference(old.table, Kind.CONTENT, message, tuple(names))


def _sequences(before: Fingerprint, after: Fingerprint) -> Iterator[Difference]:
    old = {(item.schema, item.name): item for item in before.sequences}
    new = {(item.schema, item.name): item for item in after.sequences}
    for name, item in old.items():
        if name not in new:
            yield Difference(item.sequence, Kind.MISSING, f"Sequence {item.sequence} is missing from the restore.")
        elif _falls_short(item, new[name]):
            other = new[name]
            message = (
                f"Sequence {item.sequence} stands at {_stand(other)} instead of {_stand(item)}: it would hand out "
                "numbers that are taken."
            )
            yield Difference(item.sequence, Kind.SEQUENCE, message)
    for name, item in new.items():
        if name not in old:
            yield Difference(item.sequence, Kind.EXTRA, f"Sequence {item.sequence} is only in the restore.")


def _falls_short(old: SequenceState, new: SequenceState) -> bool:
    direction = 1 if old.increment > 0 else -1
    ahead = (new.last_value - old.last_value) * direction
    return old.increment != new.increment or ahead < 0 or (ahead == 0 and old.is_called and not new.is_called)


def _stand(item: SequenceState) -> str:
    step = "" if item.increment == 1 else f" in steps of {item.increment}"
    return f"{item.last_value}{'' if item.is_called else ' (not used yet)'}{step}"


def _version_hint(before: Fingerprint, after: Fingerprint) -> str:
    majors = before.version_num // 10000, after.version_num // 10000
    if majors[0] == majors[1]:
        return ""
    return f" The servers are versions {majors[0]} and {majors[1]}, which may print or hash values otherwise."
