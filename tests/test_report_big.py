"""Very much of everything: the page stays small, quick and readable, and report.json holds it all."""

from __future__ import annotations

import copy
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import sample_documents as samples

from pytest_dryrun.report import annex, checklist, files, folding, page, terminal

INSERT = 'INSERT INTO "Course" ("id", "title", "slug") VALUES ({}, \'A title of some length, {}\', \'a-slug-{}\');'


def statement(line: int, **more: Any) -> dict[str, Any]:
    """One INSERT of a long file."""
    empty = {"rewrites": [], "scanned": [], "dropped": [], "read_stall_ms": 0.0, "write_stall_ms": 0.0, "count": 1}
    lock = {"relation": 'public."Course"', "mode": "RowExclusiveLock"}
    sql = INSERT.format(line, line, line)
    given = {"migration": samples.PENDING[0], "line": line, "sql": sql, "duration_ms": 0.2, "locks": [lock]}
    return {**given, **empty, **more}


def big() -> dict[str, Any]:
    """A NO-GO with 48,000 statements that nobody folded, 2,000 tables and 5,000 findings."""
    document = copy.deepcopy(samples.no_go())
    document["statements"] = [statement(line) for line in range(1, 48_001)]
    document["statements"][40_000].update(sql='DROP TABLE "Late";', dropped=['public."Late"'], read_stall_ms=12.0)
    document["tables"] = [samples.table(f'public."table {number}"', 10, 10) for number in range(2000)]
    document["tables"][1990] = samples.table('public."Last"', 10, 7, "rows-lost", rows_lost=3)
    lost = [
        samples.finding(
            "rows-lost",
            "blocker",
            f'{number + 1} rows of public."table {number}" are gone. Keep them, or waive the finding with a reason.',
            migration=samples.PENDING[0],
            line=number + 1,
            table=f'public."table {number}"',
            evidence={"rows": number + 1, "keys": ["1", "2", "3"]},
        )
        for number in range(4000)
    ]
    advice = [
        samples.finding("lint/prefer-text", "info", f"Advice {number}.", line=number + 1) for number in range(999)
    ]
    warned = samples.finding("lock-queue", "warning", "A strong lock is asked for without a lock_timeout.")
    reason = "\n".join(finding["message"] for finding in lost)[:4000]
    findings = [*lost, *advice, warned]
    samples.amend(document, "no-destructive-operations", findings=findings, reason=reason, own_reason="")
    document["not_verified"] = [f'public."table {number}": it is a foreign table' for number in range(2000)]
    document["notes"] = [f"Note {number}." for number in range(300)]
    return document


@pytest.fixture(scope="module")
def rendered() -> dict[str, str]:
    """Everything that is written of it, and the seconds it took."""
    document = big()
    began = time.process_time()
    made = {
        "page": page.render(document),
        "checklist": checklist.render(document),
        "terminal": "\n".join(terminal.lines(document, width=80, color=False)),
        "annex": annex.matrix_html(document),
    }
    return made | {"seconds": str(time.process_time() - began)}


def plain(source: str) -> str:
    """What can be read of a page."""
    found: list[str] = []
    parser = HTMLParser(convert_charrefs=True)
    parser.handle_data = found.append  # type: ignore[method-assign]
    parser.feed(source)
    return " ".join(" ".join(found).split())


def test_it_is_small_and_quick(rendered: dict[str, str]) -> None:
    """The page is below 2 MB, the others far below, and drawing all four takes less than 5 s."""
    assert len(rendered["page"].encode()) < 2_000_000
    assert len(rendered["checklist"].encode()) < 300_000
    assert len(rendered["annex"].encode()) < 100_000
    assert rendered["terminal"].count("\n") < 100
    assert float(rendered["seconds"]) < 5


