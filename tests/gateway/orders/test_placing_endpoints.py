"""New orders of every type, and the three forms of their answers."""

from typing import Any

import pytest

from tests.gateway.running_gateway import RunningGateway
from tests.gateway.trading import Market, new_market


@pytest.fixture
def market(gateway: RunningGateway) -> Market:
    return new_market(gateway)


def test_a_limit_order_is_answered_in_full(market: Market) -> None:
    market.place("maker", "SELL", "0.3", "20000")
    market.place("maker", "SELL", "0.3", "20010")
    answer = market.place("taker", "BUY", "1", "20010", newClientOrderId="mine")
    body = answer.body
    assert answer.status == 200
    assert list(body) == [
        "symbol",
        "orderId",
        "orderListId",
        "clientOrderId",
        "transactTime",
        "price",
        "origQty",
        "executedQty",
        "origQuoteOrderQty",
        "cummulativeQuoteQty",
        "status",
        "timeInForce",
        "type",
        "side",
        "workingTime",
        "selfTradePreventionMode",
        "fills",
    ]
    assert body["symbol"] == market.symbol
    assert body["clientOrderId"] == "mine"
    assert body["orderListId"] == -1
    assert body["price"] == "20010.00000000"
    assert (body["origQty"], body["executedQty"]) == ("1.00000000", "0.60000000")
    assert body["cummulativeQuoteQty"] == "12003.00000000"
    assert (body["status"], body["type"], body["side"]) == ("PARTIALLY_FILLED", "LIMIT", "BUY")
    assert body["transactTime"] == body["workingTime"]
    assert [(fill["price"], fill["qty"]) for fill in body["fills"]] == [
        ("20000.00000000", "0.30000000"),
        ("20010.00000000", "0.30000000"),
    ]
    assert body["fills"][0]["commission"] == "0.00060000"  # 0.2 % of what is received
    assert body["fills"][0]["commissionAsset"] == market.base
    assert [fill["tradeId"] for fill in body["fills"]] == [1, 2]


@pytest.mark.parametrize(
    ("wanted", "fields"),
    [("ACK", 5), ("RESULT", 16), ("FULL", 17)],
)
def test_the_answer_has_the_form_that_is_asked_for(market: Market, wanted: str, fields: int) -> None:
    answer = market.place("maker", "BUY", "1", "100", newOrderRespType=wanted)
    assert len(answer.body) == fields


def test_an_order_without_a_name_gets_one(market: Market) -> None:
    names = [market.place("maker", "BUY", "1", "100").body["clientOrderId"] for _ in range(2)]
    assert len({*names}) == 2
    assert all(len(name) == 22 for name in names)


def test_a_market_order_that_finds_too_little_expires_with_status_200(market: Market) -> None:
    market.place("maker", "SELL", "0.3", "20000")
    answer = market.place("taker", "BUY", "1")
    assert answer.status == 200
    assert (answer.body["status"], answer.body["executedQty"]) == ("EXPIRED", "0.30000000")
    assert (answer.body["price"], answer.body["timeInForce"]) == ("0.00000000", "GTC")


@pytest.mark.parametrize(("side", "spent"), [("BUY", "999.90000000"), ("SELL", "1000.00000000")])
def test_a_market_order_by_quote_quantity_is_filled_when_its_amount_is_used(
    market: Market, side: str, spent: str
) -> None:
    market.place("maker", "SELL", "1", "3000")
    market.place("maker", "BUY", "1", "2000")
    taker = market.trader("taker")
    answer = taker.post("order", symbol=market.symbol, side=side, type="MARKET", quoteOrderQty="1000")
    body = answer.body
    assert (answer.status, body["status"]) == (200, "FILLED")
    assert body["origQuoteOrderQty"] == "1000.00000000"
    assert body["origQty"] == body["executedQty"]
    assert body["cummulativeQuoteQty"] == spent


