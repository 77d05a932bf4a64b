"""Pages of a market made by commands of every kind (`tests.settlement.every_command`)."""

import pytest
from django.test import Client

from settlement.project.projection import EmptyTables, Projector
from settlement.receive.chain import stored
from settlement.stores.base import Order, Store
from tests.back_office.conftest import links, words
from tests.settlement import every_command
from tests.settlement.rows import MOST

CHAIN = every_command.market()


@pytest.fixture
def orders(store: Store) -> dict[str, Order]:
    """The orders of the settled market, by client order id."""
    store.append_blocks([stored(block) for block in CHAIN.blocks])
    store.insert_batch(Projector(EmptyTables(), kept=None).project(CHAIN.blocks))
    return {row.client_order_id or "": row for row in store.get_orders_by_sequence_range(0, MOST, 1000)}


def page_of(operator: Client, order: Order) -> str:
    return words(operator.get(f"/admin/orders/{order.order_id}/"))


def test_open_orders_are_those_in_the_book_and_those_that_wait(operator: Client, orders: dict[str, Order]) -> None:
    response = operator.get("/admin/orders/open/")
    names = ["iceberg", "waiting", "resting", "profit", "loss", "quick", "quote ask", "new name"]
    assert links(response, "orders") == [orders[name].order_id for name in names]
    page = words(response)
    assert "3 BTC-USD sell stop loss limit gtc 18900.00 at 19000.00 0.2000 0.0000 waiting waiting" in page
    assert "1 BTC-USD sell limit gtc 20100.00 1.0000 shows 0.3000 0.5000 open iceberg" in page


def test_an_order_that_waits(operator: Client, orders: dict[str, Order]) -> None:
    page = page_of(operator, orders["waiting"])
    assert "Price 18900.00 USD Trigger price 19000.00 USD Quantity 0.2000 BTC" in page
    assert "Triggered" not in page
    assert "lock BTC -0.20000000 +0.20000000" in page


def test_a_triggered_order_shows_when_and_its_trades(operator: Client, orders: dict[str, Order]) -> None:
    page = page_of(operator, orders["dip"])
    assert "Price market Trigger price 19900.00 USD" in page
    assert "Triggered (UTC)" in page
    assert "buy 20100.00" in page
    assert "Filled 0.1000 BTC Remaining 0.0000 BTC" in page


def test_an_iceberg(operator: Client, orders: dict[str, Order]) -> None:
    response = operator.get(f"/admin/orders/{orders['iceberg'].order_id}/")
    assert "Quantity 1.0000 BTC Visible quantity 0.3000 BTC Filled 0.5000 BTC Remaining 0.5000 BTC" in words(response)
    assert len(links(response, "trades")) == 3


def test_the_legs_of_a_list_lead_to_each_other(operator: Client, orders: dict[str, Order]) -> None:
    for limit, stop in (("profit", "loss"), ("quick", "slow"), ("top", "bottom")):
        assert f"One cancels the other order {orders[stop].order_id}" in page_of(operator, orders[limit])
        assert f"One cancels the other order {orders[limit].order_id}" in page_of(operator, orders[stop])
    assert "Cancel reason oco" in page_of(operator, orders["slow"])
    assert "Cancel reason no liquidity" in page_of(operator, orders["bottom"])


def test_why_an_order_ended(operator: Client, orders: dict[str, Order]) -> None:
    assert "Cancel reason account restricted" in page_of(operator, orders["frozen"])
    assert "Cancel reason price band" in page_of(operator, orders["banded"])
    assert "Cancel reason fok not fillable" in page_of(operator, orders["fill or kill"])
    assert "Ended by quote quantity used" in page_of(operator, orders["for quote"])


def test_a_renamed_order_has_its_new_name_and_size(operator: Client, orders: dict[str, Order]) -> None:
    page = page_of(operator, orders["new name"])
    assert "Quantity 0.3000 BTC" in page
    assert "Client order id new name" in page


def test_accounts_show_their_status_and_own_fees(operator: Client, orders: dict[str, Order]) -> None:
    assert "Status active" in words(operator.get("/admin/accounts/1/"))
    assert "all others 0 500" in words(operator.get("/admin/accounts/2/"))
    assert "BTC-USD 100 300" in words(operator.get("/admin/accounts/2/"))
    assert "Own fees" not in words(operator.get("/admin/accounts/3/"))
    assert "Status frozen" in words(operator.get("/admin/accounts/4/"))


def test_the_instruments_page_shows_the_updated_values(operator: Client, orders: dict[str, Order]) -> None:
    page = words(operator.get("/admin/instruments/"))
    assert "BTC-USD trading 0.01 USD 0.0001 BTC 0.0001 100000 0 USD 0 2000 10000 9" in page


def test_the_page_of_a_trade_has_its_number(operator: Client, orders: dict[str, Order], store: Store) -> None:
    last = store.newest_trades(1)[0]
    page = words(operator.get(f"/admin/trades/{last.trade_id}/"))
    assert f"Number {len(every_command.TRADES)} of BTC-USD" in page
