"""The journal on the host: there before anything is done, gone when all has ended, told where a run was cut off."""

from __future__ import annotations

import pytest
from sshd import Sshd

from pytest_dryrun.errors import CommandFailed
from pytest_dryrun.hosts import ssh
from pytest_dryrun.steps.host_journal import HostJournal, clear

pytestmark = pytest.mark.live

RUN = "20261201T021500Z-ab12"


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """Log in to a real sshd once."""
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    server.start()
    with ssh.connect(server.settings()) as host:
        yield host
    server.stop()


@pytest.fixture
def there(tmp_path):
    """Name a folder that the user of the host may write."""
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o755)
    return tmp_path / "backups"


def test_a_write_is_noted_before_it_is_done_and_when_it_has_ended(host, there):
    """Readable by its user alone, and gone with the run."""
    journal = HostJournal.begin(host, str(there), "staging", RUN)
    file = there / f".staging-{RUN}.journal"
    with journal.writing("deploying 1_a"):
        assert file.read_text(encoding="utf-8").endswith(" began deploying 1_a\n")
        assert 0o600 == file.stat().st_mode & 0o777
        assert 0o700 == there.stat().st_mode & 0o777
        with journal.writing("writing\nthe rest"):
            pass
    assert ["began deploying 1_a", "began writing the rest", "ended writing the rest", "ended deploying 1_a"] == [
        line.partition(" ")[2] for line in file.read_text(encoding="utf-8").splitlines()
    ]
    journal.close()
    assert [] == list(there.iterdir())


def test_what_fails_in_this_very_run_is_told_by_it_and_not_by_the_next(host, there):
    """The end is noted however it came."""
    journal = HostJournal.begin(host, str(there), "staging", RUN)
    with pytest.raises(KeyboardInterrupt), journal.writing("deploying 1_a"):
        raise KeyboardInterrupt
    journal.close()
    assert [] == list(there.iterdir())


def test_nothing_is_begun_that_cannot_be_noted(host, there):
    """A full disk, a folder that went away: the run is told, and the work is not done."""
    journal = HostJournal.begin(host, str(there), "staging", RUN)
    there.rmdir()
    done = []
    with pytest.raises(CommandFailed) as caught, journal.writing("deploying 1_a"):
        done.append("deployed")
    assert [] == done
    assert "cannot be written" in caught.value.what
    assert "this was not begun: deploying 1_a" in caught.value.means


def test_an_end_that_cannot_be_noted_leaves_the_journal(host, there):
    """Too much is told, never too little."""
    journal = HostJournal.begin(host, str(there), "staging", RUN)
    file = there / f".staging-{RUN}.journal"
    with journal.writing("deploying 1_a"):
        kept = file.read_bytes()
        file.unlink()
        file.mkdir()
    file.rmdir()
    file.write_bytes(kept)
    journal.close()
    [told] = clear(host, str(there), "staging")
    assert "deploying 1_a" in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("T1 began deploying 1_a, 2_b\n", "while it was deploying 1_a, 2_b (since T1)."),
        ("T1 began copying\nT2 began deploying\nT3 ended deploying\n", "while it was copying (since T1)."),
        ("T1 began copying\nT2 began deploying\n", "while it was copying (since T1); deploying (since T2)."),
        ("T1 began dumping\nT2 ended dumping\n", "while it wrote nothing to the target."),
        ("T1 began dumping\nT2 ended dumping\nT3 beg", "while it wrote nothing to the target."),
        ("", "while it wrote nothing to the target."),
    ],
    ids=["one", "the other has ended", "two", "all have ended", "half a line", "nothing"],
)
def test_the_next_run_tells_what_a_killed_one_was_doing(host, there, text, told):
    """And takes the journal away."""
    there.mkdir()
    there.chmod(0o777)
    (there / f".staging-{RUN}.journal").write_text(text, encoding="utf-8")
    (there / f".staging-{RUN}.journal").chmod(0o644)
    assert (f"Run {RUN} was cut off {told}",) == clear(host, str(there), "staging")
    assert [] == list(there.iterdir())


def test_only_the_targets_own_journals_are_touched(host, there):
    """Another target's run may be alive."""
    there.mkdir()
    there.chmod(0o777)
    names = [f".staging-2-{RUN}.journal", f"staging-{RUN}.journal", f".staging-{RUN}.journal.gz", ".staging-x.journal"]
    for name in names:
        (there / name).touch()
    assert () == clear(host, str(there), "staging")
    assert sorted(names) == sorted(path.name for path in there.iterdir())
    assert () == clear(host, str(there / "none"), "staging")
