"""The rows of trigger orders, order lists, icebergs and renamed orders."""

from typing import Any

from settlement.stores.base import Order
from tests.settlement.chains import Chain, order
from tests.settlement.project.test_projection import forgetless, funded, market, orders_after


def waiting(account: int, order_type: str, side: str, trigger: str, quantity: str, **more: Any) -> dict[str, Any]:
    """A trigger order in BTC-USD, without a price unless `more` has one."""
    terms = {**order(account, side, "1", quantity), "order_type": order_type, "trigger_price": trigger}
    del terms["price"]
    return {**terms, **more}


def oco(account: int, price: str, trigger: str, quantity: str, **more: Any) -> dict[str, Any]:
    """A sale that takes its profit at `price`, or stops its loss at `trigger`."""
    terms = {"command": "oco", "account": account, "symbol": "BTC-USD", "side": "sell", "quantity": quantity}
    return {**terms, "price": price, "trigger_price": trigger, **more}


def traded_at(price: str) -> Chain:
    """BTC-USD with a last trade at this price. The next command has sequence 12."""
    return funded().add(order(1, "sell", price, "0.1"), order(2, "buy", price, "0.1"))


def terms(row: Order) -> tuple[object, ...]:
    return row.order_type, row.price, row.trigger_price, row.time_in_force


def progress(row: Order) -> tuple[object, ...]:
    return row.status, row.reason, row.filled, row.remaining


def test_an_order_waits_with_its_terms_and_holds_its_lock() -> None:
    chain = traded_at("20000").add(waiting(3, "stop_loss_limit", "buy", "21000", "0.5", price="21500"))
    row = orders_after(chain)[12]
    assert terms(row) == ("stop_loss_limit", 2_150_000, 2_100_000, "gtc")
    assert progress(row) == ("waiting", None, 0, 5000)
    assert (row.triggered_at_ns, row.order_list_id) == (None, None)
    assert [found.order_id for found in projected(chain).open_orders()] == [12]


def projected(chain: Chain) -> Any:
    projector = forgetless()
    projector.project(chain.blocks)
    return projector


def test_a_triggered_order_that_rests_is_open_from_then_on() -> None:
    chain = traded_at("20000").add(waiting(3, "stop_loss_limit", "buy", "21000", "0.5", price="21500"))
    chain.add(order(1, "sell", "21000", "0.1"), order(2, "buy", "21000", "0.1"))
    row = orders_after(chain)[12]
    assert progress(row) == ("open", None, 0, 5000)
    assert row.triggered_at_ns == row.updated_at_ns == chain.blocks[-1].timestamp_ns
    chain.add(order(1, "sell", "21500", "0.5"))
    assert progress(orders_after(chain)[12]) == ("filled", None, 5000, 0)


def test_a_triggered_order_without_a_price_ends_as_a_market_order() -> None:
    chain = traded_at("20000").add(waiting(3, "take_profit", "sell", "21000", "0.5"))
    row = orders_after(chain)[12]
    assert terms(row) == ("take_profit", None, 2_100_000, "ioc")
    chain.add(order(1, "sell", "21000", "0.1"), order(2, "buy", "21000", "0.3"))
    assert progress(orders_after(chain)[12]) == ("cancelled", "no_liquidity", 2000, 0)


def test_the_legs_of_a_list_name_it_and_one_cancels_the_other() -> None:
    names = {"client_order_id": "profit", "stop_client_order_id": "loss", "list_client_order_id": "both"}
    chain = traded_at("20000").add(oco(3, "21000", "19000", "0.5", stop_price="18900", **names))
    limit, stop = (orders_after(chain)[number] for number in (12, 13))
    assert (terms(limit), limit.post_only, limit.status) == (("limit", 2_100_000, None, "gtc"), True, "open")
    assert (terms(stop), stop.post_only) == (("stop_loss_limit", 1_890_000, 1_900_000, "gtc"), False)
    assert [row.order_list_id for row in (limit, stop)] == [12, 12]
    assert [row.client_order_id for row in (limit, stop)] == ["profit", "loss"]
    assert [row.visible_quantity for row in (limit, stop)] == [None, None]
    chain.add(order(2, "buy", "21000", "0.2"))
    limit, stop = (orders_after(chain)[number] for number in (12, 13))
    assert progress(limit) == ("open", None, 2000, 3000)
    assert progress(stop) == ("cancelled", "oco", 0, 0)


def test_an_iceberg_counts_all_its_lots_as_remaining() -> None:
    chain = funded().add(order(1, "sell", "20000", "0.5", visible_quantity="0.1"), order(2, "buy", "20000", "0.25"))
    row = orders_after(chain)[10]
    assert progress(row) == ("open", None, 2500, 2500)
    assert row.visible_quantity == 1000
    assert [trade.quantity for trade in forgetless().project(chain.blocks).trades] == [1000, 1000, 500]


def test_a_replace_renames_an_order_or_leaves_its_name() -> None:
    replace = {"command": "replace", "account": 1, "symbol": "BTC-USD", "order_id": 10, "price": "20001"}
    chain = funded().add(order(1, "sell", "20000", "0.5", client_order_id="old"))
    chain.add({**replace, "total_quantity": "0.4", "new_client_order_id": "new"})
    assert orders_after(chain)[10].client_order_id == "new"
    chain.add({**replace, "quantity": "0.3"})
    row = orders_after(chain)[10]
    assert (row.client_order_id, row.quantity) == ("new", 3000)


def test_trades_are_numbered_within_their_instrument() -> None:
    chain = traded_at("20000").add(order(1, "sell", "20000", "0.2"), order(2, "buy", "20000", "0.1"))
    chain.add(order(2, "buy", "20000", "0.1"))
    assert [trade.trade_number for trade in forgetless().project(chain.blocks).trades] == [1, 2, 3]


def test_a_market_sell_by_quote_quantity_ends_filled_or_cancelled() -> None:
    chain = funded().add(order(2, "buy", "20000", "0.1"), market(1, "sell", quote_quantity="1001"))
    row = orders_after(chain)[11]
    assert progress(row) == ("filled", "quote_quantity_used", 500, 0)
    chain.add(market(1, "sell", quote_quantity="5000"))
    assert progress(orders_after(chain)[12]) == ("cancelled", "no_liquidity", 500, 0)
