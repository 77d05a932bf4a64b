"""Replicas that share one log in memory."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from matching.core.blocks import Block
from tests.matching.histories import MemoryHistory
from tests.matching.memory_log import MemoryCommandLog, Shared, command_log
from tests.matching.small_exchange import (
    Running,
    plan,
    replica_with,
    services,
    until,
)


@contextmanager
def replicas(
    shared: Shared, history: MemoryHistory, count: int = 2, ring_blocks: int = 1000
) -> Iterator[list[tuple[Running, MemoryCommandLog]]]:
    with ExitStack() as opened:
        made = []
        for _ in range(count):
            log = opened.enter_context(command_log(shared))
            made.append(
                (opened.enter_context(replica_with(plan(ring_blocks=ring_blocks), services(history), log)), log)
            )
        yield made


def blocks(one: Running) -> list[Block]:
    ring = one.parts.ring
    return [block for number in range(ring.first, ring.last + 1) if (block := ring.get(number))]


def until_equal(*running: Running) -> None:
    until(lambda: len({one.parts.engine.state_hash for one in running}) == 1, "all replicas to be at one block")


def settle(history: MemoryHistory, one: Running) -> None:
    """Stores and confirms the blocks of one replica, as settlement does."""
    history.append(block for block in blocks(one) if block.number > len(history.kept))
