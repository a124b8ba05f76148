"""What a host's shell is given for one command: it tells its process number first, and gets the rest over stdin."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from pytest_dryrun.hosts.output import not_started
from pytest_dryrun.hosts.ssh import GROUP

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# All that the process list ever shows besides the command itself. Whatever the login shell is and prints, our own
# streams begin at the mark. What is to be done comes over stdin, and only after we have seen the process number:
# a command that was given up before cannot start later.
_WRAPPER = """exec sh -c 'echo {mark}; echo {mark} $$ >&2; eval "$(cat)"'"""

# In braces, so that half of it is a syntax error and not half a command. sshd makes the command the leader of a group
# of its own; where something else stands between, setsid does.
_SCRIPT = """{{
export {group}=$$
{exports}
{change}
set -- {argv}
case $1 in
*/*) [ -f "$1" ] && [ -x "$1" ] ;;
*) command -v -- "$1" >/dev/null 2>&1 ;;
esac || {{ echo '{mark} the program is not there' >&2; exit 127; }}
if ! kill -s 0 -- "-$$" 2>/dev/null && command -v setsid >/dev/null 2>&1; then
exec setsid sh -c 'echo "$0" >&2; exec "$@" </dev/null' '{mark}' "$@"
fi
echo '{mark}' >&2
exec "$@" </dev/null
}}
"""
_CHANGE = "CDPATH= cd -- {cwd} >/dev/null 2>&1 || {{ echo '{mark} the folder is not there' >&2; exit 127; }}"


def wrapper(mark: str) -> str:
    """What is executed: a shell that begins both streams with the mark and waits for the script."""
    return _WRAPPER.format(mark=mark)


def script(mark: str, argv: Sequence[str], env: Mapping[str, str], cwd: str | None) -> bytes:
    """What the shell then reads; raises CommandFailed where a shell cannot be told to do this."""
    for name in env:
        if not _NAME.fullmatch(name):
            raise not_started(argv, cwd, f"{name!r} cannot be an environment variable of a POSIX shell")
    if any("\0" in text for text in (*argv, *env.values(), cwd or "")):
        raise not_started(argv, cwd, "an argument or an environment variable holds a NUL byte")
    text = _SCRIPT.format(
        exports="\n".join(f"export {name}={shlex.quote(value)}" for name, value in env.items()),
        change=_CHANGE.format(cwd=shlex.quote(cwd), mark=mark) if cwd else "",
        argv=shlex.join(argv),
        mark=mark,
        group=GROUP,
    )
    return text.encode(errors="surrogateescape")
