"""MIGRATION_HISTORY.md: one entry a run, between two comments, in a file that otherwise belongs to people."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from pytest_dryrun.model.errors import DryRunError
from pytest_dryrun.report import text, verdict
from pytest_dryrun.report.atomic import replace_all
from pytest_dryrun.report.markdown import escape

HEADING = "# Migration history\n"
RUN_ID = re.compile(r"[A-Za-z0-9](?:-?[A-Za-z0-9._])*")
OPENING = re.compile(r"\A<!-- dryrun (\S+) -->$", re.MULTILINE)


def entry(document: verdict.Document) -> str:
    """The entry for one run in Markdown, between its two comments.

    Raises ValueError for a run id that could not stand in a comment.
    """
    settled = verdict.settle(document)
    run_id = settled["run_id"]
    if not RUN_ID.fullmatch(run_id):
        raise ValueError(f"run id {run_id!r} cannot mark an entry: letters, digits, dots and single hyphens can")
    project, migrations = settled["project"], settled["migrations"]
    applied = ", ".join(escape(name) for name in migrations["applied"]) or "none"
    waiting = [name for name in migrations["pending"] if name not in migrations["applied"]]
    day = text.instant(settled["finished_at"] or settled["started_at"])
    title = ", ".join(part for part in (escape(project["name"] or ""), f"target {escape(settled['target'])}") if part)
    body = [
        f"<!-- dryrun {run_id} -->",
        f"## {day}: {title}",
        "",
        f"- Decision: **{escape(settled['headline'])}**. {escape(verdict.sentence(settled))}",
        f"- Migrations applied: {applied}" + (f"; not applied: {', '.join(map(escape, waiting))}" if waiting else ""),
        f"- Target: {_target(settled)}",
        f"- Backup: {_backup(settled)}",
        f"- Rollback: {_rollback(settled)}",
        f"- Executed by: {escape(project['executed_by'] or '') or 'unknown'}",
        f"- Reviewed by: {escape(project['reviewed_by'] or '') or 'open'}",
        f"- Run: {run_id}",
        f"<!-- /dryrun {run_id} -->",
    ]
    return "\n".join(body) + "\n"


def _target(document: verdict.Document) -> str:
    outcome = document["rollback"]["outcome"]
    if document["rolled_back"]:
        broken = {"incomplete": " and not working", "interrupted": ", the application not tried"}
        return f"migrated, then rolled back{broken.get(outcome, '')}"
    if outcome == "unknown":
        return "migrated; whether it was rolled back is not known"
    if document["target_migrated"]:
        return "migrated"
    return "not migrated" if document["finished"] is True else "not known yet"


def _backup(document: verdict.Document) -> str:
    backup = document["backup"] or {}
    if not backup.get("file"):
        return "none was made" if document["finished"] is True else "not known yet"
    size = text.size(backup["size_bytes"])
    return f"{escape(backup['file'])}, {size}, sha256 {escape(backup['sha256'])}"


def _rollback(document: verdict.Document) -> str:
    """The time the rollback took where it was proven, from the facts of `rollback-restores`."""
    for check in document["checks"]:
        if check["slug"] == "rollback-restores" and check["outcome"] == "passed":
            timed = [fact for fact in check["facts"] if fact["unit"] in {"s", "seconds", "ms"}]
            times = [text.value(fact["value"], fact["unit"]) for fact in timed]
            return f"proven on a copy, restored in {escape(times[0])}" if times else "proven on a copy"
    return "not proven"


def record(path: Path, entry: str, *, timeout_s: float = 10) -> str:
    """Put an entry at the end of the history, or in the place of the same run's earlier one; return what is there now.

    Everything outside the entry's own comments stays as people left it, byte for byte, as do the file's permissions and
    line endings. A missing file is made, with a heading. Writers wait for each other on a lock of the folder.
    Raises DryRunError when the file cannot be read or written, or another writer keeps it longer than `timeout_s`.
    """
    opening = OPENING.match(entry)
    if not opening or not entry.endswith(f"\n<!-- /dryrun {opening[1]} -->\n"):
        raise ValueError("an entry begins and ends with the comments that `entry` gives it")
    path = path.resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.parent, timeout_s):
            before, mode = _read(path)
            replace_all({path: merged(before, entry, opening[1]).encode()}, mode=mode)
            found = _find(path.read_bytes().decode(), opening[1])
    except UnicodeDecodeError as error:
        raise _refused(path, "it is not UTF-8 text") from error
    except OSError as error:
        raise _refused(path, str(error.strerror or error)) from error
    if found is None:
        raise _refused(path, "the entry is not in it after writing")
    return found[0].replace("\r\n", "\n") + "\n"


def merged(history: str, entry: str, run_id: str) -> str:
    """The history with this entry in it, and nothing else changed."""
    ending = "\r\n" if "\r\n" in history else "\n"
    written = entry.replace("\n", ending)
    found = _find(history, run_id)
    if found:
        return history[: found.start()] + written.removesuffix(ending) + history[found.end() :]
    history = history or HEADING
    gap = "" if history.endswith(ending * 2) else ending if history.endswith(ending) else ending * 2
    return history + gap + written


def _find(history: str, run_id: str) -> re.Match[str] | None:
    """The last complete entry of this run: an opening comment with no other opening before its closing one."""
    name = re.escape(run_id)
    opening = rf"^<!-- dryrun {name} -->\r?$"
    complete = rf"^<!-- dryrun {name} -->\r?\n(?:(?!{opening}).*\n)*?<!-- /dryrun {name} -->"
    return next(reversed(list(re.finditer(complete, history, re.MULTILINE))), None)


def _read(path: Path) -> tuple[str, int | None]:
    try:
        with path.open("rb") as file:
            return file.read().decode(), stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    except FileNotFoundError:
        return "", None


@contextlib.contextmanager
def _locked(directory: Path, timeout_s: float) -> Iterator[None]:
    """Hold flock(2) on the folder: the file itself is replaced, so a lock on it would guard yesterday's file."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        end = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > end:
                    raise TimeoutError(0, f"another process has kept its folder locked for {timeout_s:g} s") from error
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _refused(path: Path, why: str) -> DryRunError:
    return DryRunError(
        f"The migration history {path} could not be kept: {why}.",
        "What was in it is untouched; this run is not recorded.",
        "Make it a UTF-8 text file this user may write, or change `history` under [project] in dryrun.toml.",
    )
