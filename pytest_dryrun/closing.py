"""The end of a session: decide, write, print, and set the exit status; at its start, the unfinished report."""

from __future__ import annotations

import os
import shutil
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pytest_dryrun.ledger import Ledger
from pytest_dryrun.model.decision import decide
from pytest_dryrun.model.errors import DryRunError
from pytest_dryrun.progress import Progress, silent, spinner
from pytest_dryrun.report import annex, document, files, history, terminal
from pytest_dryrun.state import State


def compose(state: State, ledger: Ledger, *, finished_at: datetime | None) -> dict[str, Any]:
    """One target's document from its ledger, whose content was redacted where it came from."""
    specs = state.checklists[ledger.target].specs
    p95_ms = state.loaded.targets[ledger.target].performance.p95_ms
    verdict = decide(specs, ledger.records, not_required=state.loaded.not_required, p95_ms=p95_ms)
    return document.build(
        document.heading(
            state.loaded.project,
            ledger.target,
            state.loaded.targets[ledger.target].role,
            ledger.run_id,
            state.executed_by,
            ledger.started_at,
        ),
        specs,
        ledger.records,
        ledger.parts,
        verdict,
        troubles=ledger.troubles,
        finished_at=finished_at,
        artifacts={"signoff": "signoff.html", "annex": _annex(state, ledger.target), "checklist": "checklist.md"},
    )


def write_unfinished(state: State, target: str) -> None:
    """Replace whatever an earlier run left by an unfinished NO-GO."""
    files.write_unfinished(compose(state, state.ledgers[target], finished_at=None), state.directory(target))


def finish(state: State, session: pytest.Session, exitstatus: int) -> None:
    """Write every target's report; what happened to the session as a whole forbids a GO."""
    if exitstatus == pytest.ExitCode.INTERRUPTED:
        state.trouble("the run was interrupted before it had seen everything")
    elif exitstatus == pytest.ExitCode.INTERNAL_ERROR:
        state.trouble("pytest ended with an internal error")
    elif exitstatus not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        state.trouble(f"pytest ended with exit status {int(exitstatus)}")
    for name, ledger in state.ledgers.items():
        ledger.contradict()
        made = compose(state, ledger, finished_at=datetime.now(UTC))
        if state.loaded.project.history and (made["target_migrated"] or made["rolled_back"]):
            try:
                history.record(state.loaded.root / state.loaded.project.history, history.entry(made))
            except DryRunError as error:
                ledger.trouble(error.what)
                made = compose(state, ledger, finished_at=datetime.now(UTC))
        try:
            state.decisions[name] = files.write(made, state.directory(name)).decision
        except DryRunError as error:
            # The unfinished NO-GO still stands in the folder; the terminal says why.
            made = compose(state, ledger, finished_at=None) | {"notes": [str(error)]}
        state.documents[name] = made
        session.config.hook.pytest_dryrun_finished(target=name, document=made, directory=state.directory(name))


def exit_status(state: State, exitstatus: int, *, deciding: bool) -> int:
    """Only a GO for every target is 0; interrupted, internal, usage and nothing-collected keep their own numbers."""
    if not deciding:
        return pytest.ExitCode.NO_TESTS_COLLECTED if state.config.option.collectonly and exitstatus == 0 else exitstatus
    if exitstatus not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        return exitstatus
    decided = [state.decisions.get(name) for name in state.ledgers]
    return 0 if decided and all(decision == "GO" for decision in decided) else 1


def share_annex(state: State) -> None:
    """pytest-html writes one page a session; every target's folder gets it."""
    written = getattr(state.config.option, "htmlpath", None)
    first, *others = list(state.ledgers)
    if written is None or Path(written) != state.directory(first) / "pytest.html" or not Path(written).is_file():
        return
    for name in others:
        shutil.copyfile(written, state.directory(name) / "pytest.html")


def summary_html(state: State) -> list[str]:
    """The matrix of every target for pytest-html's summary."""
    return [annex.matrix_html(made) for made in state.documents.values()]


def print_summary(state: State, reporter: Any) -> None:
    """Every target's matrix, its reasons and the path of its page."""
    writer = reporter._tw  # noqa: SLF001 - the reporter's writer knows the width and whether colour is wanted
    for name, made in state.documents.items():
        page = state.directory(name) / "signoff.html"
        encoding = getattr(writer._file, "encoding", None) or "utf-8"  # noqa: SLF001
        for line in terminal.lines(
            made, width=writer.fullwidth, color=writer.hasmarkup, page=str(page), encoding=encoding
        ):
            writer.line(line)


def progress(config: pytest.Config) -> Progress:
    """A spinner with the name of the long step, on a terminal only."""
    if not config.pluginmanager.hasplugin("terminalreporter"):
        return silent
    writer = config.get_terminal_writer()
    file = writer._file  # noqa: SLF001 - the writer does not hand out what it writes to
    capture = config.pluginmanager.getplugin("capturemanager")
    if not writer.hasmarkup or not file.isatty():
        return silent
    uncaptured = capture.global_and_fixture_disabled if capture is not None else nullcontext
    return spinner(file, uncaptured, lambda: writer.width_of_current_line)


def _annex(state: State, target: str) -> str | None:
    """Where pytest-html's page is, seen from the target's folder; None where there is none."""
    if not state.config.pluginmanager.hasplugin("html"):
        return None
    written = getattr(state.config.option, "htmlpath", None)
    if written is None:
        return None
    first = next(iter(state.ledgers))
    if Path(written) == state.directory(first) / "pytest.html":
        return "pytest.html"
    return os.path.relpath(written, state.directory(target))
