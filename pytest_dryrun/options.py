"""The settings of the command line and the ini file, and what is printed for `--dryrun-list`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_dryrun.model.values import CheckSpec


def setting(config: pytest.Config, name: str) -> tuple[str | None, str]:
    """An option's value and where it came from; the command line wins over the ini file."""
    value = config.getoption(name)
    if value is not None:
        return str(value), "command line"
    ini = config.getini(name)
    return (str(ini), "ini file") if ini else (None, "default")


def checklist_lines(specs: Iterable[CheckSpec], target: str) -> list[str]:
    """The checklist as text: number, slug, title, criterion, blocking or not."""
    specs = list(specs)
    width = max((len(spec.slug) for spec in specs), default=0)
    criteria = max((len(spec.criterion) for spec in specs), default=0)
    lines = [f"checklist for target {target}: {len(specs)} checks"]
    section = 0
    for spec in specs:
        if spec.section != section:
            section = spec.section
            lines += ["", f"{section} {spec.section_title}"]
        blocking = "blocking" if spec.blocking else "advisory"
        lines.append(f"  {spec.number:<5} {spec.slug:<{width}}  {spec.criterion:<{criteria}}  {blocking}  {spec.title}")
    return lines
