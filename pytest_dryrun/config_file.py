"""Reading `dryrun.toml`: where it is, what it says for the chosen targets, and every mistake in it at once."""

from __future__ import annotations

import difflib
import fnmatch
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pytest_dryrun.config import LOCAL_ONLY, REMOTE_ONLY, Configuration, Project, Target, WaiverTable
from pytest_dryrun.model.errors import ConfigurationError
from pytest_dryrun.model.redaction import Redactor

FILE_NAME = "dryrun.toml"
TARGET_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_UNTOUCHED = "The configuration decides what is touched, so nothing was run and nothing was touched."


@dataclass(frozen=True, slots=True)
class Loaded:
    """The configuration of one run: the file, the chosen targets, and the secrets that came from the environment.

    `production` holds every target of that role, chosen or not: what the others must not turn out to be.
    """

    path: Path
    project: Project
    targets: Mapping[str, Target]
    waivers: tuple[WaiverTable, ...]
    not_required: Mapping[str, str]
    secrets: frozenset[str]
    production: Mapping[str, Target]

    @property
    def root(self) -> Path:
        """The folder of `dryrun.toml`, which relative paths start from."""
        return self.path.parent


def find(start: Path, explicit: str | None) -> Path:
    """The file to read: the one named, else the nearest `dryrun.toml` in this folder or a parent."""
    if explicit is not None:
        path = (start / explicit).resolve()
        if not path.is_file():
            raise ConfigurationError(f"{path} is not there.", _UNTOUCHED, "Name an existing file with --dryrun-config.")
        return path
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise ConfigurationError(
        f"No {FILE_NAME} in {start.resolve()} or any folder above it.",
        _UNTOUCHED,
        f"Write a {FILE_NAME} beside the project, or name one with --dryrun-config FILE.",
    )


def load(path: Path, wanted: str, environment: Mapping[str, str] | None = None) -> Loaded:
    """Read the file for the targets named by `wanted` (names or globs, comma-separated).

    `${VAR}` is replaced in everything but the targets that are not run. Raises one ConfigurationError that lists
    every mistake with its key, what was found and what is allowed.
    """
    raw = _parse(path)
    names = _select(raw, wanted, path)
    expansion = _Expansion(os.environ if environment is None else environment)
    expanded = expansion.walk({key: value for key, value in raw.items() if key != "targets"}, "")
    targets: dict[str, Any] = raw["targets"]  # a table: something in it was selected
    expanded["targets"] = {
        name: expansion.walk(table, f"targets.{name}") if name in names else table for name, table in targets.items()
    }
    guards = _Expansion(expansion.environment)  # what names production is no secret
    if any(isinstance(targets[name], dict) and targets[name].get("role") == "staging" for name in names):
        expanded["targets"] |= _listed_production(targets, names, guards)
    problems = [*expansion.problems, *guards.problems, *_tables_of_other_roles(targets)]
    try:
        configuration = Configuration.model_validate(_tuples(expanded))
    except ValidationError as error:
        problems += [_problem(item) for item in error.errors(include_url=False)]
        raise _mistakes(path, problems, expansion.secrets) from None
    if problems:
        raise _mistakes(path, problems, expansion.secrets)
    return Loaded(
        path=path,
        project=configuration.project,
        targets={name: configuration.targets[name] for name in names},
        waivers=configuration.waivers,
        not_required=dict(configuration.decision.not_required),
        secrets=frozenset(expansion.secrets),
        production={name: each for name, each in configuration.targets.items() if each.role == "production"},
    )


def _listed_production(targets: Mapping[str, Any], chosen: Sequence[str], guards: _Expansion) -> dict[str, Any]:
    """Production targets with their databases' names filled in: what a staging target must not turn out to be."""
    return {
        name: {**table, "database": guards.walk(table["database"], f"targets.{name}.database")}
        for name, table in targets.items()
        if name not in chosen and isinstance(table, dict) and table.get("role") == "production" and "database" in table
    }


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"{path} cannot be read as TOML: {error}.", _UNTOUCHED, "Mend the file.") from error


