"""docs/semantics.md, sections 5 and 6, as scenarios: which orders trade, in which order, and what remains."""

import pytest

from tests.reference.tape import PLENTY, Tape

MODES = ("none", "expire_taker", "expire_maker", "expire_both")


def test_better_prices_trade_first_then_older_orders() -> None:
    tape = Tape()
    tape.place("o1", 1, "sell", 11, 1)
    tape.place("o2", 2, "sell", 10, 2)
    tape.place("o3", 1, "sell", 10, 2)
    assert tape.place("bid", 3, "buy", 12, 4) == [
        "bid accepted",
        "bid trades 2 at 10 with o2",
        "bid trades 2 at 10 with o3",
    ]
    assert tape.book() == ["o1 sell 1 at 11"]


def test_a_partly_filled_order_keeps_its_place() -> None:
    tape = Tape()
    tape.place("o1", 1, "buy", 100, 5)
    tape.place("o2", 2, "buy", 100, 5)
    tape.place("o3", 3, "sell", 100, 2)
    assert tape.place("o4", 3, "sell", 99, 5)[1:] == ["o4 trades 3 at 100 with o1", "o4 trades 2 at 100 with o2"]
    assert tape.book() == ["o2 buy 3 at 100"]


def test_the_rest_of_a_limit_order_rests_or_is_cancelled() -> None:
    tape = Tape()
    tape.place("ask", 1, "sell", 10, 1)
    assert tape.place("now", 2, "buy", 10, 3, time_in_force="ioc")[-1] == "now cancelled ioc 2"
    assert tape.place("none", 2, "buy", 10, 3, time_in_force="ioc") == ["none accepted", "none cancelled ioc 3"]
    tape.place("ask", 1, "sell", 10, 1)
    tape.place("rest", 2, "buy", 10, 3)
    assert tape.book() == ["rest buy 2 at 10"]
    assert tape.balance(2, "QUOTE") == (str(PLENTY - 40), "20")


def test_fok_fills_completely_or_trades_nothing() -> None:
    tape = Tape()
    tape.place("o1", 1, "sell", 10, 2)
    tape.place("o2", 1, "sell", 11, 2)
    fok = {"time_in_force": "fok"}
    assert tape.place("w", 2, "buy", 10, 3, **fok) == ["w accepted", "w cancelled fok_not_fillable 3"]
    assert tape.place("x", 2, "buy", 11, 5, **fok) == ["x accepted", "x cancelled fok_not_fillable 5"]
    assert tape.place("y", 2, "buy", 11, 4, **fok) == [
        "y accepted",
        "y trades 2 at 10 with o1",
        "y trades 2 at 11 with o2",
    ]


def test_post_only_is_refused_whoever_owns_the_other_order() -> None:
    tape = Tape()
    tape.place("ask", 1, "sell", 10, 1)
    for mode in MODES:
        more = {"post_only": True, "self_trade_prevention": mode}
        assert tape.place("x", 1, "buy", 10, 1, **more) == ["refused post_only_would_match"]
    assert tape.place("bid", 1, "buy", 9, 1, post_only=True) == ["bid accepted"]


def test_a_market_order_takes_the_available_quantity_and_the_rest_is_cancelled() -> None:
    tape = Tape()
    tape.place("o1", 1, "buy", 10, 2)
    assert tape.market("x", 2, "sell", quantity="3") == [
        *("x accepted", "x trades 2 at 10 with o1", "x cancelled no_liquidity 1"),
    ]
    assert tape.balance(2, "BASE") == (str(PLENTY - 2), "0")


def test_a_market_buy_needs_exactly_the_cost_of_its_trades() -> None:
    tape = Tape(plenty=100)
    tape.place("o1", 1, "sell", 10, 5)
    tape.place("o2", 1, "sell", 25, 5)
    assert tape.market("x", 2, "buy", quantity="8") == ["refused insufficient_balance"]
    assert tape.market("y", 2, "buy", quantity="7")[1:] == ["y trades 5 at 10 with o1", "y trades 2 at 25 with o2"]
    assert tape.balance(2, "QUOTE") == ("0", "0")


