"""The records that the edge makes of commands: what each field holds."""

from typing import Any

from matching.client.edge import BatchBuilder, Edge, Encoded, Refusal
from matching.core.codes import (
    NONE_ID,
    AccountStatus,
    CommandFlag,
    CommandKind,
    InstrumentValue,
    OrderType,
    Reason,
    TimeInForce,
)
from matching.core.texts import SEPARATOR, hashes, signed, text_hash
from tests.matching.client.faulty_commands import (
    ACCOUNT_FEES,
    ACCOUNT_STATUS,
    CANCEL,
    GONE,
    LIMIT_ORDER,
    MARKET_BUY,
    OCO,
    REPLACE,
    STOP,
    STOP_LIMIT,
    UPDATE,
    changed,
)

Json = dict[str, Any]
POST_ONLY, REQUIRES, REFUSED = CommandFlag.POST_ONLY, CommandFlag.REQUIRES_PREVIOUS, CommandFlag.PREVIOUS_REFUSED
LOTS, TICKS = 10_000, 100
"""Lots of one BTC, ticks of one USD."""


def one(edge: Edge, command: Json, **changes: object) -> Encoded:
    encoded = edge.encode(changed(command, changes))
    assert not isinstance(encoded, Refusal), encoded
    (record,) = encoded
    return record


def flags_of(edge: Edge, *commands: object) -> list[int]:
    """Flags of the records of commands in one batch, without those that are refused."""
    builder = BatchBuilder(edge)
    for command in commands:
        builder.add(command)
    flags: list[int] = builder.take()[0]["flags"].tolist()
    return flags


