"""Refusals at the reference edge and the order of its checks."""

from typing import Any

import pytest

from tests.reference.forms import Event
from tests.reference.tape import Tape

ORDER: Event = {"command": "order", "account": 1, "symbol": "BASE-QUOTE", "side": "buy", "order_type": "limit"}
LIMIT_ORDER: Event = {**ORDER, "price": "5", "quantity": "1"}
MARKET_ORDER: Event = {**ORDER, "order_type": "market", "quantity": "1"}
MISSING = object()


def _changed(command: Event, changes: Event) -> Event:
    return {name: value for name, value in {**command, **changes}.items() if value is not MISSING}


def _reason(command: object, tape: Tape | None = None) -> str | None:
    """The reason of a refusal at the edge, None if the command was sequenced."""
    exchange = (tape or Tape()).exchange
    before = exchange.command_count
    events = exchange.submit(command)
    if exchange.command_count > before:
        return None
    assert list(events[0]) == ["event", "sequence", "line", "command", "reason"]
    return str(events[0]["reason"])


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("nonsense", None),
        ("{", None),
        ("null", None),
        ("[]", None),
        ('"order"', None),
        ("1", None),
        ("{}", None),
        ('{"command":"fly"}', None),
        ('{"command":null}', None),
        ('{"command":["order"]}', None),
        ('{"command":"order"}', "order"),
        ('{"command":"order"} {"command":"order"}', None),
        ('{"command":"cancel_all","account":NaN}', None),
        ('{"command":"cancel_all","account":-Infinity}', None),
        ('{"command":"cancel_all","account":1e400}', "cancel_all"),
        ('{"command":"cancel_all","account":' + "9" * 5000 + "}", "cancel_all"),
        ('\ufeff{"command":"cancel_all","account":1}', None),
        ("[" * 200_000, None),
    ],
)
def test_an_invalid_line_is_malformed_and_its_command_is_named_only_if_known(line: str, command: str | None) -> None:
    refusal = {"event": "rejected", "sequence": None, "line": 9, "command": command, "reason": "malformed"}
    assert Tape().exchange.submit_line(line, 9) == [refusal]


def test_a_blank_line_gives_nothing() -> None:
    assert [Tape().exchange.submit_line(line, 1) for line in ("", "  ", "\t\r\n")] == [[], [], []]


def test_the_last_value_of_a_repeated_field_counts() -> None:
    events = Tape().exchange.submit_line('{"command":"cancel_all","account":-1,"account":1}', 1)
    assert events[0]["event"] == "orders_cancelled"


def test_a_refusal_at_the_edge_takes_no_sequence_number() -> None:
    tape = Tape()
    before = tape.exchange.summary()
    assert tape.exchange.submit({**LIMIT_ORDER, "price": "1.5"})[0]["sequence"] is None
    assert tape.exchange.summary() == before


@pytest.mark.parametrize("account", [-1, 2**63, True, 1.0, "1", None, MISSING, [1]])
def test_an_account_is_an_integer_from_0_to_the_highest_int64(account: object) -> None:
    assert _reason(_changed(LIMIT_ORDER, {"account": account})) == "malformed"
    assert _reason({**LIMIT_ORDER, "account": 2**63 - 1}) is None


NO_PLAIN_DECIMALS: list[Any] = [
    *("", "+1", "1.", ".5", "1e5", "1E5", " 1", "1 ", "1\n", "\u0663", "\uff11", "0x1", "1_0", "1,5", "--1", "-", "."),
    *("NaN", "Infinity", "1.2.3", 5, 5.0, True, ["5"], {}, None, MISSING),
]


@pytest.mark.parametrize("text", NO_PLAIN_DECIMALS)
def test_a_value_that_is_not_a_plain_decimal_is_malformed(text: object) -> None:
    assert _reason(_changed(LIMIT_ORDER, {"price": text})) == "malformed"
    assert _reason(_changed(LIMIT_ORDER, {"quantity": text})) == "malformed"
    deposit = {"command": "deposit", "account": 1, "asset": "BASE", "reference": "r"}
    assert _reason(_changed(deposit, {"amount": text})) == "malformed"


@pytest.mark.parametrize(
    "text", ["5", "5.0", "005", "5." + "0" * 5000, "0" * 5000 + "5", "-5", "0", "-0", str(2**63 - 1)]
)
def test_a_plain_decimal_is_judged_by_its_value(text: str) -> None:
    assert _reason({**LIMIT_ORDER, "price": text}) is None
    assert _reason({**LIMIT_ORDER, "quantity": text}) is None


