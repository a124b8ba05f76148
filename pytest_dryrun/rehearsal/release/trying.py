"""Trying operations on a throw-away copy: each in a subtransaction of its own that is rolled back.

One function in the session's own schema tries everything of a relation at once, because a way to the server and back
costs more than most statements do. Three things outlive a rollback: numbers of sequences, which therefore get a new
file first (ALTER SEQUENCE, which is undone with the transaction); the counters of tuples; and what reaches outside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from pytest_dryrun.rehearsal.release.operations import Operation
from pytest_dryrun.rehearsal.release.roles import MAKE_STAND_IN, STAND_IN
from pytest_dryrun.sql.names import quoted

# Longer than this nobody waits for the statements of one relation.
TIME_LIMIT_MS = 5000

_DONE = "DRYRB"
# Changing the replication role or the search path has every expression planned again: little is said in between.
_FUNCTION = f"""
CREATE FUNCTION pg_temp.dryrun_try(asked jsonb, tables int8[]) RETURNS jsonb LANGUAGE plpgsql AS $body$
DECLARE
  part record; one record; item record; answers jsonb := '[]'; stage text; hit int8; before jsonb; after jsonb;
  found text[]; state text; said text; about text; rule text; home text; place text;
BEGIN
  FOR part IN SELECT value->'prepare' AS steps, value->'settings' AS settings, value->'tries' AS tries
                FROM pg_catalog.jsonb_array_elements(asked) LOOP
    BEGIN
      FOR item IN SELECT value #>> '{{}}' AS command FROM pg_catalog.jsonb_array_elements(part.steps) LOOP
        EXECUTE item.command;
      END LOOP;
      PERFORM pg_catalog.set_config('session_replication_role', 'origin', true);
      PERFORM pg_catalog.set_config(key, value #>> '{{}}', true) FROM pg_catalog.jsonb_each(part.settings);
      FOR one IN SELECT value->>'role' AS role, value->>'sql' AS command, (value->>'counted')::bool AS counted,
                        value->>'read' AS read, value->'prepare' AS steps,
                        pg_catalog.jsonb_array_length(value->'prepare') > 0 AS prepared
                   FROM pg_catalog.jsonb_array_elements(part.tries) LOOP
        stage := 'prepare'; hit := 0; before := NULL; after := NULL; found := NULL; state := NULL; said := NULL;
        about := NULL; rule := NULL; home := NULL; place := NULL;
        BEGIN
          IF one.prepared THEN
            FOR item IN SELECT value->>0 AS mode, value->>1 AS command
                          FROM pg_catalog.jsonb_array_elements(one.steps) LOOP
              PERFORM pg_catalog.set_config('session_replication_role', item.mode, true);
              EXECUTE item.command;
            END LOOP;
            SET LOCAL session_replication_role = origin;
          END IF;
          IF one.counted THEN
            before := pg_temp.dryrun_counts(tables);
          END IF;
          stage := 'role';
          PERFORM pg_catalog.set_config('role', one.role, true);
          stage := 'operation';
          EXECUTE one.command;
          GET DIAGNOSTICS hit = ROW_COUNT;
          SET CONSTRAINTS ALL IMMEDIATE;
          SET LOCAL ROLE NONE;
          stage := 'done';
          IF one.counted THEN
            after := pg_temp.dryrun_counts(tables);
          END IF;
          IF one.read IS NOT NULL THEN
            EXECUTE one.read INTO found;
          END IF;
          RAISE EXCEPTION USING ERRCODE = '{_DONE}';
        EXCEPTION WHEN OTHERS THEN
          GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, said = MESSAGE_TEXT, about = COLUMN_NAME,
                                  rule = CONSTRAINT_NAME, home = SCHEMA_NAME, place = TABLE_NAME;
        END;
        answers := answers || pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object('stage', stage, 'hit', hit,
          'before', before, 'after', after, 'read', found, 'state', state, 'message', said, 'column', about,
          'constraint', rule, 'schema', home, 'table', place));
      END LOOP;
      RAISE EXCEPTION USING ERRCODE = '{_DONE}';
    EXCEPTION WHEN SQLSTATE '{_DONE}' THEN NULL;
    END;
  END LOOP;
  RETURN answers;
