"""The decision for a terminal at 2 a.m.: the matrix, the reasons under the rows they belong to, the page, the word."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from pytest_dryrun.model.messages import blocks
from pytest_dryrun.report import reading, text, verdict, words

STYLES = {"good": "green", "bad": "bold red", "warn": "bold yellow", "quiet": "dim"}
MOST_REASONS = 6
MOST_FINDINGS = 3
MOST_NOTES = 12
MOST_CHARACTERS = 400
MOST_CODE = 24
Line = tuple[int, Text | None]  # an indent and what follows it; None is an empty line


def lines(
    document: verdict.Document, *, width: int, color: bool, page: Path | str | None = None, encoding: str = "utf-8"
) -> list[str]:
    """The matrix in lines no wider than `width` cells, then the decision, and the page's path last and unbroken.

    Commands that are to be typed are never broken either.

    `page` is where signoff.html is; without it the document's own name for it is shown. An `encoding` without ✔ gets
    ASCII marks, and any other character that it lacks as its escape.
    """
    settled = verdict.settle(document)
    ascii_only = not _has(encoding, "✔✘⊘◐○·")
    shown = Console(
        file=io.StringIO(),
        width=max(width, 20),
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
        _environ={},
    )
    with shown.capture() as capture:
        for indent, line in _lines(settled, ascii_only=ascii_only):
            if line is None:
                shown.print()
            elif line.no_wrap:  # to be pasted: broken at a terminal's width it would be other commands
                shown.print(line, soft_wrap=True)
            else:
                shown.print(Padding(line, (0, 0, 0, min(indent, shown.width // 4)), expand=False))
    body = [line.rstrip() for line in capture.get().splitlines()]
    path = text.inline(str(page if page is not None else settled["artifacts"]["signoff"]))
    return [line.encode(encoding, "backslashreplace").decode(encoding) for line in [*body, path]]


def _has(encoding: str, characters: str) -> bool:
    try:
        characters.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _lines(document: verdict.Document, *, ascii_only: bool) -> Iterator[Line]:
    separator = " - " if ascii_only else " · "
    took = text.took(document["started_at"], document["finished_at"])
    name, target = text.inline(document["project"]["name"] or ""), text.inline(document["target"])
    parts = ["Migration dry run", name, f"target {target}", "" if took == text.UNKNOWN else took]
    yield 0, Text(separator.join(part for part in parts if part))
    yield 0, None
    yield from _first(document)
    for row in document["criteria"]:
        state = words.criterion(row)
        mark = state.ascii if ascii_only else state.mark
        yield 2, Text.assemble((f"{mark} {state.word:<13}", STYLES[state.tone]), text.inline(row["title"]))
        if state is words.NOT_REQUIRED:
            for reason in row["reasons"][:1]:
                yield 6, Text(text.inline(text.clip(reason, MOST_CHARACTERS)), style="dim")
        elif state is not words.MET:
            yield from _why(row, document)
    if not document["criteria"]:
        for reason in verdict.reasons(document):
            yield 2, Text(text.inline(f"{reason.title}: {reason.text}"))
    if document["notes"]:
        yield 0, None
        yield 2, Text("Notes", style="bold")
        for note in document["notes"][:MOST_NOTES]:
            yield 4, Text(text.inline(text.clip(note, MOST_CHARACTERS)))
        if len(document["notes"]) > MOST_NOTES:
            yield 4, Text(f"and {len(document['notes']) - MOST_NOTES:,} more on the page", style="dim")
    if document["decision"] == "GO" and (waiting := str(reading.of(document))):
        yield 0, None
        yield 2, Text(f"To read on the page before signing: {waiting}.", style=STYLES["warn"])
    way = verdict.way_back(document)
    if way is not None and document["headline"] == "ROLLBACK & FIX":
        yield 0, None
        yield 2, Text(way.title, style="bold")
        for said in way.said:
            yield 4, Text(text.inline(said))
        if way.commands:
            yield 4, Text(text.inline(f"To be typed on {way.host}; {verdict.TYPED}:"))
        for command in way.commands:
            yield 0, Text(text.command(command), no_wrap=True)
    yield 0, None
    style = "bold green" if document["decision"] == "GO" else "bold red"
    yield 0, Text.assemble((document["headline"], style), f": {text.inline(verdict.sentence(document))}")


def _said(message: str) -> Iterator[Line]:
    """A message in paragraphs, its code as it is to be pasted."""
    left = MOST_CODE
    for code, part in blocks(message):
        lines = part.splitlines()
        if not code:
            yield from ((10, Text(text.inline(text.clip(line, MOST_CHARACTERS)))) for line in lines if line.strip())
            continue
        yield from ((0, Text(f"{'':14}{text.command(line)}", no_wrap=True)) for line in lines[:left])
        if len(lines) > left:
            yield 14, Text(f"and {len(lines) - left:,} more lines on the page", style="dim")
            return
        left -= len(lines)


def _first(document: verdict.Document) -> Iterator[Line]:
    """The warnings that nobody may overlook."""
    first = reading.of(document).first
    for finding in first[:MOST_FINDINGS]:
        said = text.inline(text.clip(verdict.placed(finding), MOST_CHARACTERS))
        yield 2, Text.assemble((f"{finding['rule']} warning ", STYLES["warn"]), said)
    if len(first) > MOST_FINDINGS:
        yield 4, Text(f"and {len(first) - MOST_FINDINGS:,} more of them on the page", style="dim")
    if first:
        yield 0, None


def _why(row: Mapping[str, Any], document: verdict.Document) -> Iterator[Line]:
    """What stands under a row that is not met: what failed, what that kept from running, and the row's own reasons."""
    red_checks = verdict.red(document)
    red = [check for check in red_checks if check["criterion"] == row["id"] or check["slug"] in row["checks"]]
    roots = [check for check in red if check["outcome"] not in {"blocked", "not-run"}]
    for check in roots[:MOST_REASONS]:
        outcome = words.outcome(check["outcome"])
        title = text.inline(f"{check['number']} {check['title']}")
        yield 6, Text.assemble(f"{title}: ", (outcome.word, STYLES[outcome.tone]))
        findings = [item for item in check["findings"] if item["severity"] == "blocker" and not item["waived"]]
        for message in [verdict.own_reason(check), *map(verdict.placed, findings[:MOST_FINDINGS])]:
            yield from _said(message)
        if len(findings) > MOST_FINDINGS:
            yield 10, Text(f"and {len(findings) - MOST_FINDINGS:,} more blockers on the page", style="dim")
    if len(roots) > MOST_REASONS:
        yield 6, Text(f"and {len(roots) - MOST_REASONS} more on the page")
    waiting = [check for check in red if check not in roots]
    groups: dict[str, list[str]] = {}
    for check in waiting:
        groups.setdefault(verdict.kept_by(check, document), []).append(f"{check['number']} {check['slug']}")
    for why, names in groups.items():
        more = f" and {len(names) - MOST_REASONS} more" if len(names) > MOST_REASONS else ""
        yield 6, Text(text.inline(f"{why}: {', '.join(names[:MOST_REASONS])}{more}"), style="dim")
    for reason in verdict.unexplained(row, red_checks)[:MOST_REASONS]:
        yield 6, Text(text.inline(text.clip(reason, MOST_CHARACTERS)))
