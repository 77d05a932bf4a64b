"""Checks COMMAND records from clients before they are sequenced: finds values that a correct edge never produces."""

from typing import Any

import numpy as np

from matching.core.codes import (
    FIRST_REFERENCE_COMMAND,
    LAST_REFERENCE_COMMAND,
    MAX_CLIENT_ORDER_ID_LENGTH,
    MAX_OPEN_ORDERS,
    MAX_REFERENCE_LENGTH,
    NONE_ID,
    PPM,
    AccountStatus,
    CommandKind,
    InstrumentValue,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from matching.core.kernel.compiling import entry, inlined
from matching.core.kernel.constants import (
    ACCOUNT_FEES,
    ACCOUNT_STATUS,
    CANCEL,
    CANCEL_ALL,
    DEPOSIT,
    EDGE_REFUSED_PREVIOUS,
    GIVES_MAKER_FEE,
    GIVES_MAX_OPEN_ORDERS,
    GIVES_MAX_QUANTITY,
    GIVES_MIN_NOTIONAL,
    GIVES_MIN_QUANTITY,
    GIVES_PRICE_BAND,
    GIVES_TAKER_FEE,
    GTC,
    INSTRUMENT_UPDATE,
    IOC,
    LIMIT,
    MARKET,
    NEW_NAME,
    OCO,
    OCO_STOP,
    ORDER,
    POST_ONLY,
    REPLACE,
    REQUIRES_PREVIOUS,
    STOP_LOSS,
    STOP_LOSS_LIMIT,
    TAKE_PROFIT,
    TOTAL_QUANTITY,
    WITHDRAW,
)

NO_FAULT = 0
KIND = 1
REFERENCE_DATA_NOT_LAST = 2
INSTRUMENT = 3
ACCOUNT = 4
SIDE = 5
ORDER_TYPE = 6
TIME_IN_FORCE = 7
SELF_TRADE_PREVENTION = 8
FLAGS = 9
POST_ONLY_NOT_GTC = 10
MARKET_ORDER = 11
QUOTE_QUANTITY = 12
ORDER_ID = 13
NO_REFERENCE = 14
TEXT_OFFSET = 15
TEXT_LENGTH = 16
ORDER_LIST = 17
TRIGGER_ORDER = 18
VISIBLE_QUANTITY = 19
STATUS = 20
FEES = 21
INSTRUMENT_VALUE = 22
NEW_NAME_HASH = 23

FIRST_KIND = int(min(CommandKind))
LAST_KIND = int(max(CommandKind))
LAST_SIDE = int(max(Side))
LAST_TYPE = int(max(OrderType))
LAST_TIME_IN_FORCE = int(max(TimeInForce))
LAST_PREVENTION = int(max(SelfTradePrevention))
LAST_STATUS = int(max(AccountStatus))
ALL_VALUES = int(sum(InstrumentValue))
_FLAGS_OF_ORDERS = POST_ONLY | REQUIRES_PREVIOUS | EDGE_REFUSED_PREVIOUS
_TWO_STRINGS_LENGTH = 2 * MAX_CLIENT_ORDER_ID_LENGTH + 1


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
        if command["kind"] >= FIRST_REFERENCE_COMMAND and command["kind"] <= LAST_REFERENCE_COMMAND:
            if index != len(commands) - 1:
                return index, REFERENCE_DATA_NOT_LAST
        else:
            fault = _fault_of(command, assets, instruments)
            if fault == NO_FAULT and command["kind"] > LAST_REFERENCE_COMMAND:
                fault = _fault_of_rare_command(commands, index)
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
    if command["instrument"] >= known and not (
        command["instrument"] == NONE_ID and kind in (CANCEL_ALL, ACCOUNT_STATUS, ACCOUNT_FEES)
    ):
        return INSTRUMENT
    if command["account"] < 0:
        return ACCOUNT
    if command["side"] > LAST_SIDE and kind != ACCOUNT_STATUS:
        return SIDE
    if command["order_type"] > LAST_TYPE:
        return ORDER_TYPE
    if command["time_in_force"] > LAST_TIME_IN_FORCE:
        return TIME_IN_FORCE
    if command["self_trade_prevention"] > LAST_PREVENTION:
        return SELF_TRADE_PREVENTION
    if np.int64(command["flags"]) & ~_known_flags(kind) != 0:
        return FLAGS
    if command["order_id"] < 0:
        return ORDER_ID
    if funding and command["text_hash"] == np.uint64(0):
        return NO_REFERENCE
    has_two_strings = kind in (CANCEL, REPLACE, OCO)
    longest = _TWO_STRINGS_LENGTH if has_two_strings else MAX_CLIENT_ORDER_ID_LENGTH
    if command["text_length"] > (MAX_REFERENCE_LENGTH if funding else longest):
        return TEXT_LENGTH
    if kind == ORDER:
        return _order_fault(command)
    if kind == REPLACE and command["flags"] & NEW_NAME == 0 and command["amount"] != 0:
        return NEW_NAME_HASH
    return NO_FAULT


@inlined
def _known_flags(kind: Any) -> Any:
    if kind in (ORDER, OCO):
        return _FLAGS_OF_ORDERS
    if kind == REPLACE:
        return TOTAL_QUANTITY | NEW_NAME
    return ALL_VALUES if kind == INSTRUMENT_UPDATE else 0


@inlined
def _order_fault(command: Any) -> Any:
    order_type, time_in_force = command["order_type"], command["time_in_force"]
    if command["flags"] & POST_ONLY != 0 and (time_in_force != GTC or order_type != LIMIT):
        return POST_ONLY_NOT_GTC
    if order_type == LIMIT:
        return VISIBLE_QUANTITY if command["amount"] != 0 and time_in_force != GTC else NO_FAULT
    has_price = command["price"] != 0 or time_in_force != IOC
    if order_type == MARKET:
        if has_price:
            return MARKET_ORDER
        return QUOTE_QUANTITY if command["amount"] != 0 and command["quantity"] != 0 else NO_FAULT
    return TRIGGER_ORDER if order_type in (STOP_LOSS, TAKE_PROFIT) and has_price else NO_FAULT


@inlined
def _fault_of_rare_command(commands: Any, index: Any) -> Any:
    command = commands[index]
    kind = command["kind"]
    if kind == OCO:
        return NO_FAULT if _is_limit_leg(commands, index) else ORDER_LIST
    if kind == OCO_STOP:
        return NO_FAULT if _is_stop_leg(commands, index) else ORDER_LIST
    if kind == ACCOUNT_STATUS:
        is_valid = command["side"] <= LAST_STATUS and command["instrument"] == NONE_ID
        return NO_FAULT if is_valid else STATUS
    if kind == ACCOUNT_FEES:
        maker_fee, taker_fee = command["price"], command["quantity"]
        is_removed = maker_fee == -1 and taker_fee == -1
        return NO_FAULT if is_removed or (_is_rate(maker_fee) and _is_rate(taker_fee)) else FEES
    return NO_FAULT if _are_values_valid(command) else INSTRUMENT_VALUE


@inlined
def _is_rate(value: Any) -> Any:
    return 0 <= value < PPM


@inlined
def _is_limit_leg(commands: Any, index: Any) -> Any:
    """Whether the record is a limit leg, and its stop leg follows."""
    if index + 1 == len(commands):
        return False
    leg, stop = commands[index], commands[index + 1]
    same_asset = leg["account"] == stop["account"] and leg["instrument"] == stop["instrument"]
    same_terms = leg["side"] == stop["side"] and leg["quantity"] == stop["quantity"]
    is_plain = leg["order_type"] == LIMIT and leg["time_in_force"] == GTC and leg["amount"] == 0
    is_list = stop["kind"] == OCO_STOP and leg["self_trade_prevention"] == stop["self_trade_prevention"]
    return is_list and same_asset and same_terms and is_plain and leg["flags"] & POST_ONLY != 0


@inlined
def _is_stop_leg(commands: Any, index: Any) -> Any:
    """Whether the record is a stop leg after its limit leg, which `_is_limit_leg` has checked."""
    if index == 0 or commands[index - 1]["kind"] != OCO:
        return False
    order_type = commands[index]["order_type"]
    is_without_price = commands[index]["price"] == 0 and commands[index]["time_in_force"] == IOC
    return order_type == STOP_LOSS_LIMIT or (order_type == STOP_LOSS and is_without_price)


@inlined
def _are_values_valid(command: Any) -> Any:
    """Whether an instrument_update changes something, has valid values, and 0 where it changes nothing."""
    flags, fees, limits = np.int64(command["flags"]), command["account"], command["price"]
    lowest, highest, min_notional = command["quantity"], command["amount"], command["order_id"]
    maker_fee, taker_fee = fees & 0xFFFFFFFF, fees >> 32
    price_band, max_open_orders = limits & 0xFFFFFFFF, limits >> 32
    is_given = (
        (flags & GIVES_MAKER_FEE != 0 or maker_fee == 0)
        and (flags & GIVES_TAKER_FEE != 0 or taker_fee == 0)
        and (flags & GIVES_MIN_NOTIONAL != 0 or min_notional == 0)
        and (flags & GIVES_PRICE_BAND != 0 or price_band == 0)
        and (flags & GIVES_MAX_OPEN_ORDERS != 0 or max_open_orders == 0)
    )
    is_quantity_valid = (lowest >= 1 if flags & GIVES_MIN_QUANTITY != 0 else lowest == 0) and (
        highest >= 1 if flags & GIVES_MAX_QUANTITY != 0 else highest == 0
    )
    is_in_range = (
        _is_rate(maker_fee) and _is_rate(taker_fee) and _is_rate(price_band) and 0 <= max_open_orders <= MAX_OPEN_ORDERS
    )
    return flags != 0 and is_given and is_quantity_valid and is_in_range
