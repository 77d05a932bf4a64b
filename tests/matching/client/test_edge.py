"""Refusals at the edge, in the order of docs/semantics.md, section 4, for any input."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.client.edge import BatchBuilder, Edge, Refusal
from matching.core import layout, snapshots
from matching.core.codes import PPM, CommandKind, Reason, is_definition
from matching.core.engine import Engine
from matching.core.intake import check
from matching.core.registry import canonical
from matching.core.texts import text_hash
from matching.node.follower import re_executed
from matching.workloads.btc_usd import BTC
from tests.matching.client.faulty_commands import (
    ACCOUNT_FEES,
    FAULTS,
    GONE,
    LIMIT_ORDER,
    MARKET_BUY,
    NEW_INSTRUMENT,
    OCO,
    REPLACE,
    UPDATE,
    VALID,
    Json,
    changed,
)
from tests.matching.client.refusals import refusal, refusal_of_reference
from tests.matching.examples import examples
from tests.matching.small_exchange import defined_engine, deposit
from tests.reference.engine import ReferenceExchange
from tests.reference.nonsense import FIELDS, WRONG_VALUES


@pytest.mark.parametrize("name", FAULTS)
def test_the_first_of_two_faults_gives_the_reason(name: str, edge: Edge) -> None:
    command, judged = FAULTS[name]
    assert refusal(edge, command) is None
    for earlier, later in combinations(judged, 2):
        for field, value, reason in earlier:
            assert refusal(edge, changed(command, {field: value})) == (command["command"], reason), (field, value)
            for other, wrong, _ in later:
                both = changed(command, {other: wrong, field: value})
                assert refusal(edge, both) == (command["command"], reason), both
    for field, value, reason in judged[-1]:
        assert refusal(edge, changed(command, {field: value})) == (command["command"], reason), (field, value)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"quantity": GONE}, None),
        ({"quantity": None}, None),
        ({"price": None, "time_in_force": None, "post_only": None, "client_order_id": None, "quantity": None}, None),
        ({"quantity": "1"}, "invalid_quantity"),
        ({"side": "sell"}, None),
        ({"order_type": "limit", "price": "1"}, "invalid_quantity"),
        ({"quote_quantity": "0.0000001"}, "invalid_quantity"),
        ({"quote_quantity": 5}, "malformed"),
        ({"quote_quantity": "0"}, None),  # the engine says what is wrong with it
        ({"quote_quantity": "-1"}, None),
        ({"quote_quantity": "0.0000001", "price": "1"}, "invalid_price"),
        ({"time_in_force": "fok"}, "invalid_time_in_force"),
        ({"post_only": False}, None),
    ],
)
def test_a_market_order_by_quote_quantity_has_nothing_else(changes: Json, reason: str | None, edge: Edge) -> None:
    command = changed({**MARKET_BUY, "quote_quantity": "5"}, changes)
    assert refusal(edge, command) == (reason and ("order", reason))


def test_post_only_goes_with_gtc_alone(edge: Edge) -> None:
    for time_in_force, post_only, reason in (
        ("gtc", True, None),
        (None, True, None),
        ("ioc", False, None),
        ("ioc", True, "invalid_time_in_force"),
        ("fok", True, "invalid_time_in_force"),
    ):
        command = {**LIMIT_ORDER, "time_in_force": time_in_force, "post_only": post_only}
        assert refusal(edge, command) == (reason and ("order", reason)), command


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stop_price": None}, None),
        ({"stop_price": GONE, "stop_time_in_force": "gtc"}, "invalid_time_in_force"),
        ({"stop_price": GONE, "stop_time_in_force": 1}, "malformed"),
        ({"stop_price": GONE, "stop_time_in_force": None}, None),
        ({"stop_time_in_force": "fok"}, None),
        ({"time_in_force": "day", "post_only": 1, "visible_quantity": 1, "order_type": "x", "stop": {}}, None),
        ({"client_order_id": "s"}, None),  # the engine refuses two equal names
    ],
)
def test_the_stop_leg_of_an_oco_has_a_time_in_force_only_with_a_price(
    changes: Json, reason: str | None, edge: Edge
) -> None:
    assert refusal(edge, changed(OCO, changes)) == (reason and ("oco", reason))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"maker_fee": GONE, "taker_fee": GONE}, None),
        ({"maker_fee": None, "taker_fee": None, "symbol": None}, None),
        ({"maker_fee": 0, "taker_fee": PPM - 1}, None),
        ({"maker_fee": GONE}, "malformed"),
        ({"taker_fee": None}, "malformed"),
    ],
)
def test_account_fees_gives_both_rates_or_takes_both_away(changes: Json, reason: str | None, edge: Edge) -> None:
    assert refusal(edge, changed(ACCOUNT_FEES, changes)) == (reason and ("account_fees", reason))


def test_an_instrument_update_judges_each_value_alone(edge: Edge) -> None:
    for values in (
        {"min_quantity": "1000000", "max_quantity": "0.0001"},  # the engine compares them
        {"price_band": 0, "max_open_orders": 0, "min_notional": "0"},
        {"price_band": PPM - 1, "max_open_orders": 1_000_000, "tick_size": "x"},
    ):
        assert refusal(edge, {**UPDATE, **values}) is None
    for nothing in ({}, {"tick_size": "1"}, {"price_band": None}):
        assert refusal(edge, {**changed(UPDATE, {"maker_fee": GONE}), **nothing}) == ("instrument_update", "malformed")


def test_a_replace_has_a_quantity_or_a_total_quantity(edge: Edge) -> None:
    assert refusal(edge, changed(REPLACE, {"quantity": GONE, "total_quantity": "2"})) is None
    assert refusal(edge, {**REPLACE, "total_quantity": None}) is None
    assert refusal(edge, changed(REPLACE, {"quantity": None})) == ("replace", "malformed")
    wrong = changed(REPLACE, {"quantity": GONE, "total_quantity": "0.00001"})
    assert refusal(edge, wrong) == ("replace", "invalid_quantity")


def test_the_refusal_of_something_that_is_not_a_command_has_no_name(edge: Edge) -> None:
    for value in (
        None,
        1,
        "order",
        [],
        [LIMIT_ORDER],
        {},
        {"command": None},
        {"command": ["order"]},
        {"command": "fly"},
    ):
        assert refusal(edge, value) == (None, "malformed")
    event = {"event": "rejected", "sequence": None, "line": 9, "command": None, "reason": "malformed"}
    assert Refusal(None, Reason.MALFORMED).event(9) == event


def test_unknown_fields_are_ignored(edge: Edge) -> None:
    for command in VALID:
        assert refusal(edge, {**command, "colour": object(), "": 1}) is None


# Whatever comes

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40) | st.sampled_from(WRONG_VALUES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)
field_names = st.sampled_from(sorted({*FIELDS, *(name for command in VALID for name in command)}))
spoiled = st.builds(
    lambda command, changes, dropped: changed(command, {**changes, **dict.fromkeys(dropped, GONE)}),
    st.sampled_from(VALID),
    st.dictionaries(field_names, json_values | st.sampled_from(WRONG_VALUES), max_size=3),
    st.lists(field_names, max_size=1),
)


@examples(800)
@given(command=spoiled | json_values)
def test_any_value_is_encoded_or_refused_as_by_the_reference(
    command: object, edge: Edge, reference: ReferenceExchange
) -> None:
    assert refusal(edge, command) == refusal_of_reference(reference, command)


@examples(250)
@given(commands=st.lists(spoiled, max_size=8))
def test_the_engine_accepts_every_record_that_the_edge_encodes(commands: list[Json], edge: Edge) -> None:
    builder = BatchBuilder(edge)
    for command in commands:
        if not builder.ends_block:
            builder.add(command)
    kept = len(builder)
    records, texts = builder.take()
    assert len(records) == kept
    assert len(builder) == 0
    check(records, texts, edge.registry)
    assert not np.any(is_definition(records["kind"][:-1]))


def test_a_builder_says_when_a_command_ends_the_block(edge: Edge) -> None:
    builder = BatchBuilder(edge)
    assert builder.add(LIMIT_ORDER) is None
    assert not builder.ends_block
    assert builder.add({"command": "fly"}) == Refusal(None, Reason.MALFORMED)
    assert builder.add({**BTC, "symbol": "ETH"}) is None
    assert builder.ends_block
    records, texts = builder.take()
    assert records["kind"].tolist() == [CommandKind.ORDER, CommandKind.ASSET]
    assert texts == b'a{"command":"asset","symbol":"ETH","decimals":8}'
    assert not builder.ends_block


UNTRADABLE = [
    {**NEW_INSTRUMENT, "lot_size": str(lot), "tick_size": tick, "min_quantity": str(lot), "max_quantity": str(lot)}
    for lot, tick in (
        (46_116_860_185, "0.000001"),  # 46 116 860 185 * 10^8 base units: over 2^62, and under 2^63
        (92_233_720_368, "0.000001"),
        (1, "4611686018428"),  # the same for quote units
    )
]


@pytest.mark.parametrize("definition", UNTRADABLE)
def test_an_instrument_of_which_no_lot_can_be_traded_is_refused(
    definition: Json, edge: Edge, reference: ReferenceExchange
) -> None:
    assert refusal(edge, definition) == refusal_of_reference(reference, definition) == ("instrument", "malformed")


def test_one_lot_may_have_as_many_units_as_the_amount_limit(edge: Edge, reference: ReferenceExchange) -> None:
    lot = "46116860184.27387904"  # 2^62 base units
    largest = {**NEW_INSTRUMENT, "lot_size": lot, "tick_size": "1", "min_quantity": lot, "max_quantity": lot}
    units = {**largest, "base": "USD", "quote": "BTC", "lot_size": "1", "min_quantity": "1", "max_quantity": "1"}
    largest_quote = {**units, "tick_size": lot}
    for definition in (largest_quote, {**largest_quote, "tick_size": "1"}):
        assert refusal(edge, definition) is refusal_of_reference(reference, definition) is None


@pytest.mark.parametrize("definition", UNTRADABLE)
def test_blocks_and_snapshots_with_an_untradable_instrument_stay_readable(definition: Json) -> None:
    engine = defined_engine()
    made = engine.registry.instrument_from(definition).definition()
    text = canonical(made).encode()
    command = np.zeros(1, layout.COMMAND)
    command["kind"], command["text_length"], command["text_hash"] = CommandKind.INSTRUMENT, len(text), text_hash(text)
    engine.check(command, text)
    request = np.array([(7, 1, 0, 0, 1, 0)], layout.REQUEST)
    block = engine.apply(request, command.copy(), text, 1)
    again = defined_engine()
    assert re_executed(again, block).data == block.data
    assert snapshots.decode(snapshots.encode(again)).registry.dump() == engine.registry.dump()


def test_the_edge_uses_what_is_added_to_its_registry() -> None:
    engine = Engine()
    edge = Edge(engine.registry)
    assert refusal(edge, deposit(1, "t-1")) == ("deposit", "unknown_asset")
    engine.registry.add_asset(engine.registry.asset_from(BTC))
    assert refusal(edge, deposit(1, "t-1")) is None
