"""Logs of a host, for which this machine stands: what came since the mark counts, rotated or not."""

from __future__ import annotations

import pytest

from pytest_dryrun.hosts.local import LocalHost
from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.probes.host_logs import HostLogMarks

OLD = "2026-01-01 00:00:00 ERROR of yesterday\n"
NEW = "2026-01-02 00:00:00 ERROR out of orders\n"


@pytest.fixture
def log(tmp_path):
    """A log with a name that wants quoting, and an error that is known."""
    path = tmp_path / "the app's log.txt"
    path.write_text(OLD, encoding="utf-8")
    return path


def grow(path):
    """The same file goes on."""
    with path.open("a", encoding="utf-8") as file:
        file.write("2026-01-02 00:00:00 INFO fine\n" + NEW)


def rotate(path):
    """It is renamed after one more error, and a new one takes its name."""
    with path.open("a", encoding="utf-8") as file:
        file.write(NEW)
    path.rename(path.with_name(path.name + ".1"))
    path.write_text("2026-01-02 00:00:01 FATAL after the rotation\n", encoding="utf-8")


def truncate(path):
    """It begins anew under its name."""
    path.write_text(NEW[20:], encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (str, ()),
        (grow, ("the app's log.txt: 2026-01-02 00:00:00 ERROR out of orders",)),
        (
            rotate,
            (
                "the app's log.txt: 2026-01-02 00:00:00 ERROR out of orders",
                "the app's log.txt: 2026-01-02 00:00:01 FATAL after the rotation",
            ),
        ),
    ],
    ids=["nothing new", "one more", "rotated"],
)
def test_only_what_came_since_counts(log, change, found):
    """Oldest first, each with its file."""
    marks = HostLogMarks.take(LocalHost(), [str(log)])
    change(log)
    assert found == marks.new_severe_lines()


def test_a_file_that_appears_later_counts_from_its_beginning(tmp_path):
    """It was not there, so all of it is new."""
    path = tmp_path / "later.log"
    marks = HostLogMarks.take(LocalHost(), [str(path)])
    path.write_text(NEW, encoding="utf-8")
    assert ("later.log: 2026-01-02 00:00:00 ERROR out of orders",) == marks.new_severe_lines()


def test_two_hundred_lines_are_enough(log):
    """The rest is counted."""
    marks = HostLogMarks.take(LocalHost(), [str(log)])
    log.write_text(OLD + NEW * 250, encoding="utf-8")
    found = marks.new_severe_lines()
    assert (201, "... and 50 more") == (len(found), found[-1])


def test_what_cannot_be_known_is_not_none(log):
    """A log that vanishes is told of; silence would pass for "no errors"."""
    marks = HostLogMarks.take(LocalHost(), [str(log)])
    truncate(log)
    with pytest.raises(TargetUnusable, match="before it was truncated"):
        marks.new_severe_lines()
    log.unlink()
    with pytest.raises(TargetUnusable, match="not the same as none"):
        marks.new_severe_lines()
    log.mkdir()
    marks = HostLogMarks.take(LocalHost(), [str(log)])
    with pytest.raises(TargetUnusable, match="cannot be read"):
        marks.new_severe_lines()
