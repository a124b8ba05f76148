"""What one dry run tells while it goes: records, the parts of its report, notes, and who met an error first."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from pytest_dryrun.model.values import CheckRecord, as_json
from pytest_dryrun.progress import Progress


class Journal:
    """The telling side of a dry run; its steps are elsewhere."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.records: dict[str, CheckRecord] = {}
        self.parts: dict[str, Any] = {}
        self.memo: dict[str, Any] = {}
        self._unsent: set[str] = set()
        self._owners: list[tuple[BaseException, str]] = []
        self._stack = ExitStack()

    def owner(self, error: BaseException, slug: str) -> str | None:
        """The check that met this very error first, None where it is this one."""
        for known, first in self._owners:
            if known is error:
                return first if first != slug else None
        self._owners.append((error, slug))
        return None

    def publish(self, **parts: Any) -> None:
        """Fill parts of the report's document; they travel with the check that is running."""
        self.parts.update(as_json(parts))
        self._unsent |= set(parts)

    def note(self, *texts: str) -> None:
        """Tell the reader of the page something that is no finding."""
        self.publish(
            notes=[*self.parts.get("notes", []), *(text for text in texts if text not in self.parts.get("notes", []))]
        )

    def take_parts(self) -> dict[str, Any]:
        """The parts that were filled since they were last taken."""
        taken = {key: self.parts[key] for key in self._unsent}
        self._unsent.clear()
        return taken

    def closing(self, end: Callable[[], object]) -> None:
        """Have something ended with this run, the last one opened first."""
        self._stack.callback(end)

    def hold(self, context: AbstractContextManager[object]) -> None:
        """Enter something that lasts as long as this run."""
        self._stack.enter_context(context)

    def close(self) -> None:
        """End everything this run started; may be called twice."""
        self._stack.close()
