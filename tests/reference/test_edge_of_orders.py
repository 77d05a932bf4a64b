"""Refusals at the reference edge of commands about orders."""

import pytest

from tests.reference.edge_reasons import LIMIT_ORDER, MARKET_ORDER, MISSING, ORDER, changed, reason_of
from tests.reference.forms import Event


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
    assert reason_of(changed(LIMIT_ORDER, changes)) == reason


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
    assert reason_of(changed(MARKET_ORDER, changes)) == reason


STOP: Event = {**ORDER, "order_type": "stop_loss", "trigger_price": "5", "quantity": "1"}
STOP_LIMIT: Event = {**STOP, "order_type": "take_profit_limit", "price": "5"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"trigger_price": "5"}, "invalid_price"),
        ({"trigger_price": None}, None),
        ({"visible_quantity": "1"}, None),
        ({"visible_quantity": "0.5"}, "invalid_quantity"),
        ({"visible_quantity": 1}, "malformed"),
        ({"visible_quantity": "1", "post_only": True}, None),
        ({"visible_quantity": "1", "time_in_force": "ioc"}, "invalid_quantity"),
        ({"visible_quantity": "x", "time_in_force": "fok"}, "invalid_quantity"),
        ({"total_quantity": "x"}, None),
        ({"requires_previous": None}, None),
        ({"requires_previous": False}, None),
        ({"requires_previous": 1}, "malformed"),
    ],
)
def test_further_fields_of_a_limit_order(changes: Event, reason: str | None) -> None:
    assert reason_of(changed(LIMIT_ORDER, changes)) == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"trigger_price": MISSING}, "malformed"),
        ({"trigger_price": "5.5"}, "invalid_price"),
        ({"trigger_price": 5}, "malformed"),
        ({"time_in_force": "ioc"}, None),
        ({"time_in_force": "gtc"}, "invalid_time_in_force"),
        ({"post_only": True}, "invalid_time_in_force"),
        ({"post_only": False}, None),
        ({"price": "5"}, "invalid_price"),
        ({"quote_quantity": "5"}, "invalid_quantity"),
        ({"quantity": MISSING, "quote_quantity": "5"}, "invalid_quantity"),
        ({"visible_quantity": "1"}, "invalid_quantity"),
        ({"order_type": "market"}, "invalid_price"),
        ({"order_type": "stop"}, "invalid_order_type"),
    ],
)
def test_fields_of_a_trigger_order_without_a_price(changes: Event, reason: str | None) -> None:
    assert reason_of(changed(STOP, changes)) == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"price": MISSING}, "malformed"),
        ({"price": "5.5"}, "invalid_price"),
        ({"time_in_force": "gtc"}, None),
        ({"time_in_force": "ioc"}, None),
        ({"time_in_force": "fok"}, None),
        ({"time_in_force": "day"}, "invalid_time_in_force"),
        ({"post_only": True}, "invalid_time_in_force"),
        ({"visible_quantity": "1"}, "invalid_quantity"),
    ],
)
def test_fields_of_a_trigger_order_with_a_price(changes: Event, reason: str | None) -> None:
    assert reason_of(changed(STOP_LIMIT, changes)) == reason


OCO: Event = {"command": "oco", "account": 1, "symbol": "BASE-QUOTE", "side": "sell", "quantity": "1"}
OCO |= {"price": "9", "trigger_price": "5"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"stop_price": "4"}, None),
        ({"stop_price": "4", "stop_time_in_force": "fok"}, None),
        ({"stop_price": "4", "stop_time_in_force": "day"}, "invalid_time_in_force"),
        ({"stop_price": "4", "stop_time_in_force": 1}, "malformed"),
        ({"stop_time_in_force": "ioc"}, "invalid_time_in_force"),
        ({"stop_time_in_force": 1}, "malformed"),
        ({"stop_time_in_force": None}, None),
        ({"side": MISSING}, "malformed"),
        ({"price": MISSING}, "malformed"),
        ({"trigger_price": MISSING}, "malformed"),
        ({"stop_price": "4.5"}, "invalid_price"),
        ({"quantity": MISSING}, "malformed"),
        ({"stop_client_order_id": "x" * 37}, "malformed"),
        ({"list_client_order_id": "x" * 36}, None),
        ({"list_client_order_id": "x" * 37}, "malformed"),
        ({"requires_previous": "no"}, "malformed"),
        ({"order_type": "fly", "time_in_force": 1, "visible_quantity": "9", "quote_quantity": "5"}, None),
    ],
)
def test_fields_of_an_oco(changes: Event, reason: str | None) -> None:
    assert reason_of(changed(OCO, changes)) == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"quantity": MISSING, "total_quantity": "2"}, None),
        ({"total_quantity": "2"}, "invalid_quantity"),
        ({"total_quantity": "2", "price": "1.5"}, "invalid_price"),
        ({"quantity": MISSING}, "malformed"),
        ({"quantity": MISSING, "total_quantity": "2.5"}, "invalid_quantity"),
        ({"new_client_order_id": "x" * 36}, None),
        ({"new_client_order_id": "x" * 37}, "malformed"),
        ({"new_client_order_id": "", "price": "1.5"}, "malformed"),
        ({"requires_previous": "no", "visible_quantity": "9"}, None),
    ],
)
def test_fields_of_a_replace(changes: Event, reason: str | None) -> None:
    usual: Event = {"command": "replace", "account": 1, "symbol": "BASE-QUOTE", "order_id": 1}
    assert reason_of(changed({**usual, "price": "1", "quantity": "1"}, changes)) == reason


def test_a_request_id_of_a_cancel_is_a_short_text_or_none() -> None:
    command: Event = {"command": "cancel", "account": 1, "symbol": "BASE-QUOTE", "order_id": 1}
    assert [reason_of({**command, "request_id": value}) for value in (None, "a", "x" * 36)] == [None] * 3
    assert [reason_of({**command, "request_id": value}) for value in ("", 5, "x" * 37)] == ["malformed"] * 3


def test_fields_are_checked_in_the_documented_order() -> None:
    faults: list[tuple[str, object, str]] = [
        ("account", "1", "malformed"),
        ("symbol", "NO-NE", "unknown_symbol"),
        ("side", "hold", "invalid_side"),
        ("order_type", "stop", "invalid_order_type"),
        ("time_in_force", "day", "invalid_time_in_force"),
        ("self_trade_prevention", "all", "malformed"),
        ("client_order_id", "", "malformed"),
        ("requires_previous", 1, "malformed"),
        ("quote_quantity", "5", "invalid_quantity"),
        ("price", "5.5", "invalid_price"),
        ("trigger_price", "5", "invalid_price"),
        ("quantity", "5.5", "invalid_quantity"),
        ("visible_quantity", "x", "malformed"),
    ]
    for first in range(len(faults)):
        command = LIMIT_ORDER | {name: wrong for name, wrong, _ in faults[first:]}
        assert reason_of(command) == faults[first][2], faults[first]


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
    assert reason_of({"command": "cancel", **head}) == reason
    assert reason_of({"command": "replace", "price": "1", "quantity": "1", **head}) == reason
