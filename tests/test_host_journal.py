"""The journal on the host: there before anything is done, gone when all has ended, told where a run was cut off."""

from __future__ import annotations

import pytest
from sshd import host_logged_in  # noqa: F401 - a fixture

from pytest_dryrun.model.errors import CommandFailed
from pytest_dryrun.model.redaction import MASK, Redactor
from pytest_dryrun.steps import from_host
from pytest_dryrun.steps.host_journal import HostJournal, left

pytestmark = pytest.mark.live

RUN = "20261201T021500Z-ab12"
OURS = "7412345678901234567/shop"


@pytest.fixture
def there(tmp_path):
    """Name a folder that the user of the host may write."""
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o755)
    return tmp_path / "backups"


def test_a_write_is_noted_before_it_is_done_and_when_it_has_ended(host, there):
    """Readable by its user alone, and gone with the run."""
    journal = HostJournal.begin(host, str(there), "staging", RUN, OURS)
    file = there / f".staging-{RUN}.journal"
    with journal.writing("deploying 1_a"):
        assert file.read_text(encoding="utf-8").endswith(" began deploying 1_a\n")
        assert 0o600 == file.stat().st_mode & 0o777
        assert 0o700 == there.stat().st_mode & 0o777
        with journal.writing("writing\nthe rest"):
            pass
    noted = [line.partition(" ")[2] for line in file.read_text(encoding="utf-8").splitlines() if line]
    assert f"database {OURS}" == noted[0]
    assert ["began deploying 1_a", "began writing the rest", "ended writing the rest", "ended deploying 1_a"] == noted[
        1:
    ]
    journal.close()
    assert [] == list(there.iterdir())


def test_no_secret_is_noted(host, there):
    """The file stays where a run is killed."""
    redact = Redactor(["s3cret-token"]).text
    journal = HostJournal.begin(host, str(there), "staging", RUN, OURS, redact=redact)
    with journal.writing("restarting by curl -H s3cret-token"):
        noted = (there / f".staging-{RUN}.journal").read_text(encoding="utf-8")
    journal.close()

    assert f"began restarting by curl -H {MASK}\n" in noted


def test_a_journal_is_known_again_though_its_databases_name_is_a_secret_elsewhere(host, there):
    """A password that is the name, as people choose it on a staging host."""
    HostJournal.begin(host, str(there), "staging", RUN, OURS, redact=Redactor(["shop"]).text)._append(
        "began", "deploying 1_a", ""
    )
    assert [RUN] == [*left(host, str(there), "stage", OURS).runs]


def test_what_fails_in_this_very_run_is_told_by_it_and_not_by_the_next(host, there):
    """The end is noted however it came."""
    journal = HostJournal.begin(host, str(there), "staging", RUN, OURS)
    with pytest.raises(KeyboardInterrupt), journal.writing("deploying 1_a"):
        raise KeyboardInterrupt
    journal.close()
    assert [] == list(there.iterdir())


def test_nothing_is_begun_that_cannot_be_noted(host, there):
    """A full disk, a folder that went away: the run is told, and the work is not done."""
    journal = HostJournal.begin(host, str(there), "staging", RUN, OURS)
    (there / f".staging-{RUN}.journal").unlink()
    there.rmdir()
    done = []
    with pytest.raises(CommandFailed) as caught, journal.writing("deploying 1_a"):
        done.append("deployed")
    assert [] == done
    assert "cannot be written" in caught.value.what
    assert "this was not begun: deploying 1_a" in caught.value.means


def test_a_journal_that_cannot_be_opened_says_what_waits_for_it(host, there):
    """Not the name of a database."""
    (there / f".staging-{RUN}.journal").mkdir(parents=True)
    there.chmod(0o777)
    with pytest.raises(CommandFailed) as caught:
        HostJournal.begin(host, str(there), "staging", RUN, OURS)
    assert "this was not begun: writing to the target" in caught.value.means


def test_an_end_that_cannot_be_noted_leaves_the_journal(host, there):
    """Too much is told, never too little."""
    journal = HostJournal.begin(host, str(there), "staging", RUN, OURS)
    file = there / f".staging-{RUN}.journal"
    with journal.writing("deploying 1_a"):
        kept = file.read_bytes()
        file.unlink()
        file.mkdir()
    file.rmdir()
    file.write_bytes(kept)
    journal.close()
    [told] = left(host, str(there), "staging", OURS).told
    assert "deploying 1_a" in told


