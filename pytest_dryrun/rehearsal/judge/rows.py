"""What the rehearsed migrations did to rows and values: lost, changed, moved away, filled, and what nobody can know.

Judged by comparing the tables; the migrations' text only tells where.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from pytest_dryrun.model.scripts import Location
from pytest_dryrun.model.values import Change, Finding, Severity, TableComparison
from pytest_dryrun.postgres.catalog.difference import Action
from pytest_dryrun.postgres.fingerprint.shapes import Unverified
from pytest_dryrun.rehearsal.judge.cascades import Cascade, above, cascade, names_of
from pytest_dryrun.rehearsal.judge.columns import new_columns
from pytest_dryrun.rehearsal.judge.counting import count_rows, finding
from pytest_dryrun.rehearsal.judge.effects import Effect, effects
from pytest_dryrun.rehearsal.judge.remedies.tables import populated
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.rehearsal.observe.folding import shape
from pytest_dryrun.sql.names import bare, parts
from pytest_dryrun.sql.places import Write, find_all, words

_UNPOPULATED = """
SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND c.relispopulated = %s AND c.oid = ANY(%s)
"""
# Up to so many statements that wrote to one table are told one by one.
_EACH = 20
_POPULATED = "SELECT array_agg(oid) FROM pg_class WHERE relkind = 'm' AND relispopulated"


def rows(scene: Scene) -> tuple[Finding, ...]:
    """Every loss of rows and values with its place, and what was filled without a loss, as notes."""
    found: list[Finding] = []
    for effect in effects([item for item in scene.tables if not scene.is_history(item.table)]):
        if effect.rule != "table-dropped":  # the catalogs tell
            found += _lost(scene, effect)
        elif not _listed(scene, effect.table):
            found.append(_vanished(effect))
    return (*found, *_filled(scene), *_unpopulated(scene))


def stands_in(scene: Scene, table: str) -> str:
    """Where the rows of a dropped table are accounted for instead, as the rest of a sentence; empty where nowhere."""
    item = next((item for item in scene.tables if item.table == table), None)
    if item is None:
        return ""
    if item.replaced:
        return f"another table stands under the name {table} now, and every row of it is looked for there"
    whole = next((other for other in scene.tables if other.table == item.part_of), None)
    if whole is None:
        return ""
    if whole.change is Change.DROPPED:
        return f"it is a partition of {whole.table}, which is dropped with all its rows"
    gone = any(effect.rule == "table-dropped" and effect.table == table for effect in effects(scene.tables))
    return "" if gone else f"it was a partition of {whole.table}, and every row of that is looked for in its other ones"


def foreign_made_again(scene: Scene, table: str) -> bool:
    """Whether a foreign table stands under its name as before: the same server, options and columns."""
    sides = []
    for catalog in (scene.before, scene.after):
        itself = catalog.find("foreign table", table)
        columns = {item.name: item.attributes for item in catalog.children(table, "column")}
        sides.append((itself.attributes, columns) if itself else None)
    return sides[0] is not None and sides[0] == sides[1]


def _only_made_again(scene: Scene, table: str) -> bool:
    """Whether a foreign table was dropped and made again, and no statement that may write rows names it."""
    dropped = any(change.parent == table and change.action is Action.DROPPED for change in scene.changes)
    name = [bare(parts(table)[-1])]
    writing = ["INSERT", "COPY", "MERGE", "WITH", "DO", "CALL", "SELECT", "EXECUTE"]
    return dropped and foreign_made_again(scene, table) and not find_all(scene.migrations, name, writing)


def not_verified(scene: Scene, unverified: Sequence[Unverified], written: Collection[str]) -> tuple[Finding, ...]:
    """What the migrations touched although nobody can tell what became of its rows: those on another server.

    `written` are the relations on which a statement held a lock that lets it write or alter.
    """
    found = []
    for item in unverified:
        if not item.elsewhere or any(
            change.action is Action.DROPPED and change.identity == item.table for change in scene.changes
        ):
            continue
        names = [item.table, *above(scene, item.table)]
        writes = [write for write in scene.writes() if any(write.on(name) for name in names)]
        altered = any(item.table in (change.identity, change.parent) for change in scene.changes)
        if not writes and (_only_made_again(scene, item.table) or (not altered and item.table not in written)):
            continue
        place = writes[0].place if writes else scene.find([bare(parts(item.table)[-1])], ["alter", "insert", "merge"])
        said = (
            f"{item.table} is touched {place}, and what became of its rows is not known ({item.reason}). "
            "Look at them by hand, and waive this with what you saw."
        )
        evidence = {"object": item.table, "reason": item.reason}
        found.append(finding("not-verified", Severity.BLOCKER, said, place, item.table, evidence))
    return tuple(found)


def _listed(scene: Scene, table: str) -> bool:
    return any(table in (change.identity, change.parent) for change in scene.changes)


def _vanished(effect: Effect) -> Finding:
    """What is gone with its rows although the catalogs list no drop: large objects, and tables of an extension."""
    rows_before = effect.comparison.rows_before or 0
    text = f"{effect.table}: all {rows_before:,} are gone. Keep them until nothing refers to them any more."
    return Finding("rows-lost", Severity.BLOCKER, text, table=effect.table, evidence={"rows_before": rows_before})


def _lost(scene: Scene, effect: Effect) -> Iterator[Finding]:
    """One finding; one for each statement where several may have done it, for a waiver speaks of one statement."""
    place, by = _place(scene, effect)
    places = [place] if by is not None else _candidates(scene, effect, place)
    for one in places:
        yield _lost_at(scene, effect, one, by, several=len(places))


def _candidates(scene: Scene, effect: Effect, place: Location) -> list[Location]:
    """The statements that by their words may have taken rows or values; of very many, one of each shape."""
    if effect.rule not in ("rows-lost", "content-changed") or effect.about or effect.comparison.replaced:
        return [place]
    names = names_of(scene, effect.table)
    lost = effect.rule == "rows-lost" and not effect.comparison.rekeyed
    changed = set(effect.comparison.columns_changed)
    found = [
        write.place
        for write in scene.writes()
        if any(write.on(name) for name in names)
        and write.verb in (("delete", "truncate") if lost else ("update",))
        and not write.place.sql.lstrip()[:6].upper().startswith("CREATE")
        and (lost or not changed or not write.columns or changed & set(write.columns))
    ]
    if not lost:
        for name in (bare(parts(name)[-1]) for name in names):
            for column in changed:
                found += find_all(scene.migrations, [name, column, "type"], ["ALTER", "DO"])
                found += find_all(scene.migrations, [name, column, "update"], ["MERGE", "INSERT"])
    order = {migration.name: number for number, migration in enumerate(scene.migrations)}
    found = sorted(set(found), key=lambda one: (order.get(one.migration or "", 0), one.line or 0))
    if len(found) > _EACH:
        found = list({(one.migration, shape(one.sql)): one for one in reversed(found)}.values())[::-1]
    return found or [place]


def _lost_at(scene: Scene, effect: Effect, place: Location, by: Cascade | None, *, several: int) -> Finding:
    rule, what = effect.rule, effect.what
    severity = Severity.BLOCKER
    done = f"done {place}"
    if by is not None:
        done = f"they went by {by.how} of {by.table}, set off {place}"
    if rule == "rows-lost" and effect.about:
        advice = f"Make sure that nothing looks for them in {effect.table}, and waive this with the reason."
    elif rule == "rows-lost" and _truncates(scene, effect, place):
        rule, advice = "truncated", "Delete what must go by a WHERE, in batches, after it was archived."
        what = f"{what}: the table is emptied by TRUNCATE"
    elif effect.comparison.rekeyed and rule == "rows-lost":
        advice = (
            "Whoever holds an old key (a link, a file, another system) no longer finds the row. Write the new keys to"
        )
        advice += " a new column, or waive this where nobody does."
    elif rule == "rows-lost":
        advice = "Archive them first, or leave them and filter when reading."
    elif rule == "content-changed":
        done = f"they changed by {by.how} of {by.table}, set off {place}" if by else f"changed {place}"
        advice = _advice(scene, effect)
    elif rule == "column-dropped":
        advice = "Take every column over, or drop it in a later release, after its values were moved or archived."
        severity = severity if effect.evidence["non_null"] else Severity.WARNING
    else:
        advice = "Compare them by hand, and waive this finding with what you saw."
        done = f"touched {place}"
    if several > 1:
        done += f", one of {several} statements that may have done it (a waiver excuses one of them)"
    said = f"{what}; {done}. {advice}"
    cascaded = by is not None or _only_a_part_is_named(scene, effect.table, place)
    return replace(finding(rule, severity, said, place, effect.table, effect.evidence), cascaded=cascaded)


def _only_a_part_is_named(scene: Scene, table: str, place: Location) -> bool:
    """Whether the statement names a partition of the table, not the table."""
    found = set(words(place.sql))
    names = [bare(parts(name)[-1]) for name in names_of(scene, table)]
    return bool(found) and names[0] not in found and not found.isdisjoint(names)


def _truncates(scene: Scene, effect: Effect, place: Location) -> bool:
    return any(write.verb == "truncate" and write.place == place for write in scene.writes()) and (
        not effect.comparison.replaced
    )


def _advice(scene: Scene, effect: Effect) -> str:
    names = names_of(scene, effect.table)
    types = [
        {item.name: item.attributes["type"] for name in names for item in catalog.children(name, "column")}
        for catalog in (scene.before, scene.after)
    ]
    changed = effect.comparison.columns_changed
    if any(types[0].get(name) in ("json", "text") and types[1].get(name) == "jsonb" for name in changed):
        return (
            "Where a key stands twice in one object, jsonb keeps the last value alone (PostgreSQL manual 8.14): "
            "write the documents to a new column and decide what becomes of the others."
        )
    return "Write the new values to a new column, so that the old ones stay to go back to."


def _place(scene: Scene, effect: Effect) -> tuple[Location, Cascade | None]:
    """Where it was done, and by which action of a key where the statement names another table."""
    item, name = effect.comparison, bare(parts(effect.table)[-1])
    columns = list(item.columns_changed)
    if item.replaced:
        return scene.find([name], ["rename", "drop"]), None
    if effect.rule == "rows-lost" and effect.about:
        return _detached(scene, effect, name), None
    if effect.rule == "not-verified":
        return scene.find([name], ["alter", "update"]), None
    names = names_of(scene, effect.table)
    mine = [write for write in scene.writes() if any(write.on(one) for one in names)]
    lost = effect.rule == "rows-lost" and not item.rekeyed
    verbs = ["delete", "truncate", "merge", "drop"] if lost else ["update", "merge"]
    if direct := sorted((write for write in mine if write.verb in verbs), key=_roundabout):
        return direct[0].place, None
    named = {bare(parts(one)[-1]) for one in names}
    for wanted, how in [([name], verbs)] if lost else [([name, *columns[:1]], ["alter", "type", "update", "merge"])]:
        place = scene.find(wanted, how)
        if place.sql and named & set(words(place.sql)):
            return place, None
    by = cascade(scene, effect.table, Change.ROWS_LOST if lost else Change.CONTENT_CHANGED)
    return (by.place, by) if by else (scene.find([name], verbs), None)


def _roundabout(write: Write) -> bool:
    return not write.direct


def _detached(scene: Scene, effect: Effect, parent: str) -> Location:
    """The statement that took a child from its parent; a child may have another name now."""
    children = [effect.about]
    children += [item.table for item in scene.tables if effect.about in (item.renamed_to, item.table)]
    for child in dict.fromkeys(children):
        place = scene.find([parent, bare(parts(child)[-1])], ["detach", "inherit"])
        if place.line is not None:
            return place
    return scene.find([parent], ["detach", "inherit"])


def _filled(scene: Scene) -> Iterator[Finding]:
    """Values where there were none: in columns that were NULL in every row, and in columns that came in this run."""
    for item in scene.tables:
        if scene.is_history(item.table) or item.part_of is not None:
            continue
        for column, count in item.filled.items():
            place = _filling(scene, item, item.table, column)
            came = "NULLs became values" if item.rows_after == item.rows_before else "values stand there now"
            said = (
                f"{count:,} {came} in {item.table}, column {column}, written {place}: "
                "every row was NULL there before, so no value is lost."
            )
            evidence = {"column": column, "rows": item.rows_after, "values": count}
            yield finding("content-changed", Severity.INFO, said, place, item.table, evidence)
    for new in new_columns(scene.before, scene.after, scene.history):
        given = {"default", "identity", "expression"} & set(new.column.attributes)
        if new.table_before is None or given:
            continue
        counted = count_rows(scene.copy, new.table, new.column.name)
        if isinstance(counted, tuple) and counted[1]:
            place = _filling(scene, None, new.table, new.column.name)
            said = f"{counted[1]:,} of {counted[0]:,} rows of {new.table} get a value in the new column "
            said += f"{new.column.name}, written {place}."
            evidence = {"column": new.column.name, "rows": counted[0], "values": counted[1]}
            yield finding("content-changed", Severity.INFO, said, place, new.table, evidence)


def _filling(scene: Scene, item: TableComparison | None, table: str, column: str) -> Location:
    names = names_of(scene, item.table if item else table)
    mine = [write for write in scene.writes() if write.verb == "update" and any(write.on(name) for name in names)]
    fitting = [write for write in mine if column in set(words(write.place.sql))] or mine
    if fitting:
        return fitting[0].place
    wanted = [bare(parts(table)[-1]), column]
    place = scene.find(wanted, ["update", "merge"])
    # What adds the column names both too, and stands before what fills it.
    return place if {*wanted} <= {*words(place.sql)} else scene.find(wanted, ["update", "alter", "merge"])


def _unpopulated(scene: Scene) -> Iterator[Finding]:
    """Materialized views that held rows and can no longer be read."""
    row = scene.template.execute(_POPULATED).fetchone()
    for (name,) in scene.copy.execute(_UNPOPULATED, (False, (row and row[0]) or [])).fetchall():
        place = scene.find([bare(parts(name)[-1])], ["refresh", "materialized"])
        said = (
            f"Materialized view {name} is left without rows {place}: every SELECT from it fails from then on "
            "(SQLSTATE 55000)."
        )
        evidence = {"kind": "materialized view"}
        yield finding("object-changed", Severity.BLOCKER, said, place, name, evidence, remedy=populated(name))
