"""The codes of `matching.core.codes` that the kernel compares with, as plain ints, and its limits.

Plain ints, because NumPy compares with an IntEnum ten times slower when the kernel runs interpreted. They are defined
in this folder, because Numba compiles them into its cached code (see `compiling`). Codes of events are in `events`.
"""

from matching.core.codes import (
    AccountStatus,
    CommandFlag,
    CommandKind,
    InstrumentStatus,
    InstrumentValue,
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
INSTRUMENT_UPDATE = int(CommandKind.INSTRUMENT_UPDATE)
ACCOUNT_STATUS = int(CommandKind.ACCOUNT_STATUS)
ACCOUNT_FEES = int(CommandKind.ACCOUNT_FEES)
OCO = int(CommandKind.OCO)
OCO_STOP = int(CommandKind.OCO_STOP)

POST_ONLY = int(CommandFlag.POST_ONLY)
REQUIRES_PREVIOUS = int(CommandFlag.REQUIRES_PREVIOUS)
EDGE_REFUSED_PREVIOUS = int(CommandFlag.PREVIOUS_REFUSED)
TOTAL_QUANTITY = int(CommandFlag.TOTAL_QUANTITY)
NEW_NAME = int(CommandFlag.NEW_NAME)

GIVES_MAKER_FEE = int(InstrumentValue.MAKER_FEE)
GIVES_TAKER_FEE = int(InstrumentValue.TAKER_FEE)
GIVES_MIN_QUANTITY = int(InstrumentValue.MIN_QUANTITY)
GIVES_MAX_QUANTITY = int(InstrumentValue.MAX_QUANTITY)
GIVES_MIN_NOTIONAL = int(InstrumentValue.MIN_NOTIONAL)
GIVES_PRICE_BAND = int(InstrumentValue.PRICE_BAND)
GIVES_MAX_OPEN_ORDERS = int(InstrumentValue.MAX_OPEN_ORDERS)

BUY = int(Side.BUY)
SELL = int(Side.SELL)

LIMIT = int(OrderType.LIMIT)
MARKET = int(OrderType.MARKET)
STOP_LOSS = int(OrderType.STOP_LOSS)
STOP_LOSS_LIMIT = int(OrderType.STOP_LOSS_LIMIT)
TAKE_PROFIT = int(OrderType.TAKE_PROFIT)
TAKE_PROFIT_LIMIT = int(OrderType.TAKE_PROFIT_LIMIT)

GTC = int(TimeInForce.GTC)
IOC = int(TimeInForce.IOC)
FOK = int(TimeInForce.FOK)

EXPIRE_TAKER = int(SelfTradePrevention.EXPIRE_TAKER)
NO_PREVENTION = int(SelfTradePrevention.NONE)
EXPIRE_MAKER = int(SelfTradePrevention.EXPIRE_MAKER)

TRADING = int(InstrumentStatus.TRADING)
HALTED = int(InstrumentStatus.HALTED)

ACTIVE = int(AccountStatus.ACTIVE)
FROZEN = int(AccountStatus.FROZEN)

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
PREVIOUS_REFUSED = int(Reason.PREVIOUS_REFUSED)
ACCOUNT_RESTRICTED = int(Reason.ACCOUNT_RESTRICTED)
PRICE_OUT_OF_BAND = int(Reason.PRICE_OUT_OF_BAND)
TOO_MANY_ORDERS = int(Reason.TOO_MANY_ORDERS)
WOULD_TRIGGER_IMMEDIATELY = int(Reason.WOULD_TRIGGER_IMMEDIATELY)
NOT_REPLACEABLE = int(Reason.NOT_REPLACEABLE)
BY_USER = int(Reason.USER)
BY_IOC = int(Reason.IOC)
SELF_TRADE = int(Reason.SELF_TRADE)
PRICE_BAND = int(Reason.PRICE_BAND)
BY_OCO = int(Reason.OCO)
QUOTE_QUANTITY_USED = int(Reason.QUOTE_QUANTITY_USED)
OVER_WORK_LIMIT = int(Reason.WORK_LIMIT)

MAX_PIECES = 100
"""Pieces that an iceberg may consist of."""
