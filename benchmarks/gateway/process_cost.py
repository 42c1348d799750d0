"""CPU time and memory of a process and all its descendants."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_SCHEDULED = 2  # the kernel's per-process clock of CPU time, in nanoseconds, of all its threads


def tree(pid: int) -> list[int]:
    """The process and its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for parent in found:
        found.extend(children.get(parent, ()))
    return found


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from `state` on; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_s(pid: int) -> float:
    """CPU seconds of the tree so far: ended threads and reaped children are in it.

    It is utime + stime of /proc/PID/stat, read from the process's clock because that has
    nanoseconds where the file has hundredths of a second.
    """
    total = 0.0
    for process in tree(pid):
        fields = _stat(process)
        if fields:
            total += (int(fields[13]) + int(fields[14])) / _TICKS_PER_S  # reaped children
            total += time.clock_gettime((~process << 3) | _SCHEDULED)
    return total


def rss_mib(pid: int) -> float:
    """Resident memory of the tree [MiB]."""
    page_mib = os.sysconf("SC_PAGE_SIZE") / 2**20
    return sum(int(fields[21]) * page_mib for fields in map(_stat, tree(pid)) if fields)


def freeze(pid: int) -> None:
    """Stop the tree, so that a gateway not under test costs the others nothing."""
    for process in tree(pid):
        os.kill(process, signal.SIGSTOP)


def thaw(pid: int) -> None:
    """Let the tree run on."""
    for process in reversed(tree(pid)):
        os.kill(process, signal.SIGCONT)
