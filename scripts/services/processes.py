"""Processes, identified by id and start time."""

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

_STATE, _PARENT, _BIRTH = 0, 1, 19


def birth(pid: int) -> int | None:
    """Start time of the process in clock ticks since boot; None if it has ended.

    Process ids are reused: only id and start time together identify our process.
    """
    try:
        fields = _fields(pid)
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    except (FileNotFoundError, ProcessLookupError):
        return None
    # A zombie has ended, unless other threads of it are still running and hold its ports.
    return None if fields[_STATE] == "Z" and threads == 1 else int(fields[_BIRTH])


def _fields(pid: int) -> list[str]:
    """Fields of /proc/PID/stat (man 5 proc) after the program's name, which may contain spaces."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()


def family(pid: int) -> list[int]:
    """The process and all its descendants, also those in other process groups, such as PostgreSQL's sessions.

    By the parent that each process names: the kernel's own lists of children leave some out while others end.
    """
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            children.setdefault(int(_fields(int(folder.name))[_PARENT]), []).append(int(folder.name))
    found = [pid]
    for member in found:  # grows during the loop
        found += children.get(member, [])
    return found


def signal_all(members: Iterable[int], number: signal.Signals) -> None:
    for pid in members:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
