"""Every stream of the official SDK that the gateway has: its models read the events, and know each field."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from binance_sdk_spot.websocket_streams.websocket_streams import SpotWebSocketStreams

from tests.clients.in_background import in_background
from tests.clients.sdk import Call, of_symbol, run, unknown_fields, with_streams
from tests.gateway.running_gateway import RunningGateway
from tests.gateway.trading import Market, new_market

CALLS = [
    Call("trade", of_symbol()),
    Call("agg_trade", of_symbol()),
    Call("diff_book_depth", of_symbol(update_speed="100ms")),
    Call("partial_book_depth", of_symbol(levels="5", update_speed="100ms")),
    Call("kline", of_symbol(interval="1m")),
    Call("book_ticker", of_symbol()),
    Call("ticker", of_symbol()),
    Call("mini_ticker", of_symbol()),
    Call("avg_price", of_symbol()),
    Call("all_mini_ticker"),
]
CONNECTION = {"create_connection", "close_connection", "ping_server", "on"} | {
    "subscribe",
    "unsubscribe",
    "list_subscribe",
}
NOT_HERE = {
    "all_market_rolling_window_ticker": "windows of other lengths than 24 hours",
    "rolling_window_ticker": "windows of other lengths than 24 hours",
    "block_trade": "block trades",
    "kline_offset": "candles of another time zone",
    "reference_price": "reference prices",
    "user_data": "tests/gateway/user_events opens streams by listen key",
}
"""Streams of the SDK that the gateway does not have, and why."""


@pytest.fixture(scope="module")
def market(gateway: RunningGateway) -> Iterator[Market]:
    """It trades."""
    made = new_market(gateway)

    def trade(stop: threading.Event) -> None:
        while not stop.wait(0.05):
            made.trade_at("100")
            made.place("maker", "BUY", "0.1", "90")
            made.trader("maker").delete("openOrders", symbol=made.symbol)

    with in_background(trade):
        yield made


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.method)
def test_a_stream(market: Market, call: Call) -> None:
    async def work(connection: Any) -> None:
        events: asyncio.Queue[Any] = asyncio.Queue()
        stream = await getattr(connection, call.method)(**call.parameters(market, {}))
        stream.on("message", events.put_nowait)
        assert list(unknown_fields(await events.get())) == []
        await stream.unsubscribe()

    run(with_streams(market, work))


def test_every_stream_is_opened_or_is_not_here() -> None:
    own = SpotWebSocketStreams.__dict__.keys() - CONNECTION
    assert {name for name in own if not name.startswith("_")} == {call.method for call in CALLS} | NOT_HERE.keys()
