"""One look a second at a host: what runs there for it, and how a look is read."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

# POSIX shell and awk alone (mawk, gawk, busybox): one process that stays, and per look one `echo` and one `sleep`.
# Printed are the machine's figures, and those of the server's processes and of the API's: whoever holds the socket
# that listens on its port (proc(5): /proc/net/tcp tells its inode, /proc/PID/fd who holds it), and their descendants.
# Holders are looked up when one of them ends, when another socket listens, and every half minute. A look costs 15 ms of
# processor time among 140 processes, 35 ms among 670.
SCRIPT = r"""# memory, CPU and load of this host, once a second
LC_ALL=C
export LC_ALL
ticks=$(getconf CLK_TCK) && pages=$(getconf PAGESIZE) && cores=$(getconf _NPROCESSORS_ONLN) || exit 1
echo "ticks $ticks pages $pages cores $cores"
exec awk -v port="$1" -v addresses="$2" '
function first(path,   text) { text = ""; getline text < path; close(path); return text }
function learn(pid,   text, rest, w) {
    text = rest = first("/proc/" pid "/stat")
    if (!sub(/^.*\) /, "", rest) || split(rest, w, " ") < 22) return 0
    parent[pid] = w[2]; group[pid] = w[3]; started[pid] = w[20]
    title[pid] = substr(text, index(text, "(") + 1, length(text) - length(rest) - index(text, "(") - 2)
    figures[pid] = pid " " w[2] " " w[20] " " w[12] " " w[13] " " w[14] " " w[15]
    return 1
}
function listening(path,   text, w, place) {
    while ((getline text < path) > 0) {
        split(text, w, " ")
        if (w[1] == "sl" || w[4] == "03") continue
        if (w[4] != "0A") break
        split(w[2], place, ":")
        if (place[2] != port || !(place[1] in rank) || (best && rank[place[1]] > best)) continue
        if (rank[place[1]] != best) { best = rank[place[1]]; sockets = ""; split("", owner) }
        sockets = sockets " " w[10]
        owner[w[10]] = w[8]
    }
    close(path)
}
function find(   command, text, pid, inode, held, missing) {
    best = 0; sockets = ""; split("", owner)
    listening("/proc/net/tcp"); listening("/proc/net/tcp6")
    if (sockets == "") { state = "nobody"; known = ""; split("", holder); return }
    if (sockets == known && !lost && looks - searched < 30) return
    searched = looks; lost = 0; state = "found"; known = sockets
    split("", holder); split("", held); serving = 0
    command = "ls -ln /proc/[0-9]*/fd 2>/dev/null"
    while ((command | getline text) > 0) {
        if (text ~ /^\/proc\/[0-9]+\/fd:$/) { pid = text; gsub(/[^0-9]/, "", pid) }
        if (!match(text, / -> socket:\[[0-9]+\]$/)) continue
        inode = substr(text, RSTART + 12, RLENGTH - 13)
        if (!(inode in owner) || (!(pid in parent) && !learn(pid))) continue
        held[inode] = 1
        if (title[pid] ~ /^(docker-proxy|rootlessport|slirp4netns|sshd?|socat|nginx|haproxy|traefik|caddy|envoy)$/)
            state = "passes " title[pid]
        else if (title[pid] !~ /^(systemd|init)$/) { holder[pid] = started[pid]; serving = 1 }
    }
    close(command)
    # A process that is just ending holds nothing any more: only what is so at two looks is somebody else having it.
    missing = ""
    for (inode in owner) if (!(inode in held)) missing = owner[inode]
    if (missing == "") {
        suspect = ""
        if (state == "found" && !serving) state = "passes systemd"
        return
    }
    state = suspect == sockets ? "hidden " missing : "unsure"
    suspect = sockets; lost = state == "unsure"
}
function serves(pid,   up, steps) {
    if (pid in holder) return 1
    for (steps = 0; steps < 64 && (pid in parent); steps++) {
        up = parent[pid]
        if (up + 0 <= 1) return 0
        # pm2 holds the sockets of a cluster for its workers; what else it keeps has a process group of its own.
        if (up in holder) return !(title[up] ~ /^PM2 v/ && group[up] != group[pid])
        pid = up
    }
    return 0
}
function look(   list, dirs, count, i, pid, text, w, kind) {
    print "at " first("/proc/uptime")
    print first("/proc/stat")
    while ((getline text < "/proc/meminfo") > 0) if (text ~ /^Mem(Total|Available):/) print text
    close("/proc/meminfo")
    print "load " first("/proc/loadavg")
    split("", parent); split("", group); split("", started); split("", title); split("", figures)
    "echo /proc/[0-9]*" | getline list
    close("echo /proc/[0-9]*")
    count = split(list, dirs, " ")
    for (i = 1; i <= count; i++) learn(substr(dirs[i], 7))
    if (port != "") {
        for (pid in holder) if (!(pid in started) || started[pid] != holder[pid]) lost = 1
        if (lost || looks % 3 == 0) find()
        print "listener " state
    }
    for (pid in figures) {
        kind = title[pid] ~ /^(postgres|postmaster)$/ ? "server" : state == "found" && serves(pid) ? "api" : ""
        if (kind != "" && split(first("/proc/" pid "/statm"), w, " ") > 2)
            print kind " " figures[pid] " " w[2] " " w[3] " " title[pid]
    }
    if (!("1" in figures)) print "veiled"
    print "end"
    looks++
}
BEGIN {
    count = split(addresses, list, " ")
    for (i = 1; i <= count; i++) rank[list[i]] = i
    for (looks = 0; ; ) { look(); system("sleep 1") }
}'
"""


@dataclass(frozen=True, slots=True)
class Process:
    """One process at one look."""

    pid: int
    parent: int
    start_s: float
    cpu_s: float
    private_bytes: int
    shared_bytes: int
    title: str


@dataclass(frozen=True, slots=True)
class Look:
    """One sample: seconds since boot, CPU seconds used so far, bytes used now, load of the last minute.

    `listener` is what was found about the API's port: `found`, `nobody`, `hidden UID`, `passes PROGRAM`, `unsure`, or
    nothing where it was not asked for. `veiled` says that the host does not show the processes of other users.
    """

    at_s: float
    busy_s: float
    memory_bytes: int
    total_bytes: int
    load: float
    server: tuple[Process, ...]
    api: tuple[Process, ...]
    listener: str
    veiled: bool


@dataclass(frozen=True, slots=True)
class Door:
    """A TCP port of the host itself, and the kernel's spelling of the addresses to look for, the likeliest first."""

    port: int
    addresses: tuple[str, ...]

    @property
    def arguments(self) -> tuple[str, str]:
        """What the script is given."""
        return f"{self.port:04X}", " ".join(self.addresses)


