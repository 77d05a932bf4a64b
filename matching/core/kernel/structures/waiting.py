"""Orders that wait for their trigger, outside the book, and the queue of those that are triggered.

Each instrument has two trees of trigger prices (layout.TRIGGER_TREE): of the orders that a rising price triggers, and
of those that a falling price triggers. Orders of one trigger price are in the order of their ids, because only new
orders are added. The instrument holds the nearest trigger price of each tree (`rise_at`, `fall_at`), so trades far from
it cost a comparison.
"""

from typing import Any

import numpy as np

from matching.core.kernel.compiling import called, inlined
from matching.core.kernel.constants import BUY, STOP_LOSS, STOP_LOSS_LIMIT
from matching.core.kernel.structures import pools as p
from matching.core.kernel.structures import prices
from matching.core.layout import NO_ASK, QUEUED, WAITING

RISE = 0
FALL = 1


@inlined
def direction_of(side: Any, order_type: Any) -> Any:
    """RISE or FALL: the movement of the price that triggers an order."""
    stops = order_type in (STOP_LOSS, STOP_LOSS_LIMIT)
    return RISE if (side == BUY) == stops else FALL


@called
def enqueue(pools: Any, instrument_id: Any, slot: Any, direction: Any, price: Any) -> None:
    """Adds an order to those that wait. It is newer than all of them, and its extra is set except for `state`."""
    tree = pools.trigger_trees[2 * instrument_id + direction]
    if tree["root"] == 0:
        tree["root"] = prices.new_root(pools)
        tree["height"] = 1
    index = prices.get_or_create_level(pools, tree, price)
    level = pools.levels[index]
    order = pools.orders[slot]
    tail = np.int64(level["tail"])
    order["level"] = index
    order["previous"] = tail
    order["next"] = 0
    level["tail"] = slot
    if tail != 0:
        pools.orders[tail]["next"] = slot
    else:
        level["head"] = slot
        prices.mark_not_empty(pools, index)
        instrument = pools.instruments[instrument_id]
        if direction == RISE:
            instrument["rise_at"] = min(instrument["rise_at"], price)
        else:
            instrument["fall_at"] = max(instrument["fall_at"], price)
    pools.extras[np.int64(order["extra"])]["state"] = WAITING
    pools.waiting_orders[np.int64(order["trader"])] += 1


@called
def remove(pools: Any, instrument_id: Any, slot: Any) -> None:
    """Takes an order out of its tree or out of the queue."""
    order = pools.orders[slot]
    pools.waiting_orders[np.int64(order["trader"])] -= 1
    previous, following = np.int64(order["previous"]), np.int64(order["next"])
    if previous != 0:
        pools.orders[previous]["next"] = following
    if following != 0:
        pools.orders[following]["previous"] = previous
    extra = pools.extras[np.int64(order["extra"])]
    if extra["state"] == QUEUED:
        if previous == 0:
            pools.state[p.QUEUE_HEAD] = following
        if following == 0:
            pools.state[p.QUEUE_TAIL] = previous
        return
    index = np.int64(order["level"])
    level = pools.levels[index]
    if previous == 0:
        level["head"] = following
    if following == 0:
        level["tail"] = previous
    if previous == 0 and following == 0:
        direction = direction_of(np.int64(order["side"]), np.int64(extra["order_type"]))
        _drop_level(pools, instrument_id, direction, index)


@inlined
def _drop_level(pools: Any, instrument_id: Any, direction: Any, index: Any) -> None:
    """Removes a level that has become empty."""
    instrument = pools.instruments[instrument_id]
    price = prices.price_of(pools, index)
    if direction == RISE and price == instrument["rise_at"]:
        following = prices.level_above(pools, index)
        instrument["rise_at"] = prices.price_of(pools, following) if following != 0 else np.int64(NO_ASK)
    elif direction == FALL and price == instrument["fall_at"]:
        following = prices.level_below(pools, index)
        instrument["fall_at"] = prices.price_of(pools, following) if following != 0 else np.int64(0)
    prices.mark_empty(pools, index)


@called
def queue_triggered(pools: Any, instrument_id: Any, lowest: Any, highest: Any) -> None:
    """Moves the orders that trades from `lowest` to `highest` trigger to the end of the queue.

    In the order of docs/semantics.md, section 6: first those that wait for a rise, by ascending trigger price, then
    those that wait for a fall, by descending one.
    """
    instrument = pools.instruments[instrument_id]
    while instrument["rise_at"] <= highest:
        _queue_level(pools, instrument_id, RISE, instrument["rise_at"])
    while instrument["fall_at"] >= lowest:
        _queue_level(pools, instrument_id, FALL, instrument["fall_at"])


@called
def _queue_level(pools: Any, instrument_id: Any, direction: Any, price: Any) -> None:
    state = pools.state
    index = prices.find_level_or_unused(pools, pools.trigger_trees[2 * instrument_id + direction], price)
    level = pools.levels[index]
    head, tail = np.int64(level["head"]), np.int64(level["tail"])
    slot = head
    while slot != 0:
        state[p.LOOKED_AT] += 1
        order = pools.orders[slot]
        pools.extras[np.int64(order["extra"])]["state"] = QUEUED
        slot = np.int64(order["next"])
    last = p.as_index(state[p.QUEUE_TAIL])
    pools.orders[head]["previous"] = last
    if last != 0:
        pools.orders[last]["next"] = head
    else:
        state[p.QUEUE_HEAD] = head
    state[p.QUEUE_TAIL] = tail
    level["head"] = 0
    level["tail"] = 0
    _drop_level(pools, instrument_id, direction, index)


@inlined
def first_in_queue(pools: Any) -> Any:
    """Slot of the first triggered order, 0 if the queue is empty."""
    return p.as_index(pools.state[p.QUEUE_HEAD])