def test_a_market_buy_larger_than_the_book_costs_the_whole_book() -> None:
    tape = Tape(plenty=100)
    tape.place("o1", 1, "sell", 20, 5)
    assert tape.market("x", 2, "buy", quantity="1000")[1:] == [
        *("x trades 5 at 20 with o1", "x cancelled no_liquidity 995"),
    ]


# Market buys by quote_quantity


def test_a_market_buy_by_quote_is_done_when_the_next_lot_costs_too_much() -> None:
    tape = Tape()
    tape.place("o1", 1, "sell", 10, 2)
    tape.place("o2", 1, "sell", 15, 2)
    assert tape.market("x", 2, "buy", quote_quantity="49") == [
        *("x accepted", "x trades 2 at 10 with o1", "x trades 1 at 15 with o2"),
        "x cancelled quote_quantity_used quote 14",
    ]
    assert tape.balance(2, "QUOTE") == (str(PLENTY - 35), "0")
    assert tape.exchange.ledger[-1]["kind"] == "unlock"
    assert tape.exchange.ledger[-1]["delta_available"] == 14
    assert tape.exchange.ledger[-1]["event_sequence"] == tape.exchange.state.journal.event_count


def test_a_market_buy_by_quote_with_money_left_is_cancelled_when_the_side_is_empty() -> None:
    tape = Tape()
    tape.place("o1", 1, "sell", 10, 2)
    assert tape.market("x", 2, "buy", quote_quantity="21")[1:] == [
        *("x trades 2 at 10 with o1", "x cancelled no_liquidity quote 1"),
    ]


def test_a_market_buy_by_quote_that_has_spent_all_is_done_also_when_the_side_is_empty() -> None:
    tape = Tape()
    tape.place("o1", 1, "sell", 10, 2)
    assert tape.market("x", 2, "buy", quote_quantity="20") == [
        *("x accepted", "x trades 2 at 10 with o1", "x cancelled quote_quantity_used quote 0"),
    ]


def test_a_market_buy_by_quote_that_cannot_pay_for_the_next_lot_does_not_meet_its_own_order() -> None:
    tape = Tape()
    tape.place("o1", 1, "sell", 10, 1)
    tape.place("own", 2, "sell", 15, 1)
    assert tape.market("x", 2, "buy", quote_quantity="24", self_trade_prevention="expire_both") == [
        *("x accepted", "x trades 1 at 10 with o1", "x cancelled quote_quantity_used quote 14"),
    ]
    assert tape.book() == ["own sell 1 at 15"]


def test_quote_quantity_too_small_looks_at_the_best_price_whoever_owns_it() -> None:
    tape = Tape()
    tape.place("own", 2, "sell", 10, 1)
    tape.place("o1", 1, "sell", 15, 1)
    more = {"self_trade_prevention": "expire_maker"}
    assert tape.market("x", 2, "buy", quote_quantity="9", **more) == ["refused quote_quantity_too_small"]
    assert tape.market("x", 2, "buy", quote_quantity="12", **more) == [
        *("x accepted", "own cancelled self_trade 1", "x cancelled quote_quantity_used quote 12"),
    ]
    assert tape.balance(2, "QUOTE") == (str(PLENTY), "0")


# Self-trade prevention


@pytest.mark.parametrize(
    ("mode", "expected", "book"),
    [
        ("none", ["x trades 1 at 10 with o1", "x trades 2 at 10 with own", "x trades 1 at 10 with o2"], []),
        ("expire_taker", ["x trades 1 at 10 with o1", "x cancelled self_trade 3"], ["own", "o2"]),
        (
            "expire_maker",
            ["x trades 1 at 10 with o1", "own cancelled self_trade 2", "x trades 1 at 10 with o2"],
            ["x"],
        ),
        (
            "expire_both",
            ["x trades 1 at 10 with o1", "own cancelled self_trade 2", "x cancelled self_trade 3"],
            ["o2"],
        ),
    ],
)
def test_the_takers_mode_decides_a_match_with_an_order_of_its_account(
    mode: str, expected: list[str], book: list[str]
) -> None:
    tape = Tape()
    tape.place("o1", 1, "sell", 10, 1)
    tape.place("own", 2, "sell", 10, 2, self_trade_prevention="expire_both")
    tape.place("o2", 1, "sell", 10, 1)
    assert tape.place("x", 2, "buy", 10, 4, self_trade_prevention=mode)[1:] == expected
    assert [row.split()[0] for row in tape.book()] == book


