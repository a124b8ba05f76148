"""The statements that create, drop, rename and change an object, for people to read."""

from __future__ import annotations

from collections.abc import Collection

from pytest_dryrun.postgres.catalog import CatalogObject
from pytest_dryrun.postgres.catalog.definitions import (
    ON_TABLE,
    Attributes,
    comment,
    sequence_parameters,
    trigger_state,
    word,
)
from pytest_dryrun.sql.names import last, literal, parts

OWNED: tuple[str, ...] = (
    "table",
    "view",
    "materialized view",
    "sequence",
    "schema",
    "function",
    "procedure",
    "aggregate",
    "enum",
    "domain",
)
OWNED += (
    "composite type",
    "range type",
    "foreign table",
    "publication",
    "server",
    "statistics",
    "collation",
    "event trigger",
)


def create_sql(item: CatalogObject) -> str:
    """The definition and the grants that are not the default."""
    return "\n".join([item.definition, *_grants(item, (), item.attributes.get("grants", ()))])


def drop_sql(item: CatalogObject) -> str:
    """The statement that drops an object."""
    name = last(item.identity)
    match item.kind:
        case "column":
            return f"ALTER TABLE {item.parent} DROP COLUMN {name};"
        case "constraint":
            return f"ALTER TABLE {item.parent} DROP CONSTRAINT {name};"
        case kind if kind in ON_TABLE:
            return f"DROP {kind.upper()} {name} ON {item.parent};"
        case "comment":
            return comment(item.details, None)
        case "sequence" if item.attributes.get("identity"):
            return f"-- sequence {item.identity} goes with its identity column"
        case "default privileges":
            return f"-- default privileges {item.identity} are no longer set"
        case kind:
            return f"DROP {word(kind)} {item.identity};"


def rename_sql(old: CatalogObject, new: CatalogObject) -> str:
    """The statement that gives an object its new name, its new schema, or both."""
    name, now = last(old.identity), last(new.identity)
    if old.kind in ("column", "constraint"):
        return f"ALTER TABLE {new.parent} RENAME {old.kind.upper()} {name} TO {now};"
    if old.kind in ON_TABLE:
        return f"ALTER {old.kind.upper()} {name} ON {new.parent} RENAME TO {now};"
    statements, identity = [], old.identity
    if old.details.get("namespace") != new.details.get("namespace"):
        statements.append(f"ALTER {word(old.kind)} {identity} SET SCHEMA {parts(new.identity)[0]};")
        identity = f"{parts(new.identity)[0]}.{name}"
    if old.name != new.name:
        if old.kind in ("function", "procedure", "aggregate"):
            now = f"{parts(new.identity.split('(', maxsplit=1)[0])[-1]}"
        statements.append(f"ALTER {word(old.kind)} {identity} RENAME TO {now};")
    return "\n".join(statements)


def alter_sql(old: CatalogObject, new: CatalogObject, attributes: Collection[str]) -> str:
    """The statements that lead from one state of an object to the other, in the new state's names."""
    left = set(attributes) - {"owner", "grants"}
    statements = _altered(old, new, left) if left else []
    if "owner" in attributes and old.kind in OWNED:
        statements.append(f"ALTER {word(old.kind)} {new.identity} OWNER TO {new.attributes['owner']};")
    if "grants" in attributes:
        statements += _grants(new, old.attributes.get("grants", ()), new.attributes.get("grants", ()))
    return "\n".join(statements)


def _altered(old: CatalogObject, new: CatalogObject, left: set[str]) -> list[str]:
    match new.kind:
        case "column":
            return _column(old.attributes, new, left)
        case "table" | "foreign table":
            return _table(old.attributes, new, left)
        case "enum":
            return _enum(old.attributes.get("labels", []), new)
        case "sequence":
            return _sequence(new, left)
        case "constraint":
            if old.attributes["definition"] == f"{new.attributes['definition']} NOT VALID":
                return [f"ALTER TABLE {new.parent} VALIDATE CONSTRAINT {last(new.identity)};"]
            if left == {"disabled"}:
                state = (
                    "no longer checked: its triggers are disabled"
                    if new.attributes.get("disabled")
                    else "checked again"
                )
                return [f"-- {new.identity} is {state}"]
            return [drop_sql(old), new.definition]
        case "index":
            if left <= {"valid", "ready"}:
                return [f"-- index {new.identity} is {'valid' if new.attributes['valid'] else 'NOT valid'} now"]
            return [drop_sql(old), new.definition]
        case "trigger" if left == {"enabled"}:
            return [trigger_state(last(new.identity), new.parent, new.attributes["enabled"])]
        case "comment" | "function" | "procedure":
            return [new.definition]
        case "view":
            return _view(old, new)
        case (
            "domain"
            | "materialized view"
            | "trigger"
            | "policy"
            | "rule"
            | "composite type"
            | "statistics"
            | "event trigger"
        ):
            return [drop_sql(old), new.definition]
    return [_told(f"{new.kind} {new.identity}", key, old.attributes, new.attributes) for key in sorted(left)]


