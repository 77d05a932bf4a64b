"""Places limit and market orders."""

from typing import Any

import numpy as np

from matching.core.kernel import events, funds
from matching.core.kernel.compiling import called, inlined
from matching.core.kernel.constants import (
    ACCEPTED,
    BUY,
    BY_IOC,
    FOK,
    FOK_NOT_FILLABLE,
    IOC,
    LIMIT,
    MARKET,
    NO_LIQUIDITY,
    POST_ONLY,
    PRICE_BAND,
    QUOTE_QUANTITY_USED,
    SELL,
)
from matching.core.kernel.execution import bands, closing, crossing, icebergs, reckoning, validation
from matching.core.kernel.structures import book, tables
from matching.core.kernel.structures import pools as p
from matching.core.layout import NO_ASK


@inlined
def place(pools: Any, rows: Any, count: Any, command: Any, known: Any) -> Any:
    """Places a limit or market order. `known`: a trader, perhaps that of the command; if not, it is looked up."""
    if command["order_type"] == LIMIT and command["time_in_force"] != FOK and command["amount"] == 0:
        trader = known
        if not tables.is_trader(pools, known, command["account"], np.int64(command["instrument"])):
            trader = tables.find_trader(pools, command["account"], np.int64(command["instrument"]))
        if trader != 0:
            return _place(pools, rows, count, command, trader, True)
    return _place_special(pools, rows, count, command)


@called
def _place_special(pools: Any, rows: Any, count: Any, command: Any) -> Any:
    trader = tables.find_trader(pools, command["account"], np.int64(command["instrument"]))
    return _place(pools, rows, count, command, trader, False)


@inlined
def _place(pools: Any, rows: Any, count: Any, command: Any, trader: Any, plain: Any) -> Any:
    """`plain`, a constant: whether this is a limit order that is neither FOK nor an iceberg, of a known trader.

    So the compiled code of plain orders, by far the most frequent ones, contains nothing of the others. A trader is
    unknown at its account's first order in the instrument only.
    """
    instrument_id = np.int64(command["instrument"])
    side = np.int64(command["side"])
    reason, locked = validation.validate_order(pools, command, trader, plain)
    if reason != ACCEPTED:
        return events.reject(pools, rows, count, command, reason)
    if not plain and trader == 0:
        trader = funds.create_trader(pools, command["account"], instrument_id)
    order_id = pools.state[p.NEXT_COMMAND_SEQUENCE]
    market = not plain and command["order_type"] == MARKET
    quote_budget = np.int64(-1)
    flags = 0
    quantity = command["quantity"]
    limit = command["price"]
    own_price = limit
    if market:
        limit = bands.worst_price(pools, pools.instruments[instrument_id], side)
        own_price = np.int64(NO_ASK)
        if command["amount"] != 0:
            quote_budget, quantity, flags = command["amount"], np.int64(crossing.ANY_QUANTITY), events.BY_QUOTE
    count = accept(pools, rows, count, command, trader, locked, flags)
    if not plain and command["time_in_force"] == FOK and not _is_fillable(pools, command, trader):
        return closing.cancel_rest(
            pools, rows, count, instrument_id, order_id, trader, side, limit, quantity, FOK_NOT_FILLABLE
        )
    remaining = quantity
    reason = ACCEPTED
    if market or book.crosses(pools.instruments[instrument_id], side, limit):
        prevention = np.int64(command["self_trade_prevention"])
        count, remaining, quote_budget, reason = crossing.match(
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
            quote_budget,
            False,
        )
    if market:
        if remaining == 0:
            return count
        return _end_market_order(
            pools, rows, count, instrument_id, order_id, trader, side, remaining, quote_budget, locked, reason
        )
    if remaining == 0:
        return count
    if reason == ACCEPTED and command["time_in_force"] == IOC:
        reason = BY_IOC
    if reason != ACCEPTED:
        count = closing.cancel_rest(pools, rows, count, instrument_id, order_id, trader, side, limit, remaining, reason)
        crossing.write_self_trade(pools, rows, count, reason)
        return count
    slot = make_open(pools, command, trader, remaining)
    is_iceberg = not plain and command["amount"] != 0
    if is_iceberg:
        icebergs.begin(pools, slot, command["amount"])
    book.enqueue(pools, pools.instruments[instrument_id], slot, limit)
    if is_iceberg:
        icebergs.enter(pools, slot)
    return count


