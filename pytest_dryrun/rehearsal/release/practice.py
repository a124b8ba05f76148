"""Before the migrations: which operations of the release work on a copy of the untouched data, and by which way."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from pytest_dryrun.rehearsal.release.operations import (
    Operation,
    Row,
    operations,
    read_back,
    remove_children,
    remove_row,
)
from pytest_dryrun.rehearsal.release.relations import Inventory, Relation, in_order, inventory
from pytest_dryrun.rehearsal.release.rights import callers
from pytest_dryrun.rehearsal.release.roles import User, Users, session_settings, settings, users
from pytest_dryrun.rehearsal.release.samples import Sample, sample
from pytest_dryrun.rehearsal.release.statements import chosen as chosen_statements
from pytest_dryrun.rehearsal.release.statements import parse
from pytest_dryrun.rehearsal.release.trying import Answer, Step, Tester, TooSlow, Try

# How a row is taken away before it is written again, in the order in which the ways are tried.
REMOVED, DELETED, AS_IS = "removed", "deleted", "as it is"
_WAYS = {"INSERT": (REMOVED, DELETED, AS_IS), "DELETE": (REMOVED, AS_IS)}
# Other values may meet other checks and triggers; the rest shows on one row.
_OF_EVERY_ROW = ("SELECT by its key", "INSERT of every column", "UPDATE of a row")
_POLICIES = """
SELECT concat_ws(' ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid),
       (SELECT string_agg(f.prosrc, ' ') FROM pg_depend d JOIN pg_proc f ON f.oid = d.refobjid
         WHERE d.classid = 'pg_policy'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_proc'::regclass))
  FROM pg_policy p WHERE p.polrelid = %s
"""
_ASKED_SETTING = re.compile(r"current_setting\(\s*'([\w.]+)'")
_NO_RIGHT = "42501"

Key = tuple[str, int, str]
"""Role, number of the row, and what is done to it."""


@dataclass(frozen=True, slots=True)
class Proven:
    """An operation that works on the untouched data, and what makes it work.

    `steady` are the values that came out the same twice, by column.
    """

    way: str
    settings: Mapping[str, str]
    answer: Answer
    steady: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NotTried:
    """What could not be tried, and why; `verb` is empty where nothing could."""

    relation: str
    verb: str
    why: str

    def __str__(self) -> str:
        return f"{self.verb} on {self.relation}: {self.why}" if self.verb else f"{self.relation}: {self.why}"


@dataclass(frozen=True, slots=True)
class Practised:
    """What the release can do on the untouched data.

    `proven` is what works, by relation and key, `callers` who may call each function, `statements` what is known to be
    sent and parses; `duration_ms` is how long it took to find out.
    """

    inventory: Inventory
    order: tuple[Relation, ...]
    users: Mapping[str, Users]
    samples: Mapping[str, Sample]
    proven: Mapping[str, Mapping[Key, Proven]]
    callers: Mapping[str, frozenset[str]]
    statements: tuple[str, ...]
    not_tried: tuple[NotTried, ...]
    duration_ms: float


def practise(
    connection: psycopg.Connection[Any],
    pending: str,
    history: Callable[[str], bool],
    deadline: float,
    statements: Sequence[str] = (),
) -> Practised:
    """Try everything on a throw-away copy of the untouched data until `deadline` (of time.monotonic).

    `pending` is the text of what is pending: what it mentions comes first. `history` tells a migration tool's own
    tables. `statements` are known to be sent. Raises psycopg.Error where the copy cannot be read.
    """
    began = time.monotonic()
    known = inventory(connection)
    order = tuple(one for one in in_order(known, pending) if not history(one.name))
    people = users(connection, order)
    chosen = settings(connection)
    sent = parse(connection, chosen_statements(statements), session_settings(chosen, "")["search_path"])
    called = callers(connection)
    tester = Tester(connection, tuple(known.roots))
    samples: dict[str, Sample] = {}
    proven: dict[str, Mapping[Key, Proven]] = {}
    not_tried: list[NotTried] = []
    for relation in order:
        if relation.far:
            not_tried.append(NotTried(relation.name, "", "it reads or is a foreign table, which is not on this server"))
        elif time.monotonic() > deadline:
            not_tried.append(NotTried(relation.name, "", "no time was left"))
        else:
            found = sample(connection, relation)
            samples[relation.name] = found
            lesson = _Lesson(tester, relation, people[relation.name], found, chosen)
            try:
                proven[relation.name] = lesson.learn()
            except TooSlow:
                proven[relation.name] = {}
                lesson.not_tried = [NotTried(relation.name, "", "its statements did not end in time")]
            not_tried += lesson.not_tried
    duration_ms = (time.monotonic() - began) * 1000
    parsed = tuple(text for text, error in sent.items() if error is None)
    return Practised(known, order, people, samples, proven, called, parsed, tuple(not_tried), duration_ms)


def attempts(relation: Relation, people: Users, found: Sample) -> Iterator[tuple[Key, User, Row | None, Operation]]:
    """What is tried on one relation: everything as its first user on the first row, less on others."""
    rows: Sequence[Row | None] = found.rows or (None,)
    for place, user in enumerate(people.tried):
        for number, row in enumerate(rows if place == 0 else rows[:1]):
            for operation in operations(relation, user, row, found.often_null):
                if number and operation.what not in _OF_EVERY_ROW:
                    continue
                counted = operation.counted and place == 0 and number == 0
                yield (user.role, number, operation.what), user, row, replace(operation, counted=counted)


def steps(relation: Relation, operation: Operation, row: Row | None, way: str) -> tuple[Step, ...]:
    """What a superuser prepares in a database where the relation is like this."""
    made: list[Step] = []
    if row is None or operation.explained:
        return tuple(made)
    if operation.verb == "INSERT":
        # A new file: what nextval takes from it is undone with the transaction.
        made += [("replica", f"ALTER SEQUENCE {name} INCREMENT BY {number}") for name, number in relation.sequences]
        if way != AS_IS:
            made.append(("replica" if way == REMOVED else "origin", remove_row(relation, row)))
    elif operation.verb == "DELETE" and way == REMOVED:
        made += [("replica", command) for command in remove_children(relation, row)]
    return tuple(made)


def reading(relation: Relation, operation: Operation, row: Row | None) -> str:
    """What is read back of a row that was written with every value."""
    if row is None or operation.what != "INSERT of every column" or operation.explained or not relation.key:
        return ""
    return read_back(relation, row)


@dataclass(slots=True)
class _Lesson:
    """What is found out about one relation."""

    tester: Tester
    relation: Relation
    people: Users
    found: Sample
    chosen: Mapping[str, Mapping[str, str]]
    not_tried: list[NotTried] = field(default_factory=list)

    def learn(self) -> dict[Key, Proven]:
        if self.found.trouble:
            self.not_tried.append(NotTried(self.relation.name, "", self.found.trouble))
            return {}
        if not self.found.rows and self.relation.writes:
            self.not_tried.append(NotTried(self.relation.name, "INSERT, UPDATE and DELETE", "there is no row"))
        given = self._policy_settings() if self.relation.row_security else {}
        left = {
            key: (user, row, operation)
            for key, user, row, operation in attempts(self.relation, self.people, self.found)
        }
        proven: dict[Key, Proven] = {}
        failed: dict[Key, Answer] = {}
        for turn in range(3):
            asked = {key: one for key, one in left.items() if key not in proven and turn < len(self._ways(one[2]))}
            tries = [self._try(key, *one, turn, given) for key, one in asked.items()]
            answers = self.tester.run(tries)
            for key, one, answer in zip(asked, tries, answers, strict=True):
                if _works(one.operation, answer):
                    proven[key] = Proven(self._ways(one.operation)[turn], one.settings, answer)
                else:
                    failed[key] = answer
        self._steady(left, proven, given)
        self._tell({key: answer for key, answer in failed.items() if key not in proven}, left)
        return proven

    def _ways(self, operation: Operation) -> tuple[str, ...]:
        ways = _WAYS.get(operation.verb, (AS_IS,)) if not operation.explained else (AS_IS,)
        # In replica mode INSTEAD OF triggers are left out without a word.
        return tuple(way for way in ways if way != REMOVED) if self.relation.instead else ways

    def _try(
        self,
        key: Key,
        user: User,
        row: Row | None,
        operation: Operation,
        turn: int,
        given: Mapping[Key, Mapping[str, str]],
    ) -> Try:
        way = self._ways(operation)[turn]
        own = {**session_settings(self.chosen, user.role), **given.get((*key[:2], ""), {})}
        prepared = steps(self.relation, operation, row, way)
        return Try(operation, user.role, prepared, own, reading(self.relation, operation, row))

    def _steady(
        self,
        left: Mapping[Key, tuple[User, Row | None, Operation]],
        proven: dict[Key, Proven],
        given: Mapping[Key, Mapping[str, str]],
    ) -> None:
        """Write the row once more: what does not come out the same is a clock's or a dice's."""
        keys = [key for key, one in proven.items() if one.answer.read]
        again = [self._try(key, *left[key], self._ways(left[key][2]).index(proven[key].way), given) for key in keys]
        names = [column.name for column in self.relation.columns]
        for key, answer in zip(keys, self.tester.run(again), strict=True):
            pairs = zip(names, proven[key].answer.read, answer.read, strict=False)
            proven[key] = replace(proven[key], steady={name: one for name, one, two in pairs if one == two})

    def _policy_settings(self) -> dict[Key, Mapping[str, str]]:
        """Settings of the application that policies ask for: those with which a role sees the row."""
        rows = self.tester.connection.execute(_POLICIES, (self.relation.oid,)).fetchall()
        names = sorted({name for (text,) in rows for name in _ASKED_SETTING.findall(text or "")})
        found: dict[Key, Mapping[str, str]] = {}
        if not names:
            return found
        for key, user, row, operation in attempts(self.relation, self.people, self.found):
            if operation.what != "SELECT by its key" and not (operation.verb == "SELECT" and not self.relation.key):
                continue
            values = list(dict.fromkeys(value for value in (row or {}).values() if value is not None))
            tries = [
                replace(
                    self._try(key, user, row, operation, 0, {}),
                    settings={**session_settings(self.chosen, user.role), **dict.fromkeys(names, value)},
                )
                for value in values
            ]
            for value, answer in zip(values, self.tester.run(tries), strict=True):
                if answer.worked and answer.rows:
                    found[(*key[:2], "")] = dict.fromkeys(names, value)
                    break
        return found

    def _tell(self, failed: Mapping[Key, Answer], left: Mapping[Key, tuple[User, Row | None, Operation]]) -> None:
        """One line for each kind of statement that nobody could try; that a role has no right there is no trouble."""
        told: dict[str, str] = {}
        for key, answer in failed.items():
            if answer.state != _NO_RIGHT:
                why = f"{answer.state} {answer.message}".strip() if answer.state else "it meets no row"
                told.setdefault(left[key][2].what, f"it does not work on the untouched data either ({why})")
        self.not_tried += [NotTried(self.relation.name, what, why) for what, why in told.items()]


def _works(operation: Operation, answer: Answer) -> bool:
    """Whether the untouched data takes the statement: what meets no row there shows nothing later."""
    if not answer.worked:
        return False
    if operation.explained or operation.what == "SELECT of every column":
        return True
    return answer.rows == 1 if operation.verb == "INSERT" else answer.rows >= 1
