"""Prefetching: loads memory that the next commands will need into the CPU cache while the current one is applied.

This is faster if the engine's memory is larger than the CPU's inner caches, and slower if it is not. These are only
hints, derived from state that earlier commands may still change: no result depends on them. The trader of a new order,
or the slot of an order to cancel, is noted in `pools.ahead`, so that the command itself need not look it up again; it
checks what it finds there.
"""

from typing import Any

import numpy as np

from matching.core.kernel.compiling import called, inlined
from matching.core.kernel.constants import ORDER
from matching.core.kernel.funds import paying_balance
from matching.core.kernel.structures import book, prices, tables
from matching.core.kernel.structures import pools as p
from matching.core.kernel.structures.bits import prefetch

MIN_OPEN_ORDERS = 1024
"""Prefetching is used in blocks that begin with more open orders than this.

With 5,000 open orders, the table of client order ids alone takes half of an inner cache of 1 MiB, beside the orders and
the blocks.
"""

INDEX_DISTANCE = 12
RECORD_DISTANCE = 9
PLACE_DISTANCE = 6
NEIGHBOUR_DISTANCE = 3
"""Commands ahead of the current one for the four stages: each loads what the stage before it has prefetched."""


@called
def prefetch_first(pools: Any, commands: Any, first: Any) -> None:
    """Runs the stages that `prefetch_ahead` does not run for the first commands, from number `first` on."""
    end = len(commands)
    for i in range(first, min(first + INDEX_DISTANCE, end)):
        _prefetch_index_entry(pools, commands[np.uint32(i)])
    for i in range(first, min(first + RECORD_DISTANCE, end)):
        _prefetch_record(pools, commands[np.uint32(i)], i)
    for i in range(first, min(first + PLACE_DISTANCE, end)):
        _prefetch_places(pools, commands[np.uint32(i)], i)
    for i in range(first, min(first + NEIGHBOUR_DISTANCE, end)):
        _prefetch_neighbours(pools, commands[np.uint32(i)], i)


@inlined
def prefetch_ahead(pools: Any, commands: Any, i: Any) -> None:
    """Runs one prefetch stage for each of four commands after number `i`."""
    if i + INDEX_DISTANCE < len(commands):
        _prefetch_index_entry(pools, commands[np.uint32(i + INDEX_DISTANCE)])
    if i + RECORD_DISTANCE < len(commands):
        _prefetch_record(pools, commands[np.uint32(i + RECORD_DISTANCE)], i + RECORD_DISTANCE)
    if i + PLACE_DISTANCE < len(commands):
        _prefetch_places(pools, commands[np.uint32(i + PLACE_DISTANCE)], i + PLACE_DISTANCE)
    if i + NEIGHBOUR_DISTANCE < len(commands):
        _prefetch_neighbours(pools, commands[np.uint32(i + NEIGHBOUR_DISTANCE)], i + NEIGHBOUR_DISTANCE)


@inlined
def _noted_at(i: Any) -> Any:
    """Index in `pools.ahead` of the order or trader of command number `i`; AHEAD further is its price level."""
    return np.int64(np.uint32(i) & np.uint32(p.AHEAD - 1))


@inlined
def noted(pools: Any, i: Any) -> Any:
    """Slot of the order that command number `i` cancels, or the trader of its new order; a hint, 0 if not known."""
    return np.int64(pools.ahead[_noted_at(i)])


@inlined
def _prefetch_index_entry(pools: Any, command: Any) -> None:
    """The index entry by which the order or trader will be found."""
    order_id = command["order_id"]
    if order_id > 0:
        if (order_id >> p.PAGE_BITS) < len(pools.directory):
            page = np.int64(pools.directory[order_id >> p.PAGE_BITS])
            prefetch(pools.pages, page * p.PAGE_SIZE + (order_id & (p.PAGE_SIZE - 1)))
    else:
        tables.prefetch_trader_entry(pools, command["account"], np.int64(command["instrument"]))


@inlined
def _prefetch_record(pools: Any, command: Any, i: Any) -> None:
    """The order or trader that the index entry names."""
    if command["order_id"] > 0:
        slot = book.find_order(pools, command["order_id"])
        pools.ahead[_noted_at(i)] = slot
        prefetch(pools.orders, slot)
    else:
        tables.prefetch_trader(pools, command["account"], np.int64(command["instrument"]))


@inlined
def _prefetch_places(pools: Any, command: Any, i: Any) -> None:
    """What the order or trader names; the price level of a new order and the entry of its client order id."""
    if command["order_id"] > 0:
        _prefetch_around_order(pools, noted(pools, i))
    else:
        instrument_id = np.int64(command["instrument"])
        trader = tables.find_trader(pools, command["account"], instrument_id)
        pools.ahead[_noted_at(i)] = trader
        if command["kind"] == ORDER:
            row = pools.traders[trader]
            prefetch(pools.accounts, np.int64(row["owner"]))
            prefetch(pools.balances, paying_balance(row, np.int64(command["side"])))
            level = prices.find_level_or_unused(pools, pools.instruments[instrument_id], command["price"])
            pools.ahead[p.AHEAD + _noted_at(i)] = level
            prefetch(pools.levels, level)
            tables.prefetch_client_order(pools, trader, command["text_hash"])


@inlined
def _prefetch_around_order(pools: Any, slot: Any) -> None:
    order = pools.orders[slot]
    prefetch(pools.traders, np.int64(order["trader"]))
    prefetch(pools.levels, np.int64(order["level"]))
    prefetch(pools.orders, np.int64(order["previous"]))
    prefetch(pools.orders, np.int64(order["next"]))
    prefetch(pools.orders, np.int64(order["account_previous"]))
    prefetch(pools.orders, np.int64(order["account_next"]))
    tables.prefetch_client_order(pools, np.int64(order["trader"]), order["text_hash"])


@inlined
def prefetch_maker(pools: Any, maker: Any) -> None:
    """What a maker's trade will need last: the entry of its client order id, and the maker behind it."""
    prefetch(pools.orders, np.int64(maker["next"]))
    tables.prefetch_client_order(pools, np.int64(maker["trader"]), maker["text_hash"])


@inlined
def _prefetch_neighbours(pools: Any, command: Any, i: Any) -> None:
    """The orders after which a new order is queued; the account and the balance of a cancelled one."""
    if command["order_id"] > 0:
        order = pools.orders[noted(pools, i)]
        row = pools.traders[np.int64(order["trader"])]
        prefetch(pools.accounts, np.int64(row["owner"]))
        prefetch(pools.balances, paying_balance(row, np.int64(order["side"])))
    elif command["kind"] == ORDER:
        level = pools.levels[np.int64(pools.ahead[p.AHEAD + _noted_at(i)])]
        prefetch(pools.orders, np.int64(level["tail"]))
        owner = np.int64(pools.traders[noted(pools, i)]["owner"])
        prefetch(pools.orders, np.int64(pools.accounts[owner]["last_order"]))
