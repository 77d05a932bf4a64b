"""The order book: queues of orders at each price level, and the indexes by which open orders are found.

An open order is in the queue of its price level, in the list of its account's orders (by order_id), in the directory of
order ids and, if it has a client order id, in the hash table of those. `enqueue` and `dequeue` maintain the queue and
the best prices; `add_to_indexes` and `release` maintain the rest.

List links are written without branches, because a mispredicted branch costs more than a store. Links past the end of a
list are written to slot 0, which no order uses.
"""

from typing import Any

import numpy as np

from matching.core.kernel.compiling import inlined
from matching.core.kernel.constants import BUY
from matching.core.kernel.structures import extras, prices, tables
from matching.core.kernel.structures import pools as p
from matching.core.layout import NO_ASK


@inlined
def allocate_slot(pools: Any) -> Any:
    """Takes a free slot of `orders`."""
    slot = p.as_index(pools.state[p.ORDER_FREE])
    if slot != 0:
        pools.state[p.ORDER_FREE] = pools.orders[slot]["next"]
    else:
        slot = p.as_index(pools.state[p.ORDER_TOP])
        pools.state[p.ORDER_TOP] += 1
    pools.state[p.ORDER_COUNT] += 1
    return slot


@inlined
def add_to_indexes(pools: Any, slot: Any) -> None:
    """Adds the order in `slot` to all indexes. Its order_id, trader and text_hash are set."""
    orders = pools.orders
    order = orders[slot]
    order_id, trader, text_hash = order["order_id"], np.int64(order["trader"]), order["text_hash"]
    entry = p.directory_entry(order_id)
    page = np.int64(pools.directory[entry])
    if page == 0:
        page = _allocate_page(pools)
        pools.directory[entry] = page
    pools.pages[page * p.PAGE_SIZE + (order_id & (p.PAGE_SIZE - 1))] = slot
    pools.page_orders[page] += 1

    row = pools.traders[trader]
    row["open_orders"] += 1
    account = pools.accounts[np.int64(row["owner"])]
    first, last = np.int64(account["first_order"]), np.int64(account["last_order"])
    order["account_previous"] = last
    order["account_next"] = 0
    orders[last]["account_next"] = slot
    account["first_order"] = slot if last == 0 else first
    account["last_order"] = slot

    if text_hash != np.uint64(0):
        tables.insert(pools.client_order_table, tables.client_order_key(trader, text_hash), slot)


@inlined
def rename(pools: Any, slot: Any, text_hash: Any) -> None:
    """Gives the order another client order id, which no other order of its trader has."""
    order = pools.orders[slot]
    trader = np.int64(order["trader"])
    if order["text_hash"] != np.uint64(0):
        tables.remove(pools.client_order_table, tables.client_order_key(trader, order["text_hash"]), slot)
    order["text_hash"] = text_hash
    if text_hash != np.uint64(0):
        tables.insert(pools.client_order_table, tables.client_order_key(trader, text_hash), slot)


@inlined
def release(pools: Any, slot: Any) -> None:
    """Removes the order in `slot` from all indexes and frees the slot. It is in no queue any more."""
    state, orders = pools.state, pools.orders
    order = orders[slot]
    order_id = order["order_id"]
    entry = p.directory_entry(order_id)
    page = np.int64(pools.directory[entry])
    pools.pages[page * p.PAGE_SIZE + (order_id & (p.PAGE_SIZE - 1))] = 0
    pools.page_orders[page] -= 1
    if pools.page_orders[page] == 0:
        pools.directory[entry] = 0
        pools.page_orders[page] = state[p.PAGE_FREE]
        state[p.PAGE_FREE] = page
        state[p.PAGE_COUNT] -= 1

    trader = np.int64(order["trader"])
    following = np.int64(order["account_next"])
    previous = np.int64(order["account_previous"])
    row = pools.traders[trader]
    row["open_orders"] -= 1
    account = pools.accounts[np.int64(row["owner"])]
    first, last = np.int64(account["first_order"]), np.int64(account["last_order"])
    account["first_order"] = following if previous == 0 else first
    account["last_order"] = previous if following == 0 else last
    orders[previous]["account_next"] = following
    orders[following]["account_previous"] = previous

    if order["text_hash"] != np.uint64(0):
        tables.remove(pools.client_order_table, tables.client_order_key(trader, order["text_hash"]), slot)
    if order["extra"] != 0:
        extras.detach(pools, slot)
    order["order_id"] = 0
    order["next"] = state[p.ORDER_FREE]
    state[p.ORDER_FREE] = slot
    state[p.ORDER_COUNT] -= 1


@inlined
def _allocate_page(pools: Any) -> Any:
    state = pools.state
    page = state[p.PAGE_FREE]
    if page != 0:
        state[p.PAGE_FREE] = pools.page_orders[page]
        pools.page_orders[page] = 0
    else:
        page = state[p.PAGE_TOP]
        state[p.PAGE_TOP] += 1
    state[p.PAGE_COUNT] += 1
    return p.as_index(page)


@inlined
def find_order(pools: Any, order_id: Any) -> Any:
    """Slot of the open order, 0 if there is none."""
    if order_id <= 0 or (order_id >> p.PAGE_BITS) >= len(pools.directory):
        return np.int64(0)
    page = np.int64(pools.directory[order_id >> p.PAGE_BITS])
    if page == 0:
        return np.int64(0)
    return np.int64(pools.pages[page * p.PAGE_SIZE + (order_id & (p.PAGE_SIZE - 1))])


@inlined
def orders_in_book(pools: Any, trader: Any) -> Any:
    """How many open orders of a trader are in no trigger tree and not in the queue of triggered orders."""
    return np.int64(pools.traders[trader]["open_orders"]) - np.int64(pools.waiting_orders[trader])


@inlined
def best_opposite_level(instrument: Any, side: Any) -> Any:
    """The best price level of the opposite side, 0 if that side is empty."""
    ask, bid = np.int64(instrument["best_ask_level"]), np.int64(instrument["best_bid_level"])
    return ask if side == BUY else bid


@inlined
def crosses(instrument: Any, side: Any, price: Any) -> Any:
    """Whether an order at that price would match an order of the opposite side."""
    # An empty side has best_ask NO_ASK or best_bid 0, which no limit price reaches.
    meets_ask, meets_bid = price >= instrument["best_ask"], price <= instrument["best_bid"]
    return meets_ask if side == BUY else meets_bid


@inlined
def enqueue(pools: Any, instrument: Any, slot: Any, price: Any) -> None:
    """Appends the order to the queue of its price. Its side and remaining are set."""
    order = pools.orders[slot]
    index = prices.get_or_create_level(pools, instrument, price)
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
    prices.mark_not_empty(pools, index)
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
    """Removes the order from the queue of its price level, and the level if it is empty then."""
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
    """Removes a level that has become empty, and updates the best price if this was the best level."""
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
    prices.mark_empty(pools, index)
