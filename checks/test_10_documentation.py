"""Documentation"""

from pytest_dryrun import check


@check("history-recorded", criterion="no-p0")
def test_history_recorded(history, waivers, record):
    """The run stands in the migration history.

    Whoever looks for the reason of a change next year finds it there.

    When it is red: the file could not be written or does not say what was written.
    """
    record.note(waivers.unused())
    if not history.configured:
        record.not_applicable("no [project] history is configured")
    if not history.needed:
        record.fact("Entry", "none: nothing was applied, so there is nothing to record")
        return
    entry = history.write()
    record.fact("File", str(history.path))
    record.fact("Entry", entry)
    assert entry in history.path.read_text(encoding="utf-8"), "the entry is not in the file"
