"""Migration status"""

from pytest_dryrun import check


@check("migration-status", criterion="migrations-applied")
def test_migration_status(status, status_command, record):
    """The target is where its migration history says it is.

    An edited, missing, failed or half-recorded migration means that nobody knows what the next one will meet.

    When it is red: settle the state that the finding names before anything else is applied.
    """
    record.fact("Current migration", status.current or "none")
    record.fact("Applied", len(status.applied))
    record.fact("Tool", f"{status.tool} {status.version}".strip())
    record.fact("A file is executed", f"{status.mode}: {status.mode_reason}")
    answer = status_command.ask(status)
    if answer.said:
        record.fact("Status command", f"{status_command.command}\n{answer.said}")
    record.judge([*status.findings, *answer.findings])


@check("pending-migrations", criterion="migrations-applied")
def test_pending_migrations(status, waivers, record):
    """The pending migrations are known, and so is every waiver for them.

    What is listed here is what will be rehearsed and then applied, in this order.

    When it is red: a waiver has expired or gives no reason; mend or remove it.
    """
    record.fact("Pending", [migration.name for migration in status.pending])
    record.fact("Applied count", len(status.applied))
    record.judge(waivers.invalid())
