"""Applies the commands of a block and writes their events (docs/semantics.md, sections 3 to 6).

Nothing here allocates or raises: `pools.reserve` makes room before a block begins, and a command that cannot be carried
out becomes a `rejected` event. All integers are int64, except that bitmaps and hashes are uint64.
"""

from typing import Any

import numpy as np

from matching.core.codes import NONE_ID
from matching.core.kernel import crossing, events, funding, funds, validation
from matching.core.kernel.compiling import inlined
from matching.core.kernel.constants import (
    ACCEPTED,
    BUY,
    BY_IOC,
    BY_USER,
    CANCEL,
    CANCEL_ALL,
    DEPOSIT,
    HALTED,
    INSTRUMENT_HALTED,
    INSUFFICIENT_BALANCE,
    IOC,
    MARKET,
    NO_LIQUIDITY,
    ORDER,
    POST_ONLY_WOULD_MATCH,
    REPLACE,
    SELF_TRADE,
    SELL,
    TRADING,
    UNKNOWN_ORDER,
    WITHDRAW,
)
from matching.core.kernel.structures import book, prefetch, prices, tables
from matching.core.kernel.structures import pools as p
from matching.core.layout import NO_ASK


@inlined
def apply_all(commands: Any, rows: Any, pools: Any, budget: Any) -> Any:
    """Applies COMMAND records in order; returns how many EVENT records it wrote to `rows`.

    It stops when the number of events written plus that of orders looked at exceeds `budget`, always after a whole
    command; the caller sees from NEXT_COMMAND_SEQUENCE how many commands were applied. At the call,
    `state[LOOKED_AT]` is 0.

    The caller has reserved the pools for that many commands (`pools.reserve`). `rows` has room for 4 events for each
    command and one for each open order. Commands on reference data are not applied here; such a command is the last of
    its block, and the caller applies it.
    """
    count = np.int64(0)
    large = pools.state[p.ORDER_TOP] > prefetch.MIN_OPEN_ORDERS
    for i in range(len(commands)):
        if count + pools.state[p.LOOKED_AT] > budget:
            break
        if large:
            prefetch.prefetch_ahead(pools, commands, i)
        command = commands[i]
        kind = command["kind"]
        if kind == ORDER:
            count = _place(pools, rows, count, command)
        elif kind == CANCEL:
            count = _cancel(pools, rows, count, command)
        elif kind == REPLACE:
            count = _replace(pools, rows, count, command)
        elif kind == CANCEL_ALL:
            count = _cancel_all(pools, rows, count, command)
        elif kind == DEPOSIT:
            count = funding.deposit(pools, rows, count, command)
        elif kind == WITHDRAW:
            count = funding.withdraw(pools, rows, count, command)
        else:
            break
        pools.state[p.NEXT_COMMAND_SEQUENCE] += 1
    pools.state[p.NEXT_EVENT_SEQUENCE] += count
    return count


@inlined
def _place(pools: Any, rows: Any, count: Any, command: Any) -> Any:
    instrument_id = np.int64(command["instrument"])
    account = command["account"]
    side = np.int64(command["side"])
    trader = tables.find_trader(pools, account, instrument_id)
    reason, locked = validation.validate_order(pools, command, trader)
    if reason != ACCEPTED:
        return events.reject(pools, rows, count, command, reason)
    if trader == 0:
        trader = funds.create_trader(pools, account, instrument_id)
    order_id = pools.state[p.NEXT_COMMAND_SEQUENCE]
    market = command["order_type"] == MARKET
    quote_budget = np.int64(-1)
    flags = 0
    quantity = command["quantity"]
    limit = command["price"]
    if market:
        limit = np.int64(NO_ASK) if side == BUY else np.int64(0)
        if command["amount"] != 0:
            quote_budget, quantity, flags = command["amount"], np.int64(crossing.ANY_QUANTITY), events.BY_QUOTE
    funds.lock(pools, crossing.paying_balance(pools.traders[trader], side), locked)
    count = events.write(
        pools,
        rows,
        count,
        events.ORDER_ACCEPTED,
        side,
        0,
        flags,
        instrument_id,
        order_id,
        account,
        command["price"],
        command["quantity"],
        locked,
    )
    remaining = quantity
    expired = False
    if market or crossing.crosses(pools.instruments[instrument_id], side, limit):
        prevention = np.int64(command["self_trade_prevention"])
        count, remaining, quote_budget, expired = crossing.match(
            pools, rows, count, instrument_id, order_id, trader, side, prevention, limit, quantity, quote_budget
        )
    if market:
        return _finish_market_order(
            pools, rows, count, instrument_id, order_id, trader, side, remaining, quote_budget, expired
        )
    if remaining == 0:
        return count
    if expired:
        return crossing.cancel(pools, rows, count, instrument_id, order_id, trader, side, limit, remaining, SELF_TRADE)
    if command["time_in_force"] == IOC:
        return crossing.cancel(pools, rows, count, instrument_id, order_id, trader, side, limit, remaining, BY_IOC)
    slot = book.allocate_slot(pools)
    order = pools.orders[slot]
    order["order_id"] = order_id
    order["remaining"] = remaining
    order["filled"] = quantity - remaining
    order["text_hash"] = command["text_hash"]
    order["trader"] = trader
    order["side"] = command["side"]
    order["self_trade_prevention"] = command["self_trade_prevention"]
    order["post_only"] = command["post_only"]
    book.add_to_indexes(pools, slot)
    book.enqueue(pools, pools.instruments[instrument_id], slot, limit)
    return count


