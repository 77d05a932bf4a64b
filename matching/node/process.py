"""Assembles an engine process from sockets, engine, ring and loop: a leader, a follower, or a replica of a log.

Uses no settings, signals or Django; those are the concern of `run_engine`.
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
from matching.node.backlog import TOUCHED_A_TURN, Backlog
from matching.node.block_clock import BlockClock, LogTime
from matching.node.command_endpoint import CommandEndpoint
from matching.node.follower import Follower, follow
from matching.node.leadership import Objection, join_epoch, take_lead
from matching.node.publisher import Publisher
from matching.node.recovery import Recovered, Stopped
from matching.node.replicas import replica
from matching.node.retransmission.bulk_answers import BYTES_A_SECOND
from matching.node.sequencer import Sequencer
from matching.node.server import Leader, serve
from matching.node.services import Services
from matching.node.status import StatusBoard
from matching.storage.input_logs.base import CommandLog
from matching.storage.ring import Ring
from matching.transport import wire
from matching.transport.engine_roles import FOLLOWER, LEADER, REPLICA
from matching.transport.permissions import BLOCK_READERS, RETRANSMISSION_READERS
from matching.transport.sockets import ALL_ROLES, Kind, Network, Socket

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """The addresses and limits of an engine."""

    addresses: wire.Addresses
    ring_blocks: int
    ring_bytes: int
    block_commands: int
    touched_orders: int = TOUCHED_A_TURN
    reader_bytes_a_second: int = BYTES_A_SECOND


@dataclass(slots=True)
class Parts:
    """The parts of an engine process that do not depend on its role, with open sockets."""

    engine: Engine
    ring: Ring
    board: StatusBoard
    endpoint: CommandEndpoint
    publisher: Publisher
    network: Network
    sockets: tuple[Socket, Socket]
    recovered: Recovered | None = None  # how it became the leader
    follower: Follower | None = None  # set while it follows another engine


Ready = Callable[[Parts], None]
"""Called once, when the engine starts to answer commands, or a follower to answer questions."""


def lead(plan: Plan, services: Services, ready: Ready, stop: Callable[[], bool]) -> None:
    """Recovers, begins an epoch, then takes commands until `stop()` returns True.

    Raises AddressUnusable, what `take_lead` raises, Superseded, and LogUnusable.
    """
    with _opened(plan, services, LEADER, services.input_log.name) as parts:
        try:
            parts.publisher.confirmations.begin(services.history.store_identity())
            parts.recovered = take_lead(parts.engine, parts.ring, parts.board.addresses, services, stop=stop)
        except Stopped:
            return
        ready(parts)
        _serve(plan, services, parts, stop)


def replicate(
    plan: Plan,
    services: Services,
    command_log: CommandLog,
    *,
    instance: bytes,
    joined: Ready,
    ready: Ready,
    stop: Callable[[], bool],
) -> None:
    """Recovers, joins the log's epoch, then takes commands and makes blocks from the log until `stop()` returns True.

    `joined` is called before the messages that the log already holds are read. Reading them may take long and may wait
    for settlement. `instance` is unique to this process. Raises AddressUnusable, what `join_epoch` raises, Superseded,
    and LogUnusable.
    """
    with _opened(plan, services, REPLICA, "kafka") as parts:
        addresses = parts.board.addresses
        try:
            parts.publisher.confirmations.begin(services.history.store_identity())
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
            stored=services.stored,
            known_s=services.known_s,
            monotonic=services.monotonic,
            log_time=LogTime(services.time_ns, parts.board),
            block_commands=plan.block_commands,
            instance=instance,
        )
        joined(parts)
        replica.serve(one, parts.endpoint, parts.publisher, parts.network, parts.sockets, lambda: ready(parts), stop)


def follow_leader(
    plan: Plan, services: Services, address: str, *, timeout_s: float, ready: Ready, stop: Callable[[], bool]
) -> None:
    """Follows the engine at `address` until `stop()` returns True. After a promotion it leads until then.

    Raises AddressUnusable, EngineUnreachable, Diverged, CannotFollow, BadBlock; as leader what `lead` raises.
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
    """Returns True after a successful promotion by an operator, False when `stop()` returned True."""
    while True:
        follow(follower, parts.network, parts.sockets, stop)
        promotion = follower.promotion
        if promotion is None:
            return False
        try:
            # The operator decided that the old leader is gone. The new epoch ends the old leader's.
            services = replace(services, take_over=True)
            parts.publisher.confirmations.begin(services.history.store_identity())
            parts.recovered = take_lead(
                parts.engine,
                parts.ring,
                parts.board.addresses,
                services,
                objection=_objection(follower, services.engine),
                stop=stop,
            )
        except Stopped:
            follower.refuse_promotion("This engine is being stopped: promote another one.")
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
    """Returns the check that refuses a promotion if an engine other than the followed one leads by now.

    The newest epoch may be this engine's own: the store's answer to an earlier attempt was lost.
    """
    assert follower.promotion is not None, "a promotion was requested"
    is_forced = follower.promotion.forced

    def objection(holder: Epoch | None) -> str:
        if is_forced:
            return ""
        if holder is not None and holder.number > follower.leader_epoch and holder.engine != own_name:
            return (
                f"Engine {holder.engine} at {holder.commands} leads: it has begun epoch {holder.number}. "
                f"Restart this engine with --follow {holder.commands}, or promote with --force."
            )
        return follower.reason_not_to_lead()

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
        stored=services.stored,
        backlog=Backlog(parts.board.counters, services.monotonic),
        touched_orders=plan.touched_orders,
    )
    serve(leader, parts.network, parts.sockets, stop)


@contextmanager
def _opened(plan: Plan, services: Services, role: str, input_log: str) -> Iterator[Parts]:
    network = services.make_network()
    opened: list[Socket] = []
    try:
        for kind, address, limits, admits in (
            (Kind.ROUTER, plan.addresses.commands, wire.COMMAND_LIMITS, ALL_ROLES),
            (Kind.PUB, plan.addresses.blocks, wire.BLOCK_LIMITS, BLOCK_READERS),
            (Kind.ROUTER, plan.addresses.retransmission, wire.RETRANSMIT_LIMITS, RETRANSMISSION_READERS),
        ):
            opened.append(network.bind(kind, address, limits, admits))
        kernel.compile_now()
        commands, blocks, retransmission = opened
        engine, ring = Engine(), Ring(plan.ring_blocks, plan.ring_bytes)
        board = StatusBoard(engine, ring, plan.addresses, role, input_log)
        endpoint = CommandEndpoint(commands, engine, board, board.counters, services.monotonic, services.answer_maker)
        publisher = Publisher(
            blocks,
            retransmission,
            ring,
            board,
            services.monotonic,
            services.snapshotter,
            bytes_a_second=plan.reader_bytes_a_second,
        )
        yield Parts(engine, ring, board, endpoint, publisher, network, (commands, retransmission))
    finally:
        services.snapshotter.close()
        services.answer_maker.close()
        services.input_log.close()
        for socket in opened:
            socket.close(linger_ms=500)  # the last answers and blocks may still be in the queue
        network.close()
