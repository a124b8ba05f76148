"""Finds which Prisma a project is pinned to, and so how its migration files are executed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_dryrun.model.errors import ConfigurationError

WHOLE_FILE = "whole-file"
PER_STATEMENT = "per-statement"
_PER_STATEMENT_SINCE = (7, 4, 0)
_NUMBER = re.compile(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?")
_EXACT = re.compile(r"[v=]?\s*\d+\.\d+\.\d+[-+.\w]*$")
_LOCK_FILES = ("package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock")


@dataclass(frozen=True, slots=True)
class PrismaVersion:
    """A version and where it was read; `text` is empty where none was found, `floor` marks a range's lower end."""

    text: str
    source: str
    floor: bool = False

    @property
    def number(self) -> tuple[int, int, int] | None:
        """Major, minor and patch; None where unknown."""
        match = _NUMBER.search(self.text)
        return (int(match[1]), int(match[2] or 0), int(match[3] or 0)) if match else None


def find_version(configured: str | None, project: Path) -> PrismaVersion:
    """Resolve the version: configured, installed, locked, or the lower end of package.json's range.

    Folders above `project` are searched too, up to the repository's root, as Node does it for hoisted packages and
    workspaces.
    Raises ConfigurationError for a configured value that is no version and for Prisma 8.
    """
    if configured:
        if not re.fullmatch(r"v?\d+(\.\d+){0,2}([-+].*)?", configured):
            raise ConfigurationError(
                f"`prisma_version` is {configured!r}, which is not a version.",
                "It decides how a migration file is executed. Nothing was touched.",
                'Write it like "6.19.3", or leave it out to have it read from the project.',
            )
        return _supported(PrismaVersion(configured.removeprefix("v"), "`prisma_version` in dryrun.toml"))
    for folder in _upwards(project):
        installed = _json(folder / "node_modules/prisma/package.json").get("version")
        if isinstance(installed, str):
            return _supported(PrismaVersion(installed, str(folder / "node_modules/prisma/package.json")))
    for folder in _upwards(project):
        for name in _LOCK_FILES:
            path = folder / name
            locked = _locked(path, project) if path.is_file() else ""
            if locked:
                return _supported(PrismaVersion(locked, str(path)))
    for folder in _upwards(project):
        wanted = _wanted(_json(folder / "package.json"))
        match = _NUMBER.search(wanted)
        if match:
            exact = bool(_EXACT.match(wanted))
            return _supported(
                PrismaVersion(
                    match[0] if not exact else wanted.lstrip("v= "), str(folder / "package.json"), floor=not exact
                )
            )
    return PrismaVersion("", "no package.json, lock file or installation below or above " + str(project))


def execution_mode(version: PrismaVersion) -> tuple[str, str]:
    """How that version executes a file, and why, for people.

    Through 7.3 a file is one simple query; from 7.4.0 each statement is (prisma-engines pull requests 5767 and 5799).
    """
    number = version.number
    if number is None:
        return WHOLE_FILE, f"Prisma's version is unknown ({version.source}), so each file is sent whole, as up to 7.3"
    found = f"Prisma {version.text} ({version.source})"
    if version.floor:
        found = f"Prisma {version.text} or later, the lower end of the range in {version.source},"
    if number >= _PER_STATEMENT_SINCE:
        return PER_STATEMENT, f"{found} sends each statement of a file alone"
    doubt = (
        "; if 7.4 or later is installed, each statement is sent alone instead"
        if version.floor and number[0] == 7
        else ""
    )
    return WHOLE_FILE, f"{found} sends each file whole{doubt}"


def _supported(version: PrismaVersion) -> PrismaVersion:
    number = version.number
    if number and number[0] >= 8:
        raise ConfigurationError(
            f"Prisma {version.text} ({version.source}) keeps its migrations in another way than Prisma 7 and earlier.",
            "Reading them as classic migrations would report nothing pending. Nothing was touched.",
            "Prisma 8 is not supported yet; pin Prisma 7 or earlier.",
        )
    return version


def _upwards(project: Path) -> Iterator[Path]:
    for folder in (project.resolve(), *project.resolve().parents):
        yield folder
        if (folder / ".git").exists():
            return


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _wanted(package: dict[str, Any]) -> str:
    for group in ("dependencies", "devDependencies", "optionalDependencies"):
        entries = package.get(group)
        if isinstance(entries, dict) and isinstance(entries.get("prisma"), str):
            wanted: str = entries["prisma"]
            return (
                ""
                if wanted.startswith(("workspace:", "catalog:", "file:", "link:", "git"))
                else wanted.removeprefix("npm:prisma@")
            )
    return ""


def _locked(path: Path, project: Path) -> str:
    """Read the one version a lock file holds for this project; empty where there is none, or no telling which."""
    if path.suffix == ".json":
        return _locked_npm(_json(path), path.parent, project)
    text = path.read_text("utf-8", "replace")
    if path.name == "bun.lock":
        versions = re.findall(r'"prisma":\s*\["prisma@([^"]+)"', text)
    elif path.name == "yarn.lock":
        versions = re.findall(r'^"?(?:[^\n]*, )?prisma@[^\n]*:\n\s+version:? "?([^"\s]+)', text, re.MULTILINE)
    else:
        versions = _importer_pnpm(text, path.parent, project) or re.findall(
            r"^ +['\"]?/?prisma[@/](\d+\.\d+\.\d+[-+.\w]*)", text, re.MULTILINE
        )
    return versions[0] if len(set(versions)) == 1 else ""


def _locked_npm(lock: dict[str, Any], root: Path, project: Path) -> str:
    packages = lock.get("packages") or {
        f"node_modules/{name}": entry for name, entry in (lock.get("dependencies") or {}).items()
    }
    here = _relative(root, project)
    for folder in (f"{here}/" if here else "", ""):
        version = packages.get(f"{folder}node_modules/prisma", {}).get("version")
        if isinstance(version, str):
            return version
    return ""


def _importer_pnpm(text: str, root: Path, project: Path) -> list[str]:
    """Read the version in the project's own section of a pnpm workspace's lock file."""
    here = re.escape(_relative(root, project) or ".")
    section = re.search(rf"^  ['\"]?{here}['\"]?:\n((?:    .*\n|\n)*)", text, re.MULTILINE)
    return re.findall(
        r"^ +prisma:\n(?: +specifier:.*\n)? +version: ['\"]?(\d[-+.\w]*)", section[1] if section else "", re.MULTILINE
    )


def _relative(root: Path, project: Path) -> str:
    relative = project.resolve().relative_to(root.resolve()).as_posix()
    return "" if relative == "." else relative