@inlined
def _finish_market_order(
    pools: Any,
    rows: Any,
    count: Any,
    instrument_id: Any,
    order_id: Any,
    trader: Any,
    side: Any,
    remaining: Any,
    quote_budget: Any,
    expired: Any,
) -> Any:
    """Ends a market order: unlocks what it did not use, and writes `order_cancelled` unless it was used up.

    What remains of a quote budget because it cannot buy one more lot is unlocked in the last trade (`taker_unlock`).
    """
    instrument = pools.instruments[instrument_id]
    row = pools.traders[trader]
    reason = SELF_TRADE if expired else NO_LIQUIDITY
    if quote_budget >= 0:
        funds.lock(pools, np.int64(row["quote_balance"]), -quote_budget)
        if quote_budget > 0 and not expired and instrument["best_ask_level"] != 0:
            rows[count - 1]["taker_unlock"] = quote_budget
            return count
        if quote_budget == 0:
            return count
        amount, lots, flags = quote_budget, np.int64(0), events.BY_QUOTE
    else:
        if remaining == 0:
            return count
        # A market buy by quantity locked exactly the cost of its fill; a sell locked its whole quantity.
        amount, lots, flags = np.int64(0), remaining, 0
        if side == SELL:
            amount = remaining * instrument["lot_units"]
            funds.lock(pools, np.int64(row["base_balance"]), -amount)
    return events.write(
        pools,
        rows,
        count,
        events.ORDER_CANCELLED,
        side,
        reason,
        flags,
        instrument_id,
        order_id,
        row["account"],
        0,
        lots,
        amount,
    )


@inlined
def _find_target_order(pools: Any, command: Any) -> Any:
    """Slot of the open order that a cancel or replace names, by order id or client order id.

    0 if the account has no such open order in the instrument.
    """
    if command["order_id"] != 0:
        slot = book.find_order(pools, command["order_id"])
        if slot == 0:
            return slot
        trader = pools.traders[np.int64(pools.orders[slot]["trader"])]
        if trader["account"] != command["account"] or trader["instrument"] != command["instrument"]:
            return np.int64(0)
        return slot
    trader_index = tables.find_trader(pools, command["account"], np.int64(command["instrument"]))
    if trader_index == 0 or command["text_hash"] == np.uint64(0):
        return np.int64(0)
    return tables.find_client_order(pools, trader_index, command["text_hash"])


@inlined
def _cancel(pools: Any, rows: Any, count: Any, command: Any) -> Any:
    slot = _find_target_order(pools, command)
    if slot == 0:
        return events.reject(pools, rows, count, command, UNKNOWN_ORDER)
    instrument_id = np.int64(command["instrument"])
    if pools.instruments[instrument_id]["status"] == HALTED:
        return events.reject(pools, rows, count, command, INSTRUMENT_HALTED)
    price = prices.price_of(pools, np.int64(pools.orders[slot]["level"]))
    return crossing.cancel_resting(pools, rows, count, instrument_id, slot, price, BY_USER)


