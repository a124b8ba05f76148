"""Rows that a pending constraint rejects, counted where the migration would only have said that there is one.

The failing statement's constraint is made on an empty table of the same shape, in a transaction that is rolled back.
So the server itself says what it means; then the rows that break it are counted in the real table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql
from sqlparse import tokens as kinds

from pytest_dryrun.model.scripts import Location
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.rehearsal.judge.conflicts import Key, count_conflicts, keys_of
from pytest_dryrun.rehearsal.judge.counting import Counted, count_where, finding, primary_key
from pytest_dryrun.rehearsal.judge.foreign_keys import ForeignKey, count_orphans
from pytest_dryrun.rehearsal.judge.remedies.columns import required
from pytest_dryrun.sql.lexer import tokens
from pytest_dryrun.sql.names import bare, identifier, last, quoted

VIOLATIONS = {
    "23502": "NOT NULL",
    "23503": "foreign key",
    "23505": "unique",
    "23514": "check",
    "23P01": "exclusion",
}
CLONE = "pytest_dryrun_clone"
IDENTIFIER = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
TABLE = rf"(?P<table>{IDENTIFIER}(?:\s*\.\s*{IDENTIFIER})?)"
ALTER = re.compile(
    rf"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?{TABLE}\s*\*?\s+(?P<rest>.*)", re.IGNORECASE | re.DOTALL
)
INDEX = re.compile(
    rf"CREATE\s+UNIQUE\s+INDEX\b.*?\bON\s+(?:ONLY\s+)?{TABLE}\s*(?P<rest>(?:USING\s|\().*)", re.IGNORECASE | re.DOTALL
)
VALIDATE = re.compile(rf"VALIDATE\s+CONSTRAINT\s+(?P<name>{IDENTIFIER})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that rows must satisfy: its kind, its name, and how the rows that break it are found.

    `may_wait` where the server takes it without looking at the rows: NOT VALID. `new_type` is the type of a column that
    the statement itself adds.
    """

    kind: str
    name: str
    columns: tuple[str, ...] = ()
    expression: str = ""
    key: Key | None = field(default=None)
    foreign_key: ForeignKey | None = field(default=None)
    may_wait: bool = False
    new_type: str = ""


def violations(
    connection: psycopg.Connection[Any],
    statement: str,
    *,
    sqlstate: str | None = None,
    message: str = "",
    migration: str | None = None,
    line: int | None = None,
    search_path: str = "public",
) -> tuple[Finding, ...]:
    """Count the rows that break the constraint a failing statement asks for; nothing for another kind of failure.

    `connection` is to a disposable copy that holds the data as it was before the statement.
    What is made there is rolled back.
    Where the rows cannot be counted the finding carries the server's own `message`.
    """
    if sqlstate is not None and sqlstate not in VIOLATIONS:
        return ()
    place = Location(migration, line)
    text = (
        "".join(" " if kind in kinds.Comment else value for _, kind, value in tokens(statement))
        .strip()
        .rstrip(";")
        .strip()
    )
    found: list[Finding] = []
    reason = "the statement is none that adds a constraint"
    try:
        table, rules = _rules(connection, text, search_path)
    except (psycopg.Error, LookupError) as error:
        table, rules, reason = None, [], " ".join(str(error).split())
    for rule in rules:
        counted = _count(connection, str(table), rule)
        if isinstance(counted, str):
            reason = counted
        elif not counted[0]:
            reason = f"no row breaks {rule.name} in the copy as it was before the migration"
        else:
            major = connection.info.server_version // 10_000
            found.append(_finding(str(table), rule, counted[0], counted[1], place, major=major))
    if found:
        return tuple(found)
    kind = f"{VIOLATIONS[sqlstate]} constraint" if sqlstate else "constraint"
    told = f"{' '.join(message.split())}. " if message else ""
    said = (
        f"Existing rows break {'an' if kind[0] == 'e' else 'a'} {kind}{f' of {table}' if table else ''}, which stops "
        f"the migration {place}. {told}"
        f"How many could not be counted ({reason}). Find and fix them before the migration."
    )
    evidence = {"table": table, "constraint": None, "rows": None, "sqlstate": sqlstate}
    return (finding("constraint-violated", Severity.BLOCKER, said, place, table, evidence),)


