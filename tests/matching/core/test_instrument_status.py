"""What an instrument that does not trade still accepts."""

import pytest

from tests.matching.core.test_limits import Market

TARGET = {"account": 1, "symbol": "BASE-QUOTE", "client_order_id": "a"}


@pytest.fixture
def market() -> Market:
    """With one resting order."""
    made = Market()
    made.fund_all()
    made.order(1, "sell", 5, 2, client_order_id="a")
    return made


def test_a_halted_instrument_refuses_everything_and_keeps_its_orders(market: Market) -> None:
    market.do("instrument_status", symbol="BASE-QUOTE", status="halted")
    assert market.refused(2, "buy", 5, 1) == "instrument_halted"
    assert market.refusal("replace", **TARGET, price="6", quantity="2") == "instrument_halted"
    assert market.refusal("cancel", **TARGET) == "instrument_halted"
    assert market.refusal("cancel_all", account=1, symbol="BASE-QUOTE") == "instrument_halted"
    assert market.do("cancel_all", account=1)[-1]["count"] == 0  # of all instruments: the halted one is left out
    market.check()
    market.do("instrument_status", symbol="BASE-QUOTE", status="trading")
    assert market.order(2, "buy", 5, 2)[-1]["event"] == "trade"
    market.check()


@pytest.mark.parametrize("command", [("cancel", TARGET), ("cancel_all", {"account": 1})])
def test_a_cancel_only_instrument_refuses_orders_and_lets_them_be_cancelled(
    command: tuple[str, dict[str, object]], market: Market
) -> None:
    market.do("instrument_status", symbol="BASE-QUOTE", status="cancel_only")
    assert market.refused(2, "buy", 5, 1) == "instrument_halted"
    assert market.refusal("replace", **TARGET, price="6", quantity="2") == "instrument_halted"
    name, fields = command
    assert market.do(name, **fields)[0]["event"] == "order_cancelled"
    market.check()


def test_an_order_id_names_an_order_only_to_its_account(market: Market) -> None:
    (order,) = market.reference.open_orders()
    target = {"symbol": "BASE-QUOTE", "order_id": order["order_id"]}
    assert market.refusal("cancel", account=2, **target) == "unknown_order"
    assert market.refusal("replace", account=2, **target, price="6", quantity="2") == "unknown_order"
    assert market.refusal("cancel", account=1, **target) is None
    market.check()
