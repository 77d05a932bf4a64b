"""Reads the parameters of a new order as a command for the engine, and states the order that it becomes.

What a price or a quantity is a multiple of is judged here, because the engine counts ticks and lots; all that depends
on its state is judged there.
"""

import secrets
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from gateway import names
from gateway.model.instruments import LEAST_DECIMALS, Instrument
from gateway.model.records import Fill, Order, OrderStatus
from gateway.rest import errors
from gateway.rest.errors import ApiError
from gateway.rest.parameters import NAME, Parameters
from matching.client.edge import Encoded
from matching.core.codes import (
    PRICED_TYPES,
    TRIGGER_TYPES,
    CommandFlag,
    CommandKind,
    EventFlag,
    EventKind,
    OrderType,
    Reason,
    SelfTradePrevention,
    Side,
    TimeInForce,
    order_list_id,
)
from matching.core.decimals import DoesNotFit, Unit
from matching.core.reading.event_rows import EventRow
from matching.core.texts import SEPARATOR

PARAMETERS = frozenset(
    {
        "symbol",
        "side",
        "type",
        "timeInForce",
        "quantity",
        "quoteOrderQty",
        "price",
        "newClientOrderId",
        "strategyId",
        "strategyType",
        "stopPrice",
        "trailingDelta",
        "icebergQty",
        "newOrderRespType",
        "selfTradePreventionMode",
        "pegPriceType",
        "pegOffsetValue",
        "pegOffsetType",
    }
)
"""What a new order may have. Strategies are accepted and not kept; trailing and pegged orders are refused."""

_GENERATED_LENGTH = 22
_GENERATED_AT_ONCE = 256
_generated: list[str] = []
_ANSWERED_IN_FULL = ("LIMIT", "MARKET")
_MAX_PIECES = 100
_REFUSED_ZERO = -1
_SIDES, _TYPES = tuple(Side), tuple(OrderType)
_TIMES_IN_FORCE, _PREVENTIONS = tuple(TimeInForce), tuple(SelfTradePrevention)


class ResponseType(Enum):
    ACK = "ACK"
    RESULT = "RESULT"
    FULL = "FULL"


_RESPONSE_TYPES = {one.value: one for one in ResponseType}


class NewOrder(NamedTuple):
    """An order as it was asked for."""

    instrument: Instrument
    encoded: Encoded
    client_order_id: str
    response_type: ResponseType


def generated_name() -> str:
    """A client order id of 22 characters, for an order, a cancel or a list that was sent without one."""
    if not _generated:  # many at once, because a call of the system costs more than all else here
        drawn = secrets.token_urlsafe(_GENERATED_LENGTH * _GENERATED_AT_ONCE)  # a third more characters than bytes
        starts = range(0, _GENERATED_LENGTH * _GENERATED_AT_ONCE, _GENERATED_LENGTH)
        _generated.extend(drawn[at : at + _GENERATED_LENGTH] for at in starts)
    return _generated.pop()


def read(parameters: Parameters, instrument: Instrument, account: int, *, requires_previous: bool = False) -> NewOrder:
    """Raises ApiError."""
    _refuse_unsupported(parameters)
    chosen_side = side(parameters)
    type_name = parameters.text("type")
    if type_name not in names.ORDER_TYPES:
        raise ApiError(-1116, "Invalid orderType.")
    order_type = names.ORDER_TYPES[type_name]
    time_in_force = _time_in_force(parameters, type_name)
    price = trigger_price = quantity = amount = 0
    if wanted(parameters, "price", order_type in PRICED_TYPES):
        price = ticks(parameters, "price", instrument)
    if wanted(parameters, "stopPrice", order_type in TRIGGER_TYPES):
        trigger_price = ticks(parameters, "stopPrice", instrument)
    if order_type == OrderType.MARKET and "quoteOrderQty" in parameters:
        wanted(parameters, "quantity", needed=False)
        amount = quote_units(parameters, "quoteOrderQty", instrument)
    else:
        if order_type == OrderType.MARKET and "quantity" not in parameters:
            raise errors.missing_either("quantity", "quoteOrderQty")
        wanted(parameters, "quoteOrderQty", needed=False)
        quantity = lots(parameters, "quantity", instrument)
        amount = trigger_price
    if "icebergQty" in parameters:
        amount = _visible(parameters, instrument, order_type, time_in_force, quantity)
    flags = int(CommandFlag.POST_ONLY) * (type_name == names.LIMIT_MAKER)
    flags |= int(CommandFlag.REQUIRES_PREVIOUS) * requires_previous
    name = parameters.optional_text("newClientOrderId", NAME) or generated_name()
    return NewOrder(
        instrument,
        Encoded(
            kind=CommandKind.ORDER,
            instrument=instrument.id,
            text=name,
            side=chosen_side,
            order_type=order_type,
            time_in_force=time_in_force,
            self_trade_prevention=self_trade_prevention(parameters),
            flags=flags,
            account=account,
            price=price,
            quantity=quantity,
            amount=amount,
        ),
        name,
        response_type(parameters, ResponseType.FULL if type_name in _ANSWERED_IN_FULL else ResponseType.ACK),
    )


