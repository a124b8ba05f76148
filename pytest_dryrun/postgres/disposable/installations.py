"""PostgreSQL installations on this machine: finding complete ones, and choosing the version."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_dryrun.hosts.local import LocalHost
from pytest_dryrun.model.errors import CommandFailed, DryRunError
from pytest_dryrun.postgres.disposable.settings import OLDEST_MAJOR, PRELOAD

# A server's own programs: a dump or restore by a client of another version fails, or lies.
NEEDED = ("initdb", "postgres", "pg_ctl", "pg_dump", "pg_restore", "psql")

_USUAL_FOLDERS = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # PGDG on Red Hat
    "/usr/lib/postgresql*/bin",  # SUSE
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/usr/local/pgsql/bin",
)
_ROOTS = {Path("/"), Path("/usr"), Path("/usr/local")}
_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Installation:
    """A folder with all the programs of one PostgreSQL version."""

    bindir: Path
    major: int

    def program(self, name: str) -> str:
        """Spell the full path of a program."""
        return str(self.bindir / name)

    def has_statement_statistics(self) -> bool:
        """Tell whether the library of pg_stat_statements is there to be preloaded."""
        return any((folder / f"{PRELOAD}.so").exists() for folder in self._library_folders())

    def _library_folders(self) -> Iterator[Path]:
        if (self.bindir / "pg_config").exists():
            try:
                answer = LocalHost().run([self.program("pg_config"), "--pkglibdir"], timeout_s=_LIMIT_S)
            except CommandFailed:
                answer = None
            if answer and answer.exit_status == 0:
                yield Path(answer.stdout.strip())
        for name in ("lib", "lib/postgresql", "lib64", "lib64/pgsql"):
            yield self.bindir.parent / name


def find(bindir: str, major: int | None) -> Installation:
    """Find the installation to use: the configured folder and no other, or the best this machine has."""
    if bindir:
        found = examine(Path(bindir).expanduser())
        if isinstance(found, str):
            raise DryRunError(
                found,
                "There is no server to rehearse on.",
                "Point `bindir` at the folder that holds all of PostgreSQL's programs, or leave it empty.",
            )
        return _not_too_old([found], None, remedy=f"Point `bindir` at PostgreSQL {OLDEST_MAJOR} or newer")
    examined = [examine(folder) for folder in dict.fromkeys(_candidates())]
    complete = [item for item in examined if isinstance(item, Installation)]
    if not complete:
        flaws = [item for item in examined if isinstance(item, str)]
        seen = f" {' '.join(flaws)}" if flaws else ""
        raise DryRunError(
            f"No PostgreSQL server installation was found in PATH or the usual folders.{seen}",
            "There is no local server to rehearse on.",
            "Install PostgreSQL's server package (not only the client), or name its folder in `bindir`.",
        )
    return _not_too_old(complete, major, remedy=f"Install PostgreSQL {OLDEST_MAJOR} or newer")


def examine(folder: Path) -> Installation | str:
    """Say which installation a folder holds, or in a sentence why it cannot be used.

    One that is too old comes back as it is, whatever it lacks: nobody need look for programs that will be refused.
    """
    missing = [name for name in NEEDED if not os.access(folder / name, os.X_OK)]
    lacking = f"The folder {folder} lacks {', '.join(missing)}."
    if "postgres" in missing:
        return lacking
    major = _major(folder / "postgres")
    if missing and (isinstance(major, str) or major >= OLDEST_MAJOR):
        return lacking
    return major if isinstance(major, str) else Installation(folder, major)


def _major(program: Path) -> int | str:
    """Ask a server's program for its major version; a sentence says why it gave none."""
    try:
        answer = LocalHost().run([str(program), "--version"], timeout_s=_LIMIT_S)
    except CommandFailed as error:
        return error.what
    version = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    if answer.exit_status or not version:
        said = " ".join((answer.stderr or answer.stdout).split())
        return f"{program} does not run here: {said or f'exit status {answer.exit_status}'}."
    return int(version[1])


def closest(installations: Iterable[Installation], major: int | None) -> Installation:
    """Take the first of version `major`; without one, the newest."""
    ordered = sorted(installations, key=lambda item: -item.major)  # stable: PATH goes before the usual folders
    return next((item for item in ordered if item.major == major), ordered[0])


def copy(installation: Installation, destination: Path) -> None:
    """Copy an installation to `destination/*/*/bin`, so that every user can run it.

    PostgreSQL finds its files relative to its programs. A folder `<package>.libs` beside the package comes along,
    at the same relative place: wheels keep their libraries there.
    """
    prefix = installation.bindir.resolve().parent
    if prefix in _ROOTS or installation.bindir.resolve().name != "bin":
        raise DryRunError(
            f"The programs in {installation.bindir} may not be run by the user that the server has to run as.",
            "PostgreSQL refuses to run as root, so there is no server to rehearse on.",
            "Make the folder accessible (chmod o+rx), or run the dry run as another user than root.",
        )
    # <package>/<prefix>/bin with <package>.libs beside <package>
    shutil.copytree(prefix, destination / (prefix.parent.name or "root") / prefix.name, symlinks=True)
    for libraries in prefix.parent.parent.glob(f"{prefix.parent.name}.libs"):
        shutil.copytree(libraries, destination / libraries.name, symlinks=True)
    for place in (destination, *destination.rglob("*")):
        if not place.is_symlink():
            place.chmod(place.stat().st_mode | (0o555 if place.is_dir() or place.stat().st_mode & 0o100 else 0o444))


def _candidates() -> Iterator[Path]:
    for entry in os.get_exec_path():
        for name in ("postgres", "initdb", "pg_ctl"):
            program = Path(entry) / name
            if os.access(program, os.X_OK):  # false too where this user may not look into a folder of PATH
                yield program.parent
                yield program.resolve().parent  # a lone link to a complete folder
    if shutil.which("pg_config"):
        try:
            answer = LocalHost().run(["pg_config", "--bindir"], timeout_s=_LIMIT_S)
        except CommandFailed:
            answer = None
        if answer and answer.exit_status == 0 and os.access(folder := answer.stdout.strip(), os.X_OK):
            yield Path(folder)
    for pattern in _USUAL_FOLDERS:
        yield from sorted(Path("/").glob(pattern.removeprefix("/")))


def _not_too_old(installations: list[Installation], major: int | None, *, remedy: str) -> Installation:
    recent = [item for item in installations if item.major >= OLDEST_MAJOR]
    if not recent:
        found = ", ".join(f"{item.major} in {item.bindir}" for item in installations)
        raise DryRunError(
            f"PostgreSQL here is too old: {found}; {OLDEST_MAJOR} is the oldest that can be used.",
            "Older servers lack what the fingerprint and the recorder read.",
            f"{remedy}, or use the provider `container` or `embedded`.",
        )
    return closest(recent, major)
