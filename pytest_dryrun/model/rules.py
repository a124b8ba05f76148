"""Every rule a finding may carry, once: judges, waivers, the documentation and the tests read this list."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from pytest_dryrun.model.values import Severity

# Static advice carries the name of squawk's own rule behind this.
LINT = "lint/"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its usual severity, the check that reports it, what it says in a sentence, whether it may be waived.

    Where an effect grows with the table, the usual severity is the one of a big table.
    """

    id: str
    severity: Severity
    check: str
    sentence: str
    waivable: bool = True


_B, _W, _I = Severity.BLOCKER, Severity.WARNING, Severity.INFO

_RULES = (
    # What held data.
    Rule("table-dropped", _B, "no-destructive-operations", "A table with rows is dropped, by a cascade too."),
    Rule("column-dropped", _B, "no-destructive-operations", "A column with values is dropped."),
    Rule("schema-dropped", _B, "no-destructive-operations", "A schema with rows in its tables is dropped."),
    Rule("rows-lost", _B, "no-destructive-operations", "Rows are gone from a table, or from what reads through it."),
    Rule("content-changed", _B, "no-destructive-operations", "Values that were there are not what they were."),
    Rule("truncated", _B, "no-destructive-operations", "A table with rows is emptied by TRUNCATE."),
    Rule("data-at-risk", _B, "no-destructive-operations", "A table is UNLOGGED: the next crash empties it."),
    Rule("not-verified", _B, "no-destructive-operations", "The migration touched what could not be compared."),
    Rule("unjudged-change", _B, "no-destructive-operations", "The catalog differs in a way that no judge claims."),
    Rule("sequence-reset", _B, "no-destructive-operations", "A sequence hands out numbers that are taken, or none."),
    Rule("object-changed", _W, "no-destructive-operations", "An object other than a table works otherwise now."),
    Rule("privileges-changed", _W, "no-destructive-operations", "Who may do what is not what it was."),
    Rule("trigger-disabled", _W, "no-destructive-operations", "A trigger or rule no longer fires as it did."),
    # The running release.
    Rule("renamed", _B, "running-release", "A name that the running release uses is another one now."),
    Rule("object-dropped", _B, "running-release", "An object that holds no rows is dropped."),
    Rule("required-column", _B, "running-release", "A writer that does not know a column can no longer write."),
    Rule("old-release-breaks", _B, "running-release", "What the running release does no longer works."),
    Rule("settings-changed", _B, "running-release", "Settings of the database or of a role are changed."),
    Rule("cascade-added", _W, "running-release", "A DELETE takes along what it did not before."),
    # Time.
    Rule("table-rewritten", _B, "safe-defaults", "A table is rewritten while nobody can read it."),
    Rule("scanned-under-lock", _B, "safe-defaults", "Every row is read while others are locked out."),
    Rule("unsafe-default", _B, "safe-defaults", "A default that rewrites the table, or that rows do not get."),
    Rule("index-blocks-writes", _B, "indexes-do-not-block", "An index is built or dropped without CONCURRENTLY."),
    Rule("reads-blocked", _B, "stalls", "Readers had to wait too long."),
    Rule("writes-blocked", _B, "stalls", "Writers had to wait too long."),
    Rule("rows-locked", _B, "stalls", "Rows stay locked too long for whoever writes them."),
    Rule("lock-queue", _W, "stalls", "Others queue behind a statement that waits for an open transaction."),
    Rule("not-observed", _B, "stalls", "The recorder was silenced, removed, or could not see a statement."),
    # Constraints.
    Rule("enforcement-off", _B, "foreign-keys-preserve-integrity", "A constraint is no longer enforced."),
    Rule("constraint-violated", _B, "foreign-keys-preserve-integrity", "Rows break a constraint that stands there."),
    Rule("constraint-not-valid", _I, "foreign-keys-preserve-integrity", "A constraint is NOT VALID; no row breaks it."),
    Rule("orphaned-rows", _B, "foreign-keys-preserve-integrity", "Rows have no parent."),
    Rule("foreign-key-without-index", _W, "foreign-keys-preserve-integrity", "A new foreign key has no index."),
    Rule("invalid-index", _B, "indexes-valid", "An index is not valid: it costs every write and serves no query."),
    Rule("invalid-constraint", _B, "indexes-valid", "A constraint is not valid."),
    # Applying.
    Rule("statement-failed", _B, "schema-diff", "A statement of a migration failed."),
    Rule("partially-applied", _B, "schema-diff", "A failed migration left part of its work behind."),
    Rule("rolled-back-itself", _B, "schema-diff", "A migration undid its own work and counts as applied."),
    Rule("reaches-outside", _B, "schema-diff", "It would be felt outside the database that is migrated."),
    Rule("history-changed", _B, "schema-diff", "A migration changed the history.", waivable=False),
    Rule("drift", _B, "migration-status", "The database is not where its history says it is.", waivable=False),
    Rule("edited-migration", _B, "migration-status", "A migration was edited after it was applied.", waivable=False),
    Rule("missing-migration", _B, "migration-status", "An applied migration is not in the folder.", waivable=False),
    Rule("failed-migration", _B, "migration-status", "A migration began and did not finish.", waivable=False),
    Rule("migration-lock", _I, "migration-status", "Prisma's migration_lock.toml is missing."),
    # The backup, the target and the machine.
    Rule("restore-differs", _B, "backup-restores", "The restored database is not the original.", waivable=False),
    Rule("version-differs", _W, "backup-restores", "Copies run on another major version than the target."),
    Rule("version-untested", _W, "schema-version", "The server is newer than this release knows."),
    Rule("changed-by-others", _W, "rows-intact", "Others wrote to the table while the run went on."),
    Rule("plan-changed", _W, "latency-p95", "A statement's plan got worse."),
    Rule("latency-regressed", _W, "latency-p95", "A request or query got slower."),
    # Waivers.
    Rule("waiver-without-reason", _B, "pending-migrations", "A waiver gives no reason.", waivable=False),
    Rule("waiver-expired", _B, "pending-migrations", "A waiver has expired.", waivable=False),
    Rule("waiver-retired", _I, "pending-migrations", "A waiver names a rule that no longer exists.", waivable=False),
    Rule("waiver-unused", _W, "history-recorded", "A waiver matched nothing in this run.", waivable=False),
)

RULES: Mapping[str, Rule] = {rule.id: rule for rule in _RULES}

# Findings that say that something is unknown: open, they leave a criterion undetermined, where others fail it.
UNDETERMINED = frozenset({"not-verified"})

# What a rule of former versions has become; a waiver that names one is a notice.
RETIRED: Mapping[str, str] = {
    "unfiltered-write": "rows and values are reported by rows-lost and content-changed",
    "foreign-key-cascades": "it is cascade-added now",
}


def unknown(rule: str) -> str:
    """Why a waiver may not name this rule, and what it might mean; empty where it may."""
    if rule in RETIRED or rule.startswith(LINT):
        return ""
    if rule not in RULES:
        near = difflib.get_close_matches(rule, RULES, n=1)
        return f"there is no rule {rule!r}" + (f", did you mean {near[0]!r}?" if near else "")
    return "" if RULES[rule].waivable else f"{rule} cannot be waived: {RULES[rule].sentence}"
