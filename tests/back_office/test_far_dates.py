"""Pages over blocks of the last day that int64 knows, in the year 2262."""

import pytest
from django.test import Client

from matching.core.decimals import INT64_MAX
from settlement.stores.base import Store
from tests.back_office.conftest import html, words
from tests.back_office.market import Market


@pytest.fixture
def market(store: Store) -> Market:
    opened = Market(store, INT64_MAX)
    opened.open()
    opened.run(7, step_ns=0)
    return opened


def test_every_page_shows_the_last_int64_timestamp(operator: Client, market: Market) -> None:
    trade = market.settled[-1]
    for address in (
        "",
        "trades/",
        "trades/?day=2262-04-11",
        f"trades/{trade.trade_id}/",
        "orders/",
        f"orders/{trade.maker_order_id}/",
        "accounts/",
        "accounts/1/",
        "blocks/",
        f"blocks/{market.block}/",
    ):
        response = operator.get(f"/admin/{address}")
        assert response.status_code == 200, address
        if address != "accounts/":
            assert "2262-04-11T23:47" in html(response) or "2262-04-11 23:47" in words(response), address
