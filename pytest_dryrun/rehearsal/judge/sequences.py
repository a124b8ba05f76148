"""Sequences whose next numbers are taken, or that have none left, and that were sound before the migrations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pytest_dryrun.model.scripts import Location, Migration
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.rehearsal.judge.counting import finding
from pytest_dryrun.rehearsal.judge.positions import Feed, Position, Positions
from pytest_dryrun.sql.names import bare, last, parts, quoted
from pytest_dryrun.sql.places import find

# So many numbers before the first one that is taken are time enough to notice.
_FAR = 1000
# A range as wide as an integer is not gone round soon.
_WIDE = 2**31 - 1


def set_back(before: Positions, after: Positions, migrations: Sequence[Migration] = ()) -> tuple[Finding, ...]:
    """`sequence-reset`: a blocker where an INSERT will meet a number that is taken, or get none.

    Sequences are followed by oid, and columns to what feeds them now. What is gone is the catalog's business.
    """
    return tuple(
        _finding(now, worst, migrations)
        for now in sorted(after.sequences.values(), key=lambda item: item.name)
        if (worst := next(_wrong(before, now), None))  # one sequence, one finding
    )


class Wrong(NamedTuple):
    """What is wrong with a sequence; `repeats` where it hands out the same numbers again for its CYCLE."""

    severity: Severity
    said: str
    evidence: dict[str, object]
    repeats: bool = False


def _wrong(before: Positions, now: Position) -> Iterator[Wrong]:
    old = before.find(now)
    lasting = old is not None or any(_existed(before, feed) for feed in now.feeds)
    if now.exhausted and lasting and not (old is not None and old.exhausted):
        said = f"has no number left: the next one is {now.next:,}, and {now.exhausted}"
        yield Wrong(Severity.BLOCKER, said, {})
    fed = [one for feed in now.feeds for one in _behind(before, old, now, feed)]
    yield from sorted(fed, key=lambda one: one.severity is not Severity.BLOCKER)
    if now.cycles and old is not None and (not old.cycles or old.size != now.size) and now.size < _WIDE:
        yield _cycling(now)
    if old is not None and _short(old, now):
        yield _set_back(old, now)


def _existed(before: Positions, feed: Feed) -> bool:
    return feed.oid in before.tables or feed.table in before.tables.values()


def _behind(before: Positions, old: Position | None, now: Position, feed: Feed) -> Iterator[Wrong]:
    """It stands among the numbers of a column that it feeds, and nothing that fed this column did so before."""
    if not now.behind(feed) or any(item.behind(known) for item, known in before.feeding(feed)):
        return
    end = feed.highest if now.step > 0 else feed.lowest
    again = " (it begins again, for it has CYCLE)" if now.wraps else ""
    said = f"hands out {now.next:,} next{again}, and {feed.called} holds numbers up to {end:,} already"
    if now.step < 0:
        said = f"hands out {now.next:,} next and goes down, and {feed.called} holds numbers from {end:,} on"
    evidence: dict[str, object] = {"column": feed.column, "of": feed.table, "highest": end}
    unmoved = old is not None and (old.oid, old.last, old.step) == (now.oid, now.last, now.step)
    if not _existed(before, feed):
        text = f"{said}: rows were put in with numbers of their own"
        yield Wrong(Severity.WARNING, text, evidence, now.wraps)
    elif unmoved and not feed.unique:
        return
    elif unmoved and end is not None and abs(end - now.next) >= _FAR * abs(now.step):
        text = f"{said}: a row was put in with a number of its own, far ahead"
        yield Wrong(Severity.WARNING, text, evidence, now.wraps)
    else:
        yield Wrong(Severity.BLOCKER, said, evidence, now.wraps)


def _cycling(now: Position) -> Wrong:
    left = max((now.maximum - now.last) // now.step if now.step > 0 else (now.minimum - now.last) // now.step, 0)
    begin = now.minimum if now.step > 0 else now.maximum
    said = f"begins again at {begin:,} after {left:,} more numbers (CYCLE, {now.size:,} numbers in all)"
    taken = [feed for feed in now.feeds if feed.highest is not None or not feed.known]
    if taken:
        text = f"{said}, which {taken[0].called} holds already"
        return Wrong(Severity.BLOCKER, text, {"left": left}, repeats=True)
    text = f"{said}: what takes its numbers must bear the same one twice"
    return Wrong(Severity.WARNING, text, {"left": left}, repeats=True)


def _short(old: Position, now: Position) -> bool:
    """Whether it stands short of where it stood, or goes the other way."""
    if (old.step > 0) != (now.step > 0):
        return True
    moved = (now.last - old.last) * (1 if old.step > 0 else -1)
    return old.used and (moved < 0 or (moved == 0 and not now.used))


def _set_back(old: Position, now: Position) -> Wrong:
    stands = f"at {now.last:,}" if now.used else f"at its beginning, {now.last:,}"
    said = f"stood at {old.last:,} and stands {stands} now"
    if (old.step > 0) != (now.step > 0):
        said += f", and goes {'up' if now.step > 0 else 'down'}"
    if now.feeds and all(feed.known for feed in now.feeds):
        text = f"{said}: numbers of rows that were deleted are handed out again"
        return Wrong(Severity.WARNING, text, {}, now.wraps)
    return Wrong(Severity.BLOCKER, f"{said}: it would hand out numbers that are taken", {}, now.wraps)


def _finding(now: Position, wrong: Wrong, migrations: Sequence[Migration]) -> Finding:
    named = bare(last(now.name))
    place = find(migrations, [named], ["setval", "restart", "sequence", "identity"])
    if place.line is None or named not in place.sql:
        place = _by_column(now, migrations) or place
    remedy = "Leave it alone, or set it forward: "
    feed = next(iter(now.feeds), None)
    column = f"(SELECT max({quoted(feed.column)}) FROM {feed.table})" if feed else "the highest number in use"
    remedy += f"SELECT setval('{now.name}', {column});" if feed else f"setval beyond {column}."
    if now.exhausted:
        remedy = "Give it a wider range, and the column a wider type, before it comes to its end."
    elif wrong.repeats:
        remedy = "Leave it NO CYCLE, with a range that is wide enough."
    evidence = {"sequence": now.name, "position": now.last, "next": now.next, **wrong.evidence}
    text = f"Sequence {now.name} {wrong.said}, changed {place}. {remedy}"
    cascaded = named not in place.sql and any(bare(last(feed.table)) in place.sql for feed in now.feeds)
    severity, about = wrong.severity, now.name
    return finding("sequence-reset", severity, text, place, now.name, evidence, about=about, cascaded=cascaded)


def _by_column(now: Position, migrations: Sequence[Migration]) -> Location | None:
    """The statement that names the column it feeds: an identity's sequence is named nowhere."""
    for feed in now.feeds:
        place = find(
            migrations, [bare(parts(feed.table)[-1]), feed.column], ["identity", "default", "restart", "insert"]
        )
        if place.line is not None:
            return place
    return None
