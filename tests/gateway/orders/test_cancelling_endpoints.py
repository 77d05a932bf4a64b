import pytest

from tests.gateway.running_gateway import RunningGateway
from tests.gateway.trading import Market, new_market

UNKNOWN = (400, -2011, "Unknown order sent.")


@pytest.fixture
def market(gateway: RunningGateway) -> Market:
    return new_market(gateway)


@pytest.mark.parametrize("names", [("orderId",), ("origClientOrderId",), ("orderId", "origClientOrderId")])
def test_an_order_is_cancelled_by_either_name_or_both(market: Market, names: tuple[str, ...]) -> None:
    placed = market.place("trader", "BUY", "1", "100", newClientOrderId="mine").body
    values = {"orderId": placed["orderId"], "origClientOrderId": "mine"}
    answer = market.trader("trader").delete(
        "order", symbol=market.symbol, newClientOrderId="cancel", **{name: values[name] for name in names}
    )
    assert answer.status == 200
    body = answer.body
    assert (body["orderId"], body["origClientOrderId"], body["clientOrderId"]) == (placed["orderId"], "mine", "cancel")
    assert (body["status"], body["executedQty"]) == ("CANCELED", "0.00000000")
    assert body["transactTime"] >= placed["transactTime"]


def test_both_names_have_to_fit(market: Market) -> None:
    placed = market.place("trader", "BUY", "1", "100", newClientOrderId="mine").body
    answer = market.trader("trader").delete(
        "order", symbol=market.symbol, orderId=placed["orderId"], origClientOrderId="another"
    )
    assert answer.error == UNKNOWN


def test_a_closed_order_is_found_by_its_client_order_id(market: Market) -> None:
    market.place("trader", "BUY", "1", "100", newClientOrderId="mine")
    client = market.trader("trader")
    client.delete("order", symbol=market.symbol, origClientOrderId="mine")
    assert client.get("order", symbol=market.symbol, origClientOrderId="mine").body["status"] == "CANCELED"
    assert client.delete("order", symbol=market.symbol, origClientOrderId="mine").error == UNKNOWN


@pytest.mark.parametrize(("restriction", "status"), [("ONLY_NEW", 400), ("ONLY_PARTIALLY_FILLED", 200)])
def test_a_cancel_can_be_restricted(market: Market, restriction: str, status: int) -> None:
    placed = market.place("trader", "BUY", "1", "100").body
    market.place("other", "SELL", "0.4", "100")
    answer = market.trader("trader").delete(
        "order", symbol=market.symbol, orderId=placed["orderId"], cancelRestrictions=restriction
    )
    assert answer.status == status
    if status == 400:
        assert answer.error == (400, -2011, "Order was not canceled due to cancel restrictions.")
    else:
        assert answer.body["executedQty"] == "0.40000000"


def test_a_restriction_that_is_not_known(market: Market) -> None:
    answer = market.trader("trader").delete("order", symbol=market.symbol, orderId=1, cancelRestrictions="ONLY_OLD")
    assert answer.error == (400, -1145, "Invalid cancelRestrictions")


def test_all_open_orders_are_cancelled(market: Market) -> None:
    market.trade_at("100")
    first = market.place("trader", "BUY", "1", "90").body["orderId"]
    second = market.place("trader", "BUY", "1", type="STOP_LOSS", stopPrice="120").body["orderId"]
    listed = market.trader("trader").post(
        "orderList/oco",
        symbol=market.symbol,
        side="SELL",
        quantity="1",
        aboveType="LIMIT_MAKER",
        abovePrice="110",
        belowType="STOP_LOSS",
        belowStopPrice="80",
    )
    assert listed.status == 200
    body = market.trader("trader").delete("openOrders", symbol=market.symbol).body
    assert [one.get("orderId") for one in body] == [first, second, None]
    assert body[2]["listOrderStatus"] == "ALL_DONE"
    assert [report["status"] for report in body[2]["orderReports"]] == ["CANCELED", "CANCELED"]
    assert market.trader("trader").get("openOrders", symbol=market.symbol).body == []


def test_there_is_nothing_to_cancel(market: Market) -> None:
    assert market.trader("trader").delete("openOrders", symbol=market.symbol).error == UNKNOWN
