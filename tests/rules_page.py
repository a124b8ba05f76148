"""The table of every rule in docs/rules.md, made from the list: `python tests/rules_page.py` rewrites it."""

from __future__ import annotations

from pathlib import Path

from pytest_dryrun.model.rules import RETIRED, RULES

PAGE = Path(__file__).parent.parent / "docs" / "rules.md"
BEGIN, END = "<!-- rules: generated from pytest_dryrun/model/rules.py -->", "<!-- /rules -->"


def table() -> str:
    """Every rule, then what retired ones have become."""
    lines = ["| rule | usual severity | check | what it says | can be waived |", "| --- | --- | --- | --- | --- |"]
    for rule in RULES.values():
        waivable = "yes" if rule.waivable else "no"
        lines.append(f"| `{rule.id}` | {rule.severity.value} | `{rule.check}` | {rule.sentence} | {waivable} |")
    lines += ["", "Retired rules; a waiver that names one is a notice and excuses nothing:", ""]
    lines += [f"- `{rule}`: {became}." for rule, became in RETIRED.items()]
    return "\n".join(lines)


def with_table(page: str) -> str:
    """The page with today's table between its two comments."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