def test_amount_is_what_the_order_type_has(edge: Edge) -> None:
    iceberg = one(edge, LIMIT_ORDER, visible_quantity="0.5")
    assert (iceberg.amount, iceberg.flags) == (LOTS // 2, 0)
    assert one(edge, LIMIT_ORDER, visible_quantity="0").amount < 0, "0 would say that it has none"
    assert one(edge, LIMIT_ORDER).amount == 0
    assert one(edge, MARKET_BUY, quote_quantity="5").amount == 5_000_000
    sale = one(edge, MARKET_BUY, side="sell", quote_quantity="5")
    assert (sale.quantity, sale.amount) == (0, 5_000_000)
    stop = one(edge, STOP)
    assert (stop.order_type, stop.price, stop.amount) == (OrderType.STOP_LOSS, 0, 90 * TICKS)
    assert stop.time_in_force == TimeInForce.IOC
    limit = one(edge, STOP_LIMIT, order_type="take_profit_limit", time_in_force="fok")
    assert (limit.order_type, limit.price, limit.amount) == (OrderType.TAKE_PROFIT_LIMIT, 89 * TICKS, 90 * TICKS)
    assert limit.time_in_force == TimeInForce.FOK
    assert one(edge, STOP_LIMIT).time_in_force == TimeInForce.GTC


def test_an_oco_is_a_limit_leg_and_a_stop_leg(edge: Edge) -> None:
    encoded = edge.encode({**OCO, "list_client_order_id": "both", "self_trade_prevention": "none"})
    assert not isinstance(encoded, Refusal)
    limit, stop = encoded
    common = ("account", "instrument", "side", "quantity", "self_trade_prevention")
    assert [getattr(limit, name) for name in common] == [getattr(stop, name) for name in common]
    assert (limit.kind, limit.price, limit.amount, limit.flags) == (CommandKind.OCO, 110 * TICKS, 0, POST_ONLY)
    assert (limit.order_type, limit.time_in_force) == (OrderType.LIMIT, TimeInForce.GTC)
    assert (stop.kind, stop.price, stop.amount, stop.flags) == (CommandKind.OCO_STOP, 89 * TICKS, 90 * TICKS, 0)
    assert (stop.order_type, stop.time_in_force) == (OrderType.STOP_LOSS_LIMIT, TimeInForce.GTC)
    assert (limit.text, stop.text) == ("l\x1fboth", "s")


def test_the_stop_leg_without_a_price_is_a_stop_loss(edge: Edge) -> None:
    encoded = edge.encode(changed(OCO, {"stop_price": GONE}))
    assert not isinstance(encoded, Refusal)
    stop = encoded[1]
    assert (stop.order_type, stop.price, stop.time_in_force) == (OrderType.STOP_LOSS, 0, TimeInForce.IOC)


def test_a_second_string_is_carried_and_not_hashed(edge: Edge) -> None:
    builder = BatchBuilder(edge)
    by_id = changed(CANCEL, {"client_order_id": GONE, "order_id": 5, "request_id": "why"})
    for command in ({**CANCEL, "request_id": "why"}, by_id, {**REPLACE, "new_client_order_id": "b"}, REPLACE):
        assert builder.add(command) is None
    records, texts = builder.take()
    assert texts == b"a\x1fwhy" + b"\x1fwhy" + b"a\x1fb" + b"a"
    assert records["text_length"].tolist() == [5, 4, 3, 1]
    a = text_hash(b"a")
    assert records["text_hash"].tolist() == [a, 0, a, a] == hashes(texts, [5, 4, 3, 1])
    assert records["amount"].tolist() == [0, 0, signed(text_hash(b"b")), 0]
    assert records["flags"].tolist() == [0, 0, CommandFlag.NEW_NAME, 0]


def test_no_string_can_hold_the_separator(edge: Edge) -> None:
    pairs: tuple[tuple[Json, str], ...] = (
        (LIMIT_ORDER, "client_order_id"),
        (CANCEL, "request_id"),
        (REPLACE, "new_client_order_id"),
    )
    for command, field in pairs:
        assert edge.encode({**command, field: f"a{SEPARATOR.decode()}b"}) == Refusal(
            command["command"], Reason.MALFORMED
        )


def test_a_hash_is_carried_as_the_int64_with_its_bits() -> None:
    assert [signed(value) for value in (0, 2**63 - 1, 2**63, 2**64 - 1)] == [0, 2**63 - 1, -(2**63), -1]


def test_a_total_quantity_is_marked(edge: Edge) -> None:
    record = one(edge, REPLACE, quantity=GONE, total_quantity="3")
    assert (record.quantity, record.flags) == (3 * LOTS, CommandFlag.TOTAL_QUANTITY)
    assert one(edge, REPLACE).flags == 0


def test_an_instrument_update_marks_the_values_that_it_changes(edge: Edge) -> None:
    record = one(edge, UPDATE)
    assert (record.kind, record.flags, record.account) == (CommandKind.INSTRUMENT_UPDATE, InstrumentValue.MAKER_FEE, 5)
    values: Json = {
        "maker_fee": 1,
        "taker_fee": 999_999,
        "min_quantity": "1",
        "max_quantity": "2",
        "min_notional": "3",
        "price_band": 4,
        "max_open_orders": 1_000_000,
    }
    record = one(edge, UPDATE, **values)
    assert record.flags == 127
    assert (record.account, record.price) == (1 | 999_999 << 32, 4 | 1_000_000 << 32)
    assert (record.quantity, record.amount, record.order_id) == (LOTS, 2 * LOTS, 3_000_000)
    zero = one(edge, UPDATE, maker_fee=None, price_band=0)
    assert (zero.flags, zero.price) == (InstrumentValue.PRICE_BAND, 0)


def test_account_commands_carry_the_status_and_the_rates(edge: Edge) -> None:
    status = one(edge, ACCOUNT_STATUS)
    assert (status.kind, status.instrument, status.side) == (CommandKind.ACCOUNT_STATUS, NONE_ID, AccountStatus.FROZEN)
    fees = one(edge, ACCOUNT_FEES)
    assert (fees.kind, fees.instrument, fees.price, fees.quantity) == (CommandKind.ACCOUNT_FEES, NONE_ID, 5, 7)
    removed = one(edge, ACCOUNT_FEES, symbol="BTC-USD", maker_fee=None, taker_fee=None)
    assert (removed.instrument, removed.price, removed.quantity) == (0, -1, -1)


def test_an_order_is_told_that_the_edge_refused_the_command_before_it(edge: Edge) -> None:
    needs, oco = {**LIMIT_ORDER, "requires_previous": True}, {**OCO, "requires_previous": True}
    both = REQUIRES | REFUSED
    assert flags_of(edge, needs, needs) == [both, REQUIRES], "the first one has no command before it"
    assert flags_of(edge, LIMIT_ORDER, needs, "junk", needs, needs) == [0, REQUIRES, both, REQUIRES]
    assert flags_of(edge, "junk", LIMIT_ORDER, needs) == [0, REQUIRES]
    assert flags_of(edge, oco, oco) == [both | POST_ONLY, 0, REQUIRES | POST_ONLY, 0]


def test_the_last_command_of_a_batch_is_the_previous_one_of_the_next_batch(edge: Edge) -> None:
    builder, needs = BatchBuilder(edge), {**LIMIT_ORDER, "requires_previous": True}
    for refused, flags in ((True, REQUIRES | REFUSED), (False, REQUIRES)):
        builder.add("junk" if refused else LIMIT_ORDER)
        builder.take()
        builder.add(needs)
        assert builder.take()[0]["flags"].tolist() == [flags]
