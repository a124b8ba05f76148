"""Open P0 bugs: the configured command, and new severe lines of log files."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dryrun.hosts.local import LocalHost
from pytest_dryrun.model.errors import CommandFailed, ConfigurationError, TargetUnusable
from pytest_dryrun.probes import bugs, severity
from pytest_dryrun.probes.bugs import LogMarks

SEVERE = {
    "postgres": '2025-12-01 10:00:00 UTC [1] ERROR:  relation "x" does not exist',
    "postgres with user and database": "2025-12-01 10:00:00 CET [4711] app@edfinance FATAL:  terminating",
    "postgres panic": "2025-12-01 10:00:00 UTC [1] PANIC:  could not write to file",
    "python logging, basic": "ERROR:root:it broke",
    "python logging, formatted": "2025-12-01 10:00:00,123 - my.module - ERROR - it broke",
    "python critical": "CRITICAL:root:it broke",
    "uvicorn": "ERROR:    Exception in ASGI application",
    "in brackets": "[ERROR] it broke",
    "dated and in brackets": "[2025-12-01T10:00:00Z] [ERROR] it broke",
    "logback": "10:00:00.123 [http-nio-8080-exec-1] ERROR c.e.Foo - it broke",
    "log4j": "2025-12-01 10:00:00 ERROR [main] c.e.Foo - it broke",
    "spring boot": "2025-12-01T10:00:00.123+01:00 ERROR 4711 --- [main] c.e.Foo : it broke",
    "zap console": "2025-12-01T10:00:00.000Z\tERROR\tapi/main.go:1\tit broke",
    "nest with colours": "\x1b[31m[Nest] 4711  - \x1b[39m12/01/2025, 10:00:00 AM \x1b[31m  ERROR\x1b[39m [X] it broke",
    "pino-pretty": "[10:00:00.123] ERROR (4711): it broke",
    "syslog": "Dec  1 10:00:00 host app[4711]: ERROR it broke",
    "nginx": "2025/12/01 10:00:00 [error] 4711#0: *1 open() failed",
    "nginx emergency": "2025/12/01 10:00:00 [emerg] 4711#0: bind() failed",
    "winston simple": "error: it broke",
    "prisma": "prisma:error ",
    "logfmt": 'time=2025-12-01T10:00:00Z level=error msg="it broke"',
    "json by name": '{"level":"error","msg":"it broke"}',
    "json by upper name": '{"ts":1,"severity":"FATAL","message":"it broke"}',
    "pino error": '{"level":50,"time":1,"msg":"it broke"}',
    "pino fatal": '{"level":60,"time":1,"msg":"it broke"}',
    "a container's wrapper": '{"log":"ERROR: it broke\\n","stream":"stderr"}',
    "half a json line": '{"level":"error","msg":"it br',
    "half a pino line": '{"level":50,"time":1,"msg":"it br',
}
HARMLESS = {
    "postgres log of a statement": "2025-12-01 10:00:00 UTC [1] LOG:  statement: SELECT 'ERROR: no'",
    "postgres statement after an error": "2025-12-01 10:00:00 UTC [1] STATEMENT:  SELECT 'ERROR'",
    "info that tells of an error": "2025-12-01 10:00:00 INFO  recovered from ERROR in upstream",
    "warning": "WARNING:root:ERROR is near",
    "access log": 'INFO:     127.0.0.1:1 - "GET /api/ERROR HTTP/1.1" 500 Internal Server Error',
    "prose": "The user saw the ERROR page twice",
    "no word of its own": "2025-12-01 10:00:00 ERRORS_TOTAL is 0",
    "json info about an error": '{"level":"info","msg":"ERROR in upstream"}',
    "pino warning": '{"level":40,"time":1,"msg":"ERROR"}',
    "json without a level": '{"msg":"hello"}',
    "logfmt info": 'level=info msg="an error: ERROR"',
    "half a json line at info": '{"level":"info","msg":"ERROR: it br',
    "json too deep to read": '{"a":' * 100_000,
    "marks without end": "2025-12-01 " + "|" * 500 + " a b c d e f g h i j ERROR",
    "stack trace": "    at Object.error (file.js:1:1)",
    "title case": "Error: ENOENT",
    "empty": "",
}


@pytest.mark.parametrize("line", SEVERE.values(), ids=SEVERE)
def test_a_line_at_error_or_above_is_severe(line):
    """The level of a line is found where its logger writes it."""
    assert severity.is_severe(line)


@pytest.mark.parametrize("line", HARMLESS.values(), ids=HARMLESS)
def test_a_line_below_error_is_not_severe(line):
    """The word ERROR in a message does not make a line severe."""
    assert not severity.is_severe(line)


@given(st.text(max_size=300))
def test_any_text_is_judged(line):
    """No line makes the judgement itself fail."""
    assert severity.is_severe(line) in {True, False}


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9), st.lists, max_leaves=5))
def test_any_json_level_is_judged(level):
    """A level of an unexpected type is judged too."""
    assert severity.is_severe(json.dumps({"level": level})) in {True, False}


def written(path: Path, text: str) -> Path:
    """Append to a log."""
    with path.open("a", encoding="utf-8") as log:
        log.write(text)
    return path


def test_only_new_lines_count(tmp_path):
    """What stood in the log before the run is not this run's."""
    log = written(tmp_path / "api.log", "ERROR: old\nINFO: old\n")
    marks = LogMarks.take([log])
    written(log, "INFO: new\nERROR: new\nFATAL: newer\n")
    assert marks.new_severe_lines() == ("api.log: ERROR: new", "api.log: FATAL: newer")


