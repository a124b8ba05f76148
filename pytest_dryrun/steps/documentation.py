"""The entry in the migration history, written while the run still goes on; its end puts the final one in its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_dryrun.model.errors import ConfigurationError
from pytest_dryrun.report import history

SLUG = "history-recorded"


@dataclass(frozen=True, slots=True)
class History:
    """The history file of one run; `needed` tells whether the run changed anything worth an entry."""

    path: Path | None
    needed: bool
    as_if_passed: Callable[[], dict[str, Any]]

    @property
    def configured(self) -> bool:
        """Whether the configuration names a history file."""
        return self.path is not None

    def write(self) -> str:
        """Write the entry as things stand, this check taken as passed; returns it as it was read back."""
        if self.path is None:
            raise ConfigurationError("No [project] history is configured.", "Nothing was written.", "Name a file.")
        return history.record(self.path, history.entry(self.as_if_passed()))
