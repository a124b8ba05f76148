"""Bringing a migrated database back, on a real server: what takes its place, what keeps it from that."""

from __future__ import annotations

import copy
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import sample_documents as samples
from psycopg import sql

from pytest_dryrun.model.errors import DryRunError, TargetUnusable
from pytest_dryrun.postgres import databases
from pytest_dryrun.postgres.connection import Conninfo, connect
from pytest_dryrun.postgres.disposable import Disposable
from pytest_dryrun.report import terminal
from pytest_dryrun.steps import holding, neighbours, proof, way_back, way_back_rights, way_back_typed
from pytest_dryrun.steps.target import TargetDatabase

pytestmark = pytest.mark.live

RUN = "20261122T010203Z-ab12"
SETUP = """
CREATE TABLE account (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO account SELECT i, 'name ' || i FROM generate_series(1, 500) i;
CREATE SEQUENCE number START 42;
"""


def execute(conninfo: Conninfo, *statements: str) -> None:
    """Run statements on their own, one after another."""
    with psycopg.connect(**conninfo.parameters(), autocommit=True) as connection:
        for statement in statements:
            connection.execute(sql.SQL(statement))  # type: ignore[arg-type]


def names(conninfo: Conninfo) -> set[str]:
    """The databases of the server whose names begin as this one's."""
    with connect(conninfo.database("postgres")) as connection:
        rows = connection.execute("SELECT datname FROM pg_database").fetchall()
    return {str(name) for (name,) in rows if str(name).startswith(conninfo.dbname)}


@pytest.fixture
def owner(postgres: Conninfo) -> Iterator[Conninfo]:
    """A database with rows, settings and grants of its own, as its owner sees it: no superuser."""
    name = f"back_{uuid.uuid4().hex[:8]}"
    execute(
        postgres,
        f"CREATE ROLE {name} LOGIN CREATEDB PASSWORD 'of-no-use-elsewhere'",
        f"CREATE ROLE {name}_reader",
        f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'",
        f'ALTER DATABASE {name} SET search_path TO public, "$user"',
        f"ALTER ROLE {name} IN DATABASE {name} SET work_mem TO '8MB'",
        f"REVOKE ALL ON DATABASE {name} FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {name} TO {name}_reader",
        f"COMMENT ON DATABASE {name} IS 'ours; ''quoted'''",
    )
    conninfo = replace(postgres, dbname=name, user=name, password="of-no-use-elsewhere")
    execute(conninfo, *SETUP.strip().split("\n"))
    yield conninfo
    for left in names(conninfo):
        databases.drop(postgres, left)
    execute(postgres, f"DROP ROLE {name}", f"DROP ROLE {name}_reader")


@pytest.fixture
def target(owner: Conninfo, disposable: Disposable) -> TargetDatabase:
    """The same as the target of a run."""
    return TargetDatabase(owner, disposable.host, disposable.tool, owner)


@pytest.fixture
def taken(target: TargetDatabase, tmp_path: Path) -> proof.Taken:
    """Its backup."""
    return proof.take(target, proof.here(target, tmp_path / "backup", "one.dump", 60), timeout_s=60)


def replaced(target: TargetDatabase, taken: proof.Taken, path: Path) -> way_back.BroughtBack:
    """Bring it back from a file; who it is is known when the names have changed, and not before."""
    said: list[str] = []
    done = way_back.bring_back(
        target,
        taken,
        str(path),
        run_id=RUN,
        let_go=lambda: said.append("let go"),
        swapped=lambda: said.append("swapped"),
        timeout_s=60,
    )
    assert ["let go", "swapped"] == said
    return done


def back(target: TargetDatabase, taken: proof.Taken) -> way_back.BroughtBack:
    """Bring it back from its backup."""
    return replaced(target, taken, taken.path)


def typed(target: TargetDatabase, taken: proof.Taken, *, user: str) -> list[str]:
    """The commands for somebody; what restarts the application tells where it was run."""
    place = str(taken.path.parent)
    return way_back_typed.commands(target, taken.shape, str(taken.path), restart="pwd", directory=place, user=user)


def migrate(owner: Conninfo) -> None:
    """What nobody wanted."""
    execute(
        owner, "ALTER TABLE account DROP COLUMN name", "DELETE FROM account WHERE id > 10", "CREATE TABLE more (x int)"
    )


