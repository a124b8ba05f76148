"""Ending a command on the other side: TERM to its process group and everything it started, then KILL."""

from __future__ import annotations

import time

from paramiko.ssh_exception import SSHException

from pytest_dryrun.hosts.ssh.link import Link

END_S = 10.0

# Processes are found before anything is signalled: a child that left the group loses its parent with the first signal.
# A zombie has ended. Where there is no ps or awk, the group is all that is known.
_SCRIPT = """{
root=$1
family=" $(ps -A -o pid= -o ppid= -o pgid= 2>/dev/null | awk -v root="$root" '
{ parent[$1] = $2; if ($1 == root || $3 == root) mine[$1] = 1 }
END {
  do {
    more = 0
    for (pid in parent) if (!(pid in mine) && (parent[pid] in mine)) { mine[pid] = 1; more = 1 }
  } while (more)
  for (pid in mine) printf "%s ", pid
}' 2>/dev/null) "
left() {
  if [ "$family" = "  " ]; then kill -s 0 -- "-$root" 2>/dev/null; return; fi
  ps -A -o pid= -o pgid= -o stat= | awk -v root="$root" -v family="$family" '
    $3 !~ /^Z/ && ($2 == root || index(family, " " $1 " ")) { found = 1 } END { exit !found }'
}
for name in TERM KILL; do
  kill -s $name -- "-$root" 2>/dev/null
  for pid in $family; do kill -s $name "$pid" 2>/dev/null; done
  tries=0
  while left; do
    tries=$((tries + 1))
    [ $tries -gt 20 ] && break
    sleep 0.1 2>/dev/null || sleep 1
  done
  left || { echo gone; exit 0; }
done
echo left
}
"""


def end(link: Link, pid: int, deadline: float) -> bool:
    """End the process group `pid` over a second session; False where something of it may be left."""
    try:
        with link.session(lambda channel: channel.exec_command(f"exec sh -s {pid}"), deadline) as channel:
            channel.sendall(_SCRIPT.encode())
            channel.shutdown_write()
            answer = b""
            while chunk := channel.recv(4096):
                answer += chunk
                channel.settimeout(max(0.01, deadline - time.monotonic()))
            return answer.strip().endswith(b"gone")
    except (SSHException, EOFError, OSError):  # a time-out is an OSError
        return False
