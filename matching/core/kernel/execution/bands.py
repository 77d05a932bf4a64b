"""Price bands: how far from the last trade price an order may trade or be placed."""

from typing import Any

import numpy as np

from matching.core.kernel import funds
from matching.core.kernel.compiling import inlined
from matching.core.kernel.constants import BUY
from matching.core.kernel.structures import pools as p
from matching.core.layout import NO_ASK


@inlined
def reference_price(pools: Any, instrument: Any) -> Any:
    """The price of the instrument's last trade before the current command, 0 if there is none."""
    is_traded_now = instrument["traded_in"] == pools.state[p.NEXT_COMMAND_SEQUENCE]
    return instrument["reference_price"] if is_traded_now else instrument["last_price"]


@inlined
def bounds(pools: Any, instrument: Any) -> Any:
    """(lowest, highest) price in ticks; (0, NO_ASK) without a band."""
    price = reference_price(pools, instrument)
    rate = np.int64(instrument["price_band"])
    if rate == 0 or price == 0:
        return np.int64(0), np.int64(NO_ASK)
    # ceil(L × (10^6 − b) / 10^6) = L − floor(L × b / 10^6), and no product overflows.
    width = max(np.int64(1), funds.fee(price, rate))
    return price - width, price + width


@inlined
def worst_price(pools: Any, instrument: Any, side: Any) -> Any:
    """The worst price at which an order that is held to the band may trade; one that no maker has if it meets nobody.

    It meets nobody if the best maker is outside the band, on either side: the order ends there.
    """
    lowest, highest = bounds(pools, instrument)
    if side == BUY:
        return highest if instrument["best_ask"] >= lowest else np.int64(0)
    return lowest if instrument["best_bid"] <= highest else np.int64(NO_ASK)


@inlined
def excludes(pools: Any, instrument: Any, price: Any) -> Any:
    """Whether the price is outside the band."""
    lowest, highest = bounds(pools, instrument)
    return price < lowest or price > highest