@pytest.mark.parametrize("text", ["5.5", str(2**63), str(-(2**63) - 1), "9" * 5000, "0." + "0" * 5000 + "1"])
def test_values_that_are_not_multiples_or_too_large_have_their_own_reasons(text: str) -> None:
    assert _reason({**LIMIT_ORDER, "price": text}) == "invalid_price"
    assert _reason({**LIMIT_ORDER, "quantity": text}) == "invalid_quantity"
    assert _reason(_changed(MARKET_ORDER, {"quantity": MISSING, "quote_quantity": text})) == "invalid_quantity"
    deposit = {"command": "deposit", "account": 1, "asset": "BASE", "amount": text, "reference": "r"}
    assert _reason(deposit) == "invalid_amount"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"time_in_force": "day"}, "invalid_time_in_force"),
        ({"time_in_force": 1}, "malformed"),
        ({"time_in_force": "fok", "post_only": True}, "invalid_time_in_force"),
        ({"time_in_force": "fok", "post_only": False}, None),
        ({"post_only": "true"}, "malformed"),
        ({"post_only": 1}, "malformed"),
        ({"side": "hold"}, "invalid_side"),
        ({"side": 1}, "malformed"),
        ({"side": MISSING}, "malformed"),
        ({"order_type": "stop"}, "invalid_order_type"),
        ({"order_type": MISSING}, "malformed"),
        ({"self_trade_prevention": "expire"}, "malformed"),
        ({"client_order_id": ""}, "malformed"),
        ({"client_order_id": "x" * 36}, None),
        ({"client_order_id": "x" * 37}, "malformed"),
        ({"client_order_id": "a b~"}, None),
        ({"client_order_id": "\u00e9"}, "malformed"),
        ({"client_order_id": "\ud800"}, "malformed"),
        ({"client_order_id": "a\tb"}, "malformed"),
        ({"client_order_id": 5}, "malformed"),
        ({"client_order_id": None}, None),
        ({"quote_quantity": "5"}, "invalid_quantity"),
        ({"quote_quantity": None}, None),
        ({"quantity": MISSING, "quote_quantity": "5"}, "invalid_quantity"),
        ({"symbol": "base-quote"}, "unknown_symbol"),
        ({"symbol": 5}, "malformed"),
        ({"colour": "red"}, None),
    ],
)
def test_fields_of_a_limit_order(changes: Event, reason: str | None) -> None:
    assert _reason(_changed(LIMIT_ORDER, changes)) == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"time_in_force": "ioc"}, None),
        ({"time_in_force": "gtc"}, "invalid_time_in_force"),
        ({"time_in_force": "fok"}, "invalid_time_in_force"),
        ({"post_only": True}, "invalid_time_in_force"),
        ({"price": "5"}, "invalid_price"),
        ({"price": None}, None),
        ({"quote_quantity": "5"}, "invalid_quantity"),
        ({"quantity": MISSING}, "malformed"),
        ({"quantity": MISSING, "quote_quantity": "5"}, None),
        ({"quantity": MISSING, "quote_quantity": 5}, "malformed"),
        ({"side": "sell", "quantity": MISSING, "quote_quantity": "5"}, None),
    ],
)
def test_fields_of_a_market_order(changes: Event, reason: str | None) -> None:
    assert _reason(_changed(MARKET_ORDER, changes)) == reason


def test_fields_are_checked_in_the_documented_order() -> None:
    faults: list[tuple[str, object, str]] = [
        ("account", "1", "malformed"),
        ("symbol", "NO-NE", "unknown_symbol"),
        ("side", "hold", "invalid_side"),
        ("order_type", "stop", "invalid_order_type"),
        ("time_in_force", "day", "invalid_time_in_force"),
        ("self_trade_prevention", "all", "malformed"),
        ("client_order_id", "", "malformed"),
        ("quote_quantity", "5", "invalid_quantity"),
        ("price", "5.5", "invalid_price"),
        ("quantity", "5.5", "invalid_quantity"),
    ]
    for first in range(len(faults)):
        command = LIMIT_ORDER | {name: wrong for name, wrong, _ in faults[first:]}
        assert _reason(command) == faults[first][2], faults[first]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"order_id": 1}, None),
        ({"client_order_id": "a"}, None),
        ({"order_id": 1, "client_order_id": None}, None),
        ({}, "malformed"),
        ({"order_id": 1, "client_order_id": "a"}, "malformed"),
        ({"order_id": "1"}, "malformed"),
        ({"order_id": True}, "malformed"),
        ({"order_id": 1.0}, "malformed"),
        ({"order_id": 0}, "malformed"),
        ({"order_id": 2**63}, "malformed"),
        ({"order_id": 2**63 - 1}, None),
        ({"client_order_id": "x" * 37}, "malformed"),
        ({"order_id": 1, "symbol": "NO-NE"}, "unknown_symbol"),
        ({"symbol": "NO-NE"}, "unknown_symbol"),
    ],
)
def test_cancel_and_replace_take_either_order_id_or_client_order_id(changes: Event, reason: str | None) -> None:
    head: Event = {"account": 1, "symbol": "BASE-QUOTE", **changes}
    assert _reason({"command": "cancel", **head}) == reason
    assert _reason({"command": "replace", "price": "1", "quantity": "1", **head}) == reason