def _select(raw: Mapping[str, Any], wanted: str, path: Path) -> list[str]:
    known = list(raw["targets"]) if isinstance(raw.get("targets"), dict) else []
    bad = [name for name in known if not TARGET_NAME.match(name)]
    if bad:
        raise _mistakes(
            path, [f"targets.{bad[0]}: a target's name is a folder's name too: letters, digits, `.`, `_` and `-`"]
        )
    chosen: list[str] = []
    for pattern in (item.strip() for item in wanted.split(",")):
        matches = [name for name in known if fnmatch.fnmatchcase(name, pattern)]
        if not matches:
            listed = ", ".join(known) or "none"
            near = difflib.get_close_matches(pattern, known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ConfigurationError(
                f"{path} has no target {pattern!r}.", _UNTOUCHED, f"Targets it has: {listed}.{hint}"
            )
        chosen += [name for name in matches if name not in chosen]
    return chosen


class _Expansion:
    """Replaces `${VAR}` in strings, remembering what came from outside and what was missing."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.problems: list[str] = []
        self.secrets: set[str] = set()

    def walk(self, value: Any, key: str) -> Any:
        if isinstance(value, dict):
            return {name: self.walk(item, f"{key}.{name}" if key else name) for name, item in value.items()}
        if isinstance(value, list):
            return [self.walk(item, f"{key}[{index}]") for index, item in enumerate(value)]
        return _VARIABLE.sub(lambda match: self._variable(match[1], key), value) if isinstance(value, str) else value

    def _variable(self, name: str, key: str) -> str:
        if name not in self.environment:
            self.problems.append(f"{key}: the environment variable {name} is not set")
            return f"${{{name}}}"
        if not key.startswith("project."):  # what stands there is meant to be shown
            self.secrets.add(self.environment[name])
        return self.environment[name]


def _tables_of_other_roles(targets: Mapping[str, Any]) -> list[str]:
    """Tables that cannot stand with their target's role; looked for apart, so that no other mistake hides them."""
    problems = []
    for name, table in targets.items():
        role = table.get("role") if isinstance(table, dict) else None
        foreign = REMOTE_ONLY if role == "local" else LOCAL_ONLY if role in {"staging", "production"} else ()
        problems += [f'targets.{name}.{key}: cannot stand with role = "{role}"' for key in foreign if key in table]
    return problems


def _tuples(value: Any) -> Any:
    """TOML's arrays as tuples, which is what strict frozen models hold."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _problem(item: Any) -> str:
    """One mistake in words: key, what was found, what is allowed."""
    location = [part for part in item["loc"] if part not in {"function-after", "function-before"}]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    kind, found = item["type"], item.get("input")
    if kind == "extra_forbidden":
        allowed = _allowed(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), allowed, n=1)
        return f"{key}: unknown key" + (f", did you mean {near[0]}?" if near else f", allowed: {', '.join(allowed)}")
    if kind == "missing":
        return f"{key}: missing"
    if kind == "literal_error":
        return f"{key}: found {_shown(found)}, allowed: {item['ctx']['expected']}"
    if kind == "value_error":
        wording = str(item["ctx"]["error"])
        shown = "" if isinstance(found, (dict, BaseModel)) else f"found {_shown(found)}, allowed: "
        return f"{key or FILE_NAME}: {shown}{wording}"
    return f"{key}: found {_shown(found)}, {item['msg'][0].lower()}{item['msg'][1:]}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _allowed(location: Sequence[Any]) -> list[str]:
    """The keys that the table at this location may have."""
    model: Any = Configuration
    for part in location:
        if isinstance(part, int):
            continue
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            continue
        model = {"targets": Target, "waivers": WaiverTable}.get(str(part)) or _model(field.annotation)
    return [field.alias or name for name, field in getattr(model, "model_fields", {}).items()]


def _model(annotation: Any) -> Any:
    options = getattr(annotation, "__args__", (annotation,))
    return next((option for option in options if hasattr(option, "model_fields")), annotation)


def _mistakes(path: Path, problems: Sequence[str], secrets: Iterable[str] = ()) -> ConfigurationError:
    redactor = Redactor(secrets)
    lines = "\n".join(f"  {path.name}: {redactor.text(problem)}" for problem in problems)
    count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    return ConfigurationError(f"{path} has {count}:\n{lines}", _UNTOUCHED, "Mend them all; each line names the key.")
