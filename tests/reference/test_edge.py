"""Refusals at the reference edge and the order of its checks."""

from typing import Any

import pytest

from tests.reference.edge_reasons import LIMIT_ORDER, MARKET_ORDER, MISSING, changed, reason_of
from tests.reference.forms import Event
from tests.reference.tape import Tape


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
    assert reason_of(changed(LIMIT_ORDER, {"account": account})) == "malformed"
    assert reason_of({**LIMIT_ORDER, "account": 2**63 - 1}) is None


NO_PLAIN_DECIMALS: list[Any] = [
    *("", "+1", "1.", ".5", "1e5", "1E5", " 1", "1 ", "1\n", "\u0663", "\uff11", "0x1", "1_0", "1,5", "--1", "-", "."),
    *("NaN", "Infinity", "1.2.3", 5, 5.0, True, ["5"], {}, None, MISSING),
]


@pytest.mark.parametrize("text", NO_PLAIN_DECIMALS)
def test_a_value_that_is_not_a_plain_decimal_is_malformed(text: object) -> None:
    assert reason_of(changed(LIMIT_ORDER, {"price": text})) == "malformed"
    assert reason_of(changed(LIMIT_ORDER, {"quantity": text})) == "malformed"
    deposit = {"command": "deposit", "account": 1, "asset": "BASE", "reference": "r"}
    assert reason_of(changed(deposit, {"amount": text})) == "malformed"


@pytest.mark.parametrize(
    "text", ["5", "5.0", "005", "5." + "0" * 5000, "0" * 5000 + "5", "-5", "0", "-0", str(2**63 - 1)]
)
def test_a_plain_decimal_is_judged_by_its_value(text: str) -> None:
    assert reason_of({**LIMIT_ORDER, "price": text}) is None
    assert reason_of({**LIMIT_ORDER, "quantity": text}) is None


@pytest.mark.parametrize("text", ["5.5", str(2**63), str(-(2**63) - 1), "9" * 5000, "0." + "0" * 5000 + "1"])
def test_values_that_are_not_multiples_or_too_large_have_their_own_reasons(text: str) -> None:
    assert reason_of({**LIMIT_ORDER, "price": text}) == "invalid_price"
    assert reason_of({**LIMIT_ORDER, "quantity": text}) == "invalid_quantity"
    assert reason_of(changed(MARKET_ORDER, {"quantity": MISSING, "quote_quantity": text})) == "invalid_quantity"
    deposit = {"command": "deposit", "account": 1, "asset": "BASE", "amount": text, "reference": "r"}
    assert reason_of(deposit) == "invalid_amount"


def test_cancel_all_takes_a_symbol_or_none() -> None:
    assert reason_of({"command": "cancel_all", "account": 1}) is None
    assert reason_of({"command": "cancel_all", "account": 1, "symbol": None}) is None
    assert reason_of({"command": "cancel_all", "account": 1, "symbol": "NO-NE"}) == "unknown_symbol"
    assert reason_of({"command": "cancel_all", "symbol": "BASE-QUOTE"}) == "malformed"


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
    assert reason_of(changed({"command": "deposit", **usual}, changes)) == reason
    assert reason_of(changed({"command": "withdraw", **usual}, changes)) == reason


@pytest.mark.parametrize("symbol", ["", "btc", "A" * 33, "A B", "\u00c9", "A\n", 5, None])
def test_a_new_symbol_has_1_to_32_valid_characters(symbol: object) -> None:
    assert reason_of({"command": "asset", "symbol": symbol, "decimals": 0}) == "malformed"
    assert reason_of({"command": "asset", "symbol": "A.b".upper() + "_-9", "decimals": 0}) is None


@pytest.mark.parametrize("decimals", [-1, 19, True, 8.0, "8", None])
def test_decimals_are_an_integer_from_0_to_18(decimals: object) -> None:
    assert reason_of({"command": "asset", "symbol": "X", "decimals": decimals}) == "malformed"


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
    assert reason_of(changed(INSTRUMENT, changes)) == reason


