"""The checklist in Markdown and the matrix on a terminal."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
import sample_documents as samples
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.cells import cell_len

from pytest_dryrun.report import checklist, terminal, text
from pytest_dryrun.report.markdown import escape

EVERY = [samples.go, samples.no_go, samples.rollback_and_fix, samples.unfinished, samples.empty, samples.hostile]
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def test_a_passed_check_is_ticked_and_its_blanks_filled() -> None:
    """Box, number, title and facts stand on one line."""
    rendered = checklist.render(samples.go())
    assert "- [x] 6.1 Every row that was there still is — Rows before: 214,220; Rows after: 214,220\n" in rendered
    assert "- [x] 1.4 There is room for the backup — Free: 45.0 GiB (48,318,382,080 bytes);" in rendered
    assert "- [ ] ~~1.1 The target's host can be reached over SSH~~ not applicable: target local has no" in rendered
    assert "- [x] 4.2 No pending statement destroys data — **waived**: 1 finding is excused" in rendered
    assert "- Finished: 2026-11-22 10:15:42 UTC\n" in rendered
    assert "- Next step: production deployment checklist\n" in rendered
    assert "- Reviewed by: ______________________\n" in rendered


def test_a_red_check_is_not_ticked() -> None:
    """Failed, broken and blocked leave the box open, with the reason and the findings."""
    rendered = checklist.render(samples.no_go())
    assert "- [ ] 4.2 No pending statement destroys data — **failed**: The pending migrations destroy" in rendered
    assert (
        '  - blocker, rows-lost: 37 rows of public."Session" disappear. (20260110090000_course_slug:12)\n' in rendered
    )
    assert "- [ ] 5.1 Every pending migration is applied — **blocked**: blocked by 4.2" in rendered
    assert "- Next step: fix the reasons above" in rendered


def test_an_unfinished_checklist_ticks_nothing() -> None:
    """No box is ticked and nothing is there to sign."""
    rendered = checklist.render(samples.unfinished())
    assert "[x]" not in rendered
    assert "There is nothing to sign" in rendered


@given(st.text())
def test_escaped_text_means_nothing_but_itself(written: str) -> None:
    """Whatever is written, Markdown renders it as that text, on one line, without any markup."""
    rendered = MARKDOWN.render(f"| a |\n| --- |\n| x {escape(written)} |\n")
    cell = re.findall(r"<td>(.*?)</td>", rendered)
    assert [text.inline(f"x {written}").strip()] == [html.unescape(item).strip() for item in cell]
    assert "<" not in cell[0]


@pytest.mark.parametrize("sample", EVERY)
def test_checklist_holds_no_markup_from_outside(sample: Any) -> None:
    """Rendered to HTML, the checklist has only the elements it meant to have."""
    rendered = MARKDOWN.render(checklist.render(sample()))
    meant = {
        "h1",
        "h2",
        "p",
        "strong",
        "ul",
        "ol",
        "li",
        "s",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "pre",
        "code",
    }
    assert meant >= set(re.findall(r"<([a-z0-9]+)", rendered))


@pytest.mark.parametrize("sample", EVERY)
@pytest.mark.parametrize("width", [40, 80, 200])
def test_terminal_lines_fit(sample: Any, width: int) -> None:
    """No line but the path and what is to be typed is wider than the terminal, and none has a control character."""
    document = sample()
    lines = terminal.lines(document, width=width, color=False, page="/srv/" + "long/" * 60 + "signoff.html")
    whole = {text.command(command) for command in document.get("rollback", {}).get("commands", ())}
    assert [] == [line for line in lines[:-1] if cell_len(line) > width and line not in whole]
    assert all(line.isprintable() for line in lines)


def test_terminal_ends_with_the_decision_and_the_path() -> None:
    """The last two lines are the decision in a sentence and the page alone on its line."""
    *_, read, _, decision, path = terminal.lines(samples.go(), width=120, color=False, page="/srv/my reports/x.html")
    assert (
        "  To read on the page before signing: 1 warning, 1 not verified, 2 not tested, 1 excused by a waiver." == read
    )
    assert "GO: All 8 required criteria are met (33 passed, 1 waived, 2 not applicable)." == decision
    assert "/srv/my reports/x.html" == path
    assert "before signing" not in "\n".join(terminal.lines(samples.no_go(), width=200, color=False))


def test_terminal_names_the_reasons_under_their_row() -> None:
    """A row that is not met is followed by the check, what it found and what it kept from running."""
    lines = terminal.lines(samples.no_go(), width=100, color=False)
    row = lines.index("  ✘ not met      No data loss")
    assert "      4.2 No pending statement destroys data: failed" == lines[row + 1]
    assert '          Column public."User"."phone" is dropped with 18,411 non-null values.' == lines[row + 3]
    assert "          (20260110090000_course_slug:9)" == lines[row + 4]
    assert '          37 rows of public."Session" disappear. (20260110090000_course_slug:12)' == lines[row + 5]
    assert "      blocked by 4.2 no-destructive-operations and 4.3 safe-defaults: 6.1 rows-intact, 6.2" in lines[row:]
    assert "  ? undetermined CRUD tests pass" in lines


def test_terminal_shows_why_a_row_is_not_required() -> None:
    """A dropped row carries its reason."""
    lines = terminal.lines(samples.rollback_and_fix(), width=100, color=False)
    row = lines.index("  — not required CRUD tests pass")
    assert "      this repository has no API" == lines[row + 1]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "no-such-codec"])
def test_terminal_without_check_marks_falls_back_to_ascii(encoding: str) -> None:
    """Where ✔ cannot be written, + and x stand for it and nothing raises."""
    if encoding == "no-such-codec":
        with pytest.raises(LookupError):
            "".encode(encoding)
        encoding = "ascii"
    lines = terminal.lines(samples.no_go(), width=100, color=False, encoding=encoding)
    assert "  x not met      No data loss" in lines
    "\n".join(terminal.lines(samples.hostile(), width=80, color=False, encoding=encoding)).encode(encoding)


def test_terminal_colours_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colour follows the argument alone, whatever the environment says."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not any("\x1b" in line for line in terminal.lines(samples.go(), width=80, color=False))
    monkeypatch.setenv("NO_COLOR", "1")
    assert any("\x1b[" in line for line in terminal.lines(samples.go(), width=80, color=True))