def _finding(table: str, rule: Rule, rows: int, keys: Sequence[str], place: Location, *, major: int) -> Finding:
    evidence = {"table": table, "constraint": rule.name, "rows": rows, "keys": list(keys)}
    if rule.new_type:
        said = (
            f"{rows:,} rows of {table} have no value for the new column {rule.name}, so ADD COLUMN is refused {place}."
        )
        remedy = required(table, quoted(rule.name), rule.new_type, major=major)
        return finding("constraint-violated", Severity.BLOCKER, said, place, table, evidence, remedy=remedy)
    shown = f" (for example {'; '.join(keys[:3])})" if keys else ""
    kind = {
        "NOT NULL": "hold NULL in",
        "unique": "share a value in",
        "foreign key": "have no parent for",
        "check": "break check",
        "exclusion": "conflict with another row under",
    }[rule.kind]
    said = f"{rows:,} rows of {table} {kind} {rule.name}{shown}, so the constraint is refused {place}. "
    said += "Fix these rows first, in a migration of their own."
    if rule.may_wait:
        said += " Added NOT VALID the constraint would leave them as they are, and every UPDATE of one would fail."
    return finding("constraint-violated", Severity.BLOCKER, said, place, table, evidence)


def _rules(connection: psycopg.Connection[Any], text: str, search_path: str) -> tuple[str, list[Rule]]:
    """The table and what the statement demands of its rows.

    Raises LookupError where the statement is of another kind.
    """
    altered, indexed = ALTER.fullmatch(text), INDEX.fullmatch(text)
    match = altered or indexed
    if match is None:
        raise LookupError("the statement is none that adds a constraint")
    with connection.transaction(force_rollback=True):
        connection.execute("SELECT set_config('search_path', %s, true)", (search_path,))
        row = connection.execute(
            "SELECT c.oid, format('%%I.%%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid "
            "= c.relnamespace "
            "WHERE c.oid = to_regclass(%s)",
            (match["table"],),
        ).fetchone()
        if row is None:
            raise LookupError(f"there is no table {match['table']} before this migration")
        oid, table = int(row[0]), str(row[1])
        connection.execute(sql.SQL("CREATE TABLE {} (LIKE {})").format(sql.Identifier(CLONE), identifier(table)))
        clone = int(connection.execute("SELECT to_regclass(%s)::oid", (CLONE,)).fetchall()[0][0])
        validated = []
        for action in _actions(altered["rest"]) if altered else ():
            known = VALIDATE.fullmatch(action)
            if known:
                validated.append(known["name"].strip('"'))
            else:
                connection.execute(f"ALTER TABLE {CLONE} {action}")
        if indexed:
            connection.execute(f"CREATE UNIQUE INDEX ON {CLONE} {indexed['rest']}")
        connection.execute("SELECT set_config('search_path', 'pg_catalog', true)")
        rules = [rule for rule in _constraints(connection, oid, table) if rule.name.strip('"') in validated]
        rules += [
            *_constraints(connection, clone, table),
            *_keys(connection, clone, table),
            *_not_nulls(connection, clone, oid),
        ]
    return table, rules


def _actions(rest: str) -> Iterator[str]:
    """The actions of an ALTER TABLE, cut at the commas outside parentheses."""
    depth, current = 0, ""
    for _, kind, value in tokens(rest):
        depth += value.count("(") - value.count(")") if kind in kinds.Punctuation else 0
        if value == "," and depth == 0:
            yield current.strip()
            current = ""
        else:
            current += value
    yield current.strip()


