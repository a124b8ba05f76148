"""Smoke"""

from pytest_dryrun import check


@check("api-health", criterion="crud-pass")
def test_api_health(target, api_restarted, api_health, api_reaches_target, record):
    """The API is healthy on the migrated database.

    Where it runs already and its restart is configured, it is restarted first, as the production deployment will do;
    what was online before has to be online again.

    Its health route has to ask something of the database: that it is this one is seen in the database's sessions.

    When it is red: its last output is shown with the failure, or the process that does not stay.
    """
    if not target.api.configured:
        record.not_applicable("no [api] is configured for this target")
    restarted = api_restarted()
    if target.api.restart:
        record.fact("Restarted", target.api.restart)
    if target.api.status:
        record.fact(
            "Processes", [str(process) for process in restarted.processes] or f"{target.api.status} ended with status 0"
        )
    assert not restarted.missing, "; ".join(restarted.missing)
    answer = api_health()
    record.fact("Status", answer.status)
    record.fact("Time", round(answer.duration_ms, 1), "ms")
    assert not answer.health_problem, answer.health_problem
    assert api_reaches_target(), (
        f"the API answers, and no session in the target was used by it since {target.api.health} was asked: it uses"
        " another database, or that route asks nothing of its database, and then another has to be [api] health"
    )


@check("smoke-command", criterion="crud-pass")
def test_smoke_command(target, smoke_command, record):
    """The project's own smoke test passes on the migrated database.

    When it is red: its last output is shown with the failure.
    """
    if not target.smoke.command:
        record.not_applicable("no [smoke] command is configured for this target")
    done = smoke_command()
    record.fact("Command", target.smoke.command)
    record.fact("Exit status", done.exit_status)
    record.fact("Time", round(done.duration_ms, 1), "ms")
