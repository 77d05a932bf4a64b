"""Reckons what an order would take from the book, without changing it (docs/semantics.md, section 5).

The first makers are looked at one by one, which is all that most orders need. An order that would take more is reckoned
level by level: a FOK that nothing can fill must not look at every open order, and neither must 100,000 of them that are
triggered at once. Only levels at which self-trade prevention can decide, or at which the order ends, are then looked at
maker by maker.
"""

from typing import Any

import numpy as np

from matching.core.codes import AMOUNT_LIMIT
from matching.core.kernel import limits
from matching.core.kernel.compiling import called, inlined
from matching.core.kernel.constants import BUY, EXPIRE_MAKER, NO_PREVENTION
from matching.core.kernel.execution import icebergs
from matching.core.kernel.structures import book, prices
from matching.core.kernel.structures import pools as p
from matching.core.layout import RESTING


@called
def simulate_rare_fill(
    pools: Any,
    instrument_id: Any,
    trader: Any,
    own_orders: Any,
    side: Any,
    prevention: Any,
    limit: Any,
    quantity: Any,
    quote_budget: Any,
) -> Any:
    """`simulate_fill` for callers that are not market orders."""
    return simulate_fill(pools, instrument_id, trader, own_orders, side, prevention, limit, quantity, quote_budget)


@inlined
def simulate_fill(
    pools: Any,
    instrument_id: Any,
    trader: Any,
    own_orders: Any,
    side: Any,
    prevention: Any,
    limit: Any,
    quantity: Any,
    quote_budget: Any,
) -> Any:
    """(lots, cost) that an order for `quantity` lots would fill at `limit` or better.

    `trader` is 0 for an account without orders in the instrument so far, `own_orders` the number of its orders in the
    book. `prevention` is the order's self-trade prevention. `quote_budget` is what an order by quote_quantity spends or
    receives at most, -1 for other orders. The cost is in quote units; a cost over AMOUNT_LIMIT, which no balance can
    pay, is returned as AMOUNT_LIMIT + 1.
    """
    level = book.best_opposite_level(pools.instruments[instrument_id], side)
    lots = np.int64(0)
    cost = np.int64(0)
    met = np.int64(0)
    stopped = False
    most_met = _most_met(pools)
    while level != 0 and lots < quantity and not stopped:
        unit, most = _unit_and_most(pools, instrument_id, level, side, limit, quantity - lots, quote_budget, cost)
        if unit == 0:
            break
        taken, met, stopped = _take_level(pools, level, trader, prevention, most, met, most_met)
        if met >= most_met and most_met != limits.MAX_MET:
            return _simulate_levels(
                pools,
                instrument_id,
                trader,
                own_orders,
                side,
                prevention,
                limit,
                quantity,
                quote_budget,
                level,
                lots,
                cost,
            )
        if taken > (AMOUNT_LIMIT - cost) // unit:
            return lots, np.int64(AMOUNT_LIMIT + 1)
        lots += taken
        cost += taken * unit
        level = _next_level(pools, level, side)
    return lots, cost


@inlined
def _most_met(pools: Any) -> Any:
    """How many makers and pieces are looked at one by one.

    Levels do not know how many makers they have, so no order is reckoned by levels while one could meet MAX_MET.
    """
    there_are = pools.state[p.ORDER_COUNT] + pools.state[p.HIDDEN_PIECES]
    return np.int64(limits.LOOKED_AT_SINGLY) if there_are < limits.MAX_MET else np.int64(limits.MAX_MET)


