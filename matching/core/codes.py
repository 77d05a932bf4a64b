"""Numeric codes of commands, events, sides, order types, times in force, statuses and reasons.

Codes are stored in blocks, so the meaning of a number never changes (docs/decisions/0010-record-layout.md). Users see
the lower-case name of a member: `name_of(Reason.UNKNOWN_ORDER) == "unknown_order"`. The kernel is compiled with these
values.
"""

from enum import IntEnum
from typing import Any

AMOUNT_LIMIT = 1 << 62
"""Upper limit of an asset's supply and of an order's notional and base amount, so that no int64 overflows."""

PPM = 1_000_000
"""Fee rates are in parts per million of the received amount."""

MAX_OPEN_ORDERS = 1_000_000
"""Upper limit of an instrument's `max_open_orders`."""

HOUSE_ACCOUNT = 0
"""Fees are credited to this account."""

NONE_ID = 0xFFFFFFFF
"""`instrument` of a record without an instrument (cancel_all without a symbol)."""

NO_FEE = -1
"""Fee rate of an account_fees command or event that takes rates away."""

MAX_CLIENT_ORDER_ID_LENGTH = 36
MAX_REFERENCE_LENGTH = 64
"""Maximum lengths of a client order id and of a reference, in characters."""


class CommandKind(IntEnum):
    ORDER = 1
    CANCEL = 2
    CANCEL_ALL = 3
    REPLACE = 4
    DEPOSIT = 5
    WITHDRAW = 6
    ASSET = 7
    INSTRUMENT = 8
    INSTRUMENT_STATUS = 9
    INSTRUMENT_UPDATE = 10
    ACCOUNT_STATUS = 11
    OCO = 12
    """The limit leg of a one-cancels-other. The record that follows is always its stop leg."""
    OCO_STOP = 13
    ACCOUNT_FEES = 14


FIRST_REFERENCE_COMMAND = int(CommandKind.ASSET)
LAST_REFERENCE_COMMAND = int(CommandKind.INSTRUMENT_STATUS)
"""Commands from FIRST to LAST are definitions: the registry applies them, and each ends its block.

Plain ints, because NumPy compares with an IntEnum ten times slower."""


def is_definition(kind: Any) -> Any:
    """Whether a command of this kind ends its block. `kind` is an int or an array of them."""
    return (kind >= FIRST_REFERENCE_COMMAND) & (kind <= LAST_REFERENCE_COMMAND)


def order_list_id(kind: int, order_id: int) -> int | None:
    """The list of an order that a command of this kind placed: the order_id of the limit leg, None without a list.

    The two legs of a one-cancels-other have consecutive ids, the limit leg first.
    """
    if kind == CommandKind.OCO:
        return order_id
    return order_id - 1 if kind == CommandKind.OCO_STOP else None


class CommandFlag(IntEnum):
    """Bits of a command's `flags`, except for INSTRUMENT_UPDATE (see `InstrumentValue`)."""

    POST_ONLY = 1
    REQUIRES_PREVIOUS = 2
    PREVIOUS_REFUSED = 4
    """The command before was refused at the edge."""
    TOTAL_QUANTITY = 8
    """The quantity of a replace is what has traded plus what shall be open."""
    NEW_NAME = 16
    """A replace has a new client order id."""


class InstrumentValue(IntEnum):
    """Bits of the `flags` of INSTRUMENT_UPDATE: the values that it changes."""

    MAKER_FEE = 1
    TAKER_FEE = 2
    MIN_QUANTITY = 4
    MAX_QUANTITY = 8
    MIN_NOTIONAL = 16
    PRICE_BAND = 32
    MAX_OPEN_ORDERS = 64


class EventKind(IntEnum):
    ORDER_ACCEPTED = 1
    TRADE = 2
    ORDER_CANCELLED = 3
    ORDER_REPLACED = 4
    ORDERS_CANCELLED = 5
    DEPOSITED = 6
    WITHDRAWN = 7
    ASSET_ADDED = 8
    INSTRUMENT_ADDED = 9
    INSTRUMENT_STATUS_CHANGED = 10
    REJECTED = 11
    ORDER_TRIGGERED = 12
    INSTRUMENT_UPDATED = 13
    ACCOUNT_STATUS_CHANGED = 14
    ACCOUNT_FEES_CHANGED = 15


class Side(IntEnum):
    BUY = 0
    SELL = 1


class OrderType(IntEnum):
    LIMIT = 0
    MARKET = 1
    STOP_LOSS = 2
    STOP_LOSS_LIMIT = 3
    TAKE_PROFIT = 4
    TAKE_PROFIT_LIMIT = 5


PRICED_TYPES = frozenset({OrderType.LIMIT, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT})
"""The types with a price; the others are always ioc."""
TRIGGER_TYPES = frozenset(OrderType) - {OrderType.LIMIT, OrderType.MARKET}
"""The types with a trigger price: their orders wait outside the book."""


class TimeInForce(IntEnum):
    GTC = 0
    IOC = 1
    FOK = 2


class SelfTradePrevention(IntEnum):
    EXPIRE_TAKER = 0
    NONE = 1
    EXPIRE_MAKER = 2
    EXPIRE_BOTH = 3


class InstrumentStatus(IntEnum):
    TRADING = 0
    CANCEL_ONLY = 1
    HALTED = 2


class AccountStatus(IntEnum):
    ACTIVE = 0
    NO_TRADING = 1
    FROZEN = 2


class Reason(IntEnum):
    """Why a command was rejected, or (from USER on) why an order was cancelled."""

    NONE = 0
    # Refused at the edge, before a command has a sequence (docs/semantics.md, section 4).
    MALFORMED = 1
    UNKNOWN_ASSET = 2
    UNKNOWN_SYMBOL = 3
    INVALID_SIDE = 4
    INVALID_ORDER_TYPE = 5
    INVALID_TIME_IN_FORCE = 6
    # Refused at the edge or in the engine.
    INVALID_PRICE = 7
    INVALID_QUANTITY = 8
    INVALID_AMOUNT = 9
    # Refused in the engine.
    INSTRUMENT_HALTED = 10
    NOTIONAL_OVERFLOW = 11
    BELOW_MIN_NOTIONAL = 12
    DUPLICATE_CLIENT_ORDER_ID = 13
    INSUFFICIENT_BALANCE = 14
    POST_ONLY_WOULD_MATCH = 15
    FOK_NOT_FILLABLE = 16
    NO_LIQUIDITY = 17
    QUOTE_QUANTITY_TOO_SMALL = 18
    UNKNOWN_ORDER = 19
    SUPPLY_OVERFLOW = 20
    DUPLICATE_REFERENCE = 21
    ALREADY_EXISTS = 22
    PREVIOUS_REFUSED = 23
    ACCOUNT_RESTRICTED = 24
    PRICE_OUT_OF_BAND = 25
    TOO_MANY_ORDERS = 26
    WOULD_TRIGGER_IMMEDIATELY = 27
    NOT_REPLACEABLE = 28
    # Reasons of a cancellation. FOK_NOT_FILLABLE and NO_LIQUIDITY are only that, too, and INSUFFICIENT_BALANCE and
    # ACCOUNT_RESTRICTED can be both.
    USER = 32
    IOC = 33
    SELF_TRADE = 34
    PRICE_BAND = 35
    OCO = 36
    QUOTE_QUANTITY_USED = 37
    WORK_LIMIT = 38


class EventFlag(IntEnum):
    """Bits of an event's `flags`."""

    KEPT_PRIORITY = 1
    BY_QUOTE = 2


def name_of(code: IntEnum) -> str:
    return code.name.lower()
