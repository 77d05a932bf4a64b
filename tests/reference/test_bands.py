"""Price bands: which limit prices are taken, and where market and triggered orders end."""

import pytest

from tests.reference.tape import PLENTY, Tape


def _tape(band: int = 100_000, last: int = 100) -> Tape:
    tape = Tape()
    tape.trade_at(last)
    tape.update(price_band=band)
    return tape


@pytest.mark.parametrize(
    ("last", "band", "lowest", "highest"),
    [
        (100, 100_000, 90, 110),
        (100, 1, 99, 101),
        (105, 100_000, 95, 115),  # ceil(94.5), floor(115.5)
        (1, 999_999, 0, 2),
        (3, 100_000, 2, 4),
        (1_000_000, 7, 999_993, 1_000_007),
    ],
)
def test_the_band_lies_around_the_last_price_and_at_least_one_tick_wide(
    last: int, band: int, lowest: int, highest: int
) -> None:
    tape = _tape(band, last)
    if lowest > 1:
        assert tape.place("x", 1, "buy", lowest - 1, 1) == ["refused price_out_of_band"]
    assert tape.place("x", 1, "sell", highest + 1, 1) == ["refused price_out_of_band"]
    if lowest > 0:
        assert tape.place("l", 1, "buy", lowest, 1) == ["l accepted"]
    assert tape.place("h", 1, "sell", highest, 1) == ["h accepted"]


def test_there_is_no_band_before_the_first_trade() -> None:
    tape = Tape(price_band=1)
    assert tape.place("x", 1, "buy", 10**6, 1) == ["x accepted"]


def test_only_limit_prices_are_judged() -> None:
    tape = _tape()
    assert tape.trigger("t", 1, "sell", "stop_loss_limit", 50, price="20") == ["t accepted"]
    assert tape.oco("o", 1, "sell", (110, 50), stop_price="20") == ["o accepted", "o-stop accepted"]
    refused = ["refused price_out_of_band", "refused previous_refused"]
    assert tape.oco("p", 1, "sell", (111, 50), stop_price="20") == refused


def test_a_replace_is_judged_only_if_it_takes_a_new_place() -> None:
    tape = _tape(band=0)
    tape.place("far", 1, "sell", 150, 5)
    tape.update(price_band=100_000)
    assert tape.replace("far", 1, 150, 4) == ["far keeps its place"]
    assert tape.replace("far", 1, 150, 5) == ["refused price_out_of_band"]
    assert tape.replace("far", 1, 110, 5) == ["far loses its place"]


@pytest.mark.parametrize(("side", "inside", "outside"), [("buy", 110, 111), ("sell", 90, 89)])
def test_a_market_order_ends_at_the_band(side: str, inside: int, outside: int) -> None:
    tape = _tape(band=0)
    other = "sell" if side == "buy" else "buy"
    tape.place("in", 1, other, inside, 1)
    tape.place("out", 1, other, outside, 5)
    tape.update(price_band=100_000)
    assert tape.market("x", 2, side, quantity="3")[1:] == [
        *(f"x trades 1 at {inside} with in", "x cancelled price_band 2"),
    ]
    tape.update(price_band=0)
    tape.trade_at(100)
    tape.update(price_band=100_000)
    assert tape.market("y", 2, side, quote_quantity="150")[1:] == ["y cancelled price_band quote 150"]
    assert {tape.balance(2, asset)[1] for asset in ("BASE", "QUOTE")} == {"0"}


def test_a_market_order_that_pays_for_no_lot_at_the_next_price_is_done_before_the_band_ends_it() -> None:
    tape = _tape(band=0)
    tape.place("in", 1, "sell", 110, 1)
    tape.place("out", 1, "sell", 111, 1)
    tape.update(price_band=100_000)
    assert tape.market("x", 2, "buy", quote_quantity="220")[-1] == "x cancelled quote_quantity_used quote 110"


def test_the_band_comes_before_self_trade_prevention() -> None:
    tape = _tape(band=0)
    tape.place("own", 1, "sell", 111, 1)
    tape.update(price_band=100_000)
    assert tape.market("x", 1, "buy", quantity="1", self_trade_prevention="expire_both") == [
        *("x accepted", "x cancelled price_band 1"),
    ]
    assert tape.book() == ["own sell 1 at 111"]


def test_a_market_order_meets_no_maker_outside_the_band_also_where_that_would_be_better() -> None:
    tape = _tape(band=0)
    tape.place("cheap", 1, "sell", 50, 1)
    tape.update(price_band=100_000)
    assert tape.market("x", 2, "buy", quantity="1") == ["x accepted", "x cancelled price_band 1"]
    assert tape.place("y", 2, "buy", 90, 1) == ["y accepted", "y trades 1 at 50 with cheap"]


def test_a_replaced_order_meets_a_better_price_outside_the_band_as_a_limit_order_does() -> None:
    tape = _tape(band=0)
    tape.place("bid", 2, "buy", 40, 1)
    tape.place("cheap", 1, "sell", 50, 1)
    tape.update(price_band=100_000)
    assert tape.replace("bid", 2, 90, 1) == ["bid loses its place", "bid trades 1 at 50 with cheap"]


def test_a_triggered_order_ends_at_the_band_of_before_the_command() -> None:
    tape = _tape(band=0)
    for price in (95, 91, 89):
        tape.place(f"b{price}", 2, "buy", price, 1)
    tape.trigger("market", 1, "sell", "stop_loss", 95, quantity="1")
    tape.trigger("limit", 1, "sell", "stop_loss_limit", 95, price="80", quantity="1")
    tape.trigger("rests", 1, "sell", "stop_loss_limit", 95, price="92", quantity="1")
    tape.trigger("whole", 1, "sell", "stop_loss_limit", 95, price="80", time_in_force="fok")
    tape.update(price_band=100_000)
    assert tape.place("x", 3, "sell", 95, 1)[2:] == [
        *("market triggered", "market trades 1 at 91 with b91"),
        *("limit triggered", "limit cancelled price_band 1"),
        "rests triggered",
        *("whole triggered", "whole cancelled fok_not_fillable 1"),
    ]
    assert tape.book() == ["b89 buy 1 at 89", "rests sell 1 at 92"]
    # The last price is 91 now: the band begins at 82.
    assert tape.market("y", 3, "sell", quantity="1")[1:] == ["y trades 1 at 89 with b89"]


def test_what_a_market_order_would_take_is_reckoned_inside_the_band() -> None:
    tape = Tape(plenty=0)
    for account, asset, amount in ((1, "BASE", 9), (2, "QUOTE", 110), (3, "BASE", 9), (4, "QUOTE", 900)):
        tape.deposit(account, asset, amount)
    tape.trade_at(100)
    tape.place("in", 1, "sell", 110, 1)
    tape.place("out", 1, "sell", 111, 1)
    assert tape.market("x", 2, "buy", quantity="2") == ["refused insufficient_balance"]
    tape.update(price_band=100_000)
    assert tape.market("y", 2, "buy", quantity="2")[-1] == "y cancelled price_band 1"


def test_quote_quantity_too_small_looks_at_the_best_price_inside_the_band_or_not() -> None:
    tape = _tape(band=0)
    tape.place("out", 1, "sell", 200, 1)
    tape.update(price_band=100_000)
    assert tape.market("x", 2, "buy", quote_quantity="199") == ["refused quote_quantity_too_small"]
    assert tape.market("y", 2, "buy", quote_quantity="200")[-1] == "y cancelled price_band quote 200"
    assert tape.balance(2, "QUOTE") == (str(PLENTY), "0")
