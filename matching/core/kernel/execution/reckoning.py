"""Reckons what an order would take from the book, without changing it (docs/semantics.md, section 5).

The first makers are looked at one by one, which is all that most orders need. An order that would take more is reckoned
level by level: a FOK that nothing can fill must not look at every open order, and neither must 100,000 of them that are
triggered at once. Only levels at which self-trade prevention can decide, or at which the order ends, are then looked at
maker by maker. A triggered order passes over whole leaves and nodes of the book (`sums`).
"""

from typing import Any

import numpy as np

from matching.core.codes import AMOUNT_LIMIT
from matching.core.kernel import limits
from matching.core.kernel.compiling import called, inlined
from matching.core.kernel.constants import BUY, EXPIRE_MAKER, NO_PREVENTION
from matching.core.kernel.execution import icebergs, sums
from matching.core.kernel.execution import own_orders as own
from matching.core.kernel.structures import book, prices
from matching.core.kernel.structures import pools as p


@called
def is_fillable(
    pools: Any,
    instrument_id: Any,
    trader: Any,
    own_orders: Any,
    side: Any,
    prevention: Any,
    limit: Any,
    quantity: Any,
    triggered: Any,
) -> Any:
    """Whether an order would fill `quantity` lots at `limit` or better. See `simulate_fill`, `simulate_triggered_fill`.

    If all of the book is not enough, that so many makers are met that the work limit decides, is of no interest.
    """
    no_budget = np.int64(-1)
    if _most_met(pools, quantity, own_orders) == limits.MAX_MET:
        level = book.best_opposite_level(pools.instruments[instrument_id], side)
        lots, _ = _simulate_levels(
            pools,
            instrument_id,
            trader,
            own_orders,
            side,
            prevention,
            limit,
            quantity,
            no_budget,
            level,
            np.int64(0),
            np.int64(0),
            triggered,
            True,
        )
        if lots < quantity:
            return False
    lots, _ = _simulate_fill(
        pools, instrument_id, trader, own_orders, side, prevention, limit, quantity, no_budget, triggered, True
    )
    return lots == quantity


@called
def simulate_triggered_fill(
    pools: Any,
    instrument_id: Any,
    trader: Any,
    own_orders: Any,
    side: Any,
    prevention: Any,
    limit: Any,
    quantity: Any,
) -> Any:
    """`simulate_fill` for an order by quantity that was taken out of the queue of triggered orders."""
    return _simulate_fill(
        pools,
        instrument_id,
        trader,
        own_orders,
        side,
        prevention,
        limit,
        quantity,
        np.int64(-1),
        True,
        False,
    )


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
    return _simulate_fill(
        pools, instrument_id, trader, own_orders, side, prevention, limit, quantity, quote_budget, False, False
    )


@inlined
def _simulate_fill(
    pools: Any,
    instrument_id: Any,
    trader: Any,
    own_orders: Any,
    side: Any,
    prevention: Any,
    limit: Any,
    quantity: Any,
    quote_budget: Any,
    triggered: Any,
    only_whole: Any,
) -> Any:
    """`only_whole`: less than the order would fill may be returned if it would not fill `quantity`."""
    level = book.best_opposite_level(pools.instruments[instrument_id], side)
    lots = np.int64(0)
    cost = np.int64(0)
    met = np.int64(0)
    stopped = False
    most_met = _most_met(pools, quantity, own_orders)
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
                triggered,
                only_whole,
            )
        if taken > (AMOUNT_LIMIT - cost) // unit:
            return lots, np.int64(AMOUNT_LIMIT + 1)
        lots += taken
        cost += taken * unit
        level = _next_level(pools, level, side)
    return lots, cost