def written(there, name, text, mode=0o644):
    """Leave a journal as a killed run would."""
    there.mkdir(exist_ok=True)
    there.chmod(0o777)
    (there / name).write_text(text, encoding="utf-8")
    (there / name).chmod(mode)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("T1 began deploying 1_a, 2_b\n", "while it was deploying 1_a, 2_b (since T1)."),
        ("T1 began copying\n\nT2 began deploying\n\nT3 ended deploying\n", "while it was copying (since T1)."),
        ("T1 began copying\n\nT2 began deploying\n", "while it was copying (since T1); deploying (since T2)."),
        ("T1 began dumping\n\nT2 ended dumping\n", "while it wrote nothing to the target."),
        ("T1 began dumping\n\nT2 ended dumping\n\nT3 began depl", "while it wrote nothing to the target."),
        ("", "while it wrote nothing to the target."),
    ],
    ids=["one", "the other has ended", "two", "all have ended", "half a line", "nothing"],
)
@pytest.mark.parametrize("head", [f"T0 database {OURS}\n\n", ""], ids=["of this database", "of this target"])
def test_the_next_run_tells_what_a_killed_one_was_doing(host, there, head, text, told):
    """And takes the journal away once that is told."""
    written(there, f".staging-{RUN}.journal", head + text)
    found = left(host, str(there), "staging", OURS)
    assert (f"Run {RUN} was cut off {told}",) == found.told
    assert 1 == len(list(there.iterdir()))
    found.clear()
    assert [] == list(there.iterdir())


def test_a_journal_is_its_databases_whatever_the_target_is_called(host, there):
    """Another database's run may be alive, and this database's may have been another target's."""
    written(there, f".staging-{RUN}.journal", "T0 database 7412345678901234567/other\n\nT1 began deploying 1_a\n")
    written(there, f".stage-{RUN}.journal", f"T0 database {OURS}\n\nT1 began deploying 2_b\n")
    found = left(host, str(there), "staging", OURS)
    assert (f"Run {RUN} was cut off while it was deploying 2_b (since T1).",) == found.told
    found.clear()
    assert [f".staging-{RUN}.journal"] == [path.name for path in there.iterdir()]


def test_only_journals_are_touched(host, there):
    """A folder of backups holds others' files too."""
    names = [f".staging-2-{RUN}.journal", f"staging-{RUN}.journal", f".staging-{RUN}.journal.gz", ".staging-x.journal"]
    for name in names:
        written(there, name, "")
    found = left(host, str(there), "staging", OURS)
    found.clear()
    assert () == found.told
    assert sorted(names) == sorted(path.name for path in there.iterdir())
    assert () == left(host, str(there / "none"), "staging", OURS).told


def test_a_journal_that_cannot_be_read_is_told_and_keeps_nobody_from_running(host, there):
    """Somebody else's killed run in a shared folder."""
    there.mkdir()
    (there / f".staging-{RUN}.journal").symlink_to(there)
    [told] = left(host, str(there), "staging", OURS).told
    assert told.startswith(f"What run {RUN} was doing when it was cut off is not known: ")


def test_a_full_disk_leaves_half_a_line_and_no_wrong_word(host, there):
    """What is noted after half a line stands on a line of its own."""
    journal = HostJournal.begin(host, str(there), "staging", RUN, OURS)
    with journal.writing("deploying 1_a"), (there / f".staging-{RUN}.journal").open("a", encoding="utf-8") as file:
        file.write("\nT9 beg")
    assert (f"Run {RUN} was cut off while it wrote nothing to the target.",) == left(
        host, str(there), "staging", OURS
    ).told


def test_half_a_dump_of_a_run_that_may_live_stays(host, there):
    """Two projects may call their targets alike and keep their backups in one folder."""
    lives, killed, older = (f"20261201T02150{number}Z-ab12" for number in range(3))
    written(
        there, f".staging-{lives}.journal", "T0 database 7412345678901234567/other\n\nT1 began writing the backup\n"
    )
    written(there, f".staging-{killed}.journal", f"T0 database {OURS}\n\nT1 began writing the backup\n")
    for run in (lives, killed, older):
        written(there, f".staging-{run}.dump.part", "half")
    found = left(host, str(there), "staging", OURS)
    from_host.clear(host, str(there), "staging", found.others)
    found.clear()
    assert {f".staging-{lives}.journal", f".staging-{lives}.dump.part"} == {file.name for file in there.iterdir()}
