"""pytest's side: without `--dryrun-target` nothing is imported and nothing happens, but that no check runs."""

from __future__ import annotations

import pytest

MARKER = "dryrun_check(slug, criterion, blocking): one line of the migration dry-run checklist; written as @check(...)"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("dryrun", "migration dry run")
    group.addoption(
        "--dryrun-target",
        dest="dryrun_target",
        metavar="NAME",
        default=None,
        help="Run the checklist against this target of dryrun.toml (several: A,B or a glob); exit status 0 means GO",
    )
    group.addoption(
        "--dryrun-config", dest="dryrun_config", metavar="FILE", default=None, help="Use this configuration file"
    )
    group.addoption(
        "--dryrun-report",
        dest="dryrun_report",
        metavar="DIR",
        default=None,
        help="Write reports to DIR/NAME/ (default: reports/ beside dryrun.toml)",
    )
    group.addoption(
        "--dryrun-list",
        dest="dryrun_list",
        action="store_true",
        default=False,
        help="Print the checklist of the target, run nothing, decide nothing",
    )
    parser.addini(
        "dryrun_config", "Configuration file, where --dryrun-config is not given", type="string", default=None
    )
    parser.addini("dryrun_report", "Report folder, where --dryrun-report is not given", type="string", default=None)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from pytest_dryrun import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    if config.getoption("dryrun_target") is not None:
        from pytest_dryrun import fixtures, listener, session
        from pytest_dryrun.stash import SESSION

        state = session.open_session(config)
        config.stash[SESSION] = state
        register(config, fixtures, "pytest_dryrun.fixtures")
        register(config, listener.Listener(state), "pytest_dryrun.listener")
    elif config.getoption("dryrun_list"):
        raise pytest.UsageError("--dryrun-list prints the checklist of a target: name one with --dryrun-target=NAME")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    if not config.getoption("dryrun_list") or config.getoption("dryrun_target") is None:
        return None
    from pytest_dryrun import session

    return session.print_checklist(config)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a target no check runs, however it was collected; the summary counts them as deselected."""
    if config.getoption("dryrun_target") is not None:
        return
    checks = [item for item in items if item.get_closest_marker("dryrun_check")]
    if checks:
        config.hook.pytest_deselected(items=checks)
        items[:] = [item for item in items if item not in checks]


def register(config: pytest.Config, part: object, name: str) -> None:
    """Add a part of the plugin; UsageError where `-p no:` keeps it out, for without it nothing would be decided."""
    if config.pluginmanager.register(part, name) is None:
        raise pytest.UsageError(
            f"-p no:{name} turns off a part of the dry run.\n"
            "What is left could not decide, so nothing was run and nothing was touched.\n"
            "Leave the option out, or run without --dryrun-target."
        )
