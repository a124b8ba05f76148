"""Messages with SQL in them: the same text for a terminal, a page, a checklist and a program."""

from __future__ import annotations

import html

import pytest
import sample_documents as samples

from pytest_dryrun.model.messages import blocks, indented, prose
from pytest_dryrun.model.values import Finding, Severity
from pytest_dryrun.rehearsal.judge.remedies.remedy import once
from pytest_dryrun.report import checklist, page, terminal, verdict

LONG = f"CREATE INDEX CONCURRENTLY an_index ON public.a_table ({', '.join(f'column_{n}' for n in range(12))});"
MESSAGE = (
    f"m:3: an index was built.\nBuild it CONCURRENTLY.\nMigration 1:\n    {LONG}\nMigration 2:\n    SELECT 1;\nEnd."
)


def document() -> verdict.Document:
    """A run in which one finding prints SQL."""
    made = samples.no_go()
    finding = {
        "rule": "index-blocks-writes",
        "severity": "blocker",
        "message": MESSAGE,
        "migration": "20260110090000_course_slug",
        "line": 3,
        "table": None,
        "evidence": {},
        "waived": False,
    }
    samples.amend(made, "no-destructive-operations", findings=[finding], reason=MESSAGE)
    return made


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param("one\ntwo", ((False, "one\ntwo"),), id="prose alone"),
        pytest.param(
            "a:\n    b\n      c\nd", ((False, "a:"), (True, "b\n  c"), (False, "d")), id="code keeps its indent"
        ),
        pytest.param("", (), id="nothing"),
    ],
)
def test_a_message_falls_into_prose_and_code(message: str, expected: tuple[tuple[bool, str], ...]) -> None:
    """Lines that are indented by four spaces are code."""
    assert expected == blocks(message)


def test_code_is_indented_line_by_line() -> None:
    """What is put in as code comes out as code."""
    assert ((True, "a\n  b\nc"),) == blocks(indented(["a\n  b", "c"]))


def test_prose_alone_is_one_line_without_what_leads_to_code() -> None:
    """A list of warnings has no room for SQL, and no use for the line that announces it."""
    assert "m:3: an index was built. Build it CONCURRENTLY. End." == prose(MESSAGE)


def test_one_statement_prints_its_sql_once() -> None:
    """A hundred partitions have one remedy; another statement, and a remedy without SQL, keep theirs."""
    mine = [Finding("r", Severity.WARNING, MESSAGE, "m", line, f"public.p{at}") for at, line in enumerate((3, 3, 4))]
    plain = [Finding("r", Severity.WARNING, "cause\ncure", "m", 5, "public.a")] * 2
    first, second, other, *rest = once([*mine, *plain])
    assert [mine[0], mine[2], *plain] == [first, other, *rest]
    assert "m:3: an index was built.\nThe SQL to use instead stands at public.p0." == second.message


def test_a_terminal_breaks_prose_and_never_code() -> None:
    """At 80 columns the SQL stands on a line of its own, to be copied as it is."""
    lines = terminal.lines(document(), width=80, color=False)
    at = lines.index("          Migration 1:")
    assert f"{'':14}{LONG}" == lines[at + 1]
    assert ["          Migration 2:", f"{'':14}SELECT 1;", "          End."] == lines[at + 2 : at + 5]
    assert lines[at - 1].startswith("          Build it CONCURRENTLY.")
    assert all(len(line) <= 80 for line in lines[:-1] if LONG not in line)


def test_a_terminal_shows_some_of_very_much_code() -> None:
    """What is left out is counted."""
    made = document()
    for check in made["checks"]:
        for finding in check["findings"]:
            finding["message"] = "x\n" + indented(f"SELECT {n};" for n in range(terminal.MOST_CODE + 7))
    shown = "\n".join(terminal.lines(made, width=80, color=False))
    assert f"SELECT {terminal.MOST_CODE - 1};" in shown
    assert f"SELECT {terminal.MOST_CODE};" not in shown
    assert "and 7 more lines on the page" in shown


def test_the_place_stands_before_the_code() -> None:
    """A finding that does not name its migration gets it behind its first line."""
    placed = verdict.placed({"message": MESSAGE, "migration": "20260110090000_course_slug", "line": 3})
    assert placed.splitlines()[0] == "m:3: an index was built. (20260110090000_course_slug:3)"
    assert placed.splitlines()[1:] == MESSAGE.splitlines()[1:]


def test_the_page_shows_code_as_code() -> None:
    """SQL stands in a block of its own; where there is no room only the prose is shown."""
    rendered = page.render(document())
    assert f'<pre class="block">{html.escape(LONG)}</pre>' in rendered
    made = document()
    for check in made["checks"]:
        for finding in check["findings"]:
            finding["severity"] = "info"
    assert f'<pre class="block">{html.escape(LONG)}</pre>' in page.render(made)


def test_the_checklist_fences_code() -> None:
    """Markdown keeps every character of it."""
    rendered = checklist.render(document()).splitlines()
    fences = [at for at, line in enumerate(rendered) if line.strip() == LONG]
    assert fences
    assert all("```" == rendered[at - 1].strip() == rendered[at + 1].strip() for at in fences)
