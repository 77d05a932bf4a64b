"""What an order would take is reckoned alike one by one and by levels, compiled as well: a book of many makers."""

from decimal import Decimal
from typing import Any

import pytest

from matching.core.kernel import limits
from matching.core.kernel.structures import pools as p
from matching.workloads.btc_usd import BTC_USD, DEFINITIONS
from tests.matching.both import Both

SYMBOL = BTC_USD["symbol"]
MAKERS = limits.LOOKED_AT_SINGLY + 6
TAKER, MAKER = 1, 2
OTHER_SIDE = {"buy": "sell", "sell": "buy"}
BEST = {"buy": 100, "sell": 200}
"""The best price that an order of that side meets."""


def limit(account: int, side: str, price: int, quantity: str = "1", **fields: Any) -> dict[str, Any]:
    of_order = {"account": account, "symbol": SYMBOL, "side": side, "order_type": "limit", "price": f"{price}.00"}
    return {**of_order, "quantity": quantity, **fields}


def market(side: str, **fields: Any) -> dict[str, Any]:
    return {"account": TAKER, "symbol": SYMBOL, "side": side, "order_type": "market", **fields}


def deep_book(side: str) -> Both:
    """MAKERS makers of one lot at the best price that an order of `side` meets."""
    both = Both()
    for definition in DEFINITIONS:
        both.do(**definition)
    for account in (TAKER, MAKER):
        for asset, amount in (("BTC", "10000"), ("USD", "10000000")):
            both.do("deposit", account=account, asset=asset, amount=amount, reference=f"{account}-{asset}")
    for _ in range(MAKERS):
        both.do("order", **limit(MAKER, OTHER_SIDE[side], BEST[side]))
    return both


def worse(side: str, by: int) -> int:
    return BEST[side] + by if side == "buy" else BEST[side] - by


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize("prevention", ["none", "expire_taker", "expire_maker", "expire_both"])
@pytest.mark.parametrize("excess", [-1, 0, 1])
def test_a_fok_meets_icebergs_and_own_orders_far_down(side: str, prevention: str, excess: int) -> None:
    """12 lots of others and 3 of its own beyond the best price; it wants what it can have, or one more or less."""
    both = deep_book(side)
    other = OTHER_SIDE[side]
    both.do("order", **limit(MAKER, other, worse(side, 1), "6", visible_quantity="2"))
    both.do("order", **limit(TAKER, other, worse(side, 3), "3", visible_quantity="1"))
    both.do("order", **limit(MAKER, other, worse(side, 3), "4"))
    both.do("order", **limit(MAKER, other, worse(side, 4), "2"))
    far = {"order_type": "stop_loss", "trigger_price": "500.00" if side == "buy" else "10.00", "quantity": "1"}
    both.do("order", account=TAKER, symbol=SYMBOL, side=side, **far)
    there_are = MAKERS + {"none": 15, "expire_maker": 12}.get(prevention, 6)
    terms = {"time_in_force": "fok", "self_trade_prevention": prevention}
    events = both.do("order", **limit(TAKER, side, worse(side, 9), str(there_are + excess), **terms))
    assert [event["reason"] for event in events if event["event"] == "order_cancelled"][-1:] != ["work_limit"]
    is_filled = sum(event["event"] == "trade" for event in events) >= MAKERS
    assert is_filled == (excess <= 0)
    both.check()


@pytest.mark.parametrize(
    ("side", "rest"),
    [("sell", "150"), ("sell", "200"), ("sell", "380.015"), ("sell", "380"), ("buy", "150"), ("buy", "220.015")],
)
@pytest.mark.parametrize("prevention", ["none", "expire_maker"])
def test_an_order_by_quote_quantity_stops_where_a_lot_costs_more_than_it_has(
    side: str, rest: str, prevention: str
) -> None:
    both = deep_book(side)
    other = OTHER_SIDE[side]
    for by, quantity in ((10, "2"), (60, "5")):
        both.do("order", **limit(MAKER, other, worse(side, by), quantity))
        both.do("order", **limit(TAKER, other, worse(side, by), "1"))
    quote = str(MAKERS * BEST[side] + Decimal(rest))
    both.do("order", **market(side, quote_quantity=quote, self_trade_prevention=prevention))
    unlocked = both.kernel.block.events["amount"][-1]
    assert unlocked == 0 or side == "buy", "a sell locks exactly what it will sell"
    both.check()


def test_a_market_buy_reckons_the_cost_of_a_deep_fill() -> None:
    both = deep_book("buy")
    both.do("order", **limit(MAKER, "sell", 150, "20", visible_quantity="1"))
    both.do("order", **market("buy", quantity=f"{MAKERS + 7}"))
    both.check()


def test_an_unfillable_fok_looks_at_levels_and_not_at_makers() -> None:
    both = deep_book("buy")
    for _ in range(1000):
        both.do("order", **limit(MAKER, "sell", 101))
    both.do("order", **limit(TAKER, "buy", 150, "5000", time_in_force="fok"))
    assert both.kernel.engine.pools.state[p.LOOKED_AT] < MAKERS + 10
    both.check()
