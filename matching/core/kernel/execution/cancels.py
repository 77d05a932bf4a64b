"""Cancels open orders on request."""

from typing import Any

import numpy as np

from matching.core.codes import NONE_ID
from matching.core.kernel import events, limits
from matching.core.kernel.compiling import called, inlined
from matching.core.kernel.constants import BY_USER, HALTED, INSTRUMENT_HALTED, UNKNOWN_ORDER
from matching.core.kernel.execution import closing
from matching.core.kernel.structures import book, tables
from matching.core.kernel.structures import pools as p


@inlined
def find_target_order(pools: Any, command: Any, known: Any) -> Any:
    """Slot of the open order that a cancel or replace names, by order id or client order id.

    0 if the account has no such open order in the instrument. `known`: for an order id > 0 a slot, perhaps that of
    the order.
    """
    if command["order_id"] != 0:
        slot = known
        if command["order_id"] < 0 or pools.orders[slot]["order_id"] != command["order_id"]:
            slot = book.find_order(pools, command["order_id"])
        if slot == 0:
            return slot
        trader = pools.traders[np.int64(pools.orders[slot]["trader"])]
        if trader["account"] != command["account"] or trader["instrument"] != command["instrument"]:
            return np.int64(0)
        return slot
    trader_index = tables.find_trader(pools, command["account"], np.int64(command["instrument"]))
    if trader_index == 0 or command["text_hash"] == np.uint64(0):
        return np.int64(0)
    return tables.find_client_order(pools, trader_index, command["text_hash"])


@inlined
def cancel(pools: Any, rows: Any, count: Any, command: Any, known: Any) -> Any:
    slot = find_target_order(pools, command, known)
    if slot == 0:
        return events.reject(pools, rows, count, command, UNKNOWN_ORDER)
    instrument_id = np.int64(command["instrument"])
    if pools.instruments[instrument_id]["status"] == HALTED:
        return events.reject(pools, rows, count, command, INSTRUMENT_HALTED)
    return closing.cancel_open(pools, rows, count, instrument_id, slot, BY_USER)


@called
def cancel_all(pools: Any, rows: Any, count: Any, command: Any) -> Any:
    only_instrument = np.int64(command["instrument"])
    if only_instrument != NONE_ID and pools.instruments[only_instrument]["status"] == HALTED:
        return events.reject(pools, rows, count, command, INSTRUMENT_HALTED)
    owner = tables.find_account(pools, command["account"])
    slot = np.int64(pools.accounts[owner]["first_order"]) if owner != 0 else np.int64(0)
    cancelled = np.int64(0)
    while slot != 0 and cancelled < limits.MAX_MET:
        pools.state[p.LOOKED_AT] += 1
        order = pools.orders[slot]
        following = np.int64(order["account_next"])
        instrument_id = np.int64(pools.traders[np.int64(order["trader"])]["instrument"])
        selected = only_instrument == NONE_ID or instrument_id == only_instrument
        if selected and pools.instruments[instrument_id]["status"] != HALTED:
            if order["extra"] != 0 and cancelled + 1 == limits.MAX_MET:
                count = closing.cancel_before_partner(pools, rows, count, instrument_id, slot, BY_USER)
            elif order["extra"] != 0:
                count = closing.cancel_alone(pools, rows, count, instrument_id, slot, BY_USER)
            else:
                count = closing.cancel_open(pools, rows, count, instrument_id, slot, BY_USER)
            cancelled += 1
        slot = following
    return events.write(
        pools, rows, count, events.ORDERS_CANCELLED, 0, 0, 0, only_instrument, 0, command["account"], 0, cancelled, 0
    )
