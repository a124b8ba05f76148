"""What a migration does outside its own database: tried on the copy and refused there, or seen on the whole server.

See `postgres.outside` for what is refused, and `outside_words` for what only the text can tell before it runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import psycopg

from pytest_dryrun.model.errors import MigrationFailed
from pytest_dryrun.model.scripts import Location
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.catalog.addresses import number
from pytest_dryrun.postgres.catalog.claims import claims
from pytest_dryrun.postgres.catalog.cluster import Cluster
from pytest_dryrun.postgres.catalog.rows import paired
from pytest_dryrun.postgres.outside import REFUSED
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.rehearsal.observe.observation import Observed

# Shared catalogs that are nobody else's to tell of: what they list, and the column of its name.
_KINDS = {"pg_database": ("database", "datname"), "pg_tablespace": ("tablespace", "spcname")}
RULE = "reaches-outside"
CURE = (
    "A rollback does not undo it, and a rehearsal cannot try it. Take it out of the migration, and do it apart from the"
    " deployment."
)


def refused(error: MigrationFailed) -> Finding | None:
    """A migration that ended because it tried to reach outside, as a finding; None where it failed otherwise."""
    if error.sqlstate != REFUSED:
        return None
    cause = error.__cause__
    said = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
    where = Location(error.migration, error.line, error.statement)
    what = (said or error.what).removesuffix(". On a copy it is refused")
    text = f"{where.head}: {what}. The copy refused it before anything outside was touched. {CURE}"
    return finding(text, where, [what.removesuffix(" reaches outside the database")])


def swallowed(observed: Sequence[Observed], error: MigrationFailed | None) -> tuple[Finding, ...]:
    """Attempts that did not end the migration, or of which its own program told nothing."""
    known = error is not None and error.sqlstate == REFUSED
    found = []
    for one in observed:
        where = Location(one.run.migration or None, one.run.line or None, one.run.sql)
        ended = known and error is not None and (error.migration, error.line) == (where.migration, where.line)
        if not one.reached or ended:
            continue
        what = ", ".join(one.reached)
        text = (
            f"{where.head}: {what} reaches outside the database. The copy refused it. Where the migration caught that"
            f" error and went on, it would do something else on the target than it did here. {CURE}"
        )
        found.append(finding(text, where, one.reached))
    return tuple(found)


def elsewhere(scene: Scene, before: Cluster, after: Cluster) -> tuple[Finding, ...]:
    """What became of other databases and of tablespaces while the migration ran on the copy."""
    return tuple(_changed(scene, name, what) for name, what in _differences(before, after))


def _differences(before: Cluster, after: Cluster) -> Iterator[tuple[str, str]]:
    for table in before.tables:
        kind, column = _KINDS.get(table.name, ("", ""))
        if not kind:
            continue
        sides = before.rows[table.name], after.rows.get(table.name, ())
        for change in paired(table, *sides, claims().left_out().get(table.name, ())):
            if kind == "tablespace" or number(change.row["oid"]) != before.database:
                yield (change.old or change.row)[column] or "", f"the {kind} {{}} is {change.event.value}"


def _changed(scene: Scene, name: str, what: str) -> Finding:
    where = scene.find([name], ["database", "tablespace"])
    text = f"{where.head}: {what.format(name)} on the whole server, outside the database that is migrated. {CURE}"
    return finding(text, where, [name])


def finding(text: str, where: Location, objects: Sequence[str]) -> Finding:
    """A blocker of this rule."""
    evidence = {"statement": where.sql[:2000], "objects": list(objects)}
    return Finding(
        RULE, Severity.BLOCKER, text, where.migration, where.line, evidence=evidence, object=objects[0] or None
    )
