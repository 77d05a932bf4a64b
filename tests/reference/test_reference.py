"""The reference engine against the vectors, and against docs/semantics.md."""

import json
from pathlib import Path

import pytest

from tests.reference import run_lines
from tests.reference.engine import ReferenceExchange
from tests.reference.forms import Event
from tests.reference.invariants import Watch
from tests.reference.tape import PLENTY, Tape

VECTORS = Path(__file__).parents[1] / "vectors"
NAMES = sorted(path.name.removesuffix(".commands.jsonl") for path in VECTORS.glob("*.commands.jsonl"))
LIMIT = 2**62


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _lines(name: str) -> list[str]:
    return (VECTORS / name).read_text(encoding="utf-8").splitlines()


def _without_other_order_id(event: Event) -> Event:
    """The vectors leave out which order a self-trade met."""
    return {name: value for name, value in event.items() if name != "other_order_id"}


# Vectors


def test_there_are_vectors() -> None:
    assert set(NAMES) == {
        *("worked_example", "every_rule_1", "every_rule_2", "every_rule_3"),
        *("trigger_orders", "order_lists", "icebergs", "accounts_and_bands"),
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_vector_gives_its_exact_events_and_summary(name: str) -> None:
    exchange = ReferenceExchange()
    watch = Watch(exchange.state)
    *expected_lines, expected_summary = _lines(f"{name}.events.jsonl")
    expected = iter(expected_lines)
    for number, line in enumerate(_lines(f"{name}.commands.jsonl"), start=1):
        events = exchange.submit_line(line, number)
        for event in events:
            expected_line = next(expected)
            told = _without_other_order_id(event)
            assert told == json.loads(expected_line), (number, line)
            assert _compact(told) == expected_line
        watch.check(events)
    assert next(expected, None) is None
    without_blocks = json.loads(expected_summary)
    without_blocks.pop("block", None)
    without_blocks.pop("state_hash", None)
    assert exchange.summary() == without_blocks
    assert _compact(exchange.summary()) == _compact(without_blocks)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_of_the_lines_of_a_vector_gives_the_same(name: str) -> None:
    events, summary = run_lines(_lines(f"{name}.commands.jsonl"))
    *expected, expected_summary = map(json.loads, _lines(f"{name}.events.jsonl"))
    assert [_without_other_order_id(event) for event in events] == expected
    assert summary["state_digest"] == expected_summary["state_digest"]


# Numbers and fees


def test_a_fee_of_999999_ppm_is_rounded_down() -> None:
    tape = Tape(maker_fee=999_999, taker_fee=999_999)
    tape.place("ask", 1, "sell", 7, 3)
    tape.place("bid", 2, "buy", 7, 3)
    # floor(3 * 0.999999) = 2 of 3 base, floor(21 * 0.999999) = 20 of 21 quote
    assert tape.balance(2, "BASE") == (str(PLENTY + 1), "0")
    assert tape.balance(1, "QUOTE") == (str(PLENTY + 1), "0")
    assert tape.balance(0, "BASE") == ("2", "0")
    assert tape.balance(0, "QUOTE") == ("20", "0")


def test_the_maker_pays_the_maker_fee_on_either_side() -> None:
    tape = Tape(maker_fee=1000, taker_fee=2000)
    tape.place("bid", 1, "buy", 10, 1000)
    events = tape.do(
        "order", account=2, symbol="BASE-QUOTE", side="sell", order_type="limit", price="10", quantity="1000"
    )
    assert [(event["buyer_fee"], event["seller_fee"]) for event in events if event["event"] == "trade"] == [("1", "20")]


def test_a_notional_of_2_to_the_62_trades_and_one_more_is_refused() -> None:
    tape = Tape(plenty=0, taker_fee=999_999)
    tape.deposit(1, "QUOTE", LIMIT)
    tape.deposit(2, "BASE", LIMIT)
    assert tape.place("much", 1, "buy", LIMIT // 3 + 1, 3) == ["refused notional_overflow"]
    assert tape.place("many", 2, "sell", 2, LIMIT // 2 + 1) == ["refused notional_overflow"]
    assert tape.place("bid", 1, "buy", 1, LIMIT) == ["bid accepted"]
    assert tape.place("ask", 2, "sell", 1, LIMIT) == ["ask accepted", f"ask trades {LIMIT} at 1 with bid"]
    assert tape.balance(1, "BASE") == (str(LIMIT), "0")
    assert tape.balance(0, "QUOTE") == (str(LIMIT * 999_999 // 1_000_000), "0")


def test_a_quantity_whose_base_units_exceed_2_to_the_62_is_refused_even_for_a_market_order() -> None:
    tape = Tape(lot_size="10", min_quantity="10", max_quantity=str(10 * 2**62))
    tape.place("bid", 1, "buy", 1, 10)
    assert tape.market("far", 2, "sell", quantity=str((LIMIT // 10 + 1) * 10)) == ["refused notional_overflow"]
    assert tape.market("near", 2, "sell", quantity=str(LIMIT // 10 * 10)) == ["refused insufficient_balance"]


def test_a_quote_quantity_beyond_2_to_the_62_is_a_notional_overflow() -> None:
    tape = Tape()
    assert tape.market("far", 1, "buy", quote_quantity=str(LIMIT + 1)) == ["refused notional_overflow"]
    assert tape.market("near", 1, "buy", quote_quantity=str(LIMIT)) == ["refused insufficient_balance"]


def test_a_market_buy_whose_cost_exceeds_every_int64_is_insufficient_balance() -> None:
    tape = Tape()
    for name in ("a1", "a2", "a3"):
        tape.place(name, 1, "sell", LIMIT // 2, 2)
    assert tape.market("bid", 2, "buy", quantity="6") == ["refused insufficient_balance"]


def test_18_decimals_are_exact_to_the_last_unit() -> None:
    exchange = ReferenceExchange()
    smallest = "0.000000000000000001"
    fees = {"maker_fee": 0, "taker_fee": 0}
    sizes = {"tick_size": smallest, "lot_size": "1", "min_quantity": "1", "max_quantity": "9"}
    commands: list[dict[str, object]] = [
        {"command": "asset", "symbol": "ONE", "decimals": 0},
        {"command": "asset", "symbol": "WEI", "decimals": 18},
        {"command": "instrument", "symbol": "O", "base": "ONE", "quote": "WEI", **sizes, "min_notional": "0", **fees},
        {"command": "deposit", "account": 1, "asset": "WEI", "amount": "4.611686018427387904", "reference": "all"},
        {"command": "deposit", "account": 1, "asset": "WEI", "amount": smallest, "reference": "more"},
        {"command": "order", "account": 1, "symbol": "O", "side": "buy", "order_type": "limit", "price": smallest}
        | {"quantity": "1.000"},
    ]
    events = [event for command in commands for event in exchange.submit(command)]
    assert [event.get("reason", event["event"]) for event in events[3:]] == [
        *("deposited", "supply_overflow", "order_accepted"),
    ]
    assert exchange.balances() == [
        {"account": 1, "asset": "WEI", "available": "4.611686018427387903", "locked": smallest}
    ]


# Refusals in the engine: the first that applies


def test_an_order_is_validated_in_the_documented_order() -> None:
    tape = Tape(min_quantity="2", max_quantity="2305843009213693952", min_notional="100")
    tape.place("bid", 1, "buy", 50, 10, client_order_id="mine")
    post_only = {"post_only": True}
    huge, named = 2**61, {"client_order_id": "mine"}
    assert tape.place("x", 1, "buy", 0, 1, **named) == ["refused invalid_price"]
    assert tape.place("x", 1, "buy", -5, 1, **named) == ["refused invalid_price"]
    assert tape.place("x", 1, "buy", 3 * huge, 1, **named) == ["refused invalid_quantity"]
    assert tape.place("x", 1, "buy", 1, huge + 1, **named) == ["refused invalid_quantity"]
    assert tape.place("x", 1, "buy", 3, huge, **named) == ["refused notional_overflow"]
    assert tape.place("x", 1, "buy", 49, 2, **named) == ["refused below_min_notional"]
    assert tape.place("x", 1, "buy", 1, huge, **named) == ["refused duplicate_client_order_id"]
    assert tape.place("x", 2, "sell", 1, huge, **post_only) == ["refused insufficient_balance"]
    assert tape.place("x", 2, "sell", 50, 11, **post_only) == ["refused post_only_would_match"]
    tape.status("cancel_only")
    assert tape.place("x", 1, "buy", 0, 1) == ["refused instrument_halted"]


def test_a_market_order_is_validated_in_the_documented_order() -> None:
    tape = Tape(min_notional="100")
    assert tape.market("x", 1, "buy", quote_quantity="0") == ["refused invalid_quantity"]
    assert tape.market("x", 1, "buy", quote_quantity="99") == ["refused below_min_notional"]
    assert tape.market("x", 1, "buy", quote_quantity=str(PLENTY + 1)) == ["refused insufficient_balance"]
    assert tape.market("a", 1, "buy", quote_quantity="100") == ["a accepted", "a cancelled no_liquidity quote 100"]
    assert tape.market("x", 1, "sell", quantity=str(PLENTY + 1)) == ["refused insufficient_balance"]
    assert tape.market("b", 1, "sell", quantity="1") == ["b accepted", "b cancelled no_liquidity 1"]
    assert tape.market("c", 1, "buy", quantity="1") == ["c accepted", "c cancelled no_liquidity 1"]
    tape.place("ask", 2, "sell", 101, 5)
    assert tape.market("x", 1, "buy", quote_quantity="100") == ["refused quote_quantity_too_small"]
    assert tape.market("x", 1, "buy", quote_quantity="101") == [
        *("x accepted", "x trades 1 at 101 with ask", "x cancelled quote_quantity_used quote 0"),
    ]


def test_a_reference_can_be_used_once_for_each_account_and_direction() -> None:
    tape = Tape()
    usual = {"account": 1, "asset": "BASE", "amount": "5", "reference": "same"}
    assert tape.do("deposit", **{**usual, "amount": "0"})[0]["reason"] == "invalid_amount"
    assert tape.do("deposit", **usual)[0]["event"] == "deposited"
    assert tape.do("deposit", **{**usual, "asset": "QUOTE"})[0]["reason"] == "duplicate_reference"
    assert tape.do("deposit", **{**usual, "account": 2})[0]["event"] == "deposited"
    assert tape.do("deposit", **{**usual, "amount": str(LIMIT)})[0]["reason"] == "duplicate_reference"
    beyond = {**usual, "amount": str(LIMIT), "reference": "other"}
    assert tape.do("deposit", **beyond)[0]["reason"] == "supply_overflow"
    assert tape.do("deposit", **{**beyond, "amount": "1"})[0]["event"] == "deposited"
    assert tape.do("withdraw", **{**usual, "amount": str(2 * PLENTY)})[0]["reason"] == "insufficient_balance"
    assert tape.do("withdraw", **usual)[0]["event"] == "withdrawn"
    assert tape.do("withdraw", **{**usual, "amount": str(2 * PLENTY)})[0]["reason"] == "duplicate_reference"
    assert tape.do("withdraw", **{**usual, "amount": "-1"})[0]["reason"] == "invalid_amount"


def test_a_withdrawal_makes_room_for_a_deposit() -> None:
    tape = Tape(plenty=0)
    tape.deposit(1, "BASE", LIMIT)
    assert tape.deposit(2, "BASE", 1)[0]["reason"] == "supply_overflow"
    tape.do("withdraw", account=1, asset="BASE", amount="1", reference="out")
    assert tape.deposit(2, "BASE", 1)[0]["event"] == "deposited"


def test_locked_money_cannot_be_withdrawn() -> None:
    tape = Tape()
    tape.place("ask", 1, "sell", 5, 10)
    usual = {"account": 1, "asset": "BASE", "reference": "out"}
    assert tape.do("withdraw", amount=str(PLENTY - 9), **usual)[0]["reason"] == "insufficient_balance"
    assert tape.do("withdraw", amount=str(PLENTY - 10), **usual)[0]["event"] == "withdrawn"


def test_a_cancel_reveals_nothing_about_orders_of_others() -> None:
    tape = Tape()
    tape.add_instrument("OTHER")
    tape.place("bid", 1, "buy", 5, 1)
    assert tape.cancel("bid", 2) == ["refused unknown_order"]
    assert tape.cancel("bid", 1, symbol="OTHER") == ["refused unknown_order"]
    assert tape.replace("bid", 2, 5, 1) == ["refused unknown_order"]
    assert tape.replace("bid", 1, 5, 1, symbol="OTHER") == ["refused unknown_order"]
    assert tape.cancel("bid", 1) == ["bid cancelled user 1"]
    assert tape.cancel("bid", 1) == ["refused unknown_order"]


def test_status_cancel_only_accepts_cancels_and_status_halted_does_not() -> None:
    tape = Tape()
    for name in ("o1", "o2", "o3"):
        tape.place(name, 1, "buy", 5, 1)
    tape.status("cancel_only")
    assert tape.place("o4", 1, "buy", 5, 1) == ["refused instrument_halted"]
    assert tape.replace("o1", 1, 5, 1) == ["refused instrument_halted"]
    assert tape.cancel("o1", 1) == ["o1 cancelled user 1"]
    tape.status("halted")
    assert tape.cancel("o2", 1) == ["refused instrument_halted"]
    assert tape.cancel("o1", 1) == ["refused unknown_order"]
    assert tape.replace("o1", 1, 5, 1) == ["refused unknown_order"]
    tape.status("trading")
    assert tape.cancel("o2", 1) == ["o2 cancelled user 1"]
    assert tape.book() == ["o3 buy 1 at 5"]


def test_an_existing_definition_is_not_changed_by_another_one() -> None:
    tape = Tape()
    assert tape.do("asset", symbol="BASE", decimals=9)[0]["reason"] == "already_exists"
    assert tape.add_instrument("BASE-QUOTE", maker_fee=5)[0]["reason"] == "already_exists"
    assert tape.exchange.edge.assets["BASE"].decimals == 0


def test_a_client_order_id_is_free_again_once_its_order_is_gone() -> None:
    tape = Tape()
    tape.add_instrument("OTHER")
    named = {"client_order_id": "mine"}
    tape.place("o1", 1, "buy", 5, 1, **named)
    assert tape.place("o2", 1, "buy", 4, 1, **named) == ["refused duplicate_client_order_id"]
    assert tape.place("o3", 2, "buy", 4, 1, **named) == ["o3 accepted"]
    assert tape.place("o4", 1, "buy", 4, 1, symbol="OTHER", **named) == ["o4 accepted"]
    assert tape.place("o5", 3, "sell", 5, 1, **named) == ["o5 accepted", "o5 trades 1 at 5 with o1"]
    assert tape.place("o6", 1, "buy", 5, 1, **named) == ["o6 accepted"]
    by_name = {"account": 1, "symbol": "BASE-QUOTE", "client_order_id": "mine"}
    assert tape.read(tape.do("replace", price="6", quantity="2", **by_name)) == ["o6 loses its place"]
    assert tape.read(tape.do("cancel", **by_name)) == ["o6 cancelled user 2"]
    assert tape.read(tape.do("cancel", **by_name)) == ["refused unknown_order"]


# The state


def test_open_orders_are_sorted_by_symbol_side_price_and_time() -> None:
    tape = Tape()
    tape.add_instrument("AFTER")
    tape.place("z", 1, "buy", 1, 1)
    tape.place("y", 1, "buy", 2, 1, symbol="AFTER")
    tape.place("a1", 1, "sell", 9, 1)
    tape.place("a2", 2, "sell", 8, 1)
    tape.place("b1", 2, "buy", 5, 1)
    tape.place("b2", 1, "buy", 5, 1)
    tape.place("b3", 1, "buy", 6, 1)
    rows = ["y buy 1 at 2", "b3 buy 1 at 6", "b1 buy 1 at 5", "b2 buy 1 at 5"]
    assert tape.book() == [*rows, "z buy 1 at 1", "a2 sell 1 at 8", "a1 sell 1 at 9"]


def test_the_summary_omits_empty_balances_and_counts_only_sequenced_commands() -> None:
    tape = Tape(plenty=0)
    tape.deposit(1, "BASE", 1)
    tape.do("withdraw", account=1, asset="BASE", amount="1", reference="out")
    tape.do("fly")
    summary = tape.exchange.summary()
    assert (summary["commands"], summary["events"], summary["balances"]) == (5, 5, [])
    assert list(summary) == ["summary", "commands", "events", "trades", "state_digest", "balances", "open_orders"]
