"""ZeroMQ sockets that an event loop watches, for a `Connection` that is used without blocking.

A ZeroMQ socket has a file descriptor that becomes readable once when something may have happened on it. So after each
call of `on_ready`, whoever is called has to receive until there is nothing left, and to look again after sending.
"""

import asyncio
import os
from collections.abc import Callable, Collection, Sequence
from typing import Any

from matching.transport.key_register import KeyRole
from matching.transport.network import ZmqNetwork
from matching.transport.sockets import ALL_ROLES, Kind, Limits, RawSocket, ZmqSocket


class LoopNetwork:
    """A `Network` whose sockets call `on_ready` in `loop`, and whose `wait` returns at once."""

    def __init__(self, network: ZmqNetwork, loop: asyncio.AbstractEventLoop, on_ready: Callable[[], object]) -> None:
        self._network = network
        self._loop = loop
        self._on_ready = on_ready
        self._sockets: list[ZmqSocket] = []
        self._watched: dict[RawSocket, int] = {}  # with a duplicate of each descriptor, which stays open until removed

    def bind(self, kind: Kind, address: str, limits: Limits, admits: Collection[KeyRole] = ALL_ROLES) -> ZmqSocket:
        raise NotImplementedError("A client does not listen.")

    def connect(self, kind: Kind, address: str, limits: Limits, topic: bytes = b"") -> ZmqSocket:
        socket = self._network.connect(kind, address, limits, topic)
        self._sockets.append(socket)
        self._watch()
        return socket

    def wait(self, sockets: Sequence[Any], timeout_s: float) -> bool:
        return self._network.wait(sockets, 0)

    def check(self) -> None:
        """Handles what happened to connections, such as a handshake that failed. Call it several times a second."""
        self._sockets = [socket for socket in self._sockets if not socket.raw.closed]
        self._network.wait(self._sockets, 0)
        self._watch()

    def close(self) -> None:
        self._sockets.clear()
        self._watch()
        self._network.close()

    def _watch(self) -> None:
        """Watches the sockets as they are now: one with keys is replaced by another if a handshake fails."""
        present = {socket.raw for socket in self._sockets if not socket.raw.closed}
        for raw in self._watched.keys() - present:
            descriptor = self._watched.pop(raw)
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
        for raw in present - self._watched.keys():
            self._watched[raw] = descriptor = os.dup(raw.fileno())
            self._loop.add_reader(descriptor, self._on_ready)
