"""The random streams are repeatable and exercise every rule."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice

import pytest

from tests.reference.engine import DEFAULT_LIMITS, ReferenceExchange
from tests.reference.forms import Event
from tests.reference.invariants import Watch
from tests.reference.limits import Limits
from tests.reference.nonsense import MISUSED_FIELDS
from tests.reference.rule_coverage import CANCELLATIONS, REFUSALS, RuleCoverage
from tests.reference.state import State
from tests.reference.stream_templates import Json
from tests.reference.streams import RandomStream, random_commands, random_lines
from tests.reference.tape import Tape

SEEDS, COMMANDS = 20, 2400
SMALL_LIMITS = Limits(makers=2, cancelled=3, events=12)
EVENTS = {
    *("asset_added", "instrument_added", "instrument_status_changed", "deposited", "withdrawn", "order_accepted"),
    *("trade", "order_cancelled", "order_replaced", "orders_cancelled", "rejected", "order_triggered"),
    *("instrument_updated", "account_status_changed", "account_fees_changed"),
}
REASONS = {
    *(reason.removeprefix("edge ") for reason in (*REFUSALS, *CANCELLATIONS)),
    *("unknown_asset", "invalid_order_type", "invalid_amount", "supply_overflow", "duplicate_reference"),
    "already_exists",
}


def test_the_same_arguments_give_the_same_stream() -> None:
    assert list(random_commands(7, 500)) == list(random_commands(7, 500))
    assert list(random_commands(7, 500)) != list(random_commands(8, 500))
    assert list(islice(random_commands(7, 500), 100)) == list(random_commands(7, 100))


@dataclass
class Seen:
    """What all streams together have reached."""

    coverage: RuleCoverage = field(default_factory=RuleCoverage)
    events: Counter[str] = field(default_factory=Counter)
    left_in_queue: int = 0


@pytest.fixture(scope="module")
def seen() -> Seen:
    """Runs the streams, and checks the invariants after each command."""
    seen = Seen()
    for command, events in _every_misuse():
        seen.coverage.read(command, events, State(DEFAULT_LIMITS))
    for seed in range(SEEDS):
        limits = SMALL_LIMITS if seed % 2 else DEFAULT_LIMITS
        shape = {"instruments": 1 + seed % 3, "accounts": 2 + seed % 6}
        _run(RandomStream(seed, **shape, limits=limits, wild=seed % 4 != 3), seen)
    return seen


def _every_misuse() -> Iterator[tuple[Json, list[Event]]]:
    """Each kind of order with each mistake that the edge finds."""
    usual: Json = {"account": 1, "symbol": "BASE-QUOTE", "side": "buy", "quantity": "1"}
    prices = {"limit": ("price",), "market": ()} | dict.fromkeys(("stop_loss", "take_profit"), ("trigger_price",))
    prices |= dict.fromkeys(("stop_loss_limit", "take_profit_limit"), ("price", "trigger_price"))
    valid = [
        {"command": "order", **usual, "order_type": order_type, **dict.fromkeys(names, "5")}
        for order_type, names in prices.items()
    ]
    by_quote = {"quantity": None, "quote_quantity": "5"}
    valid += [
        {"command": "order", **usual, "order_type": "market", **by_quote},
        {"command": "oco", **usual, "price": "5", "trigger_price": "6"},
    ]
    for command in valid:
        for misuse in MISUSED_FIELDS:
            tape = Tape()
            wrong = {**command, **misuse}
            yield wrong, tape.exchange.submit(wrong)


def _run(stream: RandomStream, seen: Seen) -> None:
    state, most_open = stream.exchange.state, 0
    watch = Watch(state)
    seen.coverage.begin_stream()
    for _ in range(COMMANDS):
        command, events = stream.step()
        watch.check(events)
        seen.coverage.read(command, events, state)
        for event in events:
            seen.events.update({event["event"], event.get("reason") or event["event"]})
        seen.left_in_queue += bool(state.queue)
        most_open = max(most_open, len(state.open))
    assert state.trade_count > 150
    assert most_open > 40


def test_streams_reach_every_event_and_every_reason(seen: Seen) -> None:
    assert seen.events.keys() == EVENTS | REASONS, (EVENTS | REASONS) ^ seen.events.keys()


def test_every_reason_meets_every_kind_of_order_that_can_have_it(seen: Seen) -> None:
    sys.stdout.write(seen.coverage.tables() + "\n")
    assert seen.coverage.wrong_cells() == []


def test_every_pair_of_features_meets_in_a_command(seen: Seen) -> None:
    assert seen.coverage.pairs_that_never_met() == []


def test_triggered_orders_are_left_to_the_next_command_now_and_then(seen: Seen) -> None:
    assert seen.left_in_queue > 20


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


BEFORE_IT_ACTS = {"user", "oco", "insufficient_balance", "account_restricted"}


@pytest.mark.parametrize("seed", [1, 4, 5])
def test_orders_that_lock_what_they_would_take_never_get_any_of_it_back(seed: int) -> None:
    """A market buy by quantity, a sale by quote_quantity, a triggered buy without a price."""
    exchange, exact, cancelled = ReferenceExchange(), set(), set()
    for command in random_commands(seed, 2000):
        for event in exchange.submit(command):
            if event["event"] == "order_accepted" and event["price"] is None:
                by_quote = event["quote_quantity"] is not None
                if (event["side"] == "sell") == by_quote:
                    exact.add(event["order_id"])
            has_acted = event["event"] == "order_cancelled" and event["reason"] not in BEFORE_IT_ACTS
            if has_acted and event["order_id"] in exact:
                cancelled.add(event["sequence"])
    assert len(cancelled) > 30
    assert not [entry for entry in exchange.ledger if entry["event_sequence"] in cancelled]


@pytest.mark.parametrize("seed", [2, 3])
def test_a_fok_order_is_filled_whole_or_trades_nothing(seed: int) -> None:
    exchange = ReferenceExchange()
    wanted: dict[int, Fraction] = {}
    traded: Counter[int] = Counter()
    for command in random_commands(seed, 2000):
        for event in exchange.submit(command):
            if event["event"] == "order_accepted" and event["time_in_force"] == "fok":
                wanted[event["order_id"]] = Fraction(event["quantity"])
            if event["event"] == "trade" and event["taker_order_id"] in wanted:
                wanted[event["taker_order_id"]] -= Fraction(event["quantity"])
                traded[event["taker_order_id"]] += 1
            if event["event"] == "order_cancelled" and event["order_id"] in wanted:
                assert event["reason"] in {"fok_not_fillable", *BEFORE_IT_ACTS}
                assert not traded[event["order_id"]]
    assert all(wanted[order_id] == 0 for order_id in traded)
    assert len(traded) > 10


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
    for number, line in enumerate(random_lines(5, 1000, wild=False), start=1):
        by_line.submit_line(line, number)
    for command in random_commands(5, 1000, wild=False):
        by_value.submit(json.loads(json.dumps(command)))
    assert by_line.summary() == by_value.summary()
