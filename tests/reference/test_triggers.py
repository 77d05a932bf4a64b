"""Trigger orders: when they are triggered, in which order, and what they do then."""

import pytest

from tests.reference.limits import Limits
from tests.reference.tape import PLENTY, Tape


def _tape(last: int = 100, **definition: object) -> Tape:
    tape = Tape(**definition)  # type: ignore[arg-type]
    tape.trade_at(last)
    return tape


@pytest.mark.parametrize(
    ("order_type", "side", "trigger", "before"),
    [
        ("stop_loss", "buy", 105, 104),
        ("stop_loss", "sell", 95, 96),
        ("take_profit", "buy", 95, 96),
        ("take_profit", "sell", 105, 104),
        ("stop_loss_limit", "buy", 105, 104),
        ("take_profit_limit", "sell", 105, 104),
    ],
)
def test_a_trade_at_the_trigger_price_triggers_and_one_tick_before_it_does_not(
    order_type: str, side: str, trigger: int, before: int
) -> None:
    tape = _tape()
    more = {"price": str(trigger)} if order_type.endswith("limit") else {}
    assert tape.trigger("t", 1, side, order_type, trigger, **more) == ["t accepted"]
    assert tape.waiting() == [f"t {side} 1 at {trigger}"]
    assert tape.trade_at(before) == []
    assert tape.trade_at(trigger)[0] == "t triggered"
    assert tape.waiting() == []


@pytest.mark.parametrize(
    ("order_type", "side", "trigger"),
    [("stop_loss", "buy", 100), ("stop_loss", "sell", 100), ("take_profit", "buy", 101), ("take_profit", "sell", 99)],
)
def test_an_order_that_the_last_trade_would_trigger_is_refused(order_type: str, side: str, trigger: int) -> None:
    assert _tape().trigger("t", 1, side, order_type, trigger) == ["refused would_trigger_immediately"]
    assert Tape().trigger("t", 1, side, order_type, trigger) == ["t accepted"], "there was no trade"


def test_every_trade_of_a_command_counts_not_only_the_last() -> None:
    tape = _tape()
    for price in (101, 105):
        tape.place(f"a{price}", 2, "sell", price, 1)
    tape.place("b90", 2, "buy", 90, 5)
    tape.trigger("s", 1, "sell", "take_profit", 105)
    tape.trigger("early", 1, "sell", "take_profit", 101)
    assert tape.place("x", 3, "buy", 105, 2)[-4:] == [
        *("early triggered", "early trades 1 at 90 with b90", "s triggered", "s trades 1 at 90 with b90"),
    ]


def test_rising_triggers_go_first_by_price_then_falling_ones_from_the_highest_and_equals_by_age() -> None:
    tape = _tape()
    names = [("r3", "buy", "stop_loss", 103), ("r1", "sell", "take_profit", 101), ("r3b", "sell", "take_profit", 103)]
    names += [("f1", "sell", "stop_loss", 97), ("f2", "buy", "take_profit", 98), ("f2b", "sell", "stop_loss", 98)]
    for name, side, order_type, trigger in names:
        tape.trigger(name, 1, side, order_type, trigger)
    tape.place("up", 2, "sell", 103, 1)
    tape.place("down", 2, "sell", 97, 1)
    tape.do("cancel_all", account=2)
    tape.place("up", 2, "sell", 104, 1)
    # One command that trades at 97 first, then at 104.
    tape.place("low", 2, "sell", 97, 1)
    told = tape.place("x", 3, "buy", 104, 2)
    assert [line for line in told if line.endswith("triggered")] == [
        *("r1 triggered", "r3 triggered", "r3b triggered", "f2 triggered", "f2b triggered", "f1 triggered"),
    ]


def test_what_a_triggered_order_triggers_goes_to_the_end_of_the_queue() -> None:
    tape = _tape()
    for price in (102, 103, 104):
        tape.place(f"a{price}", 2, "sell", price, 1)
    tape.trigger("first", 1, "buy", "stop_loss", 101)
    tape.trigger("second", 1, "buy", "stop_loss", 101)
    tape.trigger("caused", 1, "buy", "stop_loss", 102)
    assert tape.trade_at(101) == [
        *("first triggered", "first trades 1 at 102 with a102"),
        *("second triggered", "second trades 1 at 103 with a103"),
        *("caused triggered", "caused trades 1 at 104 with a104"),
    ]


def test_an_order_in_the_queue_that_an_earlier_one_cancels_does_nothing() -> None:
    tape = _tape()
    tape.oco("o", 1, "sell", (110, 95))
    tape.trigger("first", 1, "buy", "take_profit", 96, self_trade_prevention="expire_maker")
    assert tape.trade_at(95) == [
        *("first triggered", "o cancelled self_trade 1", "o-stop cancelled oco 1", "first cancelled no_liquidity 1"),
    ]
    assert tape.waiting() == []


