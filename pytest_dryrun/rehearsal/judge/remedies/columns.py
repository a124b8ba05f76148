"""New columns that would rewrite or scan their table, and columns that change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlparse import tokens as kinds

from pytest_dryrun.postgres.catalog import CatalogObject
from pytest_dryrun.postgres.catalog.definitions import column_clause
from pytest_dryrun.rehearsal.judge.remedies.constraints import Parts, checked, not_null_parts, required_parts, unique
from pytest_dryrun.rehearsal.judge.remedies.facts import Facts, beside
from pytest_dryrun.rehearsal.judge.remedies.remedy import Family, Remedy, Step
from pytest_dryrun.sql.lexer import tokens
from pytest_dryrun.sql.names import last, literal

BATCH = 1000
VIRTUAL = 18  # generated columns that are computed when they are read


def new_column(facts: Facts, column: CatalogObject) -> Remedy:
    """A column that was added in a way that reads or rewrites every row."""
    if "expression" in column.attributes:
        return _stored(facts, column)
    if "identity" in column.attributes:
        return _identity(facts, column)
    domain = facts.after.find("domain", column.attributes["type"])
    if domain is not None and domain_checks(facts, domain):
        return _of_domain(facts, column, domain)
    table, name, facts_of = str(column.parent), last(column.identity), column.attributes
    if not column.details.get("volatile"):
        lead = "Add the column first, which reads nothing, and what is demanded of it after."
        steps = [Step((f"ALTER TABLE {table} ADD COLUMN {column_clause(name, facts_of)};",))]
        return Remedy(Family.NEW_COLUMN, lead, (*steps, *_demands(facts, column)))
    lead = "Add the column empty, then its default for new rows, and fill the old ones in batches."
    fill = Step((batch(facts, table, name, "DEFAULT", f"{name} IS NULL"),), repeated=True)
    not_null = not_null_parts(facts, table, [column]) if facts_of["not_null"] else Parts()
    numbers = _sequence(facts, column)
    steps = [Step((*numbers[:1], *_plain(column), *numbers[1:], _default(column))), fill, *not_null.steps()]
    return Remedy(Family.FILLED_COLUMN, lead, (*steps, *_demands(facts, column)))


def _plain(column: CatalogObject, type_name: str = "") -> tuple[str, ...]:
    """ADD COLUMN without default and NOT NULL."""
    kept = {key: value for key, value in column.attributes.items() if key in ("type", "collation", "compression")}
    clause = column_clause(
        last(column.identity), {**kept, "not_null": False, **({"type": type_name} if type_name else {})}
    )
    return (f"ALTER TABLE {column.parent} ADD COLUMN {clause};",)


def _default(column: CatalogObject) -> str:
    start = f"ALTER TABLE {column.parent} ALTER COLUMN {last(column.identity)} SET DEFAULT"
    return f"{start} {column.attributes['default']};"


def _owned(facts: Facts, column: CatalogObject) -> CatalogObject | None:
    found = facts.after.of_kind("sequence")
    return next((item for item in found if item.attributes.get("owned_by") == column.identity), None)


def _sequence(facts: Facts, column: CatalogObject) -> tuple[str, ...]:
    """The sequence of a serial column, made before the column, and then owned by it."""
    owned = _owned(facts, column)
    if owned is None or not facts.is_new(owned):
        return ()
    return (
        f"CREATE SEQUENCE {owned.identity} AS {owned.attributes['type']};",
        f"ALTER SEQUENCE {owned.identity} OWNED BY {column.identity};",
    )


def batch(facts: Facts, table: str, column: str, value: str, condition: str) -> str:
    """An UPDATE of some rows that are not filled yet."""
    key = ", ".join(facts.key(table)) or ("tableoid, ctid" if facts.partitioned(table) else "ctid")
    rows = f"({key})" if "," in key else key
    return (
        f"UPDATE {table} SET {column} = {value} WHERE {rows} IN\n"
        f"  (SELECT {key} FROM {table} WHERE {condition} LIMIT {BATCH});"
    )


def _demands(facts: Facts, column: CatalogObject) -> Iterator[Step]:
    """The steps of what else was demanded of a new column together with it."""
    for item in facts.new("constraint", str(column.parent)):
        index = facts.index_of(item) if item.attributes["type"] in ("unique", "primary key", "exclude") else None
        named = column.number in index.details["keys"] if index else _mentions(item, column)
        if named and index:
            yield from unique(facts, item, "").steps
        elif named:
            yield from checked(facts, item).steps


def _mentions(item: CatalogObject, column: CatalogObject) -> bool:
    if "columns" in item.details:
        return column.name in item.details["columns"]
    return any(value in (column.name, last(column.identity)) for _, _, value in tokens(item.attributes["definition"]))


def _identity(facts: Facts, column: CatalogObject) -> Remedy:
    table, name, kind = str(column.parent), last(column.identity), column.attributes["identity"]
    owned = _owned(facts, column)
    counts = owned.attributes if owned else {"type": column.attributes["type"], "start": 1, "increment": 1}
    options = (
        ""
        if (counts["start"], counts["increment"]) == (1, 1)
        else (f" START WITH {counts['start']} INCREMENT BY {counts['increment']}")
    )
    numbers = beside(table, facts.unused(table, name, "fill"))
    start = f"ALTER TABLE {table} ALTER COLUMN {name}"
    first = (
        f"CREATE SEQUENCE {numbers} AS {counts['type']}{options};",
        *_plain(column),
        f"{start} SET DEFAULT nextval({literal(numbers)});",
    )
    fill = Step((batch(facts, table, name, "DEFAULT", f"{name} IS NULL"),), repeated=True)
    own = f"pg_get_serial_sequence({literal(table)}, {literal(column.name)})"
    end = (
        f"{start} DROP DEFAULT;",
        f"{start} ADD GENERATED {kind} AS IDENTITY{f' ({options.strip()})' if options else ''};",
        f"SELECT setval({own}, nextval({literal(numbers)}));",
        f"DROP SEQUENCE {numbers};",
    )
    lead = "An identity column rewrites the table. Number the rows in batches, and make it an identity column after."
    not_null = not_null_parts(facts, table, [column]).steps(end=end)
    return Remedy(Family.IDENTITY, lead, (Step(first), fill, *not_null, *_demands(facts, column)))


def _stored(facts: Facts, column: CatalogObject) -> Remedy:
    table, name, expression = str(column.parent), last(column.identity), column.attributes["expression"]
    lead = "There is no online way to add a STORED generated column: every row is rewritten. "
    if facts.major >= VIRTUAL:
        virtual = column_clause(name, {**column.attributes, "generated": "VIRTUAL"})
        lead += "A VIRTUAL one is computed when it is read and rewrites nothing."
        return Remedy(Family.VIRTUAL, lead, (Step((f"ALTER TABLE {table} ADD COLUMN {virtual};",)),))
    lead += "A plain column that a trigger fills holds the same values."
    function = beside(table, facts.unused(table, name, "compute"))
    body = f"BEGIN NEW.{name} := (SELECT {expression} FROM (SELECT NEW.*) AS new_row); RETURN NEW; END"
    trigger = f"CREATE TRIGGER {last(function)} BEFORE INSERT OR UPDATE ON {table}\n"
    trigger += f"  FOR EACH ROW EXECUTE FUNCTION {function}();"
    returns = f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS\n  {literal(body)};"
    first = (*_plain(column), returns, trigger)
    fill = batch(facts, table, name, f"({expression})", f"{name} IS DISTINCT FROM ({expression})")
    not_null = not_null_parts(facts, table, [column]) if column.attributes["not_null"] else Parts()
    return Remedy(Family.STORED, lead, (Step(first), Step((fill,), repeated=True), *not_null.steps()))


def domain_checks(facts: Facts, domain: CatalogObject) -> list[str]:
    """The checks of a domain and of those below it, which speak of VALUE, and NOT NULL as a check."""
    below = facts.after.find("domain", domain.attributes["base"])
    own = [text.removesuffix(" NOT VALID") for text in domain.attributes.get("constraints", {}).values()]
    if domain.attributes["not_null"]:
        own.append("CHECK (VALUE IS NOT NULL)")
    return [*own, *(domain_checks(facts, below) if below else [])]


def _base(facts: Facts, domain: CatalogObject) -> str:
    below = facts.after.find("domain", domain.attributes["base"])
    return _base(facts, below) if below else str(domain.attributes["base"])


def _of_domain(facts: Facts, column: CatalogObject, domain: CatalogObject) -> Remedy:
    """The base type with the domain's checks; an expression of VALUE becomes one of the column."""
    table, name = str(column.parent), last(column.identity)
    checks = [_of_column(text, name) for text in domain_checks(facts, domain)]
    names = [facts.unused(table, name, "check" + (str(n) if n else "")) for n in range(len(checks))]
    default = column.attributes.get("default") or domain.attributes.get("default")
    clause: Mapping[str, Any] = {"type": _base(facts, domain), "not_null": False}
    volatile = bool(column.details.get("volatile"))
    if default and not volatile:
        clause = {**clause, "default": default}
    first = [f"ALTER TABLE {table} ADD COLUMN {column_clause(name, clause)};"]
    fill: list[Step] = []
    if default and volatile:
        first.append(_default(column))
        fill = [Step((batch(facts, table, name, "DEFAULT", f"{name} IS NULL"),), repeated=True)]
    first += [
        f"ALTER TABLE {table} ADD CONSTRAINT {one} {text} NOT VALID;" for one, text in zip(names, checks, strict=True)
    ]
    then = tuple(f"ALTER TABLE {table} VALIDATE CONSTRAINT {one};" for one in names)
    not_null = not_null_parts(facts, table, [column]) if column.attributes["not_null"] else Parts()
    lead = (
        f"There is no online way to add a column of domain {domain.identity}: every row is rewritten, with a default "
    )
    lead += "or without. Take its base type, and its checks for the column."
    steps = (Step(tuple(first)), *fill, Step(then), *not_null.steps())
    return Remedy(Family.DOMAIN_COLUMN, lead, steps)


