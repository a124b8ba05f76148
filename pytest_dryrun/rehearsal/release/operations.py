"""What an application does to one row, as SQL of yesterday: columns by name, values in the types of yesterday."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_dryrun.rehearsal.release.relations import DELETE, INSERT, UPDATE, Column, Relation
from pytest_dryrun.rehearsal.release.roles import User
from pytest_dryrun.sql.names import literal, quoted

Row = Mapping[str, str | None]

READS, WRITES = "SELECT", ("INSERT", "UPDATE", "DELETE")


@dataclass(frozen=True, slots=True)
class Operation:
    """One statement of the release: what runs, and what people are shown, without values.

    `verb` is its kind, `what` the same in words; `column` is the one that a comparison is about. `counted` where the
    rows that it writes are counted by table.
    """

    verb: str
    what: str
    sql: str
    shown: str
    column: str | None = None
    counted: bool = False
    explained: bool = False


@dataclass(slots=True)
class _Values:
    """Values on their way into a statement: as they run, and as `$1`, `$2`... for people."""

    row: Row
    given: int = 0

    def pair(self, column: Column) -> tuple[str, str]:
        value = self.row[column.name]
        self.given += 1
        run = "NULL" if value is None else literal(value)
        return f"{run}::{column.type}", f"${self.given}::{column.type}"


def operations(relation: Relation, user: User, row: Row | None, often_null: frozenset[str]) -> Iterator[Operation]:
    """Everything that this user may try on this row; without a row only what needs none.

    `often_null` are columns that some row leaves NULL: a writer may leave them out.
    """
    readable = [column for column in relation.columns if user.may("SELECT", column.name)]
    if readable:
        names = ", ".join(quoted(column.name) for column in readable)
        text = f"SELECT {names} FROM {relation.name} LIMIT 1"
        yield Operation("SELECT", "SELECT of every column", text, text)
    if row is None:
        yield from _explained(relation, user)
        return
    if readable:
        yield from _reading(relation, readable, row)
    if relation.writes & INSERT and "INSERT" in user.rights:
        yield from _inserting(relation, user, row, often_null)
    where = _where(relation, readable, row)
    if where is None:
        return
    if relation.writes & UPDATE and "UPDATE" in user.rights:
        yield from _updating(relation, user, row, where)
    if relation.writes & DELETE and "DELETE" in user.rights:
        run, shown = f"DELETE FROM {relation.name} WHERE ", where[1]
        yield Operation("DELETE", "DELETE of a row", run + where[0], run + shown, counted=True)


def _reading(relation: Relation, readable: Sequence[Column], row: Row) -> Iterator[Operation]:
    names = ", ".join(quoted(column.name) for column in readable)
    where = _where(relation, readable, row)
    if where is not None and relation.key:
        start = f"SELECT {names} FROM {relation.name} WHERE "
        yield Operation("SELECT", "SELECT by its key", start + where[0], start + where[1])
    for column in readable:
        if (
            column.name in relation.indexed
            and (column.name,) != relation.key
            and column.comparable
            and row[column.name] is not None
        ):
            run, shown = _Values(row).pair(column)
            start = f"SELECT 1 FROM {relation.name} WHERE {quoted(column.name)} = "
            end = " LIMIT 1"
            what = f"SELECT by {column.name}"
            yield Operation("SELECT", what, start + run + end, start + shown + end, column=column.name)


def _inserting(relation: Relation, user: User, row: Row, often_null: frozenset[str]) -> Iterator[Operation]:
    able = [column for column in relation.columns if not column.kept and user.may("INSERT", column.name)]
    without_defaults = [column for column in able if not column.default]
    least = [column for column in without_defaults if column.name not in often_null]
    asked: list[Sequence[Column]] = []
    for columns, what in (
        (able, "INSERT of every column"),
        (without_defaults, "INSERT without the columns that have a default"),
        (least, "INSERT of what has to be given"),
    ):
        if columns and columns not in asked:
            asked.append(columns)
            yield _insert(relation, columns, row, what)


def _insert(relation: Relation, columns: Sequence[Column], row: Row, what: str) -> Operation:
    pairs, values = [], _Values(row)
    pairs = [values.pair(column) for column in columns]
    start = f"INSERT INTO {relation.name} ({', '.join(quoted(column.name) for column in columns)}) VALUES ("
    run, shown = (", ".join(pair[side] for pair in pairs) + ")" for side in (0, 1))
    return Operation("INSERT", what, start + run, start + shown, counted=True)


def _updating(relation: Relation, user: User, row: Row, where: tuple[str, str]) -> Iterator[Operation]:
    able = [column for column in relation.columns if not column.kept and user.may("UPDATE", column.name)]
    able = [column for column in able if column.name not in relation.key] or able
    if not able:
        return
    values = _Values(row)
    pairs = [(quoted(column.name), *values.pair(column)) for column in able]
    run = ", ".join(f"{name} = {value}" for name, value, _ in pairs)
    shown = ", ".join(f"{name} = {value}" for name, _, value in pairs)
    start = f"UPDATE {relation.name} SET "
    yield Operation(
        "UPDATE", "UPDATE of a row", f"{start}{run} WHERE {where[0]}", f"{start}{shown} WHERE {where[1]}", counted=True
    )


def _where(relation: Relation, readable: Sequence[Column], row: Row) -> tuple[str, str] | None:
    """What finds the row: its key, else all that can be compared; None where the user may not read that."""
    keys = [column for column in relation.columns if column.name in relation.key]
    columns = keys or [column for column in relation.columns if column.comparable]
    if not columns or any(column not in readable for column in columns):
        return None
    values, run, shown = _Values(row), [], []
    for column in columns:
        if row[column.name] is None:
            run.append(f"{quoted(column.name)} IS NULL")
            shown.append(run[-1])
        else:
            one, two = values.pair(column)
            run.append(f"{quoted(column.name)} = {one}")
            shown.append(f"{quoted(column.name)} = {two}")
    return " AND ".join(run), " AND ".join(shown)


def _explained(relation: Relation, user: User) -> Iterator[Operation]:
    """Without a row only names, types and rights can be asked about."""
    if not relation.writes & INSERT or relation.instead:
        return
    nulls: Row = dict.fromkeys(column.name for column in relation.columns)
    for one in _inserting(relation, user, nulls, frozenset()):
        yield replace(one, sql=f"EXPLAIN {one.sql}", counted=False, explained=True)


def find_row(relation: Relation, row: Row) -> str:
    """A condition for a superuser that finds the row by its key, whatever the key's type is by now."""
    names = relation.key or tuple(column.name for column in relation.columns if column.comparable)
    return " AND ".join(_equal(name, row[name]) for name in names) or "false"


def _equal(name: str, value: str | None) -> str:
    return f"{quoted(name)} IS NULL" if value is None else f"{quoted(name)} = {literal(value)}"


def remove_row(relation: Relation, row: Row) -> str:
    """Remove the very row, so that it can be written again."""
    return f"DELETE FROM {relation.name} WHERE {find_row(relation, row)}"


def remove_children(relation: Relation, row: Row) -> Iterator[str]:
    """Remove the rows that refer to this one; in a table that refers to itself, not the row itself."""
    for child in relation.children:
        if any(row.get(name) is None for name in child.referenced):
            continue
        own = " AND ".join(
            _equal(name, row[other]) for name, other in zip(child.columns, child.referenced, strict=True)
        )
        besides = f" AND NOT ({find_row(relation, row)})" if child.oid == relation.oid else ""
        yield f"DELETE FROM {child.table} WHERE {own}{besides}"


def read_back(relation: Relation, row: Row) -> str:
    """What a superuser reads of the row by its key, each value in its old type and as text."""
    values = ", ".join(f"{quoted(column.name)}::{column.type}::text" for column in relation.columns)
    return f"SELECT ARRAY[{values}]::text[] FROM {relation.name} WHERE {find_row(relation, row)}"