def placed(
    encoded: Encoded, instrument: Instrument, order_id: int, events: Sequence[EventRow], placed_at_ns: int
) -> Order:
    """The order just after the command that placed it, whatever has happened since. `events` are that command's."""
    order_type, quantity, by_quote = _TYPES[encoded.order_type], encoded.quantity, False
    filled = filled_quote = prevented = 0
    reason, is_closed, is_waiting, met = Reason.NONE, False, order_type in TRIGGER_TYPES, None
    for event in events:
        if event.kind == EventKind.TRADE and order_id in (event.order_id, event.other_order_id):
            filled += event.quantity
            filled_quote += event.quantity * event.price * instrument.engine.quote_unit
        elif event.order_id != order_id:
            continue
        elif event.kind == EventKind.ORDER_ACCEPTED:
            by_quote = bool(event.flags & EventFlag.BY_QUOTE)
        elif event.kind == EventKind.ORDER_TRIGGERED:
            is_waiting = False
        elif event.kind == EventKind.ORDER_CANCELLED:
            reason, is_closed = Reason(event.reason), True
            if reason == Reason.SELF_TRADE:
                met, prevented = event.other_order_id, 0 if by_quote else event.quantity
    if is_closed:
        status = OrderStatus.CANCELLED
    elif filled == quantity and not by_quote:
        status = OrderStatus.FILLED
    else:
        status = OrderStatus.WAITING if is_waiting else OrderStatus.OPEN
    return Order(
        order_id=order_id,
        account=encoded.account,
        instrument_id=encoded.instrument,
        client_order_id=encoded.text.partition(SEPARATOR.decode("ascii"))[0],
        side=_SIDES[encoded.side],
        order_type=order_type,
        time_in_force=_TIMES_IN_FORCE[encoded.time_in_force],
        post_only=bool(encoded.flags & CommandFlag.POST_ONLY),
        self_trade_prevention=_PREVENTIONS[encoded.self_trade_prevention],
        price=encoded.price if order_type in PRICED_TYPES else None,
        trigger_price=encoded.amount if order_type in TRIGGER_TYPES else None,
        quantity=None if by_quote else quantity,
        quote_quantity=encoded.amount if by_quote else None,
        visible_quantity=encoded.amount or None if order_type == OrderType.LIMIT else None,
        order_list_id=order_list_id(encoded.kind, order_id),
        filled=filled,
        filled_quote=filled_quote,
        status=status,
        reason=reason,
        met_order_id=met,
        prevented_quantity=prevented,
        placed_at_ns=placed_at_ns,
        working_at_ns=None if is_waiting else placed_at_ns,
        updated_at_ns=placed_at_ns,
        updated_sequence=events[-1].sequence if events else 0,
    )


def fills(order: Order, instrument: Instrument, events: Sequence[EventRow]) -> list[Fill]:
    """The order's trades in the command that placed it."""
    return [
        Fill(
            trade_number=event.trade_number,
            trade_id=event.sequence,
            order_id=order.order_id,
            order_list_id=order.order_list_id,
            account=order.account,
            instrument_id=order.instrument_id,
            price=event.price,
            quantity=event.quantity,
            quote_amount=event.price * event.quantity * instrument.engine.quote_unit,
            fee=event.seller_fee if order.side else event.buyer_fee,
            side=order.side,
            is_maker=event.order_id != order.order_id,
            time_ns=order.placed_at_ns,
        )
        for event in events
        if event.kind == EventKind.TRADE and order.order_id in (event.order_id, event.other_order_id)
    ]