def test_a_migrated_database_comes_back_as_it_was(owner, target, taken):
    """Rows, schema, owner, collation, settings and grants; the migrated one is gone, and so is whoever was in it."""
    with connect(owner) as connection:
        before = databases.shape(connection)
    assert before.role_settings
    assert before.grants
    migrate(owner)
    with psycopg.connect(**owner.parameters(), autocommit=True) as busy:
        done = back(target, taken)
        with pytest.raises(psycopg.OperationalError):
            busy.execute("SELECT 1")
    _, findings = proof.compare(taken, owner, timeout_s=60)
    assert () == findings
    with connect(owner) as connection:
        assert before == databases.shape(connection)
    assert {owner.dbname} == names(owner)
    assert (1, 500, "") == (done.tables, done.rows, done.left)
    assert done.duration_ms > done.down_ms > 0


def test_sessions_that_come_again_and_again_do_not_keep_it_from_happening(owner, target, taken):
    """An application that connects anew as soon as it is thrown out ends in the database that came back."""
    migrate(owner)
    stop = threading.Event()

    def knock() -> None:
        while not stop.is_set():
            try:
                with psycopg.connect(**owner.parameters(), autocommit=True) as connection:
                    while not stop.is_set():
                        connection.execute("SELECT 1")
            except psycopg.Error:
                continue

    threads = [threading.Thread(target=knock) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        back(target, taken)
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=30)
    with connect(owner) as connection:
        assert (500,) == connection.execute("SELECT count(name) FROM public.account").fetchone()


def still_migrated(owner: Conninfo) -> None:
    """The target is what it was when the way back began, and nothing stands beside it."""
    with connect(owner) as connection:
        assert (10,) == connection.execute("SELECT count(*) FROM public.account").fetchone()
    assert {owner.dbname} == names(owner)


@pytest.fixture
def deadlocking(disposable: Disposable, tmp_path: Path) -> Callable[[str], list[str]]:
    """The server's own programs, but a pg_restore with more than one session ends as in a deadlock, half way."""
    shim = tmp_path / "pg_restore"
    (real,) = disposable.tool("pg_restore")
    shim.write_text(
        '#!/bin/sh\ncase "$*" in *--jobs=2*)\n'
        f'  {real} --section=pre-data "$@" && echo "pg_restore: error: ERROR:  deadlock detected" >&2; exit 1;;\n'
        f'esac\nexec {real} "$@"\n',
        encoding="utf-8",
    )
    shim.chmod(0o755)
    return lambda name: [str(shim)] if name == "pg_restore" else disposable.tool(name)


def test_a_deadlock_among_its_own_sessions_is_no_word_about_the_backup(owner, target, taken, deadlocking, disposable):
    """Restored again by one session, where the proof is made and where the target comes back."""
    migrate(owner)
    one_by_one = replace(target, tool=deadlocking)
    assert back(one_by_one, taken).rows == 500
    _, findings = proof.compare(taken, owner, timeout_s=60)
    assert () == findings

    class Deadlocking(type(disposable)):
        tool = staticmethod(deadlocking)

    server = copy.copy(disposable)
    server.__class__ = Deadlocking
    name = neighbours.named(owner.dbname, "copy", RUN)
    assert () == proof.restore(server, taken, name, timeout_s=60).findings


def test_an_archive_that_does_not_restore_changes_nothing(owner, target, taken):
    """pg_restore's own words; the migrated database stays."""
    migrate(owner)
    taken.path.write_bytes(taken.path.read_bytes()[:-200])
    with pytest.raises(DryRunError, match=r"pg_restore on .* failed: ") as caught:
        back(target, taken)
    assert "still the migrated database" in caught.value.means
    still_migrated(owner)


def test_a_backup_that_is_not_what_the_target_was_does_not_take_its_place(owner, target, taken, tmp_path):
    """Rows that differ from the fingerprint of before keep it out."""
    migrate(owner)
    other = proof.take(target, proof.here(target, tmp_path / "other", "other.dump", 60), timeout_s=60)
    with pytest.raises(DryRunError, match=r"is not what the target was: .*account"):
        replaced(target, taken, other.path)
    still_migrated(owner)


