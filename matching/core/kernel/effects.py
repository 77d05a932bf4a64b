"""Applies the events of blocks of record layouts 1 and 2, whose rules the kernel no longer has.

Such a command is not executed again: its events say what it changed (docs/semantics.md, section 2, "Layouts"). Whatever
they say is checked against the state, so that no event can damage the memory.
"""

from typing import Any

import numpy as np

from matching.core.codes import FIRST_REFERENCE_COMMAND, LAST_REFERENCE_COMMAND
from matching.core.kernel import events, funding, funds
from matching.core.kernel.compiling import called, inlined
from matching.core.kernel.constants import BUY, DEPOSIT, LIMIT, ORDER, SELL, WITHDRAW
from matching.core.kernel.execution import orders
from matching.core.kernel.structures import book, prices, tables
from matching.core.kernel.structures import pools as p

IMPOSSIBLE = -1
"""In place of a slot: an event that no engine in this state has written."""


@inlined
def apply_all(commands: Any, rows: Any, pools: Any, assets: Any, instruments: Any) -> Any:
    """Applies the events of COMMAND records; returns how many. `rows` are EVENT records of layouts 1 and 2.

    If it returns fewer than there are, the next one is impossible in this state; the state is spoiled then. A command
    on reference data, the last of its block, is left to the caller with its event. `assets` and `instruments` are the
    numbers of registered ones. The caller has reserved the pools for that many commands.
    """
    state = pools.state
    count = np.int64(0)
    for i in range(len(commands)):
        command = commands[i]
        if command["kind"] >= FIRST_REFERENCE_COMMAND and command["kind"] <= LAST_REFERENCE_COMMAND:
            break
        first = count
        taker = np.int64(0)  # slot of an order that is in no queue until its command ends
        price = np.int64(0)
        while count < len(rows) and rows[count]["command_sequence"] == state[p.NEXT_COMMAND_SEQUENCE]:
            event = rows[count]
            known = assets if event["kind"] in (events.DEPOSITED, events.WITHDRAWN) else instruments
            if event["kind"] != events.REJECTED and event["kind"] != events.ORDERS_CANCELLED:
                taker = _apply(pools, command, event, taker) if event["instrument"] < known else np.int64(IMPOSSIBLE)
                if taker == IMPOSSIBLE:
                    return count
                if event["kind"] in (events.ORDER_ACCEPTED, events.ORDER_REPLACED):
                    price = event["price"]
            count += 1
        if count == first or (taker != 0 and not _is_queued(pools, taker, price)):
            return first
        state[p.NEXT_COMMAND_SEQUENCE] += 1
    state[p.NEXT_EVENT_SEQUENCE] += count
    return count


@called
def _apply(pools: Any, command: Any, event: Any, taker: Any) -> Any:
    """Applies one event. Returns the slot of the command's order that is in no queue, 0 if there is none."""
    kind = event["kind"]
    if kind in (events.DEPOSITED, events.WITHDRAWN):
        return _transfer(pools, command, event)
    instrument_id = np.int64(event["instrument"])
    trader = tables.find_trader(pools, event["account"], instrument_id)
    if kind == events.ORDER_ACCEPTED:
        return _accept(pools, command, event, trader)
    if trader == 0:
        return np.int64(IMPOSSIBLE)
    row = pools.traders[trader]
    funds.lock(pools, np.int64(row["quote_balance"]), -event["taker_unlock"])
    if kind == events.TRADE:
        taker = _trade(pools, event, trader, taker)
    elif kind == events.ORDER_CANCELLED:
        taker = _cancel(pools, event, trader, taker)
    elif kind == events.ORDER_REPLACED and taker == 0:
        taker = _replace(pools, event, trader)
    else:
        return np.int64(IMPOSSIBLE)
    return taker if _is_covered(pools, row) else np.int64(IMPOSSIBLE)


@inlined
def _is_covered(pools: Any, trader_row: Any) -> Any:
    """Whether no balance of the trader is negative."""
    base = pools.balances[np.int64(trader_row["base_balance"])]
    quote = pools.balances[np.int64(trader_row["quote_balance"])]
    return min(min(base["available"], base["locked"]), min(quote["available"], quote["locked"])) >= 0


@inlined
def _transfer(pools: Any, command: Any, event: Any) -> Any:
    is_deposit = event["kind"] == events.DEPOSITED
    asset, amount = np.int64(event["instrument"]), event["amount"]
    if command["kind"] != (DEPOSIT if is_deposit else WITHDRAW) or command["account"] != event["account"]:
        return np.int64(IMPOSSIBLE)
    balance = pools.balances[funds.get_or_create_balance(pools, event["account"], asset)]
    change = amount if is_deposit else -amount
    if amount <= 0 or balance["available"] + change < 0:
        return np.int64(IMPOSSIBLE)
    funding.remember_reference(pools, command)
    pools.supplies[asset] += change
    balance["available"] += change
    return np.int64(0)


@inlined
def _accept(pools: Any, command: Any, event: Any, trader: Any) -> Any:
    if command["kind"] != ORDER or event["order_id"] != pools.state[p.NEXT_COMMAND_SEQUENCE]:
        return np.int64(IMPOSSIBLE)
    if command["account"] != event["account"] or command["instrument"] != event["instrument"]:
        return np.int64(IMPOSSIBLE)
    if book.find_order(pools, event["order_id"]) != 0 or event["quantity"] < 0:
        return np.int64(IMPOSSIBLE)
    if trader == 0:
        trader = funds.create_trader(pools, event["account"], np.int64(event["instrument"]))
    row = pools.traders[trader]
    funds.lock(pools, funds.paying_balance(row, np.int64(event["side"])), event["amount"])
    if not _is_covered(pools, row):
        return np.int64(IMPOSSIBLE)
    if command["order_type"] != LIMIT:
        return np.int64(0)
    return np.int64(orders.make_open(pools, command, trader, event["quantity"]))


