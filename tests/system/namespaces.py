"""Machines of a test: network namespaces with an address each, connected by a switch. Needs root and `ip`."""

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET of sched.h
_NETWORK = "10.77.0"


class Namespaces:
    """The namespaces `names`, with the addresses 10.77.0.1, 10.77.0.2, … inside. Close removes them."""

    def __init__(self, names: str) -> None:
        """Raises CalledProcessError if namespaces cannot be made here."""
        self._prefix = f"xt{os.getpid()}"
        self._numbers = {name: number for number, name in enumerate(names, 1)}
        self._made: list[str] = []
        self._make("switch")
        self._inside("switch", "link", "add", "bridge0", "type", "bridge")
        self._inside("switch", "link", "set", "bridge0", "up")
        for name in names:
            self._make(name)
            self._connect(name)

    def host(self, name: str) -> str:
        return f"{_NETWORK}.{self._numbers[name]}"

    def prefix(self, name: str) -> tuple[str, ...]:
        """What comes before a command line to run it there."""
        return "ip", "netns", "exec", self._namespace(name)

    def cut(self, name: str) -> None:
        """Disconnects it from all others; connections stay open and carry nothing."""
        self._inside("switch", "link", "set", f"to-{name}", "down")

    def heal(self, name: str) -> None:
        self._inside("switch", "link", "set", f"to-{name}", "up")

    @contextmanager
    def thread(self, name: str) -> Iterator[ThreadPoolExecutor]:
        """A thread of this process whose sockets are in the namespace, also those of libraries that it starts there."""
        with ThreadPoolExecutor(1, initializer=self._enter(name)) as executor:
            yield executor

    def close(self) -> None:
        for namespace in self._made:
            _ip("netns", "delete", namespace)

    def _enter(self, name: str) -> Callable[[], None]:
        libc = ctypes.CDLL(None, use_errno=True)

        def enter() -> None:
            descriptor = os.open(Path("/run/netns") / self._namespace(name), os.O_RDONLY)
            failed = libc.setns(descriptor, _NEW_NETWORK)
            os.close(descriptor)
            assert not failed, os.strerror(ctypes.get_errno())

        return enter

    def _namespace(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    def _make(self, name: str) -> None:
        _ip("netns", "add", self._namespace(name))
        self._made.append(self._namespace(name))
        self._inside(name, "link", "set", "lo", "up")

    def _connect(self, name: str) -> None:
        peer = ("peer", "name", "eth0", "netns", self._namespace(name))
        self._inside("switch", "link", "add", f"to-{name}", "type", "veth", *peer)
        self._inside("switch", "link", "set", f"to-{name}", "master", "bridge0")
        self._inside("switch", "link", "set", f"to-{name}", "up")
        self._inside(name, "address", "add", f"{self.host(name)}/24", "dev", "eth0")
        self._inside(name, "link", "set", "eth0", "up")

    def _inside(self, name: str, *arguments: str) -> None:
        _ip("-n", self._namespace(name), *arguments)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def namespaces(names: str) -> Iterator[Namespaces]:
    """Skips the test where they cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    try:
        made = Namespaces(names)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"network namespaces cannot be made here: {getattr(error, 'stderr', error)!r}")
    try:
        yield made
    finally:
        made.close()
