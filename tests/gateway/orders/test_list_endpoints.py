from typing import Any

import pytest

from tests.gateway.running_gateway import RunningGateway
from tests.gateway.signed_client import Answer
from tests.gateway.trading import Market, new_market

SELL_LEGS = {
    "aboveType": "LIMIT_MAKER",
    "abovePrice": "110",
    "belowType": "STOP_LOSS_LIMIT",
    "belowStopPrice": "90",
    "belowPrice": "89",
    "belowTimeInForce": "GTC",
}
BUY_LEGS = {"belowType": "LIMIT_MAKER", "belowPrice": "90", "aboveType": "STOP_LOSS", "aboveStopPrice": "110"}


@pytest.fixture
def market(gateway: RunningGateway) -> Market:
    made = new_market(gateway)
    made.trade_at("100")
    return made


def place(market: Market, side: str = "SELL", **values: Any) -> Answer:
    legs = SELL_LEGS if side == "SELL" else BUY_LEGS
    given = {**legs, "listClientOrderId": "list", "quantity": "1", **values}
    return market.trader("trader").post("orderList/oco", symbol=market.symbol, side=side, **given)


def statuses(market: Market, placed: Answer) -> list[str]:
    client = market.trader("trader")
    return [
        client.get("order", symbol=market.symbol, orderId=leg["orderId"]).body["status"]
        for leg in placed.body["orders"]
    ]


@pytest.mark.parametrize(("side", "stop"), [("SELL", "STOP_LOSS_LIMIT"), ("BUY", "STOP_LOSS")])
def test_a_list_is_placed_and_found(market: Market, side: str, stop: str) -> None:
    answer = place(market, side, aboveClientOrderId="above", belowClientOrderId="below")
    assert answer.status == 200
    body = answer.body
    assert (body["contingencyType"], body["listStatusType"], body["listOrderStatus"]) == (
        "OCO",
        "EXEC_STARTED",
        "EXECUTING",
    )
    assert [report["type"] for report in body["orderReports"]] == ["LIMIT_MAKER", stop]
    assert {leg["clientOrderId"] for leg in body["orders"]} == {"above", "below"}
    assert all(report["orderListId"] == body["orderListId"] for report in body["orderReports"])
    client = market.trader("trader")
    expected = {key: value for key, value in body.items() if key != "orderReports"}
    assert client.get("orderList", orderListId=body["orderListId"]).body == expected
    assert client.get("orderList", origClientOrderId="list").body == expected
    assert client.get("openOrderList").body == [expected]
    assert client.get("allOrderList").body == [expected]


def test_a_list_in_the_old_form(market: Market) -> None:
    answer = market.trader("trader").post(
        "order/oco",
        symbol=market.symbol,
        side="SELL",
        quantity="1",
        price="110",
        stopPrice="90",
        stopLimitPrice="89",
        stopLimitTimeInForce="GTC",
    )
    assert answer.status == 200
    assert [(report["type"], report["price"]) for report in answer.body["orderReports"]] == [
        ("LIMIT_MAKER", "110.00000000"),
        ("STOP_LOSS_LIMIT", "89.00000000"),
    ]


def test_a_list_is_cancelled(market: Market) -> None:
    placed = place(market)
    client = market.trader("trader")
    answer = client.delete("orderList", symbol=market.symbol, orderListId=placed.body["orderListId"])
    assert answer.status == 200
    assert (answer.body["listStatusType"], answer.body["listOrderStatus"]) == ("ALL_DONE", "ALL_DONE")
    assert [report["status"] for report in answer.body["orderReports"]] == ["CANCELED", "CANCELED"]
    assert statuses(market, placed) == ["CANCELED", "CANCELED"]
    assert client.get("openOrderList").body == []
    again = client.delete("orderList", symbol=market.symbol, listClientOrderId="list")
    assert again.error == (400, -2011, "Unknown order sent.")


def test_a_leg_that_is_cancelled_cancels_the_other_one(market: Market) -> None:
    placed = place(market)
    stop = placed.body["orders"][1]["orderId"]
    market.trader("trader").delete("order", symbol=market.symbol, orderId=stop)
    assert statuses(market, placed) == ["CANCELED", "CANCELED"]


def test_a_leg_that_trades_expires_the_other_one(market: Market) -> None:
    placed = place(market)
    market.place("buyer", "BUY", "1", "110")
    assert statuses(market, placed) == ["FILLED", "EXPIRED"]


def test_a_leg_stays_expired_when_the_one_that_traded_is_cancelled(market: Market) -> None:
    placed = place(market)
    market.place("buyer", "BUY", "0.4", "110")
    market.trader("trader").delete("order", symbol=market.symbol, orderId=placed.body["orders"][0]["orderId"])
    assert statuses(market, placed) == ["CANCELED", "EXPIRED"]


def test_a_leg_that_is_triggered_expires_the_other_one(market: Market) -> None:
    placed = place(market)
    market.place("buyer", "BUY", "2", "89")
    market.place("seller", "SELL", "1", "89")
    assert statuses(market, placed) == ["EXPIRED", "FILLED"]


@pytest.mark.parametrize(
    ("side", "values", "code", "text"),
    [
        ("SELL", {"aboveType": "TAKE_PROFIT"}, -1158, "Order type not supported in OCO."),
        ("SELL", {"aboveType": "STOP_LOSS"}, -1158, "Order type not supported in OCO."),
        ("SELL", {"aboveType": "NONE"}, -1116, "Invalid orderType."),
        ("SELL", {"belowType": "LIMIT_MAKER"}, -1168, "At least one OCO order must be contingent."),
        (
            "SELL",
            {"aboveType": "STOP_LOSS", "belowType": "LIMIT_MAKER"},
            -1166,
            "A limit order in a sell OCO must be above.",
        ),
        (
            "BUY",
            {"aboveType": "LIMIT_MAKER", "belowType": "STOP_LOSS"},
            -1165,
            "A limit order in a buy OCO must be below.",
        ),
        ("SELL", {"abovePrice": "90"}, -2010, "The relationship of the prices for the orders is not correct."),
        ("SELL", {"aboveIcebergQty": "1"}, -2010, "Unsupported order combination"),
        ("SELL", {"belowStopPrice": "101"}, -2010, "Stop price would trigger immediately."),
        ("SELL", {"quantity": "2000"}, -2010, "Account has insufficient balance for requested action."),
        ("SELL", {"belowTimeInForce": "NEVER"}, -1115, "Invalid timeInForce."),
        ("BUY", {"aboveTimeInForce": "GTC"}, -1106, "Parameter 'aboveTimeInForce' sent when not required."),
    ],
)
def test_lists_that_are_refused(market: Market, side: str, values: dict[str, str], code: int, text: str) -> None:
    assert place(market, side, **values).error == (400, code, text)


def test_a_list_that_is_not_there(market: Market) -> None:
    answer = market.trader("trader").get("orderList", orderListId=10**12)
    assert answer.error == (400, -2013, "Order list does not exist.")
