"""Binance's words for the engine's codes: sides, order types, times in force, statuses, and refusals.

Clients match on codes and texts of errors, so these are exactly those of the public documentation.
"""

from gateway.model.records import Order, OrderStatus
from gateway.rest.errors import ApiError
from matching.core.codes import OrderType, Reason, SelfTradePrevention, Side, TimeInForce

SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
TIMES_IN_FORCE = {"GTC": TimeInForce.GTC, "IOC": TimeInForce.IOC, "FOK": TimeInForce.FOK}
SELF_TRADE_PREVENTIONS = {mode.name: mode for mode in SelfTradePrevention}
DEFAULT_SELF_TRADE_PREVENTION = SelfTradePrevention.EXPIRE_TAKER

LIMIT_MAKER = "LIMIT_MAKER"
ORDER_TYPES = {**{order_type.name: order_type for order_type in OrderType}, LIMIT_MAKER: OrderType.LIMIT}
"""LIMIT_MAKER is the engine's post-only limit order."""

_SHOWN_AS_GTC = frozenset((OrderType.MARKET, OrderType.STOP_LOSS, OrderType.TAKE_PROFIT))
"""Types without a time in force: the engine's is ioc, and clients expect GTC."""

_FILTERS = {
    Reason.INVALID_PRICE: "PRICE_FILTER",
    Reason.INVALID_QUANTITY: "LOT_SIZE",
    Reason.BELOW_MIN_NOTIONAL: "NOTIONAL",
    Reason.NOTIONAL_OVERFLOW: "NOTIONAL",
    Reason.PRICE_OUT_OF_BAND: "PERCENT_PRICE_BY_SIDE",
    Reason.TOO_MANY_ORDERS: "MAX_NUM_ORDERS",
}
_TEXTS = {
    Reason.INSUFFICIENT_BALANCE: "Account has insufficient balance for requested action.",
    Reason.POST_ONLY_WOULD_MATCH: "Order would immediately match and take.",
    Reason.DUPLICATE_CLIENT_ORDER_ID: "Duplicate order sent.",
    Reason.INSTRUMENT_HALTED: "Market is closed.",
    Reason.WOULD_TRIGGER_IMMEDIATELY: "Stop price would trigger immediately.",
    Reason.QUOTE_QUANTITY_TOO_SMALL: "Order book liquidity is less than LOT_SIZE filter minimum quantity.",
    Reason.ACCOUNT_RESTRICTED: "This action is disabled on this account.",
    Reason.UNKNOWN_ORDER: "Unknown order sent.",
    Reason.NOT_REPLACEABLE: "Order amend is not supported for this order.",
}

NEW_ORDER = -2010
CANCEL = -2011
AMEND = -2038
"""Codes of what the engine refuses, by what was asked for."""


def filter_failure(name: str) -> ApiError:
    return ApiError(-1013, f"Filter failure: {name}")


def refusal(reason: Reason, code: int) -> ApiError:
    """The answer to a command that the engine refused; `code` is one of the three above."""
    if reason in _FILTERS:
        return filter_failure(_FILTERS[reason])
    return ApiError(code, _TEXTS[reason])


def order_type(order: Order) -> str:
    return LIMIT_MAKER if order.post_only else order.order_type.name


def time_in_force(order: Order) -> str:
    return TimeInForce.GTC.name if order.order_type in _SHOWN_AS_GTC else order.time_in_force.name


def status(order: Order) -> str:
    """An order by quote quantity is filled when its amount is used up, although the engine cancels its rest."""
    if order.status is OrderStatus.FILLED:
        return "FILLED"
    if order.status is not OrderStatus.CANCELLED:
        return "PARTIALLY_FILLED" if order.filled else "NEW"
    if order.reason == Reason.USER:
        return "CANCELED"
    if order.reason == Reason.SELF_TRADE:
        return "EXPIRED_IN_MATCH"
    return "FILLED" if order.reason == Reason.QUOTE_QUANTITY_USED and order.filled else "EXPIRED"