def wanted(parameters: Parameters, name: str, needed: bool) -> bool:
    """Returns `needed`; refuses the parameter if it is not."""
    if not needed and name in parameters:
        raise errors.not_required(name)
    return needed


def side(parameters: Parameters) -> Side:
    found = names.SIDES.get(parameters.text("side"))
    if found is None:
        raise ApiError(-1117, "Invalid side.")
    return found


def ticks(parameters: Parameters, name: str, instrument: Instrument) -> int:
    text = _precise(parameters, name, instrument.quote.decimals)
    return _count(instrument.engine.tick, text, "PRICE_FILTER")


def lots(parameters: Parameters, name: str, instrument: Instrument) -> int:
    text = _precise(parameters, name, instrument.base.decimals)
    return _count(instrument.engine.lot, text, "LOT_SIZE")


def quote_units(parameters: Parameters, name: str, instrument: Instrument) -> int:
    text = _precise(parameters, name, instrument.quote.decimals)
    return _count(instrument.quote.unit, text, "NOTIONAL")


def self_trade_prevention(parameters: Parameters) -> int:
    name = parameters.optional_text("selfTradePreventionMode")
    if name is None:
        return names.DEFAULT_SELF_TRADE_PREVENTION
    if name not in names.SELF_TRADE_PREVENTIONS:
        raise errors.invalid("selfTradePreventionMode")
    return names.SELF_TRADE_PREVENTIONS[name]


def response_type(parameters: Parameters, default: ResponseType) -> ResponseType:
    name = parameters.optional_text("newOrderRespType")
    if name is None:
        return default
    if name not in _RESPONSE_TYPES:
        raise errors.invalid("newOrderRespType")
    return _RESPONSE_TYPES[name]


def _refuse_unsupported(parameters: Parameters) -> None:
    if "trailingDelta" in parameters:
        raise ApiError(names.NEW_ORDER, "Trailing stop orders are not supported for this symbol.")
    if "pegPriceType" in parameters or "pegOffsetType" in parameters or "pegOffsetValue" in parameters:
        raise ApiError(names.NEW_ORDER, "Pegged orders are not supported for this symbol.")
    strategy_type = parameters.optional_integer("strategyType")
    if strategy_type is not None and strategy_type < 1_000_000:
        raise ApiError(-1134, "`strategyType` was less than 1000000.")


def _time_in_force(parameters: Parameters, type_name: str) -> int:
    order_type = names.ORDER_TYPES[type_name]
    if wanted(parameters, "timeInForce", order_type in PRICED_TYPES and type_name != names.LIMIT_MAKER):
        value = names.TIMES_IN_FORCE.get(parameters.text("timeInForce"))
        if value is None:
            raise ApiError(-1115, "Invalid timeInForce.")
        return value
    return TimeInForce.GTC if order_type in PRICED_TYPES else TimeInForce.IOC


def _visible(
    parameters: Parameters, instrument: Instrument, order_type: OrderType, time_in_force: int, quantity: int
) -> int:
    """The visible quantity of an iceberg."""
    if order_type != OrderType.LIMIT or time_in_force != TimeInForce.GTC:
        raise ApiError(names.NEW_ORDER, "Unsupported order combination")
    visible = lots(parameters, "icebergQty", instrument)
    if visible > quantity:
        raise ApiError(names.NEW_ORDER, "IcebergQty exceeds QTY.")
    if visible and -(-quantity // visible) > _MAX_PIECES:
        raise names.filter_failure("ICEBERG_PARTS")
    return visible or _REFUSED_ZERO


def _precise(parameters: Parameters, name: str, decimals: int) -> str:
    text = parameters.decimal(name)
    if len(text.partition(".")[2]) > max(LEAST_DECIMALS, decimals):
        raise errors.too_precise(name)
    return text


@lru_cache(maxsize=4096)
def _units(unit: Unit, text: str) -> int:
    """Remembered, because traders send the same prices and quantities again and again. Raises DoesNotFit."""
    return unit.count(text)


def _count(unit: Unit, text: str, filter_name: str) -> int:
    try:
        return _units(unit, text)
    except DoesNotFit as error:
        raise names.filter_failure(filter_name) from error
