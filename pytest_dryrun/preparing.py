"""What pytest and its neighbours read after us: arguments, import mode, the spread over workers, pytest-html's page."""

from __future__ import annotations

import sys

import pytest

from pytest_dryrun import refusals
from pytest_dryrun.model.errors import ConfigurationError
from pytest_dryrun.state import State
from pytest_dryrun.steps import early_look

SPREADABLE = {"load", "loadgroup", "no"}


def prepare(state: State, *, is_worker: bool) -> None:
    """Set them as a dry run needs them; ConfigurationError for what cannot be run, or not like this."""
    config, option = state.config, state.config.option
    for name, target in state.loaded.targets.items():
        refusals.refuse(name, target)
        if target.role == "local":
            early_look.look(state.loaded.root, target)
    for name in state.loaded.targets:
        for answer in config.hook.pytest_dryrun_secrets(target=name):
            for secret in answer:
                state.redactor.add(str(secret))
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        folders = [str(folder) for each in state.checklists.values() for folder in each.folders]
        config.args = list(dict.fromkeys(folders))
    if option.importmode == "prepend":
        # Two folders may hold a test_07_smoke.py each.
        option.importmode = "importlib"
    if sys.flags.optimize and option.assertmode == "plain":
        raise ConfigurationError(
            "Python runs with -O (or PYTHONOPTIMIZE) and pytest with --assert=plain: assertions are left out.",
            "A check without its assertions proves nothing, so nothing was run.",
            "Leave one of the two away.",
        )
    distribution = getattr(option, "dist", "no")
    if distribution not in SPREADABLE:
        raise ConfigurationError(
            f"--dist {distribution} would take the steps of one dry run apart.",
            "Nothing was run and nothing was touched.",
            "Leave --dist away: -n alone spreads targets over workers and keeps each target's checks together.",
        )
    if not is_worker and config.pluginmanager.hasplugin("html") and getattr(option, "htmlpath", None) is None:
        option.htmlpath = str(state.directory(next(iter(state.loaded.targets))) / "pytest.html")
        option.self_contained_html = True
