"""Fixtures for what runs around the engine."""

from collections.abc import Iterator

import pytest
import zmq

from matching.engine import Engine
from matching.sockets import RawSocket
from tests.matching import small_exchange


@pytest.fixture
def engine() -> Engine:
    """With BTC, USD and BTC-USD, at block 3."""
    return small_exchange.defined_engine()


@pytest.fixture
def running_leader() -> Iterator[small_exchange.Running]:
    """A leader on sockets of its own, without anything defined."""
    with small_exchange.leader(small_exchange.plan()) as one:
        yield one


@pytest.fixture
def context() -> Iterator[zmq.Context[RawSocket]]:
    made: zmq.Context[RawSocket] = zmq.Context()
    made.setsockopt(zmq.LINGER, 0)  # for sockets that are closed when nobody holds them any more, too
    yield made
    made.destroy()
