"""Which host keys are known: the known_hosts format of sshd(8), hashed names, patterns and `@revoked` included."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pytest_dryrun.model.errors import ConfigurationError

_LINE = re.compile(r"(?:(@\S+)\s+)?(\S+)\s+(\S+)\s+(\S+)")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: whose key it is, and which."""

    path: Path
    line: int
    marker: str
    names: str
    kind: str
    blob: bytes


class Verdict(Enum):
    """What the files say about a key that a host showed."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    CHANGED = "changed"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict, and the entries it rests on."""

    verdict: Verdict
    entries: tuple[Entry, ...] = ()


def read(paths: Iterable[Path]) -> list[Entry]:
    """Read the files that exist; a line that is no entry is passed over, as OpenSSH does."""
    found: list[Entry] = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ConfigurationError(
                f"{path} cannot be read: {error.strerror}.",
                "Without the known host keys no host can be trusted, so nothing was connected.",
                "Make the file readable for the user who runs the dry run.",
            ) from error
        for number, line in enumerate(text.splitlines(), 1):
            match = _LINE.match(line.strip())
            if match is None or line.lstrip().startswith("#"):
                continue
            try:
                blob = base64.b64decode(match[4], validate=True)
            except (binascii.Error, ValueError):
                continue
            found.append(Entry(path, number, match[1] or "", match[2], match[3], blob))
    return found


def spelled(host: str, port: int) -> str:
    """The name under which a host stands in known_hosts: `host`, or `[host]:port` where the port is not 22."""
    return host.lower() if port == 22 else f"[{host.lower()}]:{port}"


def judge(entries: Sequence[Entry], host: str, port: int, kind: str, blob: bytes) -> Judgement:
    """Compare a key that a host showed with what is known of it.

    As OpenSSH does, the very key is also accepted where it stands under the name without its port.
    """
    name = spelled(host, port)
    mine = [entry for entry in entries if _covers(entry.names, name)]
    portless = [entry for entry in entries if _covers(entry.names, host.lower())]
    revoked = [entry for entry in (*mine, *portless) if entry.marker == "@revoked" and entry.blob == blob]
    if revoked:
        return Judgement(Verdict.REVOKED, tuple(revoked))
    plain = [entry for entry in mine if not entry.marker]
    for entry in (*plain, *(entry for entry in portless if not entry.marker)):
        if hmac.compare_digest(entry.blob, blob):
            return Judgement(Verdict.KNOWN, (entry,))
    same_kind = tuple(entry for entry in plain if entry.kind == kind)
    if plain:
        return Judgement(Verdict.CHANGED, same_kind or tuple(plain))
    return Judgement(Verdict.UNKNOWN)


def known_kinds(entries: Sequence[Entry], host: str, port: int) -> list[str]:
    """The key types that are known of a host, to be asked for first, or another type would look like a change."""
    name = spelled(host, port)
    exact = [entry.kind for entry in entries if not entry.marker and _covers(entry.names, name)]
    portless = [entry.kind for entry in entries if not entry.marker and _covers(entry.names, host.lower())]
    return list(dict.fromkeys(exact or portless))


def fingerprint(blob: bytes) -> str:
    """Spell a public key's fingerprint as OpenSSH does."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _covers(names: str, name: str) -> bool:
    if names.startswith("|1|"):
        return _hashed(names, name)
    matched = False
    for pattern in names.lower().split(","):
        wanted = pattern.removeprefix("!").replace("[", "[[]")  # only * and ? mean something here
        if fnmatch.fnmatchcase(name, wanted):
            if pattern.startswith("!"):
                return False
            matched = True
    return matched


def _hashed(names: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in names.split("|")[2:4])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)