def test_a_session_that_may_not_be_ended(owner, target, taken, postgres, monkeypatch):
    """A superuser's session in the target: who it is is told, and nothing has changed."""
    monkeypatch.setattr(way_back, "SWAP_S", 0.5)
    migrate(owner)
    with psycopg.connect(**postgres.database(owner.dbname).parameters()) as mighty:
        mighty.execute("SELECT 1")
        with pytest.raises(
            DryRunError, match=rf"still in use, by session {mighty.info.backend_pid} of {postgres.user}"
        ):
            back(target, taken)
    still_migrated(owner)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ("ALTER ROLE {role} NOCREATEDB", "may not create databases"),
        ("ALTER DATABASE {role} OWNER TO postgres", "does not own it"),
    ],
    ids=["no right to create", "another owner"],
)
def test_a_user_who_could_not_do_it_is_told_before(owner, postgres, spoil, says):
    """Asked at the start, so that nobody finds out once the target is migrated."""
    assert owner.dbname == owner.user
    assert way_back_rights.may_replace(owner)
    execute(postgres, spoil.format(role=owner.user).replace("postgres", f'"{postgres.user}"'))
    assert not way_back_rights.may_replace(owner)
    with pytest.raises(TargetUnusable, match=says) as caught:
        way_back_rights.require(owner)
    assert "nothing was touched" in caught.value.means


def test_a_user_who_is_let_into_no_other_database_is_told_as_one_without_the_right(owner, postgres):
    """The server answers; a superuser can still go the way back, and nothing else is red for it."""
    places = [f"CONNECT ON DATABASE {name}" for name in way_back_rights.MAINTENANCE]
    execute(postgres, *(f"REVOKE {place} FROM PUBLIC" for place in places))
    try:
        assert not way_back_rights.may_replace(owner)
        with pytest.raises(TargetUnusable, match="is let into neither postgres nor template1") as caught:
            way_back_rights.require(owner)
        assert "Give the user what it lacks" in caught.value.next
    finally:
        execute(postgres, *(f"GRANT {place} TO PUBLIC" for place in places))


def test_a_server_that_does_not_answer_any_more_says_nothing_of_rights(owner, target, taken):
    """After the deployment: the target is the migrated one, and nobody is told to give rights that are there."""
    gone = replace(target, conninfo=replace(owner, port=1))
    with pytest.raises(TargetUnusable) as caught:
        back(gone, taken)
    assert "cannot be replaced from here: " in caught.value.what
    assert "still the migrated database" in caught.value.means
    assert "CREATEDB" not in caught.value.next
    with pytest.raises(TargetUnusable):
        way_back_rights.may_replace(gone.conninfo)


def test_what_a_killed_run_left_is_cleared(owner):
    """Its own kind, beside this very database; a name that only resembles it stays."""
    ours = [neighbours.named(owner.dbname, what, RUN) for what in (neighbours.BESIDE, neighbours.ASIDE)]
    others = [f"{owner.dbname}_dryrun_restored", f"{owner.dbname}2_dryrun_restored_20261122t010203z_ab12"]
    for name in (*ours, *others):
        execute(owner.database("postgres"), f'CREATE DATABASE "{name}" TEMPLATE template0')
    told = " ".join(neighbours.clear(owner, neighbours.left(owner)))
    assert all(f"{name}; it was dropped" in told for name in ours)
    assert {owner.dbname, *others} == names(owner)
    assert () == neighbours.left(owner)


def test_nobody_takes_a_database_that_is_being_replaced(owner):
    """No lock in it would last until it has changed its name; whoever replaces it holds the new one at once."""
    with holding.replacing(owner.database("postgres"), owner.dbname):
        with pytest.raises(TargetUnusable, match=r"Another dry run is rolling back this database \(server process \d+"):
            holding.hold(owner)
        with (
            pytest.raises(TargetUnusable, match=r"Another dry run is rolling .* back"),
            holding.replacing(owner.database("postgres"), owner.dbname),
        ):
            pass
        holding.hold(owner, replaced=True).close()
        holding.hold(owner.database("postgres")).close()
    holding.hold(owner).close()


def test_whoever_replaces_a_database_waits_for_who_is_about_to_be_sent_away(owner, monkeypatch):
    """Somebody who only looks has the lock for a moment."""
    other = holding.hold(owner)
    timer = threading.Timer(0.5, other.close)
    timer.start()
    holding.hold(owner, replaced=True).close()
    timer.join()
    monkeypatch.setattr(holding, "_AGAIN_S", 0.2)
    with (
        closing(holding.hold(owner)),
        pytest.raises(TargetUnusable, match=r"Another dry run holds .* \(server process"),
    ):
        holding.hold(owner, replaced=True)


