"""Checks COMMAND records from clients before they are sequenced: finds values that a correct edge never produces."""

from typing import Any

import numpy as np

from matching.core.codes import (
    FIRST_REFERENCE_COMMAND,
    MAX_CLIENT_ORDER_ID_LENGTH,
    MAX_REFERENCE_LENGTH,
    NONE_ID,
    CommandKind,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from matching.core.kernel.compiling import entry, inlined
from matching.core.kernel.constants import BUY, CANCEL_ALL, DEPOSIT, GTC, IOC, MARKET, ORDER, WITHDRAW

NO_FAULT = 0
KIND = 1
REFERENCE_DATA_NOT_LAST = 2
INSTRUMENT = 3
ACCOUNT = 4
SIDE = 5
ORDER_TYPE = 6
TIME_IN_FORCE = 7
SELF_TRADE_PREVENTION = 8
POST_ONLY = 9
POST_ONLY_NOT_GTC = 10
MARKET_ORDER = 11
QUOTE_QUANTITY = 12
ORDER_ID = 13
NO_REFERENCE = 14
TEXT_OFFSET = 15
TEXT_LENGTH = 16

FIRST_KIND = int(min(CommandKind))
LAST_KIND = int(max(CommandKind))
LAST_SIDE = int(max(Side))
LAST_TYPE = int(max(OrderType))
LAST_TIME_IN_FORCE = int(max(TimeInForce))
LAST_PREVENTION = int(max(SelfTradePrevention))


@entry
def first_fault(commands: Any, assets: Any, instruments: Any, text_size: Any) -> Any:
    """(index, fault) of the first invalid record, (0, NO_FAULT) if all are valid.

    `assets` and `instruments` are the numbers of registered ones. `text_size` is the total length of the
    strings in bytes.
    """
    offset = np.int64(0)
    for index in range(len(commands)):
        command = commands[index]
        if command["kind"] < FIRST_KIND or command["kind"] > LAST_KIND:
            return index, KIND
        if command["text_offset"] != offset:
            return index, TEXT_OFFSET
        offset += np.int64(command["text_length"])
        if command["kind"] >= FIRST_REFERENCE_COMMAND:
            if index != len(commands) - 1:
                return index, REFERENCE_DATA_NOT_LAST
        else:
            fault = _fault_of(command, assets, instruments)
            if fault != NO_FAULT:
                return index, fault
    if offset != text_size:
        return max(0, len(commands) - 1), TEXT_OFFSET
    return 0, NO_FAULT


@inlined
def _fault_of(command: Any, assets: Any, instruments: Any) -> Any:
    kind = command["kind"]
    funding = kind in (DEPOSIT, WITHDRAW)
    known = assets if funding else instruments
    if command["instrument"] >= known and not (kind == CANCEL_ALL and command["instrument"] == NONE_ID):
        return INSTRUMENT
    if command["account"] < 0:
        return ACCOUNT
    if command["side"] > LAST_SIDE:
        return SIDE
    if command["order_type"] > LAST_TYPE:
        return ORDER_TYPE
    if command["time_in_force"] > LAST_TIME_IN_FORCE:
        return TIME_IN_FORCE
    if command["self_trade_prevention"] > LAST_PREVENTION:
        return SELF_TRADE_PREVENTION
    if command["post_only"] > 1:
        return POST_ONLY
    if command["post_only"] != 0 and command["time_in_force"] != GTC:
        return POST_ONLY_NOT_GTC
    if command["order_id"] < 0:
        return ORDER_ID
    if funding and command["text_hash"] == np.uint64(0):
        return NO_REFERENCE
    if command["text_length"] > (MAX_REFERENCE_LENGTH if funding else MAX_CLIENT_ORDER_ID_LENGTH):
        return TEXT_LENGTH
    return _order_fault(command) if kind == ORDER else NO_FAULT


@inlined
def _order_fault(command: Any) -> Any:
    market = command["order_type"] == MARKET
    if market and (command["time_in_force"] != IOC or command["post_only"] != 0 or command["price"] != 0):
        return MARKET_ORDER
    if command["amount"] != 0 and (not market or command["side"] != BUY or command["quantity"] != 0):
        return QUOTE_QUANTITY
    return NO_FAULT
