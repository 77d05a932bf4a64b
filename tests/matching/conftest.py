"""Fixtures: engines, blocks, snapshots, machines."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from matching.core import snapshots
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.node.follower import re_executed
from matching.transport.sockets import RawSocket
from tests.matching import small_exchange
from tests.matching.places import LAST, Place, chain


@pytest.fixture
def engine() -> Engine:
    """An engine with BTC, USD and BTC-USD defined, at block 3."""
    return small_exchange.defined_engine()


@pytest.fixture
def running_leader() -> Iterator[small_exchange.Running]:
    """A leader on its own sockets, without reference data."""
    with small_exchange.leader(small_exchange.plan()) as one:
        yield one


@pytest.fixture
def context() -> Iterator[zmq.Context[RawSocket]]:
    made: zmq.Context[RawSocket] = zmq.Context()
    made.setsockopt(zmq.LINGER, 0)  # also for sockets that are closed by garbage collection
    yield made
    made.destroy()


@pytest.fixture(scope="session")
def blocks() -> list[Block]:
    return chain(Engine(), LAST)


@pytest.fixture(scope="session")
def states(blocks: list[Block]) -> dict[int, bytes]:
    """Snapshot after each block, by re-execution from genesis."""
    engine = Engine()
    found = {0: snapshots.encode(engine)}
    for block in blocks:
        re_executed(engine, block)
        found[block.number] = snapshots.encode(engine)
    return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
