"""Processes by their number and birth, and ports on loopback."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterable
from pathlib import Path

from scripts.services.errors import ServiceError

HOST = "127.0.0.1"
_HIGHEST_PORT = 65_535
_TRIES = 100
_STATE, _PARENT, _BIRTH = 0, 1, 19


def birth(pid: int) -> int | None:
    """When the process began, in clock ticks since the machine did; None when it has ended.

    Numbers of processes are given out again: only number and birth together say that a process is ours.
    """
    try:
        fields = _fields(pid)
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    except (FileNotFoundError, ProcessLookupError):
        return None
    # Of a zombie only the exit code is left, unless other threads of it are still on their way out, with its ports.
    return None if fields[_STATE] == "Z" and threads == 1 else int(fields[_BIRTH])


def _fields(pid: int) -> list[str]:
    """Of /proc/PID/stat (man 5 proc), those behind the program's name, which may hold spaces."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()


def family(pid: int) -> list[int]:
    """The process and all below it, which need not share its process group: PostgreSQL's sessions do not.

    By the parent that each process names: the kernel's own lists of children leave some out while others end.
    """
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended while we looked
            children.setdefault(int(_fields(int(folder.name))[_PARENT]), []).append(int(folder.name))
    found = [pid]
    for member in found:  # grows while we walk it
        found += children.get(member, [])
    return found


def signal_all(members: Iterable[int], number: signal.Signals) -> None:
    for pid in members:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def are_free(first: int, count: int) -> bool:
    return first + count - 1 <= _HIGHEST_PORT and all(is_free(first + more) for more in range(count))


def free_ports(count: int) -> int:
    """The first of `count` neighbouring ports that nobody listens on."""
    for _ in range(_TRIES):
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            first: int = probe.getsockname()[1]
        if are_free(first, count):
            return first
    raise ServiceError(f"no {count} neighbouring ports are free on {HOST}")
