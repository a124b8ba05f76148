"""What no longer works as findings: one for each relation and cause, unless a special rule names the cause already."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pytest_dryrun.model.scripts import Location, Migration
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.rehearsal.judge.counting import finding
from pytest_dryrun.rehearsal.release.replay import NO_RIGHT, Break
from pytest_dryrun.rehearsal.release.roles import STAND_IN
from pytest_dryrun.sql.names import bare, last, parts
from pytest_dryrun.sql.places import find, words

RULE = "old-release-breaks"
# Findings whose cause takes the whole relation away, or a column of it.
_RELATION_RULES = frozenset({"renamed", "object-dropped", "table-dropped", "schema-dropped"})
_COLUMN_RULES = frozenset({"renamed", "column-dropped", "required-column", "object-changed"})
_VERBS = ["alter", "create", "drop", "revoke", "grant", "refresh", "rename", "set", "update", "insert", "delete"]
FEW = 3
_NO_LABEL = "22P02"
# undefined_function and datatype_mismatch: what a parameter of the old type meets.
_TYPED = ("42883", "42804")


def verdict(pending: Sequence[Migration], breaks: Sequence[Break], found: Sequence[Finding]) -> tuple[Finding, ...]:
    """`old-release-breaks` for what no finding of `found` names the cause of; blocker where a statement breaks.

    A waiver of such a cause covers what follows from it: nothing more is reported here.
    """
    groups: dict[tuple[str, str, str], list[Break]] = defaultdict(list)
    for one in breaks:
        if not any(_names(item, one) for item in found):
            apart = one.sql if not one.relation else "" if one.state else one.message
            groups[one.source or one.relation, one.state, apart or one.constraint].append(one)
    return tuple(_finding(pending, group) for group in groups.values())


def confirmed(found: Sequence[Finding], breaks: Sequence[Break]) -> tuple[Finding, ...]:
    """The special findings of the release; what was tried and failed is a blocker, whatever was thought before."""
    return tuple(_confirmed(item, breaks) for item in found)


def _confirmed(item: Finding, breaks: Sequence[Break]) -> Finding:
    shown = [one for one in breaks if not one.harmless and _names(item, one)]
    if item.severity is not Severity.WARNING or item.rule not in ("required-column", "object-dropped") or not shown:
        return item
    evidence = {**item.evidence, **_evidence(shown)}
    return replace(item, severity=Severity.BLOCKER, evidence=evidence)


def _names(item: Finding, one: Break) -> bool:
    """Whether a finding names what this break comes from: the relation as a whole, or a column of it."""
    evidence = item.evidence
    if not one.relation:
        return _in_statement(item, one)
    if evidence.get("kind") == "enum value" and one.state == _NO_LABEL:
        label = str(evidence.get("old")).rpartition(".'")[2].removesuffix("'").replace("''", "'")
        return f'"{label}"' in one.message
    if item.rule == "schema-dropped":
        return bool(evidence.get("schema") == parts(one.relation)[0])
    gone = item.table if item.rule == "table-dropped" else evidence.get("old") or evidence.get("object")
    if item.rule in _RELATION_RULES and gone == one.relation:
        # What a view under the old name serves goes on working, and was tried.
        return not (item.rule == "renamed" and item.severity is Severity.WARNING)
    if item.rule not in _COLUMN_RULES or item.table not in (one.relation, one.source):
        return False
    if item.rule == "required-column" and one.verb == "SELECT":
        return False
    column = evidence.get("column")
    names = {str(column)} if column else {_column(evidence.get(end)) for end in ("old", "new")}
    return not names.isdisjoint(one.columns) or (one.constraint != "" and evidence.get("check") == one.constraint)


def _in_statement(item: Finding, one: Break) -> bool:
    """Whether a statement that no longer parses names what a finding says is gone."""
    if item.severity is not Severity.BLOCKER or item.rule not in _RELATION_RULES | _COLUMN_RULES:
        return False
    evidence = item.evidence
    named = evidence.get("column") or _column(evidence.get("old") or evidence.get("object") or item.table)
    return bool(named) and str(named) in set(words(one.sql))


def _column(identity: Any) -> str:
    return bare(last(str(identity))) if identity else ""


def _finding(pending: Sequence[Migration], group: Sequence[Break]) -> Finding:
    first = group[0]
    if not first.relation:
        return _statement(pending, first)
    name = bare(parts(first.relation.split("(", maxsplit=1)[0])[-1])
    place = find(pending, [name, first.constraint], _VERBS) if first.constraint else Location()
    if place.line is None or first.constraint not in _words_at(place):  # a name that the server made up
        place = find(pending, [name, *first.columns[:1]], _VERBS)
    harmless = all(one.harmless for one in group)
    severity = Severity.WARNING if harmless else Severity.BLOCKER
    verbs = list(dict.fromkeys(one.verb for one in group))
    roles = list(dict.fromkeys(one.role for one in group))
    who = _who(roles)
    what = _and(verbs) if any(one.what != "every statement" for one in group) else "Every statement"
    if first.state:
        said = (
            f"{what} on {first.relation} {_s(verbs, 'fails', 'fail')} for {who} after the migration, changed {place}: "
        )
        said += f"SQLSTATE {first.state}, {first.message}."
    else:
        said = (
            f"{what} on {first.relation} {_s(verbs, 'works', 'work')} otherwise for {who} after the migration, changed "
        )
        said += f"{place}: {first.message}."
    said += _remedy(first, harmless=harmless)
    about = first.relation if "(" in first.relation else None
    return finding(RULE, severity, said, place, None if about else first.relation, _evidence(group), about=about)


def _statement(pending: Sequence[Migration], one: Break) -> Finding:
    """A known statement that no longer parses; what it names may be found in the migrations."""
    place = find(pending, [word for word in words(one.message) if len(word) > 1][-3:], _VERBS)
    said = (
        f"A statement that the running release is known to send no longer parses after the migration, changed {place}"
    )
    said += f": SQLSTATE {one.state}, {one.message}. The statement: {one.sql[:500]}.{_remedy(one, harmless=False)}"
    return finding(RULE, Severity.BLOCKER, said, place, None, _evidence([one]))


def _remedy(first: Break, *, harmless: bool) -> str:
    if harmless:
        return " Make sure that the running release expects that."
    if first.state in _TYPED:
        return (
            " Typed parameters, as Prisma, JDBC and others send them, no longer fit. Keep the type until no running "
            "release needs it: add a column of the new type beside it."
        )
    if first.state == NO_RIGHT:
        return " It had this right before. Grant it again in the same migration, or let no release need it first."
    return (
        " The running release does this until its last instance is replaced. Keep what it relies on until then, and "
        "remove it in a later migration."
    )


def _evidence(group: Sequence[Break]) -> dict[str, Any]:
    first = group[0]
    roles = list(dict.fromkeys(one.role for one in group))
    return {
        "role": first.role,
        "roles": len(roles),
        "operation": first.what,
        "operations": list(dict.fromkeys(one.what for one in group)),
        "sqlstate": first.state,
        "sql": first.sql[:2000],
        "constraint": first.constraint or None,
    }


def _words_at(place: Location) -> frozenset[str]:
    """The words of the statement there."""
    return frozenset(words(place.sql))


def _who(roles: Sequence[str]) -> str:
    named = [role for role in roles if role != STAND_IN]
    if not named:
        return "an application that may read and write everything"
    rest = f" and {len(named) - FEW} more" if len(named) > FEW else ""
    return f"role {', '.join(named[:FEW])}{rest}" if len(named) == 1 else f"roles {', '.join(named[:FEW])}{rest}"


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _s(words: Sequence[str], one: str, many: str) -> str:
    return one if len(words) == 1 else many