def test_the_stop_leg_that_is_in_the_queue_goes_when_its_limit_leg_trades_first() -> None:
    tape = _tape()
    tape.trigger("first", 2, "sell", "take_profit", 104)
    tape.oco("o", 1, "buy", (95, 105))
    tape.place("ask", 3, "sell", 105, 1)
    assert tape.place("x", 4, "buy", 105, 1)[2:] == [
        *("first triggered", "o-stop cancelled oco 1", "first trades 1 at 95 with o"),
    ]
    assert tape.waiting() == []


# What they hold


def test_a_waiting_sell_locks_the_base_and_a_buy_its_price_or_its_trigger_price() -> None:
    tape = _tape()
    tape.trigger("s", 1, "sell", "stop_loss", 90, quantity="3")
    assert tape.balance(1, "BASE") == (str(PLENTY - 3), "3")
    tape.trigger("b", 2, "buy", "stop_loss", 110, quantity="3")
    assert tape.balance(2, "QUOTE") == (str(PLENTY - 330), "330")
    tape.trigger("l", 2, "buy", "stop_loss_limit", 110, price="120", quantity="2")
    assert tape.balance(2, "QUOTE") == (str(PLENTY - 570), "570")
    assert tape.cancel("b", 2) == ["b cancelled user 3"]
    assert tape.balance(2, "QUOTE") == (str(PLENTY - 240), "240")


def test_a_triggered_buy_without_a_price_locks_what_it_would_take() -> None:
    tape = _tape()
    tape.place("ask", 2, "sell", 120, 2)
    tape.trigger("b", 1, "buy", "stop_loss", 110, quantity="3")
    tape.place("moves", 3, "sell", 110, 1)
    events = tape.do("order", account=4, symbol="BASE-QUOTE", side="buy", order_type="market", quantity="1")
    assert tape.read(events[-3:]) == ["b triggered", "b trades 2 at 120 with ask", "b cancelled no_liquidity 1"]
    # 3 lots at 110 were held; 2 lots at 120 are needed.
    assert tape.ledger_of(events[-3:-2]) == [(0, 1, "QUOTE", "unlock", 90, -90)]


def test_a_triggered_buy_that_cannot_pay_is_cancelled() -> None:
    tape = Tape(plenty=0)
    for account, asset, amount in ((1, "QUOTE", 120), (2, "BASE", 9), (3, "BASE", 9), (4, "QUOTE", 900)):
        tape.deposit(account, asset, amount)
    tape.place("ask", 2, "sell", 121, 1)
    tape.trigger("b", 1, "buy", "stop_loss", 110)
    assert tape.trade_at(110) == ["b triggered", "b cancelled insufficient_balance 1"]
    assert tape.balance(1, "QUOTE") == ("120", "0")
    tape.deposit(1, "QUOTE", 1)
    tape.trade_at(100)
    tape.trigger("b", 1, "buy", "stop_loss", 110)
    assert tape.trade_at(110) == ["b triggered", "b trades 1 at 121 with ask"]
    assert tape.balance(1, "QUOTE") == ("0", "0")


def test_a_triggered_order_with_a_price_rests_and_can_be_replaced_but_not_before() -> None:
    tape = _tape()
    tape.trigger("l", 1, "sell", "stop_loss_limit", 95, price="97")
    assert tape.replace("l", 1, 98, 1) == ["refused not_replaceable"]
    assert tape.trade_at(95) == ["l triggered"]
    assert tape.book() == ["l sell 1 at 97"]
    assert tape.replace("l", 1, 96, 2) == ["l loses its place"]
    assert tape.trade_at(94) == []


@pytest.mark.parametrize(("time_in_force", "reason"), [("ioc", "ioc"), ("fok", "fok_not_fillable")])
def test_a_triggered_order_obeys_its_time_in_force(time_in_force: str, reason: str) -> None:
    tape = _tape()
    tape.place("bid", 2, "buy", 90, 1)
    more = {"price": "90", "quantity": "2", "time_in_force": time_in_force}
    tape.trigger("l", 1, "sell", "stop_loss_limit", 95, **more)
    told = tape.trade_at(95)
    trades = ["l trades 1 at 90 with bid"] if time_in_force == "ioc" else []
    assert told == ["l triggered", *trades, f"l cancelled {reason} {2 - len(trades)}"]


def test_an_order_of_a_restricted_account_waits_and_is_cancelled_when_it_is_triggered() -> None:
    tape = _tape()
    tape.trigger("t", 1, "sell", "stop_loss", 95)
    tape.oco("o", 1, "sell", (110, 95))
    tape.place("rests", 1, "sell", 96, 1)
    tape.account_status(1, "no_trading")
    assert tape.trigger("x", 1, "sell", "stop_loss", 90) == ["refused account_restricted"]
    assert tape.replace("rests", 1, 97, 1) == ["refused account_restricted"]
    assert tape.trade_at(95) == [
        *("t triggered", "t cancelled account_restricted 1"),
        *("o cancelled oco 1", "o-stop triggered", "o-stop cancelled account_restricted 1"),
    ]
    assert tape.place("buys", 2, "buy", 96, 1) == ["buys accepted", "buys trades 1 at 96 with rests"]
    assert tape.balance(1, "BASE") == (str(PLENTY - 1), "0")


