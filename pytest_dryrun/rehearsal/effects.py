"""The verdict on what the rehearsed migrations did to schema and data, from one place.

Each judgement lives in a module of its own; this one only gathers them for those who ask.
"""

from pytest_dryrun.rehearsal.effects_columns import column_findings, new_columns
from pytest_dryrun.rehearsal.effects_defaults import DefaultReadback, columns_default_readback, default_findings
from pytest_dryrun.rehearsal.effects_destructive import destructive
from pytest_dryrun.rehearsal.effects_foreign_keys import ForeignKey, count_orphans, foreign_keys, invalid, orphans
from pytest_dryrun.rehearsal.effects_rows import BOOKKEEPING, is_bookkeeping
from pytest_dryrun.rehearsal.effects_violations import VIOLATIONS, violations

__all__ = [
    "BOOKKEEPING",
    "VIOLATIONS",
    "DefaultReadback",
    "ForeignKey",
    "column_findings",
    "columns_default_readback",
    "count_orphans",
    "default_findings",
    "destructive",
    "foreign_keys",
    "invalid",
    "is_bookkeeping",
    "new_columns",
    "orphans",
    "violations",
]
