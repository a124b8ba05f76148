"""The hooks of a dry run, registered only with a target; each forwards to the session."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_dryrun.session import DryRunSession

# Category, letter and word of outcomes that pytest does not know.
STATUS = {
    "blocked": ("blocked", "b", "BLOCKED"),
    "not-applicable": ("not applicable", "n", "N/A"),
    "waived": ("waived", "w", "WAIVED"),
}


class Listener:
    """What pytest tells one session."""

    def __init__(self, state: DryRunSession) -> None:
        self._state = state

    def pytest_report_header(self) -> list[str]:
        return self._state.header()

    def pytest_sessionstart(self) -> None:
        self._state.start()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        self._state.parametrize(metafunc)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None]:
        self._state.claim(items)
        yield
        self._state.order(items)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        return self._state.judge(item, call, report)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
        yield
        self._state.leave(item, nextitem)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, str] | None:
        return STATUS.get(getattr(report, "dryrun_status", ""))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._state.collection_failed(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._state.receive(report)

    def pytest_internalerror(self, excrepr: object) -> None:
        self._state.trouble(f"pytest had an internal error: {str(excrepr).strip().splitlines()[-1]}")

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["dryrun_session"] = self._state.for_worker()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        return self._state.scheduler(config, log)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        if error:
            self._state.worker_lost(node.gateway.id, error)

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_summary(self, prefix: list[str]) -> None:
        prefix.extend(self._state.summary_html())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None]:
        self._state.finish(session, exitstatus)
        try:
            yield
        finally:
            session.exitstatus = self._state.exit_status(int(session.exitstatus))

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        self._state.print_summary(terminalreporter)

    def pytest_unconfigure(self) -> None:
        self._state.end()
