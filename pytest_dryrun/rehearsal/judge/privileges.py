"""Who may do what: rights taken away or given, in words, told once for all objects that share a cause.

Source: the manual, "Privileges", and the functions `aclexplode` and `acldefault`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.postgres.catalog.naming import Naming
from pytest_dryrun.postgres.catalog.rows import Row
from pytest_dryrun.rehearsal.judge.accounts import Difference
from pytest_dryrun.rehearsal.judge.scene import Scene
from pytest_dryrun.sql.names import bare, parts

FEW = 5
# Grantee and right.
Rights = frozenset[tuple[str, str]]
# The letter by which acldefault knows a kind of object, and the column of its owner.
_DEFAULTS = {
    "pg_class": ("r", "relowner"),
    "pg_database": ("d", "datdba"),
    "pg_foreign_data_wrapper": ("F", "fdwowner"),
    "pg_foreign_server": ("S", "srvowner"),
    "pg_language": ("l", "lanowner"),
    "pg_largeobject_metadata": ("L", "lomowner"),
    "pg_namespace": ("n", "nspowner"),
    "pg_proc": ("f", "proowner"),
    "pg_tablespace": ("t", "spcowner"),
    "pg_type": ("T", "typowner"),
}
# What nobody has written down: the rights that everybody and the owner have of an object of this kind.
_UNWRITTEN = """
SELECT concat(a.grantee, '=', a.privilege_type, CASE WHEN a.is_grantable THEN '*' END, '/', a.grantor)
  FROM aclexplode(acldefault(%s::"char", %s::oid)) a
"""
_LINE = re.compile(r"(\d+)=([A-Z ]+)(\*?)/\d+")


@dataclass(frozen=True, slots=True)
class Right:
    """One right that one grantee has gained or lost on one object."""

    given: bool
    kind: str
    identity: str
    grantee: str
    right: str


@dataclass(frozen=True, slots=True)
class Grants:
    """Reads rights out of rows; `roles` are names by oid, those of roles that are gone included."""

    connection: psycopg.Connection[Any]
    roles: Mapping[int, str]
    defaults: dict[tuple[str, str | None], list[str]] = field(default_factory=dict, init=False)

    def rights(self, table: str, row: Row, other: Row | None = None) -> Rights:
        """Grantee and right for each right in a row; what no list says is the default.

        The owner's own are told as such, be it the owner of this row or of the `other` that it is compared with: a new
        owner takes over what the old one could do.
        """
        letter, owner = _DEFAULTS.get(table, ("", ""))
        if table == "pg_class" and row["relkind"] == "S":
            letter = "s"
        written = next((value for name, value in row.items() if name.endswith("acl")), None)
        lines = self._unwritten(letter, row[owner]) if written is None and letter else [written or ""]
        owners = {side[owner] for side in (row, other or row)} if owner else set()
        return frozenset(
            (self._who(grantee, owners), right + (" WITH GRANT OPTION" if passed_on else ""))
            for line in lines
            for grantee, right, passed_on in _LINE.findall(line)
        )

    def _unwritten(self, letter: str, owner: str | None) -> list[str]:
        if (letter, owner) not in self.defaults:
            rows = self.connection.execute(_UNWRITTEN, (letter, owner)).fetchall()
            self.defaults[letter, owner] = [line for (line,) in rows]
        return self.defaults[letter, owner]

    def _who(self, grantee: str, owners: Collection[str | None]) -> str:
        if grantee == "0":
            return "PUBLIC"
        return "its owner" if grantee in owners else self.roles.get(int(grantee), grantee)

    def changed(self, naming: Naming, differences: Iterable[tuple[Difference, bool]]) -> list[Right]:
        """Every right gained or lost; what is gained is left out where the flag says that it is listed already."""
        found = []
        for item, listed in differences:
            was, now = item.row.old, item.row.new
            old = self.rights(item.row.table, was, now) if was else frozenset()
            new = self.rights(item.row.table, now, was) if now else frozenset()
            name = naming.row(item.row.table, item.row.row, item.address)
            found += [Right(False, name.kind, name.identity, *one) for one in sorted(old - new)]
            if not listed:
                found += [Right(True, name.kind, name.identity, *one) for one in sorted(new - old)]
        return found


def privilege_findings(scene: Scene, found: Sequence[Right]) -> tuple[Finding, ...]:
    """One warning for each set of rights that one grantee lost, or gained, on objects of one kind."""
    objects: dict[tuple[bool, str, str, str], dict[str, None]] = defaultdict(dict)
    for one in found:
        objects[one.given, one.kind, one.grantee, one.right][one.identity] = None
    together: dict[tuple[tuple[bool, str, str], tuple[str, ...]], list[str]] = defaultdict(list)
    for (given, kind, grantee, right), names in objects.items():
        together[(given, kind, grantee), tuple(names)].append(right)
    return tuple(_finding(scene, *key, lines) for key, lines in together.items())


def _finding(scene: Scene, cause: tuple[bool, str, str], names: tuple[str, ...], rights: Sequence[str]) -> Finding:
    given, kind, grantee = cause
    named = [bare(part) for part in parts(names[0].split("(", maxsplit=1)[0])]
    place = scene.find([named[-1]], ["grant" if given else "revoke", "owner", "privileges", "update"])
    many = f"{kind} {names[0]}" if len(names) == 1 else f"{len(names)} objects ({kind} {', '.join(names[:FEW])}"
    if len(names) > 1:
        many += ", ...)" if len(names) > FEW else ")"
    verb, remedy = (
        ("gets", "Make sure that this was meant") if given else ("loses", "Make sure that nobody needs it any more")
    )
    who = "Its owner" if grantee == "its owner" else f"Role {grantee}" if grantee != "PUBLIC" else grantee
    text = f"{who} {verb} {', '.join(rights)} on {many}; done {place}. {remedy}."
    relation = names[0] if kind in _RELATIONS else None
    return Finding(
        "privileges-changed",
        Severity.WARNING,
        text,
        place.migration,
        place.line,
        relation,
        {"grantee": grantee, "rights": list(rights), "given": given, "objects": list(names[:50]), "count": len(names)},
        object=None if relation else names[0],
    )


_RELATIONS = ("table", "view", "materialized view", "foreign table", "sequence")