def test_the_default_self_trade_mode_is_expire_taker() -> None:
    tape = Tape()
    tape.place("own", 2, "sell", 10, 2)
    assert tape.place("x", 2, "buy", 10, 4) == ["x accepted", "x cancelled self_trade 4"]


@pytest.mark.parametrize(
    ("mode", "fillable"), [("none", 4), ("expire_taker", 1), ("expire_maker", 2), ("expire_both", 1)]
)
def test_fok_counts_available_quantity_under_its_own_self_trade_mode(mode: str, fillable: int) -> None:
    more = {"time_in_force": "fok", "self_trade_prevention": mode}
    for quantity in range(1, 6):
        tape = Tape()
        tape.place("o1", 1, "sell", 10, 1)
        tape.place("own", 2, "sell", 10, 2)
        tape.place("o2", 1, "sell", 10, 1)
        told = tape.place("x", 2, "buy", 10, quantity, **more)
        assert told[0] == "x accepted"
        assert (f"x cancelled fok_not_fillable {quantity}" in told) == (quantity > fillable)
        assert any(" trades " in line for line in told) == (quantity <= fillable)


def test_fok_under_expire_maker_cancels_only_the_orders_it_passes() -> None:
    tape = Tape()
    tape.place("o1", 1, "sell", 10, 1)
    tape.place("own", 2, "sell", 10, 2)
    more = {"time_in_force": "fok", "self_trade_prevention": "expire_maker"}
    assert tape.place("x", 2, "buy", 10, 1, **more) == ["x accepted", "x trades 1 at 10 with o1"]
    assert tape.book() == ["own sell 2 at 10"]


@pytest.mark.parametrize(
    ("mode", "cost"), [("none", 60), ("expire_taker", 10), ("expire_maker", 40), ("expire_both", 10)]
)
def test_the_cost_of_a_market_buy_is_computed_under_its_own_self_trade_mode(mode: str, cost: int) -> None:
    """One lot at 10, one of its own at 20, one at 30; wants three."""
    for money, enough in ((cost - 1, False), (cost, True)):
        tape = Tape(plenty=0)
        tape.deposit(1, "BASE", 2)
        tape.deposit(2, "BASE", 1)
        tape.deposit(2, "QUOTE", money)
        tape.place("o1", 1, "sell", 10, 1)
        tape.place("own", 2, "sell", 20, 1)
        tape.place("o2", 1, "sell", 30, 1)
        told = tape.market("x", 2, "buy", quantity="3", self_trade_prevention=mode)
        assert told[0] == ("x accepted" if enough else "refused insufficient_balance")
        assert tape.balance(2, "QUOTE")[1] == "0"


def test_a_market_buy_that_meets_only_itself_costs_nothing() -> None:
    tape = Tape(plenty=0)
    tape.deposit(2, "BASE", 5)
    tape.place("own", 2, "sell", 10, 5)
    assert tape.market("x", 2, "buy", quantity="3") == ["x accepted", "x cancelled self_trade 3"]
    assert tape.market("y", 2, "buy", quantity="3", self_trade_prevention="expire_maker") == [
        *("y accepted", "own cancelled self_trade 5", "y cancelled no_liquidity 3"),
    ]


# Replace


