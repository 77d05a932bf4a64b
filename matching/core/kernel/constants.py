"""The codes of `matching.core.codes` that the kernel compares with, as plain ints.

Plain ints, because NumPy compares with an IntEnum ten times slower when the kernel runs interpreted. They are defined
in this folder, because Numba compiles them into its cached code (see `compiling`). Codes of events are in `events`.
"""

from matching.core.codes import (
    CommandKind,
    InstrumentStatus,
    OrderType,
    Reason,
    SelfTradePrevention,
    Side,
    TimeInForce,
)

ORDER = int(CommandKind.ORDER)
CANCEL = int(CommandKind.CANCEL)
CANCEL_ALL = int(CommandKind.CANCEL_ALL)
REPLACE = int(CommandKind.REPLACE)
DEPOSIT = int(CommandKind.DEPOSIT)
WITHDRAW = int(CommandKind.WITHDRAW)

BUY = int(Side.BUY)
SELL = int(Side.SELL)

MARKET = int(OrderType.MARKET)

GTC = int(TimeInForce.GTC)
IOC = int(TimeInForce.IOC)
FOK = int(TimeInForce.FOK)

EXPIRE_TAKER = int(SelfTradePrevention.EXPIRE_TAKER)
NO_PREVENTION = int(SelfTradePrevention.NONE)
EXPIRE_MAKER = int(SelfTradePrevention.EXPIRE_MAKER)

TRADING = int(InstrumentStatus.TRADING)
HALTED = int(InstrumentStatus.HALTED)

ACCEPTED = int(Reason.NONE)
INVALID_PRICE = int(Reason.INVALID_PRICE)
INVALID_QUANTITY = int(Reason.INVALID_QUANTITY)
INVALID_AMOUNT = int(Reason.INVALID_AMOUNT)
INSTRUMENT_HALTED = int(Reason.INSTRUMENT_HALTED)
NOTIONAL_OVERFLOW = int(Reason.NOTIONAL_OVERFLOW)
BELOW_MIN_NOTIONAL = int(Reason.BELOW_MIN_NOTIONAL)
DUPLICATE_CLIENT_ORDER_ID = int(Reason.DUPLICATE_CLIENT_ORDER_ID)
INSUFFICIENT_BALANCE = int(Reason.INSUFFICIENT_BALANCE)
POST_ONLY_WOULD_MATCH = int(Reason.POST_ONLY_WOULD_MATCH)
FOK_NOT_FILLABLE = int(Reason.FOK_NOT_FILLABLE)
NO_LIQUIDITY = int(Reason.NO_LIQUIDITY)
QUOTE_QUANTITY_TOO_SMALL = int(Reason.QUOTE_QUANTITY_TOO_SMALL)
UNKNOWN_ORDER = int(Reason.UNKNOWN_ORDER)
SUPPLY_OVERFLOW = int(Reason.SUPPLY_OVERFLOW)
DUPLICATE_REFERENCE = int(Reason.DUPLICATE_REFERENCE)
BY_USER = int(Reason.USER)
BY_IOC = int(Reason.IOC)
SELF_TRADE = int(Reason.SELF_TRADE)
