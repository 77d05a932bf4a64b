"""One cancels the other: two legs, one act, one lock."""

from tests.reference.tape import PLENTY, Tape


def _tape(plenty: int = PLENTY, last: int = 100) -> Tape:
    tape = Tape(plenty)
    for account, asset in ((3, "BASE"), (4, "QUOTE")):
        tape.deposit(account, asset, 10**6)
    tape.trade_at(last)
    return tape


def test_an_oco_takes_two_sequences_and_its_legs_name_the_first() -> None:
    tape = _tape()
    first = tape.exchange.command_count + 1
    command = {"account": 1, "symbol": "BASE-QUOTE", "side": "sell", "quantity": "2"}
    events = tape.do("oco", **command, price="110", trigger_price="95", stop_price="94", stop_time_in_force="fok")
    assert [(event["command_sequence"], event["order_id"]) for event in events] == [(first, first), (first + 1,) * 2]
    assert [event["order_list_id"] for event in events] == [first, first]
    told = ("order_type", "price", "trigger_price", "time_in_force")
    assert [tuple(event[name] for name in told) for event in events] == [
        *(("limit", "110", None, "gtc"), ("stop_loss_limit", "94", "95", "fok")),
    ]
    assert tape.exchange.command_count == first + 1


def test_if_either_leg_is_refused_nothing_happens_and_both_sequences_are_rejected() -> None:
    tape = _tape()
    tape.place("bid", 2, "buy", 99, 1, client_order_id="taken")
    tape.place("mine", 1, "buy", 98, 1, client_order_id="taken")
    before = tape.exchange.state_digest()
    for prices, more, reason in (
        ((0, 95), {}, "invalid_price"),
        ((99, 95), {}, "post_only_would_match"),
        ((110, 0), {}, "invalid_price"),
        ((110, 100), {}, "would_trigger_immediately"),
        ((110, 95), {"stop_price": "0"}, "invalid_price"),
        ((110, 95), {"client_order_id": "a", "stop_client_order_id": "a"}, "duplicate_client_order_id"),
        ((110, 95), {"stop_client_order_id": "taken"}, "duplicate_client_order_id"),
        # The limit leg is judged to its end before the stop leg: post-only comes before the stop's price.
        ((99, 0), {}, "post_only_would_match"),
    ):
        assert tape.oco("o", 1, "sell", prices, **more) == [f"refused {reason}", "refused previous_refused"], reason
    assert tape.exchange.state_digest() == before


def test_an_oco_that_requires_an_accepted_command_is_refused_for_it_twice() -> None:
    tape = _tape()
    tape.place("bad", 1, "buy", 0, 1)
    refused = ["refused previous_refused", "refused previous_refused"]
    assert tape.oco("o", 1, "sell", (110, 95), requires_previous=True) == refused
    tape.place("good", 1, "buy", 50, 1)
    assert tape.oco("o", 1, "sell", (110, 95), requires_previous=True) == ["o accepted", "o-stop accepted"]
    assert tape.oco("p", 1, "sell", (110, 95), requires_previous=True) == ["p accepted", "p-stop accepted"]


def test_a_leg_cannot_be_replaced_until_the_other_one_is_gone() -> None:
    tape = _tape()
    tape.oco("o", 1, "sell", (110, 95), quantity="4")
    assert tape.replace("o", 1, 111, 4) == ["refused not_replaceable"]
    assert tape.replace("o-stop", 1, 111, 4) == ["refused not_replaceable"]
    assert tape.place("x", 2, "buy", 110, 1)[1:] == ["o-stop cancelled oco 4", "x trades 1 at 110 with o"]
    assert tape.replace("o", 1, 111, 4) == ["o loses its place"]


def test_cancelling_a_leg_cancels_the_other_after_it() -> None:
    tape = _tape()
    tape.oco("o", 1, "sell", (110, 95))
    assert tape.cancel("o", 1) == ["o cancelled user 1", "o-stop cancelled oco 1"]
    tape.oco("o", 1, "sell", (110, 95))
    assert tape.cancel("o-stop", 1) == ["o-stop cancelled user 1", "o cancelled oco 1"]
    tape.oco("o", 1, "sell", (110, 95))
    assert tape.place("x", 1, "buy", 110, 1, self_trade_prevention="expire_both")[1:] == [
        *("o cancelled self_trade 1", "o-stop cancelled oco 1", "x cancelled self_trade 1"),
    ]


def test_cancel_all_cancels_each_leg_by_itself() -> None:
    tape = _tape()
    tape.oco("o", 1, "sell", (110, 95))
    events = tape.do("cancel_all", account=1)
    assert tape.read(events) == ["o cancelled user 1", "o-stop cancelled user 1", "2 cancelled"]
    assert tape.ledger_of(events) == [(0, 1, "BASE", "unlock", 1, -1)]


