"""One pytest session with `--dryrun-target`: what it collects, in which order, and what its reports add up to."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import suppress
from typing import IO, Any

import pytest

from pytest_dryrun import checklist, closing, collecting, config_file, options, preparing
from pytest_dryrun.checklist import Checklist
from pytest_dryrun.collecting import TARGET, slug_of, target_of
from pytest_dryrun.folder_lock import lock
from pytest_dryrun.judging import Phases, redacted
from pytest_dryrun.ledger import Ledger, message, new_run_id, worse
from pytest_dryrun.local_run import LocalRun
from pytest_dryrun.model.errors import ConfigurationError, DryRunError
from pytest_dryrun.model.redaction import Redactor
from pytest_dryrun.model.values import Outcome, as_json
from pytest_dryrun.progress import Progress, silent
from pytest_dryrun.run import DryRun
from pytest_dryrun.serving import Serving
from pytest_dryrun.staging_run import StagingRun
from pytest_dryrun.staging_serving import StagingServing
from pytest_dryrun.state import State, operator

PHASES: pytest.StashKey[Phases] = pytest.StashKey()
APPLYING = "migrations-applied"


def read(config: pytest.Config) -> tuple[config_file.Loaded, dict[str, Checklist]]:
    """Read the configuration and each target's checklist; UsageError (exit 4) when either is wrong."""
    try:
        path = config_file.find(config.invocation_params.dir, options.setting(config, "dryrun_config")[0])
        loaded = config_file.load(path, str(config.getoption("dryrun_target")))
        return loaded, {name: checklist.of_target(loaded.root, target) for name, target in loaded.targets.items()}
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from error


def open_session(config: pytest.Config) -> DryRunSession:
    """Prepare pytest for a dry run."""
    state = DryRunSession(config, *read(config))
    try:
        preparing.prepare(state.state, is_worker=state.is_worker)
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from error
    return state


def print_checklist(config: pytest.Config) -> int:
    """Print the checklist of every chosen target."""
    _, checklists = read(config)
    text = "\n\n".join("\n".join(options.checklist_lines(each.specs, name)) for name, each in checklists.items())
    sys.stdout.write(text + "\n")
    return 0


