"""Migration scripts as values: files, their statements, the waivers in their comments, and places in them."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_dryrun.model.waivers import Waiver


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a migration file.

    `sql` is without the comments before it, `line` is where it starts (1-based), `tag` the command as Postgres would
    tag it (`CREATE INDEX`, `ALTER TABLE`, `DO`, `UPDATE`...), upper case, `""` where unknown.
    """

    sql: str
    line: int
    tag: str


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration on disk. `path` is for people, `sql` the text that is sent, `checksum` lower-case SHA-256 hex."""

    name: str
    path: str
    sql: str
    checksum: str
    statements: tuple[Statement, ...]
    waivers: tuple[Waiver, ...] = ()


@dataclass(frozen=True, slots=True)
class Location:
    """Where in the pending migrations something was done; None where that is unknown.

    `line` is 1-based in the migration's file, `sql` the statement's text, empty where it is unknown.
    """

    migration: str | None = None
    line: int | None = None
    sql: str = ""

    def __str__(self) -> str:
        if self.migration is None:
            return "by a pending migration"
        return f"by {self.migration}" + (f", line {self.line}" if self.line else "")

    @property
    def head(self) -> str:
        """As an editor writes it, `20260101_x:3`; without a line the migration and the statement's beginning."""
        if self.line:
            return f"{self.migration}:{self.line}"
        return f"{self.migration or 'a pending migration'}, {self.sql.strip()[:80]}"
