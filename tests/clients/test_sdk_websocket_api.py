"""Every method of the official SDK's WebSocket API that the gateway has: its models read each answer, and know it."""

import asyncio
from typing import Any

import pytest
from binance_sdk_spot.websocket_api.websocket_api import SpotWebSocketAPI

from tests.clients.sdk import OCO, OLD_OCO, Call, in_session, limit_order, of_symbol, prepared, run, unknown_fields
from tests.gateway.running_gateway import RunningGateway
from tests.gateway.trading import Market, new_market

CALLS = [
    Call("ping"),
    Call("time"),
    Call("exchange_info", of_symbol(), unknown=[".id", ".status", ".result"]),  # it reads all of it as the result
    Call("depth", of_symbol(limit=5)),
    Call("trades_recent", of_symbol()),
    Call("trades_historical", of_symbol()),
    Call("trades_aggregate", of_symbol()),
    Call("klines", of_symbol(interval="1m")),
    Call("ui_klines", of_symbol(interval="1m")),
    Call("avg_price", of_symbol()),
    Call("ticker", of_symbol()),
    Call("ticker24hr", of_symbol()),
    Call("ticker_trading_day", of_symbol()),
    Call("ticker_price", of_symbol()),
    Call("ticker_book", of_symbol()),
    Call("account_status"),
    Call("account_commission", of_symbol()),
    Call("account_rate_limits_orders"),
    Call("my_filters", of_symbol()),
    Call("my_trades", of_symbol()),
    Call("my_allocations", of_symbol()),
    Call("my_prevented_matches", of_symbol(order_id=1)),
    Call("all_orders", of_symbol()),
    Call("all_order_lists"),
    Call("open_orders_status", of_symbol()),
    Call("open_order_lists_status"),
    Call("order_status", lambda market, ids: {"symbol": market.symbol, "order_id": ids["traded"]}),
    Call("order_amendments", lambda market, ids: {"symbol": market.symbol, "order_id": ids["amended"]}),
    Call("order_list_status", lambda market, ids: {"order_list_id": ids["list"]}),
    Call("order_place", lambda market, ids: limit_order(market)),
    Call("order_test", lambda market, ids: limit_order(market, compute_commission_rates=True)),
    Call(
        "order_cancel_replace",
        lambda market, ids: limit_order(market, cancel_replace_mode="STOP_ON_FAILURE", cancel_order_id=ids["single"]),
    ),
    Call(
        "order_amend_keep_priority",
        lambda market, ids: {"symbol": market.symbol, "order_id": ids["single"], "new_qty": 0.5},
    ),
    Call("order_list_place_oco", of_symbol(**OCO)),
    Call("order_list_place", of_symbol(**OLD_OCO)),
    Call("order_cancel", lambda market, ids: {"symbol": market.symbol, "order_id": ids["single"]}),
    Call("order_list_cancel", lambda market, ids: {"symbol": market.symbol, "order_list_id": ids["list"]}),
    Call("open_orders_cancel_all", of_symbol()),
    Call("session_status", unknown=[".rateLimits"]),
    Call("session_subscriptions", unknown=[".rateLimits"]),
]
SESSION = {"session_logon", "session_logout", "user_data_stream_subscribe", "user_data_stream_unsubscribe"} | {
    "user_data_stream_subscribe_signature"
}
"""Called by `test_a_session_and_its_events`."""
CONNECTION = {"create_connection", "close_connection", "send_message", "send_signed_message", "ping_server"}
NOT_HERE = {
    "block_trades_historical": "block trades",
    "execution_rules": "rules of executions",
    "reference_price": "reference prices",
    "reference_price_calculation": "reference prices",
    "order_list_place_opo": "lists other than oco",
    "order_list_place_opoco": "lists other than oco",
    "order_list_place_oto": "lists other than oco",
    "order_list_place_otoco": "lists other than oco",
    "sor_order_place": "smart order routing",
    "sor_order_test": "smart order routing",
}
"""Methods of the SDK that the gateway does not have, and why."""


@pytest.fixture(scope="module")
def market(gateway: RunningGateway) -> Market:
    made = new_market(gateway)
    made.trader("trader")
    return made


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.method)
def test_a_method(market: Market, call: Call) -> None:
    ids = prepared(market)

    async def work(connection: Any) -> None:
        await connection.session_logon()
        answer = (await getattr(connection, call.method)(**call.parameters(market, ids))).data()
        assert answer is not None
        assert list(unknown_fields(answer)) == list(call.unknown)

    run(in_session(market, work))
    market.trader("trader").delete("openOrders", symbol=market.symbol)


def test_a_session_and_its_events(market: Market) -> None:
    async def work(connection: Any) -> None:
        assert list(unknown_fields((await connection.session_logon()).data())) == []
        events: asyncio.Queue[Any] = asyncio.Queue()
        subscribed = await connection.user_data_stream_subscribe()
        subscribed.stream.on("message", events.put_nowait)
        placed = (await connection.order_place(**limit_order(market))).data().result
        report = await events.get()
        assert (report.actual_instance.i, report.actual_instance.x) == (placed.order_id, "NEW")
        await connection.user_data_stream_unsubscribe()
        await connection.user_data_stream_subscribe_signature()
        assert (await connection.session_logout()).data().result.api_key is None

    run(in_session(market, work))


def test_every_method_is_called_or_is_not_here() -> None:
    own = SpotWebSocketAPI.__dict__.keys() - CONNECTION
    assert {name for name in own if not name.startswith("_")} == {
        call.method for call in CALLS
    } | SESSION | NOT_HERE.keys()
