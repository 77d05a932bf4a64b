"""Prefetching: loads memory that the next commands will need into the CPU cache while the current one is applied.

This is faster if the engine's memory is larger than the CPU's inner caches, and slower if it is not. These are only
hints, derived from state that earlier commands may still change: nothing is written, and no result depends on them.
"""

from typing import Any

import numpy as np

from matching.core.kernel.compiling import inlined
from matching.core.kernel.constants import ORDER
from matching.core.kernel.structures import book, prices, tables
from matching.core.kernel.structures import pools as p
from matching.core.kernel.structures.bits import prefetch

MIN_OPEN_ORDERS = 1024
"""Prefetching is used in blocks that begin with more open orders than this.

With 5,000 open orders, the table of client order ids alone takes half of an inner cache of 1 MiB, beside the orders and
the blocks.
"""

INDEX_DISTANCE = 12
RECORD_DISTANCE = 7
NEIGHBOUR_DISTANCE = 3
"""Commands ahead of the current one for the three stages: index entries, the records found there, their neighbours."""


@inlined
def prefetch_ahead(pools: Any, commands: Any, i: Any) -> None:
    """Runs one prefetch stage for each of three commands after number `i`."""
    if i + INDEX_DISTANCE < len(commands):
        _prefetch_index_entries(pools, commands[np.uint32(i + INDEX_DISTANCE)])
    if i + RECORD_DISTANCE < len(commands):
        _prefetch_records(pools, commands[np.uint32(i + RECORD_DISTANCE)])
    if i + NEIGHBOUR_DISTANCE < len(commands):
        _prefetch_neighbours(pools, commands[np.uint32(i + NEIGHBOUR_DISTANCE)])


@inlined
def _prefetch_index_entries(pools: Any, command: Any) -> None:
    """The index entry by which the order or trader will be found."""
    order_id = command["order_id"]
    if order_id > 0:
        if (order_id >> p.PAGE_BITS) < len(pools.directory):
            page = np.int64(pools.directory[order_id >> p.PAGE_BITS])
            prefetch(pools.pages, page * p.PAGE_SIZE + (order_id & (p.PAGE_SIZE - 1)))
    else:
        tables.prefetch_trader(pools, command["account"], np.int64(command["instrument"]))


@inlined
def _prefetch_records(pools: Any, command: Any) -> None:
    """The order of a cancel; the price level and the client order id entry of a new order."""
    if command["order_id"] > 0:
        slot = book.find_order(pools, command["order_id"])
        prefetch(pools.orders, slot)
    elif command["kind"] == ORDER:
        instrument_id = np.int64(command["instrument"])
        prefetch(pools.levels, prices.find_level_or_unused(pools, pools.instruments[instrument_id], command["price"]))
        if command["text_hash"] != np.uint64(0):
            tables.prefetch_client_order(pools, command["account"], instrument_id, command["text_hash"])


@inlined
def _prefetch_neighbours(pools: Any, command: Any) -> None:
    """What the command will also write: neighbours in lists, the price level of a cancelled order."""
    if command["order_id"] > 0:
        _prefetch_around_order(pools, command)
    elif command["kind"] == ORDER:
        instrument = pools.instruments[np.int64(command["instrument"])]
        level = pools.levels[prices.find_level_or_unused(pools, instrument, command["price"])]
        prefetch(pools.orders, np.int64(level["tail"]))


@inlined
def _prefetch_around_order(pools: Any, command: Any) -> None:
    slot = book.find_order(pools, command["order_id"])
    order = pools.orders[slot]
    prefetch(pools.traders, np.int64(order["trader"]))
    prefetch(pools.levels, np.int64(order["level"]))
    prefetch(pools.orders, np.int64(order["previous"]))
    prefetch(pools.orders, np.int64(order["next"]))
    prefetch(pools.orders, np.int64(order["account_previous"]))
    prefetch(pools.orders, np.int64(order["account_next"]))
    table = pools.client_order_table
    key = tables.client_order_key(np.int64(order["trader"]), order["text_hash"])
    prefetch(table, key >> tables.shift_of(table))
