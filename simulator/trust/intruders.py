"""People who send what their keys do not permit: a key of another role, an unknown one, or one that was revoked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from matching.client.edge import BatchBuilder, Edge
from matching.core.codes import CommandKind
from matching.core.registry import Registry
from matching.transport import wire
from matching.transport.key_register import KeyRole
from matching.transport.permissions import TABLE
from matching.transport.sockets import Kind
from simulator.engines import EngineNode, Engines
from simulator.network import NetworkState, SimNetwork, SimSocket
from simulator.world import Process, World

FIRST_CLIENT = 9_000_000_000
"""Client numbers from here on are those of intruders: the chain must not have them."""

_FALSE = wire.Addresses("tcp://X:commands", "tcp://X:blocks", "tcp://X:retransmission")
_HARMLESS = b"harmless"
_LOOKS = 10
_LOOK_EVERY_S = 0.1
_CONNECTED_S = 0.3

_COMMANDS: tuple[tuple[CommandKind, dict[str, Any]], ...] = (
    (CommandKind.DEPOSIT, {"command": "deposit", "account": 101, "asset": "USD", "amount": "9", "reference": "mint"}),
    (
        CommandKind.WITHDRAW,
        {"command": "withdraw", "account": 102, "asset": "USD", "amount": "1", "reference": "steal"},
    ),
    (CommandKind.CANCEL_ALL, {"command": "cancel_all", "account": 103}),
    (CommandKind.ASSET, {"command": "asset", "symbol": "FAKE", "decimals": 2}),
)
_VERBS = (wire.PROMOTE, wire.PROMOTE_FORCED, wire.STATE, wire.CONFIRM, wire.FOLLOWING, wire.SNAPSHOT, wire.BLOCKS)
_QUESTIONS = frozenset((wire.PROMOTE, wire.PROMOTE_FORCED, wire.STATE))


@dataclass(frozen=True, slots=True)
class _Attempt:
    """`permitted`: the roles that may do it, for the accounts of their key."""

    socket: str
    frames: tuple[bytes, ...]
    permitted: frozenset[KeyRole]


@dataclass(frozen=True, slots=True)
class _Intruder:
    name: str
    key: str
    is_revoked_late: bool  # while it is connected


class Intruders:
    """Each must get no answer but a refusal; `look` is called after each attempt, `identity` is that of the store."""

    def __init__(
        self,
        world: World,
        network_state: NetworkState,
        engines: Engines,
        *,
        identity: Callable[[], bytes],
        look: Callable[[EngineNode], None],
    ) -> None:
        self.problems: list[str] = []
        self._world = world
        self._network_state = network_state
        self._engines = engines
        self._identity = identity
        self._look = look
        self._clients = FIRST_CLIENT
        world.repeatedly("intrusion", world.key_rates.intrusions_a_minute, self._start, world.key_rng)

    def _start(self) -> None:
        rng, keys = self._world.key_rng, self._network_state.keys
        node = rng.choice(self._engines.nodes)
        attempt = self._attempt(node)
        if attempt is None:
            return
        kind = rng.choice(("a key of another role", "an unknown key", "a revoked key", "a key revoked while connected"))
        others = [role for role in KeyRole if role not in attempt.permitted]
        role = rng.choice(others if kind == "a key of another role" and others else sorted(attempt.permitted))
        name = f"an intruder with {kind} ({role})"
        key = keys.new(role, name, is_registered=kind != "an unknown key")
        if kind == "a revoked key":
            keys.revoke(key)
        process = self._world.process("intruder", self._world.machines[-1], may_crash=False)
        intruder = _Intruder(name, key, is_revoked_late=kind.endswith("connected"))
        process.start(lambda: self._intrude(process, node, attempt, intruder))

    def _attempt(self, node: EngineNode) -> _Attempt | None:
        """None if the engine does not know the names in a command yet."""
        if node.parts is None:
            return None
        rng = self._world.key_rng
        what = rng.choice((*_COMMANDS, *_VERBS, None))
        if what is None:
            return _Attempt("blocks", (), _roles_of(wire.BLOCKS))
        if isinstance(what, bytes):
            socket = "commands" if what in _QUESTIONS else "retransmission"
            return _Attempt(socket, (what, *self._rest(what, node)), _roles_of(what))
        kind, command = what
        self._clients += 1
        batch = _batch(self._clients, node.parts.engine.registry, command)
        permitted = frozenset(
            role for role, row in TABLE.items() if kind in row.commands and not row.is_limited_to_accounts
        )
        return _Attempt("commands", (wire.COMMANDS, batch), permitted) if batch else None

    def _rest(self, verb: bytes, node: EngineNode) -> Iterator[bytes]:
        """The frames after the verb."""
        assert node.parts is not None
        ring = node.parts.ring
        if verb in _QUESTIONS:
            yield _HARMLESS + b"?"
        elif verb == wire.CONFIRM:
            number = max(0, ring.last - self._world.key_rng.randrange(3))
            confirmation = wire.Confirmation(number, ring.hash_of(number) or 0, self._identity())
            yield wire.encode_confirmation(confirmation)
        elif verb == wire.FOLLOWING:
            yield wire.encode_addresses(_FALSE)
        else:
            yield from wire.encode_numbers(max(1, ring.last), max(1, ring.last))

    def _intrude(self, process: Process, node: EngineNode, attempt: _Attempt, intruder: _Intruder) -> None:
        network = SimNetwork(self._network_state, process, intruder.key)
        kind = Kind.DEALER if attempt.frames else Kind.SUB
        socket = network.connect(kind, getattr(node.addresses, attempt.socket), wire.READER_LIMITS)
        if intruder.is_revoked_late:
            if attempt.frames:
                socket.send(wire.STATUS, _HARMLESS)
            process.wait(_CONNECTED_S)
            self._network_state.keys.revoke(intruder.key)
        if attempt.frames:
            socket.send(*attempt.frames)
        for _ in range(_LOOKS):
            process.wait(_LOOK_EVERY_S)
            # What was published before the revocation may be on its way.
            if attempt.frames or not intruder.is_revoked_late:
                self._check_answers(node, socket, intruder.name, attempt)
            self._look(node)
            if node.parts is not None and _FALSE in node.parts.board.followers:
                self.problems.append(f"engine {node.name} lists a follower that was announced by {intruder.name}")
        socket.close()
        process.end()

    def _check_answers(self, node: EngineNode, socket: SimSocket, name: str, attempt: _Attempt) -> None:
        while (frames := socket.receive()) is not None:
            if frames[0] == wire.STATUS and frames[2:] == [_HARMLESS]:
                continue  # from before the revocation
            if frames[0] == wire.REFUSED and wire.decode_refused(frames[1]).code == wire.NOT_PERMITTED:
                continue
            sent = attempt.frames[0].decode() if attempt.frames else "a subscription"
            self.problems.append(f"engine {node.name} answered {sent} with {frames[0].decode()}; it came from {name}")


def _roles_of(verb: bytes) -> frozenset[KeyRole]:
    return frozenset(role for role, permissions in TABLE.items() if verb in permissions.verbs)


def _batch(client: int, registry: Registry, command: dict[str, Any]) -> bytes | None:
    builder = BatchBuilder(Edge(registry))
    if builder.add(command) is not None:
        return None
    return wire.encode_batch(client, 1, *builder.take())
