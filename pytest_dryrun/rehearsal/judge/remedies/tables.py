"""Whole tables and materialized views that are written again."""

from __future__ import annotations

from pytest_dryrun.postgres.catalog import CatalogObject
from pytest_dryrun.rehearsal.judge.remedies.facts import Facts
from pytest_dryrun.rehearsal.judge.remedies.remedy import Family, Remedy, Step


def refreshed(facts: Facts, view: str) -> Remedy:
    """A materialized view."""
    if any(_serves(item) for item in facts.before.children(view, "index")):
        lead = "Readers go on while Postgres refreshes it CONCURRENTLY."
        return Remedy(Family.REFRESH, lead, (Step((f"REFRESH MATERIALIZED VIEW CONCURRENTLY {view};",)),))
    lead = "There is no online way without a unique index: CONCURRENTLY needs one on plain columns, over all rows. Add "
    lead += "it to the view in a migration before, or refresh in a maintenance window."
    return Remedy(Family.REFRESH_WITHOUT_INDEX, lead)


def _serves(index: CatalogObject) -> bool:
    facts = index.details
    return bool(facts["unique"] and not facts["partial"] and 0 not in facts["keys"] and index.attributes["valid"])


def persistence(*, unlogged: bool) -> Remedy:
    """SET LOGGED or SET UNLOGGED."""
    lead = "There is no online way: the whole table is rewritten. Do it in a maintenance window"
    if unlogged:
        lead = "There is no online way: the whole table is rewritten, and the next crash empties it. Leave it logged"
    return Remedy(Family.PERSISTENCE, lead + ".")


def storage() -> Remedy:
    """SET TABLESPACE or SET ACCESS METHOD of a table."""
    lead = "There is no online way: the whole table is copied. Do it in a maintenance window, or create a new table "
    return Remedy(Family.STORAGE, lead + "there and move the rows over.")


def repacked() -> Remedy:
    """VACUUM FULL and CLUSTER."""
    lead = "There is no online way in Postgres itself. Keep it out of the migration: a plain VACUUM makes room for new "
    return Remedy(Family.REPACK, lead + "rows without blocking anybody; pg_repack rewrites the table online.")


def populated(view: str) -> Remedy:
    """A materialized view that was left without rows: nobody reads it, so nobody waits."""
    lead = "Fill it in a later migration; CONCURRENTLY is refused while it holds nothing."
    return Remedy(Family.POPULATE, lead, (Step((f"REFRESH MATERIALIZED VIEW {view};",)),))