def _told(thing: str, key: str, old: Attributes, now: Attributes) -> str:
    """A change for which there is no exact statement, as a comment; of a digest only that it is another one."""
    if key == "options_digest":
        return f"-- {thing}: its options differ"
    return " ".join(f"-- {thing}: {key} was {old.get(key)}, is {now.get(key)}".split())


def _view(old: CatalogObject, new: CatalogObject) -> list[str]:
    """A view can be replaced in place as long as its columns stay and new ones come at the end."""
    were, are = (item.attributes.get("columns", []) for item in (old, new))
    if [(c["name"], c["type"]) for c in are[: len(were)]] == [(c["name"], c["type"]) for c in were]:
        return [new.definition]
    return [drop_sql(old), new.definition]


def _column(old: Attributes, new: CatalogObject, left: set[str]) -> list[str]:
    now, start = new.attributes, f"ALTER TABLE {new.parent} ALTER COLUMN {last(new.identity)}"
    statements = []
    if {"generated", "expression"} & left:
        if "expression" not in now:
            statements.append(f"{start} DROP EXPRESSION;")
        else:
            statements.append(
                f"-- {new.identity} is computed otherwise now: GENERATED ALWAYS AS ({now['expression']}) "
                f"{now['generated']}"
            )
    if "default" in left and "default" in old and {"type", "identity"} & left:
        statements.append(f"{start} DROP DEFAULT;")
    if {"type", "collation"} & left:
        collation = f" COLLATE {now['collation']}" if "collation" in now else ""
        using = f" USING {last(new.identity)}::{now['type']}" if "type" in left else ""
        statements.append(f"{start} SET DATA TYPE {now['type']}{collation}{using};")
    if "default" in left:
        statements.append(f"{start} SET DEFAULT {now['default']};" if "default" in now else f"{start} DROP DEFAULT;")
    if "not_null" in left:
        statements.append(f"{start} {'SET' if now['not_null'] else 'DROP'} NOT NULL;")
    if "identity" in left:
        if "identity" not in now:
            statements.append(f"{start} DROP IDENTITY;")
        elif "identity" in old:
            statements.append(f"{start} SET GENERATED {now['identity']};")
        else:
            statements.append(f"{start} ADD GENERATED {now['identity']} AS IDENTITY;")
    if "storage" in left:
        statements.append(f"{start} SET STORAGE {now.get('storage', 'DEFAULT')};")
    if "compression" in left:
        statements.append(f"{start} SET COMPRESSION {now.get('compression', 'default')};")
    if "statistics" in left:
        statements.append(f"{start} SET STATISTICS {now.get('statistics', -1)};")
    if "options" in left:
        statements += _options(start, old.get("options", ()), now.get("options", ()))
    rest = left & {"not_null_name", "not_null_valid", "not_null_no_inherit", "server_options"}
    if "not_null" not in left:
        statements += [_told(new.identity, key, old, now) for key in sorted(rest)]
    return statements


def _options(start: str, old: Collection[str], now: Collection[str]) -> list[str]:
    gone = {option.partition("=")[0] for option in old} - {option.partition("=")[0] for option in now}
    statements = [f"{start} RESET ({', '.join(sorted(gone))});"] if gone else []
    fresh = [option for option in now if option not in old]
    return statements + ([f"{start} SET ({', '.join(fresh)});"] if fresh else [])


