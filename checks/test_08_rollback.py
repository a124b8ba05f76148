"""Rollback"""

from pytest_dryrun import check


@check("rollback-restores", criterion="rollback-proven")
def test_rollback_restores(rollback, record):
    """The migrated copy can be replaced by the backup, with the very steps that the target would need.

    When it is red: there is no proven way back; do not migrate.
    """
    record.fact("Seconds to restore", round(rollback.duration_ms / 1000, 2), "s")
    record.fact("Steps", list(rollback.steps))
    if rollback.restored_as:
        record.fact("Restored as", rollback.restored_as)
    assert rollback.duration_ms > 0, "nothing was restored"


@check("rollback-rows-match", criterion="rollback-proven")
def test_rollback_rows_match(rollback, record):
    """After the rollback every row and the whole schema are what they were before.

    When it is red: the way back does not lead back.
    """
    record.fact("Tables compared", rollback.tables)
    record.fact("Rows compared", rollback.rows)
    record.judge(rollback.findings)


@check("rollback-health", criterion="rollback-proven")
def test_rollback_health(target, rolled_back_health, record):
    """The API is healthy on the rolled-back database.

    When it is red: the release that would run after a rollback does not start on the old schema.
    """
    if not target.api.start:
        record.not_applicable("no [api] start command is configured, so no API can be started on the copy")
    answer = rolled_back_health()
    record.fact("Status", answer.status)
    record.fact("Time", round(answer.duration_ms, 1), "ms")
    assert not answer.health_problem, answer.health_problem


@check("rollback-smoke", criterion="rollback-proven")
def test_rollback_smoke(target, rolled_back_smoke, record):
    """The smoke test passes on the rolled-back database.

    The configured smoke command, and every timed request once.

    When it is red: the way back leads to an application that does not work.
    """
    if not target.api.start:
        record.not_applicable("no [api] start command is configured, so no API can be started on the copy")
    if not target.smoke.command and not target.performance.requests:
        record.not_applicable("neither a [smoke] command nor [performance] requests are configured")
    outcome = rolled_back_smoke()
    record.fact("Requests", list(outcome.answers))
    assert not outcome.problems, "; ".join(outcome.problems)
