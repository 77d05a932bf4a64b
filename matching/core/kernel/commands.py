"""What each command does: a block's commands in, its events out (docs/semantics.md, sections 3 to 6).

No allocation, no exception, no object: pools are large enough before a block begins (`pools.reserve`), and what cannot
be done is a `rejected` event. Integers are int64 throughout; a uint64 is a set of bits or a hash.
"""

from typing import Any

import numpy as np

from matching.core.codes import NONE_ID, CommandKind, InstrumentStatus, OrderType, Reason, Side, TimeInForce
from matching.core.kernel import crossing, events, funding, funds, validation
from matching.core.kernel.compiling import inlined
from matching.core.kernel.structures import book, prefetch, prices, tables
from matching.core.kernel.structures import pools as p
from matching.core.layout import NO_ASK

ORDER = int(CommandKind.ORDER)
CANCEL = int(CommandKind.CANCEL)
CANCEL_ALL = int(CommandKind.CANCEL_ALL)
REPLACE = int(CommandKind.REPLACE)
DEPOSIT = int(CommandKind.DEPOSIT)
WITHDRAW = int(CommandKind.WITHDRAW)
BUY = int(Side.BUY)
SELL = int(Side.SELL)
MARKET = int(OrderType.MARKET)
IOC = int(TimeInForce.IOC)
FOK = int(TimeInForce.FOK)
TRADING = int(InstrumentStatus.TRADING)
HALTED = int(InstrumentStatus.HALTED)


ACCEPTED = int(Reason.NONE)
INVALID_PRICE = int(Reason.INVALID_PRICE)
INVALID_QUANTITY = int(Reason.INVALID_QUANTITY)
INVALID_AMOUNT = int(Reason.INVALID_AMOUNT)
INSTRUMENT_HALTED = int(Reason.INSTRUMENT_HALTED)
NOTIONAL_OVERFLOW = int(Reason.NOTIONAL_OVERFLOW)
BELOW_MIN_NOTIONAL = int(Reason.BELOW_MIN_NOTIONAL)
DUPLICATE_CLIENT_ORDER_ID = int(Reason.DUPLICATE_CLIENT_ORDER_ID)
INSUFFICIENT_BALANCE = int(Reason.INSUFFICIENT_BALANCE)
POST_ONLY_WOULD_MATCH = int(Reason.POST_ONLY_WOULD_MATCH)
FOK_NOT_FILLABLE = int(Reason.FOK_NOT_FILLABLE)
NO_LIQUIDITY = int(Reason.NO_LIQUIDITY)
QUOTE_QUANTITY_TOO_SMALL = int(Reason.QUOTE_QUANTITY_TOO_SMALL)
UNKNOWN_ORDER = int(Reason.UNKNOWN_ORDER)
SUPPLY_OVERFLOW = int(Reason.SUPPLY_OVERFLOW)
DUPLICATE_REFERENCE = int(Reason.DUPLICATE_REFERENCE)
BY_USER = int(Reason.USER)
BY_IOC = int(Reason.IOC)
SELF_TRADE = int(Reason.SELF_TRADE)


