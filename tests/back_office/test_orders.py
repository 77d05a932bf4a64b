import pytest
from django.test import Client

from back_office.pages import orders
from back_office.paging import PAGE_ROWS
from settlement.stores.base import Order, Store, Trade
from tests.back_office.conftest import links, next_page, refusal, words
from tests.back_office.market import Market
from tests.back_office.test_trades import walk


def walk_orders(operator: Client, address: str) -> list[int]:
    seen: list[int] = []
    step: str | None = address
    while step is not None:
        response = operator.get(step)
        seen += links(response, "orders")
        older = next_page(response)
        step = older and f"/admin/orders/{older}"
    return seen


def test_rows_are_listed_newest_first_with_decimals(operator: Client, market: Market) -> None:
    order = market.place(2, "ETH-USD", "sell", 341_200, 12_500)
    market.settle()
    response = operator.get("/admin/orders/")
    assert links(response, "orders") == [order]
    row = f"2 ETH-USD sell limit gtc 3412.00 1.2500 0.0000 open c-{order}"
    assert row in words(response)


@pytest.mark.parametrize("query", ["", "account=3", "symbol=BTC-USD", "account=3&symbol=BTC-USD"])
def test_paging_lists_every_row_once(operator: Client, market: Market, query: str) -> None:
    market.run(3 * PAGE_ROWS)
    market.run(PAGE_ROWS, "ETH-USD")
    seen = walk_orders(operator, f"/admin/orders/?{query}")
    kept = [
        order
        for trade in market.settled
        for order, account in parties(trade)
        if query in ("", f"account={account}", f"symbol={trade.symbol}", f"account={account}&symbol={trade.symbol}")
    ]
    assert seen == sorted(kept, reverse=True)
    assert len(seen) > PAGE_ROWS


def parties(trade: Trade) -> list[tuple[int, int]]:
    """Each of both orders with its account."""
    taker, maker = (trade.buyer, trade.seller) if trade.taker_side == "buy" else (trade.seller, trade.buyer)
    return [(trade.maker_order_id, maker), (trade.taker_order_id, taker)]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("id=abc", "Order id must be a whole number from 0 to 9223372036854775807, not 'abc'."),
        ("id=1&symbol=BTC-USD", "An order id names one order: leave the other fields empty."),
        ("client_order_id=a", "Different accounts can use the same client order id: give the account, too."),
        ("id=1&client_order_id=a", "An order id names one order: leave the other fields empty."),
        ("symbol=NONE", "There is no instrument NONE."),
        ("before=-", "Before must be a whole number from 0 to 9223372036854775807, not '-'."),
    ],
)
def test_a_bad_filter_is_one_sentence(operator: Client, market: Market, query: str, sentence: str) -> None:
    response = operator.get(f"/admin/orders/?{query}")
    assert response.status_code == 400
    assert refusal(response) == sentence


def test_an_order_id_redirects_to_the_order(operator: Client, market: Market) -> None:
    assert operator.get("/admin/orders/?id=9")["Location"] == "/admin/orders/9/"


def test_orders_of_an_account_are_shown_with_the_account_tabs(operator: Client, market: Market) -> None:
    market.run(2)
    page = words(operator.get("/admin/orders/?account=1"))
    assert "Account 1" in page
    assert "Statement" in page


def test_one_order_with_its_trades(operator: Client, market: Market) -> None:
    market.run(4)
    trade = market.settled[1]
    response = operator.get(f"/admin/orders/{trade.maker_order_id}/")
    assert links(response, "trades") == [trade.trade_id]
    page = words(response)
    assert "filled" in page
    assert f"event {trade.trade_id}" in page
    assert "were searched, and some trades of this order are older" not in page


def test_an_order_with_trades_beyond_the_search_limit_says_so(
    operator: Client, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "SEARCHED_TRADES", 1)
    trade = market.trade("BTC-USD", 2_000_000, 5_000, maker=1, taker=2)
    market.trade("BTC-USD", 2_000_000, 5_000, maker=1, taker=2)
    again = market.orders[trade.maker_order_id]._replace(updated_sequence=market.event)
    market.orders[trade.maker_order_id] = again
    market.settle()
    response = operator.get(f"/admin/orders/{trade.maker_order_id}/")
    assert "Only the last 1 trades of account 1" in words(response)


