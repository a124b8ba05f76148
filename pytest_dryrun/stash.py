"""Where pytest's config keeps this session; apart, so that looking there costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_dryrun.session import DryRunSession

SESSION: pytest.StashKey[DryRunSession] = pytest.StashKey()
