from collections.abc import Iterator

import pytest

from matching.client.client import Client
from matching.client.edge import Edge
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.small_exchange import Running, defined_engine
from tests.reference.engine import ReferenceExchange


@pytest.fixture
def client(running_leader: Running) -> Iterator[Client]:
    with Client(running_leader.commands) as made:
        yield made


@pytest.fixture(scope="module")
def edge() -> Edge:
    return Edge(defined_engine().registry)


@pytest.fixture(scope="module")
def reference() -> ReferenceExchange:
    exchange = ReferenceExchange()
    for definition in DEFINITIONS:
        exchange.submit(definition)
    return exchange
