"""The checklist as its files declare it, read from the source: nothing is imported, nothing can get lost."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_dryrun.config import Target
from pytest_dryrun.model.decision import DEFAULT_CRITERION, TITLES
from pytest_dryrun.model.errors import ConfigurationError
from pytest_dryrun.model.values import CheckSpec

_FILE = re.compile(r"^test_(\d\d)_[a-z0-9_]+\.py$")
_SLUG = re.compile(r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")
_NOTHING_RAN = "The checklist is not known, so nothing was run and nothing was touched."


def shipped_folder() -> Path:
    """Where the plugin's own checks lie: inside the installed package, or beside it in a source tree."""
    package = Path(__file__).parent
    inside = package / "checks"
    return inside if inside.is_dir() else package.parent / "checks"


@dataclass(frozen=True, slots=True)
class Checklist:
    """One target's checklist and the folders it was read from."""

    folders: tuple[Path, ...]
    specs: tuple[CheckSpec, ...]


def of_target(root: Path, target: Target) -> Checklist:
    """Read the shipped checks, the project's `checks/` beside `dryrun.toml`, and the one in the target's directory."""
    own = [root / "checks"]
    if target.role == "local":
        own.append(root / target.directory / "checks")
    folders = [shipped_folder(), *(folder for folder in own if folder.is_dir())]
    unique = tuple(dict.fromkeys(folder.resolve() for folder in folders))
    return Checklist(unique, read(unique))


def read(folders: Sequence[Path]) -> tuple[CheckSpec, ...]:
    """Read every `test_NN_name.py` of the folders, in the order of the checklist.

    A later folder adds to the sections of an earlier one; a section keeps the first title it was given.
    Raises ConfigurationError for a file that is no Python, a check whose arguments are not literals, an unknown
    criterion, and a slug that stands twice.
    """
    titles: dict[int, str] = {}
    found: dict[int, list[CheckSpec]] = {}
    seen: dict[str, str] = {}
    for folder in folders:
        for path in sorted(folder.glob("test_*.py")):
            match = _FILE.match(path.name)
            if match is None:
                continue
            section = int(match[1])
            tree = _parse(path)
            titles.setdefault(
                section, _first_line(ast.get_docstring(tree)) or path.stem[8:].replace("_", " ").capitalize()
            )
            for spec in _checks(tree, path, section, titles[section], len(found.get(section, []))):
                if spec.slug in seen:
                    raise _wrong(
                        path,
                        f"the slug {spec.slug!r} is used twice, here and in {seen[spec.slug]}.",
                        "Give each check its own slug.",
                    )
                seen[spec.slug] = str(path)
                found.setdefault(section, []).append(spec)
    return tuple(spec for section in sorted(found) for spec in found[section])


def sections(specs: Iterable[CheckSpec]) -> list[tuple[int, str]]:
    """Number and title of each section, in order."""
    return sorted({spec.section: spec.section_title for spec in specs}.items())


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except (SyntaxError, UnicodeDecodeError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise ConfigurationError(
            f"{path}{line} is not Python: {error}.", _NOTHING_RAN, "Mend the file; every check in it counts."
        ) from error


def _checks(tree: ast.Module, path: Path, section: int, title: str, already: int) -> Iterable[CheckSpec]:
    functions = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    marked = [
        (function, mark)
        for function in functions
        for mark in function.decorator_list
        if isinstance(mark, ast.Call) and _is_check(mark)
    ]
    for position, (function, mark) in enumerate(marked, start=already + 1):
        slug, criterion, blocking = _arguments(mark, path)
        text = inspect.cleandoc(ast.get_docstring(function, clean=False) or "")
        first, _, rest = text.partition("\n")
        yield CheckSpec(
            slug=slug,
            section=section,
            position=position,
            section_title=title,
            title=first.strip().rstrip(".") or slug,
            explanation=rest.strip(),
            criterion=criterion,
            blocking=blocking,
            path=str(path),
            function=function.name,
        )


def _is_check(mark: ast.Call) -> bool:
    name = mark.func
    return (isinstance(name, ast.Name) and name.id == "check") or (
        isinstance(name, ast.Attribute) and name.attr in {"check", "dryrun_check"}
    )


def _arguments(mark: ast.Call, path: Path) -> tuple[str, str, bool]:
    values: dict[str, object] = {}
    named = [("slug", mark.args[0])] if len(mark.args) == 1 else []
    named += [(keyword.arg or "**", keyword.value) for keyword in mark.keywords]
    for name, node in named:
        if not isinstance(node, ast.Constant):
            raise _wrong(
                path,
                f"line {mark.lineno}: {name} of @check is not a literal.",
                "Write it out: the checklist is read, not run.",
            )
        values[name] = node.value
    slug, criterion, blocking = (
        values.get("slug"),
        values.get("criterion", DEFAULT_CRITERION),
        values.get("blocking", True),
    )
    unknown = set(values) - {"slug", "criterion", "blocking"}
    if unknown or not isinstance(slug, str) or not _SLUG.match(slug):
        raise _wrong(
            path,
            f"line {mark.lineno}: @check takes one kebab-case slug, criterion= and blocking=.",
            'For example @check("user-crud", criterion="crud-pass").',
        )
    if not isinstance(criterion, str) or criterion not in TITLES:
        raise _wrong(path, f"line {mark.lineno}: unknown criterion {criterion!r}.", f"One of: {', '.join(TITLES)}.")
    if not isinstance(blocking, bool):
        raise _wrong(path, f"line {mark.lineno}: blocking is {blocking!r}.", "True or False.")
    return slug, criterion, blocking


def _first_line(text: str | None) -> str:
    return text.strip().splitlines()[0].strip().rstrip(".") if text and text.strip() else ""


def _wrong(path: Path, what: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"{path}: {what}", _NOTHING_RAN, remedy)
