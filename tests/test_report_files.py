"""The report's files and the history: whole or not at all."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import sample_documents as samples
from hypothesis import given
from hypothesis import strategies as st

from pytest_dryrun.model.errors import DryRunError
from pytest_dryrun.report import files, history
from pytest_dryrun.report.atomic import replace_all


def test_write_puts_three_files_and_nothing_else(tmp_path: Path) -> None:
    """The folder is made; report.json, signoff.html and checklist.md hold the decision; no draft is left."""
    written = files.write(samples.go(), tmp_path / "reports" / "local")
    assert "GO" == written.decision
    assert {"report.json", "signoff.html", "checklist.md"} == {path.name for path in written.report.parent.iterdir()}
    assert samples.go() == json.loads(written.report.read_text())
    assert "✔&#xFE0E;</span>GO</p>" in written.signoff.read_text()
    assert "**GO**" in written.checklist.read_text()


def test_an_unearned_go_is_not_written(tmp_path: Path) -> None:
    """A document that denies its own GO reaches report.json as NO-GO, and the caller is told."""
    document = samples.go()
    document["criteria"][0]["met"] = False
    written = files.write(document, tmp_path)
    assert "NO-GO" == written.decision
    assert "NO-GO" == json.loads(written.report.read_text())["decision"]


def test_an_unfinished_run_replaces_an_old_go(tmp_path: Path) -> None:
    """From the start of a run nothing in the folder says GO any more, the annex included."""
    files.write(samples.go(), tmp_path)
    (tmp_path / "pytest.html").write_text("an old GO")
    files.write_unfinished(samples.go(), tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert (False, "NO-GO") == (report["finished"], report["decision"])
    assert {None} == {row["met"] for row in report["criteria"]}
    for name in ("signoff.html", "checklist.md", "pytest.html"):
        assert "nfinished" in (tmp_path / name).read_text()
        assert "an old GO" not in (tmp_path / name).read_text()


def test_an_old_annex_goes_where_this_run_has_none(tmp_path: Path) -> None:
    """Without an annex of its own a run leaves no older one standing."""
    (tmp_path / "pytest.html").write_text("an old GO")
    document = samples.go()
    document["artifacts"]["annex"] = None
    files.write_unfinished(document, tmp_path)
    assert not (tmp_path / "pytest.html").exists()


def test_a_folder_that_cannot_be_made_is_an_error_in_three_lines(tmp_path: Path) -> None:
    """Where a file stands in the folder's place, the message says what and what to do."""
    (tmp_path / "reports").write_text("")
    with pytest.raises(DryRunError) as caught:
        files.write(samples.go(), tmp_path / "reports" / "local")
    assert "The report could not be written to" in caught.value.what
    assert "treat this run as NO-GO" in caught.value.means
    assert "--dryrun-report" in caught.value.next


def test_where_one_file_cannot_be_written_none_is_replaced(tmp_path: Path) -> None:
    """A draft that fails leaves the old files and no litter."""
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(OSError, match="nowhere"):
        replace_all({tmp_path / "a": b"new", tmp_path / "nowhere" / "b": b"new"})
    assert b"old" == (tmp_path / "a").read_bytes()
    assert ["a"] == [path.name for path in tmp_path.iterdir()]


def test_json_knows_no_infinity(tmp_path: Path) -> None:
    """A number that JSON does not know becomes null, and hidden characters are escaped."""
    document = samples.hostile()
    document["checks"][0]["duration_ms"] = float("nan")
    written = files.write(document, tmp_path)
    assert written.report.read_text().isascii()
    assert json.loads(written.report.read_text())["checks"][0]["duration_ms"] is None


def entry(run_id: str = "run-1", **changes: Any) -> str:
    """An entry of the sample GO."""
    return history.entry({**samples.go(), "run_id": run_id, **changes})


def test_entry_tells_what_was_done() -> None:
    """Date, target, migrations, decision, backup with its hash, rollback time and who."""
    made = entry()
    assert made.startswith("<!-- dryrun run-1 -->\n## 2026-11-22 10:15:42 UTC: edfinance, target local\n")
    assert made.endswith("<!-- /dryrun run-1 -->\n")
    for part in [
        "Decision: **GO**",
        "20260110090000_course_slug, 2026",
        "18.0 MiB",
        "9f2c" * 16,
        "restored in 3.41 s",
        "release-bot",
    ]:
        assert part in made


def test_entry_of_a_run_that_has_not_ended_is_no_go() -> None:
    """What is recorded before the decision claims none."""
    made = history.entry(samples.unfinished())
    assert "Decision: **NO-GO**. Unfinished" in made
    assert "Rollback: not proven" in made
    assert "Target: not known yet" in made


