"""What to write instead, in one or two sentences."""

from __future__ import annotations

import re

INDEX = "Write instead: CREATE INDEX CONCURRENTLY, alone in a migration of its own."
DROP_INDEX = "Write instead: DROP INDEX CONCURRENTLY, alone in a migration of its own."
STALL = "Split the migration so that no long work happens between taking this lock and the commit."


def rewrite(sql: str) -> str:
    """How to get there without writing the table anew."""
    if re.search(r"\bREFRESH\s+MATERIALIZED\b", sql, re.IGNORECASE):
        return (
            "Write instead: REFRESH MATERIALIZED VIEW CONCURRENTLY; it needs a unique index on the view, and readers "
            "go on meanwhile."
        )
    if re.search(r"\bDEFAULT\b|\bSERIAL\b|\bGENERATED\b|\bBIGSERIAL\b", sql, re.IGNORECASE):
        return (
            "Write instead: add the column without that default, set the default in a second statement, "
            "fill old rows in batches, then make it NOT NULL."
        )
    if re.search(r"\bVACUUM\b|\bCLUSTER\b(?!\s+ON\b)", sql, re.IGNORECASE):
        return "Keep it out of the migration; plain VACUUM, or a tool that repacks online, locks nobody out."
    if re.search(r"\bSET\s+(UN)?LOGGED\b", sql, re.IGNORECASE):
        return "Nothing does this online: leave the table as it is, or plan a window for it."
    return (
        "Write instead: add a new column, write to both, fill old rows in batches, switch the application over, "
        "drop the old column in a later release."
    )


def scan(sql: str, *, earlier: bool) -> str:
    """How to check the rows without locking others out."""
    if re.search(r"\bVALIDATE\s+CONSTRAINT\b", sql, re.IGNORECASE) or earlier:
        return "Move it to a migration of its own: locks taken earlier are kept until the commit."
    if re.search(r"\b(UNIQUE|PRIMARY\s+KEY|EXCLUDE)\b", sql, re.IGNORECASE):
        return (
            "Write instead: CREATE UNIQUE INDEX CONCURRENTLY in a migration of its own, "
            "then ADD CONSTRAINT ... UNIQUE USING INDEX."
        )
    if re.search(r"\bSET\s+NOT\s+NULL\b", sql, re.IGNORECASE):
        return (
            "Write instead: ADD CHECK (column IS NOT NULL) NOT VALID, VALIDATE CONSTRAINT in the next migration, "
            "then SET NOT NULL, which reads nothing any more."
        )
    return "Write instead: ADD CONSTRAINT ... NOT VALID, and VALIDATE CONSTRAINT in the next migration."
