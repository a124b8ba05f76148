"""Under xdist a worker takes whole targets: the steps of one dry run stay together, in their order."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling


class TargetScheduling(LoadScopeScheduling):
    """xdist's scheduling by scope, where a test's scope is the target it runs for.

    Its own grouping by mark writes the group into the test's id, which pytest no longer lets it do (xdist 3.8 under
    pytest 9.2), so the id's parameter is read instead.
    """

    def __init__(self, config: pytest.Config, log: Any, targets: Collection[str]) -> None:
        super().__init__(config, log)
        self._targets = tuple(targets)

    def _split_scope(self, nodeid: str) -> str:
        return next((name for name in self._targets if nodeid.endswith(f"[{name}]")), nodeid)
