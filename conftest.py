"""Shared by this repository's tests and by rehearsals run from it; the plugin itself comes from its entry point."""

from __future__ import annotations

# Neither tests nor checks: `pytest .` must not stumble over them.
collect_ignore = ["bench", "build"]
