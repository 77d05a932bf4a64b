"""A follower with scripted sockets, clock and leader: no threads, no network, no waiting."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from matching.core import layout
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.feed.reader import Feed
from matching.node.command_endpoint import CommandEndpoint
from matching.node.follower import Follower
from matching.node.process import Parts
from matching.node.publisher import Publisher
from matching.node.sequencer import Sequencer
from matching.node.status import StatusBoard
from matching.storage.ring import Ring
from matching.transport import wire
from matching.transport.engine_roles import FOLLOWER
from matching.transport.key_register import KeyRole, RegisteredKey
from matching.transport.sockets import ALL_ROLES, LOCAL_PEER, Frame, Kind, Limits
from tests.matching.small_exchange import batch, deposit

HERE = wire.Addresses("tcp://here:1", "tcp://here:2", "tcp://here:3")
LEADER = wire.Addresses("tcp://leader:1", "tcp://leader:2", "tcp://leader:3")


class ScriptedSocket:
    def __init__(self) -> None:
        self.peer: RegisteredKey | None = LOCAL_PEER
        self.problem = ""
        self.inbox: list[list[bytes]] = []
        self.sent: list[list[bytes]] = []
        self.is_closed = False

    def receive(self) -> list[bytes] | None:
        return self.inbox.pop(0) if self.inbox else None

    def send(self, *frames: Frame) -> None:
        self.sent.append([bytes(frame) for frame in frames])

    def close(self, linger_ms: int = 0) -> None:
        self.is_closed = True

    def take_sent(self, verb: bytes) -> list[list[bytes]]:
        """Removes the messages with this verb; returns their frames after the verb."""
        found = [frames[frames.index(verb) + 1 :] for frames in self.sent if verb in frames[:2]]
        self.sent = [frames for frames in self.sent if verb not in frames[:2]]
        return found


class ScriptedNetwork:
    """The newest socket of each address; time only passes when a wait times out."""

    def __init__(self) -> None:
        self.sockets: dict[str, ScriptedSocket] = {}
        self.everyone: list[tuple[str, ScriptedSocket]] = []  # all sockets ever created, with their addresses
        self.now_s = 100.0

    def clock(self) -> float:
        return self.now_s

    def bind(self, kind: Kind, address: str, limits: Limits, admits: Collection[KeyRole] = ALL_ROLES) -> ScriptedSocket:
        return self.connect(kind, address, limits)

    def connect(self, kind: Kind, address: str, limits: Limits, topic: bytes = b"") -> ScriptedSocket:
        self.sockets[address] = ScriptedSocket()
        self.everyone.append((address, self.sockets[address]))
        return self.sockets[address]

    def wait(self, sockets: Sequence[Any], timeout_s: float) -> bool:
        if any(socket.inbox for socket in sockets):
            return True
        self.now_s += timeout_s
        return False

    def close(self) -> None:
        pass


class Stage:
    """A follower and its leader's engine: `make` creates blocks, `show` and `say` deliver blocks and heartbeats."""

    def __init__(self, engine: Engine, leader: Engine, ring_blocks: int = 1000) -> None:
        self.network = ScriptedNetwork()
        self.leader = leader
        self.leader_ring = Ring(1000, 1 << 20)
        self.commands, self.published, self.retransmission = (ScriptedSocket() for _ in range(3))
        self.ring = Ring(ring_blocks, 1 << 20)
        self.ring.begin_after(engine.block_number)
        self.board = StatusBoard(engine, self.ring, HERE, FOLLOWER, "none")
        self.feed = Feed(
            LEADER.blocks, LEADER.retransmission, make_network=lambda: self.network, clock=self.network.clock
        )
        self.endpoint = CommandEndpoint(self.commands, engine, self.board, self.board.counters, lambda: 0.0)
        publisher = Publisher(self.published, self.retransmission, self.ring, self.board, self.network.clock)
        self.follower = Follower(engine, self.feed, self.endpoint, publisher, self.ring, self.board.counters)
        self._number = 0

    @property
    def to_leader(self) -> ScriptedSocket:
        """The follower's socket to the leader's retransmission address."""
        return self.network.sockets[LEADER.retransmission]

    def make(self, count: int = 1) -> list[Block]:
        """Creates blocks of the leader with one deposit each."""
        return [self._make_one() for _ in range(count)]

    def _make_one(self) -> Block:
        self._number += 1
        name = f"{self.leader.epoch} {self.leader.block_number} {self._number}"
        made = one_block(self.leader, [deposit(1, name)])
        self.leader_ring.append(made)
        return made

    def show(self, *blocks: Block) -> None:
        """Delivers blocks as from the leader's block socket."""
        self.network.sockets[LEADER.blocks].inbox.extend([wire.BLOCK, block.data] for block in blocks)

    def say(self, confirmed: int = 0, **fields: object) -> None:
        """Delivers a heartbeat of the leader."""
        self.network.sockets[LEADER.blocks].inbox.append([wire.STATUS, self.status(confirmed, **fields)])

    def status(self, confirmed: int = 0, **fields: object) -> bytes:
        """The leader's status message."""
        board = StatusBoard(self.leader, self.leader_ring, LEADER, "leader", "none")
        status = {**board.fields(), **fields}
        status["ring"]["confirmed"] = confirmed
        return wire.encode_json(status)

    def turn(self) -> None:
        self.follower.turn()

    @property
    def parts(self) -> Parts:
        """The parts of this follower's process."""
        publisher = self.follower.publisher
        return Parts(
            self.follower.engine, self.ring, self.board, self.endpoint, publisher, self.network, (self.commands,) * 2
        )

    def ask_promotion(self, correlation: bytes = b"1", *, forced: bool = False) -> None:
        verb = wire.PROMOTE_FORCED if forced else wire.PROMOTE
        self.commands.inbox.append([b"asker", verb, correlation])

    def promotion_answers(self) -> list[dict[str, object]]:
        return [wire.decode_json(frames[0]) for frames in self.commands.take_sent(wire.PROMOTE)]


class OneSnapshot:
    """A snapshotter with one snapshot in memory, which it creates on request."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.data = b""
        self.requests = 0

    def newest(self) -> int | None:
        return self.number

    def read(self, number: int, offset: int, size: int) -> bytes | None:
        return self.data[offset : offset + size] if number == self.number else None

    def size_of(self, number: int) -> int | None:
        return len(self.data) if number == self.number else None

    def request(self) -> None:
        self.requests += 1

    def advance(self, engine: Engine, ring: Ring) -> None:
        """Does nothing: tests set the snapshot."""


def empty_batch(client: int) -> bytes:
    """A batch of one invalid command: a leader would refuse it, a follower does not decode it."""
    return wire.encode_batch(client, 1, np.zeros(1, layout.COMMAND), b"")


def one_block(engine: Engine, commands: Sequence[Mapping[str, Any]]) -> Block:
    """The block of the engine for these commands of client 7."""
    sequencer = Sequencer(engine, Ring(10, 1 << 20), lambda: 1, 100)
    return sequencer.sequence([batch(engine, 7, engine.clients.last_number(7, 0) + 1, commands)]).blocks[0]