def _of_column(check: str, column: str) -> str:
    return "".join(
        column if kind is kinds.Keyword and value.upper() == "VALUE" else value for _, kind, value in tokens(check)
    )


def required(table: str, column: str, type_name: str, *, major: int) -> Remedy:
    """A column that is demanded of rows that cannot have it yet; names are quoted."""
    lead = "Give it a DEFAULT; or add it nullable, let every writer give it, fill the old rows, and demand it last."
    parts = required_parts(table, {column: None}, major=major)
    first = Step((f"ALTER TABLE {table} ADD COLUMN {column} {type_name};",))
    demand = Step(parts.first, title="once every row has a value") if parts.first else Step(())
    return Remedy(Family.REQUIRED_COLUMN, lead, (first, demand, *parts.steps()[1:]))


def retyped(columns: Sequence[str]) -> Remedy:
    """A column whose values or index must be converted."""
    what = f"column {', '.join(columns)}" if columns else "such a column"
    lead = (
        f"There is no online way to change {what} in place. Do it in a maintenance window; or add a column of the new "
    )
    lead += (
        "type, let a trigger fill it, fill old rows in batches, switch the application over, and drop the old column "
    )
    return Remedy(Family.TYPE, lead + "in a later release.")


def recomputed() -> Remedy:
    """A generated column that gets another expression."""
    lead = "There is no online way to change the expression of a stored column: every row is rewritten. Do it in a "
    return Remedy(Family.EXPRESSION, lead + "maintenance window, or add another column.")