END $body$
"""
# Rows inserted, updated and deleted in this transaction, by table; only tables with any.
_COUNTS = """
CREATE FUNCTION pg_temp.dryrun_counts(tables int8[]) RETURNS jsonb LANGUAGE sql AS $body$
  SELECT coalesce(pg_catalog.jsonb_object_agg(oid, pg_catalog.jsonb_build_array(i, u, d)), '{}')
    FROM (SELECT oid, pg_catalog.pg_stat_get_xact_tuples_inserted(oid::oid) AS i,
                 pg_catalog.pg_stat_get_xact_tuples_updated(oid::oid) AS u,
                 pg_catalog.pg_stat_get_xact_tuples_deleted(oid::oid) AS d
            FROM pg_catalog.unnest(tables) t (oid)) counted
   WHERE i + u + d > 0
$body$
"""
_SETTINGS = {
    "jit": "off",
    "session_replication_role": "replica",
    "lock_timeout": "2000",
    "statement_timeout": str(TIME_LIMIT_MS),
}

Step = tuple[str, str]
"""Preparation by a superuser: the replication role (`replica` fires no trigger and checks no key), and the SQL."""


@dataclass(frozen=True, slots=True)
class Try:
    """One operation as one role, with what prepares it; `read` reads the row afterwards."""

    operation: Operation
    role: str
    prepare: tuple[Step, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    read: str = ""

    def document(self) -> dict[str, Any]:
        """As the function takes it."""
        return {
            "sql": self.operation.sql,
            "role": self.role,
            "prepare": self.prepare,
            "counted": self.operation.counted,
            "read": self.read or None,
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a try.

    `stage` is where it ended: `prepare`, `role`, `operation`, or `done`. `state` is the SQLSTATE where it failed,
    `table` the one whose column or constraint refused, `rows` what the command tag counts, `counts` are rows inserted,
    updated and deleted by table, `read` the row's values.
    """

    stage: str
    state: str = ""
    message: str = ""
    column: str = ""
    constraint: str = ""
    table: str = ""
    rows: int = 0
    counts: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)
    read: tuple[str | None, ...] = ()

    @property
    def worked(self) -> bool:
        """Whether the statement went through, whatever rows it met."""
        return self.stage == "done"


class TooSlow(Exception):
    """The statements of one relation did not end in time."""


@dataclass(slots=True)
class Tester:
    """A session on a throw-away copy; `tables` are those whose rows are counted."""

    connection: psycopg.Connection[Any]
    tables: Sequence[int]

    def __post_init__(self) -> None:
        for name, value in _SETTINGS.items():
            self.connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        self.connection.execute(_COUNTS)
        self.connection.execute(_FUNCTION)

    @staticmethod
    def _common(one: Try) -> list[str]:
        return [MAKE_STAND_IN] if one.role == STAND_IN else []

    def run(self, tries: Sequence[Try]) -> list[Answer]:
        """Try them one after the other, each from the same state. Raises TooSlow."""
        if not tries:
            return []
        groups: list[dict[str, Any]] = []
        for one in tries:  # what neighbours have in common is prepared once for all of them
            common = {"prepare": self._common(one), "settings": dict(one.settings)}
            if not groups or any(groups[-1][name] != value for name, value in common.items()):
                groups.append({**common, "tries": []})
            groups[-1]["tries"].append(one.document())
        asked = json.dumps(groups)
        try:
            row = self.connection.execute(
                "SELECT pg_temp.dryrun_try(%s::text::jsonb, %s)", (asked, list(self.tables))
            ).fetchone()
        except psycopg.errors.QueryCanceled as error:
            raise TooSlow from error
        return [_answer(found) for found in (row[0] if row else [])]


def _error(found: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    state, message, column, constraint = (found[name] or "" for name in ("state", "message", "column", "constraint"))
    table = f"{quoted(found['schema'])}.{quoted(found['table'])}" if found["table"] else ""
    return state, message, column, constraint, table


def _answer(found: Mapping[str, Any]) -> Answer:
    before, after = found.get("before") or {}, found.get("after") or {}
    counts = {
        int(oid): (values[0] - old[0], values[1] - old[1], values[2] - old[2])
        for oid, values in after.items()
        if values != (old := before.get(oid, [0, 0, 0]))
    }
    return Answer(
        found["stage"],
        *(("", "", "", "", "") if found["stage"] == "done" else _error(found)),
        int(found.get("hit") or 0),
        counts,
        tuple(found.get("read") or ()),
    )
