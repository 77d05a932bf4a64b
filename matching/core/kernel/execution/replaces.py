"""Changes price, quantity or name of an order in the book."""

from typing import Any

import numpy as np

from matching.core.kernel import events, funds
from matching.core.kernel.compiling import inlined
from matching.core.kernel.constants import (
    ACCEPTED,
    ACCOUNT_RESTRICTED,
    ACTIVE,
    DUPLICATE_CLIENT_ORDER_ID,
    INSTRUMENT_HALTED,
    INSUFFICIENT_BALANCE,
    NEW_NAME,
    NOT_REPLACEABLE,
    POST_ONLY_WOULD_MATCH,
    PRICE_OUT_OF_BAND,
    TOTAL_QUANTITY,
    TRADING,
    UNKNOWN_ORDER,
)
from matching.core.kernel.execution import bands, closing, crossing, icebergs, validation
from matching.core.kernel.execution.cancels import find_target_order
from matching.core.kernel.structures import book, prices, tables
from matching.core.layout import RESTING


@inlined
def replace(pools: Any, rows: Any, count: Any, command: Any) -> Any:
    slot = find_target_order(pools, command, np.int64(0))
    if slot == 0:
        return events.reject(pools, rows, count, command, UNKNOWN_ORDER)
    instrument_id = np.int64(command["instrument"])
    instrument = pools.instruments[instrument_id]
    order = pools.orders[slot]
    side = np.int64(order["side"])
    payer = funds.paying_balance(pools.traders[np.int64(order["trader"])], side)
    old_price, old_lots = prices.price_of(pools, np.int64(order["level"])), icebergs.open_lots(pools, slot)
    price, quantity = command["price"], _new_open_quantity(command, order["filled"])
    keeps_priority = price == old_price and quantity <= old_lots
    reason, change = _validate(pools, command, slot, price, quantity, old_price, old_lots, keeps_priority)
    if reason != ACCEPTED:
        return events.reject(pools, rows, count, command, reason)

    funds.lock(pools, payer, change)
    if command["flags"] & NEW_NAME != 0:
        book.rename(pools, slot, np.uint64(command["amount"]))
    count = events.write(
        pools,
        rows,
        count,
        events.ORDER_REPLACED,
        side,
        0,
        events.KEPT_PRIORITY if keeps_priority else 0,
        instrument_id,
        order["order_id"],
        command["account"],
        price,
        quantity,
        change,
    )
    if keeps_priority:
        if order["extra"] != 0:
            icebergs.reduce(pools, slot, quantity)
            return count
        pools.levels[np.int64(order["level"])]["quantity"] -= order["remaining"] - quantity
        order["remaining"] = quantity
        return count
    if order["extra"] != 0:
        icebergs.leave(pools, slot)
    book.dequeue(pools, instrument, slot)
    return _match_and_requeue(pools, rows, count, instrument_id, slot, price, quantity)


@inlined
def _new_open_quantity(command: Any, filled: Any) -> Any:
    """In lots; 0, which no order may have, if a total quantity is not over what has traded."""
    quantity = command["quantity"]
    if command["flags"] & TOTAL_QUANTITY == 0:
        return quantity
    return quantity - filled if quantity > filled else np.int64(0)


@inlined
def _validate(
    pools: Any,
    command: Any,
    slot: Any,
    price: Any,
    quantity: Any,
    old_price: Any,
    old_lots: Any,
    keeps_priority: Any,
) -> Any:
    """(ACCEPTED, change of the lock), or (reject reason, 0)."""
    instrument = pools.instruments[np.int64(command["instrument"])]
    order = pools.orders[slot]
    trader = np.int64(order["trader"])
    side = np.int64(order["side"])
    nothing = np.int64(0)
    visible_quantity = nothing
    if order["extra"] != 0:
        extra = pools.extras[np.int64(order["extra"])]
        if extra["state"] != RESTING or extra["partner"] != 0:
            return NOT_REPLACEABLE, nothing
        if not keeps_priority:
            visible_quantity = extra["visible_quantity"]
    if pools.traders[trader]["status"] != ACTIVE:
        return ACCOUNT_RESTRICTED, nothing
    if instrument["status"] != TRADING:
        return INSTRUMENT_HALTED, nothing
    reason = validation.validate_price_and_quantity(
        instrument, False, price, quantity, order["filled"], visible_quantity, False
    )
    if reason != ACCEPTED:
        return reason, nothing
    if not keeps_priority and instrument["price_band"] != 0 and bands.excludes(pools, instrument, price):
        return PRICE_OUT_OF_BAND, nothing
    if command["flags"] & NEW_NAME != 0:
        named = tables.find_client_order(pools, trader, np.uint64(command["amount"]))
        if named != 0 and named != slot:
            return DUPLICATE_CLIENT_ORDER_ID, nothing
    change = funds.locked_amount(instrument, side, price, quantity) - funds.locked_amount(
        instrument, side, old_price, old_lots
    )
    if change > pools.balances[funds.paying_balance(pools.traders[trader], side)]["available"]:
        return INSUFFICIENT_BALANCE, nothing
    if order["flags"] != 0 and book.crosses(instrument, side, price):
        return POST_ONLY_WOULD_MATCH, nothing
    return ACCEPTED, change


@inlined
def _match_and_requeue(
    pools: Any, rows: Any, count: Any, instrument_id: Any, slot: Any, price: Any, quantity: Any
) -> Any:
    """Matches a replaced order that lost its time priority; the rest goes to the end of the queue of its price."""
    order = pools.orders[slot]
    order_id, trader, side = order["order_id"], np.int64(order["trader"]), np.int64(order["side"])
    remaining, reason = quantity, ACCEPTED
    if book.crosses(pools.instruments[instrument_id], side, price):
        count, remaining, reason = crossing.match_open(pools, rows, count, instrument_id, slot, price, price, quantity)
    order["filled"] += quantity - remaining
    if remaining == 0:
        book.release(pools, slot)
        return count
    if reason != ACCEPTED:
        book.release(pools, slot)
        count = closing.cancel_rest(pools, rows, count, instrument_id, order_id, trader, side, price, remaining, reason)
        crossing.write_self_trade(pools, rows, count, reason)
        return count
    order["remaining"] = remaining
    if order["extra"] != 0:
        icebergs.show_anew(pools, slot, remaining)
    book.enqueue(pools, pools.instruments[instrument_id], slot, price)
    if order["extra"] != 0:
        icebergs.enter(pools, slot)
    return count
