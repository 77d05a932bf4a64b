"""Of several reasons the first one in the documented order is told; and reckonings that are easily wrong."""

from tests.reference.forms import Event
from tests.reference.limits import Limits
from tests.reference.tape import Tape

ORDER: Event = {"account": 5, "symbol": "BASE-QUOTE", "side": "buy", "quantity": "1"}
HUGE = str(2**62)
Rows = list[tuple[str, Event]]


def _market() -> Tape:
    """Everything that an order of account 5, which has no money left, may run into. The last price is 100."""
    tape = Tape()
    tape.trade_at(100)
    tape.deposit(5, "QUOTE", 55)
    tape.deposit(6, "QUOTE", 95)
    tape.place("own", 5, "buy", 55, 1, client_order_id="taken")
    tape.place("ask", 2, "sell", 101, 1)
    tape.update(min_notional="50", max_quantity="1000", price_band=100_000, max_open_orders=1)
    return tape


def _reason(tape: Tape, command: str, order: Event) -> str:
    return str(tape.do(command, **order)[0]["reason"])


def _check(tape: Tape, command: str, order: Event, rows: Rows) -> None:
    """Each row has what is wrong, and something that a later reason would tell."""
    for reason, wrong in rows:
        assert _reason(tape, command, order | wrong) == reason, wrong


def _check_what_comes_before_the_order(command: str, order: Event) -> None:
    tape = _market()
    tape.account_status(5, "no_trading")
    tape.status("halted")
    tape.do("fly")
    assert _reason(tape, command, order | {"requires_previous": True}) == "previous_refused"
    assert _reason(tape, command, order) == "account_restricted"
    tape.account_status(5, "active")
    assert _reason(tape, command, order) == "instrument_halted"


def test_a_limit_order_is_told_the_first_reason() -> None:
    order = ORDER | {"order_type": "limit", "price": "101", "post_only": True}
    _check_what_comes_before_the_order("order", order | {"price": "0"})
    tape = _market()
    rows: Rows = [
        ("invalid_price", {"price": "0", "quantity": "0"}),
        ("invalid_quantity", {"price": HUGE, "quantity": "1001"}),
        ("invalid_quantity", {"price": HUGE, "quantity": "2", "visible_quantity": "0"}),
        ("notional_overflow", {"price": HUGE, "quantity": "2"}),
        ("below_min_notional", {"price": "49"}),
        ("price_out_of_band", {"price": "111", "client_order_id": "taken"}),
        ("duplicate_client_order_id", {"client_order_id": "taken"}),
        ("too_many_orders", {}),
    ]
    _check(tape, "order", order, rows)
    tape.update(max_open_orders=0)
    _check(tape, "order", order, [("insufficient_balance", {}), ("post_only_would_match", {"account": 1})])


def test_a_trigger_order_is_told_the_first_reason() -> None:
    order = ORDER | {"order_type": "stop_loss_limit", "price": "100", "trigger_price": "100"}
    _check_what_comes_before_the_order("order", order | {"price": "0"})
    tape = _market()
    rows: Rows = [
        ("invalid_price", {"trigger_price": "0", "quantity": "0"}),
        ("invalid_quantity", {"price": HUGE, "quantity": "1001"}),
        ("notional_overflow", {"price": HUGE, "quantity": "2", "client_order_id": "taken"}),
        ("below_min_notional", {"price": "49", "client_order_id": "taken"}),
        ("duplicate_client_order_id", {"client_order_id": "taken"}),
        ("too_many_orders", {}),
    ]
    _check(tape, "order", order, rows)
    tape.update(max_open_orders=0)
    rows = [("would_trigger_immediately", {}), ("insufficient_balance", {"trigger_price": "101"})]
    _check(tape, "order", order, rows)


def test_a_market_order_by_quote_quantity_is_told_the_first_reason() -> None:
    order = ORDER | {"order_type": "market", "quantity": None, "quote_quantity": "100"}
    _check_what_comes_before_the_order("order", order | {"quote_quantity": "0"})
    taken = {"client_order_id": "taken"}
    rows: Rows = [
        ("invalid_quantity", {"quote_quantity": "0", **taken}),
        ("notional_overflow", {"quote_quantity": str(2**62 + 1), **taken}),
        ("below_min_notional", {"quote_quantity": "49", **taken}),
        ("duplicate_client_order_id", taken),
        ("insufficient_balance", {}),
        ("quote_quantity_too_small", {"account": 1}),
    ]
    _check(_market(), "order", order, rows)