def test_what_matters_is_shown_wherever_it_stands(rendered: dict[str, str]) -> None:
    """The one statement that dropped something and the one table that lost rows, among thousands that did nothing."""
    shown = plain(rendered["page"])
    assert 'DROP TABLE "Late";' in shown
    assert 'public."Last"' in shown
    assert "3 rows lost" in shown
    assert "lock-queue" in shown


def test_what_is_left_out_is_counted(rendered: dict[str, str]) -> None:
    """Each list says how much more there is, and of what."""
    shown = plain(rendered["page"])
    assert "and 47,800 more that dropped, rewrote and blocked nothing, in report.json" in shown
    assert "and 1,800 more that did not change, in report.json" in shown
    assert "and 3,950 more blocker rows-lost in report.json" in shown
    assert "and 949 more info lint/prefer-text in report.json" in shown
    assert "and 1,940 more in report.json" in shown
    assert "  - and 3,950 more blocker rows-lost in report.json\n" in rendered["checklist"]
    assert "and 3,997 more blockers on the page" in rendered["terminal"]
    assert "and 288 more on the page" in rendered["terminal"]


def test_nothing_is_said_twice(rendered: dict[str, str]) -> None:
    """A reason that is the findings' own words is not shown above them again, whether it was cut or not."""
    assert 2 == plain(rendered["page"]).count('1 rows of public."table 0" are gone')
    assert 2 == rendered["checklist"].count(r"1 rows of public.\"table 0\" are gone".replace("\\", ""))


def test_report_json_holds_every_finding(tmp_path: Path) -> None:
    """Programs read everything."""
    written = files.write(big(), tmp_path)
    document = json.loads(written.report.read_text())
    assert [48_000, 2000] == [len(document[name]) for name in ("statements", "tables")]
    assert 5000 <= len(document["findings"])


def test_folded_statements_say_how_many_they_are() -> None:
    """One line stands for 47,999 statements of one shape, in the migration's figures too."""
    document = samples.go()
    document["statements"] = [statement(1, count=47_999, duration_ms=9000.0), statement(48_000)]
    shown = plain(page.render(document))
    assert "\N{MULTIPLICATION SIGN} 47,999 statements of this shape in a row" in shown
    assert re.search(rf"{samples.PENDING[0]} 48,000 9\.00 s 0 ms 0 ms ✔", shown.replace("\ufe0e", ""))


@pytest.mark.parametrize(
    ("changes", "shown", "more"),
    [
        (["none"] * 3, 3, ()),
        (["none"] * 201, 200, ("and 1 more that did not change, in report.json",)),
        (["created"] * 399 + ["none"] * 2, 399, ("and 2 more that did not change, in report.json",)),
        (["created"] * 500 + ["rows-lost"], 400, ("and 101 more that changed, in report.json",)),
    ],
)
def test_which_tables_are_shown(changes: list[str], shown: int, more: tuple[str, ...]) -> None:
    """Changed ones first, the worst of them always."""
    found = folding.tables([samples.table(f"t{at}", 1, 1, change) for at, change in enumerate(changes)])
    assert (shown, more) == (len(found.items), found.more)
    assert ("rows-lost" in changes) == any(item["change"] == "rows-lost" for item in found.items)


def test_many_statements_that_block_are_cut_without_being_called_harmless() -> None:
    """Where even those with effects do not fit, the line does not say that the rest did nothing."""
    (migration,) = folding.by_migration([statement(line, read_stall_ms=1.0) for line in range(1, 300)])
    assert ("and 99 more, in report.json",) == migration.statements.more
    assert 299 == migration.count


def test_one_drop_of_everything_names_some() -> None:
    """A cascade that takes 2,000 relations along is one short list."""
    document = samples.go()
    names = [f'public."t{number}"' for number in range(2000)]
    document["statements"] = [statement(1, dropped=names, locks=[{"relation": n, "mode": "X"} for n in names])]
    document["tables"] = [samples.table("public.wide", 1, 1, "content-changed", columns_changed=names, keys=names)]
    assert len(page.render(document)) < 200_000
