"""Orders that wait for their trigger, and what happens when they are triggered (docs/semantics.md, section 5)."""

from typing import Any

import numpy as np

from matching.core.kernel import events, funds, limits
from matching.core.kernel.compiling import called, inlined
from matching.core.kernel.constants import (
    ACCEPTED,
    ACCOUNT_RESTRICTED,
    ACTIVE,
    BUY,
    BY_IOC,
    FOK,
    FOK_NOT_FILLABLE,
    INSUFFICIENT_BALANCE,
    IOC,
    NO_LIQUIDITY,
    PRICE_BAND,
    SELL,
)
from matching.core.kernel.execution import bands, closing, crossing, orders, own_orders, reckoning, sums, validation
from matching.core.kernel.structures import book, extras, tables, waiting
from matching.core.kernel.structures import pools as p
from matching.core.layout import NO_ASK


@called
def place(pools: Any, rows: Any, count: Any, command: Any) -> Any:
    """Places an order of one of the four types that wait for a trigger."""
    instrument_id, account = np.int64(command["instrument"]), command["account"]
    trader = tables.find_trader(pools, account, instrument_id)
    nothing, no_name = np.int64(0), np.uint64(0)
    reason, held = validation.validate_trigger_order(pools, command, trader, nothing, no_name, False)
    if reason != ACCEPTED:
        return events.reject(pools, rows, count, command, reason)
    if trader == 0:
        trader = funds.create_trader(pools, account, instrument_id)
    return begin_to_wait(pools, rows, count, command, trader, held, nothing)


@called
def begin_to_wait(pools: Any, rows: Any, count: Any, command: Any, trader: Any, held: Any, partner: Any) -> Any:
    """Locks `held`, and lets the current command's order wait. `partner`: slot of its limit leg, 0 if it has none."""
    instrument_id, side = np.int64(command["instrument"]), np.int64(command["side"])
    count = orders.accept(pools, rows, count, command, trader, held, 0)
    slot = orders.make_open(pools, command, trader, command["quantity"])
    extra = pools.extras[extras.attach(pools, slot)]
    extra["trigger_price"] = command["amount"]
    extra["price"] = command["price"]
    extra["held"] = held
    extra["order_type"] = command["order_type"]
    extra["time_in_force"] = command["time_in_force"]
    if partner != 0:
        extra["partner"] = partner
        pools.extras[np.int64(pools.orders[partner]["extra"])]["partner"] = slot
    direction = waiting.direction_of(side, np.int64(command["order_type"]))
    waiting.enqueue(pools, instrument_id, slot, direction, command["amount"])
    return count


@called
def work_off_queue(pools: Any, rows: Any, count: Any, started: Any, commands_left: Any) -> Any:
    """Lets the triggered orders act, first come first served, and those that they trigger, until the queue is empty.

    `started`: events of the block before those of this command. If there is no room for one more price in the book,
    beside what `commands_left` need, PAUSED is set; the caller makes room and goes on.
    """
    state = pools.state
    sums.begin_run(pools)
    while state[p.QUEUE_HEAD] != 0 and count - started < limits.MAX_COMMAND_EVENTS:
        if not _has_room(pools, commands_left):
            state[p.PAUSED] = p.PAUSED_BEFORE
            return count
        state[p.UNUSUAL] |= p.HAS_TRIGGERED
        slot = waiting.first_in_queue(pools)
        instrument_id = np.int64(pools.traders[np.int64(pools.orders[slot]["trader"])]["instrument"])
        waiting.remove(pools, instrument_id, slot)
        count = _act(pools, rows, count, instrument_id, slot)
    return count


@inlined
def _has_room(pools: Any, commands_left: Any) -> Any:
    state, needed = pools.state, commands_left + 1
    has_leaves = state[p.LEAF_COUNT] + needed + 1 <= len(pools.leaves)
    return has_leaves and state[p.NODE_COUNT] + needed * p.NODES_FOR_A_PRICE + 1 <= len(pools.nodes)


