"""Order validation: returns the first reject reason that applies, in the order of docs/semantics.md, section 4."""

from typing import Any

import numpy as np

from matching.core.codes import AMOUNT_LIMIT
from matching.core.kernel import funds
from matching.core.kernel.compiling import called, inlined
from matching.core.kernel.constants import (
    ACCEPTED,
    ACCOUNT_RESTRICTED,
    ACTIVE,
    BELOW_MIN_NOTIONAL,
    BUY,
    DUPLICATE_CLIENT_ORDER_ID,
    GTC,
    INSTRUMENT_HALTED,
    INSUFFICIENT_BALANCE,
    INVALID_PRICE,
    INVALID_QUANTITY,
    MARKET,
    MAX_PIECES,
    NOTIONAL_OVERFLOW,
    POST_ONLY,
    POST_ONLY_WOULD_MATCH,
    PRICE_OUT_OF_BAND,
    QUOTE_QUANTITY_TOO_SMALL,
    STOP_LOSS_LIMIT,
    TAKE_PROFIT_LIMIT,
    TOO_MANY_ORDERS,
    TRADING,
    WOULD_TRIGGER_IMMEDIATELY,
)
from matching.core.kernel.execution import bands, crossing, reckoning
from matching.core.kernel.structures import book, tables, waiting

INT64_MAX = (1 << 63) - 1


@inlined
def validate_order(pools: Any, command: Any, trader: Any, plain: Any) -> Any:
    """(ACCEPTED, amount that a limit or market order locks), or (reject reason, 0). `trader` 0: not known yet.

    `plain`: the caller knows that this is a limit order and no iceberg, and that its trader is known.
    """
    instrument_id = np.int64(command["instrument"])
    instrument = pools.instruments[instrument_id]
    nothing = np.int64(0)
    reason = _reason_not_to_trade(pools, instrument, command["account"], trader)
    if reason != ACCEPTED:
        return reason, nothing
    side = np.int64(command["side"])
    market = not plain and command["order_type"] == MARKET
    price, quantity = command["price"], command["quantity"]
    amount = nothing if plain else command["amount"]
    by_quote = market and amount != 0
    if by_quote:
        if amount <= 0:
            return INVALID_QUANTITY, nothing
        if amount > AMOUNT_LIMIT:
            return NOTIONAL_OVERFLOW, nothing
        if amount < instrument["min_notional"]:
            return BELOW_MIN_NOTIONAL, nothing
    else:
        reason = validate_price_and_quantity(instrument, market, price, quantity, nothing, amount, True)
        if reason != ACCEPTED:
            return reason, nothing
        if not market and instrument["price_band"] != 0 and bands.excludes(pools, instrument, price):
            return PRICE_OUT_OF_BAND, nothing
    if trader != 0 and command["text_hash"] != np.uint64(0):
        if tables.find_client_order(pools, trader, command["text_hash"]) != 0:
            return DUPLICATE_CLIENT_ORDER_ID, nothing
    if instrument["max_open_orders"] != 0 and command["time_in_force"] == GTC:
        if has_too_many_orders(pools, instrument, trader, nothing):
            return TOO_MANY_ORDERS, nothing

    needed = amount
    if not by_quote and not (market and side == BUY):
        needed = funds.locked_amount(instrument, side, price, quantity)
    elif not by_quote or side != BUY:
        needed = _needed_for_market_order(pools, command, trader)
    if available(pools, instrument, command["account"], trader, side) < needed:
        return INSUFFICIENT_BALANCE, nothing

    if not market:
        if command["flags"] & POST_ONLY != 0 and book.crosses(instrument, side, price):
            return POST_ONLY_WOULD_MATCH, nothing
    elif by_quote and book.best_opposite_level(instrument, side) != 0:
        best_price = instrument["best_ask"] if side == BUY else instrument["best_bid"]
        if amount < best_price * instrument["quote_unit"]:
            return QUOTE_QUANTITY_TOO_SMALL, nothing
    return ACCEPTED, needed


@inlined
def _needed_for_market_order(pools: Any, command: Any, trader: Any) -> Any:
    """What a market buy by quantity costs, and what a market sell by quote_quantity sells, in smallest units.

    More than AMOUNT_LIMIT if no balance can pay it.
    """
    instrument_id = np.int64(command["instrument"])
    instrument = pools.instruments[instrument_id]
    side = np.int64(command["side"])
    quantity, quote_budget = command["quantity"], np.int64(-1)
    if command["amount"] != 0:
        quantity, quote_budget = np.int64(crossing.ANY_QUANTITY), command["amount"]
    lots, cost = reckoning.simulate_fill(
        pools,
        instrument_id,
        trader,
        book.orders_in_book(pools, trader),
        side,
        np.int64(command["self_trade_prevention"]),
        bands.worst_price(pools, instrument, side),
        quantity,
        quote_budget,
    )
    if side == BUY:
        return cost
    return lots * instrument["lot_units"] if lots <= instrument["quantity_limit"] else np.int64(AMOUNT_LIMIT + 1)


