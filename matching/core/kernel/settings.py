"""Changes of what applies to an account or an instrument: status of an account, fees, limits of an instrument."""

from typing import Any

import numpy as np

from matching.core.codes import NONE_ID
from matching.core.kernel import events, funds
from matching.core.kernel.compiling import called, inlined
from matching.core.kernel.constants import (
    GIVES_MAKER_FEE,
    GIVES_MAX_OPEN_ORDERS,
    GIVES_MAX_QUANTITY,
    GIVES_MIN_NOTIONAL,
    GIVES_MIN_QUANTITY,
    GIVES_PRICE_BAND,
    GIVES_TAKER_FEE,
    INVALID_QUANTITY,
)
from matching.core.kernel.structures import pools as p
from matching.core.kernel.structures import tables


@called
def set_account_status(pools: Any, rows: Any, count: Any, command: Any) -> Any:
    account, status = command["account"], command["side"]
    row = pools.accounts[funds.get_or_create_account(pools, account)]
    row["status"] = status
    trader = np.int64(row["first_trader"])
    while trader != 0:
        pools.traders[trader]["status"] = status
        trader = np.int64(pools.terms[trader]["next"])
    return events.write(
        pools, rows, count, events.ACCOUNT_STATUS_CHANGED, np.int64(status), 0, 0, NONE_ID, 0, account, 0, 0, 0
    )


@called
def set_account_fees(pools: Any, rows: Any, count: Any, command: Any) -> Any:
    """Sets or removes the rates of an account, in one instrument or in all in which it has none of its own."""
    account, instrument_id = command["account"], np.int64(command["instrument"])
    maker_fee, taker_fee = command["price"], command["quantity"]
    if instrument_id == NONE_ID:
        _set_fees_everywhere(pools, account, maker_fee, taker_fee)
    else:
        trader = tables.find_trader(pools, account, instrument_id)
        if trader == 0:
            trader = funds.create_trader(pools, account, instrument_id)
        _set_fees_of_trader(pools, trader, maker_fee, taker_fee)
    return events.write(
        pools,
        rows,
        count,
        events.ACCOUNT_FEES_CHANGED,
        0,
        0,
        0,
        instrument_id,
        0,
        account,
        maker_fee,
        taker_fee,
        0,
    )


@called
def _set_fees_everywhere(pools: Any, account: Any, maker_fee: Any, taker_fee: Any) -> None:
    row = pools.accounts[funds.get_or_create_account(pools, account)]
    row["maker_fee"] = maker_fee
    row["taker_fee"] = taker_fee
    index = np.int64(row["first_trader"])
    while index != 0:
        if pools.terms[index]["is_own"] == 0:
            _set_terms(pools, index, maker_fee, taker_fee)
        index = np.int64(pools.terms[index]["next"])


@called
def _set_fees_of_trader(pools: Any, index: Any, maker_fee: Any, taker_fee: Any) -> None:
    if maker_fee >= 0:
        pools.terms[index]["is_own"] = 1
        _set_terms(pools, index, maker_fee, taker_fee)
    else:
        owner = pools.accounts[np.int64(pools.traders[index]["owner"])]
        pools.terms[index]["is_own"] = 0
        _set_terms(pools, index, np.int64(owner["maker_fee"]), np.int64(owner["taker_fee"]))


@inlined
def _set_terms(pools: Any, index: Any, maker_fee: Any, taker_fee: Any) -> None:
    pools.traders[index]["has_terms"] = 1 if maker_fee >= 0 else 0
    pools.terms[index]["maker_fee"] = maker_fee
    pools.terms[index]["taker_fee"] = taker_fee


@called
def update_instrument(pools: Any, rows: Any, count: Any, command: Any) -> Any:
    """Sets the values of an instrument that the command's flags name (layout.COMMAND says where they are)."""
    instrument_id, flags = np.int64(command["instrument"]), np.int64(command["flags"])
    instrument = pools.instruments[instrument_id]
    lowest = command["quantity"] if flags & GIVES_MIN_QUANTITY != 0 else instrument["min_quantity"]
    highest = command["amount"] if flags & GIVES_MAX_QUANTITY != 0 else instrument["max_quantity"]
    if lowest > highest:
        return events.write(pools, rows, count, events.REJECTED, 0, INVALID_QUANTITY, 0, instrument_id, 0, 0, 0, 0, 0)
    instrument["min_quantity"] = lowest
    instrument["max_quantity"] = highest
    if flags & GIVES_MIN_NOTIONAL != 0:
        instrument["min_notional"] = command["order_id"]
    if flags & GIVES_MAKER_FEE != 0:
        instrument["maker_fee"] = command["account"] & _LOWER_HALF
    if flags & GIVES_TAKER_FEE != 0:
        instrument["taker_fee"] = command["account"] >> _HALF_BITS
    if flags & GIVES_PRICE_BAND != 0:
        instrument["price_band"] = command["price"] & _LOWER_HALF
    if flags & GIVES_MAX_OPEN_ORDERS != 0:
        instrument["max_open_orders"] = command["price"] >> _HALF_BITS
    pools.state[p.UNUSUAL] |= p.HAS_UPDATED_INSTRUMENTS
    return events.write(pools, rows, count, events.INSTRUMENT_UPDATED, 0, 0, 0, instrument_id, 0, 0, 0, 0, 0)


_LOWER_HALF = 0xFFFFFFFF
_HALF_BITS = 32
