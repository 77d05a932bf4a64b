"""An engine process, put together: sockets, engine, ring and loop, as leader or as follower.

Knows no settings, signals or Django; `run_engine` brings those.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from matching import kernel, status, wire
from matching.blocks import Block
from matching.desk import Desk
from matching.engine import Engine
from matching.feed import Feed
from matching.follower import Follower, follow, re_executed
from matching.input_logs.base import InputLog
from matching.publisher import Publisher
from matching.ring import Ring
from matching.sequencer import Sequencer
from matching.server import Leader, serve
from matching.sockets import Kind, Network, Socket, ZmqNetwork
from matching.status import StatusBoard

log = structlog.get_logger(__name__)

_PROGRESS_S = 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Where an engine listens and what bounds it."""

    addresses: wire.Addresses
    ring_blocks: int
    ring_bytes: int
    block_commands: int


@dataclass(frozen=True, slots=True)
class Parts:
    """What leader and follower have in common, sockets open."""

    engine: Engine
    ring: Ring
    board: StatusBoard
    desk: Desk
    publisher: Publisher
    network: Network
    sockets: tuple[Socket, Socket]


Ready = Callable[[Parts], None]
"""Called once, when commands, or questions to a follower, are answered from now on."""


def lead(
    plan: Plan, input_log: InputLog, settled: Callable[[], Iterable[Block]], ready: Ready, stop: Callable[[], bool]
) -> None:
    """Re-executes what settlement and the input log hold, then takes commands until `stop()`.

    Raises AddressUnusable, LogUnusable, Diverged, BadBlock, and what `settled` raises.
    """
    with _opened(plan, status.LEADER, input_log.name) as parts:
        recover(parts, settled(), durable=True)
        recover(parts, input_log.blocks(), durable=False)
        leader = Leader(
            parts.desk,
            Sequencer(parts.engine, parts.ring, time.time_ns, plan.block_commands),
            input_log,
            parts.publisher,
            parts.ring,
            parts.board,
            plan.block_commands,
        )
        ready(parts)
        serve(leader, parts.network, parts.sockets, stop)
        input_log.close()


def follow_leader(plan: Plan, address: str, timeout_s: float, ready: Ready, stop: Callable[[], bool]) -> None:
    """Follows the engine at `address` until `stop()`.

    Raises AddressUnusable, EngineUnreachable, Diverged, HistoryGone, BadBlock.
    """
    with _opened(plan, status.FOLLOWER, "none") as parts:
        feed = Feed.discover(address, timeout_s)
        try:
            follower = Follower(parts.engine, feed, parts.desk, parts.publisher, parts.ring, parts.board.counters)
            ready(parts)
            follow(follower, parts.network, parts.sockets, stop)
        finally:
            feed.close()


def recover(parts: Parts, blocks: Iterable[Block], *, durable: bool) -> None:
    """Re-executes blocks that the engine does not have yet. `durable`: settlement has them already."""
    engine, ring = parts.engine, parts.ring
    told_at_s = time.monotonic()
    for block in blocks:
        if block.number <= engine.block_number:
            continue
        block.verify(engine.block_number + 1, engine.state_hash)
        ring.append(re_executed(engine, block))
        if durable:
            ring.confirm(block.number)
        if time.monotonic() - told_at_s >= _PROGRESS_S:
            told_at_s = time.monotonic()
            log.info("re-executing", block=block.number)


@contextmanager
def _opened(plan: Plan, role: str, input_log: str) -> Iterator[Parts]:
    network = ZmqNetwork()
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
        desk = Desk(commands, engine, board, board.counters)
        publisher = Publisher(blocks, retransmission, ring, board, time.monotonic)
        yield Parts(engine, ring, board, desk, publisher, network, (commands, retransmission))
    finally:
        for socket in opened:
            socket.close(linger_ms=500)  # the last answers and blocks may still be under way
        network.close()