def test_replace_keeps_priority_only_at_the_same_price_without_more_quantity() -> None:
    for price, quantity, outcome in [
        (10, 5, "keeps"),
        (10, 4, "keeps"),
        (10, 6, "loses"),
        (9, 5, "loses"),
        (11, 1, "loses"),
    ]:
        tape = Tape()
        tape.place("o1", 1, "buy", 10, 5)
        tape.place("o2", 2, "buy", 10, 5)
        assert tape.replace("o1", 1, price, quantity) == [f"o1 {outcome} its place"]
        first = "o1" if outcome == "keeps" or price > 10 else "o2"
        assert tape.book()[0].startswith(first)
        assert tape.balance(1, "QUOTE") == (str(PLENTY - price * quantity), str(price * quantity))


def test_the_quantity_of_a_replaced_order_is_what_has_traded_plus_what_is_open() -> None:
    tape = Tape()
    tape.place("o1", 1, "buy", 10, 5)
    tape.place("o2", 2, "sell", 10, 2)
    assert tape.replace("o1", 1, 10, 3) == ["o1 keeps its place"]
    assert tape.replace("o1", 1, 10, 4) == ["o1 loses its place"]
    row = tape.exchange.open_orders()[0]
    assert (row["quantity"], row["remaining"]) == ("6", "4")


def test_the_total_quantity_of_an_order_replaced_many_times_stays_in_int64() -> None:
    tape = Tape(plenty=0)
    tape.deposit(1, "QUOTE", 2**62)
    tape.deposit(2, "BASE", 2**62)
    tape.place("bid", 1, "buy", 1, 2**62)
    for turn in (1, 2):
        tape.place("ask", 2, "sell", 1, 2**62 - 1)
        # What was paid and what was bought go back to where they came from.
        for giver, taker, asset in ((2, 1, "QUOTE"), (1, 2, "BASE")):
            moved = {"asset": asset, "amount": str(2**62 - 1), "reference": f"back-{turn}"}
            assert tape.do("withdraw", account=giver, **moved)[0]["event"] == "withdrawn"
            assert tape.do("deposit", account=taker, **moved)[0]["event"] == "deposited"
        if turn == 1:
            assert tape.replace("bid", 1, 1, 2**62) == ["bid loses its place"]
    assert tape.replace("bid", 1, 1, 2) == ["refused notional_overflow"]
    assert tape.replace("bid", 1, 1, 1) == ["bid keeps its place"]
    assert tape.exchange.open_orders()[0]["quantity"] == str(2**63 - 1)


def test_a_replaced_order_may_match_at_once_under_its_own_id_as_taker() -> None:
    tape = Tape(taker_fee=500_000)
    tape.place("bid", 1, "buy", 10, 4)
    tape.place("ask", 2, "sell", 12, 3)
    assert tape.replace("bid", 1, 12, 4) == ["bid loses its place", "bid trades 3 at 12 with ask"]
    assert tape.book() == ["bid buy 1 at 12"]
    assert tape.balance(0, "BASE") == ("1", "0")


def test_a_replaced_order_keeps_its_self_trade_mode_and_post_only() -> None:
    tape = Tape()
    tape.place("own", 1, "sell", 12, 3)
    tape.place("a", 1, "buy", 10, 1, self_trade_prevention="expire_maker")
    tape.place("b", 1, "buy", 10, 1, post_only=True)
    tape.place("c", 1, "buy", 10, 1)
    assert tape.replace("b", 1, 12, 1) == ["refused post_only_would_match"]
    assert tape.replace("c", 1, 12, 7) == ["c loses its place", "c cancelled self_trade 7"]
    assert tape.replace("a", 1, 12, 1) == ["a loses its place", "own cancelled self_trade 3"]
    assert tape.book() == ["a buy 1 at 12", "b buy 1 at 10"]


def test_funds_locked_by_a_replaced_order_count_as_available() -> None:
    tape = Tape(plenty=100)
    tape.place("bid", 1, "buy", 10, 9)
    assert tape.replace("bid", 1, 10, 10) == ["bid loses its place"]
    assert tape.balance(1, "QUOTE") == ("0", "100")
    assert tape.replace("bid", 1, 10, 11) == ["refused insufficient_balance"]
    assert tape.replace("bid", 1, 101, 1) == ["refused insufficient_balance"]
    tape.place("ask", 2, "sell", 20, 100)
    assert tape.replace("ask", 2, 20, 101) == ["refused insufficient_balance"]
    assert tape.book() == ["bid buy 10 at 10", "ask sell 100 at 20"]