def test_the_instruments_of_the_worked_example_are_refused_until_they_are_exact() -> None:
    tape = Tape()
    tape.do("asset", symbol="BTC", decimals=8)
    tape.do("asset", symbol="CENT", decimals=2)
    tape.do("asset", symbol="USD", decimals=6)
    sizes = {"min_quantity": "1", "max_quantity": "8", "base": "BTC", "tick_size": "0.01"}
    coarse = {**INSTRUMENT, **sizes, "quote": "CENT"}
    assert reason_of({**coarse, "lot_size": "0.0001"}, tape) == "malformed"
    assert reason_of({**coarse, "lot_size": "0.01"}, tape) == "malformed"
    assert reason_of({**coarse, "lot_size": "0.0001", "quote": "USD"}, tape) is None


def test_a_status_is_one_of_three() -> None:
    command = {"command": "instrument_status", "symbol": "BASE-QUOTE"}
    assert [reason_of({**command, "status": status}) for status in ("trading", "cancel_only", "halted")] == [None] * 3
    assert reason_of({**command, "status": "asleep"}) == "malformed"
    assert reason_of({**command, "symbol": "NO-NE", "status": "asleep"}) == "unknown_symbol"


UPDATE: Event = {"command": "instrument_update", "symbol": "BASE-QUOTE"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "malformed"),
        ({"maker_fee": None}, "malformed"),
        ({"tick_size": "2"}, "malformed"),
        ({"maker_fee": 0}, None),
        ({"maker_fee": 0, "tick_size": "2"}, None),
        ({"taker_fee": 1_000_000}, "malformed"),
        ({"min_quantity": "0"}, "malformed"),
        ({"min_quantity": "0.5"}, "malformed"),
        ({"min_quantity": 1}, "malformed"),
        ({"max_quantity": "0"}, "malformed"),
        ({"min_quantity": "9", "max_quantity": "8"}, None),
        ({"min_notional": "-1"}, "malformed"),
        ({"min_notional": "0"}, None),
        ({"price_band": 0}, None),
        ({"price_band": 999_999}, None),
        ({"price_band": 1_000_000}, "malformed"),
        ({"price_band": "5"}, "malformed"),
        ({"max_open_orders": 1_000_000}, None),
        ({"max_open_orders": 1_000_001}, "malformed"),
        ({"max_open_orders": True}, "malformed"),
        ({"symbol": "NO-NE", "maker_fee": -1}, "unknown_symbol"),
    ],
)
def test_fields_of_an_instrument_update(changes: Event, reason: str | None) -> None:
    assert reason_of(changed(UPDATE, changes)) == reason


@pytest.mark.parametrize("changes", [{"price_band": 5}, {"price_band": None}, {"max_open_orders": 1_000_000}])
def test_an_instrument_may_have_a_band_and_a_limit_of_open_orders(changes: Event) -> None:
    assert reason_of({**INSTRUMENT, **changes}) is None


@pytest.mark.parametrize("changes", [{"price_band": 1_000_000}, {"price_band": -1}, {"max_open_orders": 1_000_001}])
def test_an_instrument_with_a_wrong_band_or_limit_is_malformed(changes: Event) -> None:
    assert reason_of({**INSTRUMENT, **changes}) == "malformed"


def test_an_account_status_is_one_of_three() -> None:
    command = {"command": "account_status", "account": 1}
    assert [reason_of({**command, "status": status}) for status in ("active", "no_trading", "frozen")] == [None] * 3
    assert [reason_of({**command, "status": status}) for status in ("halted", None, 1)] == ["malformed"] * 3
    assert reason_of({"command": "account_status", "status": "active"}) == "malformed"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"symbol": None}, None),
        ({"symbol": "NO-NE", "maker_fee": 5}, "unknown_symbol"),
        ({"maker_fee": None, "taker_fee": None}, None),
        ({"maker_fee": None}, "malformed"),
        ({"taker_fee": MISSING}, "malformed"),
        ({"maker_fee": 1_000_000}, "malformed"),
        ({"taker_fee": -1}, "malformed"),
        ({"account": MISSING}, "malformed"),
    ],
)
def test_fields_of_account_fees(changes: Event, reason: str | None) -> None:
    command: Event = {"command": "account_fees", "account": 1, "symbol": "BASE-QUOTE", "maker_fee": 0, "taker_fee": 9}
    assert reason_of(changed(command, changes)) == reason