def _constraints(connection: psycopg.Connection[Any], oid: int, table: str) -> Iterator[Rule]:
    """The checks and foreign keys of a relation as the server understood them, told of `table`."""
    query = """
      SELECT con.contype, quote_ident(con.conname), pg_get_expr(con.conbin, con.conrelid), con.confmatchtype = 'f',
             ARRAY(SELECT a.attname::text FROM unnest(con.conkey) WITH ORDINALITY k(n, i)
                     JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = k.n ORDER BY k.i),
             (SELECT format('%%I.%%I', n.nspname, c.relname)
                FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE c.oid = con.confrelid),
             ARRAY(SELECT a.attname::text FROM unnest(con.confkey) WITH ORDINALITY k(n, i)
                     JOIN pg_attribute a ON a.attrelid = con.confrelid AND a.attnum = k.n ORDER BY k.i),
             ARRAY(SELECT format('OPERATOR(%%I.%%s)', n.nspname, o.oprname)
                     FROM unnest(con.conpfeqop) WITH ORDINALITY e(op, i)
                     JOIN pg_operator o ON o.oid = e.op JOIN pg_namespace n ON n.oid = o.oprnamespace ORDER BY e.i),
             coalesce((to_jsonb(con) ->> 'conperiod')::boolean, false)
        FROM pg_constraint con WHERE con.conrelid = %s AND con.contype IN ('c', 'f') ORDER BY con.oid"""
    for kind, given, expression, full, columns, *parent, operators, temporal in connection.execute(query, (oid,)):
        name = _own_name(given, table)
        referenced, referenced_columns = parent
        if kind == "c":
            yield Rule("check", name, tuple(columns), expression, may_wait=True)
        else:
            key = ForeignKey(
                name,
                table,
                tuple(columns),
                referenced,
                tuple(referenced_columns),
                bool(full),
                tuple(operators),
                temporal,
            )
            yield Rule("foreign key", name, tuple(columns), foreign_key=key, may_wait=True)


def _own_name(given: str, table: str) -> str:
    """The name the server would have made from the real table's name, where it made one from the stand-in's."""
    if not given.startswith(f"{CLONE}_"):
        return given
    name = bare(last(table)) + given.removeprefix(CLONE)
    return f'"{name}"' if last(table).startswith('"') else name


def _keys(connection: psycopg.Connection[Any], oid: int, table: str) -> Iterator[Rule]:
    """The unique indexes and exclusion constraints of a relation."""
    for key in keys_of(connection, oid, "indrelid"):
        if key.operators:
            yield Rule("exclusion", _own_name(key.name, table), key=key)
        else:
            where = f" WHERE {key.predicate}" if key.predicate else ""
            yield Rule("unique", f"({', '.join(key.columns)}){where}", key=key)


def _not_nulls(connection: psycopg.Connection[Any], oid: int, before: int) -> Iterator[Rule]:
    query = """
      SELECT a.attname, CASE WHEN o.attname IS NULL THEN format_type(a.atttypid, a.atttypmod) ELSE '' END
        FROM pg_attribute a
        LEFT JOIN pg_attribute o ON o.attrelid = %s AND o.attname = a.attname AND NOT o.attisdropped
       WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
         AND a.attnotnull AND NOT coalesce(o.attnotnull, false)
         AND (o.attname IS NOT NULL OR NOT (a.atthasdef OR a.attidentity <> ''))"""
    for name, new_type in connection.execute(query, (before, oid)):
        may_wait = connection.info.server_version >= 180000
        yield Rule("NOT NULL", name, (name,), may_wait=may_wait, new_type=new_type)


def _count(connection: psycopg.Connection[Any], table: str, rule: Rule) -> Counted:
    key = primary_key(connection, table)
    if rule.foreign_key is not None:
        return count_orphans(connection, rule.foreign_key)
    if rule.kind == "check":
        return count_where(
            connection, table, sql.SQL("NOT (") + sql.SQL(rule.expression) + sql.SQL(")"), key or rule.columns
        )
    if rule.kind == "NOT NULL":
        column = sql.Identifier("row", rule.columns[0])
        null: sql.Composable = sql.SQL("true") if rule.new_type else sql.SQL("{} IS NULL").format(column)
        return count_where(connection, table, null, key)
    return count_conflicts(connection, table, rule.key) if rule.key else f"{rule.name} is of an unknown kind"
