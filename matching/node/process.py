"""An engine process, put together: sockets, engine, ring and loop, as leader, as follower, or as replica of a log.

Knows no settings, signals or Django; `run_engine` brings those.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import structlog

from matching.core import kernel
from matching.core.engine import Engine
from matching.core.epochs import Epoch
from matching.core.errors import BadBlock, Diverged, MatchingError
from matching.feed.reader import Feed
from matching.node import replica
from matching.node.block_clock import BlockClock, LogTime
from matching.node.command_endpoint import CommandEndpoint
from matching.node.follower import Follower, follow
from matching.node.leadership import Objection, join_epoch, take_lead
from matching.node.publisher import Publisher
from matching.node.recovery import Recovered, Stopped
from matching.node.sequencer import Sequencer
from matching.node.server import Leader, serve
from matching.node.services import Services
from matching.node.status import StatusBoard
from matching.storage.input_logs.base import CommandLog
from matching.storage.ring import Ring
from matching.transport import wire
from matching.transport.roles import FOLLOWER, LEADER, REPLICA
from matching.transport.sockets import Kind, Network, Socket

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """Where an engine listens and what bounds it."""

    addresses: wire.Addresses
    ring_blocks: int
    ring_bytes: int
    block_commands: int


@dataclass(slots=True)
class Parts:
    """What leader and follower have in common, sockets open."""

    engine: Engine
    ring: Ring
    board: StatusBoard
    endpoint: CommandEndpoint
    publisher: Publisher
    network: Network
    sockets: tuple[Socket, Socket]
    recovered: Recovered | None = None  # how it became the leader
    follower: Follower | None = None  # while it follows another engine


Ready = Callable[[Parts], None]
"""Called once, when commands, or questions to a follower, are answered from now on."""


def lead(plan: Plan, services: Services, ready: Ready, stop: Callable[[], bool]) -> None:
    """Recovers, begins an epoch, then takes commands until `stop()`.

    Raises AddressUnusable, what `take_lead` raises, Superseded, and LogUnusable.
    """
    with _opened(plan, services, LEADER, services.input_log.name) as parts:
        try:
            parts.recovered = take_lead(parts.engine, parts.ring, parts.board.addresses, services, stop=stop)
        except Stopped:
            return
        ready(parts)
        _serve(plan, services, parts, stop)


def replicate(
    plan: Plan,
    services: Services,
    command_log: CommandLog,
    instance: bytes,
    joined: Ready,
    ready: Ready,
    stop: Callable[[], bool],
) -> None:
    """Recovers, takes part in the epoch of the log, then takes commands and makes blocks of the log's until `stop()`.

    `joined` is called before it reads what the log holds already, which may take long, and wait for settlement.
    `instance` is a name that no other process has. Raises AddressUnusable, what `join_epoch` raises, Superseded, and
    LogUnusable.
    """
    with _opened(plan, services, REPLICA, "kafka") as parts:
        addresses = parts.board.addresses
        try:
            parts.recovered = join_epoch(parts.engine, parts.ring, addresses, services, command_log.identity, stop=stop)
        except Stopped:
            return
        one = replica.Replica(
            engine=parts.engine,
            ring=parts.ring,
            endpoint=parts.endpoint,
            publisher=parts.publisher,
            board=parts.board,
            command_log=command_log,
            snapshotter=services.snapshotter,
            superseded=services.superseded,
            known_s=services.known_s,
            monotonic=services.monotonic,
            log_time=LogTime(services.time_ns, parts.board),
            block_commands=plan.block_commands,
            instance=instance,
        )
        joined(parts)
        replica.serve(one, parts.publisher, parts.network, parts.sockets, lambda: ready(parts), stop)


def follow_leader(
    plan: Plan, services: Services, address: str, timeout_s: float, ready: Ready, stop: Callable[[], bool]
) -> None:
    """Follows the engine at `address` until `stop()`, or until it is promoted; then it leads until `stop()`.

    Raises AddressUnusable, EngineUnreachable, Diverged, HistoryGone, BadBlock; as the leader what `lead` raises.
    """
    with _opened(plan, services, FOLLOWER, "none") as parts:
        feed = Feed.discover(address, timeout_s, make_network=services.make_network, clock=services.monotonic)
        try:
            follower = Follower(parts.engine, feed, parts.endpoint, parts.publisher, parts.ring, parts.board.counters)
            parts.follower = follower
            ready(parts)
            is_promoted = _follow_until_promoted(follower, services, parts, stop)
        finally:
            feed.close()
        if is_promoted:
            _serve(plan, services, parts, stop)


def _follow_until_promoted(follower: Follower, services: Services, parts: Parts, stop: Callable[[], bool]) -> bool:
    """Follows; True when an operator's promotion succeeded, False when it was time to stop."""
    while True:
        follow(follower, parts.network, parts.sockets, stop)
        promotion = follower.promotion
        if promotion is None:
            return False
        try:
            # Whoever promotes decides that the old leader is gone; its epoch ends with the new one.
            services = replace(services, take_over=True)
            parts.recovered = take_lead(
                parts.engine,
                parts.ring,
                parts.board.addresses,
                services,
                objection=_objection(follower, services.engine),
                stop=stop,
            )
        except Stopped:
            follower.refuse_promotion("This engine is being stopped: ask another one.")
            return False
        except (Diverged, BadBlock) as error:
            follower.refuse_promotion(str(error))
            raise
        except MatchingError as error:
            follower.refuse_promotion(str(error))
            continue
        parts.board.role, parts.board.input_log = LEADER, services.input_log.name
        parts.follower = None
        follower.grant_promotion(parts.engine.epoch)
        log.info("engine.promoted", block=parts.engine.block_number, epoch=parts.engine.epoch)
        return True


