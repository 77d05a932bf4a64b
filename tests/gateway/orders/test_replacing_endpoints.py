from typing import Any

import pytest

from tests.gateway.running_gateway import RunningGateway
from tests.gateway.signed_client import Answer
from tests.gateway.trading import Market, new_market


@pytest.fixture
def market(gateway: RunningGateway) -> Market:
    return new_market(gateway)


def replace(market: Market, mode: str, order_id: int, **values: Any) -> Answer:
    new = {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "99", **values}
    return market.trader("trader").post(
        "order/cancelReplace", symbol=market.symbol, cancelReplaceMode=mode, cancelOrderId=order_id, **new
    )


def open_prices(market: Market) -> list[str]:
    return [one["price"] for one in market.trader("trader").get("openOrders", symbol=market.symbol).body]


@pytest.mark.parametrize("mode", ["STOP_ON_FAILURE", "ALLOW_FAILURE"])
def test_an_order_is_replaced(market: Market, mode: str) -> None:
    placed = market.place("trader", "BUY", "1", "100").body
    answer = replace(market, mode, placed["orderId"], newClientOrderId="next", cancelNewClientOrderId="cancel")
    assert answer.status == 200
    body = answer.body
    assert (body["cancelResult"], body["newOrderResult"]) == ("SUCCESS", "SUCCESS")
    assert body["cancelResponse"]["orderId"] == placed["orderId"]
    assert body["cancelResponse"]["clientOrderId"] == "cancel"
    assert (body["newOrderResponse"]["clientOrderId"], body["newOrderResponse"]["fills"]) == ("next", [])
    assert open_prices(market) == ["99.00000000"]


def test_a_cancel_that_fails_stops_the_new_order(market: Market) -> None:
    answer = replace(market, "STOP_ON_FAILURE", 10**12)
    assert answer.error == (400, -2022, "Order cancel-replace failed.")
    assert answer.body["data"] == {
        "cancelResult": "FAILURE",
        "newOrderResult": "NOT_ATTEMPTED",
        "cancelResponse": {"code": -2011, "msg": "Unknown order sent."},
        "newOrderResponse": None,
    }
    assert open_prices(market) == []


def test_a_cancel_that_fails_may_be_allowed(market: Market) -> None:
    answer = replace(market, "ALLOW_FAILURE", 10**12)
    assert answer.error == (409, -2021, "Order cancel-replace partially failed.")
    data = answer.body["data"]
    assert (data["cancelResult"], data["newOrderResult"]) == ("FAILURE", "SUCCESS")
    assert data["cancelResponse"] == {"code": -2011, "msg": "Unknown order sent."}
    assert data["newOrderResponse"]["price"] == "99.00000000"
    assert open_prices(market) == ["99.00000000"]


@pytest.mark.parametrize("mode", ["STOP_ON_FAILURE", "ALLOW_FAILURE"])
def test_the_new_order_fails_after_the_cancel(market: Market, mode: str) -> None:
    placed = market.place("trader", "BUY", "1", "100").body
    answer = replace(market, mode, placed["orderId"], quantity="20000")
    assert answer.error == (409, -2021, "Order cancel-replace partially failed.")
    data = answer.body["data"]
    assert (data["cancelResult"], data["newOrderResult"]) == ("SUCCESS", "FAILURE")
    assert data["newOrderResponse"]["msg"] == "Account has insufficient balance for requested action."
    assert open_prices(market) == []


def test_both_fail(market: Market) -> None:
    answer = replace(market, "ALLOW_FAILURE", 10**12, quantity="20000")
    assert answer.error == (400, -2022, "Order cancel-replace failed.")
    assert answer.body["data"]["newOrderResult"] == "FAILURE"


def test_filters_are_judged_before_anything_is_cancelled(market: Market) -> None:
    placed = market.place("trader", "BUY", "1", "100").body
    answer = replace(market, "ALLOW_FAILURE", placed["orderId"], quantity="0")
    assert answer.error == (400, -1013, "Filter failure: LOT_SIZE")
    assert open_prices(market) == ["100.00000000"]