@inlined
def _trade(pools: Any, event: Any, trader: Any, taker: Any) -> Any:
    instrument = pools.instruments[np.int64(event["instrument"])]
    maker = book.find_order(pools, event["other_order_id"])
    lots, price, side = event["quantity"], event["price"], np.int64(event["side"])
    if maker == 0 or maker == taker or not _has(pools, maker, event["instrument"], event["other_account"], lots):
        return np.int64(IMPOSSIBLE)
    order = pools.orders[maker]
    level = np.int64(order["level"])
    if order["side"] == side or prices.price_of(pools, level) != price:
        return np.int64(IMPOSSIBLE)
    if taker != 0 and not _has(pools, taker, event["instrument"], event["account"], lots):
        return np.int64(IMPOSSIBLE)
    maker_row = pools.traders[np.int64(order["trader"])]
    _move_funds(pools, event, instrument, pools.traders[trader], maker_row)
    instrument["last_price"] = price
    instrument["trade_count"] += 1
    order["filled"] += lots
    order["remaining"] -= lots
    pools.levels[level]["quantity"] -= lots
    if order["remaining"] == 0:
        book.dequeue(pools, instrument, maker)
        book.release(pools, maker)
    if taker != 0:
        own = pools.orders[taker]
        own["filled"] += lots
        own["remaining"] -= lots
        if own["remaining"] == 0:
            book.release(pools, taker)
            taker = np.int64(0)
    return taker if _is_covered(pools, maker_row) else np.int64(IMPOSSIBLE)


@inlined
def _has(pools: Any, slot: Any, instrument_id: Any, account: Any, lots: Any) -> Any:
    """Whether the order is that account's in that instrument and can trade that many lots."""
    order = pools.orders[slot]
    trader = pools.traders[np.int64(order["trader"])]
    is_its = trader["instrument"] == instrument_id and trader["account"] == account
    return is_its and lots > 0 and lots <= order["remaining"]


@inlined
def _move_funds(pools: Any, event: Any, instrument: Any, taker_row: Any, maker_row: Any) -> None:
    """The legs of a trade (docs/semantics.md, section 6)."""
    buys = np.int64(event["side"]) == BUY
    lots, released = event["quantity"], event["amount"]
    base, notional = lots * instrument["lot_units"], lots * event["price"] * instrument["quote_unit"]
    buyer_quote = np.int64(taker_row["quote_balance"]) if buys else np.int64(maker_row["quote_balance"])
    buyer_base = np.int64(taker_row["base_balance"]) if buys else np.int64(maker_row["base_balance"])
    seller_quote = np.int64(maker_row["quote_balance"]) if buys else np.int64(taker_row["quote_balance"])
    seller_base = np.int64(maker_row["base_balance"]) if buys else np.int64(taker_row["base_balance"])
    balances = pools.balances
    balances[buyer_quote]["locked"] -= notional + released
    balances[buyer_quote]["available"] += released
    balances[buyer_base]["available"] += base - event["buyer_fee"]
    balances[seller_base]["locked"] -= base
    balances[seller_quote]["available"] += notional - event["seller_fee"]
    balances[np.int64(instrument["house_base"])]["available"] += event["buyer_fee"]
    balances[np.int64(instrument["house_quote"])]["available"] += event["seller_fee"]


@inlined
def _cancel(pools: Any, event: Any, trader: Any, taker: Any) -> Any:
    funds.lock(pools, funds.paying_balance(pools.traders[trader], np.int64(event["side"])), -event["amount"])
    slot = book.find_order(pools, event["order_id"])
    if slot == 0:  # a market order, which is never in the book
        return taker
    if np.int64(pools.orders[slot]["trader"]) != trader:
        return np.int64(IMPOSSIBLE)
    if slot != taker:
        book.dequeue(pools, pools.instruments[np.int64(event["instrument"])], slot)
    book.release(pools, slot)
    return np.int64(0) if slot == taker else taker


@inlined
def _replace(pools: Any, event: Any, trader: Any) -> Any:
    slot = book.find_order(pools, event["order_id"])
    order = pools.orders[slot]
    quantity = event["quantity"]
    if slot == 0 or np.int64(order["trader"]) != trader or quantity <= 0:
        return np.int64(IMPOSSIBLE)
    funds.lock(pools, funds.paying_balance(pools.traders[trader], np.int64(order["side"])), event["amount"])
    if event["flags"] & events.KEPT_PRIORITY != 0:
        pools.levels[np.int64(order["level"])]["quantity"] -= order["remaining"] - quantity
        order["remaining"] = quantity
        return np.int64(0)
    book.dequeue(pools, pools.instruments[np.int64(event["instrument"])], slot)
    order["remaining"] = quantity
    return np.int64(slot)


@called
def _is_queued(pools: Any, slot: Any, price: Any) -> Any:
    """Puts the rest of an order into the book, unless it would match there: no order that rests does."""
    order = pools.orders[slot]
    instrument = pools.instruments[np.int64(pools.traders[np.int64(order["trader"])]["instrument"])]
    side = np.int64(order["side"])
    if price <= 0 or side > SELL or book.crosses(instrument, side, price):
        return False
    book.enqueue(pools, instrument, slot, price)
    return True
