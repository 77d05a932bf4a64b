from collections.abc import Iterator

import pytest

from tests.clients.steady_market import BOT, steady_market
from tests.gateway.running_gateway import RunningGateway, running_gateway
from tests.gateway.small_gateway import funds


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with running_gateway() as one:
        yield one


@pytest.fixture
def bots_gateway() -> Iterator[RunningGateway]:
    """One with a market that goes on by itself, and an account for the bot that is tested."""
    with running_gateway() as running, steady_market(running):
        running.call(*funds(BOT))
        yield running