def test_an_oco_is_told_the_first_reason_of_its_limit_leg_and_then_of_its_stop_leg() -> None:
    order = ORDER | {"price": "101", "trigger_price": "100", "stop_price": "106"}
    _check_what_comes_before_the_order("oco", order | {"price": "0"})
    tape = _market()
    rows: Rows = [
        ("invalid_price", {"price": "0"}),
        ("below_min_notional", {"price": "49", "stop_price": "0"}),
        ("price_out_of_band", {"price": "89", "stop_price": "0"}),
        ("duplicate_client_order_id", {"client_order_id": "taken", "stop_price": "0"}),
        ("too_many_orders", {"stop_price": "0"}),
    ]
    _check(tape, "oco", order, rows)
    passing: Event = {"account": 1, "price": "90"}
    _check(tape, "oco", order, [("too_many_orders", passing)])
    tape.update(max_open_orders=0)
    rows = [
        ("insufficient_balance", {"stop_price": "0"}),
        ("post_only_would_match", {"account": 1, "stop_price": "0"}),
        ("invalid_price", {**passing, "stop_price": "0"}),
        ("below_min_notional", {**passing, "stop_price": "49", "client_order_id": "a", "stop_client_order_id": "a"}),
        ("duplicate_client_order_id", {**passing, "client_order_id": "a", "stop_client_order_id": "a"}),
        ("would_trigger_immediately", {**passing, "account": 6}),
        ("insufficient_balance", {**passing, "account": 6, "trigger_price": "105"}),
    ]
    _check(tape, "oco", order, rows)


def test_a_replace_is_told_the_first_reason() -> None:
    tape = _market()
    tape.deposit(5, "BASE", 1)
    tape.update(max_open_orders=0)
    tape.trigger("waits", 5, "sell", "stop_loss", 50, client_order_id="waits")
    tape.account_status(5, "no_trading")
    tape.status("halted")
    right: Event = {"account": 5, "symbol": "BASE-QUOTE", "client_order_id": "taken", "price": "100", "quantity": "1"}
    wrong = right | {"price": "0", "quantity": "0"}
    assert _reason(tape, "replace", wrong | {"client_order_id": "none"}) == "unknown_order"
    assert _reason(tape, "replace", wrong | {"client_order_id": "waits"}) == "not_replaceable"
    assert _reason(tape, "replace", wrong) == "account_restricted"
    tape.account_status(5, "active")
    assert _reason(tape, "replace", wrong) == "instrument_halted"
    tape.status("trading")
    for reason, change in (
        ("invalid_price", {"price": "0", "quantity": "0"}),
        ("invalid_quantity", {"price": HUGE, "quantity": "1001"}),
        ("notional_overflow", {"price": HUGE, "quantity": "2"}),
        ("below_min_notional", {"price": "49", "new_client_order_id": "waits"}),
        ("price_out_of_band", {"price": "111", "new_client_order_id": "waits"}),
        ("duplicate_client_order_id", {"price": "110", "quantity": "9", "new_client_order_id": "waits"}),
        ("insufficient_balance", {"price": "110", "quantity": "2"}),
    ):
        assert _reason(tape, "replace", right | change) == reason
    tape.deposit(5, "QUOTE", 45)
    tape.update(max_open_orders=1)
    assert tape.do("replace", **right, new_client_order_id="new")[0]["event"] == "order_replaced"


# Reckonings


def test_an_order_that_ends_at_the_band_and_at_the_work_limit_ends_at_the_band() -> None:
    tape = Tape(limits=Limits(makers=1))
    tape.trade_at(100)
    tape.place("a", 1, "sell", 105, 1)
    tape.place("b", 1, "sell", 150, 1)
    tape.update(price_band=100_000)
    assert tape.market("x", 2, "buy", quantity="2")[-1] == "x cancelled price_band 1"


def test_a_triggered_buy_locks_only_what_it_would_take_inside_the_band() -> None:
    tape = Tape(plenty=0)
    for account, asset, amount in ((1, "BASE", 9), (2, "QUOTE", 220), (3, "BASE", 9), (4, "QUOTE", 900)):
        tape.deposit(account, asset, amount)
    tape.trade_at(100)
    tape.place("in", 1, "sell", 109, 1)
    tape.place("out", 1, "sell", 150, 1)
    tape.trigger("t", 2, "buy", "stop_loss", 105, quantity="2")
    tape.update(price_band=100_000)
    assert tape.trade_at(105) == ["t triggered", "t trades 1 at 109 with in", "t cancelled price_band 1"]
    assert tape.balance(2, "QUOTE") == ("111", "0")


def test_an_own_iceberg_that_would_be_cancelled_is_met_once() -> None:
    more = {"time_in_force": "fok", "self_trade_prevention": "expire_maker"}
    tape = Tape(limits=Limits(makers=3))
    tape.place("own", 1, "sell", 10, 9, visible_quantity="1")
    tape.place("a", 2, "sell", 10, 1)
    tape.place("b", 2, "sell", 10, 1)
    assert tape.place("x", 1, "buy", 10, 2, **more)[1:] == [
        *("own cancelled self_trade 9", "x trades 1 at 10 with a", "x trades 1 at 10 with b"),
    ]


def test_a_sale_by_quote_that_leaves_part_of_a_maker_goes_to_no_lower_price() -> None:
    tape = Tape(plenty=0)
    tape.deposit(1, "QUOTE", 1000)
    tape.deposit(2, "BASE", 1)
    tape.place("high", 1, "buy", 10, 2)
    tape.place("low", 1, "buy", 5, 2)
    assert tape.market("x", 2, "sell", quote_quantity="15")[1:] == [
        *("x trades 1 at 10 with high", "x cancelled quote_quantity_used quote 5"),
    ]