@inlined
def _most_met(pools: Any, quantity: Any, own_orders: Any) -> Any:
    """How many makers and pieces are looked at one by one.

    Levels do not know how many makers they have, so no order is reckoned by levels while one could meet MAX_MET: each
    that it meets is its own, or gives a lot or more.
    """
    there_are = pools.state[p.ORDER_COUNT] + pools.state[p.HIDDEN_PIECES]
    is_small = there_are < limits.MAX_MET or quantity < limits.MAX_MET - own_orders
    return np.int64(limits.LOOKED_AT_SINGLY) if is_small else np.int64(limits.MAX_MET)


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
    triggered: Any,
    only_whole: Any,
) -> Any:
    """`_simulate_fill` from `level` on, after `lots` and `cost` before it, as if it could meet any number of makers."""
    quote_unit = pools.instruments[instrument_id]["quote_unit"]
    has_own = prevention != NO_PREVENTION and own_orders > 0
    own_slot = np.int64(0)
    if has_own and prevention == EXPIRE_MAKER:
        _count_own(pools, trader, own_orders, side, np.int64(-1), quote_unit, triggered)
    elif has_own:
        own_slot = own.best(pools, trader, own_orders, side, triggered)
    first_own = np.int64(pools.orders[own_slot]["level"]) if own_slot != 0 else np.int64(0)
    bound = _bound(pools, first_own, side, limit)
    stopped = False
    while level != 0 and lots < quantity and not stopped:
        unit, most = _unit_and_most(pools, instrument_id, level, side, limit, quantity - lots, quote_budget, cost)
        if unit == 0:
            break
        pools.state[p.LOOKED_AT] += 1
        shown = pools.levels[level]["quantity"]
        there_are = shown + pools.hidden_lots[level]
        if level == first_own and only_whole and shown <= most:
            break  # one lot of these is its own
        if level == first_own:
            taken, stopped = _take_before_own(pools, level, trader, prevention, most, own_slot, quote_unit, triggered)
        elif has_own and most == there_are and quote_budget >= 0:
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
        following = _next_level(pools, level, side)
        if triggered and following >> 6 != level >> 6:
            following, lots, cost = sums.pass_whole(
                pools, quote_unit, side, level, following, bound, quantity, lots, cost
            )
        level = following
    if has_own and prevention == EXPIRE_MAKER:
        _count_own(pools, trader, own_orders, side, np.int64(1), quote_unit, triggered)
    return lots, cost


@called
def _take_before_own(
    pools: Any,
    level: Any,
    trader: Any,
    prevention: Any,
    most: Any,
    own_slot: Any,
    quote_unit: Any,
    triggered: Any,
) -> Any:
    """(lots taken, True): as `_take_level` at the level of the order's first own one, the trader's in `own_slot`."""
    lots = own.lots_before(pools, own_slot) if triggered else np.int64(-1)
    if lots < 0:
        lots, _, _ = _take_level(pools, level, trader, prevention, most, np.int64(0), np.int64(limits.MAX_MET))
        if triggered and lots < most:
            own.note_lots_before(pools, own_slot, lots, quote_unit)
    return min(lots, most), True


@inlined
def _bound(pools: Any, first_own: Any, side: Any, limit: Any) -> Any:
    """The worst price at which an order takes all that there is: better than the best one of its own, 0 if none."""
    if first_own == 0:
        return limit
    price = prices.price_of(pools, first_own)
    return min(limit, price - 1) if side == BUY else max(limit, price + 1)


@inlined
def _count_own(pools: Any, trader: Any, own_orders: Any, side: Any, sign: Any, quote_unit: Any, triggered: Any) -> None:
    """Takes a trader's orders on the other side out of the sums of their levels (`sign` -1), or puts them back."""
    if triggered:
        own.list_all(pools, trader, own_orders)
    slot = np.int64(0)
    for _ in range(own_orders):
        slot = own.following(pools, trader, slot, triggered)
        order = pools.orders[slot]
        if order["side"] != side:
            level = np.int64(order["level"])
            hidden = pools.extras[np.int64(order["extra"])]["hidden"]
            pools.levels[level]["quantity"] += sign * order["remaining"]
            pools.hidden_lots[level] += sign * hidden
            if triggered:
                sums.change(pools, level, sign * (order["remaining"] + hidden), quote_unit)


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
