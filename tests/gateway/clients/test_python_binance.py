"""python-binance's AsyncClient trades by the gateway's API, with nothing changed but its addresses."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from binance.async_client import AsyncClient
from binance.exceptions import BinanceAPIException
from binance.ws.streams import BinanceSocketManager

from tests.gateway.running_gateway import RunningGateway
from tests.gateway.trading import Market, new_market


@pytest.fixture
def market(gateway: RunningGateway) -> Market:
    made = new_market(gateway)
    made.trader("trader")
    return made


@asynccontextmanager
async def client_of(market: Market) -> AsyncIterator[AsyncClient]:
    gateway = market.gateway
    key, secret = gateway.keys.add(market.accounts["trader"])
    client = AsyncClient(key, secret)
    client.API_URL = f"{gateway.url}/api"
    client.ws_api._url = f"{gateway.stream_url}/ws-api/v3"
    try:
        yield client
    finally:
        await client.close_connection()


def run(market: Market, work: Callable[[AsyncClient], Awaitable[None]]) -> None:
    async def body() -> None:
        async with client_of(market) as client:
            await asyncio.wait_for(work(client), 60)

    asyncio.run(body())


def test_a_day_of_orders(market: Market) -> None:
    symbol = market.symbol

    async def work(client: AsyncClient) -> None:
        await client.ping()
        placed = await client.order_limit_buy(symbol=symbol, quantity="0.5", price="100")
        assert placed["status"] == "NEW"
        assert [one["orderId"] for one in await client.get_open_orders(symbol=symbol)] == [placed["orderId"]]
        assert (await client.get_order(symbol=symbol, orderId=placed["orderId"]))["status"] == "NEW"
        account = await client.get_account(omitZeroBalances="true")
        assert {balance["asset"]: balance["locked"] for balance in account["balances"]}["USD"] == "50.00000000"
        cancelled = await client.cancel_order(symbol=symbol, orderId=placed["orderId"])
        assert cancelled["status"] == "CANCELED"
        await client.create_test_order(symbol=symbol, side="BUY", type="MARKET", quantity="1")
        market.place("maker", "SELL", "1", "101")
        bought = await client.order_market_buy(symbol=symbol, quantity="0.25")
        assert (bought["status"], len(bought["fills"])) == ("FILLED", 1)
        trades = await client.get_my_trades(symbol=symbol)
        assert [trade["orderId"] for trade in trades] == [bought["orderId"]]
        assert len(await client.get_all_orders(symbol=symbol)) == 2
        with pytest.raises(BinanceAPIException) as refused:
            await client.create_order(symbol=symbol, side="BUY", type="LIMIT_MAKER", quantity="1", price="102")
        assert (refused.value.code, refused.value.message) == (-2010, "Order would immediately match and take.")

    run(market, work)


def test_an_order_list(market: Market) -> None:
    market.trade_at("100")

    async def work(client: AsyncClient) -> None:
        placed = await client.create_oco_order(
            symbol=market.symbol,
            side="SELL",
            quantity="1",
            aboveType="LIMIT_MAKER",
            abovePrice="110",
            belowType="STOP_LOSS",
            belowStopPrice="90",
        )
        assert placed["listOrderStatus"] == "EXECUTING"
        assert len(await client.get_open_oco_orders()) == 1

    run(market, work)


def test_orders_by_the_websocket_api(market: Market) -> None:
    async def work(client: AsyncClient) -> None:
        placed = await client.ws_create_order(
            symbol=market.symbol, side="BUY", type="LIMIT", timeInForce="GTC", quantity="1", price="100"
        )
        assert placed["status"] == "NEW"
        cancelled = await client.ws_cancel_order(symbol=market.symbol, orderId=placed["orderId"])
        assert cancelled["status"] == "CANCELED"
        with pytest.raises(BinanceAPIException) as refused:
            await client.ws_get_order(symbol=market.symbol, orderId=10**12)
        assert refused.value.code == -2013

    run(market, work)


def test_the_user_socket(market: Market) -> None:
    async def work(client: AsyncClient) -> None:
        sockets = BinanceSocketManager(client)
        async with sockets.user_socket() as socket:
            placed = await client.order_limit_buy(symbol=market.symbol, quantity="1", price="100")
            event: dict[str, Any] = await asyncio.wait_for(socket.recv(), 10)
            assert (event["e"], event["i"], event["X"]) == ("executionReport", placed["orderId"], "NEW")

    run(market, work)