@inlined
def _unit_and_most(
    pools: Any, instrument_id: Any, level: Any, side: Any, limit: Any, left: Any, quote_budget: Any, cost: Any
) -> Any:
    """(quote units of a lot at that level, lots that the order takes there at most); (0, 0) beyond its limit."""
    price = prices.price_of(pools, level)
    if (side == BUY and price > limit) or (side != BUY and price < limit):
        return np.int64(0), np.int64(0)
    unit = price * pools.instruments[instrument_id]["quote_unit"]
    return unit, min(left, (quote_budget - cost) // unit) if quote_budget >= 0 else left


@inlined
def _next_level(pools: Any, level: Any, side: Any) -> Any:
    return prices.level_above(pools, level) if side == BUY else prices.level_below(pools, level)


@called
def _simulate_levels(
    pools: Any,
    instrument_id: Any,
    trader: Any,
    own_orders: Any,
    side: Any,
    prevention: Any,
    limit: Any,
    quantity: Any,
    quote_budget: Any,
    level: Any,
    lots: Any,
    cost: Any,
) -> Any:
    """`simulate_fill` from `level` on, after `lots` and `cost` before it; the order cannot meet MAX_MET makers."""
    has_own = prevention != NO_PREVENTION and own_orders > 0
    first_own = np.int64(0)
    if has_own and prevention == EXPIRE_MAKER:
        _count_own(pools, trader, own_orders, side, np.int64(-1))
    elif has_own:
        first_own = _best_level_of_own(pools, trader, own_orders, side)
    stopped = False
    while level != 0 and lots < quantity and not stopped:
        unit, most = _unit_and_most(pools, instrument_id, level, side, limit, quantity - lots, quote_budget, cost)
        if unit == 0:
            break
        pools.state[p.LOOKED_AT] += 1
        there_are = pools.levels[level]["quantity"] + pools.hidden_lots[level]
        if level == first_own or (has_own and prevention == EXPIRE_MAKER and most <= there_are):
            taken, _, stopped = _take_level(
                pools, level, trader, prevention, most, np.int64(0), np.int64(limits.MAX_MET)
            )
        else:
            taken, stopped = min(most, there_are), most < there_are
        if taken > (AMOUNT_LIMIT - cost) // unit:
            cost = np.int64(AMOUNT_LIMIT + 1)
            break
        lots += taken
        cost += taken * unit
        level = _next_level(pools, level, side)
    if has_own and prevention == EXPIRE_MAKER:
        _count_own(pools, trader, own_orders, side, np.int64(1))
    return lots, cost


@inlined
def _count_own(pools: Any, trader: Any, own_orders: Any, side: Any, sign: Any) -> None:
    """Takes a trader's orders on the other side out of the sums of their levels (`sign` -1), or puts them back."""
    slot = np.int64(0)
    for _ in range(own_orders):
        slot = _next_own(pools, trader, slot)
        order = pools.orders[slot]
        if order["side"] != side:
            pools.levels[np.int64(order["level"])]["quantity"] += sign * order["remaining"]
            hidden = pools.extras[np.int64(order["extra"])]["hidden"]
            pools.hidden_lots[np.int64(order["level"])] += sign * hidden


@inlined
def _best_level_of_own(pools: Any, trader: Any, own_orders: Any, side: Any) -> Any:
    """The best level at which the trader has an order that an order of `side` would meet, 0 if there is none."""
    best = np.int64(0)
    best_price = np.int64(0)
    slot = np.int64(0)
    for _ in range(own_orders):
        slot = _next_own(pools, trader, slot)
        order = pools.orders[slot]
        if order["side"] != side:
            price = prices.price_of(pools, np.int64(order["level"]))
            if best == 0 or (price < best_price if side == BUY else price > best_price):
                best, best_price = np.int64(order["level"]), price
    return best


@inlined
def _next_own(pools: Any, trader: Any, slot: Any) -> Any:
    """The trader's next order in the book after that in `slot`; the first one after 0. There is one."""
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


@inlined
def _take_level(pools: Any, level: Any, trader: Any, prevention: Any, most: Any, met: Any, most_met: Any) -> Any:
    """(lots taken at one price, makers and pieces met so far, whether the order stops here).

    `most`: lots wanted. It stops as well once it has met `most_met`.
    """
    taken = np.int64(0)
    hidden = np.int64(0)
    pieces = np.int64(0)
    slot = np.int64(pools.levels[level]["head"])
    while slot != 0:
        if taken == most or met >= most_met:
            return taken, met, True
        met += 1
        pools.state[p.LOOKED_AT] += 1
        maker = pools.orders[slot]
        if prevention != NO_PREVENTION and maker["trader"] == trader:
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
                pieces += icebergs.pieces(extra["hidden"], extra["visible_quantity"])
        slot = np.int64(maker["next"])
    if hidden == 0:
        return taken, met, False
    if met + pieces <= limits.MAX_MET:
        more = min(most - taken, hidden)
        return taken + more, met + pieces, more < hidden
    return _take_pieces(pools, level, trader, prevention, most, taken, met)


@called
def _take_pieces(pools: Any, level: Any, trader: Any, prevention: Any, most: Any, taken: Any, met: Any) -> Any:
    """As `_take_level`, for hidden lots of a level in too many pieces: piece by piece, as they would be met."""
    rounds = np.int64(0)
    is_left = True
    while is_left:
        is_left = False
        slot = np.int64(pools.levels[level]["head"])
        while slot != 0:
            maker = pools.orders[slot]
            extra = pools.extras[np.int64(maker["extra"])]
            is_shown = rounds < icebergs.pieces(extra["hidden"], extra["visible_quantity"])
            own = prevention != NO_PREVENTION and maker["trader"] == trader
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
