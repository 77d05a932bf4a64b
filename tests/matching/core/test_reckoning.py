"""What an order locks for what it would take, on the kernel and on the reference."""

from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.both import Both


def test_a_market_sell_by_quote_quantity_needs_no_lots_behind_a_maker_that_it_leaves_unfinished() -> None:
    """One lot at 20000 is worth 2 USD: the remaining 1 USD would pay for a lot at 10000, which it does not reach."""
    both = Both()
    for definition in DEFINITIONS:
        both.do(**definition)
    both.do("deposit", account=2, asset="USD", amount="100000", reference="a")
    both.do("deposit", account=1, asset="BTC", amount="0.0001", reference="b")
    terms = {"symbol": "BTC-USD", "quantity": "1", "order_type": "limit"}
    for price in ("20000", "10000"):
        both.do("order", account=2, side="buy", price=price, **terms)
    sale = {"symbol": "BTC-USD", "side": "sell", "order_type": "market", "quote_quantity": "3"}
    events = both.do("order", account=1, **sale)
    assert [event["event"] for event in events] == ["order_accepted", "trade", "order_cancelled"]
    both.check()
