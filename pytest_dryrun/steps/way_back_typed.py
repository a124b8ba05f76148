"""The way back of a staging database as somebody types it on its host."""

from __future__ import annotations

import posixpath
import shlex

from pytest_dryrun.postgres import databases
from pytest_dryrun.probes.smoke import argv_of
from pytest_dryrun.steps.target import TargetDatabase

SUPERUSER = "postgres"


def commands(
    database: TargetDatabase, shape: databases.Shape, path: str, *, restart: str, directory: str, user: str
) -> list[str]:
    """What leads back from the migrated database to a backup on the host, as `user`.

    `restart` is a command that is run in `directory` then; where it is empty, none is.

    The lines are one command to a shell, so that the first error ends them, and what waits for the password, which
    stands nowhere, does not take the next line for it. Whoever needs none just presses return.
    """
    there = database.tool_conninfo
    folder = posixpath.dirname(database.tool("pg_dump")[0])
    name, typist = shlex.quote(there.dbname), shlex.quote(user)

    def own(tool: str) -> str:
        return posixpath.join(folder, tool)

    given = [statement.as_string(None) for statement in databases.properties(there.dbname, shape, _roles(shape))]
    lines = [
        f"export PGHOST={shlex.quote(there.host)} PGPORT={there.port} PGUSER={typist}",
        f"{{ printf 'Password of %s: ' {typist}; stty -echo; IFS= read -r PGPASSWORD; stty echo; export PGPASSWORD; }}",
        f"{own('dropdb')} --if-exists --force {name}",
        f"{own('createdb')} --template=template0 {' '.join(map(shlex.quote, _like(shape)))} {name}",
    ]
    if given:  # in one session: between two of them its owner may have no right to connect
        once = " ".join(f"-c {shlex.quote(statement)}" for statement in given)
        lines.append(f"{own('psql')} -X -v ON_ERROR_STOP=1 {once} {name}")
    lines += [
        f"{own('pg_restore')} --exit-on-error --jobs=2 --dbname={name} {shlex.quote(path)}",
        f"{own('psql')} -X -c ANALYZE {name}",
        *([f"cd {shlex.quote(directory)}", shlex.join(argv_of(restart, "rollback.restart"))] if restart else []),
    ]
    return [*(f"{line} &&" for line in lines[:-1]), lines[-1]]


def _like(shape: databases.Shape) -> list[str]:
    """What createdb is told of the database that was."""
    like = [f"--owner={shape.owner}", f"--encoding={shape.encoding}"]
    like += [f"--lc-collate={shape.collate}", f"--lc-ctype={shape.ctype}"]
    if shape.provider == "i":
        like += ["--locale-provider=icu", f"--icu-locale={shape.locale}"]
    elif shape.provider == "b":
        like += ["--locale-provider=builtin", f"--builtin-locale={shape.locale}"]
    if shape.tablespace != "pg_default":
        like.append(f"--tablespace={shape.tablespace}")
    return like


def _roles(shape: databases.Shape) -> set[str]:
    return {shape.owner, *(role for role, _ in shape.role_settings), *(role for role, _, _ in shape.grants or ())}