def test_an_order_by_quote_quantity(operator: Client, market: Market) -> None:
    order = market.place(1, "BTC-USD", "buy", 100, 1)
    market.orders[order] = Order(
        **{
            **market.orders[order]._asdict(),
            "order_type": "market",
            "time_in_force": "ioc",
            "price": None,
            "quantity": None,
            "quote_quantity": 250_000_000,
            "client_order_id": None,
            "status": "cancelled",
            "reason": "no_liquidity",
        }
    )
    market.settle()
    page = words(operator.get(f"/admin/orders/{order}/"))
    assert "Price market Quote quantity 250.000000 USD" in page
    assert "Cancel reason no liquidity" in page
    assert "This order has no trades." in page
    assert "market for 250.000000 USD" in words(operator.get("/admin/orders/"))


def change(market: Market, order: int, **fields: object) -> None:
    """Changes an order of the block that is not settled yet."""
    market.orders[order] = Order(**{**market.orders[order]._asdict(), **fields})


def test_an_order_is_found_by_its_client_order_id_also_when_closed(operator: Client, market: Market) -> None:
    first, second, other = (market.place(account, "BTC-USD", "buy", 100, 1) for account in (1, 1, 2))
    for order in (first, second, other):
        change(market, order, client_order_id="bot-7")
    change(market, first, status="cancelled", remaining=0)
    market.settle()
    assert links(operator.get("/admin/orders/?account=1&client_order_id=bot-7"), "orders") == [second, first]
    assert links(operator.get("/admin/orders/?account=2&client_order_id=bot-7&symbol=BTC-USD"), "orders") == [other]
    assert "No matching orders." in words(operator.get("/admin/orders/?account=2&client_order_id=bot-8"))
    assert "No matching orders." in words(operator.get("/admin/orders/?account=1&client_order_id=bot-7&symbol=ETH-USD"))


def test_an_order_that_waits_shows_its_trigger(operator: Client, market: Market) -> None:
    order = market.place(1, "BTC-USD", "sell", 1_900_000, 5000)
    change(market, order, order_type="stop_loss", price=None, status="waiting", trigger_price=1_950_000)
    market.settle()
    page = words(operator.get(f"/admin/orders/{order}/"))
    assert "BTC-USD sell waiting" in page
    assert "Price market Trigger price 19500.00 USD" in page
    assert "Triggered" not in page
    assert "stop loss gtc market at 19500.00" in words(operator.get("/admin/orders/"))


def test_a_leg_of_a_list_leads_to_the_other_one(operator: Client, market: Market) -> None:
    limit, stop = (market.place(1, "BTC-USD", "sell", price, 5000) for price in (2_100_000, 1_900_000))
    change(market, limit, order_list_id=limit, visible_quantity=1000)
    change(market, stop, order_list_id=limit, order_type="stop_loss_limit", trigger_price=1, triggered_at_ns=0)
    market.settle()
    page = operator.get(f"/admin/orders/{limit}/")
    assert f"One cancels the other order {stop}" in words(page)
    assert "Visible quantity 0.1000 BTC" in words(page)
    other = words(operator.get(f"/admin/orders/{stop}/"))
    assert f"One cancels the other order {limit}" in other
    assert "Triggered (UTC) 1970-01-01T00:00:00.000Z" in other


def test_an_order_that_used_its_quote_quantity_is_not_called_cancelled(operator: Client, market: Market) -> None:
    order = market.place(1, "BTC-USD", "buy", 100, 1)
    change(market, order, status="filled", reason="quote_quantity_used")
    market.settle()
    assert "Ended by quote quantity used" in words(operator.get(f"/admin/orders/{order}/"))


def test_open_orders_are_paged_from_the_oldest_and_contain_waiting_ones(operator: Client, market: Market) -> None:
    market.run(2)
    placed = [market.place(1, "BTC-USD", "sell", 1_900_000, 5000) for _ in range(2 * PAGE_ROWS + 1)]
    change(market, placed[1], status="waiting", trigger_price=5)
    market.settle()
    seen: list[int] = []
    step: str | None = ""
    while step is not None:
        response = operator.get(f"/admin/orders/open/{step}")
        seen += links(response, "orders")
        step = next_page(response, "next")
    assert seen == placed
    assert "waiting" in words(operator.get("/admin/orders/open/"))
    assert refusal(operator.get("/admin/orders/open/?after=x")).startswith("After must be a whole number")


def test_without_an_open_order_the_page_says_so(operator: Client, market: Market) -> None:
    assert "There are no open orders." in words(operator.get("/admin/orders/open/"))


def test_empty_lists_have_a_message(operator: Client, store: Store) -> None:
    assert walk(operator, "/admin/trades/") == []
    assert "No order has been placed yet." in words(operator.get("/admin/orders/"))
