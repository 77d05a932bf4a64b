"""What operators set: account status, fee rates, values of instruments; and orders that depend on the one before."""

from tests.reference.tape import PLENTY, Tape


def _fees(tape: Tape, price: int = 1000) -> tuple[str, str]:
    """(buyer's, seller's) of a trade of 1000 lots in which account 1 is the maker, the seller, and 2 the taker."""
    tape.place("maker", 1, "sell", price, 1000)
    names = {"account": 2, "symbol": "BASE-QUOTE", "side": "buy", "order_type": "market", "quantity": "1000"}
    trade = tape.do("order", **names)[1]
    return trade["buyer_fee"], trade["seller_fee"]


# Fees


def test_the_rates_of_account_and_instrument_go_before_those_of_the_account_before_the_instruments() -> None:
    tape = Tape(maker_fee=1000, taker_fee=2000)
    assert _fees(tape) == ("2", "1000")
    tape.do("account_fees", account=1, maker_fee=500, taker_fee=0)
    assert _fees(tape) == ("2", "500")
    tape.do("account_fees", account=1, symbol="BASE-QUOTE", maker_fee=0, taker_fee=0)
    tape.do("account_fees", account=2, symbol=None, maker_fee=0, taker_fee=5000)
    assert _fees(tape) == ("5", "0")
    tape.do("account_fees", account=1, symbol="BASE-QUOTE", maker_fee=None, taker_fee=None)
    assert _fees(tape) == ("5", "500")
    tape.do("account_fees", account=1)
    assert _fees(tape) == ("5", "1000")


def test_taking_rates_away_that_are_not_there_is_accepted() -> None:
    (event,) = Tape().do("account_fees", account=1)
    assert (event["event"], event["symbol"], event["maker_fee"], event["taker_fee"]) == (
        *("account_fees_changed", None),
        *(None, None),
    )


def test_the_rates_at_the_time_of_the_trade_count() -> None:
    tape = Tape(maker_fee=1000)
    tape.place("maker", 1, "sell", 1000, 1000)
    tape.update(maker_fee=0, taker_fee=3000)
    names = {"account": 2, "symbol": "BASE-QUOTE", "side": "buy", "order_type": "market", "quantity": "1000"}
    trade = tape.do("order", **names)[1]
    assert (trade["buyer_fee"], trade["seller_fee"]) == ("3", "0")


# Status


def test_a_frozen_account_withdraws_nothing_and_one_that_may_not_trade_does() -> None:
    tape = Tape()
    tape.place("o", 1, "buy", 5, 1)
    withdrawal = {"account": 1, "asset": "BASE", "amount": "1"}
    tape.account_status(1, "no_trading")
    assert tape.place("x", 1, "buy", 5, 1) == ["refused account_restricted"]
    assert tape.oco("x", 1, "sell", (9, 1)) == ["refused account_restricted", "refused previous_refused"]
    assert tape.do("withdraw", **withdrawal, reference="w1")[0]["event"] == "withdrawn"
    tape.account_status(1, "frozen")
    assert tape.do("withdraw", **{**withdrawal, "amount": "0"}, reference="w2")[0]["reason"] == "account_restricted"
    assert tape.deposit(1, "BASE", 1)[0]["event"] == "deposited"
    assert tape.cancel("o", 1) == ["o cancelled user 1"]
    assert tape.read(tape.do("cancel_all", account=1)) == ["0 cancelled"]
    tape.account_status(1, "active")
    assert tape.place("x", 1, "buy", 5, 1) == ["x accepted"]


def test_what_a_restricted_account_has_in_the_book_trades() -> None:
    tape = Tape()
    tape.place("o", 1, "buy", 5, 1)
    tape.account_status(1, "frozen")
    assert tape.place("x", 2, "sell", 5, 1) == ["x accepted", "x trades 1 at 5 with o"]


# Instruments


def test_an_update_leaves_open_orders_as_they_are_and_counts_for_new_ones() -> None:
    tape = Tape()
    tape.place("o", 1, "buy", 5, 1)
    tape.update(min_quantity="2", max_quantity="3", min_notional="20")
    assert tape.book() == ["o buy 1 at 5"]
    assert tape.place("x", 1, "buy", 50, 1) == ["refused invalid_quantity"]
    assert tape.place("x", 1, "buy", 50, 4) == ["refused invalid_quantity"]
    assert tape.place("x", 1, "buy", 5, 2) == ["refused below_min_notional"]
    assert tape.replace("o", 1, 5, 1) == ["refused invalid_quantity"]
    assert tape.cancel("o", 1) == ["o cancelled user 1"]


