"""Numeric codes of commands, events, sides, order types, times in force, statuses and reasons.

Codes are stored in blocks, so the meaning of a number never changes (docs/decisions/0010-record-layout.md). Users see
the lower-case name of a member: `name_of(Reason.UNKNOWN_ORDER) == "unknown_order"`. The kernel is compiled with these
values.
"""

from enum import IntEnum

AMOUNT_LIMIT = 1 << 62
"""Upper limit of an asset's supply and of an order's notional and base amount, so that no int64 overflows."""

PPM = 1_000_000
"""Fee rates are in parts per million of the received amount."""

HOUSE_ACCOUNT = 0
"""Fees are credited to this account."""

NONE_ID = 0xFFFFFFFF
"""`instrument` of a record without an instrument (cancel_all without a symbol)."""

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


FIRST_REFERENCE_COMMAND = int(CommandKind.ASSET)
"""Commands with this code or a higher one change reference data: the registry applies them, and each ends its block.

An int, because NumPy compares with an IntEnum ten times slower."""


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


class Side(IntEnum):
    BUY = 0
    SELL = 1


class OrderType(IntEnum):
    LIMIT = 0
    MARKET = 1


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
    # Reasons of a cancellation; NO_LIQUIDITY can also be one.
    USER = 32
    IOC = 33
    SELF_TRADE = 34


class EventFlag(IntEnum):
    """Bits of an event's `flags`."""

    KEPT_PRIORITY = 1
    BY_QUOTE = 2


def name_of(code: IntEnum) -> str:
    return code.name.lower()
