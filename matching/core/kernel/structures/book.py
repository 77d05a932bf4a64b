"""Orders in the book: their place in a price level, in their account's list, and the ways to find them.

An open order is in four places: the queue of its level, the list of its account (by order_id), the directory of order
ids, and, if it has one, the table of client order ids. `enter` and `leave` keep the last three; `enqueue` and `dequeue`
the first, with the best prices.

Which end of a list an order stands at cannot be predicted, and a mispredicted branch costs more than a store: so links
are written without asking, and those that lead nowhere end in slot 0, which is scratch.
"""

from typing import Any

import numpy as np

from matching.core.codes import Side
from matching.core.kernel.compiling import inlined
from matching.core.kernel.structures import pools as p
from matching.core.kernel.structures import prices, tables
from matching.core.layout import NO_ASK

BUY = int(Side.BUY)


@inlined
def take_slot(pools: Any) -> Any:
    """A free slot of `orders`."""
    slot = pools.state[p.ORDER_FREE]
    if slot != 0:
        pools.state[p.ORDER_FREE] = pools.orders[slot]["next"]
    else:
        slot = pools.state[p.ORDER_TOP]
        pools.state[p.ORDER_TOP] += 1
    pools.state[p.ORDER_COUNT] += 1
    return p.place(slot)


@inlined
def enter(pools: Any, slot: Any) -> None:
    """Makes the order in `slot` findable; order_id, trader and text_hash are set."""
    orders = pools.orders
    order = orders[slot]
    order_id = order["order_id"]
    page = np.int64(pools.directory[order_id >> p.PAGE_BITS])
    if page == 0:
        page = _new_page(pools)
        pools.directory[order_id >> p.PAGE_BITS] = page
    pools.pages[page * p.PAGE_SIZE + (order_id & (p.PAGE_SIZE - 1))] = slot
    pools.page_orders[page] += 1

    trader = np.int64(order["trader"])
    account = pools.accounts[np.int64(pools.traders[trader]["owner"])]
    first, last = np.int64(account["first_order"]), np.int64(account["last_order"])
    order["account_previous"] = last
    order["account_next"] = 0
    orders[last]["account_next"] = slot
    account["first_order"] = slot if last == 0 else first
    account["last_order"] = slot

    if order["text_hash"] != np.uint64(0):
        tables.insert(pools.client_order_table, tables.client_order_key(trader, order["text_hash"]), slot)


@inlined
def leave(pools: Any, slot: Any) -> None:
    """Takes the order in `slot` out of everything but its level, and gives the slot back."""
    state, orders = pools.state, pools.orders
    order = orders[slot]
    order_id = order["order_id"]
    page = np.int64(pools.directory[order_id >> p.PAGE_BITS])
    pools.pages[page * p.PAGE_SIZE + (order_id & (p.PAGE_SIZE - 1))] = 0
    pools.page_orders[page] -= 1
    if pools.page_orders[page] == 0:
        pools.directory[order_id >> p.PAGE_BITS] = 0
        pools.page_orders[page] = state[p.PAGE_FREE]
        state[p.PAGE_FREE] = page
        state[p.PAGE_COUNT] -= 1

    trader = np.int64(order["trader"])
    following = np.int64(order["account_next"])
    previous = np.int64(order["account_previous"])
    account = pools.accounts[np.int64(pools.traders[trader]["owner"])]
    first, last = np.int64(account["first_order"]), np.int64(account["last_order"])
    account["first_order"] = following if previous == 0 else first
    account["last_order"] = previous if following == 0 else last
    orders[previous]["account_next"] = following
    orders[following]["account_previous"] = previous

    if order["text_hash"] != np.uint64(0):
        tables.remove(pools.client_order_table, tables.client_order_key(trader, order["text_hash"]), slot)
    order["order_id"] = 0
    order["next"] = state[p.ORDER_FREE]
    state[p.ORDER_FREE] = slot
    state[p.ORDER_COUNT] -= 1


@inlined
def _new_page(pools: Any) -> Any:
    state = pools.state
    page = state[p.PAGE_FREE]
    if page != 0:
        state[p.PAGE_FREE] = pools.page_orders[page]
        pools.page_orders[page] = 0
    else:
        page = state[p.PAGE_TOP]
        state[p.PAGE_TOP] += 1
    state[p.PAGE_COUNT] += 1
    return p.place(page)


@inlined
def find_order(pools: Any, order_id: Any) -> Any:
    """Slot of the open order, 0: none."""
    if order_id <= 0 or (order_id >> p.PAGE_BITS) >= len(pools.directory):
        return np.int64(0)
    page = np.int64(pools.directory[order_id >> p.PAGE_BITS])
    if page == 0:
        return np.int64(0)
    return np.int64(pools.pages[page * p.PAGE_SIZE + (order_id & (p.PAGE_SIZE - 1))])


@inlined
def enqueue(pools: Any, instrument: Any, slot: Any, price: Any) -> None:
    """Puts the order at the end of the queue of its price; side and remaining are set."""
    order = pools.orders[slot]
    index = prices.level_of(pools, instrument, price)
    level = pools.levels[index]
    tail = np.int64(level["tail"])
    order["level"] = index
    order["previous"] = tail
    order["next"] = 0
    level["tail"] = slot
    level["quantity"] += order["remaining"]
    pools.orders[tail]["next"] = slot
    if tail != 0:
        return
    level["head"] = slot
    prices.mark_level(pools, index)
    best_bid, best_ask = instrument["best_bid"], instrument["best_ask"]
    if order["side"] == BUY:
        if price > best_bid:
            instrument["best_bid"] = price
            instrument["best_bid_level"] = index
    elif price < best_ask:
        instrument["best_ask"] = price
        instrument["best_ask_level"] = index


@inlined
def dequeue(pools: Any, instrument: Any, slot: Any) -> None:
    """Takes the order out of its level."""
    order = pools.orders[slot]
    index = np.int64(order["level"])
    level = pools.levels[index]
    previous = np.int64(order["previous"])
    following = np.int64(order["next"])
    head, tail = np.int64(level["head"]), np.int64(level["tail"])
    level["quantity"] -= order["remaining"]
    level["head"] = following if previous == 0 else head
    level["tail"] = previous if following == 0 else tail
    pools.orders[previous]["next"] = following
    pools.orders[following]["previous"] = previous
    if previous + following == 0:
        drop_level(pools, instrument, index, np.int64(order["side"]))


@inlined
def drop_level(pools: Any, instrument: Any, index: Any, side: Any) -> None:
    """Forgets a level that has become empty, and moves the best price if it was the best."""
    if side == BUY:
        if index == np.int64(instrument["best_bid_level"]):
            best = prices.level_below(pools, index)
            instrument["best_bid_level"] = best
            if best != 0:
                instrument["best_bid"] = prices.price_of(pools, best)
            else:
                instrument["best_bid"] = 0
    elif index == np.int64(instrument["best_ask_level"]):
        best = prices.level_above(pools, index)
        instrument["best_ask_level"] = best
        if best != 0:
            instrument["best_ask"] = prices.price_of(pools, best)
        else:
            instrument["best_ask"] = NO_ASK
    prices.clear_level(pools, index)
