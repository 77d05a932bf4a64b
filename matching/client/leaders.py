"""Finds the engine that takes commands, the leader or one of several replicas, by asking all known engines at once."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

from matching.core.errors import BadMessage
from matching.transport import wire
from matching.transport.engine_roles import REPLICA, TAKE_COMMANDS
from matching.transport.sockets import AddressUnusable, Kind, Limits, Network, Socket, Undelivered

_MAX_ADDRESSES = 32
_ROUND_S = 0.5
_GRACE_S = 0.2
"""After the first engine that leads has answered: time for the others to answer with a newer epoch."""
_CORRELATION = b"who leads"
_LIMITS = Limits(frame_bytes=1 << 20, receive_queue=16, send_queue=16)


@dataclass
class EngineDirectory:
    """The known command addresses of an exchange's engines, and the newest leader's epoch. Connections may share it."""

    addresses: list[str]
    epoch: int = 0

    def add(self, addresses: Iterable[str]) -> None:
        for address in addresses:
            if address not in self.addresses and len(self.addresses) < _MAX_ADDRESSES:
                self.addresses.append(address)

    def __str__(self) -> str:
        return ", ".join(self.addresses)


Engines = str | Sequence[str] | EngineDirectory
"""One command address, several separated by commas or in a list, or the addresses that another connection knows."""


def engine_directory(engines: Engines) -> EngineDirectory:
    if isinstance(engines, EngineDirectory):
        return engines
    listed = engines.split(",") if isinstance(engines, str) else engines
    return EngineDirectory([address.strip() for address in listed])


class Leader(NamedTuple):
    address: str
    epoch: int


@dataclass
class LeaderSearch:
    """Asks every known engine for its status, repeatedly until one leads. The caller waits on `sockets`.

    `clock` returns monotonic seconds.
    """

    network: Network
    directory: EngineDirectory
    clock: Callable[[], float]
    _sockets: dict[str, Socket] = field(default_factory=dict)
    _silent: set[str] = field(default_factory=set)  # addresses asked in this round that have not answered
    _best: Leader | None = None
    _decide_at_s: float = 0.0
    _next_round_s: float = 0.0

    def __post_init__(self) -> None:
        self._ask_all()

    @property
    def sockets(self) -> list[Socket]:
        return list(self._sockets.values())

    @property
    def due_s(self) -> float:
        """The time at which to call `poll` even if no answer has arrived."""
        return min(self._next_round_s, self._decide_at_s) if self._best else self._next_round_s

    def poll(self) -> Leader | None:
        """Reads the answers. Returns the newest epoch's leader when all have answered or the grace time is over."""
        for address, socket in self._sockets.items():
            while (frames := socket.receive()) is not None:
                if frames[0] == wire.STATUS and len(frames) == 3:
                    with suppress(BadMessage):
                        self._note(address, wire.decode_status(frames[1]))
        now_s = self.clock()
        if self._best and (not self._silent or now_s >= self._decide_at_s):
            return self._best
        if now_s >= self._next_round_s:
            self._ask_all()
        return None

    def close(self) -> None:
        for socket in self._sockets.values():
            socket.close()
        self._sockets.clear()

    def _note(self, address: str, status: wire.Status) -> None:
        self._silent.discard(address)
        self.directory.add(follower_addresses(status, address))
        if status.role not in TAKE_COMMANDS or status.epoch < self.directory.epoch:
            return
        if status.role == REPLICA and status.fields.get("halted"):
            return  # another replica may not be halted; a halted leader has no substitute, so it is not skipped
        if self._best is None:
            self._decide_at_s = self.clock() + _GRACE_S
        if self._best is None or status.epoch > self._best.epoch:
            self._best = Leader(address, status.epoch)

    def _ask_all(self) -> None:
        self._next_round_s = self.clock() + _ROUND_S
        for address in self.directory.addresses:
            with suppress(AddressUnusable, Undelivered):  # a bad address from another engine; or a full queue
                if address not in self._sockets:
                    self._sockets[address] = self.network.connect(Kind.DEALER, address, _LIMITS)
                self._sockets[address].send(wire.STATUS, _CORRELATION)
                self._silent.add(address)


def follower_addresses(status: wire.Status, reached_at: str) -> list[str]:
    """Command addresses of the followers that are listed in the status of the engine at `reached_at`."""
    return [reachable(one, reached_at).commands for one in status.followers]


def reachable(addresses: wire.Addresses, reached_at: str) -> wire.Addresses:
    """Replaces wildcard hosts such as 0.0.0.0 by the host at which the engine was reached."""
    host = urlsplit(reached_at).netloc.rpartition(":")[0]

    def named(address: str) -> str:
        for everywhere in ("0.0.0.0", "[::]", "*"):  # noqa: S104 (nothing is bound here)
            if address.startswith(f"tcp://{everywhere}:"):
                return f"tcp://{host}:{address.rpartition(':')[2]}"
        return address

    return wire.Addresses(named(addresses.commands), named(addresses.blocks), named(addresses.retransmission))