def _table(old: Attributes, new: CatalogObject, left: set[str]) -> list[str]:
    now, start = new.attributes, f"ALTER TABLE {new.identity}"
    statements = []
    if "unlogged" in left:
        statements.append(f"{start} SET {'UNLOGGED' if now.get('unlogged') else 'LOGGED'};")
    if "options" in left:
        statements += _options(start, old.get("options", ()), now.get("options", ()))
    if "row_security" in left:
        statements.append(f"{start} {'ENABLE' if now.get('row_security') else 'DISABLE'} ROW LEVEL SECURITY;")
    if "force_row_security" in left:
        statements.append(f"{start} {'' if now.get('force_row_security') else 'NO '}FORCE ROW LEVEL SECURITY;")
    if "replica_identity" in left and now.get("replica_identity") != "INDEX":
        statements.append(f"{start} REPLICA IDENTITY {now.get('replica_identity', 'DEFAULT')};")
    if "partition_bound" in left or "inherits" in left:
        attached = "partition_bound" in now or "partition_bound" in old
        for parent in old.get("inherits", ()):
            statements.append(
                f"ALTER TABLE {parent} DETACH PARTITION {new.identity};"
                if attached
                else f"{start} NO INHERIT {parent};"
            )
        for parent in now.get("inherits", ()):
            bound = now.get("partition_bound")
            statements.append(
                f"ALTER TABLE {parent} ATTACH PARTITION {new.identity} {bound};"
                if attached
                else f"{start} INHERIT {parent};"
            )
    known = {
        "unlogged",
        "options",
        "row_security",
        "force_row_security",
        "replica_identity",
        "partition_bound",
        "inherits",
    }
    statements += [_told(new.identity, key, old, now) for key in sorted(left - known)]
    return statements


def _enum(were: Collection[str], new: CatalogObject) -> list[str]:
    are = list(new.attributes.get("labels", []))
    statements = []
    for position, label in enumerate(are):
        if label not in were:
            place = (
                f" AFTER {literal(are[position - 1])}"
                if position
                else (f" BEFORE {literal(are[1])}" if len(are) > 1 else "")
            )
            statements.append(f"ALTER TYPE {new.identity} ADD VALUE {literal(label)}{place};")
    gone = [label for label in were if label not in are]
    if gone:
        statements.append(f"-- {new.identity} was made again without {', '.join(literal(label) for label in gone)}")
    return statements or [f"-- {new.identity} has its values in another order now: {', '.join(are)}"]


def _sequence(new: CatalogObject, left: set[str]) -> list[str]:
    if new.attributes.get("identity"):
        column, parameters = new.attributes["owned_by"], sequence_parameters(new.attributes)
        return [f"-- sequence {new.identity} of the identity column {column}: {parameters}"]
    statements = []
    if left - {"owned_by", "identity"}:
        statements.append(f"ALTER SEQUENCE {new.identity} {sequence_parameters(new.attributes)};")
    if left & {"owned_by", "identity"}:
        statements.append(f"ALTER SEQUENCE {new.identity} OWNED BY {new.attributes.get('owned_by', 'NONE')};")
    return statements


def _grants(item: CatalogObject, old: Collection[str], new: Collection[str]) -> list[str]:
    """GRANT and REVOKE that lead from one list to the other; the lists are relative to the default."""
    lines = [line for line in new if line not in old] + [_reverse(line) for line in old if line not in new]
    if item.kind == "default privileges":
        return [
            f"ALTER DEFAULT PRIVILEGES {item.identity.rpartition(' ON ')[0]} "
            f"{_on(line, item.identity.rpartition(' ON ')[2])};"
            for line in lines
        ]
    if item.kind == "column":
        name = last(item.identity)
        return [
            _on(line.replace(" TO ", f" ({name}) TO ", 1).replace(" FROM ", f" ({name}) FROM ", 1), str(item.parent))
            + ";"
            for line in lines
        ]
    kind = "TABLE" if item.kind in ("table", "view", "materialized view", "foreign table") else word(item.kind)
    return [_on(line, f"{kind} {item.identity}") + ";" for line in lines]


def _reverse(line: str) -> str:
    if line.startswith("GRANT "):
        return line.replace("GRANT ", "REVOKE ", 1).replace(" TO ", " FROM ", 1).removesuffix(" WITH GRANT OPTION")
    return line.replace("REVOKE ", "GRANT ", 1).replace(" FROM ", " TO ", 1)


def _on(line: str, thing: str) -> str:
    """`GRANT SELECT TO x` becomes `GRANT SELECT ON thing TO x`."""
    privilege, separator, role = line.partition(" TO " if line.startswith("GRANT ") else " FROM ")
    return f"{privilege} ON {thing}{separator}{role}"