class DryRunSession:
    """The state of the session, on the controller and on each xdist worker."""

    def __init__(self, config: pytest.Config, loaded: config_file.Loaded, checklists: dict[str, Checklist]) -> None:
        self.config = config
        self.loaded = loaded
        self.checklists = checklists
        self.is_worker = hasattr(config, "workerinput")
        report, _ = options.setting(config, "dryrun_report")
        base = config.invocation_params.dir if report else loaded.root
        given = json.loads(config.workerinput["dryrun_session"]) if self.is_worker else {}  # type: ignore[attr-defined]
        self.state = State(
            config=config,
            loaded=loaded,
            checklists=checklists,
            report_directory=(base / (report or "reports")).resolve(),
            redactor=Redactor(loaded.secrets),
            ledgers={name: Ledger(name, given.get(name) or new_run_id()) for name in loaded.targets},
            executed_by=loaded.project.executed_by or operator(),
        )
        self.runs: dict[str, DryRun] = {}
        self.servings: dict[str, Serving] = {}
        self._locks: list[IO[str]] = []
        self._running = False
        self._worker_lost = False
        self._printed = False
        self._session: pytest.Session | None = None
        self._progress: Progress = silent

    @property
    def deciding(self) -> bool:
        """Whether this process writes reports and decides: the controller of a run that runs something."""
        option = self.config.option
        return not self.is_worker and not option.collectonly and not option.dryrun_list

    def header(self) -> list[str]:
        """One line for pytest's header."""
        names = ", ".join(f"{name} ({target.role})" for name, target in self.loaded.targets.items())
        return [f"dry run: target {names}; {self.loaded.path}; reports in {self.state.report_directory}"]

    def start(self) -> None:
        """Take the lock of every target and put an unfinished NO-GO where the last report stood."""
        if not self.deciding:
            return
        # Asked now: while a test runs, its captured output is no terminal.
        self._progress = closing.progress(self.config)
        for name in self.loaded.targets:
            self._locks.append(lock(self.state.directory(name)))
        with suppress(ValueError):  # not the main thread: then signals are somebody else's business
            signal.signal(signal.SIGTERM, _interrupt)
        self._running = True
        try:
            for name in self.loaded.targets:
                closing.write_unfinished(self.state, name)
        except DryRunError as error:
            raise pytest.UsageError(str(error)) from error

    # Collection.

    def parametrize(self, metafunc: pytest.Metafunc) -> None:
        """Run every collected test once for each target whose checklist its folder belongs to."""
        if TARGET in metafunc.fixturenames:
            names = collecting.targets_of(metafunc.definition, self.checklists)
            metafunc.parametrize(TARGET, names, ids=names, indirect=True, scope="session")

    def claim(self, items: list[pytest.Item]) -> None:
        """Match what was collected with the checklists."""
        collecting.claim(items, self.checklists)

    def order(self, items: list[pytest.Item]) -> None:
        """Put it into their order."""
        collecting.order(items, self.checklists)

    # Running.

    def run(self, target: str) -> DryRun:
        """The dry run of one target, opened by the first test that asks."""
        if target not in self.runs:
            kind = StagingRun if self.loaded.targets[target].role == "staging" else LocalRun
            self.runs[target] = kind(
                name=target,
                target=self.loaded.targets[target],
                loaded=self.loaded,
                specs=self.checklists[target].specs,
                run_id=self.state.ledgers[target].run_id,
                directory=self.state.directory(target),
                redactor=self.state.redactor,
                executed_by=self.state.executed_by,
                started_at=self.state.ledgers[target].started_at,
                progress=self._progress,
            )
            self.serving(self.runs[target])  # which has something to do before the deployment, too
        return self.runs[target]

    def serving(self, run: DryRun) -> Serving:
        """The application's side of a dry run."""
        if run.name not in self.servings:
            self.servings[run.name] = StagingServing(run) if isinstance(run, StagingRun) else Serving(run)
        return self.servings[run.name]

    def leave(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """Close a target's dry run inside its last test's teardown, so that a failing cleanup is seen."""
        target = target_of(item)
        if target in self.runs and (nextitem is None or target_of(nextitem) != target):
            self._last_act(item, self.runs[target])
            self.runs[target].close()

    def _last_act(self, item: pytest.Item, run: DryRun) -> None:
        """Bring the target back, where it is migrated, what was seen is no GO, and the configuration wants that."""
        records = dict(run.records)
        if (slug := slug_of(item)) is not None and PHASES in item.stash:
            records[slug] = worse(records.get(slug), item.stash[PHASES].finished(slug))
        ledger = self.state.ledgers[run.name]
        go = run.verdict(records).go and not ledger.troubles and not ledger.contradicted(records)
        if not go and run.parts.get("target_migrated"):
            self.serving(run).roll_back()

    def judge(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> pytest.TestReport:
        """Turn one phase of one check into its part of the record, and its report into one that can be shown."""
        slug, target = slug_of(item), target_of(item)
        if slug is None or target not in self.state.ledgers:
            return redacted(report, self.state.redactor)
        run = self.runs.get(target)  # None where the dry run itself could not be opened
        phases = item.stash.setdefault(PHASES, Phases())
        owner = run.owner(call.excinfo.value, slug) if run is not None and call.excinfo is not None else None
        text = phases.see(call, owner=owner)
        if text is not None:
            report.longrepr = text
        if call.excinfo is not None and phases.outcome in {Outcome.BLOCKED, Outcome.NOT_APPLICABLE}:
            report.outcome = "skipped"
            report.longrepr = (str(item.path), item.location[1] or 0, f"Skipped: {phases.reason}")
        elif report.when == "call" and call.excinfo is None and self._red_by_findings(phases):
            report.outcome = "failed"
            report.longrepr = phases.reason
        report.__dict__["dryrun_check"] = (target, slug)
        # Extra attributes travel from xdist's workers as they are; user properties would end up in junit's file.
        if report.when == "call" or call.excinfo is not None:
            report.__dict__["dryrun_status"] = phases.outcome.value
        if report.when == "teardown":
            finished = phases.finished(slug)
            if run is not None:
                finished = run.records[slug] = worse(run.records.get(slug), finished)
            parts = run.take_parts() if run is not None else {}
            report.__dict__["dryrun_message"] = message(finished, parts, self.state.redactor)
            del item.stash[PHASES]  # another attempt begins anew
        return redacted(report, self.state.redactor)

    def receive(self, report: pytest.TestReport) -> None:
        """Add a finished check to its target's ledger; on a worker too, where the last one decides on a rollback."""
        target, slug = getattr(report, "dryrun_check", ("", ""))
        if not slug:
            if report.failed:
                self.trouble("a test that is not part of the checklist failed")
            return
        ledger = self.state.ledgers[target]
        if report.failed:
            ledger.red.add(slug)
        if isinstance(text := getattr(report, "dryrun_message", None), str):
            ledger.receive(text)

    @staticmethod
    def _red_by_findings(phases: Phases) -> bool:
        """Whether a test that ended well is red for what it recorded."""
        phases.settle()
        return phases.outcome is Outcome.FAILED

    def trouble(self, text: str) -> None:
        """Something happened to the whole run that forbids a GO for every target."""
        self.state.trouble(text)

    def collection_failed(self, report: pytest.CollectReport) -> None:
        """A file could not be imported: none of its checks can run."""
        lines = str(report.longrepr).strip().splitlines()
        why = lines[-1].removeprefix("E").strip() if lines else "no reason given"
        self.trouble(f"{report.nodeid or 'a file'} could not be imported: {why}")

    def for_worker(self) -> str:
        """What an xdist worker must know of this session."""
        return json.dumps({name: ledger.run_id for name, ledger in self.state.ledgers.items()})

    def scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Xdist's scheduler for this run: one worker a target."""
        from pytest_dryrun.spreading import TargetScheduling

        return TargetScheduling(config, log, list(self.loaded.targets))

    def summary_html(self) -> list[str]:
        """The matrix of every target for pytest-html's summary."""
        return closing.summary_html(self.state)

    def finish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the reports, where this process decides."""
        self._session = session
        self.close()
        if self._running and self.deciding:
            self._take_what_was_not_told(exitstatus)
            closing.finish(self.state, session, exitstatus)

    def _take_what_was_not_told(self, exitstatus: int) -> None:
        """An interrupted check tells nothing; that the target was migrated in it must be told all the same."""
        broken_off = self._worker_lost or exitstatus in {pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR}
        for name, ledger in self.state.ledgers.items():
            if name in self.runs:
                ledger.parts.update(self.state.redactor.json(as_json(self.runs[name].take_parts())))
            if APPLYING in ledger.records:
                continue
            if ledger.parts.get("target_migrated"):
                ledger.trouble(
                    "the run was interrupted while it migrated the target: state unknown, look at its history"
                )
            elif broken_off and name not in self.runs:  # it was a worker's, which told no more
                ledger.parts["state_unknown"] = True

    def worker_lost(self, name: str, error: object) -> None:
        """A worker of xdist ended before its time, and what it was doing is not known."""
        self._worker_lost = True
        self.trouble(f"the worker {name} was lost: {error}")

    def exit_status(self, exitstatus: int) -> int:
        """The session's exit status: 0 for GO alone."""
        if self.is_worker:
            return exitstatus
        return closing.exit_status(self.state, exitstatus, deciding=self.deciding)

    def print_summary(self, reporter: Any) -> None:
        """Print the matrix of every target, once."""
        if not self._printed:
            self._printed = True
            closing.print_summary(self.state, reporter)

    def end(self) -> None:
        """Print what nobody printed yet (after an internal error), share the annex, let go of the locks."""
        if self._session is not None:
            # Another plugin's pytest.exit() while the session finished may have set its own.
            self._session.exitstatus = self.exit_status(int(self._session.exitstatus))
        reporter = self.config.pluginmanager.getplugin("terminalreporter")
        if self.state.documents and reporter is not None:
            self.print_summary(reporter)
        if self.state.documents:
            closing.share_annex(self.state)
        while self._locks:
            self._locks.pop().close()

    def close(self) -> None:
        """Close what is still open (after an interrupt), telling what could not be closed."""
        for run in self.runs.values():
            try:
                run.close()
            except Exception as error:  # noqa: BLE001 - the session is ending; the report carries the failure
                self.trouble(f"cleaning up failed: {error}")


def _interrupt(signum: int, frame: object) -> None:
    del signum, frame
    raise KeyboardInterrupt("terminated")