@inlined
def apply_all(commands: Any, rows: Any, pools: Any) -> Any:
    """Applies COMMAND records in order; returns how many EVENT records it wrote to `rows`.

    The caller has reserved the pools for that many commands, and has room for 4 events a command and one for each open
    order. A command on reference data is left to the caller: it is the last one.
    """
    count = np.int64(0)
    large = pools.state[p.ORDER_TOP] > prefetch.LARGE
    for i in range(len(commands)):
        if large:
            prefetch.expect(pools, commands, i)
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
    reason, locked = validation.judge_order(pools, command, trader)
    if reason != ACCEPTED:
        return events.reject(pools, rows, count, command, reason)
    if trader == 0:
        trader = funds.new_trader(pools, account, instrument_id)
    order_id = pools.state[p.NEXT_COMMAND_SEQUENCE]
    market = command["order_type"] == MARKET
    money = np.int64(-1)
    flags = 0
    wanted = command["quantity"]
    limit = command["price"]
    if market:
        limit = np.int64(NO_ASK) if side == BUY else np.int64(0)
        if command["amount"] != 0:
            money, wanted, flags = command["amount"], np.int64(crossing.ANY_QUANTITY), events.BY_QUOTE
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
    left = wanted
    expired = False
    if market or crossing.crosses(pools.instruments[instrument_id], side, limit):
        prevention = np.int64(command["self_trade_prevention"])
        count, left, money, expired = crossing.match(
            pools, rows, count, instrument_id, order_id, trader, side, prevention, limit, wanted, money
        )
    if market:
        return _end_market(pools, rows, count, instrument_id, order_id, trader, side, left, money, expired)
    if left == 0:
        return count
    if expired:
        return crossing.cancel(pools, rows, count, instrument_id, order_id, trader, side, limit, left, SELF_TRADE)
    if command["time_in_force"] == IOC:
        return crossing.cancel(pools, rows, count, instrument_id, order_id, trader, side, limit, left, BY_IOC)
    slot = book.take_slot(pools)
    order = pools.orders[slot]
    order["order_id"] = order_id
    order["remaining"] = left
    order["filled"] = wanted - left
    order["text_hash"] = command["text_hash"]
    order["trader"] = trader
    order["side"] = command["side"]
    order["self_trade_prevention"] = command["self_trade_prevention"]
    order["post_only"] = command["post_only"]
    book.enter(pools, slot)
    book.enqueue(pools, pools.instruments[instrument_id], slot, limit)
    return count


@inlined
def _end_market(
    pools: Any,
    rows: Any,
    count: Any,
    instrument_id: Any,
    order_id: Any,
    trader: Any,
    side: Any,
    left: Any,
    money: Any,
    expired: Any,
) -> Any:
    """Ends a market order: what it did not use is unlocked, with an event unless money alone ran out."""
    instrument = pools.instruments[instrument_id]
    row = pools.traders[trader]
    reason = SELF_TRADE if expired else NO_LIQUIDITY
    if money >= 0:
        funds.lock(pools, np.int64(row["quote_balance"]), -money)
        if money > 0 and not expired and instrument["best_ask_level"] != 0:
            rows[count - 1]["taker_unlock"] = money
            return count
        if money == 0:
            return count
        amount, lots, flags = money, np.int64(0), events.BY_QUOTE
    else:
        if left == 0:
            return count
        # A buy locked exactly the cost of what it took, a sell its whole quantity.
        amount, lots, flags = np.int64(0), left, 0
        if side == SELL:
            amount = left * instrument["lot_units"]
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
def _find_named(pools: Any, command: Any) -> Any:
    """Slot of the open order that a cancel or replace names, by order_id or client order id; 0: not this account's."""
    if command["order_id"] != 0:
        slot = book.find_order(pools, command["order_id"])
        if slot == 0:
            return slot
        trader = pools.traders[np.int64(pools.orders[slot]["trader"])]
        if trader["account"] != command["account"] or trader["instrument"] != command["instrument"]:
            return np.int64(0)
        return slot
    trader_place = tables.find_trader(pools, command["account"], np.int64(command["instrument"]))
    if trader_place == 0 or command["text_hash"] == np.uint64(0):
        return np.int64(0)
    return tables.find_client_order(pools, trader_place, command["text_hash"])


@inlined
def _cancel(pools: Any, rows: Any, count: Any, command: Any) -> Any:
    slot = _find_named(pools, command)
    if slot == 0:
        return events.reject(pools, rows, count, command, UNKNOWN_ORDER)
    instrument_id = np.int64(command["instrument"])
    if pools.instruments[instrument_id]["status"] == HALTED:
        return events.reject(pools, rows, count, command, INSTRUMENT_HALTED)
    price = prices.price_of(pools, np.int64(pools.orders[slot]["level"]))
    return crossing.cancel_resting(pools, rows, count, instrument_id, slot, price, BY_USER)


