import pytest
from django.test import Client

from tests.back_office.conftest import refusal, words
from tests.back_office.market import Market


def test_a_number_with_one_match_redirects_to_it(operator: Client, market: Market) -> None:
    trade = market.trade("BTC-USD", 2_000_000, 5_000, maker=1, taker=2)
    market.settle()
    assert operator.get(f"/admin/find/?q={trade.trade_id}")["Location"] == f"/admin/trades/{trade.trade_id}/"


def test_a_number_with_several_matches_shows_a_list(operator: Client, market: Market) -> None:
    page = words(operator.get("/admin/find/?q=1"))
    assert "Account 1 Block 1" in page
    assert "Order 1" not in page


def test_a_symbol_redirects_to_its_trades(operator: Client, market: Market) -> None:
    assert operator.get("/admin/find/?q=%20btc-usd%20")["Location"] == "/admin/trades/?symbol=BTC-USD"


@pytest.mark.parametrize("term", ["5000", "9223372036854775807"])
def test_a_number_without_a_match_shows_a_message(operator: Client, market: Market, term: str) -> None:
    assert f"No settled trade, order, account or block has the number {term}." in words(
        operator.get(f"/admin/find/?q={term}")
    )


@pytest.mark.parametrize("term", ["", "no such thing", "9223372036854775808", "-1", "x" * 500])
def test_any_other_text_shows_what_can_be_searched(operator: Client, market: Market, term: str) -> None:
    response = operator.get(f"/admin/find/?q={term}")
    assert response.status_code == 400
    assert refusal(response).startswith("Type the number of a trade")
