"""Fetching ahead: memory that the next commands will need is asked for while this one is done.

It pays when the book is larger than the near caches, and costs time when it is not. All of it are hints, drawn from a
state that earlier commands may still change: nothing is written, nothing depends on them.
"""

from typing import Any

import numpy as np

from matching.core.codes import CommandKind
from matching.core.kernel.compiling import inlined
from matching.core.kernel.structures import book, prices, tables
from matching.core.kernel.structures import pools as p
from matching.core.kernel.structures.bits import prefetch

ORDER = int(CommandKind.ORDER)

LARGE = 8192
"""Open orders from which on it pays."""

FAR = 12
NEAR = 7
NEXT = 3
"""How many commands ahead: first the ways to find things, then what they lead to, then what that leads to."""


@inlined
def expect(pools: Any, commands: Any, i: Any) -> None:
    """Asks for memory of the commands after number `i`, each one stage further than before."""
    if i + FAR < len(commands):
        _expect_ways(pools, commands[i + FAR])
    if i + NEAR < len(commands):
        _expect_records(pools, commands[i + NEAR])
    if i + NEXT < len(commands):
        _expect_places(pools, commands[i + NEXT])


@inlined
def _expect_ways(pools: Any, command: Any) -> None:
    """Where the search for an order or a trader begins."""
    order_id = command["order_id"]
    if order_id > 0:
        if (order_id >> p.PAGE_BITS) < len(pools.directory):
            page = np.int64(pools.directory[order_id >> p.PAGE_BITS])
            prefetch(pools.pages, page * p.PAGE_SIZE + (order_id & (p.PAGE_SIZE - 1)))
    else:
        tables.expect_trader(pools, command["account"], np.int64(command["instrument"]))


@inlined
def _expect_records(pools: Any, command: Any) -> None:
    """What the ways lead to: the order of a cancel; the level and the client order ids that a new order meets."""
    if command["order_id"] > 0:
        slot = book.find_order(pools, command["order_id"])
        prefetch(pools.orders, slot)
    elif command["kind"] == ORDER:
        instrument_id = np.int64(command["instrument"])
        prefetch(pools.levels, prices.level_at(pools, pools.instruments[instrument_id], command["price"]))
        if command["text_hash"] != np.uint64(0):
            tables.expect_client_order(pools, command["account"], instrument_id, command["text_hash"])


@inlined
def _expect_places(pools: Any, command: Any) -> None:
    """What the command will write besides: neighbours in lists, the level of a cancelled order."""
    if command["order_id"] > 0:
        _expect_neighbours(pools, command)
    elif command["kind"] == ORDER:
        instrument = pools.instruments[np.int64(command["instrument"])]
        level = pools.levels[prices.level_at(pools, instrument, command["price"])]
        prefetch(pools.orders, np.int64(level["tail"]))


@inlined
def _expect_neighbours(pools: Any, command: Any) -> None:
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
