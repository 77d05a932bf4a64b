"""ccxt's public methods, with nothing changed but its addresses: synchronous, asyncio and WebSocket."""

import asyncio
from collections.abc import Iterator
from typing import Any

import ccxt
import ccxt.async_support
import ccxt.pro
import pytest

from tests.gateway.clients.market_maker import market
from tests.gateway.running_gateway import RunningGateway

_PATIENCE_S = 30.0
PAIR = "BTC/USD"


@pytest.fixture(scope="module", autouse=True)
def moving(running: RunningGateway) -> Iterator[None]:
    with market(running, 1):
        yield


def point(exchange: Any, gateway: RunningGateway) -> Any:
    exchange.urls["api"]["public"] = exchange.urls["api"]["private"] = f"{gateway.url}/api/v3"
    exchange.urls["api"]["sapi"] = f"{gateway.url}/sapi/v1"
    exchange.options["fetchMarkets"] = {"types": ["spot"]}
    if "ws" in exchange.urls["api"]:
        exchange.urls["api"]["ws"]["spot"] = f"{gateway.stream_url}/stream"
    return exchange


def test_markets_are_read(running: RunningGateway) -> None:
    markets = point(ccxt.binance(), running).load_markets()
    assert list(markets) == [PAIR]
    assert markets[PAIR]["precision"]["price"] == 0.01
    assert markets[PAIR]["precision"]["amount"] == 0.0001
    assert markets[PAIR]["active"]


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("fetch_time", ()),
        ("fetch_status", ()),
        ("fetch_ticker", (PAIR,)),
        ("fetch_tickers", ([PAIR],)),
        ("fetch_order_book", (PAIR, 5)),
        ("fetch_trades", (PAIR, None, 3)),
        ("fetch_ohlcv", (PAIR, "1m", None, 3)),
        ("fetch_bids_asks", ([PAIR],)),
        ("fetch_last_prices", ([PAIR],)),
    ],
)
def test_public_methods_have_an_answer(running: RunningGateway, method: str, parameters: tuple[Any, ...]) -> None:
    exchange = point(ccxt.binance(), running)
    exchange.load_markets()
    assert getattr(exchange, method)(*parameters)

    async def ask() -> Any:
        other = point(ccxt.async_support.binance(), running)
        try:
            return await getattr(other, method)(*parameters)
        finally:
            await other.close()

    assert asyncio.run(ask())


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("watch_ticker", (PAIR,)),
        ("watch_tickers", ([PAIR],)),
        ("watch_trades", (PAIR,)),
        ("watch_trades_for_symbols", ([PAIR],)),
        ("watch_ohlcv", (PAIR, "1m")),
        ("watch_bids_asks", ([PAIR],)),
    ],
)
def test_watching_methods_are_told(running: RunningGateway, method: str, parameters: tuple[Any, ...]) -> None:
    async def watch() -> Any:
        exchange = point(ccxt.pro.binance(), running)
        try:
            return await asyncio.wait_for(getattr(exchange, method)(*parameters), _PATIENCE_S)
        finally:
            await exchange.close()

    assert asyncio.run(watch())


def test_a_watched_book_follows_without_a_gap(running: RunningGateway) -> None:
    async def watch() -> list[int]:
        exchange = point(ccxt.pro.binance(), running)
        nonces = []
        try:
            for _ in range(30):  # it raises ChecksumError on a gap
                book = await asyncio.wait_for(exchange.watch_order_book(PAIR), _PATIENCE_S)
                nonces.append(book["nonce"])
        finally:
            await exchange.close()
        return nonces

    nonces = asyncio.run(watch())
    assert nonces == sorted(nonces)
    assert len(set(nonces)) > 10
