"""Refusals at the edge, in the order of docs/semantics.md, section 4, for any input."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.client.edge import BatchBuilder, Edge, Refusal
from matching.core import layout, snapshots
from matching.core.codes import PPM, CommandKind, Reason, is_definition, name_of
from matching.core.engine import Engine
from matching.core.intake import check
from matching.core.registry import canonical
from matching.core.texts import text_hash
from matching.node.follower import re_executed
from matching.workloads.btc_usd import BTC, BTC_USD, DEFINITIONS
from tests.matching.examples import examples
from tests.matching.small_exchange import defined_engine, deposit, order
from tests.reference import edge as reference_edge
from tests.reference.engine import ReferenceExchange
from tests.reference.nonsense import FIELDS, WRONG_VALUES

Json = dict[str, Any]
GONE = object()
LIMIT_ORDER = order(1, "buy", "100.00", client_order_id="a", post_only=False, self_trade_prevention="none")
MARKET_BUY = {"command": "order", "account": 1, "symbol": "BTC-USD", "side": "buy", "order_type": "market"}
CANCEL = {"command": "cancel", "account": 1, "symbol": "BTC-USD", "client_order_id": "a"}
REPLACE = {**CANCEL, "command": "replace", "price": "100.00", "quantity": "2"}
STOP = {**MARKET_BUY, "order_type": "stop_loss", "trigger_price": "90.00", "quantity": "1", "client_order_id": "a"}
STOP_LIMIT = {**STOP, "order_type": "stop_loss_limit", "price": "89.00"}
OCO = {
    "command": "oco",
    "account": 1,
    "symbol": "BTC-USD",
    "side": "sell",
    "quantity": "1",
    "price": "110.00",
    "client_order_id": "l",
    "trigger_price": "90.00",
    "stop_price": "89.00",
    "stop_client_order_id": "s",
}
UPDATE = {"command": "instrument_update", "symbol": "BTC-USD", "maker_fee": 5}
ACCOUNT_STATUS = {"command": "account_status", "account": 1, "status": "frozen"}
ACCOUNT_FEES = {"command": "account_fees", "account": 1, "maker_fee": 5, "taker_fee": 7}
WITHDRAW = {**deposit(1, "t-1"), "command": "withdraw"}
STATUS = {"command": "instrument_status", "symbol": "BTC-USD", "status": "halted"}
NEW_INSTRUMENT = {**BTC_USD, "symbol": "USD-BTC.2"}
VALID: list[Json] = [
    *(LIMIT_ORDER, {**MARKET_BUY, "quantity": "1"}, {**MARKET_BUY, "quote_quantity": "5"}, CANCEL, REPLACE, WITHDRAW),
    *(
        deposit(1, "t-1"),
        {"command": "cancel_all", "account": 1},
        {"command": "cancel", **CANCEL, "account": 2**63 - 1},
    ),
    *({**BTC, "symbol": "ETH"}, NEW_INSTRUMENT, STATUS),
    {**NEW_INSTRUMENT, "price_band": 50_000, "max_open_orders": 3},
    *(STOP, STOP_LIMIT, OCO, {**OCO, "stop_price": None, "list_client_order_id": "o", "requires_previous": True}),
    *({**LIMIT_ORDER, "visible_quantity": "0.1"}, {**CANCEL, "request_id": "r"}),
    {**REPLACE, "quantity": None, "total_quantity": "2", "new_client_order_id": "b"},
    *(UPDATE, {**UPDATE, "price_band": 1, "max_open_orders": 2, "min_quantity": "1"}, ACCOUNT_STATUS, ACCOUNT_FEES),
    {"command": "account_fees", "account": 1, "symbol": "BTC-USD"},
]

Fault = tuple[str, object, str]
ACCOUNT: list[Fault] = [("account", value, "malformed") for value in (GONE, -1, 2**63, "1", 1.0, True, None)]
SYMBOL: list[Fault] = [("symbol", GONE, "malformed"), ("symbol", 5, "malformed"), ("symbol", "NO-NE", "unknown_symbol")]
PRICE: list[Fault] = [("price", GONE, "malformed"), ("price", 100, "malformed"), ("price", "0.001", "invalid_price")]
QUANTITY: list[Fault] = [
    ("quantity", GONE, "malformed"),
    ("quantity", "1e5", "malformed"),
    ("quantity", "0.00001", "invalid_quantity"),
]
SIDE: list[Fault] = [("side", GONE, "malformed"), ("side", 0, "malformed"), ("side", "hold", "invalid_side")]
ORDER_TYPE: list[Fault] = [
    ("order_type", GONE, "malformed"),
    ("order_type", 1, "malformed"),
    ("order_type", "stop", "invalid_order_type"),
]
PREVENTION: list[Fault] = [("self_trade_prevention", value, "malformed") for value in (0, "all", "")]
REQUIRES: list[Fault] = [("requires_previous", value, "malformed") for value in ("yes", 1, 0)]
TRIGGER_PRICE: list[Fault] = [(name.replace("price", "trigger_price"), value, reason) for name, value, reason in PRICE]
TERMS: list[Fault] = [
    *((name, value, "malformed") for name in ("maker_fee", "taker_fee", "price_band") for value in (-1, PPM, "5", 1.0)),
    *(("max_open_orders", value, "malformed") for value in (-1, 1_000_001, True)),
    *((name, value, "malformed") for name in ("min_quantity", "max_quantity") for value in ("0", "-1", "0.00001", 5)),
    *(("min_notional", value, "malformed") for value in ("-1", "0.0000001", 0)),
]
CLIENT_ORDER_ID: list[Fault] = [("client_order_id", value, "malformed") for value in ("", "x" * 37, "é", "a\tb", 7)]

# For each command its fields in the order in which they are judged: what is wrong with one, and the reason.
FAULTS: dict[str, tuple[Json, list[list[Fault]]]] = {
    "order": (
        LIMIT_ORDER,
        [
            ACCOUNT,
            SYMBOL,
            SIDE,
            ORDER_TYPE,
            [("time_in_force", [], "malformed"), ("time_in_force", "day", "invalid_time_in_force")],
            [("post_only", "yes", "malformed"), ("post_only", 1, "malformed")],
            PREVENTION,
            CLIENT_ORDER_ID,
            REQUIRES,
            [("quote_quantity", "5", "invalid_quantity"), ("quote_quantity", 5, "invalid_quantity")],
            PRICE,
            [("trigger_price", "5", "invalid_price"), ("trigger_price", 5, "invalid_price")],
            QUANTITY,
            [("visible_quantity", "0.00001", "invalid_quantity"), ("visible_quantity", 5, "malformed")],
        ],
    ),
    "market order": (
        {**MARKET_BUY, "quantity": "1"},
        [
            ACCOUNT,
            SYMBOL,
            SIDE,
            [("time_in_force", "gtc", "invalid_time_in_force"), ("time_in_force", 5, "malformed")],
            [("post_only", "yes", "malformed"), ("post_only", True, "invalid_time_in_force")],
            PREVENTION,
            CLIENT_ORDER_ID,
            REQUIRES,
            [("quote_quantity", "5", "invalid_quantity")],
            [("price", "100.00", "invalid_price"), ("price", False, "invalid_price")],
            [("trigger_price", "5", "invalid_price")],
            QUANTITY[1:],  # without one, the order is by quote_quantity
            [("visible_quantity", "0.1", "invalid_quantity")],
        ],
    ),
    "trigger order": (
        STOP,
        [
            ACCOUNT,
            SYMBOL,
            SIDE,
            ORDER_TYPE[1:],
            [("time_in_force", value, "invalid_time_in_force") for value in ("gtc", "fok")],
            [("post_only", True, "invalid_time_in_force"), ("post_only", 0, "malformed")],
            PREVENTION,
            CLIENT_ORDER_ID,
            REQUIRES,
            [("quote_quantity", "5", "invalid_quantity")],
            [("price", "100.00", "invalid_price"), ("price", 7, "invalid_price")],
            TRIGGER_PRICE,
            QUANTITY,
            [("visible_quantity", "0.1", "invalid_quantity")],
        ],
    ),
    "trigger order with a price": (
        STOP_LIMIT,
        [
            ORDER_TYPE,
            [("time_in_force", "day", "invalid_time_in_force"), ("time_in_force", 5, "malformed")],
            [("post_only", True, "invalid_time_in_force")],
            PREVENTION,
            CLIENT_ORDER_ID,
            REQUIRES,
            [("quote_quantity", "5", "invalid_quantity")],
            PRICE,
            TRIGGER_PRICE,
            QUANTITY,
            [("visible_quantity", "0.1", "invalid_quantity"), ("visible_quantity", 5, "invalid_quantity")],
        ],
    ),
    "oco": (
        OCO,
        [
            ACCOUNT,
            SYMBOL,
            SIDE,
            [("stop_time_in_force", "day", "invalid_time_in_force"), ("stop_time_in_force", 1, "malformed")],
            PREVENTION,
            CLIENT_ORDER_ID,
            [(f"stop_{name}", value, reason) for name, value, reason in CLIENT_ORDER_ID],
            [(name.replace("client", "list_client"), value, reason) for name, value, reason in CLIENT_ORDER_ID],
            REQUIRES,
            PRICE,
            TRIGGER_PRICE,
            [("stop_price", 5, "malformed"), ("stop_price", "0.001", "invalid_price")],
            QUANTITY,
        ],
    ),
    "cancel": (
        CANCEL,
        [
            ACCOUNT,
            SYMBOL,
            [("client_order_id", GONE, "malformed"), ("order_id", 1, "malformed")],
            [("request_id", value, "malformed") for value in ("", "x" * 37, 7)],
        ],
    ),
    "cancel_all": ({"command": "cancel_all", "account": 1}, [ACCOUNT, SYMBOL[1:]]),
    "replace": (
        REPLACE,
        [
            ACCOUNT,
            SYMBOL,
            CLIENT_ORDER_ID,
            [("new_client_order_id", value, "malformed") for value in ("", "x" * 37, 7)],
            PRICE,
            [*QUANTITY, ("total_quantity", "1", "invalid_quantity"), ("total_quantity", 1, "invalid_quantity")],
        ],
    ),
    "instrument_update": (UPDATE, [SYMBOL, [*TERMS, ("maker_fee", GONE, "malformed")]]),
    "account_status": (
        ACCOUNT_STATUS,
        [ACCOUNT, [("status", value, "malformed") for value in (GONE, None, "asleep", 0)]],
    ),
    "account_fees": (
        {**ACCOUNT_FEES, "symbol": "BTC-USD"},
        [
            ACCOUNT,
            [("symbol", 5, "malformed"), ("symbol", "NO-NE", "unknown_symbol")],
            [(name, value, "malformed") for name in ("maker_fee", "taker_fee") for value in (None, -1, PPM, "5", 1.0)],
        ],
    ),
    "deposit": (
        deposit(1, "t-1"),
        [
            ACCOUNT,
            [("asset", GONE, "malformed"), ("asset", {}, "malformed"), ("asset", "DOGE", "unknown_asset")],
            [("amount", 1, "malformed"), ("amount", "0.000000001", "invalid_amount")],
            [("reference", value, "malformed") for value in (GONE, "", "x" * 65, "a\nb")],
        ],
    ),
    "instrument": (
        NEW_INSTRUMENT,
        [
            [("symbol", "usd", "malformed")],
            [("base", "DOGE", "unknown_asset"), ("base", None, "malformed")],
            [("quote", "DOGE", "unknown_asset"), ("quote", 1, "malformed")],
            [("tick_size", "0", "malformed"), ("base", "USD", "malformed"), *TERMS],
        ],
    ),
}


@pytest.fixture(scope="module")
def edge() -> Edge:
    return Edge(defined_engine().registry)


@pytest.fixture(scope="module")
def reference() -> ReferenceExchange:
    exchange = ReferenceExchange()
    for definition in DEFINITIONS:
        exchange.submit(definition)
    return exchange


def changed(command: Json, changes: Json) -> Json:
    return {name: value for name, value in {**command, **changes}.items() if value is not GONE}


def refusal(edge: Edge, command: object) -> tuple[str | None, str] | None:
    encoded = edge.encode(command)
    return (encoded.command, name_of(encoded.reason)) if isinstance(encoded, Refusal) else None


def refusal_of_reference(exchange: ReferenceExchange, command: object) -> tuple[str | None, str] | None:
    """By its edge alone: the exchange stays as it is."""
    name = reference_edge.command_name(command)
    try:
        exchange.edge.read(command)
    except reference_edge.Refused as refused:
        return name, refused.reason
    return None


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
