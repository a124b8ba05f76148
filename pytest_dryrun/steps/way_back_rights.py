"""Who may bring a database back: make another one, and let the two change names."""

from __future__ import annotations

from pytest_dryrun.model.errors import TargetUnusable
from pytest_dryrun.postgres.connection import Conninfo, connect

# Where one connects to in order to make, rename and drop databases.
MAINTENANCE = ("postgres", "template1")
STILL_MIGRATED = "The target is still the migrated database."


class NotPermitted(TargetUnusable):
    """The user may not make or rename databases."""


def administration(conninfo: Conninfo) -> Conninfo:
    """Where databases are made and renamed; raises NotPermitted where this user may not do that with the target.

    Where nobody answers it is TargetUnusable; the words are those for a target that is migrated.
    """
    reasons = []
    for place in (conninfo.database(name) for name in MAINTENANCE):
        try:
            with connect(place) as connection:
                row = connection.execute(
                    "SELECT r.rolsuper OR r.rolcreatedb, r.rolsuper OR pg_has_role(d.datdba, 'USAGE'),"
                    " t.spcname = 'pg_default' OR has_tablespace_privilege(t.oid, 'CREATE')"
                    " FROM pg_roles r, pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace"
                    " WHERE r.rolname = current_user AND d.datname = %s",
                    (conninfo.dbname,),
                ).fetchone()
        except TargetUnusable as error:
            reasons.append(error.what)
            continue
        rights = ("may not create databases", "does not own it", "may not create anything in its tablespace")
        lacking = [right for right, has in zip(rights, row or (False, False, True), strict=True) if not has]
        if not lacking:
            return place
        raise _not_permitted(conninfo, " and ".join(lacking))
    if _answers(conninfo):
        raise _not_permitted(conninfo, f"is let into neither {' nor '.join(MAINTENANCE)}")
    raise TargetUnusable(
        f"{conninfo.dbname!r} cannot be replaced from here: {' '.join(reasons)}",
        STILL_MIGRATED,
        "Look at the server, then type the commands of the way back.",
    )


def _not_permitted(conninfo: Conninfo, why: str) -> NotPermitted:
    return NotPermitted(
        f"User {conninfo.user!r} cannot replace {conninfo.dbname!r}: {why}.",
        STILL_MIGRATED,
        "Give the user what it lacks, or type the commands of the way back as a superuser.",
    )


def _answers(conninfo: Conninfo) -> bool:
    try:
        connect(conninfo).close()
    except TargetUnusable:
        return False
    return True


def require(conninfo: Conninfo) -> None:
    """Raise TargetUnusable, before anything is touched, where this user could not bring the target back."""
    try:
        administration(conninfo)
    except TargetUnusable as error:
        cure = "Give the user what it lacks" if isinstance(error, NotPermitted) else "Look at the server"
        raise TargetUnusable(
            error.what,
            'With on_no_go = "run" that would show only once it is migrated, so nothing was touched.',
            f'{cure}, or set [rollback] on_no_go = "print".',
        ) from error


def may_replace(conninfo: Conninfo) -> bool:
    """Whether this user could replace the database by another one."""
    try:
        administration(conninfo)
    except NotPermitted:
        return False
    return True
