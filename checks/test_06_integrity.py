"""Integrity"""

from pytest_dryrun import check


@check("rows-intact", criterion="no-data-loss")
def test_rows_intact(integrity, record):
    """Every row is still there, and every surviving value is the same.

    When it is red: rows or values are gone from the target; roll back from the backup above.
    """
    record.fact("Tables", len(integrity.tables))
    record.fact("Rows before", integrity.rows_before)
    record.fact("Rows after", integrity.rows_after)
    record.judge(integrity.row_findings)


@check("column-defaults", criterion="no-data-loss")
def test_column_defaults(integrity, record):
    """New columns have their defaults, in the rows that were there and in a new one.

    A row is really inserted and read back, in a transaction that is rolled back.

    When it is red: old rows or new ones do not carry the value that the schema promises.
    """
    record.fact("Columns", [f"{item.table}.{item.column}: {item.outcome}" for item in integrity.defaults])
    record.judge(integrity.default_findings)


@check("no-orphaned-foreign-keys", criterion="no-data-loss")
def test_no_orphaned_foreign_keys(integrity, record):
    """Every row that refers to another one finds it.

    Counted for every foreign key, validated or not. Where both tables hold the very rows of the backup, restoring it
    has counted already: the server checks every key that it adds to restored rows.

    When it is red: the finding names the rows without a parent.
    """
    record.fact("Foreign keys", integrity.foreign_keys)
    record.judge(integrity.orphans)


@check("indexes-valid", criterion="no-data-loss")
def test_indexes_valid(integrity, record):
    """Every index is built and every constraint is validated.

    A build that was interrupted leaves an index behind that costs every write and serves no query.

    When it is red: the finding prints the SQL that rebuilds the index or validates the constraint.
    """
    record.fact("Indexes", integrity.indexes)
    record.judge(integrity.invalid)