@inlined
def _cancel_all(pools: Any, rows: Any, count: Any, command: Any) -> Any:
    only_instrument = np.int64(command["instrument"])
    if only_instrument != NONE_ID and pools.instruments[only_instrument]["status"] == HALTED:
        return events.reject(pools, rows, count, command, INSTRUMENT_HALTED)
    owner = tables.find_account(pools, command["account"])
    slot = np.int64(pools.accounts[owner]["first_order"]) if owner != 0 else np.int64(0)
    cancelled = np.int64(0)
    while slot != 0:
        pools.state[p.LOOKED_AT] += 1
        order = pools.orders[slot]
        following = np.int64(order["account_next"])
        instrument_id = np.int64(pools.traders[np.int64(order["trader"])]["instrument"])
        selected = only_instrument == NONE_ID or instrument_id == only_instrument
        if selected and pools.instruments[instrument_id]["status"] != HALTED:
            price = prices.price_of(pools, np.int64(order["level"]))
            count = crossing.cancel_resting(pools, rows, count, instrument_id, slot, price, BY_USER)
            cancelled += 1
        slot = following
    return events.write(
        pools, rows, count, events.ORDERS_CANCELLED, 0, 0, 0, only_instrument, 0, command["account"], 0, cancelled, 0
    )


@inlined
def _replace(pools: Any, rows: Any, count: Any, command: Any) -> Any:
    slot = _find_target_order(pools, command)
    if slot == 0:
        return events.reject(pools, rows, count, command, UNKNOWN_ORDER)
    instrument_id = np.int64(command["instrument"])
    instrument = pools.instruments[instrument_id]
    order = pools.orders[slot]
    side = np.int64(order["side"])
    trader = np.int64(order["trader"])
    payer = crossing.paying_balance(pools.traders[trader], side)
    old_price = prices.price_of(pools, np.int64(order["level"]))
    price, quantity = command["price"], command["quantity"]
    old_locked = crossing.locked_amount(instrument, side, old_price, order["remaining"])
    reason = ACCEPTED
    if instrument["status"] != TRADING:
        reason = INSTRUMENT_HALTED
    else:
        reason = validation.validate_price_and_quantity(instrument, False, price, quantity, order["filled"])
        if reason == ACCEPTED:
            needed = crossing.locked_amount(instrument, side, price, quantity)
            if needed - old_locked > pools.balances[payer]["available"]:
                reason = INSUFFICIENT_BALANCE
            elif order["post_only"] != 0 and crossing.crosses(instrument, side, price):
                reason = POST_ONLY_WOULD_MATCH
    if reason != ACCEPTED:
        return events.reject(pools, rows, count, command, reason)

    change = crossing.locked_amount(instrument, side, price, quantity) - old_locked
    funds.lock(pools, payer, change)
    keeps_priority = price == old_price and quantity <= order["remaining"]
    count = events.write(
        pools,
        rows,
        count,
        events.ORDER_REPLACED,
        side,
        0,
        events.KEPT_PRIORITY if keeps_priority else 0,
        instrument_id,
        order["order_id"],
        command["account"],
        price,
        quantity,
        change,
    )
    if keeps_priority:
        pools.levels[np.int64(order["level"])]["quantity"] -= order["remaining"] - quantity
        order["remaining"] = quantity
        return count
    book.dequeue(pools, instrument, slot)
    return _match_and_requeue(pools, rows, count, instrument_id, slot, price, quantity)


@inlined
def _match_and_requeue(
    pools: Any, rows: Any, count: Any, instrument_id: Any, slot: Any, price: Any, quantity: Any
) -> Any:
    """Matches a replaced order that lost its time priority; the rest goes to the end of the queue of its price."""
    order = pools.orders[slot]
    order_id = order["order_id"]
    side = np.int64(order["side"])
    trader = np.int64(order["trader"])
    remaining = quantity
    expired = False
    if crossing.crosses(pools.instruments[instrument_id], side, price):
        prevention = np.int64(order["self_trade_prevention"])
        count, remaining, _, expired = crossing.match(
            pools, rows, count, instrument_id, order_id, trader, side, prevention, price, quantity, np.int64(-1)
        )
    order["filled"] += quantity - remaining
    order["remaining"] = remaining
    if remaining == 0:
        book.release(pools, slot)
        return count
    if expired:
        book.release(pools, slot)
        return crossing.cancel(pools, rows, count, instrument_id, order_id, trader, side, price, remaining, SELF_TRADE)
    book.enqueue(pools, pools.instruments[instrument_id], slot, price)
    return count