def test_a_least_quantity_over_the_highest_is_refused_after_the_whole_change() -> None:
    tape = Tape(min_quantity="2", max_quantity="5")
    symbol = {"symbol": "BASE-QUOTE"}
    assert tape.do("instrument_update", **symbol, min_quantity="6")[0]["reason"] == "invalid_quantity"
    assert tape.do("instrument_update", **symbol, max_quantity="1")[0]["reason"] == "invalid_quantity"
    both = {"min_quantity": "9", "max_quantity": "8", "maker_fee": 7}
    assert tape.do("instrument_update", **symbol, **both)[0]["reason"] == "invalid_quantity"
    assert tape.exchange.edge.instruments["BASE-QUOTE"].maker_fee == 0
    tape.update(min_quantity="6", max_quantity="6")


# What depends on the command before


def test_a_command_that_requires_the_previous_one_is_refused_unless_that_was_accepted() -> None:
    tape = Tape()
    needs = {"requires_previous": True}
    assert tape.place("a", 1, "buy", 5, 1, **needs) == ["a accepted"], "the deposit before it was accepted"
    assert tape.place("b", 1, "buy", 0, 1, **needs) == ["refused invalid_price"]
    assert tape.place("c", 1, "buy", 0, 1, **needs) == ["refused previous_refused"]
    tape.do("cancel_all", account=77)
    assert tape.place("d", 1, "buy", 5, 1, time_in_force="fok", **needs)[0] == "d accepted"
    assert tape.place("e", 1, "buy", 5, 1, **needs) == ["e accepted"], "an order that ended was accepted"
    tape.do("fly")
    assert tape.place("f", 1, "buy", 5, 1, **needs) == ["refused previous_refused"]


def test_the_first_command_of_a_client_has_none_before_it() -> None:
    tape = Tape()
    order = {"command": "order", "account": 1, "symbol": "BASE-QUOTE", "side": "buy", "order_type": "limit"}
    order |= {"price": "5", "quantity": "1", "requires_previous": True}
    assert tape.exchange.submit(order, client=5)[0]["reason"] == "previous_refused"
    tape.exchange.submit({"command": "cancel_all", "account": 1}, client=6)
    assert tape.exchange.submit(order, client=5)[0]["reason"] == "previous_refused"
    assert tape.exchange.submit(order, client=6)[0]["event"] == "order_accepted"


# Names and totals


def test_a_replace_gives_a_new_name_or_keeps_the_old_one() -> None:
    tape = Tape()
    tape.place("o", 1, "buy", 5, 2, client_order_id="a")
    tape.place("p", 1, "buy", 5, 2, client_order_id="b")
    assert tape.replace("o", 1, 5, 2, new_client_order_id="b") == ["refused duplicate_client_order_id"]
    assert tape.replace("o", 1, 5, 2, new_client_order_id="a") == ["o keeps its place"]
    assert tape.replace("o", 1, 5, 1, new_client_order_id="c") == ["o keeps its place"]
    assert tape.replace("o", 1, 6, 1, new_client_order_id="d") == ["o loses its place"]
    assert tape.replace("o", 1, 7, 1) == ["o loses its place"]
    assert set(tape.exchange.state.named) == {(1, "BASE-QUOTE", "d"), (1, "BASE-QUOTE", "b")}


def test_a_total_quantity_counts_what_has_traded() -> None:
    tape = Tape()
    tape.place("o", 1, "buy", 5, 5)
    tape.place("x", 2, "sell", 5, 2)
    named = {"account": 1, "symbol": "BASE-QUOTE", "order_id": tape.id_of("o"), "price": "5"}
    assert tape.do("replace", **named, total_quantity="2")[0]["reason"] == "invalid_quantity"
    event = tape.do("replace", **named, total_quantity="3")[0]
    assert (event["quantity"], event["kept_priority"]) == ("1", True)
    assert tape.exchange.open_orders()[0]["quantity"] == "3"
    assert tape.balance(1, "QUOTE") == (str(PLENTY - 15), "5")
