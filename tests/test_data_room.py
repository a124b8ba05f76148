"""The room on the disk of a target's own server, as its host tells it: a real server, real file systems."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from needs import require
from psycopg import sql

from pytest_dryrun.hosts import Completed
from pytest_dryrun.hosts.local import LocalHost
from pytest_dryrun.model.errors import DryRunError
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.postgres.disposable import Disposable
from pytest_dryrun.steps import data_room
from pytest_dryrun.steps.target import TargetDatabase

pytestmark = pytest.mark.live


@dataclass(frozen=True)
class Through(LocalHost):
    """This machine, as it is seen through another program that runs the commands."""

    program: tuple[str, ...] = ()

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        """Let the program run it."""
        return super().run([*self.program, *argv], **options)


@pytest.fixture
def of_a_user(database: Conninfo) -> Iterator[Conninfo]:
    """The database as a user sees it who may log in and no more."""
    name = f"{database.dbname}_reader"
    with connect(database) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'reads'").format(sql.Identifier(name)))
    yield replace(database, user=name, password="reads")
    with connect(database) as connection:
        connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(name)))


@pytest.fixture
def small(disposable: Disposable, database: Conninfo, tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MB in which the database lies."""
    require(os.geteuid() == 0, "only root can make a small file system")
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", str(place)], check=True)
    with _lies_in(disposable, database, place):
        yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def closed(disposable: Disposable, database: Conninfo, tmp_path: Path) -> Iterator[Path]:
    """A folder, behind one that only the server looks into, in which the database lies."""
    require(os.geteuid() == 0, "only root can give a folder to somebody else")
    place = tmp_path / "closed" / "data"
    place.mkdir(parents=True)
    with _lies_in(disposable, database, place):
        os.chown(place.parent, place.stat().st_uid, place.stat().st_gid)
        place.parent.chmod(0o700)
        yield place


@contextmanager
def _lies_in(disposable: Disposable, database: Conninfo, place: Path) -> Iterator[None]:
    """Put the database there as long as the block lasts."""
    for each in place.parents:
        if each.is_relative_to(tempfile.gettempdir()) and each != Path(tempfile.gettempdir()):
            each.chmod(0o755)
    with psycopg.connect(**disposable.conninfo.parameters(), autocommit=True) as connection:
        server = Path(f"/proc/{connection.info.backend_pid}").stat()
        os.chown(place, server.st_uid, server.st_gid)
        place.chmod(0o700)
        name, space = sql.Identifier(database.dbname), sql.Identifier(f"{database.dbname}_space")
        connection.execute(sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(space, sql.Literal(str(place))))
        connection.execute(sql.SQL("ALTER DATABASE {} SET TABLESPACE {}").format(name, space))
        yield
        connection.execute(sql.SQL("ALTER DATABASE {} SET TABLESPACE pg_default").format(name))
        connection.execute(sql.SQL("DROP TABLESPACE {}").format(space))


def target(conninfo: Conninfo, disposable: Disposable, host: LocalHost | None = None) -> TargetDatabase:
    """The database behind a host."""
    return TargetDatabase(conninfo, host or LocalHost(), disposable.tool, conninfo)


def told(conninfo: Conninfo, disposable: Disposable, host: LocalHost | None = None) -> str:
    """Why the room there is not known."""
    with pytest.raises(data_room.Unmeasured) as caught:
        data_room.look(target(conninfo, disposable, host))
    return caught.value.what


def test_who_may_ask_is_told_where_the_data_lies(disposable, database):
    """The data directory and the figure of its file system."""
    place, free = data_room.look(target(database, disposable))
    with connect(database) as connection:
        assert (place,) == connection.execute("SHOW data_directory").fetchone()
    state = os.statvfs(place)
    assert 0.05 > abs(free / (state.f_bavail * state.f_frsize) - 1)


def test_who_may_not_ask_is_told_what_would_let_it(disposable, database, of_a_user):
    """And with that it is let."""
    grant = f'GRANT pg_read_all_settings TO "{of_a_user.user}"'
    assert f"may not ask where the server keeps its data ({grant} would let it)" in told(of_a_user, disposable)
    with connect(database) as connection:
        connection.execute(grant)
    assert data_room.look(target(of_a_user, disposable))[0] == data_room.look(target(database, disposable))[0]


def test_a_tablespace_is_where_the_database_lies(disposable, of_a_user, small):
    """Anybody may ask for that; what is needed for another database is more than there is."""
    place, free = data_room.look(target(of_a_user, disposable))
    assert str(small) == place
    assert 40e6 > free > 10e6
    there = target(of_a_user, disposable)
    data_room.require_still(there, free)
    with pytest.raises(DryRunError) as caught:
        data_room.require_still(there, free + 10_000_000)
    assert "MB: a full disk would stop the server, so it was not restored." in caught.value.what
    assert "The target is still the migrated database." == caught.value.means
    # What nobody can tell is tried.
    data_room.require_still(target(of_a_user, disposable, Through(program=("false",))), 10**12)
    data_room.require_still(target(of_a_user.database("gone"), disposable), 10**12)


def test_a_closed_folder_is_not_measured(disposable, database, closed):
    """What is behind it may lie on any disk: mounted there, or linked to."""
    assert f"the login user cannot look at {closed} on this machine" in told(database, disposable, LocalHost("nobody"))


def test_a_server_that_runs_elsewhere_is_not_measured_here(disposable, database):
    """Behind a port of the host there may be a container, or another machine: its disk is not this one."""
    require(os.geteuid() == 0, "only root can make another process space")
    elsewhere = Through(program=("unshare", "--pid", "--fork", "--mount-proc"))
    said = told(database, disposable, elsewhere)
    assert "it has no process on this machine: it runs in a container of it, or on another machine" in said


@pytest.mark.parametrize("hidepid", [1, 2])
def test_a_host_that_hides_processes(disposable, database, hidepid):
    """Whether the server runs there cannot be seen; that is not the same as that it does not."""
    require(os.geteuid() == 0, "only root can hide processes")
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups"
    hiding = f'mount -t proc -o hidepid={hidepid} proc /proc && exec {nobody} "$@"'
    hidden = Through(program=("unshare", "--mount", "sh", "-c", hiding, "sh"))
    assert "this machine hides the processes of others from the login user" in told(database, disposable, hidden)


def test_a_folder_that_the_host_does_not_have(disposable, database):
    """A server that shares the host's processes, and not its files."""
    require(os.geteuid() == 0, "only root can put another root in the place of the first")
    here = tempfile.gettempdir()
    bare = f'mount -t tmpfs none {here} && exec "$@"'
    elsewhere = Through(program=("unshare", "--mount", "sh", "-c", bare, "sh"))
    assert f"the login user cannot look at {here}/" in told(database, disposable, elsewhere)


def test_a_host_that_does_not_answer(disposable, database, monkeypatch):
    """Its own words."""
    monkeypatch.setattr(data_room, "COMMAND_S", 0.1)
    silent = Through(program=("sh", "-c", "sleep 100", "sh"))
    assert "did not end within 0.1 s" in told(database, disposable, silent)
    monkeypatch.undo()
    broken = Through(program=("sh", "-c", "echo '{braces}' >&2; exit 9", "sh"))
    assert told(database, disposable, broken).endswith("on this machine failed")
