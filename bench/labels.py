"""The labelled set as values: every file below `labelled/`, with what it claims and what shows the claim."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "labelled"
BASES = FOLDER / "bases"
FAMILIES = (
    "columns",
    "drops-and-renames",
    "constraints",
    "indexes",
    "types",
    "dml",
    "partitions",
    "views",
    "rights-and-settings",
    "maintenance",
    "do-blocks",
    "several-files",
)
HARMS = ("differs", "fails", "admits", "lacks", "blocked", "stops", "crash")
CALMS = ("works", "open")

_KEY = re.compile(r"-- (\w+): (.+)")
_SECTION = re.compile(r"-- @(\w+) ?(.*)")
_KEYS = {"family", "label", "harm", "why", "rules", "told", "base", "scale", "role", "transaction", "server"}


@dataclass(frozen=True, slots=True)
class Proof:
    """One script of an application's session, and what it has to show.

    `kind` is one of HARMS or CALMS. `state` is the SQLSTATE that has to come; empty where any error will do.
    """

    kind: str
    state: str
    script: str


@dataclass(frozen=True, slots=True)
class Base:
    """What the database holds before: the schema, and the rows."""

    schema: str
    seed: str


@dataclass(frozen=True, slots=True)
class Labelled:
    """One migration with its label: `rules` are expected of an unsafe one, `told` of a safe one as a warning."""

    name: str
    family: str
    unsafe: bool
    sentence: str
    rules: frozenset[str]
    told: frozenset[str]
    base: str
    scale: float
    superuser: bool
    transaction: bool
    server: int
    seed: str
    pending: tuple[str, ...]
    proofs: tuple[Proof, ...]


def read(folder: Path = FOLDER) -> tuple[Labelled, ...]:
    """Read the whole set, in the order of its families and names. A file that cannot be read is a ValueError."""
    return tuple(_read(path) for family in FAMILIES for path in sorted((folder / family).glob("*.sql")))


def base(name: str) -> Base:
    """Read one of the databases that migrations start from."""
    found = dict(_sections((BASES / f"{name}.sql").read_text(encoding="utf-8"))[1])
    return Base(found["schema"], found["seed"])


def sample(migrations: Sequence[Labelled], count: int) -> tuple[Labelled, ...]:
    """Take some, spread evenly over the families."""
    step = max(1, len(migrations) // count)
    return tuple(migrations[step // 2 :: step][:count])


def _read(path: Path) -> Labelled:
    keys, sections = _sections(path.read_text(encoding="utf-8"))
    told_wrong = [key for key in keys if key not in _KEYS]
    if told_wrong or keys.get("label") not in {"safe", "unsafe"} or keys.get("family") != path.parent.name:
        raise ValueError(f"{path.parent.name}/{path.name}: its first lines name {sorted(keys)}")
    unsafe = keys["label"] == "unsafe"
    proofs = []
    for title, script in sections:
        word, _, rest = title.partition(" ")
        if word in {"harm", "calm"}:
            kind, _, state = rest.partition(" ")
            proofs.append(Proof(kind or "works", state, script))
    return Labelled(
        name=path.stem,
        family=path.parent.name,
        unsafe=unsafe,
        sentence=keys["harm" if unsafe else "why"],
        rules=_listed(keys.get("rules", "")),
        told=_listed(keys.get("told", "")),
        base=keys["base"],
        scale=float(keys.get("scale", "1")),
        superuser=keys.get("role", "") == "superuser",
        transaction=keys.get("transaction", "") != "no",
        server=int(keys.get("server", "0")),
        seed="".join(text for title, text in sections if title == "seed"),
        pending=tuple(text for title, text in sections if title == "pending"),
        proofs=tuple(proofs),
    )


def _sections(text: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Cut a file into the keys of its first lines and its sections, each with its title."""
    keys: dict[str, str] = {}
    sections: list[tuple[str, str]] = []
    for line in text.splitlines():
        if begun := _SECTION.fullmatch(line):
            sections.append((f"{begun[1]} {begun[2]}".strip(), ""))
        elif sections:
            sections[-1] = (sections[-1][0], f"{sections[-1][1]}{line}\n")
        elif found := _KEY.fullmatch(line):
            keys[found[1]] = found[2]
    return keys, sections


def _listed(text: str) -> frozenset[str]:
    return frozenset(word.strip() for word in text.split(",") if word.strip())
