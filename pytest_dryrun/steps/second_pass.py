"""The second pass: the migrations once more, on a copy that is thrown away, with the tables held open by others."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from pytest_dryrun.migrations import Migrations
from pytest_dryrun.model.errors import MigrationFailed
from pytest_dryrun.postgres import databases
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.rehearsal.judge.queues import Queuer
from pytest_dryrun.rehearsal.observe.queueing import AllShown, Place, Queue, QueueWatch

# What was not shown by then is told from the locks of the first pass.
LIMIT_S = 5.0
# By then nothing is held any more, so that a statement that is cut off at the limit counts as not shown.
_RESERVE_S = 1.0
_LOCK_NOT_AVAILABLE = "55P03"
# A copy and what its migration adds.
_ROOM = 1.5


@dataclass(frozen=True, slots=True)
class SecondPass:
    """What came of each statement, how long the pass took, and why it was left out where it was."""

    shown: Mapping[Place, Queue] = field(default_factory=dict)
    duration_ms: float = 0.0
    left_out: str = ""


def second_pass(
    admin: Conninfo,
    template: Conninfo,
    name: str,
    migrations: Migrations,
    found: tuple[Queuer, ...],
    *,
    login: Conninfo | None,
    free_bytes: Callable[[], int],
) -> SecondPass:
    """Show who queues behind the statements that were `found`; a copy of the template is made for it and dropped.

    Nobody may be connected to the template. Left out where no statement is to be shown, or no room is left for a copy.
    """
    statements = {one.place: one.modes for one in found if one.where.line}
    if not statements:
        return SecondPass()
    began = time.monotonic()
    with connect(template) as connection:
        size = databases.size_bytes(connection)
    if free_bytes() < size * _ROOM:
        return SecondPass(left_out="The second pass was left out: there is no room for one more copy.")
    copy = databases.copy(admin, template.dbname, name)
    try:
        applying = login.database(name) if login else copy
        watch = QueueWatch(copy, statements, deadline_s=time.monotonic() + LIMIT_S - _RESERVE_S)
        failure: MigrationFailed | None = None
        try:
            with suppress(AllShown), watch:
                migrations.deploy(applying, timeout_s=LIMIT_S, observer=watch)
        except MigrationFailed as error:  # the first pass has told how the migrations end
            failure = error
        shown = _shown(watch.shown, failure)
    finally:
        databases.drop(admin, name)
    return SecondPass(shown, (time.monotonic() - began) * 1000)


def _shown(shown: Mapping[Place, Queue], failure: MigrationFailed | None) -> dict[Place, Queue]:
    """What came of each statement; one that failed before it came to wait shows nothing, unless it would not wait."""
    found = dict(shown)
    if failure is None or failure.sqlstate == _LOCK_NOT_AVAILABLE:
        return found
    place = (failure.migration, failure.line or 0)
    if place in found and not found[place].waited:
        found[place] = Queue(reason=found[place].reason or failure.what)
    return found
