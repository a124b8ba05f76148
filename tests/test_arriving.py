"""A backup that comes in while it is written, and is restored meanwhile: behind a real sshd, by the real programs."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import time
import uuid
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import psutil
import psycopg
import pytest
from needs import require
from psycopg import sql
from sshd import Sshd, host_logged_in  # noqa: F401 - a fixture
from test_catalog_restore import RICH

from pytest_dryrun.hosts import ssh
from pytest_dryrun.model.errors import CommandFailed, DryRunError, TargetUnusable
from pytest_dryrun.model.values import Severity
from pytest_dryrun.postgres import databases
from pytest_dryrun.postgres.connection import connect
from pytest_dryrun.steps import arriving, from_host, proof
from pytest_dryrun.steps.arriving import Arriving
from pytest_dryrun.steps.loading import Loading
from pytest_dryrun.steps.target import TargetDatabase

pytestmark = pytest.mark.live


@pytest.fixture
def follow(host, tmp_path):
    """Begin to follow a file there; who ends it says how."""
    return lambda: Arriving(host, *names(tmp_path), tmp_path / "here" / "copy", timeout_s=60)


def names(folder: Path) -> tuple[str, str]:
    """What the file is called while it is written, and then."""
    return str(folder / "part"), str(folder / "final")


def wait_for(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def read_until(copy: Path, size_bytes: int) -> None:
    """Wait until so much has come."""
    wait_for(lambda: copy.exists() and copy.stat().st_size >= size_bytes)


def followers(folder: Path) -> list[psutil.Process]:
    """The shells on the host, which is this machine, that follow its file."""
    part, _ = names(folder)
    return [one for one in psutil.process_iter(["cmdline"]) if part in (one.info["cmdline"] or ())]


def test_a_file_comes_in_while_it_is_written(follow, tmp_path):
    """What has come can be read at once; in the end both are the same, and nobody else may read the copy."""
    part, final = map(Path, names(tmp_path))
    seen = []
    with part.open("wb", buffering=0) as file, follow() as one:
        pieces = one.pieces()
        for number in range(3):
            file.write(piece := os.urandom(3_000_000))
            read_until(tmp_path / "here" / "copy", (number + 1) * len(piece))
            while sum(map(len, seen)) < (number + 1) * len(piece):
                seen.append(next(pieces))
        assert b"" == next(pieces)
        part.rename(final)
        digest = one.complete()
        seen += pieces

    assert hashlib.sha256(final.read_bytes()).hexdigest() == digest
    assert final.read_bytes() == b"".join(seen) == (tmp_path / "here" / "copy").read_bytes()
    assert 0o600 == (tmp_path / "here" / "copy").stat().st_mode & 0o777
    assert [] == followers(tmp_path)


@pytest.mark.parametrize("head", [100, 40_000, 5_000_000], ids="the first {} bytes".format)
def test_what_is_written_anew_at_the_beginning_is_fetched_anew(follow, tmp_path, monkeypatch, head):
    """However much of it, up to the whole file; whoever reads meanwhile has what stood there first."""
    monkeypatch.setattr(arriving, "_HEADS_BYTES", (1000, 100_000))
    part, final = map(Path, names(tmp_path))
    first, then = os.urandom(5_000_000), os.urandom(head)
    part.write_bytes(first)
    with follow() as one:
        read_until(tmp_path / "here" / "copy", len(first))
        seen = next(one.pieces())
        with part.open("r+b") as file:
            file.write(then)
        part.rename(final)
        digest = one.complete()

    assert first.startswith(seen)
    assert then + first[head:] == (tmp_path / "here" / "copy").read_bytes()
    assert hashlib.sha256(then + first[head:]).hexdigest() == digest
    assert one.as_it_came == (head < 5_000_000)


def test_a_file_that_is_written_before_anybody_looks_comes_too(follow, tmp_path):
    """A small database is dumped in no time."""
    Path(names(tmp_path)[1]).write_bytes(b"small")
    with follow() as one:
        digest = one.complete()
        assert [b"small"] == list(one.pieces())

    assert hashlib.sha256(b"small").hexdigest() == digest


def test_a_file_that_is_given_up_leaves_no_copy_and_nobody_there(follow, tmp_path):
    """Whoever reads it is sent away, and does not take it for whole; that it is not there yet changes nothing."""
    with follow() as one:
        pieces = one.pieces()
        assert b"" == next(pieces)

    with pytest.raises(CancelledError):
        next(pieces)
    assert [] == list((tmp_path / "here").iterdir())
    assert [] == followers(tmp_path)


def test_a_copy_that_is_not_the_file_is_refused(follow, tmp_path, host, monkeypatch):
    """Something changes it between the two looks."""
    Path(names(tmp_path)[1]).write_bytes(b"x" * 100)
    monkeypatch.setattr(host, "sha256", lambda _: hashlib.sha256(b"y").hexdigest())

    with follow() as one, pytest.raises(CommandFailed, match=r"arrived changed: SHA-256 \w{64}, expected \w{64}\."):
        one.complete()
    assert not one.failed.is_set()

    assert [] == list((tmp_path / "here").iterdir())


def test_a_connection_that_is_lost_is_told_as_such(tmp_path):
    """Nothing is unknown: the file was only read; and who followed it there does not stay for ever."""
    server = Sshd(tmp_path / "sshd")
    server.start()
    Path(names(tmp_path)[0]).write_bytes(b"half")
    with ssh.connect(server.settings()) as host:
        with Arriving(host, *names(tmp_path), tmp_path / "copy", timeout_s=60) as one:
            read_until(tmp_path / "copy", 4)
            server.cut()
            with pytest.raises(CommandFailed) as caught:
                one.complete()
        assert host.lost
    wait_for(lambda: not followers(tmp_path))
    server.stop()

    assert "final on" in caught.value.what
    assert "could not be copied to" in caught.value.what
    assert ": the connection was lost." in caught.value.what
    assert "The copy here is not complete." == caught.value.means
    assert not (tmp_path / "copy").exists()


def test_a_copy_that_finds_no_room_ends_the_dump(disposable, database, host, tmp_path):
    """Nobody waits an hour for a dump whose copy has failed long ago."""
    require(os.geteuid() == 0, "only root can make a small file system")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "none", str(small)], check=True)
    try:
        with connect(database) as connection:
            connection.execute("CREATE TABLE public.t AS SELECT md5(i::text) FROM generate_series(1, 20000) i")
        waiting = ["sh", "-c", '"$@"; sleep 1000', "sh"]
        slow = TargetDatabase(database, host, lambda name: [*waiting, *disposable.tool(name)], database)
        dump = from_host.there(host, slow, str(tmp_path / "there"), "a.dump", small / "copy", timeout_s=60)
        with pytest.raises(CommandFailed, match=r"could not be copied to .*: No space left on device"):
            proof.take(slow, dump, timeout_s=60)
    finally:
        subprocess.run(["umount", str(small)], check=True)

    assert [] == list((tmp_path / "there").iterdir())
    assert [] == followers(tmp_path)


# ---- restored meanwhile


@pytest.fixture
def target(disposable, database, host):
    """A database with nearly every kind of object, behind the host."""
    with psycopg.connect(**database.parameters(), autocommit=True) as connection:
        connection.execute(RICH)
        connection.execute("CREATE TABLE large AS SELECT id, md5(id::text) AS text FROM generate_series(1, 300000) id")
        connection.execute("ALTER TABLE large ADD PRIMARY KEY (id)")
        connection.execute("SELECT lo_from_bytea(0, 'a large object')")
    return TargetDatabase(database, host, disposable.tool, database)


@pytest.fixture
def loading(disposable):
    """A restore of a name of its own, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    one = Loading(disposable, name, timeout_s=60)
    yield one
    one.close()
    with psycopg.connect(**disposable.conninfo.parameters(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def blocking(restored: proof.Restored) -> list[str]:
    """What a check would be red for."""
    return [found.message for found in restored.findings if found.severity is Severity.BLOCKER]


def rows(disposable, loading: Loading) -> int:
    """How many rows of the large table can be seen already."""
    try:
        with connect(disposable.conninfo.database(loading.name)) as connection:
            return int(connection.execute("SELECT count(*) FROM public.large").fetchone()[0])
    except (TargetUnusable, psycopg.Error):
        return 0


def sessions(disposable, loading: Loading) -> int:
    """How many sessions the database that is restored has."""
    with connect(disposable.conninfo) as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
        return int(connection.execute(query, (loading.name,)).fetchone()[0])


def test_a_dump_is_restored_while_it_comes_in_and_equals_the_target(disposable, host, target, loading, tmp_path):
    """Every row is there before the archive has its name, and every object in the end."""
    there, final = str(tmp_path / "there"), tmp_path / "there" / "a.dump"
    held = tmp_path / "held"
    held.touch()
    waiting = ["sh", "-c", '"$@" && while [ -e "$0" ]; do sleep 0.1; done', str(held)]
    slow = replace(target, tool=lambda name: [*waiting, *target.tool(name)])
    dump = from_host.there(host, slow, there, "a.dump", tmp_path / "here" / "a.dump", timeout_s=60, loading=loading)

    with ThreadPoolExecutor(1) as pool:
        taking = pool.submit(proof.take, target, dump, timeout_s=60)
        wait_for(lambda: rows(disposable, loading) == 300_000)
        assert not final.exists()
        held.unlink()
        taken = taking.result()
    restored = proof.loaded(taken, loading, timeout_s=60)

    assert [] == blocking(restored)
    assert 300_000 < restored.rows
    assert [final] == list(final.parent.iterdir())
    assert taken.sha256 == hashlib.sha256(final.read_bytes()).hexdigest() == restored.checksum_now()
    assert final.read_bytes() == taken.path.read_bytes()
    with connect(restored.conninfo) as connection:
        connection.execute("UPDATE public.large SET text = 'x' WHERE id = 7")
    _, findings = proof.compare(taken, restored.conninfo, timeout_s=60)
    [found] = [one.message for one in findings if one.severity is Severity.BLOCKER]
    assert "public.large: the values of text differ" in found


def test_what_came_is_given_up_where_the_file_became_another(disposable, host, target, loading, tmp_path, monkeypatch):
    """Rows that were restored from something else prove nothing about the file that is kept."""
    monkeypatch.setattr(arriving, "_HEADS_BYTES", (10,))  # as if pg_dump had written more of it anew
    dump = from_host.there(
        host, target, str(tmp_path / "there"), "a.dump", tmp_path / "a.dump", timeout_s=60, loading=loading
    )
    taken = proof.take(target, dump, timeout_s=60)

    assert loading.abandoned
    assert taken.sha256 == hashlib.sha256((tmp_path / "there" / "a.dump").read_bytes()).hexdigest()
    assert [] == blocking(proof.restore(disposable, taken, loading.name, timeout_s=60))


def test_a_backup_is_nobody_elses_where_the_folder_gives_everything_to_all(host, target, tmp_path):
    """A default access list goes before any umask."""
    folder = tmp_path / "there"
    folder.mkdir()
    # The version, and what the owner, the group and everybody may (linux/posix_acl_xattr.h).
    entries = (struct.pack("<HHI", tag, 7, 0xFFFFFFFF) for tag in (0x01, 0x04, 0x20))
    os.setxattr(folder, "system.posix_acl_default", struct.pack("<I", 2) + b"".join(entries))
    (folder / "open").touch()
    assert 0o666 == (folder / "open").stat().st_mode & 0o777
    (folder / "open").unlink()

    taken = proof.take(target, from_host.there(host, target, str(folder), "a.dump", None, timeout_s=60), timeout_s=60)

    assert 0o600 == taken.mode == (folder / "a.dump").stat().st_mode & 0o777
    assert taken.size_bytes == (folder / "a.dump").stat().st_size


INDEXED = """
SET ROLE {role}; CREATE TABLE public.mail (a text); INSERT INTO public.mail VALUES ('A');
CREATE INDEX mail_low ON public.mail (public.low(a)); RESET ROLE;
"""
LATE = f"""
CREATE SCHEMA hidden; GRANT USAGE ON SCHEMA hidden TO {{role}};
CREATE FUNCTION hidden.low(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT lower($1)';
CREATE FUNCTION public.low(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN hidden.low($1); END';
{INDEXED}
"""
LAST = f"""
CREATE FUNCTION public.low(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN lower($1); END';
{INDEXED}
REVOKE EXECUTE ON FUNCTION public.low(text) FROM PUBLIC;
"""


@pytest.mark.parametrize(
    ("schema", "refusal"),
    [(LATE, "permission denied for schema hidden"), (LAST, "")],
    ids=["a grant that comes too late", "a grant that is taken away last"],
)
def test_what_comes_in_is_restored_in_the_order_of_a_whole_restore(
    disposable, database, loading, tmp_path, schema, refusal
):
    """Where one of them fails for a grant, the way back would: both do, or neither."""
    role = f"r_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(**database.parameters(), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}; GRANT CREATE ON SCHEMA public TO {role}")
        connection.execute(schema.format(role=role))
    here = TargetDatabase(database, disposable.host, disposable.tool, database)
    taken = proof.take(here, proof.here(here, tmp_path, "a.dump", 60), timeout_s=60)
    loading.begin(taken.shape, iter([taken.path.read_bytes()]))
    ways = (
        lambda: proof.restore(disposable, taken, f"{loading.name}_whole", timeout_s=60),
        lambda: proof.loaded(taken, loading, timeout_s=60),
    )
    try:
        for way in ways:
            if refusal:
                with pytest.raises(DryRunError, match=f"could not be restored: .*{refusal}"):
                    way()
            else:
                assert [] == blocking(way())
    finally:
        databases.drop(disposable.conninfo, f"{loading.name}_whole")
        databases.drop(disposable.conninfo, loading.name)
        with psycopg.connect(**database.parameters(), autocommit=True) as connection:
            connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_dump_that_breaks_off_does_not_restore(disposable, target, loading, tmp_path):
    """What came is no backup, whoever says that it is whole."""
    taken = proof.take(target, proof.here(target_here(disposable, target), tmp_path, "a.dump", 60), timeout_s=60)
    data = taken.path.read_bytes()
    loading.begin(taken.shape, iter([data[: len(data) // 2]]))

    with pytest.raises(DryRunError) as caught:
        loading.finish(taken.path)

    assert "The backup that came in could not be restored: pg_restore: error: could not read from input file" in str(
        caught.value
    )


def test_an_archive_that_lacks_the_rest_does_not_restore(disposable, target, loading, tmp_path):
    """The rows came, and the file is another one by then."""
    taken = proof.take(target, proof.here(target_here(disposable, target), tmp_path, "a.dump", 60), timeout_s=60)
    loading.begin(taken.shape, iter([taken.path.read_bytes()]))
    taken.path.write_bytes(b"nothing")

    with pytest.raises(DryRunError, match=r"The backup a\.dump could not be restored: pg_restore: error"):
        loading.finish(taken.path)


@pytest.mark.parametrize("size", [0, 1 << 20], ids=["before anything came", "in the middle"])
def test_a_restore_that_is_given_up_leaves_no_session(disposable, target, loading, tmp_path, size):
    """Nobody waits for what does not come any more."""
    taken = proof.take(target, proof.here(target_here(disposable, target), tmp_path, "a.dump", 60), timeout_s=60)
    with taken.path.open("rb") as file:
        loading.begin(taken.shape, chain([file.read(size)], repeat(b"")))
    wait_for(lambda: not size or sessions(disposable, loading))

    loading.close()

    wait_for(lambda: not sessions(disposable, loading))  # the server notices soon
    with pytest.raises(CancelledError):
        loading.finish(taken.path)


def target_here(disposable, target: TargetDatabase) -> TargetDatabase:
    """The same database, dumped here."""
    return TargetDatabase(target.conninfo, disposable.host, disposable.tool, target.conninfo)


def test_a_server_that_no_command_can_be_given_anything_on_is_no_place_for_it(host, disposable):
    """It is said at once, and not when the dump comes in."""

    class Elsewhere:
        conninfo, tool_conninfo, tool = disposable.conninfo, disposable.conninfo, disposable.tool

    Elsewhere.host = host
    with pytest.raises(TypeError, match="nothing can be given to a command on"):
        Loading(Elsewhere(), "any", timeout_s=60)
