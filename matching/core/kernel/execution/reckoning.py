"""Reckons what an order would take from the book, without changing it (docs/semantics.md, section 5)."""

from typing import Any

import numpy as np

from matching.core.codes import AMOUNT_LIMIT
from matching.core.kernel import limits
from matching.core.kernel.compiling import called, inlined
from matching.core.kernel.constants import BUY, EXPIRE_MAKER, NO_PREVENTION
from matching.core.kernel.structures import book, prices
from matching.core.kernel.structures import pools as p


@called
def simulate_rare_fill(
    pools: Any,
    instrument_id: Any,
    account: Any,
    side: Any,
    prevention: Any,
    limit: Any,
    quantity: Any,
    quote_budget: Any,
) -> Any:
    """`simulate_fill` for callers that are not market orders."""
    return simulate_fill(pools, instrument_id, account, side, prevention, limit, quantity, quote_budget)


@inlined
def simulate_fill(
    pools: Any,
    instrument_id: Any,
    account: Any,
    side: Any,
    prevention: Any,
    limit: Any,
    quantity: Any,
    quote_budget: Any,
) -> Any:
    """(lots, cost) that an order for `quantity` lots would fill at `limit` or better.

    `prevention` is the order's self-trade prevention. `quote_budget` is what an order by quote_quantity spends or
    receives at most, -1 for other orders. The cost is in quote units; a cost over AMOUNT_LIMIT, which no balance can
    pay, is returned as AMOUNT_LIMIT + 1.
    """
    instrument = pools.instruments[instrument_id]
    level = book.best_opposite_level(instrument, side)
    lots = np.int64(0)
    cost = np.int64(0)
    met = np.int64(0)
    stopped = False
    while level != 0 and lots < quantity and not stopped:
        price = prices.price_of(pools, level)
        if (side == BUY and price > limit) or (side != BUY and price < limit):
            break
        unit = price * instrument["quote_unit"]
        most = quantity - lots
        if quote_budget >= 0:
            most = min(most, (quote_budget - cost) // unit)
        taken, met, stopped = _take_level(pools, level, account, prevention, most, met)
        if taken > (AMOUNT_LIMIT - cost) // unit:
            return lots, np.int64(AMOUNT_LIMIT + 1)
        lots += taken
        cost += taken * unit
        level = prices.level_above(pools, level) if side == BUY else prices.level_below(pools, level)
    return lots, cost


@inlined
def _take_level(pools: Any, level: Any, account: Any, prevention: Any, most: Any, met: Any) -> Any:
    """(lots taken at one price, makers and pieces met so far, whether the order stops here). `most`: lots wanted."""
    taken = np.int64(0)
    hidden = np.int64(0)
    pieces = np.int64(0)
    slot = np.int64(pools.levels[level]["head"])
    while slot != 0:
        if taken == most or met == limits.MAX_MET:
            return taken, met, True
        met += 1
        pools.state[p.LOOKED_AT] += 1
        maker = pools.orders[slot]
        if prevention != NO_PREVENTION and pools.traders[np.int64(maker["trader"])]["account"] == account:
            if prevention != EXPIRE_MAKER:
                return taken, met, True
        else:
            given = min(most - taken, maker["remaining"])
            taken += given
            if given < maker["remaining"]:
                return taken, met, True
            if maker["extra"] != 0:
                extra = pools.extras[np.int64(maker["extra"])]
                hidden += extra["hidden"]
                pieces += _pieces(extra["hidden"], extra["visible_quantity"])
        slot = np.int64(maker["next"])
    if hidden == 0:
        return taken, met, False
    if met + pieces <= limits.MAX_MET:
        more = min(most - taken, hidden)
        return taken + more, met + pieces, more < hidden
    return _take_pieces(pools, level, account, prevention, most, taken, met)


@inlined
def _pieces(hidden: Any, visible_quantity: Any) -> Any:
    return (hidden - 1) // visible_quantity + 1 if hidden > 0 else np.int64(0)


@called
def _take_pieces(pools: Any, level: Any, account: Any, prevention: Any, most: Any, taken: Any, met: Any) -> Any:
    """As `_take_level`, for hidden lots of a level in too many pieces: piece by piece, as they would be met."""
    rounds = np.int64(0)
    is_left = True
    while is_left:
        is_left = False
        slot = np.int64(pools.levels[level]["head"])
        while slot != 0:
            maker = pools.orders[slot]
            extra = pools.extras[np.int64(maker["extra"])]
            is_shown = rounds < _pieces(extra["hidden"], extra["visible_quantity"])
            own = prevention != NO_PREVENTION and pools.traders[np.int64(maker["trader"])]["account"] == account
            if is_shown and not own:
                if taken == most or met == limits.MAX_MET:
                    return taken, met, True
                met += 1
                left = extra["hidden"] - rounds * extra["visible_quantity"]
                shown = min(left, extra["visible_quantity"])
                given = min(most - taken, shown)
                taken += given
                if given < shown:
                    return taken, met, True
                is_left = True
            slot = np.int64(maker["next"])
        rounds += 1
    return taken, met, False
