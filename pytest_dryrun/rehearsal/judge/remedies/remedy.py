"""What a remedy is: why it helps, then the SQL of each migration, or the sentence that there is no online way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from pytest_dryrun.model.messages import INDENT, indented
from pytest_dryrun.model.values import Finding

NO_TRANSACTION = "outside a transaction"
REPEATED = "until it updates no row"
_ALONE = "CONCURRENTLY is refused inside a transaction: with Prisma, give each such statement a migration of its own."


class Family(StrEnum):
    """Every remedy that a finding can print; a test runs each of them on real servers."""

    INDEX = "index"
    INDEX_OF_PARTITIONED = "index of a partitioned table"
    INDEX_OF_KEY = "index for a foreign key"
    INDEX_OF_PARTITIONED_KEY = "index for a foreign key of a partitioned table"
    INDEX_MISSING = "parts of an index that partitions lack"
    REINDEX = "reindex"
    REINDEX_EXCLUSION = "reindex of an exclusion constraint"
    INVALID_INDEX = "invalid index"
    LEFT_INDEX = "index that a failed REINDEX left"
    DROP_INDEX = "drop index"
    DROP_PARTITIONED_INDEX = "drop index of a partitioned table"
    UNIQUE = "unique or primary key"
    UNIQUE_OF_PARTITIONED = "unique or primary key of a partitioned table"
    USING_INDEX = "primary key using index"
    EXCLUDE = "exclusion constraint"
    NOT_NULL = "not null"
    CHECK = "check or foreign key"
    KEY_OF_PARTITIONED = "foreign key of a partitioned table"
    VALIDATE = "validate"
    DOMAIN = "check of a domain"
    DOMAIN_VALIDATE = "validating a domain"
    NEW_COLUMN = "new column with demands"
    FILLED_COLUMN = "new column with a value for each row"
    IDENTITY = "identity column"
    STORED = "stored generated column"
    VIRTUAL = "virtual generated column"
    DOMAIN_COLUMN = "column of a domain"
    REQUIRED_COLUMN = "required column"
    TYPE = "type of a column"
    EXPRESSION = "expression of a generated column"
    ATTACH = "attach partition"
    NEW_PARTITION = "new partition beside a default one"
    PERSISTENCE = "logged or unlogged"
    STORAGE = "tablespace or access method"
    ADDED_AGAIN = "constraint that is not enforced"
    TRIGGERS = "triggers that are switched off"
    TRIGGERS_GONE = "triggers that are gone"
    POPULATE = "materialized view without rows"
    REFRESH = "refresh materialized view"
    REFRESH_WITHOUT_INDEX = "refresh without a unique index"
    REPACK = "vacuum full or cluster"
    APART = "locks taken earlier"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Step:
    """Statements of one migration. `alone`: each is a migration of its own, outside a transaction.

    `repeated`: a script runs it until it updates no row. `title` says when.
    """

    statements: tuple[str, ...]
    alone: bool = False
    repeated: bool = False
    title: str = ""


@dataclass(frozen=True, slots=True)
class Remedy:
    """`lead` is one or two sentences; without steps it says that there is no online way, and what to do then."""

    family: Family
    lead: str
    steps: tuple[Step, ...] = ()
    end: str = ""

    def __str__(self) -> str:
        """The text as a finding prints it: SQL on lines of its own."""
        lines = [self.lead]
        steps = [step for step in self.steps if step.statements]
        number = 1
        for step in steps:
            lines += [_header(step, number, single=len(steps) == 1), indented(step.statements)]
            number += 0 if step.repeated else len(step.statements) if step.alone else 1
        if any(step.alone for step in steps):
            lines.append(_ALONE)
        return "\n".join([*lines, self.end] if self.end else lines)


def _header(step: Step, number: int, *, single: bool) -> str:
    if step.repeated:
        return f"Then a script runs this, {REPEATED}:"
    if not step.alone:
        if single:
            return f"{step.title[:1].upper()}{step.title[1:]}:" if step.title else "Use instead:"
        return f"Migration {number}, {step.title}:" if step.title else f"Migration {number}:"
    many = len(step.statements)
    if single and many == 1:
        return f"Use instead, in a migration of its own, {NO_TRANSACTION}:"
    which = f"Migration {number}" if many == 1 else f"Migrations {number} to {number + many - 1}, one statement each"
    return f"{which}, {NO_TRANSACTION}:"


def advised(finding: Finding, remedy: Remedy) -> Finding:
    """A finding with its remedy printed behind what it says, and the remedy's kind among its evidence."""
    evidence = {**finding.evidence, "remedy": remedy.family.value}
    return replace(finding, message=f"{finding.message}\n{remedy}", evidence=evidence)


def once(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The same findings; SQL that the findings of a statement share, as with partitions, stands at the first alone."""
    first: dict[tuple[str | None, int | None, str], str] = {}
    found = []
    for item in findings:
        cause, _, cure = item.message.partition("\n")
        key = (item.migration, item.line, cure)
        if INDENT in cure and key in first:
            found.append(replace(item, message=f"{cause}\nThe SQL to use instead stands at {first[key]}."))
            continue
        first.setdefault(key, str(item.table))
        found.append(item)
    return tuple(found)
