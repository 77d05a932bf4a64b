from typing import Any

import pytest

from tests.gateway.running_gateway import RunningGateway
from tests.gateway.trading import Market, new_market


@pytest.fixture
def market(gateway: RunningGateway) -> Market:
    return new_market(gateway)


def test_orders_and_fills_from_id_0_begin_with_the_oldest_and_without_an_id_end_with_the_newest(market: Market) -> None:
    placed = []
    for _ in range(3):
        market.place("maker", "SELL", "0.1", "100")
        placed.append(market.place("trader", "BUY", "0.1", "100").body["orderId"])
    client = market.trader("trader")
    for path, name in (("allOrders", "orderId"), ("myTrades", "fromId")):
        first: dict[str, Any] = {name: 0}
        oldest = client.get(path, symbol=market.symbol, limit=2, **first).body
        newest = client.get(path, symbol=market.symbol, limit=2).body
        assert [one["orderId"] for one in oldest] == placed[:2]
        assert [one["orderId"] for one in newest] == placed[1:]


def test_order_lists_from_id_0_begin_with_the_oldest(market: Market) -> None:
    market.trade_at("100")
    client = market.trader("trader")
    placed = [
        client.post(
            "orderList/oco",
            symbol=market.symbol,
            side="SELL",
            quantity="1",
            aboveType="LIMIT_MAKER",
            abovePrice=price,
            belowType="STOP_LOSS",
            belowStopPrice="80",
        ).body["orderListId"]
        for price in ("110", "111", "112")
    ]
    lists = client.get("allOrderList", limit=2, fromId=0).body
    assert [one["orderListId"] for one in lists] == placed[:2]
