"""Matches an incoming order (the taker) against the book (docs/semantics.md, sections 5 and 6)."""

from typing import Any

import numpy as np

from matching.core.kernel import events, funds, limits
from matching.core.kernel.compiling import called, inlined
from matching.core.kernel.constants import (
    ACCEPTED,
    BUY,
    EXPIRE_MAKER,
    EXPIRE_TAKER,
    NO_PREVENTION,
    OVER_WORK_LIMIT,
    SELF_TRADE,
)
from matching.core.kernel.execution import closing, icebergs, sums
from matching.core.kernel.structures import book, prices, waiting
from matching.core.kernel.structures import pools as p
from matching.core.kernel.structures.prefetch import prefetch_maker
from matching.core.layout import NO_ASK

ANY_QUANTITY = NO_ASK
"""Quantity of an order that is bounded by its quote budget only."""


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
    own_price: Any,
    quantity: Any,
    quote_budget: Any,
    from_queue: Any,
) -> Any:
    """Trades an order against the book until it is filled, nothing more crosses, or something stops it.

    `limit` is the worst price at which it trades. `own_price` is the price at which a buy has locked its funds, NO_ASK
    for one that has locked what it will pay. `quote_budget` is the quote units that an order by quote_quantity may
    still spend or receive, -1 for other orders. `from_queue`, a constant: whether the order may be a triggered one, in
    whose run of the queue `sums` are known. The order's funds are locked already.
    Returns (count, remaining lots, remaining quote budget, reason). The reason is ACCEPTED unless self-trade prevention
    or the work limit stopped the order; in the first case MET_ORDER is the order that it met.
    """
    instrument = pools.instruments[instrument_id]
    quote_unit = instrument["quote_unit"]
    account = pools.traders[trader]["account"]
    reason = ACCEPTED
    met = np.int64(0)
    first_price = np.int64(0)
    last_price = np.int64(0)
    while quantity > 0:
        level = book.best_opposite_level(instrument, side)
        if level == 0 or not book.crosses(instrument, side, limit):
            break
        price = prices.price_of(pools, level)
        slot = np.int64(pools.levels[level]["head"])
        maker = pools.orders[slot]
        prefetch_maker(pools, maker)
        lots = min(quantity, maker["remaining"])
        if quote_budget >= 0:
            lots = min(lots, quote_budget // (price * quote_unit))
            if lots == 0:
                break
        if met == limits.MAX_MET:
            reason = OVER_WORK_LIMIT
            break
        met += 1
        if from_queue:
            sums.forget(pools, level)
        if prevention != NO_PREVENTION and pools.traders[np.int64(maker["trader"])]["account"] == account:
            pools.state[p.MET_ORDER] = maker["order_id"]
            if prevention != EXPIRE_TAKER:
                first_event = count
                count = closing.cancel_open(pools, rows, count, instrument_id, slot, SELF_TRADE)
                rows[first_event]["other_order_id"] = order_id
            if prevention != EXPIRE_MAKER:
                reason = SELF_TRADE
                break
            continue
        if maker["extra"] != 0:
            count = closing.cancel_partner(pools, rows, count, instrument_id, slot)
        count = _trade(pools, rows, count, instrument_id, order_id, trader, side, own_price, slot, price, lots)
        last_price = price
        if first_price == 0:
            first_price = price
        maker["filled"] += lots
        maker["remaining"] -= lots
        pools.levels[level]["quantity"] -= lots
        if maker["remaining"] == 0:
            if maker["extra"] == 0 or not icebergs.show_next_piece(pools, slot):
                book.dequeue(pools, instrument, slot)
                book.release(pools, slot)
        quantity -= lots
        if quote_budget >= 0:
            quote_budget -= lots * price * quote_unit
    if first_price != 0:
        _note_trades(pools, instrument_id, first_price, last_price)
    return count, quantity, quote_budget, reason


@called
def match_open(
    pools: Any,
    rows: Any,
    count: Any,
    instrument_id: Any,
    slot: Any,
    limit: Any,
    own_price: Any,
    quantity: Any,
) -> Any:
    """`match` for an open order that is in no queue: (count, remaining lots, reason)."""
    order = pools.orders[slot]
    order_id, trader, side = order["order_id"], np.int64(order["trader"]), np.int64(order["side"])
    prevention = np.int64(order["self_trade_prevention"])
    count, remaining, _, reason = match(
        pools,
        rows,
        count,
        instrument_id,
        order_id,
        trader,
        side,
        prevention,
        limit,
        own_price,
        quantity,
        np.int64(-1),
        True,
    )
    return count, remaining, reason


@inlined
def _note_trades(pools: Any, instrument_id: Any, first_price: Any, last_price: Any) -> None:
    """Notes the prices of one order's trades, and queues the orders that they trigger."""
    instrument = pools.instruments[instrument_id]
    command_sequence = pools.state[p.NEXT_COMMAND_SEQUENCE]
    if instrument["traded_in"] != command_sequence:
        instrument["traded_in"] = command_sequence
        instrument["reference_price"] = instrument["last_price"]
    instrument["last_price"] = last_price
    lowest, highest = min(first_price, last_price), max(first_price, last_price)
    if highest >= instrument["rise_at"] or lowest <= instrument["fall_at"]:
        waiting.queue_triggered(pools, instrument_id, lowest, highest)


@inlined
def write_self_trade(pools: Any, rows: Any, count: Any, reason: Any) -> None:
    """Completes the last event, `order_cancelled` of a taker, if self-trade prevention is its reason."""
    if reason == SELF_TRADE:
        rows[count - 1]["other_order_id"] = pools.state[p.MET_ORDER]


@inlined
def _trade(
    pools: Any,
    rows: Any,
    count: Any,
    instrument_id: Any,
    order_id: Any,
    trader: Any,
    side: Any,
    own_price: Any,
    slot: Any,
    price: Any,
    lots: Any,
) -> Any:
    """One trade at the maker's price: moves the funds of buyer, seller and house account, and writes the event."""
    instrument = pools.instruments[instrument_id]
    maker = pools.orders[slot]
    maker_trader = np.int64(maker["trader"])
    taker_row, maker_row = pools.traders[trader], pools.traders[maker_trader]
    taker_fee, maker_fee = np.int64(instrument["taker_fee"]), np.int64(instrument["maker_fee"])
    if taker_row["has_terms"] != 0:
        taker_fee = np.int64(pools.terms[trader]["taker_fee"])
    if maker_row["has_terms"] != 0:
        maker_fee = np.int64(pools.terms[maker_trader]["maker_fee"])
    base = lots * instrument["lot_units"]
    notional = lots * price * instrument["quote_unit"]
    buyer = pools.traders[trader if side == BUY else maker_trader]
    seller = pools.traders[maker_trader if side == BUY else trader]
    buyer_fee = funds.fee(base, taker_fee if side == BUY else maker_fee)
    seller_fee = funds.fee(notional, maker_fee if side == BUY else taker_fee)
    # A limit buy locked funds at its own price and gets the difference back; a market buy locked what it pays.
    price_improvement = own_price - price if side == BUY and own_price != NO_ASK else np.int64(0)
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
    instrument["trade_count"] += 1
    event = rows[np.uint32(count)]
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
        taker_row["account"],
        price,
        lots,
        released,
    )
    event["other_order_id"] = maker["order_id"]
    event["other_account"] = maker_row["account"]
    event["buyer_fee"] = buyer_fee
    event["seller_fee"] = seller_fee
    event["trade_number"] = instrument["trade_count"]
    return count