@inlined
def _act(pools: Any, rows: Any, count: Any, instrument_id: Any, slot: Any) -> Any:
    """Triggers an order that was taken out of the queue: it acts as an order that arrives now."""
    order = pools.orders[slot]
    extra = pools.extras[np.int64(order["extra"])]
    order_id, trader, side = order["order_id"], np.int64(order["trader"]), np.int64(order["side"])
    instrument, row = pools.instruments[instrument_id], pools.traders[trader]
    price, held = extra["price"], extra["held"]
    if extra["partner"] != 0:
        sums.forget(pools, np.int64(pools.orders[np.int64(extra["partner"])]["level"]))
    count = closing.cancel_partner(pools, rows, count, instrument_id, slot)
    needed = _needed(pools, instrument_id, slot)
    reason = ACCEPTED
    if row["status"] != ACTIVE:
        reason = ACCOUNT_RESTRICTED
    elif needed - held > pools.balances[funds.paying_balance(row, side)]["available"]:
        reason = INSUFFICIENT_BALANCE
    change = needed - held if reason == ACCEPTED else np.int64(0)
    funds.lock(pools, funds.paying_balance(row, side), change)
    count = events.write(
        pools,
        rows,
        count,
        events.ORDER_TRIGGERED,
        side,
        0,
        0,
        instrument_id,
        order_id,
        row["account"],
        extra["trigger_price"],
        0,
        change,
    )
    if reason != ACCEPTED:
        remaining = order["remaining"]
        book.release(pools, slot)
        return closing.write_cancelled(
            pools, rows, count, instrument_id, order_id, trader, side, price, remaining, 0, held, reason
        )
    limit = bands.worst_price(pools, instrument, side)
    if price != 0:
        limit = min(price, limit) if side == BUY else max(price, limit)
    return _match(pools, rows, count, instrument_id, slot, price, limit)


@inlined
def _needed(pools: Any, instrument_id: Any, slot: Any) -> Any:
    """What a triggered order locks: the cost of what it would take if it buys without a price."""
    order = pools.orders[slot]
    price = pools.extras[np.int64(order["extra"])]["price"]
    instrument, side = pools.instruments[instrument_id], np.int64(order["side"])
    if price != 0 or side == SELL:
        return funds.locked_amount(instrument, side, price, order["remaining"])
    limit = bands.worst_price(pools, instrument, side)
    trader = np.int64(order["trader"])
    _, cost = reckoning.simulate_triggered_fill(
        pools,
        instrument_id,
        trader,
        _own_orders_in_book(pools, trader),
        side,
        np.int64(order["self_trade_prevention"]),
        limit,
        order["remaining"],
    )
    return cost


@inlined
def _own_orders_in_book(pools: Any, trader: Any) -> Any:
    """How many orders in the book a trader has beside the one that acts, which is in no queue."""
    return book.orders_in_book(pools, trader) - 1


@inlined
def _is_fillable(pools: Any, instrument_id: Any, slot: Any, limit: Any) -> Any:
    order = pools.orders[slot]
    trader = np.int64(order["trader"])
    return reckoning.is_fillable(
        pools,
        instrument_id,
        trader,
        _own_orders_in_book(pools, trader),
        np.int64(order["side"]),
        np.int64(order["self_trade_prevention"]),
        limit,
        order["remaining"],
        True,
    )


@inlined
def _match(pools: Any, rows: Any, count: Any, instrument_id: Any, slot: Any, price: Any, limit: Any) -> Any:
    """Matches a triggered order, then lets it rest or ends it. `price`: its own, 0 if it has none."""
    order = pools.orders[slot]
    order_id, trader, side = order["order_id"], np.int64(order["trader"]), np.int64(order["side"])
    time_in_force = pools.extras[np.int64(order["extra"])]["time_in_force"]
    quantity = order["remaining"]
    remaining, reason = quantity, ACCEPTED
    if price != 0 and time_in_force == FOK and not _is_fillable(pools, instrument_id, slot, limit):
        reason = FOK_NOT_FILLABLE
    else:
        own_price = price if price != 0 else np.int64(NO_ASK)
        count, remaining, reason = crossing.match_open(
            pools, rows, count, instrument_id, slot, limit, own_price, quantity
        )
    if remaining == 0:
        book.release(pools, slot)
        return count
    if reason == ACCEPTED:
        reason = _reason_to_end(pools.instruments[instrument_id], side, price, time_in_force)
    if reason != ACCEPTED:
        book.release(pools, slot)
        # Without a price a buy has locked exactly the cost of its fill, as a market order has.
        count = closing.cancel_rest(pools, rows, count, instrument_id, order_id, trader, side, price, remaining, reason)
        crossing.write_self_trade(pools, rows, count, reason)
        return count
    order["filled"] = quantity - remaining
    order["remaining"] = remaining
    extras.detach(pools, slot)
    book.enqueue(pools, pools.instruments[instrument_id], slot, price)
    sums.forget_path(pools, np.int64(order["level"]))
    own_orders.enter(pools, slot)
    return count


@inlined
def _reason_to_end(instrument: Any, side: Any, price: Any, time_in_force: Any) -> Any:
    """Why the rest of a triggered order is cancelled once nothing more matches, ACCEPTED if it rests."""
    if price == 0:
        return NO_LIQUIDITY if book.best_opposite_level(instrument, side) == 0 else PRICE_BAND
    if book.crosses(instrument, side, price):
        return PRICE_BAND
    return BY_IOC if time_in_force == IOC else ACCEPTED