@inlined
def accept(pools: Any, rows: Any, count: Any, command: Any, trader: Any, locked: Any, flags: Any) -> Any:
    """Locks what the current command's order needs, and writes `order_accepted`."""
    side = np.int64(command["side"])
    funds.lock(pools, funds.paying_balance(pools.traders[trader], side), locked)
    return events.write(
        pools,
        rows,
        count,
        events.ORDER_ACCEPTED,
        side,
        0,
        flags,
        np.int64(command["instrument"]),
        pools.state[p.NEXT_COMMAND_SEQUENCE],
        command["account"],
        command["price"],
        command["quantity"],
        locked,
    )


@inlined
def make_open(pools: Any, command: Any, trader: Any, remaining: Any) -> Any:
    """Makes the current command's order an open one, which is in no queue yet. Returns its slot."""
    slot = book.allocate_slot(pools)
    order = pools.orders[slot]
    order["order_id"] = pools.state[p.NEXT_COMMAND_SEQUENCE]
    order["remaining"] = remaining
    order["filled"] = command["quantity"] - remaining
    order["text_hash"] = command["text_hash"]
    order["trader"] = trader
    order["side"] = command["side"]
    order["self_trade_prevention"] = command["self_trade_prevention"]
    order["flags"] = command["flags"] & POST_ONLY
    book.add_to_indexes(pools, slot)
    return slot


@called
def _is_fillable(pools: Any, command: Any, trader: Any) -> Any:
    """Whether a limit order can be filled whole at once."""
    return reckoning.is_fillable(
        pools,
        np.int64(command["instrument"]),
        trader,
        book.orders_in_book(pools, trader),
        np.int64(command["side"]),
        np.int64(command["self_trade_prevention"]),
        command["price"],
        command["quantity"],
        False,
    )


@called
def _end_market_order(
    pools: Any,
    rows: Any,
    count: Any,
    instrument_id: Any,
    order_id: Any,
    trader: Any,
    side: Any,
    remaining: Any,
    quote_budget: Any,
    locked: Any,
    reason: Any,
) -> Any:
    """Cancels the rest of a market order. `locked`: what it locked at first."""
    instrument = pools.instruments[instrument_id]
    if reason == ACCEPTED:
        reason = _reason_of_market_order(instrument, side, quote_budget)
    if quote_budget >= 0:
        rest, flags = quote_budget, events.BY_QUOTE
        sold = np.int64(crossing.ANY_QUANTITY) - remaining
        unlocked = quote_budget if side == BUY else locked - sold * instrument["lot_units"]
    else:
        # A market buy by quantity locked exactly the cost of its fill; a sell locked its whole quantity.
        rest, flags = remaining, 0
        unlocked = remaining * instrument["lot_units"] if side == SELL else np.int64(0)
    count = closing.write_cancelled(
        pools, rows, count, instrument_id, order_id, trader, side, 0, rest, flags, unlocked, reason
    )
    crossing.write_self_trade(pools, rows, count, reason)
    return count


@inlined
def _reason_of_market_order(instrument: Any, side: Any, quote_budget: Any) -> Any:
    """Why nothing more matched: the order is done, or there is no maker, or the next one is outside the band."""
    if quote_budget == 0:
        return QUOTE_QUANTITY_USED
    if book.best_opposite_level(instrument, side) == 0:
        return NO_LIQUIDITY
    best_price = instrument["best_ask"] if side == BUY else instrument["best_bid"]
    if 0 < quote_budget < best_price * instrument["quote_unit"]:
        return QUOTE_QUANTITY_USED
    return PRICE_BAND
