"""Review"""

from pytest_dryrun import check


@check("schema-diff", criterion="migrations-applied")
def test_schema_diff(rehearsal, prisma_diff, record):
    """The pending migrations apply on a copy of the data, and what they change in the schema is shown.

    The copy is restored from the backup above, so this is what would happen to the target.

    When it is red: the migration would fail on the target too; the finding names the statement.
    """
    record.fact("Seconds on the copy", round(rehearsal.duration_ms / 1000, 2), "s")
    record.fact("Schema changes", len(rehearsal.changes))
    record.fact("Schema difference", rehearsal.diff_sql or "none")
    if prisma_diff is not None:
        record.fact("Difference as Prisma sees it", str(prisma_diff))
    record.note(rehearsal.advice)
    record.judge((*rehearsal.failures, *rehearsal.undone))


@check("no-destructive-operations", criterion="no-data-loss")
def test_no_destructive_operations(rehearsal, record):
    """Nothing that holds data is dropped, emptied or overwritten.

    Judged by comparing the copy before and after, so that DO blocks, functions, cascades and triggers count too.

    When it is red: expand first, remove in a later release, or waive the finding with its reason.
    """
    record.fact("Tables compared", len(rehearsal.tables))
    record.judge(rehearsal.destructive)
    rehearsal.hold()


@check("safe-defaults", criterion="no-stalls")
def test_safe_defaults(rehearsal, record):
    """New columns and constraints neither shut writers out nor rewrite or scan big tables under a lock.

    When it is red: the finding prints the SQL that does the same without the wait, or says that there is no online way.
    """
    record.judge(rehearsal.safe_defaults)
    rehearsal.hold()


@check("foreign-keys-preserve-integrity", criterion="no-data-loss")
def test_foreign_keys_preserve_integrity(rehearsal, record):
    """Foreign keys keep every child with its parent.

    A dropped or weakened foreign key loses no row today and lets rows lose their parents from then on.

    When it is red: the rows that the finding counts need a decision before the migration does.
    """
    record.judge(rehearsal.foreign_keys)
    rehearsal.hold()


@check("indexes-do-not-block", criterion="no-stalls")
def test_indexes_do_not_block(rehearsal, record):
    """Indexes on existing tables are built and dropped without locking writers out.

    When it is red: the finding prints the SQL that does the same without the wait, or says that there is no online way.
    """
    record.judge(rehearsal.indexes)
    rehearsal.hold()


@check("running-release", criterion="release-compatible")
def test_running_release(rehearsal, record):
    """The running release keeps working on the migrated database.

    Yesterday's release reads and writes while the migration is deployed, until its last instance is replaced. What it
    may do is tried before and after on copies that are thrown away, as each role that has rights there: SELECT by name
    and key, INSERT, UPDATE and DELETE of rows like those that are there.

    When it is red: expand first and remove in a later release, or waive the finding with its reason. A team that stops
    the application for the deployment drops this row of the matrix instead.
    """
    tried = rehearsal.tried
    record.fact("Statements tried", tried.statements)
    record.fact("Seconds to try them", round(tried.duration_ms / 1000, 2), "s")
    record.fact("Not tried", "\n".join(map(str, tried.not_tried)) or "none")
    record.judge(rehearsal.release)
    rehearsal.hold()
    tried.hold()
