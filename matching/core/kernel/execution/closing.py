"""Cancels orders: returns what they have locked, writes the event, and removes them (docs/semantics.md, section 5)."""

from typing import Any

import numpy as np

from matching.core.kernel import events, funds
from matching.core.kernel.compiling import called, inlined
from matching.core.kernel.constants import BY_OCO
from matching.core.kernel.execution import icebergs
from matching.core.kernel.structures import book, prices, waiting
from matching.core.layout import RESTING


@inlined
def write_cancelled(
    pools: Any,
    rows: Any,
    count: Any,
    instrument_id: Any,
    order_id: Any,
    trader: Any,
    side: Any,
    price: Any,
    remaining: Any,
    flags: Any,
    unlocked: Any,
    reason: Any,
) -> Any:
    """Unlocks what an order has locked and writes `order_cancelled`. `remaining`: lots; with BY_QUOTE: quote units."""
    row = pools.traders[trader]
    funds.lock(pools, funds.paying_balance(row, side), -unlocked)
    return events.write(
        pools,
        rows,
        count,
        events.ORDER_CANCELLED,
        side,
        reason,
        flags,
        instrument_id,
        order_id,
        row["account"],
        price,
        remaining,
        unlocked,
    )


@inlined
def cancel_rest(
    pools: Any,
    rows: Any,
    count: Any,
    instrument_id: Any,
    order_id: Any,
    trader: Any,
    side: Any,
    price: Any,
    remaining: Any,
    reason: Any,
) -> Any:
    """Cancels the `remaining` lots of an order with a price that is not in the book."""
    unlocked = funds.locked_amount(pools.instruments[instrument_id], side, price, remaining)
    return write_cancelled(
        pools, rows, count, instrument_id, order_id, trader, side, price, remaining, 0, unlocked, reason
    )


@inlined
def cancel_open(pools: Any, rows: Any, count: Any, instrument_id: Any, slot: Any, reason: Any) -> Any:
    """Cancels an open order. If it is a leg of a one-cancels-other, the other leg follows, with reason `oco`."""
    order = pools.orders[slot]
    if order["extra"] != 0:
        return _cancel_with_partner(pools, rows, count, instrument_id, slot, reason)
    return _cancel_resting(pools, rows, count, instrument_id, slot, np.int64(0), reason)


@called
def cancel_alone(pools: Any, rows: Any, count: Any, instrument_id: Any, slot: Any, reason: Any) -> Any:
    """Cancels an open order that has an extra. If it is a leg of a one-cancels-other, the other leg stays."""
    extra = pools.extras[np.int64(pools.orders[slot]["extra"])]
    partner = np.int64(extra["partner"])
    if partner != 0:
        extra["partner"] = 0
        pools.extras[np.int64(pools.orders[partner]["extra"])]["partner"] = 0
    if extra["state"] == RESTING:
        return _cancel_resting(pools, rows, count, instrument_id, slot, extra["hidden"], reason)
    order = pools.orders[slot]
    order_id, trader, side = order["order_id"], np.int64(order["trader"]), np.int64(order["side"])
    price, remaining, held = extra["price"], order["remaining"], extra["held"]
    waiting.remove(pools, instrument_id, slot)
    book.release(pools, slot)
    return write_cancelled(pools, rows, count, instrument_id, order_id, trader, side, price, remaining, 0, held, reason)


@called
def cancel_before_partner(pools: Any, rows: Any, count: Any, instrument_id: Any, slot: Any, reason: Any) -> Any:
    """`cancel_alone` for one leg of an oco; the part of their lock that a stop leg needs stays with it."""
    order = pools.orders[slot]
    partner = np.int64(pools.extras[np.int64(order["extra"])]["partner"])
    count = cancel_alone(pools, rows, count, instrument_id, slot, reason)
    if partner == 0 or pools.extras[np.int64(pools.orders[partner]["extra"])]["state"] == RESTING:
        return count
    stop = pools.orders[partner]
    extra = pools.extras[np.int64(stop["extra"])]
    price = extra["price"] if extra["price"] != 0 else extra["trigger_price"]
    side = np.int64(stop["side"])
    needed = funds.locked_amount(pools.instruments[instrument_id], side, price, stop["remaining"])
    missing = needed - extra["held"]
    extra["held"] = needed
    funds.lock(pools, funds.paying_balance(pools.traders[np.int64(stop["trader"])], side), missing)
    rows[count - 1]["amount"] -= missing
    return count


@called
def _cancel_with_partner(pools: Any, rows: Any, count: Any, instrument_id: Any, slot: Any, reason: Any) -> Any:
    partner = np.int64(pools.extras[np.int64(pools.orders[slot]["extra"])]["partner"])
    count = cancel_alone(pools, rows, count, instrument_id, slot, reason)
    if partner != 0:
        count = cancel_alone(pools, rows, count, instrument_id, partner, BY_OCO)
    return count


@called
def cancel_partner(pools: Any, rows: Any, count: Any, instrument_id: Any, slot: Any) -> Any:
    """Cancels the other leg of an order that has an extra, if it is one of a one-cancels-other and that leg is open."""
    partner = np.int64(pools.extras[np.int64(pools.orders[slot]["extra"])]["partner"])
    if partner != 0:
        count = cancel_alone(pools, rows, count, instrument_id, partner, BY_OCO)
    return count


@inlined
def _cancel_resting(pools: Any, rows: Any, count: Any, instrument_id: Any, slot: Any, hidden: Any, reason: Any) -> Any:
    """Cancels an order of the book with `hidden` lots beside those that it shows."""
    order = pools.orders[slot]
    order_id, trader, side = order["order_id"], np.int64(order["trader"]), np.int64(order["side"])
    price = prices.price_of(pools, np.int64(order["level"]))
    remaining = order["remaining"] + hidden
    count = cancel_rest(pools, rows, count, instrument_id, order_id, trader, side, price, remaining, reason)
    if hidden != 0:
        icebergs.leave(pools, slot)
    book.dequeue(pools, pools.instruments[instrument_id], slot)
    book.release(pools, slot)
    return count