@called
def validate_trigger_order(
    pools: Any, command: Any, trader: Any, shared_lock: Any, limit_leg_name: Any, is_leg: Any
) -> Any:
    """(ACCEPTED, amount that an order which waits for its trigger locks), or (reject reason, 0).

    A stop leg (`is_leg`) is judged as if its limit leg stood, which has locked `shared_lock` and has the client order
    id `limit_leg_name`.
    """
    instrument_id = np.int64(command["instrument"])
    instrument = pools.instruments[instrument_id]
    nothing = np.int64(0)
    reason = _reason_not_to_trade(pools, instrument, command["account"], trader)
    if reason != ACCEPTED:
        return reason, nothing
    side, order_type = np.int64(command["side"]), np.int64(command["order_type"])
    trigger_price, quantity, text_hash = command["amount"], command["quantity"], command["text_hash"]
    if trigger_price <= 0:
        return INVALID_PRICE, nothing
    price = command["price"] if has_price(order_type) else trigger_price
    reason = validate_price_and_quantity(instrument, False, price, quantity, nothing, nothing, False)
    if reason != ACCEPTED:
        return reason, nothing
    if text_hash != np.uint64(0):
        if is_leg and text_hash == limit_leg_name:
            return DUPLICATE_CLIENT_ORDER_ID, nothing
        if trader != 0 and tables.find_client_order(pools, trader, text_hash) != 0:
            return DUPLICATE_CLIENT_ORDER_ID, nothing
    if instrument["max_open_orders"] != 0:
        if has_too_many_orders(pools, instrument, trader, np.int64(1) if is_leg else nothing):
            return TOO_MANY_ORDERS, nothing
    if _is_triggered_by(instrument["last_price"], side, order_type, trigger_price):
        return WOULD_TRIGGER_IMMEDIATELY, nothing
    needed = max(nothing, funds.locked_amount(instrument, side, price, quantity) - shared_lock)
    if available(pools, instrument, command["account"], trader, side) - shared_lock < needed:
        return INSUFFICIENT_BALANCE, nothing
    return ACCEPTED, needed


@inlined
def _reason_not_to_trade(pools: Any, instrument: Any, account: Any, trader: Any) -> Any:
    status = pools.traders[trader]["status"]
    if trader == 0:
        status = pools.accounts[tables.find_account(pools, account)]["status"]
    if status != ACTIVE:
        return ACCOUNT_RESTRICTED
    return ACCEPTED if instrument["status"] == TRADING else INSTRUMENT_HALTED


@inlined
def validate_price_and_quantity(
    instrument: Any, market: Any, price: Any, quantity: Any, filled: Any, visible_quantity: Any, is_new: Any
) -> Any:
    """Reject reason for price and quantity of an order by quantity. `filled`: lots traded before a replace, else 0.

    `visible_quantity` is 0 unless the order is an iceberg that begins to rest anew; it is judged itself if `is_new`.
    """
    if not market and price <= 0:
        return INVALID_PRICE
    if quantity <= 0 or quantity < instrument["min_quantity"] or quantity > instrument["max_quantity"]:
        return INVALID_QUANTITY
    if visible_quantity != 0:
        if is_new and (visible_quantity < instrument["min_quantity"] or visible_quantity > quantity):
            return INVALID_QUANTITY
        if (quantity - 1) // visible_quantity >= MAX_PIECES:
            return INVALID_QUANTITY
    if quantity > instrument["quantity_limit"] or filled > INT64_MAX - quantity:
        return NOTIONAL_OVERFLOW
    if not market:
        if funds.product_exceeds(price, quantity, instrument["notional_limit"]):
            return NOTIONAL_OVERFLOW
        if price * quantity * instrument["quote_unit"] < instrument["min_notional"]:
            return BELOW_MIN_NOTIONAL
    return ACCEPTED


@inlined
def has_too_many_orders(pools: Any, instrument: Any, trader: Any, more: Any) -> Any:
    """Whether one more open order is one too many for the trader, if it had `more` of them than it has."""
    return np.int64(pools.traders[trader]["open_orders"]) + more >= np.int64(instrument["max_open_orders"])


@inlined
def available(pools: Any, instrument: Any, account: Any, trader: Any, side: Any) -> Any:
    """What the account has available of the asset that an order pays with."""
    if trader != 0:
        return pools.balances[funds.paying_balance(pools.traders[trader], side)]["available"]
    asset = np.int64(instrument["quote"]) if side == BUY else np.int64(instrument["base"])
    return funds.available(pools, account, asset)


@inlined
def has_price(order_type: Any) -> Any:
    """Whether an order that waits for its trigger has a price of its own."""
    return order_type in (STOP_LOSS_LIMIT, TAKE_PROFIT_LIMIT)


@inlined
def _is_triggered_by(last_price: Any, side: Any, order_type: Any, trigger_price: Any) -> Any:
    if last_price == 0:
        return False
    if waiting.direction_of(side, order_type) == waiting.RISE:
        return last_price >= trigger_price
    return last_price <= trigger_price
