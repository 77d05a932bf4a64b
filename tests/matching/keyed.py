"""A key register that tests change, and sockets on loopback with the keys in it."""

import time
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import replace

from matching.transport.curve import Security
from matching.transport.key_register import KeyRegister, KeyRole, OwnKey, RegisteredKey, new_pair
from matching.transport.listening.connections import DEFAULT_LIMITS, ConnectionLimits
from matching.transport.network import ZmqNetwork
from matching.transport.sockets import ALL_ROLES, Kind, Limits, Socket

LIMITS = Limits(frame_bytes=1 << 20, receive_queue=1000, send_queue=1000)
DEADLINE_S = 30.0


class Keyed:
    """Use as a context manager that closes the sockets. `engine` is the key of one registered engine."""

    def __init__(self) -> None:
        self.register = KeyRegister(1, "0" * 16)
        self.open = ExitStack()
        self._networks: dict[Socket, ZmqNetwork] = {}
        self.engine = self.key(KeyRole.ENGINE)

    def key(self, role: KeyRole, *accounts: int) -> OwnKey:
        """A new registered key."""
        key = self.stranger(role)
        self.register = self.register.with_key(RegisteredKey(key.public, role, key.name, accounts))
        return key

    def stranger(self, role: KeyRole) -> OwnKey:
        """A new key that is not registered."""
        public, secret = new_pair()
        return OwnKey(public, secret, role, f"{role}-{len(self.register.keys) + 1}")

    def revoke(self, key: OwnKey) -> None:
        self.register = self.register.with_key(replace(self.register.keys[key.public], revoked=True))

    def security(self, key: OwnKey) -> Security:
        return Security(key, lambda: self.register)

    def listen(
        self,
        address: str,
        kind: Kind = Kind.ROUTER,
        *,
        key: OwnKey | None = None,
        admits: Collection[KeyRole] = ALL_ROLES,
        limits: Limits = LIMITS,
        connections: ConnectionLimits = DEFAULT_LIMITS,
    ) -> Socket:
        network = self._network(key or self.engine, connections)
        socket = self._closed_later(network.bind(kind, address, limits, admits))
        self._networks[socket] = network
        return socket

    def end(self, listening: Socket) -> None:
        """Closes a listening socket, and waits until its address is free."""
        listening.close()
        self._networks[listening].close()

    def connect(self, address: str, key: OwnKey, kind: Kind = Kind.DEALER) -> "Waiting":
        network = self._network(key)
        return Waiting(network, self._closed_later(network.connect(kind, address, LIMITS)))

    def _network(self, key: OwnKey, connections: ConnectionLimits = DEFAULT_LIMITS) -> ZmqNetwork:
        network = ZmqNetwork(self.security(key), connections)
        self.open.callback(network.close)
        return network

    def _closed_later(self, socket: Socket) -> Socket:
        self.open.callback(socket.close)
        return socket


class Waiting:
    """A connecting socket and its network, which it must wait on."""

    def __init__(self, network: ZmqNetwork, socket: Socket) -> None:
        self.network = network
        self.socket = socket

    def receive(self, timeout_s: float = DEADLINE_S) -> list[bytes] | None:
        """The next message; None if none arrives."""
        return self.socket.receive() if self.network.wait([self.socket], timeout_s) else None

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        end_s = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end_s, f"{what} within {DEADLINE_S:g} s"
            self.network.wait([self.socket], 0.02)


def received(socket: Socket, meanwhile: Waiting | None = None, timeout_s: float = DEADLINE_S) -> list[bytes] | None:
    """The next message of a listening socket, while `meanwhile` is kept connected; None if none arrives."""
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        message = socket.receive()
        if message is not None:
            return message
        if meanwhile is not None:
            meanwhile.network.wait([meanwhile.socket], 0.01)
    return None