def _objection(follower: Follower, own_name: str) -> Objection:
    """Another engine than the one that is followed leads, unless it is this one: an answer of the store was lost."""
    assert follower.promotion is not None, "somebody asked"
    is_forced = follower.promotion.forced

    def objection(holder: Epoch | None) -> str:
        if is_forced:
            return ""
        if holder is not None and holder.number > follower.leader_epoch and holder.engine != own_name:
            return (
                f"Engine {holder.engine} at {holder.commands} has begun epoch {holder.number} meanwhile: it leads. "
                f"Start this one again with --follow {holder.commands}, or force this."
            )
        return follower.unwritten()

    return objection


def _serve(plan: Plan, services: Services, parts: Parts, stop: Callable[[], bool]) -> None:
    clock = BlockClock(services.time_ns, services.monotonic, parts.board, parts.engine.timestamp_ns)
    leader = Leader(
        endpoint=parts.endpoint,
        sequencer=Sequencer(parts.engine, parts.ring, clock, plan.block_commands),
        input_log=services.input_log,
        publisher=parts.publisher,
        ring=parts.ring,
        board=parts.board,
        block_commands=plan.block_commands,
        snapshotter=services.snapshotter,
        superseded=services.superseded,
    )
    serve(leader, parts.network, parts.sockets, stop)


@contextmanager
def _opened(plan: Plan, services: Services, role: str, input_log: str) -> Iterator[Parts]:
    network = services.make_network()
    opened: list[Socket] = []
    try:
        for kind, address, limits in (
            (Kind.ROUTER, plan.addresses.commands, wire.COMMAND_LIMITS),
            (Kind.PUB, plan.addresses.blocks, wire.BLOCK_LIMITS),
            (Kind.ROUTER, plan.addresses.retransmission, wire.RETRANSMIT_LIMITS),
        ):
            opened.append(network.bind(kind, address, limits))
        kernel.compile_now()
        commands, blocks, retransmission = opened
        engine, ring = Engine(), Ring(plan.ring_blocks, plan.ring_bytes)
        board = StatusBoard(engine, ring, plan.addresses, role, input_log)
        endpoint = CommandEndpoint(commands, engine, board, board.counters)
        publisher = Publisher(blocks, retransmission, ring, board, services.monotonic, services.snapshotter)
        yield Parts(engine, ring, board, endpoint, publisher, network, (commands, retransmission))
    finally:
        services.snapshotter.close()
        services.input_log.close()
        for socket in opened:
            socket.close(linger_ms=500)  # the last answers and blocks may still be under way
        network.close()