def door(base_url: str) -> Door | None:
    """Where a URL leads that is asked from the host; None where that need not be the host itself."""
    given = urlsplit(base_url)
    name = given.hostname or ""
    try:
        asked = [ipaddress.ip_address(one) for one in (("::1", "127.0.0.1") if name == "localhost" else (name,))]
    except ValueError:
        return None
    if not all(address.is_loopback for address in asked):
        return None
    spelled: list[str] = []
    for address in asked:
        if address.version == 4:
            spelled += [
                _spelled(address.packed),
                _spelled(bytes(10) + b"\xff\xff" + address.packed),
                _spelled(bytes(4)),
            ]
        else:
            spelled.append(_spelled(address.packed))
        spelled.append(_spelled(bytes(16)))
    return Door(given.port or 80, tuple(dict.fromkeys(spelled)))


def _spelled(address: bytes) -> str:
    """An address as /proc/net/tcp has it: words of four bytes, each the wrong way round."""
    return "".join(address[at : at + 4][::-1].hex() for at in range(0, len(address), 4)).upper()


def cores_and_looks(lines: Iterable[str]) -> Iterator[int | Look]:
    """Read what the script prints: first the number of cores, then the looks; what is neither is passed over.

    Raises ValueError for a figure that is none.
    """
    ticks = page = 0
    block: list[str] = []
    for line in lines:
        if found := re.fullmatch(r"ticks (\d+) pages (\d+) cores (\d+)", line):
            ticks, page, cores = map(int, found.groups())
            block = []
            yield cores
        elif line == "end" and ticks:
            yield _look(block, ticks, page)
            block = []
        else:
            block.append(line)


def _look(block: list[str], ticks: int, page: int) -> Look:
    """Read one sample (proc(5): /proc/uptime, /proc/stat, /proc/meminfo, /proc/PID/stat, /proc/PID/statm)."""
    figures: dict[str, float] = {}
    groups: dict[str, list[Process]] = {"server": [], "api": []}
    listener, veiled = "", False
    for line in block:
        kind, _, rest = line.partition(" ")
        if kind in {"at", "load"}:
            figures[kind] = float(rest.partition(" ")[0])
        elif kind == "cpu":
            user, nice, system, _idle, _wait, *other = map(int, rest.split())
            figures[kind] = (user + nice + system + sum(other[:2])) / ticks
        elif kind in {"MemTotal:", "MemAvailable:"}:
            figures[kind] = int(rest.removesuffix(" kB")) * 1024
        elif kind in groups:
            groups[kind].append(_process(rest, ticks, page))
        elif kind == "listener":
            listener = rest
        elif kind == "veiled":
            veiled = True
    if missing := {"at", "cpu", "MemTotal:", "MemAvailable:", "load"} - figures.keys():
        raise ValueError(f"no figure for {', '.join(sorted(missing))}")
    total = int(figures["MemTotal:"])
    return Look(
        at_s=figures["at"],
        busy_s=figures["cpu"],
        memory_bytes=total - int(figures["MemAvailable:"]),
        total_bytes=total,
        load=figures["load"],
        server=tuple(groups["server"]),
        api=tuple(groups["api"]),
        listener=listener,
        veiled=veiled,
    )


def _process(text: str, ticks: int, page: int) -> Process:
    *figures, title = text.split(" ", 9)
    pid, parent, start, user, system, reaped_user, reaped_system, resident, shared = map(int, figures)
    cpu_s = (user + system + reaped_user + reaped_system) / ticks
    return Process(pid, parent, start / ticks, cpu_s, (resident - shared) * page, shared * page, title)
