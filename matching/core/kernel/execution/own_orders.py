"""The orders of one trader in the book, which self-trade prevention keeps it from trading with.

An account's list of open orders has those that wait as well, and 100,000 of them may be triggered at once. So while the
queue of triggered orders is worked off, a trader's orders in the book are in a list and two heaps of their own (slots
in `own_links`) from the first time that they are needed. An order that leaves the book stays there until it is met; its
slot is not used again before the run of the queue ends.
"""

from typing import Any

import numpy as np

from matching.core.kernel.compiling import called, inlined
from matching.core.kernel.constants import BUY
from matching.core.kernel.execution import sums
from matching.core.kernel.structures import pools as p
from matching.core.kernel.structures import prices
from matching.core.layout import RESTING


@inlined
def following(pools: Any, trader: Any, slot: Any, triggered: Any) -> Any:
    """The trader's next order in the book after that in `slot`; the first one after 0. There is one.

    `triggered`: whether it is needed for a triggered order.
    """
    return _following_in_list(pools, trader, slot) if triggered else _following_of_account(pools, trader, slot)


@inlined
def best(pools: Any, trader: Any, count: Any, side: Any, triggered: Any) -> Any:
    """Slot of one of the best of the trader's `count` orders in the book that an order of `side` would meet.

    0 if there is none.
    """
    if triggered:
        return _best_of_heap(pools, trader, count, side)
    return _best_of_account(pools, trader, count, side)


@inlined
def lots_before(pools: Any, slot: Any) -> Any:
    """Lots that others show at the level of the trader's order before its first one there, -1 if that is not known."""
    link = pools.own_links[slot]
    version = sums.known_version(pools, np.int64(pools.orders[slot]["level"]))
    return link["lots_before"] if version != 0 and link["version"] == version else np.int64(-1)


@called
def note_lots_before(pools: Any, slot: Any, lots: Any, quote_unit: Any) -> None:
    """Notes them for as long as nothing changes in the leaf."""
    level = np.int64(pools.orders[slot]["level"])
    sums.know_leaf(pools, level >> 6, quote_unit)
    pools.own_links[slot]["lots_before"] = lots
    pools.own_links[slot]["version"] = sums.known_version(pools, level)


@inlined
def _best_of_account(pools: Any, trader: Any, count: Any, side: Any) -> Any:
    found = np.int64(0)
    best_price = np.int64(0)
    slot = np.int64(0)
    for _ in range(count):
        slot = _following_of_account(pools, trader, slot)
        order = pools.orders[slot]
        if order["side"] != side:
            price = prices.price_of(pools, np.int64(order["level"]))
            if found == 0 or (price < best_price if side == BUY else price > best_price):
                found, best_price = slot, price
    return found


@inlined
def _following_of_account(pools: Any, trader: Any, slot: Any) -> Any:
    if slot == 0:
        slot = np.int64(pools.accounts[np.int64(pools.traders[trader]["owner"])]["first_order"])
    else:
        slot = np.int64(pools.orders[slot]["account_next"])
    while not _is_own(pools, trader, slot):
        pools.state[p.LOOKED_AT] += 1
        slot = np.int64(pools.orders[slot]["account_next"])
    pools.state[p.LOOKED_AT] += 1
    return slot


@inlined
def _is_own(pools: Any, trader: Any, slot: Any) -> Any:
    order = pools.orders[slot]
    return order["trader"] == trader and pools.extras[np.int64(order["extra"])]["state"] == RESTING


@called
def list_all(pools: Any, trader: Any, count: Any) -> None:
    """Makes the list and the heaps of a trader with `count` orders in the book, unless this run has them."""
    row = pools.own_lists[trader]
    if row["run"] == sums.current_run(pools):
        return
    row["run"] = sums.current_run(pools)
    row["first"] = 0
    row["best_bid"] = 0
    row["best_ask"] = 0
    slot = np.int64(0)
    for _ in range(count):
        slot = _following_of_account(pools, trader, slot)
        _add(pools, trader, slot)


@called
def enter(pools: Any, slot: Any) -> None:
    """Notes that a triggered order has entered the book."""
    trader = np.int64(pools.orders[slot]["trader"])
    if pools.own_lists[trader]["run"] == sums.current_run(pools):
        _add(pools, trader, slot)


@inlined
def _add(pools: Any, trader: Any, slot: Any) -> None:
    row, link, order = pools.own_lists[trader], pools.own_links[slot], pools.orders[slot]
    link["price"] = prices.price_of(pools, np.int64(order["level"]))
    link["version"] = 0
    link["next"] = row["first"]
    link["left"] = 0
    link["right"] = 0
    row["first"] = slot
    if order["side"] == BUY:
        row["best_bid"] = _merge(pools, np.int64(row["best_bid"]), slot, np.int64(1))
    else:
        row["best_ask"] = _merge(pools, np.int64(row["best_ask"]), slot, np.int64(-1))


@inlined
def _following_in_list(pools: Any, trader: Any, slot: Any) -> Any:
    """Takes orders that have left the book out of the list on the way."""
    row, link = pools.own_lists[trader], pools.own_links[slot]
    while True:
        pools.state[p.LOOKED_AT] += 1
        candidate = np.int64(row["first"]) if slot == 0 else np.int64(link["next"])
        if pools.orders[candidate]["order_id"] != 0:
            return candidate
        if slot == 0:
            row["first"] = pools.own_links[candidate]["next"]
        else:
            link["next"] = pools.own_links[candidate]["next"]


@called
def _best_of_heap(pools: Any, trader: Any, count: Any, side: Any) -> Any:
    """Slot of the best order that an order of `side` would meet, 0 if there is none."""
    list_all(pools, trader, count)
    row = pools.own_lists[trader]
    slot, sign = np.int64(row["best_ask"]), np.int64(-1)
    if side != BUY:
        slot, sign = np.int64(row["best_bid"]), np.int64(1)
    while slot != 0 and pools.orders[slot]["order_id"] == 0:
        pools.state[p.LOOKED_AT] += 1
        slot = _merge(pools, np.int64(pools.own_links[slot]["left"]), np.int64(pools.own_links[slot]["right"]), sign)
    if side == BUY:
        row["best_ask"] = slot
    else:
        row["best_bid"] = slot
    return slot


@called
def _merge(pools: Any, first: Any, second: Any, sign: Any) -> Any:
    """The root of a skew heap with the orders of two. `sign`: 1 if a higher price is better, -1 if a lower one is.

    Sleator and Tarjan, Self-adjusting heaps, 1986: merging two heaps of n orders takes O(log n), amortized.
    """
    if first == 0 or second == 0:
        return first + second
    links = pools.own_links
    if sign * links[second]["price"] > sign * links[first]["price"]:
        first, second = second, first
    root, parent = first, first
    while second != 0:
        pools.state[p.LOOKED_AT] += 1
        first = np.int64(links[parent]["right"])
        links[parent]["right"] = links[parent]["left"]
        if first == 0 or sign * links[second]["price"] > sign * links[first]["price"]:
            first, second = second, first
        links[parent]["left"] = first
        parent = first
    return root
