"""The SQL that would create an object again, made from its attributes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_dryrun.sql.names import last, literal

Attributes = Mapping[str, Any]

# What pg_identify_object calls things, and what COMMENT ON calls them.
COMMENT_WORDS = {"table column": "COLUMN", "view column": "COLUMN", "materialized view column": "COLUMN"}
COMMENT_WORDS |= {"foreign table column": "COLUMN", "composite type column": "COLUMN", "table constraint": "CONSTRAINT"}
COMMENT_WORDS |= {"domain constraint": "CONSTRAINT", "statistics object": "STATISTICS"}

# Kinds and the word that CREATE, ALTER and DROP use for them.
WORDS = {"enum": "TYPE", "composite type": "TYPE", "range type": "TYPE", "base type": "TYPE"}
# Whose DROP, ALTER ... RENAME and COMMENT need `ON table`.
ON_TABLE = ("trigger", "rule", "policy")


def word(kind: str) -> str:
    """The word of the SQL grammar for a kind."""
    return WORDS.get(kind, kind.upper())


def column_clause(name: str, attributes: Attributes) -> str:
    """One column as CREATE TABLE and ADD COLUMN spell it; `name` is quoted where it must be, here and below."""
    parts = [name, attributes["type"]]
    if "collation" in attributes:
        parts.append(f"COLLATE {attributes['collation']}")
    if "compression" in attributes:
        parts.append(f"COMPRESSION {attributes['compression']}")
    if "expression" in attributes:
        parts.append(f"GENERATED ALWAYS AS ({attributes['expression']}) {attributes['generated']}")
    if "identity" in attributes:
        parts.append(f"GENERATED {attributes['identity']} AS IDENTITY")
    if "default" in attributes:
        parts.append(f"DEFAULT {attributes['default']}")
    if attributes["not_null"]:
        parts.append("NOT NULL")
    return " ".join(parts)


def column_extras(table: str, name: str, attributes: Attributes) -> list[str]:
    """What a column carries that its clause cannot say."""
    start = f"ALTER TABLE {table} ALTER COLUMN {name}"
    extras = []
    if "storage" in attributes:
        extras.append(f"{start} SET STORAGE {attributes['storage']};")
    if "statistics" in attributes:
        extras.append(f"{start} SET STATISTICS {attributes['statistics']};")
    if "options" in attributes:
        extras.append(f"{start} SET ({', '.join(attributes['options'])});")
    return extras


def _table(identity: str, attributes: Attributes, columns: Sequence[tuple[str, Attributes]]) -> str:
    lines = ",\n".join(f"    {column_clause(name, facts)}" for name, facts in columns)
    unlogged, foreign = attributes.get("unlogged"), "server" in attributes
    text = f"CREATE {'UNLOGGED ' if unlogged else ''}{'FOREIGN ' if foreign else ''}TABLE {identity} (\n{lines}\n)"
    attach = "partition_bound" in attributes
    if "inherits" in attributes and not attach:
        text += f" INHERITS ({', '.join(attributes['inherits'])})"
    if "partition_key" in attributes:
        text += f" PARTITION BY {attributes['partition_key']}"
    if "access_method" in attributes:
        text += f" USING {attributes['access_method']}"
    options = [*attributes.get("options", ()), *(f"toast.{option}" for option in attributes.get("toast_options", ()))]
    if options:
        text += f" WITH ({', '.join(options)})"
    if "tablespace" in attributes:
        text += f" TABLESPACE {attributes['tablespace']}"
    if foreign:
        text += f" SERVER {attributes['server']}"
    statements = [text + ";"]
    if attach and "inherits" in attributes:  # whoever writes to pg_inherits leaves a partition of nothing
        statements.append(
            f"ALTER TABLE {attributes['inherits'][0]} ATTACH PARTITION {identity} {attributes['partition_bound']};"
        )
    statements += [extra for name, facts in columns for extra in column_extras(identity, name, facts)]
    if attributes.get("row_security"):
        statements.append(f"ALTER TABLE {identity} ENABLE ROW LEVEL SECURITY;")
    if attributes.get("force_row_security"):
        statements.append(f"ALTER TABLE {identity} FORCE ROW LEVEL SECURITY;")
    if attributes.get("replica_identity") in ("FULL", "NOTHING") and not foreign:
        statements.append(f"ALTER TABLE {identity} REPLICA IDENTITY {attributes['replica_identity']};")
    return "\n".join(statements)


def _view(kind: str, identity: str, attributes: Attributes) -> str:
    options = f" WITH ({', '.join(attributes['options'])})" if "options" in attributes else ""
    query = attributes["query"].strip().rstrip(";")
    tail = " WITH NO DATA" if attributes.get("populated") is False else ""
    return f"CREATE {'OR REPLACE ' if kind == 'view' else ''}{kind.upper()} {identity}{options} AS\n {query}{tail};"


def sequence_parameters(attributes: Attributes) -> str:
    """The parameters of a sequence, all of them."""
    return (
        f"AS {attributes['type']} INCREMENT BY {attributes['increment']} MINVALUE {attributes['minimum']} "
        f"MAXVALUE {attributes['maximum']} START WITH {attributes['start']} CACHE {attributes['cache']} "
        f"{'CYCLE' if attributes['cycle'] else 'NO CYCLE'}"
    )


def _sequence(identity: str, attributes: Attributes) -> str:
    if attributes.get("identity"):
        return f"-- sequence {identity} comes with the identity column {attributes.get('owned_by')}"
    text = (
        f"CREATE {'UNLOGGED ' if attributes.get('unlogged') else ''}SEQUENCE {identity} "
        f"{sequence_parameters(attributes)};"
    )
    if "owned_by" in attributes:
        text += f"\nALTER SEQUENCE {identity} OWNED BY {attributes['owned_by']};"
    return text


def _type(kind: str, identity: str, attributes: Attributes) -> str:
    if kind == "enum":
        return (
            f"CREATE TYPE {identity} AS ENUM ({', '.join(literal(label) for label in attributes.get('labels', ()))});"
        )
    if kind == "composite type":
        parts = (
            f"{column['name']} {column['type']}" + (f" COLLATE {column['collation']}" if "collation" in column else "")
            for column in attributes.get("columns", ())
        )
        return f"CREATE TYPE {identity} AS ({', '.join(parts)});"
    if kind == "range type":
        options = ", ".join(f"{key} = {value}" for key, value in attributes["range"].items())
        return f"CREATE TYPE {identity} AS RANGE ({options});"
    if kind == "domain":
        text = f"CREATE DOMAIN {identity} AS {attributes['base']}"
        text += f" COLLATE {attributes['collation']}" if "collation" in attributes else ""
        text += f" DEFAULT {attributes['default']}" if "default" in attributes else ""
        text += " NOT NULL" if attributes["not_null"] else ""
        return (
            text
            + "".join(f" CONSTRAINT {name} {rule}" for name, rule in attributes.get("constraints", {}).items())
            + ";"
        )
    return f"-- base type {identity}, input function {attributes.get('input')}"


def _policy(name: str, parent: str | None, attributes: Attributes) -> str:
    text = f"CREATE POLICY {name} ON {parent} AS {'PERMISSIVE' if attributes['permissive'] else 'RESTRICTIVE'}"
    text += f" FOR {attributes['command']} TO {', '.join(attributes['roles'])}"
    text += f" USING ({attributes['using']})" if "using" in attributes else ""
    return text + (f" WITH CHECK ({attributes['check']})" if "check" in attributes else "") + ";"


def trigger_state(name: str, parent: str | None, enabled: str) -> str:
    """How a trigger fires: `O` as usual, `D` never, `R` on replicas, `A` always."""
    state = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}.get(enabled, "ENABLE")
    return f"ALTER TABLE {parent} {state} TRIGGER {name};"


def comment(details: Attributes, text: str | None) -> str:
    """COMMENT ON for what pg_identify_object names."""
    kind, identity = details["of"], details["object"]
    if kind == "domain constraint":
        identity = re.sub(r" on (?=\S+$)", " ON DOMAIN ", identity)
    elif kind in ("table constraint", *ON_TABLE):
        identity = re.sub(r" on ", " ON ", identity)
    return (
        f"COMMENT ON {COMMENT_WORDS.get(kind, kind.upper())} {identity} IS {'NULL' if text is None else literal(text)};"
    )


def _index_definition(identity: str, name: str, parent: str | None, attributes: Attributes) -> str:
    statements = [attributes["definition"] + ";"]
    if attributes.get("clustered"):
        statements.append(f"ALTER TABLE {parent} CLUSTER ON {name};")
    if attributes.get("replica_identity"):
        statements.append(f"ALTER TABLE {parent} REPLICA IDENTITY USING INDEX {name};")
    if "attached_to" in attributes:
        statements.append(f"ALTER INDEX {attributes['attached_to']} ATTACH PARTITION {identity};")
    return "\n".join(statements)


def definition(
    kind: str,
    identity: str,
    parent: str | None,
    attributes: Attributes,
    *,
    columns: Sequence[tuple[str, Attributes]],
    details: Attributes,
) -> str:
    """The SQL that would create this object; a comment where no statement of the usual kind exists."""
    name = last(identity)
    match kind:
        case "table" | "foreign table":
            return _table(identity, attributes, columns)
        case "column":
            return "\n".join(
                [
                    f"ALTER TABLE {parent} ADD COLUMN {column_clause(name, attributes)};",
                    *column_extras(str(parent), name, attributes),
                ]
            )
        case "constraint":
            return f"ALTER TABLE {parent} ADD CONSTRAINT {name} {attributes['definition']};"
        case "index":
            return _index_definition(identity, name, parent, attributes)
        case "view" | "materialized view":
            return _view(kind, identity, attributes)
        case "sequence":
            return _sequence(identity, attributes)
        case "enum" | "domain" | "composite type" | "range type" | "base type":
            return _type(kind, identity, attributes)
        case "policy":
            return _policy(name, parent, attributes)
        case "trigger":
            state = "" if attributes["enabled"] == "O" else "\n" + trigger_state(name, parent, attributes["enabled"])
            return f"{attributes['definition']};{state}"
        case "comment":
            return comment(details, attributes["text"])
        case "schema":
            return f"CREATE SCHEMA {identity};"
        case "extension":
            return f"CREATE EXTENSION {identity} WITH SCHEMA {attributes['schema']};"
        case "event trigger":
            tags = (
                f" WHEN TAG IN ({', '.join(literal(tag) for tag in attributes['tags'])})"
                if "tags" in attributes
                else ""
            )
            event, function = attributes["event"], attributes["function"]
            return f"CREATE EVENT TRIGGER {identity} ON {event}{tags} EXECUTE FUNCTION {function}();"
    if "definition" in attributes:  # functions, procedures, rules, statistics
        return f"{attributes['definition'].strip().rstrip(';')};"
    return f"-- {kind} {identity}: " + _listed(attributes)


def _listed(attributes: Attributes) -> str:
    shown: Iterable[str] = (f"{key} = {value}" for key, value in attributes.items() if key != "options_digest")
    return re.sub(r"\s+", " ", ", ".join(shown)) or "compared by name"
