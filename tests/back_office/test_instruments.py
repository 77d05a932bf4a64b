from django.test import Client

from matching.core.codes import CommandKind
from settlement.stores.base import Store
from tests.back_office.conftest import words
from tests.back_office.market import Market


def test_an_instrument_is_shown_with_its_limits_and_fees(operator: Client, market: Market) -> None:
    page = words(operator.get("/admin/instruments/"))
    assert "BTC-USD trading 0.01 USD 0.0001 BTC 0.0001 100000 0 USD 1000 2000 none no limit" in page


def test_changed_values_are_shown(operator: Client, market: Market) -> None:
    change = {"price_band": 50_000, "max_open_orders": 200, "min_notional": "10", "taker_fee": 0}
    market._define([(CommandKind.INSTRUMENT_UPDATE, {"command": "instrument_update", "symbol": "BTC-USD", **change})])
    market.settle()
    page = words(operator.get("/admin/instruments/"))
    assert "BTC-USD trading 0.01 USD 0.0001 BTC 0.0001 100000 10 USD 1000 0 50000 200" in page


def test_without_instruments_the_page_says_how_to_add_one(operator: Client, store: Store) -> None:
    assert "There is no instrument yet." in words(operator.get("/admin/instruments/"))
