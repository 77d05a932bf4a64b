"""The deterministic core: commands and memory in, events out. Knows neither Django nor a socket nor a driver.

Rooms, from the entry down: `calling` (how Python gets in), `commands` (what each command does), `judgement` (what
speaks against an order), `funding` (deposits and withdrawals), `ahead` (fetching what the next commands will need),
`crossing` (taker meets book), `book` (an order's places), `prices` (levels), `funds` (balances, fees), `tables` (hash
tables), `bits`; `pools` is the memory they share, `events` how results are written, `records` what is looked at
before a command is sequenced, `queues` how the book is read, `compiling` how all of it becomes machine code.
"""

import sys

import numpy as np
from numba import config

from matching.core import layout
from matching.core.kernel.calling import process
from matching.core.kernel.compiling import CACHE_FOLDER
from matching.core.kernel.funds import open_balance
from matching.core.kernel.records import first_fault
from matching.core.kernel.structures.pools import Pools, empty_pools, reserve, with_asset, with_instrument
from matching.core.kernel.structures.queues import list_levels, list_slots

__all__ = [
    "Pools",
    "compile_now",
    "empty_pools",
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
    """Loads the kernel from the cache, or compiles it and says so on standard error."""
    if not config.DISABLE_JIT and not any(CACHE_FOLDER.rglob("calling.process_at-*.nbi")):
        sys.stderr.write("Compiling the matching kernel for this machine: about half a minute, once.\n")
        sys.stderr.flush()
    pools = with_asset(with_instrument(empty_pools(), np.zeros(1, layout.INSTRUMENT)))
    open_balance(pools, 0, 0)
    first_fault(np.zeros(0, layout.COMMAND), 0, 0, 0)
    process(np.zeros(0, layout.COMMAND), np.zeros(0, layout.EVENT), pools)
    list_slots(pools, 0, 0, np.zeros(0, np.int64))
    list_levels(pools, 0, 0, np.zeros((0, 2), np.int64))
