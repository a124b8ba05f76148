"""Backup"""

from pytest_dryrun import check


@check("backup-created", criterion="no-data-loss")
def test_backup_created(backup, record):
    """A backup of the target exists.

    It is taken from the very snapshot that the fingerprints below describe, live traffic or not.

    When it is red: nothing else is tried; read pg_dump's own words.
    """
    record.fact("File", backup.kept_at)
    record.fact("Size", backup.size_bytes, "bytes")
    record.fact("Dump", round(backup.dump_ms / 1000, 2), "s")
    assert backup.size_bytes > 0, "the backup is empty"
    mode = backup.mode
    assert mode == 0o600, f"the backup can be read by others (mode {mode:o}), it must be 600"


@check("backup-restores", criterion="no-data-loss")
def test_backup_restores(restored, record):
    """The backup restores into a new database that equals the target, row by row.

    The list of an archive proves nothing: a truncated or flipped byte shows only when everything is read and compared.

    When it is red: this backup cannot bring the data back; do not migrate.
    """
    record.fact("Restore", round(restored.restore_ms / 1000, 2), "s")
    if restored.overlapped:
        record.fact("Begun", "while it was still being written, so this holds some of the dump; 8.1 times it alone")
    record.fact("Tables compared", restored.tables)
    record.fact("Rows compared", restored.rows)
    record.judge(restored.findings)


@check("backup-checksum", criterion="no-data-loss")
def test_backup_checksum(backup, restored, record):
    """The file on disk is still the one that was written and proved.

    When it is red: the disk or somebody changed the file; take a new backup.
    """
    record.fact("SHA-256", backup.sha256)
    now = restored.checksum_now()
    assert now == backup.sha256, f"the file's SHA-256 is {now} now; {backup.sha256} was written"