@pytest.mark.parametrize("stands", ["committed", "not committed", "nobody answers"])
def test_a_connection_that_is_lost_while_names_change(owner, postgres, monkeypatch, stands):
    """What the server says afterwards counts; where it says nothing the state is called unknown."""
    admin = owner.database("postgres")
    beside, aside = (neighbours.named(owner.dbname, what, RUN) for what in (neighbours.BESIDE, neighbours.ASIDE))
    execute(admin, f'CREATE DATABASE "{beside}" TEMPLATE template0')
    renamed, oid = way_back._renamed, way_back._oid

    def lost(connection: psycopg.Connection, *names: str) -> bool:
        if stands == "committed":
            assert renamed(connection, *names)
        execute(postgres, f"SELECT pg_terminate_backend({connection.info.backend_pid})")
        return bool(connection.execute("SELECT 1"))

    def asked(*place: object) -> object:
        if stands == "nobody answers" and place[1] == owner.dbname:
            raise TargetUnusable("No connection.", "", "")
        return oid(*place)

    monkeypatch.setattr(way_back, "_renamed", lost)
    monkeypatch.setattr(way_back, "_oid", asked)

    def swap() -> float:
        return way_back._swap(admin, owner.dbname, beside, aside, lambda: None)

    if stands == "committed":
        assert swap() > 0
    elif stands == "not committed":
        with pytest.raises(DryRunError, match="The connection was lost") as caught:
            swap()
        assert "still the migrated database" in caught.value.means
    else:
        with pytest.raises(way_back.Unknown, match="The connection was lost") as caught:
            swap()
        assert "State unknown" in caught.value.means


def test_names_that_are_long_already_stay_within_bounds():
    """63 bytes, cut between characters, and still told apart by what they are."""
    made = {neighbours.named("ü" * 31, what, RUN) for what in (neighbours.BESIDE, neighbours.ASIDE)}
    assert 2 == len(made)
    assert all(len(name.encode()) <= 63 for name in made)


def test_names_that_are_cut_stay_apart_and_are_known_again(postgres):
    """Two targets of one server whose names begin alike: neither clears what the other has."""
    tail = uuid.uuid4().hex[:8]
    first, second = (f"edfinance_staging_tenant_{tail}_{end}" for end in "ab")
    copies = {name: neighbours.named(name, neighbours.BESIDE, RUN) for name in (first, second)}
    assert 2 == len({*copies.values()})
    for name in (first, second, *copies.values()):
        execute(postgres, f'CREATE DATABASE "{name}" TEMPLATE template0')
    try:
        for name, copy in copies.items():
            assert (copy,) == neighbours.left(postgres.database(name))
    finally:
        for name in (first, second, *copies.values()):
            databases.drop(postgres, name)


@pytest.fixture
def walked(owner, disposable, taken):
    """A migrated copy on its server, the names of what stands beside it for a while, and the walk."""
    copy, beside, aside = (neighbours.named(owner.dbname, what, RUN) for what in ("copy", "one", "two"))
    databases.copy(disposable.conninfo, owner.dbname, copy)
    migrate(owner.database(copy))

    def walk(login: Conninfo | None) -> proof.Restored:
        return way_back.walk(disposable, taken, copy, beside=beside, aside=aside, timeout_s=60, login=login)

    return owner.database(copy), walk


def test_the_way_back_of_a_run_is_walked_as_it_would_go_it(owner, walked, postgres):
    """Restored beside the copy, compared, and the names changed; whoever watched the rehearsal is in no way."""
    copy, walk = walked
    with psycopg.connect(**postgres.database(copy.dbname).parameters(), autocommit=True) as watching:
        watching.execute("SELECT 1")
        restored = walk(owner)
    assert () == restored.findings
    assert copy.dbname == restored.conninfo.dbname
    with connect(copy) as connection:
        assert (500,) == connection.execute("SELECT count(name) FROM public.account").fetchone()
    assert {owner.dbname, copy.dbname} == names(owner)