def test_the_limit_leg_goes_before_the_stop_leg_is_triggered() -> None:
    tape = _tape()
    tape.oco("o", 1, "sell", (110, 95), stop_price="97")
    assert tape.trade_at(95) == ["o cancelled oco 1", "o-stop triggered"]
    assert tape.book() == ["o-stop sell 1 at 97"]


# The lock


def test_a_buy_locks_the_larger_of_its_legs() -> None:
    tape = _tape()
    tape.oco("o", 1, "buy", (90, 105), quantity="2", stop_price="107")
    # The limit leg holds 180, the stop leg what it needs beyond that: 214 - 180.
    assert tape.balance(1, "QUOTE") == (str(PLENTY - 214), "214")
    tape.oco("p", 2, "buy", (99, 101), quantity="2", stop_price="50")
    assert tape.balance(2, "QUOTE") == (str(PLENTY - 198), "198")


def test_the_balance_is_judged_for_the_limit_leg_and_then_for_both() -> None:
    refused = ["refused insufficient_balance", "refused previous_refused"]
    for money, told in ((89, refused), (109, refused), (110, ["o accepted", "o-stop accepted"])):
        tape = _tape(plenty=money)
        assert tape.oco("o", 1, "buy", (90, 110)) == told


def test_when_the_stop_leg_is_triggered_it_holds_what_it_needs_by_itself() -> None:
    tape = _tape()
    tape.oco("o", 1, "buy", (90, 105), stop_price="104")
    tape.place("maker", 3, "sell", 105, 1)
    events = tape.do("order", account=4, symbol="BASE-QUOTE", side="buy", order_type="market", quantity="1")
    limit, triggered = events[2:]
    assert tape.read([limit, triggered]) == ["o cancelled oco 1", "o-stop triggered"]
    assert tape.ledger_of([limit]) == [(0, 1, "QUOTE", "unlock", 90, -90)]
    assert tape.ledger_of([triggered]) == [(0, 1, "QUOTE", "lock", -90, 90)]
    assert tape.balance(1, "QUOTE") == (str(PLENTY - 104), "104")


def test_a_stop_leg_without_a_price_that_buys_locks_the_cost_anew() -> None:
    tape = _tape()
    tape.place("ask", 2, "sell", 120, 1)
    tape.oco("o", 1, "buy", (90, 105), quantity="3")
    tape.place("maker", 3, "sell", 105, 1)
    events = tape.do("order", account=4, symbol="BASE-QUOTE", side="buy", order_type="market", quantity="1")
    assert tape.read(events[2:]) == [
        *(
            "o cancelled oco 3",
            "o-stop triggered",
            "o-stop trades 1 at 120 with ask",
            "o-stop cancelled no_liquidity 2",
        ),
    ]
    # It held 3 x 105 - 3 x 90 = 45 beside the limit leg.
    assert tape.ledger_of(events[2:4]) == [(0, 1, "QUOTE", "unlock", 270, -270), (0, 1, "QUOTE", "lock", -75, 75)]


def test_a_stop_leg_of_a_restricted_account_unlocks_only_its_own_part() -> None:
    tape = _tape()
    tape.oco("o", 1, "buy", (90, 105))
    tape.account_status(1, "frozen")
    tape.place("maker", 3, "sell", 105, 1)
    events = tape.do("order", account=4, symbol="BASE-QUOTE", side="buy", order_type="market", quantity="1")
    assert tape.read(events[2:]) == [
        *("o cancelled oco 1", "o-stop triggered", "o-stop cancelled account_restricted 1"),
    ]
    assert tape.ledger_of(events[2:]) == [(0, 1, "QUOTE", "unlock", 90, -90), (0, 1, "QUOTE", "unlock", 15, -15)]


def test_a_partly_filled_limit_leg_goes_on_alone() -> None:
    tape = _tape()
    tape.oco("o", 1, "sell", (110, 95), quantity="4")
    tape.place("x", 2, "buy", 110, 1)
    assert tape.waiting() == []
    assert tape.book() == ["o sell 3 at 110"]
    assert tape.balance(1, "BASE") == (str(PLENTY - 4), "3")


# Open orders


def test_an_oco_counts_as_two_open_orders() -> None:
    tape = _tape()
    tape.update(max_open_orders=2)
    tape.place("one", 1, "buy", 50, 1)
    refused = ["refused too_many_orders", "refused previous_refused"]
    assert tape.oco("o", 1, "sell", (110, 95)) == refused
    tape.cancel("one", 1)
    assert tape.oco("o", 1, "sell", (110, 95)) == ["o accepted", "o-stop accepted"]
    assert tape.place("one", 1, "buy", 50, 1) == ["refused too_many_orders"]
    assert tape.place("now", 1, "buy", 50, 1, time_in_force="ioc") == ["now accepted", "now cancelled ioc 1"]
    assert tape.place("other", 2, "buy", 50, 1) == ["other accepted"]
