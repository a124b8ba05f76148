"""What pytest collected, matched with the checklist and put into its order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pytest_dryrun.checklist import Checklist, shipped_folder
from pytest_dryrun.model.decision import LAST_SECTION_BEFORE_APPLY, precedes_apply
from pytest_dryrun.model.values import CheckSpec

# The parameter that says which target a test runs for.
TARGET = "dryrun_target"
_AFTER_EVERYTHING = (99, 99, 0)


def slug_of(item: pytest.Item) -> str | None:
    """The slug of a collected check, None for any other test."""
    marker = item.get_closest_marker("dryrun_check")
    return str(marker.args[0]) if marker is not None and marker.args else None


def target_of(item: pytest.Item) -> str:
    """The target a test runs for; empty where it asks for none."""
    callspec = getattr(item, "callspec", None)
    return str(callspec.params.get(TARGET, "")) if callspec is not None else ""


def targets_of(definition: pytest.Item, checklists: Mapping[str, Checklist]) -> list[str]:
    """The targets a test runs for: those whose checklist has it, all of them where it is no check."""
    slug = slug_of(definition)
    having = [name for name, each in checklists.items() if any(_is(definition, spec) for spec in each.specs)]
    return having if slug is not None and having else list(checklists)


def claim(items: Sequence[pytest.Item], checklists: Mapping[str, Checklist]) -> None:
    """Match checks with their checklist; UsageError for one that it does not list, or that was collected twice."""
    seen: set[tuple[str, str]] = set()
    for item in items:
        slug, target = slug_of(item), target_of(item)
        if slug is None:
            continue
        if target not in checklists or not any(_is(item, spec) for spec in checklists[target].specs):
            raise pytest.UsageError(
                f"{item.nodeid}: check {slug!r} is not part of the checklist.\n"
                "What is not on the list cannot be missed, so nothing was run.\n"
                "Checks live in test_NN_name.py files of the checks/ folder beside dryrun.toml."
            )
        if (target, slug) in seen:
            raise pytest.UsageError(
                f"{item.nodeid}: check {slug!r} was collected twice for one target.\n"
                "One line of the checklist has one result, so nothing was run.\n"
                "Take the parametrization away, or give each case its own check."
            )
        seen.add((target, slug))
        if item.path.resolve().parent == shipped_folder().resolve():
            _refuse_shadows(item)


def _refuse_shadows(item: pytest.Item) -> None:
    """Hand shipped checks the dry run's own steps alone: a fixture of the same name would answer in their place."""
    defined = getattr(item, "_fixtureinfo").name2fixturedefs  # noqa: B009 - pytest hands it out nowhere else
    for name, definitions in defined.items():
        modules = [definition.func.__module__ for definition in definitions]
        if "pytest_dryrun.fixtures" in modules and modules[-1] != "pytest_dryrun.fixtures":
            raise pytest.UsageError(
                f"The fixture {name!r} of {modules[-1]} stands in the place of the dry run's own.\n"
                f"The shipped check {item.nodeid} would judge it instead of the target, so nothing was run.\n"
                "Give it another name; `pytest --fixtures` with --dryrun-target lists those that are taken."
            )


def order(items: list[pytest.Item], checklists: Mapping[str, Checklist]) -> None:
    """Put each target's checks into the order of its checklist, whoever shuffled them; other tests come last.

    A check that has to hold before the target is touched comes before that.
    """
    rank = {name: position for position, name in enumerate(checklists)}
    places = {(name, spec.slug): turn(spec) for name, each in checklists.items() for spec in each.specs}

    def place(item: pytest.Item) -> tuple[int, tuple[int, int, int]]:
        target = target_of(item)
        return rank.get(target, len(rank)), places.get((target, slug_of(item) or ""), _AFTER_EVERYTHING)

    items.sort(key=place)


def turn(spec: CheckSpec) -> tuple[int, int, int]:
    """When a check comes: with its section, and behind section 4 at the latest where it precedes the deployment."""
    last = LAST_SECTION_BEFORE_APPLY if precedes_apply(spec) else spec.section
    return min(spec.section, last), spec.section, spec.position


def _is(item: pytest.Item, spec: CheckSpec) -> bool:
    name = getattr(item, "originalname", item.name)
    return spec.slug == slug_of(item) and spec.function == name and Path(spec.path) == item.path.resolve()
