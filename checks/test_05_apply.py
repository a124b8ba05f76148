"""Apply"""

from pytest_dryrun import check


@check("migrations-applied", criterion="migrations-applied")
def test_migrations_applied(applied, status, target, record):
    """Every pending migration is applied to the target.

    Tried only when every blocking check of sections 1 to 4 and `stalls` passed in this very run, each where its
    criterion is required, and the way back of section 8 was walked on the copy.

    When it is red: the report shows what the target was left with; roll back from the backup above.
    """
    record.fact("Applied", list(applied.names))
    record.fact("Seconds", round(applied.duration_ms / 1000, 2), "s")
    record.fact("Warnings", list(applied.warnings))
    if applied.output:
        record.fact("Deploy command", f"{target.migrations.deploy}\n{applied.output}")
    record.judge(applied.failures)
    expected = [migration.name for migration in status.pending]
    assert list(applied.names) == expected, f"pending were {expected}, applied are {list(applied.names)}"


@check("status-after-apply", criterion="migrations-applied")
def test_status_after_apply(status_after, status_command, record):
    """Afterwards the history is complete: nothing is pending, nothing failed.

    When it is red: the deploy command said that it was done and the database says that it is not.
    """
    record.fact("Current migration", status_after.current or "none")
    record.fact("Pending", [migration.name for migration in status_after.pending])
    answer = status_command.ask(status_after)
    if answer.said:
        record.fact("Status command", f"{status_command.command}\n{answer.said}")
    record.judge([*status_after.findings, *answer.findings])
    assert not status_after.pending, "still pending: " + ", ".join(migration.name for migration in status_after.pending)


@check("schema-as-rehearsed", criterion="migrations-applied")
def test_schema_as_rehearsed(schema_as_rehearsed, record):
    """The target's schema is the one that the rehearsal ended with.

    When it is red: the target differed from its backup, or somebody changed it meanwhile.
    """
    record.fact("Objects compared", schema_as_rehearsed.objects)
    record.judge(schema_as_rehearsed.findings)
