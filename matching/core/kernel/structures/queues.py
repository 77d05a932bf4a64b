"""Reads the book in price-time priority: best price first, oldest order first at a price."""

from typing import Any

import numpy as np

from matching.core.kernel.compiling import inlined
from matching.core.kernel.constants import BUY
from matching.core.kernel.structures import prices


@inlined
def list_slots(pools: Any, instrument_id: Any, side: Any, slots: Any) -> Any:
    """Writes the slots of one side's orders in price-time priority to `slots`. Returns their number."""
    instrument = pools.instruments[instrument_id]
    level = np.int64(instrument["best_bid_level"]) if side == BUY else np.int64(instrument["best_ask_level"])
    count = np.int64(0)
    while level != 0:
        slot = np.int64(pools.levels[level]["head"])
        while slot != 0:
            slots[count] = slot
            count += 1
            slot = np.int64(pools.orders[slot]["next"])
        level = prices.level_below(pools, level) if side == BUY else prices.level_above(pools, level)
    return count


@inlined
def list_levels(pools: Any, instrument_id: Any, side: Any, rows: Any) -> Any:
    """Writes (price, lots) of the best levels of one side to `rows`, an int64[n, 2]. Returns their number."""
    instrument = pools.instruments[instrument_id]
    level = np.int64(instrument["best_bid_level"]) if side == BUY else np.int64(instrument["best_ask_level"])
    count = np.int64(0)
    while level != 0 and count < len(rows):
        rows[count, 0] = prices.price_of(pools, level)
        rows[count, 1] = pools.levels[level]["quantity"]
        count += 1
        level = prices.level_below(pools, level) if side == BUY else prices.level_above(pools, level)
    return count
