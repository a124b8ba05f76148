"""The words for every way in which a host can be out of reach; no key, no password, only fingerprints."""

from __future__ import annotations

import base64
import shlex

from pytest_dryrun.hosts.ssh.known_hosts import Judgement, Verdict, fingerprint, spelled
from pytest_dryrun.hosts.ssh.route import Hop
from pytest_dryrun.model.errors import TargetUnusable

_UNSEEN = "The host was not reached, so nothing of this target is known."
_KINDS = {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}


def no_address(hop: Hop, reason: str) -> TargetUnusable:
    """Say that the name means nothing here."""
    return TargetUnusable(
        f"The name {hop.host} of {hop.label} cannot be resolved: {reason}.",
        _UNSEEN,
        "Check `host` in dryrun.toml, `HostName` in ~/.ssh/config, and whether a VPN is needed.",
    )


def unreachable(hop: Hop, reason: str) -> TargetUnusable:
    """Say that no connection came about."""
    return TargetUnusable(
        f"{hop.label} cannot be reached: {reason}.", _UNSEEN, "Check the network, the VPN and the address."
    )


def silent(hop: Hop, timeout_s: float) -> TargetUnusable:
    """Say that the time was over before the login was."""
    return TargetUnusable(
        f"{hop.label} did not answer as an SSH server within {timeout_s:g} s.",
        _UNSEEN,
        "Check the network, the VPN, the firewall and that the port is that of sshd.",
    )


def not_ssh(hop: Hop, reason: str) -> TargetUnusable:
    """Say that something else lives at that port, or that it hung up."""
    said = reason.removeprefix("Error reading SSH protocol banner").strip() or "it hung up before it said who it is"
    return TargetUnusable(
        f"{hop.label} does not answer as an SSH server: {said[:200]}.",
        _UNSEEN,
        "Check the port; if it is right, look at sshd's log there (MaxStartups and denied addresses hang up too).",
    )


def incompatible(hop: Hop, reason: str) -> TargetUnusable:
    """Say that no algorithm is known to both sides."""
    return TargetUnusable(
        f"{hop.label} and this side have no algorithm in common: {reason}.",
        _UNSEEN,
        "Bring sshd there up to date, or allow it a current algorithm.",
    )


def jump_refused(hop: Hop, jump: object, reason: str) -> TargetUnusable:
    """Say that the jump host does not get through."""
    return TargetUnusable(
        f"The jump host {jump} cannot reach {hop.label}: {reason}.",
        _UNSEEN,
        "Check the address as seen from the jump host, and AllowTcpForwarding in its sshd_config.",
    )


def host_key(hop: Hop, judgement: Judgement, kind: str, blob: bytes, *, scannable: bool) -> TargetUnusable:
    """Say which key was seen, which was expected, and how a right one is made known."""
    seen = f"{kind} {fingerprint(blob)}"
    file = shlex.quote(str(judgement.entries[0].path if judgement.entries else hop.known_hosts[0]))
    name = spelled(*hop.known_as)
    short = _KINDS.get(kind, "ecdsa")
    if scannable and not hop.host_key_alias and not hop.proxy_command:
        add = f"ssh-keyscan -p {hop.port} -t {short} {shlex.quote(hop.host)} >> {file}"
    else:  # ssh-keyscan goes through no jump host and knows no other name
        add = f"echo {shlex.quote(f'{name} {kind} {base64.b64encode(blob).decode()}')} >> {file}"
    if judgement.verdict is Verdict.REVOKED:
        entry = judgement.entries[0]
        return TargetUnusable(
            f"The host key of {hop.label} is revoked in {entry.path}, line {entry.line}: {seen}.",
            "Somebody may have stolen this key, so the host is not trusted and nothing was sent to it.",
            "Ask who runs the host for its new key; take the line away only if it was revoked by mistake.",
        )
    if judgement.verdict is Verdict.CHANGED:
        expected = ", ".join(
            f"{entry.kind} {fingerprint(entry.blob)} ({entry.path}, line {entry.line})" for entry in judgement.entries
        )
        return TargetUnusable(
            f"The host key of {hop.label} has changed: seen {seen}, expected {expected}.",
            "The host was set up again, or somebody stands in between; nothing was sent to it.",
            f"Ask who runs the host; if the new key is right: ssh-keygen -R {shlex.quote(name)} -f {file} && {add}",
        )
    return TargetUnusable(
        f"The host key of {hop.label} is not known: seen {seen}.",
        "Nobody can tell whether this is the right machine, so nothing was sent to it.",
        f"Compare the fingerprint with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_{short}_key.pub there); "
        f"if it is the same: {add}",
    )
