from collections.abc import Iterator

import pytest

from gateway.limits.orders import OrderLimits
from gateway.market.exchange_info import RateLimits
from gateway.rest.errors import ApiError
from tests.gateway.limits.test_weight import Clock
from tests.gateway.running_gateway import RunningGateway, running_gateway
from tests.gateway.trading import Market, new_market


@pytest.fixture(scope="module")
def strict() -> Iterator[RunningGateway]:
    with running_gateway(RateLimits(weight_per_minute=1_000_000, orders_per_10_seconds=10**6, orders_per_day=3)) as one:
        yield one


@pytest.fixture
def market(strict: RunningGateway) -> Market:
    return new_market(strict)


def counts(limits: OrderLimits) -> list[int]:
    return [count for _, _, count in limits.used(7)]


def test_orders_are_counted_in_both_intervals() -> None:
    clock = Clock()
    limits = OrderLimits(3, 10, clock)
    for _ in range(3):
        limits.reserve(7, 1)
    assert counts(limits) == [3, 3]
    limits.reserve(8, 1)
    clock.now_s += 4
    with pytest.raises(ApiError) as refused:
        limits.reserve(7, 1)
    error = refused.value
    assert (error.status, error.code) == (429, -1015)
    assert error.message == "Too many new orders; current limit is 3 orders per 10 SECOND."
    assert error.headers == {"Retry-After": "7"}
    assert counts(limits) == [3, 3]
    clock.now_s += 6
    assert counts(limits) == [0, 3]
    assert limits.headers(7) == {"X-MBX-ORDER-COUNT-10S": "0", "X-MBX-ORDER-COUNT-1D": "3"}


def test_the_day_has_a_limit_of_its_own() -> None:
    limits = OrderLimits(100, 3, Clock())
    limits.reserve(7, 3)
    with pytest.raises(ApiError, match="current limit is 3 orders per 1 DAY"):
        limits.reserve(7, 1)


def test_only_orders_that_rest_count(market: Market) -> None:
    first = market.place("trader", "SELL", "1", "100")
    assert first.headers["X-MBX-ORDER-COUNT-1D"] == "1"
    assert market.place("trader", "BUY", "1000000", "100").status == 400
    assert market.place("trader", "SELL", "1", "101").headers["X-MBX-ORDER-COUNT-1D"] == "2"
    taker = market.place("taker", "BUY", "0.5", "100")
    assert taker.body["status"] == "FILLED"
    assert taker.headers["X-MBX-ORDER-COUNT-1D"] == "0", "it has traded at once"
    trader = market.trader("trader")
    listed = {one["interval"]: one["count"] for one in trader.get("rateLimit/order").body}
    assert listed["DAY"] == 1, "the first order has traded"


def test_too_many_orders_are_refused(market: Market) -> None:
    for price in ("98", "99", "100"):
        assert market.place("trader", "BUY", "1", price).status == 200
    refused = market.place("trader", "BUY", "1", "97")
    assert refused.error == (429, -1015, "Too many new orders; current limit is 3 orders per 1 DAY.")
    assert int(refused.headers["Retry-After"]) > 0
    order = market.trader("trader").get("openOrders", symbol=market.symbol).body[0]
    cancel = market.trader("trader").delete("order", symbol=market.symbol, orderId=order["orderId"])
    assert cancel.status == 200, "cancels are not counted"


def test_a_list_counts_twice(market: Market) -> None:
    legs = {"abovePrice": "110", "belowStopPrice": "90", "aboveType": "LIMIT_MAKER", "belowType": "STOP_LOSS"}
    answer = market.trader("trader").send(
        "POST", "orderList/oco", {"symbol": market.symbol, "side": "SELL", "quantity": "1", **legs}
    )
    assert (answer.status, answer.headers["X-MBX-ORDER-COUNT-1D"]) == (200, "2")