@inlined
def _cancel_all(pools: Any, rows: Any, count: Any, command: Any) -> Any:
    wanted = np.int64(command["instrument"])
    if wanted != NONE_ID and pools.instruments[wanted]["status"] == HALTED:
        return events.reject(pools, rows, count, command, INSTRUMENT_HALTED)
    owner = tables.find_account(pools, command["account"])
    slot = np.int64(pools.accounts[owner]["first_order"]) if owner != 0 else np.int64(0)
    cancelled = np.int64(0)
    while slot != 0:
        order = pools.orders[slot]
        following = np.int64(order["account_next"])
        instrument_id = np.int64(pools.traders[np.int64(order["trader"])]["instrument"])
        if (wanted == NONE_ID or instrument_id == wanted) and pools.instruments[instrument_id]["status"] != HALTED:
            price = prices.price_of(pools, np.int64(order["level"]))
            count = crossing.cancel_resting(pools, rows, count, instrument_id, slot, price, BY_USER)
            cancelled += 1
        slot = following
    return events.write(
        pools, rows, count, events.ORDERS_CANCELLED, 0, 0, 0, wanted, 0, command["account"], 0, cancelled, 0
    )


@inlined
def _replace(pools: Any, rows: Any, count: Any, command: Any) -> Any:
    slot = _find_named(pools, command)
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
    old_hold = crossing.held(instrument, side, old_price, order["remaining"])
    reason = ACCEPTED
    if instrument["status"] != TRADING:
        reason = INSTRUMENT_HALTED
    else:
        reason = validation.judge_size(instrument, False, price, quantity, order["filled"])
        if reason == ACCEPTED:
            needed = crossing.held(instrument, side, price, quantity)
            if needed - old_hold > pools.balances[payer]["available"]:
                reason = INSUFFICIENT_BALANCE
            elif order["post_only"] != 0 and crossing.crosses(instrument, side, price):
                reason = POST_ONLY_WOULD_MATCH
    if reason != ACCEPTED:
        return events.reject(pools, rows, count, command, reason)

    change = crossing.held(instrument, side, price, quantity) - old_hold
    funds.lock(pools, payer, change)
    kept = price == old_price and quantity <= order["remaining"]
    count = events.write(
        pools,
        rows,
        count,
        events.ORDER_REPLACED,
        side,
        0,
        events.KEPT_PRIORITY if kept else 0,
        instrument_id,
        order["order_id"],
        command["account"],
        price,
        quantity,
        change,
    )
    if kept:
        pools.levels[np.int64(order["level"])]["quantity"] -= order["remaining"] - quantity
        order["remaining"] = quantity
        return count
    book.dequeue(pools, instrument, slot)
    return _requeue(pools, rows, count, instrument_id, slot, price, quantity)


@inlined
def _requeue(pools: Any, rows: Any, count: Any, instrument_id: Any, slot: Any, price: Any, quantity: Any) -> Any:
    """A replaced order that lost its place: it may match, and what is left takes the end of its price's queue."""
    order = pools.orders[slot]
    order_id = order["order_id"]
    side = np.int64(order["side"])
    trader = np.int64(order["trader"])
    left = quantity
    expired = False
    if crossing.crosses(pools.instruments[instrument_id], side, price):
        prevention = np.int64(order["self_trade_prevention"])
        count, left, _, expired = crossing.match(
            pools, rows, count, instrument_id, order_id, trader, side, prevention, price, quantity, np.int64(-1)
        )
    order["filled"] += quantity - left
    order["remaining"] = left
    if left == 0:
        book.leave(pools, slot)
        return count
    if expired:
        book.leave(pools, slot)
        return crossing.cancel(pools, rows, count, instrument_id, order_id, trader, side, price, left, SELF_TRADE)
    book.enqueue(pools, pools.instruments[instrument_id], slot, price)
    return count