def test_a_quiet_log_has_no_severe_lines(tmp_path):
    """A log to which nothing was added is clean, whatever it held."""
    log = written(tmp_path / "api.log", "ERROR: old\n")
    assert LogMarks.take([log]).new_severe_lines() == ()


def test_a_line_that_was_half_written_at_the_start_is_new(tmp_path):
    """A line that is completed during the run is read from its beginning."""
    log = written(tmp_path / "api.log", "INFO: old\nERR")
    marks = LogMarks.take([log])
    written(log, "OR: new\n")
    assert marks.new_severe_lines() == ("api.log: ERROR: new",)


def test_a_first_line_that_was_half_written_is_new(tmp_path):
    """So is the only line of a log."""
    log = written(tmp_path / "api.log", "ERR")
    marks = LogMarks.take([log])
    written(log, "OR: new\n")
    assert marks.new_severe_lines() == ("api.log: ERROR: new",)


def test_a_last_line_without_its_end_is_read(tmp_path):
    """A process that died in the middle of a line is heard."""
    log = written(tmp_path / "api.log", "INFO: old\n")
    marks = LogMarks.take([log])
    written(log, "FATAL: out of")
    assert marks.new_severe_lines() == ("api.log: FATAL: out of",)


def test_rotation_by_renaming_is_followed(tmp_path):
    """The rest of the old file, files between, and the new file are read."""
    log = written(tmp_path / "api.log", "ERROR: old\n")
    written(tmp_path / "api.log.9", "ERROR: rotated long ago\n")
    marks = LogMarks.take([log])
    written(log, "ERROR: before rotation\n")
    log.rename(tmp_path / "api.log.2")
    between = written(log, "ERROR: between\n")
    os.utime(between, (2_000_000_000, 2_000_000_000))
    log.rename(tmp_path / "api.log.1")
    written(log, "ERROR: after\n")
    expected = ("api.log: ERROR: before rotation", "api.log: ERROR: between", "api.log: ERROR: after")
    assert expected == marks.new_severe_lines()


def test_truncation_starts_again_at_the_beginning(tmp_path):
    """A log that was emptied holds new lines only."""
    log = written(tmp_path / "api.log", "INFO: old\n" * 100)
    marks = LogMarks.take([log])
    log.write_text("ERROR: new\n", encoding="utf-8")
    assert marks.new_severe_lines() == ("api.log: ERROR: new",)


def test_truncation_that_grew_past_the_mark_is_noticed(tmp_path):
    """Size alone does not tell that a log was emptied; the bytes before the mark do."""
    log = written(tmp_path / "api.log", "INFO: old\n" * 3)
    marks = LogMarks.take([log])
    log.write_text("ERROR: new\n" + "INFO: new\n" * 50, encoding="utf-8")
    assert marks.new_severe_lines() == ("api.log: ERROR: new",)


def test_a_log_that_appears_is_new_as_a_whole(tmp_path):
    """A file that was not there at the start may be created by the run."""
    marks = LogMarks.take([tmp_path / "api.log"])
    written(tmp_path / "api.log", "ERROR: new\n")
    assert marks.new_severe_lines() == ("api.log: ERROR: new",)