def test_cancel_all_takes_a_symbol_or_none() -> None:
    assert _reason({"command": "cancel_all", "account": 1}) is None
    assert _reason({"command": "cancel_all", "account": 1, "symbol": None}) is None
    assert _reason({"command": "cancel_all", "account": 1, "symbol": "NO-NE"}) == "unknown_symbol"
    assert _reason({"command": "cancel_all", "symbol": "BASE-QUOTE"}) == "malformed"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"asset": "DOGE"}, "unknown_asset"),
        ({"asset": 1}, "malformed"),
        ({"reference": ""}, "malformed"),
        ({"reference": "x" * 64}, None),
        ({"reference": "x" * 65}, "malformed"),
        ({"reference": MISSING}, "malformed"),
        ({"amount": "0.5"}, "invalid_amount"),
        ({"amount": "-1"}, None),
    ],
)
def test_fields_of_a_deposit_and_a_withdrawal(changes: Event, reason: str | None) -> None:
    usual: Event = {"account": 1, "asset": "BASE", "amount": "1", "reference": "r"}
    assert _reason(_changed({"command": "deposit", **usual}, changes)) == reason
    assert _reason(_changed({"command": "withdraw", **usual}, changes)) == reason


@pytest.mark.parametrize("symbol", ["", "btc", "A" * 33, "A B", "\u00c9", "A\n", 5, None])
def test_a_new_symbol_has_1_to_32_valid_characters(symbol: object) -> None:
    assert _reason({"command": "asset", "symbol": symbol, "decimals": 0}) == "malformed"
    assert _reason({"command": "asset", "symbol": "A.b".upper() + "_-9", "decimals": 0}) is None


@pytest.mark.parametrize("decimals", [-1, 19, True, 8.0, "8", None])
def test_decimals_are_an_integer_from_0_to_18(decimals: object) -> None:
    assert _reason({"command": "asset", "symbol": "X", "decimals": decimals}) == "malformed"


INSTRUMENT: Event = {
    "command": "instrument",
    "symbol": "NEW",
    "base": "BASE",
    "quote": "QUOTE",
    "tick_size": "1",
    "lot_size": "2",
    "min_quantity": "2",
    "max_quantity": "8",
    "min_notional": "0",
    "maker_fee": 0,
    "taker_fee": 999_999,
}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"base": "DOGE"}, "unknown_asset"),
        ({"quote": "DOGE", "tick_size": 1}, "unknown_asset"),
        ({"quote": "BASE"}, "malformed"),
        ({"tick_size": "0.5"}, None),
        ({"tick_size": "0.25"}, "malformed"),
        ({"lot_size": "0.5", "tick_size": "2"}, "malformed"),
        ({"lot_size": "-2", "tick_size": "-1"}, "malformed"),
        ({"lot_size": "0"}, "malformed"),
        ({"tick_size": str(2**62)}, "malformed"),
        ({"tick_size": str(2**61)}, None),
        ({"tick_size": str(2**61 + 1)}, "malformed"),
        ({"lot_size": str(2**62), "min_quantity": str(2**62), "max_quantity": str(2**62)}, None),
        ({"lot_size": str(2**62 + 1), "min_quantity": str(2**62 + 1), "max_quantity": str(2**62 + 1)}, "malformed"),
        ({"min_quantity": "3"}, "malformed"),
        ({"min_quantity": "0"}, "malformed"),
        ({"min_quantity": "10"}, "malformed"),
        ({"max_quantity": str(2**65)}, "malformed"),
        ({"min_notional": "-1"}, "malformed"),
        ({"min_notional": "0.5"}, "malformed"),
        ({"maker_fee": 1_000_000}, "malformed"),
        ({"taker_fee": -1}, "malformed"),
        ({"taker_fee": "0"}, "malformed"),
        ({"taker_fee": False}, "malformed"),
    ],
)
def test_an_inconsistent_instrument_is_malformed(changes: Event, reason: str | None) -> None:
    assert _reason(_changed(INSTRUMENT, changes)) == reason


def test_the_instruments_of_the_worked_example_are_refused_until_they_are_exact() -> None:
    tape = Tape()
    tape.do("asset", symbol="BTC", decimals=8)
    tape.do("asset", symbol="CENT", decimals=2)
    tape.do("asset", symbol="USD", decimals=6)
    sizes = {"min_quantity": "1", "max_quantity": "8", "base": "BTC", "tick_size": "0.01"}
    coarse = {**INSTRUMENT, **sizes, "quote": "CENT"}
    assert _reason({**coarse, "lot_size": "0.0001"}, tape) == "malformed"
    assert _reason({**coarse, "lot_size": "0.01"}, tape) == "malformed"
    assert _reason({**coarse, "lot_size": "0.0001", "quote": "USD"}, tape) is None


def test_a_status_is_one_of_three() -> None:
    command = {"command": "instrument_status", "symbol": "BASE-QUOTE"}
    assert [_reason({**command, "status": status}) for status in ("trading", "cancel_only", "halted")] == [None] * 3
    assert _reason({**command, "status": "asleep"}) == "malformed"
    assert _reason({**command, "symbol": "NO-NE", "status": "asleep"}) == "unknown_symbol"
