"""Outside text inside Markdown: it stays on its line and means nothing but itself."""

from __future__ import annotations

import re

from pytest_dryrun.report import text

# What CommonMark, or GitHub's tables and strikethrough, could read as markup inside a line. An underscore between two
# letters or digits means nothing there, and names are full of them.
SPECIAL = re.compile(r"[\\`*\[\]<>&|~#!$]|(?<![^\W_])_|_(?![^\W_])")


def escape(value: str) -> str:
    """One line of outside text, every character that could be markup escaped."""
    return SPECIAL.sub(r"\\\g<0>", text.inline(value))