# Bounded work


def test_a_command_that_has_written_enough_leaves_the_queue_to_the_next_one() -> None:
    tape = _tape(limits=Limits(events=5))
    tape.place("bids", 2, "buy", 90, 9)
    for name in ("t1", "t2", "t3"):
        tape.trigger(name, 1, "sell", "stop_loss", 95)
    tape.place("x", 3, "sell", 95, 1)
    assert tape.place("y", 4, "buy", 95, 1) == [
        *("y accepted", "y trades 1 at 95 with x"),
        *("t1 triggered", "t1 trades 1 at 90 with bids"),
        *("t2 triggered", "t2 trades 1 at 90 with bids"),
    ]
    assert tape.waiting() == ["t3 sell 1 at 95"]
    assert tape.place("bad", 3, "sell", 0, 1) == [
        *("t3 triggered", "t3 trades 1 at 90 with bids", "refused invalid_price"),
    ]


def test_what_was_left_in_the_queue_can_still_be_cancelled_only_by_what_comes_after_it() -> None:
    tape = _tape(limits=Limits(events=2))
    tape.place("bids", 2, "buy", 90, 9)
    tape.trigger("t1", 1, "sell", "stop_loss", 95)
    tape.trade_at(95)
    assert tape.waiting() == ["t1 sell 1 at 95"]
    assert tape.cancel("t1", 1) == ["t1 triggered", "t1 trades 1 at 90 with bids", "refused unknown_order"]


def test_an_order_placed_after_the_left_ones_have_traded_is_judged_by_their_last_price() -> None:
    tape = _tape(limits=Limits(events=2))
    tape.place("bids", 2, "buy", 90, 9)
    tape.trigger("t1", 1, "sell", "stop_loss", 95)
    tape.trade_at(95)
    told = tape.trigger("t2", 3, "sell", "stop_loss", 92)
    assert told == ["t1 triggered", "t1 trades 1 at 90 with bids", "refused would_trigger_immediately"]


def test_a_taker_meets_so_many_makers_and_its_rest_is_cancelled() -> None:
    tape = _tape(limits=Limits(makers=2))
    for name in ("a1", "a2", "a3"):
        tape.place(name, 2, "sell", 101, 1)
    fok = {"time_in_force": "fok"}
    assert tape.place("f", 1, "buy", 101, 3, **fok) == ["f accepted", "f cancelled fok_not_fillable 3"]
    assert tape.place("x", 1, "buy", 101, 5) == [
        *("x accepted", "x trades 1 at 101 with a1", "x trades 1 at 101 with a2", "x cancelled work_limit 3"),
    ]
    assert tape.place("y", 1, "buy", 101, 5) == ["y accepted", "y trades 1 at 101 with a3"]
    assert tape.book() == ["y buy 4 at 101"]


def test_an_order_that_is_done_after_the_last_maker_it_may_meet_ends_as_ever() -> None:
    tape = _tape(limits=Limits(makers=1))
    tape.place("a1", 2, "sell", 10, 1)
    tape.place("a2", 2, "sell", 20, 1)
    assert tape.market("x", 1, "buy", quote_quantity="25")[1:] == [
        *("x trades 1 at 10 with a1", "x cancelled quote_quantity_used quote 15"),
    ]
    tape.place("a1", 2, "sell", 10, 1)
    assert tape.market("y", 1, "buy", quote_quantity="30")[1:] == [
        *("y trades 1 at 10 with a1", "y cancelled work_limit quote 20"),
    ]


def test_cancel_all_cancels_so_many_orders_and_can_be_sent_again() -> None:
    tape = _tape(limits=Limits(cancelled=2))
    for name in ("o1", "o2", "o3"):
        tape.place(name, 1, "buy", 90, 1)
    assert tape.read(tape.do("cancel_all", account=1)) == ["o1 cancelled user 1", "o2 cancelled user 1", "2 cancelled"]
    assert tape.read(tape.do("cancel_all", account=1)) == ["o3 cancelled user 1", "1 cancelled"]


def test_a_stop_leg_that_cancel_all_does_not_reach_holds_what_it_needs_by_itself() -> None:
    tape = _tape(limits=Limits(cancelled=1))
    tape.oco("o", 1, "sell", (110, 95), quantity="3")
    assert tape.balance(1, "BASE") == (str(PLENTY - 3), "3")
    assert tape.read(tape.do("cancel_all", account=1)) == ["o cancelled user 3", "1 cancelled"]
    assert tape.balance(1, "BASE") == (str(PLENTY - 3), "3")
    assert tape.trade_at(95) == ["o-stop triggered", "o-stop cancelled no_liquidity 3"]
