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


@pytest.mark.parametrize("query", ["", "account=3", "symbol=BTC-USD"])
def test_paging_lists_every_row_once(operator: Client, market: Market, query: str) -> None:
    market.run(2 * PAGE_ROWS)
    market.run(PAGE_ROWS, "ETH-USD")
    seen = walk_orders(operator, f"/admin/orders/?{query}")
    kept = [
        order
        for trade in market.settled
        for order, account in parties(trade)
        if query in ("", f"account={account}", f"symbol={trade.symbol}")
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
        ("account=1&symbol=BTC-USD", "Account and instrument cannot be combined: give one of them."),
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


def test_empty_lists_have_a_message(operator: Client, store: Store) -> None:
    assert walk(operator, "/admin/trades/") == []
    assert "No order has been placed yet." in words(operator.get("/admin/orders/"))