def test_a_missing_log_is_named_and_is_not_clean(tmp_path):
    """A file that never was there cannot say that there were no errors, and the others are not forgotten."""
    log = written(tmp_path / "api.log", "")
    marks = LogMarks.take([log, tmp_path / "typo.log"])
    written(log, "ERROR: new\n")
    with pytest.raises(TargetUnusable) as caught:
        marks.new_severe_lines()
    assert f"Configured log files cannot be read: {tmp_path}/typo.log: No such file or directory" == caught.value.what
    assert "1 severe lines were found in the others, first: api.log: ERROR: new" in caught.value.means


def test_an_old_part_that_was_rotated_away_is_named(tmp_path):
    """When the marked file is gone, what it said in between is unknown."""
    log = written(tmp_path / "api.log", "INFO: old\n")
    marks = LogMarks.take([log])
    keep = log.open("rb")  # its inode must not be given to the new file
    log.unlink()
    written(log, "INFO: new\n")
    with (
        keep,
        pytest.raises(TargetUnusable, match="its part from before a rotation during the run is not there any more"),
    ):
        marks.new_severe_lines()


def test_an_unreadable_log_is_refused_at_the_start(tmp_path):
    """A folder is no log file."""
    with pytest.raises(TargetUnusable, match="Is a directory"):
        LogMarks.take([tmp_path])


def test_a_huge_log_is_read_from_the_mark_only(tmp_path):
    """A sparse file of a terabyte takes no longer than its new line."""
    log = tmp_path / "api.log"
    with log.open("wb") as stream:
        stream.truncate(1 << 40)
        stream.seek(0, os.SEEK_END)
        stream.write(b"\nINFO: old\n")
    marks = LogMarks.take([log])
    written(log, "ERROR: new\n")
    assert marks.new_severe_lines() == ("api.log: ERROR: new",)


def test_a_flood_is_counted_not_kept(tmp_path):
    """After 200 lines the rest is a number."""
    log = written(tmp_path / "api.log", "")
    marks = LogMarks.take([log])
    written(log, "ERROR: again\n" * 1234)
    lines = marks.new_severe_lines()
    assert len(lines) == 201
    assert lines[-1] == "... and 1034 more"


@given(old=st.lists(st.booleans(), max_size=20), new=st.lists(st.booleans(), max_size=20))
def test_as_many_severe_lines_are_found_as_were_added(tmp_path_factory, old, new):
    """Whatever the log held, exactly the added severe lines are found."""
    log = tmp_path_factory.mktemp("logs") / "a.log"
    words = {True: "ERROR: x\n", False: "INFO: ERROR\n"}
    written(log, "".join(words[item] for item in old))
    marks = LogMarks.take([log])
    written(log, "".join(words[item] for item in new))
    assert len(marks.new_severe_lines()) == sum(new)


def bug_command(code: str) -> str:
    """Write a command line that runs a bit of Python."""
    return f'{sys.executable} -c "{code}"'


def test_every_printed_line_is_a_bug(tmp_path):
    """Lines are bugs, blank lines are not."""
    command = bug_command(r"print('BUG-1 crash\n\n  BUG-2 loss  ')")
    assert bugs.open_bugs(command, host=LocalHost(), cwd=str(tmp_path), timeout_s=10) == ("BUG-1 crash", "BUG-2 loss")


def test_nothing_printed_means_no_bug(tmp_path):
    """A command that succeeds silently says that there are none."""
    assert bugs.open_bugs(bug_command("pass"), host=LocalHost(), cwd=str(tmp_path), timeout_s=10) == ()


def test_a_failing_command_does_not_say_none(tmp_path):
    """A tracker that cannot be asked is an error."""
    command = bug_command("import sys; sys.exit('tracker down')")
    with pytest.raises(CommandFailed, match="The P0 bug command failed with status 1") as caught:
        bugs.open_bugs(command, host=LocalHost(), cwd=str(tmp_path), timeout_s=10)
    assert caught.value.means == "Whether P0 bugs are open is not known, which is not the same as none."
    assert "tracker down" in caught.value.next


def test_a_pipe_without_a_shell_is_refused():
    """`grep` would get the pipe as an argument; nothing runs."""
    with pytest.raises(ConfigurationError, match=r"p0\.command: 'gh issue list \| grep P0' uses '\|', but no shell"):
        bugs.open_bugs("gh issue list | grep P0", host=LocalHost(), cwd=None, timeout_s=10)