@pytest.mark.parametrize(("mode", "code"), [("STOP_ON_FAILURE", -2022), ("ALLOW_FAILURE", -2021)])
def test_a_restricted_cancel_fails_like_any_other(market: Market, mode: str, code: int) -> None:
    placed = market.place("trader", "BUY", "1", "100").body
    answer = replace(market, mode, placed["orderId"], cancelRestrictions="ONLY_PARTIALLY_FILLED")
    assert answer.body["code"] == code
    assert answer.body["data"]["cancelResponse"]["msg"] == "Order was not canceled due to cancel restrictions."


def test_a_mode_that_is_not_known(market: Market) -> None:
    answer = replace(market, "PERHAPS", 1)
    assert answer.error == (400, -1130, "Data sent for parameter 'cancelReplaceMode' is not valid.")


def amend(market: Market, **values: Any) -> Answer:
    return market.trader("trader").put("order/amend/keepPriority", symbol=market.symbol, **values)


def test_a_quantity_is_reduced_in_its_place(market: Market) -> None:
    placed = market.place("trader", "BUY", "1", "100", newClientOrderId="first").body
    market.place("later", "BUY", "1", "100")
    market.place("seller", "SELL", "0.2", "100")
    answer = amend(market, orderId=placed["orderId"], newQty="0.5", newClientOrderId="second")
    assert answer.status == 200
    amended = answer.body["amendedOrder"]
    assert (amended["origClientOrderId"], amended["clientOrderId"]) == ("first", "second")
    assert (amended["qty"], amended["executedQty"], amended["status"]) == (
        "0.50000000",
        "0.20000000",
        "PARTIALLY_FILLED",
    )
    market.place("seller", "SELL", "0.3", "100")
    order = market.trader("trader").get("order", symbol=market.symbol, origClientOrderId="second").body
    assert order["status"] == "FILLED", "it is still before the other order"
    history = market.trader("trader").get("order/amendments", symbol=market.symbol, orderId=placed["orderId"]).body
    assert [(one["origQty"], one["newQty"], one["executionId"]) for one in history] == [
        ("1.00000000", "0.50000000", answer.body["executionId"])
    ]
    assert [(one["origClientOrderId"], one["newClientOrderId"]) for one in history] == [("first", "second")]


def test_the_name_may_stay(market: Market) -> None:
    market.place("trader", "BUY", "1", "100", newClientOrderId="first")
    answer = amend(market, origClientOrderId="first", newQty="0.5", newClientOrderId="first")
    assert answer.body["amendedOrder"]["clientOrderId"] == "first"


@pytest.mark.parametrize(
    ("quantity", "text"),
    [
        ("1", "The requested action would change no state; rejecting"),
        ("1.5", "Order amend (quantity increase) is not supported."),
    ],
)
def test_a_quantity_can_only_be_reduced(market: Market, quantity: str, text: str) -> None:
    placed = market.place("trader", "BUY", "1", "100").body
    assert amend(market, orderId=placed["orderId"], newQty=quantity).error == (400, -2038, text)


def test_a_quantity_below_what_has_traded(market: Market) -> None:
    placed = market.place("trader", "BUY", "1", "100").body
    market.place("seller", "SELL", "0.6", "100")
    assert amend(market, orderId=placed["orderId"], newQty="0.5").error == (400, -1013, "Filter failure: LOT_SIZE")


def test_an_order_that_is_not_open_cannot_be_amended(market: Market) -> None:
    assert amend(market, orderId=10**12, newQty="0.5").error == (400, -2038, "Unknown order sent.")


def test_an_order_that_waits_cannot_be_amended(market: Market) -> None:
    market.trade_at("100")
    placed = market.place("trader", "BUY", "1", "120", type="STOP_LOSS_LIMIT", stopPrice="120").body
    text = "Order amend is not supported for this order."
    assert amend(market, orderId=placed["orderId"], newQty="0.5").error == (400, -2038, text)