@pytest.mark.parametrize("run_id", ["", "a--b", "x -->", "a\nb", "-a", "a-"])
def test_a_run_id_that_would_end_its_comment_is_refused(run_id: str) -> None:
    """An id that cannot stand in an HTML comment never reaches the file."""
    with pytest.raises(ValueError, match="cannot mark an entry"):
        entry(run_id)


def test_history_is_made_with_a_heading_and_appended(tmp_path: Path) -> None:
    """The first entry makes the file, the second follows the first."""
    path = tmp_path / "docs" / "MIGRATION_HISTORY.md"
    assert entry("run-1") == history.record(path, entry("run-1"))
    history.record(path, entry("run-2"))
    assert f"# Migration history\n\n{entry('run-1')}\n{entry('run-2')}" == path.read_text()
    assert [path] == list(path.parent.iterdir())


def test_the_same_run_is_recorded_once(tmp_path: Path) -> None:
    """A later entry of the same run takes the place of its earlier one, wherever that stands."""
    path = tmp_path / "h.md"
    history.record(path, entry("run-1", finished=False))
    history.record(path, entry("run-2"))
    history.record(path, entry("run-1"))
    history.record(path, entry("run-1"))
    assert f"# Migration history\n\n{entry('run-1')}\n{entry('run-2')}" == path.read_text()


def test_permissions_and_links_are_kept(tmp_path: Path) -> None:
    """The file keeps its mode, and a link to it stays a link."""
    real, link = tmp_path / "real.md", tmp_path / "link.md"
    real.write_text("# Ours\n")
    real.chmod(0o640)
    link.symlink_to(real)
    history.record(link, entry())
    assert link.is_symlink()
    assert 0o640 == stat.S_IMODE(real.stat().st_mode)
    assert "# Ours\n\n" + entry() == real.read_text()


def test_windows_line_endings_are_kept(tmp_path: Path) -> None:
    """A file with CRLF gets an entry with CRLF, found again at the next run."""
    path = tmp_path / "h.md"
    path.write_bytes(b"# Ours\r\n\r\nText\r\n")
    for _ in range(2):
        assert entry() == history.record(path, entry())
    assert b"# Ours\r\n\r\nText\r\n\r\n" + entry().replace("\n", "\r\n").encode() == path.read_bytes()


def test_a_damaged_entry_is_left_alone(tmp_path: Path) -> None:
    """Where a person deleted the closing comment, nothing after it is swallowed."""
    path = tmp_path / "h.md"
    people = "<!-- dryrun run-1 -->\nhalf\n\nwhat people wrote\n"
    path.write_text(people)
    for _ in range(2):
        history.record(path, entry())
    assert people + "\n" + entry() == path.read_text()


@given(st.text(alphabet=st.characters(codec="utf-8")), st.text(alphabet=st.characters(codec="utf-8")))
def test_what_people_wrote_stays(before: str, after: str) -> None:
    """Whatever stands around an entry is there afterwards, character for character, however often it is recorded."""
    first = history.merged(before, entry(), "run-1")
    assert first.startswith(before or history.HEADING)
    again = history.merged(first + after, entry(), "run-1")
    if "\r" not in before + after:
        assert first + after == again


def test_a_history_that_is_no_text_is_refused_untouched(tmp_path: Path) -> None:
    """A binary file is named and left as it is."""
    path = tmp_path / "h.md"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DryRunError, match="not UTF-8"):
        history.record(path, entry())
    assert b"\xff\xfe\x00" == path.read_bytes()


def test_what_is_no_entry_is_refused(tmp_path: Path) -> None:
    """Only text between its two comments is recorded."""
    for text in ("", "hello\n", "<!-- dryrun a -->\nbody\n<!-- /dryrun b -->\n"):
        with pytest.raises(ValueError, match="begins and ends"):
            history.record(tmp_path / "h.md", text)


def test_a_locked_history_is_an_error_after_a_while(tmp_path: Path) -> None:
    """A writer that never lets go is waited for only so long."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(DryRunError, match="locked"):
            history.record(tmp_path / "h.md", entry(), timeout_s=0.1)
    finally:
        os.close(descriptor)
    assert not (tmp_path / "h.md").exists()


def _record_ten(path: Path, name: str) -> None:
    for number in range(10):
        history.record(path, entry(f"{name}{number}"), timeout_s=30)


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    """Two processes that record ten runs each leave twenty entries."""
    path = tmp_path / "h.md"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_record_ten, args=(path, name)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert 0 == writer.exitcode
        writer.close()
    assert 20 == path.read_text().count("<!-- /dryrun ")
