"""Matches an incoming order (the taker) against the book (docs/semantics.md, sections 5 and 6)."""

from typing import Any

import numpy as np

from matching.core.codes import AMOUNT_LIMIT
from matching.core.kernel import events, funds
from matching.core.kernel.compiling import inlined
from matching.core.kernel.constants import BUY, EXPIRE_MAKER, EXPIRE_TAKER, NO_PREVENTION, SELF_TRADE, SELL
from matching.core.kernel.structures import book, prices
from matching.core.kernel.structures import pools as p
from matching.core.layout import NO_ASK

ANY_QUANTITY = NO_ASK
"""Quantity of an order that is bounded by its quote budget only."""


@inlined
def best_opposite_level(instrument: Any, side: Any) -> Any:
    """The best price level of the opposite side, 0 if that side is empty."""
    ask, bid = np.int64(instrument["best_ask_level"]), np.int64(instrument["best_bid_level"])
    return ask if side == BUY else bid


@inlined
def crosses(instrument: Any, side: Any, price: Any) -> Any:
    """Whether an order at that price would match an order of the opposite side."""
    # An empty side has best_ask NO_ASK or best_bid 0, which no limit price reaches.
    meets_ask, meets_bid = price >= instrument["best_ask"], price <= instrument["best_bid"]
    return meets_ask if side == BUY else meets_bid


@inlined
def simulate_fill(
    pools: Any, instrument_id: Any, account: Any, side: Any, prevention: Any, limit: Any, quantity: Any
) -> Any:
    """(lots, cost) that an order for `quantity` lots would fill at `limit` or better, without changing the book.

    `prevention` is the order's self-trade prevention. The cost is in quote units; a cost over AMOUNT_LIMIT, which no
    balance can pay, is returned as AMOUNT_LIMIT + 1.
    """
    instrument = pools.instruments[instrument_id]
    quote_unit = instrument["quote_unit"]
    level = best_opposite_level(instrument, side)
    lots = np.int64(0)
    cost = np.int64(0)
    while level != 0 and lots < quantity:
        price = prices.price_of(pools, level)
        if (side == BUY and price > limit) or (side == SELL and price < limit):
            break
        slot = np.int64(pools.levels[level]["head"])
        while slot != 0 and lots < quantity:
            pools.state[p.LOOKED_AT] += 1
            maker = pools.orders[slot]
            taken = min(quantity - lots, maker["remaining"])
            if prevention != NO_PREVENTION and pools.traders[np.int64(maker["trader"])]["account"] == account:
                if prevention != EXPIRE_MAKER:
                    return lots, cost
                taken = np.int64(0)
            notional = taken * price * quote_unit
            if notional > AMOUNT_LIMIT - cost:
                return lots, np.int64(AMOUNT_LIMIT + 1)
            lots += taken
            cost += notional
            slot = np.int64(maker["next"])
        level = prices.level_above(pools, level) if side == BUY else prices.level_below(pools, level)
    return lots, cost


