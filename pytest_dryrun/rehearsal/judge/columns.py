"""New columns and what their defaults cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_dryrun.migrations import History
from pytest_dryrun.model.scripts import Location
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.catalog import Catalog, CatalogObject
from pytest_dryrun.rehearsal.judge.counting import count_rows, finding
from pytest_dryrun.rehearsal.judge.remedies.columns import new_column
from pytest_dryrun.rehearsal.judge.remedies.facts import Facts
from pytest_dryrun.rehearsal.judge.scene import Scene, is_history
from pytest_dryrun.sql.names import bare, parts
from pytest_dryrun.sql.places import words


@dataclass(frozen=True, slots=True)
class NewColumn:
    """A column that was not there before.

    `table` is its table's name now, `table_before` its name then, None for a new table.
    """

    table: str
    table_before: str | None
    column: CatalogObject

    @property
    def default(self) -> str | None:
        """The declared default, None where there is none or the value is computed or counted."""
        return self.column.attributes.get("default")


def new_columns(before: Catalog, after: Catalog, history: History = frozenset()) -> tuple[NewColumn, ...]:
    """The columns that came, of old and new tables but those of a tool's `history`.

    `after` is the same database or a copy made from a template.
    """
    tables = {item.oid: item.identity for item in before.of_kind("table")}
    known = {(item.oid, item.number) for item in before.of_kind("column")}
    ours = {item.identity for item in after.of_kind("table") if not is_history(item.identity, history)}
    return tuple(
        NewColumn(str(item.parent), tables.get(item.oid), item)
        for item in after.of_kind("column")
        if (item.oid, item.number) not in known and item.parent in ours
    )


def column_findings(scene: Scene) -> tuple[Finding, ...]:
    """`unsafe-default`: new columns whose default rewrites the table.

    Rows are counted in the template; in the copy it is seen whether a volatile default reached the rows that were
    there.
    """
    found = []
    for new in new_columns(scene.before, scene.after, scene.history):
        if new.table_before is None:
            continue
        name = bare(parts(new.column.identity)[-1])
        place = scene.find([bare(parts(new.table)[-1]), name], ["add", "alter"])
        counted = count_rows(scene.template, new.table_before)
        rows = counted[0] if isinstance(counted, tuple) else None
        volatile = volatile_functions(new.column)
        reached = count_rows(scene.copy, new.table, new.column.name)
        untouched = isinstance(reached, tuple) and reached[0] > 0 and reached[1] == 0
        if volatile and not untouched and _added_with_default(place):
            found.append(_volatile(Facts(scene.before, scene.after), new, rows, volatile, place))
    return tuple(found)


def _added_with_default(place: Location) -> bool:
    """Whether the statement that adds the column gives the default at once; where it is not known, it is taken to."""
    if not place.sql:
        return True
    found = list(words(place.sql))
    serial = {"default", "serial", "bigserial", "smallserial", "serial4", "serial8", "serial2"}
    return bool(serial & set(found)) or found[0] == "do"


def volatile_functions(column: CatalogObject) -> tuple[str, ...]:
    """The volatile functions that a column's default calls, as the server's parsed expression names them."""
    return tuple(column.details.get("volatile") or ())


def _volatile(facts: Facts, new: NewColumn, rows: int | None, functions: Sequence[str], place: Location) -> Finding:
    held = f"{rows:,} rows" if rows is not None else "rows that could not be counted"
    said = (
        f"Column {new.column.identity} gets a volatile default ({', '.join(functions)}), added {place}: all of "
        f"the table's {held} are "
    )
    said += "rewritten while nobody can read it."
    remedy = new_column(facts, new.column) if rows != 0 else None
    severity = Severity.WARNING if rows == 0 else Severity.BLOCKER
    evidence = {"column": new.column.name, "rows": rows, "default": new.default}
    return finding("unsafe-default", severity, said, place, new.table, evidence, remedy=remedy)