def test_a_refused_replace_changes_neither_priority_nor_locked_funds() -> None:
    tape = Tape(min_quantity="2", min_notional="20")
    tape.place("o1", 1, "buy", 10, 5, client_order_id="mine")
    tape.place("o2", 2, "buy", 10, 5)
    before = tape.exchange.state_digest()
    assert tape.replace("o1", 1, 0, 5) == ["refused invalid_price"]
    assert tape.replace("o1", 1, 10, 1) == ["refused invalid_quantity"]
    assert tape.replace("o1", 1, 9, 2) == ["refused below_min_notional"]
    assert tape.replace("o1", 1, 2**40, 2**40) == ["refused notional_overflow"]
    assert tape.exchange.state_digest() == before


# cancel_all


def test_cancel_all_goes_by_order_id_and_leaves_orders_of_halted_instruments() -> None:
    tape = Tape()
    tape.add_instrument("A")
    tape.add_instrument("B")
    tape.place("o1", 1, "buy", 5, 1)
    tape.place("o2", 1, "buy", 5, 1, symbol="A")
    tape.place("o3", 1, "sell", 6, 1)
    tape.place("o4", 1, "sell", 6, 1, symbol="B")
    tape.place("o5", 2, "buy", 5, 1)
    tape.replace("o1", 1, 5, 2)
    tape.status("halted", "B")
    tape.status("cancel_only", "A")
    assert tape.read(tape.do("cancel_all", account=1)) == [
        *("o1 cancelled user 2", "o2 cancelled user 1", "o3 cancelled user 1", "3 cancelled"),
    ]
    assert tape.read(tape.do("cancel_all", account=1, symbol="B")) == ["refused instrument_halted"]
    assert tape.read(tape.do("cancel_all", account=1, symbol="A")) == ["0 cancelled"]
    assert tape.book() == ["o4 sell 1 at 6", "o5 buy 1 at 5"]


# The ledger


def test_a_trade_debits_releases_credits_and_charges_in_that_order() -> None:
    tape = Tape(maker_fee=100_000, taker_fee=200_000)
    tape.place("ask", 1, "sell", 20, 10)
    trade = tape.do("order", account=2, symbol="BASE-QUOTE", side="buy", order_type="limit", price="21", quantity="12")
    assert tape.ledger_of(trade[:1]) == [(0, 2, "QUOTE", "lock", -252, 252)]
    assert tape.ledger_of(trade[1:]) == [
        (0, 2, "QUOTE", "trade_debit", 0, -200),
        (1, 2, "QUOTE", "release", 10, -10),
        (2, 2, "BASE", "trade_credit", 10, 0),
        (3, 2, "BASE", "fee", -2, 0),
        (4, 1, "BASE", "trade_debit", 0, -10),
        (5, 1, "QUOTE", "trade_credit", 200, 0),
        (6, 1, "QUOTE", "fee", -20, 0),
        (7, 0, "BASE", "fee", 2, 0),
        (8, 0, "QUOTE", "fee", 20, 0),
    ]


def test_a_replace_locks_or_unlocks_only_the_difference() -> None:
    tape = Tape()
    tape.place("bid", 1, "buy", 10, 5)
    named = {"account": 1, "symbol": "BASE-QUOTE", "order_id": tape.id_of("bid")}
    assert tape.ledger_of(tape.do("replace", **named, price="10", quantity="7")) == [(0, 1, "QUOTE", "lock", -20, 20)]
    assert tape.ledger_of(tape.do("replace", **named, price="10", quantity="7")) == []
    assert tape.ledger_of(tape.do("replace", **named, price="9", quantity="7")) == [(0, 1, "QUOTE", "unlock", 7, -7)]
    assert tape.ledger_of(tape.do("cancel", **named)) == [(0, 1, "QUOTE", "unlock", 63, -63)]
