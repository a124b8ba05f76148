"""Turn a migration dry-run checklist into tests, and their results into a GO or a NO-GO."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

__version__ = "0.1.0"
__all__ = ["__version__", "check"]


def check(slug: str, *, criterion: str = "no-p0", blocking: bool = True) -> pytest.MarkDecorator:
    """Mark a test function as one line of the checklist.

    `slug` is its lasting name (kebab-case), `criterion` the row of the decision matrix that it feeds. A check that is
    not `blocking` is shown and recorded, and decides nothing. All three are written as literals: the checklist is read
    from the source, so that a check cannot get lost between writing it and running it.
    """
    import pytest

    return pytest.mark.dryrun_check(slug, criterion=criterion, blocking=blocking)
