"""Every REST method of the official SDK that the gateway has: its models read each answer, and know each field."""

from typing import Any

import pytest

from tests.clients.sdk import OCO, OLD_OCO, Call, limit_order, of_symbol, prepared, rest_of, unknown_fields
from tests.gateway.running_gateway import RunningGateway
from tests.gateway.trading import Market, new_market

CALLS = [
    Call("ping"),
    Call("time"),
    Call("exchange_info", of_symbol()),
    Call("depth", of_symbol(limit=5)),
    Call("get_trades", of_symbol()),
    Call("historical_trades", of_symbol()),
    Call("agg_trades", of_symbol()),
    Call("klines", of_symbol(interval="1m")),
    Call("ui_klines", of_symbol(interval="1m")),
    Call("avg_price", of_symbol()),
    Call("ticker24hr", of_symbol()),
    Call("ticker_trading_day", of_symbol()),
    Call("ticker_price", of_symbol()),
    Call("ticker_book_ticker", of_symbol()),
    Call("ticker", of_symbol()),
    Call("get_account"),
    Call("account_commission", of_symbol()),
    Call("rate_limit_order"),
    Call("my_filters", of_symbol()),
    Call("my_trades", of_symbol()),
    Call("my_allocations", of_symbol()),
    Call("my_prevented_matches", of_symbol(order_id=1)),
    Call("all_orders", of_symbol()),
    Call("get_open_orders", of_symbol()),
    Call("all_order_list"),
    Call("open_order_list"),
    Call("get_order", lambda market, ids: {"symbol": market.symbol, "order_id": ids["traded"]}),
    Call("order_amendments", lambda market, ids: {"symbol": market.symbol, "order_id": ids["amended"]}),
    Call("get_order_list", lambda market, ids: {"order_list_id": ids["list"]}),
    Call("new_order", lambda market, ids: limit_order(market)),
    Call("order_test", lambda market, ids: limit_order(market, compute_commission_rates=True)),
    Call(
        "order_cancel_replace",
        lambda market, ids: limit_order(market, cancel_replace_mode="STOP_ON_FAILURE", cancel_order_id=ids["single"]),
    ),
    Call(
        "order_amend_keep_priority",
        lambda market, ids: {"symbol": market.symbol, "order_id": ids["single"], "new_qty": 0.5},
    ),
    Call("order_list_oco", of_symbol(**OCO)),
    Call("order_oco", of_symbol(**OLD_OCO)),
    Call("delete_order", lambda market, ids: {"symbol": market.symbol, "order_id": ids["single"]}),
    Call(
        "delete_order_list",
        lambda market, ids: {"symbol": market.symbol, "order_list_id": ids["list"]},
        unknown=[".order_reports[].selfTradePreventionMode"],
    ),
    Call("delete_open_orders", of_symbol()),
]
NOT_HERE = {
    "execution_rules": "rules of executions",
    "historical_block_trades": "block trades",
    "reference_price": "reference prices",
    "reference_price_calculation": "reference prices",
    "order_list_opo": "lists other than oco",
    "order_list_opoco": "lists other than oco",
    "order_list_oto": "lists other than oco",
    "order_list_otoco": "lists other than oco",
    "sor_order": "smart order routing",
    "sor_order_test": "smart order routing",
    "send_request": "not an endpoint",
    "send_signed_request": "not an endpoint",
}
"""Methods of the SDK whose endpoint the gateway does not have, and why."""


@pytest.fixture(scope="module")
def market(gateway: RunningGateway) -> Market:
    made = new_market(gateway)
    made.trader("trader")
    return made


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.method)
def test_a_method(market: Market, call: Call) -> None:
    ids = prepared(market)
    answer = getattr(rest_of(market), call.method)(**call.parameters(market, ids)).data()
    assert answer is not None
    assert list(unknown_fields(answer)) == list(call.unknown)
    market.trader("trader").delete("openOrders", symbol=market.symbol)


def test_every_method_is_called_or_is_not_here(market: Market) -> None:
    rest: Any = rest_of(market)
    methods = {name for name in dir(type(rest)) if not name.startswith("_")}
    assert methods == {call.method for call in CALLS} | NOT_HERE.keys()
