"""What a server used of its machine: from its own metrics, or from /proc where it runs on this machine."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_LISTENING = "0A"  # TCP_LISTEN of include/net/tcp_states.h
_METRIC = re.compile(r"^(process_cpu_seconds_total|process_resident_memory_bytes)(?:\{[^}]*\})? (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class ServerUse:
    """What a server's process has used.

    Attributes:
        cpu_seconds: Of all cores together, since it started.
        memory_bytes: Resident, now.
    """

    cpu_seconds: float
    memory_bytes: float


def use_of_metrics(text: str) -> ServerUse | None:
    """Returns what a page of Prometheus's metrics says, under the names that its own clients use; None for nothing."""
    values: dict[str, float] = {}
    for match in _METRIC.finditer(text):
        with contextlib.suppress(ValueError):
            values[match[1]] = float(match[2])
    if len(values) < 2:
        return None
    return ServerUse(values["process_cpu_seconds_total"], values["process_resident_memory_bytes"])


def use_of_process(pid: int) -> ServerUse | None:
    """Returns what Linux says of a process; None where it does not."""
    try:
        # The name, in brackets, may hold anything.
        fields = (_PROC / str(pid) / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
        pages = int((_PROC / str(pid) / "statm").read_text("ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return None
    ticks = int(fields[11]) + int(fields[12])  # utime and stime of proc_pid_stat(5), counted from the state
    return ServerUse(ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE"))


def process_name(pid: int) -> str:
    """Returns what Linux calls a process; an empty text where there is none."""
    try:
        return (_PROC / str(pid) / "comm").read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def listening_process(port: int) -> int | None:
    """Returns which process of this machine listens at a TCP port; None where Linux does not tell.

    It may be one that only hands on what it gets, such as `docker-proxy`: see `process_name`.
    """
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not sockets:
        return None
    for descriptors in _PROC.glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):  # another user's process, or one that has just ended
            if any(str(descriptor.readlink()) in sockets for descriptor in descriptors.iterdir()):
                return int(descriptors.parent.name)
    return None


def _listening_inodes(port: int) -> list[str]:
    found = []
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (_PROC / "net" / table).read_text("ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    found.append(fields[9])
    return found
