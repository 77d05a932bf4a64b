import pytest
from django.test import Client

from tests.back_office.conftest import refusal, words
from tests.back_office.market import Market


def test_a_number_that_one_thing_has_leads_there(operator: Client, market: Market) -> None:
    trade = market.trade("BTC-USD", 2_000_000, 5_000, maker=1, taker=2)
    market.settle()
    assert operator.get(f"/admin/find/?q={trade.trade_id}")["Location"] == f"/admin/trades/{trade.trade_id}/"


def test_a_number_that_several_have_is_a_choice(operator: Client, market: Market) -> None:
    page = words(operator.get("/admin/find/?q=1"))
    assert "Account 1 Block 1" in page
    assert "Order 1" not in page


def test_a_symbol_leads_to_its_trades(operator: Client, market: Market) -> None:
    assert operator.get("/admin/find/?q=%20btc-usd%20")["Location"] == "/admin/trades/?symbol=BTC-USD"


@pytest.mark.parametrize("term", ["5000", "9223372036854775807"])
def test_a_number_that_nothing_has(operator: Client, market: Market, term: str) -> None:
    assert f"Nothing settled has the number {term}." in words(operator.get(f"/admin/find/?q={term}"))


@pytest.mark.parametrize("term", ["", "no such thing", "9223372036854775808", "%00", "-1", "x" * 5000])
def test_anything_else_is_advised(operator: Client, market: Market, term: str) -> None:
    response = operator.get(f"/admin/find/?q={term}")
    assert response.status_code == 400
    assert refusal(response).startswith("Type the number of a trade")
