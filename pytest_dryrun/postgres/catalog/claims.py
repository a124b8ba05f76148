"""Who judges which difference between two system catalogs: the list in claims.tsv, and looking a difference up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from pytest_dryrun.postgres.catalog.rows import Event

WHOLE_ROW = "*"
# Nothing is reported for what these claim: bookkeeping, the planner's figures, and what is compared as data.
SILENT = frozenset({"internal", "statistics", "rows"})
# What the ledger itself does about a difference; any other judge is a rule.
JUDGES = SILENT | {"key", "difference", "definition", "privileges", "triggers", "settings", "ledger", "note"}

Sort = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Claim:
    """One line of the list.

    `sort` are conditions that a row must meet, all of them; `listed` the by-name catalog's attributes that show it.
    """

    catalog: str
    column: str
    first: int
    last: int
    event: Event
    sort: tuple[str, ...]
    judge: str
    listed: frozenset[str]
    secret: bool
    words: str

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules by which a judge of its own reports; none where the ledger reports."""
        return () if self.judge in JUDGES else (self.judge,)

    def holds_for(self, sort: Sort) -> bool:
        """Whether a row of this sort meets every condition."""
        return all(_meets(condition, sort) for condition in self.sort)


def _meets(condition: str, sort: Sort) -> bool:
    if condition.startswith("!"):
        return not _meets(condition[1:], sort)
    name, given, values = condition.partition("=")
    return sort.get(name, "") in values.split("|") if given else name in sort


@dataclass(frozen=True, slots=True)
class Claims:
    """The whole list, indexed by what is looked up."""

    lines: tuple[Claim, ...]
    _about: Mapping[tuple[str, str, Event], tuple[Claim, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        about: dict[tuple[str, str, Event], list[Claim]] = defaultdict(list)
        for line in self.lines:
            about[line.catalog, line.column, line.event].append(line)
        object.__setattr__(self, "_about", {key: tuple(lines) for key, lines in about.items()})

    def about(self, catalog: str, column: str, event: Event) -> tuple[Claim, ...]:
        """Every line about one column and event, whatever the sort of row."""
        return self._about.get((catalog, column, event), ())

    def claim(self, catalog: str, column: str, event: Event, sort: Sort) -> Claim | None:
        """The one line that claims a difference; None where no line does, or more than one."""
        found = [line for line in self.about(catalog, column, event) if line.holds_for(sort)]
        return found[0] if len(found) == 1 else None

    def left_out(self) -> Mapping[str, frozenset[str]]:
        """The columns, by catalog, that need not be compared: no difference in them is ever reported."""
        silent: dict[str, set[str]] = defaultdict(set)
        for (catalog, column, event), lines in self._about.items():
            if event is Event.CHANGED and all(line.judge in SILENT for line in lines):
                silent[catalog].add(column)
        for catalog, columns in silent.items():
            rows = [line for event in (Event.ADDED, Event.REMOVED) for line in self.about(catalog, WHOLE_ROW, event)]
            if rows and all(line.judge in SILENT for line in rows):
                columns |= {line.column for line in self.lines if line.catalog == catalog and line.judge == "key"}
        return {catalog: frozenset(columns) for catalog, columns in silent.items()}


@cache
def claims() -> Claims:
    """The list that is shipped."""
    return parsed(files(__package__).joinpath("claims.tsv").read_text(encoding="utf-8"))


def parsed(text: str) -> Claims:
    """Read the list from its text; a line that cannot be read is an error, for it would claim nothing."""
    lines = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return Claims(tuple(_claim(*line) for line in lines[1:]))


def _claim(
    catalog: str, column: str, versions: str, event: str, sort: str, judge: str, listed: str, shown: str, words: str
) -> Claim:
    first, _, last = versions.partition("-")
    return Claim(
        catalog,
        column,
        int(first or 0),
        int(last or 10**6),
        Event(event),
        tuple(filter(None, sort.split(","))),
        judge,
        frozenset(filter(None, listed.split("|"))),
        secret=shown == "never",
        words=words,
    )
