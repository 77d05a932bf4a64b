"""Simulated network: loses, duplicates, reorders, delays and corrupts messages, and cuts links temporarily.

It behaves like the part of ZeroMQ that the exchange uses: a DEALER's messages wait until a ROUTER listens on the
address; a ROUTER identifies its peers and gets an error for one that is gone; a PUB sends only to connected readers. It
has more faults than TCP has, because the exchange's guarantees must not depend on the transport.

Each process has a key. A socket admits a key when it connects, as CURVE does: a key that is revoked later keeps its
connection to a ROUTER, and loses that to a PUB.
"""

from collections import deque
from collections.abc import Collection, Sequence
from typing import Any

from matching.transport import wire
from matching.transport.curve import SERVER_ROLES
from matching.transport.key_register import KeyRole, RegisteredKey
from matching.transport.sockets import ALL_ROLES, AddressUnusable, Frame, Kind, Limits, Undelivered
from simulator.scheduler import Task
from simulator.trust.forged_blocks import with_false_event
from simulator.trust.keys import Keys
from simulator.world import Process, World

_LATENCY_S = 0.0004
_CONNECT_S = 0.002
_MAX_QUEUED = 1000


class NetworkState:
    """The state shared by all sockets: listeners, subscribers, links that are cut, and the key register."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.keys = Keys()
        self.listeners: dict[str, SimSocket] = {}
        self.subscribers: dict[str, list[SimSocket]] = {}
        self._cut_until_s: dict[frozenset[str], float] = {}
        self._last_arrival_s: dict[tuple[int, int], float] = {}
        self._identities = 0
        world.repeatedly("link cut", world.rates.cuts_a_minute, self._cut)

    def identity(self) -> bytes:
        self._identities += 1
        return self._identities.to_bytes(5, "big")

    def _cut(self) -> None:
        one, other = self.world.rng.sample(self.world.machines, 2)
        link = frozenset((one.name, other.name))
        self._cut_until_s[link] = self.world.scheduler.now_s + self.world.rng.uniform(0.1, 8)

    def carry(self, source: "SimSocket", target: "SimSocket", frames: list[bytes]) -> None:
        """Delivers a message later, or subjects it to a fault."""
        world, rates, now_s = self.world, self.world.rates, self.world.scheduler.now_s
        link = frozenset((source.process.machine.name, target.process.machine.name))
        cut_until_s = self._cut_until_s.get(link, 0.0) if world.is_faulty else 0.0
        if now_s < cut_until_s and world.rng.random() < 0.5:
            world.counts["lost in a cut"] += 1
            return
        if world.happens("message dropped", rates.drop):
            return
        key = (id(source), id(target))
        arrival_s = max(now_s, cut_until_s) + world.rng.expovariate(1 / _LATENCY_S)
        if world.happens("message delayed", rates.delay):
            arrival_s += world.rng.uniform(0.01, 3)
        elif not world.happens("message reordered", rates.reorder):
            arrival_s = max(arrival_s, self._last_arrival_s.get(key, 0.0))
            self._last_arrival_s[key] = arrival_s
        if wire.BLOCK in frames[:2] and world.happens("bit flipped", rates.flip):
            frames = [*frames[:-1], _flipped(frames[-1], world.rng.randrange(8 * len(frames[-1])))]
        elif frames[-2:-1] == [wire.BLOCK] and world.happens("block forged", rates.forge):
            frames = [*frames[:-1], with_false_event(frames[-1], world.rng)]
        world.scheduler.at(arrival_s, lambda: target.arrive(frames, source.key))
        if world.happens("message duplicated", rates.duplicate):
            world.scheduler.at(arrival_s + world.rng.uniform(0, 1), lambda: target.arrive(frames, source.key))


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


class SimNetwork:
    """`matching.transport.sockets.Network` of one process."""

    def __init__(self, network_state: NetworkState, process: Process, key: str) -> None:
        """`key` is the public key of the process, which its peers are told."""
        self._network_state = network_state
        self._process = process
        self._key = key

    def bind(self, kind: Kind, address: str, limits: Limits, admits: Collection[KeyRole] = ALL_ROLES) -> "SimSocket":
        self._process.io()
        if address in self._network_state.listeners:
            raise AddressUnusable(f"Cannot listen on {address}: another process listens there already.")
        return SimSocket(self._network_state, self._process, self._key, kind, address, admits=admits)

    def connect(self, kind: Kind, address: str, limits: Limits, topic: bytes = b"") -> "SimSocket":
        self._process.io()
        return SimSocket(self._network_state, self._process, self._key, kind, address, topic=topic)

    def wait(self, sockets: Sequence[Any], timeout_s: float) -> bool:
        self._process.io()
        scheduler = self._process.world.scheduler
        if not any(socket.inbox for socket in sockets) and timeout_s > 0:
            task = scheduler.running()
            for socket in sockets:
                socket.waiting = task
            scheduler.park(scheduler.now_s + timeout_s)
            for socket in sockets:
                socket.waiting = None
        return any(socket.inbox for socket in sockets)

    def close(self) -> None:
        """Does nothing: sockets are closed individually."""


class SimSocket:
    def __init__(
        self,
        network_state: NetworkState,
        process: Process,
        key: str,
        kind: Kind,
        address: str,
        *,
        admits: Collection[KeyRole] | None = None,
        topic: bytes = b"",
    ) -> None:
        """`admits` is None for a socket that connects."""
        self.process = process
        self.key = key
        self.problem = ""
        self.inbox: deque[tuple[list[bytes], str]] = deque()
        self.waiting: Task | None = None
        self.address = address
        self._network_state = network_state
        self._kind = kind
        self._topic = topic
        self._admits = admits
        self._is_open = True
        self._sender = ""  # key of the message that was received last
        self._identity = network_state.identity()
        self._peers: dict[bytes, SimSocket] = {}  # of a ROUTER
        self._unsent: deque[list[bytes]] = deque(maxlen=_MAX_QUEUED)  # of a DEALER, until a ROUTER listens
        process.at_end.append(self._close)
        if admits is not None:
            network_state.listeners[address] = self
        elif kind is Kind.SUB:
            process.world.scheduler.after(_CONNECT_S, self._subscribe)

    @property
    def peer(self) -> RegisteredKey | None:
        return self._network_state.keys.find(self._sender)

    def receive(self) -> list[bytes] | None:
        if not self.inbox:
            return None
        self.process.io()
        frames, self._sender = self.inbox.popleft()
        return frames

    def send(self, *parts: Frame) -> None:
        self.process.io()
        frames = [bytes(part) for part in parts]
        if self._kind is Kind.PUB:
            for reader in self._network_state.subscribers.get(self.address, ()):
                if frames[0].startswith(reader._topic) and self._does_admit(reader) and reader._trusts(self):
                    self._network_state.carry(self, reader, frames)
        elif self._kind is Kind.ROUTER:
            peer = self._peers.get(frames[0])
            if peer is None or not peer._is_open or not peer._trusts(self):
                raise Undelivered("A message was not delivered: its reader is gone.")
            self._network_state.carry(self, peer, frames[1:])
        else:
            self._unsent.append(frames)
            self._flush()

    def close(self, linger_ms: int = 0) -> None:
        if self.process.alive:
            self._close()

    def arrive(self, frames: list[bytes], sender: str) -> None:
        if self._is_open:
            self.inbox.append((frames, sender))
            if self.waiting is not None:
                self.process.world.scheduler.wake(self.waiting)

    def _flush(self) -> None:
        """Sends a DEALER's queued messages if a ROUTER listens on its address, else tries again later."""
        router = self._network_state.listeners.get(self.address)
        if router is None or not router.process.alive or not self._may_connect(router):
            if self._is_open and self._unsent:
                self.process.world.scheduler.after(0.1, self._flush)
            return
        router._peers[self._identity] = self
        while self._unsent:
            self._network_state.carry(self, router, [self._identity, *self._unsent.popleft()])

    def _may_connect(self, router: "SimSocket") -> bool:
        """Whether this DEALER is connected to the ROUTER already, or each side accepts the key of the other."""
        if not self._trusts(router):
            return False
        return router._peers.get(self._identity) is self or router._does_admit(self)

    def _trusts(self, listening: "SimSocket") -> bool:
        """Whether the key of the listening socket is that of an engine. Else this socket closes the connection."""
        key = self._network_state.keys.find(listening.key)
        return key is not None and not key.revoked and key.role in SERVER_ROLES

    def _does_admit(self, other: "SimSocket") -> bool:
        keys = self._network_state.keys
        key = keys.find(other.key)
        return self._admits is not None and key is not None and not key.revoked and key.role in self._admits

    def _subscribe(self) -> None:
        if self._is_open:
            self._network_state.subscribers.setdefault(self.address, []).append(self)

    def _close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self.inbox.clear()
        if self._admits is not None and self._network_state.listeners.get(self.address) is self:
            del self._network_state.listeners[self.address]
        readers = self._network_state.subscribers.get(self.address, [])
        if self in readers:
            readers.remove(self)
