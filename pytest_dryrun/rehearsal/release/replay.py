"""After the migrations: the same operations on a copy of the migrated data, and what no longer works."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from pytest_dryrun.rehearsal.release.operations import Operation, Row, find_row
from pytest_dryrun.rehearsal.release.practice import (
    Key,
    NotTried,
    Practised,
    Proven,
    attempts,
    reading,
    steps,
)
from pytest_dryrun.rehearsal.release.relations import Inventory, Relation, inventory
from pytest_dryrun.rehearsal.release.rights import rights_lost
from pytest_dryrun.rehearsal.release.roles import User, session_settings, settings
from pytest_dryrun.rehearsal.release.samples import Sample
from pytest_dryrun.rehearsal.release.statements import parse, without_values
from pytest_dryrun.rehearsal.release.trying import Answer, Tester, TooSlow, Try

# foreign_key_violation, and restrict_violation as PostgreSQL 18 has it.
_REFERENCED = ("23503", "23001")
NO_TABLE, NO_COLUMN, NO_RIGHT = "42P01", "42703", "42501"

Counts = Mapping[int, tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class Break:
    """One thing that worked and no longer does, or does something else.

    `state` is the SQLSTATE, empty where nothing failed: then `message` says what happened instead. `columns` are those
    of the relation that it is about, `source` is the table behind a view whose column or constraint refused, `harmless`
    where only a reader has to know.
    """

    relation: str
    role: str
    verb: str
    what: str
    state: str
    message: str
    sql: str = ""
    columns: tuple[str, ...] = ()
    constraint: str = ""
    source: str = ""
    harmless: bool = False


@dataclass(frozen=True, slots=True)
class Replayed:
    """What broke, what could not be tried, how many statements were tried, and how long that took."""

    breaks: tuple[Break, ...]
    not_tried: tuple[NotTried, ...]
    tried: int
    duration_ms: float


def replay(connection: psycopg.Connection[Any], practised: Practised, deadline: float) -> Replayed:
    """Do again what worked before, on a throw-away copy of the migrated data, until `deadline` (of time.monotonic).

    Raises psycopg.Error where the copy cannot be read.
    """
    began = time.monotonic()
    now = inventory(connection, leaves=True)
    chosen = settings(connection)
    tester = Tester(connection, tuple(now.roots))
    breaks: list[Break] = [*_statically(connection, practised, now)]
    not_tried: list[NotTried] = []
    tried = 0
    for relation in practised.order:
        proven = practised.proven.get(relation.name)
        if not proven:
            continue
        if time.monotonic() > deadline:
            not_tried.append(NotTried(relation.name, "", "no time was left"))
            continue
        again = _Again(tester, relation, now, practised, proven, chosen)
        try:
            breaks += again.run()
        except TooSlow:
            not_tried.append(NotTried(relation.name, "", "its statements did not end in time after the migrations"))
        tried += again.tried
        not_tried += again.not_tried
    return Replayed(tuple(breaks), tuple(not_tried), tried, (time.monotonic() - began) * 1000)


def _statically(connection: psycopg.Connection[Any], practised: Practised, now: Inventory) -> Iterator[Break]:
    """What is read: rights of all roles, and whether known statements still parse."""
    for name, role, verb, columns in rights_lost(connection, practised.order, practised.users, practised.callers, now):
        on = f" on column {', '.join(columns)}" if columns else ""
        yield Break(name, role, verb, verb, NO_RIGHT, f"role {role} no longer has the right{on}", columns=columns)
    path = session_settings(settings(connection), "")["search_path"]
    for text, error in parse(connection, practised.statements, path).items():
        if error is not None:
            shown = without_values(text)
            said = error.diag.message_primary or "it no longer parses"
            yield Break("", "", "statement", "a statement that it is known to send", error.sqlstate or "", said, shown)


@dataclass(slots=True)
class _Again:
    """One relation on the migrated copy."""

    tester: Tester
    relation: Relation
    now: Inventory
    practised: Practised
    proven: Mapping[Key, Proven]
    chosen: Mapping[str, Mapping[str, str]]
    tried: int = 0
    not_tried: list[NotTried] = field(default_factory=list)

    def run(self) -> list[Break]:
        here = self.now.relations.get(self.relation.name)
        people = self.practised.users[self.relation.name]
        if here is None:
            role = people.tried[0].role
            said = f"relation {self.relation.name} does not exist"
            return [Break(self.relation.name, role, "SELECT", "every statement", NO_TABLE, said)]
        gone = [column.name for column in self.relation.columns if here.column(column.name) is None]
        found = [self._gone(people.tried[0].role, name) for name in gone]
        old = replace(
            self.relation,
            columns=tuple(column for column in self.relation.columns if column.name not in gone),
            key=() if set(self.relation.key) & set(gone) else self.relation.key,
        )
        if not old.columns:
            return found
        sample = self.practised.samples[self.relation.name]
        there = self._there(here, sample)
        asked: list[tuple[Key, Proven, Try]] = []
        for key, user, row, operation in attempts(old, people, sample):
            if key in self.proven and (row is None or key[1] in there):
                asked.append((key, self.proven[key], self._try(here, user, row, operation, self.proven[key])))
        if sample.rows and not there:
            self.not_tried.append(NotTried(self.relation.name, "", "the rows that were tried are gone"))
        answers = self.tester.run([one for _, _, one in asked])
        unprepared = [place for place, answer in enumerate(answers) if answer.stage == "prepare"]
        plain = [replace(asked[place][2], prepare=()) for place in unprepared]
        for place, answer in zip(unprepared, self.tester.run(plain), strict=True):
            # A row that is still there proves nothing by its key; what the statement cannot do at all does.
            if answer.stage == "operation" and not answer.state.startswith("23"):
                answers[place] = answer
        self.tried += len(asked)
        for (_, before, one), answer in zip(asked, answers, strict=True):
            found += self._compared(old, one, before, answer)
        return found

    def _gone(self, role: str, name: str) -> Break:
        said = f"column {name} does not exist"
        sql = f"SELECT {name} FROM {self.relation.name}"
        return Break(self.relation.name, role, "SELECT", "every statement that names it", NO_COLUMN, said, sql, (name,))

    def _there(self, here: Relation, sample: Sample) -> set[int]:
        """The numbers of the rows that still exist; all of them where that cannot be asked."""
        found = set()
        for number, row in enumerate(sample.rows):
            condition = find_row(self.relation, row)
            try:
                answer = self.tester.connection.execute(
                    f"SELECT EXISTS (SELECT FROM {here.name} WHERE {condition})"
                ).fetchone()
            except psycopg.errors.QueryCanceled as error:
                raise TooSlow from error
            except psycopg.Error:  # its key compares with nothing of old: what the release does there will tell
                found.add(number)
            else:
                if answer and answer[0]:
                    found.add(number)
        return found

    def _try(self, here: Relation, user: User, row: Row | None, operation: Operation, before: Proven) -> Try:
        asked = before.settings.keys() - session_settings({}, user.role).keys()
        own = {
            **{name: before.settings[name] for name in asked if "." in name},
            **session_settings(self.chosen, user.role),
        }
        shared = _shared(here, self.relation)
        kept = {column.name for column in shared}
        # The row is of old: a key that is new has no value in it, and all that there is of old finds it.
        key = next((key for key in (self.relation.key, here.key) if kept.issuperset(key)), ())
        found = replace(here, key=key, columns=shared)
        prepared = steps(found, operation, row, before.way)
        read = reading(replace(self.relation, columns=_shared(self.relation, here)), operation, row)
        return Try(operation, user.role, prepared, own, read if before.answer.read else "")

    def _compared(self, old: Relation, one: Try, before: Proven, answer: Answer) -> Iterator[Break]:
        operation = one.operation

        def broken(state: str, message: str, *columns: str, constraint: str = "", harmless: bool = False) -> Break:
            named = tuple(name for name in (*columns, answer.column, operation.column or "") if name)
            return Break(
                old.name,
                one.role,
                operation.verb,
                operation.what,
                state,
                message,
                operation.shown,
                named,
                constraint,
                answer.table,
                harmless,
            )

        if answer.stage == "prepare":
            why = f"{answer.state} {answer.message}"
            self.not_tried.append(NotTried(old.name, operation.what, f"it could not be prepared: {why}"))
        elif operation.verb == "DELETE" and answer.state in _REFERENCED and self.now.relations[old.name].kind == "v":
            self.not_tried.append(NotTried(old.name, operation.what, "other rows refer to the row behind the view"))
        elif answer.stage == "role":
            yield broken(answer.state, answer.message)
        elif not answer.worked:
            yield broken(answer.state, answer.message, constraint=answer.constraint)
        elif answer.rows < before.answer.rows:
            moved = _moved(self._by_table(answer.counts), self._before(before.answer.counts))
            if operation.verb == "SELECT" or not moved:
                yield broken("", "no row is found" if operation.verb == "SELECT" else "no row is affected")
        else:
            yield from self._elsewhere(old, before, answer, broken)
            if answer.read and before.steady:
                names = [column.name for column in _shared(self.relation, self.now.relations[old.name])]
                values = dict(zip(names, answer.read, strict=False))
                differing = [name for name, value in values.items() if before.steady.get(name, value) != value]
                if differing:
                    said = f"the row holds other values in {', '.join(differing)} than were written"
                    yield broken("", said, *differing, harmless=True)

    def _elsewhere(self, old: Relation, before: Proven, answer: Answer, broken: Any) -> Iterator[Break]:
        """Rows of tables of old that are written otherwise; new tables and a row's parent are no alarm."""
        was, now = self._before(before.answer.counts), self._by_table(answer.counts)
        own = self.practised.inventory.roots.get(old.oid, old.oid)
        names = self.practised.inventory.names
        for table in sorted(was.keys() | now.keys()):
            one, two = was.get(table, (0, 0, 0)), now.get(table, (0, 0, 0))
            name = names.get(table, "a new table")
            if table == own:
                if two[2] > one[2]:
                    yield broken("", "the row is deleted again at once")
                elif sum(two) < sum(one) and not _moved(now, was):
                    yield broken("", "no row of the table itself is written")
            elif table in names and two[2] > one[2]:
                yield broken("", f"rows of {name} are deleted as well ({two[2] - one[2]:,})")
            elif table in names and (two[0] > one[0] or two[1] > one[1]):
                yield broken("", f"rows of {name} are written as well", harmless=True)
            elif table in names and sum(two) < sum(one):
                yield broken("", f"rows of {name} are no longer written along with it", harmless=True)

    def _before(self, counts: Counts) -> dict[int, tuple[int, int, int]]:
        return _summed(counts, self.practised.inventory.roots)

    def _by_table(self, counts: Counts) -> dict[int, tuple[int, int, int]]:
        """Rows by what the tables were before: a table that took another's name stands for it."""
        before = self.practised.inventory
        by_name = {name: oid for oid, name in before.names.items()}
        roots: dict[int, int] = {}
        for oid, root in self.now.roots.items():
            if oid in before.roots:
                roots[oid] = before.roots[oid]
            else:
                named = by_name.get(self.now.names[oid]) or by_name.get(self.now.names.get(root, ""))
                roots[oid] = before.roots.get(named, named) if named else root
        return _summed(counts, roots)


def _shared(one: Relation, other: Relation) -> tuple[Any, ...]:
    names = {column.name for column in other.columns}
    return tuple(column for column in one.columns if column.name in names)


def _summed(counts: Counts, roots: Mapping[int, int]) -> dict[int, tuple[int, int, int]]:
    found: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    for oid, values in counts.items():
        for place, value in enumerate(values):
            found[roots.get(oid, oid)][place] += value
    return {oid: (values[0], values[1], values[2]) for oid, values in found.items()}


def _moved(now: Mapping[int, Sequence[int]], was: Mapping[int, Sequence[int]]) -> bool:
    """Whether as many rows are written as before, wherever they lie now."""
    total = sum(sum(values) for values in was.values())
    return bool(total) and sum(sum(values) for values in now.values()) >= total