@pytest.mark.parametrize("time_in_force", ["IOC", "FOK"])
def test_what_may_not_rest_expires_with_status_200(market: Market, time_in_force: str) -> None:
    market.place("maker", "SELL", "0.3", "20000")
    answer = market.place("taker", "BUY", "1", "20000", timeInForce=time_in_force)
    assert answer.status == 200
    assert answer.body["status"] == "EXPIRED"
    assert answer.body["executedQty"] == ("0.30000000" if time_in_force == "IOC" else "0.00000000")


def test_a_limit_maker_rests(market: Market) -> None:
    answer = market.place("maker", "BUY", "1", "100", type="LIMIT_MAKER", timeInForce=None, newOrderRespType="RESULT")
    assert (answer.body["type"], answer.body["timeInForce"], answer.body["status"]) == ("LIMIT_MAKER", "GTC", "NEW")


@pytest.mark.parametrize(
    ("kind", "side", "stop"),
    [
        ("STOP_LOSS", "SELL", "90"),
        ("STOP_LOSS", "BUY", "110"),
        ("TAKE_PROFIT", "SELL", "110"),
        ("TAKE_PROFIT", "BUY", "90"),
        ("STOP_LOSS_LIMIT", "SELL", "90"),
        ("TAKE_PROFIT_LIMIT", "BUY", "90"),
    ],
)
def test_a_trigger_order_waits(market: Market, kind: str, side: str, stop: str) -> None:
    market.trade_at("100")
    price = "95" if kind.endswith("LIMIT") else None
    answer = market.place("trader", side, "1", price, type=kind, stopPrice=stop)
    assert answer.status == 200
    assert len(answer.body) == 5, "the answer is ACK unless another one is asked for"
    order = market.trader("trader").get("order", symbol=market.symbol, orderId=answer.body["orderId"]).body
    assert (order["status"], order["type"], order["isWorking"], order["workingTime"]) == ("NEW", kind, False, -1)
    assert order["stopPrice"] == f"{stop}.00000000"


def test_an_iceberg_shows_its_visible_quantity(market: Market) -> None:
    answer = market.place("maker", "BUY", "1", "100", icebergQty="0.1")
    assert answer.body["icebergQty"] == "0.10000000"


def test_self_trade_prevention_expires_in_match(market: Market) -> None:
    first = market.place("trader", "SELL", "1", "100").body["orderId"]
    answer = market.place("trader", "BUY", "1", "100", selfTradePreventionMode="EXPIRE_TAKER")
    body = answer.body
    assert (body["status"], body["preventedQuantity"]) == ("EXPIRED_IN_MATCH", "1.00000000")
    found = market.trader("trader").get("myPreventedMatches", symbol=market.symbol, orderId=body["orderId"]).body
    assert [(one["takerOrderId"], one["makerOrderId"], one["preventedMatchId"]) for one in found] == [
        (body["orderId"], first, body["preventedMatchId"])
    ]


def test_an_order_can_be_tested_without_being_placed(market: Market) -> None:
    trader = market.trader("trader")
    values: dict[str, Any] = {
        "symbol": market.symbol,
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "price": "100",
    }
    assert trader.post("order/test", quantity="1", **values).body == {}
    rates = trader.post("order/test", quantity="1", computeCommissionRates="true", **values).body
    assert rates["standardCommissionForOrder"] == {"maker": "0.00100000", "taker": "0.00200000"}
    assert trader.post("order/test", quantity="0", **values).error == (400, -1013, "Filter failure: LOT_SIZE")
    assert trader.get("openOrders", symbol=market.symbol).body == []


def test_times_are_in_microseconds_if_the_client_asks_for_them(market: Market) -> None:
    order = market.place("maker", "BUY", "1", "100").body
    found = market.trader("maker")
    in_milliseconds = found.get("order", symbol=market.symbol, orderId=order["orderId"]).body["time"]
    in_microseconds = found.get(
        "order", {"X-MBX-TIME-UNIT": "microsecond"}, symbol=market.symbol, orderId=order["orderId"]
    ).body["time"]
    assert in_microseconds // 1000 == in_milliseconds