@inlined
def match(
    pools: Any,
    rows: Any,
    count: Any,
    instrument_id: Any,
    order_id: Any,
    trader: Any,
    side: Any,
    prevention: Any,
    limit: Any,
    quantity: Any,
    quote_budget: Any,
) -> Any:
    """Trades an order against the book until it is filled, nothing more crosses, or self-trade prevention expires it.

    `limit` is the worst acceptable price, NO_ASK for a market buy. `quote_budget` is the quote units that an order by
    quote_quantity may spend, -1 for other orders. The order's funds are locked already.
    Returns (count, remaining lots, remaining quote budget, whether the taker expired).
    """
    instrument = pools.instruments[instrument_id]
    quote_unit = instrument["quote_unit"]
    account = pools.traders[trader]["account"]
    while quantity > 0:
        level = best_opposite_level(instrument, side)
        if level == 0 or not crosses(instrument, side, limit):
            break
        price = prices.price_of(pools, level)
        slot = np.int64(pools.levels[level]["head"])
        maker = pools.orders[slot]
        lots = min(quantity, maker["remaining"])
        if quote_budget >= 0:
            lots = min(lots, quote_budget // (price * quote_unit))
            if lots == 0:
                break
        if prevention != NO_PREVENTION and pools.traders[np.int64(maker["trader"])]["account"] == account:
            if prevention != EXPIRE_TAKER:
                count = cancel_resting(pools, rows, count, instrument_id, slot, price, SELF_TRADE)
            if prevention != EXPIRE_MAKER:
                return count, quantity, quote_budget, True
            continue
        count = _trade(pools, rows, count, instrument_id, order_id, trader, side, limit, slot, price, lots)
        maker["filled"] += lots
        maker["remaining"] -= lots
        pools.levels[level]["quantity"] -= lots
        if maker["remaining"] == 0:
            book.dequeue(pools, instrument, slot)
            book.release(pools, slot)
        quantity -= lots
        if quote_budget >= 0:
            quote_budget -= lots * price * quote_unit
    return count, quantity, quote_budget, False


@inlined
def locked_amount(instrument: Any, side: Any, price: Any, lots: Any) -> Any:
    """What an open order locks: quote units for a buy at its limit price, base units for a sell."""
    quote, base = lots * price * instrument["quote_unit"], lots * instrument["lot_units"]
    return quote if side == BUY else base


@inlined
def paying_balance(trader_row: Any, side: Any) -> Any:
    quote, base = np.int64(trader_row["quote_balance"]), np.int64(trader_row["base_balance"])
    return quote if side == BUY else base


@inlined
def cancel(
    pools: Any,
    rows: Any,
    count: Any,
    instrument_id: Any,
    order_id: Any,
    trader: Any,
    side: Any,
    price: Any,
    remaining: Any,
    reason: Any,
) -> Any:
    """Cancels an order with `remaining` open lots: unlocks their funds and writes the event."""
    row = pools.traders[trader]
    amount = locked_amount(pools.instruments[instrument_id], side, price, remaining)
    funds.lock(pools, paying_balance(row, side), -amount)
    return events.write(
        pools,
        rows,
        count,
        events.ORDER_CANCELLED,
        side,
        reason,
        0,
        instrument_id,
        order_id,
        row["account"],
        price,
        remaining,
        amount,
    )


@inlined
def cancel_resting(pools: Any, rows: Any, count: Any, instrument_id: Any, slot: Any, price: Any, reason: Any) -> Any:
    """Cancels an order that rests in the book, and removes it."""
    order = pools.orders[slot]
    order_id, trader, side = order["order_id"], np.int64(order["trader"]), np.int64(order["side"])
    remaining = order["remaining"]
    count = cancel(pools, rows, count, instrument_id, order_id, trader, side, price, remaining, reason)
    book.dequeue(pools, pools.instruments[instrument_id], slot)
    book.release(pools, slot)
    return count


@inlined
def _trade(
    pools: Any,
    rows: Any,
    count: Any,
    instrument_id: Any,
    order_id: Any,
    trader: Any,
    side: Any,
    limit: Any,
    slot: Any,
    price: Any,
    lots: Any,
) -> Any:
    """One trade at the maker's price: moves the funds of buyer, seller and house account, and writes the event."""
    instrument = pools.instruments[instrument_id]
    maker = pools.orders[slot]
    maker_trader = np.int64(maker["trader"])
    taker_fee, maker_fee = instrument["taker_fee"], instrument["maker_fee"]
    base = lots * instrument["lot_units"]
    notional = lots * price * instrument["quote_unit"]
    buyer = pools.traders[trader if side == BUY else maker_trader]
    seller = pools.traders[maker_trader if side == BUY else trader]
    buyer_fee = funds.fee(base, taker_fee if side == BUY else maker_fee)
    seller_fee = funds.fee(notional, maker_fee if side == BUY else taker_fee)
    # A limit buy locked funds at its limit price and gets the difference back; a market buy locked what it pays.
    price_improvement = limit - price if side == BUY and limit != NO_ASK else np.int64(0)
    released = lots * price_improvement * instrument["quote_unit"]
    balances = pools.balances
    paid = balances[np.int64(buyer["quote_balance"])]
    paid["locked"] -= notional + released
    paid["available"] += released
    balances[np.int64(buyer["base_balance"])]["available"] += base - buyer_fee
    balances[np.int64(seller["base_balance"])]["locked"] -= base
    balances[np.int64(seller["quote_balance"])]["available"] += notional - seller_fee
    balances[np.int64(instrument["house_base"])]["available"] += buyer_fee
    balances[np.int64(instrument["house_quote"])]["available"] += seller_fee
    event = rows[count]
    count = events.write(
        pools,
        rows,
        count,
        events.TRADE,
        side,
        0,
        0,
        instrument_id,
        order_id,
        pools.traders[trader]["account"],
        price,
        lots,
        released,
    )
    event["other_order_id"] = maker["order_id"]
    event["other_account"] = pools.traders[maker_trader]["account"]
    event["buyer_fee"] = buyer_fee
    event["seller_fee"] = seller_fee
    return count