def test_a_way_back_that_cannot_be_walked_leaves_the_copy(owner, walked, postgres):
    """Whoever may not rename a database finds out on the copy, and nothing stands beside it then."""
    copy, walk = walked
    execute(postgres, f'ALTER DATABASE "{copy.dbname}" OWNER TO "{postgres.user}"')
    with pytest.raises(DryRunError, match=r"could not let the restored database take the place of .*: must be owner"):
        walk(owner)
    with connect(postgres.database(copy.dbname)) as connection:
        assert (10,) == connection.execute("SELECT count(*) FROM public.account").fetchone()
    assert {owner.dbname, copy.dbname} == names(owner)


def test_the_way_back_is_walked_with_no_more_rights_than_who_would_walk_it(owner, disposable, target, taken, postgres):
    """What only a superuser may set, for another role in this database, shows on the copy and not on the target."""
    name = neighbours.named(owner.dbname, "copy", RUN)
    proof.restore(disposable, taken, name, timeout_s=60, login=owner)
    execute(postgres, f"ALTER ROLE {owner.user}_reader IN DATABASE {owner.dbname} SET statement_timeout = '30s'")
    again = proof.take(target, proof.here(target, taken.path.parent, "two.dump", 60), timeout_s=60)
    try:
        with pytest.raises(DryRunError, match="could not make the database anew: permission denied"):
            proof.restore(disposable, again, name, timeout_s=60, login=owner)
        assert () == proof.restore(disposable, again, name, timeout_s=60).findings
    finally:
        databases.drop(postgres, name)


def test_the_first_command_that_fails_ends_the_way_back(owner, target, taken, postgres):
    """Nothing is restored over what could not be dropped, and no application is restarted on it."""
    lines = typed(target, taken, user=f"{owner.user}_reader")
    done = subprocess.run(
        ["sh", "-c", "\n".join(lines)], input="wrong\n", capture_output=True, text=True, timeout=60, check=False
    )
    assert 0 != done.returncode
    assert str(taken.path.parent) not in done.stdout
    assert owner.dbname in names(postgres.database(owner.dbname))


def pasted(lines: list[str], *, width: int) -> str:
    """What somebody copies from a terminal of this width: from the first command to the last."""
    document = samples.rollback_and_fix()
    document["rollback"]["commands"] = lines
    shown = terminal.lines(document, width=width, color=False)
    return "\n".join(shown[shown.index(lines[0]) : shown.index(lines[-1]) + 1])


@pytest.mark.parametrize("width", [40, 80])
def test_a_second_try_leads_back_too(owner, target, taken, postgres, width):
    """A first one that ended behind dropdb, for its backup was not there, does not keep the second from it."""
    with connect(owner) as connection:
        before = databases.shape(connection)
    argv = ["sh", "-c", pasted(typed(target, taken, user=postgres.user), width=width)]
    given = f"{postgres.password}\n"
    migrate(owner)
    hidden = taken.path.rename(taken.path.with_suffix(".gone"))
    done = subprocess.run(argv, input=given, capture_output=True, text=True, timeout=120, check=False)
    assert 0 != done.returncode
    assert str(taken.path) in done.stderr
    databases.drop(postgres, owner.dbname)  # as where createdb had failed
    hidden.rename(taken.path)
    done = subprocess.run(argv, input=given, capture_output=True, text=True, timeout=120, check=False)
    assert 0 == done.returncode, done.stderr
    _, findings = proof.compare(taken, owner, timeout_s=60)
    assert () == findings
    with connect(owner) as connection:
        assert before == databases.shape(connection)


@pytest.mark.parametrize("who", ["a superuser", "the owner"])
def test_the_commands_of_the_way_back_do_the_same(owner, target, taken, postgres, who):
    """Typed on the target's host, with the password that is asked for, they lead back to the same rows and schema."""
    typing = owner if who == "the owner" else postgres
    with connect(owner) as connection:
        before = databases.shape(connection)
    lines = typed(target, taken, user=typing.user)
    assert typing.password not in "".join(lines)
    migrate(owner)
    argv, given = ["sh", "-c", pasted(lines, width=80)], f"{typing.password}\n"
    done = subprocess.run(argv, input=given, capture_output=True, text=True, timeout=120, check=False)
    assert 0 == done.returncode, done.stderr
    assert done.stdout.endswith(f"{taken.path.parent}\n")
    _, findings = proof.compare(taken, owner, timeout_s=60)
    assert () == findings
    with connect(owner) as connection:
        assert before == databases.shape(connection)
