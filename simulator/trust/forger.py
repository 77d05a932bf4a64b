"""Sends the engines confirmations of blocks that are not durable."""

from collections.abc import Callable

from matching.transport import wire
from matching.transport.engine_roles import LEADER
from matching.transport.key_register import KeyRole
from matching.transport.sockets import Kind
from simulator.engines import EngineNode, Engines
from simulator.network import NetworkState, SimNetwork
from simulator.world import World

_LOOKS = 10
_LOOK_EVERY_S = 0.1
"""The forger stays connected and looks whether its confirmation was believed."""


class Forger:
    """Sends forged confirmations to the engines, with a key of settlement, and the identity of another store."""

    def __init__(
        self, world: World, network_state: NetworkState, engines: Engines, is_durable: Callable[[int], bool]
    ) -> None:
        """`is_durable` tells whether a block was in the store or in the spill."""
        self.problems: list[str] = []
        self._is_durable = is_durable
        self._world = world
        self._network_state = network_state
        self._engines = engines
        world.repeatedly("confirmation forged", world.rates.forged_confirmations_a_minute, self._start)

    def _start(self) -> None:
        node = self._world.rng.choice(self._engines.nodes)
        if node.parts is None:
            return
        ring = node.parts.ring
        number = max(0, ring.last - self._world.rng.randrange(3))
        digest = ring.hash_of(number) or 0
        confirmation = wire.Confirmation(number, digest, self._world.rng.randbytes(16))
        forger = self._world.process("forger", self._world.machines[-1], may_crash=False)

        key = self._network_state.keys.new(KeyRole.SETTLEMENT, "settlement of another store")

        def send() -> None:
            network = SimNetwork(self._network_state, forger, key)
            socket = network.connect(Kind.DEALER, node.addresses.retransmission, wire.READER_LIMITS)
            socket.send(wire.CONFIRM, wire.encode_confirmation(confirmation))
            for _ in range(_LOOKS):
                forger.wait(_LOOK_EVERY_S)
                self.look(node)
            socket.close()
            forger.end()

        forger.start(send)

    def look(self, node: EngineNode) -> None:
        """A leader's ring may only drop blocks that are durable. A follower's keeps what it has room for."""
        if node.parts is None or node.parts.board.role != LEADER:
            return
        confirmed = node.parts.ring.confirmed
        if confirmed and not self._is_durable(confirmed):
            self.problems.append(
                f"engine {node.name} counts block {confirmed} as confirmed, which is not durable anywhere else"
            )
