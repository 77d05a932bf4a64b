"""The matching kernel: applies COMMAND records to preallocated memory and writes EVENT records.

Does not import Django, sockets or drivers. Modules, from the entry point down; those marked with * are in `execution`:

- `calling`: the entry points for Python
- `commands`: applies each kind of command
- `orders`*, `triggers`*, `lists`*: places limit and market orders, orders that wait for a trigger, one-cancels-others
- `cancels`*, `replaces`*: cancels and replaces open orders
- `funding`: deposits and withdrawals
- `effects`: applies events of earlier record layouts
- `settings`: status and fees of accounts, limits of instruments
- `validation`*: order validation
- `crossing`*: matches an incoming order against the book; `reckoning`*: simulates that without a change, for triggered
  orders by the `sums`* of whole parts of the book and the lists of `own_orders`*
- `closing`*: cancels orders; `icebergs`*: shows orders piece by piece; `bands`*: price bands
- `funds`: balances, locks and fees
- `events`: writes event records
- `records`: checks command records before they are sequenced
- `structures`: memory pools (`pools`) and where they are (`addresses`), the order book (`book`), orders that wait for a
  trigger (`waiting`), what only some orders have (`extras`), price levels (`prices`), hash tables (`tables`), bit
  operations (`bits`), prefetching (`prefetch`), reading the book in price-time order (`queues`), finding records for
  readers (`finding`)
- `limits`: how much work a command may cause; `constants`: codes as plain integers, as Numba wants them
- `compiling`: how Numba compiles and caches the above
"""

import sys

import numpy as np
from numba import config

from matching.core import layout
from matching.core.kernel.calling import (
    apply_events,
    find_account,
    find_balance,
    find_order,
    find_trader,
    list_levels,
    list_slots,
    open_balance,
    process,
)
from matching.core.kernel.compiling import CACHE_FOLDER
from matching.core.kernel.records import first_fault
from matching.core.kernel.structures.pools import Pools, empty_pools, reserve, with_asset, with_instrument

__all__ = [
    "Pools",
    "apply_events",
    "compile_now",
    "empty_pools",
    "find_account",
    "find_balance",
    "find_order",
    "find_trader",
    "first_fault",
    "list_levels",
    "list_slots",
    "open_balance",
    "process",
    "reserve",
    "with_asset",
    "with_instrument",
]


def compile_now() -> None:
    """Loads the kernel from the cache. If it has to be compiled, prints a notice on standard error first."""
    if not config.DISABLE_JIT and not any(CACHE_FOLDER.rglob("calling.process_at-*.nbi")):
        sys.stderr.write(
            "Compiling the matching kernel for this machine. This takes about a minute and is done once.\n"
        )
        sys.stderr.flush()
    pools = with_asset(with_instrument(empty_pools(), 0, np.zeros(1, layout.INSTRUMENT)), 0)
    open_balance(pools, 0, 0)
    first_fault(np.zeros(0, layout.COMMAND), 0, 0, 0)
    process(np.zeros(0, layout.COMMAND), np.zeros(0, layout.EVENT), np.zeros(0, np.uint8), pools, 0, 0, 0)
    list_slots(pools, 0, 0, np.zeros(0, np.int64))
    list_levels(pools, 0, 0, np.zeros((0, 2), np.int64))
    find_account(pools, 0)
    find_balance(pools, 0, 0)
    find_trader(pools, 0, 0)
    find_order(pools, 0)
