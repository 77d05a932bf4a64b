"""python-binance's depth cache beside a moving market: it never has to begin anew, and equals the book of REST."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from binance import AsyncClient
from binance.ws.depthcache import DepthCacheManager
from binance.ws.streams import BinanceSocketManager

from tests.gateway.clients.market_maker import market
from tests.gateway.running_gateway import RunningGateway

_UPDATES = 60
_EVERY = 10


@pytest.fixture(autouse=True)
def moving(running: RunningGateway) -> Iterator[None]:
    with market(running, 2):
        yield


def test_a_depth_cache_follows_and_equals_the_book(running: RunningGateway) -> None:
    begun, compared = asyncio.run(follow(running))
    assert begun == 1
    assert compared > 0


async def follow(gateway: RunningGateway) -> tuple[int, int]:
    """(how often the cache began anew, how often it was at the same update as REST, and equal)."""
    AsyncClient.API_URL = f"{gateway.url}/api"
    BinanceSocketManager.STREAM_URL = f"{gateway.stream_url}/"
    client = await AsyncClient.create()
    client.API_URL = f"{gateway.url}/api"
    manager = DepthCacheManager(client, "BTCUSD", ws_interval=100, bm=BinanceSocketManager(client))
    begun = compared = 0
    begin = manager._init_cache

    async def counted() -> None:
        nonlocal begun
        begun += 1
        await begin()

    manager._init_cache = counted
    async with manager as cache:
        for number in range(_UPDATES):
            book = await asyncio.wait_for(cache.recv(), 30)
            if number % _EVERY == 0 and book is not None:
                compared += await equals_rest(client, manager)
    await client.close_connection()
    return begun, compared


async def equals_rest(client: Any, manager: Any) -> bool:
    """Whether REST is at the same update; then the books must be equal."""
    rest = await client.get_order_book(symbol="BTCUSD", limit=5000)
    if rest["lastUpdateId"] != manager._last_update_id:
        return False
    book = manager.get_depth_cache()
    for found, expected in ((book.get_bids(), rest["bids"]), (book.get_asks(), rest["asks"])):
        assert found == [[float(price), float(quantity)] for price, quantity in expected]
    return True
