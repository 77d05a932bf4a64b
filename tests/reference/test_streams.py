"""The random streams are repeatable and exercise every rule."""

import json
from collections import Counter
from itertools import islice

import pytest

from tests.reference.engine import ReferenceExchange
from tests.reference.streams import TEMPLATES, random_commands, random_lines

EVENTS = {
    *("asset_added", "instrument_added", "instrument_status_changed", "deposited", "withdrawn", "order_accepted"),
    *("trade", "order_cancelled", "order_replaced", "orders_cancelled", "rejected"),
}
REASONS = {
    *("malformed", "unknown_asset", "unknown_symbol", "invalid_side", "invalid_order_type", "invalid_time_in_force"),
    *("invalid_price", "invalid_quantity", "invalid_amount", "instrument_halted", "notional_overflow"),
    *("below_min_notional", "duplicate_client_order_id", "insufficient_balance", "post_only_would_match"),
    *("fok_not_fillable", "no_liquidity", "quote_quantity_too_small", "unknown_order", "supply_overflow"),
    *("duplicate_reference", "already_exists", "user", "ioc", "self_trade", "quote_quantity_used"),
}


def test_the_same_arguments_give_the_same_stream() -> None:
    assert list(random_commands(7, 500)) == list(random_commands(7, 500))
    assert list(random_commands(7, 500)) != list(random_commands(8, 500))
    assert list(islice(random_commands(7, 500), 100)) == list(random_commands(7, 100))


def test_streams_reach_every_event_and_every_reason() -> None:
    seen: Counter[str] = Counter()
    for seed in range(len(TEMPLATES)):
        exchange = ReferenceExchange()
        for command in random_commands(seed, 3000):
            for event in exchange.submit(command):
                seen.update({event["event"], event.get("reason") or event["event"]})
    assert seen.keys() == EVENTS | REASONS, (EVENTS | REASONS) ^ seen.keys()


@pytest.mark.parametrize("seed", range(10))
def test_invariants_hold_after_every_command_while_many_orders_rest_and_many_trade(seed: int) -> None:
    exchange, most_open = ReferenceExchange(), 0
    for command in random_commands(seed, 2000, instruments=1 + seed % 3, accounts=2 + seed % 6, wild=seed % 2 == 0):
        exchange.submit(command)
        exchange.check_invariants()
        most_open = max(most_open, len(exchange.open))
    assert exchange.trade_count > 200
    assert most_open > 40


def test_balances_are_the_sum_of_their_ledger_entries() -> None:
    exchange = ReferenceExchange()
    for command in random_commands(3, 2000):
        exchange.submit(command)
    sums: dict[tuple[int, str], tuple[int, int]] = {}
    for entry in exchange.ledger:
        key = (entry["account"], entry["asset"])
        available, locked = sums.get(key, (0, 0))
        sums[key] = (available + entry["delta_available"], locked + entry["delta_locked"])
        assert sums[key] == (entry["available_after"], entry["locked_after"])
        assert min(sums[key]) >= 0
    assert sums == {key: (balance.available, balance.locked) for key, balance in exchange.state.funds.balances.items()}


def test_a_trade_does_not_change_the_total_of_an_asset() -> None:
    exchange, trades = ReferenceExchange(), set()
    for command in random_commands(1, 2000):
        trades |= {event["sequence"] for event in exchange.submit(command) if event["event"] == "trade"}
    sums: Counter[tuple[int, str]] = Counter()
    for entry in exchange.ledger:
        if entry["event_sequence"] in trades and entry["kind"] != "unlock":
            sums[entry["event_sequence"], entry["asset"]] += entry["delta_available"] + entry["delta_locked"]
    assert len(sums) == 2 * len(trades)
    assert set(sums.values()) == {0}


def test_a_stream_that_is_not_wild_has_nothing_malformed() -> None:
    exchange = ReferenceExchange()
    for command in random_commands(11, 2000, wild=False):
        assert all(event.get("reason") != "malformed" for event in exchange.submit(command)), command


def test_lines_and_commands_of_a_stream_are_equal() -> None:
    by_line, by_value = ReferenceExchange(), ReferenceExchange()
    for number, line in enumerate(random_lines(5, 1000), start=1):
        by_line.submit_line(line, number)
    for command in random_commands(5, 1000):
        by_value.submit(json.loads(json.dumps(command)))
    assert by_line.summary() == by_value.summary()
